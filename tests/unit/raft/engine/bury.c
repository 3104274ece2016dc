/* bury - a member that is not one any more gives its log up and keeps its promises; and comes back later as who has lost data. */
#include "tests/unit/raft/engine/town.h"

static struct town town;

/* Five nodes; 1, 2 and 3 begin. */
static int begin(void **state)
{
    (void)state;
    town_begin(&town, 5, 1);
    town.config = raft_config_of((uint64_t[]){ 1, 2, 3 }, 3);
    town_start_all(&town);
    return 0;
}

static int end(void **state)
{
    (void)state;
    town_end(&town);
    return 0;
}

static void lead_by(uint64_t node)
{
    for (unsigned i = 0; i < 10000 && town.nodes[node].machines[0].role != RAFT_LEADER; i++) {
        raft_group_transfer(town_elect(&town, 0)->groups[0], node, 0); /* refused: not yet */
        town_ms(&town);
    }
    assert_int_equal(town.nodes[node].machines[0].role, RAFT_LEADER);
}

static void change_to(const struct core_config *aim)
{
    struct town_node *n = town_elect(&town, 0);
    int rv = ERR_AGAIN;

    for (unsigned i = 0; i < 10000; i++) {
        const struct core_config *now = raft_group_config(n->groups[0]);

        if (rv != 0 && rv != ERR_EXISTS) rv = raft_group_change(n->groups[0], aim, 0);
        town_ms(&town);
        if ((rv == 0 || rv == ERR_EXISTS) && now->count == aim->count && !now->joint &&
            town_see(n, 0).config_committed)
            return;
    }
    fail_msg("the members do not change");
}

/* Those vote, and nobody else; who comes learns first. */
static void move_to(const uint64_t *voters, unsigned count)
{
    struct core_config aim = *raft_group_config(town_elect(&town, 0)->groups[0]);

    for (unsigned i = 0; i < count; i++) {
        bool is_there = false;

        for (unsigned k = 0; k < aim.count; k++)
            is_there = is_there || aim.members[k].node == voters[i];
        if (is_there) continue;
        aim.members[aim.count++] = (struct core_member){ .node = voters[i],
                                                         .flags = CORE_LEARNS | CORE_PROMOTE,
                                                         .priority = 1 };
    }
    change_to(&aim);
    for (unsigned i = 0, voting = 0; voting < aim.count; i++) {
        const struct core_config *now = raft_group_config(town_elect(&town, 0)->groups[0]);

        if (i == 20000) fail_msg("who comes does not get to vote");
        voting = 0;
        for (unsigned k = 0; k < now->count; k++)
            voting += !now->joint && (now->members[k].flags & CORE_VOTES_NEW);
        town_ms(&town);
    }
    aim = raft_config_of(voters, count);
    change_to(&aim);
}

/* The members have applied what the leader has. */
static void settle(void)
{
    struct town_node *n = town_elect(&town, 0);
    const struct core_config *now = raft_group_config(n->groups[0]);

    for (unsigned i = 0, behind = 1; behind > 0; i++) {
        if (i == 20000) fail_msg("%u members are behind", behind);
        town_ms(&town);
        behind = 0;
        for (unsigned k = 0; k < now->count; k++) {
            const struct town_node *m = &town.nodes[now->members[k].node];

            behind += m->raft && (m->machines[0].sum != n->machines[0].sum ||
                                  m->machines[0].count != n->machines[0].count);
        }
    }
}

static void close_group(uint64_t node)
{
    raft_group_close(&town.nodes[node].groups[0]);
    town.nodes[node].machines[0].role = RAFT_FOLLOWER;
}

static void empty_machine(uint64_t node)
{
    memset(&town.nodes[node].machines[0], 0, sizeof town.nodes[node].machines[0]);
}

/* On a node that has no log thread, whose disk writes as soon as it is told. */
static void bury(uint64_t node)
{
    uint64_t upto = town.nodes[node].machines[0].applied;
    struct errmsg why = { "" };
    bool had = false;

    close_group(node);
    assert_int_equal(raft_group_bury(town.nodes[node].raft, 1, upto, &had, &why), 0);
    assert_true(had);
    empty_machine(node);
}

static void open_again(uint64_t node)
{
    struct errmsg why = { "" };

    if (town_open_group(&town.nodes[node], 0, &town.config, &why) != 0) fail_msg("%s", why.text);
    town.nodes[node].is_woken = true;
}

static void a_group_is_buried_once(void **state)
{
    struct town_node *n = &town.nodes[3];
    struct errmsg why = { "" };
    bool had = true, remains, buried;
    struct core_hard before;

    (void)state;
    town_fill(&town, 0, 5, 10);
    settle();
    assert_int_equal(raft_group_bury(n->raft, 1, 0, &had, &why), ERR_EXISTS);
    close_group(3);
    before = store_mem_hard(n->store, 1);
    assert_int_equal(raft_group_remains(n->raft, 1, &remains, &buried, &why), 0);
    assert_true(remains && !buried);
    assert_int_equal(raft_group_bury(n->raft, 1, 3, &had, &why), 0);
    assert_true(had);
    assert_int_equal(raft_group_remains(n->raft, 1, &remains, &buried, &why), 0);
    assert_true(!remains && buried);
    assert_int_equal(raft_group_bury(n->raft, 1, 3, &had, &why), 0);
    assert_false(had);
    assert_true(before.term > 0 && store_mem_hard(n->store, 1).term == before.term);
    assert_int_equal(store_mem_hard(n->store, 1).vote, before.vote);
    assert_int_equal(raft_group_bury(n->raft, 99, 0, &had, &why), 0); /* nobody ever heard of it */
    assert_false(had);
    assert_int_equal(raft_group_remains(n->raft, 99, &remains, &buried, &why), 0);
    assert_true(!remains && !buried);
}

/* A damaged log is not taken away: nobody can tell what it has promised. */
static void a_log_that_cannot_be_read_stays(void **state)
{
    struct town_node *n = &town.nodes[3];
    struct errmsg why = { "" };
    bool had = true, remains, buried;

    (void)state;
    town_fill(&town, 0, 5, 10);
    settle();
    close_group(3);
    assert_true(store_mem_flip(n->store, 1, 3));
    assert_int_equal(raft_group_bury(n->raft, 1, 5, &had, &why), ERR_CORRUPT);
    assert_false(had);
    assert_int_equal(raft_group_remains(n->raft, 1, &remains, &buried, &why), ERR_CORRUPT);
    assert_int_equal(store_entry_read(n->store, 1, 2, NULL, NULL, NULL, NULL), 0);
}

/* 2 was cut off while the group moved from 1, 2, 3 to 1, 4, 5, and believes that 3 and it are a quorum. So does 3 when it has given
 * its log up and is opened with those with whom the group began. True: one of them leads. */
static bool the_old_ones_elect(bool buries)
{
    struct errmsg why = { "" };
    bool had, leads = false;

    town_fill(&town, 0, 5, 10);
    lead_by(1);
    settle();
    town_alone(&town, 2, true, true);
    move_to((uint64_t[]){ 1, 4, 5 }, 3);
    town_fill(&town, 0, 5, 10);
    if (buries) {
        bury(3);
    } else {
        close_group(3);
        assert_int_equal(raft_group_forget(town.nodes[3].raft, 1, &had, &why), 0);
        empty_machine(3);
    }
    open_again(3);
    for (uint64_t i = 1; i <= 5; i++)
        if (i != 3) town_cable(&town, 3, i, i == 2, true);
    town_cable(&town, 2, 3, true, true);
    for (unsigned i = 0; i < 10000; i++) {
        town_ms(&town);
        leads = leads || town.nodes[2].machines[0].role == RAFT_LEADER ||
                town.nodes[3].machines[0].role == RAFT_LEADER;
    }
    return leads;
}

static void who_was_buried_gives_no_vote(void **state)
{
    (void)state;
    assert_false(the_old_ones_elect(true));
    assert_true(town_see(&town.nodes[3], 0).tainted);
}

/* What the former stands for: with raft_group_forget a second leader would rule over an older log. */
static void who_forgets_elects_a_second_leader(void **state)
{
    (void)state;
    assert_true(the_old_ones_elect(false));
}

static void assert_is_back(uint64_t node)
{
    settle();
    for (unsigned i = 0; i < 5000 && town_see(&town.nodes[node], 0).tainted; i++)
        town_ms(&town);
    assert_false(town_see(&town.nodes[node], 0).tainted);
    assert_int_equal(town.nodes[node].machines[0].count, town_elect(&town, 0)->machines[0].count);
}

static void who_was_buried_comes_back_as_a_learner_and_votes(void **state)
{
    (void)state;
    town_fill(&town, 0, 5, 10);
    lead_by(1);
    settle();
    move_to((uint64_t[]){ 1, 2, 4 }, 3);
    bury(3);
    town_fill(&town, 0, 5, 10);
    open_again(3);
    assert_true(town_see(&town.nodes[3], 0).tainted);
    move_to((uint64_t[]){ 1, 2, 3 }, 3);
    assert_is_back(3);
    town_kill(&town, 1, true); /* 2 and 3 are a quorum */
    town_fill(&town, 0, 5, 10);
    town_kill(&town, 3, true); /* the tombstone is gone for good */
    town_start(&town, 3);
    assert_false(town_see(&town.nodes[3], 0).tainted);
    assert_int_equal(town.nodes[3].machines[0].count, 15);
}

/* The others have cut their logs: it comes back by a snapshot; and is killed again and again on the way. */
static void who_was_buried_is_killed_on_its_way_back(void **state)
{
    (void)state;
    town_fill(&town, 0, 20, 1000);
    lead_by(1);
    settle();
    move_to((uint64_t[]){ 1, 2, 4 }, 3);
    bury(3);
    for (uint64_t i = 1; i <= 5; i++)
        if (town.nodes[i].groups[0])
            raft_group_cut(town.nodes[i].groups[0], town.nodes[i].machines[0].applied);
    town_fill(&town, 0, 5, 10);
    open_again(3);
    {
        struct core_config aim = *raft_group_config(town_elect(&town, 0)->groups[0]);

        aim.members[aim.count++] =
            (struct core_member){ .node = 3, .flags = CORE_LEARNS | CORE_PROMOTE, .priority = 1 };
        change_to(&aim);
    }
    for (unsigned ms = 1; ms < 40 && town_see(&town.nodes[3], 0).tainted; ms++) {
        town_kill(&town, 3, ms % 2 == 0);
        town_start(&town, 3);
        town_run(&town, ms);
    }
    town_run(&town, 5000);
    move_to((uint64_t[]){ 1, 2, 3 }, 3);
    assert_is_back(3);
    assert_true(town.nodes[3].machines[0].committed > 0);
}

/* It led on a side that was no quorum: what it appended there nobody will ever have. The group comes to no such index, and it
 * votes all the same: it counts what it knows to be committed. */
static void entries_of_a_lost_side_do_not_keep_it_from_voting(void **state)
{
    static struct town_ask asks[50];
    uint64_t last;

    (void)state;
    town_fill(&town, 0, 5, 10);
    lead_by(3);
    settle();
    town_alone(&town, 3, true, false);
    for (unsigned i = 0; i < 50; i++)
        assert_int_equal(town_ask(&town.nodes[3], 0, &asks[i], (struct span){ 0 }), 0);
    town_run(&town, 5000);
    last = town_see(&town.nodes[3], 0).last;
    move_to((uint64_t[]){ 1, 2, 4 }, 3);
    bury(3);
    town_alone(&town, 3, false, true);
    open_again(3);
    move_to((uint64_t[]){ 1, 2, 3 }, 3);
    assert_is_back(3);
    assert_true(town_see(&town.nodes[3], 0).last < last);
}

/* The process ended when the log was gone and the machine was not: what the machine has may lean on what the log had. */
static void a_machine_that_is_left_is_refused(void **state)
{
    struct errmsg why = { "" };
    struct town_machine left;

    (void)state;
    town_fill(&town, 0, 5, 10);
    lead_by(1);
    settle();
    move_to((uint64_t[]){ 1, 2, 4 }, 3);
    left = town.nodes[3].machines[0];
    bury(3);
    town.nodes[3].machines[0] = left;
    assert_int_equal(town_open_group(&town.nodes[3], 0, &town.config, &why), ERR_AGAIN);
    assert_true(strstr(why.text, "buried") != NULL);
    empty_machine(3);
    open_again(3);
    move_to((uint64_t[]){ 1, 2, 3 }, 3);
    assert_is_back(3);
}

/* The only founder: what it is opened with says that it is alone. */
static void who_began_alone_was_buried_and_comes_back(void **state)
{
    (void)state;
    for (uint64_t i = 1; i <= 5; i++)
        town_kill(&town, i, false);
    town_end(&town);
    town_begin(&town, 5, 1);
    town.config = raft_config_of((uint64_t[]){ 3 }, 1);
    town_start_all(&town);
    town_fill(&town, 0, 5, 10);
    move_to((uint64_t[]){ 3, 1, 2 }, 3);
    lead_by(1);
    move_to((uint64_t[]){ 1, 2 }, 2);
    bury(3);
    open_again(3);
    town_run(&town, 5000);
    assert_true(town_see(&town.nodes[3], 0).tainted);
    assert_int_not_equal(town.nodes[3].machines[0].role, RAFT_LEADER);
    town_fill(&town, 0, 5, 10);
    move_to((uint64_t[]){ 1, 2, 3 }, 3);
    assert_is_back(3);
    town_kill(&town, 1, true);
    town_fill(&town, 0, 5, 10);
    assert_is_back(3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(who_began_alone_was_buried_and_comes_back),
        TEST(a_group_is_buried_once),
        TEST(a_log_that_cannot_be_read_stays),
        TEST(who_was_buried_gives_no_vote),
        TEST(who_forgets_elects_a_second_leader),
        TEST(who_was_buried_comes_back_as_a_learner_and_votes),
        TEST(who_was_buried_is_killed_on_its_way_back),
        TEST(entries_of_a_lost_side_do_not_keep_it_from_voting),
        TEST(a_machine_that_is_left_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
