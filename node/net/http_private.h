/* http_private - the server (http.c) and its requests and answers (http_answer.c, http_parse.c). */
#ifndef NET_HTTP_PRIVATE_H
#define NET_HTTP_PRIVATE_H

#include <llhttp.h>

#include "node/net/http.h"
#include "node/net/http_query.h"
#include "node/net/loop_private.h"

#define HTTP_HEADERS_MAX 100

struct http_server {
    struct loop *loop;
    struct listener *listener;
    struct tls *tls;
    size_t body_size_max;
    unsigned idle_ms;
    void (*on_request)(void *arg, struct http_request *r);
    void *arg;
    struct list conns;
    bool closed; /* freed with its last connection */
};

enum http_phase {
    HTTP_READING,   /* the parser fills it */
    HTTP_ASKED,     /* the owner has it */
    HTTP_STREAMING, /* the owner is answering piece by piece */
    HTTP_ANSWERED,  /* what is left leaves; the owner has forgotten it */
};

struct http_field {
    size_t name, name_n, value, value_n; /* in head */
};

struct http_request {
    struct loop *loop;
    struct http_conn *conn; /* NULL: the client is gone */
    enum http_phase phase;
    struct stream_address peer;
    struct buf head; /* target, then names and values */
    size_t target_n;
    struct http_target target;
    struct http_field fields[HTTP_HEADERS_MAX];
    unsigned field_count;
    struct buf body;
    const char *method;
    bool head_done, complete;
    bool keep, http10, is_head;
    struct buf extra; /* headers of the answer */
    bool own_cache_control, own_type_options;
    void (*on_gone)(void *arg);
    void *gone_arg;
    void (*on_room)(void *arg);
    void *room_arg;
};

struct http_conn {
    struct list link;
    struct http_server *server;
    struct stream *stream; /* NULL: closing */
    struct loop_timer timer;
    llhttp_t parser;
    struct http_request *request; /* NULL: between two */
    size_t raw;                   /* bytes of this request so far */
    size_t raw_seen;              /* when the timer was last moved on */
    unsigned refused;             /* a status: the parser stopped because of us */
    bool in_read;
    struct buf tail; /* of an answer that was too big for the stream's queue */
    size_t tail_from;
    uint64_t handed, gone_seen; /* bytes given to the stream; of them, left when last looked */
};

/* http_parse.c */
extern size_t http_bodies_size_max; /* HTTP_BODIES_SIZE_MAX; less in a test */
void http_parser_init(struct http_conn *c);
/* Bytes used; *status_out: 0, or what to refuse the request with. */
size_t http_parse(struct http_conn *c, struct span bytes, unsigned *status_out);
struct http_request *http_request_new(struct http_conn *c);
void http_request_free(struct http_request *r);

/* http_answer.c */
void http_send_tail(struct http_conn *c);
/* A whole answer of our own, that ends the connection. */
void http_refuse(struct buf *out, struct loop *l, unsigned status);

/* http.c */
void http_send(struct http_conn *c, struct span bytes);
void http_finish(struct http_conn *c); /* the request is answered and has left the tail */

#endif
