/* check - what one value alone cannot tell: whether the settings fit together. */
#include <stdio.h>
#include <unistd.h>

#include "node/settings/inside.h"
#include "proto/ground/hex.h"

static bool is_set(const char *text)
{
    return text && *text;
}

static bool same(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

/* ---- certificates and files */

static void check_file(struct parse *p, const char *section, const char *key, const char *path)
{
    if (p->with_files && is_set(path) && access(path, R_OK) != 0)
        parse_error(p, parse_mark(p, section, key), "%s: %s cannot be read", key, path);
}

static void check_pair(struct parse *p, const char *section, const char *certificate,
                       const char *key)
{
    if (is_set(certificate) && !is_set(key))
        parse_error(p, parse_mark(p, section, "certificate"), "%s: a certificate needs its key",
                    section);
    if (is_set(key) && !is_set(certificate))
        parse_error(p, parse_mark(p, section, "key"), "%s: a key needs its certificate", section);
    check_file(p, section, "certificate", certificate);
    check_file(p, section, "key", key);
}

static void check_certificates(struct parse *p)
{
    const struct settings *s = p->s;

    if (s->certificate_count > 0 && !is_set(s->tls.certificate))
        parse_error(
            p, parse_mark(p, "certificates", "certificate"),
            "certificates: tls: certificate and key are needed as well, for who asks for no name");
    for (unsigned i = 0; p->with_files && i < s->certificate_count; i++) {
        const struct settings_certificate *c = &s->certificates[i];

        if (access(c->certificate, R_OK) != 0)
            parse_error(p, parse_mark_of(p, "certificates", i, "certificate"),
                        "certificate: %s cannot be read", c->certificate);
        if (access(c->key, R_OK) != 0)
            parse_error(p, parse_mark_of(p, "certificates", i, "key"), "key: %s cannot be read",
                        c->key);
    }
}

static void check_http(struct parse *p)
{
    const struct settings *s = p->s;
    bool loopback = false, any_port = false;

    check_pair(p, "http", s->http.certificate, s->http.key);
    if (!is_set(s->http.address)) return;
    if (!is_set(s->http.token_file))
        parse_error(p, parse_mark(p, "http", "token_file"), "http: token_file is missing");
    check_file(p, "http", "token_file", s->http.token_file);
    value_address_ok(span_cstr(s->http.address), &loopback, &any_port);
    if (!loopback && !is_set(s->http.certificate))
        parse_error(p, parse_mark(p, "http", "address"),
                    "http: without a certificate the address must be a loopback one (127.0.0.1)");
}

/* ---- cluster */

static bool is_cluster_id(const char *text)
{
    return hex_is_lower(text, 32) && strspn(text, "0") < 32;
}

static void check_place(struct parse *p, const char *key, const char *name)
{
    for (; *name; name++)
        if ((unsigned char)*name <= ' ' || (unsigned char)*name >= 0x7f) {
            parse_error(p, parse_mark(p, "cluster", key), "%s: a name without blanks is needed",
                        key);
            return;
        }
}

static void check_cluster(struct parse *p)
{
    const struct settings *s = p->s;
    const char *const needed[][2] = { { "address", s->cluster.address },
                                      { "ca", s->cluster.ca },
                                      { "certificate", s->cluster.certificate },
                                      { "key", s->cluster.key } };

    for (unsigned i = 0; i < sizeof needed / sizeof needed[0]; i++) {
        if (is_set(s->cluster.id) && !is_set(needed[i][1]))
            parse_error(p, parse_mark(p, "cluster", "id"), "cluster: %s is missing", needed[i][0]);
        if (!is_set(s->cluster.id) && is_set(needed[i][1]))
            parse_error(p, parse_mark(p, "cluster", needed[i][0]), "cluster: id is missing");
    }
    if (is_set(s->cluster.id) && !is_cluster_id(s->cluster.id))
        parse_error(p, parse_mark(p, "cluster", "id"),
                    "id: 32 hex digits in lower case are needed, as of: openssl rand -hex 16");
    check_place(p, "zone", s->cluster.zone);
    check_place(p, "region", s->cluster.region);
    if (strcmp(s->cluster.spread, "zone") != 0 && strcmp(s->cluster.spread, "region") != 0)
        parse_error(p, parse_mark(p, "cluster", "spread"), "spread: zone or region is needed");
    check_file(p, "cluster", "ca", s->cluster.ca);
    check_file(p, "cluster", "certificate", s->cluster.certificate);
    check_file(p, "cluster", "key", s->cluster.key);
}

/* ---- listeners */

static bool is_any_port(const char *address)
{
    bool loopback = false, any_port = false;

    value_address_ok(span_cstr(address), &loopback, &any_port);
    return any_port;
}

static void check_listener(struct parse *p, unsigned i)
{
    const struct settings_listener *l = &p->s->listeners[i];

    if (l->kind != SETTINGS_MX && !is_set(p->s->tls.certificate))
        parse_error(p, parse_mark_of(p, "listeners", i, "kind"),
                    "a %s listener needs tls: certificate and key",
                    l->kind == SETTINGS_SUBMISSION ? "submission" : "submissions");
    if (is_any_port(l->address)) return;
    if (is_set(p->s->http.address) && same(p->s->http.address, l->address))
        parse_error(p, parse_mark_of(p, "listeners", i, "address"), "address: %s is http's already",
                    l->address);
    for (unsigned k = 0; k < i; k++)
        if (same(p->s->listeners[k].address, l->address))
            parse_error(p, parse_mark_of(p, "listeners", i, "address"),
                        "address: %s is another listener's already", l->address);
}

static void check_listeners(struct parse *p)
{
    for (unsigned i = 0; i < p->s->listener_count; i++)
        check_listener(p, i);
    if (p->s->listener_count == 0 && !is_set(p->s->http.address))
        parse_error(p, parse_mark(p, "listeners", "address"),
                    "there is no way in: listeners or http.address is needed");
}

/* ---- tenants and credentials */

static const struct settings_tenant *find_tenant(const struct settings *s, unsigned count,
                                                 const char *name)
{
    for (unsigned i = 0; i < count; i++)
        if (same(s->tenants[i].name, name)) return &s->tenants[i];
    return NULL;
}

/* The tenant before `count` (or earlier in the same one) that has the domain. */
static const char *domain_owner(const struct settings *s, unsigned tenant, unsigned domain)
{
    const char *name = s->tenants[tenant].domains[domain];

    for (unsigned i = 0; i <= tenant; i++)
        for (unsigned k = 0; k < s->tenants[i].domain_count && (i < tenant || k < domain); k++)
            if (same(s->tenants[i].domains[k], name)) return s->tenants[i].name;
    return NULL;
}

static void check_tenants(struct parse *p)
{
    const struct settings *s = p->s;

    for (unsigned i = 0; i < s->tenant_count; i++) {
        if (find_tenant(s, i, s->tenants[i].name))
            parse_error(p, parse_mark_of(p, "tenants", i, "name"), "name: there are two tenants %s",
                        s->tenants[i].name);
        for (unsigned k = 0; k < s->tenants[i].domain_count; k++) {
            const char *owner = domain_owner(s, i, k);

            if (owner)
                parse_error(p, parse_mark_of(p, "tenants", i, "domains"),
                            "domains: %s is tenant %s's already", s->tenants[i].domains[k], owner);
        }
    }
}

static void check_credentials(struct parse *p)
{
    const struct settings *s = p->s;

    for (unsigned i = 0; i < s->credential_count; i++) {
        if (!find_tenant(s, s->tenant_count, s->credentials[i].tenant))
            parse_error(p, parse_mark_of(p, "credentials", i, "tenant"),
                        "tenant: there is no tenant %s", s->credentials[i].tenant);
        for (unsigned k = 0; k < i; k++)
            if (same(s->credentials[k].username, s->credentials[i].username))
                parse_error(p, parse_mark_of(p, "credentials", i, "username"),
                            "username: there are two credentials %s", s->credentials[i].username);
    }
}

/* ---- routes: node/settings/check_route.c */

/* ---- content rules */

static bool is_printable(const char *text)
{
    for (; *text; text++)
        if (*text < 0x20 || *text > 0x7e) return false;
    return true;
}

void check_content_rule(struct parse *p, unsigned i)
{
    const struct settings_content_rule *r = &p->s->content_rules[i];
    bool is_header = same(r->part, "header");

    if (is_header && !is_set(r->field))
        parse_error(p, parse_mark_of(p, "content_rules", i, "part"),
                    "part: header needs field: the name of one, as Subject");
    if (!is_header && is_set(r->field))
        parse_error(p, parse_mark_of(p, "content_rules", i, "field"),
                    "field: goes with part: header only");
    if (!is_printable(r->text))
        parse_error(p, parse_mark_of(p, "content_rules", i, "text"),
                    "text: must be printable ASCII, it stands in a reply");
    if (is_set(r->tenant) && !find_tenant(p->s, p->s->tenant_count, r->tenant))
        parse_error(p, parse_mark_of(p, "content_rules", i, "tenant"),
                    "tenant: there is no tenant %s", r->tenant);
    if (same(r->name, "gtube"))
        parse_error(p, parse_mark_of(p, "content_rules", i, "name"),
                    "name: gtube is built in, see content: gtube");
    for (unsigned k = 0; k < i; k++)
        if (same(p->s->content_rules[k].name, r->name))
            parse_error(p, parse_mark_of(p, "content_rules", i, "name"),
                        "name: there are two content rules %s", r->name);
}

static void check_delivery(struct parse *p)
{
    if (p->s->delivery.retry_base_ms > p->s->delivery.retry_cap_ms)
        parse_error(p, parse_mark(p, "delivery", "retry_base_ms"),
                    "delivery: retry_base_ms is longer than retry_cap_ms");
}

void check_all(struct parse *p)
{
    check_pair(p, "tls", p->s->tls.certificate, p->s->tls.key);
    check_certificates(p);
    check_cluster(p);
    check_http(p);
    check_listeners(p);
    check_tenants(p);
    check_credentials(p);
    for (unsigned i = 0; i < p->s->route_count; i++)
        check_route(p, i);
    for (unsigned i = 0; i < p->s->content_rule_count; i++)
        check_content_rule(p, i);
    check_delivery(p);
}
