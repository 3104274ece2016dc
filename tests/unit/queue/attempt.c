/* attempt - chunk, claim, outcome, expire: who may go from where to where, and what is told of it.
 */
#include "tests/unit/queue/world.h"

static void chunks_come_in_order(void **state)
{
    struct world w;
    uint64_t first;

    (void)state;
    world_open(&w, NULL);
    chunk(&w, "up", 1);
    assert_int_equal(refusal(&w), ERR_NOT_FOUND);
    assert_int_equal(counts(&w).uploads, 0);
    first = chunk(&w, "up", 0);
    assert_int_equal(refusal(&w), 0);
    chunk(&w, "up", 0);
    assert_int_equal(refusal(&w), ERR_NOT_FOUND); /* had already */
    chunk(&w, "up", 2);
    assert_int_equal(refusal(&w), ERR_NOT_FOUND);
    chunk(&w, "up", 1);
    assert_int_equal(refusal(&w), 0);
    chunk(&w, "other", 0);
    assert_int_equal(counts(&w).uploads, 2);
    assert_true(is_live(&w, first));
    world_close(&w);
}

static void only_who_waits_is_claimed(void **state)
{
    struct world w;
    uint64_t m;
    Angarium__RecipientRecord *r;

    (void)state;
    world_open(&w, NULL);
    m = accept(&w, "s@a.test", "one@b.test two@b.test");
    w.now_ms += 5;
    assert_true(claim(&w, m, 0));
    r = recipient(&w, m, 0);
    assert_int_equal(r->state, STATE(CLAIMED));
    assert_int_equal(r->attempts, 1);
    assert_int_equal(r->claimed_at_ms, START_MS + 5);
    assert_int_equal(r->claimed_by, 7);
    assert_int_equal(r->due_at_ms, 0);
    queue_recipient_free(&r);
    assert_int_equal(counts(&w).claimed, 1);
    assert_false(claim(&w, m, 0));
    assert_int_equal(refusal(&w), ERR_BUSY);
    assert_int_equal(effect(&w, QUEUE_REFUSED, 0)->index, m);
    assert_int_equal(effect(&w, QUEUE_REFUSED, 0)->recipient, 0);
    assert_false(claim(&w, m, 2));
    assert_int_equal(refusal(&w), ERR_NOT_FOUND);
    assert_false(claim(&w, m + 77, 0));
    assert_int_equal(refusal(&w), ERR_NOT_FOUND);
    assert_true(order(&w, HOLD, m, 1));
    assert_false(claim(&w, m, 1));
    assert_true(delivered(&w, m, 0));
    assert_false(claim(&w, m, 0));
    world_close(&w);
}

static void the_rest_of_a_claim_applies(void **state)
{
    Angarium__RecipientRef refs[3], *list[3];
    Angarium__Claim k = ANGARIUM__CLAIM__INIT;
    Angarium__Command c = ANGARIUM__COMMAND__INIT;
    struct world w;
    uint64_t m;

    (void)state;
    world_open(&w, NULL);
    m = accept(&w, "s@a.test", "one@b.test two@b.test");
    for (unsigned i = 0; i < 3; i++) {
        angarium__recipient_ref__init(&refs[i]);
        refs[i].index = m;
        refs[i].recipient = i < 2 ? 0 : 1; /* 0 twice: the second is refused */
        list[i] = &refs[i];
    }
    k.time_ms = w.now_ms;
    k.recipients = list;
    k.n_recipients = 3;
    c.kind_case = ANGARIUM__COMMAND__KIND_CLAIM;
    c.claim = &k;
    apply(&w, &c, 0);
    assert_int_equal(told(&w, QUEUE_REFUSED), 1);
    assert_int_equal(effect(&w, QUEUE_REFUSED, 0)->recipient, 0);
    assert_int_equal(counts(&w).claimed, 2);
    world_close(&w);
}

static void delivered_ends_it(void **state)
{
    struct world w;
    uint64_t m;
    Angarium__MessageRecord *r = NULL;

    (void)state;
    world_open(&w, NULL);
    m = accept(&w, "s@a.test", "one@b.test two@b.test");
    assert_false(delivered(&w, m, 0)); /* never without a claim (P2) */
    assert_int_equal(refusal(&w), ERR_BUSY);
    assert_true(claim(&w, m, 0) && delivered(&w, m, 0));
    assert_int_equal(event(&w, 0)->type, TYPE(DELIVERED));
    assert_int_equal(event(&w, 0)->attempt, 1);
    assert_int_equal(event(&w, 0)->reply->code, 250);
    assert_true(says(event(&w, 0)->remote_host, "mx.b.test"));
    assert_int_equal(told(&w, QUEUE_BODY_GONE), 0);
    assert_false(delivered(&w, m, 0));
    w.now_ms += 9;
    assert_true(claim(&w, m, 1) && delivered(&w, m, 1));
    assert_int_equal(told(&w, QUEUE_BODY_GONE), 1);
    assert_int_equal(effect(&w, QUEUE_BODY_GONE, 0)->index, m);
    assert_int_equal(queue_message_get(w.store, SHARD, m, &r), OK);
    assert_true(r->body_gone);
    assert_int_equal(r->pending_count, 0);
    assert_int_equal(r->finished_at_ms, START_MS + 9);
    queue_message_free(&r);
    assert_int_equal(counts(&w).delivered, 2);
    assert_int_equal(counts(&w).messages, 0);
    assert_int_equal(counts(&w).bytes, 0);
    assert_int_equal(counts(&w).kept_messages, 1);
    world_close(&w);
}

static void deferred_waits_for_its_time(void **state)
{
    struct world w;
    uint64_t m;
    Angarium__RecipientRecord *r;

    (void)state;
    world_open(&w, NULL);
    m = accept(&w, "s@a.test", "one@b.test");
    assert_true(claim(&w, m, 0) && deferred(&w, m, 0, START_MS + 500));
    assert_int_equal(event(&w, 0)->type, TYPE(DEFERRED));
    assert_int_equal(event(&w, 0)->attempt, 1);
    assert_int_equal(event(&w, 0)->next_attempt_at_ms, START_MS + 500);
    assert_int_equal(effect(&w, QUEUE_DUE, 0)->due_at_ms, START_MS + 500);
    /* without a claim: an attempt that reached nobody counts, a wait for a slot does not */
    assert_true(outcome_of(&w, m, 0, (struct result){ RESULT(DEFERRED), 0, START_MS + 600, true }));
    assert_true(
        outcome_of(&w, m, 0, (struct result){ RESULT(DEFERRED), 0, START_MS + 700, false }));
    r = recipient(&w, m, 0);
    assert_int_equal(r->attempts, 2);
    assert_int_equal(r->state, STATE(WAITING));
    assert_int_equal(r->due_at_ms, START_MS + 700);
    assert_true(says(r->last_host, "mx.b.test"));
    assert_true(says(r->last_reply->text, "words"));
    queue_recipient_free(&r);
    /* to the same time: the indexes keep it */
    assert_true(
        outcome_of(&w, m, 0, (struct result){ RESULT(DEFERRED), 0, START_MS + 700, false }));
    world_close(&w);
}

static void bounced_owes_a_bounce(void **state)
{
    struct world w;
    uint64_t m, null_path, list[2];
    Angarium__RecipientRecord *r;

    (void)state;
    world_open(&w, NULL);
    m = accept(&w, "s@a.test", "one@b.test two@b.test");
    assert_true(claim(&w, m, 0) && bounced(&w, m, 0));
    assert_int_equal(event(&w, 0)->type, TYPE(BOUNCED));
    assert_int_equal(effect(&w, QUEUE_BOUNCE, 0)->index, m);
    assert_true(bounced(&w, m, 1)); /* a local decision needs no claim */
    assert_int_equal(told(&w, QUEUE_BODY_GONE), 0);
    assert_true(is_live(&w, m));
    r = recipient(&w, m, 1);
    assert_true(r->bounce_owed);
    queue_recipient_free(&r);
    assert_int_equal(queue_bounces(w.store, SHARD, 0, list, 2), 1);
    assert_int_equal(list[0], m);
    assert_int_equal(queue_bounces(w.store, SHARD, m, list, 2), 0);
    null_path = accept(&w, "", "one@b.test");
    assert_true(bounced(&w, null_path, 0));
    assert_int_equal(told(&w, QUEUE_BOUNCE), 0);
    assert_int_equal(told(&w, QUEUE_BODY_GONE), 1);
    assert_int_equal(counts(&w).bounced, 3);
    world_close(&w);
}

static void doubt_is_counted_and_tried_again(void **state)
{
    struct world w;
    uint64_t m;
    struct queue_place place = { 0 };
    struct queue_ref refs[4];
    Angarium__RecipientRecord *r;

    (void)state;
    world_open(&w, NULL);
    m = accept(&w, "s@a.test", "one@b.test two@b.test");
    assert_false(in_doubt(&w, m, 0)); /* who was not claimed is not in doubt (P4) */
    assert_true(claim(&w, m, 0) && claim(&w, m, 1));
    assert_int_equal(queue_claims(w.store, SHARD, &place, refs, 1), 1);
    assert_int_equal(queue_claims(w.store, SHARD, &place, refs + 1, 3), 1);
    assert_int_equal(queue_claims(w.store, SHARD, &place, refs, 4), 0);
    assert_int_equal(refs[1].recipient, 1);
    assert_true(in_doubt(&w, m, 1));
    assert_int_equal(event(&w, 0)->type, TYPE(IN_DOUBT));
    assert_int_equal(effect(&w, QUEUE_DUE, 0)->due_at_ms, w.now_ms);
    r = recipient(&w, m, 1);
    assert_int_equal(r->doubts, 1);
    assert_int_equal(r->attempts, 1);
    assert_int_equal(r->state, STATE(WAITING));
    queue_recipient_free(&r);
    assert_int_equal(counts(&w).in_doubt, 1);
    world_close(&w);
}

static void expired_when_its_time_is_over(void **state)
{
    struct world w;
    uint64_t m;

    (void)state;
    world_open(&w, NULL);
    m = accept(&w, "s@a.test", "one@b.test two@b.test three@b.test");
    assert_true(order(&w, HOLD, m, 1));
    assert_true(claim(&w, m, 2));
    w.now_ms += LIFE_MS - 1;
    assert_false(expire(&w, m, 0));
    assert_int_equal(refusal(&w), ERR_AGAIN);
    w.now_ms++;
    assert_true(expire(&w, m, 0));
    assert_int_equal(event(&w, 0)->type, TYPE(EXPIRED));
    assert_int_equal(told(&w, QUEUE_BOUNCE), 1);
    assert_true(expire(&w, m, 1));  /* held ones too */
    assert_false(expire(&w, m, 2)); /* in the air: the attempt ends first */
    assert_false(expire(&w, m, 0));
    assert_false(expire(&w, m, 9));
    assert_false(expire(&w, 999, 0));
    assert_int_equal(counts(&w).expired, 2);
    world_close(&w);
}

struct story {
    Angarium__EventType types[16];
    unsigned n, stop_at;
};

static bool note(void *arg, uint64_t entry, uint32_t number, const Angarium__Event *e)
{
    struct story *s = arg;

    assert_true(entry > 0);
    (void)number;
    s->types[s->n++] = e->type;
    return s->n != s->stop_at;
}

static void the_story_is_told_in_order(void **state)
{
    struct world w;
    uint64_t m, other;
    struct story story = { 0 }, all = { 0 }, two = { .stop_at = 2 };

    (void)state;
    world_open(&w, NULL);
    m = accept(&w, "s@a.test", "one@b.test two@b.test");
    other = accept(&w, "s@a.test", "one@b.test");
    assert_true(claim(&w, m, 0) && deferred(&w, m, 0, w.now_ms + 1));
    assert_true(claim(&w, m, 0) && delivered(&w, m, 0));
    assert_true(claim(&w, other, 0) && delivered(&w, other, 0));
    queue_story(w.store, SHARD, m, note, &story);
    assert_int_equal(story.n, 4);
    assert_int_equal(story.types[1], TYPE(ACCEPTED));
    assert_int_equal(story.types[2], TYPE(DEFERRED));
    assert_int_equal(story.types[3], TYPE(DELIVERED));
    queue_events(w.store, SHARD, 0, 0, note, &all);
    assert_int_equal(all.n, 6);
    all.n = 0;
    queue_events(w.store, SHARD, m, 1, note, &all);
    assert_int_equal(all.n, 5);
    queue_events(w.store, SHARD, 0, 0, note, &two);
    assert_int_equal(two.n, 2);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks_come_in_order),
        cmocka_unit_test(only_who_waits_is_claimed),
        cmocka_unit_test(the_rest_of_a_claim_applies),
        cmocka_unit_test(delivered_ends_it),
        cmocka_unit_test(deferred_waits_for_its_time),
        cmocka_unit_test(bounced_owes_a_bounce),
        cmocka_unit_test(doubt_is_counted_and_tried_again),
        cmocka_unit_test(expired_when_its_time_is_over),
        cmocka_unit_test(the_story_is_told_in_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
