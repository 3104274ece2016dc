/* peer - the table of nodes, what the wire tells of them, and who wants to know it. */
#include "node/peer/peer.h"

#include <stdlib.h>

#include "node/peer/inside.h"

struct peers *peers_new(uint64_t node, uint64_t incarnation, const struct wire_events *behind)
{
    struct peers *p = check_calloc(1, sizeof *p);

    p->node = node;
    p->numbers = incarnation << PEER_NUMBER_BITS;
    p->behind = *behind;
    CHECK(pthread_mutex_init(&p->lock, NULL) == 0);
    list_init(&p->asks);
    list_init(&p->watches);
    return p;
}

void peers_attach(struct peers *p, struct wire *wire)
{
    p->wire = wire;
}

/* ---- the table */

struct peer_node *peer_node_find(struct peers *p, uint64_t node)
{
    for (unsigned i = 0; i < p->node_count; i++)
        if (p->nodes[i].node == node) return &p->nodes[i];
    return NULL;
}

static bool is_spare(const struct peer_node *n)
{
    for (unsigned i = 0; i < WIRE_LANES; i++)
        if (n->lanes[i].is_up || n->lanes[i].is_sending) return false;
    return n->ask_count == 0;
}

static struct peer_node *add(struct peers *p, uint64_t node)
{
    struct peer_node *n = NULL;

    for (unsigned i = 0; i < p->node_count && !n; i++)
        if (is_spare(&p->nodes[i]) && p->node_count == PEER_NODES_KEPT) n = &p->nodes[i];
    if (!n && p->node_count < PEER_NODES_KEPT) n = &p->nodes[p->node_count++];
    if (!n) return NULL;
    *n = (struct peer_node){ .node = node };
    list_init(&n->calls);
    for (unsigned i = 0; i < WIRE_LANES; i++)
        list_init(&n->lanes[i].waiting);
    return n;
}

/* ---- links */

/* The lock is held. */
static void tell_watches(struct peers *p)
{
    LIST_FOR(it, &p->watches) {
        struct peer_watch *w = CONTAINER_OF(it, struct peer_watch, link);

        if (!atomic_exchange(&w->is_posted, true)) loop_post(w->loop, &w->letter);
    }
}

static void lane_down(struct peers *p, struct peer_node *n, enum wire_lane lane, int rv)
{
    n->lanes[lane].is_up = n->lanes[lane].is_full = false;
    peer_lane_drop(&n->lanes[lane], 0);
    LIST_FOR_SAFE(it, &n->calls) {
        struct peer_call *c = CONTAINER_OF(it, struct peer_call, link);

        if (c->lane == lane) peer_call_end(p, n, c, rv);
    }
}

static void on_peer(void *arg, const struct wire_link *link)
{
    struct peers *p = arg;
    struct peer_node *n;

    pthread_mutex_lock(&p->lock);
    n = peer_node_find(p, link->node);
    if (!n && link->up) n = add(p, link->node);
    if (n && link->up) {
        n->incarnation = link->incarnation;
        n->lanes[link->lane].is_up = true;
        n->lanes[link->lane].generation = ++p->generation;
    } else if (n) {
        lane_down(p, n, link->lane, ERR_CLOSED);
    }
    if (link->lane == WIRE_BULK) tell_watches(p);
    pthread_mutex_unlock(&p->lock);
    p->behind.on_peer(p->behind.arg, link);
}

static void on_room(void *arg, uint64_t node, enum wire_lane lane)
{
    struct peers *p = arg;

    peer_lane_room(p, node, lane);
    p->behind.on_room(p->behind.arg, node, lane);
}

static bool on_frame(void *arg, uint64_t node, enum wire_lane lane, struct blob *frame)
{
    struct peers *p = arg;
    struct peer_frame f;

    if (frame->p[0] != PEER_FRAME) return p->behind.on_frame(p->behind.arg, node, lane, frame);
    if (peer_frame_unpack(blob_span(frame), &f) != 0)
        metric_add(M_PEER_FRAMES_REFUSED, 1);
    else if (f.is_answer)
        peer_call_answered(p, node, &f, frame);
    else
        peer_ask_came(p, node, lane, &f, frame);
    blob_unref(&frame);
    return true; /* what is over a bound was answered: nothing waits here */
}

struct wire_events peers_wire_events(struct peers *p)
{
    return (struct wire_events){
        .arg = p, .on_frame = on_frame, .on_peer = on_peer, .on_room = on_room
    };
}

/* ---- who is there */

unsigned peers_up(struct peers *p, struct peer_link out[WIRE_PEERS_MAX])
{
    unsigned count = 0;

    pthread_mutex_lock(&p->lock);
    for (unsigned i = 0; i < p->node_count && count < WIRE_PEERS_MAX; i++) {
        const struct peer_node *n = &p->nodes[i];

        if (n->lanes[WIRE_BULK].is_up)
            out[count++] =
                (struct peer_link){ n->node, n->incarnation, n->lanes[WIRE_BULK].generation };
    }
    pthread_mutex_unlock(&p->lock);
    return count;
}

bool peers_is_up(struct peers *p, uint64_t node)
{
    const struct peer_node *n;
    bool up;

    pthread_mutex_lock(&p->lock);
    n = peer_node_find(p, node);
    up = n && n->lanes[WIRE_BULK].is_up;
    pthread_mutex_unlock(&p->lock);
    return up;
}

static void on_watch(struct loop_letter *letter)
{
    struct peer_watch *w = CONTAINER_OF(letter, struct peer_watch, letter);

    atomic_store(&w->is_posted, false); /* first: what changes from here on is another letter */
    w->on_change(w);
}

void peers_watch(struct peers *p, struct peer_watch *w)
{
    w->letter.on_arrive = on_watch;
    atomic_init(&w->is_posted, false);
    list_init(&w->link);
    list_add(&p->watches, &w->link);
}

/* ---- the end */

void peers_stop(struct peers *p)
{
    pthread_mutex_lock(&p->lock);
    p->is_stopped = true;
    for (unsigned i = 0; i < p->node_count; i++)
        LIST_FOR_SAFE(it, &p->nodes[i].calls)
            peer_call_end(p, &p->nodes[i], CONTAINER_OF(it, struct peer_call, link), ERR_CLOSED);
    while (!list_empty(&p->watches))
        list_take_first(&p->watches);
    pthread_mutex_unlock(&p->lock);
}

void peers_free(struct peers **pp)
{
    struct peers *p = *pp;

    if (!p) return;
    *pp = NULL;
    CHECK(p->call_count == 0);
    LIST_FOR_SAFE(it, &p->asks) {
        struct peer_ask *a = CONTAINER_OF(it, struct peer_ask, link);

        list_remove(it);
        metric_sub(M_PEER_ASKS_OPEN, 1);
        blob_unref(&a->frame);
        free(a);
    }
    for (unsigned i = 0; i < p->node_count; i++)
        for (unsigned k = 0; k < WIRE_LANES; k++)
            peer_lane_drop(&p->nodes[i].lanes[k], 0);
    CHECK(pthread_mutex_destroy(&p->lock) == 0);
    free(p);
}
