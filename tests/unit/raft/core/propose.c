/* propose - entries in and committed: R1 (write ids), R2 (broken), R5, R8 (fences), the bounds. */
#include "tests/unit/raft/core/trace.h"

static void only_a_ready_leader_takes_proposals(void **state)
{
    struct trace t;

    (void)state;
    trace_open(&t, &trace_options);
    trace_boot(&t, &(struct trace_log){ .first = 1 });
    assert_int_equal(trace_propose(&t, 1, 0), ERR_NOT_LEADER);
    trace_time(&t, 0);
    assert_int_equal(trace_propose(&t, 1, 0), ERR_NOT_LEADER);
    trace_durable(&t, 1);
    assert_int_equal(trace_propose(&t, 1, 0), ERR_NOT_LEADER);
    trace_durable(&t, 2);
    assert_int_equal(trace_propose(&t, 1, 0), ERR_NOT_LEADER); /* committed, and not applied yet */
    trace_applied(&t, 1);
    assert_int_equal(trace_propose(&t, 1, 0), 0);
    trace_close(&t);
}

static void r1_a_write_id_commits_what_it_and_those_before_it_hold(void **state)
{
    struct trace t;

    (void)state;
    trace_open(&t, &trace_options);
    trace_lead(&t);
    for (unsigned i = 0; i < 4; i++)
        trace_propose(&t, 10, 0);
    trace_durable(&t, 4); /* of writes 3 to 6 */
    trace_durable(&t, 6);
    trace_expect(&t, "propose 10 -> write 3: append 2@1 command\n"
                     "propose 10 -> write 4: append 3@1 command\n"
                     "propose 10 -> write 5: append 4@1 command\n"
                     "propose 10 -> write 6: append 5@1 command\n"
                     "durable 4 -> commit 3\n"
                     "durable 6 -> commit 5\n");
    trace_close(&t);
}

/* The id of the vote's write says nothing of entries, though the log is long. */
static void r1_the_votes_write_commits_no_entry(void **state)
{
    struct trace t;

    (void)state;
    trace_open(&t, &trace_options);
    trace_boot(&t, &(struct trace_log){
                       .hard = { 9, 1 }, .first = 1, .last = 50, .last_term = 9, .applied = 0 });
    trace_time(&t, 0);
    trace_durable(&t, 1);
    assert_int_equal(trace_see(&t).commit, 0);
    assert_int_equal(t.last.append.index, 51);
    trace_durable(&t, 2);
    assert_int_equal(trace_see(&t).commit, 51);
    trace_close(&t);
}

static void durable_again(struct trace *t)
{
    trace_durable(t, 3);
    trace_durable(t, 3);
}

static void durable_not_yet_made(struct trace *t)
{
    trace_durable(t, 4);
}

static void apply_uncommitted(struct trace *t)
{
    trace_applied(t, 2);
}

static void apply_backwards(struct trace *t)
{
    trace_durable(t, 3);
    trace_applied(t, 2);
    trace_applied(t, 1);
}

static void acknowledgements_out_of_order_are_a_bug(void **state)
{
    struct trace t;

    (void)state;
    trace_open(&t, &trace_options);
    trace_lead(&t);
    trace_propose(&t, 1, 0);
    assert_true(dies(durable_again, &t));
    assert_true(dies(durable_not_yet_made, &t));
    assert_true(dies(apply_uncommitted, &t));
    assert_true(dies(apply_backwards, &t));
    trace_close(&t);
}

static void r2_after_a_failed_write_nothing_is_issued_any_more(void **state)
{
    struct trace t;

    (void)state;
    trace_open(&t, &trace_options);
    trace_lead(&t);
    trace_propose(&t, 10, 0);
    trace_propose(&t, 10, 0);
    trace_durable(&t, 3);
    trace_iofail(&t);
    trace_propose(&t, 10, 0);
    trace_time(&t, 1000000);
    trace_durable(&t, 4); /* even if the disk changes its mind */
    trace_applied(&t, 2);
    trace_iofail(&t);
    trace_expect(&t, "propose 10 -> write 3: append 2@1 command\n"
                     "propose 10 -> write 4: append 3@1 command\n"
                     "durable 3 -> commit 2\n"
                     "iofail -> broken 1\n"
                     "propose 10 -> NOT_LEADER\n"
                     "time 1000000 -> -\n"
                     "durable 4 -> -\n"
                     "applied 2 -> -\n"
                     "iofail -> -\n");
    trace_close(&t);
}

static void r2_a_failed_vote_is_never_tried_again(void **state)
{
    struct trace t;

    (void)state;
    trace_open(&t, &trace_options);
    trace_boot(&t, &(struct trace_log){ .first = 1 });
    trace_time(&t, 0);
    trace_iofail(&t);
    trace_time(&t, 1000000);
    trace_durable(&t, 1);
    trace_expect(&t, "boot 1..0 applied 0 -> wake 0\n"
                     "time 0 -> write 1: hard 1/1, candidate 1\n"
                     "iofail -> broken 1\n"
                     "time 1000000 -> -\n"
                     "durable 1 -> -\n");
    trace_close(&t);
}

static void r8_a_proposal_of_another_term_is_refused(void **state)
{
    struct trace t;

    (void)state;
    trace_open(&t, &trace_options);
    trace_lead(&t); /* term 1 */
    assert_int_equal(trace_propose(&t, 1, 2), ERR_SUPERSEDED);
    assert_int_equal(trace_see(&t).last, 1);
    assert_int_equal(trace_propose(&t, 1, 1), 0);
    assert_int_equal(trace_propose(&t, 1, 0), 0);
    trace_close(&t);
}

static void uncommitted_bytes_are_bounded_and_come_back(void **state)
{
    struct trace t;

    (void)state;
    trace_open(&t, &trace_options); /* 1000 bytes */
    trace_lead(&t);
    assert_int_equal(trace_propose(&t, 600, 0), 0);
    assert_int_equal(trace_propose(&t, 401, 0), ERR_FULL);
    assert_int_equal(trace_propose(&t, 400, 0), 0);
    assert_int_equal(trace_propose(&t, 1, 0), ERR_FULL);
    assert_int_equal(trace_see(&t).uncommitted_bytes, 1000);
    trace_durable(&t, 3);
    assert_int_equal(trace_see(&t).uncommitted_bytes, 400);
    assert_int_equal(trace_propose(&t, 600, 0), 0);
    trace_durable(&t, 5);
    assert_int_equal(trace_see(&t).uncommitted_bytes, 0);
    assert_int_equal(trace_see(&t).commit, 4);
    trace_close(&t);
}

static void an_entry_over_the_bound_goes_alone(void **state)
{
    struct trace t;

    (void)state;
    trace_open(&t, &trace_options);
    trace_lead(&t);
    assert_int_equal(trace_propose(&t, 5000, 0), 0);
    assert_int_equal(trace_propose(&t, 1, 0), ERR_FULL);
    trace_durable(&t, 3);
    assert_int_equal(trace_propose(&t, 1, 0), 0);
    assert_int_equal(trace_propose(&t, 5000, 0), ERR_FULL);
    trace_close(&t);
}

static void uncommitted_entries_are_bounded(void **state)
{
    struct trace t;

    (void)state;
    trace_open(&t, &trace_options);
    trace_lead(&t);
    for (unsigned round = 0; round < 3; round++) { /* also where the ring of weights wraps */
        uint64_t before = trace_see(&t).last_write;

        for (unsigned i = 0; i < CORE_UNCOMMITTED_MAX; i++)
            assert_int_equal(trace_propose(&t, 0, 0), 0);
        assert_int_equal(trace_propose(&t, 0, 0), ERR_FULL);
        trace_durable(&t, before + CORE_UNCOMMITTED_MAX / 2);
        assert_int_equal(trace_propose(&t, 0, 0), 0);
        trace_durable(&t, trace_see(&t).last_write);
        buf_reset(&t.text);
    }
    trace_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_a_ready_leader_takes_proposals),
        cmocka_unit_test(r1_a_write_id_commits_what_it_and_those_before_it_hold),
        cmocka_unit_test(r1_the_votes_write_commits_no_entry),
        cmocka_unit_test(acknowledgements_out_of_order_are_a_bug),
        cmocka_unit_test(r2_after_a_failed_write_nothing_is_issued_any_more),
        cmocka_unit_test(r2_a_failed_vote_is_never_tried_again),
        cmocka_unit_test(r8_a_proposal_of_another_term_is_refused),
        cmocka_unit_test(uncommitted_bytes_are_bounded_and_come_back),
        cmocka_unit_test(an_entry_over_the_bound_goes_alone),
        cmocka_unit_test(uncommitted_entries_are_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
