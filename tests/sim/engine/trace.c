/* trace - one number for all that happened in a run, and, when it is loud, a line for each of it. */
#include <stdarg.h>

#include "tests/sim/shared/runs.h"
#include "tests/sim/engine/world.h"

void trace_mix(struct world *w, uint64_t a, uint64_t b, uint64_t c)
{
    w->hash = runs_mix(w->hash, w->now_us, a, b, c);
}

void trace_say(const struct world *w, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    runs_say(w->now_us, format, args);
    va_end(args);
}
