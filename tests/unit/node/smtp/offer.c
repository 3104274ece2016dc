/* offer - what EHLO's reply offers, as the reply reader gives it. */
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

    smtp_reply_reader_init(&r);
    assert_int_equal(smtp_reply_read(&r, &in), 0);
    return r.offer;
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
    o = offer_of("250 x\r\n");
    assert_false(o.size);
}

/* RFC 5321 4.1.1.1: the text that is kept of a reply is bounded, what its lines offer is not cut with it. */
static void an_offer_behind_a_long_text_counts(void **state)
{
    struct smtp_offer o;
    struct buf reply;

    (void)state;
    buf_init(&reply, 8192);
    buf_add_cstr(&reply, "250-x\r\n");
    for (unsigned i = 0; i < 60; i++)
        buf_add_cstr(&reply, "250-X-UNKNOWN-EXTENSION with some words behind it\r\n");
    buf_add_cstr(&reply, "250-STARTTLS\r\n250 SIZE 77 / 8BITMIME\r\n");
    o = offer_of(buf_cstr(&reply));
    buf_deinit(&reply);
    assert_true(o.starttls && o.size);
    assert_false(o.eight_bit_mime); /* no line of its own */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_common_offer),
        cmocka_unit_test(the_greeting_offers_nothing),
        cmocka_unit_test(forms),
        cmocka_unit_test(an_offer_behind_a_long_text_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
