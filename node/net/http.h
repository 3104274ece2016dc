/* http - an HTTP/1.1 server on a loop (llhttp parses): keep-alive, bounded heads, bodies and connections,
 * streamed answers. One request at a time per connection; what is pipelined waits.
 *
 * Life: on_request is called when the whole request (body included) is there. The owner answers now or
 * later with http_answer, or http_stream_start / http_stream_write / http_stream_end. Until then the request
 * stays; if the client goes away meanwhile, on_gone is called once (set it with http_on_gone) and answering
 * does nothing. Also then the owner ends it, with http_answer or http_stream_end, in on_gone or later: that
 * is what frees it. After either the request is not to be used.
 */
#ifndef NET_HTTP_H
#define NET_HTTP_H

#include "node/net/stream.h"

#define HTTP_HEAD_SIZE_MAX   (32u << 10)
#define HTTP_BODIES_SIZE_MAX (256u << 20) /* of all requests of the process at once; more: 503 */
#define HTTP_CONNECTIONS_MAX 512          /* per loop; more: 503 and close */

struct http_server;
struct http_request;

struct http_server_options {
    struct stream_address at;
    struct tls *tls;      /* NULL: in clear */
    size_t body_size_max; /* over it: 413 */
    unsigned idle_ms;     /* keep-alive and slow requests; 0: 30 s */
    void (*on_request)(void *arg, struct http_request *r);
    void *arg;
};
int http_server_open(struct http_server **out, struct loop *l, const struct http_server_options *o,
                     struct errmsg *why);
/* For connections from now on; NULL leaves it as it is (a server in clear stays in clear). On the loop. */
void http_server_set_tls(struct http_server *s, struct tls *tls);
void http_server_set_body_max(struct http_server *s, size_t body_size_max);
uint16_t http_server_port(const struct http_server *s);
void http_server_close(struct http_server **s);

struct span http_method(const struct http_request *r);
struct span http_path(const struct http_request *r); /* as sent, without the query */
struct span http_header(const struct http_request *r, const char *name); /* n = 0: not there */
struct span http_body(const struct http_request *r);
struct loop *http_loop(const struct http_request *r);
const struct stream_address *http_peer(const struct http_request *r);
/* Query value, percent-decoded, terminated; false: not there. ("" when there without a value). */
bool http_query(const struct http_request *r, const char *key, char *out, size_t out_size);
/* Percent-decodes a path piece; false when malformed or too long. */
bool http_decode(struct span text, char *out, size_t out_size);

void http_add_header(struct http_request *r, const char *name,
                     const char *value); /* before answering */
void http_answer(struct http_request *r, unsigned status, const char *content_type,
                 struct span body);
void http_stream_start(struct http_request *r, unsigned status, const char *content_type);
int http_stream_write(struct http_request *r,
                      struct span bytes); /* ERR_FULL: slow reader; ERR_CLOSED */
void http_stream_end(struct http_request *r);
/* After http_stream_write said ERR_FULL: called when there is room again. */
void http_on_room(struct http_request *r, void (*on_room)(void *arg), void *arg);
void http_on_gone(struct http_request *r, void (*on_gone)(void *arg), void *arg);

#endif
