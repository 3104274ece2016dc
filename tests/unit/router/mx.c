/* mx - plans from DNS's answers: order, shuffle, null MX, ourselves, no answer. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "router/router.h"

static struct router *r;
static struct router_plan p;
static const struct span self = { (const uint8_t *)"Us.Example", 10 };

static int make(void **state)
{
    struct router_options o;

    (void)state;
    router_options_default(&o);
    o.seed = 11;
    r = router_new(&o);
    return 0;
}

static int drop(void **state)
{
    (void)state;
    router_free(&r);
    return 0;
}

static void plan(enum router_dns dns, const struct router_mx *mx, unsigned n)
{
    router_mx_plan(r, SPAN_LIT("Domain.Example"), dns, mx, n, self, &p);
}

static void expect_bounce(unsigned code, const char *enhanced, const char *class)
{
    assert_int_equal(p.kind, ROUTER_BOUNCE);
    assert_int_equal(p.code, code);
    assert_string_equal(p.enhanced, enhanced);
    assert_string_equal(p.class, class);
    assert_true(p.why[0] != '\0');
}

static void by_preference(void **state)
{
    const struct router_mx mx[] = { { "c.example", 30 },
                                    { "A.example.", 10 },
                                    { "b.example", 20 },
                                    { "a.example", 40 },
                                    { "192.0.2.1", 50 } };
    static const char *const wanted[] = { "a.example", "b.example", "c.example", "192.0.2.1" };

    (void)state;
    plan(ROUTER_DNS_OK, mx, 5);
    assert_int_equal(p.kind, ROUTER_HOSTS);
    assert_int_equal(p.host_count, 4);
    for (unsigned i = 0; i < 4; i++) {
        assert_string_equal(p.hosts[i].name, wanted[i]);
        assert_int_equal(p.hosts[i].port, 25);
        assert_int_equal(p.hosts[i].is_address, i == 3);
    }
    assert_string_equal(p.site, "192.0.2.1");
    assert_int_equal(p.tls, ROUTER_TLS_MAY);
}

/* Each of three equal hosts is first in about a third of the plans; the backup never. */
static void equal_ones_are_shuffled(void **state)
{
    const struct router_mx mx[] = {
        { "a.example", 5 }, { "b.example", 5 }, { "c.example", 5 }, { "z.example", 6 }
    };
    unsigned first[3] = { 0 };

    (void)state;
    for (int i = 0; i < 3000; i++) {
        plan(ROUTER_DNS_OK, mx, 4);
        assert_int_equal(p.host_count, 4);
        assert_string_equal(p.hosts[3].name, "z.example");
        assert_string_equal(p.site, "a.example");
        first[p.hosts[0].name[0] - 'a']++;
    }
    for (int i = 0; i < 3; i++)
        assert_in_range(first[i], 850, 1150);
}

static void no_mx_means_the_domain(void **state)
{
    (void)state;
    plan(ROUTER_DNS_NO_DATA, NULL, 0);
    assert_int_equal(p.kind, ROUTER_HOSTS);
    assert_int_equal(p.host_count, 1);
    assert_string_equal(p.hosts[0].name, "domain.example");
    assert_string_equal(p.site, "domain.example");
    plan(ROUTER_DNS_OK, NULL, 0);
    assert_int_equal(p.kind, ROUTER_HOSTS);
    router_mx_plan(r, SPAN_LIT("us.example."), ROUTER_DNS_NO_DATA, NULL, 0, self, &p);
    expect_bounce(554, "5.4.6", "loop");
}

static void null_mx(void **state)
{
    const struct router_mx dot[] = { { ".", 0 } }, empty[] = { { "", 0 } };
    const struct router_mx mixed[] = { { ".", 0 }, { "a.example", 10 } };

    (void)state;
    plan(ROUTER_DNS_OK, dot, 1);
    expect_bounce(556, "5.1.10", "bad_domain");
    plan(ROUTER_DNS_OK, empty, 1);
    expect_bounce(556, "5.1.10", "bad_domain");
    plan(ROUTER_DNS_OK, mixed, 2);
    assert_int_equal(p.kind, ROUTER_HOSTS);
    assert_int_equal(p.host_count, 1);
}

static void no_name_and_no_answer(void **state)
{
    (void)state;
    plan(ROUTER_DNS_NO_NAME, NULL, 0);
    expect_bounce(550, "5.1.2", "bad_domain");
    plan(ROUTER_DNS_FAILED, NULL, 0);
    assert_int_equal(p.kind, ROUTER_DEFER);
    assert_string_equal(p.class, "dns");
}

static void ourselves_and_worse_are_dropped(void **state)
{
    const struct router_mx backup[] = {
        { "a.example", 10 }, { "us.example.", 20 }, { "b.example", 20 }, { "c.example", 30 }
    };
    const struct router_mx best[] = { { "us.example", 10 },
                                      { "b.example", 10 },
                                      { "c.example", 30 } };

    (void)state;
    plan(ROUTER_DNS_OK, backup, 4);
    assert_int_equal(p.host_count, 1);
    assert_string_equal(p.hosts[0].name, "a.example");
    plan(ROUTER_DNS_OK, best, 3);
    expect_bounce(554, "5.4.6", "loop");
    router_mx_plan(r, SPAN_LIT("d"), ROUTER_DNS_OK, best, 3, span_of(NULL, 0), &p);
    assert_int_equal(p.host_count, 3);
}

static void only_the_best_of_many(void **state)
{
    static struct router_mx mx[100];

    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        snprintf(mx[i].host, sizeof mx[i].host, "h%02u.example", i);
        mx[i].preference = (uint16_t)(99 - i);
    }
    plan(ROUTER_DNS_OK, mx, 100);
    assert_int_equal(p.host_count, ROUTER_HOSTS_MAX);
    assert_string_equal(p.hosts[0].name, "h99.example");
    assert_string_equal(p.hosts[ROUTER_HOSTS_MAX - 1].name, "h84.example");
    assert_string_equal(p.site, "h00.example");
}

static void tls_is_that_of_the_rule(void **state)
{
    const struct router_rule rule = { .match = "*", .via = ROUTER_VIA_MX, .tls = ROUTER_TLS_NONE };
    struct router_options o;
    struct router *other;

    (void)state;
    router_options_default(&o);
    o.rules = &rule;
    o.rule_count = 1;
    o.mx_port = 2525;
    other = router_new(&o);
    router_mx_plan(other, SPAN_LIT("d.example"), ROUTER_DNS_NO_DATA, NULL, 0, self, &p);
    assert_int_equal(p.tls, ROUTER_TLS_NONE);
    assert_int_equal(p.hosts[0].port, 2525);
    router_free(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_preference),          cmocka_unit_test(equal_ones_are_shuffled),
        cmocka_unit_test(no_mx_means_the_domain), cmocka_unit_test(null_mx),
        cmocka_unit_test(no_name_and_no_answer),  cmocka_unit_test(ourselves_and_worse_are_dropped),
        cmocka_unit_test(only_the_best_of_many),  cmocka_unit_test(tls_is_that_of_the_rule),
    };
    return cmocka_run_group_tests(tests, make, drop);
}
