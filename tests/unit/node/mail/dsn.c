/* dsn - structure of a notification: three parts, fields per recipient, hostile texts, cut headers.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "node/mail/mail.h"

/* Every line ends with CR LF, none is over 998 bytes, all bytes are printable ASCII or a tab. */
static void expect_lines(struct span s, bool eight_bit)
{
    size_t line = 0;

    assert_true(s.n >= 2 && s.p[s.n - 1] == '\n');
    for (size_t i = 0; i < s.n; i++) {
        uint8_t c = s.p[i];
        if (c == '\n') {
            assert_true(i > 0 && s.p[i - 1] == '\r');
            assert_true(line <= 999);
            line = 0;
            continue;
        }
        if (c == '\r') assert_true(i + 1 < s.n && s.p[i + 1] == '\n');
        assert_true(c == '\r' || c == '\t' || (c >= 0x20 && c != 0x7f));
        if (!eight_bit) assert_true(c < 0x7f);
        line++;
    }
}

static unsigned count(const char *text, const char *part)
{
    unsigned n = 0;

    for (const char *p = text; (p = strstr(p, part)) != NULL; p++)
        n++;
    return n;
}

static struct mail_dsn example(const struct mail_dsn_recipient *recipients, size_t n)
{
    return (struct mail_dsn){ .hostname = SPAN_LIT("mx.example"),
                              .to = SPAN_LIT("sender@a.example"),
                              .boundary = "=_b0001",
                              .message_id = "<dsn.1@mx.example>",
                              .time_ms = 1795484889123,
                              .arrival_ms = 1795484000000,
                              .original_id = "0123456789abc",
                              .recipients = recipients,
                              .recipient_count = n,
                              .original = SPAN_LIT("From: a\r\nSubject: s\r\n\r\n") };
}

static void three_parts(void **state)
{
    const struct mail_dsn_recipient recipients[] = {
        { .address = SPAN_LIT("x@b.example"),
          .action = MAIL_DSN_FAILED,
          .code = 550,
          .status = SPAN_LIT("5.1.1"),
          .remote_host = SPAN_LIT("mx.b.example"),
          .reply_text = SPAN_LIT("no such user"),
          .last_attempt_ms = 1795484800000 },
        { .address = SPAN_LIT("y@b.example"),
          .action = MAIL_DSN_FAILED,
          .reason = SPAN_LIT("the mail expired") },
    };
    struct mail_dsn d = example(recipients, 2);
    struct buf b;
    const char *text;

    (void)state;
    buf_init(&b, 1 << 20);
    mail_dsn_print(&b, &d);
    expect_lines(buf_span(&b), false);
    text = buf_cstr(&b);
    assert_int_equal(count(text, "\r\n--=_b0001\r\n"), 3);
    assert_int_equal(count(text, "\r\n--=_b0001--\r\n"), 1);
    assert_int_equal(count(text, "Content-Type: "), 4);
    assert_non_null(strstr(text, "report-type=delivery-status;\r\n boundary=\"=_b0001\"\r\n"));
    assert_non_null(strstr(text, "To: <sender@a.example>\r\n"));
    assert_non_null(strstr(text, "Auto-Submitted: auto-replied\r\n"));
    assert_non_null(strstr(text, "Message-ID: <dsn.1@mx.example>\r\n"));
    assert_non_null(strstr(text, "Subject: Mail could not be delivered\r\n"));
    assert_non_null(strstr(text, "\r\n\r\nReporting-MTA: dns; mx.example\r\n"
                                 "X-Angarium-Message: 0123456789abc\r\n"
                                 "Arrival-Date: Tue, 24 Nov 2026 01:33:20 +0000\r\n\r\n"
                                 "Final-Recipient: rfc822; x@b.example\r\nAction: failed\r\n"
                                 "Status: 5.1.1\r\nRemote-MTA: dns; mx.b.example\r\n"
                                 "Diagnostic-Code: smtp; 550 5.1.1 no such user\r\n"
                                 "Last-Attempt-Date: Tue, 24 Nov 2026 01:46:40 +0000\r\n\r\n"
                                 "Final-Recipient: rfc822; y@b.example\r\nAction: failed\r\n"
                                 "Status: 5.0.0\r\n"
                                 "Diagnostic-Code: x-angarium; the mail expired\r\n\r\n--"));
    assert_non_null(strstr(text, "Content-Type: text/rfc822-headers\r\n\r\n"
                                 "From: a\r\nSubject: s\r\n\r\n--=_b0001--\r\n"));
    buf_deinit(&b);
}

static void actions_and_statuses(void **state)
{
    const struct mail_dsn_recipient recipients[] = {
        { .address = SPAN_LIT("x@b"), .action = MAIL_DSN_DELAYED, .code = 451 },
        { .address = SPAN_LIT("y@b"), .action = MAIL_DSN_RELAYED },
        { .address = SPAN_LIT("z@b"), .action = MAIL_DSN_DELAYED },
    };
    struct mail_dsn d = example(recipients, 3);
    struct buf b;
    const char *text;

    (void)state;
    buf_init(&b, 1 << 20);
    mail_dsn_print(&b, &d);
    text = buf_cstr(&b);
    assert_non_null(strstr(text, "Subject: Mail is delayed\r\n"));
    assert_int_equal(count(text, "Action: delayed\r\nStatus: 4.0.0\r\n"), 2);
    assert_int_equal(count(text, "Action: relayed\r\nStatus: 2.0.0\r\n"), 1);
    assert_non_null(strstr(text, "Diagnostic-Code: smtp; 451\r\n"));
    assert_non_null(strstr(text, "Diagnostic-Code: x-angarium; no reply\r\n"));
    buf_deinit(&b);
}

static void hostile_texts_are_tamed(void **state)
{
    static char reply[5000];
    struct mail_dsn_recipient r = { .address = SPAN_LIT("x@b\r\nAction: relayed"),
                                    .action = MAIL_DSN_FAILED,
                                    .code = 550,
                                    .remote_host = SPAN_LIT("evil\r\n\r\nhost"),
                                    .reply_text = span_of(reply, sizeof reply) };
    struct mail_dsn d = example(&r, 1);
    struct buf b;

    (void)state;
    for (size_t i = 0; i < sizeof reply; i++)
        reply[i] = i < 2500 ? (char)i : i % 7 ? 'w' : ' ';
    d.original = SPAN_LIT("From: \xc3\xa4\r\nX: a\rb\nc\0d\r\nlast");
    buf_init(&b, 1 << 20);
    mail_dsn_print(&b, &d);
    expect_lines(buf_span(&b), false);
    assert_int_equal(count(buf_cstr(&b), "\r\nAction: "), 1);
    assert_non_null(strstr(buf_cstr(&b), "From: ??\r\nX: a?b?c?d\r\nlast\r\n\r\n--=_b0001--\r\n"));

    buf_reset(&b);
    d.eight_bit = true;
    mail_dsn_print(&b, &d);
    expect_lines(buf_span(&b), true);
    assert_non_null(strstr(buf_cstr(&b), "From: \xc3\xa4\r\n"));
    assert_int_equal(count(buf_cstr(&b), "Content-Transfer-Encoding: 8bit\r\n"), 2);
    buf_deinit(&b);
}

static void long_headers_are_cut_at_a_line(void **state)
{
    struct mail_dsn_recipient r = { .address = SPAN_LIT("x@b") };
    struct mail_dsn d = example(&r, 1);
    struct buf header, b;

    (void)state;
    buf_init(&header, 1 << 20);
    while (header.n < 2 * MAIL_DSN_HEADER_SIZE_MAX)
        buf_addf(&header, "X-Long: %06zu\r\n", header.n);
    d.original = buf_span(&header);
    buf_init(&b, 1 << 20);
    mail_dsn_print(&b, &d);
    expect_lines(buf_span(&b), false);
    assert_int_equal(count(buf_cstr(&b), "X-Long: "), MAIL_DSN_HEADER_SIZE_MAX / 16);
    buf_reset(&b);
    d.original = span_of(NULL, 0);
    mail_dsn_print(&b, &d);
    expect_lines(buf_span(&b), false);
    buf_deinit(&b);
    buf_deinit(&header);
}

/* RFC 5322 3.6.3: whom the author wrote to in secret. Only of the header; and where it ends the header, too. */
static void what_is_private_is_not_returned(void **state)
{
    struct mail_dsn_recipient r = { .address = SPAN_LIT("x@b"), .action = MAIL_DSN_FAILED };
    struct mail_dsn d = example(&r, 1);
    struct buf b;

    (void)state;
    d.original = SPAN_LIT("Return-Path: <a@a>\r\nFrom: a\r\nbcc: b@b,\r\n c@c\r\nSubject: s\r\n"
                          "Resent-Bcc: d@d\r\n\r\nBcc: body\r\n");
    buf_init(&b, 1 << 20);
    mail_dsn_print(&b, &d);
    expect_lines(buf_span(&b), false);
    assert_non_null(strstr(buf_cstr(&b), "rfc822-headers\r\n\r\nFrom: a\r\nSubject: s\r\n\r\n--"));
    buf_reset(&b);
    d.returns_all = true;
    mail_dsn_print(&b, &d);
    expect_lines(buf_span(&b), false);
    assert_non_null(
        strstr(buf_cstr(&b), "rfc822\r\n\r\nFrom: a\r\nSubject: s\r\n\r\nBcc: body\r\n\r\n--"));
    buf_deinit(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(three_parts),
        cmocka_unit_test(actions_and_statuses),
        cmocka_unit_test(hostile_texts_are_tamed),
        cmocka_unit_test(long_headers_are_cut_at_a_line),
        cmocka_unit_test(what_is_private_is_not_returned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
