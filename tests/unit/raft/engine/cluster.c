/* cluster - several nodes in one thread: elections, replication, failover, peers that lag, backpressure, closing. */
#include "proto/ground/metric.h"
#include "tests/unit/raft/engine/town.h"

#define SLOW_ASKS 20

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

static void three_nodes_elect_one(void **state)
{
    struct town_node *leader;

    (void)state;
    town_start_all(&town);
    leader = town_elect(&town, 0);
    town_run(&town, 200);
    for (uint64_t i = 1; i <= 3; i++) {
        assert_int_equal(town.nodes[i].machines[0].term, leader->machines[0].term);
        assert_int_equal(town.nodes[i].machines[0].leader, leader->number);
    }
}

static void what_commits_is_applied_everywhere(void **state)
{
    (void)state;
    town_start_all(&town);
    town_fill(&town, 0, 300, 1000);
    town_settle(&town, 0);
    assert_int_equal(town.nodes[1].machines[0].count, 300);
}

static void a_minority_commits_nothing(void **state)
{
    struct town_node *leader;
    struct town_ask a;

    (void)state;
    town_start_all(&town);
    leader = town_elect(&town, 0);
    town_alone(&town, leader->number, true, false);
    assert_int_equal(town_ask(leader, 0, &a, SPAN_LIT("x")), 0);
    town_run(&town, 3000);
    assert_int_equal(a.answer, -1); /* nobody knows yet */
    assert_int_not_equal(leader->machines[0].role, RAFT_LEADER);
    assert_ptr_not_equal(town_elect(&town, 0), leader);
    town_fill(&town, 0, 3, 10);
    town_alone(&town, leader->number, false, false);
    town_settle(&town, 0);
    town_run(&town, 2000);
    assert_int_equal(a.answer, RAFT_SUPERSEDED);
    assert_int_equal(a.answers, 1);
}

static uint64_t time_to_lead(struct town *t, const struct town_node *gone)
{
    uint64_t began = t->now_ms;

    while (!town_leader(t, 0) || town_leader(t, 0) == gone)
        town_ms(t);
    return t->now_ms - began;
}

static void a_dead_leader_is_noticed_by_its_connection(void **state)
{
    struct town_node *leader;

    (void)state;
    town_start_all(&town);
    for (unsigned i = 0; i < 10; i++) {
        uint64_t gone;

        town_fill(&town, 0, 5, 100);
        leader = town_elect(&town, 0);
        gone = leader->number;
        town_run(&town, i * 300); /* also when it rests */
        town_kill(&town, gone, true);
        leader->machines[0].role = RAFT_FOLLOWER;
        assert_in_range(time_to_lead(&town, leader), 0, 300);
        town_start(&town, gone);
        town_settle(&town, 0);
    }
}

static void a_silent_leader_is_noticed_by_its_silence(void **state)
{
    struct town_node *leader;

    (void)state;
    town_start_all(&town);
    for (unsigned i = 0; i < 6; i++) {
        leader = town_elect(&town, 0);
        town_run(&town, 3000 * (i % 2)); /* every second time it rests */
        town_alone(&town, leader->number, true, false);
        assert_in_range(time_to_lead(&town, leader), 400, 1500);
        town_alone(&town, leader->number, false, false);
        town_fill(&town, 0, 2, 10);
        town_settle(&town, 0);
        town_run(&town, 1500);
    }
}

static void all_nodes_restart_and_go_on(void **state)
{
    (void)state;
    town_start_all(&town);
    for (unsigned i = 0; i < 5; i++) {
        town_fill(&town, 0, 20, 500);
        town_settle(&town, 0);
        for (uint64_t k = 1; k <= 3; k++)
            town_kill(&town, k, false);
        town_start_all(&town);
    }
    town_fill(&town, 0, 1, 1);
    town_settle(&town, 0);
    assert_int_equal(town.nodes[2].machines[0].count, 101);
}

/* More than the cache holds: what is missing is read from the log. */
static void a_peer_far_behind_is_fed_from_the_log(void **state)
{
    struct town_node *leader;
    uint64_t lagging;

    (void)state;
    town.options.cache_bytes_max = 100000;
    town_start_all(&town);
    leader = town_elect(&town, 0);
    lagging = leader->number % 3 + 1;
    town_kill(&town, lagging, true);
    town_fill(&town, 0, 500, 2000);
    assert_true(town_see(leader, 0).cached_bytes <= 120000);
    town_start(&town, lagging);
    town_settle(&town, 0);
    assert_int_equal(town.nodes[lagging].machines[0].count, 500);
    assert_int_equal(town.nodes[lagging].machines[0].committed, 0); /* no snapshot */
}

/* Who owns a body lets go of it with the answer; who was away then gets it from the same memory. */
static void a_body_with_an_owner_is_shared_not_copied(void **state)
{
    struct blob *body = blob_copy(SPAN_LIT("a body that has an owner"));
    uint64_t reads = metric_get(M_RAFT_LOG_READS), lagging;
    struct town_ask a = { .answer = -1 };
    struct town_node *leader;

    (void)state;
    town_start_all(&town);
    leader = town_elect(&town, 0);
    town_fill(&town, 0, 1, 1);
    town_settle(&town, 0);
    lagging = leader->number % 3 + 1;
    town_alone(&town, lagging, true, false);
    a.p = (struct raft_proposal){
        .head = SPAN_LIT("cmd"), .body = blob_span(body), .owner = body, .on_done = town_on_done
    };
    leader->is_woken = true;
    assert_int_equal(raft_propose(leader->groups[0], &a.p), 0);
    assert_int_equal(atomic_load(&body->refs), 2);
    while (a.answer == -1)
        town_ms(&town);
    assert_int_equal(a.answer, RAFT_COMMITTED);
    town_run(&town, 50);
    assert_int_equal(atomic_load(&body->refs), 2); /* it is in the cache, the log has let go of it */
    blob_unref(&body);
    town_alone(&town, lagging, false, false);
    town_settle(&town, 0);
    assert_int_equal(town.nodes[lagging].machines[0].count, 2);
    assert_int_equal(metric_get(M_RAFT_LOG_READS), reads);
}

static void who_follows_keeps_little(void **state)
{
    struct town_node *leader;

    (void)state;
    town_start_all(&town);
    town_fill(&town, 0, 40, 50000);
    town_settle(&town, 0);
    leader = town_elect(&town, 0);
    for (uint64_t k = 1; k <= 3; k++) {
        struct town_node *n = &town.nodes[k];

        if (n == leader)
            assert_true(town_see(n, 0).cached_bytes >= 40 * 50000);
        else
            assert_in_range(town_see(n, 0).cached_bytes, 1, (512u << 10) + 51000);
    }
    town_kill(&town, leader->number, true); /* and leads with what it has */
    town_fill(&town, 0, 3, 50000);
    town_start(&town, leader->number);
    town_settle(&town, 0);
    assert_int_equal(leader->machines[0].count, 43);
}

static void full_lanes_push_back_and_lose_nothing(void **state)
{
    (void)state;
    town.options.inbox_bytes_max = 50000;
    town_start_all(&town);
    for (uint64_t i = 1; i <= 3; i++)
        town.nodes[i].room[WIRE_LOG] = 2;
    town_fill(&town, 0, 400, 9000);
    town_settle(&town, 0);
    assert_int_equal(town.nodes[3].machines[0].count, 400);
}

/* Beats pass what waits: a peer that takes no entries for a while, and whose disk then does not answer, is late, not lossy. What is lost
 * goes out again. */
static void a_slow_peer_is_sent_nothing_twice(void **state)
{
    static uint8_t body[100000];
    struct town_ask asks[SLOW_ASKS];
    struct town_node *leader, *slow;
    uint64_t sent, again = metric_get(M_RAFT_ENTRY_BYTES_RESENT);

    (void)state;
    town_start_all(&town);
    leader = town_elect(&town, 0);
    town_fill(&town, 0, 1, 1);
    town_settle(&town, 0);
    slow = &town.nodes[leader->number % 3 + 1];
    sent = metric_get(M_RAFT_ENTRY_BYTES_SENT);
    slow->paused[leader->number][WIRE_LOG] = true;
    for (unsigned i = 0; i < SLOW_ASKS; i++)
        assert_int_equal(town_ask(leader, 0, &asks[i], span_of(body, sizeof body)), 0);
    town_run(&town, 400);
    slow->is_stalled = true;
    slow->paused[leader->number][WIRE_LOG] = false;
    town_run(&town, 400);
    slow->is_stalled = false;
    town_settle(&town, 0);
    assert_int_equal(slow->machines[0].count, 1 + SLOW_ASKS);
    assert_int_equal(metric_get(M_RAFT_ENTRY_BYTES_RESENT), again);
    assert_in_range(metric_get(M_RAFT_ENTRY_BYTES_SENT) - sent, 2 * SLOW_ASKS * sizeof body,
                    2 * SLOW_ASKS * (sizeof body + 100));
    slow->paused[leader->number][WIRE_LOG] = true;
    assert_int_equal(town_ask(leader, 0, &asks[0], span_of(body, sizeof body)), 0);
    town_run(&town, 2);
    town_lose_letters(&town, leader->number, slow->number);
    slow->paused[leader->number][WIRE_LOG] = false;
    town_run(&town, 500);
    town_settle(&town, 0);
    assert_int_equal(slow->machines[0].count, 2 + SLOW_ASKS);
    assert_int_equal(metric_get(M_RAFT_ENTRY_BYTES_RESENT) - again, sizeof body + strlen("cmd"));
}

static void a_group_that_closes_answers_all(void **state)
{
    struct town_node *leader;
    struct town_ask a[10];
    struct raft_read read = { 0 };

    (void)state;
    town_start_all(&town);
    leader = town_elect(&town, 0);
    town_alone(&town, leader->number, true, false);
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(town_ask(leader, 0, &a[i], SPAN_LIT("x")), 0);
    town_run(&town, 10);
    (void)read;
    raft_group_close(&leader->groups[0]);
    for (unsigned i = 0; i < 10; i++)
        assert_true(a[i].answer == RAFT_UNKNOWN && a[i].answers == 1);
    leader->machines[0].role = RAFT_FOLLOWER;
    town_alone(&town, leader->number, false, false); /* messages to a group that is not there */
    town_fill(&town, 0, 3, 10);
    assert_int_equal(town_open_group(leader, 0, &town.config, NULL), 0);
    town_settle(&town, 0);
}

static void a_leader_whose_disk_stalls_hands_over(void **state)
{
    struct town_node *leader;
    struct town_ask a;

    (void)state;
    town_start_all(&town);
    town_fill(&town, 0, 5, 10);
    leader = town_elect(&town, 0);
    leader->is_stalled = true;
    assert_int_equal(town_ask(leader, 0, &a, SPAN_LIT("x")), 0);
    town_run(&town, 4000);
    assert_int_not_equal(leader->machines[0].role, RAFT_LEADER);
    assert_ptr_not_equal(town_elect(&town, 0), leader);
    town_fill(&town, 0, 5, 10);
    leader->is_stalled = false;
    town_settle(&town, 0);
    town_run(&town, 2000);
    assert_int_equal(a.answers, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(three_nodes_elect_one),
        TEST(what_commits_is_applied_everywhere),
        TEST(a_minority_commits_nothing),
        TEST(a_dead_leader_is_noticed_by_its_connection),
        TEST(a_silent_leader_is_noticed_by_its_silence),
        TEST(all_nodes_restart_and_go_on),
        TEST(a_peer_far_behind_is_fed_from_the_log),
        TEST(a_body_with_an_owner_is_shared_not_copied),
        TEST(who_follows_keeps_little),
        TEST(full_lanes_push_back_and_lose_nothing),
        TEST(a_slow_peer_is_sent_nothing_twice),
        TEST(a_group_that_closes_answers_all),
        TEST(a_leader_whose_disk_stalls_hands_over),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
