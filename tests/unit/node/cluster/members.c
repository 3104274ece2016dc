/* members - who votes in group 0, and who leads it: what is real is members.c over a real state of control; the group is false. What is asked
 * of it happens at once: who is to get a vote, and is up, has it; who is given the leadership leads from the next turn on.
 */
#include "tests/unit/node/control/scene.h"

#include "node/cluster/inside.h"

#define NODES     4
#define TURNS_MAX 50

struct raft_group {
    struct core_config config;
    uint64_t leader, to; /* to: the leadership is on its way there */
    unsigned changes, transfers;
    bool down[NODES + 1];
};
static struct raft_group group;
static struct scene scene;
static struct cluster nodes[NODES + 1];

/* ---- the group, as members.c sees it */

const struct core_config *raft_group_config(const struct raft_group *g)
{
    return &g->config;
}

void raft_group_see(const struct raft_group *g, struct raft_group_view *out)
{
    *out = (struct raft_group_view){ .leader = g->leader,
                                     .role = RAFT_LEADER,
                                     .config_committed = true,
                                     .transfer_to = g->to };
}

bool raft_group_peer(const struct raft_group *g, unsigned i, struct core_peer_view *out)
{
    uint64_t node = g->config.members[i].node;

    *out = (struct core_peer_view){ .node = node,
                                    .flags = g->config.members[i].flags,
                                    .up = !g->down[node] };
    return true;
}

int raft_group_change(struct raft_group *g, const struct core_config *aim, uint32_t version)
{
    assert_int_equal(version, g->config.version);
    if (g->to != 0) return ERR_BUSY;
    g->config = *aim;
    g->config.version++;
    g->changes++;
    for (unsigned i = 0; i < aim->count; i++) {
        struct core_member *m = &g->config.members[i];

        if ((m->flags & CORE_PROMOTE) && !g->down[m->node]) m->flags = CORE_VOTES_NEW;
        if (m->node == g->leader) assert_true(m->flags & CORE_VOTES_NEW);
    }
    return 0;
}

int raft_group_transfer(struct raft_group *g, uint64_t to, uint32_t within_ms)
{
    (void)within_ms;
    assert_false(g->down[to]);
    assert_true(cluster_votes(&nodes[to], to));
    if (g->to != 0) return ERR_BUSY;
    g->to = to;
    g->transfers++;
    return 0;
}

/* ---- the rest of the room */

bool cluster_is_up(const struct cluster *c, uint64_t node)
{
    return !c->group->down[node];
}

bool cluster_votes(const struct cluster *c, uint64_t node)
{
    const struct core_config *g = &c->group->config;

    for (unsigned i = 0; i < g->count; i++)
        if (g->members[i].node == node) return (g->members[i].flags & CORE_VOTES_NEW) != 0;
    return false;
}

bool save_knows_nodes(const struct cluster *c)
{
    (void)c;
    return true;
}

void change_spread_news(struct cluster *c, uint64_t index)
{
    c->news_upto = index;
}

bool change_is_told(const struct cluster *c, uint64_t index)
{
    return c->news_upto >= index;
}

/* ---- turns */

/* Until nothing changes any more. */
static void settle(void)
{
    for (unsigned i = 0; i < TURNS_MAX; i++) {
        unsigned changes = group.changes;

        members_see_to(&nodes[group.leader]);
        if (group.to == 0 && group.changes == changes) return;
        if (group.to != 0) group.leader = group.to;
        group.to = 0;
    }
    fail_msg("the members of control change for ever");
}

static unsigned voters(void)
{
    unsigned n = 0;

    for (unsigned i = 1; i <= NODES; i++)
        n += cluster_votes(&nodes[i], i);
    return n;
}

/* Node 1 began the cluster, leads, and has let the others in: of four, three vote. */
static int begin(void **state)
{
    const uint64_t first = 1;

    (void)state;
    group = (struct raft_group){ .leader = 1, .config = { .count = 1 } };
    group.config.members[0] = (struct core_member){ .node = first, .flags = CORE_VOTES_NEW };
    scene_open(&scene);
    if (scene_born(&scene) != 0) return -1;
    scene_nodes(&scene, NODES);
    for (unsigned i = 1; i <= NODES; i++)
        nodes[i] = (struct cluster){ .control = scene.control, .group = &group, .self.node = i };
    settle();
    return group.config.count == NODES && voters() == 3 && group.leader == 1 ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    control_free(&scene.control);
    return 0;
}

/* ---- the tests */

static void promote(uint64_t node)
{
    assert_int_equal(scene_promote(&scene, node, true), 0);
}

static void a_leader_that_is_one_voter_too_many_hands_over(void **state)
{
    (void)state;
    promote(2);
    promote(3);
    promote(4);
    settle();
    assert_int_equal(voters(), 3);
    assert_false(cluster_votes(&nodes[1], 1));
    assert_int_not_equal(group.leader, 1);
    assert_int_equal(group.transfers, 1);
}

/* The three who are left are a quorum without him who is down. */
static void it_hands_over_to_one_that_is_up(void **state)
{
    (void)state;
    promote(2);
    promote(3);
    promote(4);
    group.config.members[3].flags = CORE_VOTES_NEW; /* 4 has got its vote before 2 died */
    group.down[2] = true;
    settle();
    assert_int_equal(voters(), 3);
    assert_false(cluster_votes(&nodes[1], 1));
    assert_true(group.leader == 3 || group.leader == 4);
}

static void it_stays_where_another_voter_can_make_room(void **state)
{
    (void)state;
    promote(4);
    settle();
    assert_int_equal(voters(), 3);
    assert_true(cluster_votes(&nodes[1], 1));
    assert_true(cluster_votes(&nodes[4], 4));
    assert_int_equal(group.leader, 1);
    assert_int_equal(group.transfers, 0);
}

/* All were promoted, this one, too: they vote, as was asked for. */
static void it_stays_when_it_was_promoted(void **state)
{
    (void)state;
    for (unsigned i = 1; i <= NODES; i++)
        promote(i);
    settle();
    assert_int_equal(voters(), 4);
    assert_int_equal(group.leader, 1);
    assert_int_equal(group.transfers, 0);
}

static void who_drains_neither_leads_nor_votes(void **state)
{
    (void)state;
    assert_int_equal(scene_state(&scene, 1, CONTROL_DRAINING), 0);
    settle();
    assert_int_equal(voters(), 3);
    assert_false(cluster_votes(&nodes[1], 1));
    assert_int_not_equal(group.leader, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_leader_that_is_one_voter_too_many_hands_over, begin, end),
        cmocka_unit_test_setup_teardown(it_hands_over_to_one_that_is_up, begin, end),
        cmocka_unit_test_setup_teardown(it_stays_where_another_voter_can_make_room, begin, end),
        cmocka_unit_test_setup_teardown(it_stays_when_it_was_promoted, begin, end),
        cmocka_unit_test_setup_teardown(who_drains_neither_leads_nor_votes, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
