/* header - values of fields: first one, unfolded, trimmed, cut. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "node/mail/mail.h"

static void values(void **state)
{
    const struct {
        struct span header;
        const char *name, *value; /* NULL: not found */
    } cases[] = {
        { SPAN_LIT("Subject: hello\r\n"), "subject", "hello" },
        { SPAN_LIT("Subject:hello"), "Subject", "hello" },
        { SPAN_LIT("Subject \t: hello\r\n"), "Subject", "hello" },
        { SPAN_LIT("Subject:\r\n hello\r\n\tworld \r\nX: y\r\n"), "Subject", "hello world" },
        { SPAN_LIT("Subject:\r\n"), "Subject", "" },
        { SPAN_LIT("A: 1\r\nB: 2\r\nA: 3\r\n"), "A", "1" },
        { SPAN_LIT("A: 1\r\nB: 2\r\nA: 3\r\n"), "B", "2" },
        { SPAN_LIT("Subjects: x\r\n"), "Subject", NULL },
        { SPAN_LIT("Sub: x\r\n"), "Subject", NULL },
        { SPAN_LIT("X: a\r\n Subject: no\r\n"), "Subject", NULL },
        { SPAN_LIT("X: a\nSubject: no\r\n"), "Subject", NULL },
        { SPAN_LIT("X: a\r\n\r\nSubject: no\r\n"), "Subject", NULL },
        { SPAN_LIT("Subject: a\0b\rc\nd\r\n"), "Subject", "a b c d" },
        { SPAN_LIT("garbage\r\nSubject: x\r\n"), "Subject", "x" },
        { SPAN_LIT(""), "Subject", NULL },
        { SPAN_LIT(": x\r\n"), "", NULL },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char out[64] = "?";
        bool found = mail_header_value(cases[i].header, span_cstr(cases[i].name), out, sizeof out);
        assert_int_equal(found, cases[i].value != NULL);
        assert_string_equal(out, found ? cases[i].value : "");
    }
}

static void values_are_cut(void **state)
{
    char out[6];

    (void)state;
    assert_true(mail_header_value(SPAN_LIT("A: 123456789\r\n"), SPAN_LIT("a"), out, sizeof out));
    assert_string_equal(out, "12345");
    assert_true(mail_header_value(SPAN_LIT("A: 1234 6789\r\n"), SPAN_LIT("a"), out, sizeof out));
    assert_string_equal(out, "1234");
    assert_true(mail_header_value(SPAN_LIT("A: 1\r\n"), SPAN_LIT("a"), out, 1));
    assert_string_equal(out, "");
    assert_false(mail_header_value(SPAN_LIT("A: 1\r\n"), SPAN_LIT("a"), out, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values),
        cmocka_unit_test(values_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
