/* content - what the rules see of a mail, and what they do not: fields, text under its encodings, names of files. Each
 * mail is also given byte by byte. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "node/mail/content.h"
#include "node/mail/mail.h"
#include "proto/ground/buf.h"

struct one {
    struct mail_content_rule rule;
    const char *mail;
    bool found;
};
/* clang-format off */
#define SUBJECT(glob, mail, found) { { .name = "r", .part = MAIL_CONTENT_HEADER, .field = "subject", .match = glob }, mail, found }
#define BODY(text, mail, found)    { { .name = "r", .part = MAIL_CONTENT_BODY, .match = text }, mail, found }
#define NAMED(glob, mail, found)   { { .name = "r", .part = MAIL_CONTENT_FILE, .match = glob }, mail, found }
#define MIXED(type, rest) "Content-Type: multipart/" type "; boundary=b\r\n\r\n--b\r\n" rest "\r\n--b--\r\n"
/* clang-format on */

static bool finds(const struct mail_content_rule *rule, const char *mail, size_t piece)
{
    struct mail_content *c = mail_content_new(rule, 1, false);
    struct mail_content_scan *s = mail_content_scan_new(c, SPAN_LIT("t"));
    struct mail_content_hit hit;
    struct span rest = span_cstr(mail);
    bool found;

    while (rest.n > 0) {
        size_t n = rest.n < piece ? rest.n : piece;

        mail_content_scan_feed(s, span_sub(rest, 0, n));
        rest = span_from(rest, n);
    }
    mail_content_scan_finish(s);
    found = mail_content_refused(s, &hit);
    if (found) assert_string_equal(hit.said, "r");
    mail_content_scan_free(&s);
    mail_content_unref(&c);
    return found;
}

static void check(const struct one *cases, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t piece = 1; piece < 200; piece = piece * 3 + 1) {
            if (finds(&cases[i].rule, cases[i].mail, piece) == cases[i].found) continue;
            printf("%s in pieces of %zu: \"%s\" is %sfound\n", cases[i].mail, piece,
                   cases[i].rule.match, cases[i].found ? "not " : "");
            fail();
        }
}
#define CHECK_ALL(cases) check(cases, sizeof(cases) / sizeof(cases)[0])

static void fields_are_seen_as_a_reader_does(void **state)
{
    const struct one cases[] = {
        SUBJECT("*won*", "Subject: You WON it\r\n\r\n", true),
        SUBJECT("won", "Subject: you won\r\n\r\n", false),
        SUBJECT("you ?on", "SUBJECT :  you won \r\n\r\n", true),
        SUBJECT("you won", "Subject: you\r\n won\r\n\r\n", true),
        SUBJECT("you won", "Subject: =?utf-8?q?you=20?=\r\n =?iso-8859-1?b?d29u?=\r\n\r\n", true),
        SUBJECT("*won*", "To: x\r\nX-Subject: won\r\n\r\nSubject: won\r\n", false),
        SUBJECT("*won*", "Subject: a\r\nSubject: won\r\n\r\n", true),
        SUBJECT("*won*", MIXED("mixed", "Subject: won\r\n\r\nx"), false),
        SUBJECT("*", "Subject:\r\n\r\n", true),
        SUBJECT("*won*", "Subject: won", true),
    };

    (void)state;
    CHECK_ALL(cases);
}

static void text_is_seen_under_its_encoding(void **state)
{
    const struct one cases[] = {
        BODY("cheap pills", "A: b\r\n\r\nso CHEAP pills\r\n", true),
        BODY("cheap pills", "A: cheap pills\r\n\r\nx\r\n", false),
        BODY("cheap pills", "A: b\r\n\r\ncheap\r\npills\r\n", false),
        BODY("cheap pills",
             "Content-Transfer-Encoding: BASE64 (x)\r\n\r\nY2hl\r\nYXAgcGls\r\nbHM=\r\n", true),
        BODY("cheap pills", "Content-Transfer-Encoding: base64\r\n\r\nY2hlYQ==\r\ncCBwaWxscw==\r\n",
             true),
        BODY("cheap pills",
             "Content-Transfer-Encoding: quoted-printable\r\n\r\nche=61p=20=  \r\npills", true),
        BODY("a=b=zz", "Content-Transfer-Encoding: quoted-printable\r\n\r\na=b=zz\r\n", true),
        BODY("pills", "Content-Type: image/png\r\n\r\npills\r\n", false),
        BODY("pills", "Content-Type: text/html\r\n\r\n<b>pills</b>\r\n", true),
        BODY("pills", MIXED("mixed", "\r\nx\r\n--b\r\nContent-Type: text/plain\r\n\r\npills"),
             true),
        BODY("pills", MIXED("mixed", "Content-Type: image/png\r\n\r\npills"), false),
        BODY("pills", MIXED("mixed", "Content-Type: image/png\r\n\r\nx\r\n--b\r\n\r\npills"), true),
        BODY("pills", MIXED("digest", "\r\nContent-Transfer-Encoding: base64\r\n\r\ncGlsbHM="),
             true),
        BODY("pills", MIXED("mixed", "Content-Type: message/rfc822\r\n\r\nA: b\r\n\r\npills"),
             true),
        BODY("pills",
             MIXED("mixed", "Content-Type: multipart/alternative; boundary=\"c d\"\r\n\r\n--c "
                            "d\r\n\r\npills\r\n--c d--"),
             true),
        BODY("pills", "Content-Type: multipart/mixed\r\n\r\npills\r\n", true),
        BODY("pills", MIXED("mixed", "\r\npil\r\n--b\r\n\r\nls"), false),
        BODY("pills", MIXED("mixed", "\r\npil") "ls\r\n", false),
        BODY("-b", MIXED("mixed", "\r\n--bc"), true), /* no delimiter: text */
    };

    (void)state;
    CHECK_ALL(cases);
}

static void files_are_named_in_many_ways(void **state)
{
    const struct one cases[] = {
        NAMED("*.exe", MIXED("mixed", "Content-Disposition: attachment; filename=a.EXE\r\n\r\nx"),
              true),
        NAMED("*.exe",
              MIXED("mixed",
                    "Content-Disposition: attachment; filename=\"a b.exe\"; size=7\r\n\r\nx"),
              true),
        NAMED("*.exe",
              MIXED("mixed", "Content-Disposition: attachment; filename=a b.exe (c)\r\n\r\nx"),
              true),
        NAMED("*.exe",
              MIXED("mixed", "Content-Type: x/y;\r\n\tname=\"=?utf-8?b?YS5leGU=?=\"\r\n\r\nx"),
              true),
        NAMED(
            "*.exe",
            MIXED("mixed", "Content-Disposition: attachment; filename*=utf-8'en'a%2eexe\r\n\r\nx"),
            true),
        NAMED("*.exe",
              MIXED("mixed",
                    "Content-Disposition: attachment; filename*1=xe; filename*0=a.e\r\n\r\nx"),
              true),
        NAMED("*.exe",
              MIXED("mixed",
                    "Content-Disposition: attachment; filename=a.txt; filename*=''b.exe\r\n\r\nx"),
              true),
        NAMED("*.exe",
              MIXED("mixed", "Content-Disposition: attachment; filename=a.exe.txt\r\n\r\na.exe"),
              false),
        NAMED("*.exe", MIXED("mixed", "Content-Disposition: attachment; xfilename=a.exe\r\n\r\nx"),
              false),
        NAMED("*.exe", "Content-Disposition: attachment; filename=a.exe\r\n\r\nx", true),
    };

    (void)state;
    CHECK_ALL(cases);
}

/* The window moves over the text: a pattern is found wherever it lies, and the memory does not grow. */
static void a_text_is_found_wherever_it_lies(void **state)
{
    const struct mail_content_rule rule = { .name = "r",
                                            .part = MAIL_CONTENT_BODY,
                                            .match = "needle in it" };

    (void)state;
    for (size_t before = 3900; before < 4200; before++) {
        struct buf mail;

        buf_init(&mail, 8192);
        buf_add_cstr(&mail, "\r\n");
        for (size_t i = 0; i < before; i++)
            buf_add_u8(&mail, 'x');
        buf_add_cstr(&mail, "needle in it and more");
        assert_true(finds(&rule, buf_cstr(&mail), 1000));
        buf_deinit(&mail);
    }
}

static void nothing_costs_nothing(void **state)
{
    const struct mail_content_rule rule = {
        .name = "r", .part = MAIL_CONTENT_BODY, .match = "x", .tenant = "other"
    };
    struct mail_content *none = mail_content_new(NULL, 0, false),
                        *c = mail_content_new(&rule, 1, false);
    struct mail_content_scan *s;
    struct mail_content_hit hit;
    unsigned at = 0;

    (void)state;
    assert_null(none);
    assert_null(mail_content_scan_new(none, SPAN_LIT("t")));
    s = mail_content_scan_new(c, SPAN_LIT("t"));
    assert_null(s);
    mail_content_scan_feed(s, SPAN_LIT("x"));
    mail_content_scan_finish(s);
    assert_false(mail_content_refused(s, &hit));
    assert_false(mail_content_tagged(s, &at, &hit));
    mail_content_unref(&c);
}

/* All that tag are told, in their order; the first that refuses is. */
static void rules_are_told_apart(void **state)
{
    const struct mail_content_rule rules[] = {
        { .name = "one", .part = MAIL_CONTENT_BODY, .match = "x", .tags = true, .text = "first" },
        { .name = "two", .part = MAIL_CONTENT_BODY, .match = "y", .tags = true },
        { .name = "three", .part = MAIL_CONTENT_HEADER, .field = "A", .match = "*", .tags = true },
        { .name = "no", .part = MAIL_CONTENT_BODY, .match = "x", .text = "go away" },
    };
    struct mail_content *c = mail_content_new(rules, 4, true);
    struct mail_content_scan *s = mail_content_scan_new(c, SPAN_LIT("t"));
    struct mail_content_hit hit;
    struct buf out;
    unsigned at = 0;

    (void)state;
    mail_content_unref(&c); /* the scan has its own */
    mail_content_scan_feed(
        s,
        SPAN_LIT(
            "A: b\r\n\r\nx XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"));
    mail_content_scan_finish(s);
    assert_true(mail_content_tagged(s, &at, &hit));
    assert_string_equal(hit.said, "one: first");
    assert_true(mail_content_tagged(s, &at, &hit));
    assert_string_equal(hit.said, "three");
    assert_int_equal(hit.part, MAIL_CONTENT_HEADER);
    assert_false(mail_content_tagged(s, &at, &hit));
    assert_true(mail_content_refused(s, &hit));
    assert_string_equal(hit.said, "no: go away");
    mail_content_scan_free(&s);
    buf_init(&out, 1000);
    mail_content_tag_print(&out, SPAN_LIT("one: first"));
    assert_string_equal(buf_cstr(&out), "X-Angarium-Content: one: first\r\n");
    buf_deinit(&out);
}

/* A part's header that is too long, and multiparts that are too deep, are looked at up to their bounds. */
static void bounds_hold(void **state)
{
    const struct mail_content_rule file = { .name = "r",
                                            .part = MAIL_CONTENT_FILE,
                                            .match = "*.exe" };
    const struct mail_content_rule body = { .name = "r",
                                            .part = MAIL_CONTENT_BODY,
                                            .match = "pills" };
    struct buf mail;

    (void)state;
    buf_init(&mail, 1u << 20);
    buf_add_cstr(&mail, "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nA: ");
    for (int i = 0; i < 20000; i++)
        buf_add_u8(&mail, 'x');
    buf_add_cstr(&mail,
                 "\r\nContent-Disposition: attachment; filename=a.exe\r\n\r\npills\r\n--b--\r\n");
    assert_false(finds(&file, buf_cstr(&mail), 777));
    assert_true(finds(&body, buf_cstr(&mail), 777));
    buf_reset(&mail);
    for (int i = 0; i < 40; i++)
        buf_addf(&mail, "Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", i, i);
    buf_add_cstr(&mail, "\r\npills");
    assert_true(finds(&body, buf_cstr(&mail), 777));
    buf_deinit(&mail);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_are_seen_as_a_reader_does),
        cmocka_unit_test(text_is_seen_under_its_encoding),
        cmocka_unit_test(files_are_named_in_many_ways),
        cmocka_unit_test(a_text_is_found_wherever_it_lies),
        cmocka_unit_test(nothing_costs_nothing),
        cmocka_unit_test(rules_are_told_apart),
        cmocka_unit_test(bounds_hold),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
