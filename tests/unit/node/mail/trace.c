/* trace - the Received field: all clauses, few clauses, hostile names. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "node/mail/mail.h"

static void all_clauses(void **state)
{
    struct mail_trace t = { .helo = SPAN_LIT("client.example"),
                            .client_address = SPAN_LIT("192.0.2.1"),
                            .hostname = SPAN_LIT("mx.example"),
                            .protocol = SPAN_LIT("ESMTPSA"),
                            .tls = SPAN_LIT("TLSv1.3 TLS_AES_256_GCM_SHA384"),
                            .for_address = SPAN_LIT("a@b.example"),
                            .id = "0123456789abc",
                            .time_ms = 1795484889123 };
    struct buf b;

    (void)state;
    buf_init(&b, 10000);
    mail_received_print(&b, &t);
    assert_string_equal(buf_cstr(&b), "Received: from client.example ([192.0.2.1])\r\n"
                                      "\tby mx.example with ESMTPSA\r\n"
                                      "\t(TLSv1.3 TLS_AES_256_GCM_SHA384)\r\n"
                                      "\tid 0123456789abc\r\n"
                                      "\tfor <a@b.example>;\r\n"
                                      "\tTue, 24 Nov 2026 01:48:09 +0000\r\n");
    buf_deinit(&b);
}

static void few_clauses(void **state)
{
    struct mail_trace t = { .hostname = SPAN_LIT("mx.example"),
                            .protocol = SPAN_LIT("HTTP"),
                            .id = "0123456789abc",
                            .time_ms = 0 };
    struct buf b;

    (void)state;
    buf_init(&b, 10000);
    mail_received_print(&b, &t);
    assert_string_equal(buf_cstr(&b), "Received: by mx.example with HTTP id 0123456789abc;\r\n"
                                      "\tThu, 01 Jan 1970 00:00:00 +0000\r\n");
    buf_reset(&b);
    t.client_address = SPAN_LIT("2001:db8::1");
    t.id = NULL;
    mail_received_print(&b, &t);
    assert_string_equal(buf_cstr(&b), "Received: from [IPv6:2001:db8::1]\r\n"
                                      "\tby mx.example with HTTP;\r\n"
                                      "\tThu, 01 Jan 1970 00:00:00 +0000\r\n");
    buf_deinit(&b);
}

static void hostile_names_break_nothing(void **state)
{
    struct mail_trace t = { .helo = SPAN_LIT("a\r\nX: (b); \"\xff\\"),
                            .hostname = SPAN_LIT("mx.example"),
                            .tls = SPAN_LIT("x) y\n"),
                            .for_address = SPAN_LIT("\"a b\"@c>\r\nX: y"),
                            .id = "1" };
    struct buf b;

    (void)state;
    buf_init(&b, 10000);
    mail_received_print(&b, &t);
    assert_string_equal(buf_cstr(&b), "Received: from a??X:??b??????\r\n"
                                      "\tby mx.example\r\n\t(x? y?)\r\n\tid 1\r\n"
                                      "\tfor <\"a?b\"@c???X:?y>;\r\n"
                                      "\tThu, 01 Jan 1970 00:00:00 +0000\r\n");
    buf_deinit(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_clauses),
        cmocka_unit_test(few_clauses),
        cmocka_unit_test(hostile_names_break_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
