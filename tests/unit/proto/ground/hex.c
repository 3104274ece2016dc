/* hex - every byte comes back; what is no digit, or of the other case, is told. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "proto/ground/hex.h"

static void digits_of_each_case(void **state)
{
    static const char lower[] = "0123456789abcdef", upper[] = "0123456789ABCDEF";
    unsigned values = 0, lowers = 0, uppers = 0;

    (void)state;
    for (unsigned v = 0; v < 16; v++) {
        assert_int_equal(hex_value((uint8_t)lower[v]), v);
        assert_int_equal(hex_value((uint8_t)upper[v]), v);
        assert_int_equal(hex_value_lower((uint8_t)lower[v]), v);
        assert_int_equal(hex_value_upper((uint8_t)upper[v]), v);
    }
    for (unsigned c = 0; c < 256; c++) {
        values += hex_value((uint8_t)c) != -1;
        lowers += hex_value_lower((uint8_t)c) != -1;
        uppers += hex_value_upper((uint8_t)c) != -1;
    }
    assert_int_equal(values, 22);
    assert_int_equal(lowers, 16);
    assert_int_equal(uppers, 16);
}

static void every_byte_comes_back(void **state)
{
    (void)state;
    for (unsigned c = 0; c < 256; c++) {
        const uint8_t bytes[2] = { (uint8_t)c, (uint8_t)~c };
        char text[5], upper[3];

        hex_print(bytes, 2, text);
        assert_true(hex_is_lower(text, 4));
        assert_int_equal(hex_pair((uint8_t)text[0], (uint8_t)text[1]), c);
        assert_int_equal(hex_pair((uint8_t)text[2], (uint8_t)text[3]), 255 - c);
        snprintf(upper, sizeof upper, "%02X", c);
        assert_int_equal(hex_pair((uint8_t)upper[0], (uint8_t)upper[1]), c);
    }
}

static void what_is_no_pair(void **state)
{
    (void)state;
    assert_int_equal(hex_pair('0', 'g'), -1);
    assert_int_equal(hex_pair('G', '0'), -1);
    assert_int_equal(hex_pair(0, 0), -1);
    assert_int_equal(hex_pair('0', '\0'), -1);
}

static void exactly_so_many_lower_digits(void **state)
{
    (void)state;
    assert_true(hex_is_lower("", 0));
    assert_true(hex_is_lower("09af", 4));
    assert_false(hex_is_lower("09af", 3));
    assert_false(hex_is_lower("09af", 5));
    assert_false(hex_is_lower("09aF", 4));
    assert_false(hex_is_lower("09ag", 4));
    assert_false(hex_is_lower("", 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digits_of_each_case),
        cmocka_unit_test(every_byte_comes_back),
        cmocka_unit_test(what_is_no_pair),
        cmocka_unit_test(exactly_so_many_lower_digits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
