/* explore - every order in which things can happen to a small group, within bounds.
 *
 * The network is a set: what was ever sent may arrive at any time, again and again, or never. So all delays, losses,
 * repetitions and reorderings are there. Besides: a node stands, a leader appends, a write reaches the disk, a
 * node loses what did not and starts again. Each state is entered once (by its hash); toy.h looks after each step.
 * Standing is by TIMEOUT_NOW, or by asking first, as `asks` says: the questions multiply the states, and promise
 * nothing. Time stands still.
 */
#ifndef TEST_CORE_EXPLORE_H
#define TEST_CORE_EXPLORE_H

#define TOY_NODES   3
#define TOY_LOG     8
#define TOY_TERMS   8
#define TOY_WRITES  8
#define TOY_MSGS    128
#define TOY_CONFIGS 4
#define TOY_CORE    2560
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "raft/core/inside.h"
#include "tests/unit/raft/core/toy.h"

#define DEPTH_MAX 64
#define FIRST     1 /* the term in which all begin */

struct bounds {
    unsigned terms, entries, crashes, again; /* again: of a node; standing in all */
    bool asks;
    uint64_t states_max;
};

enum action_kind { STANDS, PROPOSES, SYNCS, CRASHES, ARRIVES };
struct action {
    enum action_kind kind;
    unsigned which; /* node, or message */
};

static struct toy toy;
static struct bounds bounds;
static unsigned crashes_left;
static uint64_t *seen, seen_size, seen_count;
static struct action path[DEPTH_MAX];
static unsigned depth, depth_seen;

/* ---- hashes: of what matters, and not of how it came about */

struct hash {
    uint64_t words[512];
    unsigned count;
};

static void mix(struct hash *h, uint64_t word)
{
    CHECK(h->count < 512);
    h->words[h->count++] = word;
}

static uint64_t digest(const struct hash *h)
{
    return XXH3_64bits(h->words, h->count * sizeof h->words[0]);
}

/* How many writes of its sender it waits for. */
static uint64_t writes_before(const struct toy_msg *p)
{
    struct toy_node *node = &toy.nodes[p->m.from];
    struct core *c = (struct core *)node->core;

    return p->after_write == 0 ? 0 : p->after_write + node->write_count - c->last_write;
}

static uint64_t hash_msg(const struct toy_msg *p)
{
    struct hash h = { .count = 0 };
    const struct core_msg *m = &p->m;

    mix(&h, m->kind | (uint64_t)m->reject << 8 | (uint64_t)m->disrupt << 9 |
                (uint64_t)m->lost << 10 | (uint64_t)m->busy << 11 | m->from << 16 | m->to << 24);
    mix(&h, m->term);
    mix(&h, m->prev.index << 32 | m->prev.term);
    mix(&h, m->commit << 32 | m->match);
    mix(&h, m->hint.index << 32 | m->hint.term);
    mix(&h, writes_before(p));
    for (unsigned i = 0; i < m->count; i++)
        mix(&h, p->entries[i].term);
    return digest(&h);
}

static inline void hash_disk(struct hash *h, const struct toy_disk *d)
{
    mix(h, d->hard.term << 32 | d->hard.vote);
    mix(h, d->last);
    for (uint64_t i = 1; i <= d->last; i++)
        mix(h, d->log[i].term);
}

static inline void hash_node(struct hash *h, unsigned n)
{
    const struct toy_node *node = &toy.nodes[n];
    const struct core *c = (const struct core *)node->core;

    hash_disk(h, &node->disk);
    mix(h, c->role | (uint64_t)c->ready << 8 | (uint64_t)(c->hard_write > c->durable_write) << 9 |
               c->leader << 16 | (uint64_t)node->write_count << 24);
    mix(h, c->hard.term << 32 | c->hard.vote);
    mix(h, c->commit << 48 | c->durable << 32 | c->applied << 16 | c->last);
    for (unsigned i = 0; i < node->write_count; i++) {
        mix(h, node->writes[i].has_hard ? node->writes[i].hard.term << 8 | node->writes[i].hard.vote
                                        : 0);
        mix(h, node->writes[i].truncate_from << 32 | node->writes[i].index << 16 |
                   node->writes[i].count);
    }
    for (uint64_t i = 1; i <= node->memory.last; i++)
        mix(h, node->memory.log[i].term);
    for (unsigned i = 0; i < 3; i++) {
        const struct progress *p = &c->peers[i];

        mix(h, p->yes | p->no << 1);
        if (c->role == CORE_LEADER)
            mix(h, p->state | (uint64_t)p->waits << 4 | (uint64_t)p->asked << 5 | p->match << 16 |
                       p->next << 32);
    }
}

static inline uint64_t hash_state(void)
{
    struct hash h = { .count = 0 };
    uint64_t network = 0;

    for (unsigned n = 1; n <= TOY_NODES; n++)
        hash_node(&h, n);
    for (unsigned i = 0; i < toy.msg_count; i++)
        network += hash_msg(&toy.msgs[i]);
    mix(&h, network);
    mix(&h, crashes_left);
    for (unsigned t = 0; t < TOY_TERMS; t++)
        mix(&h, toy.leaders[t]);
    for (uint64_t i = 1; i <= toy.commit; i++)
        mix(&h, toy.committed[i].term);
    return digest(&h) | 1;
}

static inline bool is_new(uint64_t hash)
{
    uint64_t at = hash & (seen_size - 1);

    CHECK(seen_count < seen_size / 2);
    for (; seen[at] != 0; at = (at + 1) & (seen_size - 1))
        if (seen[at] == hash) return false;
    seen[at] = hash;
    seen_count++;
    return true;
}

/* ---- actions */

/* What is the same is there once. */
static void unite_messages(void)
{
    uint64_t hashes[TOY_MSGS];
    unsigned kept = 0;

    for (unsigned i = 0; i < toy.msg_count; i++) {
        uint64_t hash = hash_msg(&toy.msgs[i]);
        unsigned j = 0;

        while (j < kept && hashes[j] != hash)
            j++;
        if (j < kept) continue;
        if (kept != i) toy.msgs[kept] = toy.msgs[i];
        hashes[kept++] = hash;
    }
    toy.msg_count = kept;
}

/* An answer of a term that its receiver has left for good says nothing any more. */
static void forget_answers(void)
{
    for (unsigned i = 0; i < toy.msg_count;) {
        const struct core_msg *m = &toy.msgs[i].m;
        const struct toy_node *to = &toy.nodes[m->to];
        bool is_answer = m->kind == CORE_MSG_VOTE_REPLY || m->kind == CORE_MSG_APPEND_REPLY;
        bool is_late = m->term < to->disk.hard.term && m->term < to->term;
        bool is_settled = m->kind == CORE_MSG_VOTE_REPLY && m->term == to->disk.hard.term &&
                          m->term == to->term && to->role != CORE_CANDIDATE &&
                          to->role != CORE_FOLLOWER;

        if (is_answer && (is_late || is_settled))
            toy_remove_msg(&toy, i);
        else
            i++;
    }
}

static void stands(unsigned n)
{
    struct toy_node *node = &toy.nodes[n];
    struct toy_msg p = { .m = { .kind = CORE_MSG_TIMEOUT_NOW, .to = n, .term = node->term } };

    if (bounds.asks) {
        toy_timeout(&toy, n);
        node->now_ms = 0;
        return;
    }
    p.m.from = node->leader && node->leader != n ? node->leader : n % TOY_NODES + 1;
    toy_recv(&toy, &p);
}

static void restarts(unsigned n)
{
    toy_crash(&toy, n, 0);
    for (unsigned i = 0; i < toy.msg_count; i++)
        CHECK(toy.msgs[i].m.from != n || toy.msgs[i].after_write == 0);
    toy_boot(&toy, n, 0);
}

static void act(struct action a)
{
    switch (a.kind) {
    case STANDS:
        stands(a.which);
        break;
    case PROPOSES:
        toy_propose(&toy, a.which, 0, false);
        break;
    case SYNCS:
        toy_sync(&toy, a.which, 1);
        break;
    case CRASHES:
        crashes_left--;
        restarts(a.which);
        break;
    case ARRIVES:
        toy_recv(&toy, &toy.msgs[a.which]);
        break;
    }
    for (unsigned n = 1; n <= TOY_NODES; n++) { /* without crashes a slow disk is a slow message */
        if (bounds.crashes == 0) toy_sync(&toy, n, TOY_WRITES);
        toy_apply(&toy, n);
    }
    forget_answers();
    unite_messages();
}

static bool may_stand(unsigned n)
{
    struct toy_node *node = &toy.nodes[n];

    if (toy.msg_count == 0 && n > 1) return false; /* all are alike at first */
    if (node->term >= FIRST + bounds.terms) return false;
    return bounds.asks ? node->role != CORE_LEADER && node->wake_at_ms != UINT64_MAX
                       : node->role == CORE_FOLLOWER;
}

static unsigned list_actions(struct action *out)
{
    unsigned count = 0;

    for (unsigned n = 1; n <= TOY_NODES; n++) {
        struct toy_node *node = &toy.nodes[n];

        if (may_stand(n)) out[count++] = (struct action){ STANDS, n };
        if (node->role == CORE_LEADER && toy_core(&toy, n)->ready &&
            node->memory.last < bounds.entries)
            out[count++] = (struct action){ PROPOSES, n };
        if (node->write_count > 0) out[count++] = (struct action){ SYNCS, n };
        if (crashes_left > 0 && (node->write_count > 0 || node->role != CORE_FOLLOWER))
            out[count++] = (struct action){ CRASHES, n };
    }
    for (unsigned i = 0; i < toy.msg_count; i++)
        if (toy.msgs[i].after_write == 0) out[count++] = (struct action){ ARRIVES, i };
    return count;
}

/* ---- the search: depth first, with the states of the path kept as far as they are used */

struct saved {
    size_t size;
    unsigned crashes_left, count, next;
    struct action actions[TOY_MSGS + 16];
    struct toy state;
};

static inline void save(struct saved *s)
{
    s->size = offsetof(struct toy, msgs) + toy.msg_count * sizeof toy.msgs[0];
    s->crashes_left = crashes_left;
    memcpy(&s->state, &toy, s->size);
}

static inline void restore(const struct saved *s)
{
    memcpy(&toy, &s->state, s->size);
    crashes_left = s->crashes_left;
}

static void begin(void)
{
    struct core_options o = { .election_ms = 100,
                              .heartbeat_ms = 50,
                              .uncommitted_bytes_max = 1000,
                              .limits = { .members_max = 3, .runs_max = 4, .reads_max = 1 },
                              .config = { .count = 3 } };

    for (unsigned i = 0; i < 3; i++)
        o.config.members[i] =
            (struct core_member){ .node = i + 1, .flags = CORE_VOTES_NEW, .priority = 1 };
    toy_init(&toy, &o);
    for (unsigned n = 1; n <= TOY_NODES; n++) {
        toy.nodes[n].disk.hard.term = FIRST;
        toy_make(&toy, n);
    }
    crashes_left = bounds.crashes;
}

static void print_path(void)
{
    static const char *const names[] = { "stands", "proposes", "syncs", "crashes", "arrives" };

    fprintf(stderr, "%s, after %u steps:\n", toy.breach, depth);
    begin();
    for (unsigned i = 0; i < depth; i++) {
        struct buf b;

        buf_init(&b, 4096);
        if (path[i].kind == ARRIVES) toy_print_msg(&b, &toy.msgs[path[i].which].m);
        fprintf(stderr, "  %s %s\n", names[path[i].kind],
                path[i].kind == ARRIVES ? buf_cstr(&b)
                                        : (char[]){ (char)('0' + path[i].which), 0 });
        buf_deinit(&b);
        act(path[i]);
    }
}

/* True: every state within the bounds was seen (or states_max of them), and no promise was broken. */
static inline bool explore(void)
{
    struct saved *stack = check_calloc(DEPTH_MAX, sizeof *stack);
    bool clean = true;

    seen_size = 1;
    while (seen_size < 2 * bounds.states_max + 2)
        seen_size *= 2;
    seen = check_calloc(seen_size, sizeof *seen);
    seen_count = depth = depth_seen = 0;
    begin();
    save(&stack[0]);
    stack[0].count = list_actions(stack[0].actions);
    stack[0].next = 0;
    while (seen_count < bounds.states_max) {
        struct saved *top = &stack[depth];

        if (top->next == top->count || depth + 1 == DEPTH_MAX) {
            if (depth == 0) break;
            depth--;
            continue;
        }
        restore(top);
        path[depth] = top->actions[top->next++];
        act(path[depth]);
        if (toy.broken) {
            depth++;
            print_path();
            clean = false;
            break;
        }
        if (!is_new(hash_state())) continue;
        depth++;
        if (depth > depth_seen) depth_seen = depth;
        save(&stack[depth]);
        stack[depth].count = list_actions(stack[depth].actions);
        stack[depth].next = 0;
    }
    free(seen);
    free(stack);
    return clean;
}

/* The same space, by random ways from its beginning: what is deep is found sooner. */
static inline bool wander(unsigned ways, uint64_t seed)
{
    struct action actions[TOY_MSGS + 16];
    struct rng rng;

    rng_seed(&rng, seed);
    while (ways-- > 0) {
        begin();
        for (depth = 0; depth + 1 < DEPTH_MAX; depth++) {
            unsigned count = list_actions(actions);

            if (count == 0) break;
            path[depth] = actions[rng_below(&rng, count)];
            act(path[depth]);
            if (!toy.broken) continue;
            depth++;
            print_path();
            return false;
        }
    }
    return true;
}

#endif
