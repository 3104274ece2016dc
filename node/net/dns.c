/* dns - libunbound on the loop: its own thread asks, a pipe tells the loop that answers are there.
 *
 * What libunbound calls back with is only noted; owners are told after ub_process has returned, so
 * they may ask, cancel and close as they like. A question to libunbound (struct ask) is ours and
 * outlives its query: a cancelled or late query leaves its asks behind, which end when their
 * answers come.
 *
 * Invariants: an ask is in `asked` or in `answered`. q->inflight points to the asks that point back
 * at q. A query in flight has its limit timer running and is in `queries`.
 */
#include "node/net/dns.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <unbound.h>
#include <unistd.h>

#include "node/net/dns_parse.h"
#include "node/net/loop_private.h"
#include "node/net/stream.h"
#include "proto/ground/check.h"

#define ASKS_MAX (4 * DNS_QUERIES_MAX) /* left behind ones included */

enum { TYPE_A = 1, TYPE_MX = 15, TYPE_AAAA = 28, CLASS_IN = 1, RCODE_NXDOMAIN = 3 };

struct dns {
    struct loop *loop;
    struct ub_ctx *ctx;
    uv_poll_t poll;
    struct list queries, asked, answered;
    unsigned query_count, ask_count;
    bool telling, closed; /* closed while telling: taken down after */
};

struct ask {
    struct list link;
    struct dns *dns;
    struct dns_query *query; /* NULL: nobody waits any more */
    unsigned slot;           /* in query->inflight */
    int type;
    int err;
    struct ub_result *result;
};

/* ---- answers ---- */

static void ask_free(struct ask *a)
{
    if (a->query) a->query->inflight[a->slot] = NULL;
    ub_resolve_free(a->result);
    list_remove(&a->link);
    a->dns->ask_count--;
    free(a);
}

static void leave_asks(struct dns_query *q)
{
    for (unsigned i = 0; i < 2; i++) {
        struct ask *a = q->inflight[i];
        if (a) a->query = NULL;
        q->inflight[i] = NULL;
    }
}

/* The query is not in flight any more. */
static void let_go(struct dns_query *q)
{
    leave_asks(q);
    loop_timer_stop(&q->limit);
    list_remove(&q->link);
    q->dns->query_count--;
    q->dns = NULL;
}

static void finish(struct dns_query *q)
{
    let_go(q);
    if (q->count > 0) q->status = DNS_OK; /* one family that failed does not matter then */
    if (q->status != DNS_FAILED) q->why[0] = '\0';
    q->on_done(q);
}

static void fail(struct dns_query *q, const char *why)
{
    q->status = DNS_FAILED;
    snprintf(q->why, sizeof q->why, "%s", why);
}

/* A goes before AAAA whichever comes first, each at most half. */
static void insert_address(struct dns_query *q, unsigned *at, const struct dns_answer *a)
{
    memmove(&q->answers[*at + 1], &q->answers[*at], (q->count - *at) * sizeof *a);
    q->answers[(*at)++] = *a;
    q->count++;
}

static void take_data(struct dns_query *q, const struct ask *a)
{
    const struct ub_result *r = a->result;
    unsigned at = a->type == TYPE_A ? 0 : q->count, begin = at, good = 0;
    struct dns_answer answer;

    for (unsigned i = 0; r->data[i]; i++) {
        struct span rdata = span_of(r->data[i], r->len[i] > 0 ? (size_t)r->len[i] : 0);
        if (a->type == TYPE_MX) {
            if (dns_parse_mx(rdata, &answer)) continue;
            dns_insert_mx(q->answers, &q->count, &answer);
        } else if (rdata.n == (a->type == TYPE_A ? 4u : 16u) && at - begin < DNS_ANSWERS_MAX / 2) {
            dns_parse_address(rdata, &answer);
            insert_address(q, &at, &answer);
        } else {
            continue;
        }
        good++;
    }
    if (good == 0) fail(q, "malformed records");
}

static void take_answer(struct dns_query *q, const struct ask *a)
{
    const struct ub_result *r = a->result;

    if (a->err || !r)
        fail(q, ub_strerror(a->err));
    else if (r->bogus)
        fail(q, r->why_bogus ? r->why_bogus : "validation failed");
    else if (r->nxdomain || r->rcode == RCODE_NXDOMAIN)
        q->status = q->status == DNS_FAILED ? DNS_FAILED : DNS_NO_NAME;
    else if (r->rcode != 0)
        fail(q, r->rcode == 2 ? "server failure" : "the resolver refused");
    else if (r->havedata)
        take_data(q, a);
}

static void on_answer(void *arg, int err, struct ub_result *result)
{
    struct ask *a = arg;

    a->err = err;
    a->result = result;
    list_remove(&a->link);
    list_add(&a->dns->answered, &a->link);
}

static void tell_one(struct ask *a)
{
    struct dns_query *q = a->query;

    if (q) take_answer(q, a);
    ask_free(a);
    if (q && --q->left == 0) finish(q);
}

static void take_down(struct dns *d);

static void on_readable(uv_poll_t *handle, int status, int events)
{
    struct dns *d = handle->data;
    struct list *first;

    (void)status;
    (void)events;
    d->telling = true;
    ub_process(d->ctx);
    while (!d->closed && (first = list_first(&d->answered)))
        tell_one(CONTAINER_OF(first, struct ask, link));
    d->telling = false;
    if (d->closed) take_down(d);
}

/* ---- questions ---- */

static int ask(struct dns_query *q, unsigned slot, const char *name, int type)
{
    struct dns *d = q->dns;
    struct ask *a = check_calloc(1, sizeof *a);
    int err;

    a->dns = d;
    a->query = q;
    a->slot = slot;
    a->type = type;
    list_init(&a->link);
    d->ask_count++;
    err = ub_resolve_async(d->ctx, name, type, CLASS_IN, a, on_answer, NULL);
    if (err) {
        ask_free(a);
        return err == UB_SYNTAX ? ERR_SYNTAX : ERR_IO;
    }
    list_add(&d->asked, &a->link);
    q->inflight[slot] = a;
    q->left++;
    return 0;
}

static void on_limit(struct loop_timer *t)
{
    struct dns_query *q = CONTAINER_OF(t, struct dns_query, limit);

    fail(q, "timed out");
    finish(q);
}

int dns_ask(struct dns *d, struct dns_query *q, enum dns_type type, const char *name)
{
    int err;

    q->dns = NULL;
    if (!dns_name_is_valid(name)) return ERR_SYNTAX;
    if (d->query_count >= DNS_QUERIES_MAX || d->ask_count + 2 > ASKS_MAX) return ERR_FULL;
    q->dns = d;
    q->status = DNS_NO_DATA;
    q->count = q->left = 0;
    q->why[0] = '\0';
    q->inflight[0] = q->inflight[1] = NULL;
    list_add(&d->queries, &q->link);
    d->query_count++;
    loop_timer_init(&q->limit, d->loop, on_limit);
    loop_timer_start(&q->limit, DNS_TIME_MS);
    err = ask(q, 0, name, type == DNS_MX ? TYPE_MX : TYPE_A);
    if (err == 0 && type == DNS_ADDRESS) err = ask(q, 1, name, TYPE_AAAA);
    if (err) let_go(q);
    return err;
}

void dns_cancel(struct dns_query *q)
{
    if (q->dns) let_go(q);
}

/* ---- life ---- */

static int set(struct dns *d, const char *name, const char *value, struct errmsg *why)
{
    int err = ub_ctx_set_option(d->ctx, name, value);

    return err ? errmsg_set(why, ERR_CONFIG, "resolver option %s %s: %s", name, value,
                            ub_strerror(err))
               : 0;
}

static int set_bounds(struct dns *d, struct errmsg *why)
{
    static const char *const options[][2] = {
        { "num-queries-per-thread:", "4096" }, { "outgoing-range:", "512" },
        { "infra-host-ttl:", "60" }, /* a resolver that was away is asked again soon */
        { "cache-max-ttl:", "86400" },         { "cache-max-negative-ttl:", "300" },
        { "msg-cache-size:", "8m" }, /* of each loop, as the next */
        { "rrset-cache-size:", "16m" },
    };
    int err = 0;

    for (unsigned i = 0; i < sizeof options / sizeof options[0] && err == 0; i++)
        err = set(d, options[i][0], options[i][1], why);
    return err;
}

/* One given resolver: it alone is asked, for every name, and is believed: no root key would know
 * the names that it makes up. */
static int use_resolver(struct dns *d, const char *resolver, struct errmsg *why)
{
    /* Names that libunbound would answer by itself (RFC 6761); reverse zones are never asked for
     * here. */
    static const char *const own_zones[] = { "test.", "localhost.", "invalid.", "onion.",
                                             "home.arpa." };
    struct stream_address a;
    char at[64];
    int err;

    if (stream_address_parse(span_cstr(resolver), &a))
        return errmsg_set(why, ERR_CONFIG, "resolver %s: not an address and a port", resolver);
    snprintf(at, sizeof at, "%s@%u", a.text, a.port);
    if (set(d, "do-not-query-localhost:", "no", why) || set(d, "module-config:", "iterator", why) ||
        set(d, "unblock-lan-zones:", "yes", why))
        return ERR_CONFIG;
    err = ub_ctx_set_fwd(d->ctx, at);
    for (unsigned i = 0; i < sizeof own_zones / sizeof own_zones[0] && err == 0; i++)
        err = ub_ctx_zone_remove(d->ctx, own_zones[i]);
    return err ? errmsg_set(why, ERR_CONFIG, "resolver %s: %s", resolver, ub_strerror(err)) : 0;
}

static int use_system(struct dns *d, struct errmsg *why)
{
    static const char *const root_keys[] = { "/var/lib/unbound/root.key",
                                             "/usr/share/dns/root.key" };
    int err = ub_ctx_resolvconf(d->ctx, NULL);

    if (err) return errmsg_set(why, ERR_CONFIG, "/etc/resolv.conf: %s", ub_strerror(err));
    set(d, "do-not-query-localhost:", "no", NULL); /* a resolver on this host is a usual thing */
    for (unsigned i = 0; i < sizeof root_keys / sizeof root_keys[0]; i++) {
        if (access(root_keys[i], R_OK) != 0) continue;
        err = ub_ctx_add_ta_file(d->ctx, root_keys[i]);
        return err ? errmsg_set(why, ERR_CONFIG, "%s: %s", root_keys[i], ub_strerror(err)) : 0;
    }
    return 0;
}

static void free_asks(struct list *asks)
{
    struct list *first;

    while ((first = list_first(asks)))
        ask_free(CONTAINER_OF(first, struct ask, link));
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void take_down(struct dns *d)
{
    uv_close((uv_handle_t *)&d->poll, on_closed);
    ub_ctx_delete(d->ctx);
    free_asks(&d->asked);
    free_asks(&d->answered);
}

int dns_open(struct dns **out, struct loop *l, const char *resolver, struct errmsg *why)
{
    struct dns *d = check_calloc(1, sizeof *d);
    int err;

    *out = NULL;
    d->loop = l;
    list_init(&d->queries);
    list_init(&d->asked);
    list_init(&d->answered);
    d->ctx = ub_ctx_create();
    if (!d->ctx) {
        free(d);
        return errmsg_set(why, ERR_IO, "the resolver library could not start");
    }
    ub_ctx_async(d->ctx, 1); /* a thread, no child process */
    err = set_bounds(d, why);
    if (err == 0) err = resolver ? use_resolver(d, resolver, why) : use_system(d, why);
    if (err == 0 && uv_poll_init(&l->uv, &d->poll, ub_fd(d->ctx)) != 0)
        err = errmsg_set(why, ERR_IO, "the resolver's pipe cannot be polled");
    if (err) {
        ub_ctx_delete(d->ctx);
        free(d);
        return err;
    }
    d->poll.data = d;
    uv_poll_start(&d->poll, UV_READABLE, on_readable);
    *out = d;
    return 0;
}

void dns_close(struct dns **dp)
{
    struct dns *d = *dp;
    struct list *first;

    if (!d) return;
    *dp = NULL;
    while ((first = list_first(&d->queries)))
        let_go(CONTAINER_OF(first, struct dns_query, link));
    d->closed = true;
    if (!d->telling) take_down(d);
}
