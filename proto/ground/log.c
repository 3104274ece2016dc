/* log - lines, the bounded ring they wait in, and the thread that writes them out.
 *
 * Way:        log_write -> log_format_line -> ring -> writer thread -> fd
 * Invariants: a line is in the ring whole or not at all. Only the writer thread touches the fd, and
 *             it does so without the mutex: it writes from the filled part of the ring, putters copy
 *             into the free part only. The mutex is held for one copy of a line, never for a write.
 *             Every line that was not written is counted once: in the metric, and in `dropped` until
 *             a line has told it.
 * Threads:    log_write, log_wanted, log_set_level: any. log_open and log_close: one thread.
 * Fails:      never. A fd that cannot be written to loses lines; they count as dropped.
 */
#include "proto/ground/log.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "proto/ground/buf.h"
#include "proto/ground/check.h"
#include "proto/ground/clock.h"
#include "proto/ground/metric.h"

#define LOG_NODE_SIZE  64
#define LOG_LINE_MAX   (LOG_FIELDS_MAX * (LOG_VALUE_SIZE_MAX * 6u + 256) + 8192)
#define LOG_CHUNK_MAX  (64u << 10) /* bytes per write: room comes back in such steps */
#define LOG_NOTICE_MAX 1024u       /* the line that tells how many were dropped */

/* What a line needs to know of the settings. */
struct log_style {
    enum log_format format;
    char node[LOG_NODE_SIZE];
};

struct log {
    pthread_mutex_t mutex;
    pthread_cond_t filled;
    pthread_t writer;
    struct log_style style;
    int fd;
    bool is_open, is_closing;
    uint8_t *ring; /* LOG_RING_SIZE bytes */
    size_t from;   /* first byte in use */
    size_t n;      /* bytes in use */
    uint64_t dropped;
};

static struct log the_log = { .mutex = PTHREAD_MUTEX_INITIALIZER,
                              .filled = PTHREAD_COND_INITIALIZER,
                              .fd = STDERR_FILENO };
static atomic_int level_least = LOG_INFO;

/* ---- values ------------------------------------------------------------------------------------
 */

/* Length of the UTF-8 character of two bytes or more at `at`; 0 when it is none, or a C1 control.
 */
static size_t utf8_size(struct span s, size_t at)
{
    bool is_c1 = s.p[at] == 0xc2 && at + 1 < s.n && s.p[at + 1] < 0xa0;

    return is_c1 ? 0 : span_utf8_size(span_from(s, at));
}

/* Bytes at `at` that may be printed as they are, both formats; 0 when they must be escaped. */
static size_t plain_size(struct span s, size_t at)
{
    uint8_t c = s.p[at];

    if (c >= 0x80) return utf8_size(s, at);
    return c >= ' ' && c != 0x7f && c != '"' && c != '\\' ? 1 : 0;
}

/* At most LOG_VALUE_SIZE_MAX bytes, and not in the middle of a character. */
static struct span cut(struct span s)
{
    if (s.n <= LOG_VALUE_SIZE_MAX) return s;
    for (size_t back = 1; back <= 3; back++) {
        size_t at = LOG_VALUE_SIZE_MAX - back;
        size_t size = s.p[at] >= 0x80 ? utf8_size(s, at) : 0;
        if (size > back) return span_sub(s, 0, at);
        if (size > 0) break;
    }
    return span_sub(s, 0, LOG_VALUE_SIZE_MAX);
}

static void add_escaped(struct buf *out, enum log_format format, uint8_t c)
{
    if (c == '"' || c == '\\')
        buf_addf(out, "\\%c", c);
    else if (format == LOG_LOGFMT)
        buf_addf(out, "\\x%02x", c);
    else if (c < 0x80)
        buf_addf(out, "\\u%04x", c);
    else
        buf_addf(out, "\\\\x%02x", c); /* JSON has no word for a byte: the reader sees \xNN */
}

static void add_quoted(struct buf *out, enum log_format format, struct span s)
{
    size_t at = 0;

    buf_add_u8(out, '"');
    while (at < s.n) {
        size_t size = plain_size(s, at);
        if (size > 0)
            buf_add(out, s.p + at, size);
        else
            add_escaped(out, format, s.p[at]);
        at += size > 0 ? size : 1;
    }
    buf_add_u8(out, '"');
}

/* Whether logfmt can do without quotes. */
static bool is_word(struct span s)
{
    for (size_t at = 0; at < s.n;) {
        size_t size = plain_size(s, at);
        if (size == 0 || s.p[at] == ' ' || s.p[at] == '=') return false;
        at += size;
    }
    return s.n > 0;
}

static void add_value(struct buf *out, enum log_format format, struct span s)
{
    s = cut(s);
    if (format == LOG_LOGFMT && is_word(s))
        buf_add_span(out, s);
    else
        add_quoted(out, format, s);
}

/* ---- lines -------------------------------------------------------------------------------------
 */

static void add_key(struct buf *out, enum log_format format, const char *key)
{
    if (format == LOG_LOGFMT)
        buf_addf(out, "%s%s=", out->n > 0 ? " " : "", key);
    else
        buf_addf(out, "%s\"%s\":", out->n > 1 ? "," : "", key);
}

static void add_text(struct buf *out, enum log_format format, const char *key, const char *text)
{
    add_key(out, format, key);
    add_value(out, format, span_cstr(text));
}

static void add_field(struct buf *out, enum log_format format, const struct log_field *f)
{
    switch (f->kind) {
    case LOG_KIND_TEXT:
        add_text(out, format, f->key, f->text);
        break;
    case LOG_KIND_NUM:
        add_key(out, format, f->key);
        buf_addf(out, "%" PRId64, f->num);
        break;
    case LOG_KIND_SPAN:
        add_key(out, format, f->key);
        add_value(out, format, f->span);
        break;
    case LOG_KIND_NONE:
        break;
    }
}

/* `line` is empty: the keys look at it to know whether they are the first. */
static void format_line(struct buf *line, enum log_format format, uint64_t wall_ms,
                        enum log_level level, const char *node, const char *event,
                        const struct log_field *fields, size_t n)
{
    static const char *const levels[] = { "debug", "info", "warn", "error" };
    char time[CLOCK_RFC3339_SIZE];
    size_t added = 0;

    clock_rfc3339(wall_ms, time);
    if (format == LOG_JSON) buf_add_u8(line, '{');
    add_text(line, format, "time", time);
    add_text(line, format, "level", levels[level]);
    if (node && node[0] != '\0') add_text(line, format, "node", node);
    add_text(line, format, "event", event);
    for (size_t i = 0; i < n && added < LOG_FIELDS_MAX; i++) {
        added += fields[i].kind != LOG_KIND_NONE;
        add_field(line, format, &fields[i]);
    }
    buf_add_cstr(line, format == LOG_JSON ? "}\n" : "\n");
}

void log_format_line(struct buf *out, enum log_format format, uint64_t wall_ms,
                     enum log_level level, const char *node, const char *event,
                     const struct log_field *fields, size_t n)
{
    struct buf line;

    buf_init(&line, LOG_LINE_MAX);
    format_line(&line, format, wall_ms, level, node, event, fields, n);
    if (!buf_failed(&line)) buf_add_span(out, buf_span(&line));
    buf_deinit(&line);
}

/* ---- the ring: with the mutex held -------------------------------------------------------------
 */

static void ring_drop(struct log *l, uint64_t lines)
{
    l->dropped += lines;
    metric_add(M_LOG_LINES_DROPPED, lines);
}

static void ring_put(struct log *l, struct span line)
{
    size_t to = (l->from + l->n) % LOG_RING_SIZE;
    size_t first = LOG_RING_SIZE - to < line.n ? LOG_RING_SIZE - to : line.n;

    if (line.n > LOG_RING_SIZE - l->n) {
        ring_drop(l, 1);
        return;
    }
    memcpy(l->ring + to, line.p, first);
    if (line.n > first) memcpy(l->ring, line.p + first, line.n - first);
    if (l->n == 0) pthread_cond_signal(&l->filled);
    l->n += line.n;
}

/* Tells how many lines are missing, as soon as there is room to say so. */
static void ring_put_notice(struct log *l)
{
    const struct log_field lines = LOG_NUM("lines", l->dropped);
    struct buf line;

    if (l->dropped == 0 || LOG_RING_SIZE - l->n < LOG_NOTICE_MAX) return;
    buf_init(&line, LOG_NOTICE_MAX);
    format_line(&line, l->style.format, clock_wall_ms(&clock_real), LOG_WARN, l->style.node,
                "log.dropped", &lines, 1);
    if (!buf_failed(&line)) {
        ring_put(l, buf_span(&line));
        l->dropped = 0;
    }
    buf_deinit(&line);
}

/* The oldest bytes that stand in one piece. */
static struct span ring_chunk(const struct log *l)
{
    size_t n = l->n < LOG_RING_SIZE - l->from ? l->n : LOG_RING_SIZE - l->from;

    return span_of(l->ring + l->from, n < LOG_CHUNK_MAX ? n : LOG_CHUNK_MAX);
}

static void ring_drop_chunk(struct log *l, size_t n)
{
    l->from = (l->from + n) % LOG_RING_SIZE;
    l->n -= n;
}

/* ---- the writer thread -------------------------------------------------------------------------
 */

/* Waits for a slow fd. Returns how many bytes went out: fewer than all when it takes no more. */
static size_t write_out(int fd, struct span s)
{
    size_t done = 0;

    while (done < s.n) {
        ssize_t wrote = write(fd, s.p + done, s.n - done);
        if (wrote > 0) {
            done += (size_t)wrote;
        } else if (wrote < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            struct pollfd ready = { .fd = fd, .events = POLLOUT };
            poll(&ready, 1, -1);
        } else if (wrote == 0 || errno != EINTR) {
            break;
        }
    }
    return done;
}

static uint64_t count_lines(struct span s)
{
    uint64_t lines = 0;

    for (size_t at = span_find(s, 0, '\n'); at < s.n; at = span_find(s, at + 1, '\n'))
        lines++;
    return lines;
}

static void *writer_run(void *arg)
{
    struct log *l = arg;

    pthread_mutex_lock(&l->mutex);
    while (true) {
        struct span chunk;
        size_t wrote;

        while (l->n == 0 && !l->is_closing)
            pthread_cond_wait(&l->filled, &l->mutex);
        if (l->n == 0) break;
        chunk = ring_chunk(l);
        pthread_mutex_unlock(&l->mutex);
        wrote = write_out(l->fd, chunk);
        pthread_mutex_lock(&l->mutex);
        if (wrote < chunk.n) ring_drop(l, count_lines(span_from(chunk, wrote)));
        ring_drop_chunk(l, chunk.n);
        if (wrote == chunk.n) ring_put_notice(l);
    }
    pthread_mutex_unlock(&l->mutex);
    return NULL;
}

/* No signal is delivered to the writer; a closed pipe is an error of write() and no signal. */
static void writer_start(struct log *l)
{
    sigset_t all, before;

    sigfillset(&all);
    CHECK(pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
    CHECK(pthread_create(&l->writer, NULL, writer_run, l) == 0);
    CHECK(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
}

/* ---- public ------------------------------------------------------------------------------------
 */

void log_open(int fd, enum log_level least, enum log_format format, const char *node)
{
    struct log *l = &the_log;

    CHECK(!l->is_open);
    log_set_level(least);
    pthread_mutex_lock(&l->mutex);
    l->fd = fd;
    l->style.format = format;
    memset(l->style.node, 0, sizeof l->style.node);
    memcpy(l->style.node, node, strnlen(node, LOG_NODE_SIZE - 1));
    l->ring = check_malloc(LOG_RING_SIZE);
    l->from = l->n = 0;
    l->dropped = 0;
    l->is_closing = false;
    l->is_open = true;
    pthread_mutex_unlock(&l->mutex);
    writer_start(l);
}

void log_close(void)
{
    struct log *l = &the_log;

    pthread_mutex_lock(&l->mutex);
    if (!l->is_open) {
        pthread_mutex_unlock(&l->mutex);
        return;
    }
    l->is_open = false; /* from here on lines go to stderr, and the ring only empties */
    l->is_closing = true;
    pthread_cond_signal(&l->filled);
    pthread_mutex_unlock(&l->mutex);

    CHECK(pthread_join(l->writer, NULL) == 0);
    free(l->ring);
    l->ring = NULL;
}

void log_set_level(enum log_level least)
{
    atomic_store_explicit(&level_least, (int)least, memory_order_relaxed);
}

bool log_wanted(enum log_level level)
{
    return (int)level >= atomic_load_explicit(&level_least, memory_order_relaxed);
}

void log_write(enum log_level level, const char *event, const struct log_field *fields, size_t n)
{
    struct log *l = &the_log;
    struct log_style style;
    struct buf line;
    bool is_open;

    pthread_mutex_lock(&l->mutex);
    style = l->style;
    pthread_mutex_unlock(&l->mutex);

    buf_init(&line, LOG_LINE_MAX);
    format_line(&line, style.format, clock_wall_ms(&clock_real), level, style.node, event, fields,
                n);

    pthread_mutex_lock(&l->mutex);
    is_open = l->is_open;
    if (is_open && buf_failed(&line)) ring_drop(l, 1);
    if (is_open && !buf_failed(&line)) ring_put(l, buf_span(&line));
    pthread_mutex_unlock(&l->mutex);

    if (!is_open && !buf_failed(&line)) write_out(STDERR_FILENO, buf_span(&line));
    buf_deinit(&line);
}
