/* due - both due indexes: order, places, limits, destinations whose names begin alike. */
#include "tests/unit/queue/world.h"

static void by_time_and_by_destination(void **state)
{
    struct world w;
    struct queue_due d[8];
    struct queue_place at = { 0 };
    uint64_t one, two, three;

    (void)state;
    world_open(&w, NULL);
    one = accept(&w, "s@a.test", "x@b.test y@b.test");
    w.now_ms += 10;
    two = accept(&w, "s@a.test", "x@b.test.org x@c.test");
    w.now_ms += 10;
    three = accept(&w, "s@a.test", "x@b.test");
    assert_int_equal(queue_due_by_time(w.store, SHARD, &at, START_MS + 10, d, 8), 4);
    assert_int_equal(d[0].index, one);
    assert_int_equal(d[1].recipient, 1);
    assert_string_equal(d[1].domain, "b.test");
    assert_string_equal(d[2].domain, "b.test.org");
    assert_int_equal(d[3].due_at_ms, START_MS + 10);
    assert_int_equal(queue_due_by_time(w.store, SHARD, &at, START_MS + 10, d, 8), 0);
    assert_int_equal(queue_due_by_time(w.store, SHARD, &at, UINT64_MAX, d, 8),
                     1); /* goes on from there */
    assert_int_equal(d[0].index, three);
    at = (struct queue_place){ 0 };
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(
            queue_due_by_domain(w.store, SHARD, SPAN_LIT("b.test"), &at, UINT64_MAX, d + i, 1), 1);
    assert_int_equal(queue_due_by_domain(w.store, SHARD, SPAN_LIT("b.test"), &at, UINT64_MAX, d, 1),
                     0);
    assert_int_equal(d[1].recipient, 1);
    assert_int_equal(d[2].index, three);
    at = (struct queue_place){ 0 };
    assert_int_equal(queue_due_by_domain(w.store, SHARD, SPAN_LIT("b.test"), &at, START_MS, d, 8),
                     2);
    at = (struct queue_place){ 0 };
    assert_int_equal(queue_due_by_domain(w.store, SHARD, SPAN_LIT("b.tes"), &at, UINT64_MAX, d, 8),
                     0);
    assert_int_equal(
        queue_due_by_domain(w.store, SHARD, SPAN_LIT("b.test.org"), &at, UINT64_MAX, d, 8), 1);
    assert_int_equal(d[0].index, two);
    world_close(&w);
}

static void the_earliest(void **state)
{
    struct world w;
    uint64_t m;

    (void)state;
    world_open(&w, NULL);
    assert_int_equal(queue_due_next_ms(w.store, SHARD, span_of(NULL, 0)), UINT64_MAX);
    m = accept(&w, "s@a.test", "x@b.test");
    assert_int_equal(queue_due_next_ms(w.store, SHARD, span_of(NULL, 0)), START_MS);
    assert_int_equal(queue_due_next_ms(w.store, SHARD, SPAN_LIT("c.test")), UINT64_MAX);
    assert_true(deferred(&w, m, 0, START_MS + 70));
    assert_int_equal(queue_due_next_ms(w.store, SHARD, SPAN_LIT("b.test")), START_MS + 70);
    assert_true(claim(&w, m, 0));
    assert_int_equal(queue_due_next_ms(w.store, SHARD, SPAN_LIT("b.test")), UINT64_MAX);
    world_close(&w);
}

static void the_longest_destination(void **state)
{
    struct world w;
    struct queue_due d[2];
    struct queue_place at = { 0 };
    char to[2 + 255 + 1] = "x@";

    (void)state;
    memset(to + 2, 'd', 255);
    world_open(&w, NULL);
    accept(&w, "s@a.test", to);
    assert_int_equal(queue_due_by_time(w.store, SHARD, &at, UINT64_MAX, d, 2), 1);
    assert_string_equal(d[0].domain, to + 2);
    at = (struct queue_place){ 0 };
    assert_int_equal(queue_due_by_domain(w.store, SHARD, span_cstr(to + 2), &at, UINT64_MAX, d, 2),
                     1);
    world_close(&w);
}

static void messages_by_index(void **state)
{
    struct world w;
    uint64_t list[8], m[3];

    (void)state;
    world_open(&w, NULL);
    for (unsigned i = 0; i < 3; i++)
        m[i] = accept(&w, "s@a.test", "x@b.test");
    assert_true(order(&w, CANCEL, m[1], -1));
    assert_int_equal(queue_messages(w.store, SHARD, 0, false, list, 8), 3);
    assert_int_equal(queue_messages(w.store, SHARD, 0, true, list, 8), 2);
    assert_int_equal(list[1], m[2]);
    assert_int_equal(queue_messages(w.store, SHARD, m[0], true, list, 8), 1);
    assert_int_equal(queue_messages(w.store, SHARD, 0, false, list, 2), 2);
    assert_int_equal(queue_messages(w.store, SHARD, UINT64_MAX, false, list, 8), 0);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_time_and_by_destination),
        cmocka_unit_test(the_earliest),
        cmocka_unit_test(the_longest_destination),
        cmocka_unit_test(messages_by_index),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
