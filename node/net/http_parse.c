/* http_parse - fills a request from llhttp's call-backs.
 *
 * Invariants: offsets, not pointers, are kept while `head` grows. The parser stops behind each
 * request (a pause at its end), so bytes of the next one stay with the stream until this one is
 * answered. Fields behind a chunked body (trailers) are read over and not kept.
 */
#include "node/net/http_private.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "proto/ground/check.h"
#include "proto/ground/metric.h"

#define RAW_SLACK (64u << 10) /* chunk sizes and extensions beside the body */

static int refuse(llhttp_t *p, unsigned status)
{
    struct http_conn *c = p->data;
    c->refused = status;
    return -1;
}

static struct http_request *request_of(llhttp_t *p)
{
    return ((struct http_conn *)p->data)->request;
}

static int add_to_head(llhttp_t *p, const char *at, size_t n)
{
    struct buf *head = &request_of(p)->head;

    buf_add(head, at, n);
    return buf_failed(head) ? refuse(p, 431) : 0;
}

static int on_begin(llhttp_t *p)
{
    struct http_conn *c = p->data;

    c->request = http_request_new(c);
    c->raw = c->raw_seen = 0;
    loop_timer_start(&c->timer, c->server->idle_ms);
    return 0;
}

static int on_url(llhttp_t *p, const char *at, size_t n)
{
    request_of(p)->target_n += n;
    return add_to_head(p, at, n);
}

static int on_field(llhttp_t *p, const char *at, size_t n)
{
    struct http_request *r = request_of(p);

    if (r->head_done) return 0;
    if (r->field_count == HTTP_HEADERS_MAX) return refuse(p, 431);
    struct http_field *f = &r->fields[r->field_count];
    if (f->name_n == 0) f->name = r->head.n;
    f->name_n += n;
    return add_to_head(p, at, n);
}

static int on_value(llhttp_t *p, const char *at, size_t n)
{
    struct http_request *r = request_of(p);

    if (r->head_done || r->field_count == HTTP_HEADERS_MAX) return 0;
    struct http_field *f = &r->fields[r->field_count];
    if (f->value_n == 0) f->value = r->head.n;
    f->value_n += n;
    return add_to_head(p, at, n);
}

static int on_value_complete(llhttp_t *p)
{
    struct http_request *r = request_of(p);

    if (r->head_done || r->field_count == HTTP_HEADERS_MAX) return 0;
    if (r->fields[r->field_count].name_n == 0) return refuse(p, 400);
    r->field_count++;
    return 0;
}

static unsigned count_fields(const struct http_request *r, const char *name)
{
    unsigned count = 0;

    for (unsigned i = 0; i < r->field_count; i++)
        count += span_eq_nocase(span_of(r->head.p + r->fields[i].name, r->fields[i].name_n),
                                span_cstr(name));
    return count;
}

/* 0, or the status that says what is wrong with the head. */
static unsigned check_head(struct http_request *r, const llhttp_t *p, size_t body_size_max)
{
    struct span expect = http_header(r, "Expect");

    if (p->http_major != 1) return 505;
    if (http_target_split(span_of(r->head.p, r->target_n), &r->target)) return 400;
    if (count_fields(r, "Host") > 1 || (p->http_minor >= 1 && count_fields(r, "Host") == 0))
        return 400;
    if ((p->flags & F_CONTENT_LENGTH) && p->content_length > body_size_max) return 413;
    if (expect.n > 0 && !span_eq_nocase(expect, SPAN_LIT("100-continue"))) return 417;
    return 0;
}

static int on_head(llhttp_t *p)
{
    struct http_conn *c = p->data;
    struct http_request *r = c->request;
    unsigned status;

    r->head_done = true;
    r->method = llhttp_method_name(p->method);
    r->is_head = p->method == HTTP_HEAD;
    r->http10 = p->http_minor == 0;
    status = check_head(r, p, c->server->body_size_max);
    if (status) return refuse(p, status);
    p->upgrade = 0; /* no other protocol is spoken here: an offer to upgrade is passed over */
    if (http_header(r, "Expect").n > 0 && !r->http10)
        http_send(c, SPAN_LIT("HTTP/1.1 100 Continue\r\n\r\n"));
    return 0;
}

/* Bodies of all requests of the process now: many small allowances must not add up to all memory. */
static _Atomic size_t bodies_size;
size_t http_bodies_size_max = HTTP_BODIES_SIZE_MAX;

static int on_body(llhttp_t *p, const char *at, size_t n)
{
    struct buf *body = &request_of(p)->body;

    if (atomic_load(&bodies_size) + n > http_bodies_size_max) {
        metric_add(M_HTTP_BODIES_FULL, 1);
        return refuse(p, 503);
    }
    buf_add(body, at, n);
    if (buf_failed(body)) return refuse(p, 413);
    atomic_fetch_add(&bodies_size, n);
    return 0;
}

static int on_complete(llhttp_t *p)
{
    struct http_request *r = request_of(p);

    r->keep = llhttp_should_keep_alive(p);
    r->complete = true;
    return HPE_PAUSED;
}

void http_parser_init(struct http_conn *c)
{
    static const llhttp_settings_t settings = {
        .on_message_begin = on_begin,
        .on_url = on_url,
        .on_header_field = on_field,
        .on_header_value = on_value,
        .on_header_value_complete = on_value_complete,
        .on_headers_complete = on_head,
        .on_body = on_body,
        .on_message_complete = on_complete,
    };
    llhttp_init(&c->parser, HTTP_REQUEST, &settings);
    c->parser.data = c;
}

/* Also what is not kept is bounded: spaces, chunk sizes, trailers. */
static unsigned check_raw(const struct http_conn *c)
{
    const struct http_request *r = c->request;

    if (!r || !r->head_done) return c->raw > HTTP_HEAD_SIZE_MAX ? 431 : 0;
    return c->raw / 8 > c->server->body_size_max + RAW_SLACK ? 413 : 0;
}

size_t http_parse(struct http_conn *c, struct span bytes, unsigned *status_out)
{
    llhttp_errno_t err = llhttp_execute(&c->parser, (const char *)bytes.p, bytes.n);
    size_t used = bytes.n;

    *status_out = 0;
    c->refused = err == HPE_OK || err == HPE_PAUSED ? 0 : c->refused;
    if (err == HPE_PAUSED) {
        used = (size_t)((const uint8_t *)llhttp_get_error_pos(&c->parser) - bytes.p);
        llhttp_resume(&c->parser);
    } else if (err != HPE_OK) {
        *status_out = c->refused ? c->refused : 400;
    }
    c->raw += used;
    if (*status_out == 0) *status_out = check_raw(c);
    return used;
}

struct http_request *http_request_new(struct http_conn *c)
{
    struct http_request *r = check_calloc(1, sizeof *r);

    r->loop = c->server->loop;
    r->conn = c;
    r->peer = *stream_peer(c->stream);
    buf_init(&r->head, HTTP_HEAD_SIZE_MAX);
    buf_init(&r->body, c->server->body_size_max);
    buf_init(&r->extra, HTTP_HEAD_SIZE_MAX);
    return r;
}

void http_request_free(struct http_request *r)
{
    if (!r) return;
    atomic_fetch_sub(&bodies_size, r->body.n);
    buf_deinit(&r->head);
    buf_deinit(&r->body);
    buf_deinit(&r->extra);
    free(r);
}

struct span http_header(const struct http_request *r, const char *name)
{
    struct span wanted = span_cstr(name);

    for (unsigned i = 0; i < r->field_count; i++) {
        const struct http_field *f = &r->fields[i];
        if (span_eq_nocase(span_of(r->head.p + f->name, f->name_n), wanted))
            return span_trim(span_of(r->head.p + f->value, f->value_n));
    }
    return span_of(NULL, 0);
}
