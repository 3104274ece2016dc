/* json - events and recipients have exactly the members that are promised; foreign bytes become
 * valid.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "node/ops/inside.h"
#include "node/ops/text.h"

static void check_text(json_t *j, const char *expected)
{
    char *text = json_dumps(j, JSON_COMPACT | JSON_ENCODE_ANY);

    assert_string_equal(text, expected);
    free(text);
    json_decref(j);
}

static void bytes_become_texts(void **state)
{
    (void)state;
    check_text(json_of_bytes(SPAN_LIT("plain")), "\"plain\"");
    check_text(json_of_bytes(span_of(NULL, 0)), "\"\"");
    check_text(json_of_bytes(SPAN_LIT("\xc3\xbc \xe2\x82\xac \xf0\x9f\x93\xab")),
               "\"\xc3\xbc \xe2\x82\xac \xf0\x9f\x93\xab\"");
    check_text(json_of_bytes(SPAN_LIT("a\"\n\x01")), "\"a\\\"\\n\\u0001\"");
    check_text(json_of_bytes(span_of("a\0b", 3)), "\"a\\u0000b\"");
}

static void damaged_bytes_are_replaced(void **state)
{
    static const char *const damaged[] = {
        "\xff", /* never a byte of UTF-8 */
        "\x80", /* continues nothing */
        "\xc3", /* ends too early */
        "\xc0", /* an overlong beginning */
        "\xf5", /* over U+10FFFF */
    };

    (void)state;
    for (size_t i = 0; i < sizeof damaged / sizeof damaged[0]; i++)
        check_text(json_of_bytes(span_cstr(damaged[i])), "\"\xef\xbf\xbd\"");
    check_text(json_of_bytes(SPAN_LIT("a\xe9z")), "\"a\xef\xbf\xbdz\"");
    check_text(json_of_bytes(SPAN_LIT("\xe0\x80\xaf")), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
    check_text(json_of_bytes(SPAN_LIT("\xed\xa0\x80")), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
    check_text(json_of_bytes(SPAN_LIT("\xf4\x90\x80\x80")),
               "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
    check_text(json_of_bytes(SPAN_LIT("\xe2\x82")), "\"\xef\xbf\xbd\xef\xbf\xbd\"");
}

static void an_accepted_event(void **state)
{
    Angarium__Event e = ANGARIUM__EVENT__INIT;

    (void)state;
    e.type = ANGARIUM__EVENT_TYPE__EVENT_ACCEPTED;
    e.time_ms = 1795484889123;
    e.index = 2;
    e.recipient = proto_bytes(SPAN_LIT("you@example.org"));
    e.tenant = proto_bytes(SPAN_LIT("demo"));
    e.node = 1;
    e.mail_from = proto_bytes(SPAN_LIT("me@example.test"));
    e.size = 311;
    check_text(json_of_event(1, 2, 0, &e), "{\"id\":\"0000g00000002.0000\",\"type\":\"accepted\","
                                           "\"time\":\"2026-11-24T01:48:09.123Z\","
                                           "\"message_id\":\"0000g00000002\",\"recipient\":\"you@"
                                           "example.org\",\"tenant\":\"demo\",\"node\":1,"
                                           "\"mail_from\":\"me@example.test\",\"size\":311}");
}

static void a_deferred_event(void **state)
{
    Angarium__Event e = ANGARIUM__EVENT__INIT;
    Angarium__Reply reply = ANGARIUM__REPLY__INIT;

    (void)state;
    reply.code = 451;
    reply.enhanced = proto_bytes(SPAN_LIT("4.7.1"));
    reply.text = proto_bytes(SPAN_LIT("sp\xe4ter"));
    e.type = ANGARIUM__EVENT_TYPE__EVENT_DEFERRED;
    e.time_ms = 1795484889123;
    e.index = 2;
    e.recipient = proto_bytes(SPAN_LIT("you@example.org"));
    e.tenant = proto_bytes(SPAN_LIT("demo"));
    e.node = 1;
    e.attempt = 3;
    e.remote_host = proto_bytes(SPAN_LIT("mx.example.org"));
    e.remote_address = proto_bytes(SPAN_LIT("192.0.2.1"));
    e.source_address = proto_bytes(SPAN_LIT("192.0.2.9"));
    e.tls = proto_bytes(SPAN_LIT("TLSv1.3 TLS_AES_256_GCM_SHA384"));
    e.reply = &reply;
    e.class_ = proto_bytes(SPAN_LIT("greylist"));
    e.next_attempt_at_ms = 1795484890000;
    check_text(json_of_event(4, 77, 9, &e),
               "{\"id\":\"0002000000"
               "02d.0009\",\"type\":\"deferred\",\"time\":\"2026-11-24T01:48:09.123Z\","
               "\"message_id\":\"0002000000002\",\"recipient\":\"you@example.org\",\"tenant\":"
               "\"demo\",\"node\":1,"
               "\"attempt\":3,\"remote_host\":\"mx.example.org\",\"remote_address\":\"192.0.2.1\","
               "\"source_address\":\"192.0.2.9\",\"tls\":\"TLSv1.3 "
               "TLS_AES_256_GCM_SHA384\",\"reply\":{\"code\":451,"
               "\"enhanced\":\"4.7.1\",\"text\":\"sp\xef\xbf\xbdter\"},\"class\":\"greylist\","
               "\"next_attempt_at\":\"2026-11-24T01:48:10.000Z\"}");
}

static void a_recipient(void **state)
{
    Angarium__RecipientRecord r = ANGARIUM__RECIPIENT_RECORD__INIT;

    (void)state;
    r.address = proto_bytes(SPAN_LIT("you@Example.org"));
    r.domain = proto_bytes(SPAN_LIT("example.org"));
    r.state = ANGARIUM__RECIPIENT_STATE__RECIPIENT_WAITING;
    r.due_at_ms = 1795484890000;
    r.attempts = 1;
    check_text(json_of_recipient(7, &r), "{\"number\":7,\"address\":\"you@Example.org\",\"domain\":"
                                         "\"example.org\",\"state\":\"waiting\","
                                         "\"attempts\":1,\"doubts\":0,\"next_attempt_at\":\"2026-"
                                         "11-24T01:48:10.000Z\",\"finished_at\":null}");
    r.state = ANGARIUM__RECIPIENT_STATE__RECIPIENT_DELIVERED;
    r.finished_at_ms = 1795484889123;
    r.doubts = 2;
    check_text(json_of_recipient(7, &r), "{\"number\":7,\"address\":\"you@Example.org\",\"domain\":"
                                         "\"example.org\",\"state\":\"delivered\","
                                         "\"attempts\":1,\"doubts\":2,\"next_attempt_at\":null,"
                                         "\"finished_at\":\"2026-11-24T01:48:09.123Z\"}");
}

/* All that a text can hold, in both ways. */
static void texts_are_what_values_are(void **state)
{
    static const uint64_t numbers[] = { 0, 7, 10, 4294967295, INT64_MAX };
    struct buf b;
    uint8_t bytes[5];
    json_t *j;
    char *text;

    (void)state;
    for (unsigned i = 0; i < 0x10000; i++) {
        size_t n = 0;

        bytes[n++] = 'a';
        bytes[n++] = (uint8_t)(i >> 8);
        bytes[n++] = (uint8_t)i;
        if (i % 3 > 0) bytes[n++] = 0x80 | (i * 7 & 0x7f);
        if (i % 5 > 0) bytes[n++] = '\\';
        buf_init(&b, 4096);
        buf_add_cstr(&b, "{");
        text_put_bytes(&b, "x", span_of(bytes, n));
        text_put_number(&b, "y", numbers[i % 5]);
        text_put_time(&b, "z", i);
        text_put_id(&b, "id", i * 7919);
        buf_add_cstr(&b, "}");
        j = json_object();
        json_object_set_new(j, "x", json_of_bytes(span_of(bytes, n)));
        json_object_set_new(j, "y", json_integer((json_int_t)numbers[i % 5]));
        json_put_time(j, "z", i);
        json_put_id(j, "id", i * 7919);
        text = json_dumps(j, JSON_COMPACT);
        assert_string_equal(buf_cstr(&b), text);
        free(text);
        json_decref(j);
        buf_deinit(&b);
    }
}

static void a_recipient_with_everything(void **state)
{
    Angarium__RecipientRecord r = ANGARIUM__RECIPIENT_RECORD__INIT;
    Angarium__Reply reply = ANGARIUM__REPLY__INIT;

    (void)state;
    r.address = proto_bytes(span_of("a\0\"\xff@x", 6));
    r.domain = proto_bytes(SPAN_LIT("x"));
    r.state = ANGARIUM__RECIPIENT_STATE__RECIPIENT_CLAIMED;
    r.due_at_ms = 1;
    r.attempts = r.doubts = UINT32_MAX;
    r.in_doubt_since_ms = 1795484890000;
    r.claimed_host = proto_bytes(SPAN_LIT("mx"));
    reply.code = 451;
    reply.text = proto_bytes(SPAN_LIT("later\r\n"));
    r.last_reply = &reply;
    r.last_host = proto_bytes(SPAN_LIT("mx2"));
    r.class_ = proto_bytes(SPAN_LIT("greylist"));
    check_text(json_of_recipient(0, &r),
               "{\"number\":0,\"address\":\"a\\u0000\\\"\xef\xbf\xbd@x\",\"domain\":\"x\",\"state\":\"claimed\","
               "\"attempts\":4294967295,\"doubts\":4294967295,\"in_doubt_since\":\"2026-11-24T01:48:10.000Z\","
               "\"claimed_host\":\"mx\",\"next_attempt_at\":null,\"last_reply\":{\"code\":451,\"enhanced\":\"\","
               "\"text\":\"later\\r\\n\"},\"last_host\":\"mx2\",\"class\":\"greylist\",\"finished_at\":null}");
}

static void pages(void **state)
{
    (void)state;
    check_text(json_page(json_array(), NULL), "{\"items\":[],\"next_cursor\":null}");
    check_text(json_page(json_pack("[i]", 1), json_string("x")),
               "{\"items\":[1],\"next_cursor\":\"x\"}");
}

static void filters(void **state)
{
    struct event_filter f = { .type = ANGARIUM__EVENT_TYPE__EVENT_NONE };
    Angarium__Event e = ANGARIUM__EVENT__INIT;

    (void)state;
    e.type = ANGARIUM__EVENT_TYPE__EVENT_DELIVERED;
    e.index = 5;
    e.time_ms = 1000;
    e.recipient = proto_bytes(SPAN_LIT("You@example.org"));
    assert_true(event_filter_fits(&f, 2, &e));
    f.type = ANGARIUM__EVENT_TYPE__EVENT_BOUNCED;
    assert_false(event_filter_fits(&f, 2, &e));
    f.type = ANGARIUM__EVENT_TYPE__EVENT_DELIVERED;
    f.message = proto_id(2, 5);
    assert_true(event_filter_fits(&f, 2, &e));
    assert_false(event_filter_fits(&f, 3, &e));
    f.since_ms = 1001;
    assert_false(event_filter_fits(&f, 2, &e));
    f.since_ms = 1000;
    snprintf(f.recipient, sizeof f.recipient, "you@EXAMPLE.org");
    assert_true(event_filter_fits(&f, 2, &e));
    snprintf(f.recipient, sizeof f.recipient, "you@example.or");
    assert_false(event_filter_fits(&f, 2, &e));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_become_texts),
        cmocka_unit_test(damaged_bytes_are_replaced),
        cmocka_unit_test(an_accepted_event),
        cmocka_unit_test(a_deferred_event),
        cmocka_unit_test(a_recipient),
        cmocka_unit_test(texts_are_what_values_are),
        cmocka_unit_test(a_recipient_with_everything),
        cmocka_unit_test(pages),
        cmocka_unit_test(filters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
