/* routes - a request finds its route; OpenAPI lists exactly the routes; problems say what they are;
 * a token counts only as a whole.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <ctype.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "node/ops/inside.h"

static enum routing find(const char *method, const char *path, const struct route **r, char *param,
                         char *allow)
{
    *r = NULL;
    return route_find(span_cstr(method), span_cstr(path), r, param, 64, allow, 64);
}

static void found(void **state)
{
    const struct route *r;
    char param[64], allow[64];

    (void)state;
    assert_int_equal(find("GET", "/api/v1/messages/0000g00000002", &r, param, allow),
                     ROUTING_FOUND);
    assert_string_equal(r->path, "/api/v1/messages/{id}");
    assert_string_equal(param, "0000g00000002");
    assert_int_equal(find("POST", "/api/v1/messages/a%2Fb/hold", &r, param, allow), ROUTING_FOUND);
    assert_ptr_equal(r->run, route_hold);
    assert_string_equal(param, "a/b");
    assert_int_equal(find("HEAD", "/livez", &r, param, allow), ROUTING_FOUND);
    assert_false(r->needs_token);
    assert_int_equal(find("GET", "/api/v1/events/stream", &r, param, allow), ROUTING_FOUND);
    assert_ptr_equal(r->run, route_event_stream);
    assert_int_equal(find("GET", "/api/v1/events", &r, param, allow), ROUTING_FOUND);
    assert_ptr_equal(r->run, route_events);
}

static void not_found(void **state)
{
    static const char *const paths[] = { "",
                                         "/",
                                         "*",
                                         "/api/v1",
                                         "/api/v1/",
                                         "/api/v1/messages/",
                                         "/api/v1//queue",
                                         "/api/v1/queue/",
                                         "/api/v1/queue/x",
                                         "/API/v1/queue",
                                         "/api/v1/messages/a/b/c",
                                         "/api/v1/messages/%zz" };
    const struct route *r;
    char param[64], allow[64];

    (void)state;
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        assert_int_equal(find("GET", paths[i], &r, param, allow), ROUTING_NO_PATH);
}

static void wrong_method(void **state)
{
    const struct route *r;
    char param[64], allow[64];

    (void)state;
    assert_int_equal(find("DELETE", "/api/v1/messages", &r, param, allow), ROUTING_NO_METHOD);
    assert_string_equal(allow, "POST");
    assert_int_equal(find("get", "/api/v1/queue", &r, param, allow), ROUTING_NO_METHOD);
    assert_string_equal(allow, "GET");
}

/* What reads or changes anything of a tenant needs the token; who joins has a join token in its request. */
static void tokens_are_needed(void **state)
{
    (void)state;
    for (unsigned i = 0; i < route_count; i++) {
        bool is_api = strncmp(routes[i].path, "/api/", 5) == 0 &&
                      !strstr(routes[i].path, "openapi") &&
                      strcmp(routes[i].path, "/api/v1/join") != 0;

        assert_int_equal(routes[i].needs_token, is_api);
    }
}

static size_t count_operations(const json_t *paths)
{
    const char *path, *method;
    json_t *operations, *operation;
    size_t n = 0;

    json_object_foreach((json_t *)(uintptr_t)paths, path, operations)
        json_object_foreach(operations, method, operation) n++;
    return n;
}

static void openapi_lists_the_routes(void **state)
{
    char *text = openapi_text();
    json_t *j = json_loads(text, JSON_REJECT_DUPLICATES, NULL), *paths;

    (void)state;
    assert_non_null(j);
    assert_string_equal(json_string_value(json_object_get(j, "openapi")), "3.1.0");
    paths = json_object_get(j, "paths");
    assert_int_equal(count_operations(paths), route_count);
    for (unsigned i = 0; i < route_count; i++) {
        char method[8];
        json_t *o;

        snprintf(method, sizeof method, "%s", routes[i].method);
        for (char *c = method; *c; c++)
            *c = (char)tolower(*c);
        o = json_object_get(json_object_get(paths, routes[i].path), method);
        assert_non_null(o);
        assert_non_null(json_object_get(o, "responses"));
        assert_int_equal(json_object_get(o, "security") != NULL, routes[i].needs_token);
    }
    json_decref(j);
    free(text);
}

/* Every "$ref" of the description leads somewhere. */
static void check_refs(const json_t *j, const json_t *schemas)
{
    const char *key;
    json_t *value;
    size_t i;

    if (json_is_array(j)) json_array_foreach(j, i, value) check_refs(value, schemas);
    json_object_foreach((json_t *)(uintptr_t)j, key, value)
    {
        if (strcmp(key, "$ref") == 0)
            assert_non_null(json_object_get(schemas, strrchr(json_string_value(value), '/') + 1));
        check_refs(value, schemas);
    }
}

static void openapi_refers_to_what_is_there(void **state)
{
    char *text = openapi_text();
    json_t *j = json_loads(text, 0, NULL);

    (void)state;
    check_refs(j, json_object_get(json_object_get(j, "components"), "schemas"));
    json_decref(j);
    free(text);
}

static void problems(void **state)
{
    json_t *j = problem_json(PROBLEM_NO_QUORUM, "a \xff b");
    char *text = json_dumps(j, JSON_COMPACT);

    (void)state;
    assert_string_equal(
        text,
        "{\"type\":\"urn:angarium:problem:no-quorum\",\"title\":\"Nothing can be committed now\","
        "\"status\":503,\"detail\":\"a \xef\xbf\xbd b\"}");
    free(text);
    json_decref(j);
    for (int p = 0; p < PROBLEM_COUNT; p++)
        assert_in_range(problem_status((enum problem)p), 400, 599);
    assert_int_equal(problem_of(ERR_NOT_LEADER), PROBLEM_NO_QUORUM);
    assert_int_equal(problem_of(ERR_UNKNOWN), PROBLEM_UNKNOWN);
    assert_int_equal(problem_of(ERR_FULL), PROBLEM_FULL);
    assert_int_equal(problem_of(ERR_CLOSED), PROBLEM_CLOSING);
    assert_int_equal(problem_of(ERR_IO), PROBLEM_BROKEN);
}

static void tokens(void **state)
{
    struct ops ops = { 0 };

    (void)state;
    assert_true(sodium_init() >= 0);
    crypto_generichash(ops.token_hash, sizeof ops.token_hash, (const uint8_t *)"sesame-0123456789",
                       17, NULL, 0);
    assert_true(ops_token_ok(&ops, SPAN_LIT("Bearer sesame-0123456789")));
    assert_true(ops_token_ok(&ops, SPAN_LIT("bearer  sesame-0123456789 ")));
    assert_false(ops_token_ok(&ops, SPAN_LIT("Bearer sesame-012345678")));
    assert_false(ops_token_ok(&ops, SPAN_LIT("Bearer sesame-01234567890")));
    assert_false(ops_token_ok(&ops, SPAN_LIT("Bearer ")));
    assert_false(ops_token_ok(&ops, SPAN_LIT("Bearer")));
    assert_false(ops_token_ok(&ops, SPAN_LIT("Basic sesame-0123456789")));
    assert_false(ops_token_ok(&ops, span_of(NULL, 0)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(found),
        cmocka_unit_test(not_found),
        cmocka_unit_test(wrong_method),
        cmocka_unit_test(tokens_are_needed),
        cmocka_unit_test(openapi_lists_the_routes),
        cmocka_unit_test(openapi_refers_to_what_is_there),
        cmocka_unit_test(problems),
        cmocka_unit_test(tokens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
