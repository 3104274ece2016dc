/* newlines - every bare CR and LF becomes CR LF, in whatever pieces the content comes. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "node/smtp/data.h"

static int add(void *arg, struct span run)
{
    assert_true(run.n > 0);
    buf_add_span(arg, run);
    return 0;
}

static void expect(struct span in, struct span out, uint64_t repaired)
{
    for (size_t piece = 1; piece <= in.n; piece++) {
        struct smtp_newlines n;
        struct buf b;

        buf_init(&b, 1000);
        smtp_newlines_init(&n);
        for (size_t from = 0; from < in.n; from += piece)
            assert_int_equal(
                smtp_newlines_feed(
                    &n, span_sub(in, from, in.n - from < piece ? in.n - from : piece), add, &b),
                0);
        assert_int_equal(smtp_newlines_finish(&n, add, &b), 0);
        if (!span_eq(buf_span(&b), out)) fail_msg("\"%s\"", buf_cstr(&b));
        assert_int_equal(n.repaired, repaired);
        buf_deinit(&b);
    }
}

static void line_ends(void **state)
{
    (void)state;
    expect(SPAN_LIT("a\r\nb\r\n"), SPAN_LIT("a\r\nb\r\n"), 0);
    expect(SPAN_LIT("a\nb\n"), SPAN_LIT("a\r\nb\r\n"), 2);
    expect(SPAN_LIT("a\rb\r"), SPAN_LIT("a\r\nb\r\n"), 2);
    expect(SPAN_LIT("a\r\r\nb"), SPAN_LIT("a\r\n\r\nb"), 1);
    expect(SPAN_LIT("\n\r\n\r\r"), SPAN_LIT("\r\n\r\n\r\n\r\n"), 3);
    expect(SPAN_LIT("\n.\n..\n"), SPAN_LIT("\r\n.\r\n..\r\n"), 3); /* dots are left alone */
    expect(SPAN_LIT("text"), SPAN_LIT("text"), 0);
}

static int refuse(void *arg, struct span run)
{
    (void)run;
    return --*(int *)arg == 0 ? -7 : 0;
}

static void who_takes_it_may_stop(void **state)
{
    (void)state;
    for (int calls = 1; calls <= 4; calls++) {
        struct smtp_newlines n;
        int left = calls;

        smtp_newlines_init(&n);
        assert_int_equal(smtp_newlines_feed(&n, SPAN_LIT("a\nb\rc"), refuse, &left), -7);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(line_ends),
        cmocka_unit_test(who_takes_it_may_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
