/* keeper - the one thread of a wire: dials when it is due, ends what took too long, sends signs of life, frees what is over.
 *
 * It sleeps until the next of these, or until it is woken. It alone frees conns and peers, so that it may look at them
 * without a reference.
 */
#include "raft/wire/inside.h"

#include <time.h>

#include "proto/ground/check.h"

#define OVERDUE_MAX 64u /* ended in one round */

void wire_keeper_wake(struct wire_nng *w)
{
    pthread_mutex_lock(&w->lock);
    w->has_work = true;
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
}

void wire_keeper_bury(struct conn *c)
{
    struct wire_nng *w = c->w;

    pthread_mutex_lock(&w->lock);
    list_remove(&c->link);
    list_add(&w->dead, &c->link);
    w->has_work = true;
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
}

/* ---- what is over */

static struct conn *take_dead(struct wire_nng *w)
{
    struct list *first;

    pthread_mutex_lock(&w->lock);
    first = list_take_first(&w->dead);
    pthread_mutex_unlock(&w->lock);
    return first ? CONTAINER_OF(first, struct conn, link) : NULL;
}

static bool is_dialling(struct peer *p)
{
    bool any = false;

    for (enum wire_lane n = 0; n < WIRE_LANES; n++) {
        pthread_mutex_lock(&p->lanes[n].lock);
        any = any || p->lanes[n].is_dialling;
        pthread_mutex_unlock(&p->lanes[n].lock);
    }
    return any;
}

/* A peer that left the table, that no conn knows and no attempt to dial. */
static struct peer *take_gone(struct wire_nng *w)
{
    struct peer *found = NULL;

    pthread_mutex_lock(&w->lock);
    LIST_FOR(it, &w->gone) {
        struct peer *p = CONTAINER_OF(it, struct peer, link);

        if (!found && atomic_load(&p->refs) == 1) found = p;
    }
    if (found) list_remove(&found->link);
    pthread_mutex_unlock(&w->lock);
    return found;
}

static void put_gone(struct wire_nng *w, struct peer *p)
{
    pthread_mutex_lock(&w->lock);
    list_add(&w->gone, &p->link);
    pthread_mutex_unlock(&w->lock);
}

static void free_what_is_over(struct wire_nng *w)
{
    struct conn *c;
    struct peer *p;

    while ((c = take_dead(w)) != NULL)
        wire_conn_free(c);
    while ((p = take_gone(w)) != NULL) {
        if (is_dialling(p)) { /* its end wakes us */
            put_gone(w, p);
            return;
        }
        wire_peer_free(p);
    }
}

/* ---- what took too long */

/* When it is to be ended: at its deadline, when it should have been renewed, or now when the wire closes. lock is held. */
static uint64_t end_at_ms(struct conn *c, uint64_t now_ms, bool wire_closes)
{
    uint64_t deadline_ms = atomic_load(&c->deadline_ms);

    if (c->is_ending) return UINT64_MAX;
    if (wire_closes) return now_ms;
    if (deadline_ms != 0) return deadline_ms;
    return c->generation != c->w->generation ? c->w->renew_by_ms : UINT64_MAX;
}

/* Some of them, with references; *next_out: when there will be more. */
static size_t take_overdue(struct wire_nng *w, uint64_t now_ms, bool wire_closes,
                           struct conn *out[OVERDUE_MAX], uint64_t *next_out)
{
    size_t n = 0;

    *next_out = UINT64_MAX;
    pthread_mutex_lock(&w->lock);
    LIST_FOR(it, &w->conns) {
        struct conn *c = CONTAINER_OF(it, struct conn, link);
        uint64_t at_ms = end_at_ms(c, now_ms, wire_closes);

        if (at_ms <= now_ms && n < OVERDUE_MAX) {
            c->is_ending = true;
            if (wire_conn_try_ref(c)) out[n++] = c;
        } else if (at_ms < *next_out) {
            *next_out = at_ms;
        }
    }
    pthread_mutex_unlock(&w->lock);
    return n;
}

static uint64_t end_overdue(struct wire_nng *w, uint64_t now_ms, bool wire_closes)
{
    struct conn *overdue[OVERDUE_MAX];
    uint64_t next_ms;
    size_t n = take_overdue(w, now_ms, wire_closes, overdue, &next_ms);

    for (size_t i = 0; i < n; i++) {
        if (wire_closes)
            wire_conn_close(overdue[i], "this node closes");
        else if (atomic_load(&overdue[i]->deadline_ms) == 0)
            wire_conn_close(overdue[i], "its certificates are not in force any more");
        else
            wire_conn_evict(overdue[i], REFUSE_SLOW);
        wire_conn_unref(overdue[i]);
    }
    return next_ms;
}

/* ---- signs of life */

static uint64_t keep_alive(struct lane *l, uint64_t now_ms)
{
    uint64_t third_ms = l->peer->w->o.silence_timeout_ms / 3, due_ms;
    struct conn *c = wire_lane_conn(l);

    if (!c) return UINT64_MAX;
    due_ms = atomic_load(&c->sent_at_us) / 1000 + third_ms;
    if (due_ms <= now_ms) {
        atomic_store(&c->is_alive_due, true);
        wire_conn_kick(c);
        due_ms = now_ms + third_ms;
    }
    wire_conn_unref(c);
    return due_ms;
}

static uint64_t turn_peers(struct wire_nng *w, uint64_t now_ms)
{
    uint64_t next_ms = UINT64_MAX;

    pthread_rwlock_rdlock(&w->table);
    for (size_t i = 0; i < w->peer_count; i++)
        for (enum wire_lane n = 0; n < WIRE_LANES; n++) {
            struct lane *l = &w->peers[i]->lanes[n];
            uint64_t a_ms = wire_dial_turn(l, now_ms), b_ms = keep_alive(l, now_ms);

            if (a_ms < next_ms) next_ms = a_ms;
            if (b_ms < next_ms) next_ms = b_ms;
        }
    pthread_rwlock_unlock(&w->table);
    return next_ms;
}

static uint64_t turn_accept(struct wire_nng *w, uint64_t now_ms)
{
    bool is_due;
    uint64_t at_ms;

    pthread_mutex_lock(&w->lock);
    at_ms = w->accept_failed && !w->is_closing ? w->accept_at_ms : UINT64_MAX;
    is_due = at_ms <= now_ms;
    if (is_due) w->accept_failed = false;
    pthread_mutex_unlock(&w->lock);
    if (is_due) wire_accept_again(w);
    return is_due ? UINT64_MAX : at_ms;
}

/* ---- the thread */

static bool is_closing(struct wire_nng *w)
{
    bool closing;

    pthread_mutex_lock(&w->lock);
    closing = w->is_closing;
    pthread_mutex_unlock(&w->lock);
    return closing;
}

static uint64_t turn(struct wire_nng *w)
{
    uint64_t now_ms = clock_mono_ms(&clock_real), next_ms, at_ms;
    bool closing = is_closing(w);

    if (closing) wire_accept_close(w);
    next_ms = end_overdue(w, now_ms, closing);
    at_ms = turn_peers(w, now_ms);
    if (at_ms < next_ms) next_ms = at_ms;
    at_ms = turn_accept(w, now_ms);
    if (at_ms < next_ms) next_ms = at_ms;
    at_ms = wire_renew_turn(w, now_ms);
    if (at_ms < next_ms) next_ms = at_ms;
    free_what_is_over(w);
    return next_ms;
}

/* Nothing is open and nothing will be. lock is held. */
static bool is_over(const struct wire_nng *w)
{
    return w->is_emptied && !w->listener && list_empty(&w->conns) && list_empty(&w->dead) &&
           list_empty(&w->gone) && w->peer_count == 0;
}

static void wait_until(struct wire_nng *w, uint64_t at_ms)
{
    struct timespec at = { .tv_sec = (time_t)(at_ms / 1000),
                           .tv_nsec = (long)(at_ms % 1000) * 1000000 };

    if (w->has_work) return;
    if (at_ms == UINT64_MAX)
        pthread_cond_wait(&w->wake, &w->lock);
    else
        pthread_cond_timedwait(&w->wake, &w->lock, &at);
}

static void *run(void *arg)
{
    struct wire_nng *w = arg;

    pthread_mutex_lock(&w->lock);
    while (!is_over(w)) {
        uint64_t next_ms;

        w->has_work = false;
        pthread_mutex_unlock(&w->lock);
        next_ms = turn(w);
        pthread_mutex_lock(&w->lock);
        if (!is_over(w)) wait_until(w, next_ms);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

void wire_keeper_start(struct wire_nng *w)
{
    pthread_condattr_t attr;

    CHECK(pthread_condattr_init(&attr) == 0);
    CHECK(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0); /* that of clock_real */
    CHECK(pthread_cond_init(&w->wake, &attr) == 0);
    pthread_condattr_destroy(&attr);
    CHECK(pthread_create(&w->keeper, NULL, run, w) == 0);
}

void wire_keeper_join(struct wire_nng *w)
{
    CHECK(pthread_join(w->keeper, NULL) == 0);
    pthread_cond_destroy(&w->wake);
}
