/* draft - messages out of fields: header, encodings, what is refused. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "node/mail/mail.h"

#include "proto/ground/err.h"

static const struct mail_draft *plain_draft(void)
{
    static struct span to[2];
    static struct mail_draft d;

    to[0] = SPAN_LIT("x@b.example");
    to[1] = SPAN_LIT("Why <y@b.example>");
    d = (struct mail_draft){ .from = SPAN_LIT("Sender <s@a.example>"),
                             .subject = SPAN_LIT("Hello"),
                             .text = SPAN_LIT("line one\nline two\r\nthree\rfour"),
                             .message_id = SPAN_LIT("<1@a.example>"),
                             .to = to,
                             .to_count = 2,
                             .time_ms = 1795484889123,
                             .boundary = "=_b1" };
    return &d;
}

static void a_plain_message(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 1 << 20);
    assert_int_equal(mail_draft_print(&b, plain_draft()), 0);
    assert_string_equal(buf_cstr(&b), "From: \"Sender\" <s@a.example>\r\n"
                                      "To: x@b.example,\r\n \"Why\" <y@b.example>\r\n"
                                      "Subject: Hello\r\n"
                                      "Date: Tue, 24 Nov 2026 01:48:09 +0000\r\n"
                                      "Message-ID: <1@a.example>\r\n"
                                      "MIME-Version: 1.0\r\n"
                                      "Content-Type: text/plain; charset=us-ascii\r\n"
                                      "Content-Transfer-Encoding: 7bit\r\n\r\n"
                                      "line one\r\nline two\r\nthree\r\nfour\r\n");
    buf_deinit(&b);
}

static void other_bytes_are_encoded(void **state)
{
    struct mail_draft d = *plain_draft();
    struct buf b;

    (void)state;
    d.from = SPAN_LIT("J\xc3\xb6rg <s@a.example>");
    d.subject = SPAN_LIT("Gr\xc3\xbc\xc3\x9f"
                         "e aus M\xc3\xbcnchen, die etwas l\xc3\xa4nger sind");
    d.text =
        SPAN_LIT("\xc3\xa4=b \nx\t\n" /* white space at the end of lines */
                 "0123456789012345678901234567890123456789012345678901234567890123456789012345x");
    d.to_count = 0;
    buf_init(&b, 1 << 20);
    assert_int_equal(mail_draft_print(&b, &d), 0);
    assert_non_null(strstr(buf_cstr(&b), "From: =?UTF-8?Q?J=C3=B6rg?= <s@a.example>\r\n"));
    assert_non_null(strstr(buf_cstr(&b), "To: undisclosed-recipients:;\r\n"));
    assert_non_null(strstr(buf_cstr(&b), "Subject: =?UTF-8?Q?Gr=C3=BC=C3=9Fe_aus_M=C3=BCnchen"));
    assert_non_null(strstr(buf_cstr(&b), "?=\r\n =?UTF-8?Q?"));
    assert_non_null(strstr(buf_cstr(&b), "quoted-printable\r\n\r\n=C3=A4=3Db=20\r\nx=09\r\n"
                                         "0123456789012345678901234567890123456789"
                                         "01234567890123456789012345678901234=\r\n5x\r\n"));
    buf_deinit(&b);
}

static void two_texts_are_alternatives(void **state)
{
    struct mail_draft d = *plain_draft();
    struct buf b;

    (void)state;
    d.html = SPAN_LIT("<p>x</p>");
    buf_init(&b, 1 << 20);
    assert_int_equal(mail_draft_print(&b, &d), 0);
    assert_non_null(
        strstr(buf_cstr(&b), "multipart/alternative; boundary=\"=_b1\"\r\n\r\n--=_b1\r\n"));
    assert_non_null(strstr(buf_cstr(&b), "\r\n--=_b1\r\nContent-Type: text/html"));
    assert_non_null(strstr(buf_cstr(&b), "<p>x</p>\r\n\r\n--=_b1--\r\n"));
    buf_reset(&b);
    d.text = span_of(NULL, 0);
    assert_int_equal(mail_draft_print(&b, &d), 0);
    assert_null(strstr(buf_cstr(&b), "multipart"));
    buf_deinit(&b);
}

static void what_is_refused(void **state)
{
    const struct span bad_values[] = {
        SPAN_LIT("a\r\nBcc: x@y"),
        SPAN_LIT("a\nb"),
        SPAN_LIT("a\0b"),
        SPAN_LIT("\xff"),
        SPAN_LIT("\xc0\x80"),
        SPAN_LIT("\xed\xa0\x80"),
        SPAN_LIT("\xf5\x80\x80\x80"),
        SPAN_LIT("\xe2\x82"),
    };
    const struct span bad_mailboxes[] = {
        SPAN_LIT(""),         SPAN_LIT("a"),           SPAN_LIT("<>"),        SPAN_LIT("x <a@b> y"),
        SPAN_LIT("a@b, c@d"), SPAN_LIT("a b@c"),       SPAN_LIT("x <a b@c>"), SPAN_LIT("x <a@b"),
        SPAN_LIT("\xc3@b"),   SPAN_LIT("a@b\r\nX: y"),
    };
    struct buf b;

    (void)state;
    buf_init(&b, 1 << 20);
    for (size_t i = 0; i < sizeof bad_values / sizeof bad_values[0]; i++) {
        struct mail_draft d = *plain_draft();
        d.subject = bad_values[i];
        assert_int_equal(mail_draft_print(&b, &d), ERR_SYNTAX);
        d = *plain_draft();
        d.message_id = bad_values[i];
        assert_int_equal(mail_draft_print(&b, &d), ERR_SYNTAX);
    }
    for (size_t i = 0; i < sizeof bad_mailboxes / sizeof bad_mailboxes[0]; i++) {
        struct mail_draft d = *plain_draft();
        d.from = bad_mailboxes[i];
        assert_int_equal(mail_draft_print(&b, &d), ERR_SYNTAX);
        d = *plain_draft();
        d.to = &bad_mailboxes[i];
        d.to_count = 1;
        assert_int_equal(mail_draft_print(&b, &d), ERR_SYNTAX);
    }
    buf_deinit(&b);
    buf_init(&b, 100);
    assert_int_equal(mail_draft_print(&b, plain_draft()), ERR_FULL);
    buf_deinit(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_message),
        cmocka_unit_test(other_bytes_are_encoded),
        cmocka_unit_test(two_texts_are_alternatives),
        cmocka_unit_test(what_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
