/* air - who is in the air is there once, and leaves when it should. */
#include "tests/unit/node/deliver/fake.h"

static struct air_key key(uint64_t index, uint32_t recipient)
{
    return (struct air_key){ .index = index, .shard = SHARD, .recipient = recipient };
}

static void in_and_out(void **state)
{
    struct air a = { .is_in = false }, b = { .is_in = false };

    (void)state;
    air_add(&fake.d, &a, key(7, 0));
    air_add(&fake.d, &b, key(7, 1));
    assert_true(air_has(&fake.d, key(7, 0)));
    assert_true(air_has(&fake.d, key(7, 1)));
    assert_false(air_has(&fake.d, key(8, 0)));
    assert_int_equal(fake.d.air_count, 2);
    air_remove(&fake.d, &a);
    air_remove(&fake.d, &a); /* twice is harmless */
    assert_false(air_has(&fake.d, key(7, 0)));
    assert_int_equal(fake.d.air_count, 1);
    air_remove(&fake.d, &b);
}

static void what_is_awaited_leaves_when_it_is_applied(void **state)
{
    struct air flying = { .is_in = false };

    (void)state;
    air_await(&fake.d, key(1, 0));
    air_await(&fake.d, key(2, 0));
    air_add(&fake.d, &flying, key(3, 0));
    air_applied(&fake.d, key(1, 0));
    air_applied(&fake.d, key(3, 0)); /* an attempt is not ended by an effect */
    air_applied(&fake.d, key(4, 0)); /* nobody */
    assert_false(air_has(&fake.d, key(1, 0)));
    assert_true(air_has(&fake.d, key(2, 0)));
    assert_true(air_has(&fake.d, key(3, 0)));
    air_remove(&fake.d, &flying);
}

static void what_is_never_applied_leaves_in_time(void **state)
{
    uint64_t now_ms = deliver_mono_ms(&fake.d), next_ms;

    (void)state;
    assert_true(air_sweep(&fake.d, now_ms) == UINT64_MAX);
    air_await(&fake.d, key(1, 0));
    next_ms = air_sweep(&fake.d, now_ms);
    assert_true(next_ms > now_ms && next_ms <= now_ms + 2 * DELIVER_AWAIT_MS);
    assert_true(air_has(&fake.d, key(1, 0)));
    assert_true(air_sweep(&fake.d, next_ms) == UINT64_MAX);
    assert_false(air_has(&fake.d, key(1, 0)));
}

static void a_shard_takes_its_own_along(void **state)
{
    (void)state;
    air_await(&fake.d, key(1, 0));
    air_await(&fake.d, (struct air_key){ .index = 1, .shard = 2, .recipient = 0 });
    air_drop_shard(&fake.d, SHARD);
    assert_false(air_has(&fake.d, key(1, 0)));
    assert_int_equal(fake.d.air_count, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAKE_TEST(in_and_out),
        FAKE_TEST(what_is_awaited_leaves_when_it_is_applied),
        FAKE_TEST(what_is_never_applied_leaves_in_time),
        FAKE_TEST(a_shard_takes_its_own_along),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
