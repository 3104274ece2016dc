/* lane - one lane to one peer: its queue, the connection that carries it, and the call-backs.
 *
 * Invariants: at most one conn carries it; frames are queued only while one does, and what waits when it goes is dropped;
 * up and down alternate, and every frame lies between an up and its down. All three by doing every change of `conn` and
 * every call-back under `events`.
 */
#include "raft/wire/inside.h"

#include "proto/ground/check.h"
#include "proto/ground/log.h"

static const char *const lane_names[] = { "control", "log", "bulk" };

void wire_lane_init(struct lane *l, struct peer *peer, enum wire_lane number)
{
    l->peer = peer;
    l->number = number;
    CHECK(pthread_mutex_init(&l->events, NULL) == 0);
    CHECK(pthread_mutex_init(&l->lock, NULL) == 0);
    wire_queue_init(&l->queue, peer->w->o.queue_bytes_max[number]);
    wire_dial_init(l);
}

void wire_lane_deinit(struct lane *l)
{
    wire_dial_deinit(l);
    wire_queue_deinit(&l->queue);
    pthread_mutex_destroy(&l->events);
    pthread_mutex_destroy(&l->lock);
}

struct conn *wire_lane_conn(struct lane *l)
{
    struct conn *c;

    pthread_mutex_lock(&l->lock);
    c = l->conn ? wire_conn_ref(l->conn) : NULL;
    pthread_mutex_unlock(&l->lock);
    return c;
}

/* ---- sending */

/* lock is held. */
static int put(struct lane *l, struct blob *frame)
{
    if (!wire_queue_has_room(&l->queue, frame->n)) {
        metric_add((enum metric)(M_WIRE_FULL_CONTROL + l->number), 1);
        if (l->number != WIRE_CONTROL) {
            l->wants_room = true;
            return ERR_FULL;
        }
    }
    while (!wire_queue_has_room(&l->queue, frame->n)) {
        struct blob *oldest = wire_queue_take(&l->queue);

        metric_add(M_WIRE_DROPPED_CONTROL, 1);
        blob_unref(&oldest);
    }
    wire_queue_put(&l->queue, blob_ref(frame));
    return 0;
}

int wire_lane_send(struct lane *l, struct blob *frame)
{
    struct conn *c = NULL;
    int rv = ERR_CLOSED;

    pthread_mutex_lock(&l->lock);
    if (l->conn) rv = put(l, frame);
    if (rv == 0) c = wire_conn_ref(l->conn);
    pthread_mutex_unlock(&l->lock);
    if (rv != 0) return rv;
    if (frame->n <= AT_ONCE_SIZE)
        wire_conn_write(c);
    else
        wire_conn_kick(c);
    wire_conn_unref(c);
    return 0;
}

struct blob *wire_lane_next(struct lane *l, const struct conn *c, bool *room_out)
{
    struct blob *frame = NULL;

    pthread_mutex_lock(&l->lock);
    if (l->conn == c) frame = wire_queue_take(&l->queue);
    if (l->wants_room && l->queue.bytes <= l->queue.bytes_max / 2) {
        l->wants_room = false;
        *room_out = true;
    }
    pthread_mutex_unlock(&l->lock);
    return frame;
}

/* ---- call-backs */

void wire_lane_tell_room(struct lane *l, const struct conn *c)
{
    const struct wire_events *e = &l->peer->w->o.events;

    pthread_mutex_lock(&l->events);
    if (c->is_attached && !l->is_quiet) e->on_room(e->arg, l->peer->node, l->number);
    pthread_mutex_unlock(&l->events);
}

bool wire_lane_deliver(struct lane *l, const struct conn *c, struct blob *frame)
{
    const struct wire_events *e = &l->peer->w->o.events;
    bool goes_on = true;

    pthread_mutex_lock(&l->events);
    if (c->is_attached && !l->is_quiet)
        goes_on = e->on_frame(e->arg, l->peer->node, l->number, frame) || l->number == WIRE_CONTROL;
    else
        blob_unref(&frame);
    pthread_mutex_unlock(&l->events);
    return goes_on;
}

void wire_lane_resume(struct lane *l)
{
    struct conn *c;

    atomic_fetch_add(&l->resumes, 1);
    c = wire_lane_conn(l);
    if (!c) return;
    wire_conn_resume(c);
    wire_conn_unref(c);
}

static uint32_t format_of(const struct conn *c)
{
    uint32_t ours = c->w->o.format_max;

    return c->theirs.format_max < ours ? c->theirs.format_max : ours;
}

/* events is held. */
static void tell(struct lane *l, const struct conn *c, bool up, const char *why)
{
    const struct wire_events *e = &l->peer->w->o.events;
    struct wire_link link = { .node = l->peer->node,
                              .lane = l->number,
                              .up = up,
                              .incarnation = c->theirs.incarnation,
                              .format = format_of(c) };

    if (up)
        metric_add(M_WIRE_LANES_UP, 1);
    else
        metric_sub(M_WIRE_LANES_UP, 1);
    if (l->is_quiet) return;
    log_event(LOG_INFO, up ? "wire.up" : "wire.down", LOG_NUM("peer", link.node),
              LOG_TEXT("lane", lane_names[l->number]), LOG_NUM("incarnation", link.incarnation),
              LOG_TEXT("address", c->from), up ? LOG_SKIP : LOG_TEXT("why", why ? why : ""));
    e->on_peer(e->arg, &link);
}

/* events and lock are held. */
static void drop_queue(struct lane *l)
{
    metric_add((enum metric)(M_WIRE_DROPPED_CONTROL + l->number), wire_queue_clear(&l->queue));
    l->wants_room = false;
}

bool wire_lane_attach(struct lane *l, struct conn *c)
{
    struct conn *old = NULL;
    bool is_closing;

    pthread_mutex_lock(&l->events);
    pthread_mutex_lock(&l->lock);
    pthread_mutex_lock(&c->ops);
    is_closing = c->is_closing || atomic_load(&l->peer->is_gone);
    if (!is_closing) c->lane = l;
    pthread_mutex_unlock(&c->ops);
    if (!is_closing) {
        old = l->conn ? wire_conn_ref(l->conn) : NULL;
        c->up_at_ms = clock_mono_ms(&clock_real);
        l->conn = c;
        drop_queue(l);
    }
    pthread_mutex_unlock(&l->lock);
    if (old) {
        old->is_attached = false;
        tell(l, old, false, "a new connection took its place");
    }
    if (!is_closing) {
        c->is_attached = true;
        metric_add(M_WIRE_UPS, 1);
        tell(l, c, true, NULL);
    }
    pthread_mutex_unlock(&l->events);
    if (old) {
        wire_conn_close(old, "a new connection took its place");
        wire_conn_unref(old);
    }
    return !is_closing;
}

/* It is not on its way up any more: the next one may be dialled. lock is held. */
static void end_coming(struct lane *l, const struct conn *c, bool was_up)
{
    if (l->coming != c) return;
    l->coming = NULL;
    wire_dial_again(l, was_up &&
                           clock_mono_ms(&clock_real) - c->up_at_ms >= l->peer->w->o.dial_max_ms);
}

void wire_lane_detach(struct lane *l, struct conn *c)
{
    bool was_up;

    pthread_mutex_lock(&l->events);
    was_up = c->is_attached;
    c->is_attached = false;
    pthread_mutex_lock(&l->lock);
    if (l->conn == c) {
        l->conn = NULL;
        drop_queue(l);
    }
    end_coming(l, c, was_up);
    pthread_mutex_unlock(&l->lock);
    if (was_up) tell(l, c, false, c->why);
    pthread_mutex_unlock(&l->events);
    wire_keeper_wake(l->peer->w);
}

void wire_lane_close(struct lane *l, const char *why)
{
    struct conn *c = wire_lane_conn(l);

    if (!c) return;
    wire_conn_close(c, why);
    wire_conn_unref(c);
}
