/* search - see search.h. Depth first: only the states of the way that is followed are kept. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/sim/explore/known.h"
#include "tests/sim/explore/promises.h"
#include "tests/sim/explore/search.h"

#define NET_MAX   256
#define DEPTH_MAX 5000
#define ACTS_MAX  128
#define PROGRESS  ((UINT64_C(1) << 26) - 1) /* steps between two lines that say that it goes on */

struct world {
    uint32_t nodes[NODES];
    uint8_t crashes_left;
    struct sums sums; /* of nodes and network */
    uint16_t counts[NODES];
    uint16_t net[NODES][NET_MAX]; /* on their way to each */
};
struct act {
    uint8_t node;
    uint32_t event;
};
struct frame {
    unsigned counts[NODES]; /* of acts */
    unsigned node, next;    /* the act that is next */
    struct act last;
    uint32_t acts[NODES][ACTS_MAX];
    struct world world;
};

static struct frame *stack;
static unsigned depth;
static struct set {
    struct sum *at;
    uint64_t size, count;
} seen, meetings;
static struct found found;

/* ---- what was seen */

static bool is_less(const struct sum *a, const struct sum *b)
{
    return a->high < b->high || (a->high == b->high && a->low < b->low);
}

/* The least of the names under the first `orders` ways to rename; never 0, which is a free place. */
static struct sum least_of(const struct sums *s, unsigned orders)
{
    struct sum least = s->under[0];

    for (unsigned i = 1; i < orders; i++)
        if (is_less(&s->under[i], &least)) least = s->under[i];
    least.low |= least.high == 0;
    return least;
}

static struct sum *find(const struct set *s, struct sum name)
{
    uint64_t i = (name.low ^ name.high >> 7) & (s->size - 1);

    while ((s->at[i].low != 0 || s->at[i].high != 0) &&
           (s->at[i].low != name.low || s->at[i].high != name.high))
        i = (i + 1) & (s->size - 1);
    return &s->at[i];
}

static void set_init(struct set *s, uint64_t size)
{
    *s = (struct set){ .size = size, .at = check_calloc(size, sizeof s->at[0]) };
}

static bool enters(struct set *s, struct sum name)
{
    struct sum *place = find(s, name);

    if (place->low != 0 || place->high != 0) return false;
    *place = name;
    if (++s->count > s->size - s->size / 8) {
        struct set bigger;

        set_init(&bigger, 2 * s->size);
        bigger.count = s->count;
        for (uint64_t i = 0; i < s->size; i++)
            if (s->at[i].low != 0 || s->at[i].high != 0) *find(&bigger, s->at[i]) = s->at[i];
        free(s->at);
        *s = bigger;
    }
    return true;
}

/* ---- changing a world, and its sums with it */

static void add(struct sums *to, const struct sums *more)
{
    for (unsigned i = 0; i < ORDERS; i++) {
        to->under[i].low += more->under[i].low;
        to->under[i].high += more->under[i].high;
    }
}

static void take(struct sums *from, const struct sums *less)
{
    for (unsigned i = 0; i < ORDERS; i++) {
        from->under[i].low -= less->under[i].low;
        from->under[i].high -= less->under[i].high;
    }
}

static bool has(const struct world *w, unsigned node, uint16_t note)
{
    bool is_there = false;

    for (unsigned i = 0; i < w->counts[node]; i++)
        is_there |= w->net[node][i] == note;
    return is_there;
}

static void post(struct world *w, const struct result *r)
{
    const uint16_t *sent = known_sent(r);

    for (unsigned i = 0; i < r->sent_count; i++) {
        unsigned node = known_note(sent[i])->to - 1u;

        if (has(w, node, sent[i])) continue;
        CHECK(w->counts[node] < NET_MAX);
        w->net[node][w->counts[node]++] = sent[i];
        add(&w->sums, known_note_sums(sent[i]));
    }
}

static void forget(struct world *w, unsigned node, unsigned i)
{
    take(&w->sums, known_note_sums(w->net[node][i]));
    w->net[node][i] = w->net[node][--w->counts[node]];
}

static void become_state(struct world *w, unsigned node, uint32_t state)
{
    take(&w->sums, known_node_sums(w->nodes[node]));
    w->nodes[node] = state;
    add(&w->sums, known_node_sums(state));
}

/* The three nodes without the network: what two searches of one scope must have in common. */
static void note_meeting(const struct world *w)
{
    struct sums s = { .under = { { 0, 0 } } };

    if (!scope.counts_meetings) return;
    for (unsigned n = 0; n < NODES; n++)
        add(&s, known_node_sums(w->nodes[n]));
    enters(&meetings, least_of(&s, ORDERS));
}

static bool is_new(const struct world *w)
{
    struct sum name = least_of(&w->sums, scope.plain & NAMES ? 1 : ORDERS);

    name.low += w->crashes_left * UINT64_C(0x9e3779b97f4a7c15);
    note_meeting(w);
    return enters(&seen, name);
}

/* ---- telling */

static void print_act(const struct act *a)
{
    static const char *const names[] = { "times out", "is asked to append", "syncs", "crashes",
                                         "sends heartbeats" };
    struct buf b;

    if (a->event > UINT32_MAX - HAPPENINGS) {
        fprintf(stderr, "  %u %s\n", a->node + 1u, names[UINT32_MAX - a->event]);
        return;
    }
    buf_init(&b, 4096);
    note_print(&b, known_note((uint16_t)a->event));
    fprintf(stderr, "  %s\n", buf_cstr(&b));
    buf_deinit(&b);
}

static void tell(const char *breach)
{
    found.broken = true;
    fprintf(stderr, "%s, after %u steps:\n", breach, depth + 1);
    for (unsigned i = 0; i <= depth; i++)
        print_act(&stack[i].last);
}

static void tell_progress(void)
{
    fprintf(stderr, "%llu steps, %llu states, %u deep\n", (unsigned long long)found.steps,
            (unsigned long long)seen.count, depth);
}

static void look(const struct world *w, unsigned node, const struct result *r)
{
    const struct node *nodes[NODES];
    char breach[120] = "";

    if (r->flags & BREACHED) {
        tell(known_breach());
        return;
    }
    if (!(r->flags & (WON | COMMITTED | LOGGED))) return;
    for (unsigned i = 0; i < NODES; i++)
        nodes[i] = known_node(w->nodes[i]);
    promises_look(nodes, node, r->flags & WON, r->flags & COMMITTED, r->flags & LOGGED, breach,
                  sizeof breach);
    if (breach[0]) tell(breach);
}

/* ---- the search */

/* A silent event is taken; what changes its node is an act. */
static void try(struct frame *f, unsigned node, uint32_t event)
{
    const struct result *r = known_result(f->world.nodes[node], event);
    bool is_silent = r->to == f->world.nodes[node] && !(r->flags & BREACHED);

    if (r->flags & NEVER_HERE || (is_silent && r->sent_count == 0)) return;
    if (is_silent && !(scope.plain & SILENCE)) {
        post(&f->world, r);
        return;
    }
    CHECK(f->counts[node] < ACTS_MAX);
    f->acts[node][f->counts[node]++] = event;
}

/* Message i for the node; false: it was past, and another one is i now. */
static bool try_note(struct frame *f, unsigned node, unsigned i)
{
    struct world *w = &f->world;

    if (!(scope.plain & PAST_ANSWERS) &&
        known_result(w->nodes[node], w->net[node][i])->flags & PAST) {
        forget(w, node, i);
        return false;
    }
    try(f, node, w->net[node][i]);
    return true;
}

/* Silent events are taken, past messages dropped, acts listed: those of a node that is what it was in `before` are what they
 * were there, and what the messages bring that came since. */
static void settle(struct frame *f, const struct frame *before)
{
    struct world *w = &f->world;
    unsigned looked[NODES];
    bool is_done = false;

    for (unsigned n = 0; n < NODES; n++) {
        bool is_same = before && before->world.nodes[n] == w->nodes[n] && before->last.node != n;

        looked[n] = is_same ? before->world.counts[n] : 0;
        f->counts[n] = is_same ? before->counts[n] : 0;
        if (is_same) memcpy(f->acts[n], before->acts[n], f->counts[n] * sizeof f->acts[n][0]);
        for (unsigned h = 0; h < HAPPENINGS && !is_same; h++)
            try(f, n, EVENT(h));
    }
    while (!is_done) {
        is_done = true;
        for (unsigned n = 0; n < NODES; n++)
            for (; looked[n] < w->counts[n]; is_done = false)
                looked[n] += try_note(f, n, looked[n]);
    }
    f->node = f->next = 0;
}

static bool next_act(struct frame *f)
{
    for (; f->node < NODES; f->node++, f->next = 0) {
        while (f->next < f->counts[f->node]) {
            f->last = (struct act){ (uint8_t)f->node, f->acts[f->node][f->next++] };
            if (f->last.event != EVENT(CRASH) || f->world.crashes_left > 0) return true;
        }
    }
    return false;
}

static void act(const struct frame *f, struct frame *next)
{
    struct result r = *known_result(f->world.nodes[f->last.node], f->last.event);
    struct world *w = &next->world;

    w->crashes_left = f->world.crashes_left;
    w->sums = f->world.sums;
    for (unsigned n = 0; n < NODES; n++) {
        w->nodes[n] = f->world.nodes[n];
        w->counts[n] = f->world.counts[n];
        memcpy(w->net[n], f->world.net[n], w->counts[n] * sizeof w->net[n][0]);
    }
    if (f->last.event == EVENT(CRASH)) w->crashes_left--;
    become_state(w, f->last.node, r.to);
    post(w, &r);
    look(w, f->last.node, &r);
    found.steps++;
}

static void start(struct world *w)
{
    memset(w, 0, sizeof *w);
    w->crashes_left = scope.crashes;
    for (unsigned n = 0; n < NODES; n++) {
        w->nodes[n] = known_first(n + 1);
        add(&w->sums, known_node_sums(w->nodes[n]));
    }
}

static void follow(uint64_t states_max)
{
    depth = 0;
    start(&stack[0].world);
    settle(&stack[0], NULL);
    is_new(&stack[0].world);
    while (seen.count < states_max) {
        struct frame *f = &stack[depth];

        if (!next_act(f)) {
            found.whole = depth == 0;
            if (found.whole) return;
            depth--;
            continue;
        }
        CHECK(depth + 1 < DEPTH_MAX);
        act(f, f + 1);
        if (found.broken) return;
        settle(f + 1, f);
        if (is_new(&f[1].world)) depth++;
        if ((found.steps & PROGRESS) == 0) tell_progress();
        if (depth > found.depth) found.depth = depth;
    }
}

struct found search(const struct scope *s, uint64_t states_max)
{
    scope = *s;
    found = (struct found){ .whole = false };
    set_init(&seen, 1024);
    set_init(&meetings, 1024);
    stack = check_calloc(DEPTH_MAX, sizeof *stack);
    known_begin();
    follow(states_max);
    found.states = seen.count;
    found.meetings = meetings.count;
    found.node_states = known_states();
    found.notes = known_notes();
    known_end();
    free(stack);
    free(meetings.at);
    free(seen.at);
    return found;
}
