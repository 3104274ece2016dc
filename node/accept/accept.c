/* accept - the SMTP server of one loop (RFC 5321, 6409, 8314): its doors, its sessions, its end.
 *
 * A door is a listener with its kind of service. Each connection becomes a session (session.c),
 * which stands in `sessions` until its stream is gone. One that a limit of all loops forbids
 * (clients.c) is told so and let go (421); where TLS would have to come first, without a word.
 */
#include "node/accept/accept.h"

#include <stdlib.h>
#include <unistd.h>

#include "node/accept/clients.h"
#include "node/accept/server.h"
#include "node/accept/session.h"
#include "proto/ground/check.h"
#include "proto/ground/log.h"
#include "proto/ground/metric.h"

struct door {
    struct list link;
    struct accept *accept;
    struct accept_service service;
    struct stream_address at; /* as it was asked for: port 0 stays 0 */
    struct listener *listener;
    uint16_t port;
    bool stays; /* while doors are set */
};

void accept_limits_default(struct accept_limits *l)
{
    *l = (struct accept_limits){
        .message_size_max = 52428800,
        .recipients_max = 1000,
        .line_size_max = 2048,
        .header_size_max = 256u << 10,
        .bodies_size_max = 512u << 20,
        .header_fields_max = 1000,
        .hops_max = 50,
        .sessions_max = 10000,
        .transactions_max = 1000,
        .errors_max = 20,
        .unknown_max = 10,
        .idle_ms = 5 * 60 * 1000,
        .data_idle_ms = 3 * 60 * 1000,
        .life_ms = 60 * 60 * 1000,
        .data_rate_min = 100,
        .data_window_ms = 60 * 1000,
        .sessions_memory_max = 1u << 30,
        .clients_max = 65536,
        .address_sessions_max = 1000,
        .address_rate_max = 3000,
        .credential_sessions_max = 1000,
        .auth_failures_max = 20,
        .auth_forget_ms = 60 * 1000,
        .auth_delay_ms = 500,
        .auth_delay_max_ms = 10 * 1000,
    };
}

const char *accept_kind_name(enum accept_kind kind)
{
    switch (kind) {
    case ACCEPT_SUBMISSION:
        return "submission";
    case ACCEPT_SUBMISSIONS:
        return "submissions";
    case ACCEPT_MX:
        return "mx";
    }
    return "?";
}

int accept_limits_check(const struct accept_limits *l, struct errmsg *why)
{
    if (l->recipients_max == 0 || l->recipients_max > PROTO_RECIPIENTS_MAX)
        return errmsg_set(why, ERR_CONFIG, "recipients_max is not within 1..%u",
                          PROTO_RECIPIENTS_MAX);
    if (l->message_size_max > (uint64_t)PROTO_CHUNKS_MAX * COMMIT_INLINE_SIZE_MAX)
        return errmsg_set(why, ERR_CONFIG, "message_size_max is more than a body's chunks hold");
    if (l->line_size_max < 512 || l->line_size_max > SESSION_LINE_SIZE_MAX)
        return errmsg_set(why, ERR_CONFIG, "line_size_max is not within 512..%u",
                          SESSION_LINE_SIZE_MAX);
    return 0;
}

/* ---- terms */

static struct terms *terms_new(const struct accept_limits *limits, uint64_t expire_ms)
{
    struct terms *t = check_calloc(1, sizeof *t);

    *t = (struct terms){ .refs = 1, .limits = *limits, .expire_ms = expire_ms };
    return t;
}

struct terms *terms_ref(struct terms *t)
{
    t->refs++;
    return t;
}

void terms_unref(struct terms **out)
{
    struct terms *t = *out;

    *out = NULL;
    if (t && --t->refs == 0) free(t);
}

/* ---- life */

int accept_new(struct accept **out, const struct accept_options *o, struct errmsg *why)
{
    struct accept *a;
    int rv = accept_limits_check(&o->limits, why);

    if (rv) return rv;
    a = check_calloc(1, sizeof *a);
    a->loop = o->loop;
    a->commit = o->commit;
    a->auth = accept_auth_ref(o->auth);
    a->clients = o->clients ? accept_clients_ref(o->clients) : accept_clients_new(&o->limits);
    a->tls = o->tls ? tls_ref(o->tls) : NULL;
    a->content = mail_content_ref(o->content);
    a->hostname = check_strdup(o->hostname);
    a->node = o->node;
    a->start = o->start;
    a->hold_until_ms = loop_mono_ms(o->loop) + o->hold_ms;
    a->lacks_auth = o->lacks_auth;
    a->terms = terms_new(&o->limits, o->expire_ms);
    a->carries_binary = o->carries_binary;
    list_init(&a->doors);
    list_init(&a->sessions);
    buf_init(&a->scratch, ACCEPT_SCRATCH_MAX);
    *out = a;
    return 0;
}

static void close_doors(struct accept *a)
{
    LIST_FOR(it, &a->doors) {
        struct door *d = CONTAINER_OF(it, struct door, link);
        if (d->listener) listener_close(&d->listener);
    }
}

void accept_free(struct accept **out)
{
    struct accept *a = *out;
    struct list *node;

    *out = NULL;
    if (!a) return;
    close_doors(a);
    while ((node = list_take_first(&a->doors)))
        free(CONTAINER_OF(node, struct door, link));
    while ((node = list_first(&a->sessions)))
        session_cut(CONTAINER_OF(node, struct session, link));
    while (a->reader_count > 0)
        mail_reader_free(&a->readers[--a->reader_count]);
    buf_deinit(&a->scratch);
    accept_auth_unref(&a->auth);
    accept_clients_unref(&a->clients);
    mail_content_unref(&a->content);
    if (a->tls) tls_unref(&a->tls);
    terms_unref(&a->terms);
    free(a->hostname);
    free(a);
}

/* ---- doors */

static size_t ignore_read(void *arg, struct span bytes)
{
    (void)arg;
    return bytes.n;
}

static void ignore_end(void *arg, int err)
{
    (void)arg;
    (void)err;
}

static void ignore_closed(void *arg)
{
    (void)arg;
}

static const struct stream_calls ignore_calls = {
    .on_read = ignore_read,
    .on_end = ignore_end,
    .on_closed = ignore_closed,
};

struct refusal {
    enum smtp_reply_id reply;
    enum metric metric;
    const char *reason;
};

static const struct refusal *refusal_of(enum clients_answer answer)
{
    static const struct refusal refusals[] = {
        [CLIENTS_ALL_SESSIONS] = { SMTP_REPLY_TOO_MANY_SESSIONS, M_SESSIONS_REFUSED_ALL,
                                   "sessions_max" },
        [CLIENTS_ALL_MEMORY] = { SMTP_REPLY_TOO_MANY_SESSIONS, M_SESSIONS_REFUSED_MEMORY,
                                 "sessions_memory_max" },
        [CLIENTS_TABLE_FULL] = { SMTP_REPLY_TOO_MANY_SESSIONS, M_SESSIONS_REFUSED_TABLE,
                                 "clients_max" },
        [CLIENTS_ADDRESS_SESSIONS] = { SMTP_REPLY_ADDRESS_SESSIONS, M_SESSIONS_REFUSED_ADDRESS,
                                       "address_sessions_max" },
        [CLIENTS_ADDRESS_RATE] = { SMTP_REPLY_ADDRESS_RATE, M_SESSIONS_REFUSED_RATE,
                                   "address_rate_max" },
    };

    return &refusals[answer];
}

/* One too many: one write and the end. Where TLS would have to come first there is nobody to hear
 * it, and a handshake is what a server at its limit has not to give: it ends without a word. */
static void turn_away(struct door *d, struct stream *stream, enum clients_answer answer)
{
    const struct refusal *r = refusal_of(answer);
    struct accept *a = d->accept;

    metric_add(r->metric, 1);
    log_event(LOG_DEBUG, "session.refused", LOG_TEXT("client", stream_peer(stream)->text),
              LOG_TEXT("limit", r->reason));
    buf_reset(&a->scratch);
    smtp_reply_print(&a->scratch, r->reply, NULL);
    if (d->service.kind != ACCEPT_SUBMISSIONS) stream_write(stream, buf_span(&a->scratch));
    stream_close(&stream);
}

static void on_connection(void *arg, struct listener *li)
{
    struct door *d = arg;
    struct accept *a = d->accept;
    struct stream_options options = { .calls = &ignore_calls };
    struct stream *stream;
    struct tally *client;
    enum clients_answer answer;

    if (stream_accept(&stream, li, &options) != 0) return;
    answer = clients_enter(a->clients, stream_peer(stream), loop_mono_ms(a->loop), &client);
    if (answer == CLIENTS_COME_IN)
        session_open(a, stream, client, &d->service);
    else
        turn_away(d, stream, answer);
}

/* A node that has just started knows nobody that leads, and may not know whose mail it takes: to refuse mail for that would make
 * clients wait for minutes. */
static bool may_begin(void *arg)
{
    struct door *d = arg;
    struct accept *a = d->accept;

    return loop_mono_ms(a->loop) >= a->hold_until_ms ||
           (!a->lacks_auth && commit_may_take(a->commit, 0) != ERR_NOT_LEADER);
}

static int open_door(struct accept *a, const struct accept_service *service,
                     const struct stream_address *at, int *socket, struct errmsg *why)
{
    struct door *d = check_calloc(1, sizeof *d);
    struct listener_options options = { .at = *at,
                                        .on_connection = on_connection,
                                        .may_begin = may_begin,
                                        .socket = socket,
                                        .arg = d };
    int rv;

    d->accept = a;
    d->service = *service;
    d->at = *at;
    d->stays = true;
    rv = listener_open(&d->listener, a->loop, &options, why);
    if (rv) {
        free(d);
        return rv;
    }
    d->port = listener_port(d->listener);
    list_add(&a->doors, &d->link);
    return 0;
}

int accept_listen(struct accept *a, const struct accept_service *service,
                  const struct stream_address *at, struct errmsg *why)
{
    if (service->kind != ACCEPT_MX && !a->tls)
        return errmsg_set(why, ERR_CONFIG, "a %s listener needs a certificate",
                          accept_kind_name(service->kind));
    return open_door(a, service, at, NULL, why);
}

static struct door *find_door(struct accept *a, const struct stream_address *at)
{
    LIST_FOR(it, &a->doors) {
        struct door *d = CONTAINER_OF(it, struct door, link);

        if (d->at.port == at->port && strcmp(d->at.text, at->text) == 0 && !d->stays) return d;
    }
    return NULL;
}

/* The socket listens already: only the memory of the kernel can be lacking. */
static void take_door(struct accept *a, const struct accept_door *wanted)
{
    struct errmsg why = { "" };
    int socket = wanted->socket;

    if (open_door(a, &wanted->service, &wanted->at, &socket, &why) == 0) return;
    log_event(LOG_ERROR, "listener.failed", LOG_TEXT("address", wanted->at.text),
              LOG_NUM("port", wanted->at.port), LOG_TEXT("error", why.text));
    close(socket);
}

void accept_set_doors(struct accept *a, const struct accept_door *doors, unsigned count)
{
    CHECK(!a->draining);
    LIST_FOR(it, &a->doors)
        CONTAINER_OF(it, struct door, link)->stays = false;
    for (unsigned i = 0; i < count; i++) {
        struct door *d = doors[i].socket < 0 ? find_door(a, &doors[i].at) : NULL;

        if (d) {
            d->service = doors[i].service;
            d->stays = true;
        } else if (doors[i].socket >= 0) {
            take_door(a, &doors[i]);
        }
    }
    LIST_FOR_SAFE(it, &a->doors) {
        struct door *d = CONTAINER_OF(it, struct door, link);

        if (d->stays) continue;
        listener_close(&d->listener);
        list_remove(&d->link);
        free(d);
    }
}

uint16_t accept_port(const struct accept *a, unsigned number)
{
    LIST_FOR(it, &a->doors) {
        if (number-- == 0) return CONTAINER_OF(it, struct door, link)->port;
    }
    return 0;
}

/* ---- what a reload changes, and the end */

void accept_set_auth(struct accept *a, struct accept_auth *auth)
{
    struct accept_auth *old = a->auth;

    a->auth = accept_auth_ref(auth);
    a->lacks_auth = false;
    accept_auth_unref(&old);
}

void accept_set_content(struct accept *a, struct mail_content *content)
{
    struct mail_content *old = a->content;

    a->content = mail_content_ref(content);
    mail_content_unref(&old);
}

void accept_set_tls(struct accept *a, struct tls *tls)
{
    struct tls *old = a->tls;

    a->tls = tls ? tls_ref(tls) : NULL;
    if (old) tls_unref(&old);
}

void accept_set_limits(struct accept *a, const struct accept_limits *limits, uint64_t expire_ms)
{
    terms_unref(&a->terms);
    a->terms = terms_new(limits, expire_ms);
}

void accept_drain(struct accept *a)
{
    if (a->draining) return;
    a->draining = true;
    close_doors(a);
    LIST_FOR_SAFE(it, &a->sessions)
        session_drain(CONTAINER_OF(it, struct session, link));
}

bool accept_is_idle(const struct accept *a)
{
    return a->session_count == 0;
}

/* ---- mail_readers */

struct mail_reader *accept_reader_take(struct accept *a)
{
    return a->reader_count > 0 ? a->readers[--a->reader_count] : mail_reader_new();
}

void accept_reader_give(struct accept *a, struct mail_reader **r)
{
    if (a->reader_count == ACCEPT_READERS_KEPT) {
        mail_reader_free(r);
        return;
    }
    a->readers[a->reader_count++] = *r;
    *r = NULL;
}
