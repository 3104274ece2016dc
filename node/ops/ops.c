/* ops - the HTTP server: who may, which route, and the way down.
 *
 * Life: opened before the loops run, closed after they stopped. At the end nothing may be left on
 * the disk pool that reads the stores: ops_close gives its loop turns until every call is answered.
 */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "node/ops/question.h"
#include "proto/ground/check.h"
#include "proto/ground/log.h"
#include "proto/ground/metric.h"

#define BODY_SLACK    (64u << 10) /* over the largest mail: JSON around it */
#define CLOSE_TURN_MS 10
#define CLOSE_TURNS   2000

/* ---- the token */

static void hash_token(struct span token, uint8_t out[32])
{
    crypto_generichash(out, 32, token.p, token.n, NULL, 0);
}

/* Hashes are compared, so that time tells neither the token's length nor its beginning. */
bool ops_token_ok(const struct ops *ops, struct span authorization)
{
    static const struct span scheme = { (const uint8_t *)"Bearer ", 7 };
    uint8_t hash[32];

    if (!span_starts_nocase(authorization, scheme)) return false;
    hash_token(span_trim(span_from(authorization, scheme.n)), hash);
    return sodium_memcmp(hash, ops->token_hash, sizeof hash) == 0;
}

/* ---- requests */

static void dispatch(struct call *c)
{
    char allow[64];
    struct span path = http_path(c->request);
    enum routing r = route_find(http_method(c->request), path, &c->route, c->param, sizeof c->param,
                                allow, sizeof allow);
    bool guarded =
        r == ROUTING_FOUND ? c->route->needs_token : span_starts_nocase(path, SPAN_LIT("/api/"));

    if (guarded && !ops_token_ok(c->ops, http_header(c->request, "Authorization"))) {
        metric_add(M_HTTP_REFUSED, 1);
        call_answer_problem(c, PROBLEM_NO_TOKEN,
                            "send the API token as: Authorization: Bearer TOKEN");
    } else if (r == ROUTING_NO_PATH) {
        call_answer_problem(c, PROBLEM_NOT_FOUND,
                            "there is no such path; /api/v1/openapi.json lists them");
    } else if (r == ROUTING_NO_METHOD) {
        http_add_header(c->request, "Allow", allow);
        call_answer_problem(c, PROBLEM_WRONG_METHOD, "possible here: %s", allow);
    } else {
        c->route->run(c);
    }
}

static void on_request(void *arg, struct http_request *r)
{
    struct call *c = check_calloc(1, sizeof *c);

    c->ops = arg;
    c->request = r;
    c->settings = settings_ref(c->ops->settings);
    list_add(&c->ops->calls, &c->link);
    dispatch(c);
}

/* ---- life */

static int open_server(struct ops *ops, struct errmsg *why)
{
    const struct settings *s = ops->settings;
    struct http_server_options o = {
        .tls = ops->o.tls,
        .body_size_max = s->limits.message_size_max + BODY_SLACK,
        .on_request = on_request,
        .arg = ops,
    };

    if (stream_address_parse(span_cstr(s->http.address), &o.at) != 0)
        return errmsg_set(why, ERR_CONFIG, "http.address: %s is no address", s->http.address);
    return http_server_open(&ops->server, ops->o.loop, &o, why);
}

static void show_tls(struct tls **shown, struct tls *tls)
{
    struct tls *old = *shown;

    *shown = tls ? tls_ref(tls) : NULL;
    tls_unref(&old);
}

int ops_open(struct ops **out, const struct ops_options *o, struct errmsg *why)
{
    struct ops *ops = check_calloc(1, sizeof *ops);
    int rv;

    CHECK(sodium_init() >= 0);
    list_init(&ops->calls);
    ops->o = *o;
    ops->o.token = NULL;
    ops->inbox_dir = o->inbox_dir ? check_strdup(o->inbox_dir) : NULL;
    ops->o.inbox_dir = ops->inbox_dir;
    ops->settings = settings_ref(o->settings);
    hash_token(span_cstr(o->token), ops->token_hash);
    ops->started_ms = loop_wall_ms(o->loop);
    show_tls(&ops->smtp_tls, o->smtp_tls);
    show_tls(&ops->http_tls, o->tls);
    show_tls(&ops->peers_tls, o->peers_tls);
    asked_open(ops);
    feed_open(ops);
    rv = open_server(ops, why);
    if (rv != 0) {
        ops_close(&ops);
        return rv;
    }
    *out = ops;
    return 0;
}

void ops_reload(struct ops *ops, struct settings *settings, const char *token)
{
    settings_unref(&ops->settings);
    ops->settings = settings_ref(settings);
    http_server_set_body_max(ops->server, settings->limits.message_size_max + BODY_SLACK);
    if (token) hash_token(span_cstr(token), ops->token_hash);
}

void ops_set_tls(struct ops *ops, struct tls *smtp, struct tls *http, struct tls *peers)
{
    show_tls(&ops->smtp_tls, smtp);
    show_tls(&ops->http_tls, http);
    show_tls(&ops->peers_tls, peers);
    http_server_set_tls(ops->server, http);
}

void certificates_each(const struct ops *ops,
                       void (*on_certificate)(void *arg, const char *use,
                                              const struct tls_certificate *c),
                       void *arg)
{
    const struct tls *all[] = { ops->smtp_tls, ops->http_tls, ops->peers_tls };
    static const char *const uses[] = { "smtp", "http", "peers" };

    for (unsigned k = 0; k < sizeof all / sizeof all[0]; k++)
        for (unsigned i = 0; all[k] && i < tls_certificate_count(all[k]); i++)
            on_certificate(arg, uses[k], tls_certificate(all[k], i));
}

uint16_t ops_port(const struct ops *ops)
{
    return http_server_port(ops->server);
}

void ops_set_draining(struct ops *ops)
{
    ops->draining = true;
}

static bool is_idle(const struct ops *ops)
{
    return list_empty(&ops->calls) && ops->query_count == 0 && asked_is_idle(ops) &&
           feed_is_idle(ops);
}

void ops_close(struct ops **po)
{
    struct ops *ops = *po;

    if (!ops) return;
    *po = NULL;
    atomic_store(&ops->closing, true);
    http_server_close(&ops->server);
    feed_close(ops);
    LIST_FOR_SAFE(it, &ops->calls) {
        struct call *c = CONTAINER_OF(it, struct call, link);

        if (c->abandon) c->abandon(c);
    }
    for (unsigned i = 0; !is_idle(ops) && i < CLOSE_TURNS; i++)
        loop_turn(ops->o.loop, CLOSE_TURN_MS);
    CHECK(is_idle(ops));
    tls_unref(&ops->smtp_tls);
    tls_unref(&ops->peers_tls);
    tls_unref(&ops->http_tls);
    settings_unref(&ops->settings);
    feed_free(ops);
    free(ops->inbox_dir);
    free(ops);
}
