/* failover - how long nobody leads after a leader's end, over thousands of elections on simulated time.
 *
 *   unit_raft_core_failover [RUNS]     a line for each case: median, 99 of 100, longest
 *
 * A little world of its own: messages take their time on links that keep the order, each node's disk syncs one write
 * after the other, now and then either is slow; the leader is idle, at rest or at work when it ends. Its end is told as
 * raft/engine/peer.c tells it: a process that dies closes its connections, each noticed at its own moment; a cable that
 * is cut is noticed by silence, at the next look after 500 ms.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/ground/check.h"
#include "proto/ground/rng.h"
#include "raft/core/core.h"

#define NODES_MAX  5
#define LOG_MAX    512
#define EVENTS_MAX 512
#define HELD_MAX   64
#define BATCH_MAX  64
#define MS         UINT64_C(1000)
#define BEAT_US    (100 * MS)
#define SUSPECT_US (500 * MS)
#define ELECTION   500
#define LIMIT_US   (60000 * MS)

struct message {
    struct core_msg msg;
    uint64_t terms[BATCH_MAX];
};
enum event_kind { MESSAGE, SYNC, TIMER, DOWN, WORK };
struct event {
    uint64_t at_us, order, stamp;
    enum event_kind kind;
    unsigned node, which; /* which: the message; DOWN: who is down */
};
struct node {
    bool up, is_ready;
    struct core *core;
    uint64_t terms[LOG_MAX];
    uint64_t last, applied, disk_free_us, look_us;
    unsigned held_count;
    struct core_send held[HELD_MAX];
};
static struct world {
    struct rng rng;
    uint64_t now_us, order;
    unsigned count, leader; /* leader: 0, nobody is ready */
    struct node nodes[NODES_MAX + 1];
    uint64_t link_us[NODES_MAX + 1][NODES_MAX + 1]; /* what was sent last arrives then */
    unsigned event_count;
    struct event events[EVENTS_MAX];
    bool is_used[EVENTS_MAX];
} world;
static struct message messages[EVENTS_MAX];
static struct core_update update;

static uint64_t between(uint64_t min, uint64_t max)
{
    return min + rng_below(&world.rng, max - min + 1);
}

static uint64_t trip_us(void)
{
    return rng_below(&world.rng, 50) ? between(100, 1500) : between(MS, 15 * MS);
}

static uint64_t sync_us(void)
{
    return rng_below(&world.rng, 20) ? between(300, 6 * MS) : between(5 * MS, 40 * MS);
}

static struct event *add(uint64_t at_us, enum event_kind kind, unsigned node)
{
    struct event *e = &world.events[world.event_count];

    CHECK(world.event_count < EVENTS_MAX);
    world.event_count++;
    *e = (struct event){ .at_us = at_us, .order = ++world.order, .kind = kind, .node = node };
    return e;
}

/* ---- the host, as raft/core/core.h asks for it */

static unsigned place(void)
{
    unsigned i = 0;

    while (world.is_used[i])
        CHECK(++i < EVENTS_MAX);
    world.is_used[i] = true;
    return i;
}

static void send(unsigned from, const struct core_msg *m)
{
    struct node *n = &world.nodes[from];
    uint64_t *link_us = &world.link_us[from][m->to], at_us = world.now_us + trip_us();
    struct message *p;
    unsigned i;

    if (!world.nodes[m->to].up) return;
    i = place();
    p = &messages[i];
    p->msg = *m;
    CHECK(m->count <= BATCH_MAX && m->kind != CORE_MSG_SNAPSHOT);
    for (unsigned k = 0; k < m->count; k++)
        p->terms[k] = n->terms[m->first + k];
    if (at_us <= *link_us) at_us = *link_us + 1;
    *link_us = at_us;
    add(at_us, MESSAGE, (unsigned)m->to)->which = i;
}

static void write_update(struct node *n, unsigned number, const struct message *from)
{
    uint64_t begins_us = world.now_us > n->disk_free_us ? world.now_us : n->disk_free_us;

    if (update.append.truncate_from) n->last = update.append.truncate_from - 1;
    for (unsigned i = 0; (update.flags & CORE_APPEND) && i < update.append.count; i++) {
        CHECK(++n->last < LOG_MAX);
        n->terms[n->last] =
            update.append.own ? update.append.term : from->terms[update.append.skip + i];
    }
    n->disk_free_us = begins_us + sync_us();
    add(n->disk_free_us, SYNC, number)->stamp = update.write_id;
}

static void note_role(struct node *n, unsigned number)
{
    n->is_ready = update.ready;
    if (n->is_ready) world.leader = number;
}

static void set_timer(unsigned number)
{
    uint64_t at_us = update.wake_at_ms * MS;

    for (unsigned i = 0; i < world.event_count; i++)
        if (world.events[i].kind == TIMER && world.events[i].node == number)
            world.events[i--] = world.events[--world.event_count];
    if (update.wake_at_ms != UINT64_MAX)
        add(at_us > world.now_us ? at_us : world.now_us, TIMER, number);
}

static int step(unsigned number, struct core_event *e, const struct message *from)
{
    struct node *n = &world.nodes[number];
    int rv;

    e->now_ms = world.now_us / MS;
    rv = core_step(n->core, e, &update);
    if (update.write_id) write_update(n, number, from);
    note_role(n, number);
    for (unsigned i = 0; i < update.send_count; i++) {
        if (update.sends[i].after_write == 0) {
            send(number, &update.sends[i].msg);
        } else {
            CHECK(n->held_count < HELD_MAX);
            n->held[n->held_count++] = update.sends[i];
        }
    }
    set_timer(number);
    if (update.commit > n->applied) {
        n->applied = update.commit;
        step(number, &(struct core_event){ .kind = CORE_APPLIED, .u.applied.index = n->applied },
             NULL);
    }
    return rv;
}

static void synced(unsigned number, uint64_t id)
{
    struct node *n = &world.nodes[number];
    unsigned kept = 0;

    for (unsigned i = 0; i < n->held_count; i++) {
        if (n->held[i].after_write <= id)
            send(number, &n->held[i].msg);
        else
            n->held[kept++] = n->held[i];
    }
    n->held_count = kept;
    step(number, &(struct core_event){ .kind = CORE_DURABLE, .u.durable.write_id = id }, NULL);
}

static void arrive(unsigned number, unsigned which)
{
    struct message *p = &messages[which];
    struct core_entry entries[BATCH_MAX];
    struct core_event e = { .kind = CORE_RECV, .u.recv = &p->msg };

    for (unsigned i = 0; i < p->msg.count; i++)
        entries[i] =
            (struct core_entry){ .term = p->terms[i], .weight = 100, .kind = CORE_COMMAND };
    p->msg.entries = entries;
    assert_int_equal(step(number, &e, p), 0);
}

/* ---- a run */

static void do_event(const struct event *e)
{
    struct node *n = &world.nodes[e->node];
    struct core_event told = { .kind = CORE_PEER };

    world.now_us = e->at_us;
    switch (e->kind) {
    case MESSAGE:
        if (n->up) arrive(e->node, e->which);
        world.is_used[e->which] = false;
        return;
    case SYNC:
        if (n->up) synced(e->node, e->stamp);
        return;
    case TIMER:
        if (n->up) step(e->node, &(struct core_event){ .kind = CORE_TIME }, NULL);
        return;
    case DOWN:
        told.u.peer.node = e->which;
        step(e->node, &told, NULL);
        return;
    case WORK:
        if (!n->up || !n->is_ready) return;
        told = (struct core_event){ .kind = CORE_PROPOSE, .u.propose.weight = 100 };
        step(e->node, &told, NULL);
        add(world.now_us + between(3 * MS, 30 * MS), WORK, e->node);
        return;
    }
}

static void run_until(uint64_t at_us, bool or_led)
{
    while (world.event_count > 0) {
        unsigned first = 0;
        struct event e;

        for (unsigned i = 1; i < world.event_count; i++) {
            const struct event *a = &world.events[i], *b = &world.events[first];

            if (a->at_us < b->at_us || (a->at_us == b->at_us && a->order < b->order)) first = i;
        }
        e = world.events[first];
        if (e.at_us > at_us) break;
        world.events[first] = world.events[--world.event_count];
        do_event(&e);
        if (or_led && world.leader) return;
    }
    world.now_us = at_us;
}

static void begin(unsigned count, uint64_t seed)
{
    struct core_options o = { .election_ms = ELECTION,
                              .heartbeat_ms = 100,
                              .uncommitted_bytes_max = 1u << 20,
                              .append_entries_max = BATCH_MAX,
                              .limits = { .members_max = NODES_MAX },
                              .config = { .count = count } };

    memset(&world, 0, sizeof world);
    rng_seed(&world.rng, seed);
    world.count = count;
    world.now_us = 1000 * MS;
    if (rng_below(&world.rng, 2)) o.rest_after_ms = 1000;
    for (unsigned i = 0; i < count; i++)
        o.config.members[i] =
            (struct core_member){ .node = i + 1, .flags = CORE_VOTES_NEW, .priority = 1 };
    for (unsigned i = 1; i <= count; i++) {
        struct node *n = &world.nodes[i];

        o.self = i;
        o.seed = seed << 8 | i;
        n->core = check_calloc(1, core_size(&o.limits));
        assert_int_equal(core_init(n->core, &o), 0);
        n->up = true;
        n->look_us = rng_below(&world.rng, BEAT_US);
        step(i, &(struct core_event){ .kind = CORE_BOOT, .u.boot.first = 1 }, NULL);
    }
}

static void end(void)
{
    for (unsigned i = 1; i <= world.count; i++)
        free(world.nodes[i].core);
}

/* The next look of a node at who is silent, after `at_us`. */
static uint64_t look_after(const struct node *n, uint64_t at_us)
{
    return at_us + (BEAT_US - (at_us + BEAT_US - n->look_us) % BEAT_US);
}

static void stop_leader(bool is_killed)
{
    unsigned gone = world.leader;
    uint64_t beat_us = world.now_us - rng_below(&world.rng, BEAT_US);

    world.nodes[gone].up = false;
    world.leader = 0;
    for (unsigned i = 1; i <= world.count; i++) {
        uint64_t at_us = world.now_us + between(100, 3 * MS) +
                         (rng_below(&world.rng, 20) ? 0 : between(0, 20 * MS));

        if (i == gone) continue;
        if (!is_killed) at_us = look_after(&world.nodes[i], beat_us + trip_us() + SUSPECT_US);
        if (at_us <= world.link_us[gone][i]) at_us = world.link_us[gone][i] + 1;
        add(at_us, DOWN, i)->which = gone;
    }
}

/* Microseconds without a leader. */
static uint64_t fail_over(unsigned count, bool is_killed, uint64_t seed)
{
    uint64_t began_us, took_us;

    begin(count, seed);
    run_until(LIMIT_US, true);
    assert_int_not_equal(world.leader, 0);
    if (rng_below(&world.rng, 2)) add(world.now_us, WORK, world.leader);
    run_until(world.now_us + between(500 * MS, 2500 * MS), false);
    assert_int_not_equal(world.leader, 0);
    began_us = world.now_us;
    stop_leader(is_killed);
    run_until(began_us + LIMIT_US, true);
    assert_int_not_equal(world.leader, 0);
    took_us = world.now_us - began_us;
    end();
    return took_us;
}

/* ---- distributions */

static unsigned runs = 2000;

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static void hold(unsigned count, bool is_killed, uint64_t p99_ms)
{
    uint64_t *took_us = check_calloc(runs, sizeof *took_us);

    for (unsigned i = 0; i < runs; i++)
        took_us[i] = fail_over(count, is_killed, 1 + i);
    qsort(took_us, runs, sizeof *took_us, by_number);
    printf("%u nodes, %-13s %5u elections: p50 %4u ms, p99 %4u ms, longest %4u ms\n", count,
           is_killed ? "process dies:" : "cable is cut:", runs, (unsigned)(took_us[runs / 2] / MS),
           (unsigned)(took_us[runs - 1 - runs / 100] / MS), (unsigned)(took_us[runs - 1] / MS));
    assert_true(took_us[runs - 1 - runs / 100] < p99_ms * MS);
    free(took_us);
}

static void after_a_death_another_leads_within_300_ms(void **state)
{
    (void)state;
    hold(3, true, 300);
    hold(5, true, 300);
}

static void after_a_silence_another_leads_within_a_second(void **state)
{
    (void)state;
    hold(3, false, 1000);
    hold(5, false, 1000);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(after_a_death_another_leads_within_300_ms),
        cmocka_unit_test(after_a_silence_another_leads_within_a_second),
    };

    if (argc > 1) runs = (unsigned)strtoul(argv[1], NULL, 10);
    if (runs < 100) runs = 100;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
