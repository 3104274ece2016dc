/* outcome - what became of an attempt, told to the log of the shard, to the log of the node and to
 * the metrics. Recipients that are to be tried again come due at the same time when they have been
 * tried equally often and were told the same, so that they can travel together again.
 */
#include "node/deliver/inside.h"

struct retry {
    unsigned attempts;
    uint64_t hint_ms;
    uint64_t at_ms;
};

static uint64_t next_attempt_at_ms(const struct delivery *y, const struct delivery_recipient *to,
                                   struct retry *last)
{
    unsigned attempts = to->record->attempts + 1;
    uint64_t now_ms = deliver_wall_ms(y->d);

    if (to->verdict->at_once) return now_ms;
    if (last->attempts != attempts || last->hint_ms != to->verdict->hint_ms) {
        last->attempts = attempts;
        last->hint_ms = to->verdict->hint_ms;
        last->at_ms = router_retry_at_ms(y->d->router, attempts, last->hint_ms, now_ms,
                                         y->message->expires_at_ms);
    }
    return last->at_ms;
}

/* Those who asked hear of a delay once, at the first attempt behind delay_dsn_ms (RFC 3461 4.1). */
static bool is_late(const struct delivery *y, const struct delivery_recipient *to)
{
    const Angarium__RecipientRecord *r = to->record;

    return (r->notify & PROTO_NOTIFY_DELAY) != 0 && !r->delay_told &&
           deliver_wall_ms(y->d) >= y->message->accepted_at_ms + y->d->o.delay_dsn_ms;
}

static void defer(const struct delivery *y, const struct delivery_recipient *to,
                  Angarium__RecipientOutcome *o, struct retry *last)
{
    o->next_attempt_at_ms = next_attempt_at_ms(y, to, last);
    o->is_late = is_late(y, to);
}

static void fill(struct delivery *y, const struct delivery_recipient *to,
                 Angarium__RecipientOutcome *o, Angarium__Reply *reply, struct retry *last)
{
    const struct verdict *v = to->verdict;

    angarium__recipient_outcome__init(o);
    angarium__reply__init(reply);
    o->index = y->index;
    o->recipient = to->number;
    o->result = v->result;
    o->counts = v->counts;
    o->confirm = v->confirm;
    o->class_ = proto_bytes(span_cstr(v->class));
    o->remote_host = proto_bytes(span_cstr(y->remote.host));
    o->remote_address = proto_bytes(span_cstr(y->remote.address));
    o->source_address = proto_bytes(span_cstr(y->remote.source));
    o->tls = proto_bytes(span_cstr(y->remote.tls));
    if (v->result == ANGARIUM__RESULT__RESULT_DEFERRED ||
        v->result == ANGARIUM__RESULT__RESULT_IN_DOUBT)
        defer(y, to, o, last);
    reply->code = v->code;
    reply->enhanced = proto_bytes(span_cstr(v->enhanced));
    reply->text = proto_bytes(span_cstr(v->text));
    o->reply = reply;
}

static const char *event_of(Angarium__Result result)
{
    switch (result) {
    case ANGARIUM__RESULT__RESULT_DELIVERED:
        return "attempt.delivered";
    case ANGARIUM__RESULT__RESULT_BOUNCED:
        return "attempt.bounced";
    case ANGARIUM__RESULT__RESULT_IN_DOUBT:
        return "attempt.in_doubt";
    default:
        return "attempt.deferred";
    }
}

static void tell(const struct delivery *y, const struct delivery_recipient *to,
                 const Angarium__RecipientOutcome *o)
{
    const struct verdict *v = to->verdict;
    const char *event = event_of(o->result);
    char next[CLOCK_RFC3339_SIZE] = "";

    if (!log_wanted(LOG_DEBUG)) return;
    if (o->next_attempt_at_ms > 0) clock_rfc3339(o->next_attempt_at_ms, next);
    log_event(LOG_DEBUG, event, LOG_TEXT("message", y->id),
              LOG_SPAN("recipient", proto_span(to->record->address)),
              LOG_NUM("attempt", to->record->attempts + 1), LOG_TEXT("remote_host", y->remote.host),
              LOG_TEXT("remote_address", y->remote.address), LOG_TEXT("tls", y->remote.tls),
              LOG_NUM("reply_code", v->code), LOG_TEXT("reply_enhanced", v->enhanced),
              LOG_TEXT("reply", v->text), LOG_TEXT("class", v->class),
              next[0] ? LOG_TEXT("next_attempt_at", next) : LOG_SKIP,
              v->hint_ms > 0 ? LOG_NUM("asked_to_wait_ms", v->hint_ms) : LOG_SKIP);
}

void outcome_propose(struct delivery *y)
{
    Angarium__RecipientOutcome *list = arena_alloc(&y->arena, y->count * sizeof *list);
    Angarium__Reply *replies = arena_alloc(&y->arena, y->count * sizeof *replies);
    struct retry last = { 0 };
    unsigned n = 0;

    CHECK(list && replies);
    for (unsigned i = 0; i < y->count; i++) {
        if (y->claim_state == CLAIM_DONE && y->claim.refs[i].refused) continue;
        fill(y, &y->list[i], &list[n], &replies[n], &last);
        tell(y, &y->list[i], &list[n]);
        n++;
    }
    if (n == 0) return;
    commit_outcome(y->d->commit, y->shard, list, n);
    y->d->has_proposed = true;
    y->is_told = true;
}
