/* verb_data - DATA and the content (RFC 5321 4.1.1.4): the trace header first (4.4), then the body
 * as it was taken in, dots stuffed (4.5.2), chunk by chunk; converted to 7 bits on the way where the
 * server takes no other (RFC 6152 3). No more than DELIVER_OUT_MAX bytes wait in the stream: when it
 * is full, on_low() brings us back. The final dot is verb_dot.c's, chunks by BDAT are verb_bdat.c's.
 */
#include "node/deliver/inside.h"

static void begin_bdat(struct conn *c)
{
    body_source_start(c->y);
    say_bdat(c, buf_span(&c->y->trace));
    data_go(c);
}

void say_data(struct conn *c)
{
    if (c->y->by_bdat) {
        begin_bdat(c);
        return;
    }
    conn_say(c, STEP_DATA, SPAN_LIT("DATA\r\n"), 1);
}

static void write_stuffed(struct conn *c, struct span run)
{
    struct buf *out = &c->d->scratch;

    buf_reset(out);
    smtp_data_write(&c->y->writer, run, out);
    (void)stream_write(c->stream,
                       buf_span(out)); /* there is room; a broken stream tells by on_end */
    buf_reset(out);
}

static void unreadable(struct conn *c, int rv)
{
    struct delivery *y = c->y;

    log_event(LOG_ERROR, "attempt.body_unreadable", LOG_TEXT("message", y->id),
              LOG_TEXT("error", err_name(rv)));
    delivery_judge(y, delivery_words(y, ANGARIUM__RESULT__RESULT_DEFERRED, "local",
                                     "the body cannot be read: %s", err_text(rv)));
    conn_part(c);
    conn_drop(c, ROUTER_CONN_OK);
    delivery_over(y);
}

/* Nothing is decided on the other side before the dot: the connection is left without it. */
static void inconvertible(struct conn *c)
{
    struct delivery *y = c->y;
    struct verdict *v = delivery_words(
        y, ANGARIUM__RESULT__RESULT_BOUNCED, "8bit_unsupported",
        "the message cannot be converted to 7 bits, %s does not offer 8BITMIME", c->remote.host);

    memcpy(v->enhanced, "5.6.3", sizeof "5.6.3");
    delivery_judge(y, v);
    conn_part(c);
    conn_drop(c, ROUTER_CONN_OK);
    delivery_over(y);
}

/* False: the connection is over. `is_last`: behind the last byte of the mail. */
static bool convert(struct conn *c, struct span run, bool is_last)
{
    struct mail_downgrade *d = c->y->downgrade;
    struct buf seven;
    int rv;

    buf_init(&seven, 4 * DELIVER_OUT_SLICE + MAIL_DOWNGRADE_BURST_MAX);
    rv = is_last ? mail_downgrade_finish(d, &seven) : mail_downgrade_feed(d, run, &seven);
    CHECK(!buf_failed(&seven));
    if (rv == 0 && seven.n > 0) write_stuffed(c, buf_span(&seven));
    buf_deinit(&seven);
    if (rv != 0) inconvertible(c);
    return rv == 0;
}

static void begin_body(struct conn *c)
{
    struct delivery *y = c->y;

    smtp_data_writer_init(&y->writer);
    body_source_start(y);
    conn_say(c, STEP_BODY, span_of(NULL, 0), 0);
    if (!y->converts) {
        write_stuffed(c, buf_span(&y->trace));
    } else {
        mail_downgrade_free(&y->downgrade);
        y->downgrade = mail_downgrade_new();
        if (!convert(c, buf_span(&y->trace), false)) return;
    }
    data_go(c);
}

void hear_data(struct conn *c, const struct smtp_reply *r)
{
    struct delivery *y = c->y;

    if (r->code == 354) {
        if (y->taken == 0) {
            dot_lone(c);
            return;
        }
        begin_body(c);
    } else if (!reply_refuses(r)) {
        conn_nonsense(c, STEP_DATA, r);
    } else if (!conn_refused(c, STEP_DATA, r)) {
        conn_delivery_over(c);
    }
}

static bool write_slice(struct conn *c)
{
    struct delivery *y = c->y;

    if (y->converts) return convert(c, body_source_take(y, DELIVER_CONVERT_SLICE), false);
    if (y->by_bdat)
        say_bdat(c, body_source_take(y, DELIVER_CHUNK));
    else
        write_stuffed(c, body_source_take(y, DELIVER_OUT_SLICE));
    return true;
}

/* For the most that one slice may become. */
static bool has_room(const struct conn *c)
{
    size_t needed = 2 * DELIVER_OUT_SLICE;

    if (c->y->converts) needed = 2 * (4 * DELIVER_CONVERT_SLICE + MAIL_DOWNGRADE_BURST_MAX) * 3 / 4;
    if (c->y->by_bdat) needed = 2 * DELIVER_CHUNK;
    return stream_out_room(c->stream) >= needed;
}

static bool is_in_body(const struct conn *c)
{
    if (c->phase != CONN_BUSY || c->y->body_out) return false;
    return c->said == (c->y->by_bdat ? STEP_BDAT : STEP_BODY);
}

void data_go(struct conn *c)
{
    struct delivery *y = c->y;
    int rv = 0;

    if (!is_in_body(c)) return;
    conn_wait_for(c, c->d->o.data_timeout_ms);
    c->out_seen = SIZE_MAX;
    while (has_room(c)) {
        rv = body_source_next(y);
        if (rv != 0) break;
        if (!write_slice(c)) return;
    }
    if (rv == ERR_CLOSED) {
        if (y->converts && !convert(c, span_of(NULL, 0), true)) return;
        y->body_out = true;
        if (c->expected_count == 0) loop_timer_stop(&c->timer);
        dot_try(c);
    } else if (rv != 0 && rv != ERR_AGAIN) {
        unreadable(c, rv);
    }
}

void data_body(struct conn *c, int rv)
{
    if (rv == 0)
        data_go(c);
    else if (is_in_body(c))
        unreadable(c, rv);
}
