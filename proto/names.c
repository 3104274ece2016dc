/* names - the words that code, log and API use for enums. */
#include "proto/proto.h"

#include "proto/ground/check.h"

static const char *const event_names[] = {
    [ANGARIUM__EVENT_TYPE__EVENT_NONE] = "?",
    [ANGARIUM__EVENT_TYPE__EVENT_ACCEPTED] = "accepted",
    [ANGARIUM__EVENT_TYPE__EVENT_DEFERRED] = "deferred",
    [ANGARIUM__EVENT_TYPE__EVENT_DELIVERED] = "delivered",
    [ANGARIUM__EVENT_TYPE__EVENT_BOUNCED] = "bounced",
    [ANGARIUM__EVENT_TYPE__EVENT_EXPIRED] = "expired",
    [ANGARIUM__EVENT_TYPE__EVENT_SUPPRESSED] = "suppressed",
    [ANGARIUM__EVENT_TYPE__EVENT_CANCELLED] = "cancelled",
    [ANGARIUM__EVENT_TYPE__EVENT_IN_DOUBT] = "in_doubt",
    [ANGARIUM__EVENT_TYPE__EVENT_COMPLAINED] = "complained",
    [ANGARIUM__EVENT_TYPE__EVENT_HELD] = "held",
    [ANGARIUM__EVENT_TYPE__EVENT_RELEASED] = "released",
    [ANGARIUM__EVENT_TYPE__EVENT_REJECTED] = "rejected",
};
#define EVENT_COUNT (sizeof event_names / sizeof event_names[0])

const char *proto_event_name(Angarium__EventType t)
{
    return (unsigned)t < EVENT_COUNT ? event_names[t] : "?";
}

int proto_event_parse(struct span name, Angarium__EventType *out)
{
    for (unsigned i = 1; i < EVENT_COUNT; i++)
        if (span_eq(name, span_cstr(event_names[i]))) {
            *out = (Angarium__EventType)i;
            return 0;
        }
    return ERR_NOT_FOUND;
}

const char *proto_state_name(Angarium__RecipientState s)
{
    static const char *const names[] = { "waiting", "claimed", "held",      "delivered",
                                         "bounced", "expired", "cancelled", "suppressed" };

    return (unsigned)s < sizeof names / sizeof names[0] ? names[s] : "?";
}

bool proto_state_is_terminal(Angarium__RecipientState s)
{
    return s >= ANGARIUM__RECIPIENT_STATE__RECIPIENT_DELIVERED;
}

const char *proto_result_name(Angarium__Result r)
{
    static const char *const names[] = { "?", "delivered", "deferred", "bounced", "in_doubt" };

    return (unsigned)r < sizeof names / sizeof names[0] ? names[r] : "?";
}
