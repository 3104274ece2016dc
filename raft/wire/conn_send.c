/* conn_send - what goes out on a connection: frames are staged into whole TLS records, records gathered into one write.
 *
 * The send operation of NNG is the only one that encrypts; it is at work or at rest (conn.send_state). Two buffers: `fill`
 * takes what OpenSSL writes (also while reading: handshake, alerts), `flight` is on its way to TCP.
 */
#include "raft/wire/inside.h"

#include <openssl/err.h>

#include "proto/ground/check.h"

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
        if (!encrypt(c, record)) return false;
    }
    return true;
}

/* ---- the operation */

/* ops is held, it is not closing. */
static void send_begin(struct conn *c)
{
    nng_iov iov = { .iov_buf = c->flight + c->flight_at, .iov_len = c->flight_n - c->flight_at };

    CHECK(nng_aio_set_iov(c->send, 1, &iov) == 0);
    nng_aio_set_timeout(c->send, (nng_duration)c->w->o.send_timeout_ms);
    nng_stream_send(c->stream, c->send);
}

/* False: it is closing, the operation is over. */
static bool send_flight(struct conn *c)
{
    bool is_closing;

    pthread_mutex_lock(&c->ops);
    is_closing = c->is_closing;
    if (!is_closing) send_begin(c);
    pthread_mutex_unlock(&c->ops);
    return !is_closing;
}

/* The next write into flight. False: broken. *refused_out: nothing more will ever be said. */
static bool fill_flight(struct conn *c, bool *refused_out)
{
    bool is_good, tells_room;
    uint8_t *full;

    pthread_mutex_lock(&c->tls);
    is_good = fill(c);
    full = c->fill;
    c->fill = c->flight;
    c->flight = full;
    c->flight_n = c->fill_n;
    c->flight_at = 0;
    c->fill_n = 0;
    tells_room = c->tells_room;
    c->tells_room = false;
    *refused_out = c->state == CONN_REFUSED;
    pthread_mutex_unlock(&c->tls);
    if (c->flight_n > 0) atomic_store(&c->sent_at_ms, clock_mono_ms(&clock_real));
    if (tells_room) wire_lane_tell_room(c->lane, c);
    return is_good;
}

/* True: at rest, or over. False: there was a call for more. */
static bool send_rests(struct conn *c)
{
    int state = SEND_BUSY;

    if (atomic_compare_exchange_strong(&c->send_state, &state, SEND_IDLE)) return true;
    atomic_store(&c->send_state, SEND_BUSY);
    return false;
}

void wire_conn_on_sent(void *arg)
{
    struct conn *c = arg;
    int rv = nng_aio_result(c->send);
    bool is_refused;

    if (rv != 0) {
        wire_conn_close(c, rv == NNG_ETIMEDOUT ? "nothing was taken in time" : nng_strerror(rv));
        wire_conn_unref(c);
        return;
    }
    c->flight_at += nng_aio_count(c->send);
    if (c->flight_at < c->flight_n) {
        if (!send_flight(c)) wire_conn_unref(c);
        return;
    }
    do {
        if (!fill_flight(c, &is_refused)) {
            wire_conn_close(c, "TLS failed");
            break;
        }
        if (c->flight_n > 0) {
            if (send_flight(c)) return;
            break;
        }
        if (is_refused) wire_conn_close(c, "refused");
    } while (!send_rests(c));
    wire_conn_unref(c);
}
