/* stream_tcp - a stream's socket, through libuv, and the words of addresses.
 *
 * Invariants: bytes that were read lie in the loop's read buffer, which is lent for the time of one
 * call-back only. Who pauses reading mostly reads on before anything has come: so libuv goes on watching, and
 * is told to stop only when bytes are there that nobody wants yet; they stay in the kernel. `wire` belongs to libuv from uv_write to its call-back and is not touched
 * between.
 */
#include "node/net/stream_private.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "proto/ground/check.h"

#define TCP_BULK_SIZE 4096 /* a read of so many bytes is a piece of a body */

static atomic_uint_fast64_t writes_total;

uint64_t stream_writes_total(void)
{
    return atomic_load_explicit(&writes_total, memory_order_relaxed);
}

/* ---- addresses ---- */

int tcp_address(const struct stream_address *a, uint16_t port, struct sockaddr_storage *out)
{
    memset(out, 0, sizeof *out);
    if (uv_ip4_addr(a->text, port, (struct sockaddr_in *)out) == 0) return 0;
    if (uv_ip6_addr(a->text, port, (struct sockaddr_in6 *)out) == 0) return 0;
    return ERR_SYNTAX;
}

socklen_t tcp_address_size(const struct sockaddr_storage *sa)
{
    return sa->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
}

void tcp_address_text(const struct sockaddr_storage *sa, struct stream_address *out)
{
    *out = (struct stream_address){ 0 };
    if (sa->ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)sa;
        inet_ntop(AF_INET6, &v6->sin6_addr, out->text, sizeof out->text);
        out->port = ntohs(v6->sin6_port);
    } else if (sa->ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)sa;
        inet_ntop(AF_INET, &v4->sin_addr, out->text, sizeof out->text);
        out->port = ntohs(v4->sin_port);
    }
}

/* "[host]:port" or "host:port" in two; a host without brackets has no colon. */
static int split_port(struct span text, struct span *host, struct span *port)
{
    size_t end;

    if (text.n > 0 && text.p[0] == '[') {
        end = span_find(text, 0, ']');
        if (end + 1 >= text.n || text.p[end + 1] != ':') return ERR_SYNTAX;
        *host = span_sub(text, 1, end - 1);
        *port = span_from(text, end + 2);
        return span_find(*host, 0, ':') < host->n ? 0 : ERR_SYNTAX;
    }
    end = span_find(text, 0, ':');
    if (end == text.n) return ERR_SYNTAX;
    *host = span_sub(text, 0, end);
    *port = span_from(text, end + 1);
    return 0;
}

int stream_address_parse(struct span text, struct stream_address *out)
{
    struct sockaddr_storage sa;
    struct span host, port;
    uint64_t number;

    if (split_port(text, &host, &port)) return ERR_SYNTAX;
    if (host.n == 0 || host.n >= sizeof out->text || memchr(host.p, 0, host.n)) return ERR_SYNTAX;
    if (span_u64(port, UINT16_MAX, &number)) return ERR_SYNTAX;
    *out = (struct stream_address){ .port = (uint16_t)number };
    memcpy(out->text, host.p, host.n);
    return tcp_address(out, out->port, &sa);
}

/* ---- sockets ---- */

int tcp_socket(const struct sockaddr_storage *sa, int *fd_out)
{
    int one = 1;
    int fd = socket(sa->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0) return -errno;
    if (sa->ss_family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
    *fd_out = fd;
    return 0;
}

static void read_addresses(struct stream *s)
{
    struct sockaddr_storage sa = { 0 };
    int size = sizeof sa;

    if (uv_tcp_getsockname(&s->tcp, (struct sockaddr *)&sa, &size) == 0)
        tcp_address_text(&sa, &s->self);
}

int tcp_open(struct stream *s, int fd)
{
    int one = 1;
    int err;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    uv_tcp_init(&s->loop->uv, &s->tcp);
    s->tcp.data = s;
    err = uv_tcp_open(&s->tcp, fd);
    if (err == 0 && !s->client) read_addresses(s);
    return err;
}

static void on_connect(uv_connect_t *req, int status)
{
    struct stream *s = req->data;

    if (status == 0) read_addresses(s);
    stream_connected(s, status);
}

int tcp_connect(struct stream *s, const struct sockaddr_storage *to)
{
    s->req.connect.data = s;
    return uv_tcp_connect(&s->req.connect, &s->tcp, (const struct sockaddr *)to, on_connect);
}

/* The source address of a connection; its port is chosen at connect, so that one port may serve
 * many destinations. */
static int bind_source(int fd, const char *from)
{
    struct sockaddr_storage sa;
    struct stream_address a = { 0 };
    int one = 1;

    if (strlen(from) >= sizeof a.text) return -EINVAL;
    snprintf(a.text, sizeof a.text, "%s", from);
    if (tcp_address(&a, 0, &sa)) return -EINVAL;
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    return bind(fd, (struct sockaddr *)&sa, tcp_address_size(&sa)) < 0 ? -errno : 0;
}

int stream_connect(struct stream **out, struct loop *l, const struct stream_address *to,
                   const char *from, unsigned timeout_ms, const struct stream_options *o)
{
    struct sockaddr_storage sa;
    struct stream *s;
    int fd, err;

    *out = NULL;
    if (tcp_address(to, to->port, &sa)) return ERR_SYNTAX;
    err = tcp_socket(&sa, &fd);
    if (err) return loop_err(err);
    err = from ? bind_source(fd, from) : 0;
    if (err) {
        close(fd);
        return loop_err(err);
    }
    s = stream_new(l, true, o);
    s->state = STREAM_CONNECTING;
    s->peer = *to;
    err = tcp_open(s, fd);
    if (err)
        close(fd);
    else
        err = tcp_connect(s, &sa);
    if (err)
        stream_end(s, loop_err(err), uv_strerror(err));
    else
        loop_timer_start(&s->timer, timeout_ms);
    *out = s;
    return 0;
}

/* ---- reading ---- */

static void lend_buffer(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    struct stream *s = handle->data;
    size_t n = LOOP_READ_SIZE;

    (void)suggested;
    if (!stream_wants_reading(s)) n = 0;
    if (s->state == STREAM_OPEN && s->in_max > s->in.n && s->in_max - s->in.n < n)
        n = s->in_max - s->in.n;
    *out = uv_buf_init((char *)s->loop->read_bytes, (unsigned)n);
}

static void read_ended(struct stream *s, int uv_err)
{
    if (uv_err != UV_EOF) {
        stream_end(s, loop_err(uv_err), uv_strerror(uv_err));
        return;
    }
    s->fin_received = true;
    if (s->tls && !s->tls->established)
        stream_end(s, ERR_TLS, "connection ended in the TLS handshake");
    else if (s->tls)
        stream_end(s, ERR_IO, "connection ended without close_notify");
    else
        stream_end(s, ERR_CLOSED, "the peer closed the connection");
}

/* A client that writes a body in several pieces without TCP_NODELAY holds the last one back until what came before
 * is acknowledged (Nagle), and the kernel delays that for 40 ms, because we have nothing to say while a body
 * arrives. So bulk is acknowledged at once, unless all is there: then an answer will carry it. */
static void acknowledge_bulk(struct stream *s, ssize_t n)
{
    uv_os_fd_t fd;
    int one = 1;

    if (n < TCP_BULK_SIZE || s->client || !stream_wants_reading(s) ||
        uv_fileno((uv_handle_t *)&s->tcp, &fd) != 0)
        return;
    setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &one, sizeof one);
}

static void stop(struct stream *s)
{
    s->reading = false;
    uv_read_stop((uv_stream_t *)&s->tcp);
}

static void on_read(uv_stream_t *handle, ssize_t n, const uv_buf_t *bytes)
{
    struct stream *s = handle->data;

    if (n < 0) stop(s);
    if (n == UV_ENOBUFS) return; /* not wanted */
    if (n < 0)
        read_ended(s, (int)n);
    else if (n > 0 && s->state == STREAM_OPEN && s->tls)
        tls_take(s, span_of(bytes->base, (size_t)n));
    else if (n > 0 && s->state == STREAM_OPEN)
        stream_input(s, span_of(bytes->base, (size_t)n));
    if (s->state == STREAM_GONE) return;
    acknowledge_bulk(s, n);
    stream_update_reading(s);
}

void tcp_read_start(struct stream *s)
{
    uv_read_start((uv_stream_t *)&s->tcp, lend_buffer, on_read);
}

/* ---- writing ---- */

static void on_write(uv_write_t *req, int status)
{
    stream_written(req->data, status);
}

/* Queue and wire change places: the rest of the queue is libuv's now. */
static int write_rest(struct stream *s, size_t from)
{
    struct buf empty = s->wire;
    uv_buf_t rest;

    s->wire = s->queue;
    s->queue = empty;
    rest = uv_buf_init((char *)s->wire.p + from, (unsigned)(s->wire.n - from));
    s->write.data = s;
    s->writing = true;
    int err = uv_write(&s->write, (uv_stream_t *)&s->tcp, &rest, 1, on_write);
    if (err) s->writing = false;
    return err;
}

int tcp_write(struct stream *s)
{
    uv_buf_t all = uv_buf_init((char *)s->queue.p, (unsigned)s->queue.n);
    int n = uv_try_write((uv_stream_t *)&s->tcp, &all, 1);

    atomic_fetch_add_explicit(&writes_total, 1, memory_order_relaxed);
    if (n < 0 && n != UV_EAGAIN) return n;
    if (n < 0) n = 0;
    if ((size_t)n < s->queue.n) return write_rest(s, (size_t)n);
    buf_reset(&s->queue);
    stream_buf_free(&s->queue);
    return 0;
}

static void on_shutdown(uv_shutdown_t *req, int status)
{
    struct stream *s = req->data;

    if (status == 0)
        stream_shut(s);
    else
        stream_destroy(s);
}

void tcp_shutdown(struct stream *s)
{
    s->req.shutdown.data = s;
    if (uv_shutdown(&s->req.shutdown, (uv_stream_t *)&s->tcp, on_shutdown) != 0) stream_destroy(s);
}

static void on_close(uv_handle_t *handle)
{
    stream_freed(handle->data);
}

void tcp_close(struct stream *s)
{
    uv_close((uv_handle_t *)&s->tcp, on_close);
}

size_t tcp_in_waiting(const struct stream *s)
{
    uv_os_fd_t fd;
    int n = 0;

    if (uv_fileno((const uv_handle_t *)&s->tcp, &fd) != 0 || ioctl(fd, FIONREAD, &n) != 0) return 0;
    return n > 0 ? (size_t)n : 0;
}
