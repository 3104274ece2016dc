/* send - what waits for room in a lane goes out in its order.
 *
 * Invariant: of one lane one thread sends at a time (is_sending), and it does so without the lock, for the wire has locks of its
 * own that are held when it calls us. Who finds somebody at it leaves its frame in the list: that one looks again.
 */
#include <stdlib.h>

#include "node/peer/inside.h"

#define OUTGOING_COST 128u /* counted with each frame, so that small ones are bounded too */

static size_t cost(const struct outgoing *o)
{
    return o->frame->n + OUTGOING_COST;
}

static void outgoing_free(struct outgoing *o)
{
    list_remove(&o->link);
    blob_unref(&o->frame);
    free(o);
}

bool peer_lane_put(struct peer_lane *l, struct blob *frame, uint64_t number)
{
    struct outgoing *o;

    if (l->waiting_bytes > 0 && l->waiting_bytes + frame->n > PEER_NODE_BYTES_MAX) return false;
    o = check_calloc(1, sizeof *o);
    o->frame = frame;
    o->number = number;
    list_init(&o->link);
    list_add(&l->waiting, &o->link);
    l->waiting_bytes += cost(o);
    return true;
}

void peer_lane_drop(struct peer_lane *l, uint64_t number)
{
    LIST_FOR_SAFE(it, &l->waiting) {
        struct outgoing *o = CONTAINER_OF(it, struct outgoing, link);

        if (number != 0 && o->number != number) continue;
        l->waiting_bytes -= cost(o);
        outgoing_free(o);
    }
}

/* The youngest first: it is nearly always that one. */
static void mark_sent(struct peer_node *n, uint64_t number)
{
    for (struct list *it = n->calls.prev; number != 0 && it != &n->calls; it = it->prev) {
        struct peer_call *c = CONTAINER_OF(it, struct peer_call, link);

        if (c->number != number) continue;
        c->was_sent = true;
        return;
    }
}

/* The next that may go now, out of the list; NULL: none, and nobody is at it any more. The lock is held. */
static struct outgoing *next(struct peer_node *n, struct peer_lane *l)
{
    struct list *first = l->is_up && !l->is_full ? list_take_first(&l->waiting) : NULL;
    struct outgoing *o = first ? CONTAINER_OF(first, struct outgoing, link) : NULL;

    if (o) {
        l->waiting_bytes -= cost(o);
        mark_sent(n, o->number);
    } else {
        l->is_sending = false;
    }
    return o;
}

/* There was no room for it. The lock is held. A lane that has gone down meanwhile has lost it. */
static bool put_back(struct peer_lane *l, struct outgoing *o, uint64_t generation)
{
    if (!l->is_up || l->generation != generation) return false;
    list_add_first(&l->waiting, &o->link);
    l->waiting_bytes += cost(o);
    l->is_full = !l->room_came;
    return true;
}

void peer_lane_send(struct peers *p, uint64_t node, enum wire_lane lane)
{
    struct outgoing *o;
    struct peer_node *n;
    struct peer_lane *l;

    pthread_mutex_lock(&p->lock);
    n = peer_node_find(p, node);
    l = n ? &n->lanes[lane] : NULL;
    if (!l || l->is_sending) {
        pthread_mutex_unlock(&p->lock);
        return;
    }
    l->is_sending = true;
    while ((o = next(n, l)) != NULL) {
        uint64_t generation = l->generation;
        int rv;

        l->room_came = false;
        pthread_mutex_unlock(&p->lock);
        rv = wire_send(p->wire, node, lane, o->frame);
        pthread_mutex_lock(&p->lock);
        if (rv == ERR_FULL && put_back(l, o, generation)) continue;
        outgoing_free(o); /* sent, or lost with its lane: then the call was ended or will be */
    }
    pthread_mutex_unlock(&p->lock);
}

void peer_lane_room(struct peers *p, uint64_t node, enum wire_lane lane)
{
    struct peer_node *n;

    pthread_mutex_lock(&p->lock);
    n = peer_node_find(p, node);
    if (n) {
        n->lanes[lane].is_full = false;
        n->lanes[lane].room_came = true;
    }
    pthread_mutex_unlock(&p->lock);
    peer_lane_send(p, node, lane);
}
