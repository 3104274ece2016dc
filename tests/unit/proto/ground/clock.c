/* clock - the two texts of a time, at leap days and at the ends; what is no time. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "proto/ground/clock.h"
#include "proto/ground/err.h"
#include "proto/ground/rng.h"

struct sample {
    uint64_t wall_ms;
    const char *rfc3339, *rfc5322;
};

static const struct sample samples[] = {
    { 0, "1970-01-01T00:00:00.000Z", "Thu, 01 Jan 1970 00:00:00 +0000" },
    { 86399999, "1970-01-01T23:59:59.999Z", "Thu, 01 Jan 1970 23:59:59 +0000" },
    { 951782400000, "2000-02-29T00:00:00.000Z", "Tue, 29 Feb 2000 00:00:00 +0000" },
    { 1709251199999, "2024-02-29T23:59:59.999Z", "Thu, 29 Feb 2024 23:59:59 +0000" },
    { 1709251200000, "2024-03-01T00:00:00.000Z", "Fri, 01 Mar 2024 00:00:00 +0000" },
    { 1735689599999, "2024-12-31T23:59:59.999Z", "Tue, 31 Dec 2024 23:59:59 +0000" },
    { 1795484889123, "2026-11-24T01:48:09.123Z", "Tue, 24 Nov 2026 01:48:09 +0000" },
    { 4107542400000, "2100-03-01T00:00:00.000Z", "Mon, 01 Mar 2100 00:00:00 +0000" },
    { 253402300799999, "9999-12-31T23:59:59.999Z", "Fri, 31 Dec 9999 23:59:59 +0000" },
};

static void texts_of_times(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        char text[CLOCK_RFC3339_SIZE], date[CLOCK_RFC5322_SIZE];
        uint64_t back = 1;
        clock_rfc3339(samples[i].wall_ms, text);
        clock_rfc5322(samples[i].wall_ms, date);
        assert_string_equal(text, samples[i].rfc3339);
        assert_string_equal(date, samples[i].rfc5322);
        assert_int_equal(clock_parse_rfc3339(span_cstr(text), &back), 0);
        assert_true(back == samples[i].wall_ms);
    }
}

static void times_without_end_are_the_last_one(void **state)
{
    char text[CLOCK_RFC3339_SIZE];

    (void)state;
    clock_rfc3339(UINT64_MAX, text);
    assert_string_equal(text, "9999-12-31T23:59:59.999Z");
}

static void every_time_comes_back(void **state)
{
    struct rng r;

    (void)state;
    rng_seed(&r, 1);
    for (int i = 0; i < 20000; i++) {
        uint64_t ms = rng_below(&r, 253402300800000), back = 0;
        char text[CLOCK_RFC3339_SIZE];
        clock_rfc3339(ms, text);
        assert_int_equal(clock_parse_rfc3339(span_cstr(text), &back), 0);
        assert_true(back == ms);
    }
}

static void milliseconds_may_be_missing(void **state)
{
    uint64_t ms = 0;

    (void)state;
    assert_int_equal(clock_parse_rfc3339(SPAN_LIT("1970-01-02T00:00:01Z"), &ms), 0);
    assert_int_equal(ms, 86401000);
}

static void no_times(void **state)
{
    static const char *const texts[] = {
        "",
        "2026",
        "1969-12-31T23:59:59Z",
        "2026-11-24T01:48:09.123",
        "2026-11-24T01:48:09",
        "2026-11-24 01:48:09Z",
        "2026-11-24T01:48:09.12Z",
        "2026-11-24T01:48:09.1234Z",
        "2026-00-24T01:48:09Z",
        "2026-13-24T01:48:09Z",
        "2026-11-00T01:48:09Z",
        "2026-11-31T01:48:09Z",
        "2026-02-29T01:48:09Z",
        "2100-02-29T01:48:09Z",
        "2026-11-24T24:00:00Z",
        "2026-11-24T01:60:09Z",
        "2026-11-24T01:48:60Z",
        "2026-11-24T01:48:09z",
        "2026-11-24T01:48:09+00:00",
        "2026-11-24T01:48:-9Z",
        "2026-11-24T01:48:09Z ",
        " 2026-11-24T01:48:09Z",
        "2026-11-24T01:48:09,123Z",
    };
    uint64_t ms = 5;

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        assert_int_equal(clock_parse_rfc3339(span_cstr(texts[i]), &ms), ERR_SYNTAX);
    assert_int_equal(ms, 5);
}

static void the_real_clock_goes_on(void **state)
{
    uint64_t first = clock_mono_ms(&clock_real), wall_ms = clock_wall_ms(&clock_real);

    (void)state;
    for (int i = 0; i < 1000; i++) {
        uint64_t now = clock_mono_ms(&clock_real);
        assert_true(now >= first);
        first = now;
    }
    assert_true(wall_ms > 1700000000000); /* after 2023 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_of_times),
        cmocka_unit_test(times_without_end_are_the_last_one),
        cmocka_unit_test(every_time_comes_back),
        cmocka_unit_test(milliseconds_may_be_missing),
        cmocka_unit_test(no_times),
        cmocka_unit_test(the_real_clock_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
