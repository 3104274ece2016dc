/* Targets, queries and percent signs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "node/net/http.h"
#include "node/net/http_query.h"

static void test_decode(void **state)
{
    (void)state;
    static const char *const bad[] = { "%", "%4", "%4g", "%g4", "%00", "a%", "%%41" };
    char out[8];

    assert_true(http_decode(SPAN_LIT("a%2Fb%c3%A9"), out, sizeof out));
    assert_string_equal(out, "a/b\xc3\xa9");
    assert_true(http_decode(SPAN_LIT("a+b"), out, sizeof out));
    assert_string_equal(out, "a+b");
    assert_true(http_decode(SPAN_LIT(""), out, 1));
    assert_string_equal(out, "");
    assert_true(http_decode(SPAN_LIT("1234567"), out, sizeof out));
    assert_false(http_decode(SPAN_LIT("12345678"), out, sizeof out));
    assert_false(http_decode(SPAN_LIT(""), out, 0));
    assert_false(http_decode(span_of("a\0b", 3), out, sizeof out));
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(http_decode(span_cstr(bad[i]), out, sizeof out));
}

static void test_query(void **state)
{
    (void)state;
    struct span q = SPAN_LIT("a=1&b=two+words&c&d=&a=9&%65=x%3dy&&=z&bad=%zz&sp%20ace=ok");
    char out[16];

    assert_true(http_query_value(q, "a", out, sizeof out));
    assert_string_equal(out, "1");
    assert_true(http_query_value(q, "b", out, sizeof out));
    assert_string_equal(out, "two words");
    assert_true(http_query_value(q, "c", out, sizeof out));
    assert_string_equal(out, "");
    assert_true(http_query_value(q, "d", out, sizeof out));
    assert_string_equal(out, "");
    assert_true(http_query_value(q, "e", out, sizeof out));
    assert_string_equal(out, "x=y");
    assert_true(http_query_value(q, "sp ace", out, sizeof out));
    assert_string_equal(out, "ok");
    assert_false(http_query_value(q, "bad", out, sizeof out));
    assert_false(http_query_value(q, "nothere", out, sizeof out));
    assert_false(http_query_value(q, "b", out, 4));
    assert_false(http_query_value(SPAN_LIT(""), "a", out, sizeof out));
}

static void test_target(void **state)
{
    (void)state;
    static const char *const bad[] = { "", "a", "?x", "http://host", "ftp://x/y", "host:443" };
    struct http_target t;

    assert_int_equal(http_target_split(SPAN_LIT("/a/b?c=d?e"), &t), 0);
    assert_true(span_eq(t.path, SPAN_LIT("/a/b")));
    assert_true(span_eq(t.query, SPAN_LIT("c=d?e")));
    assert_int_equal(http_target_split(SPAN_LIT("/?"), &t), 0);
    assert_true(span_eq(t.path, SPAN_LIT("/")));
    assert_int_equal(t.query.n, 0);
    assert_int_equal(http_target_split(SPAN_LIT("http://h:1/x?y#z"), &t), 0);
    assert_true(span_eq(t.path, SPAN_LIT("/x")));
    assert_true(span_eq(t.query, SPAN_LIT("y")));
    assert_int_equal(http_target_split(SPAN_LIT("*"), &t), 0);
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(http_target_split(span_cstr(bad[i]), &t), ERR_SYNTAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decode),
        cmocka_unit_test(test_query),
        cmocka_unit_test(test_target),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
