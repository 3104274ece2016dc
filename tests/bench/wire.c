/* wire - connections of the load tools: epoll-ready sockets, OpenSSL on top of them. */
#include "tests/bench/wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#define READ_BYTES (64u << 10)

uint64_t wire_now_us(void)
{
    return uv_hrtime() / 1000;
}

static void refuse(const char *text, const char *what)
{
    fprintf(stderr, "%s: %s\n", text, what);
    exit(2);
}

void wire_address(const char *text, struct wire_address *out)
{
    const char *colon = strrchr(text, ':');
    char host[64];
    char *end = NULL;
    unsigned long port = colon ? strtoul(colon + 1, &end, 10) : 0;
    struct sockaddr_in *v4 = (struct sockaddr_in *)&out->addr;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&out->addr;

    if (!colon || !end || *end || port > 65535 || (size_t)(colon - text) >= sizeof host)
        refuse(text, "not HOST:PORT");
    snprintf(host, sizeof host, "%.*s", (int)(colon - text), text);
    memset(&out->addr, 0, sizeof out->addr);
    if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)port);
        out->n = sizeof *v4;
    } else if (inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons((uint16_t)port);
        out->n = sizeof *v6;
    } else {
        refuse(text, "the host must be an address");
    }
}

int wire_listen(const char *text)
{
    struct wire_address at;
    int fd, on = 1;

    wire_address(text, &at);
    fd = socket(at.addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) refuse(text, strerror(errno));
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&at.addr, at.n) != 0 || listen(fd, 1024) != 0)
        refuse(text, strerror(errno));
    return fd;
}

bool wire_connect(struct wire *w, const struct wire_address *to)
{
    int fd = socket(to->addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0) return false;
    if (connect(fd, (const struct sockaddr *)&to->addr, to->n) != 0 && errno != EINPROGRESS) {
        close(fd);
        return false;
    }
    wire_adopt(w, fd);
    return true;
}

void wire_adopt(struct wire *w, int fd)
{
    w->fd = fd;
    w->ssl = NULL;
    w->in.n = w->out.n = 0;
    w->in_at = w->out_at = 0;
}

void wire_close(struct wire *w)
{
    /* OpenSSL would resume no session that was not shut down. */
    if (w->ssl) SSL_set_shutdown(w->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(w->ssl);
    w->ssl = NULL;
    if (w->fd >= 0) close(w->fd);
    w->fd = -1;
}

static int trust(X509_STORE_CTX *chain, void *arg)
{
    (void)chain;
    (void)arg;
    return 1;
}

static int keep_session(SSL *ssl, SSL_SESSION *session)
{
    struct wire *w = SSL_get_app_data(ssl);

    SSL_SESSION_free(w->session);
    w->session = session;
    return 1; /* the reference is ours */
}

SSL_CTX *wire_context(const char *ca, bool resume)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

    if (!ctx) abort();
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_cache_mode(ctx, resume ? SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL
                                               : SSL_SESS_CACHE_OFF);
    if (resume) SSL_CTX_sess_set_new_cb(ctx, keep_session);
    if (!ca) {
        SSL_CTX_set_cert_verify_callback(ctx, trust, NULL);
        return ctx;
    }
    if (SSL_CTX_load_verify_locations(ctx, ca, NULL) != 1)
        refuse(ca, "no file of certificates that can be used");
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    return ctx;
}

/* A copy: OpenSSL uses a session of TLS 1.3 once, and a server need not give another one each time. */
static void offer_session(struct wire *w)
{
    SSL_SESSION *copy = w->session ? SSL_SESSION_dup(w->session) : NULL;

    if (copy && SSL_set_session(w->ssl, copy) != 1) abort();
    SSL_SESSION_free(copy);
}

void wire_tls(struct wire *w, SSL_CTX *ctx)
{
    w->ssl = SSL_new(ctx);
    if (!w->ssl || SSL_set_fd(w->ssl, w->fd) != 1) abort();
    SSL_set_app_data(w->ssl, w);
    SSL_set_connect_state(w->ssl);
    offer_session(w);
}

static enum wire_turn tls_turn(struct wire *w, int rv)
{
    int why = SSL_get_error(w->ssl, rv);

    ERR_clear_error();
    return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? WIRE_WAIT : WIRE_BROKEN;
}

enum wire_turn wire_handshake(struct wire *w)
{
    int rv = SSL_do_handshake(w->ssl);

    return rv == 1 ? WIRE_MOVED : tls_turn(w, rv);
}

static void acknowledge(struct wire *w)
{
    int on = 1;

    if (w->quickack) setsockopt(w->fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
}

/* Room at the end of `in`; what is consumed goes first. */
static char *room(struct wire *w)
{
    if (w->in_at > 0) {
        memmove(w->in.p, w->in.p + w->in_at, w->in.n - w->in_at);
        w->in.n -= w->in_at;
        w->in_at = 0;
    }
    return bytes_room(&w->in, READ_BYTES);
}

enum wire_turn wire_fill(struct wire *w)
{
    char *to = room(w);
    ssize_t n;

    if (w->ssl) {
        int got = SSL_read(w->ssl, to, READ_BYTES);

        if (got <= 0) return tls_turn(w, got);
        w->in.n += (size_t)got;
        acknowledge(w);
        return WIRE_MOVED;
    }
    n = read(w->fd, to, READ_BYTES);
    if (n < 0) return errno == EAGAIN || errno == EINTR ? WIRE_WAIT : WIRE_BROKEN;
    if (n == 0) return WIRE_BROKEN;
    w->in.n += (size_t)n;
    acknowledge(w);
    return WIRE_MOVED;
}

static enum wire_turn write_some(struct wire *w)
{
    const char *from = w->out.p + w->out_at;
    size_t left = w->out.n - w->out_at;
    ssize_t n;

    if (w->ssl) {
        int done = SSL_write(w->ssl, from, left > INT32_MAX ? INT32_MAX : (int)left);

        if (done <= 0) return tls_turn(w, done);
        w->out_at += (size_t)done;
        return WIRE_MOVED;
    }
    n = send(w->fd, from, left, MSG_NOSIGNAL);
    if (n < 0) return errno == EAGAIN || errno == EINTR ? WIRE_WAIT : WIRE_BROKEN;
    w->out_at += (size_t)n;
    return WIRE_MOVED;
}

enum wire_turn wire_flush(struct wire *w)
{
    while (w->out_at < w->out.n) {
        enum wire_turn turn = write_some(w);

        if (turn != WIRE_MOVED) return turn;
    }
    w->out.n = w->out_at = 0;
    return WIRE_MOVED;
}

char *wire_line(struct wire *w, size_t *n)
{
    char *from = w->in.p + w->in_at;
    char *newline = w->in.n > w->in_at ? memchr(from, '\n', w->in.n - w->in_at) : NULL;

    if (!newline) return NULL;
    w->in_at += (size_t)(newline - from) + 1;
    *n = (size_t)(newline - from);
    if (*n > 0 && from[*n - 1] == '\r') (*n)--;
    from[*n] = '\0';
    return from;
}
