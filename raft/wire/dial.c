/* dial - the node with the lower number dials: one attempt a lane at a time, then a pause that doubles, with jitter.
 *
 * A dialer of NNG whose attempt failed is not used again, nor its operation: when one ends by its timeout or is cancelled, the
 * dialer's inner operation is still ending, and the next attempt would begin it a second time (an assertion of NNG's ends the
 * process). The operation is freed before the dialer: only nng_aio_free waits for a timeout that is just being carried out, and
 * that one works on the dialer. (For the same reason a conn frees its operations before its stream.)
 *
 * A connection that was up for a while makes the next pause the shortest again; one that was refused or died
 * young does not, so that two nodes that do not agree do not spin.
 *
 * Over a cable that is cut a SYN is lost, and the kernel says it again after 1 s, 2 s more, 4 s more. An attempt ends before that,
 * and the next one's SYN is new: a node whose cable is back is reached within tcp_timeout_ms and a pause. TLS and hello, which a
 * busy peer may be slow with, have connect_timeout_ms of their own: of a connection TCP says again what was lost after 0.2 s, 0.4,
 * 0.8 and 1.6, so that what is lost of a handshake costs about as little, and nobody who is only slow is given up for it.
 */
#include "raft/wire/inside.h"

#include <stdio.h>
#include <stdlib.h>

#include "proto/ground/check.h"

#define URL_SIZE     (WIRE_ADDRESS_SIZE + 8)
#define FAILURES_MAX 16u

bool wire_dial_is_ours(const struct lane *l)
{
    return l->peer->w->o.node < l->peer->node;
}

/* lane.lock is held. */
void wire_dial_again(struct lane *l, bool was_good)
{
    const struct wire_options *o = &l->peer->w->o;
    uint64_t max_ms = l->peer->is_removed ? o->farewell_max_ms : o->dial_max_ms, pause_ms;

    if (was_good) l->failures = 0;
    pause_ms = (uint64_t)o->dial_first_ms << l->failures;
    if (pause_ms > max_ms) pause_ms = max_ms;
    if (l->failures < FAILURES_MAX) l->failures++;
    pause_ms -= rng_below(&l->rng, pause_ms / 2 + 1);
    l->dial_at_ms = clock_mono_ms(&clock_real) + pause_ms;
}

static void on_dialled(void *arg)
{
    struct lane *l = arg;
    struct wire_nng *w = l->peer->w;
    int rv = nng_aio_result(l->dial);

    metric_add(rv == 0 ? M_WIRE_DIALS : M_WIRE_DIALS_FAILED, 1);
    if (rv == 0) wire_conn_start(w, nng_aio_get_output(l->dial, 0), l);
    pthread_mutex_lock(&l->lock);
    l->is_dialling = false;
    l->is_dialer_spent = rv != 0;
    if (rv != 0) wire_dial_again(l, false);
    pthread_mutex_unlock(&l->lock);
    wire_keeper_wake(w);
}

void wire_dial_init(struct lane *l)
{
    rng_seed(&l->rng, l->peer->w->o.incarnation ^ (l->peer->node << 8 | l->number));
}

/* tests/tsan.supp names the two that call this. */
__attribute__((noinline)) static void free_dialer(struct lane *l)
{
    if (l->dial) nng_aio_stop(l->dial);
    if (l->dial) nng_aio_free(l->dial);
    if (l->dialer) nng_stream_dialer_free(l->dialer);
    l->dial = NULL;
    l->dialer = NULL;
    l->is_dialer_spent = false;
}

void wire_dial_deinit(struct lane *l)
{
    free_dialer(l);
}

/* Nothing is to be said any more: what was for it goes. */
static void end_dialling(struct lane *l)
{
    bool is_dialling;

    pthread_mutex_lock(&l->lock);
    is_dialling = l->is_dialling;
    pthread_mutex_unlock(&l->lock);
    if (!is_dialling) free_dialer(l);
}

/* A good dialer of the address that is set now. */
__attribute__((noinline)) static bool have_dialer(struct lane *l)
{
    char url[URL_SIZE];

    pthread_mutex_lock(&l->peer->lock);
    if (l->is_dialer_spent || strcmp(l->dialer_address, l->peer->address) != 0) {
        free_dialer(l);
        snprintf(l->dialer_address, sizeof l->dialer_address, "%s", l->peer->address);
    }
    pthread_mutex_unlock(&l->peer->lock);
    if (l->dialer) return true;
    snprintf(url, sizeof url, "tcp://%s", l->dialer_address);
    if (nng_stream_dialer_alloc(&l->dialer, url) != 0) return false;
    CHECK(nng_stream_dialer_set_bool(l->dialer, NNG_OPT_TCP_NODELAY, true) == 0);
    CHECK(nng_aio_alloc(&l->dial, on_dialled, l) == 0);
    return true;
}

/* One that was removed has one thing to hear, on one lane, until it does not know us any more. */
static bool has_to_hear(const struct lane *l)
{
    struct peer *p = l->peer;

    if (!p->is_removed) return true;
    return l->number == WIRE_CONTROL && p->address[0] && !atomic_load(&p->has_forgotten_us);
}

uint64_t wire_dial_turn(struct lane *l, uint64_t now_ms)
{
    uint64_t next_ms = UINT64_MAX;
    bool is_due = false;

    if (!wire_dial_is_ours(l)) return UINT64_MAX;
    if (!has_to_hear(l)) {
        end_dialling(l);
        return UINT64_MAX;
    }
    pthread_mutex_lock(&l->lock);
    if (!l->is_dialling && !l->coming) {
        is_due = now_ms >= l->dial_at_ms;
        next_ms = l->dial_at_ms;
        l->is_dialling = is_due;
    }
    pthread_mutex_unlock(&l->lock);
    if (!is_due) return next_ms;
    if (have_dialer(l)) {
        nng_aio_set_timeout(l->dial, (nng_duration)l->peer->w->o.tcp_timeout_ms);
        nng_stream_dialer_dial(l->dialer, l->dial);
        return UINT64_MAX;
    }
    metric_add(M_WIRE_DIALS_FAILED, 1);
    pthread_mutex_lock(&l->lock);
    l->is_dialling = false;
    wire_dial_again(l, false);
    next_ms = l->dial_at_ms;
    pthread_mutex_unlock(&l->lock);
    return next_ms;
}
