/* net - the false struct wire: three lanes for each pair of nodes, each a connection of its own.
 *
 * As raft/wire/wire.h promises: frames of a lane come whole and in order, only between an up and its down; what was on its
 * way when it broke is lost. A connection begins by a hello (cluster, incarnation, formats) and is refused by it. What is
 * cut one way stops there; after the silence both ends are told. A dead process is told at once, or found silent.
 */
#define XXH_INLINE_ALL
#include <stdlib.h>
#include <xxhash.h>

#include "tests/sim/engine/world.h"

static struct link *link_of(struct world *w, unsigned a, unsigned b)
{
    return a < b ? &w->links[a][b] : &w->links[b][a];
}

bool net_open(const struct world *w, unsigned from, unsigned to)
{
    return w->paths[from][to].cut_until_us <= w->now_us;
}

/* ---- frames of a lane */

static void arm(struct world *w, unsigned from, unsigned to, enum wire_lane lane, uint64_t at_us)
{
    struct lane *l = &w->paths[from][to].lanes[lane];

    if (l->armed || l->count == 0 || l->is_held || at_us == FOREVER) return;
    l->armed = true;
    world_at(w, at_us > w->now_us ? at_us - w->now_us : 0,
             &(struct action){ .kind = ACT_FRAME, .node = to, .a = lane, .b = from });
}

static void push(struct world *w, const struct node *n, unsigned to, enum wire_lane lane,
                 struct blob *frame)
{
    struct lane *l = &w->paths[n->at][to].lanes[lane];
    uint64_t at_us = w->now_us + world_between(w, w->plan.delay_min_us, w->plan.delay_max_us);

    at_us += regions_delay(&w->plan.regions, &w->rng, n->region, w->nodes[to].region);
    if (l->first + l->count == l->cap) {
        if (l->count > 0) memmove(l->list, l->list + l->first, l->count * sizeof *l->list);
        l->first = 0;
        if (l->count == l->cap) {
            l->cap = l->cap ? 2 * l->cap : 8;
            l->list = check_realloc(l->list, l->cap * sizeof *l->list);
        }
    }
    if (at_us < l->last_at_us) at_us = l->last_at_us;
    l->last_at_us = at_us;
    l->list[l->first + l->count++] = (struct flying){ blob_ref(frame), at_us };
    l->bytes += frame->n;
}

static struct blob *pop(struct lane *l)
{
    struct blob *b = l->list[l->first++].frame;

    l->count--;
    l->bytes -= b->n;
    return b;
}

static void empty(struct lane *l)
{
    while (l->count > 0) {
        struct blob *b = pop(l);

        blob_unref(&b);
    }
    l->first = l->last_at_us = 0;
    l->is_full = l->is_held = false;
}

/* ---- the calls */

static struct node *node_of(struct wire *wire)
{
    return CONTAINER_OF(wire, struct node, wire);
}

static int send_up(struct world *w, struct node *n, unsigned to, enum wire_lane lane,
                   struct blob *frame)
{
    struct lane *l = &w->paths[n->at][to].lanes[lane];

    if (l->count > 0 && l->bytes + frame->n > w->plan.lane_bytes[lane]) {
        if (lane != WIRE_CONTROL) {
            l->is_full = true;
            return ERR_FULL;
        }
        frame = blob_ref(frame);
        while (l->count > 0 && l->bytes + frame->n > w->plan.lane_bytes[lane]) {
            struct blob *oldest = pop(l);

            blob_unref(&oldest);
        }
        push(w, n, to, lane, frame);
        blob_unref(&frame);
    } else {
        push(w, n, to, lane, frame);
    }
    arm(w, n->at, to, lane, l->list[l->first].at_us);
    if (!w->calm && world_chance(w, w->plan.break_permille * (lane == WIRE_BULK ? 20 : 1)))
        net_break(w, n->at, to, lane);
    return 0;
}

static int net_send(struct wire *wire, uint64_t to, enum wire_lane lane, struct blob *frame)
{
    struct node *n = node_of(wire);
    struct world *w = n->world;

    if (to == 0 || to > w->node_count || to == n->at + 1) return ERR_NOT_FOUND;
    if (node_point(n)) return 0;
    if (frame->n == 0) return ERR_RANGE;
    if (frame->n > WIRE_FRAME_MAX) return ERR_TOO_LONG;
    if (!w->paths[n->at][to - 1].told_up[lane]) return ERR_CLOSED;
    w->frames++;
    trace_mix(w, n->at << 8 | lane, to, XXH3_64bits(frame->p, frame->n));
    check_frame(w, n, (unsigned)to - 1, frame);
    if (!link_of(w, n->at, (unsigned)to - 1)->up[lane]) return 0; /* broken, and not told yet */
    return send_up(w, n, (unsigned)to - 1, lane, frame);
}

static void net_resume(struct wire *wire, uint64_t node, enum wire_lane lane)
{
    struct node *n = node_of(wire);
    struct lane *l = &n->world->paths[node - 1][n->at].lanes[lane];

    l->is_held = false;
    arm(n->world, (unsigned)node - 1, n->at, lane, n->world->now_us);
}

static int net_peer(struct wire *wire, const struct wire_peer *peer)
{
    struct node *n = node_of(wire);

    return world_above->peer(n, peer->node);
}

static void net_remove(struct wire *wire, const struct wire_peer *peer)
{
    world_above->remove(node_of(wire), peer->node);
}

static void net_forget(struct wire *wire, uint64_t node)
{
    world_above->forget(node_of(wire), node);
}

const struct wire_calls *net_calls(void)
{
    static const struct wire_calls calls = { .send = net_send,
                                              .resume = net_resume,
                                              .peer = net_peer,
                                              .remove = net_remove,
                                              .forget = net_forget };

    return &calls;
}

/* ---- arriving */

void net_frame(struct world *w, unsigned from, unsigned to, enum wire_lane lane)
{
    struct path *p = &w->paths[from][to];
    struct lane *l = &p->lanes[lane];
    struct node *n = &w->nodes[to];
    struct blob *b;

    l->armed = false;
    if (l->count == 0 || l->is_held) return;
    if (!net_open(w, from, to) || l->list[l->first].at_us > w->now_us) {
        arm(w, from, to, lane, net_open(w, from, to) ? l->list[l->first].at_us : p->cut_until_us);
        return;
    }
    b = pop(l);
    EXPECT(w, w->paths[to][from].told_up[lane], "a frame comes on a lane that is down");
    if (!n->events.on_frame(n->events.arg, from + 1, lane, b) && lane != WIRE_CONTROL)
        l->is_held = true;
    if (l->is_full && l->bytes <= w->plan.lane_bytes[lane] / 2) {
        l->is_full = false;
        world_at(w, world_below(w, MS),
                 &(struct action){ .kind = ACT_ROOM, .node = from, .a = lane, .b = to });
    }
    if (l->count > 0) arm(w, from, to, lane, l->list[l->first].at_us);
}

void net_room(struct world *w, unsigned from, unsigned to, enum wire_lane lane)
{
    struct node *n = &w->nodes[from];

    n->events.on_room(n->events.arg, to + 1, lane);
}

/* ---- up and down */

static void tell(struct world *w, unsigned from, unsigned to, enum wire_lane lane, bool up)
{
    struct path *p = &w->paths[from][to];
    struct node *n = &w->nodes[from];
    uint64_t life = up ? w->nodes[to].incarnation : p->told_life[lane];

    CHECK(n->up && p->told_up[lane] != up);
    p->told_up[lane] = up;
    p->told_life[lane] = life;
    n->events.on_peer(n->events.arg, &(struct wire_link){ .node = to + 1,
                                                          .lane = lane,
                                                          .up = up,
                                                          .incarnation = life,
                                                          .format = w->plan.format_min });
}

void net_down(struct world *w, unsigned from, unsigned to, enum wire_lane lane)
{
    if (!w->paths[from][to].told_up[lane] || link_of(w, from, to)->up[lane]) return;
    TRACE(w, "n%u hears that lane %u to n%u is down", from + 1, lane, to + 1);
    tell(w, from, to, lane, false);
}

static void dial_later(struct world *w, unsigned a, unsigned b, enum wire_lane lane,
                       uint64_t delay_us)
{
    struct link *l = link_of(w, a, b);

    if (l->dials[lane] || delay_us == FOREVER) return;
    l->dials[lane] = true;
    world_at(
        w, delay_us,
        &(struct action){ .kind = ACT_DIAL, .node = a < b ? a : b, .b = a < b ? b : a, .a = lane });
}

static void down_later(struct world *w, unsigned from, unsigned to, enum wire_lane lane,
                       uint64_t delay_us)
{
    if (!w->paths[from][to].told_up[lane]) return;
    world_at(w, delay_us, &(struct action){ .kind = ACT_DOWN, .node = from, .a = lane, .b = to });
}

void net_break(struct world *w, unsigned a, unsigned b, enum wire_lane lane)
{
    struct link *l = link_of(w, a, b);

    if (!l->up[lane]) return;
    TRACE(w, "lane %u of n%u and n%u breaks", lane, a + 1, b + 1);
    l->up[lane] = false;
    empty(&w->paths[a][b].lanes[lane]);
    empty(&w->paths[b][a].lanes[lane]);
    down_later(w, a, b, lane, world_below(w, 5 * MS));
    down_later(w, b, a, lane, world_below(w, 5 * MS));
    dial_later(w, a, b, lane, world_between(w, 20 * MS, 500 * MS));
}

/* The process of n ended: its peers see their connections close, or hear nothing more. */
void net_gone(struct world *w, struct node *n)
{
    bool is_told = world_chance(w, 700);

    for (unsigned i = 0; i < w->node_count; i++) {
        for (unsigned lane = 0; i != n->at && lane < WIRE_LANES; lane++) {
            struct link *l = link_of(w, n->at, i);
            bool was = l->up[lane];

            l->up[lane] = false;
            empty(&w->paths[n->at][i].lanes[lane]);
            empty(&w->paths[i][n->at].lanes[lane]);
            w->paths[n->at][i].told_up[lane] = false;
            if (was)
                down_later(w, i, n->at, (enum wire_lane)lane,
                           is_told ? world_below(w, 5 * MS) : w->plan.silence_us);
        }
    }
}

bool net_agree(const struct world *w, unsigned a, unsigned b)
{
    const struct node *n = &w->nodes[a], *m = &w->nodes[b];

    return n->cluster == m->cluster && n->format_max >= format_min(m) &&
           m->format_max >= format_min(n) && n->incarnation >= m->seen_incarnation[a] &&
           m->incarnation >= n->seen_incarnation[b];
}

/* What all can read by now is said in the hello, and noted before anything else is heard. */
static void learn_format(const struct node *from, struct node *to)
{
    if (to->format < from->format) to->format = from->format;
}

static void connect(struct world *w, unsigned a, unsigned b, enum wire_lane lane)
{
    TRACE(w, "lane %u of n%u and n%u is up", lane, a + 1, b + 1);
    net_down(w, a, b, lane);
    net_down(w, b, a, lane);
    link_of(w, a, b)->up[lane] = true;
    w->nodes[a].seen_incarnation[b] = w->nodes[b].incarnation;
    w->nodes[b].seen_incarnation[a] = w->nodes[a].incarnation;
    learn_format(&w->nodes[a], &w->nodes[b]);
    learn_format(&w->nodes[b], &w->nodes[a]);
    tell(w, a, b, lane, true);
    tell(w, b, a, lane, true);
}

static uint64_t later_of(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

void net_dial(struct world *w, unsigned a, unsigned b, enum wire_lane lane)
{
    struct link *l = link_of(w, a, b);
    const struct node *n = &w->nodes[a], *m = &w->nodes[b];
    uint64_t until_us =
        later_of(later_of(n->paused_until_us, m->paused_until_us),
                 later_of(w->paths[a][b].cut_until_us, w->paths[b][a].cut_until_us));

    l->dials[lane] = false;
    if (l->up[lane] || !n->up || !m->up) return; /* who starts dials all */
    if (world_above && !world_above->knows(w, a, b)) return; /* who is told of one dials all */
    if (until_us > w->now_us) {
        if (until_us != FOREVER)
            dial_later(w, a, b, lane, until_us - w->now_us + world_below(w, 500 * MS));
        return;
    }
    if (!net_agree(w, a, b)) { /* until one of them starts as somebody else */
        w->refused++;
        TRACE(w, "n%u and n%u refuse each other: cluster, incarnation or format", a + 1, b + 1);
        return;
    }
    connect(w, a, b, lane);
}

void net_dial_all(struct world *w)
{
    for (unsigned a = 0; a < w->node_count; a++)
        for (unsigned b = a + 1; b < w->node_count; b++)
            for (unsigned lane = 0; w->nodes[a].up && w->nodes[b].up && lane < WIRE_LANES; lane++)
                if (!w->links[a][b].up[lane])
                    dial_later(w, a, b, (enum wire_lane)lane, world_below(w, 50 * MS));
}

/* ---- cuts */

static bool is_silent(const struct world *w, unsigned from, unsigned to)
{
    const struct path *p = &w->paths[from][to];

    return p->cut_until_us > w->now_us && w->now_us - p->cut_since_us >= w->plan.silence_us;
}

static bool sleeps(const struct world *w, unsigned at)
{
    const struct node *n = &w->nodes[at];

    return n->paused_until_us > w->now_us && w->now_us - n->paused_since_us >= w->plan.silence_us;
}

void net_silence(struct world *w, unsigned a, unsigned b)
{
    if (!is_silent(w, a, b) && !is_silent(w, b, a) && !sleeps(w, a) && !sleeps(w, b)) return;
    for (unsigned lane = 0; lane < WIRE_LANES; lane++)
        net_break(w, a, b, (enum wire_lane)lane);
}

void net_cut(struct world *w, unsigned from, unsigned to, uint64_t until_us)
{
    struct path *p = &w->paths[from][to];

    if (from == to || p->cut_until_us >= until_us) return;
    if (p->cut_until_us <= w->now_us) p->cut_since_us = w->now_us;
    p->cut_until_us = until_us;
    world_at(w, w->plan.silence_us + 1,
             &(struct action){ .kind = ACT_SILENCE, .node = from, .b = to });
}

void net_heal(struct world *w, unsigned from, unsigned to)
{
    w->paths[from][to].cut_until_us = 0;
    for (unsigned lane = 0; lane < WIRE_LANES; lane++)
        arm(w, from, to, (enum wire_lane)lane, w->now_us);
}

void net_free(struct world *w)
{
    for (unsigned i = 0; i < NODES_MAX; i++)
        for (unsigned k = 0; k < NODES_MAX; k++)
            for (unsigned lane = 0; lane < WIRE_LANES; lane++) {
                empty(&w->paths[i][k].lanes[lane]);
                free(w->paths[i][k].lanes[lane].list);
            }
}
