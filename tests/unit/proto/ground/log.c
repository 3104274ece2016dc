/* log - the text of a line in both formats, and the ring: order, threads, a fd that does not read.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/ground/buf.h"
#include "proto/ground/log.h"
#include "proto/ground/metric.h"

#define WALL_MS 1795484889123u
#define HEAD    "time=2026-11-24T01:48:09.123Z level=info node=1 event=e"

/* ---- lines ---- */

static void assert_line(enum log_format format, struct log_field field, const char *wanted)
{
    struct buf b;

    buf_init(&b, 1 << 20);
    log_format_line(&b, format, WALL_MS, LOG_INFO, "1", "e", &field, 1);
    assert_string_equal(buf_cstr(&b), wanted);
    buf_deinit(&b);
}

static void plain_lines(void **state)
{
    (void)state;
    assert_line(LOG_LOGFMT, LOG_SKIP, HEAD "\n");
    assert_line(LOG_LOGFMT, LOG_TEXT("a", "b-c.d@e/f:<g>"), HEAD " a=b-c.d@e/f:<g>\n");
    assert_line(LOG_LOGFMT, LOG_NUM("port", 587), HEAD " port=587\n");
    assert_line(LOG_LOGFMT, LOG_NUM("n", INT64_MIN), HEAD " n=-9223372036854775808\n");
    assert_line(LOG_LOGFMT, LOG_SPAN("s", span_of("xyz", 2)), HEAD " s=xy\n");
    assert_line(LOG_JSON, LOG_SKIP,
                "{\"time\":\"2026-11-24T01:48:09.123Z\",\"level\":\"info\",\"node\":\"1\","
                "\"event\":\"e\"}\n");
    assert_line(LOG_JSON, LOG_NUM("port", 587),
                "{\"time\":\"2026-11-24T01:48:09.123Z\",\"level\":\"info\",\"node\":\"1\","
                "\"event\":\"e\",\"port\":587}\n");
}

static void values_that_need_quotes(void **state)
{
    (void)state;
    assert_line(LOG_LOGFMT, LOG_TEXT("a", ""), HEAD " a=\"\"\n");
    assert_line(LOG_LOGFMT, LOG_TEXT("a", NULL), HEAD " a=\"\"\n");
    assert_line(LOG_LOGFMT, LOG_TEXT("a", "b c"), HEAD " a=\"b c\"\n");
    assert_line(LOG_LOGFMT, LOG_TEXT("a", "b=c"), HEAD " a=\"b=c\"\n");
    assert_line(LOG_LOGFMT, LOG_TEXT("a", "say \"x\\y\""), HEAD " a=\"say \\\"x\\\\y\\\"\"\n");
}

static void a_peer_cannot_break_a_line(void **state)
{
    struct span bytes = span_of("x\r\nlevel=error\0\x1b[2J\x7f", 20);

    (void)state;
    assert_line(LOG_LOGFMT, LOG_SPAN("a", bytes),
                HEAD " a=\"x\\x0d\\x0alevel=error\\x00\\x1b[2J\\x7f\"\n");
    assert_line(LOG_JSON, LOG_SPAN("a", bytes),
                "{\"time\":\"2026-11-24T01:48:09.123Z\",\"level\":\"info\",\"node\":\"1\","
                "\"event\":\"e\",\"a\":\"x\\u000d\\u000alevel=error\\u0000\\u001b[2J\\u007f\"}\n");
}

static void utf8_stays_and_other_bytes_are_escaped(void **state)
{
    (void)state;
    assert_line(LOG_LOGFMT, LOG_TEXT("a", "gr\xc3\xbc\xc3\x9f\xe2\x82\xac\xf0\x9f\x93\xa7"),
                HEAD " a=gr\xc3\xbc\xc3\x9f\xe2\x82\xac\xf0\x9f\x93\xa7\n");
    assert_line(LOG_LOGFMT, LOG_TEXT("a", "\xfc"), HEAD " a=\"\\xfc\"\n");
    assert_line(LOG_LOGFMT, LOG_TEXT("a", "\xc3"), HEAD " a=\"\\xc3\"\n");
    assert_line(LOG_LOGFMT, LOG_TEXT("a", "\xc3(\xe2\x82"), HEAD " a=\"\\xc3(\\xe2\\x82\"\n");
    assert_line(LOG_LOGFMT, LOG_TEXT("a", "\xc0\xaf"), HEAD " a=\"\\xc0\\xaf\"\n");
    assert_line(LOG_LOGFMT, LOG_TEXT("a", "\xe0\x80\xaf"), HEAD " a=\"\\xe0\\x80\\xaf\"\n");
    assert_line(LOG_LOGFMT, LOG_TEXT("a", "\xed\xa0\x80"), HEAD " a=\"\\xed\\xa0\\x80\"\n");
    assert_line(LOG_LOGFMT, LOG_TEXT("a", "\xf4\x90\x80\x80"),
                HEAD " a=\"\\xf4\\x90\\x80\\x80\"\n");
    assert_line(LOG_LOGFMT, LOG_TEXT("a", "\xc2\x9b"), HEAD " a=\"\\xc2\\x9b\"\n"); /* C1 */
    assert_line(LOG_JSON, LOG_TEXT("a", "\xc3\xbc\xfc\""),
                "{\"time\":\"2026-11-24T01:48:09.123Z\",\"level\":\"info\",\"node\":\"1\","
                "\"event\":\"e\",\"a\":\"\xc3\xbc\\\\xfc\\\"\"}\n");
}

/* Length of the value of the only field. */
static size_t value_size(const char *value)
{
    const struct log_field field = LOG_TEXT("a", value);
    struct buf b;
    size_t n;

    buf_init(&b, 1 << 20);
    log_format_line(&b, LOG_LOGFMT, WALL_MS, LOG_INFO, "1", "e", &field, 1);
    n = b.n - strlen(HEAD " a=\n");
    buf_deinit(&b);
    return n;
}

static void values_are_cut_between_characters(void **state)
{
    char text[LOG_VALUE_SIZE_MAX + 10] = "";

    (void)state;
    memset(text, 'a', sizeof text - 1);
    assert_int_equal(value_size(text), LOG_VALUE_SIZE_MAX);
    memcpy(text + LOG_VALUE_SIZE_MAX - 2, "\xc3\xbc", 2); /* the last one that fits */
    assert_int_equal(value_size(text), LOG_VALUE_SIZE_MAX);
    memcpy(text + LOG_VALUE_SIZE_MAX - 2, "a\xc3\xbc", 3);
    assert_int_equal(value_size(text), LOG_VALUE_SIZE_MAX - 1);
    memcpy(text + LOG_VALUE_SIZE_MAX - 3, "\xf0\x9f\x93\xa7", 4);
    assert_int_equal(value_size(text), LOG_VALUE_SIZE_MAX - 3);
    memcpy(text + LOG_VALUE_SIZE_MAX - 4, "\xf0\x9f\x93\xa7", 4);
    assert_int_equal(value_size(text), LOG_VALUE_SIZE_MAX);
}

static void the_longest_line_is_still_a_line(void **state)
{
    struct log_field fields[LOG_FIELDS_MAX + 8];
    char text[LOG_VALUE_SIZE_MAX + 1] = "";
    struct buf b;

    (void)state;
    memset(text, 1, sizeof text - 1);
    for (size_t i = 0; i < LOG_FIELDS_MAX + 8; i++)
        fields[i] = i == 0 ? LOG_SKIP : LOG_TEXT("k", text);
    buf_init(&b, 1 << 20);
    log_format_line(&b, LOG_JSON, WALL_MS, LOG_ERROR, "1", "e", fields, LOG_FIELDS_MAX + 8);
    assert_in_range(b.n, LOG_FIELDS_MAX * LOG_VALUE_SIZE_MAX * 6,
                    LOG_FIELDS_MAX * (LOG_VALUE_SIZE_MAX * 6 + 8) + 200); /* and no more fields */
    assert_memory_equal(b.p + b.n - 3, "\"}\n", 3);
    buf_reset(&b);
    log_format_line(&b, LOG_LOGFMT, WALL_MS, LOG_DEBUG, "", "two", NULL, 0); /* appends; no node */
    log_format_line(&b, LOG_LOGFMT, WALL_MS, LOG_WARN, NULL, "lines", NULL, 0);
    assert_string_equal(buf_cstr(&b), "time=2026-11-24T01:48:09.123Z level=debug event=two\n"
                                      "time=2026-11-24T01:48:09.123Z level=warn event=lines\n");
    buf_deinit(&b);
}

/* ---- the ring ---- */

struct reader {
    int fd;
    atomic_size_t lines;
    char *text; /* the first bytes, terminated */
    size_t n, size;
};

static void *read_all(void *arg)
{
    struct reader *r = arg;
    char bytes[65536];
    ssize_t got;

    while ((got = read(r->fd, bytes, sizeof bytes)) > 0) {
        size_t keep = (size_t)got < r->size - r->n ? (size_t)got : r->size - r->n;
        memcpy(r->text + r->n, bytes, keep);
        r->n += keep;
        for (ssize_t i = 0; i < got; i++)
            if (bytes[i] == '\n') atomic_fetch_add(&r->lines, 1);
    }
    r->text[r->n] = '\0';
    return NULL;
}

static void reader_init(struct reader *r, int fd, size_t size)
{
    *r = (struct reader){ .fd = fd, .text = malloc(size + 1), .size = size };
}

static void lines_come_out_in_order_and_close_flushes(void **state)
{
    char text[1001] = "";
    struct reader r;
    pthread_t thread;
    const char *at;
    int fds[2];

    (void)state;
    memset(text, 'x', 1000);
    assert_int_equal(pipe(fds), 0);
    reader_init(&r, fds[0], 16 << 20);
    assert_int_equal(pthread_create(&thread, NULL, read_all, &r), 0);
    log_open(fds[1], LOG_INFO, LOG_LOGFMT, "7");
    for (int i = 0; i < 10000; i++) { /* 10 MB: more than twice round the ring */
        log_event(LOG_INFO, "count", LOG_NUM("i", i), LOG_TEXT("x", text));
        log_event(LOG_DEBUG, "unwanted", LOG_NUM("i", i));
        while (i % 1000 == 999 && atomic_load(&r.lines) <= (size_t)i)
            sched_yield();
    }
    log_event(LOG_INFO, "last", LOG_NUM("i", 10000));
    log_close();
    log_close();
    close(fds[1]);
    pthread_join(thread, NULL);
    close(fds[0]);
    assert_int_equal(r.lines, 10001);
    assert_non_null(strstr(r.text, " level=info node=7 event=count i=0 x=xxx"));
    at = r.text;
    for (int i = 0; i <= 10000; i++) {
        at = strstr(at, " i=");
        assert_non_null(at);
        assert_int_equal(strtol(at + 3, NULL, 10), i);
        at++;
    }
    free(r.text);
}

static void *write_many(void *arg)
{
    for (int i = 0; i < 2000; i++)
        log_event(LOG_WARN, "thread", LOG_TEXT("name", arg), LOG_NUM("i", i));
    return NULL;
}

static void many_threads(void **state)
{
    static char names[4][2] = { "a", "b", "c", "d" };
    pthread_t thread, threads[4];
    struct reader r;
    int fds[2];

    (void)state;
    assert_int_equal(pipe(fds), 0);
    reader_init(&r, fds[0], 0);
    assert_int_equal(pthread_create(&thread, NULL, read_all, &r), 0);
    log_open(fds[1], LOG_WARN, LOG_JSON, "7");
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_many, names[i]), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    log_close();
    close(fds[1]);
    pthread_join(thread, NULL);
    close(fds[0]);
    assert_int_equal(r.lines, 8000);
    free(r.text);
}

/* The reader sleeps: nothing blocks, lines are dropped and counted, and a line tells how many. */
static void a_full_ring_drops_and_tells(void **state)
{
    uint64_t before = metric_get(M_LOG_LINES_DROPPED), dropped;
    struct reader r;
    pthread_t thread;
    char text[1001] = "", wanted[64];
    const char *notice;
    int fds[2];

    (void)state;
    memset(text, 'x', 1000);
    assert_int_equal(pipe(fds), 0);
    log_open(fds[1], LOG_INFO, LOG_LOGFMT, "7");
    for (int i = 0; i < 6000; i++) /* 6 MB into a ring of 4 */
        log_event(LOG_INFO, "much", LOG_TEXT("x", text));
    dropped = metric_get(M_LOG_LINES_DROPPED) - before;
    assert_in_range(dropped, 1000, 3000);

    reader_init(&r, fds[0], 16 << 20);
    assert_int_equal(pthread_create(&thread, NULL, read_all, &r), 0);
    log_close();
    close(fds[1]);
    pthread_join(thread, NULL);
    close(fds[0]);
    assert_int_equal(r.lines, 6000 - dropped + 1);
    notice = strstr(r.text, "event=log.dropped");
    assert_non_null(notice);
    snprintf(wanted, sizeof wanted, "event=log.dropped lines=%u\n", (unsigned)dropped);
    assert_memory_equal(notice, wanted, strlen(wanted));
    free(r.text);
}

static void a_dead_fd_loses_lines_and_nothing_else(void **state)
{
    uint64_t before = metric_get(M_LOG_LINES_DROPPED);
    int fds[2];

    (void)state;
    assert_int_equal(pipe(fds), 0);
    close(fds[0]);
    log_open(fds[1], LOG_INFO, LOG_LOGFMT, "7");
    for (int i = 0; i < 10; i++)
        log_event(LOG_INFO, "lost", LOG_NUM("i", i));
    log_close(); /* and no SIGPIPE */
    close(fds[1]);
    assert_int_equal(metric_get(M_LOG_LINES_DROPPED), before + 10);
}

static void a_nonblocking_fd_is_waited_for(void **state)
{
    struct reader r;
    pthread_t thread;
    int fds[2];

    (void)state;
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(fcntl(fds[1], F_SETFL, O_NONBLOCK), 0);
    reader_init(&r, fds[0], 0);
    log_open(fds[1], LOG_INFO, LOG_LOGFMT, "7");
    for (int i = 0; i < 5000; i++)
        log_event(LOG_INFO, "wait", LOG_NUM("i", i));
    assert_int_equal(pthread_create(&thread, NULL, read_all, &r), 0);
    log_close();
    close(fds[1]);
    pthread_join(thread, NULL);
    close(fds[0]);
    assert_int_equal(r.lines, 5000);
    free(r.text);
}

static void levels(void **state)
{
    (void)state;
    log_set_level(LOG_WARN);
    assert_false(log_wanted(LOG_INFO));
    assert_true(log_wanted(LOG_WARN));
    assert_true(log_wanted(LOG_ERROR));
    log_set_level(LOG_DEBUG);
    assert_true(log_wanted(LOG_DEBUG));
    log_set_level(LOG_INFO);
    assert_false(log_wanted(LOG_DEBUG));
}

/* Without log_open, lines go to stderr at once. */
static void before_open_lines_go_to_stderr(void **state)
{
    int fds[2], saved = dup(STDERR_FILENO);
    char text[256] = "";
    ssize_t got;

    (void)state;
    assert_int_equal(pipe(fds), 0);
    dup2(fds[1], STDERR_FILENO);
    log_event(LOG_ERROR, "early", LOG_NUM("i", 1));
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(fds[1]);
    got = read(fds[0], text, sizeof text - 1);
    close(fds[0]);
    assert_true(got > 0);
    assert_non_null(strstr(text, " level=error event=early i=1\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(before_open_lines_go_to_stderr), /* first: no node is known yet */
        cmocka_unit_test(plain_lines),
        cmocka_unit_test(values_that_need_quotes),
        cmocka_unit_test(a_peer_cannot_break_a_line),
        cmocka_unit_test(utf8_stays_and_other_bytes_are_escaped),
        cmocka_unit_test(values_are_cut_between_characters),
        cmocka_unit_test(the_longest_line_is_still_a_line),
        cmocka_unit_test(levels),
        cmocka_unit_test(lines_come_out_in_order_and_close_flushes),
        cmocka_unit_test(many_threads),
        cmocka_unit_test(a_full_ring_drops_and_tells),
        cmocka_unit_test(a_dead_fd_loses_lines_and_nothing_else),
        cmocka_unit_test(a_nonblocking_fd_is_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
