/* metric - adding from threads, buckets and their ends, the text that is scraped. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "proto/ground/metric.h"

/* The whole exposition; the caller frees. */
static char *print_all(void)
{
    struct buf b;
    char *text;

    buf_init(&b, 1 << 20);
    metric_print(&b);
    assert_false(buf_failed(&b));
    text = span_dup(buf_span(&b));
    buf_deinit(&b);
    return text;
}

static unsigned count_of(const char *text, const char *part)
{
    unsigned n = 0;

    while ((text = strstr(text, part)) != NULL) {
        n++;
        text++;
    }
    return n;
}

static void *add_many(void *arg)
{
    (void)arg;
    for (int i = 0; i < 10000; i++) {
        metric_add(M_SESSIONS, 1);
        metric_add(M_SESSIONS_OPEN, 2);
        metric_sub(M_SESSIONS_OPEN, 1);
        metric_time_us(M_LOG_SYNC_TIME, 150);
    }
    return NULL;
}

static void threads_lose_nothing(void **state)
{
    pthread_t threads[4];

    (void)state;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, add_many, NULL), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(metric_get(M_SESSIONS), 40000);
    assert_int_equal(metric_get(M_SESSIONS_OPEN), 40000);
    assert_int_equal(metric_get(M_LOG_SYNC_TIME), 40000);
}

static void the_text_of_numbers(void **state)
{
    char *text;

    (void)state;
    metric_add(M_AUTH_OK, 3);
    metric_add(M_AUTH_FAILED, 5);
    metric_set(M_LANES, 12);
    metric_set(M_QUEUE_BYTES, 0);
    metric_sub(M_QUEUE_BYTES, 4);
    text = print_all();
    assert_non_null(strstr(text, "# HELP angarium_smtp_auth_total AUTH by result\n"
                                 "# TYPE angarium_smtp_auth_total counter\n"
                                 "angarium_smtp_auth_total{result=\"ok\"} 3\n"));
    assert_non_null(strstr(text, "\nangarium_smtp_auth_total{result=\"failed\"} 5\n"));
    assert_non_null(
        strstr(text, "# TYPE angarium_deliver_lanes gauge\nangarium_deliver_lanes 12\n"));
    assert_non_null(strstr(text, "\nangarium_queue_bytes -4\n"));
    assert_int_equal(count_of(text, "# TYPE angarium_smtp_auth_total "), 1);
    assert_int_equal(count_of(text, "# HELP "), count_of(text, "# TYPE "));
    assert_int_equal(text[strlen(text) - 1], '\n');
    free(text);
}

static void the_text_of_a_histogram(void **state)
{
    static const uint64_t times_us[] = { 0, 100, 101, 100000000, 100000001 };
    char *text;

    (void)state;
    for (size_t i = 0; i < sizeof times_us / sizeof times_us[0]; i++)
        metric_time_us(M_ACCEPT_TIME, times_us[i]);
    assert_int_equal(metric_get(M_ACCEPT_TIME), 5);
    text = print_all();
    assert_non_null(strstr(text, "# TYPE angarium_accept_commit_seconds histogram\n"
                                 "angarium_accept_commit_seconds_bucket{le=\"0.0001\"} 2\n"
                                 "angarium_accept_commit_seconds_bucket{le=\"0.0002\"} 3\n"));
    assert_non_null(strstr(text, "_bucket{le=\"50\"} 3\n"
                                 "angarium_accept_commit_seconds_bucket{le=\"100\"} 4\n"
                                 "angarium_accept_commit_seconds_bucket{le=\"+Inf\"} 5\n"
                                 "angarium_accept_commit_seconds_sum 200.000202\n"
                                 "angarium_accept_commit_seconds_count 5\n"));
    free(text);
}

static void a_small_buffer_fails_and_that_is_all(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 100);
    metric_print(&b);
    assert_true(buf_failed(&b));
    buf_deinit(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_lose_nothing),
        cmocka_unit_test(the_text_of_numbers),
        cmocka_unit_test(the_text_of_a_histogram),
        cmocka_unit_test(a_small_buffer_fails_and_that_is_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
