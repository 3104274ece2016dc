/* queue - the ring of waiting frames: order, bounds, growth over its end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "raft/wire/queue.h"

static struct blob *frame(size_t n, uint8_t first)
{
    struct blob *b = blob_new(n);

    memset(b->p, 0, n);
    b->p[0] = first;
    b->n = n;
    return b;
}

static void expect(struct queue *q, uint8_t first)
{
    struct blob *b = wire_queue_take(q);

    assert_non_null(b);
    assert_int_equal(b->p[0], first);
    blob_unref(&b);
}

static void frames_leave_in_the_order_in_which_they_came(void **state)
{
    struct queue q;
    uint8_t in = 0, out = 0;

    (void)state;
    wire_queue_init(&q, SIZE_MAX);
    assert_null(wire_queue_take(&q));
    for (unsigned round = 1; round < 60;
         round++) { /* it grows with its oldest in the middle of the ring */
        for (unsigned i = 0; i < round; i++)
            wire_queue_put(&q, frame(10, in++));
        for (unsigned i = 0; i < round - (round % 7 == 0); i++)
            expect(&q, out++);
    }
    while (out != in)
        expect(&q, out++);
    assert_int_equal(q.n, 0);
    assert_int_equal(q.bytes, 0);
    wire_queue_deinit(&q);
    assert_int_equal(blob_bytes_total(), 0);
}

static void its_bound_counts_bytes_and_frames(void **state)
{
    struct queue q;

    (void)state;
    wire_queue_init(&q, 1000);
    assert_true(wire_queue_has_room(&q, 5000)); /* empty: any frame, or it would never go */
    wire_queue_put(&q, frame(500, 1));
    assert_true(wire_queue_has_room(&q, 1000 - 500 - 2 * QUEUE_FRAME_COST));
    assert_false(wire_queue_has_room(&q, 1000 - 500 - 2 * QUEUE_FRAME_COST + 1));
    expect(&q, 1);
    for (unsigned i = 0; i < 1000 / (QUEUE_FRAME_COST + 1); i++) {
        assert_true(wire_queue_has_room(&q, 1));
        wire_queue_put(&q, frame(1, 2));
    }
    assert_false(wire_queue_has_room(&q, 1));
    assert_int_equal(wire_queue_clear(&q), 1000 / (QUEUE_FRAME_COST + 1));
    wire_queue_put(&q, frame(5000, 3)); /* over its bound alone: then nothing else */
    assert_false(wire_queue_has_room(&q, 0));
    wire_queue_deinit(&q);
    assert_int_equal(blob_bytes_total(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_leave_in_the_order_in_which_they_came),
        cmocka_unit_test(its_bound_counts_bytes_and_frames),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
