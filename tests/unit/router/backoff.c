/* backoff - intervals grow, stay under the cap, spread by the jitter, and end at the expiry. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "router/router.h"

static struct router *make(uint64_t base_ms, uint64_t cap_ms, unsigned jitter_permille)
{
    struct router_options o;

    router_options_default(&o);
    o.retry_base_ms = base_ms;
    o.retry_cap_ms = cap_ms;
    o.retry_jitter_permille = jitter_permille;
    o.seed = 5;
    return router_new(&o);
}

static void doubling_to_the_cap(void **state)
{
    static const uint64_t wanted[] = { 100, 200, 400, 800, 1000, 1000 };
    struct router *r = make(100, 1000, 0);

    (void)state;
    for (unsigned n = 1; n <= 6; n++)
        assert_int_equal(router_retry_at_ms(r, n, 0, 7, UINT64_MAX), 7 + wanted[n - 1]);
    assert_int_equal(router_retry_at_ms(r, 0, 0, 0, UINT64_MAX), 100);
    assert_int_equal(router_retry_at_ms(r, UINT32_MAX, 0, 0, UINT64_MAX), 1000);
    router_free(&r);
}

/* With the default jitter of a fifth no interval is shorter than the one before, up to the cap. */
static void monotone_with_jitter(void **state)
{
    struct router_options o;
    struct router *r;

    (void)state;
    router_options_default(&o);
    r = router_new(&o);
    for (int round = 0; round < 1000; round++) {
        uint64_t before = 0;
        for (unsigned n = 1; o.retry_base_ms << n <= o.retry_cap_ms; n++) {
            uint64_t at = router_retry_at_ms(r, n, 0, 0, UINT64_MAX);
            assert_true(at > before);
            before = at;
        }
    }
    router_free(&r);
}

static void jitter_fills_its_width(void **state)
{
    struct router *r = make(1000, 1000, 200);
    uint64_t least = UINT64_MAX, most = 0, sum = 0;

    (void)state;
    for (int i = 0; i < 10000; i++) {
        uint64_t at = router_retry_at_ms(r, 1, 0, 0, UINT64_MAX);
        least = at < least ? at : least;
        most = at > most ? at : most;
        sum += at;
    }
    assert_in_range(least, 800, 810);
    assert_in_range(most, 1190, 1200);
    assert_in_range(sum / 10000, 990, 1010);
    router_free(&r);
}

static void never_over_the_expiry_nor_in_the_past(void **state)
{
    struct router *r = make(1000, 10000, 200);

    (void)state;
    for (int i = 0; i < 100; i++) {
        assert_int_equal(router_retry_at_ms(r, 3, 0, 100, 500), 500);
        assert_int_equal(router_retry_at_ms(r, 1, 0, 1000, 500), 1000);
        assert_int_equal(router_retry_at_ms(r, 1, 0, UINT64_MAX - 5, UINT64_MAX), UINT64_MAX);
    }
    router_free(&r);
}

static void no_setting_overflows(void **state)
{
    static const uint64_t sizes[] = { 0, 1, 999, UINT64_MAX / 2, UINT64_MAX };
    static const unsigned jitters[] = { 0, 1, 1000 };

    (void)state;
    for (unsigned b = 0; b < 5; b++)
        for (unsigned c = 0; c < 5; c++)
            for (unsigned j = 0; j < 3; j++) {
                struct router *r = make(sizes[b], sizes[c], jitters[j]);
                for (unsigned n = 0; n < 70; n++) {
                    uint64_t at = router_retry_at_ms(r, n, 0, 1000, UINT64_MAX - 1);
                    assert_in_range(at, 1000, UINT64_MAX - 1);
                }
                router_free(&r);
            }
}

/* C303: not before the stated time, and not after it plus a tenth and the slack. */
static void a_host_is_taken_at_its_word(void **state)
{
    struct router *r = make(1000, 10000, 200);

    (void)state;
    for (int i = 0; i < 1000; i++) {
        uint64_t at = router_retry_at_ms(r, 1, 300000, 7, UINT64_MAX);
        assert_in_range(at, 7 + 300000 + ROUTER_HINT_SLACK_MS, 7 + 330000 + ROUTER_HINT_SLACK_MS);
    }
    assert_int_equal(router_retry_at_ms(r, 1, 300000, 0, 200000),
                     200000); /* the expiry is firmer */
    router_free(&r);
}

static void but_not_for_ever(void **state)
{
    struct router *r = make(1000000, 1000000, 0);

    (void)state;
    assert_in_range(router_retry_at_ms(r, ROUTER_HINT_TRUST_MAX, 30000, 0, UINT64_MAX), 30000,
                    40000);
    assert_int_equal(router_retry_at_ms(r, ROUTER_HINT_TRUST_MAX + 1, 30000, 0, UINT64_MAX),
                     1000000);
    assert_in_range(router_retry_at_ms(r, 9, 2000000, 0, UINT64_MAX), 2000000, 2300000);
    router_free(&r);
}

/* C304: with the node's default schedule (one minute, doubling) an attempt follows
 * the end of each usual delay within ten minutes. */
static void greylisting_windows_are_met(void **state)
{
    static const uint64_t delays[] = { 30000, 60000, 120000, 240000, 300000, 600000 };
    struct router *r = make(60000, 4 * 3600000, 200);

    (void)state;
    for (int round = 0; round < 1000; round++)
        for (unsigned i = 0; i < sizeof delays / sizeof delays[0]; i++) {
            uint64_t now = 0;
            for (unsigned n = 1; now < delays[i]; n++)
                now = router_retry_at_ms(r, n, 0, now, UINT64_MAX);
            assert_in_range(now, delays[i], delays[i] + 600000);
        }
    router_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(doubling_to_the_cap),
        cmocka_unit_test(monotone_with_jitter),
        cmocka_unit_test(jitter_fills_its_width),
        cmocka_unit_test(never_over_the_expiry_nor_in_the_past),
        cmocka_unit_test(no_setting_overflows),
        cmocka_unit_test(a_host_is_taken_at_its_word),
        cmocka_unit_test(but_not_for_ever),
        cmocka_unit_test(greylisting_windows_are_met),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
