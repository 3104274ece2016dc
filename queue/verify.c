/* verify - all invariants at once, by scanning: Q1-Q11 of queue.h. The first one that is broken is
 * told in words.
 *
 * Every message is looked at with its recipients and its story; what they say must be in the
 * indexes is looked up, and the indexes' sizes must equal what was looked up: so nothing is missing
 * and nothing is left over.
 */
#include "queue/inside.h"

#include <stdlib.h>

#define NOTHING span_of(NULL, 0)

struct verify {
    struct queue_store *store;
    uint32_t shard;
    struct errmsg *why;
    int rv;
    struct queue_counts counts; /* as counted here */
    uint64_t owed, live,
        finished; /* messages that owe; bodies that are needed; finished messages */
    uint64_t recipients;
};

static bool fail(struct verify *v, const char *rule, uint64_t index, const char *what)
{
    if (v->rv == 0)
        v->rv = errmsg_set(v->why, ERR_CORRUPT, "shard %u, message %llu: %s: %s", v->shard,
                           (unsigned long long)index, rule, what);
    return false;
}

/* The key is there, with this value. */
static bool has(struct verify *v, const struct queue_key *key, struct span want)
{
    struct buf value;
    bool found;

    buf_init(&value, 4096);
    found = v->store->calls->get(v->store->self, queue_key_span(key), &value) == 0 &&
            span_eq(buf_span(&value), want);
    buf_deinit(&value);
    return found;
}

/* The body in the entry is live, and belongs to the message (0: to an open upload). */
static bool is_live(struct verify *v, uint64_t entry, uint64_t owner)
{
    struct queue_key key = queue_key_1(v->shard, 'l', entry), value = { .n = 0 };

    queue_key_u64(&value, owner);
    return has(v, &key, queue_key_span(&value));
}

static bool count_key(void *arg, struct span key, struct span value)
{
    (void)key;
    (void)value;
    ++*(uint64_t *)arg;
    return true;
}

static uint64_t count_kind(struct verify *v, char kind)
{
    struct queue_key prefix = queue_key(v->shard, kind);
    uint64_t n = 0;

    v->store->calls->each(v->store->self, queue_key_span(&prefix), queue_key_span(&prefix), false,
                          &n, count_key);
    return n;
}

/* ---- one recipient */

static bool check_waiting(struct verify *v, uint64_t index, uint32_t n,
                          const Angarium__RecipientRecord *r)
{
    struct queue_key by_time = queue_key_time(v->shard, r->due_at_ms, index, n);
    struct queue_key by_domain =
        queue_key_domain(v->shard, proto_span(r->domain), r->due_at_ms, index, n);

    if (!has(v, &by_time, proto_span(r->domain)))
        return fail(v, "Q3", index, "a waiting recipient is missing in the due index by time");
    if (!has(v, &by_domain, NOTHING))
        return fail(v, "Q3", index,
                    "a waiting recipient is missing in the due index by destination");
    return true;
}

static bool check_indexes(struct verify *v, uint64_t index, uint32_t n,
                          const Angarium__RecipientRecord *r)
{
    struct queue_key claim = queue_key_ref(v->shard, 'c', index, n);

    if (r->state == ANGARIUM__RECIPIENT_STATE__RECIPIENT_WAITING)
        return check_waiting(v, index, n, r);
    if (r->state == ANGARIUM__RECIPIENT_STATE__RECIPIENT_CLAIMED && !has(v, &claim, NOTHING))
        return fail(v, "Q4", index, "a claimed recipient is missing in the claim index");
    return true;
}

static bool check_doubt(struct verify *v, uint64_t index, uint32_t n,
                        const Angarium__RecipientRecord *r)
{
    struct queue_key doubt = queue_key_ref(v->shard, 'i', index, n);

    if (r->in_doubt_since_ms == 0) return true;
    if (proto_state_is_terminal(r->state))
        return fail(v, "Q11", index, "a recipient that ended is in doubt");
    if (r->doubts == 0)
        return fail(v, "Q11", index, "a recipient is in doubt without an attempt that ended so");
    if (!has(v, &doubt, NOTHING))
        return fail(v, "Q11", index, "a recipient in doubt is missing in their index");
    v->counts.in_doubt_now++;
    return true;
}

static void count_state(struct verify *v, Angarium__RecipientState state)
{
    struct queue_counts *c = &v->counts;
    uint64_t *const by_state[] = { &c->waiting, &c->claimed, &c->held,      &c->delivered,
                                   &c->bounced, &c->expired, &c->cancelled, &c->suppressed };

    ++*by_state[state];
}

/* ---- the story of a message: terminal events, one for each terminal recipient */

struct terminals {
    uint8_t count[PROTO_RECIPIENTS_MAX];
    Angarium__EventType type[PROTO_RECIPIENTS_MAX];
    uint64_t events;
};

static bool is_terminal_event(Angarium__EventType t)
{
    switch (t) {
    case ANGARIUM__EVENT_TYPE__EVENT_DELIVERED:
    case ANGARIUM__EVENT_TYPE__EVENT_BOUNCED:
    case ANGARIUM__EVENT_TYPE__EVENT_EXPIRED:
    case ANGARIUM__EVENT_TYPE__EVENT_SUPPRESSED:
    case ANGARIUM__EVENT_TYPE__EVENT_CANCELLED:
        return true;
    default:
        return false;
    }
}

static bool note_event(void *arg, uint64_t entry, uint32_t number, const Angarium__Event *event)
{
    struct terminals *t = arg;

    (void)entry;
    (void)number;
    t->events++;
    if (!is_terminal_event(event->type) || event->recipient_number >= PROTO_RECIPIENTS_MAX)
        return true;
    if (t->count[event->recipient_number] < 255) t->count[event->recipient_number]++;
    t->type[event->recipient_number] = event->type;
    return true;
}

static bool event_fits(Angarium__RecipientState s, Angarium__EventType t)
{
    return span_eq(span_cstr(proto_state_name(s)), span_cstr(proto_event_name(t)));
}

/* What may be owed of a recipient: as its end is, and as was asked for (RFC 3461 4.1). */
static bool check_debts(struct verify *v, uint64_t index, const Angarium__RecipientRecord *r)
{
    bool failed = r->state == ANGARIUM__RECIPIENT_STATE__RECIPIENT_BOUNCED ||
                  r->state == ANGARIUM__RECIPIENT_STATE__RECIPIENT_EXPIRED;
    bool delivered = r->state == ANGARIUM__RECIPIENT_STATE__RECIPIENT_DELIVERED;
    uint32_t success = PROTO_OWED_RELAYED | PROTO_OWED_DELIVERED, may = 0;

    if (failed && (r->notify == 0 || r->notify & PROTO_NOTIFY_FAILURE)) may |= PROTO_OWED_FAILED;
    if (delivered && r->notify & PROTO_NOTIFY_SUCCESS) may |= success;
    if (!proto_state_is_terminal(r->state) && r->notify & PROTO_NOTIFY_DELAY && r->delay_told)
        may |= PROTO_OWED_DELAYED;
    if ((r->bounce_owed & PROTO_OWED_FAILED) && !failed)
        return fail(v, "Q5", index, "a bounce is owed for a recipient that did not fail");
    if (r->bounce_owed & ~may)
        return fail(v, "Q5", index,
                    "a notification is owed that nobody asked for, or that is no longer so");
    return true;
}

static bool check_recipient(struct verify *v, uint64_t index, uint32_t n,
                            const Angarium__RecipientRecord *r, const struct terminals *t)
{
    bool terminal = proto_state_is_terminal(r->state);

    if ((unsigned)r->state > ANGARIUM__RECIPIENT_STATE__RECIPIENT_SUPPRESSED)
        return fail(v, "Q1", index, "a recipient has a state that does not exist");
    if (t->count[n] > 1)
        return fail(v, "Q2", index, "a recipient has more than one terminal event");
    if (terminal != (t->count[n] == 1))
        return fail(v, "Q2", index,
                    "a recipient's terminal state and its terminal event do not agree");
    if (terminal && !event_fits(r->state, t->type[n]))
        return fail(v, "Q2", index,
                    "a recipient's terminal event is of another kind than its state");
    if ((r->state == ANGARIUM__RECIPIENT_STATE__RECIPIENT_CLAIMED ||
         r->state == ANGARIUM__RECIPIENT_STATE__RECIPIENT_DELIVERED) &&
        r->attempts == 0)
        return fail(v, "Q8", index, "a recipient is claimed or delivered without an attempt");
    if (!check_debts(v, index, r)) return false;
    if (!proto_notify_ok(r->notify) || r->orcpt.len > PROTO_ORCPT_SIZE_MAX)
        return fail(v, "Q9", index, "a recipient's NOTIFY or ORCPT is out of range");
    count_state(v, r->state);
    return check_indexes(v, index, n, r) && check_doubt(v, index, n, r);
}

/* ---- one message */

static bool check_recipients(struct verify *v, uint64_t index, const Angarium__MessageRecord *m)
{
    struct terminals *t = check_calloc(1, sizeof *t);
    uint32_t pending = 0, owed = 0;
    bool ok = true;

    if (m->recipient_count == 0 || m->recipient_count > PROTO_RECIPIENTS_MAX)
        ok = fail(v, "Q1", index, "the number of recipients is out of range");
    if (!proto_request_ok(proto_span(m->envid), m->ret, m->body_type))
        ok = fail(v, "Q9", index, "its ENVID, RET or body type is out of range");
    if (!proto_tags_ok(m->tags, m->n_tags))
        ok = fail(v, "Q9", index, "a tag of it is out of range");
    queue_story(v->store, v->shard, index, note_event, t);
    v->counts.kept_events += t->events;
    for (uint32_t n = 0; ok && n < m->recipient_count; n++) {
        Angarium__RecipientRecord *r = NULL;

        if (queue_recipient_get(v->store, v->shard, index, n, &r) != 0) {
            ok = fail(v, "Q1", index, "a recipient's record is missing or damaged");
            break;
        }
        ok = check_recipient(v, index, n, r, t);
        v->recipients++;
        pending += !proto_state_is_terminal(r->state);
        owed += r->bounce_owed != 0;
        queue_recipient_free(&r);
    }
    free(t);
    if (ok && pending != m->pending_count)
        ok = fail(v, "Q1", index, "pending_count is not the number of pending");
    if (ok && owed != m->bounce_owed)
        ok = fail(v, "Q5", index, "bounce_owed is not the number of debts");
    return ok;
}

static bool check_body(struct verify *v, uint64_t index, const Angarium__MessageRecord *m)
{
    bool needed = m->pending_count > 0 || m->bounce_owed > 0;
    size_t parts = m->n_chunks ? m->n_chunks : 1;

    if (needed == (m->body_gone != 0))
        return fail(v, "Q6", index, "body_gone does not fit what is pending");
    if (!needed) return true;
    for (size_t i = 0; i < parts; i++) {
        if (!is_live(v, m->n_chunks ? m->chunks[i] : index, index))
            return fail(v, "Q6", index, "a body that is needed is not in the live index");
    }
    v->live += parts;
    return true;
}

static bool check_indexed(struct verify *v, uint64_t index, const Angarium__MessageRecord *m)
{
    struct queue_key debt = queue_key_1(v->shard, 'b', index);
    struct queue_key finished = queue_key_1(v->shard, 'f', m->finished_at_ms);
    struct queue_key pending = queue_key_1(v->shard, 'p', index);

    if (m->bounce_owed > 0 && m->mail_from.len == 0)
        return fail(v, "Q5", index, "a bounce owed to nobody");
    if (m->bounce_owed > 0 && !has(v, &debt, NOTHING))
        return fail(v, "Q5", index, "a debt is missing in the bounce index");
    if (m->pending_count > 0 && !has(v, &pending, NOTHING))
        return fail(v, "Q7", index, "a pending message is missing in their index");
    v->owed += m->bounce_owed > 0;
    queue_key_u64(&finished, index);
    if (m->body_gone && !has(v, &finished, NOTHING))
        return fail(v, "Q7", index, "a finished message is missing in the index by time");
    v->finished += m->body_gone != 0;
    return true;
}

static bool check_message(void *arg, struct span key, struct span value)
{
    struct verify *v = arg;
    uint64_t index = queue_read_u64(key, 5);
    Angarium__MessageRecord *m = angarium__message_record__unpack(NULL, value.n, value.p);

    if (!m || !m->body || !m->origin) {
        fail(v, "Q1", index, "the message's record does not decode");
    } else {
        v->counts.kept_messages++;
        if (m->pending_count > 0) {
            v->counts.messages++;
            v->counts.bytes += m->body->size;
        }
        if (check_recipients(v, index, m) && check_body(v, index, m)) check_indexed(v, index, m);
    }
    queue_message_free(&m);
    return v->rv == 0;
}

static bool check_upload(void *arg, struct span key, struct span value)
{
    struct verify *v = arg;
    Angarium__UploadRecord *u = angarium__upload_record__unpack(NULL, value.n, value.p);

    (void)key;
    v->counts.uploads++;
    for (size_t i = 0; u && i < u->n_chunks; i++) {
        if (!is_live(v, u->chunks[i], 0))
            fail(v, "Q6", u->chunks[i], "a chunk of an open upload is not in the live index");
        v->live++;
    }
    if (!u) fail(v, "Q6", 0, "an upload's record does not decode");
    if (u) angarium__upload_record__free_unpacked(u, NULL);
    return v->rv == 0;
}

/* ---- the whole */

static void check_sizes(struct verify *v)
{
    const struct {
        char kind;
        uint64_t want;
        const char *rule, *what;
    } sizes[] = {
        { 'r', v->recipients, "Q1", "there are recipients without a message" },
        { 't', v->counts.waiting, "Q3", "the due index by time has entries of nobody" },
        { 'd', v->counts.waiting, "Q3", "the due index by destination has entries of nobody" },
        { 'c', v->counts.claimed, "Q4", "the claim index has entries of nobody" },
        { 'i', v->counts.in_doubt_now, "Q11", "the doubt index has entries of nobody" },
        { 'b', v->owed, "Q5", "the bounce index has entries of nobody" },
        { 'l', v->live, "Q6", "the live index has bodies that nobody needs" },
        { 'f', v->finished, "Q7", "the index of finished messages has entries of nobody" },
        { 'e', v->counts.kept_events, "Q7", "there are events that belong to no story" },
        { 's', v->counts.kept_events, "Q7", "there are stories without a message" },
        { 'p', v->counts.messages, "Q7", "the index of pending messages has entries of nobody" },
    };

    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        if (count_kind(v, sizes[i].kind) != sizes[i].want) fail(v, sizes[i].rule, 0, sizes[i].what);
}

static void check_counts(struct verify *v, const struct queue_counts *kept)
{
    const struct queue_counts *c = &v->counts;
    const struct {
        uint64_t scanned, kept;
        const char *what;
    } all[] = {
        { c->messages, kept->messages, "the count of pending messages is wrong" },
        { c->bytes, kept->bytes, "the count of bytes is wrong" },
        { c->waiting, kept->waiting, "the count of waiting recipients is wrong" },
        { c->claimed, kept->claimed, "the count of claimed recipients is wrong" },
        { c->held, kept->held, "the count of held recipients is wrong" },
        { c->in_doubt_now, kept->in_doubt_now, "the count of recipients in doubt is wrong" },
        { c->uploads, kept->uploads, "the count of uploads is wrong" },
        { c->kept_messages, kept->kept_messages, "the count of kept messages is wrong" },
        { c->kept_events, kept->kept_events, "the count of kept events is wrong" },
    };
    uint64_t ended =
        kept->delivered + kept->bounced + kept->expired + kept->cancelled + kept->suppressed;

    for (unsigned i = 0; i < sizeof all / sizeof all[0]; i++)
        if (all[i].scanned != all[i].kept) fail(v, "Q7", 0, all[i].what);
    if (kept->accepted != kept->waiting + kept->claimed + kept->held + ended)
        fail(v, "Q2", 0, "the accepted recipients are not the pending and the ended ones together");
    if (c->delivered > kept->delivered || c->bounced > kept->bounced ||
        c->expired > kept->expired || c->cancelled > kept->cancelled ||
        c->suppressed > kept->suppressed)
        fail(v, "Q7", 0, "more recipients ended so than were ever counted");
}

int queue_verify(struct queue_store *s, uint32_t shard, struct errmsg *why)
{
    struct verify v = { .store = s, .shard = shard, .why = why };
    struct queue_key messages = queue_key(shard, 'm'), uploads = queue_key(shard, 'u');
    struct queue *q = NULL;
    int rv = queue_open(&q, s, shard, why);

    if (rv != 0) return rv;
    s->calls->each(s->self, queue_key_span(&messages), queue_key_span(&messages), false, &v,
                   check_message);
    s->calls->each(s->self, queue_key_span(&uploads), queue_key_span(&uploads), false, &v,
                   check_upload);
    if (v.rv == 0) check_sizes(&v);
    if (v.rv == 0) check_counts(&v, &q->state.counts);
    queue_close(&q);
    return v.rv;
}
