/* http_answer - heads and bodies of answers.
 *
 * Invariants: an answer's head is written once, before anything of its body. A request that the
 * owner has finished is never touched by the owner again; one whose client is gone stays until the
 * owner finishes it. Nothing an owner passes can break the head: CR, LF and NUL are refused.
 */
#include "node/net/http_private.h"

#include <stdio.h>

#include "node/net/stream_private.h"
#include "proto/ground/check.h"
#include "proto/ground/log.h"
#include "proto/ground/metric.h"

#define ANSWER_HEAD_MAX (HTTP_HEAD_SIZE_MAX + 4096u)
#define CHUNK_HEAD_SIZE 20

static const char *phrase(unsigned status)
{
    static const struct {
        unsigned status;
        const char *text;
    } phrases[] = {
        { 200, "OK" },
        { 201, "Created" },
        { 202, "Accepted" },
        { 204, "No Content" },
        { 206, "Partial Content" },
        { 301, "Moved Permanently" },
        { 302, "Found" },
        { 303, "See Other" },
        { 304, "Not Modified" },
        { 307, "Temporary Redirect" },
        { 308, "Permanent Redirect" },
        { 400, "Bad Request" },
        { 401, "Unauthorized" },
        { 403, "Forbidden" },
        { 404, "Not Found" },
        { 405, "Method Not Allowed" },
        { 406, "Not Acceptable" },
        { 408, "Request Timeout" },
        { 409, "Conflict" },
        { 410, "Gone" },
        { 412, "Precondition Failed" },
        { 413, "Content Too Large" },
        { 415, "Unsupported Media Type" },
        { 417, "Expectation Failed" },
        { 421, "Misdirected Request" },
        { 422, "Unprocessable Content" },
        { 429, "Too Many Requests" },
        { 431, "Request Header Fields Too Large" },
        { 500, "Internal Server Error" },
        { 501, "Not Implemented" },
        { 502, "Bad Gateway" },
        { 503, "Service Unavailable" },
        { 504, "Gateway Timeout" },
        { 505, "HTTP Version Not Supported" },
        { 507, "Insufficient Storage" },
    };

    for (size_t i = 0; i < sizeof phrases / sizeof phrases[0]; i++)
        if (phrases[i].status == status) return phrases[i].text;
    return "Other";
}

static void add_date(struct buf *out, uint64_t wall_ms)
{
    char date[CLOCK_RFC5322_SIZE];

    clock_rfc5322(wall_ms, date);
    buf_addf(out, "Date: %.26sGMT\r\n", date); /* all but its "+0000" */
}

static bool may_have_body(unsigned status)
{
    return status >= 200 && status != 204 && status != 304;
}

/* Status line and headers; length: of the body, or SIZE_MAX: chunked, or until the end. */
static void add_head(struct buf *out, const struct http_request *r, unsigned status,
                     const char *type, size_t length)
{
    buf_addf(out, "HTTP/1.1 %u %s\r\n", status, phrase(status));
    add_date(out, loop_wall_ms(r->loop));
    if (type && may_have_body(status)) buf_addf(out, "Content-Type: %s\r\n", type);
    if (length == SIZE_MAX && !r->http10)
        buf_add_cstr(out, "Transfer-Encoding: chunked\r\n");
    else if (length != SIZE_MAX && may_have_body(status))
        buf_addf(out, "Content-Length: %zu\r\n", length);
    if (!r->own_type_options) buf_add_cstr(out, "X-Content-Type-Options: nosniff\r\n");
    if (!r->own_cache_control) buf_add_cstr(out, "Cache-Control: no-store\r\n");
    buf_add_span(out, buf_span(&r->extra));
    if (!r->keep)
        buf_add_cstr(out, "Connection: close\r\n");
    else if (r->http10)
        buf_add_cstr(out, "Connection: keep-alive\r\n");
    buf_add_cstr(out, "\r\n");
}

void http_refuse(struct buf *out, struct loop *l, unsigned status)
{
    char body[128];
    int n = snprintf(body, sizeof body, "%u %s\n", status, phrase(status));

    metric_add(M_HTTP_REFUSED, 1);
    buf_addf(out, "HTTP/1.1 %u %s\r\n", status, phrase(status));
    add_date(out, loop_wall_ms(l));
    buf_addf(out,
             "Content-Type: text/plain\r\nContent-Length: %d\r\nX-Content-Type-Options: nosniff\r\n"
             "Cache-Control: no-store\r\nConnection: close\r\n\r\n%s",
             n, body);
}

/* ---- headers of the answer ---- */

static bool is_token(const char *name)
{
    return name[0] != '\0' &&
           name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                             "0123456789!#$%&'*+-.^_`|~")] == '\0';
}

void http_add_header(struct http_request *r, const char *name, const char *value)
{
    if (!is_token(name) || strpbrk(value, "\r\n")) {
        log_event(LOG_WARN, "http.header_refused", LOG_TEXT("name", name));
        return;
    }
    if (span_eq_nocase(span_cstr(name), SPAN_LIT("Cache-Control"))) r->own_cache_control = true;
    if (span_eq_nocase(span_cstr(name), SPAN_LIT("X-Content-Type-Options")))
        r->own_type_options = true;
    buf_addf(&r->extra, "%s: %s\r\n", name, value);
}

/* ---- sending ---- */

void http_send(struct http_conn *c, struct span bytes)
{
    size_t room = c->tail.n == 0 && c->stream ? stream_out_room(c->stream) : 0;
    size_t now = bytes.n < room ? bytes.n : room;

    if (!c->stream) return;
    if (now > 0 && stream_write(c->stream, span_sub(bytes, 0, now)) == 0) c->handed += now;
    if (now < bytes.n) buf_add_span(&c->tail, span_from(bytes, now));
}

void http_send_tail(struct http_conn *c)
{
    size_t left = c->tail.n - c->tail_from;
    size_t room = c->stream ? stream_out_room(c->stream) : 0;
    size_t now = left < room ? left : room;

    if (now == 0) return;
    if (stream_write(c->stream, span_of(c->tail.p + c->tail_from, now)) != 0) return;
    c->handed += now;
    c->tail_from += now;
    if (c->tail_from < c->tail.n) return;
    buf_deinit(&c->tail);
    c->tail_from = 0;
}

static void answered(struct http_request *r)
{
    struct http_conn *c = r->conn;

    metric_add(M_HTTP_REQUESTS, 1);
    r->phase = HTTP_ANSWERED;
    if (c->tail.n > 0) {
        c->gone_seen = UINT64_MAX;
        loop_timer_start(&c->timer, c->server->idle_ms);
    } else {
        http_finish(c);
    }
}

static void send_head(struct http_request *r, unsigned status, const char *type, size_t length)
{
    struct buf head;

    buf_init(&head, ANSWER_HEAD_MAX);
    add_head(&head, r, status, type, length);
    CHECK(!buf_failed(&head));
    http_send(r->conn, buf_span(&head));
    buf_deinit(&head);
}

void http_answer(struct http_request *r, unsigned status, const char *content_type,
                 struct span body)
{
    CHECK(r->phase == HTTP_ASKED);
    if (!r->conn) {
        http_request_free(r);
        return;
    }
    send_head(r, status, content_type, body.n);
    if (!r->is_head && may_have_body(status)) http_send(r->conn, body);
    answered(r);
}

/* ---- answers piece by piece ---- */

void http_stream_start(struct http_request *r, unsigned status, const char *content_type)
{
    CHECK(r->phase == HTTP_ASKED);
    r->phase = HTTP_STREAMING;
    if (!r->conn) return;
    if (r->http10) r->keep = false; /* the end of the connection is the end of the body */
    send_head(r, status, content_type, SIZE_MAX);
    r->conn->gone_seen = UINT64_MAX;
    loop_timer_start(&r->conn->timer, r->conn->server->idle_ms);
}

int http_stream_write(struct http_request *r, struct span bytes)
{
    struct http_conn *c = r->conn;
    char size[CHUNK_HEAD_SIZE];
    int n;

    CHECK(r->phase == HTTP_STREAMING);
    if (!c) return ERR_CLOSED;
    if (c->tail.n > 0 || stream_out_bytes(c->stream) > stream_out_room(c->stream)) {
        stream_want_low(c->stream);
        return ERR_FULL;
    }
    if (bytes.n == 0 || r->is_head) return 0; /* an empty chunk would be the last one */
    n = snprintf(size, sizeof size, "%zx\r\n", bytes.n);
    if (!r->http10) http_send(c, span_of(size, (size_t)n));
    http_send(c, bytes);
    if (!r->http10) http_send(c, SPAN_LIT("\r\n"));
    return 0;
}

void http_stream_end(struct http_request *r)
{
    CHECK(r->phase == HTTP_STREAMING);
    if (!r->conn) {
        http_request_free(r);
        return;
    }
    if (!r->http10 && !r->is_head) http_send(r->conn, SPAN_LIT("0\r\n\r\n"));
    answered(r);
}
