/* complete - what is added to a header and what is left out. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "node/mail/complete.h"

static void expect_printed(struct mail_completion c, const char *expected)
{
    struct buf out;

    c.id = "0001000000002";
    c.hostname = SPAN_LIT("relay.test");
    c.time_ms = 1704067200000;
    buf_init(&out, 4096);
    mail_completion_print(&out, &c);
    assert_string_equal(buf_cstr(&out), expected);
    buf_deinit(&out);
}

static void what_is_missing_is_added(void **state)
{
    (void)state;
    expect_printed((struct mail_completion){ .return_path = SPAN_LIT("a@b.test") }, "");
    expect_printed((struct mail_completion){ .lacks_date = true },
                   "Date: Mon, 01 Jan 2024 00:00:00 +0000\r\n");
    expect_printed((struct mail_completion){ .lacks_message_id = true },
                   "Message-ID: <0001000000002@relay.test>\r\n");
    expect_printed((struct mail_completion){ .lacks_from = true }, "");
    expect_printed((struct mail_completion){ .lacks_from = true,
                                             .lacks_header = true,
                                             .return_path = SPAN_LIT("\"a b\"@b.test") },
                   "From: <\"a b\"@b.test>\r\n\r\n");
}

/* The header without its private fields. */
static void expect_left(const char *header, const char *expected)
{
    struct span all = span_cstr(header);
    struct buf out;
    size_t from = 0, begin, end;

    buf_init(&out, 4096);
    while (mail_private_next(all, from, &begin, &end)) {
        buf_add_span(&out, span_sub(all, from, begin - from));
        from = end;
    }
    buf_add_span(&out, span_from(all, from));
    assert_string_equal(buf_cstr(&out), expected);
    buf_deinit(&out);
}

static void what_is_private_is_found(void **state)
{
    (void)state;
    expect_left("", "");
    expect_left("A: b\r\n\r\nBcc: x\r\n", "A: b\r\n\r\nBcc: x\r\n");
    expect_left("Bcc: x\r\n\r\n", "\r\n");
    expect_left("A: b\r\nbCC:\r\n x,\r\n\ty\r\nC: d\r\n", "A: b\r\nC: d\r\n");
    expect_left("BCC : x\r\nResent-Bcc: y\r\nA: b\r\nReturn-Path: <>\r\n", "A: b\r\n");
    expect_left("Bcc-Not: x\r\nX-Bcc: y\r\nSubject: Bcc: z\r\n Bcc: z\r\n",
                "Bcc-Not: x\r\nX-Bcc: y\r\nSubject: Bcc: z\r\n Bcc: z\r\n");
    expect_left("no field\r\n Bcc: x\r\nBcc: y", "no field\r\n Bcc: x\r\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_missing_is_added),
        cmocka_unit_test(what_is_private_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
