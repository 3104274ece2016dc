/* records - a file's lists as records of the cluster and back are the same settings; a record that cannot be is told alone, and
 * left out of all of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "node/settings/records.h"
#include "proto/ground/check.h"

#define HASH "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$c29tZXRoaW5n"
#define NODE                                                                                       \
    "node: { id: 1, hostname: a.test, data_dir: /tmp/x }\nhttp: { address: \"127.0.0.1:0\", "      \
    "token_file: /t }\n"

static struct settings *parse(const char *text)
{
    struct settings *s = NULL;
    struct buf errors;

    buf_init(&errors, 64u << 10);
    if (settings_parse(&s, "/etc/a.yaml", span_cstr(text), &errors) != 0)
        fail_msg("%s", buf_cstr(&errors));
    buf_deinit(&errors);
    return s;
}

/* ---- a control state that is born, with the records imported */

static int apply(struct control *c, Angarium__ControlCommand *command)
{
    struct control_answer answer;
    struct buf head;
    int rv;

    buf_init(&head, CONTROL_COMMAND_SIZE_MAX);
    rv = control_pack(command, &head);
    if (rv == 0) control_apply(c, control_applied(c) + 1, buf_span(&head), &answer);
    buf_deinit(&head);
    return rv == 0 ? answer.error : rv;
}

static struct control *control_of(const struct settings_records *records)
{
    struct control *c = control_new();
    Angarium__ControlCommand command = ANGARIUM__CONTROL_COMMAND__INIT;
    Angarium__ControlBorn born = ANGARIUM__CONTROL_BORN__INIT;
    Angarium__ControlImport import = ANGARIUM__CONTROL_IMPORT__INIT;

    born.cluster = proto_bytes(SPAN_LIT("0123456789abcdef"));
    born.shards_per_node = born.replicas = 1;
    command.kind_case = ANGARIUM__CONTROL_COMMAND__KIND_BORN;
    command.born = &born;
    assert_int_equal(apply(c, &command), 0);
    import.records = records->list;
    import.n_records = records->count;
    command.kind_case = ANGARIUM__CONTROL_COMMAND__KIND_IMPORT;
    command.import = &import;
    assert_int_equal(apply(c, &command), 0);
    return c;
}

struct one {
    Angarium__ControlRecord record;
    Angarium__ControlField fields[16], *list[16];
};

/* fields: name, value, ..., NULL */
static Angarium__ControlRecord *record(struct one *o, enum control_kind kind, const char *name,
                                       const char *tenant, const char *const *fields)
{
    angarium__control_record__init(&o->record);
    o->record.kind = kind;
    o->record.name = proto_bytes(span_cstr(name));
    o->record.tenant = proto_bytes(span_cstr(tenant));
    o->record.fields = o->list;
    for (; *fields; fields += 2) {
        Angarium__ControlField *f = o->list[o->record.n_fields] = &o->fields[o->record.n_fields];

        angarium__control_field__init(f);
        f->name = proto_bytes(span_cstr(fields[0]));
        f->value = proto_bytes(span_cstr(fields[1]));
        o->record.n_fields++;
    }
    return &o->record;
}
#define FIELDS(...) ((const char *const[]){ __VA_ARGS__ __VA_OPT__(, ) NULL })

static int put(struct control *c, Angarium__ControlRecord *r)
{
    Angarium__ControlCommand command = ANGARIUM__CONTROL_COMMAND__INIT;
    Angarium__ControlPut p = ANGARIUM__CONTROL_PUT__INIT;

    p.record = r;
    command.kind_case = ANGARIUM__CONTROL_COMMAND__KIND_PUT;
    command.put = &p;
    return apply(c, &command);
}

/* ---- */

static const char whole[] = NODE
    "tenants:\n"
    "  - { name: aa, domains: [ a.test, b.test ] }\n"
    "  - { name: bb, domains: [ c.test ], in_doubt: hold }\n"
    "credentials:\n"
    "  - { username: u1, tenant: aa, password_hash: \"" HASH "\", addresses: \"192.0.2.0/24\" }\n"
    "  - { username: u2, tenant: bb, password_hash: \"" HASH "\" }\n"
    "routes:\n"
    "  - { match: sub.a.test, via: mx, tls: encrypt }\n"
    "  - { match: .long.a.test, via: inbox }\n"
    "  - { match: .a.test, via: host, host: \"mx.test:26\", pins: [ "
    "\"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\" ] }\n"
    "  - { match: \"*\", via: host, host: \"smart.test:587\", tls: verify, tls_min: \"1.3\", auth: "
    "{ username: me, "
    "oauth: { token_url: \"https://id.test/t\", client_id: x, refresh_token_file: /r, scope: s } } "
    "}\n"
    "content_rules:\n"
    "  - { name: r1, part: header, field: Subject, match: \"*x*\", tenant: aa }\n"
    "  - { name: r2, part: file, match: \"*.exe\", action: tag, text: no }\n";

static void a_files_lists_come_back_as_they_were(void **state)
{
    struct settings *file = parse(whole), *bare = parse(NODE), *back;
    struct settings_records records;
    struct control *c;
    struct errmsg why = { "" };
    struct buf a, b;
    unsigned left_out = 9;

    (void)state;
    settings_records_of(file, &records);
    c = control_of(&records);
    assert_int_equal(settings_records_missing(&records, c), 0);
    back = settings_with_records(bare, c, &left_out, &why);
    assert_int_equal(left_out, 0);
    buf_init(&a, 1u << 20);
    buf_init(&b, 1u << 20);
    settings_print(file, true, &a);
    settings_print(back, true, &b);
    assert_string_equal(buf_cstr(&a), buf_cstr(&b));
    for (size_t i = 0; i < records.count; i++)
        assert_int_equal(settings_record_check(records.list[i], false, &why), 0);
    buf_deinit(&a);
    buf_deinit(&b);
    settings_records_free(&records);
    control_free(&c);
    settings_unref(&back);
    settings_unref(&file);
    settings_unref(&bare);
}

static void the_files_own_lists_are_not_in_force(void **state)
{
    struct settings *file = parse(whole), *back;
    struct control *c = control_new();
    struct errmsg why = { "" };
    unsigned left_out;

    (void)state;
    back = settings_with_records(file, c, &left_out, &why);
    assert_int_equal(back->tenant_count + back->credential_count + back->route_count +
                         back->content_rule_count,
                     0);
    assert_string_equal(back->node.hostname, "a.test");
    assert_string_equal(back->http.token_file, "/t");
    settings_unref(&back);
    settings_unref(&file);
    control_free(&c);
}

static void routes_go_by_how_much_they_say(void **state)
{
    static const char *const wanted[] = { "long.a.test", "a.test", ".long.a.test", ".a.test", "*" };
    static const unsigned order[] = { 4, 3, 1, 2, 0 };
    struct settings_records none = { 0 };
    struct control *c = control_of(&none);
    struct settings *file = parse(NODE), *s;
    struct errmsg why = { "" };
    struct one o;
    unsigned left_out;

    (void)state;
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(
            put(c, record(&o, CONTROL_ROUTE, wanted[order[i]], "", FIELDS("via", "mx"))), 0);
    s = settings_with_records(file, c, &left_out, &why);
    assert_int_equal(left_out, 0);
    assert_int_equal(s->route_count, 5);
    for (unsigned i = 0; i < 5; i++)
        assert_string_equal(s->routes[i].match, wanted[i]);
    settings_unref(&s);
    settings_unref(&file);
    control_free(&c);
}

static void settings_of_the_cluster_win_over_the_files(void **state)
{
    struct settings_records none = { 0 };
    struct control *c = control_of(&none);
    struct settings *file = parse(
                        NODE "delivery: { expire_ms: 2d, retry_base_ms: 5s, retry_cap_ms: 1m }\n"),
                    *s;
    struct errmsg why = { "" };
    struct one o;
    unsigned left_out;

    (void)state;
    assert_int_equal(
        put(c, record(&o, CONTROL_SETTING, "delivery.expire_ms", "", FIELDS("value", "3d"))), 0);
    assert_int_equal(
        put(c, record(&o, CONTROL_SETTING, "content.gtube", "", FIELDS("value", "true"))), 0);
    s = settings_with_records(file, c, &left_out, &why);
    assert_int_equal(left_out, 0);
    assert_int_equal(s->delivery.expire_ms, 3ull * 86400000);
    assert_int_equal(s->delivery.retry_base_ms, 5000);
    assert_true(s->content.gtube);
    settings_unref(&s);
    /* two that do not fit: the file's are kept */
    assert_int_equal(
        put(c, record(&o, CONTROL_SETTING, "delivery.retry_base_ms", "", FIELDS("value", "2m"))),
        0);
    s = settings_with_records(file, c, &left_out, &why);
    assert_int_equal(left_out, 1);
    assert_int_equal(s->delivery.retry_base_ms, 5000);
    settings_unref(&s);
    settings_unref(&file);
    control_free(&c);
}

static void what_cannot_be_is_left_out_and_named(void **state)
{
    struct settings_records none = { 0 };
    struct control *c = control_of(&none);
    struct settings *file = parse(NODE), *s;
    struct errmsg why = { "" };
    struct one o;
    unsigned left_out;

    (void)state;
    put(c, record(&o, CONTROL_TENANT, "aa", "", FIELDS()));
    put(c, record(&o, CONTROL_CREDENTIAL, "u1", "aa", FIELDS("password_hash", HASH)));
    put(c, record(&o, CONTROL_CREDENTIAL, "u2", "aa",
                  FIELDS("password_hash", HASH, "of_a_newer", "version")));
    put(c, record(&o, CONTROL_CREDENTIAL, "u3", "aa", FIELDS("password_hash", HASH)));
    s = settings_with_records(file, c, &left_out, &why);
    assert_int_equal(left_out, 1);
    assert_string_equal(why.text, "credential u2: of_a_newer: there is no such field");
    assert_int_equal(s->credential_count, 2);
    assert_string_equal(s->credentials[1].username, "u3");
    settings_unref(&s);
    settings_unref(&file);
    control_free(&c);
}

static void refused(enum control_kind kind, const char *name, const char *tenant,
                    const char *const *fields, const char *said)
{
    struct errmsg why = { "" };
    struct one o;

    assert_int_equal(settings_record_check(record(&o, kind, name, tenant, fields), true, &why),
                     ERR_CONFIG);
    assert_string_equal(why.text, said);
}

static void a_record_that_cannot_be_is_told(void **state)
{
    struct errmsg why = { "" };
    struct one o;

    (void)state;
    refused(CONTROL_TENANT, "a b", "", FIELDS(),
            "name: \"a b\" is not a name of letters, digits, dots, hyphens and underscores");
    refused(CONTROL_TENANT, "a", "", FIELDS("domains", "x.test"),
            "domains: there is no such field");
    refused(CONTROL_CREDENTIAL, "u", "t", FIELDS(), "password_hash is missing");
    refused(CONTROL_CREDENTIAL, "u", "t", FIELDS("password_hash", "secret"),
            "password_hash: must begin with $argon2id$ (other hashes are not taken)");
    refused(CONTROL_CREDENTIAL, "u", "t", FIELDS("username", "v"),
            "username: there is no such field");
    refused(CONTROL_DOMAIN, "-", "t", FIELDS(), "\"-\" is not a domain name (ASCII; xn-- form)");
    refused(CONTROL_DOMAIN, "a.test", "t", FIELDS("x", "y"), "a domain has no fields");
    refused(CONTROL_ROUTE, "*", "", FIELDS(), "via is missing");
    refused(CONTROL_ROUTE, "*", "", FIELDS("via", "host"), "via: host needs host: \"name:port\"");
    refused(CONTROL_ROUTE, "*", "", FIELDS("via", "mx", "pins", "x"),
            "pins: \"x\" is not a SHA-256: 64 digits of hex, or 44 characters of base64");
    refused(CONTROL_ROUTE, "*", "", FIELDS("via", "mx", "tls", "verify", "tls_ca_file", "ca.pem"),
            "tls_ca_file: must be a whole path, from /, the same on every node");
    refused(CONTROL_ROUTE, "*", "",
            FIELDS("via", "mx", "tls", "verify", "tls_ca_file", "/not/there"),
            "tls_ca_file: /not/there cannot be read");
    refused(CONTROL_ROUTE, "*", "",
            FIELDS("via", "host", "host", "a:1", "auth.password_file", "/p"),
            "auth.username is missing");
    refused(CONTROL_ROUTE, "*", "", FIELDS("via", "host", "host", "a:1", "auth", "x"),
            "auth: there is no such field");
    refused(CONTROL_RULE, "r", "", FIELDS("part", "header", "match", "x"),
            "part: header needs field: the name of one, as Subject");
    refused(CONTROL_SETTING, "node.hostname", "", FIELDS("value", "x"),
            "there is no such setting of a cluster; limits.*, delivery.* and content.* are");
    refused(CONTROL_SETTING, "delivery.expire_ms", "", FIELDS("value", "5"),
            "value: \"5\" is not a time with its unit, as 250ms, 30s, 5m, 4h or 5d");
    assert_int_equal(
        settings_record_check(
            record(&o, CONTROL_RULE, "r", "t", FIELDS("part", "body", "match", "x")), true, &why),
        0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_files_lists_come_back_as_they_were),
        cmocka_unit_test(the_files_own_lists_are_not_in_force),
        cmocka_unit_test(routes_go_by_how_much_they_say),
        cmocka_unit_test(settings_of_the_cluster_win_over_the_files),
        cmocka_unit_test(what_cannot_be_is_left_out_and_named),
        cmocka_unit_test(a_record_that_cannot_be_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
