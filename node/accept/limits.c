/* limits - what a session may not pass besides silence: the pace of a mail that comes in, and what it
 * weighs; and the count of every reply that tells of a limit.
 */
#include "node/accept/session.h"
#include "proto/ground/metric.h"

/* As measured (tests/clients/memory_test.py holds them to it, within a factor of 2): a session when nothing happens, stream
 * and allocator included; TLS over it, as OpenSSL 3 takes; what reads a mail while it comes. */
#define WEIGHT_CLEAR  ((size_t)3 << 10)
#define WEIGHT_TLS    ((size_t)14 << 10)
#define WEIGHT_READER ((size_t)8 << 10)

/* ---- pace */

static bool is_receiving(const struct session *s)
{
    return s->state == SESSION_DATA || s->state == SESSION_CHUNK || s->state == SESSION_BETWEEN;
}

/* A mail that trickles in is not silent: what comes in a window of time is counted, over chunks. */
static void open_window(struct session *s)
{
    s->window_bytes_in = s->bytes_in;
    s->window_is_excused = false;
    loop_timer_start(&s->window_timer, s->terms->limits.data_window_ms);
}

void session_window_update(struct session *s)
{
    if (!is_receiving(s))
        loop_timer_stop(&s->window_timer);
    else if (!loop_timer_is_running(&s->window_timer))
        open_window(s);
}

static void on_window(struct loop_timer *t)
{
    struct session *s = CONTAINER_OF(t, struct session, window_timer);
    const struct accept_limits *limits = &s->terms->limits;
    uint64_t needed = limits->data_rate_min * limits->data_window_ms / 1000;

    if (s->state == SESSION_BETWEEN || s->window_is_excused ||
        s->bytes_in - s->window_bytes_in >= needed) {
        open_window(s);
        return;
    }
    metric_add(M_SESSION_LIMIT_RATE, 1);
    session_reply_close(s, SMTP_REPLY_IDLE, "the mail comes too slowly");
}

void session_window_init(struct session *s)
{
    loop_timer_init(&s->window_timer, s->accept->loop, on_window);
}

/* ---- weight */

/* What it holds besides bodies: the queues, the envelope (in blocks, as it lies in memory), the reader of its mail, and
 * what a session and its TLS cost. */
void session_weigh(struct session *s)
{
    size_t now = WEIGHT_CLEAR + arena_held(&s->transaction.arena);

    if (session_has_tls(s)) now += WEIGHT_TLS;
    if (s->transaction.body_is_open) now += WEIGHT_READER;
    if (s->stream) now += stream_in_bytes(s->stream) + stream_out_bytes(s->stream);
    if (now != s->weight) clients_weigh(s->accept->clients, s->weight, now);
    s->weight = now;
}

/* ---- replies */

/* Replies that tell of a limit, each counted under its name. */
void session_count_limit(enum smtp_reply_id id)
{
    static const struct {
        enum smtp_reply_id id;
        enum metric metric;
    } limits[] = {
        { SMTP_REPLY_LINE_TOO_LONG, M_LIMIT_LINE },
        { SMTP_REPLY_AUTH_LINE_TOO_LONG, M_LIMIT_LINE },
        { SMTP_REPLY_TOO_MANY_RECIPIENTS, M_LIMIT_RECIPIENTS },
        { SMTP_REPLY_TOO_LARGE, M_LIMIT_SIZE },
        { SMTP_REPLY_HEADER_TOO_LARGE, M_LIMIT_HEADER },
        { SMTP_REPLY_TOO_MANY_FIELDS, M_LIMIT_FIELDS },
        { SMTP_REPLY_TOO_MANY_HOPS, M_LIMIT_HOPS },
    };

    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++)
        if (limits[i].id == id) metric_add(limits[i].metric, 1);
}
