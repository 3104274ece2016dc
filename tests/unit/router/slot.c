/* slot - never too many, pauses that grow, one probe, a bounded number of sites. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "proto/ground/rng.h"
#include "router/router.h"

static struct router_options options;

static struct router *make(unsigned connections_max, unsigned sites_max)
{
    router_options_default(&options);
    options.site_connections_max = connections_max;
    options.sites_max = sites_max;
    options.pause_base_ms = 100;
    options.pause_cap_ms = 1000;
    return router_new(&options);
}

static enum router_slot take(struct router *r, const char *site, uint64_t now, uint64_t *until)
{
    uint64_t unused;

    return router_slot_take(r, site, now, until ? until : &unused);
}

static void as_many_as_allowed(void **state)
{
    struct router *r = make(3, 10);

    (void)state;
    for (int i = 0; i < 3; i++)
        assert_int_equal(take(r, "a", 0, NULL), ROUTER_SLOT_YES);
    assert_int_equal(take(r, "b", 0, NULL), ROUTER_SLOT_YES);
    assert_false(router_slot_release(r, "a", ROUTER_CONN_OK, 0));
    assert_int_equal(take(r, "a", 0, NULL), ROUTER_SLOT_YES);
    assert_int_equal(take(r, "a", 0, NULL), ROUTER_SLOT_BUSY);
    assert_int_equal(take(r, "a", 0, NULL), ROUTER_SLOT_BUSY);
    assert_true(router_slot_release(r, "a", ROUTER_CONN_OK, 0)); /* once for all that waited */
    assert_false(router_slot_release(r, "a", ROUTER_CONN_UNUSED, 0));
    router_free(&r);
}

/* Accounts at one host are sites of their own, and no route by MX has one. */
static void accounts_are_sites(void **state)
{
    const struct router_rule rules[] = {
        { .match = "a.test", .via = ROUTER_VIA_HOST, .host = "smtp.test", .port = 587, .login = 1 },
        { .match = "b.test", .via = ROUTER_VIA_HOST, .host = "smtp.test", .port = 587, .login = 2 },
        { .match = "*", .via = ROUTER_VIA_HOST, .host = "smtp.test", .port = 587 },
    };
    static const char *const domains[] = { "a.test", "b.test", "c.test" };
    static const char *const sites[] = { "smtp.test:587#1", "smtp.test:587#2", "smtp.test:587" };
    struct router *r;

    (void)state;
    router_options_default(&options);
    options.rules = rules;
    options.rule_count = 3;
    r = router_new(&options);
    for (unsigned i = 0; i < 3; i++) {
        struct router_plan p;

        router_choose(r, span_cstr(domains[i]), &p);
        assert_string_equal(p.site, sites[i]);
        assert_int_equal(p.login, i < 2 ? i + 1 : 0);
    }
    router_free(&r);
}

/* Takes, fails, and expects the pause. */
static uint64_t fail_probe(struct router *r, uint64_t now, uint64_t pause)
{
    uint64_t until;

    assert_int_equal(take(r, "a", now, NULL), ROUTER_SLOT_YES);
    router_slot_release(r, "a", ROUTER_CONN_FAILED, now);
    assert_int_equal(take(r, "a", now, &until), ROUTER_SLOT_PAUSED);
    assert_int_equal(until, now + pause);
    return until;
}

static void pauses_grow_to_the_cap_and_end_with_success(void **state)
{
    static const uint64_t pauses[] = { 100, 200, 400, 800, 1000, 1000 };
    struct router *r = make(5, 10);
    uint64_t now = 1000, until;

    (void)state;
    for (int i = 0; i < 2; i++) { /* two failures are no trouble yet */
        assert_int_equal(take(r, "a", now, NULL), ROUTER_SLOT_YES);
        router_slot_release(r, "a", ROUTER_CONN_FAILED, now);
    }
    for (int i = 0; i < 6; i++)
        now = fail_probe(r, now, pauses[i]);
    assert_int_equal(take(r, "a", now - 1, &until), ROUTER_SLOT_PAUSED);
    assert_int_equal(take(r, "a", now, NULL), ROUTER_SLOT_YES);
    assert_false(router_slot_release(r, "a", ROUTER_CONN_OK, now));
    for (int i = 0; i < 5; i++)
        assert_int_equal(take(r, "a", now, NULL), ROUTER_SLOT_YES);
    router_slot_release(r, "a", ROUTER_CONN_FAILED, now); /* counting begins anew */
    assert_int_equal(take(r, "a", now, NULL), ROUTER_SLOT_YES);
    router_free(&r);
}

static void one_probe_at_a_time(void **state)
{
    struct router *r = make(5, 10);
    uint64_t now = 0, until;

    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(take(r, "a", now, NULL), ROUTER_SLOT_YES);
        router_slot_release(r, "a", ROUTER_CONN_FAILED, now);
    }
    now = 100;
    assert_int_equal(take(r, "a", now, NULL), ROUTER_SLOT_YES);
    assert_int_equal(take(r, "a", now, &until), ROUTER_SLOT_BUSY);
    assert_int_equal(until, 0);
    assert_true(
        router_slot_release(r, "a", ROUTER_CONN_UNUSED, now)); /* no news: the next may probe */
    assert_int_equal(take(r, "a", now, NULL), ROUTER_SLOT_YES);
    assert_int_equal(take(r, "a", now, NULL), ROUTER_SLOT_BUSY);
    assert_true(router_slot_release(r, "a", ROUTER_CONN_FAILED, now));
    assert_int_equal(take(r, "a", now, &until), ROUTER_SLOT_PAUSED);
    assert_int_equal(until, now + 200);
    router_free(&r);
}

/* Twenty connections that break at once are one event: the pause is the first one. */
static void failures_together_count_once(void **state)
{
    struct router *r = make(20, 10);
    uint64_t until;

    (void)state;
    for (int i = 0; i < 20; i++)
        assert_int_equal(take(r, "a", 0, NULL), ROUTER_SLOT_YES);
    for (int i = 0; i < 20; i++)
        router_slot_release(r, "a", ROUTER_CONN_FAILED, 10);
    assert_int_equal(take(r, "a", 10, &until), ROUTER_SLOT_PAUSED);
    assert_int_equal(until, 110);
    router_free(&r);
}

static void sites_are_bounded(void **state)
{
    struct router *r = make(2, 3);
    uint64_t until;
    char name[16];

    (void)state;
    for (int i = 0; i < 100; i++) { /* idle ones make room */
        snprintf(name, sizeof name, "s%d", i);
        assert_int_equal(take(r, name, 0, NULL), ROUTER_SLOT_YES);
        router_slot_release(r, name, ROUTER_CONN_OK, 0);
    }
    for (int i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "t%d", i);
        assert_int_equal(take(r, name, 0, NULL), ROUTER_SLOT_YES);
    }
    assert_int_equal(take(r, "u", 5, &until), ROUTER_SLOT_BUSY);
    assert_true(until > 5);
    router_slot_release(r, "t1", ROUTER_CONN_OK, 0);
    assert_int_equal(take(r, "u", 5, NULL), ROUTER_SLOT_YES);
    router_free(&r);
}

static void trouble_is_forgotten_last(void **state)
{
    struct router *r = make(2, 2);
    uint64_t until;

    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(take(r, "down", 0, NULL), ROUTER_SLOT_YES);
        router_slot_release(r, "down", ROUTER_CONN_FAILED, 0);
    }
    assert_int_equal(take(r, "x", 0, NULL), ROUTER_SLOT_YES);
    router_slot_release(r, "x", ROUTER_CONN_OK, 0);
    assert_int_equal(take(r, "y", 0, NULL), ROUTER_SLOT_YES); /* instead of x */
    assert_int_equal(take(r, "down", 0, &until), ROUTER_SLOT_PAUSED);
    assert_int_equal(take(r, "z", 0, NULL), ROUTER_SLOT_YES); /* nothing else is left */
    router_free(&r);
}

/* Random takes and releases: open slots never pass the maximum, nothing is lost. */
static void never_over_the_maximum(void **state)
{
    enum { SITES = 8, MAX = 4 };
    unsigned open[SITES] = { 0 };
    struct router *r = make(MAX, 5);
    struct rng rng;
    uint64_t now = 0;

    (void)state;
    rng_seed(&rng, 9);
    for (int i = 0; i < 200000; i++) {
        unsigned s = (unsigned)rng_below(&rng, SITES);
        const char name[2] = { (char)('a' + s), 0 };
        now += rng_below(&rng, 5);
        if (rng_below(&rng, 2) == 0) {
            if (take(r, name, now, NULL) == ROUTER_SLOT_YES) open[s]++;
            assert_true(open[s] <= MAX);
        } else if (open[s] > 0) {
            router_slot_release(r, name, (enum router_result)rng_below(&rng, 3), now);
            open[s]--;
        }
    }
    router_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_many_as_allowed),
        cmocka_unit_test(accounts_are_sites),
        cmocka_unit_test(pauses_grow_to_the_cap_and_end_with_success),
        cmocka_unit_test(one_probe_at_a_time),
        cmocka_unit_test(failures_together_count_once),
        cmocka_unit_test(sites_are_bounded),
        cmocka_unit_test(trouble_is_forgotten_last),
        cmocka_unit_test(never_over_the_maximum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
