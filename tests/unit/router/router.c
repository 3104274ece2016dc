/* router - rules: which one a domain falls under, and the plan it makes. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "router/router.h"

static const struct router_rule rules[] = {
    { .match = "inbox.example", .via = ROUTER_VIA_INBOX },
    { .match = ".inbox.example",
      .via = ROUTER_VIA_HOST,
      .host = "Smart.Example.",
      .port = 587,
      .tls = ROUTER_TLS_MAY },
    { .match = "direct.example", .via = ROUTER_VIA_MX, .tls = ROUTER_TLS_NONE },
    { .match = "four.example", .via = ROUTER_VIA_HOST, .host = "192.0.2.7", .port = 25 },
    { .match = "six.example", .via = ROUTER_VIA_HOST, .host = "[IPv6:2001:db8::7]", .port = 26 },
};

static struct router *make(const struct router_rule *r, unsigned n)
{
    struct router_options o;

    router_options_default(&o);
    o.rules = r;
    o.rule_count = n;
    return router_new(&o);
}

static void rules_decide(void **state)
{
    static const struct {
        const char *domain;
        enum router_plan_kind kind;
        const char *host; /* or the name to ask for */
        bool is_address;
        const char *site;
        enum router_tls tls;
    } cases[] = {
        { "Inbox.Example", ROUTER_INBOX, "", false, "", ROUTER_TLS_NONE },
        { "a.inbox.example", ROUTER_HOSTS, "smart.example", false, "smart.example:587",
          ROUTER_TLS_MAY },
        { "A.B.INBOX.example.", ROUTER_HOSTS, "smart.example", false, "smart.example:587",
          ROUTER_TLS_MAY },
        { "xinbox.example", ROUTER_NEED_MX, "xinbox.example", false, "", ROUTER_TLS_MAY },
        { "direct.example", ROUTER_NEED_MX, "direct.example", false, "", ROUTER_TLS_NONE },
        { "four.example", ROUTER_HOSTS, "192.0.2.7", true, "192.0.2.7:25", ROUTER_TLS_NONE },
        { "six.example", ROUTER_HOSTS, "2001:db8::7", true, "2001:db8::7:26", ROUTER_TLS_NONE },
        { "Other.Example.", ROUTER_NEED_MX, "other.example", false, "", ROUTER_TLS_MAY },
        { "[192.0.2.1]", ROUTER_HOSTS, "192.0.2.1", true, "192.0.2.1:25", ROUTER_TLS_MAY },
        { "[IPv6:2001:db8::1]", ROUTER_HOSTS, "2001:db8::1", true, "2001:db8::1:25",
          ROUTER_TLS_MAY },
        { "[garbage]", ROUTER_BOUNCE, "", false, "", ROUTER_TLS_MAY },
        { "", ROUTER_BOUNCE, "", false, "", ROUTER_TLS_MAY },
    };
    struct router *r = make(rules, sizeof rules / sizeof rules[0]);
    static struct router_plan p;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        router_choose(r, span_cstr(cases[i].domain), &p);
        if (p.kind != cases[i].kind) fail_msg("%s: kind %d", cases[i].domain, p.kind);
        assert_int_equal(p.tls, cases[i].tls);
        if (p.kind == ROUTER_NEED_MX) assert_string_equal(p.name, cases[i].host);
        if (p.kind == ROUTER_BOUNCE) assert_int_equal(p.code, 550);
        if (p.kind != ROUTER_HOSTS) continue;
        assert_int_equal(p.host_count, 1);
        assert_string_equal(p.hosts[0].name, cases[i].host);
        assert_int_equal(p.hosts[0].is_address, cases[i].is_address);
        assert_string_equal(p.site, cases[i].site);
    }
    router_free(&r);
    assert_null(r);
    router_free(&r);
}

static void the_first_match_wins(void **state)
{
    const struct router_rule two[] = {
        { .match = "*", .via = ROUTER_VIA_HOST, .host = "smart.example", .port = 465 },
        { .match = "a.example", .via = ROUTER_VIA_INBOX },
    };
    static struct router_plan p;
    struct router *r = make(two, 2);
    static const char *const domains[] = { "a.example", "[192.0.2.1]", "" };

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        router_choose(r, span_cstr(domains[i]), &p);
        assert_int_equal(p.kind, ROUTER_HOSTS);
        assert_string_equal(p.hosts[0].name, "smart.example");
        assert_int_equal(p.hosts[0].port, 465);
    }
    router_free(&r);
}

/* Rules and numbers are others; what is known of a site stays, slots that are taken too. */
static void other_options(void **state)
{
    const struct router_rule one = { .match = "*", .via = ROUTER_VIA_HOST, .host = "a", .port = 25 };
    const struct router_rule two = { .match = "*", .via = ROUTER_VIA_HOST, .host = "b", .port = 26 };
    struct router *r = make(&one, 1);
    static struct router_plan p;
    struct router_options o;
    uint64_t until;

    (void)state;
    router_choose(r, SPAN_LIT("x.example"), &p);
    assert_string_equal(p.site, "a:25");
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(router_slot_take(r, "a:25", 1000, &until), ROUTER_SLOT_YES);
    router_options_default(&o);
    o.rules = &two;
    o.rule_count = 1;
    o.site_connections_max = 2;
    router_set_options(r, &o);
    router_choose(r, SPAN_LIT("x.example"), &p);
    assert_string_equal(p.site, "b:26");
    assert_int_equal(router_slot_take(r, "a:25", 1000, &until), ROUTER_SLOT_BUSY);
    router_slot_release(r, "a:25", ROUTER_CONN_OK, 1000);
    assert_int_equal(router_slot_take(r, "a:25", 1000, &until), ROUTER_SLOT_BUSY); /* 2 of 2 */
    router_slot_release(r, "a:25", ROUTER_CONN_OK, 1000);
    assert_int_equal(router_slot_take(r, "a:25", 1000, &until), ROUTER_SLOT_YES);
    router_slot_release(r, "a:25", ROUTER_CONN_OK, 1000);
    router_slot_release(r, "a:25", ROUTER_CONN_OK, 1000);
    router_free(&r);
}

static void long_domains_are_no_trouble(void **state)
{
    static char domain[1000];
    static struct router_plan p;
    struct router *r = make(NULL, 0);

    (void)state;
    memset(domain, 'a', sizeof domain);
    router_choose(r, span_of(domain, 255), &p);
    assert_int_equal(p.kind, ROUTER_NEED_MX);
    assert_int_equal(strlen(p.name), 255);
    router_choose(r, span_of(domain, 256), &p);
    assert_int_equal(p.kind, ROUTER_BOUNCE);
    router_choose(r, span_of(domain, sizeof domain), &p);
    assert_int_equal(p.kind, ROUTER_BOUNCE);
    router_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_decide),
        cmocka_unit_test(the_first_match_wins),
        cmocka_unit_test(other_options),
        cmocka_unit_test(long_domains_are_no_trouble),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
