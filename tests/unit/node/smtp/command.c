/* command - verbs, HELO names, and the arguments of MAIL, RCPT and BDAT. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "node/smtp/command.h"

#include "proto/ground/err.h"

static void lines_are_split(void **state)
{
    const struct {
        struct span line;
        enum smtp_verb verb;
        const char *arg;
    } cases[] = {
        { SPAN_LIT("EHLO mx.example"), SMTP_VERB_EHLO, "mx.example" },
        { SPAN_LIT("ehlo mx.example  "), SMTP_VERB_EHLO, "mx.example" },
        { SPAN_LIT("MaIl FROM:<>"), SMTP_VERB_MAIL, "FROM:<>" },
        { SPAN_LIT("RCPT  TO:<a@b>"), SMTP_VERB_RCPT, " TO:<a@b>" },
        { SPAN_LIT("DATA"), SMTP_VERB_DATA, "" },
        { SPAN_LIT("DATA "), SMTP_VERB_DATA, "" },
        { SPAN_LIT("STARTTLS"), SMTP_VERB_STARTTLS, "" },
        { SPAN_LIT("NOOP a\tb"), SMTP_VERB_NOOP, "a\tb" },
        { SPAN_LIT("EXPN list"), SMTP_VERB_EXPN, "list" },
        { SPAN_LIT(""), SMTP_VERB_UNKNOWN, "" },
        { SPAN_LIT(" DATA"), SMTP_VERB_UNKNOWN, "" },
        { SPAN_LIT("DATAX"), SMTP_VERB_UNKNOWN, "" },
        { SPAN_LIT("DAT"), SMTP_VERB_UNKNOWN, "" },
        { SPAN_LIT("DATA\tx"), SMTP_VERB_UNKNOWN, "" },
        { SPAN_LIT("NOOP a\0b"), SMTP_VERB_UNKNOWN, "" },
        { SPAN_LIT("NOOP a\rb"), SMTP_VERB_UNKNOWN, "" },
        { SPAN_LIT("NOOP a\x7f"), SMTP_VERB_UNKNOWN, "" },
        { SPAN_LIT("UNKNOWN"), SMTP_VERB_UNKNOWN, "" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct span arg;
        assert_int_equal(smtp_command_parse(cases[i].line, &arg), cases[i].verb);
        assert_true(span_eq(arg, span_cstr(cases[i].arg)));
    }
}

static void every_verb_has_its_name(void **state)
{
    struct span arg;

    (void)state;
    for (unsigned v = 1; v < SMTP_VERB_COUNT; v++)
        assert_int_equal(smtp_command_parse(span_cstr(smtp_verb_name((enum smtp_verb)v)), &arg), v);
    assert_string_equal(smtp_verb_name(SMTP_VERB_UNKNOWN), "?");
}

static void helo_names(void **state)
{
    static const char *const good[] = { "mx.example",        "localhost",   "my_pc",
                                        "a-b.example",       "[192.0.2.1]", "192.0.2.1",
                                        "[IPv6:::1]",        "mx.example.", "1.2",
                                        "[ipv6:2001:db8::1]" };
    static const char *const bad[] = { "",    "a b",      "-a",          "a..b",          ".a",
                                       "[]",  "[1.2.3]",  "[1.2.3.256]", "[::1]",         "a@b",
                                       "<a>", "[1.2.3.4", "a\tb",        "m\xc3\xbcller", "a;b" };
    char text[400];

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_int_equal(smtp_helo_check(span_cstr(good[i])), 0);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(smtp_helo_check(span_cstr(bad[i])), ERR_SYNTAX);
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = i % 2 ? '.' : 'a';
    assert_int_equal(smtp_helo_check(span_of(text, 255)), 0);
    assert_int_equal(smtp_helo_check(span_of(text, 257)), ERR_SYNTAX);
}

static void mail_arguments(void **state)
{
    const struct {
        const char *arg;
        enum smtp_param_error result;
        const char *from;
        uint64_t size;
    } cases[] = {
        { "FROM:<a@b.example>", SMTP_PARAM_OK, "a@b.example", 0 },
        { "from: <a@b.example>", SMTP_PARAM_OK, "a@b.example", 0 },
        { "FROM:<>", SMTP_PARAM_OK, "", 0 },
        { "FROM:<> SIZE=5", SMTP_PARAM_OK, "", 5 },
        { "FROM:<a@b> size=0010 body=8bitMIME AUTH=<>", SMTP_PARAM_OK, "a@b", 10 },
        { "FROM:<a@b>  SIZE=1   BODY=7BIT ", SMTP_PARAM_OK, "a@b", 1 },
        { "FROM:<a@b> SIZE=99999999999999999999", SMTP_PARAM_OK, "a@b", UINT64_MAX },
        { "FROM:<a@b> AUTH=e+3Dmc2@example.com", SMTP_PARAM_OK, "a@b", 0 },
        { "FROM:<\"a>b\"@c>", SMTP_PARAM_OK, "\"a>b\"@c", 0 },
        { "FROM:<\"a\\\"> b\"@c> SIZE=1", SMTP_PARAM_OK, "\"a\\\"> b\"@c", 1 },
        { "FROM:<@x.example,@y:a@b>", SMTP_PARAM_OK, "a@b", 0 },
        { "", SMTP_PARAM_SYNTAX, NULL, 0 },
        { "TO:<a@b>", SMTP_PARAM_SYNTAX, NULL, 0 },
        { "FROM", SMTP_PARAM_SYNTAX, NULL, 0 },
        { "FROM <a@b>", SMTP_PARAM_SYNTAX, NULL, 0 },
        { "FROM:", SMTP_PARAM_ADDRESS, NULL, 0 },
        { "FROM:a@b", SMTP_PARAM_ADDRESS, NULL, 0 },
        { "FROM:  <a@b>", SMTP_PARAM_ADDRESS, NULL, 0 },
        { "FROM:<a@b", SMTP_PARAM_ADDRESS, NULL, 0 },
        { "FROM:<a b@c>", SMTP_PARAM_ADDRESS, NULL, 0 },
        { "FROM:<postmaster>", SMTP_PARAM_ADDRESS, NULL, 0 },
        { "FROM:<a@b>SIZE=1", SMTP_PARAM_SYNTAX, NULL, 0 },
        { "FROM:<a@b> SIZE=", SMTP_PARAM_SYNTAX, NULL, 0 },
        { "FROM:<a@b> =1", SMTP_PARAM_SYNTAX, NULL, 0 },
        { "FROM:<a@b> SIZE=1=2", SMTP_PARAM_SYNTAX, NULL, 0 },
        { "FROM:<a@b> S_ZE=1", SMTP_PARAM_SYNTAX, NULL, 0 },
        { "FROM:<a@b> -X=1", SMTP_PARAM_SYNTAX, NULL, 0 },
        { "FROM:<a@b> SIZE", SMTP_PARAM_VALUE, NULL, 0 },
        { "FROM:<a@b> SIZE=-1", SMTP_PARAM_VALUE, NULL, 0 },
        { "FROM:<a@b> SIZE=1x", SMTP_PARAM_VALUE, NULL, 0 },
        { "FROM:<a@b> SIZE=000000000000000000001", SMTP_PARAM_VALUE, NULL, 0 },
        { "FROM:<a@b> BODY=9BIT", SMTP_PARAM_VALUE, NULL, 0 },
        { "FROM:<a@b> BODY", SMTP_PARAM_VALUE, NULL, 0 },
        { "FROM:<a@b> AUTH=a+3d", SMTP_PARAM_VALUE, NULL, 0 },
        { "FROM:<a@b> AUTH=a+3", SMTP_PARAM_VALUE, NULL, 0 },
        { "FROM:<a@b> SMTPUTF8", SMTP_PARAM_OK, "a@b", 0 },
        { "FROM:<\xc3\xbc@b> smtputf8 BODY=8BITMIME", SMTP_PARAM_OK, "\xc3\xbc@b", 0 },
        { "FROM:<\xc3\xbc@b>", SMTP_PARAM_UTF8, NULL, 0 },
        { "FROM:<a@b\xc3\xbc.example>", SMTP_PARAM_UTF8, NULL, 0 },
        { "FROM:<\xc3@b> SMTPUTF8", SMTP_PARAM_ADDRESS, NULL, 0 },
        { "FROM:<a@b> SMTPUTF8=1", SMTP_PARAM_VALUE, NULL, 0 },
        { "FROM:<a@b> SMTPUTF8 SMTPUTF8", SMTP_PARAM_TWICE, NULL, 0 },
        { "FROM:<a@b> RET=HDRS ENVID=QQ314159", SMTP_PARAM_OK, "a@b", 0 },
        { "FROM:<a@b> ret=full", SMTP_PARAM_OK, "a@b", 0 },
        { "FROM:<> RET=HDRS", SMTP_PARAM_OK, "", 0 },
        { "FROM:<a@b> RET=HEADERS", SMTP_PARAM_VALUE, NULL, 0 },
        { "FROM:<a@b> RET", SMTP_PARAM_VALUE, NULL, 0 },
        { "FROM:<a@b> RET=FULL RET=FULL", SMTP_PARAM_TWICE, NULL, 0 },
        { "FROM:<a@b> ENVID", SMTP_PARAM_VALUE, NULL, 0 },
        { "FROM:<a@b> ENVID=a+0D+0AX:y", SMTP_PARAM_VALUE, NULL, 0 },
        { "FROM:<a@b> ENVID=\xc3\xbc", SMTP_PARAM_VALUE, NULL, 0 },
        { "FROM:<a@b> ENVID=a ENVID=b", SMTP_PARAM_TWICE, NULL, 0 },
        { "FROM:<a@b> NOTIFY=NEVER", SMTP_PARAM_UNKNOWN, NULL, 0 },
        { "FROM:<a@b> SIZE=1 SIZE=1", SMTP_PARAM_TWICE, NULL, 0 },
        { "FROM:<a@b> BODY=7BIT BODY=8BITMIME", SMTP_PARAM_TWICE, NULL, 0 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct smtp_mail m;
        enum smtp_param_error e = smtp_mail_parse(span_cstr(cases[i].arg), &m);
        if (e != cases[i].result) fail_msg("%s gives %d", cases[i].arg, e);
        if (e != SMTP_PARAM_OK) continue;
        assert_true(span_eq(m.from.text, span_cstr(cases[i].from)));
        assert_int_equal(m.size, cases[i].size);
    }
}

static void mail_says_what_was_given(void **state)
{
    struct smtp_mail m;

    (void)state;
    assert_int_equal(smtp_mail_parse(SPAN_LIT("FROM:<a@b>"), &m), SMTP_PARAM_OK);
    assert_false(m.has_size || m.has_body || m.has_auth || m.smtputf8);
    assert_true(m.ret == 0 && m.envid.n == 0);
    assert_int_equal(smtp_mail_parse(SPAN_LIT("FROM:<a@b> RET=HDRS ENVID=q+2B1 SMTPUTF8"), &m), 0);
    assert_true(m.smtputf8 && m.ret == SMTP_RET_HDRS && span_eq(m.envid, SPAN_LIT("q+2B1")));
    assert_int_equal(smtp_mail_parse(SPAN_LIT("FROM:<a@b>"), &m), SMTP_PARAM_OK);
    assert_int_equal(m.body, SMTP_BODY_7BIT);
    assert_int_equal(smtp_mail_parse(SPAN_LIT("FROM:<a@b> BODY=BINARYMIME AUTH=<>"), &m), 0);
    assert_true(m.has_body && m.has_auth && !m.has_size);
    assert_int_equal(m.body, SMTP_BODY_BINARYMIME);
    assert_int_equal(smtp_mail_parse(SPAN_LIT("FROM:<a@b> BODY=8BITMIME"), &m), 0);
    assert_int_equal(m.body, SMTP_BODY_8BITMIME);
}

static void rcpt_arguments(void **state)
{
    const struct {
        const char *arg;
        enum smtp_param_error result;
        bool smtputf8;
        unsigned notify;
        const char *orcpt;
    } cases[] = {
        { "TO:<a@b>", SMTP_PARAM_OK, .notify = 0 },
        { "TO:<a@b> NOTIFY=NEVER", SMTP_PARAM_OK, .notify = SMTP_NOTIFY_NEVER },
        { "TO:<a@b> notify=success,Delay,FAILURE", SMTP_PARAM_OK, .notify = 14 },
        { "TO:<a@b> NOTIFY=FAILURE ORCPT=rfc822;A+2BB@c", SMTP_PARAM_OK,
          .notify = SMTP_NOTIFY_FAILURE, .orcpt = "rfc822;A+2BB@c" },
        { "TO:<\xc3\xbc@b>", SMTP_PARAM_UTF8, .notify = 0 },
        { "TO:<\xc3\xbc@b>", SMTP_PARAM_OK, .smtputf8 = true },
        { "TO:<a@b> ORCPT=utf-8;\xc3\xbc@b", SMTP_PARAM_OK, .smtputf8 = true,
          .orcpt = "utf-8;\xc3\xbc@b" },
        { "TO:<a@b> ORCPT=utf-8;\xc3\xbc@b", SMTP_PARAM_VALUE, .notify = 0 },
        { "TO:<a@b> NOTIFY=NEVER,SUCCESS", SMTP_PARAM_VALUE, .notify = 0 },
        { "TO:<a@b> NOTIFY=NEVER NOTIFY=NEVER", SMTP_PARAM_TWICE, .notify = 0 },
        { "TO:<a@b> ORCPT=rfc822;a ORCPT=rfc822;a", SMTP_PARAM_TWICE, .notify = 0 },
        { "TO:<a@b> NOTIFY", SMTP_PARAM_VALUE, .notify = 0 },
        { "TO:<a@b> ORCPT", SMTP_PARAM_VALUE, .notify = 0 },
        { "TO:<a@b> RET=FULL", SMTP_PARAM_UNKNOWN, .notify = 0 },
        { "to: <a@b> ", SMTP_PARAM_OK, .notify = 0 },
        { "TO:<Postmaster>", SMTP_PARAM_OK, .notify = 0 },
        { "TO:<a@[192.0.2.1]>", SMTP_PARAM_OK, .notify = 0 },
        { "TO:<>", SMTP_PARAM_ADDRESS, .notify = 0 },
        { "TO:<a>", SMTP_PARAM_ADDRESS, .notify = 0 },
        { "TO:a@b", SMTP_PARAM_ADDRESS, .notify = 0 },
        { "FROM:<a@b>", SMTP_PARAM_SYNTAX, .notify = 0 },
        { "TO:<a@b> =", SMTP_PARAM_SYNTAX, .notify = 0 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct smtp_rcpt r;
        enum smtp_param_error e = smtp_rcpt_parse(span_cstr(cases[i].arg), cases[i].smtputf8, &r);
        if (e != cases[i].result) fail_msg("%s gives %d", cases[i].arg, e);
        if (e != SMTP_PARAM_OK) continue;
        assert_int_equal(r.notify, cases[i].notify);
        assert_true(span_eq(r.orcpt, span_cstr(cases[i].orcpt)));
    }
}

static void bdat_arguments(void **state)
{
    const struct {
        const char *arg;
        enum smtp_param_error result;
        uint64_t size;
        bool last;
    } cases[] = {
        { "0 LAST", SMTP_PARAM_OK, 0, true },
        { "86", SMTP_PARAM_OK, 86, false },
        { "1000  last", SMTP_PARAM_OK, 1000, true },
        { "18446744073709551615", SMTP_PARAM_OK, UINT64_MAX, false },
        { "", SMTP_PARAM_SYNTAX, 0, false },
        { "LAST", SMTP_PARAM_VALUE, 0, false },
        { "-1", SMTP_PARAM_VALUE, 0, false },
        { "1 LAST LAST", SMTP_PARAM_SYNTAX, 0, false },
        { "1 FIRST", SMTP_PARAM_SYNTAX, 0, false },
        { "000000000000000000001", SMTP_PARAM_VALUE, 0, false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct smtp_bdat b;
        enum smtp_param_error e = smtp_bdat_parse(span_cstr(cases[i].arg), &b);
        if (e != cases[i].result) fail_msg("%s gives %d", cases[i].arg, e);
        if (e != SMTP_PARAM_OK) continue;
        assert_int_equal(b.size, cases[i].size);
        assert_int_equal(b.last, cases[i].last);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_split),
        cmocka_unit_test(every_verb_has_its_name),
        cmocka_unit_test(helo_names),
        cmocka_unit_test(mail_arguments),
        cmocka_unit_test(mail_says_what_was_given),
        cmocka_unit_test(rcpt_arguments),
        cmocka_unit_test(bdat_arguments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
