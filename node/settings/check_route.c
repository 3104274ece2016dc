/* check_route - whether the settings of a route fit together, and what TLS it needs then: an account or pins raise it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "node/settings/inside.h"
#include "proto/ground/check.h"
#include "proto/ground/secret.h"

static bool is_set(const char *text)
{
    return text && *text;
}

static bool same(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

static void check_secret(struct parse *p, unsigned i, const char *key, const char *path)
{
    struct errmsg why = { "" };

    if (!p->with_files || !is_set(path) || secret_file_check(path, &why) == 0) return;
    parse_error(p, parse_mark_of(p, "routes", i, "auth"), "auth: %s: %s", key, why.text);
}

static void check_readable(struct parse *p, unsigned i, const char *key, const char *path)
{
    if (p->with_files && is_set(path) && access(path, R_OK) != 0)
        parse_error(p, parse_mark_of(p, "routes", i, key), "%s: %s cannot be read", key, path);
}

static void check_login(struct parse *p, unsigned i, const struct settings_route *r)
{
    const struct settings_login *a = &r->auth;
    yaml_mark_t at = parse_mark_of(p, "routes", i, "auth");
    int ways = is_set(a->password_file) + is_set(a->access_token_file) + is_set(a->oauth.token_url);

    if (r->via != SETTINGS_VIA_HOST) parse_error(p, at, "auth: goes with via: host only");
    if (ways != 1)
        parse_error(p, at, "auth: needs one of password_file, access_token_file and oauth");
    if (same(r->tls, "none"))
        parse_error(p, parse_mark_of(p, "routes", i, "tls"),
                    "tls: none would say the secret of auth in clear");
    check_secret(p, i, "password_file", a->password_file);
    check_secret(p, i, "access_token_file", a->access_token_file);
    check_secret(p, i, "client_secret_file", a->oauth.client_secret_file);
    check_secret(p, i, "refresh_token_file", a->oauth.refresh_token_file);
    if (p->with_files && is_set(a->oauth.ca_file) && access(a->oauth.ca_file, R_OK) != 0)
        parse_error(p, at, "auth: ca_file: %s cannot be read", a->oauth.ca_file);
}

static void check_pins(struct parse *p, unsigned i, const struct settings_route *r)
{
    if (r->via == SETTINGS_VIA_INBOX)
        parse_error(p, parse_mark_of(p, "routes", i, "pins"),
                    "pins: there is no host in via: inbox");
    if (same(r->tls, "none"))
        parse_error(p, parse_mark_of(p, "routes", i, "tls"),
                    "tls: none shows no certificate that pins could be looked for in");
}

/* "may" is not enough for who has something to lose: a secret goes to whom the certificate names, and pins are looked at
 * only where there is TLS. */
static void raise_tls(struct settings_route *r)
{
    if (!same(r->tls, "may") || (!r->auth.username && r->pin_count == 0)) return;
    free(r->tls);
    r->tls = check_strdup(r->auth.username ? "verify" : "encrypt");
}

void check_route(struct parse *p, unsigned i)
{
    struct settings_route *r = &p->s->routes[i];

    raise_tls(r);
    if (r->via == SETTINGS_VIA_HOST && !is_set(r->host))
        parse_error(p, parse_mark_of(p, "routes", i, "via"), "via: host needs host: \"name:port\"");
    if (r->via != SETTINGS_VIA_HOST && is_set(r->host))
        parse_error(p, parse_mark_of(p, "routes", i, "host"), "host: goes with via: host only");
    if (is_set(r->tls_ca_file) && !same(r->tls, "verify"))
        parse_error(p, parse_mark_of(p, "routes", i, "tls_ca_file"),
                    "tls_ca_file: goes with tls: verify only");
    check_readable(p, i, "tls_ca_file", r->tls_ca_file);
    if (r->auth.username) check_login(p, i, r);
    if (r->pin_count > 0) check_pins(p, i, r);
    for (unsigned k = 0; k < i; k++) {
        const char *before = p->s->routes[k].match;

        if (!same(before, "*") && !same(before, r->match)) continue;
        parse_error(p, parse_mark_of(p, "routes", i, "match"),
                    "match: never used, the route for \"%s\" stands before it", before);
        return;
    }
}
