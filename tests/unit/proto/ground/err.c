/* err - the table is complete, messages are cut and never broken. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "proto/ground/err.h"

static void names_and_texts_come_from_the_table(void **state)
{
    (void)state;
    assert_string_equal(err_name(0), "OK");
    assert_string_equal(err_text(0), "done");
    assert_string_equal(err_name(ERR_FULL), "FULL");
    assert_string_equal(err_name(ERR_UNSUPPORTED), "UNSUPPORTED");
    assert_string_equal(err_text(ERR_TIMEOUT), "the time is over");
    assert_string_equal(err_name(1), "?");
    assert_string_equal(err_name(-9999), "?");
    assert_non_null(err_text(-9999));
}

static void set_formats_and_returns_the_code(void **state)
{
    struct errmsg why = { "" };

    (void)state;
    assert_int_equal(errmsg_set(&why, ERR_IO, "open %s: %d", "x", 5), ERR_IO);
    assert_string_equal(why.text, "open x: 5");
    assert_int_equal(errmsg_set(NULL, ERR_IO, "%d", 1), ERR_IO);
}

static void wrap_puts_a_prefix_before(void **state)
{
    struct errmsg why = { "" };

    (void)state;
    assert_int_equal(errmsg_wrap(&why, ERR_CONFIG, "line %d", 3), ERR_CONFIG);
    assert_string_equal(why.text, "line 3");
    errmsg_wrap(&why, ERR_CONFIG, "file %s", "a.yaml");
    assert_string_equal(why.text, "file a.yaml: line 3");
    assert_int_equal(errmsg_wrap(NULL, ERR_IO, "%d", 1), ERR_IO);
}

static void arguments_may_point_into_the_message(void **state)
{
    struct errmsg why = { "inner" };

    (void)state;
    errmsg_set(&why, ERR_IO, "outer (%s)", why.text);
    assert_string_equal(why.text, "outer (inner)");
    errmsg_wrap(&why, ERR_IO, "<%s>", why.text);
    assert_string_equal(why.text, "<outer (inner)>: outer (inner)");
}

static void too_long_is_cut_and_terminated(void **state)
{
    struct errmsg why = { "" };
    char text[2000];

    (void)state;
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    errmsg_set(&why, ERR_IO, "%s", text);
    assert_int_equal(strlen(why.text), sizeof why.text - 1);
    errmsg_wrap(&why, ERR_IO, "prefix");
    assert_int_equal(strlen(why.text), sizeof why.text - 1);
    assert_memory_equal(why.text, "prefix: aaa", 11);
    errmsg_wrap(&why, ERR_IO, "%s", text);
    assert_int_equal(strlen(why.text), sizeof why.text - 1);
    assert_null(strchr(why.text, ':'));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_texts_come_from_the_table),
        cmocka_unit_test(set_formats_and_returns_the_code),
        cmocka_unit_test(wrap_puts_a_prefix_before),
        cmocka_unit_test(arguments_may_point_into_the_message),
        cmocka_unit_test(too_long_is_cut_and_terminated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
