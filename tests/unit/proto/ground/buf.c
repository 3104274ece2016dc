/* buf - growth to the limit and not over it, the sticky error, numbers, the cursor. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "proto/ground/buf.h"

static void fields_are_added_in_order(void **state)
{
    static const uint8_t wanted[] =
        "abcde-5\x01\x01\x02\x01\x02\x03\x04\x01\x02\x03\x04\x05\x06\x07\x08";
    struct buf b;

    (void)state;
    buf_init(&b, 1000);
    buf_add(&b, "ab", 2);
    buf_add(&b, NULL, 0);
    buf_add_span(&b, SPAN_LIT("c"));
    buf_add_cstr(&b, "d");
    buf_addf(&b, "%s-%d", "e", 5);
    buf_add_u8(&b, 1);
    buf_add_u16be(&b, 0x0102);
    buf_add_u32be(&b, 0x01020304);
    buf_add_u64be(&b, 0x0102030405060708);
    assert_false(buf_failed(&b));
    assert_true(span_eq(buf_span(&b), span_of(wanted, sizeof wanted - 1)));
    buf_deinit(&b);
    buf_deinit(&b);
}

static void the_limit_is_exact_and_the_error_stays(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 100);
    for (int i = 0; i < 100; i++)
        buf_add_u8(&b, 'x');
    assert_false(buf_failed(&b));
    assert_int_equal(b.n, 100);
    assert_int_equal(strlen(buf_cstr(&b)), 100);
    buf_add(&b, "", 0);
    assert_false(buf_failed(&b));
    buf_add_u8(&b, 'x');
    assert_true(buf_failed(&b));
    assert_int_equal(b.n, 100);
    assert_string_equal(buf_cstr(&b), "");

    buf_drop(&b, 50); /* what is in may go out, but nothing comes in */
    assert_int_equal(b.n, 50);
    buf_add_u8(&b, 'x');
    buf_addf(&b, "%d", 1);
    assert_null(buf_room(&b, 1));
    buf_added(&b, 1);
    assert_int_equal(b.n, 50);

    buf_reset(&b);
    assert_false(buf_failed(&b));
    buf_add_cstr(&b, "again");
    assert_string_equal(buf_cstr(&b), "again");
    buf_deinit(&b);
}

static void too_much_at_once_adds_nothing(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 8);
    buf_add_cstr(&b, "1234");
    buf_addf(&b, "%s", "56789");
    assert_true(buf_failed(&b));
    assert_int_equal(b.n, 4);
    buf_reset(&b);
    assert_null(buf_room(&b, SIZE_MAX));
    assert_true(buf_failed(&b));
    buf_reset(&b);
    buf_addf(&b, "%s", "12345678"); /* the terminator of printf does not count */
    assert_string_equal(buf_cstr(&b), "12345678");
    buf_deinit(&b);
}

static void a_buffer_of_nothing(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 0);
    assert_string_equal(buf_cstr(&b), "");
    assert_int_equal(buf_span(&b).n, 0);
    assert_non_null(buf_room(&b, 0));
    buf_add_cstr(&b, "");
    buf_addf(&b, "%s", "");
    assert_false(buf_failed(&b));
    buf_drop(&b, 0);
    buf_add_u8(&b, 0);
    assert_true(buf_failed(&b));
    buf_deinit(&b);
}

static void room_is_filled_in_place(void **state)
{
    struct buf b;
    uint8_t *room;

    (void)state;
    buf_init(&b, 5000);
    room = buf_room(&b, 5000);
    assert_non_null(room);
    memset(room, 'y', 5000);
    buf_added(&b, 3000);
    assert_int_equal(b.n, 3000);
    room = buf_room(&b, 2000);
    assert_ptr_equal(room, b.p + 3000);
    buf_added(&b, 0);
    assert_null(buf_room(&b, 2001));
    buf_deinit(&b);
}

static void drop_moves_the_rest_to_the_front(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 100);
    buf_add_cstr(&b, "abcdef");
    buf_drop(&b, 0);
    buf_drop(&b, 2);
    assert_string_equal(buf_cstr(&b), "cdef");
    buf_drop(&b, 4);
    assert_int_equal(b.n, 0);
    buf_deinit(&b);
}

static void shrink_gives_memory_back(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 10000);
    assert_non_null(buf_room(&b, 9000));
    buf_shrink(&b, 1000);
    assert_int_equal(b.cap, 1000);
    buf_shrink(&b, 2000);
    assert_int_equal(b.cap, 1000);
    buf_shrink(&b, 0);
    assert_int_equal(b.cap, 0);
    buf_add_cstr(&b, "still good");
    assert_string_equal(buf_cstr(&b), "still good");
    buf_deinit(&b);
}

static void the_cursor_reads_what_was_written(void **state)
{
    struct cursor c;
    struct buf b;

    (void)state;
    buf_init(&b, 100);
    buf_add_u8(&b, 0xfe);
    buf_add_u16be(&b, 0xfedc);
    buf_add_u32be(&b, 0xfedcba98);
    buf_add_u64be(&b, 0xfedcba9876543210);
    buf_add_cstr(&b, "abcd");
    cursor_init(&c, buf_span(&b));
    assert_int_equal(cursor_u8(&c), 0xfe);
    assert_int_equal(cursor_u16be(&c), 0xfedc);
    assert_true(cursor_u32be(&c) == 0xfedcba98);
    assert_true(cursor_u64be(&c) == 0xfedcba9876543210);
    assert_true(span_eq(cursor_span(&c, 3), SPAN_LIT("abc")));
    assert_false(cursor_done(&c));
    assert_true(span_eq(cursor_rest(&c), SPAN_LIT("d")));
    assert_true(cursor_done(&c));
    assert_int_equal(cursor_rest(&c).n, 0);
    assert_true(cursor_done(&c));
    buf_deinit(&b);
}

static void the_cursor_fails_at_the_end_and_stays_failed(void **state)
{
    struct cursor c;

    (void)state;
    cursor_init(&c, SPAN_LIT("\x01\x02\x03"));
    assert_int_equal(cursor_u32be(&c), 0);
    assert_true(c.failed);
    assert_int_equal(cursor_u8(&c), 0); /* one byte would be there: it stays failed */
    assert_int_equal(cursor_rest(&c).n, 0);
    assert_int_equal(cursor_span(&c, SIZE_MAX).n, 0);
    assert_false(cursor_done(&c));

    cursor_init(&c, span_of(NULL, 0));
    assert_true(cursor_done(&c));
    assert_int_equal(cursor_span(&c, 0).n, 0);
    assert_false(c.failed);
    assert_int_equal(cursor_u8(&c), 0);
    assert_true(c.failed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_are_added_in_order),
        cmocka_unit_test(the_limit_is_exact_and_the_error_stays),
        cmocka_unit_test(too_much_at_once_adds_nothing),
        cmocka_unit_test(a_buffer_of_nothing),
        cmocka_unit_test(room_is_filled_in_place),
        cmocka_unit_test(drop_moves_the_rest_to_the_front),
        cmocka_unit_test(shrink_gives_memory_back),
        cmocka_unit_test(the_cursor_reads_what_was_written),
        cmocka_unit_test(the_cursor_fails_at_the_end_and_stays_failed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
