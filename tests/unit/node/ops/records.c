/* records - a record as JSON and back: inner mappings, lists, what is refused; hashes are never shown. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "node/ops/inside.h"
#include "proto/ground/check.h"

static Angarium__ControlRecord *taken(enum control_kind kind, const char *name, const char *text)
{
    Angarium__ControlRecord *r = NULL;
    struct errmsg why = { "" };
    char *password = NULL;
    json_t *j = json_loads(text, JSON_REJECT_DUPLICATES, NULL);

    assert_non_null(j);
    if (record_of_json(kind, name, j, &r, &password, &why) != 0) fail_msg("%s", why.text);
    assert_null(password);
    json_decref(j);
    return r;
}

static void free_record(Angarium__ControlRecord *r)
{
    angarium__control_record__free_unpacked(r, NULL);
}

static void refused(enum control_kind kind, const char *name, const char *text, const char *said)
{
    Angarium__ControlRecord *r = NULL;
    struct errmsg why = { "" };
    char *password = NULL;
    json_t *j = json_loads(text, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);

    assert_non_null(j);
    assert_int_equal(record_of_json(kind, name, j, &r, &password, &why), ERR_CONFIG);
    assert_null(r);
    assert_null(password);
    assert_string_equal(why.text, said);
    json_decref(j);
}

static void a_route_comes_back_as_it_was_said(void **state)
{
    static const char text[] =
        "{\"name\":\"example.org\",\"version\":0,\"via\":\"host\",\"host\":\"a.test:587\",\"pins\":"
        "[\"aa\",\"bb\"],"
        "\"auth\":{\"username\":\"me\",\"oauth\":{\"token_url\":\"https://x\",\"scope\":\"s\"}}}";
    Angarium__ControlRecord *r = taken(CONTROL_ROUTE, "example.org", text);
    json_t *back = json_of_record(r), *said = json_loads(text, 0, NULL);

    (void)state;
    assert_true(span_eq(control_field(r, "auth.oauth.token_url"), SPAN_LIT("https://x")));
    assert_int_equal(r->n_fields, 7);
    assert_true(json_equal(back, said));
    json_decref(back);
    json_decref(said);
    free_record(r);
    /* one pin is a list all the same */
    r = taken(CONTROL_ROUTE, "a", "{\"pins\":[\"aa\"]}");
    back = json_of_record(r);
    assert_true(json_is_array(json_object_get(back, "pins")));
    json_decref(back);
    free_record(r);
}

static void names_take_their_one_form(void **state)
{
    Angarium__ControlRecord *r =
        taken(CONTROL_DOMAIN, NULL, "{\"name\":\"Foo.TEST\",\"tenant\":\"T\"}");

    (void)state;
    assert_true(span_eq(proto_span(r->name), SPAN_LIT("foo.test")));
    assert_true(span_eq(proto_span(r->tenant), SPAN_LIT("T")));
    free_record(r);
    r = taken(CONTROL_CREDENTIAL, "App", "{\"tenant\":\"t\",\"version\":7}");
    assert_true(span_eq(proto_span(r->name), SPAN_LIT("App")));
    assert_int_equal(r->version, 0);
    free_record(r);
    r = taken(CONTROL_SETTING, "content.gtube", "{\"value\":true}");
    assert_true(span_eq(control_field(r, "value"), SPAN_LIT("true")));
    free_record(r);
    r = taken(CONTROL_SETTING, "limits.hops_max", "{\"value\":30}");
    assert_true(span_eq(control_field(r, "value"), SPAN_LIT("30")));
    free_record(r);
}

static void a_password_is_handed_over_and_a_hash_not_shown(void **state)
{
    Angarium__ControlRecord *r = NULL;
    struct errmsg why = { "" };
    char *password = NULL, hash[256], *text;
    json_t *j = json_loads("{\"tenant\":\"t\",\"password\":\"correct horse\"}", 0, NULL);

    (void)state;
    assert_int_equal(record_of_json(CONTROL_CREDENTIAL, "u", j, &r, &password, &why), 0);
    assert_string_equal(password, "correct horse");
    assert_int_equal(r->n_fields, 0);
    json_decref(j);
    assert_int_equal(record_hash(password, hash, sizeof hash), 0);
    assert_true(record_hash_ok(span_cstr(hash)));
    assert_null(strstr(hash, "correct"));
    record_add_field(r, SPAN_LIT("password_hash"), span_cstr(hash));
    j = json_of_record(r);
    text = json_dumps(j, 0);
    assert_null(strstr(text, "argon2id"));
    free(text);
    json_decref(j);
    free(password);
    free_record(r);
    assert_false(record_hash_ok(SPAN_LIT("$argon2id$")));
    assert_false(record_hash_ok(SPAN_LIT("$2b$12$abcdefghijklmnopqrstuv")));
    assert_false(record_hash_ok(SPAN_LIT("")));
}

static void what_cannot_be_is_told(void **state)
{
    (void)state;
    refused(CONTROL_TENANT, NULL, "{}", "name: a text of 1 to 255 bytes is needed");
    refused(CONTROL_TENANT, NULL, "{\"name\":\"\"}", "name: a text of 1 to 255 bytes is needed");
    refused(CONTROL_TENANT, NULL, "{\"name\":\"a\\u0000b\"}",
            "name: a text of 1 to 255 bytes is needed");
    refused(CONTROL_TENANT, "a", "{\"name\":\"b\"}",
            "name: is another one than in the path; a name stays");
    refused(CONTROL_TENANT, "a", "{\"tenant\":\"b\"}", "tenant: there is no such field");
    refused(CONTROL_CREDENTIAL, "a", "{}", "tenant: is missing");
    refused(CONTROL_CREDENTIAL, "a", "{\"tenant\":5}", "tenant: a name is needed");
    refused(CONTROL_CREDENTIAL, "a", "{\"tenant\":\"t\",\"password\":\"short\"}",
            "password: a text of 8 to 1024 bytes is needed");
    refused(CONTROL_CREDENTIAL, "a",
            "{\"tenant\":\"t\",\"password\":\"long enough\",\"password_hash\":\"x\"}",
            "password: is given, and password_hash as well");
    refused(CONTROL_ROUTE, "a", "{\"password\":\"long enough\"}",
            "password: there is no such field");
    refused(CONTROL_ROUTE, "a", "{\"via\":1.5}", "via: a text is needed");
    refused(CONTROL_ROUTE, "a", "{\"pins\":[[\"x\"]]}", "pins: a text is needed");
    refused(CONTROL_ROUTE, "a", "{\"a\":{\"b\":{\"c\":{\"d\":{\"e\":\"x\"}}}}}",
            "a.b.c.d: is too deep");
    refused(CONTROL_ROUTE, "a", "{\"a.b\":\"x\"}", "\"a.b\": there is no such field");
    refused(CONTROL_ROUTE, "a", "{\"\":\"x\"}", "\"\": there is no such field");
}

static void fields_are_bounded(void **state)
{
    struct buf text;

    (void)state;
    buf_init(&text, 4096);
    buf_add_cstr(&text, "{\"pins\":[\"x\"");
    for (unsigned i = 0; i < CONTROL_FIELDS_MAX; i++)
        buf_add_cstr(&text, ",\"x\"");
    buf_add_cstr(&text, "]}");
    refused(CONTROL_ROUTE, "a", buf_cstr(&text), "pins: there are too many fields");
    buf_deinit(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_route_comes_back_as_it_was_said),
        cmocka_unit_test(names_take_their_one_form),
        cmocka_unit_test(a_password_is_handed_over_and_a_hash_not_shown),
        cmocka_unit_test(what_cannot_be_is_told),
        cmocka_unit_test(fields_are_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
