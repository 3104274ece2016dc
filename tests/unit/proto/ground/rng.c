/* rng - the published numbers of the generator, replay, and numbers below a bound. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "proto/ground/rng.h"

static void the_published_numbers(void **state)
{
    struct rng r = { .s = { 1, 2, 3, 4 } };

    (void)state;
    assert_true(rng_next(&r) == 11520);
    assert_true(rng_next(&r) == 0);
    assert_true(rng_next(&r) == 1509978240);
    assert_true(rng_next(&r) == 1215971899390074240);

    rng_seed(&r, 0);
    assert_true(r.s[0] == 0xe220a8397b1dcdaf); /* splitmix64 of 0 */
}

static void a_seed_replays(void **state)
{
    struct rng a, b, c;
    int same = 0;

    (void)state;
    rng_seed(&a, 42);
    rng_seed(&b, 42);
    rng_seed(&c, 43);
    for (int i = 0; i < 100; i++) {
        uint64_t v = rng_next(&a);
        assert_true(v == rng_next(&b));
        same += v == rng_next(&c);
    }
    assert_int_equal(same, 0);
}

static void below_stays_below_and_reaches_all(void **state)
{
    unsigned seen[6] = { 0 };
    struct rng r;

    (void)state;
    rng_seed(&r, 7);
    for (int i = 0; i < 60000; i++)
        seen[rng_below(&r, 6)]++;
    for (int i = 0; i < 6; i++)
        assert_in_range(seen[i], 9500, 10500);
    assert_int_equal(rng_below(&r, 1), 0);
    for (int i = 0; i < 100; i++) {
        assert_true(rng_below(&r, UINT64_MAX) < UINT64_MAX);
        assert_true(rng_below(&r, (1ull << 63) + 1) <= 1ull << 63);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_published_numbers),
        cmocka_unit_test(a_seed_replays),
        cmocka_unit_test(below_stays_below_and_reaches_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
