/* verb_data - DATA and the content (RFC 5321 4.1.1.4): the trace header first (4.4), then the body
 * as it was taken in, dots stuffed (4.5.2), chunk by chunk. No more than DELIVER_OUT_MAX bytes wait
 * in the stream: when it is full, on_low() brings us back. The final dot is verb_dot.c's.
 */
#include "node/deliver/inside.h"

void say_data(struct conn *c)
{
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

void hear_data(struct conn *c, const struct smtp_reply *r)
{
    struct delivery *y = c->y;

    if (r->code == 354) {
        if (y->taken == 0) {
            dot_lone(c);
            return;
        }
        smtp_data_writer_init(&y->writer);
        body_source_start(y);
        conn_say(c, STEP_BODY, span_of(NULL, 0), 0);
        write_stuffed(c, buf_span(&y->trace));
        data_go(c);
    } else if (!reply_refuses(r)) {
        conn_nonsense(c, STEP_DATA, r);
    } else if (!conn_refused(c, STEP_DATA, r)) {
        conn_delivery_over(c);
    }
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

static void write_slice(struct conn *c)
{
    write_stuffed(c, body_source_take(c->y, DELIVER_OUT_SLICE));
}

void data_go(struct conn *c)
{
    struct delivery *y = c->y;
    int rv = 0;

    if (c->phase != CONN_BUSY || c->said != STEP_BODY || y->body_out) return;
    conn_wait_for(c, c->d->o.data_timeout_ms);
    c->out_seen = SIZE_MAX;
    while (stream_out_room(c->stream) >= 2 * DELIVER_OUT_SLICE) {
        rv = body_source_next(y);
        if (rv != 0) break;
        write_slice(c);
    }
    if (rv == ERR_CLOSED) {
        y->body_out = true;
        loop_timer_stop(&c->timer);
        dot_try(c);
    } else if (rv != 0 && rv != ERR_AGAIN) {
        unreadable(c, rv);
    }
}

void data_body(struct conn *c, int rv)
{
    if (rv == 0)
        data_go(c);
    else if (c->said == STEP_BODY)
        unreadable(c, rv);
}
