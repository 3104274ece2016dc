/* commands - every command of the queue, what it does and when it is refused; all invariants are
 * verified after each. */
#include "tests/unit/queue/scene.h"

#define DELIVERED   ANGARIUM__RESULT__RESULT_DELIVERED
#define DEFERRED    ANGARIUM__RESULT__RESULT_DEFERRED
#define BOUNCED     ANGARIUM__RESULT__RESULT_BOUNCED
#define IN_DOUBT    ANGARIUM__RESULT__RESULT_IN_DOUBT
#define EVENT(name) ANGARIUM__EVENT_TYPE__EVENT_##name

static struct queue_counts counts_of(const struct scene *s)
{
    struct queue_counts c;

    queue_counts(s->q, &c);
    return c;
}

/* A recipient that an attempt has in hand. */
static uint64_t claimed_mail(struct scene *s)
{
    uint64_t m = scene_accept(s, "a@x.example", "b@y.example", NULL);

    scene_claim(s, m, 0);
    return m;
}

/* ---- accept and chunk */

static void accept_makes_recipients_due(void **state)
{
    Angarium__MessageRecord *m = NULL;
    const struct queue_effect *due;
    struct queue_counts c;
    struct scene s;
    uint64_t index;

    (void)state;
    scene_open(&s);
    index = scene_accept(&s, "a@x.example", "b@y.example", "c@z.example");
    assert_int_equal(scene_count(&s, QUEUE_EVENT), 2);
    assert_int_equal(scene_count(&s, QUEUE_DUE), 2);
    assert_int_equal(s.effects.count, 4);
    scene_expect_event(&s, 0, EVENT(ACCEPTED), index, 0);
    scene_expect_event(&s, 1, EVENT(ACCEPTED), index, 1);
    assert_true(span_eq(proto_span(scene_effect(&s, QUEUE_EVENT, 1)->event->recipient),
                        SPAN_LIT("c@z.example")));
    assert_true(
        span_eq(proto_span(scene_effect(&s, QUEUE_EVENT, 0)->event->tenant), SPAN_LIT("acme")));
    due = scene_effect(&s, QUEUE_DUE, 1);
    assert_true(span_eq(due->domain, SPAN_LIT("z.example")));
    assert_int_equal(due->due_at_ms, s.now_ms);
    assert_int_equal(queue_message_get(s.store, SHARD, index, &m), 0);
    assert_int_equal(m->recipient_count, 2);
    assert_int_equal(m->pending_count, 2);
    assert_int_equal(m->bounce_owed, 0);
    assert_false(m->body_gone);
    queue_message_free(&m);
    c = counts_of(&s);
    assert_int_equal(c.messages, 1);
    assert_int_equal(c.bytes, SCENE_BODY);
    assert_int_equal(c.waiting, 2);
    assert_int_equal(c.accepted, 2);
    assert_int_equal(c.kept_events, 2);
    assert_true(scene_body_is_live(&s, index));
    assert_int_equal(queue_due_next_ms(s.store, SHARD, SPAN_LIT("y.example")), s.now_ms);
    assert_int_equal(queue_due_next_ms(s.store, SHARD, SPAN_LIT("example")), UINT64_MAX);
    scene_close(&s);
}

/* Q9, through claim, deferral, doubt and the end. */
static void what_the_client_asked_for_is_kept(void **state)
{
    static const char *const to[] = { "b@y.example" };
    const struct scene_mail mail = { .from = "a@x.example",
                                     .to = to,
                                     .to_count = 1,
                                     .tag = "bulk: seen",
                                     .envid = "QQ+2B314159",
                                     .ret = PROTO_RET_HDRS,
                                     .smtputf8 = true,
                                     .body_type = PROTO_BODY_BINARYMIME,
                                     .notify = PROTO_NOTIFY_SUCCESS | PROTO_NOTIFY_DELAY,
                                     .orcpt = "rfc822;Bob@y.example" };
    static const Angarium__Result results[] = { ANGARIUM__RESULT__RESULT_DEFERRED,
                                                ANGARIUM__RESULT__RESULT_IN_DOUBT,
                                                ANGARIUM__RESULT__RESULT_DELIVERED };
    Angarium__MessageRecord *m = NULL;
    Angarium__RecipientRecord *r = NULL;
    struct scene s;
    uint64_t index;

    (void)state;
    scene_open(&s);
    index = scene_accept_mail(&s, &mail);
    for (unsigned i = 0; i < sizeof results / sizeof results[0]; i++) {
        scene_claim(&s, index, 0);
        scene_outcome(&s, index, 0, results[i], s.now_ms);
        assert_int_equal(queue_message_get(s.store, SHARD, index, &m), 0);
        assert_true(span_eq(proto_span(m->envid), span_cstr(mail.envid)));
        assert_int_equal(m->n_tags, 1);
        assert_true(span_eq(proto_span(m->tags[0]), span_cstr(mail.tag)));
        assert_int_equal(m->ret, mail.ret);
        assert_true(m->smtputf8);
        assert_int_equal(m->body_type, mail.body_type);
        assert_int_equal(queue_recipient_get(s.store, SHARD, index, 0, &r), 0);
        assert_int_equal(r->notify, mail.notify);
        assert_true(span_eq(proto_span(r->orcpt), span_cstr(mail.orcpt)));
        queue_message_free(&m);
        queue_recipient_free(&r);
    }
    scene_close(&s);
}

static void accept_takes_the_chunks_of_an_upload(void **state)
{
    const char *const to[] = { "b@y.example" };
    uint64_t chunks[3], m;
    struct scene s;

    (void)state;
    scene_open(&s);
    for (uint32_t i = 0; i < 3; i++) {
        chunks[i] = scene_chunk(&s, "up-1", i, 50);
        assert_int_equal(s.effects.count, 0);
        assert_true(scene_body_is_live(&s, chunks[i]));
    }
    assert_int_equal(counts_of(&s).uploads, 1);
    m = scene_accept_mail(&s, &(struct scene_mail){ .from = "a@x.example",
                                                    .to = to,
                                                    .to_count = 1,
                                                    .size = 150,
                                                    .upload = "up-1",
                                                    .chunks = chunks,
                                                    .chunk_count = 3 });
    assert_int_equal(scene_count(&s, QUEUE_EVENT), 1);
    assert_int_equal(counts_of(&s).uploads, 0);
    assert_false(scene_body_is_live(&s, m)); /* its bytes are in the chunks */
    scene_claim(&s, m, 0);
    scene_outcome(&s, m, 0, DELIVERED, 0);
    assert_int_equal(scene_count(&s, QUEUE_BODY_GONE), 3);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(scene_effect(&s, QUEUE_BODY_GONE, i)->index, chunks[i]);
        assert_false(scene_body_is_live(&s, chunks[i]));
    }
    scene_close(&s);
}

static void accept_refuses_chunks_that_are_not_the_upload(void **state)
{
    const char *const to[] = { "b@y.example" };
    struct scene s;
    uint64_t one, two, m;

    (void)state;
    scene_open(&s);
    one = scene_chunk(&s, "up-1", 0, 50);
    two = scene_chunk(&s, "up-1", 1, 50);
    for (unsigned i = 0; i < 4; i++) {
        uint64_t lists[4][2] = { { one, 0 }, { two, one }, { one, two + 50 }, { one, two } };
        struct scene_mail mail = { .from = "a@x.example",
                                   .to = to,
                                   .to_count = 1,
                                   .upload = i == 3 ? "up-2" : "up-1",
                                   .chunks = lists[i],
                                   .chunk_count = i == 0 ? 1 : 2 };

        m = scene_accept_mail(&s, &mail);
        scene_expect_refused(&s, m, 0, ERR_NOT_FOUND);
        assert_int_equal(counts_of(&s).kept_messages, 0);
    }
    assert_int_equal(counts_of(&s).uploads, 1); /* still open: the right list takes it */
    m = scene_accept_mail(&s, &(struct scene_mail){ .from = "a@x.example",
                                                    .to = to,
                                                    .to_count = 1,
                                                    .upload = "up-1",
                                                    .chunks = (uint64_t[]){ one, two },
                                                    .chunk_count = 2 });
    assert_int_equal(counts_of(&s).messages, 1);
    /* taken: the same list names nothing any more */
    m = scene_accept_mail(&s, &(struct scene_mail){ .from = "a@x.example",
                                                    .to = to,
                                                    .to_count = 1,
                                                    .upload = "up-1",
                                                    .chunks = (uint64_t[]){ one, two },
                                                    .chunk_count = 2 });
    scene_expect_refused(&s, m, 0, ERR_NOT_FOUND);
    scene_close(&s);
}

static void chunks_come_in_order(void **state)
{
    struct scene s;
    uint64_t index;

    (void)state;
    scene_open(&s);
    index = scene_chunk(&s, "up-1", 1, 50); /* the first one is missing */
    scene_expect_refused(&s, index, 0, ERR_NOT_FOUND);
    assert_int_equal(counts_of(&s).uploads, 0);
    scene_chunk(&s, "up-1", 0, 50);
    index = scene_chunk(&s, "up-1", 0, 50); /* twice */
    scene_expect_refused(&s, index, 0, ERR_NOT_FOUND);
    index = scene_chunk(&s, "up-1", 2, 50); /* a gap */
    scene_expect_refused(&s, index, 0, ERR_NOT_FOUND);
    assert_false(scene_body_is_live(&s, index));
    scene_chunk(&s, "up-1", 1, 50);
    assert_int_equal(s.effects.count, 0);
    scene_chunk(&s, "up-2", 0, 50); /* another upload counts for itself */
    assert_int_equal(s.effects.count, 0);
    assert_int_equal(counts_of(&s).uploads, 2);
    scene_close(&s);
}

/* ---- a bounce pays what is owed */

static uint64_t accept_bounce(struct scene *s, const char *to, uint64_t bounce_of)
{
    return scene_accept_mail(
        s, &(struct scene_mail){ .to = &to, .to_count = 1, .bounce_of = bounce_of });
}

static void one_bounce_tells_of_all_failures_so_far(void **state)
{
    uint64_t owing[2], m, dsn;
    struct scene s;

    (void)state;
    scene_open(&s);
    m = scene_accept(&s, "a@x.example", "b@y.example", "c@z.example");
    scene_claim_all(&s, (struct queue_ref[]){ { m, 0 }, { m, 1 } }, 2);
    scene_outcome(&s, m, 0, BOUNCED, 0);
    assert_int_equal(scene_count(&s, QUEUE_BOUNCE), 1);
    scene_outcome(&s, m, 1, BOUNCED, 0);
    assert_int_equal(scene_count(&s, QUEUE_BOUNCE), 1);
    assert_int_equal(scene_effect(&s, QUEUE_BOUNCE, 0)->index, m);
    assert_int_equal(scene_count(&s, QUEUE_BODY_GONE), 0); /* the bounce quotes it */
    assert_true(scene_body_is_live(&s, m));
    assert_int_equal(queue_bounces(s.store, SHARD, 0, owing, 2), 1);
    assert_int_equal(owing[0], m);
    dsn = accept_bounce(&s, "a@x.example", m);
    assert_int_equal(scene_count(&s, QUEUE_BODY_GONE), 1);
    assert_int_equal(scene_effect(&s, QUEUE_BODY_GONE, 0)->index, m);
    assert_false(scene_body_is_live(&s, m));
    assert_true(scene_body_is_live(&s, dsn));
    assert_int_equal(queue_bounces(s.store, SHARD, 0, owing, 2), 0);
    m = accept_bounce(&s, "a@x.example", m); /* another leader's, later: one is enough */
    scene_expect_refused(&s, m, 0, ERR_EXISTS);
    assert_int_equal(counts_of(&s).kept_messages, 2);
    scene_close(&s);
}

static void a_closed_shard_takes_nothing_but_bounces_that_it_owes(void **state)
{
    struct scene s;
    uint64_t m, late;

    (void)state;
    scene_open(&s);
    m = scene_accept(&s, "a@x.example", "b@y.example", NULL);
    assert_false(queue_is_closed(s.q));
    scene_seal(&s);
    assert_true(queue_is_closed(s.q));
    late = scene_accept(&s, "a@x.example", "c@y.example", NULL);
    scene_expect_refused(&s, late, 0, ERR_CLOSED);
    assert_int_equal(counts_of(&s).messages, 1);
    assert_int_equal(queue_reload(s.q, NULL), 0); /* after a start */
    assert_true(queue_is_closed(s.q));
    scene_claim(&s, m, 0);
    scene_outcome(&s, m, 0, BOUNCED, 0);
    m = accept_bounce(&s, "a@x.example", m);
    assert_int_equal(counts_of(&s).messages, 1);
    scene_claim(&s, m, 0);
    scene_outcome(&s, m, 0, DELIVERED, 0);
    scene_purge(&s, s.now_ms + 1, 10);
    assert_int_equal(counts_of(&s).kept_messages, 0);
    late = scene_accept(&s, "a@x.example", "c@y.example", NULL);
    scene_expect_refused(&s, late, 0, ERR_CLOSED);
    scene_close(&s);
}

static void a_bounce_for_nothing_is_refused(void **state)
{
    struct scene s;
    uint64_t m, dsn;

    (void)state;
    scene_open(&s);
    m = scene_accept(&s, "a@x.example", "b@y.example", NULL);
    dsn = accept_bounce(&s, "a@x.example", m);
    scene_expect_refused(&s, dsn, 0, ERR_EXISTS);
    dsn = accept_bounce(&s, "a@x.example", 777);
    scene_expect_refused(&s, dsn, 0, ERR_EXISTS);
    assert_int_equal(counts_of(&s).kept_messages, 1);
    scene_close(&s);
}

static void failures_after_the_bounce_owe_another(void **state)
{
    struct scene s;
    uint64_t m;

    (void)state;
    scene_open(&s);
    m = scene_accept(&s, "a@x.example", "b@y.example", "c@z.example");
    scene_outcome(&s, m, 0, BOUNCED, 0);
    accept_bounce(&s, "a@x.example", m);
    assert_int_equal(scene_count(&s, QUEUE_BODY_GONE), 0); /* one is pending still */
    scene_outcome(&s, m, 1, BOUNCED, 0);
    assert_int_equal(scene_count(&s, QUEUE_BOUNCE), 1);
    accept_bounce(&s, "a@x.example", m);
    assert_int_equal(scene_count(&s, QUEUE_REFUSED), 0);
    assert_int_equal(scene_count(&s, QUEUE_BODY_GONE), 1);
    scene_close(&s);
}

static uint64_t accept_asking(struct scene *s, uint32_t notify)
{
    static const char *const to[] = { "b@y.example", "c@z.example" };

    return scene_accept_mail(
        s,
        &(struct scene_mail){ .from = "a@x.example", .to = to, .to_count = 2, .notify = notify });
}

static uint32_t owed_of(struct scene *s, uint64_t index, uint32_t n)
{
    Angarium__RecipientRecord *r = NULL;
    uint32_t owed;

    assert_int_equal(queue_recipient_get(s->store, SHARD, index, n, &r), 0);
    owed = r->bounce_owed;
    queue_recipient_free(&r);
    return owed;
}

static void outcome_confirmed(struct scene *s, uint64_t index, uint32_t n, Angarium__Result result,
                              uint32_t confirm, bool is_late)
{
    Angarium__RecipientOutcome o = ANGARIUM__RECIPIENT_OUTCOME__INIT, *list = &o;

    o.index = index;
    o.recipient = n;
    o.result = result;
    o.confirm = confirm;
    o.is_late = is_late;
    scene_outcomes(s, &list, 1);
}

/* RFC 3461 4.1: NEVER, and whatever else does not say FAILURE. */
static void a_failure_that_nobody_wants_to_hear_of_owes_nothing(void **state)
{
    struct scene s;
    uint64_t m;

    (void)state;
    scene_open(&s);
    m = accept_asking(&s, PROTO_NOTIFY_NEVER);
    scene_outcome(&s, m, 0, BOUNCED, 0);
    assert_int_equal(scene_count(&s, QUEUE_BOUNCE), 0);
    m = accept_asking(&s, PROTO_NOTIFY_SUCCESS | PROTO_NOTIFY_DELAY);
    scene_outcome(&s, m, 0, BOUNCED, 0);
    assert_int_equal(owed_of(&s, m, 0), 0);
    m = accept_asking(&s, PROTO_NOTIFY_FAILURE);
    scene_outcome(&s, m, 0, BOUNCED, 0);
    assert_int_equal(owed_of(&s, m, 0), PROTO_OWED_FAILED);
    scene_close(&s);
}

/* RFC 3461 5.2.2, 5.2.3 */
static void a_success_is_told_where_it_was_asked_for_and_nobody_else_tells(void **state)
{
    struct scene s;
    uint64_t m;

    (void)state;
    scene_open(&s);
    m = accept_asking(&s, PROTO_NOTIFY_SUCCESS);
    scene_claim_all(&s, (struct queue_ref[]){ { m, 0 }, { m, 1 } }, 2);
    outcome_confirmed(&s, m, 0, DELIVERED, PROTO_CONFIRM_RELAYED, false);
    assert_int_equal(owed_of(&s, m, 0), PROTO_OWED_RELAYED);
    assert_true(scene_body_is_live(&s, m));
    outcome_confirmed(&s, m, 1, DELIVERED, 0, false); /* the next hop has promised to */
    assert_int_equal(owed_of(&s, m, 1), 0);
    accept_bounce(&s, "a@x.example", m);
    assert_int_equal(scene_count(&s, QUEUE_BODY_GONE), 1);
    m = accept_asking(&s, 0);
    scene_claim(&s, m, 0);
    outcome_confirmed(&s, m, 0, DELIVERED, PROTO_CONFIRM_DELIVERED, false);
    assert_int_equal(owed_of(&s, m, 0), 0);
    scene_close(&s);
}

static void a_delay_is_told_once_and_not_when_all_is_over(void **state)
{
    struct scene s;
    uint64_t m;

    (void)state;
    scene_open(&s);
    m = accept_asking(&s, PROTO_NOTIFY_DELAY | PROTO_NOTIFY_FAILURE);
    outcome_confirmed(&s, m, 0, DEFERRED, 0, false);
    assert_int_equal(owed_of(&s, m, 0), 0);
    outcome_confirmed(&s, m, 0, DEFERRED, 0, true);
    assert_int_equal(owed_of(&s, m, 0), PROTO_OWED_DELAYED);
    accept_bounce(&s, "a@x.example", m);
    assert_int_equal(scene_count(&s, QUEUE_REFUSED), 0);
    outcome_confirmed(&s, m, 0, DEFERRED, 0, true);
    assert_int_equal(owed_of(&s, m, 0), 0);
    outcome_confirmed(&s, m, 1, DEFERRED, 0, true);
    scene_outcome(&s, m, 1, BOUNCED, 0); /* before the notice was written */
    assert_int_equal(owed_of(&s, m, 1), PROTO_OWED_FAILED);
    scene_close(&s);
}

/* Between reading what is owed and the DSN's commit more may come: it is not paid by a DSN that does not tell. */
static void a_bounce_pays_what_it_tells(void **state)
{
    const uint32_t first[] = { 0, PROTO_OWED_FAILED }, both[] = { 0, 1, 1, 1 };
    const char *to = "a@x.example";
    struct scene_mail dsn = { .to = &to, .to_count = 1, .told = first, .told_count = 1 };
    struct scene s;
    uint64_t m, refused;

    (void)state;
    scene_open(&s);
    m = dsn.bounce_of = scene_accept(&s, "a@x.example", "b@y.example", "c@z.example");
    scene_outcome(&s, m, 0, BOUNCED, 0);
    scene_outcome(&s, m, 1, BOUNCED, 0);
    scene_accept_mail(&s, &dsn);
    assert_int_equal(scene_count(&s, QUEUE_REFUSED), 0);
    assert_int_equal(owed_of(&s, m, 0), 0);
    assert_int_equal(owed_of(&s, m, 1), PROTO_OWED_FAILED);
    dsn.told = both;
    dsn.told_count = 2;
    refused = scene_accept_mail(&s, &dsn); /* nobody is told twice */
    scene_expect_refused(&s, refused, 0, ERR_EXISTS);
    dsn.told = both + 2;
    dsn.told_count = 1;
    scene_accept_mail(&s, &dsn);
    assert_int_equal(scene_count(&s, QUEUE_BODY_GONE), 1);
    scene_close(&s);
}

static void the_null_return_path_is_never_owed_a_bounce(void **state)
{
    struct scene s;
    uint64_t m;

    (void)state;
    scene_open(&s);
    m = scene_accept(&s, NULL, "b@y.example", NULL);
    scene_claim(&s, m, 0);
    scene_outcome(&s, m, 0, BOUNCED, 0);
    assert_int_equal(scene_count(&s, QUEUE_BOUNCE), 0);
    assert_int_equal(scene_count(&s, QUEUE_BODY_GONE), 1);
    scene_close(&s);
}

/* ---- claim */

static void claim_takes_only_who_is_waiting(void **state)
{
    Angarium__RecipientRecord *r = NULL;
    struct scene s;
    uint64_t m;

    (void)state;
    scene_open(&s);
    m = scene_accept(&s, "a@x.example", "b@y.example", "c@z.example");
    scene_claim(&s, m, 0);
    assert_int_equal(s.effects.count, 0);
    assert_int_equal(queue_recipient_get(s.store, SHARD, m, 0, &r), 0);
    assert_int_equal(r->attempts, 1);
    assert_int_equal(r->claimed_by, 1);
    assert_int_equal(r->claimed_at_ms, s.now_ms);
    queue_recipient_free(&r);
    scene_claim(&s, m, 0); /* P2: a second attempt cannot begin */
    scene_expect_refused(&s, m, 0, ERR_BUSY);
    scene_hold(&s, m, (uint32_t[]){ 1 }, 1);
    scene_claim(&s, m, 1);
    scene_expect_refused(&s, m, 1, ERR_BUSY);
    scene_outcome(&s, m, 0, DELIVERED, 0);
    scene_claim(&s, m, 0);
    scene_expect_refused(&s, m, 0, ERR_BUSY);
    scene_claim(&s, m, 2);
    scene_expect_refused(&s, m, 2, ERR_NOT_FOUND);
    scene_claim(&s, m + 100, 0);
    scene_expect_refused(&s, m + 100, 0, ERR_NOT_FOUND);
    scene_close(&s);
}

static void a_claim_takes_the_part_that_it_can(void **state)
{
    struct queue_place place = { 0 };
    struct queue_ref found[4];
    struct scene s;
    uint64_t m, n;

    (void)state;
    scene_open(&s);
    m = scene_accept(&s, "a@x.example", "b@y.example", "c@z.example");
    n = scene_accept(&s, "a@x.example", "d@y.example", NULL);
    scene_hold(&s, m, (uint32_t[]){ 0 }, 1);
    scene_claim_all(&s, (struct queue_ref[]){ { m, 0 }, { m, 1 }, { n, 0 }, { n, 0 } }, 4);
    assert_int_equal(s.effects.count, 2);
    assert_int_equal(scene_effect(&s, QUEUE_REFUSED, 0)->index, m);
    assert_int_equal(scene_effect(&s, QUEUE_REFUSED, 0)->recipient, 0);
    assert_int_equal(scene_effect(&s, QUEUE_REFUSED, 1)->index, n); /* named twice: once */
    assert_int_equal(queue_claims(s.store, SHARD, &place, found, 1), 1);
    assert_int_equal(found[0].index, m);
    assert_int_equal(found[0].recipient, 1);
    assert_int_equal(queue_claims(s.store, SHARD, &place, found, 4), 1);
    assert_int_equal(found[0].index, n);
    assert_int_equal(queue_claims(s.store, SHARD, &place, found, 4), 0);
    scene_close(&s);
}

/* ---- outcome */

static void delivered_ends_a_claimed_recipient(void **state)
{
    const Angarium__Event *e;
    struct queue_counts c;
    struct scene s;
    uint64_t m;

    (void)state;
    scene_open(&s);
    m = claimed_mail(&s);
    scene_outcome(&s, m, 0, DELIVERED, 0);
    assert_int_equal(s.effects.count, 2);
    scene_expect_event(&s, 0, EVENT(DELIVERED), m, 0);
    e = scene_effect(&s, QUEUE_EVENT, 0)->event;
    assert_int_equal(e->attempt, 1);
    assert_int_equal(e->reply->code, 250);
    assert_true(span_eq(proto_span(e->remote_host), SPAN_LIT("mx.example")));
    assert_int_equal(scene_effect(&s, QUEUE_BODY_GONE, 0)->index, m);
    c = counts_of(&s);
    assert_int_equal(c.delivered, 1);
    assert_int_equal(c.messages, 0);
    assert_int_equal(c.bytes, 0);
    assert_int_equal(c.claimed, 0);
    assert_int_equal(c.kept_messages, 1);
    scene_close(&s);
}

/* Q8, P2: nothing is delivered that was not claimed; nothing ends twice. */
static void delivered_and_in_doubt_need_a_claim(void **state)
{
    static const Angarium__Result results[] = { DELIVERED, IN_DOUBT };
    struct scene s;
    uint64_t m;

    (void)state;
    scene_open(&s);
    m = scene_accept(&s, "a@x.example", "b@y.example", "c@z.example");
    scene_hold(&s, m, (uint32_t[]){ 1 }, 1);
    for (unsigned i = 0; i < 2; i++) {
        scene_outcome(&s, m, 0, results[i], 5);
        scene_expect_refused(&s, m, 0, ERR_BUSY);
        scene_outcome(&s, m, 1, results[i], 5);
        scene_expect_refused(&s, m, 1, ERR_BUSY);
    }
    scene_expect_state(&s, m, 0, "waiting");
    scene_expect_state(&s, m, 1, "held");
    scene_close(&s);
}

static void an_ended_recipient_takes_no_outcome(void **state)
{
    static const Angarium__Result results[] = { DELIVERED, DEFERRED, BOUNCED, IN_DOUBT };
    struct scene s;
    uint64_t m;

    (void)state;
    scene_open(&s);
    m = claimed_mail(&s);
    scene_outcome(&s, m, 0, DELIVERED, 0);
    for (unsigned i = 0; i < 4; i++) {
        scene_outcome(&s, m, 0, results[i], 5);
        scene_expect_refused(&s, m, 0, ERR_BUSY);
    }
    scene_outcome(&s, m, 1, DEFERRED, 5);
    scene_expect_refused(&s, m, 1, ERR_NOT_FOUND);
    scene_outcome(&s, m + 50, 0, DEFERRED, 5);
    scene_expect_refused(&s, m + 50, 0, ERR_NOT_FOUND);
    scene_close(&s);
}

static void deferred_is_due_later(void **state)
{
    Angarium__RecipientRecord *r = NULL;
    uint64_t m, later;
    struct scene s;

    (void)state;
    scene_open(&s);
    m = claimed_mail(&s);
    later = s.now_ms + 60000;
    scene_outcome(&s, m, 0, DEFERRED, later);
    assert_int_equal(s.effects.count, 2);
    scene_expect_event(&s, 0, EVENT(DEFERRED), m, 0);
    assert_int_equal(scene_effect(&s, QUEUE_EVENT, 0)->event->next_attempt_at_ms, later);
    assert_int_equal(scene_effect(&s, QUEUE_DUE, 0)->due_at_ms, later);
    assert_int_equal(queue_due_next_ms(s.store, SHARD, SPAN_LIT("y.example")), later);
    assert_int_equal(queue_recipient_get(s.store, SHARD, m, 0, &r), 0);
    assert_int_equal(r->attempts, 1);
    assert_int_equal(r->last_reply->code, 451);
    assert_true(span_eq(proto_span(r->class_), SPAN_LIT("greylist")));
    queue_recipient_free(&r);
    scene_close(&s);
}

/* An attempt that failed before its claim (no host to be reached): counted only if it says so. */
static void waiting_recipients_can_be_deferred_and_bounced(void **state)
{
    Angarium__RecipientOutcome o = ANGARIUM__RECIPIENT_OUTCOME__INIT, *list = &o;
    Angarium__RecipientRecord *r = NULL;
    struct scene s;
    uint64_t m;

    (void)state;
    scene_open(&s);
    m = scene_accept(&s, "a@x.example", "b@y.example", NULL);
    scene_outcome(&s, m, 0, DEFERRED, s.now_ms + 5000);
    o.index = m;
    o.result = DEFERRED;
    o.next_attempt_at_ms = s.now_ms + 9000;
    scene_outcomes(&s, &list, 1); /* counts is not set, and no reply */
    scene_expect_event(&s, 0, EVENT(DEFERRED), m, 0);
    assert_int_equal(queue_recipient_get(s.store, SHARD, m, 0, &r), 0);
    assert_int_equal(r->attempts, 1);
    assert_int_equal(r->due_at_ms, o.next_attempt_at_ms);
    assert_null(r->last_reply);
    queue_recipient_free(&r);
    scene_outcome(&s, m, 0, BOUNCED, 0);
    scene_expect_event(&s, 0, EVENT(BOUNCED), m, 0);
    scene_expect_state(&s, m, 0, "bounced");
    scene_close(&s);
}

static void in_doubt_is_counted_and_tried_again(void **state)
{
    Angarium__RecipientRecord *r = NULL;
    struct queue_place place = { 0 };
    struct queue_ref claim;
    struct scene s;
    uint64_t m;

    (void)state;
    scene_open(&s);
    m = claimed_mail(&s);
    assert_int_equal(queue_claims(s.store, SHARD, &place, &claim, 1), 1);
    scene_outcome(&s, claim.index, claim.recipient, IN_DOUBT, s.now_ms + 1);
    scene_expect_event(&s, 0, EVENT(IN_DOUBT), m, 0);
    assert_int_equal(counts_of(&s).in_doubt, 1);
    assert_int_equal(queue_recipient_get(s.store, SHARD, m, 0, &r), 0);
    assert_int_equal(r->doubts, 1);
    queue_recipient_free(&r);
    scene_expect_state(&s, m, 0, "waiting");
    place = (struct queue_place){ 0 };
    assert_int_equal(queue_claims(s.store, SHARD, &place, &claim, 1), 0);
    scene_close(&s);
}

static uint64_t doubtful_mail(struct scene *s, bool holds)
{
    static const char *const to[] = { "b@y.example", "c@z.example" };
    uint64_t m = scene_accept_mail(s, &(struct scene_mail){ .from = "a@x.example",
                                                            .to = to,
                                                            .to_count = 2,
                                                            .hold_in_doubt = holds });
    Angarium__RecipientRef refs[2], *list[2] = { &refs[0], &refs[1] };
    ProtobufCBinaryData hosts[] = { scene_text("mx1.example"), scene_text("mx2.example") };
    Angarium__Claim claim = ANGARIUM__CLAIM__INIT;

    for (uint32_t i = 0; i < 2; i++) {
        angarium__recipient_ref__init(&refs[i]);
        refs[i].index = m;
        refs[i].recipient = i;
        refs[i].host = 2 - i;
    }
    claim.time_ms = s->now_ms += 1000;
    claim.node = 1;
    claim.n_recipients = 2;
    claim.recipients = list;
    claim.n_hosts = 2;
    claim.hosts = hosts;
    scene_apply(s, ANGARIUM__COMMAND__KIND_CLAIM, &claim, 0);
    return m;
}

/* Who takes over knows no host. */
static void lose_leader(struct scene *s, uint64_t m, uint32_t recipient)
{
    Angarium__RecipientOutcome o = ANGARIUM__RECIPIENT_OUTCOME__INIT, *list = &o;

    o.index = m;
    o.recipient = recipient;
    o.result = IN_DOUBT;
    o.class_ = scene_text("leader_lost");
    o.next_attempt_at_ms = s->now_ms;
    scene_outcomes(s, &list, 1);
}

static size_t doubts_of(struct scene *s, struct queue_ref *list)
{
    struct queue_place place = { 0 };
    size_t n = queue_doubts(s->store, SHARD, &place, list, 4);

    assert_int_equal(counts_of(s).in_doubt_now, n);
    return n;
}

static void a_doubt_lasts_until_the_end_and_names_its_host(void **state)
{
    Angarium__RecipientRecord *r = NULL;
    struct queue_ref list[4];
    struct scene s;
    uint64_t m, since;

    (void)state;
    scene_open(&s);
    m = doubtful_mail(&s, false);
    assert_int_equal(doubts_of(&s, list), 0);
    lose_leader(&s, m, 0);
    since = s.now_ms;
    assert_true(span_eq(proto_span(scene_effect(&s, QUEUE_EVENT, 0)->event->remote_host),
                        SPAN_LIT("mx2.example")));
    assert_int_equal(doubts_of(&s, list), 1);
    assert_int_equal(list[0].index, m);
    assert_int_equal(list[0].recipient, 0);
    scene_outcome(&s, m, 1, DELIVERED, 0);
    scene_claim(&s, m, 0);
    scene_outcome(&s, m, 0, DEFERRED, s.now_ms);
    assert_int_equal(doubts_of(&s, list), 1); /* the first copy may have arrived all the same */
    scene_claim(&s, m, 0);
    scene_outcome(&s, m, 0, IN_DOUBT, s.now_ms);
    assert_int_equal(queue_recipient_get(s.store, SHARD, m, 0, &r), 0);
    assert_int_equal(r->in_doubt_since_ms, since);
    assert_int_equal(r->doubts, 2);
    assert_int_equal(r->claimed_host.len, 0);
    queue_recipient_free(&r);
    scene_claim(&s, m, 0);
    scene_outcome(&s, m, 0, DELIVERED, 0);
    assert_int_equal(doubts_of(&s, list), 0);
    assert_int_equal(counts_of(&s).in_doubt, 2);
    scene_close(&s);
}

static void a_tenants_policy_holds_who_is_in_doubt(void **state)
{
    struct queue_ref list[4];
    const struct queue_effect *e;
    struct scene s;
    uint64_t m;
    uint32_t first = 0, second = 1;

    (void)state;
    scene_open(&s);
    m = doubtful_mail(&s, true);
    lose_leader(&s, m, 0);
    scene_expect_event(&s, 0, EVENT(IN_DOUBT), m, 0);
    scene_expect_event(&s, 1, EVENT(HELD), m, 0);
    e = scene_effect(&s, QUEUE_EVENT, 1);
    assert_true(span_eq(proto_span(e->event->class_), SPAN_LIT("in_doubt")));
    assert_true(span_eq(proto_span(e->event->remote_host), SPAN_LIT("mx2.example")));
    scene_expect_state(&s, m, 0, "held");
    lose_leader(&s, m, 1);
    assert_int_equal(doubts_of(&s, list), 2);
    scene_claim(&s, m, 0);
    scene_expect_refused(&s, m, 0, ERR_BUSY);
    scene_cancel(&s, m, &second, 1);
    scene_expect_state(&s, m, 1, "cancelled");
    scene_release(&s, m, &first, 1);
    scene_expect_state(&s, m, 0, "waiting");
    assert_int_equal(doubts_of(&s, list), 1);
    scene_claim(&s, m, 0);
    scene_outcome(&s, m, 0, DEFERRED, s.now_ms); /* a no that was heard holds nobody */
    scene_expect_state(&s, m, 0, "waiting");
    scene_claim(&s, m, 0);
    scene_outcome(&s, m, 0, IN_DOUBT, s.now_ms);
    scene_expect_state(&s, m, 0, "held");
    scene_release(&s, m, &first, 1);
    scene_claim(&s, m, 0);
    scene_cancel(&s, m, &first, 1);
    lose_leader(&s, m, 0); /* what an operator wanted meanwhile counts more */
    scene_expect_state(&s, m, 0, "cancelled");
    assert_int_equal(doubts_of(&s, list), 0);
    scene_close(&s);
}

static void outcomes_of_one_command_are_each_for_itself(void **state)
{
    Angarium__RecipientOutcome a = ANGARIUM__RECIPIENT_OUTCOME__INIT, b = a;
    Angarium__RecipientOutcome *list[] = { &a, &b, &a };
    struct scene s;
    uint64_t m;

    (void)state;
    scene_open(&s);
    m = scene_accept(&s, "a@x.example", "b@y.example", "c@z.example");
    scene_claim_all(&s, (struct queue_ref[]){ { m, 0 }, { m, 1 } }, 2);
    a.index = b.index = m;
    b.recipient = 1;
    a.result = DELIVERED;
    b.result = BOUNCED;
    scene_outcomes(&s, list, 3);
    scene_expect_event(&s, 0, EVENT(DELIVERED), m, 0);
    scene_expect_event(&s, 1, EVENT(BOUNCED), m, 1);
    assert_int_equal(scene_count(&s, QUEUE_REFUSED), 1); /* a second time */
    assert_int_equal(scene_count(&s, QUEUE_EVENT), 2);
    scene_close(&s);
}

/* ---- hold, release, cancel */

static void hold_and_release(void **state)
{
    struct scene s;
    uint64_t m;

    (void)state;
    scene_open(&s);
    m = scene_accept(&s, "a@x.example", "b@y.example", "c@z.example");
    scene_hold(&s, m, NULL, 0);
    scene_expect_event(&s, 0, EVENT(HELD), m, 0);
    scene_expect_event(&s, 1, EVENT(HELD), m, 1);
    assert_true(
        span_eq(proto_span(scene_effect(&s, QUEUE_EVENT, 0)->event->by), SPAN_LIT("ops@acme")));
    assert_int_equal(queue_due_next_ms(s.store, SHARD, SPAN_LIT("y.example")), UINT64_MAX);
    assert_int_equal(counts_of(&s).held, 2);
    scene_hold(&s, m, NULL, 0); /* nobody is left to be held */
    scene_expect_refused(&s, m, 0, ERR_NOT_FOUND);
    scene_release(&s, m, (uint32_t[]){ 1 }, 1);
    assert_int_equal(scene_count(&s, QUEUE_DUE), 1);
    scene_expect_event(&s, 0, EVENT(RELEASED), m, 1);
    scene_expect_state(&s, m, 0, "held");
    assert_int_equal(queue_due_next_ms(s.store, SHARD, SPAN_LIT("z.example")), s.now_ms);
    scene_release(&s, m, (uint32_t[]){ 1, 9 }, 2);
    scene_expect_refused(&s, m, 0, ERR_NOT_FOUND);
    scene_release(&s, m, (uint32_t[]){ 0, 0, 1 }, 3); /* named twice: once */
    assert_int_equal(scene_count(&s, QUEUE_EVENT), 1);
    scene_hold(&s, m + 9, NULL, 0);
    scene_expect_refused(&s, m + 9, 0, ERR_NOT_FOUND);
    scene_close(&s);
}

static void cancel_ends_who_is_pending(void **state)
{
    struct scene s;
    uint64_t m;

    (void)state;
    scene_open(&s);
    m = scene_accept(&s, "a@x.example", "b@y.example", "c@z.example");
    scene_hold(&s, m, (uint32_t[]){ 1 }, 1);
    scene_cancel(&s, m, (uint32_t[]){ 0 }, 1);
    scene_expect_event(&s, 0, EVENT(CANCELLED), m, 0);
    assert_int_equal(scene_count(&s, QUEUE_BODY_GONE), 0);
    scene_cancel(&s, m, NULL, 0);
    scene_expect_event(&s, 0, EVENT(CANCELLED), m, 1);
    assert_int_equal(scene_count(&s, QUEUE_EVENT), 1);
    assert_int_equal(scene_count(&s, QUEUE_BOUNCE), 0); /* nobody failed */
    assert_int_equal(scene_count(&s, QUEUE_BODY_GONE), 1);
    assert_int_equal(counts_of(&s).cancelled, 2);
    scene_cancel(&s, m, NULL, 0);
    scene_expect_refused(&s, m, 0, ERR_NOT_FOUND);
    scene_cancel(&s, m + 9, NULL, 0);
    scene_expect_refused(&s, m + 9, 0, ERR_NOT_FOUND);
    scene_close(&s);
}

/* What is asked for during an attempt happens after it, if it left the recipient pending. */
static void hold_during_an_attempt_waits_for_its_end(void **state)
{
    struct scene s;
    uint64_t m;

    (void)state;
    scene_open(&s);
    m = claimed_mail(&s);
    scene_hold(&s, m, NULL, 0);
    assert_int_equal(s.effects.count, 0);
    scene_expect_state(&s, m, 0, "claimed");
    scene_outcome(&s, m, 0, DEFERRED, s.now_ms + 1000);
    scene_expect_event(&s, 0, EVENT(DEFERRED), m, 0);
    scene_expect_event(&s, 1, EVENT(HELD), m, 0);
    scene_expect_state(&s, m, 0, "held");
    m = claimed_mail(&s);
    scene_hold(&s, m, NULL, 0);
    scene_release(&s, m, NULL, 0); /* taken back */
    assert_int_equal(s.effects.count, 0);
    scene_release(&s, m, NULL, 0);
    scene_expect_refused(&s, m, 0, ERR_NOT_FOUND);
    scene_outcome(&s, m, 0, IN_DOUBT, s.now_ms + 1000);
    scene_expect_state(&s, m, 0, "waiting");
    m = claimed_mail(&s);
    scene_hold(&s, m, NULL, 0);
    scene_outcome(&s, m, 0, DELIVERED, 0);
    assert_int_equal(scene_count(&s, QUEUE_EVENT), 1);
    scene_expect_state(&s, m, 0, "delivered");
    scene_close(&s);
}

static void cancel_during_an_attempt_waits_for_its_end(void **state)
{
    struct scene s;
    uint64_t m;

    (void)state;
    scene_open(&s);
    m = claimed_mail(&s);
    scene_hold(&s, m, NULL, 0);
    scene_cancel(&s, m, NULL, 0);
    assert_int_equal(s.effects.count, 0);
    scene_outcome(&s, m, 0, IN_DOUBT, s.now_ms + 1000);
    scene_expect_event(&s, 0, EVENT(IN_DOUBT), m, 0);
    scene_expect_event(&s, 1, EVENT(CANCELLED), m, 0); /* stronger than the hold */
    scene_expect_state(&s, m, 0, "cancelled");
    assert_int_equal(scene_count(&s, QUEUE_BODY_GONE), 1);
    m = claimed_mail(&s);
    scene_cancel(&s, m, NULL, 0);
    scene_outcome(&s, m, 0, BOUNCED, 0);
    assert_int_equal(scene_count(&s, QUEUE_EVENT), 1);
    scene_expect_state(&s, m, 0, "bounced");
    scene_close(&s);
}

/* ---- expire */

static void expire_looks_at_the_message_s_time(void **state)
{
    const char *const to[] = { "b@y.example", "c@z.example", "d@z.example" };
    struct scene s;
    uint64_t m;

    (void)state;
    scene_open(&s);
    m = scene_accept_mail(
        &s, &(struct scene_mail){
                .from = "a@x.example", .to = to, .to_count = 3, .expires_at_ms = s.now_ms + 4000 });
    scene_expire(&s, m, 0); /* 2000 later */
    scene_expect_refused(&s, m, 0, ERR_AGAIN);
    scene_claim(&s, m, 2);
    scene_hold(&s, m, (uint32_t[]){ 1 }, 1);
    scene_expire_all(&s, (struct queue_ref[]){ { m, 0 }, { m, 1 }, { m, 2 }, { m, 3 } }, 4);
    scene_expect_event(&s, 0, EVENT(EXPIRED), m, 0);
    scene_expect_event(&s, 1, EVENT(EXPIRED), m, 1); /* a hold does not keep it for ever */
    assert_int_equal(scene_count(&s, QUEUE_BOUNCE), 2);
    assert_int_equal(scene_count(&s, QUEUE_REFUSED), 2);
    assert_int_equal(scene_effect(&s, QUEUE_REFUSED, 0)->error, ERR_BUSY); /* it is in the air */
    assert_int_equal(scene_effect(&s, QUEUE_REFUSED, 1)->error, ERR_NOT_FOUND);
    scene_expire(&s, m, 0);
    scene_expect_refused(&s, m, 0, ERR_BUSY);
    assert_int_equal(counts_of(&s).expired, 2);
    scene_outcome(&s, m, 2, DEFERRED, s.now_ms + 1);
    scene_expire(&s, m, 2);
    scene_expect_event(&s, 0, EVENT(EXPIRED), m, 2);
    assert_int_equal(counts_of(&s).messages, 0);
    scene_close(&s);
}

/* ---- purge */

static uint64_t delivered_mail(struct scene *s)
{
    uint64_t m = claimed_mail(s);

    scene_outcome(s, m, 0, DELIVERED, 0);
    return m;
}

static void purge_forgets_what_is_over_and_old(void **state)
{
    Angarium__MessageRecord *record = NULL;
    Angarium__RecipientRecord *recipient = NULL;
    uint64_t m[3], pending, owing, old_ms, left[8];
    struct scene s;

    (void)state;
    scene_open(&s);
    for (unsigned i = 0; i < 3; i++)
        m[i] = delivered_mail(&s);
    pending = scene_accept(&s, "a@x.example", "b@y.example", NULL);
    owing = scene_accept(&s, "a@x.example", "b@y.example", NULL);
    scene_outcome(&s, owing, 0, BOUNCED, 0);
    old_ms = s.now_ms + 1;
    m[2] = delivered_mail(&s); /* young */
    scene_purge(&s, old_ms, 0);
    assert_int_equal(counts_of(&s).kept_messages, 6);
    scene_purge(&s, old_ms, 1); /* the oldest first */
    assert_int_equal(queue_message_get(s.store, SHARD, m[0], &record), ERR_NOT_FOUND);
    assert_int_equal(queue_recipient_get(s.store, SHARD, m[0], 0, &recipient), ERR_NOT_FOUND);
    assert_int_equal(counts_of(&s).kept_messages, 5);
    scene_purge(&s, old_ms, 100);
    assert_int_equal(queue_messages(s.store, SHARD, 0, false, left, 8), 3);
    assert_int_equal(left[0], pending);
    assert_int_equal(left[1], owing); /* its bounce is not written yet */
    assert_int_equal(left[2], m[2]);
    assert_int_equal(queue_messages(s.store, SHARD, 0, true, left, 8), 1);
    assert_int_equal(left[0], pending);
    assert_int_equal(counts_of(&s).kept_events, 5);
    assert_int_equal(counts_of(&s).delivered, 4); /* ever */
    scene_close(&s);
}

/* A thousand recipients each: what one purge may take is bounded, whatever its limit says. */
static void purge_of_large_messages_ends(void **state)
{
    static char text[PROTO_RECIPIENTS_MAX][24];
    const char *to[PROTO_RECIPIENTS_MAX];
    unsigned rounds = 0;
    struct scene s;

    (void)state;
    scene_open(&s);
    s.verify_each = false;
    for (unsigned i = 0; i < PROTO_RECIPIENTS_MAX; i++) {
        snprintf(text[i], sizeof text[i], "r%u@y.example", i);
        to[i] = text[i];
    }
    for (unsigned i = 0; i < 10; i++) {
        uint64_t m = scene_accept_mail(
            &s, &(struct scene_mail){
                    .from = "a@x.example", .to = to, .to_count = PROTO_RECIPIENTS_MAX });
        scene_cancel(&s, m, NULL, 0);
    }
    while (counts_of(&s).kept_messages > 0) {
        uint64_t before = counts_of(&s).kept_messages;

        scene_purge(&s, UINT64_MAX, 1000);
        assert_true(counts_of(&s).kept_messages < before);
        rounds++;
    }
    assert_true(rounds > 1); /* 20 000 events are not for one command */
    scene_verify(&s);
    scene_close(&s);
}

static void purge_drops_uploads_by_name_and_by_age(void **state)
{
    uint64_t a, b, c;
    struct scene s;

    (void)state;
    scene_open(&s);
    a = scene_chunk(&s, "up-a", 0, 10);
    b = scene_chunk(&s, "up-b", 0, 10);
    scene_chunk(&s, "up-b", 1, 10);
    c = scene_chunk(&s, "up-c", 0, 10);
    scene_purge_uploads(&s, "up-b", 0);
    assert_int_equal(scene_count(&s, QUEUE_BODY_GONE), 2);
    assert_int_equal(scene_effect(&s, QUEUE_BODY_GONE, 0)->index, b);
    assert_int_equal(counts_of(&s).uploads, 2);
    assert_int_equal(queue_uploads_first_ms(s.store, SHARD), SCENE_START_MS + 1000);
    scene_purge_uploads(&s, "up-b", 0); /* no such upload: nothing to do */
    assert_int_equal(s.effects.count, 0);
    scene_purge_uploads(&s, NULL, SCENE_START_MS + 4000); /* up-c came at 4000 */
    assert_int_equal(scene_count(&s, QUEUE_BODY_GONE), 1);
    assert_int_equal(scene_effect(&s, QUEUE_BODY_GONE, 0)->index, a);
    assert_true(scene_body_is_live(&s, c));
    assert_int_equal(counts_of(&s).uploads, 1);
    assert_int_equal(queue_uploads_first_ms(s.store, SHARD), SCENE_START_MS + 4000);
    scene_purge_uploads(&s, "up-c", 0);
    assert_true(queue_uploads_first_ms(s.store, SHARD) == UINT64_MAX);
    scene_close(&s);
}

/* ---- bodies that outlive the log */

static void a_moved_body_goes_when_it_is_no_longer_needed(void **state)
{
    struct blob *body = NULL;
    struct scene s;
    uint64_t m;

    (void)state;
    scene_open(&s);
    m = claimed_mail(&s);
    queue_body_put(s.store, SHARD, m, SPAN_LIT("Subject: x\r\n\r\nbody\r\n"));
    queue_set_moved(s.q, m);
    assert_int_equal(queue_body_get(s.store, SHARD, m, &body), 0);
    assert_true(span_eq(blob_span(body), SPAN_LIT("Subject: x\r\n\r\nbody\r\n")));
    blob_unref(&body);
    scene_outcome(&s, m, 0, DELIVERED, 0);
    assert_int_equal(queue_body_get(s.store, SHARD, m, &body), ERR_NOT_FOUND);
    scene_close(&s);
}

/* ---- reading */

struct told {
    Angarium__EventType types[16];
    uint64_t entries[16];
    unsigned count, stop_at;
};

static bool tell(void *arg, uint64_t entry, uint32_t number, const Angarium__Event *e)
{
    struct told *t = arg;

    (void)number;
    t->entries[t->count] = entry;
    t->types[t->count++] = e->type;
    return t->count < t->stop_at;
}

static void stories_and_events_are_told_in_order(void **state)
{
    struct told story = { .stop_at = 16 }, all = { .stop_at = 16 }, some = { .stop_at = 2 };
    struct scene s;
    uint64_t m, n;

    (void)state;
    scene_open(&s);
    m = claimed_mail(&s);
    n = scene_accept(&s, "a@x.example", "b@y.example", "c@y.example");
    scene_outcome(&s, m, 0, DEFERRED, s.now_ms + 1);
    scene_claim(&s, m, 0);
    scene_outcome(&s, m, 0, DELIVERED, 0);
    queue_story(s.store, SHARD, m, tell, &story);
    assert_int_equal(story.count, 3);
    assert_int_equal(story.types[0], EVENT(ACCEPTED));
    assert_int_equal(story.types[1], EVENT(DEFERRED));
    assert_int_equal(story.types[2], EVENT(DELIVERED));
    queue_events(s.store, SHARD, 0, 0, tell, &all);
    assert_int_equal(all.count, 5);
    queue_events(s.store, SHARD, n, 1, tell, &some);
    assert_int_equal(some.count, 2);
    assert_int_equal(some.entries[0], n);
    assert_int_equal(some.types[1], EVENT(DEFERRED));
    scene_close(&s);
}

static void due_scans_go_on_where_they_stopped(void **state)
{
    struct queue_place place = { 0 }, by_domain = { 0 };
    struct queue_due found[8];
    uint64_t m[3], last_due = 0;
    size_t total = 0, n;
    struct scene s;

    (void)state;
    scene_open(&s);
    for (unsigned i = 0; i < 3; i++)
        m[i] = scene_accept(&s, "a@x.example", "b@y.example", "c@z.example");
    scene_outcome(&s, m[0], 0, DEFERRED, s.now_ms + 50000);
    while ((n = queue_due_by_time(s.store, SHARD, &place, s.now_ms, found, 2)) > 0) {
        for (size_t i = 0; i < n; i++) {
            assert_true(found[i].due_at_ms >= last_due);
            last_due = found[i].due_at_ms;
        }
        total += n;
    }
    assert_int_equal(total, 5); /* one is due later */
    assert_int_equal(queue_due_by_domain(s.store, SHARD, SPAN_LIT("y.example"), &by_domain,
                                         UINT64_MAX, found, 1),
                     1);
    assert_int_equal(found[0].index, m[1]);
    assert_string_equal(found[0].domain, "y.example");
    assert_int_equal(queue_due_by_domain(s.store, SHARD, SPAN_LIT("y.example"), &by_domain,
                                         UINT64_MAX, found, 8),
                     2);
    assert_int_equal(found[0].index, m[2]);
    assert_int_equal(found[1].index, m[0]);
    scene_close(&s);
}

/* P6: replicas that differ in anything tell so. */
static void the_digest_tells_states_apart(void **state)
{
    static const char *const to[] = { "b@y.example", "b@y.example", "c@y.example", "b@z.example" };
    uint64_t digests[4];
    struct scene s;

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        scene_open(&s);
        scene_accept(&s, "a@x.example", to[i], NULL);
        digests[i] = queue_digest(s.q);
        scene_claim(&s, 77, 0); /* refused, and part of the history all the same */
        assert_int_not_equal(queue_digest(s.q), digests[i]);
        scene_close(&s);
    }
    assert_int_equal(digests[0], digests[1]);
    assert_int_not_equal(digests[0], digests[2]);
    assert_int_not_equal(digests[0], digests[3]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accept_makes_recipients_due),
        cmocka_unit_test(what_the_client_asked_for_is_kept),
        cmocka_unit_test(accept_takes_the_chunks_of_an_upload),
        cmocka_unit_test(accept_refuses_chunks_that_are_not_the_upload),
        cmocka_unit_test(chunks_come_in_order),
        cmocka_unit_test(one_bounce_tells_of_all_failures_so_far),
        cmocka_unit_test(a_closed_shard_takes_nothing_but_bounces_that_it_owes),
        cmocka_unit_test(a_bounce_for_nothing_is_refused),
        cmocka_unit_test(failures_after_the_bounce_owe_another),
        cmocka_unit_test(a_failure_that_nobody_wants_to_hear_of_owes_nothing),
        cmocka_unit_test(a_success_is_told_where_it_was_asked_for_and_nobody_else_tells),
        cmocka_unit_test(a_delay_is_told_once_and_not_when_all_is_over),
        cmocka_unit_test(a_bounce_pays_what_it_tells),
        cmocka_unit_test(the_null_return_path_is_never_owed_a_bounce),
        cmocka_unit_test(claim_takes_only_who_is_waiting),
        cmocka_unit_test(a_claim_takes_the_part_that_it_can),
        cmocka_unit_test(delivered_ends_a_claimed_recipient),
        cmocka_unit_test(delivered_and_in_doubt_need_a_claim),
        cmocka_unit_test(an_ended_recipient_takes_no_outcome),
        cmocka_unit_test(deferred_is_due_later),
        cmocka_unit_test(waiting_recipients_can_be_deferred_and_bounced),
        cmocka_unit_test(in_doubt_is_counted_and_tried_again),
        cmocka_unit_test(a_doubt_lasts_until_the_end_and_names_its_host),
        cmocka_unit_test(a_tenants_policy_holds_who_is_in_doubt),
        cmocka_unit_test(outcomes_of_one_command_are_each_for_itself),
        cmocka_unit_test(hold_and_release),
        cmocka_unit_test(cancel_ends_who_is_pending),
        cmocka_unit_test(hold_during_an_attempt_waits_for_its_end),
        cmocka_unit_test(cancel_during_an_attempt_waits_for_its_end),
        cmocka_unit_test(expire_looks_at_the_message_s_time),
        cmocka_unit_test(purge_forgets_what_is_over_and_old),
        cmocka_unit_test(purge_of_large_messages_ends),
        cmocka_unit_test(purge_drops_uploads_by_name_and_by_age),
        cmocka_unit_test(a_moved_body_goes_when_it_is_no_longer_needed),
        cmocka_unit_test(stories_and_events_are_told_in_order),
        cmocka_unit_test(the_digest_tells_states_apart),
        cmocka_unit_test(due_scans_go_on_where_they_stopped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
