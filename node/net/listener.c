/* listener - takes connections in; each loop has its own socket on the address (SO_REUSEPORT) and
 * the kernel shares them out.
 *
 * The socket is polled and accepted from here, not by libuv, whose own way of running out of files
 * is to throw connections away: here accepting pauses, and who waits in the backlog is served
 * later.
 *
 * Invariants: at most ACCEPT_BATCH connections per wake, so that a flood does not starve those who
 * are in; `fd` is a taken connection only while on_connection runs.
 */
#include "node/net/stream_private.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <unistd.h>

#include "proto/ground/check.h"
#include "proto/ground/log.h"

#define BACKLOG_DEFAULT 1024
#define ACCEPT_BATCH    64
#define PAUSE_MS        100

struct listener {
    struct loop *loop;
    uv_poll_t poll;
    struct loop_timer pause;
    int socket;
    uint16_t port;
    bool closed;
    void (*on_connection)(void *arg, struct listener *li);
    bool (*may_begin)(void *arg); /* NULL: it has begun */
    void *arg;
    int fd; /* -1: taken, or none */
    struct sockaddr_storage peer;
};

static void on_readable(uv_poll_t *handle, int status, int events);

static void begin(struct listener *li)
{
    if (li->may_begin && !li->may_begin(li->arg)) {
        loop_timer_start(&li->pause, LISTENER_LOOK_MS);
        return;
    }
    li->may_begin = NULL;
    uv_poll_start(&li->poll, UV_READABLE, on_readable);
}

static void on_pause_over(struct loop_timer *t)
{
    begin(CONTAINER_OF(t, struct listener, pause));
}

static void pause_accepting(struct listener *li, int err)
{
    log_event(LOG_WARN, "listener.pause", LOG_NUM("port", li->port),
              LOG_TEXT("why", strerror(err)));
    uv_poll_stop(&li->poll);
    loop_timer_start(&li->pause, PAUSE_MS);
}

/* True when there may be more. */
static bool accept_one(struct listener *li)
{
    socklen_t size = sizeof li->peer;

    li->fd = accept4(li->socket, (struct sockaddr *)&li->peer, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (li->fd < 0) {
        if (errno == EINTR || errno == ECONNABORTED) return true;
        if (errno != EAGAIN) pause_accepting(li, errno);
        return false;
    }
    li->on_connection(li->arg, li);
    if (li->fd >= 0) close(li->fd);
    li->fd = -1;
    return true;
}

static void on_readable(uv_poll_t *handle, int status, int events)
{
    struct listener *li = handle->data;

    (void)events;
    if (status < 0) {
        pause_accepting(li, -status);
        return;
    }
    for (unsigned i = 0; i < ACCEPT_BATCH && !li->closed; i++)
        if (!accept_one(li)) return;
}

int stream_accept(struct stream **out, struct listener *li, const struct stream_options *o)
{
    struct stream *s;
    int err;

    *out = NULL;
    CHECK(li->fd >= 0);
    s = stream_new(li->loop, false, o);
    s->state = STREAM_OPEN;
    tcp_address_text(&li->peer, &s->peer);
    err = tcp_open(s, li->fd);
    if (err == 0) {
        li->fd = -1;
        stream_update_reading(s);
    } else {
        stream_end(s, loop_err(err), uv_strerror(err));
    }
    *out = s;
    return 0;
}

/* ---- life ---- */

static int listen_on(int fd, const struct sockaddr_storage *sa, int backlog)
{
    int one = 1;

    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0) return -errno;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one) < 0) return -errno;
    if (bind(fd, (const struct sockaddr *)sa, tcp_address_size(sa)) < 0) return -errno;
    return listen(fd, backlog) < 0 ? -errno : 0;
}

/* SO_REUSEPORT lets another process of the same user share our port, and the kernel would give it half of the
 * connections: the first loop makes sure that nobody is there, with a socket that does not share. */
static int probe(const struct sockaddr_storage *sa)
{
    int one = 1, fd, err = tcp_socket(sa, &fd);

    if (err) return err;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
        bind(fd, (const struct sockaddr *)sa, tcp_address_size(sa)) < 0)
        err = -errno;
    close(fd);
    return err;
}

static int open_socket(const struct stream_address *at, int backlog, bool alone, int *out)
{
    struct sockaddr_storage sa;
    int err;

    if (tcp_address(at, at->port, &sa)) return -EINVAL;
    err = at->port != 0 && alone ? probe(&sa) : 0;
    if (err == 0) err = tcp_socket(&sa, out);
    if (err) return err;
    err = listen_on(*out, &sa, backlog > 0 ? backlog : BACKLOG_DEFAULT);
    if (err) close(*out);
    return err;
}

static int told(struct errmsg *why, const struct stream_address *at, int err)
{
    return errmsg_set(why, loop_err(err), "listening on %s port %u: %s", at->text, at->port,
                      uv_strerror(err));
}

int listener_socket(const struct stream_address *at, int backlog, bool alone, int *out,
                    struct errmsg *why)
{
    int err = open_socket(at, backlog, alone, out);

    return err ? told(why, at, err) : 0;
}

static int watch(struct listener *li)
{
    struct sockaddr_storage sa;
    struct stream_address bound;
    socklen_t size = sizeof sa;

    if (getsockname(li->socket, (struct sockaddr *)&sa, &size) < 0) return -errno;
    tcp_address_text(&sa, &bound);
    li->port = bound.port;
    return uv_poll_init(&li->loop->uv, &li->poll, li->socket);
}

int listener_open(struct listener **out, struct loop *l, const struct listener_options *o,
                  struct errmsg *why)
{
    struct listener *li = check_calloc(1, sizeof *li);
    int err = 0;

    *out = NULL;
    li->loop = l;
    li->fd = -1;
    li->on_connection = o->on_connection;
    li->may_begin = o->may_begin;
    li->arg = o->arg;
    loop_timer_init(&li->pause, l, on_pause_over);
    if (o->socket)
        li->socket = *o->socket;
    else
        err = open_socket(&o->at, o->backlog, loop_number(l) == 0, &li->socket);
    if (err == 0) {
        err = watch(li);
        if (err && !o->socket) close(li->socket);
    }
    if (err) {
        free(li);
        return told(why, &o->at, err);
    }
    if (o->socket) *o->socket = -1;
    li->poll.data = li;
    begin(li);
    *out = li;
    return 0;
}

uint16_t listener_port(const struct listener *li)
{
    return li->port;
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void listener_close(struct listener **lip)
{
    struct listener *li = *lip;

    if (!li) return;
    *lip = NULL;
    li->closed = true;
    loop_timer_stop(&li->pause);
    uv_close((uv_handle_t *)&li->poll, on_closed);
    close(li->socket); /* now: whoever is told of the close may listen there */
}
