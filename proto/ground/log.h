/* log - one structured line per event, logfmt or JSON.
 *
 * log_event(LOG_INFO, "session.open", LOG_TEXT("session", id), LOG_NUM("port", 587));
 * gives   time=2026-11-24T01:48:09.123Z level=info node=1 event=session.open session=... port=587
 *
 * Values are escaped, so that a peer's bytes never break a line (control and non-ASCII bytes that are
 * not UTF-8 become \xNN), and cut at LOG_VALUE_SIZE_MAX. Lines go into a bounded ring that a thread of
 * its own writes out: a slow log never blocks a loop. When the ring is full, lines are dropped and
 * counted (metric log_lines_dropped_total; a line says how many as soon as there is room).
 * Never pass a secret or a body here.
 */
#ifndef GROUND_LOG_H
#define GROUND_LOG_H

#include "proto/ground/span.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_LOGFMT, LOG_JSON };

#define LOG_VALUE_SIZE_MAX 1024
#define LOG_FIELDS_MAX     32
#define LOG_RING_SIZE      (4u << 20)

enum log_kind { LOG_KIND_TEXT, LOG_KIND_NUM, LOG_KIND_SPAN, LOG_KIND_NONE };
struct log_field {
    const char *key;
    enum log_kind kind;
    const char *text;
    int64_t num;
    struct span span;
};

#define LOG_TEXT(k, v) ((struct log_field){ .key = (k), .kind = LOG_KIND_TEXT, .text = (v) })
#define LOG_NUM(k, v)  ((struct log_field){ .key = (k), .kind = LOG_KIND_NUM, .num = (int64_t)(v) })
#define LOG_SPAN(k, v) ((struct log_field){ .key = (k), .kind = LOG_KIND_SPAN, .span = (v) })
#define LOG_SKIP       ((struct log_field){ .kind = LOG_KIND_NONE })

/* Lines go to fd (borrowed), each with node=<node>. Until log_open they go to stderr unbuffered. */
void log_open(int fd, enum log_level least, enum log_format format, const char *node);
/* Writes out what is in the ring and ends the thread. */
void log_close(void);
void log_set_level(enum log_level least);
bool log_wanted(enum log_level level);
void log_write(enum log_level level, const char *event, const struct log_field *fields, size_t n);

#define log_event(level, event, ...)                                                               \
    do {                                                                                           \
        if (log_wanted(level)) {                                                                   \
            const struct log_field fields_[] = { LOG_SKIP, __VA_ARGS__ };                          \
            log_write(level, event, fields_, sizeof fields_ / sizeof fields_[0]);                  \
        }                                                                                          \
    } while (0)

/* For tests: formats one line (with its newline) instead of writing it. */
struct buf;
void log_format_line(struct buf *out, enum log_format format, uint64_t wall_ms,
                     enum log_level level, const char *node, const char *event,
                     const struct log_field *fields, size_t n);

#endif
