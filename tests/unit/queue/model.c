/* model - random commands against a naive model of what the queue promises; the same log on every
 * store.
 *
 * The model keeps arrays and walks them; it knows the rules of docs and headers, not the queue's
 * code. After every command the effects are what the model says, every 50 commands all states,
 * counts and invariants are. A failure prints its seed: MODEL_SEED=n runs that one alone.
 */
#include "tests/unit/queue/scene.h"

#include <unistd.h>

#include "proto/ground/rng.h"

#define COMMANDS       3000u
#define VERIFY_EACH    50u
#define MESSAGES_MAX   COMMANDS
#define RECIPIENTS_MAX 4u
#define UPLOADS        3u
#define CHUNKS_MAX     8u

enum state { WAITING, CLAIMED, HELD, DELIVERED, BOUNCED, EXPIRED, CANCELLED };

struct m_recipient {
    enum state state;
    uint64_t due_at_ms;
    uint32_t attempts, doubts;
    bool hold_wanted, cancel_wanted, late_told;
    uint64_t in_doubt_since_ms;
    uint32_t owes; /* what a DSN has to tell */
};

struct m_message {
    uint64_t index, size, expires_at_ms, finished_at_ms, events;
    struct m_recipient r[RECIPIENTS_MAX];
    uint32_t count, parts;
    bool null_sender, finished, purged;
    uint32_t ret, body_type, notify; /* what the client asked for, and never changes */
    bool smtputf8, hold_in_doubt;
    const char *envid, *orcpt;
};

struct m_upload {
    uint64_t chunks[CHUNKS_MAX], last_at_ms;
    uint32_t count;
};

/* What a command must have told. */
struct m_told {
    size_t events, due, bounces, gone, refused;
};

struct entry {
    uint64_t index;
    struct blob *head;
    size_t body_size;
};

struct model {
    struct rng rng;
    uint64_t seed;
    struct scene s;
    struct m_message messages[MESSAGES_MAX];
    size_t message_count;
    struct m_upload uploads[UPLOADS];
    struct queue_counts ever; /* only what cannot be counted from the messages */
    struct m_told told;
    struct entry log[COMMANDS];
    size_t log_count;
};

static const char *const upload_names[UPLOADS] = { "up-a", "up-b", "up-c" };
static const char *const addresses[] = { "a@one.example", "b@one.example",   "c@two.example",
                                         "d@two.example", "e@three.example", "f@sub.one.example" };

static uint64_t below(struct model *m, uint64_t n)
{
    return rng_below(&m->rng, n);
}

static bool chance(struct model *m, unsigned percent)
{
    return below(m, 100) < percent;
}

/* ---- the model's rules */

static bool is_over(enum state s)
{
    return s >= DELIVERED;
}

static struct m_message *message_at(struct model *m, uint64_t index)
{
    for (size_t i = m->message_count; i-- > 0;)
        if (m->messages[i].index == index && !m->messages[i].purged) return &m->messages[i];
    return NULL;
}

static struct m_recipient *recipient_at(struct model *m, uint64_t index, uint32_t n)
{
    struct m_message *msg = message_at(m, index);

    return msg && n < msg->count ? &msg->r[n] : NULL;
}

static void tell_event(struct model *m, struct m_message *msg)
{
    m->told.events++;
    msg->events++;
}

static void put_in_wait(struct model *m, struct m_recipient *r, uint64_t due_at_ms)
{
    r->state = WAITING;
    r->due_at_ms = due_at_ms;
    m->told.due++;
}

/* RFC 3461 4.1: what was not asked for is not told, but failures, unless that is forbidden. */
static void owe(struct model *m, struct m_message *msg, struct m_recipient *r, uint32_t debt)
{
    static const uint32_t asks[] = { [PROTO_OWED_FAILED] = PROTO_NOTIFY_FAILURE,
                                     [PROTO_OWED_DELAYED] = PROTO_NOTIFY_DELAY,
                                     [PROTO_OWED_RELAYED] = PROTO_NOTIFY_SUCCESS,
                                     [PROTO_OWED_DELIVERED] = PROTO_NOTIFY_SUCCESS };
    bool wanted = msg->notify & asks[debt] || (msg->notify == 0 && debt == PROTO_OWED_FAILED);

    if (msg->null_sender || !wanted) return;
    if (debt == PROTO_OWED_DELAYED && r->late_told) return;
    r->late_told |= debt == PROTO_OWED_DELAYED;
    r->owes |= debt;
    m->told.bounces++;
}

static void end(struct model *m, struct m_message *msg, struct m_recipient *r, enum state how)
{
    r->state = how;
    r->hold_wanted = r->cancel_wanted = false;
    r->in_doubt_since_ms = 0;
    m->ever.delivered += how == DELIVERED;
    m->ever.bounced += how == BOUNCED;
    m->ever.expired += how == EXPIRED;
    m->ever.cancelled += how == CANCELLED;
    r->owes &= ~PROTO_OWED_DELAYED;
    if (how == BOUNCED || how == EXPIRED) owe(m, msg, r, PROTO_OWED_FAILED);
}

/* Messages that nobody waits for any more are finished at the end of the command. */
static void settle(struct model *m)
{
    for (size_t i = 0; i < m->message_count; i++) {
        struct m_message *msg = &m->messages[i];
        bool needed = false;

        for (uint32_t n = 0; n < msg->count; n++)
            needed |= !is_over(msg->r[n].state) || msg->r[n].owes;
        if (needed || msg->finished) continue;
        msg->finished = true;
        msg->finished_at_ms = m->s.now_ms;
        m->told.gone += msg->parts;
    }
}

/* ---- comparing */

static void expect_told(struct model *m)
{
    const struct m_told *t = &m->told;

    settle(m);
    assert_int_equal(scene_count(&m->s, QUEUE_EVENT), t->events);
    assert_int_equal(scene_count(&m->s, QUEUE_DUE), t->due);
    assert_int_equal(scene_count(&m->s, QUEUE_BOUNCE), t->bounces);
    assert_int_equal(scene_count(&m->s, QUEUE_BODY_GONE), t->gone);
    assert_int_equal(scene_count(&m->s, QUEUE_REFUSED), t->refused);
    m->told = (struct m_told){ 0 };
}

static void expect_recipient(struct model *m, const struct m_message *msg, uint32_t n)
{
    static const char *const names[] = { "waiting", "claimed", "held",     "delivered",
                                         "bounced", "expired", "cancelled" };
    const struct m_recipient *want = &msg->r[n];
    Angarium__RecipientRecord *r = NULL;

    assert_int_equal(queue_recipient_get(m->s.store, SHARD, msg->index, n, &r), 0);
    assert_int_equal(r->notify, msg->notify);
    assert_true(span_eq(proto_span(r->orcpt), span_cstr(msg->orcpt)));
    assert_string_equal(proto_state_name(r->state), names[want->state]);
    assert_int_equal(r->attempts, want->attempts);
    assert_int_equal(r->doubts, want->doubts);
    assert_int_equal(r->in_doubt_since_ms, want->in_doubt_since_ms);
    assert_int_equal(r->bounce_owed, want->owes);
    assert_int_equal(r->hold_wanted, want->hold_wanted);
    assert_int_equal(r->cancel_wanted, want->cancel_wanted);
    if (want->state == WAITING) assert_int_equal(r->due_at_ms, want->due_at_ms);
    queue_recipient_free(&r);
}

static void count_message(const struct m_message *msg, struct queue_counts *c)
{
    bool pending = false;

    for (uint32_t n = 0; n < msg->count; n++) {
        c->waiting += msg->r[n].state == WAITING;
        c->claimed += msg->r[n].state == CLAIMED;
        c->held += msg->r[n].state == HELD;
        c->in_doubt_now += msg->r[n].in_doubt_since_ms > 0;
        pending |= !is_over(msg->r[n].state);
    }
    c->messages += pending;
    c->bytes += pending ? msg->size : 0;
    if (msg->purged) return;
    c->kept_messages++;
    c->kept_events += msg->events;
}

/* Who is listed is in doubt, and nobody else is. */
static void expect_doubts(struct model *m)
{
    static struct queue_ref list[MESSAGES_MAX * RECIPIENTS_MAX];
    struct queue_place place = { 0 };
    size_t listed = 0, n;

    while ((n = queue_doubts(m->s.store, SHARD, &place, list + listed, 7)) > 0)
        listed += n;
    for (size_t i = 0; i < listed; i++) {
        const struct m_recipient *r = recipient_at(m, list[i].index, list[i].recipient);

        assert_true(r && r->in_doubt_since_ms > 0);
    }
    for (size_t i = 0; i < m->message_count; i++)
        for (uint32_t k = 0; k < m->messages[i].count; k++)
            listed -= m->messages[i].r[k].in_doubt_since_ms > 0;
    assert_int_equal(listed, 0);
}

static void expect_all(struct model *m)
{
    struct queue_counts want = m->ever, got;

    for (size_t i = 0; i < m->message_count; i++) {
        const struct m_message *msg = &m->messages[i];
        Angarium__MessageRecord *record = NULL;
        int rv = queue_message_get(m->s.store, SHARD, msg->index, &record);

        count_message(msg, &want);
        assert_int_equal(rv, msg->purged ? ERR_NOT_FOUND : 0);
        if (rv != 0) continue;
        assert_int_equal(record->body_gone, msg->finished);
        assert_int_equal(record->finished_at_ms, msg->finished_at_ms);
        assert_int_equal(record->ret, msg->ret);
        assert_int_equal(record->body_type, msg->body_type);
        assert_int_equal(record->smtputf8, msg->smtputf8);
        assert_true(span_eq(proto_span(record->envid), span_cstr(msg->envid)));
        queue_message_free(&record);
        for (uint32_t n = 0; n < msg->count; n++)
            expect_recipient(m, msg, n);
    }
    for (unsigned i = 0; i < UPLOADS; i++)
        want.uploads += m->uploads[i].count > 0;
    queue_counts(m->s.q, &got);
    assert_memory_equal(&got, &want, sizeof want);
    expect_doubts(m);
    scene_verify(&m->s);
}

/* ---- random commands */

/* Mostly one of the latest messages, at times one that is not there. */
static struct queue_ref pick(struct model *m)
{
    struct queue_ref ref = { 1 + below(m, m->s.next), (uint32_t)below(m, RECIPIENTS_MAX) };
    size_t window = m->message_count < 40 ? m->message_count : 40;

    if (window == 0 || chance(m, 3)) return ref;
    ref.index = m->messages[m->message_count - 1 - below(m, window)].index;
    return ref;
}

static size_t pick_some(struct model *m, struct queue_ref list[4])
{
    size_t n = 1 + (size_t)below(m, 4);

    for (size_t i = 0; i < n; i++)
        list[i] = pick(m);
    return n;
}

/* The model's side of an accept that the queue takes. */
static void add_message(struct model *m, uint64_t index, const struct scene_mail *mail)
{
    struct m_message *msg = &m->messages[m->message_count++];

    CHECK(m->message_count <= MESSAGES_MAX);
    *msg = (struct m_message){ .index = index,
                               .size = mail->size,
                               .expires_at_ms = mail->expires_at_ms,
                               .count = (uint32_t)mail->to_count,
                               .null_sender = !mail->from,
                               .parts = mail->chunk_count ? (uint32_t)mail->chunk_count : 1,
                               .ret = mail->ret,
                               .body_type = mail->body_type,
                               .notify = mail->notify,
                               .smtputf8 = mail->smtputf8,
                               .hold_in_doubt = mail->hold_in_doubt,
                               .envid = mail->envid,
                               .orcpt = mail->orcpt };
    for (uint32_t n = 0; n < msg->count; n++) {
        put_in_wait(m, &msg->r[n], m->s.now_ms);
        tell_event(m, msg);
    }
    m->ever.accepted += msg->count;
}

static void fill_mail(struct model *m, struct scene_mail *mail, const char *to[RECIPIENTS_MAX])
{
    *mail = (struct scene_mail){ .to = to, .to_count = 1 + (size_t)below(m, RECIPIENTS_MAX) };
    for (size_t i = 0; i < mail->to_count; i++)
        to[i] = addresses[below(m, sizeof addresses / sizeof addresses[0])];
    mail->from = chance(m, 85) ? "sender@here.example" : NULL;
    mail->size = 1 + below(m, 5000);
    mail->expires_at_ms = m->s.now_ms + 1000 * below(m, 300);
    mail->envid = chance(m, 30) ? "QQ314159" : "";
    mail->orcpt = chance(m, 30) ? "rfc822;b+2B@y.example" : "";
    mail->ret = (uint32_t)below(m, PROTO_RET_HDRS + 1);
    mail->body_type = (uint32_t)below(m, PROTO_BODY_BINARYMIME + 1);
    mail->notify = chance(m, 20) ? PROTO_NOTIFY_NEVER : 2 * (uint32_t)below(m, 8);
    mail->smtputf8 = chance(m, 10);
    mail->hold_in_doubt = chance(m, 40);
}

static void do_accept(struct model *m)
{
    const char *to[RECIPIENTS_MAX];
    struct scene_mail mail;

    fill_mail(m, &mail, to);
    add_message(m, scene_accept_mail(&m->s, &mail), &mail);
}

/* A DSN that tells of some, at times of what is not owed: then of nothing. */
static bool pay_told(struct model *m, struct m_message *of, uint32_t *told, size_t *count)
{
    bool owed = true;

    for (uint32_t n = 0; n < RECIPIENTS_MAX; n++) {
        uint32_t owes = of && n < of->count ? of->r[n].owes : 0;

        if (chance(m, 5)) owes |= PROTO_OWED_RELAYED;
        if (owes == 0 || chance(m, 30)) continue;
        told[2 * *count] = n;
        told[2 * (*count)++ + 1] = owes;
        owed &= of && n < of->count && (of->r[n].owes & owes) == owes;
    }
    if (*count == 0) { /* all */
        owed = false;
        for (uint32_t n = 0; of && n < of->count; n++) {
            owed |= of->r[n].owes != 0;
            of->r[n].owes = 0;
        }
        return owed;
    }
    for (size_t i = 0; owed && i < *count; i++)
        of->r[told[2 * i]].owes &= ~told[2 * i + 1];
    return owed;
}

static void do_bounce(struct model *m)
{
    const char *to[RECIPIENTS_MAX];
    struct m_message *of;
    struct scene_mail mail;
    uint32_t told[2 * RECIPIENTS_MAX];
    bool owed = false;
    uint64_t index;

    fill_mail(m, &mail, to);
    mail.from = NULL;
    mail.told = told;
    if (queue_bounces(m->s.store, SHARD, 0, &mail.bounce_of, 1) == 0 || chance(m, 10))
        mail.bounce_of = pick(m).index;
    of = message_at(m, mail.bounce_of);
    if (chance(m, 50)) {
        owed = pay_told(m, of, told, &mail.told_count);
    } else {
        for (uint32_t n = 0; of && n < of->count; n++) {
            owed |= of->r[n].owes != 0;
            of->r[n].owes = 0;
        }
    }
    index = scene_accept_mail(&m->s, &mail);
    if (owed)
        add_message(m, index, &mail);
    else
        m->told.refused++;
}

static void do_chunk(struct model *m)
{
    unsigned which = (unsigned)below(m, UPLOADS);
    struct m_upload *u = &m->uploads[which];
    uint32_t number = chance(m, 90) ? u->count : (uint32_t)below(m, CHUNKS_MAX);
    bool fits = number == u->count;
    uint64_t index;

    if (u->count == CHUNKS_MAX) return;
    index = scene_chunk(&m->s, upload_names[which], number, 1000);
    m->told.refused += !fits;
    if (!fits) return;
    u->chunks[u->count++] = index;
    u->last_at_ms = m->s.now_ms;
}

static void do_accept_upload(struct model *m)
{
    unsigned which = (unsigned)below(m, UPLOADS);
    struct m_upload *u = &m->uploads[which];
    const char *to[RECIPIENTS_MAX];
    struct scene_mail mail;
    uint64_t index;

    if (u->count == 0) return;
    fill_mail(m, &mail, to);
    mail.upload = upload_names[which];
    mail.chunks = u->chunks;
    mail.chunk_count = u->count;
    if (u->count > 1 && chance(m, 15)) mail.chunk_count--; /* one is missing */
    index = scene_accept_mail(&m->s, &mail);
    if (mail.chunk_count < u->count) {
        m->told.refused++;
        return;
    }
    add_message(m, index, &mail);
    u->count = 0;
}

static void do_claim(struct model *m)
{
    struct queue_ref list[4];
    size_t n = pick_some(m, list);

    scene_claim_all(&m->s, list, n);
    for (size_t i = 0; i < n; i++) {
        struct m_recipient *r = recipient_at(m, list[i].index, list[i].recipient);

        if (r && r->state == WAITING) {
            r->state = CLAIMED;
            r->attempts++;
        } else {
            m->told.refused++;
        }
    }
}

static void outcome_of(struct model *m, const Angarium__RecipientOutcome *o)
{
    struct m_recipient *r = recipient_at(m, o->index, o->recipient);
    struct m_message *msg = message_at(m, o->index);
    bool claimed = r && r->state == CLAIMED, waiting = r && r->state == WAITING;
    bool needs_claim = o->result == ANGARIUM__RESULT__RESULT_DELIVERED ||
                       o->result == ANGARIUM__RESULT__RESULT_IN_DOUBT;
    bool hold, cancel;

    if (!(claimed || (waiting && !needs_claim))) {
        m->told.refused++;
        return;
    }
    if (waiting && o->counts) r->attempts++;
    tell_event(m, msg);
    if (o->result == ANGARIUM__RESULT__RESULT_DELIVERED ||
        o->result == ANGARIUM__RESULT__RESULT_BOUNCED) {
        end(m, msg, r, o->result == ANGARIUM__RESULT__RESULT_DELIVERED ? DELIVERED : BOUNCED);
        if (r->state == DELIVERED && o->confirm > 0)
            owe(m, msg, r,
                o->confirm == PROTO_CONFIRM_RELAYED ? PROTO_OWED_RELAYED : PROTO_OWED_DELIVERED);
        return;
    }
    hold = r->hold_wanted;
    if (o->result == ANGARIUM__RESULT__RESULT_IN_DOUBT) {
        r->doubts++;
        m->ever.in_doubt++;
        if (r->in_doubt_since_ms == 0) r->in_doubt_since_ms = m->s.now_ms;
        hold |= msg->hold_in_doubt;
    }
    cancel = r->cancel_wanted;
    r->hold_wanted = r->cancel_wanted = false;
    if (o->is_late) owe(m, msg, r, PROTO_OWED_DELAYED);
    put_in_wait(m, r, o->next_attempt_at_ms);
    if (!hold && !cancel) return;
    tell_event(m, msg);
    if (cancel)
        end(m, msg, r, CANCELLED);
    else
        r->state = HELD;
}

static void do_outcome(struct model *m)
{
    Angarium__RecipientOutcome o[4], *list[4];
    struct queue_ref refs[4];
    size_t n = pick_some(m, refs);

    for (size_t i = 0; i < n; i++) {
        list[i] = &o[i];
        angarium__recipient_outcome__init(&o[i]);
        o[i].index = refs[i].index;
        o[i].recipient = refs[i].recipient;
        o[i].result = (Angarium__Result)(1 + below(m, 4));
        o[i].counts = chance(m, 50);
        o[i].confirm = (uint32_t)below(m, 3);
        o[i].is_late = chance(m, 30);
        o[i].next_attempt_at_ms = m->s.now_ms + below(m, 60000);
    }
    scene_outcomes(&m->s, list, n);
    for (size_t i = 0; i < n; i++)
        outcome_of(m, &o[i]);
}

static void do_expire(struct model *m)
{
    struct queue_ref list[4];
    size_t n = pick_some(m, list);

    scene_expire_all(&m->s, list, n);
    for (size_t i = 0; i < n; i++) {
        struct m_message *msg = message_at(m, list[i].index);
        struct m_recipient *r = recipient_at(m, list[i].index, list[i].recipient);

        if (r && msg->expires_at_ms <= m->s.now_ms && (r->state == WAITING || r->state == HELD)) {
            tell_event(m, msg);
            end(m, msg, r, EXPIRED);
        } else {
            m->told.refused++;
        }
    }
}

static bool hold_one(struct model *m, struct m_message *msg, struct m_recipient *r)
{
    if (r->state == CLAIMED) return r->hold_wanted = true;
    if (r->state != WAITING) return false;
    r->state = HELD;
    tell_event(m, msg);
    return true;
}

static bool release_one(struct model *m, struct m_message *msg, struct m_recipient *r)
{
    if (r->state == CLAIMED && r->hold_wanted) {
        r->hold_wanted = false;
        return true;
    }
    if (r->state != HELD) return false;
    put_in_wait(m, r, m->s.now_ms);
    tell_event(m, msg);
    return true;
}

static bool cancel_one(struct model *m, struct m_message *msg, struct m_recipient *r)
{
    if (r->state == CLAIMED) return r->cancel_wanted = true;
    if (is_over(r->state)) return false;
    end(m, msg, r, CANCELLED);
    tell_event(m, msg);
    return true;
}

static void do_order(struct model *m,
                     uint64_t (*order)(struct scene *, uint64_t, uint32_t *, size_t),
                     bool (*one)(struct model *, struct m_message *, struct m_recipient *))
{
    uint64_t index = pick(m).index;
    uint32_t list[2] = { (uint32_t)below(m, RECIPIENTS_MAX), (uint32_t)below(m, RECIPIENTS_MAX) };
    size_t n = (size_t)below(m, 3);
    unsigned took = 0;
    struct m_message *msg;

    order(&m->s, index, list, n);
    msg = message_at(m, index);
    for (size_t i = 0; msg && i < (n ? n : msg->count); i++) {
        uint32_t number = n ? list[i] : (uint32_t)i;

        if (number < msg->count) took += one(m, msg, &msg->r[number]);
    }
    m->told.refused += took == 0;
}

static struct m_message *oldest_finished(struct model *m, uint64_t before_ms)
{
    struct m_message *oldest = NULL;

    for (size_t i = 0; i < m->message_count; i++) {
        struct m_message *msg = &m->messages[i];

        if (!msg->finished || msg->purged || msg->finished_at_ms >= before_ms) continue;
        if (!oldest || msg->finished_at_ms < oldest->finished_at_ms) oldest = msg;
    }
    return oldest;
}

static void do_purge(struct model *m)
{
    uint64_t before_ms = m->s.now_ms - 1000 * below(m, 200);
    uint32_t limit = (uint32_t)below(m, 60);
    struct m_message *msg;

    scene_purge(&m->s, before_ms, limit);
    while (limit-- > 0 && (msg = oldest_finished(m, before_ms)) != NULL)
        msg->purged = true;
}

static void do_purge_uploads(struct model *m)
{
    unsigned which = (unsigned)below(m, UPLOADS);
    bool by_name = chance(m, 50);
    uint64_t before_ms = by_name ? 0 : m->s.now_ms - 1000 * below(m, 50);

    scene_purge_uploads(&m->s, by_name ? upload_names[which] : NULL, before_ms);
    for (unsigned i = 0; i < UPLOADS; i++) {
        struct m_upload *u = &m->uploads[i];

        if (u->count == 0 || !(by_name ? i == which : u->last_at_ms < before_ms)) continue;
        m->told.gone += u->count;
        u->count = 0;
    }
}

static void do_hold(struct model *m)
{
    do_order(m, scene_hold, hold_one);
}

static void do_release(struct model *m)
{
    do_order(m, scene_release, release_one);
}

static void do_cancel(struct model *m)
{
    do_order(m, scene_cancel, cancel_one);
}

static void do_any(struct model *m)
{
    static const struct {
        unsigned upto;
        void (*run)(struct model *m);
    } choices[] = { { 22, do_accept },        { 25, do_bounce }, { 32, do_chunk },
                    { 35, do_accept_upload }, { 60, do_claim },  { 82, do_outcome },
                    { 87, do_expire },        { 91, do_hold },   { 94, do_release },
                    { 96, do_cancel },        { 98, do_purge },  { 100, do_purge_uploads } };
    unsigned dice = (unsigned)below(m, 100), i = 0;

    while (dice >= choices[i].upto)
        i++;
    choices[i].run(m);
}

static void keep_entry(void *arg, uint64_t index, struct span head, size_t body_size)
{
    struct model *m = arg;
    struct entry *e = &m->log[m->log_count++];

    CHECK(m->log_count <= COMMANDS);
    *e = (struct entry){ .index = index, .head = blob_copy(head), .body_size = body_size };
}

static struct model *run(uint64_t seed)
{
    struct model *m = check_calloc(1, sizeof *m);

    m->seed = seed;
    rng_seed(&m->rng, seed);
    scene_open(&m->s);
    m->s.verify_each = false;
    m->s.on_entry = keep_entry;
    m->s.arg = m;
    for (unsigned i = 1; i <= COMMANDS; i++) {
        size_t before = m->log_count;

        do_any(m);
        if (m->log_count > before) expect_told(m);
        if (i % VERIFY_EACH == 0) expect_all(m);
        m->s.next += below(m, 10) == 0; /* indexes have gaps: entries that are no commands */
    }
    return m;
}

static void model_free(struct model *m)
{
    scene_close(&m->s);
    for (size_t i = 0; i < m->log_count; i++)
        blob_unref(&m->log[i].head);
    free(m);
}

/* ---- the same log elsewhere */

/* Applies what the queue has not applied yet, up to the nth entry. */
static void replay(const struct model *m, struct queue *q, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct entry *e = &m->log[i];

        if (e->index > queue_applied(q))
            queue_apply(q, e->index, blob_span(e->head), e->body_size, NULL);
    }
}

struct records {
    struct queue_store *other;
    uint64_t count;
};

static bool same_there(void *arg, struct span key, struct span value)
{
    struct records *r = arg;
    struct buf there;

    buf_init(&there, 1u << 20);
    assert_int_equal(r->other->calls->get(r->other->self, key, &there), 0);
    assert_true(span_eq(buf_span(&there), value));
    buf_deinit(&there);
    r->count++;
    return true;
}

static uint64_t compare_records(struct queue_store *a, struct queue_store *b)
{
    struct records r = { .other = b };
    uint8_t prefix[4] = { 0, 0, 0, SHARD };
    struct span shard = span_of(prefix, sizeof prefix);

    a->calls->each(a->self, shard, shard, false, &r, same_there);
    return r.count;
}

static void expect_same(const struct model *m, struct queue_store *s, const struct queue *q)
{
    struct queue_counts want, got;
    struct errmsg why = { "" };

    assert_int_equal(queue_applied(q), queue_applied(m->s.q));
    assert_int_equal(queue_digest(q), queue_digest(m->s.q));
    queue_counts(m->s.q, &want);
    queue_counts(q, &got);
    assert_memory_equal(&got, &want, sizeof want);
    if (queue_verify(s, SHARD, &why) != 0) fail_msg("%s", why.text);
    assert_int_equal(compare_records(m->s.store, s), compare_records(s, m->s.store));
}

static void one_seed_is_one_state(struct model *m)
{
    struct model *again = run(m->seed);

    expect_same(m, again->s.store, again->s.q);
    assert_int_equal(again->log_count, m->log_count);
    model_free(again);
}

static void memory_crashes_and_replays(struct model *m)
{
    struct queue_store *s = NULL;
    struct queue *q = NULL;
    size_t flushed = (size_t)below(m, m->log_count), last = flushed + 100;

    assert_int_equal(queue_store_open(&s, NULL, NULL), 0);
    assert_int_equal(queue_open(&q, s, SHARD, NULL), 0);
    replay(m, q, flushed);
    assert_int_equal(queue_store_flush(s, NULL), 0);
    replay(m, q, last < m->log_count ? last : m->log_count);
    queue_close(&q);
    queue_store_mem_crash(s);
    assert_int_equal(queue_open(&q, s, SHARD, NULL), 0);
    assert_int_equal(queue_applied(q), flushed ? m->log[flushed - 1].index : 0);
    replay(m, q, m->log_count);
    expect_same(m, s, q);
    queue_close(&q);
    queue_store_close(&s);
}

/* Closing RocksDB's store without a flush leaves the disk as a crash would. */
static void the_disk_crashes_and_replays(struct model *m)
{
    char dir[] = "/tmp/angarium-model-XXXXXX";
    size_t flushed = m->log_count / 3 + (size_t)below(m, m->log_count / 3);
    struct queue_store *s = NULL;
    struct queue *q = NULL;

    assert_non_null(mkdtemp(dir));
    assert_int_equal(queue_store_open(&s, dir, NULL), 0);
    assert_int_equal(queue_open(&q, s, SHARD, NULL), 0);
    replay(m, q, flushed);
    assert_int_equal(queue_store_flush(s, NULL), 0);
    replay(m, q, m->log_count);
    expect_same(m, s, q);
    queue_close(&q);
    queue_store_close(&s);
    assert_int_equal(queue_store_open(&s, dir, NULL), 0);
    assert_int_equal(queue_open(&q, s, SHARD, NULL), 0);
    assert_int_equal(queue_applied(q), m->log[flushed - 1].index);
    assert_int_equal(queue_verify(s, SHARD, NULL), 0);
    replay(m, q, m->log_count);
    expect_same(m, s, q);
    queue_close(&q);
    queue_store_close(&s);
    scene_remove(dir);
}

/* ---- seeds */

static void check_seed(uint64_t seed)
{
    struct model *m;

    print_message("seed %llu: MODEL_SEED=%llu replays it\n", (unsigned long long)seed,
                  (unsigned long long)seed);
    m = run(seed);
    expect_all(m);
    one_seed_is_one_state(m);
    memory_crashes_and_replays(m);
    the_disk_crashes_and_replays(m);
    model_free(m);
}

static void random_commands_keep_to_the_model(void **state)
{
    const char *only = getenv("MODEL_SEED");
    uint64_t seed;

    (void)state;
    if (only && span_u64(span_cstr(only), UINT64_MAX, &seed) == 0) {
        check_seed(seed);
        return;
    }
    for (seed = 1; seed <= 4; seed++)
        check_seed(seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_commands_keep_to_the_model),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
