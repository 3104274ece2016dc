/* rest - ten thousand idle groups: no steps, no messages but one beat for each pair of nodes, little memory; and all of
 * them have a leader again soon after one of their nodes is gone. */
#include "proto/ground/metric.h"
#include "tests/unit/raft/engine/town.h"

#ifdef ANGARIUM_SANITIZED
#define GROUPS 500u
#else
#define GROUPS 10000u
#endif

static struct town town;
static struct raft_group **groups[4];
static enum raft_role *roles[4];

static void ignore_apply(void *arg, const struct raft_entry *e)
{
    (void)arg;
    (void)e;
}

static void note_role(void *arg, enum raft_role role, uint64_t term, uint64_t leader)
{
    (void)term;
    (void)leader;
    *(enum raft_role *)arg = role;
}

static void open_groups(uint64_t node)
{
    struct town_node *n = &town.nodes[node];

    groups[node] = check_calloc(GROUPS, sizeof(struct raft_group *));
    roles[node] = check_calloc(GROUPS, sizeof *roles[node]);
    for (unsigned i = 0; i < GROUPS; i++) {
        struct raft_machine m = { .arg = &roles[node][i],
                                  .apply = ignore_apply,
                                  .role = note_role };

        assert_int_equal(
            raft_group_open(n->raft, 100 + i, 0, &town.config, &m, 0, &groups[node][i], NULL), 0);
    }
}

static unsigned led_by(uint64_t node)
{
    unsigned n = 0;

    for (unsigned i = 0; town.nodes[node].raft && i < GROUPS; i++)
        n += roles[node][i] == RAFT_LEADER;
    return n;
}

static unsigned at_rest(uint64_t node)
{
    unsigned n = 0;

    for (unsigned i = 0; i < GROUPS; i++) {
        struct raft_group_view v;

        raft_group_see(groups[node][i], &v);
        n += v.resting;
    }
    return n;
}

static void run_until_all_rest(void)
{
    for (unsigned s = 0; s < 60; s++) {
        unsigned resting = 0;

        town_run(&town, 500);
        for (uint64_t k = 1; k <= 3; k++)
            resting += town.nodes[k].raft ? at_rest(k) : GROUPS;
        if (resting == 3 * GROUPS) return;
    }
    fail_msg("groups do not come to rest");
}

static void turn_on(struct town_node *n)
{
    do
        town_turn(n);
    while (n->turn_at_ms <= town.now_ms || n->is_woken);
}

/* A process that slept wakes: all others are judged down in one turn, and every timer is due. No message is dropped because there
 * are too many at once, and no turn takes all timers. */
static void what_is_due_at_once_takes_turns(void **state)
{
    uint64_t sent, full;
    struct town_node *n;

    (void)state;
    town_begin(&town, 3, 0);
    town_start_all(&town);
    open_groups(1);
    n = &town.nodes[1];
    town.now_ms += 10000;
    turn_on(n);
    town.now_ms += 2000;
    sent = metric_get(M_RAFT_MESSAGES_SENT);
    full = metric_get(M_RAFT_OUTBOX_FULL);
    turn_on(n);
    assert_int_equal(metric_get(M_RAFT_MESSAGES_SENT) - sent, 2 * GROUPS);
    town.now_ms += 2000;
    town_turn(n);
    assert_in_range(metric_get(M_RAFT_MESSAGES_SENT) - sent, 2 * GROUPS + 1, 2 * GROUPS + 2 * 1024);
    turn_on(n);
    assert_int_equal(metric_get(M_RAFT_MESSAGES_SENT) - sent, 4 * GROUPS);
    assert_int_equal(metric_get(M_RAFT_OUTBOX_FULL) - full, 0);
    while (town_deliver_one(&town))
        ;
    town_end(&town);
    free(groups[1]);
    free(roles[1]);
}

static void idle_groups_cost_nothing(void **state)
{
    uint64_t turns, frames, bytes;
    struct raft_group_view v;

    (void)state;
    town_begin(&town, 3, 0);
    town_start_all(&town);
    for (uint64_t k = 1; k <= 3; k++)
        open_groups(k);
    run_until_all_rest();
    assert_int_equal(led_by(1) + led_by(2) + led_by(3), GROUPS);
    raft_group_see(groups[1][0], &v);
    print_message("%zu bytes a group\n", v.memory_bytes);
    assert_true(v.memory_bytes < 4096 && v.cached_bytes == 0);
    /* one beat each 100 ms for each of six directions, and the turns for it; no message of any group */
    frames = town.frames;
    bytes = town.frame_bytes;
    turns = town.nodes[1].turns;
    town_run(&town, 5000);
    assert_in_range(town.frames - frames, 294, 306);
    assert_true((town.frame_bytes - bytes) / (town.frames - frames) < 40);
    assert_true(town.nodes[1].turns - turns < 200);
    assert_int_equal(at_rest(1) + at_rest(2) + at_rest(3), 3 * GROUPS);
}

static void they_wake_when_their_leader_is_gone(void **state)
{
    uint64_t began = town.now_ms;

    (void)state;
    town_kill(&town, 1, true);
    while (led_by(2) + led_by(3) < GROUPS && town.now_ms < began + 10000)
        town_ms(&town);
    print_message("%u groups led again after %u ms\n", GROUPS, (unsigned)(town.now_ms - began));
    assert_int_equal(led_by(2) + led_by(3), GROUPS);
    town_run(&town, 5000); /* they rest again, though one member is away */
    assert_int_equal(at_rest(2) + at_rest(3), 2 * GROUPS);
}

static void one_that_works_wakes_no_other(void **state)
{
    uint64_t node = led_by(2) > 0 ? 2 : 3;
    unsigned one = 0, turns;
    struct town_ask a = { .answer = -1, .p.on_done = town_on_done };

    (void)state;
    while (roles[node][one] != RAFT_LEADER)
        one++;
    a.p.head = SPAN_LIT("x");
    assert_int_equal(raft_propose(groups[node][one], &a.p), 0);
    town.nodes[node].is_woken = true;
    turns = town.nodes[node].turns;
    town_run(&town, 100);
    assert_int_equal(a.answer, RAFT_COMMITTED);
    assert_int_equal(at_rest(2) + at_rest(3), 2 * GROUPS - 2);
    assert_true(town.nodes[node].turns - turns < 30);
    town_end(&town);
    for (uint64_t k = 1; k <= 3; k++) {
        free(groups[k]);
        free(roles[k]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_due_at_once_takes_turns),
        cmocka_unit_test(idle_groups_cost_nothing),
        cmocka_unit_test(they_wake_when_their_leader_is_gone),
        cmocka_unit_test(one_that_works_wakes_no_other),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
