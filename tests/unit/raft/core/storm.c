/* storm - groups of one to five in every kind of weather, from seeds: loss, repetition, reordering, old messages,
 * cuts one way and both, crashes that lose what was not synced, synced entries lost on one node, disks that
 * stall, members that come, learn, vote and go, leaders that hand over, logs that are cut, snapshots. toy.h looks
 * after every step. Then the weather clears for a majority, and the group must agree on something new.
 *
 *   unit_raft_core_storm [SEEDS [FIRST]]
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#define TOY_NODES   6
#define TOY_LOG     160
#define TOY_TERMS   512
#define TOY_WRITES  48
#define TOY_MSGS    256
#define TOY_CONFIGS 200
#define TOY_CORE    4096
#include "tests/unit/raft/core/toy.h"

#include "proto/ground/rng.h"

#define STEPS 600

static struct toy toy;
static struct rng rng;
static struct toy_msg old[32]; /* to come again, much later */
static unsigned old_count;
static unsigned lost_node; /* at most one node loses synced entries; so does a minority only */
static uint64_t term_max;
static bool has_losses, has_changes;

static uint64_t draw(uint64_t n)
{
    return rng_below(&rng, n);
}

static unsigned any_node(void)
{
    return 1 + (unsigned)draw(TOY_NODES);
}

static void begin(uint64_t seed)
{
    unsigned voters;
    struct core_options o = { .election_ms = 100,
                              .heartbeat_ms = 20,
                              .uncommitted_bytes_max = 1000,
                              .limits = { .members_max = 9 } };

    rng_seed(&rng, seed);
    voters = 1 + (unsigned)draw(5);
    o.rest_after_ms = draw(2) ? 60 : 0;
    o.disk_stall_ms = draw(2) ? 100 : 0;
    o.window_entries = draw(2) ? 3 : 0;
    o.append_entries_max = draw(2) ? 2 : 0;
    o.limits.runs_max = draw(2) ? 4 : 0;
    o.unapplied_bytes_max = draw(4) ? 0 : 60;
    o.config.count = voters;
    for (unsigned i = 0; i < voters; i++)
        o.config.members[i] = (struct core_member){ .node = i + 1,
                                                    .flags = CORE_VOTES_NEW,
                                                    .zone = (uint16_t)(1 + i % 2),
                                                    .priority = (uint8_t)(1 + draw(3)) };
    o.config.spread = voters >= 3 && draw(3) == 0 ? CORE_SPREAD_ZONE : CORE_SPREAD_NONE;
    has_losses = voters >= 3 && draw(3) == 0;
    has_changes = !has_losses && draw(2); /* a small new half may need the one that lost */
    toy_init(&toy, &o);
    for (unsigned n = 1; n <= TOY_NODES; n++)
        toy_make(&toy, n);
    old_count = lost_node = 0;
    term_max = 0;
}

/* ---- what may happen */

static void some_message(void)
{
    unsigned i;

    if (toy.msg_count == 0) return;
    i = draw(3) ? 0 : (unsigned)draw(toy.msg_count); /* mostly in order */
    if (toy.msgs[i].after_write > 0) return;
    switch (draw(12)) {
    case 0:
        toy_lose(&toy, i);
        return;
    case 1:
        toy_recv(&toy, &toy.msgs[i]); /* and again, later */
        return;
    case 2:
        if (old_count < 32) old[old_count++] = toy.msgs[i];
        break;
    }
    toy_deliver(&toy, i);
}

static void old_message(void)
{
    unsigned i;

    if (old_count == 0) return;
    i = (unsigned)draw(old_count);
    /* What a node said before it lost synced entries does not come after it: its incarnation has ended. */
    if (old[i].m.kind == CORE_MSG_SNAPSHOT || old[i].m.from == lost_node) return;
    toy_recv(&toy, &old[i]);
}

static void some_time(unsigned n)
{
    struct toy_node *node = &toy.nodes[n];

    if (node->up) toy_time(&toy, n, node->now_ms + draw(draw(4) ? 30 : 200));
}

static void lose_synced(unsigned n)
{
    struct toy_node *node = &toy.nodes[n];
    uint64_t kept;

    if (!has_losses || (lost_node != 0 && lost_node != n) || draw(4) != 0) return;
    lost_node = n;
    kept = node->disk.last - draw(node->disk.last - node->disk.first + 2);
    node->disk.last = kept;
    if (draw(2)) node->disk.hard = (struct core_hard){ toy_term(&node->disk, kept), 0 };
    node->memory = node->disk;
    node->is_tainted = true;
    for (unsigned i = 0; i < toy.msg_count;) { /* its connections end with it */
        if (toy.msgs[i].m.from == n)
            toy_remove_msg(&toy, i);
        else
            i++;
    }
}

static void crash_or_boot(unsigned n)
{
    struct toy_node *node = &toy.nodes[n];

    if (node->up) {
        if (node->installing.index > 0) return;
        toy_crash(&toy, n, (unsigned)draw(node->write_count + 1));
        lose_synced(n);
    } else {
        toy_boot(&toy, n, node->is_tainted ? term_max : 0);
    }
}

static void some_change(unsigned n)
{
    struct core_event e = { .kind = CORE_RECONF };
    struct core_config g = { .spread = toy.options.config.spread };

    if (!has_changes || toy.config_count > TOY_CONFIGS - 8) return;
    for (unsigned i = 1; i <= TOY_NODES; i++) {
        static const uint8_t flags[] = { CORE_VOTES_NEW, CORE_VOTES_NEW, CORE_LEARNS,
                                         CORE_LEARNS | CORE_PROMOTE };

        if (draw(3) == 0 || i == lost_node) continue;
        g.members[g.count++] = (struct core_member){ .node = i,
                                                     .flags = flags[draw(4)],
                                                     .zone = (uint16_t)(1 + i % 2),
                                                     .priority = (uint8_t)draw(3) };
    }
    if (lost_node) /* stays what it is: no other may lose with it */
        g.members[g.count++] = (struct core_member){ .node = lost_node, .flags = CORE_VOTES_NEW };
    e.u.reconf.config = &g;
    e.u.reconf.hasty = draw(2);
    if (g.count > 0) toy_step(&toy, n, &e, NULL);
}

static void told(unsigned n)
{
    struct core_event e = { .kind = CORE_PEER };

    e.u.peer.node = any_node();
    e.u.peer.up = draw(3);
    e.u.peer.woke = draw(2);
    if (e.u.peer.node != n) toy_step(&toy, n, &e, NULL);
}

static void asked(unsigned n)
{
    struct core_event e = { .kind = CORE_TRANSFER };

    switch (draw(4)) {
    case 0:
        break;
    case 1:
        e.kind = CORE_READ;
        e.u.read.context = draw(100);
        break;
    case 2:
        e.kind = CORE_DISK;
        e.u.disk.oldest_ms = draw(2) ? 150 : 0;
        break;
    case 3:
        told(n);
        return;
    }
    toy_step(&toy, n, &e, NULL);
}

static void step(void)
{
    unsigned n = any_node();
    struct toy_node *node = &toy.nodes[n];
    uint64_t action = draw(100);

    for (unsigned i = 1; i <= TOY_NODES; i++)
        if (toy.nodes[i].term > term_max) term_max = toy.nodes[i].term;
    if (action < 50) {
        some_message();
    } else if (action < 62) {
        some_time(n);
    } else if (action < 64) {
        crash_or_boot(n);
    } else if (action < 65) {
        unsigned o = any_node();

        toy.cut[n][o] = draw(2);
        if (draw(2)) toy.cut[o][n] = toy.cut[n][o];
    } else if (action < 66) {
        old_message();
    } else if (!node->up) {
        return;
    } else if (action < 84) {
        toy_sync(&toy, n, 1 + (unsigned)draw(3));
        if (node->write_count == 0 && node->installing.index > 0) toy_install(&toy, n, draw(4) > 0);
    } else if (action < 90) {
        toy_apply(&toy, n);
    } else if (action < 95) {
        if (node->memory.last < TOY_LOG - 60 && node->write_count < TOY_WRITES / 2)
            toy_propose(&toy, n, 0, draw(2));
    } else if (action < 96) {
        if (node->write_count == 0 && node->installing.index == 0 &&
            node->applied >= node->disk.first && node->applied <= node->disk.last)
            toy_cut(&toy, n, node->disk.first + draw(node->applied - node->disk.first + 1));
    } else if (action < 97) {
        some_change(n);
    } else {
        asked(n);
    }
}

/* ---- fair weather: everything arrives, in order; all but the broken are up, time goes on */

static void wake_others(unsigned n)
{
    struct core_event e = { .kind = CORE_PEER, .u.peer = { .node = n, .up = true, .woke = true } };

    toy.nodes[n].owes_waking = false;
    for (unsigned o = 1; o <= TOY_NODES; o++)
        if (o != n) toy_step(&toy, o, &e, NULL);
}

static void calm_round(void)
{
    for (unsigned n = 1; n <= TOY_NODES; n++) {
        struct toy_node *node = &toy.nodes[n];

        toy_sync(&toy, n, TOY_WRITES);
        if (node->installing.index > 0) toy_install(&toy, n, true);
        toy_apply(&toy, n);
        if (node->owes_waking) wake_others(n);
        node->now_ms += 5;
        if (node->wake_at_ms <= node->now_ms) toy_time(&toy, n, 0);
    }
    for (unsigned left = toy.msg_count, i = 0; left > 0; left--) {
        if (toy.msgs[i].after_write == 0)
            toy_deliver(&toy, i);
        else
            i++;
    }
}

static void clear_up(void)
{
    memset(toy.cut, 0, sizeof toy.cut);
    while (toy.msg_count > 0)
        toy_lose(&toy, 0);
    for (unsigned n = 1; n <= TOY_NODES; n++) {
        struct core_event e = { .kind = CORE_PEER, .u.peer = { .up = true, .woke = true } };
        struct core_event disk = { .kind = CORE_DISK };

        if (!toy.nodes[n].up) toy_boot(&toy, n, toy.nodes[n].is_tainted ? term_max : 0);
        toy_step(&toy, n, &disk, NULL);
        for (e.u.peer.node = 1; e.u.peer.node <= TOY_NODES; e.u.peer.node++)
            if (e.u.peer.node != n) toy_step(&toy, n, &e, NULL);
    }
}

static unsigned ready_leader(void)
{
    struct core_view v;

    for (unsigned n = 1; n <= TOY_NODES; n++) {
        core_see(toy_core(&toy, n), &v);
        if (v.ready) return n;
    }
    return 0;
}

static bool converges(void)
{
    unsigned leader;

    clear_up();
    for (unsigned round = 0; round < 2000 && !toy.broken; round++) {
        struct core_event e = { .kind = CORE_READ };
        const struct core_config *g;
        bool all = true;
        uint64_t goal;

        calm_round();
        if (round % 100 != 99 || (leader = ready_leader()) == 0) continue;
        if (toy_propose(&toy, leader, 0, false) != 0) continue;
        goal = toy.nodes[leader].memory.last;
        toy_step(&toy, leader, &e, NULL);
        for (unsigned i = 0; i < 80 && !toy.broken; i++)
            calm_round();
        g = core_config_now(toy_core(&toy, leader));
        for (unsigned i = 0; i < g->count; i++)
            all = all && toy.nodes[g->members[i].node].applied >= goal;
        if (all) return true;
    }
    return false;
}

static void run_seed(uint64_t seed)
{
    begin(seed);
    for (unsigned i = 0; i < STEPS && !toy.broken; i++)
        step();
    if (!toy.broken && !converges() && !toy.broken)
        TOY_BREACH(&toy, "fair weather, and no agreement");
    if (!toy.broken) return;
    fprintf(stderr, "seed %u: %s\n", U(seed), toy.breach);
    fail();
}

static uint64_t seeds = 10000, first_seed = 1;

static void every_promise_holds_in_every_weather(void **state)
{
    (void)state;
    for (uint64_t seed = first_seed; seed < first_seed + seeds; seed++)
        run_seed(seed);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_promise_holds_in_every_weather) };
    struct buf text;

    if (argc > 1) seeds = strtoull(argv[1], NULL, 10);
    if (argc > 2) first_seed = strtoull(argv[2], NULL, 10);
    if (getenv("STORM_TRACE")) {
        buf_init(&text, 64u << 20);
        toy_text = &text;
        begin(first_seed);
        for (unsigned i = 0; i < STEPS && !toy.broken; i++)
            step();
        if (!toy.broken) converges();
        fputs(buf_cstr(&text), stdout);
        printf("%s\n", toy.broken ? toy.breach : "no breach");
        buf_deinit(&text);
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
