/* town - several nodes in one thread: memory logs that outlive them, machines that keep a list, a false wire between them
 * that can be cut, a clock of its own. Nothing happens but in town_run().
 */
#ifndef TEST_ENGINE_TOWN_H
#define TEST_ENGINE_TOWN_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "proto/ground/blob.h"
#include "proto/ground/buf.h"
#include "proto/ground/check.h"
#include "raft/engine/engine.h"

#define TOWN_NODES    7
#define TOWN_GROUPS   4
#define TOWN_LETTERS  4096 /* frames on their way */
#define TOWN_DELAY_MS 1

struct town;

/* The state is a sum over all that was applied; a snapshot is that, many times over, so that it takes several chunks. */
struct town_machine {
    struct town_node *node;
    uint64_t applied, count, sum;
    enum raft_role role;
    uint64_t term, leader;
    struct core_config config;
    bool config_committed;
    /* a snapshot that comes */
    uint64_t staged[3], staged_bytes;
    bool is_staging, commits_later, chunks_later, chunk_waits;
    unsigned begun, committed, dropped;
};

struct town_node {
    struct town *town;
    uint64_t number;
    struct store *store;
    struct raft *raft; /* NULL: dead */
    struct raft_group *groups[TOWN_GROUPS];
    struct town_machine machines[TOWN_GROUPS]; /* as durable: what a restart finds */
    struct wire wire;
    struct wire_events events;
    uint64_t incarnation, turn_at_ms;
    bool is_woken, is_stalled;
    bool paused[TOWN_NODES + 1][WIRE_LANES];
    size_t room[WIRE_LANES]; /* frames a lane takes before it is full; 0: no bound */
    unsigned queued[TOWN_NODES + 1][WIRE_LANES];
    unsigned turns;
};

struct town_letter {
    uint64_t at_ms, from, to;
    enum wire_lane lane;
    struct blob *frame;
};

struct town {
    unsigned node_count, group_count;
    struct town_node nodes[TOWN_NODES + 1]; /* by number */
    bool cut[TOWN_NODES + 1][TOWN_NODES + 1];
    struct town_letter letters[TOWN_LETTERS]; /* in order of sending; each lane keeps its own */
    unsigned letter_count;
    uint64_t now_ms, frames, frame_bytes;
    size_t snapshot_bytes;
    struct raft_options options; /* times and bounds of all nodes */
    struct core_config config;
    bool has_snapshots;
};

/* ---- the machine */

static inline void town_apply(void *arg, const struct raft_entry *e)
{
    struct town_machine *m = arg;

    CHECK(e->index > m->applied);
    m->applied = e->index;
    m->count++;
    m->sum = m->sum * 31 + e->index + e->head.n + e->body.n + (e->head.n ? e->head.p[0] : 0) +
             (e->body.n ? e->body.p[e->body.n - 1] : 0);
}

static inline void town_applied(void *arg, uint64_t upto)
{
    ((struct town_machine *)arg)->applied = upto;
}

static inline void town_role(void *arg, enum raft_role role, uint64_t term, uint64_t leader)
{
    struct town_machine *m = arg;

    m->role = role;
    m->term = term;
    m->leader = leader;
}

static inline void town_members(void *arg, const struct core_config *config, bool committed)
{
    struct town_machine *m = arg;

    m->config = *config;
    m->config_committed = committed;
}

struct town_snapshot {
    uint64_t state[3];
    size_t left;
};

static inline int town_open(void *arg, void **out)
{
    struct town_machine *m = arg;
    struct town_snapshot *s = check_calloc(1, sizeof *s);

    s->state[0] = m->applied;
    s->state[1] = m->count;
    s->state[2] = m->sum;
    s->left = m->node->town->snapshot_bytes;
    *out = s;
    return 0;
}

static inline int town_next(void *arg, void *snapshot, struct buf *out, bool *last)
{
    struct town_snapshot *s = snapshot;
    size_t n = s->left < RAFT_CHUNK_SIZE_MAX ? s->left : RAFT_CHUNK_SIZE_MAX;
    uint8_t *room;

    (void)arg;
    CHECK(n >= sizeof s->state);
    room = buf_room(out, n);
    memset(room, 'x', n);
    memcpy(room, s->state, sizeof s->state);
    buf_added(out, n);
    s->left -= n;
    *last = s->left == 0;
    return 0;
}

static inline void town_close(void *arg, void *snapshot)
{
    (void)arg;
    free(snapshot);
}

static inline int town_stage(void *arg, uint64_t index)
{
    struct town_machine *m = arg;

    CHECK(index > m->applied);
    m->is_staging = true;
    m->begun++;
    m->staged_bytes = 0;
    return 0;
}

static inline int town_chunk(void *arg, struct span chunk)
{
    struct town_machine *m = arg;

    CHECK(m->is_staging && !m->chunk_waits);
    memcpy(m->staged, chunk.p, sizeof m->staged);
    m->staged_bytes += chunk.n;
    m->chunk_waits = m->chunks_later;
    return m->chunks_later ? ERR_AGAIN : 0;
}

static inline void town_take_staged(struct town_machine *m, uint64_t index)
{
    CHECK(m->staged_bytes == m->node->town->snapshot_bytes);
    m->applied = index;
    m->count = m->staged[1];
    m->sum = m->staged[2];
    m->is_staging = false;
    m->committed++;
}

static inline int town_commit(void *arg, uint64_t index, uint64_t term)
{
    struct town_machine *m = arg;

    (void)term;
    if (m->commits_later) return ERR_AGAIN;
    town_take_staged(m, index);
    return 0;
}

static inline void town_drop(void *arg)
{
    struct town_machine *m = arg;

    m->is_staging = m->chunk_waits = false;
    m->dropped++;
}

/* ---- the wire */

static inline struct town_node *town_node_of(struct wire *w)
{
    return CONTAINER_OF(w, struct town_node, wire);
}

static inline bool town_is_linked(const struct town *t, uint64_t a, uint64_t b)
{
    return t->nodes[a].raft && t->nodes[b].raft && !t->cut[a][b] && !t->cut[b][a];
}

static inline int town_send(struct wire *w, uint64_t to, enum wire_lane lane, struct blob *frame)
{
    struct town_node *n = town_node_of(w);
    struct town *t = n->town;

    if (to == 0 || to > t->node_count) return ERR_NOT_FOUND;
    if (!town_is_linked(t, n->number, to)) return ERR_CLOSED;
    if (n->room[lane] > 0 && n->queued[to][lane] >= n->room[lane]) return ERR_FULL;
    CHECK(t->letter_count < TOWN_LETTERS);
    n->queued[to][lane]++;
    t->frames++;
    t->frame_bytes += frame->n;
    t->letters[t->letter_count++] =
        (struct town_letter){ t->now_ms + TOWN_DELAY_MS, n->number, to, lane, blob_ref(frame) };
    return 0;
}

static inline void town_resume(struct wire *w, uint64_t from, enum wire_lane lane)
{
    town_node_of(w)->paused[from][lane] = false;
}

static inline void town_links(struct town *t, uint64_t a, uint64_t b, bool up)
{
    for (unsigned side = 0; side < 2; side++) {
        struct town_node *n = &t->nodes[side ? b : a], *other = &t->nodes[side ? a : b];

        for (unsigned lane = 0; n->raft && lane < WIRE_LANES; lane++) {
            n->paused[other->number][lane] = false;
            n->queued[other->number][lane] = 0;
            n->events.on_peer(n->events.arg,
                              &(struct wire_link){ .node = other->number,
                                                   .lane = (enum wire_lane)lane,
                                                   .up = up,
                                                   .incarnation = other->incarnation });
        }
    }
}

static inline void town_lose_letters(struct town *t, uint64_t a, uint64_t b)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < t->letter_count; i++) {
        struct town_letter *l = &t->letters[i];

        if ((l->from == a && l->to == b) || (l->from == b && l->to == a))
            blob_unref(&l->frame);
        else
            t->letters[kept++] = *l;
    }
    t->letter_count = kept;
}

/* A cable: cut or whole again. told: both ends hear of it at once, else it is silence. */
static inline void town_cable(struct town *t, uint64_t a, uint64_t b, bool whole, bool told)
{
    bool was = town_is_linked(t, a, b);

    t->cut[a][b] = t->cut[b][a] = !whole;
    if (!whole) town_lose_letters(t, a, b);
    if (was && !whole && told) town_links(t, a, b, false);
    if (whole && town_is_linked(t, a, b)) town_links(t, a, b, true);
}

static inline void town_alone(struct town *t, uint64_t node, bool is_alone, bool told)
{
    for (uint64_t i = 1; i <= t->node_count; i++)
        if (i != node) town_cable(t, node, i, !is_alone, told);
}

/* Each lane in order; a paused one waits. */
static inline bool town_deliver_one(struct town *t)
{
    for (unsigned i = 0; i < t->letter_count; i++) {
        struct town_letter l = t->letters[i];
        struct town_node *to = &t->nodes[l.to];

        if (l.at_ms > t->now_ms) return false;
        if (to->paused[l.from][l.lane]) continue;
        t->letter_count--;
        memmove(&t->letters[i], &t->letters[i + 1], (t->letter_count - i) * sizeof l);
        t->nodes[l.from].queued[l.to][l.lane]--;
        if (t->nodes[l.from].room[l.lane] > 0 &&
            t->nodes[l.from].queued[l.to][l.lane] == t->nodes[l.from].room[l.lane] / 2)
            t->nodes[l.from].events.on_room(t->nodes[l.from].events.arg, l.to, l.lane);
        if (!to->events.on_frame(to->events.arg, l.from, l.lane, l.frame) && l.lane != WIRE_CONTROL)
            to->paused[l.from][l.lane] = true;
        return true;
    }
    return false;
}

/* ---- nodes */

static inline void town_wake(void *arg)
{
    ((struct town_node *)arg)->is_woken = true;
}

static inline int town_open_group(struct town_node *n, unsigned i, const struct core_config *config,
                                  struct errmsg *why)
{
    struct town_machine *m = &n->machines[i];
    struct raft_machine machine = { .arg = m,
                                    .apply = town_apply,
                                    .applied = town_applied,
                                    .role = town_role,
                                    .members = town_members };

    if (n->town->has_snapshots)
        machine.snapshot =
            (struct raft_snapshot_calls){ town_open,  town_next,   town_close, town_stage,
                                          town_chunk, town_commit, town_drop };
    m->node = n;
    m->is_staging = m->chunk_waits = false;
    return raft_group_open(n->raft, i + 1, 0, config, &machine, m->applied, &n->groups[i], why);
}

static inline void town_start(struct town *t, uint64_t number)
{
    static const struct wire_calls calls = { .send = town_send, .resume = town_resume };
    struct town_node *n = &t->nodes[number];
    struct raft_loop_port port = { n, town_wake };
    struct raft_options o = t->options;

    CHECK(n->raft == NULL);
    n->town = t;
    n->number = number;
    n->wire.calls = &calls;
    n->turn_at_ms = t->now_ms;
    if (!n->store) CHECK(store_open(&n->store, &(struct store_options){ 0 }, NULL, NULL) == 0);
    o.node_id = number;
    o.incarnation = ++n->incarnation;
    o.loops = &port;
    o.loop_count = 1;
    o.seed = number * 7919 + n->incarnation;
    n->raft = raft_open_over(n->store, false, &o);
    n->events = raft_wire_events(n->raft);
    raft_wire_attach(n->raft, &n->wire);
    for (unsigned i = 0; i < t->group_count; i++) {
        struct errmsg why = { "" };

        if (town_open_group(n, i, &t->config, &why) != 0) fail_msg("%s", why.text);
    }
    for (uint64_t i = 1; i <= t->node_count; i++)
        if (i != number && town_is_linked(t, number, i)) town_links(t, number, i, true);
}

/* Ends the node as a power cut would: what is not synced is lost; peers see their connections close, or do not. */
static inline void town_kill(struct town *t, uint64_t number, bool told)
{
    struct town_node *n = &t->nodes[number];
    struct raft *gone = n->raft;

    store_mem_power_cut(n->store);
    for (uint64_t i = 1; i <= t->node_count; i++) {
        bool was = i != number && town_is_linked(t, number, i);

        if (i == number) continue;
        town_lose_letters(t, number, i);
        if (!was) continue;
        for (unsigned lane = 0; told && lane < WIRE_LANES; lane++)
            t->nodes[i].events.on_peer(t->nodes[i].events.arg,
                                       &(struct wire_link){ .node = number,
                                                            .lane = (enum wire_lane)lane,
                                                            .incarnation = n->incarnation });
    }
    raft_close(&gone);
    n->raft = NULL;
    memset(n->groups, 0, sizeof n->groups);
}

static inline void town_begin(struct town *t, unsigned nodes, unsigned groups)
{
    uint64_t numbers[TOWN_NODES];

    memset(t, 0, sizeof *t);
    t->node_count = nodes;
    t->group_count = groups;
    t->now_ms = 1000;
    t->has_snapshots = true;
    t->snapshot_bytes = 3 * RAFT_CHUNK_SIZE_MAX + 100;
    for (unsigned i = 0; i < nodes; i++)
        numbers[i] = i + 1;
    t->config = raft_config_of(numbers, nodes < 7 ? nodes : 7);
}

static inline void town_start_all(struct town *t)
{
    for (uint64_t i = 1; i <= t->node_count; i++)
        town_start(t, i);
}

static inline void town_end(struct town *t)
{
    for (uint64_t i = 1; i <= t->node_count; i++) {
        if (t->nodes[i].raft) town_kill(t, i, false);
        store_close(&t->nodes[i].store);
    }
    CHECK(t->letter_count == 0);
}

/* ---- time */

static inline void town_turn(struct town_node *n)
{
    n->is_woken = false;
    n->turns++;
    n->turn_at_ms = raft_turn(n->raft, 0, n->town->now_ms);
    if (!n->is_stalled) store_mem_sync(n->store, SIZE_MAX);
}

static inline void town_ms(struct town *t)
{
    bool again = true;

    t->now_ms++;
    for (unsigned round = 0; again && round < 50; round++) {
        again = false;
        while (town_deliver_one(t))
            again = true;
        for (uint64_t i = 1; i <= t->node_count; i++) {
            struct town_node *n = &t->nodes[i];

            if (!n->raft || (!n->is_woken && n->turn_at_ms > t->now_ms)) continue;
            town_turn(n);
            again = true;
        }
    }
}

static inline void town_run(struct town *t, uint64_t ms)
{
    for (uint64_t i = 0; i < ms; i++)
        town_ms(t);
}

/* The node that leads group i, alone in its term; NULL: none. */
static inline struct town_node *town_leader(struct town *t, unsigned i)
{
    struct town_node *best = NULL;

    for (uint64_t k = 1; k <= t->node_count; k++) {
        struct town_node *n = &t->nodes[k];

        if (!n->raft || !n->groups[i] || n->machines[i].role != RAFT_LEADER) continue;
        if (!best || n->machines[i].term > best->machines[i].term) best = n;
    }
    return best;
}

static inline struct town_node *town_elect(struct town *t, unsigned i)
{
    for (unsigned k = 0; k < 10000; k++) {
        struct town_node *n = town_leader(t, i);

        if (n) return n;
        town_ms(t);
    }
    fail_msg("group %u: nobody leads after 10 s", i + 1);
    return NULL;
}

/* ---- proposals */

struct town_ask {
    struct raft_proposal p;
    char head[24];
    int answer; /* -1: none yet */
    unsigned answers;
};

static inline void town_on_done(struct raft_proposal *p, enum raft_answer answer, uint64_t index,
                                uint64_t term)
{
    struct town_ask *a = CONTAINER_OF(p, struct town_ask, p);

    (void)index;
    (void)term;
    a->answer = (int)answer;
    a->answers++;
}

static inline int town_ask(struct town_node *n, unsigned i, struct town_ask *a, struct span body)
{
    *a = (struct town_ask){ .answer = -1 };
    snprintf(a->head, sizeof a->head, "cmd");
    a->p.head = span_cstr(a->head);
    a->p.body = body;
    a->p.on_done = town_on_done;
    n->is_woken = true;
    return raft_propose(n->groups[i], &a->p);
}

/* `count` commands of `size` bytes, one after another, all committed. */
static inline void town_fill(struct town *t, unsigned i, unsigned count, size_t size)
{
    uint8_t *bytes = check_calloc(1, size + 1);
    struct town_ask *asks = check_calloc(count, sizeof *asks);

    for (unsigned k = 0; k < count; k++) {
        struct town_node *n = town_elect(t, i);
        int rv;

        while ((rv = town_ask(n, i, &asks[k], span_of(bytes, size))) == ERR_FULL)
            town_ms(t);
        assert_int_equal(rv, 0);
    }
    for (unsigned k = 0; k < 20000 && asks[count - 1].answer == -1; k++)
        town_ms(t);
    for (unsigned k = 0; k < count; k++)
        assert_int_equal(asks[k].answer, RAFT_COMMITTED);
    free(asks);
    free(bytes);
}

/* All living nodes have applied the same. */
static inline bool town_agrees(const struct town *t, unsigned i)
{
    const struct town_machine *first = NULL;

    for (uint64_t k = 1; k <= t->node_count; k++) {
        const struct town_machine *m = &t->nodes[k].machines[i];

        if (!t->nodes[k].raft || !t->nodes[k].groups[i]) continue;
        if (first && (m->sum != first->sum || m->count != first->count)) return false;
        first = m;
    }
    return true;
}

static inline void town_settle(struct town *t, unsigned i)
{
    for (unsigned k = 0; k < 10000 && !town_agrees(t, i); k++)
        town_ms(t);
    assert_true(town_agrees(t, i));
}

static inline struct raft_group_view town_see(const struct town_node *n, unsigned i)
{
    struct raft_group_view v;

    raft_group_see(n->groups[i], &v);
    return v;
}

#endif
