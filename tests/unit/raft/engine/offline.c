/* offline - logs of nodes that do not run are begun behind a state, and go on with what is left of a quorum. */
#include "tests/unit/raft/engine/town.h"

#include "raft/engine/inside.h"

static struct town town;

static int begin(void **state)
{
    (void)state;
    town_begin(&town, 5, 1);
    return 0;
}

static int end(void **state)
{
    (void)state;
    town_end(&town);
    return 0;
}

static struct raft_offline log_of(uint64_t node)
{
    return (struct raft_offline){ .store = town.nodes[node].store };
}

static struct raft_offline_view see(uint64_t node)
{
    struct raft_offline log = log_of(node);
    struct raft_offline_view v;
    struct errmsg why = { "" };

    assert_int_equal(raft_offline_see(&log, 1, &v, &why), 0);
    return v;
}

static void kill_all(void)
{
    for (uint64_t i = 1; i <= 5; i++)
        if (town.nodes[i].raft) town_kill(&town, i, true);
}

/* ---- beginning */

static void a_log_begins_behind_a_state(void **state)
{
    struct core_config alone = raft_config_of((uint64_t[]){ 1 }, 1);
    struct town_node *n = &town.nodes[1];
    struct raft_offline log;
    struct errmsg why;
    bool tainted;

    (void)state;
    assert_int_equal(store_open(&n->store, &(struct store_options){ 0 }, &tainted, &why), 0);
    log = log_of(1);
    raft_offline_begin(&log, 1, (struct core_pos){ 1000, 7 }, &alone);
    assert_true(see(1).known);
    assert_int_equal(see(1).first, 1001);
    assert_int_equal(see(1).last.index, 1000);
    assert_int_equal(see(1).config.count, 1);
    n->machines[0].applied = 1000;
    town_start(&town, 1);
    assert_ptr_equal(town_elect(&town, 0), n);
    assert_true(town_see(n, 0).term > 7);
    town_fill(&town, 0, 5, 10);
    assert_int_equal(n->machines[0].count, 5);
    assert_int_equal(raft_group_config(n->groups[0])->count, 1); /* not what the caller said at opening */
}

/* ---- a quorum that is lost */

static uint64_t newest_of(uint64_t a, uint64_t b)
{
    struct core_pos x = see(a).last, y = see(b).last;

    return x.term > y.term || (x.term == y.term && x.index >= y.index) ? a : b;
}

static void recover(uint64_t self, uint64_t other)
{
    uint64_t left[] = { self, other };
    struct core_config config = raft_config_of(left, other ? 2 : 1);
    struct raft_offline log = log_of(self), beside = log_of(other ? other : self);
    struct span command = SPAN_LIT("lost");
    struct errmsg why = { "" };
    uint64_t term = see(self).hard.term;

    if (other && see(other).hard.term > term) term = see(other).hard.term;
    assert_int_equal(raft_offline_recover(&log, 1, self, term + 1, &config, &command, 1, &why), 0);
    if (other) raft_offline_vote(&beside, 1, term + 1, self);
}

static void who_is_left_goes_on_with_all_that_it_had(void **state)
{
    struct town_node *n = &town.nodes[1];
    uint64_t had, last;

    (void)state;
    town_start_all(&town);
    town_fill(&town, 0, 20, 10);
    town_settle(&town, 0);
    had = n->machines[0].count;
    kill_all();
    last = see(1).last.index;
    recover(1, 0);
    assert_int_equal(see(1).config.era, 1);
    assert_int_equal(see(1).last.index, last + 2);
    n->machines[0].applied = n->machines[0].count = n->machines[0].sum = 0; /* all is replayed */
    town_start(&town, 1);
    assert_ptr_equal(town_elect(&town, 0), n);
    assert_int_equal(n->machines[0].count, had + 1); /* and the command that was put behind */
    assert_int_equal(raft_group_config(n->groups[0])->count, 1);
    town_fill(&town, 0, 5, 10);
    for (uint64_t i = 2; i <= 5; i++)
        town_start(&town, i); /* strangers: what they say is of an older era */
    town_run(&town, 5000);
    assert_int_equal(n->machines[0].role, RAFT_LEADER);
    assert_int_equal(raft_group_config(n->groups[0])->count, 1);
    assert_int_equal(raft_group_config(n->groups[0])->era, 1);
}

/* Some entries are on one of them only; the other one has voted, and may have seen more terms. */
static void two_that_are_left_agree_on_the_newest_log(void **state)
{
    uint64_t newest, other;
    struct core_config both;

    (void)state;
    town_start_all(&town);
    town_fill(&town, 0, 20, 10);
    town_settle(&town, 0);
    town_kill(&town, 2, true);
    town_fill(&town, 0, 20, 10);
    town_settle(&town, 0);
    kill_all();
    newest = newest_of(1, 2);
    other = 3 - newest;
    assert_int_equal(newest, 1);
    recover(newest, other);
    for (uint64_t survivor = 1; survivor <= 2; survivor++) /* their wires do not know the lost ones */
        for (uint64_t lost = 3; lost <= 5; lost++)
            town_cable(&town, survivor, lost, false, true);
    town_start(&town, other);
    town_start(&town, 3);
    town_start(&town, 4);
    town_run(&town, 5000);
    assert_int_not_equal(town.nodes[other].machines[0].role, RAFT_LEADER);
    assert_int_equal(town.nodes[other].machines[0].leader, 0); /* no old majority with it */
    town_kill(&town, 3, true);
    town_kill(&town, 4, true);
    town_start(&town, newest);
    town_settle(&town, 0);
    assert_ptr_equal(town_elect(&town, 0), &town.nodes[newest]);
    town_fill(&town, 0, 5, 10);
    town_settle(&town, 0);
    both = *raft_group_config(town.nodes[other].groups[0]);
    assert_int_equal(both.count, 2);
    assert_int_equal(both.era, 1);
    assert_int_equal(town.nodes[other].machines[0].count, town.nodes[newest].machines[0].count);
}

static bool count_one(void *arg, const struct raft_entry *entry)
{
    (void)entry;
    return ++*(unsigned *)arg < 3;
}

static void commands_are_read_and_configurations_are_not_shown(void **state)
{
    struct raft_offline log;
    unsigned count = 0;

    (void)state;
    town_start_all(&town);
    town_fill(&town, 0, 20, 10);
    town_settle(&town, 0);
    kill_all();
    log = log_of(1);
    assert_int_equal(raft_offline_each(&log, 1, 1, &count, count_one), 0);
    assert_int_equal(count, 3); /* it was told to stop */
    count = 1000;
    assert_int_equal(raft_offline_each(&log, 1, 1, &count, count_one), 0);
    assert_int_equal(count, 1001);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_log_begins_behind_a_state),
        TEST(who_is_left_goes_on_with_all_that_it_had),
        TEST(two_that_are_left_agree_on_the_newest_log),
        TEST(commands_are_read_and_configurations_are_not_shown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
