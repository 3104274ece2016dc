/* router - life of a router, and the first decision: which rule a domain falls under.
 *
 * Rules are tried in order, the first match wins, none means MX. A domain literal names its one
 * host (RFC 5321 4.1.3, 5.1), unless a rule sends it elsewhere.
 */
#include "router/router.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/ground/ascii.h"
#include "proto/ground/check.h"
#include "router/inside.h"

void router_options_default(struct router_options *o)
{
    *o = (struct router_options){
        .mx_port = 25,
        .site_connections_max = 20,
        .sites_max = 4096,
        .retry_base_ms = 5 * 60 * 1000,
        .retry_cap_ms = 4 * 3600 * 1000,
        .retry_jitter_permille = 200,
        .pause_base_ms = 10 * 1000,
        .pause_cap_ms = 5 * 60 * 1000,
        .pause_after_failures = 3,
    };
}

static void take_options(struct router *r, const struct router_options *o)
{
    CHECK(o->site_connections_max > 0);
    CHECK(o->sites_max > 0);
    CHECK(o->pause_after_failures > 0);
    CHECK(o->retry_jitter_permille <= 1000);
    r->options = *o;
    free(r->rules);
    r->rules = check_calloc(o->rule_count, sizeof *r->rules);
    for (unsigned i = 0; i < o->rule_count; i++)
        r->rules[i] = o->rules[i];
    r->options.rules = r->rules;
}

void router_set_options(struct router *r, const struct router_options *o)
{
    unsigned sites_max = r->options.sites_max;

    take_options(r, o);
    r->options.sites_max = sites_max;
}

struct router *router_new(const struct router_options *o)
{
    struct router *r = check_calloc(1, sizeof *r);

    take_options(r, o);
    rng_seed(&r->rng, o->seed);
    list_init(&r->idle);
    list_init(&r->troubled);
    return r;
}

void router_free(struct router **r)
{
    if (!*r) return;
    router_sites_free(*r);
    free((*r)->rules);
    free(*r);
    *r = NULL;
}

void router_name_copy(char *out, size_t out_size, struct span name)
{
    size_t n = 0;

    if (name.n > 0 && name.p[name.n - 1] == '.') name.n--;
    for (; n < name.n && n + 1 < out_size; n++)
        out[n] = (char)ascii_lower(name.p[n]);
    out[n] = '\0';
}

static bool matches(const char *match, struct span domain)
{
    struct span m = span_cstr(match);

    if (span_eq(m, SPAN_LIT("*"))) return true;
    if (m.n == 0) return domain.n == 0;
    if (m.p[0] != '.') return span_eq_nocase(m, domain);
    return domain.n > m.n && span_eq_nocase(m, span_from(domain, domain.n - m.n));
}

const struct router_rule *router_rule_find(const struct router *r, struct span domain)
{
    if (domain.n > 0 && domain.p[domain.n - 1] == '.') domain.n--;
    for (unsigned i = 0; i < r->options.rule_count; i++)
        if (matches(r->rules[i].match, domain)) return &r->rules[i];
    return NULL;
}

/* "192.0.2.1", "[192.0.2.1]", "[IPv6:2001:db8::1]", "2001:db8::1": the bare text. False: a name. */
static bool read_address(struct span text, char *out, size_t out_size)
{
    static const struct span tag = { (const uint8_t *)"IPv6:", 5 };
    uint8_t bytes[16];

    if (text.n > 1 && text.p[0] == '[' && text.p[text.n - 1] == ']') {
        text = span_sub(text, 1, text.n - 2);
        if (span_starts_nocase(text, tag)) text = span_from(text, tag.n);
    }
    if (text.n == 0 || text.n >= out_size || text.n >= INET6_ADDRSTRLEN) return false;
    memcpy(out, text.p, text.n);
    out[text.n] = '\0';
    return inet_pton(AF_INET, out, bytes) == 1 || inet_pton(AF_INET6, out, bytes) == 1;
}

static void plan_host(struct router_plan *p, struct span name, uint16_t port, const char *why)
{
    struct router_host *h = &p->hosts[0];

    p->kind = ROUTER_HOSTS;
    p->host_count = 1;
    h->is_address = read_address(name, h->name, sizeof h->name);
    if (!h->is_address) router_name_copy(h->name, sizeof h->name, name);
    h->port = port;
    snprintf(p->site, sizeof p->site, "%s:%u", h->name, port);
    snprintf(p->why, sizeof p->why, "%s", why);
}

/* Accounts at one host do not share connections, slots or pauses. */
static void plan_login(struct router_plan *p, unsigned login)
{
    size_t n = strlen(p->site);

    p->login = login;
    if (login > 0) snprintf(p->site + n, sizeof p->site - n, "#%u", login);
}

static void plan_bounce(struct router_plan *p, const char *why)
{
    p->kind = ROUTER_BOUNCE;
    p->code = 550;
    snprintf(p->enhanced, sizeof p->enhanced, "5.1.2");
    snprintf(p->class, sizeof p->class, "bad_domain");
    snprintf(p->why, sizeof p->why, "%s", why);
}

static void plan_mx(const struct router *r, struct span domain, struct router_plan *p)
{
    if (domain.n == 0 || domain.n >= sizeof p->name) {
        plan_bounce(p, domain.n == 0 ? "the address has no domain" : "the domain is too long");
    } else if (domain.p[0] == '[') {
        plan_host(p, domain, r->options.mx_port, "address literal");
        if (!p->hosts[0].is_address) plan_bounce(p, "the address literal is wrong");
    } else {
        p->kind = ROUTER_NEED_MX;
        router_name_copy(p->name, sizeof p->name, domain);
        snprintf(p->why, sizeof p->why, "MX of the domain");
    }
}

void router_rule_tls(const struct router_rule *rule, struct router_plan *out)
{
    out->tls = rule ? rule->tls : ROUTER_TLS_MAY;
    out->tls_context = rule ? rule->tls_context : 0;
}

void router_choose(struct router *r, struct span domain, struct router_plan *out)
{
    const struct router_rule *rule = router_rule_find(r, domain);

    memset(out, 0, sizeof *out);
    router_rule_tls(rule, out);
    switch (rule ? rule->via : ROUTER_VIA_MX) {
    case ROUTER_VIA_MX:
        plan_mx(r, domain, out);
        break;
    case ROUTER_VIA_HOST:
        plan_host(out, span_cstr(rule->host), rule->port, "fixed next hop");
        plan_login(out, rule->login);
        out->is_fixed = true;
        break;
    case ROUTER_VIA_INBOX:
        out->kind = ROUTER_INBOX;
        snprintf(out->why, sizeof out->why, "built-in inbox");
        break;
    }
}
