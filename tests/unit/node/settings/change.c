/* change - what may change while a node runs, and what is refused by its name. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "node/settings/settings.h"

#define HTTP  "http: { address: \"127.0.0.1:8080\", token_file: t }\n"
#define NODE  "node: { id: 1, hostname: a.test, data_dir: store, shards: 4, loops: 2 }\n"
#define NAMED ": cannot change while the node runs: start it again"

static struct settings *parse(const char *text)
{
    struct settings *s = NULL;
    struct buf errors;

    buf_init(&errors, 64u << 10);
    if (settings_parse(&s, "node.yaml", span_cstr(text), &errors) != 0)
        fail_msg("%s", buf_cstr(&errors));
    buf_deinit(&errors);
    return s;
}

/* NULL: it may. */
static void change(const char *before, const char *after, const char *refusal)
{
    struct settings *now = parse(before), *fresh = parse(after);
    struct errmsg why = { "" };

    assert_int_equal(settings_check_change(now, fresh, &why), refusal ? ERR_CONFIG : 0);
    assert_string_equal(why.text, refusal ? refusal : "");
    settings_unref(&now);
    settings_unref(&fresh);
    assert_null(now);
}

static void what_cannot_is_named(void **state)
{
    static const struct {
        const char *text, *name;
    } rows[] = {
        { "node: { id: 2, hostname: a.test, data_dir: store, loops: 2 }\n" HTTP, "node.id" NAMED },
        { "node: { id: 1, hostname: b.test, data_dir: store, loops: 2 }\n" HTTP,
          "node.hostname" NAMED },
        { "node: { id: 1, hostname: a.test, data_dir: other, loops: 2 }\n" HTTP,
          "node.data_dir" NAMED },
        { "node: { id: 1, hostname: a.test, data_dir: store, shards: 5, loops: 2 }\n" HTTP,
          "node.shards" NAMED },
        { "node: { id: 1, hostname: a.test, data_dir: store }\n" HTTP, "node.loops" NAMED },
        { NODE "http: { address: \"127.0.0.1:8081\", token_file: t }\n", "http.address" NAMED },
        { NODE "http: { address: \"127.0.0.1:8080\", token_file: t, certificate: c, key: k }\n",
          "http.certificate" NAMED },
        { NODE HTTP "resolver: { address: \"127.0.0.1:53\" }\n", "resolver.address" NAMED },
        { NODE HTTP "log: { format: json }\n", "log.format" NAMED },
        { NODE HTTP "dev: true\n", "dev" NAMED },
        { "node: { id: 2, hostname: b.test, data_dir: store, loops: 2 }\n" HTTP
          "log: { format: json }\n",
          "node.id, node.hostname, log.format" NAMED },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        change(NODE HTTP, rows[i].text, rows[i].name);
}

static void the_rest_may(void **state)
{
    (void)state;
    change(NODE HTTP, NODE HTTP, NULL);
    change(NODE HTTP,
           NODE "http: { address: \"127.0.0.1:8080\", token_file: u }\n"
                "listeners: [ { kind: mx, address: \"127.0.0.1:2525\" } ]\n"
                "tenants: [ { name: t, domains: [ t.test ] } ]\n"
                "routes: [ { match: \"*\", via: inbox } ]\n"
                "resolver: { mx_port: 2600 }\n"
                "log: { level: debug }\n"
                "limits: { sessions_max: 3, clients_max: 20, body_cache_bytes: 1MiB }\n"
                "delivery: { retry_base_ms: 5s, retention_ms: 1d }\n",
           NULL);
}

/* Whoever has a reference may read, whatever takes its place. */
static void counted(void **state)
{
    struct settings *s = parse(NODE HTTP), *mine = settings_ref(s), *none = NULL;

    (void)state;
    settings_unref(&s);
    assert_null(s);
    assert_string_equal(mine->node.hostname, "a.test");
    settings_unref(&mine);
    settings_unref(&none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_cannot_is_named),
        cmocka_unit_test(the_rest_may),
        cmocka_unit_test(counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
