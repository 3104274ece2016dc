/* post - mails out of requests: envelope, body, and what is refused.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "node/ops/post.h"
#include "proto/ground/check.h"

static struct settings *settings;

static int set_up(void **state)
{
    static const char text[] =
        "node: { id: 1, hostname: relay.test, data_dir: d }\n"
        "listeners: [ { kind: mx, address: \"127.0.0.1:25\" } ]\n"
        "tenants: [ { name: other, domains: [ o.test ] }, { name: demo, "
        "domains: [ example.test, xn--bcher-kva.test ] } ]\n"
        "content: { gtube: true }\n"
        "content_rules: [ { name: pill, part: body, match: pills }, { name: o, part: body, "
        "match: there, tenant: other }, { name: t, part: header, field: subject, match: \"hi*\", "
        "action: tag } ]\n"
        "limits: { message_size_max: 600KiB, recipients_max: 100 }\n";
    struct buf errors;

    (void)state;
    buf_init(&errors, 4096);
    assert_int_equal(settings_parse(&settings, "x", SPAN_LIT(text), &errors), 0);
    buf_deinit(&errors);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    settings_unref(&settings);
    return 0;
}

static int make(struct post *p, const char *type, struct span body, const char *from,
                const char *to)
{
    struct post_input in = { .content_type = span_cstr(type),
                             .body = body,
                             .query_from = from,
                             .query_to = to,
                             .time_ms = 1795484889123 };

    post_init(p);
    return post_make(p, &in, settings);
}

static int make_json(struct post *p, const char *text)
{
    return make(p, "application/json; charset=utf-8", span_cstr(text), "", "");
}

static void refused(const char *text, enum problem problem)
{
    struct post p;

    assert_int_equal(make_json(&p, text), ERR_SYNTAX);
    assert_int_equal(p.problem, problem);
    assert_true(strlen(p.detail) > 0);
    post_deinit(&p);
}

static char *body_of(const struct post *p)
{
    struct buf all;
    char *text;

    buf_init(&all, 2u << 20);
    for (unsigned i = 0; i < p->piece_count; i++)
        buf_add_span(&all, blob_span(p->pieces[i]));
    text = span_dup(buf_span(&all));
    buf_deinit(&all);
    return text;
}

static void fields(void **state)
{
    struct post p;
    char *body;

    (void)state;
    assert_int_equal(
        make_json(&p,
                  "{\"from\":\"Me <me@Example.TEST>\",\"to\":[\"a@B.test\",\"<c@[192.0.2.1]>\"],"
                  "\"subject\":\"\xc3\xbc\",\"text\":\"hi\"}"),
        0);
    assert_string_equal(p.tenant, "demo");
    assert_true(span_eq(p.from, SPAN_LIT("me@Example.TEST")));
    assert_int_equal(p.recipient_count, 2);
    assert_true(span_eq(proto_span(p.recipients[0]->address), SPAN_LIT("a@B.test")));
    assert_true(span_eq(proto_span(p.recipients[0]->domain), SPAN_LIT("b.test")));
    assert_true(span_eq(proto_span(p.recipients[1]->domain), SPAN_LIT("[192.0.2.1]")));
    assert_int_equal(p.piece_count, 1);
    body = body_of(&p);
    assert_non_null(strstr(body, "From: \"Me\" <me@Example.TEST>\r\n"));
    assert_non_null(strstr(body, "\r\n\r\nhi"));
    assert_true(p.facts.has_from && p.facts.has_date && p.facts.has_message_id);
    assert_int_equal(p.facts.size, strlen(body));
    free(body);
    post_deinit(&p);
}

static void raw(void **state)
{
    struct post p;
    char *body;

    (void)state;
    assert_int_equal(
        make_json(&p,
                  "{\"from\":\"me@o.test\",\"to\":\"a@b.test\",\"raw\":\"A: b\\n\\nx\\r\\ny\\n\"}"),
        0);
    assert_string_equal(p.tenant, "other");
    body = body_of(&p);
    assert_string_equal(body, "A: b\r\n\r\nx\r\ny\r\n");
    assert_int_equal(p.facts.header_size, 8);
    free(body);
    post_deinit(&p);
}

static void whole_mails(void **state)
{
    struct post p;

    (void)state;
    assert_int_equal(make(&p, "message/rfc822", SPAN_LIT("A: b\r\n\r\nx"), "me@example.test",
                          "a@b.test,c@d.test"),
                     0);
    assert_int_equal(p.recipient_count, 2);
    post_deinit(&p);
    assert_int_equal(make(&p, "message/rfc822", span_of(NULL, 0), "me@example.test", "a@b.test"),
                     0);
    assert_int_equal(p.piece_count, 1);
    assert_int_equal(p.pieces[0]->n, 0);
    post_deinit(&p);
    assert_int_equal(make(&p, "message/rfc822", SPAN_LIT("x"), "me@example.test", ""), ERR_SYNTAX);
    post_deinit(&p);
    assert_int_equal(make(&p, "message/rfc822", SPAN_LIT("x"), "", "a@b.test"), ERR_SYNTAX);
    post_deinit(&p);
    assert_int_equal(make(&p, "text/plain", SPAN_LIT("x"), "", ""), ERR_SYNTAX);
    assert_int_equal(p.problem, PROBLEM_WRONG_TYPE);
    post_deinit(&p);
    assert_int_equal(make(&p, "", SPAN_LIT("x"), "", ""), ERR_SYNTAX);
    assert_int_equal(p.problem, PROBLEM_WRONG_TYPE);
    post_deinit(&p);
}

/* Pieces are full but for the last one. */
static void large_mails(void **state)
{
    size_t n = 2 * COMMIT_INLINE_SIZE_MAX + 10;
    char *mail = check_malloc(n);
    struct post p;

    (void)state;
    memset(mail, 'x', n);
    memcpy(mail, "A: b\r\n\r\n", 8);
    assert_int_equal(make(&p, "message/rfc822", span_of(mail, n), "me@example.test", "a@b.test"),
                     0);
    assert_int_equal(p.piece_count, 3);
    assert_int_equal(p.pieces[0]->n, COMMIT_INLINE_SIZE_MAX);
    assert_int_equal(p.pieces[2]->n, 10);
    assert_int_equal(p.facts.size, n);
    post_deinit(&p);
    free(mail);
    n = 601u << 10;
    mail = check_calloc(1, n);
    assert_int_equal(make(&p, "message/rfc822", span_of(mail, n), "me@example.test", "a@b.test"),
                     ERR_SYNTAX);
    assert_int_equal(p.problem, PROBLEM_TOO_LARGE);
    post_deinit(&p);
    free(mail);
}

static void what_is_refused(void **state)
{
    (void)state;
    refused("", PROBLEM_BAD_REQUEST);
    refused("{", PROBLEM_BAD_REQUEST);
    refused("[]", PROBLEM_BAD_REQUEST);
    refused("{\"from\":\"me@example.test\",\"to\":\"a@b.test\",\"text\":\"x\",\"cc\":\"y\"}",
            PROBLEM_BAD_REQUEST);
    refused("{\"from\":\"me@example.test\",\"to\":\"a@b.test\",\"text\":5}", PROBLEM_BAD_REQUEST);
    refused("{\"from\":\"me@example.test\",\"to\":\"a@b.test\",\"raw\":\"x\",\"text\":\"y\"}",
            PROBLEM_BAD_REQUEST);
    refused("{\"from\":\"me@example.test\",\"to\":\"a@b.test\"}", PROBLEM_NOT_A_MAIL);
    refused("{\"from\":\"me@example.test\",\"to\":[],\"text\":\"x\"}", PROBLEM_NOT_A_MAIL);
    refused("{\"from\":\"me@example.test\",\"to\":[5],\"text\":\"x\"}", PROBLEM_NOT_A_MAIL);
    refused("{\"from\":\"me@example.test\",\"to\":\"nobody\",\"text\":\"x\"}", PROBLEM_NOT_A_MAIL);
    refused("{\"from\":\"me@example.test\",\"text\":\"x\"}", PROBLEM_NOT_A_MAIL);
    refused("{\"to\":\"a@b.test\",\"text\":\"x\"}", PROBLEM_NOT_A_MAIL);
    refused("{\"from\":\"\",\"to\":\"a@b.test\",\"text\":\"x\"}", PROBLEM_NOT_A_MAIL);
    refused("{\"from\":\"me@stranger.test\",\"to\":\"a@b.test\",\"text\":\"x\"}",
            PROBLEM_NOT_ALLOWED);
    refused("{\"from\":\"me@sub.example.test\",\"to\":\"a@b.test\",\"text\":\"x\"}",
            PROBLEM_NOT_ALLOWED);
    refused("{\"from\":\"me@example.test\",\"to\":\"a@b.test\",\"subject\":\"a\\nBcc: "
            "x\",\"text\":\"x\"}",
            PROBLEM_NOT_A_MAIL);
    refused("{\"from\":\"me@example.test\",\"to\":\"a@b.test\",\"raw\":\"A: b\\n\\nx\\ry\"}",
            PROBLEM_NOT_A_MAIL);
    refused("{\"from\":\"me@example.test\",\"to\":\"a@b.test\",\"raw\":\"A: b\\n\\nx\\u0000y\"}",
            PROBLEM_NOT_A_MAIL);
    refused("{\"from\":\"me@example.test\",\"to\":\"a@b.test\",\"raw\":\"From: c@b.test\\n\\nx\"}",
            PROBLEM_NOT_ALLOWED);
}

/* C084: the same rules as over SMTP. */
static void content(void **state)
{
    struct mail_content_hit hit;
    unsigned at = 0;
    struct post p;

    (void)state;
    assert_int_equal(make_json(&p, "{\"from\":\"a@example.test\",\"to\":\"b@c.test\",\"subject\":"
                                   "\"s\",\"text\":\"P\\u00e4 PILLS\"}"),
                     ERR_SYNTAX);
    assert_int_equal(p.problem, PROBLEM_NOT_ALLOWED);
    assert_string_equal(p.detail, "the content is refused, rule pill");
    assert_true(p.is_rejected);
    post_deinit(&p);
    assert_int_equal(make_json(&p, "{\"from\":\"a@example.test\",\"to\":\"b@c.test\",\"subject\":"
                                   "\"hi there\",\"text\":\"there\"}"),
                     0);
    assert_true(mail_content_tagged(p.scan, &at, &hit));
    assert_string_equal(hit.said, "t");
    assert_false(p.is_rejected);
    post_deinit(&p);
}

/* RFC 6531 3.2: as over SMTP with SMTPUTF8; a domain is the tenant's by its A-labels. */
static void addresses_in_utf8(void **state)
{
    static const char text[] = "{\"from\":\"\xc3\xa4@b\xc3\xbc"
                               "cher.test\",\"to\":\"\xc3\xbc@c.test\","
                               "\"subject\":\"s\",\"text\":\"x\"}";
    struct post p;

    (void)state;
    assert_int_equal(make_json(&p, text), 0);
    assert_true(p.smtputf8);
    assert_true(p.facts.eight_bit_header);
    assert_true(span_eq(p.from, SPAN_LIT("\xc3\xa4@b\xc3\xbc"
                                         "cher.test")));
    assert_true(span_eq(proto_span(p.recipients[0]->address), SPAN_LIT("\xc3\xbc@c.test")));
    assert_true(span_eq(proto_span(p.recipients[0]->domain), SPAN_LIT("c.test")));
    post_deinit(&p);
    assert_int_equal(
        make_json(&p, "{\"from\":\"a@example.test\",\"to\":\"b@c.test\",\"text\":\"x\"}"), 0);
    assert_false(p.smtputf8);
    post_deinit(&p);
    refused("{\"from\":\"a@example.test\",\"to\":\"b\\u202e@c.test\",\"text\":\"x\"}",
            PROBLEM_NOT_A_MAIL);
    refused("{\"from\":\"a@b\xc3\xbc"
            "chers.test\",\"to\":\"b@c.test\",\"text\":\"x\"}",
            PROBLEM_NOT_ALLOWED);
}

static void too_many_recipients(void **state)
{
    struct buf text;

    (void)state;
    buf_init(&text, 64u << 10);
    buf_add_cstr(&text, "{\"from\":\"me@example.test\",\"text\":\"x\",\"to\":[");
    for (int i = 0; i <= 100; i++)
        buf_addf(&text, "%s\"u%d@b.test\"", i > 0 ? "," : "", i);
    buf_add_cstr(&text, "]}");
    refused(buf_cstr(&text), PROBLEM_NOT_A_MAIL);
    buf_deinit(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_in_utf8),
        cmocka_unit_test(content),
        cmocka_unit_test(fields),
        cmocka_unit_test(raw),
        cmocka_unit_test(whole_mails),
        cmocka_unit_test(large_mails),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(too_many_recipients),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
