/* trace - one number for all that happened in a run, and, when it is loud, a line for each of it. */
#include <stdarg.h>

#include "tests/sim/shared/runs.h"
#include "tests/sim/cluster/world.h"

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

const char *trace_kind(enum core_msg_kind k)
{
    static const char *const names[CORE_MSG_KINDS] = {
        [CORE_MSG_PREVOTE] = "prevote",     [CORE_MSG_PREVOTE_REPLY] = "prevote-reply",
        [CORE_MSG_VOTE] = "vote",           [CORE_MSG_VOTE_REPLY] = "vote-reply",
        [CORE_MSG_APPEND] = "append",       [CORE_MSG_APPEND_REPLY] = "append-reply",
        [CORE_MSG_HEARTBEAT] = "heartbeat", [CORE_MSG_HEARTBEAT_REPLY] = "heartbeat-reply",
        [CORE_MSG_SNAPSHOT] = "snapshot",   [CORE_MSG_TIMEOUT_NOW] = "timeout-now",
    };

    return k > 0 && k < CORE_MSG_KINDS ? names[k] : "?";
}
