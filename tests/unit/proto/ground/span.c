/* span - comparing, cutting, numbers; spans of nothing, limits of numbers. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "proto/ground/err.h"
#include "proto/ground/span.h"

static const struct span nothing = { NULL, 0 };

static void equal_with_and_without_case(void **state)
{
    (void)state;
    assert_true(span_eq(SPAN_LIT("abc"), SPAN_LIT("abc")));
    assert_false(span_eq(SPAN_LIT("abc"), SPAN_LIT("abC")));
    assert_true(span_eq(nothing, SPAN_LIT("")));
    assert_true(span_eq_nocase(SPAN_LIT("aBc@[Z"), SPAN_LIT("AbC@[z")));
    assert_false(span_eq_nocase(SPAN_LIT("@"), SPAN_LIT("`"))); /* 32 apart, no letters */
    assert_false(span_eq_nocase(SPAN_LIT("\xc4"), SPAN_LIT("\xe4")));
    assert_false(span_eq_nocase(SPAN_LIT("ab"), SPAN_LIT("abc")));
    assert_true(span_eq_nocase(nothing, nothing));
}

static void starts_without_case(void **state)
{
    (void)state;
    assert_true(span_starts_nocase(SPAN_LIT("MAIL FROM:<a>"), SPAN_LIT("mail from:")));
    assert_false(span_starts_nocase(SPAN_LIT("MAI"), SPAN_LIT("mail")));
    assert_true(span_starts_nocase(SPAN_LIT("x"), nothing));
    assert_true(span_starts_nocase(nothing, nothing));
}

static void order_is_memcmp_then_length(void **state)
{
    (void)state;
    assert_true(span_compare(SPAN_LIT("a"), SPAN_LIT("b")) < 0);
    assert_true(span_compare(SPAN_LIT("\xff"), SPAN_LIT("a")) > 0);
    assert_true(span_compare(SPAN_LIT("ab"), SPAN_LIT("abc")) < 0);
    assert_true(span_compare(SPAN_LIT("abc"), SPAN_LIT("ab")) > 0);
    assert_int_equal(span_compare(SPAN_LIT("ab"), SPAN_LIT("ab")), 0);
    assert_int_equal(span_compare(nothing, nothing), 0);
    assert_true(span_compare(nothing, SPAN_LIT("a")) < 0);
}

static void find_returns_the_end_when_there_is_none(void **state)
{
    (void)state;
    assert_int_equal(span_find(SPAN_LIT("a:b:c"), 0, ':'), 1);
    assert_int_equal(span_find(SPAN_LIT("a:b:c"), 2, ':'), 3);
    assert_int_equal(span_find(SPAN_LIT("a:b:c"), 4, ':'), 5);
    assert_int_equal(span_find(SPAN_LIT("a:b:c"), 99, ':'), 5);
    assert_int_equal(span_find(nothing, 0, ':'), 0);
}

static void trim_and_cut(void **state)
{
    struct span s = SPAN_LIT("abcd");

    (void)state;
    assert_true(span_eq(span_trim(SPAN_LIT(" \t a b\t ")), SPAN_LIT("a b")));
    assert_true(span_eq(span_trim(SPAN_LIT("\ra\n")), SPAN_LIT("\ra\n")));
    assert_int_equal(span_trim(SPAN_LIT(" \t ")).n, 0);
    assert_int_equal(span_trim(nothing).n, 0);
    assert_true(span_eq(span_from(s, 1), SPAN_LIT("bcd")));
    assert_int_equal(span_from(s, 4).n, 0);
    assert_int_equal(span_from(nothing, 0).n, 0);
    assert_true(span_eq(span_sub(s, 1, 2), SPAN_LIT("bc")));
    assert_int_equal(span_sub(s, 4, 0).n, 0);
}

static void numbers(void **state)
{
    uint64_t v = 7;

    (void)state;
    assert_int_equal(span_u64(SPAN_LIT("0"), 10, &v), 0);
    assert_int_equal(v, 0);
    assert_int_equal(span_u64(SPAN_LIT("0010"), 10, &v), 0);
    assert_int_equal(v, 10);
    assert_int_equal(span_u64(SPAN_LIT("18446744073709551615"), UINT64_MAX, &v), 0);
    assert_true(v == UINT64_MAX);
    assert_int_equal(span_u64(SPAN_LIT("18446744073709551616"), UINT64_MAX, &v), ERR_RANGE);
    assert_int_equal(span_u64(SPAN_LIT("99999999999999999999999"), UINT64_MAX, &v), ERR_RANGE);
    assert_int_equal(span_u64(SPAN_LIT("11"), 10, &v), ERR_RANGE);
    assert_true(v == UINT64_MAX);
}

static void no_numbers(void **state)
{
    static const char *const texts[] = { "", "-1", "+1", " 1", "1 ", "1a", "0x1", "/", ":" };
    uint64_t v = 7;

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        assert_int_equal(span_u64(span_cstr(texts[i]), 100, &v), ERR_SYNTAX);
    /* A byte that is no digit matters more than the size of what stands before it. */
    assert_int_equal(span_u64(SPAN_LIT("99999999999999999999999x"), 100, &v), ERR_SYNTAX);
    assert_int_equal(span_u64(nothing, 100, &v), ERR_SYNTAX);
    assert_int_equal(v, 7);
}

static void characters_of_utf8(void **state)
{
    const struct {
        struct span s;
        size_t size;
    } cases[] = {
        { SPAN_LIT(""), 0 },
        { SPAN_LIT("a\xc3"), 1 },
        { span_of("\0", 1), 1 },
        { SPAN_LIT("\xc3\xbc"), 2 },
        { SPAN_LIT("\xe2\x82\xac."), 3 },
        { SPAN_LIT("\xf0\x9f\x93\xae"), 4 },
        { SPAN_LIT("\xf4\x8f\xbf\xbf"), 4 },
        { SPAN_LIT("\xf4\x90\x80\x80"), 0 }, /* over U+10FFFF */
        { SPAN_LIT("\x80"), 0 },
        { SPAN_LIT("\xc3"), 0 },
        { SPAN_LIT("\xc3."), 0 },
        { SPAN_LIT("\xc0\xae"), 0 },         /* an overlong dot */
        { SPAN_LIT("\xe0\x80\xae"), 0 },     /* again */
        { SPAN_LIT("\xf0\x80\x80\xae"), 0 }, /* again */
        { SPAN_LIT("\xed\xa0\x80"), 0 },     /* half of a surrogate pair */
        { SPAN_LIT("\xe2\x82"), 0 },
        { SPAN_LIT("\xff"), 0 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(span_utf8_size(cases[i].s), cases[i].size);
}

static void dup_terminates(void **state)
{
    char *text = span_dup(span_of("abcdef", 3));
    char *empty = span_dup(nothing);

    (void)state;
    assert_string_equal(text, "abc");
    assert_string_equal(empty, "");
    assert_int_equal(span_cstr(NULL).n, 0);
    free(text);
    free(empty);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_with_and_without_case),
        cmocka_unit_test(starts_without_case),
        cmocka_unit_test(order_is_memcmp_then_length),
        cmocka_unit_test(find_returns_the_end_when_there_is_none),
        cmocka_unit_test(trim_and_cut),
        cmocka_unit_test(numbers),
        cmocka_unit_test(no_numbers),
        cmocka_unit_test(characters_of_utf8),
        cmocka_unit_test(dup_terminates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
