/* parse - a file becomes settings; what is wrong is told with its place, all of it at once.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "node/settings/settings.h"
#include "proto/ground/check.h"

#define HASH "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$aGFzaA"
#define NODE "node: { id: 1, hostname: relay1.example.test, data_dir: store }\n"
#define HTTP "http: { address: \"127.0.0.1:8080\", token_file: api.token }\n"
#define OK   NODE HTTP

static struct settings *parse(const char *text, struct buf *errors)
{
    struct settings *s = NULL;
    int rv;

    buf_init(errors, 64u << 10);
    rv = settings_parse(&s, "conf/node.yaml", span_cstr(text), errors);
    assert_int_equal(rv, s ? 0 : ERR_CONFIG);
    assert_int_equal(errors->n == 0, s != NULL);
    return s;
}

static void good(const char *text)
{
    struct buf errors;
    struct settings *s = parse(text, &errors);

    if (!s) fail_msg("%s", buf_cstr(&errors));
    settings_unref(&s);
    buf_deinit(&errors);
}

/* The text is refused, and the errors are exactly these. */
static void bad(const char *text, const char *expected)
{
    struct buf errors;
    struct settings *s = parse(text, &errors);

    assert_null(s);
    assert_string_equal(buf_cstr(&errors), expected);
    buf_deinit(&errors);
}

static void whole_example(void **state)
{
    static const char text[] =
        "node: { id: 7, hostname: Relay1.Example.TEST, data_dir: /var/lib/angarium, shards: 2 }\n"
        "listeners:\n"
        "  - { kind: submission, address: \"127.0.0.1:12500\" }\n"
        "  - { kind: submissions, address: \"[::1]:12501\", auth: plain, bare_newlines: normalise "
        "}\n"
        "  - { kind: mx, address: \"0.0.0.0:25\" }\n"
        "http: { address: \"127.0.0.1:12502\", token_file: api.token }\n"
        "tls: { certificate: node.pem, key: /etc/node.key }\n"
        "tenants: [ { name: demo, domains: [ Example.test, b.test ] }, { name: empty } ]\n"
        "credentials: [ { username: demo, tenant: demo, password_hash: \"" HASH "\" } ]\n"
        "routes:\n"
        "  - { match: .Slow.test, via: host, host: \"Next.test:2525\", tls: none }\n"
        "  - { match: \"*\", via: inbox }\n"
        "limits: { message_size_max: 10MiB, session_idle_ms: 90s }\n"
        "delivery: { retry_base_ms: 250ms, expire_ms: 2d }\n"
        "log: { level: debug, format: json }\n"
        "dev: true\n";
    struct buf errors;
    struct settings *s = parse(text, &errors);

    (void)state;
    assert_non_null(s);
    assert_int_equal(s->node.id, 7);
    assert_string_equal(s->node.hostname, "relay1.example.test");
    assert_string_equal(s->node.data_dir, "/var/lib/angarium");
    assert_int_equal(s->node.shards, 2);
    assert_int_equal(s->listener_count, 3);
    assert_int_equal(s->listeners[1].kind, SETTINGS_SUBMISSIONS);
    assert_string_equal(s->listeners[1].address, "[::1]:12501");
    assert_string_equal(s->listeners[1].auth, "plain");
    assert_string_equal(s->listeners[1].bare_newlines, "normalise");
    assert_string_equal(s->listeners[0].auth, "plain login");
    assert_string_equal(s->listeners[0].bare_newlines, "refuse");
    assert_int_equal(s->listeners[2].kind, SETTINGS_MX);
    assert_string_equal(s->http.token_file, "conf/api.token");
    assert_string_equal(s->http.certificate, "");
    assert_string_equal(s->tls.certificate, "conf/node.pem");
    assert_string_equal(s->tls.key, "/etc/node.key");
    assert_int_equal(s->tenant_count, 2);
    assert_int_equal(s->tenants[0].domain_count, 2);
    assert_string_equal(s->tenants[0].domains[0], "example.test");
    assert_int_equal(s->tenants[1].domain_count, 0);
    assert_string_equal(s->credentials[0].password_hash, HASH);
    assert_string_equal(s->routes[0].match, ".slow.test");
    assert_int_equal(s->routes[0].via, SETTINGS_VIA_HOST);
    assert_string_equal(s->routes[0].host, "next.test:2525");
    assert_string_equal(s->routes[0].tls, "none");
    assert_int_equal(s->routes[1].via, SETTINGS_VIA_INBOX);
    assert_int_equal(s->limits.message_size_max, 10 << 20);
    assert_int_equal(s->limits.session_idle_ms, 90000);
    assert_int_equal(s->delivery.retry_base_ms, 250);
    assert_int_equal(s->delivery.expire_ms, 2 * 86400000);
    assert_string_equal(s->log.format, "json");
    assert_true(s->dev.enabled);
    settings_unref(&s);
    assert_null(s);
    settings_unref(&s);
    buf_deinit(&errors);
}

static void fallbacks(void **state)
{
    struct buf errors;
    struct settings *s = parse(OK, &errors);

    (void)state;
    assert_non_null(s);
    assert_string_equal(s->node.data_dir, "conf/store");
    assert_int_equal(s->node.shards, 4);
    assert_int_equal(s->limits.message_size_max, 52428800);
    assert_int_equal(s->limits.recipients_max, 1000);
    assert_int_equal(s->limits.queue_messages_max, 10000000);
    assert_true(s->limits.queue_bytes_max == 100ull << 30);
    assert_int_equal(s->delivery.retry_base_ms, 60000);
    assert_int_equal(s->delivery.retry_cap_ms, 4 * 3600000);
    assert_int_equal(s->delivery.retry_jitter_permille, 200);
    assert_int_equal(s->delivery.expire_ms, 5 * 86400000);
    assert_int_equal(s->delivery.retention_ms, 7 * 86400000);
    assert_int_equal(s->delivery.dot_timeout_ms, 600000);
    assert_int_equal(s->resolver.mx_port, 25);
    assert_string_equal(s->log.level, "info");
    assert_false(s->dev.enabled);
    settings_unref(&s);
    buf_deinit(&errors);
}

static void keys(void **state)
{
    (void)state;
    bad(OK "limit: {}\n", "conf/node.yaml:3:1: unknown key \"limit\"; is \"limits\" meant?\n");
    bad(OK "limits: { sesions_max: 3 }\n",
        "conf/node.yaml:3:11: unknown key \"sesions_max\" in limits; is \"sessions_max\" meant?\n");
    bad(OK "log: { level: info, nothing_like_it_at_all: 3 }\n",
        "conf/node.yaml:3:21: unknown key \"nothing_like_it_at_all\" in log\n");
    bad(OK "log: { level: info, level: warn }\n",
        "conf/node.yaml:3:21: level: stands here twice\n");
    bad(OK "log: {}\nlog: {}\n", "conf/node.yaml:4:1: log: stands here twice\n");
    bad(OK "log: { [a]: 3 }\n", "conf/node.yaml:3:8: log: a key must be a word\n");
    bad(OK "[a]: 3\n", "conf/node.yaml:3:1: a key must be a word\n");
    bad("node: { id: 1 }\n" HTTP, "conf/node.yaml:1:7: node: hostname is missing\n"
                                  "conf/node.yaml:1:7: node: data_dir is missing\n");
    bad(HTTP, "conf/node.yaml:1:1: node is missing: id, hostname and data_dir are needed\n");
    bad("", "conf/node.yaml:1:1: the file must hold keys and values, as `node:`\n");
    bad("- a\n", "conf/node.yaml:1:1: the file must hold keys and values, as `node:`\n");
}

static void types(void **state)
{
    (void)state;
    bad(OK "log: info\n", "conf/node.yaml:3:6: log: keys and values are needed here\n");
    bad(OK "log: { level: [ info ] }\n",
        "conf/node.yaml:3:15: level: one value is needed here, not a list or mapping\n");
    bad(OK "log: { level: }\n", "conf/node.yaml:3:15: level: has no value\n");
    bad(OK "log: { level: loud }\n",
        "conf/node.yaml:3:15: level: \"loud\" is none of: debug, info, warn, error\n");
    bad(OK "listeners: 25\n", "conf/node.yaml:3:12: listeners: a list is needed here\n");
    bad(OK "tenants: [ { name: a, domains: b.test } ]\n",
        "conf/node.yaml:3:32: domains: a list is needed here\n");
    bad(OK "tenants: [ { name: a, domains: [ { b: c } ] } ]\n",
        "conf/node.yaml:3:34: domains: a domain name is needed here\n");
    bad(OK "tenants: [ { name: \"a b\" } ]\n",
        "conf/node.yaml:3:20: name: \"a b\" is not a name of letters, digits, dots, hyphens and "
        "underscores\n");
    bad(OK "dev: maybe\n", "conf/node.yaml:3:6: dev: \"maybe\" is none of: false, true\n");
    bad(OK "resolver: { address: ns.test:53 }\n", "conf/node.yaml:3:22: address: \"ns.test:53\" is "
                                                  "not an address and a port, as 127.0.0.1:587 or "
                                                  "[::1]:587\n");
    bad(OK "log: { level: \"a\\x01\" }\n",
        "conf/node.yaml:3:15: level: \"a?\" is none of: debug, info, warn, error\n");
    bad(OK "tls: { key: \"a\\0b\", certificate: c }\n",
        "conf/node.yaml:3:13: key: holds a control character\n");
}

static void units(void **state)
{
    (void)state;
    good(OK "limits: { data_idle_ms: 1m, auth_cache_ms: 0, queue_bytes_max: 2TiB, "
            "body_cache_bytes: 0 }\n");
    good(OK "delivery: { retry_base_ms: 250ms, retry_cap_ms: \"3h\", expire_ms: 5d }\n");
    bad(OK "limits: { data_idle_ms: 100 }\n", "conf/node.yaml:3:25: data_idle_ms: \"100\" is not a "
                                              "time with its unit, as 250ms, 30s, 5m, 4h or 5d\n");
    bad(OK "limits: { data_idle_ms: 1MiB }\n",
        "conf/node.yaml:3:25: data_idle_ms: \"1MiB\" is not a time with its unit, as 250ms, 30s, "
        "5m, 4h or 5d\n");
    bad(OK "limits: { message_size_max: 50MB }\n",
        "conf/node.yaml:3:29: message_size_max: \"50MB\" is not a size, as 1000 or 50MiB\n");
    bad(OK "limits: { sessions_max: 5KiB }\n",
        "conf/node.yaml:3:25: sessions_max: \"5KiB\" is not a number, as 1000\n");
    bad(OK "limits: { sessions_max: -1 }\n",
        "conf/node.yaml:3:25: sessions_max: \"-1\" is not a number, as 1000\n");
}

static void ranges(void **state)
{
    (void)state;
    bad(OK "limits: { message_size_max: 3GiB }\n",
        "conf/node.yaml:3:29: message_size_max: 3GiB is out of range: 1KiB to 1GiB\n");
    bad(OK "limits: { recipients_max: 99 }\n",
        "conf/node.yaml:3:27: recipients_max: 99 is out of range: 100 to 1000\n");
    bad(OK "delivery: { expire_ms: 99999999999999999999d }\n",
        "conf/node.yaml:3:24: expire_ms: 99999999999999999999d is out of range: 1s to 30d\n");
    bad(OK "delivery: { expire_ms: 18446744073709551615d }\n",
        "conf/node.yaml:3:24: expire_ms: 18446744073709551615d is out of range: 1s to 30d\n");
    bad("node: { id: 0, hostname: a.test, data_dir: d }\n" HTTP,
        "conf/node.yaml:1:13: id: 0 is out of range: 1 to 4294967295\n");
}

static void domains(void **state)
{
    static const char *const fine[] = { "a", "a.test", "xn--bcher-kva.example", "_x.a-b.test",
                                        "1.2" };
    static const char *const wrong[] = { "a..b",
                                         ".a",
                                         "a.",
                                         "-a.test",
                                         "a-.test",
                                         "a b",
                                         "b\xc3\xbc"
                                         "cher.test",
                                         "a@b.test" };
    char text[256];

    (void)state;
    for (size_t i = 0; i < sizeof fine / sizeof fine[0]; i++) {
        snprintf(text, sizeof text, OK "tenants: [ { name: t, domains: [ \"%s\" ] } ]\n", fine[i]);
        good(text);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char expected[300];

        snprintf(text, sizeof text, OK "tenants: [ { name: t, domains: [ \"%s\" ] } ]\n", wrong[i]);
        snprintf(expected, sizeof expected,
                 "conf/node.yaml:3:34: domains: \"%s\" is not a domain name (ASCII; other letters "
                 "in their xn-- "
                 "form)\n",
                 wrong[i]);
        bad(text, expected);
    }
}

static void fitting_together(void **state)
{
    (void)state;
    bad(NODE "http: { address: \"10.0.0.1:80\", token_file: t }\n",
        "conf/node.yaml:2:18: http: without a certificate the address must be a loopback one "
        "(127.0.0.1)\n");
    good(NODE "http: { address: \"10.0.0.1:80\", token_file: t, certificate: c, key: k }\n");
    good(NODE "http: { address: \"[::1]:80\", token_file: t }\n");
    bad(NODE "http: { address: \"127.0.0.1:80\" }\n",
        "conf/node.yaml:2:7: http: token_file is missing\n");
    bad(OK "tls: { certificate: c }\n", "conf/node.yaml:3:21: tls: a certificate needs its key\n");
    bad(OK "tls: { key: k }\n", "conf/node.yaml:3:13: tls: a key needs its certificate\n");
    bad(NODE, "conf/node.yaml:1:1: there is no way in: listeners or http.address is needed\n");
    bad(OK "listeners:\n  - { address: \"127.0.0.1:1\", kind: submission }\n",
        "conf/node.yaml:4:37: a submission listener needs tls: certificate and key\n");
    good(NODE "listeners: [ { kind: mx, address: \"127.0.0.1:0\" }, { kind: mx, address: "
              "\"127.0.0.1:0\" } ]\n");
    bad(OK "listeners: [ { kind: mx, address: \"127.0.0.1:1\" }, { kind: mx, address: "
           "\"127.0.0.1:1\" } ]\n",
        "conf/node.yaml:3:73: address: 127.0.0.1:1 is another listener's already\n");
    bad(OK "listeners: [ { kind: mx, address: \"127.0.0.1:8080\" } ]\n",
        "conf/node.yaml:3:35: address: 127.0.0.1:8080 is http's already\n");
    bad(OK "delivery: { retry_base_ms: 5h }\n",
        "conf/node.yaml:3:28: delivery: retry_base_ms is longer than retry_cap_ms\n");
}

static void tenants_and_credentials(void **state)
{
    (void)state;
    bad(OK "tenants: [ { name: a }, { name: a } ]\n",
        "conf/node.yaml:3:33: name: there are two tenants a\n");
    bad(OK "tenants: [ { name: a, domains: [ x.test ] }, { name: b, domains: [ X.test ] } ]\n",
        "conf/node.yaml:3:66: domains: x.test is tenant a's already\n");
    bad(OK "credentials: [ { username: u, tenant: a, password_hash: \"" HASH "\" } ]\n",
        "conf/node.yaml:3:39: tenant: there is no tenant a\n");
    bad(OK "tenants: [ { name: a } ]\ncredentials:\n"
           "  - { username: u, tenant: a, password_hash: \"" HASH "\" }\n"
           "  - { username: u, tenant: a, password_hash: \"" HASH "\" }\n",
        "conf/node.yaml:6:17: username: there are two credentials u\n");
}

#define RULE(rest) "content_rules: [ { name: r, match: x, " rest " } ]\n"

static void content_rules(void **state)
{
    struct buf errors;
    struct settings *s = parse(OK "content: { gtube: true }\ntenants: [ { name: a } ]\n" RULE(
                                   "part: header, field: Subject, action: tag, text: t, tenant: a"),
                               &errors);

    (void)state;
    assert_non_null(s);
    assert_true(s->content.gtube);
    assert_int_equal(s->content_rule_count, 1);
    assert_string_equal(s->content_rules[0].action, "tag");
    settings_unref(&s);
    buf_deinit(&errors);
    good(OK RULE("part: body"));
    bad(OK RULE("part: all"),
        "conf/node.yaml:3:45: part: \"all\" is none of: header, body, file\n");
    bad(OK RULE("part: header"),
        "conf/node.yaml:3:45: part: header needs field: the name of one, as Subject\n");
    bad(OK RULE("part: body, field: Subject"),
        "conf/node.yaml:3:58: field: goes with part: header only\n");
    bad(OK RULE("part: body, action: drop"),
        "conf/node.yaml:3:59: action: \"drop\" is none of: reject, tag\n");
    bad(OK RULE("part: body, text: \"\xc3\xa4\""),
        "conf/node.yaml:3:57: text: must be printable ASCII, it stands in a reply\n");
    bad(OK RULE("part: body, tenant: a"), "conf/node.yaml:3:59: tenant: there is no tenant a\n");
    bad(OK "content_rules: [ { name: gtube, match: x, part: body } ]\n",
        "conf/node.yaml:3:26: name: gtube is built in, see content: gtube\n");
    bad(OK "content_rules:\n  - { name: r, match: x, part: body }\n  - { name: r, match: y, part: "
           "body }\n",
        "conf/node.yaml:5:13: name: there are two content rules r\n");
    bad(OK "content_rules: [ { name: r, part: body, match: \"\" } ]\n",
        "conf/node.yaml:3:48: match: must not be empty\n");
}

static void hashes_are_not_repeated(void **state)
{
    (void)state;
    bad(OK "tenants: [ { name: a } ]\ncredentials: [ { username: u, tenant: a, password_hash: "
           "hunter2 } ]\n",
        "conf/node.yaml:4:57: password_hash: must begin with $argon2id$ (other hashes are not "
        "taken)\n");
}

static void addresses_are_networks(void **state)
{
    static const struct {
        const char *text, *fault;
    } cases[] = {
        { "192.0.2.0/24, 2001:db8::/32,192.0.2.7", NULL },
        { "192.0.2.1/24", "is not networks without bits behind their prefix" },
        { "192.0.2.0/24,,10.0.0.0/8", "is not networks with commas between" },
        { "example.test", "is not networks with commas between" },
    };
    char text[1024];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct settings *s = NULL;
        struct buf errors;

        snprintf(text, sizeof text,
                 OK "tenants: [ { name: a } ]\ncredentials: [ { username: u, tenant: a, "
                    "password_hash: \"" HASH "\", addresses: \"%s\" } ]\n",
                 cases[i].text);
        buf_init(&errors, 4096);
        assert_int_equal(settings_parse(&s, "node.yaml", span_cstr(text), &errors) == 0,
                         cases[i].fault == NULL);
        if (cases[i].fault)
            assert_non_null(strstr(buf_cstr(&errors), cases[i].fault));
        else
            assert_string_equal(s->credentials[0].addresses, cases[i].text);
        buf_deinit(&errors);
        settings_unref(&s);
    }
}

static void routes(void **state)
{
    (void)state;
    bad(OK "routes: [ { match: \"*\", via: host } ]\n",
        "conf/node.yaml:3:30: via: host needs host: \"name:port\"\n");
    bad(OK "routes: [ { match: \"*\", via: mx, host: \"a.test:25\" } ]\n",
        "conf/node.yaml:3:40: host: goes with via: host only\n");
    bad(OK "routes: [ { match: \"*\", via: mx }, { match: a.test, via: inbox } ]\n",
        "conf/node.yaml:3:45: match: never used, the route for \"*\" stands before it\n");
    bad(OK "routes: [ { match: \"*\", via: host, host: a.test } ]\n",
        "conf/node.yaml:3:42: host: \"a.test\" is not a host and a port, as mx.example.test:25 or "
        "[::1]:25\n");
    bad(OK "routes: [ { match: \"*.test\", via: mx } ]\n",
        "conf/node.yaml:3:20: match: \"*.test\" is not \"*\", a domain, or a domain behind a "
        "dot\n");
    good(OK "routes: [ { match: \"*\", via: host, host: \"[::1]:25\" } ]\n");
    good(OK
         "routes: [ { match: \"*\", via: mx, tls: verify, tls_min: \"1.3\", tls_ca_file: ca } ]\n");
    good(OK "routes: [ { match: \"*\", via: mx, tls: encrypt } ]\n");
    bad(OK "routes: [ { match: \"*\", via: mx, tls: must } ]\n",
        "conf/node.yaml:3:39: tls: \"must\" is none of: none, may, encrypt, verify\n");
    bad(OK "routes: [ { match: \"*\", via: mx, tls_min: \"1.1\" } ]\n",
        "conf/node.yaml:3:43: tls_min: \"1.1\" is none of: 1.2, 1.3\n");
    bad(OK "routes: [ { match: \"*\", via: mx, tls_ca_file: ca } ]\n",
        "conf/node.yaml:3:47: tls_ca_file: goes with tls: verify only\n");
}

#define HOST "via: host, host: \"smtp.test:587\""
#define OAUTH                                                                                      \
    "oauth: { token_url: \"https://login.test/token\", client_id: c, refresh_token_file: r }"

static const char *tls_of_route(const char *text, char *out, size_t size)
{
    struct buf errors;
    struct settings *s = parse(text, &errors);

    if (!s) fail_msg("%s", buf_cstr(&errors));
    snprintf(out, size, "%s", s->routes[0].tls);
    settings_unref(&s);
    buf_deinit(&errors);
    return out;
}

/* What a route can lose raises the TLS that it needs. */
static void accounts_of_routes(void **state)
{
    char tls[16];

    (void)state;
    assert_string_equal(tls_of_route(OK "routes: [ { match: \"*\", " HOST
                                        ", auth: { username: u, password_file: p } } ]\n",
                                     tls, sizeof tls),
                        "verify");
    assert_string_equal(
        tls_of_route(OK "routes: [ { match: \"*\", " HOST
                        ", tls: may, auth: { username: u, access_token_file: p } } ]\n",
                     tls, sizeof tls),
        "verify");
    assert_string_equal(tls_of_route(OK "routes: [ { match: \"*\", " HOST
                                        ", tls: encrypt, auth: { username: u, " OAUTH " } } ]\n",
                                     tls, sizeof tls),
                        "encrypt");
    bad(OK "routes: [ { match: \"*\", " HOST
           ", tls: none, auth: { username: u, password_file: p } } ]\n",
        "conf/node.yaml:3:64: tls: none would say the secret of auth in clear\n");
    bad(OK "routes: [ { match: \"*\", via: mx, auth: { username: u, password_file: p } } ]\n",
        "conf/node.yaml:3:40: auth: goes with via: host only\n");
    bad(OK "routes: [ { match: \"*\", " HOST ", auth: { username: u } } ]\n",
        "conf/node.yaml:3:65: auth: needs one of password_file, access_token_file and oauth\n");
    bad(OK "routes: [ { match: \"*\", " HOST ", auth: { username: u, password_file: p, " OAUTH
           " } } ]\n",
        "conf/node.yaml:3:65: auth: needs one of password_file, access_token_file and oauth\n");
    bad(OK "routes: [ { match: \"*\", " HOST ", auth: { password_file: p } } ]\n",
        "conf/node.yaml:3:65: auth: username is missing\n");
    bad(OK "routes: [ { match: \"*\", " HOST ", auth: { username: u, password: p } } ]\n",
        "conf/node.yaml:3:80: unknown key \"password\" in auth\n");
    bad(OK "routes: [ { match: \"*\", " HOST ", auth: secret } ]\n",
        "conf/node.yaml:3:65: auth: keys and values are needed here\n");
    bad(OK "routes: [ { match: \"*\", " HOST
           ", auth: { username: u, oauth: { token_url: \"http://login.test/\", client_id: c, "
           "refresh_token_file: r } } } ]\n",
        "conf/node.yaml:3:100: token_url: \"http://login.test/\" is not an URL that begins with "
        "https:// (http:// only with a loopback host)\n");
}

static void token_urls(void **state)
{
    static const char *const good_ones[] = { "https://a.test/t", "HTTPS://a.test",
                                             "http://127.0.0.1:80/t", "http://localhost:1/",
                                             "http://[::1]:80/" };
    static const char *const bad_ones[] = { "http://a.test/",
                                            "http://127.0.0.1@a.test/",
                                            "http://127.0.0.1.a.test/",
                                            "ftp://a.test/",
                                            "https:///t",
                                            "https:/a",
                                            "a.test",
                                            "http://localhost\\\\@a.test/",
                                            "http://[::1].a.test/",
                                            "https:" };
    char text[600], expected[400];

    (void)state;
    for (size_t i = 0; i < sizeof good_ones / sizeof good_ones[0]; i++) {
        snprintf(text, sizeof text,
                 OK "routes: [ { match: \"*\", " HOST ", auth: { username: u, oauth: { token_url: "
                    "\"%s\", client_id: c, refresh_token_file: r } } } ]\n",
                 good_ones[i]);
        good(text);
    }
    for (size_t i = 0; i < sizeof bad_ones / sizeof bad_ones[0]; i++) {
        struct buf errors;
        struct settings *s;

        snprintf(text, sizeof text,
                 OK "routes: [ { match: \"*\", " HOST ", auth: { username: u, oauth: { token_url: "
                    "\"%s\", client_id: c, refresh_token_file: r } } } ]\n",
                 bad_ones[i]);
        snprintf(expected, sizeof expected, "%s", bad_ones[i]);
        s = parse(text, &errors);
        if (s) fail_msg("%s was taken", expected);
        assert_non_null(strstr(buf_cstr(&errors), "is not an URL"));
        buf_deinit(&errors);
    }
}

static void pins_of_routes(void **state)
{
    static const char hex[] = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    struct buf errors;
    struct settings *s =
        parse(OK "routes: [ { match: \"*\", " HOST ", pins: [ "
                 "\"ABEiM0RVZneImaq7zN3u/wARIjNEVWZ3iJmqu8zd7v8=\", "
                 "00112233445566778899AABBCCDDEEFF00112233445566778899aabbccddeeff ] } ]\n",
              &errors);

    (void)state;
    if (!s) fail_msg("%s", buf_cstr(&errors));
    assert_int_equal(s->routes[0].pin_count, 2);
    assert_string_equal(s->routes[0].pins[0], hex);
    assert_string_equal(s->routes[0].pins[1], hex);
    assert_string_equal(s->routes[0].tls, "encrypt");
    settings_unref(&s);
    buf_deinit(&errors);
    bad(OK "routes: [ { match: \"*\", " HOST ", pins: [ abc ] } ]\n",
        "conf/node.yaml:3:67: pins: \"abc\" is not a SHA-256: 64 digits of hex, or 44 characters "
        "of "
        "base64\n");
    bad(OK "routes: [ { match: \"*\", via: inbox, pins: [ "
           "\"ABEiM0RVZneImaq7zN3u/wARIjNEVWZ3iJmqu8zd7v8=\" ] } ]\n",
        "conf/node.yaml:3:43: pins: there is no host in via: inbox\n");
    bad(OK "routes: [ { match: \"*\", via: mx, tls: none, pins: [ "
           "\"ABEiM0RVZneImaq7zN3u/wARIjNEVWZ3iJmqu8zd7v8=\" ] } ]\n",
        "conf/node.yaml:3:39: tls: none shows no certificate that pins could be looked for in\n");
}

/* Shown as it is read; routes without an account show none. The first error would be an unknown key. */
static void accounts_are_shown(void **state)
{
    struct buf errors, shown;
    struct settings
        *s = parse(OK "routes: [ { match: a.test, " HOST ", auth: { username: u, " OAUTH
                      " } }, { match: b.test, " HOST
                      ", auth: { username: v, password_file: /p } }, { match: \"*\", via: mx } ]\n",
                   &errors),
        *again;

    (void)state;
    if (!s) fail_msg("%s", buf_cstr(&errors));
    buf_init(&shown, 64u << 10);
    settings_print(s, false, &shown);
    assert_non_null(strstr(
        buf_cstr(&shown),
        "    auth: { username: \"u\", password_file: \"\", access_token_file: \"\", oauth: { "
        "token_url: \"https://login.test/token\", client_id: \"c\", client_secret_file: \"\", "
        "refresh_token_file: \"conf/r\", scope: \"\", ca_file: \"\" } }\n"));
    assert_non_null(strstr(buf_cstr(&shown), "    auth: { username: \"v\", password_file: \"/p\", "
                                             "access_token_file: \"\" }\n"));
    assert_null(strstr(strstr(buf_cstr(&shown), "via: mx"), "auth:"));
    again = parse(buf_cstr(&shown), &errors);
    if (!again) fail_msg("%s", buf_cstr(&errors));
    assert_string_equal(again->routes[1].auth.password_file, "/p");
    assert_string_equal(again->routes[1].tls, "verify");
    assert_null(again->routes[2].auth.username);
    settings_unref(&s);
    settings_unref(&again);
    buf_deinit(&errors);
    buf_deinit(&shown);
}

static void no_yaml(void **state)
{
    (void)state;
    bad("node: {\n",
        "conf/node.yaml:2:1: while parsing a flow node, did not find expected node content\n");
    bad("node: \"a\n",
        "conf/node.yaml:2:1: while scanning a quoted scalar, found unexpected end of stream\n");
    bad("node: *a\n", "conf/node.yaml:1:7: found undefined alias\n");
    bad(OK "---\nnode: {}\n",
        "conf/node.yaml:4:1: a second document begins here; one is possible\n");
}

static void errors_end_somewhere(void **state)
{
    struct buf text, errors;
    struct settings *s;
    size_t lines = 0;

    (void)state;
    buf_init(&text, 64u << 10);
    buf_add_cstr(&text, OK);
    for (int i = 0; i < 100; i++)
        buf_addf(&text, "wrong%d: 1\n", i);
    s = parse(buf_cstr(&text), &errors);
    assert_null(s);
    for (size_t i = 0; i < errors.n; i++)
        lines += errors.p[i] == '\n';
    assert_int_equal(lines, 20);
    buf_deinit(&text);
    buf_deinit(&errors);
}

/* What is printed says the same when it is read. */
static void printed_and_read(void **state)
{
    static const char text[] =
        OK "tls: { certificate: \"/a \\\"b\\\\ \\u0085\\u20ac.pem\", key: /k }\n"
           "listeners: [ { kind: mx, address: \"127.0.0.1:25\" } ]\n"
           "tenants: [ { name: a, domains: [ a.test, b.test ] }, { name: b } ]\n"
           "credentials: [ { username: u, tenant: a, password_hash: \"" HASH "\" } ]\n"
           "routes: [ { match: \"*\", via: host, host: \"a.test:25\" } ]\n"
           "content_rules: [ { name: r, part: file, match: \"*.exe\", action: tag } ]\n"
           "limits: { session_idle_ms: 61s, message_size_max: 1025 }\ndev: true\n";
    struct buf errors, first, second;
    struct settings *s = parse(text, &errors), *again = NULL;

    (void)state;
    buf_init(&first, 64u << 10);
    buf_init(&second, 64u << 10);
    assert_non_null(s);
    settings_print(s, true, &first);
    assert_int_equal(settings_parse(&again, "x.yaml", buf_span(&first), &errors), 0);
    settings_print(again, true, &second);
    assert_string_equal(buf_cstr(&first), buf_cstr(&second));
    assert_non_null(strstr(buf_cstr(&first), "session_idle_ms: 61s"));
    buf_reset(&second);
    settings_print(again, false, &second);
    assert_null(strstr(buf_cstr(&second), "argon2id$"));
    assert_non_null(strstr(buf_cstr(&second), "password_hash: \"(hidden)\""));
    settings_unref(&s);
    settings_unref(&again);
    buf_deinit(&errors);
    buf_deinit(&first);
    buf_deinit(&second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_example),
        cmocka_unit_test(fallbacks),
        cmocka_unit_test(keys),
        cmocka_unit_test(types),
        cmocka_unit_test(units),
        cmocka_unit_test(ranges),
        cmocka_unit_test(domains),
        cmocka_unit_test(fitting_together),
        cmocka_unit_test(tenants_and_credentials),
        cmocka_unit_test(content_rules),
        cmocka_unit_test(hashes_are_not_repeated),
        cmocka_unit_test(addresses_are_networks),
        cmocka_unit_test(routes),
        cmocka_unit_test(accounts_of_routes),
        cmocka_unit_test(token_urls),
        cmocka_unit_test(pins_of_routes),
        cmocka_unit_test(accounts_are_shown),
        cmocka_unit_test(no_yaml),
        cmocka_unit_test(errors_end_somewhere),
        cmocka_unit_test(printed_and_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
