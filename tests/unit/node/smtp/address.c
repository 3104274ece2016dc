/* address - mailboxes, source routes, quotes, literals, and the key of a domain. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "node/smtp/address.h"

#include "proto/ground/err.h"

#define L16 "aaaaaaaaaaaaaaaa"
#define L64 L16 L16 L16 L16

static void mailboxes(void **state)
{
    const struct {
        const char *inside, *local, *domain;
    } cases[] = {
        { "a@b", "a", "b" },
        { "first.last+tag@mx.example.com", "first.last+tag", "mx.example.com" },
        { "!#$%&'*+-/=?^_`{|}~@b", "!#$%&'*+-/=?^_`{|}~", "b" },
        { "\"a b\"@c", "\"a b\"", "c" },
        { "\"\"@c", "\"\"", "c" },
        { "\"a@b\"@c", "\"a@b\"", "c" },
        { "\"a\\\"b\"@c", "\"a\\\"b\"", "c" },
        { "a@under_score.example", "a", "under_score.example" },
        { "a@b.example.", "a", "b.example." },
        { "a@xn--mller-kva.example", "a", "xn--mller-kva.example" },
        { "a@[192.0.2.1]", "a", "[192.0.2.1]" },
        { "a@[IPv6:2001:db8::1]", "a", "[IPv6:2001:db8::1]" },
        { "@r1.example,@r2.example:a@b", "a", "b" },
        { L64 "@b", L64, "b" },
        { "j\xc3\xbcrgen@b", "j\xc3\xbcrgen", "b" },
        { "\"\xe7\x94\xa8 \xe6\x88\xb7\\\\\"@b", "\"\xe7\x94\xa8 \xe6\x88\xb7\\\\\"", "b" },
        { "\"\\\\\xc3\xbc\"@b", "\"\\\\\xc3\xbc\"", "b" },
        { "a@b\xc3\xbc"
          "cher.example",
          "a",
          "b\xc3\xbc"
          "cher.example" },
        { "\xf0\x9f\x93\xae@b", "\xf0\x9f\x93\xae", "b" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct smtp_address a;
        int err = smtp_address_parse(span_cstr(cases[i].inside), false, false, &a);
        if (err) fail_msg("%s gives %d", cases[i].inside, err);
        assert_true(span_eq(a.local, span_cstr(cases[i].local)));
        assert_true(span_eq(a.domain, span_cstr(cases[i].domain)));
        assert_int_equal(a.text.n, a.local.n + 1 + a.domain.n);
        assert_int_equal(a.is_literal, cases[i].domain[0] == '[');
        assert_int_equal(a.is_utf8, strpbrk(cases[i].inside, "\xc3\xe7\xf0") != NULL);
    }
}

static void what_is_no_mailbox(void **state)
{
    const struct {
        struct span inside;
        int err;
    } cases[] = {
        { SPAN_LIT(""), ERR_SYNTAX },
        { SPAN_LIT("a"), ERR_SYNTAX },
        { SPAN_LIT("postmaster"), ERR_SYNTAX },
        { SPAN_LIT("@b"), ERR_SYNTAX },
        { SPAN_LIT("a@"), ERR_SYNTAX },
        { SPAN_LIT("a@b@c"), ERR_SYNTAX },
        { SPAN_LIT(".a@b"), ERR_SYNTAX },
        { SPAN_LIT("a.@b"), ERR_SYNTAX },
        { SPAN_LIT("a..b@c"), ERR_SYNTAX },
        { SPAN_LIT("a b@c"), ERR_SYNTAX },
        { SPAN_LIT("a,b@c"), ERR_SYNTAX },
        { SPAN_LIT("a@b c"), ERR_SYNTAX },
        { SPAN_LIT("a@-b"), ERR_SYNTAX },
        { SPAN_LIT("a@b-"), ERR_SYNTAX },
        { SPAN_LIT("a@b..c"), ERR_SYNTAX },
        { SPAN_LIT("a@b.."), ERR_SYNTAX },
        { SPAN_LIT("a@."), ERR_SYNTAX },
        { SPAN_LIT("a\0@b"), ERR_SYNTAX },
        { SPAN_LIT("a@b\0"), ERR_SYNTAX },
        { SPAN_LIT("\xc3@b"), ERR_SYNTAX },
        { SPAN_LIT("\xe4@b"), ERR_SYNTAX }, /* Latin-1 */
        { SPAN_LIT("\xc0\xaf@b"), ERR_SYNTAX },
        { SPAN_LIT("\xed\xa0\x80@b"), ERR_SYNTAX },
        { SPAN_LIT("a\xc2\x85@b"), ERR_SYNTAX },     /* U+0085: a line end to some */
        { SPAN_LIT("a\xe2\x80\xa8@b"), ERR_SYNTAX }, /* U+2028 */
        { SPAN_LIT("a\xe2\x80\xae@b"), ERR_SYNTAX }, /* U+202E: turns the text around */
        { SPAN_LIT("a\xe2\x81\xa6@b"), ERR_SYNTAX }, /* U+2066 */
        { SPAN_LIT("\"a\\\xc3\xbc\"@b"), ERR_SYNTAX },
        { SPAN_LIT("a@\xc3\xa4\xc3.example"), ERR_SYNTAX },
        { SPAN_LIT("a@-\xc3\xa4.example"), ERR_SYNTAX },
        { SPAN_LIT("a@\xc3\xa4..example"), ERR_SYNTAX },
        { SPAN_LIT("a@\xc3\xa4 b.example"), ERR_SYNTAX },
        { SPAN_LIT("a@\xe2\x80\x8b.example"), ERR_SYNTAX }, /* U+200B alone: an empty label */
        { SPAN_LIT("a@" L16 L16 L16 "aaaaaaaa\xc3\xa4\xc3\xa4\xc3\xa4.example"), ERR_SYNTAX },
        { SPAN_LIT("a@[\xc3\xa4]"), ERR_SYNTAX },
        { SPAN_LIT("\"a\"b@c"), ERR_SYNTAX },
        { SPAN_LIT("\"a@b"), ERR_SYNTAX },
        { SPAN_LIT("\"a\\"), ERR_SYNTAX },
        { SPAN_LIT("\"a\r\n\"@b"), ERR_SYNTAX },
        { SPAN_LIT("\"a\\\n\"@b"), ERR_SYNTAX },
        { SPAN_LIT("a@[]"), ERR_SYNTAX },
        { SPAN_LIT("a@[1.2.3]"), ERR_SYNTAX },
        { SPAN_LIT("a@[01.2.3.4]"), ERR_SYNTAX },
        { SPAN_LIT("a@[1.2.3.4]x"), ERR_SYNTAX },
        { SPAN_LIT("a@[1.2.3.4\0]"), ERR_SYNTAX },
        { SPAN_LIT("a@[IPv6:1.2.3.4]"), ERR_SYNTAX },
        { SPAN_LIT("a@[::1]"), ERR_SYNTAX },
        { SPAN_LIT("@r"), ERR_SYNTAX },
        { SPAN_LIT("@r:"), ERR_SYNTAX },
        { SPAN_LIT("@r,:a@b"), ERR_SYNTAX },
        { SPAN_LIT("@:a@b"), ERR_SYNTAX },
        { SPAN_LIT("@r,x:a@b"), ERR_SYNTAX },
        { SPAN_LIT(L64 "a@b"), ERR_TOO_LONG },
        { SPAN_LIT("a@" L64), ERR_SYNTAX },
        { SPAN_LIT("a@" L64 "." L64 "." L64 "." L64), ERR_TOO_LONG },
        { SPAN_LIT(L64 "@" L16 L16 L16 "." L16 L16 L16 "." L16 L16 L16 "." L16 L16 "." L16),
          ERR_TOO_LONG }, /* 255 bytes: a path of 257 */
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct smtp_address a;
        int err = smtp_address_parse(cases[i].inside, false, false, &a);
        if (err != cases[i].err) fail_msg("%.*s gives %d", SPAN_ARG(cases[i].inside), err);
    }
}

static void empty_and_postmaster_when_allowed(void **state)
{
    struct smtp_address a;

    (void)state;
    assert_int_equal(smtp_address_parse(SPAN_LIT(""), true, false, &a), 0);
    assert_int_equal(a.text.n, 0);
    assert_int_equal(smtp_address_parse(SPAN_LIT("PostMaster"), false, true, &a), 0);
    assert_int_equal(a.domain.n, 0);
    assert_true(span_eq(a.local, SPAN_LIT("PostMaster")));
    assert_int_equal(smtp_address_parse(SPAN_LIT("root"), false, true, &a), ERR_SYNTAX);
    assert_int_equal(smtp_address_parse(SPAN_LIT("a@"), true, true, &a), ERR_SYNTAX);
}

static void keys_of_domains(void **state)
{
    static const char *const cases[][2] = {
        { "Example.COM", "example.com" },
        { "example.com.", "example.com" },
        { "[192.0.2.1]", "[192.0.2.1]" },
        { "[IPv6:2001:DB8:0::1]", "[ipv6:2001:db8::1]" },
        { "[ipv6:2001:db8::1]", "[ipv6:2001:db8::1]" },
        { "B\xc3\xbc"
          "cher.Example",
          "xn--bcher-kva.example" },
        { "b\xc3\x9c"
          "cher.example.",
          "xn--bcher-kva.example" },
        { "stra\xc3\x9f"
          "e.example",
          "xn--strae-oqa.example" }, /* not "strasse" */
        { "\xe4\xbe\x8b\xe5\xad\x90.test", "xn--fsqu00a.test" },
        { "xn--bcher-kva.example", "xn--bcher-kva.example" },
    };
    struct buf b;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        buf_init(&b, 1000);
        assert_int_equal(smtp_domain_key(span_cstr(cases[i][0]), &b), 0);
        assert_string_equal(buf_cstr(&b), cases[i][1]);
        buf_deinit(&b);
    }
    buf_init(&b, 1000);
    assert_int_equal(smtp_domain_key(SPAN_LIT("-\xc3\xbc.example"), &b), ERR_SYNTAX);
    assert_int_equal(smtp_domain_key(SPAN_LIT("\xff.example"), &b), ERR_SYNTAX);
    assert_int_equal(b.n, 0);
    buf_deinit(&b);
}

static void literals(void **state)
{
    char out[46];
    bool is_ipv6;

    (void)state;
    assert_int_equal(smtp_literal_parse(SPAN_LIT("[192.0.2.1]"), out, &is_ipv6), 0);
    assert_string_equal(out, "192.0.2.1");
    assert_false(is_ipv6);
    assert_int_equal(
        smtp_literal_parse(SPAN_LIT("[IPv6:ABCD:EF01:2345:6789:ABCD:EF01:255.255.255.255]"), out,
                           &is_ipv6),
        0);
    assert_string_equal(out, "abcd:ef01:2345:6789:abcd:ef01:ffff:ffff");
    assert_true(is_ipv6);
    assert_int_equal(smtp_literal_parse(SPAN_LIT("192.0.2.1"), out, &is_ipv6), ERR_SYNTAX);
    assert_int_equal(smtp_literal_parse(SPAN_LIT("["), out, &is_ipv6), ERR_SYNTAX);
    assert_int_equal(smtp_literal_parse(SPAN_LIT("[IPv6:]"), out, &is_ipv6), ERR_SYNTAX);
    assert_int_equal(smtp_literal_parse(SPAN_LIT("[" L64 "]"), out, &is_ipv6), ERR_SYNTAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mailboxes),
        cmocka_unit_test(what_is_no_mailbox),
        cmocka_unit_test(empty_and_postmaster_when_allowed),
        cmocka_unit_test(keys_of_domains),
        cmocka_unit_test(literals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
