/* notify - NOTIFY, RET, ENVID, ORCPT and xtext (RFC 3461 4; examples of its section 10). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "node/smtp/notify.h"

#include "proto/ground/err.h"

static void notify_words(void **state)
{
    const struct {
        const char *text;
        int err;
        unsigned notify;
    } cases[] = {
        { "NEVER", 0, SMTP_NOTIFY_NEVER },
        { "SUCCESS", 0, SMTP_NOTIFY_SUCCESS },
        { "SUCCESS,FAILURE", 0, SMTP_NOTIFY_SUCCESS | SMTP_NOTIFY_FAILURE },
        { "delay,Success,FAILURE", 0, 14 },
        { "FAILURE,FAILURE", 0, SMTP_NOTIFY_FAILURE }, /* the grammar has it */
        { "", ERR_SYNTAX, 0 },
        { ",", ERR_SYNTAX, 0 },
        { "SUCCESS,", ERR_SYNTAX, 0 },
        { ",SUCCESS", ERR_SYNTAX, 0 },
        { "SUCCESS,,DELAY", ERR_SYNTAX, 0 },
        { "SUCCESS DELAY", ERR_SYNTAX, 0 },
        { "SOMETIMES", ERR_SYNTAX, 0 },
        { "NEVER,FAILURE", ERR_SYNTAX, 0 },
        { "FAILURE,NEVER", ERR_SYNTAX, 0 },
        { "NEVER,NEVER", ERR_SYNTAX, 0 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        unsigned notify;
        int err = smtp_notify_parse(span_cstr(cases[i].text), &notify);

        if (err != cases[i].err) fail_msg("%s gives %d", cases[i].text, err);
        if (err == 0) assert_int_equal(notify, cases[i].notify);
    }
}

static void ret_words(void **state)
{
    unsigned ret;

    (void)state;
    assert_int_equal(smtp_ret_parse(SPAN_LIT("FULL"), &ret), 0);
    assert_int_equal(ret, SMTP_RET_FULL);
    assert_int_equal(smtp_ret_parse(SPAN_LIT("hdrs"), &ret), 0);
    assert_int_equal(ret, SMTP_RET_HDRS);
    assert_int_equal(smtp_ret_parse(SPAN_LIT(""), &ret), ERR_SYNTAX);
    assert_int_equal(smtp_ret_parse(SPAN_LIT("FULL,HDRS"), &ret), ERR_SYNTAX);
}

static void envelope_ids(void **state)
{
    static const char *const bad[] = { "",      "a b",     "a=b",  "+",        "a+4",
                                       "a+4g",  "a+4a",    "a+0A", "a+0D+0Ab", "a+00b",
                                       "a+7Fb", "a+C3+BC", "a\tb", "\xc3\xbc" };
    char longest[SMTP_ENVID_SIZE_MAX + 1];

    (void)state;
    assert_int_equal(smtp_envid_check(SPAN_LIT("QQ314159")), 0);
    assert_int_equal(smtp_envid_check(SPAN_LIT("a+2Bb+3Dc+20d")), 0);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (smtp_envid_check(span_cstr(bad[i])) != ERR_SYNTAX) fail_msg("%s passes", bad[i]);
    memset(longest, 'x', sizeof longest);
    assert_int_equal(smtp_envid_check(span_of(longest, SMTP_ENVID_SIZE_MAX)), 0);
    assert_int_equal(smtp_envid_check(span_of(longest, sizeof longest)), ERR_TOO_LONG);
}

static void original_recipients(void **state)
{
    static const char *const good[] = { "rfc822;Bob@Example.COM", "rfc822;George@Tax-ME.GOV",
                                        "x-local;a+3Db", "utf-8;\\x{FC}@b.example",
                                        "RFC822;a+20b" };
    static const char *const bad[] = {
        "",           "rfc822",     "rfc822;",  ";a@b",         "a b;c",       "rfc.822;a",
        "rfc(822);a", "rfc822;a=b", "rfc822;+", "rfc822;a+0Ab", "rfc822;a+0D", "rfc822;\xc3\xbc"
    };
    static const char raw[] = "utf-8;j\xc3\xbc@b";
    char longest[SMTP_ORCPT_SIZE_MAX + 1];

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        if (smtp_orcpt_check(span_cstr(good[i]), false) != 0) fail_msg("%s fails", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (smtp_orcpt_check(span_cstr(bad[i]), true) != ERR_SYNTAX) fail_msg("%s passes", bad[i]);
    assert_int_equal(smtp_orcpt_check(span_cstr(raw), false), ERR_SYNTAX);
    assert_int_equal(smtp_orcpt_check(span_cstr(raw), true), 0);
    assert_int_equal(smtp_orcpt_check(SPAN_LIT("utf-8;\xc3"), true), ERR_SYNTAX);
    assert_int_equal(smtp_orcpt_check(SPAN_LIT("utf-8;a\xc2\x85"), true), ERR_SYNTAX);
    memset(longest, 'x', sizeof longest);
    memcpy(longest, "rfc822;", 7);
    assert_int_equal(smtp_orcpt_check(span_of(longest, SMTP_ORCPT_SIZE_MAX), false), 0);
    assert_int_equal(smtp_orcpt_check(span_of(longest, sizeof longest), false), ERR_TOO_LONG);
}

/* RFC 6533 3 */
static void for_hosts_without_utf8(void **state)
{
    char raw[SMTP_ORCPT_SIZE_MAX + 1] = "utf-8;";
    struct buf b;

    (void)state;
    buf_init(&b, 4 * SMTP_ORCPT_SIZE_MAX);
    assert_int_equal(
        smtp_orcpt_ascii(SPAN_LIT("utf-8;\xc3\xa4+2B\xe2\x82\xac\xf0\x9f\x98\x80@a.b"), &b), 0);
    assert_string_equal(buf_cstr(&b), "utf-8;\\x{E4}+2B\\x{20AC}\\x{1F600}@a.b");
    assert_int_equal(smtp_orcpt_check(buf_span(&b), false), 0);
    buf_reset(&b);
    assert_int_equal(smtp_orcpt_ascii(SPAN_LIT("rfc822;a+2Bb@c"), &b), 0);
    assert_string_equal(buf_cstr(&b), "rfc822;a+2Bb@c");
    buf_reset(&b);
    for (unsigned i = 6; i + 2 < sizeof raw; i += 2)
        memcpy(raw + i, "\xc3\xa4", 2);
    assert_int_equal(smtp_orcpt_check(span_cstr(raw), true), 0);
    assert_int_equal(smtp_orcpt_ascii(span_cstr(raw), &b), ERR_TOO_LONG);
    assert_int_equal(b.n, 0);
    buf_deinit(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(notify_words),           cmocka_unit_test(ret_words),
        cmocka_unit_test(envelope_ids),           cmocka_unit_test(original_recipients),
        cmocka_unit_test(for_hosts_without_utf8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
