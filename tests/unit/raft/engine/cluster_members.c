/* cluster_members - several nodes in one thread: snapshots, members that come and go, hand-overs, reads, recovery. */
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

static void cut_all(struct town *t)
{
    for (uint64_t i = 1; i <= t->node_count; i++)
        if (t->nodes[i].raft && t->nodes[i].groups[0])
            raft_group_cut(t->nodes[i].groups[0], t->nodes[i].machines[0].applied);
}

/* ---- snapshots */

/* Ends node `lagging`, and cuts the logs of the others behind it. */
static struct town_node *leave_behind(uint64_t *lagging)
{
    struct town_node *leader;

    town_start_all(&town);
    leader = town_elect(&town, 0);
    *lagging = leader->number % 3 + 1;
    town_kill(&town, *lagging, true);
    town_fill(&town, 0, 50, 1000);
    town_run(&town, 100);
    cut_all(&town);
    town_fill(&town, 0, 5, 10);
    return town_elect(&town, 0);
}

static void who_is_behind_the_cut_gets_a_snapshot(void **state)
{
    uint64_t lagging;

    (void)state;
    leave_behind(&lagging);
    town_start(&town, lagging);
    town_settle(&town, 0);
    assert_int_equal(town.nodes[lagging].machines[0].committed, 1);
    assert_int_equal(town.nodes[lagging].machines[0].count, 55);
    town_kill(&town, lagging, true); /* log and machine meet at a restart */
    town_fill(&town, 0, 5, 10);
    town_start(&town, lagging);
    town_settle(&town, 0);
    assert_int_equal(town.nodes[lagging].machines[0].committed, 1);
}

/* The core remembers fewer terms than have passed since: the one before the entries is in the log only. */
static void who_is_behind_many_terms_gets_entries(void **state)
{
    uint64_t lagging, read = metric_get(M_RAFT_TERMS_READ);
    struct town_node *leader;

    (void)state;
    town.options.cache_bytes_max = 1;
    town_start_all(&town);
    leader = town_elect(&town, 0);
    town_fill(&town, 0, 5, 10);
    town_settle(&town, 0);
    lagging = leader->number % 3 + 1;
    town_kill(&town, lagging, true);
    for (unsigned term = 0; term < 12; term++) {
        leader = town_elect(&town, 0);
        town_kill(&town, leader->number, true);
        leader->machines[0].role = RAFT_FOLLOWER;
        town_start(&town, leader->number);
        town_fill(&town, 0, 1, 10);
    }
    town_start(&town, lagging);
    town_settle(&town, 0);
    assert_int_equal(town.nodes[lagging].machines[0].count, 17);
    assert_int_equal(town.nodes[lagging].machines[0].committed, 0); /* no snapshot */
    assert_true(metric_get(M_RAFT_TERMS_READ) > read);
}

static void a_snapshot_goes_on_after_a_broken_lane(void **state)
{
    uint64_t lagging;
    struct town_node *leader;

    (void)state;
    town.snapshot_bytes = 40 * RAFT_CHUNK_SIZE_MAX;
    town.options.snapshot_bytes_per_s = 8u << 20; /* more than a second */
    leader = leave_behind(&lagging);
    town_start(&town, lagging);
    for (unsigned i = 0; i < 3; i++) {
        town_run(&town, 300);
        town_cable(&town, leader->number, lagging, false, true);
        town_run(&town, 3);
        town_cable(&town, leader->number, lagging, true, true);
    }
    town_settle(&town, 0);
    assert_int_equal(town.nodes[lagging].machines[0].begun, 1);
    assert_int_equal(town.nodes[lagging].machines[0].committed, 1);
}

static void a_snapshot_is_paced(void **state)
{
    uint64_t lagging, before;

    (void)state;
    town.snapshot_bytes = 40 * RAFT_CHUNK_SIZE_MAX;
    town.options.snapshot_bytes_per_s = 4u << 20;
    leave_behind(&lagging);
    before = town.frame_bytes;
    town_start(&town, lagging);
    town_run(&town, 1000);
    assert_true(town.frame_bytes - before < (6u << 20));
    town_settle(&town, 0);
}

static void a_receiver_that_dies_begins_anew(void **state)
{
    uint64_t lagging;

    (void)state;
    town.snapshot_bytes = 40 * RAFT_CHUNK_SIZE_MAX;
    town.options.snapshot_bytes_per_s = 16u << 20;
    leave_behind(&lagging);
    town_start(&town, lagging);
    town_run(&town, 300);
    assert_int_equal(town.nodes[lagging].machines[0].committed, 0);
    town_kill(&town, lagging, true);
    town_start(&town, lagging);
    town_settle(&town, 0);
    assert_int_equal(town.nodes[lagging].machines[0].committed, 1);
}

static void a_sender_that_dies_is_replaced(void **state)
{
    uint64_t lagging;
    struct town_node *leader;

    (void)state;
    town.snapshot_bytes = 40 * RAFT_CHUNK_SIZE_MAX;
    town.options.snapshot_bytes_per_s = 16u << 20;
    leader = leave_behind(&lagging);
    town_start(&town, lagging);
    town_run(&town, 300);
    town_kill(&town, leader->number, true);
    leader->machines[0].role = RAFT_FOLLOWER;
    town_settle(&town, 0);
    assert_int_equal(town.nodes[lagging].machines[0].committed, 1);
    town_fill(&town, 0, 3, 10);
}

/* Between the machine's commit and the log's new beginning the process ends: the intent tells. */
static void an_install_cut_short_is_finished_at_the_next_start(void **state)
{
    uint64_t lagging;
    struct town_node *n;

    (void)state;
    leave_behind(&lagging);
    n = &town.nodes[lagging];
    town_start(&town, lagging);
    for (unsigned i = 0; i < 5000 && n->machines[0].committed == 0; i++) {
        n->machines[0].commits_later = true;
        town_ms(&town);
        if (n->raft && town_see(n, 0).installing && n->machines[0].is_staging &&
            store_mem_waiting(n->store) == 0 &&
            n->machines[0].staged_bytes == town.snapshot_bytes) {
            town_run(&town, 5);
            town_take_staged(&n->machines[0], n->machines[0].staged[0]); /* durable, and then: */
        }
    }
    assert_int_equal(n->machines[0].committed, 1);
    n->machines[0].commits_later = false;
    town_kill(&town, lagging, true);
    town_start(&town, lagging); /* R7 would refuse this without the intent */
    town_settle(&town, 0);
    assert_int_equal(n->machines[0].committed, 1);
}

static void a_machine_may_take_its_time_to_install(void **state)
{
    uint64_t lagging;
    struct town_node *n;

    (void)state;
    leave_behind(&lagging);
    n = &town.nodes[lagging];
    n->machines[0].commits_later = true;
    town_start(&town, lagging);
    for (unsigned i = 0; i < 5000 && !town_see(n, 0).installing; i++)
        town_ms(&town);
    town_run(&town, 500);
    assert_true(town_see(n, 0).installing);
    town_take_staged(&n->machines[0], n->machines[0].staged[0]);
    raft_group_installed(n->groups[0], true);
    town_settle(&town, 0);
}

/* Chunks wait for the machine: no more than are on their way, and none is lost, also over a broken lane. */
static void a_machine_may_take_its_time_to_stage(void **state)
{
    uint64_t lagging, leader;
    struct town_machine *m;

    (void)state;
    town.snapshot_bytes = 40 * RAFT_CHUNK_SIZE_MAX;
    town.options.snapshot_bytes_per_s = 1u << 30;
    leader = leave_behind(&lagging)->number;
    m = &town.nodes[lagging].machines[0];
    m->chunks_later = true;
    town_start(&town, lagging);
    for (unsigned i = 0; i < 5000 && m->committed == 0; i++) {
        town_run(&town, 7);
        if (i == 10 || i == 20) {
            town_cable(&town, leader, lagging, false, true);
            town_run(&town, 3);
            town_cable(&town, leader, lagging, true, true);
        }
        if (!m->chunk_waits) continue;
        m->chunk_waits = false;
        raft_group_staged(town.nodes[lagging].groups[0], 0);
    }
    assert_int_equal(m->begun, 1);
    assert_int_equal(m->committed, 1);
    town_settle(&town, 0);
}

static void a_chunk_that_cannot_be_staged_ends_it(void **state)
{
    struct town_machine *m;
    uint64_t lagging;

    (void)state;
    town.snapshot_bytes = 40 * RAFT_CHUNK_SIZE_MAX;
    leave_behind(&lagging);
    m = &town.nodes[lagging].machines[0];
    m->chunks_later = true;
    town_start(&town, lagging);
    for (unsigned i = 0; i < 5000 && !m->chunk_waits; i++)
        town_ms(&town);
    town_run(&town, 100); /* others wait behind it */
    m->chunk_waits = m->chunks_later = false;
    raft_group_staged(town.nodes[lagging].groups[0], ERR_FULL);
    assert_int_equal(m->dropped, 1);
    town_settle(&town, 0); /* it is tried again */
    assert_int_equal(m->committed, 1);
}

/* The core holds back what is proposed until the turn ends; a cut in the same turn is a step, too, and finds it. */
static void a_cut_beside_a_proposal_sends_it(void **state)
{
    struct town_node *leader;
    struct town_ask a;

    (void)state;
    town_start_all(&town);
    leader = town_elect(&town, 0);
    town_fill(&town, 0, 5, 10);
    assert_int_equal(town_ask(leader, 0, &a, SPAN_LIT("x")), 0);
    raft_group_cut(leader->groups[0], leader->machines[0].applied);
    assert_int_equal(town_see(leader, 0).first, leader->machines[0].applied + 1);
    town_run(&town, 20);
    assert_int_equal(a.answer, RAFT_COMMITTED);
    town_settle(&town, 0);
}

/* ---- members */

static void wait_for_config(struct town *t, unsigned count)
{
    for (unsigned i = 0; i < 10000; i++) {
        struct town_node *n = town_leader(t, 0);

        if (n && town_see(n, 0).config_committed && !raft_group_config(n->groups[0])->joint &&
            raft_group_config(n->groups[0])->count == count)
            return;
        town_ms(t);
    }
    fail_msg("the change does not come to an end");
}

static void a_node_is_added_as_a_learner_and_becomes_a_voter(void **state)
{
    struct core_config aim;
    struct town_node *leader;

    (void)state;
    town.config.count = 3;
    town.node_count = 4;
    town_start_all(&town); /* the fourth knows the three as the group's members */
    town_fill(&town, 0, 30, 100);
    town_run(&town, 50);
    cut_all(&town);
    leader = town_elect(&town, 0);
    aim = *raft_group_config(leader->groups[0]);
    aim.members[aim.count++] =
        (struct core_member){ .node = 4, .flags = CORE_LEARNS | CORE_PROMOTE, .priority = 1 };
    assert_int_equal(raft_group_change(leader->groups[0], &aim, 0), 0);
    wait_for_config(&town, 4);
    town_settle(&town, 0);
    for (unsigned i = 0; i < 5000; i++) {
        leader = town_elect(&town, 0);
        if (raft_group_config(leader->groups[0])->members[3].flags == CORE_VOTES_NEW) break;
        town_ms(&town);
    }
    assert_int_equal(raft_group_config(leader->groups[0])->members[3].flags, CORE_VOTES_NEW);
    town_fill(&town, 0, 3, 10);
    town_settle(&town, 0);
    assert_int_equal(town.nodes[4].machines[0].config.count, 4);
}

/* That a node is down is told to the groups it is in, once: not to the one that it comes into later. */
static void who_is_down_when_added_is_known_to_be_down(void **state)
{
    struct core_peer_view v = { 0 };
    struct core_config without, with;
    struct town_node *leader;

    (void)state;
    town_start_all(&town);
    leader = town_elect(&town, 0);
    town_kill(&town, leader->number % 3 + 1, true);
    with = without = *raft_group_config(leader->groups[0]);
    with.members[leader->number % 3].flags = CORE_LEARNS;
    without.members[leader->number % 3] = without.members[--without.count];
    town_run(&town, 2000); /* it is judged */
    assert_int_equal(raft_group_change(leader->groups[0], &without, 0), 0);
    wait_for_config(&town, 2);
    assert_int_equal(raft_group_change(leader->groups[0], &with, 0), 0);
    wait_for_config(&town, 3);
    for (unsigned i = 0; v.node != leader->number % 3 + 1; i++)
        assert_true(raft_group_peer(leader->groups[0], i, &v));
    assert_false(v.up);
}

/* A follower that gets both changes with one message sees a member go and come back in one step: it is still down. */
static void who_left_and_came_back_in_one_step_is_known_to_be_down(void **state)
{
    struct core_peer_view v = { 0 };
    struct core_config without, with;
    struct town_node *leader;
    uint64_t lags;

    (void)state;
    town_start_all(&town);
    leader = town_elect(&town, 0);
    lags = leader->number % 3 + 1;
    with = without = *raft_group_config(leader->groups[0]);
    with.members[with.count++] = (struct core_member){ .node = 4, .flags = CORE_LEARNS };
    assert_int_equal(raft_group_change(leader->groups[0], &with, 0), 0);
    wait_for_config(&town, 4);
    town_run(&town, 2000); /* node 4 was never there: all know it */
    town_alone(&town, lags, true, true);
    assert_int_equal(raft_group_change(leader->groups[0], &without, 0), 0);
    wait_for_config(&town, 3);
    assert_int_equal(raft_group_change(leader->groups[0], &with, 0), 0);
    wait_for_config(&town, 4);
    town_alone(&town, lags, false, true);
    town_settle(&town, 0);
    for (unsigned i = 0; i < 100 && town_elect(&town, 0)->number != lags; i++) {
        raft_group_transfer(town_elect(&town, 0)->groups[0], lags, 0); /* may be refused: not yet */
        town_run(&town, 100);
    }
    leader = town_elect(&town, 0);
    assert_int_equal(leader->number, lags);
    for (unsigned i = 0; v.node != 4; i++)
        assert_true(raft_group_peer(leader->groups[0], i, &v));
    assert_false(v.up);
}

static void a_node_is_replaced_and_restarts_know_it(void **state)
{
    struct core_config aim;
    struct town_node *leader;

    (void)state;
    town.config.count = 3;
    town.node_count = 4;
    town_start_all(&town);
    town_fill(&town, 0, 5, 100);
    town_kill(&town, 3, true);
    leader = town_elect(&town, 0);
    aim = raft_config_of((uint64_t[]){ 1, 2, 4 }, 3);
    assert_int_equal(raft_group_change(leader->groups[0], &aim, 0), ERR_AGAIN); /* 4 is new */
    aim.members[2].flags = CORE_LEARNS;
    assert_int_equal(raft_group_change(leader->groups[0], &aim, 99), ERR_SUPERSEDED);
    assert_int_equal(raft_group_change(leader->groups[0], &aim, 0), 0);
    wait_for_config(&town, 3);
    town_run(&town, 2000);
    leader = town_elect(&town, 0);
    aim.members[2].flags = CORE_VOTES_NEW;
    assert_int_equal(raft_group_change(leader->groups[0], &aim, 0), 0);
    wait_for_config(&town, 3);
    town_fill(&town, 0, 5, 100);
    cut_all(&town);
    for (uint64_t k = 1; k <= 4; k++) {
        if (k == 3) continue;
        town_kill(&town, k, false);
        town_start(&town, k);
    }
    town_fill(&town, 0, 5, 100);
    leader = town_elect(&town, 0);
    for (unsigned i = 0; i < 3; i++)
        assert_int_not_equal(raft_group_config(leader->groups[0])->members[i].node, 3);
}

static void one_voter_grows_to_three(void **state)
{
    struct core_config aim;

    (void)state;
    town.config = raft_config_of((uint64_t[]){ 1 }, 1);
    town_start_all(&town);
    town_fill(&town, 0, 30, 100);
    aim = raft_config_of((uint64_t[]){ 1, 2, 3 }, 3);
    aim.members[1].flags = aim.members[2].flags = CORE_LEARNS | CORE_PROMOTE;
    assert_int_equal(raft_group_change(town.nodes[1].groups[0], &aim, 0), 0);
    town_fill(&town, 0, 30, 100);
    town_run(&town, 5000);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(raft_group_config(town.nodes[1].groups[0])->members[i].flags,
                         CORE_VOTES_NEW);
    town_kill(&town, 1, true);
    town_fill(&town, 0, 5, 100);
    town_start(&town, 1);
    town_settle(&town, 0);
}

/* The core remembers two; a snapshot may need an older one. */
static void an_old_configuration_is_found_in_the_log(void **state)
{
    struct core_config aim, got;
    struct town_node *leader;
    uint64_t before;

    (void)state;
    town_start_all(&town);
    town_fill(&town, 0, 5, 10);
    leader = town_elect(&town, 0);
    before = town_see(leader, 0).last;
    for (unsigned i = 0; i < 4; i++) { /* priorities: 2, 3, 4, 5 */
        aim = *raft_group_config(leader->groups[0]);
        aim.members[leader->number - 1].priority = (uint8_t)(i + 2);
        assert_int_equal(raft_group_change(leader->groups[0], &aim, 0), 0);
        wait_for_config(&town, 3);
        town_fill(&town, 0, 1, 10);
    }
    assert_null(core_config_at(leader->groups[0]->core, before));
    assert_int_equal(group_config_at(leader->groups[0], before, &got), 0);
    assert_true(got.index == 0 && got.members[leader->number - 1].priority == 1);
    assert_int_equal(group_config_at(leader->groups[0], before + 1, &got), 0);
    assert_true(got.index == before + 1 && got.members[leader->number - 1].priority == 2);
    assert_int_equal(group_config_at(leader->groups[0], town_see(leader, 0).last, &got), 0);
    assert_int_equal(got.members[leader->number - 1].priority, 5);
}

/* ---- leaders */

static void a_leadership_is_handed_over(void **state)
{
    struct town_node *leader;
    uint64_t to, began;

    (void)state;
    town_start_all(&town);
    town_fill(&town, 0, 5, 10);
    leader = town_elect(&town, 0);
    to = leader->number % 3 + 1;
    assert_int_equal(raft_group_transfer(town.nodes[to].groups[0], to, 0), ERR_NOT_LEADER);
    assert_int_equal(raft_group_transfer(leader->groups[0], to, 0), 0);
    began = town.now_ms;
    while (town.nodes[to].machines[0].role != RAFT_LEADER && town.now_ms < began + 5000)
        town_ms(&town);
    assert_in_range(town.now_ms - began, 0, 100);
}

static void the_preferred_node_gets_the_leadership(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++)
        town.config.members[i].priority = i == 1 ? 9 : 1;
    town_start_all(&town);
    town_fill(&town, 0, 5, 10);
    for (unsigned i = 0; i < 10000 && town.nodes[2].machines[0].role != RAFT_LEADER; i++)
        town_ms(&town);
    assert_int_equal(town.nodes[2].machines[0].role, RAFT_LEADER);
    town_kill(&town, 2, true);
    town.nodes[2].machines[0].role = RAFT_FOLLOWER;
    town_fill(&town, 0, 5, 10);
    town_start(&town, 2);
    for (unsigned i = 0; i < 10000 && town.nodes[2].machines[0].role != RAFT_LEADER; i++)
        town_ms(&town);
    assert_int_equal(town.nodes[2].machines[0].role, RAFT_LEADER);
}

static int begin_five(void **state)
{
    (void)state;
    town_begin(&town, 5, 1);
    return 0;
}

/* 2 is preferred, and only 1 of four hears it: each time 1 hands over to it nobody leads for a while. So 1 does it less and
 * less often: in a minute a few times, and not sixty. */
static void who_cannot_keep_the_leadership_gets_it_less_often(void **state)
{
    uint64_t term;

    (void)state;
    for (unsigned i = 0; i < 5; i++)
        town.config.members[i].priority = i == 1 ? 9 : i == 0 ? 5 : 1;
    town_start_all(&town);
    for (uint64_t i = 3; i <= 5; i++)
        town_cable(&town, 2, i, false, true);
    while (town_elect(&town, 0)->number != 1)
        town_ms(&town);
    term = town_see(&town.nodes[1], 0).term;
    town_run(&town, 60000);
    assert_in_range(town_see(town_elect(&town, 0), 0).term - term, 4, 20);
}

/* ---- reads */

struct asked_read {
    struct raft_read read;
    int rv, count;
};

static void on_read(struct raft_read *read, int rv)
{
    struct asked_read *r = CONTAINER_OF(read, struct asked_read, read);

    r->rv = rv;
    r->count++;
}

static void reads_wait_for_a_quorum(void **state)
{
    struct asked_read reads[100];
    struct town_node *leader;

    (void)state;
    town_start_all(&town);
    town_fill(&town, 0, 5, 10);
    leader = town_elect(&town, 0);
    town_run(&town, 3000); /* at rest */
    for (unsigned i = 0; i < 100; i++) {
        reads[i] = (struct asked_read){ .read.on_done = on_read, .rv = -1 };
        assert_int_equal(raft_group_read(leader->groups[0], &reads[i].read), 0);
        if (i % 10 == 0) town_ms(&town);
    }
    assert_int_equal(reads[99].count, 0);
    town_run(&town, 50);
    for (unsigned i = 0; i < 100; i++)
        assert_true(reads[i].rv == 0 && reads[i].count == 1);
    town_alone(&town, leader->number, true, false);
    reads[0] = (struct asked_read){ .read.on_done = on_read, .rv = -1 };
    assert_int_equal(raft_group_read(leader->groups[0], &reads[0].read), 0);
    town_run(&town, 3000);
    assert_int_equal(reads[0].rv, ERR_NOT_LEADER);
    assert_int_equal(raft_group_read(leader->groups[0], &reads[1].read), ERR_NOT_LEADER);
}

/* ---- when a quorum is gone */

static void what_is_left_goes_on_when_told_so(void **state)
{
    uint64_t left = 0;
    struct town_node *n;

    (void)state;
    town_start_all(&town);
    town_fill(&town, 0, 5, 10);
    town_settle(&town, 0);
    left = town_elect(&town, 0)->number;
    for (uint64_t i = 1; i <= 3; i++)
        if (i != left) town_kill(&town, i, true);
    n = &town.nodes[left];
    town_run(&town, 5000);
    assert_int_equal(raft_group_recover(n->groups[0], &left, 1, 5000, true), 0); /* dry */
    assert_int_equal(raft_group_recover(n->groups[0], &left, 1, 5000, false), 0);
    n->is_woken = true;
    n->machines[0].role = RAFT_FOLLOWER;
    town_fill(&town, 0, 5, 10);
    assert_int_equal(raft_group_config(n->groups[0])->count, 1);
}

static void a_node_that_lost_synced_data_follows_until_it_has_it_again(void **state)
{
    struct town_node *n;

    (void)state;
    town_start_all(&town);
    town_fill(&town, 0, 20, 10);
    town_settle(&town, 0);
    n = &town.nodes[2];
    town_kill(&town, 2, true);
    store_mem_lose(n->store, 1, 10);
    store_mem_taint(n->store);
    n->machines[0].applied = n->machines[0].count = n->machines[0].sum = 0;
    town_start(&town, 2);
    assert_true(town_see(n, 0).tainted);
    town_run(&town, 20);
    town_fill(&town, 0, 3, 10);
    town_settle(&town, 0);
    town_run(&town, 2000);
    assert_false(town_see(n, 0).tainted);
    town_kill(&town, 2, true);
    town_start(&town, 2); /* and it is remembered */
    assert_false(town_see(n, 0).tainted);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(who_is_behind_the_cut_gets_a_snapshot),
        TEST(who_is_behind_many_terms_gets_entries),
        TEST(a_snapshot_goes_on_after_a_broken_lane),
        TEST(a_snapshot_is_paced),
        TEST(a_receiver_that_dies_begins_anew),
        TEST(a_sender_that_dies_is_replaced),
        TEST(an_install_cut_short_is_finished_at_the_next_start),
        TEST(a_machine_may_take_its_time_to_install),
        TEST(a_machine_may_take_its_time_to_stage),
        TEST(a_chunk_that_cannot_be_staged_ends_it),
        TEST(a_cut_beside_a_proposal_sends_it),
        TEST(a_node_is_added_as_a_learner_and_becomes_a_voter),
        TEST(who_is_down_when_added_is_known_to_be_down),
        TEST(who_left_and_came_back_in_one_step_is_known_to_be_down),
        TEST(a_node_is_replaced_and_restarts_know_it),
        TEST(one_voter_grows_to_three),
        TEST(an_old_configuration_is_found_in_the_log),
        TEST(a_leadership_is_handed_over),
        TEST(the_preferred_node_gets_the_leadership),
        cmocka_unit_test_setup_teardown(who_cannot_keep_the_leadership_gets_it_less_often,
                                        begin_five, end),
        TEST(reads_wait_for_a_quorum),
        TEST(what_is_left_goes_on_when_told_so),
        TEST(a_node_that_lost_synced_data_follows_until_it_has_it_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
