/* ascii, base64 - every byte, beside the lists of them. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "proto/ground/base64.h"

static bool is_in(const char *list, unsigned c)
{
    return c != 0 && strchr(list, (int)c) != NULL;
}

static void each_byte_is_what_the_lists_say(void **state)
{
    static const char digits[] = "0123456789", upper[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
                      lower[] = "abcdefghijklmnopqrstuvwxyz";

    (void)state;
    for (unsigned c = 0; c < 256; c++) {
        unsigned low = is_in(upper, c) ? (unsigned)lower[strchr(upper, (int)c) - upper] : c;

        assert_int_equal(ascii_is_digit((uint8_t)c), is_in(digits, c));
        assert_int_equal(ascii_is_upper((uint8_t)c), is_in(upper, c));
        assert_int_equal(ascii_is_alnum((uint8_t)c),
                         is_in(digits, c) || is_in(upper, c) || is_in(lower, c));
        assert_int_equal(ascii_lower((uint8_t)c), low);
    }
}

static void a_text_is_made_lower(void **state)
{
    char text[] = "MiXed-42.\xc3\x84Z";

    (void)state;
    ascii_make_lower(text);
    assert_string_equal(text, "mixed-42.\xc3\x84z");
}

static void each_digit_of_base64_has_its_value(void **state)
{
    unsigned count = 0;

    (void)state;
    for (int i = 0; i < 64; i++)
        assert_int_equal(base64_value((uint8_t)BASE64_DIGITS[i]), i);
    for (unsigned c = 0; c < 256; c++)
        count += base64_value((uint8_t)c) >= 0;
    assert_int_equal(count, 64);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_byte_is_what_the_lists_say),
        cmocka_unit_test(a_text_is_made_lower),
        cmocka_unit_test(each_digit_of_base64_has_its_value),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
