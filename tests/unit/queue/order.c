/* order - hold, release, cancel, purge: what an operator, or the house, may do to whom. */
#include "tests/unit/queue/world.h"

static void held_until_released(void **state)
{
    struct world w;
    uint64_t m;
    Angarium__RecipientRecord *r;

    (void)state;
    world_open(&w, NULL);
    m = accept(&w, "s@a.test", "one@b.test two@b.test");
    assert_true(order(&w, HOLD, m, 0));
    assert_int_equal(event(&w, 0)->type, TYPE(HELD));
    assert_true(says(event(&w, 0)->by, "admin"));
    assert_int_equal(queue_due_next_ms(w.store, SHARD, SPAN_LIT("b.test")),
                     START_MS); /* the other one */
    assert_int_equal(counts(&w).held, 1);
    assert_false(order(&w, HOLD, m, 0));
    assert_int_equal(refusal(&w), ERR_BUSY);
    assert_true(order(&w, HOLD, m, -1)); /* all: takes the one that is left */
    assert_int_equal(counts(&w).held, 2);
    assert_false(order(&w, HOLD, m, -1));
    assert_int_equal(refusal(&w), ERR_BUSY);
    assert_false(order(&w, HOLD, m, 5));
    assert_int_equal(refusal(&w), ERR_NOT_FOUND);
    assert_int_equal(effect(&w, QUEUE_REFUSED, 0)->recipient, 5);
    assert_false(order(&w, HOLD, 999, -1));
    assert_int_equal(refusal(&w), ERR_NOT_FOUND);
    w.now_ms += 50;
    assert_true(order(&w, RELEASE, m, 1));
    assert_int_equal(event(&w, 0)->type, TYPE(RELEASED));
    r = recipient(&w, m, 1);
    assert_int_equal(r->state, STATE(WAITING));
    assert_int_equal(r->due_at_ms, START_MS + 50);
    queue_recipient_free(&r);
    assert_false(order(&w, RELEASE, m, 1));
    assert_false(order(&w, RELEASE, 999, 1));
    world_close(&w);
}

static void wanted_while_claimed_is_done_after_a_deferral(void **state)
{
    struct world w;
    uint64_t m;
    Angarium__RecipientRecord *r;

    (void)state;
    world_open(&w, NULL);
    m = accept(&w, "s@a.test", "one@b.test two@b.test three@b.test four@b.test");
    for (uint32_t i = 0; i < 4; i++)
        assert_true(claim(&w, m, i));
    assert_true(order(&w, HOLD, m, 0) && order(&w, CANCEL, m, 1) && order(&w, HOLD, m, 2));
    assert_int_equal(told(&w, QUEUE_EVENT), 0);
    assert_int_equal(counts(&w).claimed, 4);
    assert_true(deferred(&w, m, 0, w.now_ms + 10));
    assert_int_equal(event(&w, 0)->type, TYPE(DEFERRED));
    assert_int_equal(event(&w, 1)->type, TYPE(HELD));
    assert_int_equal(state_of(&w, m, 0), STATE(HELD));
    assert_true(in_doubt(&w, m, 1));
    assert_int_equal(event(&w, 0)->type, TYPE(IN_DOUBT));
    assert_int_equal(event(&w, 1)->type, TYPE(CANCELLED));
    assert_int_equal(state_of(&w, m, 1), STATE(CANCELLED));
    assert_true(order(&w, RELEASE, m, 2)); /* taken back in time */
    assert_true(deferred(&w, m, 2, w.now_ms + 10));
    assert_int_equal(state_of(&w, m, 2), STATE(WAITING));
    assert_true(order(&w, HOLD, m, 3) && order(&w, CANCEL, m, 3));
    assert_true(delivered(&w, m, 3)); /* too late for both */
    assert_int_equal(told(&w, QUEUE_EVENT), 1);
    r = recipient(&w, m, 3);
    assert_int_equal(r->state, STATE(DELIVERED));
    assert_false(r->hold_wanted || r->cancel_wanted);
    queue_recipient_free(&r);
    world_close(&w);
}

static void cancelled_ends_without_a_bounce(void **state)
{
    struct world w;
    uint64_t m;

    (void)state;
    world_open(&w, NULL);
    m = accept(&w, "s@a.test", "one@b.test two@b.test");
    assert_true(order(&w, HOLD, m, 1));
    assert_true(order(&w, CANCEL, m, 0));
    assert_int_equal(event(&w, 0)->type, TYPE(CANCELLED));
    assert_true(says(event(&w, 0)->by, "admin"));
    assert_true(order(&w, CANCEL, m, -1));
    assert_int_equal(told(&w, QUEUE_BOUNCE), 0);
    assert_int_equal(told(&w, QUEUE_BODY_GONE), 1);
    assert_int_equal(counts(&w).cancelled, 2);
    assert_false(order(&w, CANCEL, m, -1));
    assert_int_equal(refusal(&w), ERR_BUSY);
    assert_false(order(&w, CANCEL, m, 0));
    assert_false(order(&w, CANCEL, 999, 0));
    assert_int_equal(refusal(&w), ERR_NOT_FOUND);
    world_close(&w);
}

static uint64_t finish(struct world *w)
{
    uint64_t m = accept(w, "s@a.test", "one@b.test two@b.test");

    for (uint32_t i = 0; i < 2; i++)
        assert_true(claim(w, m, i) && delivered(w, m, i));
    return m;
}

static unsigned kept(struct world *w)
{
    uint64_t list[16];

    return (unsigned)queue_messages(w->store, SHARD, 0, false, list, 16);
}

static bool no_event(void *arg, uint64_t entry, uint32_t number, const Angarium__Event *e)
{
    (void)arg;
    (void)entry;
    (void)number;
    (void)e;
    fail_msg("an event is left");
    return false;
}

static void finished_mails_are_purged_by_age(void **state)
{
    struct world w;
    uint64_t first, pending, owing;

    (void)state;
    world_open(&w, NULL);
    first = finish(&w);
    pending = accept(&w, "s@a.test", "r@b.test");
    owing = accept(&w, "s@a.test", "r@b.test");
    assert_true(bounced(&w, owing, 0));
    w.now_ms += 1000;
    finish(&w);
    finish(&w);
    w.now_ms += 1000;
    purge(&w, (struct purge){ .before_ms = START_MS, .limit = 10 });
    assert_int_equal(kept(&w), 5); /* none is older than that */
    purge(&w, (struct purge){ .before_ms = START_MS + 1000, .limit = 10 });
    assert_int_equal(kept(&w), 4);
    queue_story(w.store, SHARD, first, no_event, NULL);
    assert_false(claim(&w, first, 0));
    purge(&w, (struct purge){ .before_ms = UINT64_MAX, .limit = 1 });
    assert_int_equal(kept(&w), 3);
    purge(&w, (struct purge){ .before_ms = UINT64_MAX, .limit = 10 });
    assert_int_equal(kept(&w), 2);
    assert_int_equal(state_of(&w, pending, 0), STATE(WAITING));
    assert_int_equal(state_of(&w, owing, 0), STATE(BOUNCED)); /* until its DSN is made */
    assert_int_equal(counts(&w).delivered, 6);                /* "ever" stays */
    world_close(&w);
}

static void uploads_are_purged_by_name_and_age(void **state)
{
    struct world w;
    uint64_t a, b, c;

    (void)state;
    world_open(&w, NULL);
    a = chunk(&w, "a", 0);
    b = chunk(&w, "b", 0);
    w.now_ms += 1000;
    c = chunk(&w, "c", 0);
    purge(&w, (struct purge){ .upload = "a" });
    assert_int_equal(told(&w, QUEUE_BODY_GONE), 1);
    assert_int_equal(effect(&w, QUEUE_BODY_GONE, 0)->index, a);
    purge(&w, (struct purge){ .upload = "unknown" });
    assert_int_equal(counts(&w).uploads, 2);
    purge(&w, (struct purge){ .uploads_before_ms = START_MS + 1000 });
    assert_int_equal(counts(&w).uploads, 1);
    assert_false(is_live(&w, a) || is_live(&w, b));
    assert_true(is_live(&w, c));
    purge(&w,
          (struct purge){ .upload = "c", .uploads_before_ms = UINT64_MAX }); /* both ways at once */
    assert_int_equal(told(&w, QUEUE_BODY_GONE), 1);
    assert_int_equal(counts(&w).uploads, 0);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(held_until_released),
        cmocka_unit_test(wanted_while_claimed_is_done_after_a_deferral),
        cmocka_unit_test(cancelled_ends_without_a_bounce),
        cmocka_unit_test(finished_mails_are_purged_by_age),
        cmocka_unit_test(uploads_are_purged_by_name_and_age),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
