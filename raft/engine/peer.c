/* peer - who lives, judged once for each pair of nodes, by loop 0, told to the groups that they share.
 *
 * A beat each beat_ms to every node that shares a group or is connected. Who is silent for suspect_ms is down; a closed control lane is the
 * same at once, as a hint, until the next beat; a new incarnation is down, then up. A node whose disk stalls sends no beats
 * (R9). A beat carries the sender's rest generation: when it has grown, the groups that rest under an older one wake.
 */
#include "raft/engine/inside.h"

struct engine_peer *peer_find(struct raft *r, uint64_t node, unsigned *number_out)
{
    unsigned count = atomic_load_explicit(&r->peer_count, memory_order_acquire);

    for (unsigned i = 0; i < count; i++) {
        if (r->peers[i].node != node) continue;
        if (number_out) *number_out = i;
        return &r->peers[i];
    }
    return NULL;
}

struct engine_peer *peer_add(struct raft *r, uint64_t node)
{
    struct engine_peer *p;
    unsigned count;

    pthread_mutex_lock(&r->lock);
    p = peer_find(r, node, NULL);
    count = atomic_load(&r->peer_count);
    if (!p && count < RAFT_PEERS_MAX) {
        p = &r->peers[count];
        p->node = node;
        p->up = true;
        atomic_store_explicit(&r->peer_count, count + 1, memory_order_release);
    }
    pthread_mutex_unlock(&r->lock);
    return p;
}

void peer_shared(struct raft_group *g, struct engine_peer *p)
{
    struct engine_loop *first = &g->raft->loops[0];

    if (atomic_fetch_add(&p->groups, 1) == 0) first->port.wake(first->port.arg);
}

void peer_unshared(struct raft_group *g, struct engine_peer *p)
{
    (void)g;
    CHECK(atomic_fetch_sub(&p->groups, 1) > 0);
}

/* ---- every loop */

static bool shares(const struct raft_group *g, const struct engine_peer *p)
{
    for (unsigned i = 0; i < g->peer_count; i++)
        if (g->peers[i] == p) return true;
    return false;
}

void peer_judged(struct engine_loop *l, unsigned number, bool up, uint64_t incarnation,
                 uint64_t generation)
{
    struct outbox *o = outbox_of(l, number);
    bool turned = up != o->up;
    bool grew = incarnation != o->incarnation || generation > o->generation;

    o->up = up;
    o->incarnation = incarnation;
    if (grew) o->generation = generation;
    if (!turned && !grew) return;
    LIST_FOR_SAFE(it, &l->groups) {
        struct raft_group *g = CONTAINER_OF(it, struct raft_group, link);
        bool woke = grew && g->resting && g->rest_generation < generation;

        if ((turned || woke) && shares(g, o->peer)) group_tell_peer(g, o->peer->node, up, woke);
    }
}

/* ---- loop 0 */

static void tell_all(struct engine_loop *l, const struct engine_peer *p)
{
    struct raft *r = l->raft;
    unsigned number = (unsigned)(p - r->peers);

    for (unsigned i = 1; i < r->loop_count; i++)
        inbox_post_peer(&r->loops[i], number, p->up, p->incarnation, p->generation);
    peer_judged(l, number, p->up, p->incarnation, p->generation);
}

static void turn_down(struct engine_loop *l, struct engine_peer *p)
{
    if (!p->up) return;
    p->up = false;
    metric_add(M_RAFT_PEER_DOWNS, 1);
    tell_all(l, p);
}

void peer_heard(struct engine_loop *l, struct engine_peer *p, uint64_t incarnation,
                uint64_t generation)
{
    bool is_new = incarnation != p->incarnation;

    CHECK(l->number == 0);
    if (incarnation < p->incarnation) return; /* a zombie */
    p->heard_ms = l->now_ms;
    if (is_new && p->incarnation != 0) turn_down(l, p);
    if (p->up && !is_new && generation <= p->generation) return;
    p->up = true;
    p->incarnation = incarnation;
    p->generation = generation;
    tell_all(l, p);
}

void peer_link(struct engine_loop *l, struct engine_peer *p, enum wire_lane lane, bool up)
{
    CHECK(l->number == 0);
    p->lanes[lane] = up;
    if (!up && lane == WIRE_CONTROL) turn_down(l, p);
    if (up && lane == WIRE_CONTROL) l->raft->beat_at_ms = l->now_ms; /* it waits to hear us */
}

/* Who is connected may share a group of which this node does not know yet: its configuration may be an old one. */
static bool wants_beats(const struct engine_peer *p)
{
    return atomic_load(&p->groups) > 0 || p->lanes[WIRE_CONTROL];
}

static bool shares_any(const struct raft *r)
{
    unsigned count = atomic_load(&r->peer_count);

    for (unsigned i = 0; i < count; i++)
        if (wants_beats(&r->peers[i])) return true;
    return false;
}

void peers_time(struct engine_loop *l)
{
    struct raft *r = l->raft;
    unsigned count = atomic_load(&r->peer_count);
    bool is_well = atomic_load(&r->stalled_loops) == 0;

    if (l->number != 0 || l->now_ms < r->beat_at_ms || !shares_any(r)) return;
    r->beat_at_ms = l->now_ms + r->times.beat_ms;
    for (unsigned i = 0; i < count; i++) {
        struct engine_peer *p = &r->peers[i];

        if (!wants_beats(p)) continue;
        if (p->heard_ms == 0) p->heard_ms = l->now_ms;
        if (l->now_ms - p->heard_ms >= r->times.suspect_ms) turn_down(l, p);
        if (is_well) outbox_of(l, i)->must_beat = true;
    }
}

uint64_t peers_wake_at(const struct engine_loop *l)
{
    return l->number == 0 && shares_any(l->raft) ? l->raft->beat_at_ms : NEVER;
}

/* Any loop. The next beat is not waited for. */
void rest_generation_grow(struct raft *r)
{
    atomic_fetch_add(&r->rest_generation, 1);
    metric_add(M_RAFT_UNRESTS, 1);
}

bool raft_peer_see(const struct raft *r, uint64_t node, struct raft_peer_view *out)
{
    const struct engine_peer *p = peer_find((struct raft *)(uintptr_t)r, node, NULL);

    if (!p) return false;
    *out = (struct raft_peer_view){ .node = p->node,
                                    .incarnation = p->incarnation,
                                    .up = p->up,
                                    .heard_ms = p->heard_ms,
                                    .format = atomic_load(&p->format),
                                    .groups = atomic_load(&p->groups) };
    memcpy(out->lanes, p->lanes, sizeof out->lanes);
    return true;
}
