/* serve - requests that came: bounded, handed to the loop of their kind, answered over the connection they came by or not at all. */
#include <stdlib.h>

#include "node/peer/inside.h"

void peer_serve(struct peers *p, enum peer_kind kind, struct loop *l,
                void (*on_ask)(void *arg, struct peer_ask *a), void *arg)
{
    CHECK(kind > PEER_NONE && kind < PEER_KINDS);
    pthread_mutex_lock(&p->lock);
    p->services[kind] = (struct peer_service){ l, on_ask, arg };
    pthread_mutex_unlock(&p->lock);
}

/* ---- answers */

static struct blob *pack_answer(const struct peer_ask *a, int rv, struct span answer,
                                struct span body)
{
    struct peer_frame f = { .number = a->number, .kind = a->kind, .is_answer = true, .status = rv };

    if (answer.n > PEER_BYTES_ONE_MAX || body.n > PEER_BYTES_ONE_MAX - answer.n) {
        f.status = ERR_TOO_LONG;
    } else {
        f.head = answer;
        f.body = body;
    }
    return peer_frame_pack(&f);
}

/* The lock is held. The lane that it came by, if that is still up. */
static struct peer_lane *way_back(struct peers *p, const struct peer_ask *a)
{
    struct peer_node *n = peer_node_find(p, a->from);
    struct peer_lane *l = n ? &n->lanes[a->lane] : NULL;

    return l && l->is_up && l->generation == a->generation && !p->is_stopped ? l : NULL;
}

static void ask_free(struct peer_ask *a)
{
    struct peers *p = a->peers;
    struct peer_node *n = peer_node_find(p, a->from);

    CHECK(n != NULL); /* a node with asks keeps its place */
    n->ask_count--;
    n->ask_bytes -= a->frame->n;
    p->ask_bytes -= a->frame->n;
    metric_sub(M_PEER_ASKS_OPEN, 1);
    list_remove(&a->link);
    blob_unref(&a->frame);
    free(a);
}

/* Sends the frame (takes it) and ends the ask. */
static void finish(struct peer_ask *a, struct blob *frame)
{
    struct peers *p = a->peers;
    const uint64_t to = a->from;
    const enum wire_lane lane = a->lane;
    struct peer_lane *l;
    bool is_put;

    pthread_mutex_lock(&p->lock);
    l = way_back(p, a);
    is_put = l && peer_lane_put(l, frame, 0);
    ask_free(a);
    pthread_mutex_unlock(&p->lock);
    if (is_put) {
        peer_lane_send(p, to, lane);
        return;
    }
    metric_add(M_PEER_ANSWERS_DROPPED_GONE, 1);
    blob_unref(&frame);
}

void peer_answer(struct peer_ask *a, int rv, struct span answer, struct span body)
{
    finish(a, pack_answer(a, rv, answer, body));
}

/* ---- requests, on a thread of the wire */

static void on_arrive(struct loop_letter *letter)
{
    struct peer_ask *a = CONTAINER_OF(letter, struct peer_ask, letter);
    struct peers *p = a->peers;
    bool is_wanted;

    pthread_mutex_lock(&p->lock);
    is_wanted = way_back(p, a) != NULL;
    pthread_mutex_unlock(&p->lock);
    if (is_wanted)
        a->on_ask(a->arg, a);
    else
        peer_answer(a, ERR_CLOSED, span_of(NULL, 0), span_of(NULL, 0));
}

/* The lock is held: counted in, unless it would be too much. */
static bool take_in(struct peers *p, struct peer_node *n, struct peer_ask *a)
{
    size_t size = a->frame->n;

    if (n->ask_count == PEER_NODE_ASKS_MAX || n->ask_bytes + size > PEER_NODE_BYTES_MAX ||
        p->ask_bytes + size > PEER_BYTES_MAX)
        return false;
    n->ask_count++;
    n->ask_bytes += size;
    p->ask_bytes += size;
    metric_add(M_PEER_ASKS_OPEN, 1);
    a->generation = n->lanes[a->lane].generation;
    list_add(&p->asks, &a->link);
    return true;
}

static void refuse(struct peers *p, struct peer_ask *a, int rv)
{
    struct blob *frame = pack_answer(a, rv, span_of(NULL, 0), span_of(NULL, 0));
    struct peer_node *n;
    bool is_put;

    metric_add(M_PEER_ASKS_REFUSED, 1);
    pthread_mutex_lock(&p->lock);
    n = peer_node_find(p, a->from);
    is_put = n && n->lanes[a->lane].is_up && peer_lane_put(&n->lanes[a->lane], frame, 0);
    pthread_mutex_unlock(&p->lock);
    if (is_put)
        peer_lane_send(p, a->from, a->lane);
    else
        blob_unref(&frame);
    blob_unref(&a->frame);
    free(a);
}

void peer_ask_came(struct peers *p, uint64_t from, enum wire_lane lane, const struct peer_frame *f,
                   struct blob *frame)
{
    struct peer_service s = { 0 };
    struct peer_ask *a = check_calloc(1, sizeof *a);
    struct peer_node *n;
    bool is_in;

    a->from = from;
    a->kind = (enum peer_kind)f->kind;
    a->request = f->head;
    a->body = f->body;
    a->peers = p;
    a->frame = blob_ref(frame);
    a->number = f->number;
    a->lane = lane;
    list_init(&a->link);
    metric_add(M_PEER_ASKS, 1);
    a->letter.on_arrive = on_arrive;
    pthread_mutex_lock(&p->lock);
    if (f->kind < PEER_KINDS) s = p->services[f->kind];
    a->loop = s.loop;
    a->on_ask = s.on_ask;
    a->arg = s.arg;
    n = peer_node_find(p, from);
    is_in = s.on_ask && n && take_in(p, n, a);
    pthread_mutex_unlock(&p->lock);
    if (is_in)
        loop_post(a->loop, &a->letter);
    else
        refuse(p, a, s.on_ask ? ERR_FULL : ERR_UNSUPPORTED);
}
