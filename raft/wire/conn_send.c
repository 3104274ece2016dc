/* conn_send - what goes out on a connection: frames are staged into whole TLS records, records gathered into one write.
 *
 * Who claims conn.send_state is the only one that encrypts and sends: first the caller of wire_send, on its own thread, when
 * TCP takes all of it at once; else, and for everything else, a thread of NNG, in the call-back of the send operation.
 * Two buffers: `fill` takes what OpenSSL writes (also while reading: handshake, alerts), `flight` is on its way to TCP.
 */
#include "raft/wire/inside.h"

#include <openssl/err.h>

#include "proto/ground/check.h"

#define FLIGHTS_MAX 16u /* that one call-back sends at once */

/* ---- staging: tls is held */

static void stage(struct conn *c, const void *p, size_t n)
{
    memcpy(c->stage + c->stage_n, p, n);
    c->stage_n += n;
}

/* As much of the frame as there is room for. */
static void stage_frame(struct conn *c)
{
    struct blob *f = c->sending;
    uint8_t lead[FRAME_LEAD_SIZE];
    size_t room;

    if (c->sending_at < FRAME_LEAD_SIZE) { /* never cut in two: there is room for it */
        wire_frame_lead(lead, FRAME_PAYLOAD, f->n);
        stage(c, lead, sizeof lead);
        c->sending_at = FRAME_LEAD_SIZE;
    }
    room = STAGE_SIZE - c->stage_n;
    if (room > f->n + FRAME_LEAD_SIZE - c->sending_at)
        room = f->n + FRAME_LEAD_SIZE - c->sending_at;
    stage(c, f->p + (c->sending_at - FRAME_LEAD_SIZE), room);
    c->sending_at += room;
    if (c->sending_at < f->n + FRAME_LEAD_SIZE) return;
    metric_add((enum metric)(M_WIRE_FRAMES_OUT_CONTROL + c->lane->number), 1);
    metric_add((enum metric)(M_WIRE_BYTES_OUT_CONTROL + c->lane->number), f->n);
    blob_unref(&c->sending);
}

static void stage_frames(struct conn *c)
{
    static const uint8_t renew[FRAME_LEAD_SIZE] = { FRAME_RENEW };

    while (STAGE_SIZE - c->stage_n > FRAME_LEAD_SIZE) {
        if (!c->sending && atomic_exchange(&c->is_renewal_due, false)) {
            stage(c, renew, sizeof renew);
            continue;
        }
        if (!c->sending) {
            c->sending = wire_lane_next(c->lane, c, &c->tells_room);
            c->sending_at = 0;
        }
        if (!c->sending) return;
        stage_frame(c);
    }
}

static void stage_all(struct conn *c)
{
    static const uint8_t alive[FRAME_LEAD_SIZE] = { FRAME_PAYLOAD };
    bool is_due = atomic_exchange(&c->is_alive_due, false);

    if (c->hello_n > 0) stage(c, c->hello, c->hello_n);
    c->hello_n = 0;
    if (c->state != CONN_UP) return;
    stage_frames(c);
    if (is_due && c->stage_n == 0) stage(c, alive, sizeof alive);
}

/* The next record, and what is left of its source: most of a large frame goes from where it is, small ones are staged. */
static struct span next_record(struct conn *c)
{
    struct blob *f = c->sending;
    size_t at = c->sending_at - FRAME_LEAD_SIZE; /* once its lead has gone */

    if (c->state != CONN_UP || c->hello_n > 0 || c->stage_n > 0)
        return span_of(c->stage, c->stage_n);
    if (!f || c->sending_at < FRAME_LEAD_SIZE || f->n - at <= STAGE_SIZE)
        return span_of(c->stage, c->stage_n);
    c->sending_at += STAGE_SIZE;
    return span_of(f->p + at, STAGE_SIZE);
}

/* One record. RFC 8446, 4.6.3 and 5.5: a key encrypts only so many. */
static bool encrypt(struct conn *c, struct span record)
{
    size_t n = 0;

    if (++c->records > c->w->key_records_max) {
        c->records = 0;
        if (SSL_key_update(c->ssl, SSL_KEY_UPDATE_NOT_REQUESTED) != 1) return false;
    }
    if (SSL_write_ex(c->ssl, record.p, record.n, &n) != 1) return false;
    CHECK(n == record.n);
    if (record.p == c->stage) c->stage_n = 0;
    return true;
}

/* Encrypts what there is to a full write. False: the connection is broken. */
static bool fill(struct conn *c)
{
    if (c->state == CONN_HANDSHAKE) return true; /* what OpenSSL wrote by itself */
    while (c->fill_n < OUT_SIZE) {
        struct span record = next_record(c);

        if (record.n == 0) {
            stage_all(c);
            record = span_of(c->stage, c->stage_n);
        }
        if (record.n == 0) return true;
        ERR_clear_error();
        if (!encrypt(c, record)) {
            ERR_clear_error(); /* of this thread, which may be a loop */
            return false;
        }
    }
    return true;
}

/* ---- the operations */

/* True: the caller is the one who sends now. False: somebody is, and will look again. */
static bool send_claim(struct conn *c)
{
    int state = atomic_load(&c->send_state);

    do {
        if (state == SEND_AGAIN) return false;
    } while (!atomic_compare_exchange_weak(&c->send_state, &state, state + 1));
    return state == SEND_IDLE;
}

/* True: at rest. False: there was a call for more. */
static bool send_rests(struct conn *c)
{
    int state = SEND_BUSY;

    if (atomic_compare_exchange_strong(&c->send_state, &state, SEND_IDLE)) return true;
    atomic_store(&c->send_state, SEND_BUSY);
    return false;
}

/* An operation that ends at once, with `rv`: its call-back, on a thread of NNG, goes on with what was claimed. */
static void hand_over(struct conn *c, int rv)
{
    pthread_mutex_lock(&c->ops);
    if (!c->is_closing) {
        wire_conn_ref(c);
        CHECK(nng_aio_begin(c->send));
        nng_aio_finish(c->send, rv);
    }
    pthread_mutex_unlock(&c->ops);
}

static nng_iov rest_of_flight(const struct conn *c)
{
    return (nng_iov){ .iov_buf = c->flight + c->flight_at, .iov_len = c->flight_n - c->flight_at };
}

/* As much of the flight as TCP takes without waiting; 0 also when that is nothing. An operation without a call-back costs no
 * hand-over; cancelled, it has taken no byte. */
static int send_at_once(struct conn *c)
{
    nng_iov iov = rest_of_flight(c);
    int rv = NNG_ECLOSED;

    pthread_mutex_lock(&c->ops);
    if (!c->is_closing) {
        CHECK(nng_aio_set_iov(c->at_once, 1, &iov) == 0);
        nng_stream_send(c->stream, c->at_once);
        nng_aio_cancel(c->at_once);
        nng_aio_wait(c->at_once);
        rv = nng_aio_result(c->at_once);
        if (rv == 0) c->flight_at += nng_aio_count(c->at_once);
    }
    pthread_mutex_unlock(&c->ops);
    return rv == NNG_ECANCELED ? 0 : rv;
}

/* The rest of the flight, as TCP takes it. False: it is closing, nothing was begun. */
static bool send_begin(struct conn *c)
{
    nng_iov iov = rest_of_flight(c);
    bool is_closing;

    pthread_mutex_lock(&c->ops);
    is_closing = c->is_closing;
    if (!is_closing) {
        CHECK(nng_aio_set_iov(c->send, 1, &iov) == 0);
        nng_aio_set_timeout(c->send, (nng_duration)c->w->o.send_timeout_ms);
        nng_stream_send(c->stream, c->send);
    }
    pthread_mutex_unlock(&c->ops);
    return !is_closing;
}

/* tls is held. What was filled is the next flight. */
static void take_off(struct conn *c)
{
    uint8_t *full = c->fill;

    c->fill = c->flight;
    c->flight = full;
    c->flight_n = c->fill_n;
    c->flight_at = 0;
    c->fill_n = 0;
    if (c->flight_n > 0) atomic_store(&c->sent_at_us, clock_mono_us());
}

/* ---- on a thread of NNG */

/* The next flight. False: broken. *refused_out: nothing more will ever be said. */
static bool fill_flight(struct conn *c, bool *refused_out)
{
    bool is_good, tells_room;

    pthread_mutex_lock(&c->tls);
    is_good = fill(c);
    take_off(c);
    tells_room = c->tells_room;
    c->tells_room = false;
    *refused_out = c->state == CONN_REFUSED;
    pthread_mutex_unlock(&c->tls);
    if (tells_room) wire_lane_tell_room(c->lane, c);
    return is_good;
}

static void end_sending(struct conn *c, int rv)
{
    wire_conn_close(c, rv == NNG_ETIMEDOUT ? "nothing was taken in time" : nng_strerror(rv));
}

/* True: its operation is at work, and goes on in its call-back. False: at rest, or over. */
static bool send_all(struct conn *c)
{
    for (unsigned flights = 0;; flights++) {
        bool is_refused;
        int rv;

        while (c->flight_at == c->flight_n) {
            if (!fill_flight(c, &is_refused)) {
                wire_conn_close(c, "TLS failed");
                return false;
            }
            if (c->flight_n > 0) break;
            if (is_refused) wire_conn_close(c, "refused");
            if (send_rests(c)) return false;
        }
        if (flights == FLIGHTS_MAX) return send_begin(c); /* others want this thread, too */
        rv = send_at_once(c);
        if (rv != 0) {
            end_sending(c, rv);
            return false;
        }
        if (c->flight_at < c->flight_n) return send_begin(c);
    }
}

void wire_conn_on_sent(void *arg)
{
    struct conn *c = arg;
    int rv = nng_aio_result(c->send);

    if (rv != 0)
        end_sending(c, rv);
    else
        c->flight_at += nng_aio_count(c->send);
    if (rv != 0 || !send_all(c)) wire_conn_unref(c);
}

void wire_conn_kick(struct conn *c)
{
    if (send_claim(c)) hand_over(c, 0);
}

/* ---- on the caller's thread */

enum flown { FLOWN, FLOWN_MORE, FLOWN_BADLY };

/* What waits becomes a flight. tls may be held by the caller, further up, or by who tells it something: never waited for. */
static enum flown fill_at_once(struct conn *c)
{
    enum flown flown = FLOWN_MORE;

    if (pthread_mutex_trylock(&c->tls) != 0) return FLOWN_MORE;
    if (c->state == CONN_UP) {
        if (!fill(c))
            flown = FLOWN_BADLY;
        else if (c->fill_n < OUT_SIZE && !c->tells_room)
            flown = FLOWN;
        take_off(c);
    }
    pthread_mutex_unlock(&c->tls);
    return flown;
}

static bool is_often(const struct conn *c)
{
    return clock_mono_us() - atomic_load(&c->sent_at_us) < c->w->at_once_us;
}

void wire_conn_write(struct conn *c)
{
    enum flown flown;
    int rv = 0;

    if (!send_claim(c)) return;
    flown = is_often(c) ? FLOWN_MORE : fill_at_once(c);
    if (flown == FLOWN_BADLY)
        rv = NNG_ECRYPTO;
    else if (c->flight_at < c->flight_n)
        rv = send_at_once(c);
    /* the end of a connection, and room in its lane, are told on threads of the wire only */
    if (rv != 0 || flown == FLOWN_MORE || c->flight_at < c->flight_n || !send_rests(c))
        hand_over(c, rv);
}
