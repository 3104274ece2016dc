/* base32 - texts sort like numbers, both cases are read, what is too large or no digit is refused.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "proto/ground/base32.h"
#include "proto/ground/err.h"
#include "proto/ground/rng.h"

static void numbers_and_texts(void **state)
{
    char text[BASE32_SIZE];
    uint64_t v = 1;

    (void)state;
    base32_print(0, text);
    assert_string_equal(text, "0000000000000");
    base32_print(31, text);
    assert_string_equal(text, "000000000000z");
    base32_print(32, text);
    assert_string_equal(text, "0000000000010");
    base32_print(UINT64_MAX, text);
    assert_string_equal(text, "fzzzzzzzzzzzz");
    assert_int_equal(base32_parse(span_cstr(text), &v), 0);
    assert_true(v == UINT64_MAX);
}

static void order_and_return(void **state)
{
    struct rng r;

    (void)state;
    rng_seed(&r, 3);
    for (int i = 0; i < 20000; i++) {
        uint64_t a = rng_next(&r) >> rng_below(&r, 64), b = rng_next(&r) >> rng_below(&r, 64);
        uint64_t back = 0;
        char a_text[BASE32_SIZE], b_text[BASE32_SIZE];
        base32_print(a, a_text);
        base32_print(b, b_text);
        assert_int_equal(a < b, strcmp(a_text, b_text) < 0);
        assert_int_equal(base32_parse(span_cstr(a_text), &back), 0);
        assert_true(back == a);
    }
}

static void digits_that_look_alike(void **state)
{
    uint64_t v = 0, same = 1;

    (void)state;
    assert_int_equal(base32_parse(SPAN_LIT("0OoIiLlABCDEF"), &v), 0);
    assert_int_equal(base32_parse(SPAN_LIT("0001111abcdef"), &same), 0);
    assert_true(v == same);
}

static void no_numbers(void **state)
{
    uint64_t v = 9;

    (void)state;
    assert_int_equal(base32_parse(SPAN_LIT(""), &v), ERR_SYNTAX);
    assert_int_equal(base32_parse(SPAN_LIT("000000000000"), &v), ERR_SYNTAX);
    assert_int_equal(base32_parse(SPAN_LIT("00000000000000"), &v), ERR_SYNTAX);
    assert_int_equal(base32_parse(SPAN_LIT("000000000000u"), &v), ERR_SYNTAX);
    assert_int_equal(base32_parse(SPAN_LIT("000000-000000"), &v), ERR_SYNTAX);
    assert_int_equal(base32_parse(span_of("000000000000\0", 13), &v), ERR_SYNTAX);
    assert_int_equal(base32_parse(SPAN_LIT("000000000000\xe9"), &v), ERR_SYNTAX);
    assert_int_equal(base32_parse(SPAN_LIT("g000000000000"), &v), ERR_RANGE);
    assert_int_equal(base32_parse(SPAN_LIT("zzzzzzzzzzzzz"), &v), ERR_RANGE);
    assert_int_equal(v, 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_and_texts),
        cmocka_unit_test(order_and_return),
        cmocka_unit_test(digits_that_look_alike),
        cmocka_unit_test(no_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
