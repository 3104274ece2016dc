/* call - calls that wait for their answers: numbered, in the list of their node, ended once.
 *
 * A call is ended under the lock, by whoever comes first: the answer, the lane that goes down, the deadline, the stop. Who ends
 * it takes it out of the list and posts its letter; the letter, on the caller's loop, is the end of it.
 */
#include "node/peer/inside.h"

void peer_call_end(struct peers *p, struct peer_node *n, struct peer_call *c, int rv)
{
    list_remove(&c->link);
    n->call_count--;
    p->call_count--;
    metric_sub(M_PEER_CALLS_OPEN, 1);
    c->rv = rv;
    loop_post(c->loop, &c->letter);
}

static void on_end(struct loop_letter *letter)
{
    struct peer_call *c = CONTAINER_OF(letter, struct peer_call, letter);
    struct blob *frame = c->answer_frame;
    struct span answer = c->answer, body = c->answer_body;

    loop_timer_stop(&c->timer);
    c->answer_frame = NULL;
    c->on_done(c, c->rv, answer, body); /* the call may be gone after it */
    blob_unref(&frame);
}

static void on_deadline(struct loop_timer *t)
{
    struct peer_call *c = CONTAINER_OF(t, struct peer_call, timer);
    struct peers *p = c->peers;
    struct peer_node *n;

    pthread_mutex_lock(&p->lock);
    if (!list_empty(&c->link)) {
        n = peer_node_find(p, c->to);
        peer_lane_drop(&n->lanes[c->lane], c->number);
        metric_add(M_PEER_CALLS_LATE, 1);
        peer_call_end(p, n, c, ERR_TIMEOUT);
    }
    pthread_mutex_unlock(&p->lock);
}

/* The lock is held. Takes the frame on success. */
static int begin(struct peers *p, struct peer_call *c, struct blob *frame, uint64_t number)
{
    struct peer_node *n = peer_node_find(p, c->to);

    if (p->is_stopped || !n || !n->lanes[c->lane].is_up) return ERR_CLOSED;
    if (p->call_count == PEER_CALLS_MAX || n->call_count == PEER_NODE_CALLS_MAX) return ERR_FULL;
    if (!peer_lane_put(&n->lanes[c->lane], frame, number)) return ERR_FULL;
    c->number = number;
    list_add(&n->calls, &c->link);
    n->call_count++;
    p->call_count++;
    metric_add(M_PEER_CALLS_OPEN, 1);
    return 0;
}

void peers_end_calls(struct peers *p, uint64_t node, enum peer_kind kind)
{
    struct peer_node *n;

    pthread_mutex_lock(&p->lock);
    n = peer_node_find(p, node);
    if (n)
        LIST_FOR_SAFE(it, &n->calls) {
            struct peer_call *c = CONTAINER_OF(it, struct peer_call, link);

            if (c->kind != kind) continue;
            peer_lane_drop(&n->lanes[c->lane], c->number);
            peer_call_end(p, n, c, ERR_CLOSED);
        }
    pthread_mutex_unlock(&p->lock);
}

static uint64_t next_number(struct peers *p)
{
    uint64_t number;

    pthread_mutex_lock(&p->lock);
    number = ++p->numbers;
    pthread_mutex_unlock(&p->lock);
    return number;
}

int peer_call(struct peers *p, struct loop *l, struct peer_call *c)
{
    const uint64_t to = c->to;
    const enum wire_lane lane = c->lane;
    const uint64_t number = next_number(p);
    struct blob *frame;
    int rv;

    CHECK(c->within_ms > 0 && c->kind > PEER_NONE && c->kind < PEER_KINDS);
    if (c->request.n > PEER_BYTES_ONE_MAX || c->body.n > PEER_BYTES_ONE_MAX - c->request.n)
        return ERR_TOO_LONG;
    frame = peer_frame_pack(&(struct peer_frame){
        .number = number, .kind = c->kind, .head = c->request, .body = c->body });
    c->peers = p;
    c->loop = l;
    c->was_sent = c->is_answered = false;
    c->answer_frame = NULL;
    c->answer = c->answer_body = span_of(NULL, 0);
    c->letter.on_arrive = on_end;
    list_init(&c->link);
    loop_timer_init(&c->timer, l, on_deadline);
    pthread_mutex_lock(&p->lock);
    rv = begin(p, c, frame, number);
    pthread_mutex_unlock(&p->lock);
    metric_add(rv == 0 ? M_PEER_CALLS : M_PEER_CALLS_REFUSED, 1);
    if (rv != 0) {
        blob_unref(&frame);
        return rv;
    }
    loop_timer_start(&c->timer, c->within_ms);
    peer_lane_send(p, to,
                   lane); /* the letter that ends the call comes in a later turn of this loop */
    return 0;
}

static struct peer_call *find(struct peer_node *n, const struct peer_frame *f)
{
    LIST_FOR(it, &n->calls) {
        struct peer_call *c = CONTAINER_OF(it, struct peer_call, link);

        if (c->number == f->number) return (uint32_t)c->kind == f->kind ? c : NULL;
    }
    return NULL;
}

void peer_call_answered(struct peers *p, uint64_t from, const struct peer_frame *f,
                        struct blob *frame)
{
    struct peer_node *n;
    struct peer_call *c;

    pthread_mutex_lock(&p->lock);
    n = peer_node_find(p, from);
    c = n ? find(n, f) : NULL;
    if (c) {
        c->is_answered = c->was_sent = true;
        c->answer_frame = blob_ref(frame);
        c->answer = f->head;
        c->answer_body = f->body;
        peer_call_end(p, n, c, f->status);
    }
    pthread_mutex_unlock(&p->lock);
    if (!c) metric_add(M_PEER_ANSWERS_DROPPED_CALLER, 1);
}
