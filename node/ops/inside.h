/* inside - what the files of the HTTP API share. Not used outside of node/ops and its tests.
 *
 * A call is one request on its way: made when it arrives, freed when it is answered. A client that
 * goes away does not end a call; its answer goes nowhere. Work on the store is done on the DISK
 * pool (call_on_disk); everything else on the API's loop.
 */
#ifndef OPS_INSIDE_H
#define OPS_INSIDE_H

#include <jansson.h>
#include <stdatomic.h>

#include "node/ops/ops.h"
#include "proto/ground/buf.h"

#define OPS_LIMIT_DEFAULT 50
#define OPS_LIMIT_MAX     500
#define OPS_SCAN_MAX      20000 /* records that one request looks at; then it gives a cursor */

struct ops_feed;

struct ops {
    struct ops_options o;      /* .loop, .commit, ... */
    struct settings *settings; /* in force; a call keeps those of its begin */
    char *inbox_dir;
    uint8_t token_hash[32];
    struct tls *smtp_tls, *http_tls, *peers_tls; /* what is shown of them */
    struct http_server *server;
    struct ops_feed *feed;
    uint64_t started_ms;
    atomic_bool closing; /* scans on the pool end soon */
    bool draining, was_ready;
    bool backup_open; /* a shard is streamed: one at a time */
    struct list calls;
    struct list asked; /* questions of other nodes that are being read */
    unsigned asked_count;
    unsigned query_count; /* questions to the cluster, until nothing of them is out */
    unsigned posts_open; /* mails that are being taken in */
};

/* ---- problems (RFC 9457): X(id, name, status, title) */
#define OPS_PROBLEMS(X)                                                                            \
    X(BAD_REQUEST, "bad-request", 400, "The request is not right")                                 \
    X(NO_TOKEN, "token-needed", 401, "A bearer token is needed")                                   \
    X(NOT_ALLOWED, "not-allowed", 403, "That is not allowed")                                      \
    X(NOT_FOUND, "not-found", 404, "There is no such thing")                                       \
    X(WRONG_METHOD, "method-not-allowed", 405, "The path knows other methods")                     \
    X(TAKEN, "taken", 409, "Somebody has it already")                                              \
    X(NOTHING_TO_DO, "nothing-to-do", 409, "There is nothing to do")                               \
    X(ALONE, "alone", 409, "This node is alone")                                                   \
    X(UNSAFE, "refused-for-safety", 409, "It would lose something")                                \
    X(IN_USE, "in-use", 409, "Something depends on it")                                            \
    X(LIMIT, "limit-reached", 409, "There are as many as there can be")                            \
    X(CHANGED, "changed", 412, "It has changed meanwhile")                                         \
    X(GONE, "gone", 410, "It was there and is gone")                                               \
    X(TOO_LARGE, "too-large", 413, "It is larger than its limit")                                  \
    X(WRONG_TYPE, "unsupported-media-type", 415, "The content type is not known here")             \
    X(NOT_A_MAIL, "not-a-mail", 422, "It cannot be sent as a mail")                                \
    X(BUSY, "busy", 429, "Too much at once")                                                       \
    X(BROKEN, "internal", 500, "An error of the server")                                           \
    X(NO_QUORUM, "no-quorum", 503, "Nothing can be committed now")                                 \
    X(CLOSING, "shutting-down", 503, "The node is shutting down")                                  \
    X(NOT_REACHED, "not-reached", 503, "Nobody who has it can be reached now")                    \
    X(UNKNOWN, "outcome-unknown", 504, "Whether it was done is not known")                         \
    X(FULL, "queue-full", 507, "The queue or the disk is full")
#define OPS_PROBLEM_ENUM_(id, name, status, title) PROBLEM_##id,
enum problem { OPS_PROBLEMS(OPS_PROBLEM_ENUM_) PROBLEM_COUNT };
#undef OPS_PROBLEM_ENUM_
unsigned problem_status(enum problem p);
json_t *problem_json(enum problem p, const char *detail);
/* What commit's and the queue's refusals are to a client. */
enum problem problem_of(int err);

/* ---- calls */

struct call;
struct route {
    const char *method, *path; /* "/api/v1/messages/{id}" */
    void (*run)(struct call *c);
    bool needs_token;
    const char *query;   /* names of its query values, with spaces between */
    const char *summary; /* for OpenAPI */
    const char *answer;  /* name of its schema; NULL: a text */
};

struct call {
    struct list link; /* ops->calls */
    struct loop_work work;
    struct ops *ops;
    struct settings *settings; /* those in force when it came: any thread */
    struct http_request *request;
    const struct route *route;
    char param[CONTROL_NAME_SIZE_MAX + 1]; /* the {piece} of the path, decoded */
    uint64_t id;    /* the same, as a message's id */
    void (*on_disk)(struct call *c);
    /* The answer: JSON, or a problem. */
    unsigned status;
    json_t *json;
    enum problem problem;
    char detail[256];
    /* The API closes and nobody will call back any more: let go of everything and answer. NULL: a
     * work on the pool or nothing, which ends by itself. */
    void (*abandon)(struct call *c);
    void *more; /* what the route needs besides; freed with the call */
};

/* Answers with c->json and frees the call. */
void call_answer_json(struct call *c, unsigned status, json_t *json);
/* {"items":[items],...}: with the members of page, which it takes, behind the items. */
void call_answer_page(struct call *c, struct span items, json_t *page);
void call_answer_text(struct call *c, unsigned status, const char *type, struct span text);
void call_answer_problem(struct call *c, enum problem p, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Runs `on_disk` on the pool; it leaves json, or calls call_fail; then the call is answered. */
void call_on_disk(struct call *c, void (*on_disk)(struct call *c));
void call_fail(struct call *c, enum problem p, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The {id} of the path as a message's id of a shard that there is; false: answered with a problem. */
bool call_take_id(struct call *c);
/* ?limit= within 1..OPS_LIMIT_MAX; false: answered. */
bool call_take_limit(struct call *c, unsigned *out);
/* A query value into `out`; "" when it is not there, or malformed, or too long. */
void call_take_query(struct call *c, const char *key, char *out, size_t out_size);
/* The call leaves without an answer of ours (streams). */
void call_free(struct call *c);

extern const struct route routes[];
extern const unsigned route_count;
enum routing { ROUTING_FOUND, ROUTING_NO_PATH, ROUTING_NO_METHOD };
enum routing route_find(struct span method, struct span path, const struct route **out, char *param,
                        size_t param_size, char *allow, size_t allow_size);
char *openapi_text(void); /* caller frees */
bool ops_token_ok(const struct ops *ops, struct span authorization);

/* ---- JSON */

/* Bytes as a JSON string; what is not UTF-8 becomes U+FFFD. */
json_t *json_of_bytes(struct span bytes);
void json_put_bytes(json_t *object, const char *key, struct span bytes); /* nothing when empty */
void json_put_time(json_t *object, const char *key, uint64_t wall_ms);   /* null when 0 */
void json_put_id(json_t *object, const char *key, uint64_t id);
json_t *json_page(json_t *items, json_t *next_cursor); /* takes both; NULL cursor: null */
json_t *json_of_reply(const Angarium__Reply *r);       /* NULL when there is none */
json_t *json_of_event(uint32_t shard, uint64_t entry, uint32_t number, const Angarium__Event *e);
json_t *json_of_counts(const struct queue_counts *c);
/* A recipient as the API shows it: an object, and its text. */
void text_of_recipient(struct buf *b, uint32_t number, const Angarium__RecipientRecord *r);
json_t *json_of_recipient(uint32_t number, const Angarium__RecipientRecord *r);

/* ---- records (record_json.c) */

#define OPS_PASSWORD_SIZE_MIN 8
#define OPS_PASSWORD_SIZE_MAX 1024
/* As the API shows it: name, version, tenant, fields; inner ones as objects, several of a name as a list. No hash. */
json_t *json_of_record(const Angarium__ControlRecord *r);
/* A record out of a JSON object. Name and version in it are passed over, but a name that is another one than `name` is ERR_CONFIG
 * (NULL: it has to be there). The caller frees: angarium__control_record__free_unpacked. A password is not the record's: it is
 * handed over in *password (NULL: none), the caller wipes and frees it. 0, or ERR_CONFIG and what is wrong. */
int record_of_json(enum control_kind kind, const char *name, const json_t *j,
                   Angarium__ControlRecord **out, char **password, struct errmsg *why);
void record_add_field(Angarium__ControlRecord *r, struct span name, struct span value);
/* argon2id, as the credentials of settings files. Takes long: on the CPU pool. */
int record_hash(const char *password, char *out, size_t size);
bool record_hash_ok(struct span hash);

/* Each certificate in force: SMTP's, then HTTP's. On the API's loop. */
void certificates_each(const struct ops *ops,
                       void (*on_certificate)(void *arg, const char *use,
                                              const struct tls_certificate *c),
                       void *arg);

/* ---- filters of events, for search and stream */

struct event_filter {
    Angarium__EventType type; /* EVENT_NONE: any */
    uint64_t message;         /* 0: any */
    uint64_t since_ms;
    char recipient[PROTO_ADDRESS_SIZE_MAX + 1];
};
bool event_filter_take(struct call *c, struct event_filter *f); /* false: answered */
bool event_filter_fits(const struct event_filter *f, uint32_t shard, const Angarium__Event *e);

/* ---- the live stream */

void feed_open(struct ops *ops);
void feed_close(struct ops *ops);         /* hears of nothing new */
void feed_free(struct ops *ops);
bool feed_is_idle(const struct ops *ops); /* nothing is on its way to it */
unsigned feed_client_count(const struct ops_feed *f);

/* ---- routes */

void route_post_message(struct call *c);
void route_message(struct call *c);
void route_message_events(struct call *c);
void route_message_body(struct call *c);
void route_hold(struct call *c);
void route_release(struct call *c);
void route_cancel(struct call *c);
void route_queue(struct call *c);
void route_events(struct call *c);
void route_event_stream(struct call *c);
void route_nodes(struct call *c);
void route_shards(struct call *c);
void route_node(struct call *c);
void route_cordon(struct call *c);
void route_uncordon(struct call *c);
void route_drain(struct call *c);
void route_remove(struct call *c);
void route_promote(struct call *c);
void route_placements(struct call *c);
void route_shard(struct call *c);
void route_create_shard(struct call *c);
void route_close_shard(struct call *c);
void route_transfer_shard(struct call *c);
void route_move_shard(struct call *c);
void route_operation(struct call *c);
void route_join_token(struct call *c);
void route_join(struct call *c);
void route_upgrade(struct call *c);
void route_regions(struct call *c);
void route_drain_region(struct call *c);
void route_finalize(struct call *c);
void route_backup(struct call *c);
void route_records(struct call *c);
void route_make_record(struct call *c);
void route_record(struct call *c);
void route_put_record(struct call *c);
void route_drop_record(struct call *c);
void route_openapi(struct call *c);
void route_livez(struct call *c);
void route_readyz(struct call *c);
void route_startupz(struct call *c);
void route_metrics(struct call *c);

#endif
