/* trace - one number for all that happened in a run, and, when it is loud, a line for each of it. */
#include <stdarg.h>
#include <stdio.h>

#include "tests/sim/engine/world.h"

void trace_mix(struct world *w, uint64_t a, uint64_t b, uint64_t c)
{
    const uint64_t parts[] = { w->now_us, a, b, c };

    for (unsigned i = 0; i < 4; i++) {
        w->hash ^= parts[i];
        w->hash *= UINT64_C(0x9e3779b97f4a7c15);
        w->hash ^= w->hash >> 29;
    }
}

void trace_say(const struct world *w, const char *format, ...)
{
    va_list args;

    printf("%10.6f ", (double)w->now_us / (double)SECOND);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
}
