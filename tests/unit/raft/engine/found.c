/* found - what the simulation of clusters (tests/sim/engine) found in the engine, each as small as it can be told. */
#include "raft/engine/inside.h"
#include "tests/unit/raft/engine/town.h"

static struct town town;

static int begin(void **state)
{
    (void)state;
    town_begin(&town, 3, 1);
    return 0;
}

static int end(void **state)
{
    (void)state;
    town_end(&town);
    return 0;
}

static void cut_all(void)
{
    for (uint64_t i = 1; i <= town.node_count; i++)
        if (town.nodes[i].raft)
            raft_group_cut(town.nodes[i].groups[0], town.nodes[i].machines[0].applied);
}

static void restart_all(void)
{
    for (uint64_t i = 1; i <= town.node_count; i++) {
        town_kill(&town, i, true);
        town_start(&town, i);
    }
}

/* R6: at the first restart the configuration is an entry; then its entry is cut; then it must be beside the log. */
static void a_configuration_outlives_a_restart_and_then_the_cut_of_it(void **state)
{
    struct core_config aim;

    (void)state;
    town_start_all(&town);
    town_fill(&town, 0, 3, 10);
    aim = *raft_group_config(town_elect(&town, 0)->groups[0]);
    aim.members[1].priority = 7;
    assert_int_equal(raft_group_change(town_elect(&town, 0)->groups[0], &aim, 0), 0);
    town_fill(&town, 0, 3, 10);
    town_settle(&town, 0);
    restart_all();
    town_fill(&town, 0, 3, 10);
    town_settle(&town, 0);
    cut_all();
    town_run(&town, 10);
    restart_all();
    for (uint64_t i = 1; i <= 3; i++) {
        const struct core_config *c = raft_group_config(town.nodes[i].groups[0]);

        assert_int_equal(c->version, 1);
        assert_int_equal(c->members[1].priority, 7);
    }
}

/* What the reader has made of a snapshot waits in the inbox when the process is told to end. */
static void a_node_ends_while_a_chunk_is_on_its_way_to_the_loop(void **state)
{
    struct town_node *leader;

    (void)state;
    town_start_all(&town);
    leader = town_elect(&town, 0);
    town_kill(&town, leader->number % 3 + 1, true);
    town_fill(&town, 0, 20, 1000);
    cut_all();
    town_start(&town, leader->number % 3 + 1);
    while (list_empty(&leader->raft->loops[0].shipments)) {
        town.now_ms++;
        while (town_deliver_one(&town))
            ;
        for (uint64_t i = 1; i <= 3; i++)
            town_turn(&town.nodes[i]);
    }
    town_kill(&town, leader->number, true);
    assert_null(leader->raft);
}

static void change_to(const struct core_config *aim)
{
    assert_int_equal(raft_group_change(town_elect(&town, 0)->groups[0], aim, 0), 0);
    town_run(&town, 3000);
}

/* Who was away while all others were replaced knows none of those who lead now: it is heard all the same. */
static void a_member_comes_back_to_a_group_of_others(void **state)
{
    struct core_config aim = raft_config_of((uint64_t[]){ 1, 2, 3, 4, 5 }, 5);

    (void)state;
    town_begin(&town, 5, 1);
    town.config = raft_config_of((uint64_t[]){ 1, 2, 3 }, 3);
    town_start_all(&town);
    town_fill(&town, 0, 3, 10);
    town_kill(&town, 3, true);
    aim.members[3].flags = aim.members[4].flags = CORE_LEARNS | CORE_PROMOTE;
    change_to(&aim);
    aim = raft_config_of((uint64_t[]){ 3, 4, 5 }, 3);
    change_to(&aim);
    town_kill(&town, 1, true);
    town_kill(&town, 2, true);
    town_fill(&town, 0, 3, 10);
    town_start(&town, 3);
    town_run(&town, 3000);
    assert_int_equal(town.nodes[3].machines[0].count, 6);
}

/* Synced entries were lost, and the machine is ahead of what is left: the snapshot that brings the log back holds nothing new
 * for it. */
static void a_log_that_ends_before_its_machine_begins_anew(void **state)
{
    struct town_node *n;

    (void)state;
    town_start_all(&town);
    town_fill(&town, 0, 20, 10);
    town_settle(&town, 0);
    n = &town.nodes[town_elect(&town, 0)->number % 3 + 1];
    town_kill(&town, n->number, true);
    store_mem_lose(n->store, 1, 10);
    store_mem_taint(n->store);
    cut_all();
    town_start(&town, n->number);
    assert_true(town_see(n, 0).tainted);
    town_run(&town, 5000);
    assert_int_equal(town_see(n, 0).last, town_see(town_elect(&town, 0), 0).last);
    assert_int_equal(n->machines[0].begun, 0);
    town_fill(&town, 0, 3, 10);
    town_settle(&town, 0);
    assert_false(town_see(n, 0).tainted);
    assert_int_equal(n->machines[0].count, 23);
}

/* The snapshots begin together and are as large: they end together. */
static void snapshots_to_two_peers_share_what_may_leave(void **state)
{
    (void)state;
    town_begin(&town, 5, 1);
    town.snapshot_bytes = 8 * RAFT_CHUNK_SIZE_MAX;
    town.options.snapshot_bytes_per_s = 1u << 20;
    town_start_all(&town);
    town_fill(&town, 0, 3, 10);
    for (uint64_t i = 4; i <= 5; i++) {
        if (town_elect(&town, 0)->number != i) continue;
        raft_group_transfer(town.nodes[i].groups[0], 1, 0);
        town_run(&town, 1000);
    }
    town_kill(&town, 4, true);
    town_kill(&town, 5, true);
    town_fill(&town, 0, 20, 10);
    cut_all();
    town_start(&town, 4);
    town_start(&town, 5);
    while (town.nodes[4].machines[0].committed + town.nodes[5].machines[0].committed == 0)
        town_run(&town, 10);
    town_run(&town, 1000); /* the other one is behind by no more than a chunk or two */
    assert_int_equal(town.nodes[4].machines[0].committed, 1);
    assert_int_equal(town.nodes[5].machines[0].committed, 1);
}

/* A process has its lanes before its groups are open: chunks that come between are nobody's. */
static void a_chunk_that_comes_before_its_group_is_open_comes_again(void **state)
{
    struct errmsg why = { "" };
    struct town_node *n;

    (void)state;
    town_start_all(&town);
    town_fill(&town, 0, 3, 10);
    n = &town.nodes[town_elect(&town, 0)->number % 3 + 1];
    town_kill(&town, n->number, true);
    town_fill(&town, 0, 20, 1000);
    cut_all();
    town_start(&town, n->number);
    while (list_empty(&town_elect(&town, 0)->raft->loops[0].shipments))
        town_ms(&town);
    raft_group_close(&n->groups[0]);
    town_run(&town, 500);
    assert_int_equal(town_open_group(n, 0, &town.config, &why), 0);
    town_run(&town, 5000);
    assert_int_equal(n->machines[0].committed, 1);
    assert_int_equal(n->machines[0].count, 23);
}

static void note_end(void *arg, const char *what, int error)
{
    (void)what;
    *(int *)arg = error;
}

/* Another block is read where an entry was that a peer needs: the node ends, and does not take it for one that was cut. */
static void an_entry_that_is_not_found_is_damage(void **state)
{
    int error = 0;
    struct raft_trial trial = { .arg = &error, .ended = note_end };
    struct town_node *leader;
    uint64_t lagging;

    (void)state;
    town.options.cache_bytes_max = 1;
    town_start_all(&town);
    leader = town_elect(&town, 0);
    lagging = leader->number % 3 + 1;
    town_kill(&town, lagging, true);
    town_fill(&town, 0, 20, 10);
    town_run(&town, 100);
    assert_true(store_mem_hole(leader->store, 1, 10));
    raft_try(leader->raft, &trial);
    town_start(&town, lagging);
    for (unsigned i = 0; i < 2000 && error == 0; i++)
        town_run(&town, 1);
    assert_int_equal(error, ERR_NOT_FOUND);
    town_kill(&town, leader->number, true);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_configuration_outlives_a_restart_and_then_the_cut_of_it),
        TEST(a_node_ends_while_a_chunk_is_on_its_way_to_the_loop),
        TEST(a_member_comes_back_to_a_group_of_others),
        TEST(a_log_that_ends_before_its_machine_begins_anew),
        TEST(snapshots_to_two_peers_share_what_may_leave),
        TEST(an_entry_that_is_not_found_is_damage),
        TEST(a_chunk_that_comes_before_its_group_is_open_comes_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
