/* Record data to text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "node/net/dns_parse.h"

static void test_name(void **state)
{
    (void)state;
    char out[256];
    uint8_t longest[256];
    size_t n = 0;

    assert_int_equal(dns_parse_name(SPAN_LIT("\3mX1\4a-_b\2DE\0"), out), 0);
    assert_string_equal(out, "mx1.a-_b.de");
    assert_int_equal(dns_parse_name(SPAN_LIT("\0"), out), 0);
    assert_string_equal(out, "");
    for (unsigned i = 0; i < 4; i++) { /* 63 + 63 + 63 + 61: 253 as text */
        size_t label = i < 3 ? 63 : 61;
        longest[n++] = (uint8_t)label;
        memset(longest + n, 'a', label);
        n += label;
    }
    longest[n++] = 0;
    assert_int_equal(dns_parse_name(span_of(longest, n), out), 0);
    assert_int_equal(strlen(out), 253);
    longest[192] = 62; /* one byte more than a name may have */
    longest[n - 1] = 'a';
    longest[n++] = 0;
    assert_int_equal(dns_parse_name(span_of(longest, n), out), ERR_SYNTAX);
}

static void test_bad_names(void **state)
{
    (void)state;
    char out[256];
    static const struct span bad[] = {
        { (const uint8_t *)"", 0 },       { (const uint8_t *)"\3mx1", 4 },
        { (const uint8_t *)"\4mx1", 5 },  { (const uint8_t *)"\300\14", 2 },
        { (const uint8_t *)"\0x", 2 },    { (const uint8_t *)"\1.", 3 },
        { (const uint8_t *)"\1 ", 3 },    { (const uint8_t *)"\1\0", 3 },
        { (const uint8_t *)"\1\xe9", 3 }, { (const uint8_t *)"\1\\", 3 },
        { (const uint8_t *)"\1\n", 3 },   { (const uint8_t *)"\1a", 2 },
    };

    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(dns_parse_name(bad[i], out), ERR_SYNTAX);
}

static void test_mx(void **state)
{
    (void)state;
    struct dns_answer a;

    assert_int_equal(dns_parse_mx(SPAN_LIT("\1\2\2mx\0"), &a), 0);
    assert_int_equal(a.preference, 258);
    assert_string_equal(a.text, "mx");
    assert_int_equal(dns_parse_mx(SPAN_LIT("\0\0\0"), &a), 0);
    assert_string_equal(a.text, "");
    assert_int_equal(dns_parse_mx(SPAN_LIT("\0"), &a), ERR_SYNTAX);
    assert_int_equal(dns_parse_mx(SPAN_LIT("\0\0"), &a), ERR_SYNTAX);
}

static void test_address(void **state)
{
    (void)state;
    struct dns_answer a;

    assert_int_equal(dns_parse_address(SPAN_LIT("\x7f\0\0\1"), &a), 0);
    assert_string_equal(a.text, "127.0.0.1");
    assert_int_equal(dns_parse_address(SPAN_LIT("\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\1"), &a), 0);
    assert_string_equal(a.text, "2001:db8::1");
    assert_int_equal(dns_parse_address(SPAN_LIT("\0\0\0\0\0"), &a), ERR_SYNTAX);
    assert_int_equal(dns_parse_address(SPAN_LIT(""), &a), ERR_SYNTAX);
}

static void test_valid_names(void **state)
{
    (void)state;
    static const char *const good[] = { "a", "a.b", "A-1._x.test.", "xn--9ca.test" };
    static const char *const bad[] = { "",    ".",   "..",  "a..b",         ".a",
                                       "a..", "a b", "a/b", "\xc3\xa9.test" };
    char longest[300];

    for (unsigned i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_true(dns_name_is_valid(good[i]));
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(dns_name_is_valid(bad[i]));
    for (unsigned i = 0; i < sizeof longest; i++)
        longest[i] = i % 64 == 63 ? '.' : 'a';
    longest[253] = '\0';
    assert_true(dns_name_is_valid(longest));
    longest[253] = 'a';
    longest[254] = '\0';
    assert_false(dns_name_is_valid(longest));
    memset(longest, 'a', 64);
    longest[64] = '\0';
    assert_false(dns_name_is_valid(longest));
}

static void test_mx_order(void **state)
{
    (void)state;
    static const uint16_t in[] = { 20, 10, 30, 10, 0 };
    struct dns_answer answers[DNS_ANSWERS_MAX], a = { 0 };
    unsigned count = 0;

    for (unsigned i = 0; i < 5; i++) {
        a.preference = in[i];
        snprintf(a.text, sizeof a.text, "%u", i);
        dns_insert_mx(answers, &count, &a);
    }
    assert_int_equal(count, 5);
    assert_string_equal(answers[0].text, "4");
    assert_string_equal(answers[1].text, "1");
    assert_string_equal(answers[2].text, "3"); /* equal ones as they came */
    assert_string_equal(answers[4].text, "2");
    for (unsigned i = 0; i < 100; i++) {
        a.preference = (uint16_t)(100 - i);
        dns_insert_mx(answers, &count, &a);
    }
    assert_int_equal(count, DNS_ANSWERS_MAX);
    assert_int_equal(answers[DNS_ANSWERS_MAX - 1].preference, 28);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_name),        cmocka_unit_test(test_bad_names),
        cmocka_unit_test(test_mx),          cmocka_unit_test(test_address),
        cmocka_unit_test(test_valid_names), cmocka_unit_test(test_mx_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
