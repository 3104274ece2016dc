/* order - the way of a proposal: what the machine and the proposer are told, when, and what is
 * refused. */
#include "tests/unit/raft/engine/life.h"

static struct store *disk;
static struct life life;

static int begin(void **state)
{
    (void)state;
    disk = open_mem_log();
    life_begin(&life, disk);
    return 0;
}

static int end(void **state)
{
    (void)state;
    life_end(&life);
    store_close(&disk);
    return 0;
}

static void a_group_leads_after_its_own_entry(void **state)
{
    struct ask a;

    (void)state;
    life_open(&life, 0, 0);
    assert_int_equal(ask(&life, 0, &a, "early"), ERR_NOT_LEADER);
    life_turn(&life); /* candidate: the vote is written, not synced */
    life_turn(&life);
    story_is(&life, 0, "role follower 0\nrole candidate 1\n");
    store_mem_sync(disk, SIZE_MAX);
    life_turn(&life); /* its own entry is written, not synced */
    assert_int_equal(ask(&life, 0, &a, "early"), ERR_NOT_LEADER);
    assert_int_equal(life_see(&life, 0).role, RAFT_CANDIDATE);
    store_mem_sync(disk, SIZE_MAX);
    life_turn(&life);
    story_is(&life, 0, "role follower 0\nrole candidate 1\napplied 1\nrole leader 1\n");
    assert_int_equal(ask(&life, 0, &a, "now"), 0);
    assert_int_equal(a.proposal.index, 2);
    assert_int_equal(a.answers, 0);
    life_settle(&life);
    assert_int_equal(a.answer, RAFT_COMMITTED);
}

static void entries_are_applied_in_order_then_answered(void **state)
{
    struct ask a, b, c;

    (void)state;
    life_lead(&life, 0);
    assert_int_equal(ask(&life, 0, &a, "a"), 0);
    assert_int_equal(ask(&life, 0, &b, "b"), 0);
    life_turn(&life);
    assert_int_equal(ask(&life, 0, &c, "c"), 0);
    life_turn(&life);
    story_is(&life, 0, ""); /* written, not synced */
    assert_int_equal(life_see(&life, 0).uncommitted_bytes, 3 * 9);
    assert_int_equal(store_mem_sync(disk, 1), 1);
    life_turn(&life);
    story_is(&life, 0, "apply a 2\napply b 3\napplied 3\ncommitted 2\ncommitted 3\n");
    store_mem_sync(disk, SIZE_MAX);
    life_turn(&life);
    story_is(&life, 0,
             "apply a 2\napply b 3\napplied 3\ncommitted 2\ncommitted 3\n"
             "apply c 4\napplied 4\ncommitted 4\n");
    assert_int_equal(life_see(&life, 0).uncommitted_bytes, 0);
    assert_int_equal(a.answers + b.answers + c.answers, 3);
}

static void all_groups_of_a_turn_leave_as_one_write(void **state)
{
    struct ask a[6];

    (void)state;
    for (unsigned i = 0; i < LIFE_GROUPS; i++)
        life_lead(&life, i);
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(ask(&life, i % LIFE_GROUPS, &a[i], "x"), 0);
    life_turn(&life);
    assert_int_equal(store_mem_sync(disk, SIZE_MAX), 1);
    life_turn(&life);
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(a[i].answer, RAFT_COMMITTED);
}

/* Writes in the air are bounded; what comes then gathers and leaves together. */
static void writes_in_the_air_are_bounded(void **state)
{
    struct ask a[20];

    (void)state;
    life_lead(&life, 0);
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(ask(&life, 0, &a[i], "x"), 0);
        life_turn(&life);
    }
    assert_int_equal(store_mem_sync(disk, SIZE_MAX), 4);
    life_turn(&life);
    assert_int_equal(a[3].answer, RAFT_COMMITTED);
    assert_int_equal(a[4].answer, -1);
    assert_int_equal(store_mem_sync(disk, SIZE_MAX), 1);
    life_turn(&life);
    assert_int_equal(a[19].answer, RAFT_COMMITTED);
}

static void a_write_is_bounded_in_bytes_and_in_entries(void **state)
{
    static uint8_t mib[RAFT_ENTRY_SIZE_MAX];
    static struct ask big[20], small[2000];

    (void)state;
    life_lead(&life, 0);
    life.machines[0].is_quiet = true;
    for (unsigned i = 0; i < 20; i++) {
        ask_init(&big[i], &life.machines[0], "");
        big[i].proposal.body = span_of(mib, sizeof mib);
        assert_int_equal(raft_propose(life.groups[0], &big[i].proposal), 0);
    }
    life_turn(&life);
    assert_int_equal(store_mem_sync(disk, SIZE_MAX), 3); /* 8 MiB, 8, 4 */
    life_settle(&life);
    for (unsigned i = 0; i < 2000; i++)
        assert_int_equal(ask(&life, 0, &small[i], "x"), 0);
    life_turn(&life);
    assert_int_equal(store_mem_sync(disk, SIZE_MAX), 2); /* 1024 entries, 976 */
    life_settle(&life);
    assert_int_equal(big[19].answer, RAFT_COMMITTED);
    assert_int_equal(small[1999].answer, RAFT_COMMITTED);
}

static void limits_are_errors_and_nothing_happens(void **state)
{
    static uint8_t bytes[RAFT_ENTRY_SIZE_MAX + 1];
    static struct ask many[CORE_UNCOMMITTED_MAX];
    struct ask a;

    (void)state;
    life_lead(&life, 0);
    life.machines[0].is_quiet = true;
    ask_init(&a, NULL, "");
    a.proposal.body = span_of(bytes, sizeof bytes);
    assert_int_equal(raft_propose(life.groups[0], &a.proposal), ERR_TOO_LONG);
    a.proposal.body = SPAN_LIT("");
    a.proposal.term = life.machines[0].term + 1;
    assert_int_equal(raft_propose(life.groups[0], &a.proposal), ERR_SUPERSEDED);
    for (unsigned i = 0; i < CORE_UNCOMMITTED_MAX; i++)
        assert_int_equal(ask(&life, 0, &many[i], "x"), 0);
    assert_int_equal(ask(&life, 0, &a, "one too many"), ERR_FULL);
    life_settle(&life);
    assert_int_equal(a.answers, 0);
    assert_int_equal(life.machines[0].apply_count, CORE_UNCOMMITTED_MAX);
    assert_int_equal(ask(&life, 0, &a, "again"), 0);
    life_settle(&life);
    assert_int_equal(a.answer, RAFT_COMMITTED);
}

static struct ask inner;

static void propose_more(struct machine *m, const struct raft_entry *e)
{
    (void)e;
    m->on_apply = NULL;
    assert_int_equal(ask(&life, 0, &inner, "inner"), 0);
    assert_int_equal(inner.answers, 0);
}

static void a_machine_may_propose_from_its_call_backs(void **state)
{
    struct ask outer;

    (void)state;
    life_lead(&life, 0);
    life.machines[0].on_apply = propose_more;
    assert_int_equal(ask(&life, 0, &outer, "outer"), 0);
    life_settle(&life);
    story_is(&life, 0,
             "apply outer 2\napplied 2\ncommitted 2\napply inner 3\napplied 3\ncommitted 3\n");
}

static void what_cannot_be_is_refused(void **state)
{
    const uint64_t nodes[] = { 1, 2, 3, 4, 5, 6, 7, 8 };
    struct core_config eight = raft_config_of(nodes, 8), none = { .count = 0 };
    struct raft_machine machine = life_machine(&life.machines[0]);
    struct errmsg why = { "" };
    struct raft_group *g = NULL;

    (void)state;
    assert_int_equal(raft_group_open(life.raft, 1, 0, &eight, &machine, 0, &g, &why), ERR_RANGE);
    assert_int_equal(raft_group_open(life.raft, 1, 0, &none, &machine, 0, &g, &why), ERR_RANGE);
    assert_null(g);
    life_open(&life, 0, 0);
    assert_int_equal(life_open_group(&life, 0, 0, &why), ERR_EXISTS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_group_leads_after_its_own_entry, begin, end),
        cmocka_unit_test_setup_teardown(entries_are_applied_in_order_then_answered, begin, end),
        cmocka_unit_test_setup_teardown(all_groups_of_a_turn_leave_as_one_write, begin, end),
        cmocka_unit_test_setup_teardown(writes_in_the_air_are_bounded, begin, end),
        cmocka_unit_test_setup_teardown(a_write_is_bounded_in_bytes_and_in_entries, begin, end),
        cmocka_unit_test_setup_teardown(limits_are_errors_and_nothing_happens, begin, end),
        cmocka_unit_test_setup_teardown(a_machine_may_propose_from_its_call_backs, begin, end),
        cmocka_unit_test_setup_teardown(what_cannot_be_is_refused, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
