/* accept - the listener: one accept at a time, begun again at once, or by the keeper after an error of the system's. */
#include "raft/wire/inside.h"

#include <stdio.h>

#include "proto/ground/check.h"
#include "proto/ground/log.h"

#define ACCEPT_PAUSE_MS 100 /* no descriptors left: do not spin */

static void on_accepted(void *arg)
{
    struct wire_nng *w = arg;
    int rv = nng_aio_result(w->accept);

    if (rv == 0) {
        wire_conn_start(w, nng_aio_get_output(w->accept, 0), NULL);
        wire_accept_again(w);
        return;
    }
    pthread_mutex_lock(&w->lock);
    w->accept_failed = !w->is_closing;
    w->accept_at_ms = clock_mono_ms(&clock_real) + ACCEPT_PAUSE_MS;
    pthread_mutex_unlock(&w->lock);
    if (rv != NNG_ECLOSED) metric_add(M_WIRE_ACCEPTS_FAILED, 1);
    if (rv != NNG_ECLOSED)
        log_event(LOG_ERROR, "wire.accept_failed", LOG_TEXT("why", nng_strerror(rv)));
    wire_keeper_wake(w);
}

void wire_accept_again(struct wire_nng *w)
{
    nng_stream_listener_accept(w->listener, w->accept);
}

static int listen_failed(int rv, const char *address, struct errmsg *why)
{
    return errmsg_set(why, rv == NNG_EADDRINUSE ? ERR_BUSY : ERR_IO, "listening on %s: %s", address,
                      nng_strerror(rv));
}

int wire_accept_open(struct wire_nng *w, const char *address, struct errmsg *why)
{
    char url[WIRE_ADDRESS_SIZE + 8];
    int port = 0, rv;

    if (strlen(address) >= WIRE_ADDRESS_SIZE)
        return errmsg_set(why, ERR_CONFIG, "listening on %.60s...: the address is too long",
                          address);
    snprintf(url, sizeof url, "tcp://%s", address);
    rv = nng_stream_listener_alloc(&w->listener, url);
    if (rv == 0) rv = nng_stream_listener_set_bool(w->listener, NNG_OPT_TCP_NODELAY, true);
    if (rv == 0) rv = nng_stream_listener_listen(w->listener);
    if (rv != 0) return listen_failed(rv, address, why);
    if (nng_stream_listener_get_int(w->listener, NNG_OPT_TCP_BOUND_PORT, &port) == 0)
        w->port = (uint16_t)port;
    CHECK(nng_aio_alloc(&w->accept, on_accepted, w) == 0);
    return 0;
}

void wire_accept_close(struct wire_nng *w)
{
    if (w->listener) nng_stream_listener_close(w->listener);
    if (w->accept) nng_aio_stop(w->accept);
    if (w->listener) nng_stream_listener_free(w->listener);
    if (w->accept) nng_aio_free(w->accept);
    w->listener = NULL;
    w->accept = NULL;
}
