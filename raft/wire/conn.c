/* conn - one connection: from TCP to its end, what comes in on it, and how it ends.
 *
 *   HANDSHAKE --certificate named a node--> HELLO --theirs is good--> UP
 *       └───────────────┴─────────────────────────────┴────> REFUSED: what is to be said is sent, then closed
 *
 * Rules of NNG: an operation begins under conn.ops and never after the close (it would end by its timeout only); every
 * operation has a timeout; nothing is stopped or freed in a call-back.
 */
#include "raft/wire/inside.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/ground/check.h"
#include "proto/ground/log.h"

#define REFUSAL_LOG_MS 1000 /* at most one line in this time: strangers must not fill the log */

static const char *const refusal_texts[] = {
#define REFUSAL_TEXT_(name, text) [REFUSE_##name] = (text),
    WIRE_REFUSAL_TABLE(REFUSAL_TEXT_)
#undef REFUSAL_TEXT_
};

static const enum metric refusal_metrics[] = {
    [REFUSE_TLS] = M_WIRE_REFUSED_TLS,
    [REFUSE_CERTIFICATE] = M_WIRE_REFUSED_CERTIFICATE,
    [REFUSE_EXPIRED] = M_WIRE_REFUSED_EXPIRED,
    [REFUSE_NAME] = M_WIRE_REFUSED_NAME,
    [REFUSE_MEMBER] = M_WIRE_REFUSED_MEMBER,
    [REFUSE_NODE] = M_WIRE_REFUSED_NODE,
    [REFUSE_HELLO] = M_WIRE_REFUSED_HELLO,
    [REFUSE_CLUSTER] = M_WIRE_REFUSED_CLUSTER,
    [REFUSE_INCARNATION] = M_WIRE_REFUSED_INCARNATION,
    [REFUSE_FORMAT] = M_WIRE_REFUSED_FORMAT,
    [REFUSE_FRAME] = M_WIRE_REFUSED_FRAME,
    [REFUSE_SLOW] = M_WIRE_REFUSED_SLOW,
    [REFUSE_LIMIT] = M_WIRE_REFUSED_LIMIT,
    [REFUSE_REMOVED] = M_WIRE_REFUSED_REMOVED,
};
_Static_assert(sizeof refusal_metrics / sizeof refusal_metrics[0] == REFUSE_COUNT, "one each");

/* ---- references and the end */

struct conn *wire_conn_ref(struct conn *c)
{
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    return c;
}

bool wire_conn_try_ref(struct conn *c)
{
    unsigned refs = atomic_load(&c->refs);

    while (refs > 0)
        if (atomic_compare_exchange_weak(&c->refs, &refs, refs + 1)) return true;
    return false;
}

void wire_conn_unref(struct conn *c)
{
    if (atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) == 1) wire_keeper_bury(c);
}

void wire_conn_close(struct conn *c, const char *why)
{
    struct lane *lane;
    bool is_first, was_paused = false;

    wire_conn_ref(c);
    pthread_mutex_lock(&c->ops);
    is_first = !c->is_closing;
    lane = c->lane;
    if (is_first) {
        c->is_closing = true;
        if (!c->why) c->why = why;
        was_paused = c->is_paused;
        c->is_paused = false;
        nng_stream_close(c->stream);
    }
    pthread_mutex_unlock(&c->ops);
    if (lane) wire_lane_detach(lane, c);
    if (was_paused) wire_conn_unref(c); /* of the receive operation */
    if (is_first) wire_conn_unref(c);   /* of being open */
    wire_conn_unref(c);
}

void wire_conn_free(struct conn *c)
{
    nng_aio_stop(c->recv);
    nng_aio_stop(c->send);
    nng_aio_stop(c->at_once);
    nng_aio_free(c->recv);
    nng_aio_free(c->send);
    nng_aio_free(c->at_once);
    nng_stream_free(c->stream); /* last: see dial.c */
    SSL_free(c->ssl);
    wire_frame_deinit(&c->frame);
    blob_unref(&c->sending);
    if (c->peer) wire_peer_unref(c->peer);
    pthread_mutex_destroy(&c->tls);
    pthread_mutex_destroy(&c->ops);
    free(c->fill);
    free(c->flight);
    free(c);
    metric_sub(M_WIRE_CONNECTIONS, 1);
}

/* ---- refusing */

/* True at most once a second. */
static bool may_log(struct wire_nng *w)
{
    uint64_t now_ms = clock_mono_ms(&clock_real);
    bool may;

    pthread_mutex_lock(&w->lock);
    may = now_ms - w->refusal_logged_ms >= REFUSAL_LOG_MS || w->refusal_logged_ms == 0;
    if (may) w->refusal_logged_ms = now_ms;
    pthread_mutex_unlock(&w->lock);
    return may;
}

static void refusal_count(struct conn *c, enum wire_refusal reason, const char *detail)
{
    metric_add(refusal_metrics[reason], 1);
    if (may_log(c->w))
        log_event(LOG_WARN, "wire.refused", LOG_TEXT("from", c->from),
                  LOG_NUM("peer", c->peer ? c->peer->node : 0),
                  LOG_TEXT("why", refusal_texts[reason]), LOG_TEXT("detail", detail));
}

static void tell_removed(struct conn *c)
{
    const struct wire_options *o = &c->w->o;
    struct lane *l = &c->peer->lanes[WIRE_CONTROL];

    pthread_mutex_lock(&l->events);
    if (o->on_removed && !l->is_quiet) o->on_removed(o->removed_arg, c->peer->node);
    pthread_mutex_unlock(&l->events);
}

static void refused_by_peer(struct conn *c, const char *why)
{
    metric_add(M_WIRE_REFUSED_BY_PEER, 1);
    if (may_log(c->w))
        log_event(LOG_WARN, "wire.refused_by_peer", LOG_TEXT("from", c->from),
                  LOG_NUM("peer", c->peer ? c->peer->node : 0), LOG_TEXT("why", why));
}

void wire_conn_refuse(struct conn *c, enum wire_refusal reason, const char *detail)
{
    bool is_known = c->state == CONN_HELLO || c->state == CONN_UP;

    if (c->state == CONN_REFUSED) return;
    c->state = CONN_REFUSED;
    refusal_count(c, reason, detail);
    if (is_known) wire_hello_say(c, reason);
    pthread_mutex_lock(&c->ops);
    if (!c->why) c->why = refusal_texts[reason];
    pthread_mutex_unlock(&c->ops);
    if (c->lane) wire_lane_detach(c->lane, c);
    atomic_store(&c->deadline_ms, clock_mono_ms(&clock_real) + c->w->o.connect_timeout_ms);
    wire_conn_kick(c); /* the send side closes when all is said */
}

void wire_conn_evict(struct conn *c, enum wire_refusal reason)
{
    enum conn_state state;

    pthread_mutex_lock(&c->tls);
    state = c->state;
    if (state == CONN_HANDSHAKE || state == CONN_HELLO) refusal_count(c, reason, "");
    pthread_mutex_unlock(&c->tls);
    if (state != CONN_UP) wire_conn_close(c, refusal_texts[reason]);
}

/* ---- receiving */

/* ops is held, it is not closing. */
static void recv_begin(struct conn *c)
{
    nng_iov iov = { .iov_buf = c->in_bytes, .iov_len = IN_SIZE };

    CHECK(nng_aio_set_iov(c->recv, 1, &iov) == 0);
    nng_aio_set_timeout(c->recv, (nng_duration)c->w->o.silence_timeout_ms);
    nng_stream_recv(c->stream, c->recv);
}

void wire_conn_resume(struct conn *c)
{
    pthread_mutex_lock(&c->ops);
    if (c->is_paused) {
        c->is_paused = false;
        recv_begin(c);
    }
    pthread_mutex_unlock(&c->ops);
}

static bool take_hello(struct conn *c, struct blob *frame)
{
    enum wire_refusal reason = wire_hello_take(c, blob_span(frame));

    blob_unref(&frame);
    if (reason == REFUSE_NONE && c->theirs.refused != 0) {
        refused_by_peer(c,
                        c->theirs.refused < REFUSE_COUNT ? refusal_texts[c->theirs.refused] : "?");
        if (c->theirs.refused == REFUSE_REMOVED) tell_removed(c);
        if (c->theirs.refused == REFUSE_MEMBER && c->peer->is_removed)
            atomic_store(&c->peer->has_forgotten_us, true);
        return false;
    }
    if (reason != REFUSE_NONE) {
        wire_conn_refuse(c, reason, "");
        return false;
    }
    if (c->is_accepted) wire_hello_say(c, REFUSE_NONE);
    if (!wire_lane_attach(&c->peer->lanes[c->theirs.lane], c)) return false;
    c->state = CONN_UP;
    atomic_store(&c->deadline_ms, 0);
    wire_conn_kick(c);
    wire_keeper_wake(c->w); /* no deadline any more, signs of life instead */
    return true;
}

/* In the UP state a hello is a kind that wire_frame_took does not expect: a second one never gets here. */
static bool take_frame(struct conn *c, struct blob *frame)
{
    struct lane *lane = c->lane;
    unsigned resumes;

    if (c->state == CONN_HELLO) return take_hello(c, frame);
    resumes = atomic_load(&lane->resumes);
    metric_add((enum metric)(M_WIRE_FRAMES_IN_CONTROL + lane->number), 1);
    metric_add((enum metric)(M_WIRE_BYTES_IN_CONTROL + lane->number), frame->n);
    c->wants_pause = !wire_lane_deliver(lane, c, frame);
    c->pause_at = resumes;
    return true;
}

static bool fail_tls(struct conn *c)
{
    const char *text;
    bool by_peer;
    enum wire_refusal reason = wire_tls_failure(c->ssl, &by_peer, &text);

    if (by_peer) {
        refused_by_peer(c, text);
        return false;
    }
    wire_conn_refuse(c, reason, text);
    return false;
}

static bool handshake(struct conn *c, bool *more_out)
{
    enum wire_refusal reason;
    int rv = SSL_do_handshake(c->ssl);

    *more_out = rv == 1;
    if (rv != 1) return SSL_get_error(c->ssl, rv) == SSL_ERROR_WANT_READ || fail_tls(c);
    c->state = CONN_HELLO;
    reason = wire_hello_check_name(c);
    if (reason == REFUSE_REMOVED && !c->is_accepted) { /* it hears so, and has the last word */
        refusal_count(c, reason, "");
    } else if (reason != REFUSE_NONE) {
        wire_conn_refuse(c, reason, "");
        return false;
    }
    if (!c->is_accepted) wire_hello_say(c, reason);
    return true;
}

static bool read_frames(struct conn *c, bool *more_out)
{
    struct wire_frame_space space = wire_frame_space(&c->frame);
    struct blob *frame = NULL;
    size_t n = 0;
    int rv = SSL_read_ex(c->ssl, space.p, space.n, &n);

    *more_out = rv == 1;
    if (rv != 1) return SSL_get_error(c->ssl, rv) == SSL_ERROR_WANT_READ || fail_tls(c);
    rv = wire_frame_took(&c->frame, n, &frame);
    if (rv != 0) {
        bool is_hello = c->state == CONN_HELLO || c->frame.lead[0] == FRAME_HELLO;

        wire_conn_refuse(c, is_hello ? REFUSE_HELLO : REFUSE_FRAME, err_text(rv));
        return false;
    }
    if (c->frame.asks_renewal) { /* it is open: only then one is taken */
        c->frame.asks_renewal = false;
        if (!c->is_accepted) wire_renew_lane(c->lane, c);
    }
    return !frame || take_frame(c, frame);
}

/* All that is in c->in. tls is held. False: there is nothing more to read on it. */
static bool read_all(struct conn *c)
{
    bool more = true, is_good = true;

    while (more && is_good) {
        ERR_clear_error(); /* of this thread: it works for all connections */
        if (c->state == CONN_HANDSHAKE)
            is_good = handshake(c, &more);
        else
            is_good = read_frames(c, &more);
    }
    ERR_clear_error();
    return is_good;
}

static const char *end_text(int rv)
{
    if (rv == NNG_ETIMEDOUT) return "nothing came in time";
    return rv == NNG_ECLOSED || rv == NNG_ECONNSHUT ? "closed by the other end" : nng_strerror(rv);
}

/* The receive operation is at rest. Begins the next one, or lets it be. */
static void recv_again(struct conn *c, bool wants_pause, unsigned pause_at)
{
    bool is_over;

    pthread_mutex_lock(&c->ops);
    is_over = c->is_closing;
    if (!is_over) {
        if (wants_pause && atomic_load(&c->lane->resumes) == pause_at)
            c->is_paused = true; /* wire_resume, if it came since then, waits for ops and sees it */
        else
            recv_begin(c);
    }
    pthread_mutex_unlock(&c->ops);
    if (is_over) wire_conn_unref(c);
}

static void on_received(void *arg)
{
    struct conn *c = arg;
    int rv = nng_aio_result(c->recv);
    bool is_good = false, is_refused, wants_pause;
    unsigned pause_at;

    if (rv != 0) {
        if (rv == NNG_ETIMEDOUT) metric_add(M_WIRE_SILENT, 1);
        wire_conn_close(c, end_text(rv));
        wire_conn_unref(c);
        return;
    }
    pthread_mutex_lock(&c->tls);
    c->in = span_of(c->in_bytes, nng_aio_count(c->recv));
    if (c->state != CONN_REFUSED) is_good = read_all(c);
    if (c->fill_n > 0) wire_conn_kick(c);
    is_refused = c->state == CONN_REFUSED;
    wants_pause = c->wants_pause;
    pause_at = c->pause_at;
    c->wants_pause = false;
    pthread_mutex_unlock(&c->tls);
    if (is_good) {
        recv_again(c, wants_pause, pause_at);
        return;
    }
    if (!is_refused) wire_conn_close(c, "it refused us");
    wire_conn_unref(c);
}

/* ---- the beginning */

static void remember_address(struct conn *c, const struct lane *dialled)
{
    nng_sockaddr a;
    char ip[INET6_ADDRSTRLEN] = "?";
    unsigned port = 0;

    if (dialled) {
        snprintf(c->from, sizeof c->from, "%.*s", (int)sizeof c->from - 1, dialled->dialer_address);
        return;
    }
    if (nng_stream_get_addr(c->stream, NNG_OPT_REMADDR, &a) != 0) a.s_family = NNG_AF_UNSPEC;
    if (a.s_family == NNG_AF_INET) {
        inet_ntop(AF_INET, &a.s_in.sa_addr, ip, sizeof ip);
        port = ntohs(a.s_in.sa_port);
    } else if (a.s_family == NNG_AF_INET6) {
        inet_ntop(AF_INET6, a.s_in6.sa_addr, ip, sizeof ip);
        port = ntohs(a.s_in6.sa_port);
    }
    snprintf(c->from, sizeof c->from, "%s:%u", ip, port);
}

static struct conn *conn_new(struct wire_nng *w, nng_stream *stream, struct lane *dialled)
{
    struct conn *c = check_calloc(1, sizeof *c);
    uint64_t now_ms = clock_mono_ms(&clock_real);
    SSL_CTX *ctx;

    c->w = w;
    c->stream = stream;
    c->is_accepted = dialled == NULL;
    atomic_init(&c->refs, 2); /* open, and the receive operation */
    atomic_init(&c->deadline_ms, now_ms + w->o.connect_timeout_ms);
    atomic_init(&c->sent_at_us, clock_mono_us());
    atomic_init(&c->send_state, SEND_IDLE);
    list_init(&c->link);
    CHECK(pthread_mutex_init(&c->tls, NULL) == 0);
    CHECK(pthread_mutex_init(&c->ops, NULL) == 0);
    CHECK(nng_aio_alloc(&c->recv, on_received, c) == 0);
    CHECK(nng_aio_alloc(&c->send, wire_conn_on_sent, c) == 0);
    CHECK(nng_aio_alloc(&c->at_once, NULL, NULL) == 0);
    nng_aio_set_timeout(c->at_once, NNG_DURATION_INFINITE); /* it is cancelled at once */
    c->fill = check_malloc(OUT_SIZE_MAX);
    c->flight = check_malloc(OUT_SIZE_MAX);
    remember_address(c, dialled);
    if (dialled) {
        c->lane = dialled;
        c->peer = dialled->peer;
        atomic_fetch_add(&c->peer->refs, 1);
    }
    pthread_mutex_lock(&w->lock);
    ctx = w->ctx;
    c->generation = w->generation;
    SSL_CTX_up_ref(ctx);
    pthread_mutex_unlock(&w->lock);
    c->ssl = wire_tls_new(ctx, c);
    SSL_CTX_free(ctx);
    metric_add(M_WIRE_CONNECTIONS, 1);
    return c;
}

/* Strangers have accept_max places: the oldest that has not said who it is makes room. A node needs milliseconds
 * for that, so that one who only holds places does not keep it out. */
static struct conn *make_room(struct wire_nng *w)
{
    struct conn *oldest = NULL;
    size_t n = 0;

    LIST_FOR(it, &w->conns) {
        struct conn *c = CONTAINER_OF(it, struct conn, link);

        if (!c->is_accepted || c->is_ending || atomic_load(&c->deadline_ms) == 0) continue;
        n++;
        if (!oldest) oldest = c;
    }
    if (n < w->o.accept_max || !wire_conn_try_ref(oldest)) return NULL;
    oldest->is_ending = true;
    return oldest;
}

void wire_conn_start(struct wire_nng *w, nng_stream *stream, struct lane *dialled)
{
    struct conn *c = conn_new(w, stream, dialled), *oldest = NULL;
    bool is_closing;

    if (dialled) {
        pthread_mutex_lock(&dialled->lock);
        dialled->coming = c;
        pthread_mutex_unlock(&dialled->lock);
    }
    wire_conn_ref(c);
    pthread_mutex_lock(&w->lock);
    is_closing = w->is_closing;
    if (!dialled) oldest = make_room(w);
    list_add(&w->conns, &c->link);
    pthread_mutex_unlock(&w->lock);
    if (oldest) {
        wire_conn_evict(oldest, REFUSE_LIMIT);
        wire_conn_unref(oldest);
    }
    if (is_closing) wire_conn_close(c, "this node closes");
    pthread_mutex_lock(&c->tls);
    if (!c->is_accepted && read_all(c)) wire_conn_kick(c); /* the first words are the dialler's */
    pthread_mutex_unlock(&c->tls);
    recv_again(c, false, 0);
    wire_keeper_wake(w); /* it has a deadline */
    wire_conn_unref(c);
}
