/* stream_tls - TLS inside a stream: OpenSSL reads records from the bytes that just came in and
 * writes records to the out-queue, through a BIO of our own, so that an idle session holds no
 * record buffer.
 *
 * Invariants: `feed` is not empty only inside tls_take, and OpenSSL has read all of it when
 * tls_take is over (or the stream ended). Bytes written before stream_tls are in the queue already
 * and leave first, in clear. The error queue of OpenSSL is the thread's: it is emptied before each
 * call and read right after, before any call-back.
 */
#include "node/net/stream_private.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/ground/check.h"
#include "proto/ground/log.h"
#include "proto/ground/metric.h"

#define RECORD_SIZE (17u << 10) /* what one SSL_read may give, at most */

/* ---- the BIO ---- */

static BIO_METHOD *bio_method;
static pthread_once_t bio_once = PTHREAD_ONCE_INIT;

static int bio_read(BIO *b, char *out, int size)
{
    struct stream *s = BIO_get_data(b);
    struct span *feed = &s->tls->feed;
    size_t n = feed->n < (size_t)size ? feed->n : (size_t)size;

    BIO_clear_retry_flags(b);
    if (n == 0) {
        BIO_set_retry_read(b);
        return -1;
    }
    memcpy(out, feed->p, n);
    *feed = span_from(*feed, n);
    return (int)n;
}

static int bio_write(BIO *b, const char *bytes, int n)
{
    struct stream *s = BIO_get_data(b);

    BIO_clear_retry_flags(b);
    buf_add(&s->queue, bytes, (size_t)n);
    return buf_failed(&s->queue) ? -1 : n;
}

static long bio_ctrl(BIO *b, int what, long num, void *ptr)
{
    (void)b;
    (void)num;
    (void)ptr;
    return what == BIO_CTRL_FLUSH;
}

static void bio_make_method(void)
{
    bio_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "stream");
    CHECK(bio_method != NULL);
    BIO_meth_set_read(bio_method, bio_read);
    BIO_meth_set_write(bio_method, bio_write);
    BIO_meth_set_ctrl(bio_method, bio_ctrl);
}

static int attach_bio(struct stream *s)
{
    BIO *b;

    pthread_once(&bio_once, bio_make_method);
    b = BIO_new(bio_method);
    if (!b) return ERR_TLS;
    BIO_set_data(b, s);
    BIO_set_init(b, 1);
    SSL_set_bio(s->tls->ssl, b, b);
    return 0;
}

/* ---- beginning ---- */

static bool is_address(const char *host)
{
    struct stream_address a = { 0 };
    struct sockaddr_storage sa;

    if (strlen(host) >= sizeof a.text) return false;
    snprintf(a.text, sizeof a.text, "%s", host);
    return tcp_address(&a, 0, &sa) == 0;
}

/* Whom a client expects: the name goes out in the hello and is looked for in the certificate. */
static int expect_host(SSL *ssl, const struct tls *ctx, const char *host)
{
    bool ok = true;

    if (!host) return ctx->verify ? ERR_TLS : 0; /* a check against nobody's name is no check */
    if (is_address(host)) {
        ok = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
        return ok ? 0 : ERR_TLS;
    }
    ok = SSL_set_tlsext_host_name(ssl, host) == 1;
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    ok = ok && SSL_set1_host(ssl, host) == 1;
    return ok ? 0 : ERR_TLS;
}

static int make_ssl(struct stream *s, struct tls *ctx, const char *host)
{
    SSL *ssl = s->tls->ssl = SSL_new(ctx->ctx);

    if (!ssl || attach_bio(s)) return ERR_TLS;
    if (!s->client) {
        SSL_set_accept_state(ssl);
        return 0;
    }
    SSL_set_connect_state(ssl);
    s->tls->has_name = host != NULL;
    return expect_host(ssl, ctx, host);
}

int stream_tls(struct stream *s, struct tls *ctx, const char *host)
{
    if (s->tls) return ERR_EXISTS;
    if (s->state > STREAM_OPEN || s->broken) return ERR_CLOSED;
    if (ctx->server == s->client) return ERR_UNSUPPORTED;
    s->tls = check_calloc(1, sizeof *s->tls);
    s->tls->ctx = tls_ref(ctx);
    buf_init(&s->tls->plain, s->out_max);
    if (make_ssl(s, ctx, host)) {
        ERR_clear_error();
        tls_free(s);
        return ERR_TLS;
    }
    s->drop_shown = true;
    buf_reset(&s->in);
    if (s->showing == 0) stream_buf_free(&s->in); /* else it is shown right now: freed after */
    if (s->state == STREAM_OPEN) {
        tls_start(s);
        stream_update_reading(s);
    }
    return 0;
}

/* ---- the handshake ---- */

/* Why the call just made failed; texts are OpenSSL's and live for ever. */
static const char *reason(SSL *ssl)
{
    unsigned long code = ERR_peek_error();
    const char *text = code ? ERR_reason_error_string(code) : NULL;
    long verified = SSL_get_verify_result(ssl);

    if (verified != X509_V_OK && ERR_GET_REASON(code) == SSL_R_CERTIFICATE_VERIFY_FAILED)
        return X509_verify_cert_error_string(verified);
    return text ? text : "TLS protocol error";
}

/* The alert is in the queue and leaves; nothing else does. */
static void fail(struct stream *s, const char *why)
{
    ERR_clear_error();
    if (!s->client && !s->tls->established) metric_add(M_TLS_FAILED, 1);
    s->tls->failed = true;
    s->tls->feed = span_of(NULL, 0);
    buf_reset(&s->tls->plain);
    stream_mark_dirty(s);
    stream_end(s, ERR_TLS, why);
}

static void established(struct stream *s)
{
    struct stream_tls *t = s->tls;

    t->established = true;
    if (!s->client) metric_add(SSL_session_reused(t->ssl) ? M_TLS_RESUMED : M_TLS_FULL, 1);
    snprintf(t->text, sizeof t->text, "%s %s", SSL_get_version(t->ssl),
             SSL_get_cipher_name(t->ssl));
    stream_mark_dirty(s); /* what was written meanwhile */
    if (s->calls->on_ready) s->calls->on_ready(s->arg);
}

/* The peer of a context with pins has one of their keys, or nothing is said to it. */
static bool is_pinned(struct stream *s)
{
    X509 *leaf = SSL_get0_peer_certificate(s->tls->ssl);
    char shown[65] = "";

    if (s->tls->ctx->pin_count == 0) return true;
    if (leaf) tls_spki_sha256(leaf, shown);
    if (tls_pin_fits(s->tls->ctx, shown)) return true;
    metric_add(M_PINS_FAILED, 1);
    log_event(LOG_ERROR, "tls.pin_mismatch", LOG_TEXT("remote_address", s->peer.text),
              LOG_NUM("port", s->peer.port), LOG_TEXT("spki_sha256", shown),
              LOG_TEXT("help", "somebody is in between, or the host has a new key: if it is the "
                               "host's, add it to the route's pins"));
    return false;
}

static void handshake(struct stream *s)
{
    int rc;

    ERR_clear_error();
    rc = SSL_do_handshake(s->tls->ssl);
    if (s->queue.n > 0) stream_mark_dirty(s);
    if (rc == 1 && !is_pinned(s))
        fail(s, "the public key of the certificate is none of the route's pins");
    else if (rc == 1)
        established(s);
    else if (SSL_get_error(s->tls->ssl, rc) != SSL_ERROR_WANT_READ)
        fail(s, reason(s->tls->ssl));
}

void tls_start(struct stream *s)
{
    if (s->client) handshake(s); /* the hello; a server waits for it */
}

/* ---- records ---- */

/* Decrypts what fits into the loop's plain buffer; *err_out says why it stopped (0: the buffer is
 * full). */
static size_t decrypt(struct stream *s, int *err_out, const char **why_out)
{
    uint8_t *to = s->loop->plain_bytes;
    size_t used = 0;

    *err_out = 0;
    while (LOOP_PLAIN_SIZE - used >= RECORD_SIZE) {
        size_t n = 0;
        ERR_clear_error();
        if (SSL_read_ex(s->tls->ssl, to + used, LOOP_PLAIN_SIZE - used, &n) != 1) {
            *err_out = SSL_get_error(s->tls->ssl, 0);
            *why_out = reason(s->tls->ssl);
            break;
        }
        used += n;
    }
    if (s->queue.n > 0) stream_mark_dirty(s); /* a key update was answered */
    return used;
}

static void read_records(struct stream *s)
{
    const char *why = "";
    int err = 0;

    while (err == 0 && s->state == STREAM_OPEN) {
        size_t n = decrypt(s, &err, &why);
        if (n > 0) stream_input(s, span_of(s->loop->plain_bytes, n));
    }
    if (s->state != STREAM_OPEN || err == SSL_ERROR_WANT_READ) return;
    if (err == SSL_ERROR_ZERO_RETURN)
        stream_end(s, ERR_CLOSED, "the peer closed the connection");
    else
        fail(s, why);
}

void tls_take(struct stream *s, struct span records)
{
    struct stream_tls *t = s->tls;

    if (t->failed) return;
    t->feed = records;
    if (!t->established) handshake(s);
    if (t->established && !t->failed && s->state == STREAM_OPEN) read_records(s);
    t->feed = span_of(NULL, 0); /* not empty only when the stream ended */
}

void tls_encrypt(struct stream *s)
{
    struct stream_tls *t = s->tls;
    size_t from = 0, n = 0;

    if (!t->established || t->failed || t->plain.n == 0) return;
    while (from < t->plain.n) {
        ERR_clear_error();
        if (SSL_write_ex(t->ssl, t->plain.p + from, t->plain.n - from, &n) != 1) {
            fail(s, reason(t->ssl));
            return;
        }
        from += n;
    }
    if (t->has_secret) explicit_bzero(t->plain.p, t->plain.n);
    t->has_secret = false;
    buf_reset(&t->plain);
    stream_buf_free(&t->plain);
}

void tls_goodbye(struct stream *s)
{
    if (!s->tls->established || s->tls->failed) return;
    ERR_clear_error();
    SSL_shutdown(s->tls->ssl);
    ERR_clear_error();
}

void tls_free(struct stream *s)
{
    struct stream_tls *t = s->tls;

    if (!t) return;
    s->tls = NULL;
    SSL_free(t->ssl);
    tls_unref(&t->ctx);
    buf_deinit(&t->plain);
    free(t);
}

bool stream_has_tls(const struct stream *s)
{
    return s->tls && s->tls->established;
}

bool stream_tls_verified(const struct stream *s)
{
    return stream_has_tls(s) && s->tls->has_name && SSL_get0_peer_certificate(s->tls->ssl) &&
           SSL_get_verify_result(s->tls->ssl) == X509_V_OK;
}

const char *stream_tls_text(const struct stream *s)
{
    return stream_has_tls(s) ? s->tls->text : "";
}
