/* offer - what EHLO's reply offers, read from the joined text as the reply reader gives it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "node/smtp/reply.h"

static struct smtp_offer offer_of(const char *reply)
{
    static struct smtp_reply_reader r;
    struct span in = span_cstr(reply);
    struct smtp_offer o;

    smtp_reply_reader_init(&r);
    assert_int_equal(smtp_reply_read(&r, &in), 0);
    smtp_offer_parse(span_cstr(r.reply.text), &o);
    return o;
}

static void a_common_offer(void **state)
{
    struct smtp_offer o = offer_of("250-mx.example at your service\r\n250-SIZE 35882577\r\n"
                                   "250-8BITMIME\r\n250-STARTTLS\r\n250-ENHANCEDSTATUSCODES\r\n"
                                   "250-PIPELINING\r\n250-CHUNKING\r\n250-AUTH PLAIN LOGIN\r\n"
                                   "250-DSN\r\n250 SMTPUTF8\r\n");

    (void)state;
    assert_true(o.size && o.eight_bit_mime && o.starttls && o.enhanced_status && o.pipelining);
    assert_true(o.chunking && o.auth && o.dsn && o.smtputf8);
    assert_int_equal(o.size_max, 35882577);
}

static void the_greeting_offers_nothing(void **state)
{
    struct smtp_offer o = offer_of("250 STARTTLS\r\n");

    (void)state;
    assert_false(o.starttls);
    o = offer_of("250-\r\n250 STARTTLS\r\n");
    assert_true(o.starttls);
}

static void forms(void **state)
{
    struct smtp_offer o = offer_of("250-x\r\n250-starttls\r\n250-AUTH=LOGIN\r\n250-Size\r\n"
                                   "250-STARTTLSX\r\n250-PIPELININ\r\n250 X-DSN\r\n");

    (void)state;
    assert_true(o.starttls && o.auth && o.size);
    assert_int_equal(o.size_max, 0);
    assert_false(o.pipelining || o.dsn);
    o = offer_of("250-x\r\n250 SIZE many\r\n");
    assert_true(o.size);
    assert_int_equal(o.size_max, 0);
    o = offer_of("250-x\r\n250 SIZE  10 \r\n");
    assert_int_equal(o.size_max, 10);
    smtp_offer_parse(span_of(NULL, 0), &o);
    assert_false(o.size);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_common_offer),
        cmocka_unit_test(the_greeting_offers_nothing),
        cmocka_unit_test(forms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
