/* elect - from boot to ready: R4 (one record, durable first), R3 (nothing older counts), R10
 * (time), taint. */
#include "tests/unit/raft/core/trace.h"

static void a_new_group_leads_when_its_vote_and_its_entry_are_durable(void **state)
{
    struct trace t;

    (void)state;
    trace_open(&t, &trace_options);
    trace_boot(&t, &(struct trace_log){ .first = 1 });
    trace_time(&t, 0);
    trace_time(&t, 5);
    trace_durable(&t, 1);
    trace_durable(&t, 2);
    trace_applied(&t, 1);
    trace_propose(&t, 10, 0);
    trace_durable(&t, 3);
    trace_applied(&t, 2);
    trace_expect(&t, "boot 1..0 applied 0 -> wake 0\n"
                     "time 0 -> write 1: hard 1/1, candidate 1\n"
                     "time 5 -> -\n"
                     "durable 1 -> write 2: append 1@1 noop, leader 1 by 1\n"
                     "durable 2 -> commit 1\n"
                     "applied 1 -> leader 1 by 1, ready\n"
                     "propose 10 -> write 3: append 2@1 command\n"
                     "durable 3 -> commit 2\n"
                     "applied 2 -> -\n");
    trace_close(&t);
}

static void r3_older_entries_commit_with_the_first_of_the_own_term(void **state)
{
    struct trace t;

    (void)state;
    trace_open(&t, &trace_options);
    trace_boot(&t, &(struct trace_log){
                       .hard = { 3, 1 }, .first = 1, .last = 5, .last_term = 3, .applied = 2 });
    trace_time(&t, 0);
    trace_durable(&t, 1);
    assert_int_equal(trace_see(&t).commit, 2); /* 3..5 are durable, and still count for nothing */
    trace_durable(&t, 2);
    trace_applied(&t, 4);
    trace_applied(&t, 6);
    trace_expect(&t, "boot 1..5 applied 2 -> wake 0\n"
                     "time 0 -> write 1: hard 4/1, candidate 4\n"
                     "durable 1 -> write 2: append 6@4 noop, leader 4 by 1\n"
                     "durable 2 -> commit 6\n"
                     "applied 4 -> -\n"
                     "applied 6 -> leader 4 by 1, ready\n");
    trace_close(&t);
}

static void r4_each_life_votes_in_a_term_of_its_own(void **state)
{
    struct core_hard hard = { 0 };

    (void)state;
    for (unsigned life = 0; life < 5; life++) {
        struct trace t;

        trace_open(&t, &trace_options);
        trace_boot(&t, &(struct trace_log){ .hard = hard, .first = 1 });
        trace_time(&t, 0);
        assert_int_equal(t.last.flags & CORE_HARD, CORE_HARD);
        assert_int_equal(t.last.hard.term, hard.term + 1);
        assert_int_equal(t.last.hard.vote, 1);
        assert_int_equal(t.last.role, CORE_CANDIDATE); /* not leader: nothing is durable yet */
        hard = t.last.hard;
        trace_close(&t);
    }
}

static void r10_waits_for_its_drawn_timeout(void **state)
{
    struct core_options o = trace_options;
    uint64_t wake[20];
    bool differ = false;

    (void)state;
    o.election_ms = 150;
    o.heartbeat_ms = 50;
    o.config.count = 2; /* the only voter would not wait */
    o.config.members[1] = (struct core_member){ .node = 2, .flags = CORE_VOTES_NEW, .priority = 1 };
    for (unsigned i = 0; i < 20; i++) {
        struct trace t;

        o.seed = 1 + i / 2; /* pairs of one seed */
        trace_open(&t, &o);
        t.now_ms = 1000;
        trace_boot(&t, &(struct trace_log){ .first = 1 });
        wake[i] = t.last.wake_at_ms;
        assert_in_range(wake[i], 1150, 1299);
        trace_time(&t, wake[i] - 1);
        assert_int_equal(t.last.role, CORE_FOLLOWER);
        trace_time(&t, wake[i]);
        assert_int_equal(t.last.role, CORE_PRECANDIDATE);
        if (i % 2 == 1) assert_int_equal(wake[i], wake[i - 1]);
        differ |= wake[i] != wake[0];
        trace_close(&t);
    }
    assert_true(differ);
}

static void go_back_in_time(struct trace *t)
{
    trace_time(t, 10);
    trace_time(t, 9);
}

static void r10_time_that_goes_back_is_a_bug(void **state)
{
    struct trace t;

    (void)state;
    trace_open(&t, &trace_options);
    trace_boot(&t, &(struct trace_log){ .first = 1 });
    assert_true(dies(go_back_in_time, &t));
    trace_close(&t);
}

static void a_tainted_log_follows_for_ever(void **state)
{
    struct trace t;

    (void)state;
    trace_open(&t, &trace_options);
    /* the machine is ahead of what is left of the log, and the vote is gone: no surprise then */
    trace_boot(&t, &(struct trace_log){ .hard = { 3, 1 },
                                        .first = 1,
                                        .last = 5,
                                        .last_term = 4,
                                        .applied = 8,
                                        .tainted = true });
    trace_time(&t, 1000000);
    trace_propose(&t, 1, 0);
    trace_expect(&t, "boot 1..5 applied 8 -> -\n"
                     "time 1000000 -> -\n"
                     "propose 1 -> NOT_LEADER\n");
    trace_close(&t);
}

static void r7_what_cannot_be_is_refused_at_boot(void **state)
{
    static const struct trace_log wrong[] = {
        { .hard = { 1, 1 },
          .first = 6,
          .last = 9,
          .last_term = 1,
          .applied = 4 }, /* 5 is nowhere */
        { .hard = { 1, 1 }, .first = 6, .last = 5, .last_term = 1, .applied = 4 },
        { .hard = { 1, 1 },
          .first = 1,
          .last = 5,
          .last_term = 1,
          .applied = 6 }, /* the log lost 6 */
        { .hard = { 1, 1 },
          .first = 1,
          .last = 5,
          .last_term = 2,
          .applied = 5 }, /* no vote in 2 */
        { .hard = { 1, 1 }, .first = 6, .last = 9, .last_term = 1, .applied = 4, .tainted = true },
    };
    static const struct trace_log right[] = {
        { .hard = { 1, 1 }, .first = 6, .last = 9, .last_term = 1, .applied = 5 },
        { .hard = { 1, 1 }, .first = 6, .last = 5, .last_term = 1, .applied = 5 },
        { .hard = { 1, 1 }, .first = 1, .last = 5, .last_term = 1, .applied = 5 },
    };
    struct trace t;

    (void)state;
    for (unsigned i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        trace_open(&t, &trace_options);
        assert_int_equal(trace_boot(&t, &wrong[i]), ERR_CORRUPT);
        trace_close(&t);
    }
    for (unsigned i = 0; i < sizeof right / sizeof right[0]; i++) {
        trace_open(&t, &trace_options);
        assert_int_equal(trace_boot(&t, &right[i]), 0);
        trace_close(&t);
    }
}

static void options_that_cannot_be_are_refused(void **state)
{
    struct core_options o = trace_options;
    struct core *c = check_calloc(1, core_size(&(struct core_limits){ .members_max = 9 }));

    (void)state;
    assert_int_equal(core_init(c, &o), 0);
    o.config.members[0].node = 2; /* no member itself: it will be one later, or follows */
    assert_int_equal(core_init(c, &o), 0);
    o.self = 0;
    assert_int_equal(core_init(c, &o), ERR_RANGE);
    o = trace_options;
    o.config.count = 0;
    assert_int_equal(core_init(c, &o), ERR_RANGE);
    o.config.count = 2; /* the second one is no node */
    assert_int_equal(core_init(c, &o), ERR_RANGE);
    o.config.members[1] = o.config.members[0]; /* twice the same */
    assert_int_equal(core_init(c, &o), ERR_RANGE);
    o.config.members[1].node = 2; /* several, and no time to wait for them */
    assert_int_equal(core_init(c, &o), ERR_RANGE);
    o.election_ms = 100;
    o.heartbeat_ms = 20;
    assert_int_equal(core_init(c, &o), 0);
    o.limits.members_max = 1;
    assert_int_equal(core_init(c, &o), ERR_RANGE);
    free(c);
}

static void boot_twice(struct trace *t)
{
    trace_boot(t, &(struct trace_log){ .first = 1 });
    trace_boot(t, &(struct trace_log){ .first = 1 });
}

static void step_unbooted(struct trace *t)
{
    trace_time(t, 1);
}

static void boot_comes_once_and_first(void **state)
{
    struct trace t;

    (void)state;
    trace_open(&t, &trace_options);
    assert_true(dies(boot_twice, &t));
    assert_true(dies(step_unbooted, &t));
    trace_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_group_leads_when_its_vote_and_its_entry_are_durable),
        cmocka_unit_test(r3_older_entries_commit_with_the_first_of_the_own_term),
        cmocka_unit_test(r4_each_life_votes_in_a_term_of_its_own),
        cmocka_unit_test(r10_waits_for_its_drawn_timeout),
        cmocka_unit_test(r10_time_that_goes_back_is_a_bug),
        cmocka_unit_test(a_tainted_log_follows_for_ever),
        cmocka_unit_test(r7_what_cannot_be_is_refused_at_boot),
        cmocka_unit_test(options_that_cannot_be_are_refused),
        cmocka_unit_test(boot_comes_once_and_first),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
