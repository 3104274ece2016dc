/* http - the server: connections, turn-taking, time.
 *
 * A connection is between requests, reading one, with its owner, or sending the rest of an answer.
 * One timer bounds each: idle, slow request (408), a client that does not read.
 *
 * Invariants: conn->request is the only request of a connection; a request whose client is gone has
 * no connection and is the owner's alone. c->stream is NULL from the moment it closes; the
 * connection then lives until on_closed. The server lives until its last connection.
 */
#include "node/net/http_private.h"

#include <stdlib.h>

#include "proto/ground/check.h"

#define IDLE_MS_DEFAULT 30000
#define BODY_PROGRESS   4096 /* bytes that buy a slow body another idle_ms */

/* ---- endings ---- */

static void let_server_go(struct http_server *s)
{
    if (!s->closed || !list_empty(&s->conns)) return;
    tls_unref(&s->tls);
    free(s);
}

static void on_closed(void *arg)
{
    struct http_conn *c = arg;
    struct http_server *s = c->server;

    s->loop->http_connections--;
    list_remove(&c->link);
    buf_deinit(&c->tail);
    free(c);
    let_server_go(s);
}

/* The request and the connection part: the owner keeps it when it still has it. */
static void drop_request(struct http_conn *c)
{
    struct http_request *r = c->request;

    c->request = NULL;
    if (!r) return;
    r->conn = NULL;
    if (r->phase == HTTP_READING || r->phase == HTTP_ANSWERED)
        http_request_free(r);
    else if (r->on_gone)
        r->on_gone(r->gone_arg); /* may finish it: not touched after */
}

static void end_conn(struct http_conn *c, void (*how)(struct stream **s))
{
    if (!c->stream) return;
    loop_timer_stop(&c->timer);
    how(&c->stream);
    drop_request(c);
}

static void refuse(struct http_conn *c, unsigned status)
{
    struct buf out;

    buf_init(&out, 4096);
    http_refuse(&out, c->server->loop, status);
    stream_write(c->stream, buf_span(&out));
    buf_deinit(&out);
    end_conn(c, stream_close);
}

static void on_end(void *arg, int err)
{
    (void)err;
    end_conn(arg, stream_close);
}

/* ---- time ---- */

/* An answer is on its way, or the owner thinks: only a client that takes nothing is ended. */
static void check_progress(struct http_conn *c)
{
    size_t waiting = stream_out_bytes(c->stream);
    uint64_t gone = c->handed - waiting;

    if (waiting > 0 && gone == c->gone_seen) {
        end_conn(c, stream_abort);
        return;
    }
    c->gone_seen = gone;
    loop_timer_start(&c->timer, c->server->idle_ms);
}

static void on_timer(struct loop_timer *t)
{
    struct http_conn *c = CONTAINER_OF(t, struct http_conn, timer);

    if (!c->request)
        end_conn(c, stream_close);
    else if (c->request->phase == HTTP_READING)
        refuse(c, 408);
    else
        check_progress(c);
}

/* ---- requests ---- */

static void ask_owner(struct http_conn *c)
{
    struct http_request *r = c->request;

    r->phase = HTTP_ASKED;
    c->gone_seen = UINT64_MAX;
    loop_timer_start(&c->timer, c->server->idle_ms);
    c->server->on_request(c->server->arg, r);
}

static void note_body_progress(struct http_conn *c)
{
    if (!c->request || !c->request->head_done || c->raw - c->raw_seen < BODY_PROGRESS) return;
    c->raw_seen = c->raw;
    loop_timer_start(&c->timer, c->server->idle_ms);
}

/* Reads one request's worth; 0: another is not to be read now. */
static size_t read_some(struct http_conn *c, struct span bytes)
{
    unsigned status;
    size_t used;

    if (c->request && c->request->phase != HTTP_READING) return 0;
    used = http_parse(c, bytes, &status);
    if (status)
        refuse(c, status);
    else if (c->request && c->request->complete)
        ask_owner(c);
    else
        note_body_progress(c);
    return used;
}

static size_t on_read(void *arg, struct span bytes)
{
    struct http_conn *c = arg;
    size_t eaten = 0, used;

    c->in_read = true;
    do {
        used = read_some(c, span_from(bytes, eaten));
        eaten += used;
    } while (used > 0 && eaten < bytes.n && c->stream);
    c->in_read = false;
    return eaten;
}

void http_finish(struct http_conn *c)
{
    struct http_request *r = c->request;
    bool keep = r->keep && !c->server->closed;

    c->request = NULL;
    http_request_free(r);
    if (!keep) {
        end_conn(c, stream_close);
        return;
    }
    c->raw = 0;
    loop_timer_start(&c->timer, c->server->idle_ms);
    if (!c->in_read) stream_read_more(c->stream); /* pipelined ones have waited */
}

static void on_low(void *arg)
{
    struct http_conn *c = arg;

    if (c->tail.n > 0) http_send_tail(c);
    if (c->tail.n > 0 || !c->request) return;
    if (c->request->phase == HTTP_ANSWERED)
        http_finish(c);
    else if (c->request->phase == HTTP_STREAMING && c->request->on_room)
        c->request->on_room(c->request->room_arg);
}

static const struct stream_calls conn_calls = {
    .on_read = on_read,
    .on_low = on_low,
    .on_end = on_end,
    .on_closed = on_closed,
};

/* ---- connections ---- */

static size_t eat(void *arg, struct span bytes)
{
    (void)arg;
    return bytes.n;
}

/* One too many: told so in clear; under TLS a handshake is more than it gets. */
static void turn_away(struct http_server *s, struct listener *li)
{
    static const struct stream_calls calls = { .on_read = eat };
    struct stream_options o = { .calls = &calls };
    struct stream *stream;
    struct buf out;

    if (s->tls || stream_accept(&stream, li, &o) != 0) return;
    buf_init(&out, 4096);
    http_refuse(&out, s->loop, 503);
    stream_write(stream, buf_span(&out));
    buf_deinit(&out);
    stream_close(&stream);
}

static void on_connection(void *arg, struct listener *li)
{
    struct http_server *s = arg;
    struct stream_options o = { .calls = &conn_calls };
    struct http_conn *c;

    if (s->loop->http_connections >= HTTP_CONNECTIONS_MAX) {
        turn_away(s, li);
        return;
    }
    c = check_calloc(1, sizeof *c);
    o.arg = c;
    if (stream_accept(&c->stream, li, &o) != 0) {
        free(c);
        return;
    }
    s->loop->http_connections++;
    c->server = s;
    list_add(&s->conns, &c->link);
    buf_init(&c->tail, SIZE_MAX / 4);
    http_parser_init(c);
    loop_timer_init(&c->timer, s->loop, on_timer);
    loop_timer_start(&c->timer, s->idle_ms);
    if (s->tls && stream_tls(c->stream, s->tls, NULL) != 0) end_conn(c, stream_abort);
}

int http_server_open(struct http_server **out, struct loop *l, const struct http_server_options *o,
                     struct errmsg *why)
{
    struct http_server *s = check_calloc(1, sizeof *s);
    struct listener_options lo = { .at = o->at, .on_connection = on_connection, .arg = s };
    int err;

    *out = NULL;
    s->loop = l;
    s->tls = o->tls ? tls_ref(o->tls) : NULL;
    s->body_size_max = o->body_size_max;
    s->idle_ms = o->idle_ms > 0 ? o->idle_ms : IDLE_MS_DEFAULT;
    s->on_request = o->on_request;
    s->arg = o->arg;
    list_init(&s->conns);
    err = listener_open(&s->listener, l, &lo, why);
    if (err) {
        tls_unref(&s->tls);
        free(s);
        return err;
    }
    *out = s;
    return 0;
}

void http_server_set_tls(struct http_server *s, struct tls *tls)
{
    if (!tls || !s->tls) return;
    tls_unref(&s->tls);
    s->tls = tls_ref(tls);
}

void http_server_set_body_max(struct http_server *s, size_t body_size_max)
{
    s->body_size_max = body_size_max;
}

uint16_t http_server_port(const struct http_server *s)
{
    return listener_port(s->listener);
}

void http_server_close(struct http_server **sp)
{
    struct http_server *s = *sp;

    if (!s) return;
    *sp = NULL;
    listener_close(&s->listener);
    LIST_FOR_SAFE(it, &s->conns)
        end_conn(CONTAINER_OF(it, struct http_conn, link), stream_close);
    s->closed = true;
    let_server_go(s);
}

/* ---- what a request is ---- */

struct span http_method(const struct http_request *r)
{
    return span_cstr(r->method);
}

struct span http_path(const struct http_request *r)
{
    return r->target.path;
}

struct span http_body(const struct http_request *r)
{
    return buf_span(&r->body);
}

struct loop *http_loop(const struct http_request *r)
{
    return r->loop;
}

const struct stream_address *http_peer(const struct http_request *r)
{
    return &r->peer;
}

bool http_query(const struct http_request *r, const char *key, char *out, size_t out_size)
{
    return http_query_value(r->target.query, key, out, out_size);
}

void http_on_gone(struct http_request *r, void (*on_gone)(void *arg), void *arg)
{
    r->on_gone = on_gone;
    r->gone_arg = arg;
    if (!r->conn && on_gone) on_gone(arg);
}

void http_on_room(struct http_request *r, void (*on_room)(void *arg), void *arg)
{
    r->on_room = on_room;
    r->room_arg = arg;
}
