/* client - a non-blocking socket, OpenSSL on top when asked, and a buffer of what came. */
#include "tests/conformance/client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/ground/check.h"

struct client {
    struct loop *loop;
    int fd;
    SSL_CTX *ctx;
    SSL *ssl;
    struct buf in;
    size_t at; /* what is before it was given out */
    bool is_over, was_orderly;
};

int client_connect(struct client **out, struct loop *l, const char *from, uint16_t port,
                   bool narrow)
{
    struct sockaddr_in self = { .sin_family = AF_INET };
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
    struct client *c = check_calloc(1, sizeof *c);
    int one = 1, small = 4096;

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->loop = l;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    buf_init(&c->in, 128u << 20);
    *out = c;
    if (narrow) setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    CHECK(inet_pton(AF_INET, from, &self.sin_addr) == 1);
    if (c->fd < 0 || bind(c->fd, (struct sockaddr *)&self, sizeof self) != 0) return ERR_IO;
    if (connect(c->fd, (struct sockaddr *)&to, sizeof to) != 0) return ERR_IO;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    return 0;
}

void client_free(struct client **client)
{
    struct client *c = *client;

    *client = NULL;
    if (!c) return;
    SSL_free(c->ssl);
    SSL_CTX_free(c->ctx);
    if (c->fd >= 0) close(c->fd);
    buf_deinit(&c->in);
    free(c);
}

/* ---- bytes */

static ssize_t read_some(struct client *c, uint8_t *to, size_t n)
{
    int rv;

    if (!c->ssl) return recv(c->fd, to, n, 0);
    ERR_clear_error();
    rv = SSL_read(c->ssl, to, (int)n);
    if (rv > 0) return rv;
    switch (SSL_get_error(c->ssl, rv)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        errno = EAGAIN;
        return -1;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    default:
        errno = EPROTO;
        return -1;
    }
}

/* Reads what is there. */
static void take_in(struct client *c)
{
    uint8_t bytes[16384];
    ssize_t n = 1;

    while (!c->is_over && n > 0) {
        n = read_some(c, bytes, sizeof bytes);
        if (n > 0)
            buf_add(&c->in, bytes, (size_t)n);
        else if (n == 0 || errno != EAGAIN)
            c->is_over = true, c->was_orderly = n == 0;
    }
}

static ssize_t write_some(struct client *c, struct span bytes)
{
    int n = bytes.n < 16384 ? (int)bytes.n : 16384;
    int rv;

    if (!c->ssl) return send(c->fd, bytes.p, bytes.n, MSG_NOSIGNAL);
    ERR_clear_error();
    rv = SSL_write(c->ssl, bytes.p, n);
    if (rv > 0) return rv;
    errno = SSL_get_error(c->ssl, rv) == SSL_ERROR_WANT_WRITE ? EAGAIN : EPIPE;
    return -1;
}

int client_send(struct client *c, struct span bytes, bool deaf)
{
    uint64_t until = clock_mono_ms(&clock_real) + (deaf ? CLIENT_DEAF_MS : CLIENT_WAIT_MS);

    while (bytes.n > 0) {
        ssize_t n = write_some(c, bytes);
        if (n > 0) {
            bytes = span_from(bytes, (size_t)n);
            continue;
        }
        if (errno != EAGAIN) return ERR_CLOSED;
        if (clock_mono_ms(&clock_real) > until) return ERR_TIMEOUT;
        loop_turn(c->loop, 1);
        if (!deaf) take_in(c);
    }
    return 0;
}

static struct span unread(const struct client *c)
{
    return span_from(buf_span(&c->in), c->at);
}

static bool has_line(const struct client *c)
{
    struct span in = unread(c);

    return span_find(in, 0, '\n') < in.n;
}

static void given_out(struct client *c, size_t n)
{
    c->at += n;
    if (c->at < c->in.n / 2) return;
    buf_drop(&c->in, c->at);
    c->at = 0;
}

int client_line(struct client *c, char *out, size_t out_size, unsigned wait_ms)
{
    uint64_t until = clock_mono_ms(&clock_real) + wait_ms;
    struct span in;
    size_t end, n;

    for (take_in(c); !has_line(c); take_in(c)) {
        if (c->is_over) return ERR_CLOSED;
        if (clock_mono_ms(&clock_real) > until) return ERR_TIMEOUT;
        loop_turn(c->loop, 1);
    }
    in = unread(c);
    end = span_find(in, 0, '\n');
    if (end == 0 || in.p[end - 1] != '\r') return ERR_SYNTAX;
    n = end - 1 < out_size ? end - 1 : out_size - 1;
    memcpy(out, in.p, n);
    out[n] = '\0';
    given_out(c, end + 1);
    return 0;
}

bool client_has_input(struct client *c, unsigned wait_ms)
{
    uint64_t until = clock_mono_ms(&clock_real) + wait_ms;

    for (take_in(c); unread(c).n == 0 && !c->is_over; take_in(c)) {
        if (clock_mono_ms(&clock_real) > until) return false;
        loop_turn(c->loop, 1);
    }
    return true;
}

/* ---- TLS and the end */

int client_handshake(struct client *c, int version)
{
    uint64_t until = clock_mono_ms(&clock_real) + CLIENT_WAIT_MS;
    int rv;

    c->ctx = SSL_CTX_new(TLS_client_method());
    if (version) SSL_CTX_set_max_proto_version(c->ctx, version);
    SSL_CTX_set_mode(c->ctx, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_ENABLE_PARTIAL_WRITE);
    c->ssl = SSL_new(c->ctx);
    SSL_set_fd(c->ssl, c->fd);
    while ((rv = SSL_connect(c->ssl)) != 1) {
        int err = SSL_get_error(c->ssl, rv);
        if (err != SSL_ERROR_WANT_READ && err != SSL_ERROR_WANT_WRITE) return ERR_TLS;
        if (clock_mono_ms(&clock_real) > until) return ERR_TIMEOUT;
        loop_turn(c->loop, 1);
    }
    return 0;
}

int client_closed(struct client *c)
{
    if (!client_has_input(c, CLIENT_WAIT_MS)) return ERR_TIMEOUT;
    if (unread(c).n > 0) return ERR_EXISTS;
    return c->was_orderly ? 0 : ERR_IO;
}

void client_finish(struct client *c)
{
    shutdown(c->fd, SHUT_WR);
}

void client_drop(struct client *c)
{
    struct linger none = { .l_onoff = 1 };

    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    close(c->fd);
    c->fd = -1;
    c->is_over = true;
}
