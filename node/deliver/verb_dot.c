/* verb_dot - the final dot, or the last chunk (verb_bdat.c): the moment at which a mail changes hands (RFC 5321 4.2.5, 6.1).
 *
 * P2: it is written only when the claim of this attempt has committed, and no recipient of the
 * transaction was refused by it. That is decided in one place, dot_try(). When the reply to the dot
 * does not come, the recipients that were taken are in doubt: they may have the mail.
 */
#include "node/deliver/inside.h"

static void say(struct conn *c, struct smtp_data_writer *w)
{
    struct buf *out = &c->d->scratch;

    buf_reset(out);
    if (c->y->by_bdat)
        buf_add_cstr(out, "BDAT 0 LAST\r\n");
    else
        smtp_data_finish(w, out);
    c->y->dot_said = true;
    conn_say(c, STEP_DOT, buf_span(out), 1);
    buf_reset(out);
}

void dot_try(struct conn *c)
{
    struct delivery *y = c->y;

    if (c->said != (y->by_bdat ? STEP_BDAT : STEP_BODY) || c->expected_count > 0) return;
    if (!y->body_out || y->claim_state != CLAIM_DONE) return;
    CHECK(!y->is_orphan);
    say(c, &y->writer);
}

/* DATA was taken though no recipient was: an empty mail to nobody (RFC 2920 3.1). */
void dot_lone(struct conn *c)
{
    struct smtp_data_writer w;

    smtp_data_writer_init(&w);
    c->y->lone_dot = true;
    say(c, &w);
}

static void mark_delivered(struct delivery *y, const struct smtp_reply *r)
{
    struct router_meaning meaning;
    struct verdict *v = delivery_reply(y, ROUTER_AT_DOT, r, &meaning);

    v->result = ANGARIUM__RESULT__RESULT_DELIVERED;
    v->confirm = y->c->offer.dsn ? 0 : PROTO_CONFIRM_RELAYED; /* RFC 3461 5.2.1, 5.2.2 */
    delivery_judge(y, v);
}

void hear_dot(struct conn *c, const struct smtp_reply *r)
{
    struct delivery *y = c->y;

    c->must_reset = y->by_bdat && reply_refuses(r);
    if (y->lone_dot) {
        if (r->code == 421)
            conn_broken(c, "closed", "%s", r->text);
        else
            conn_delivery_over(c);
    } else if (reply_is(r, 2)) {
        mark_delivered(y, r);
        conn_delivery_over(c);
    } else if (!reply_refuses(r)) {
        conn_nonsense(c, STEP_DOT, r);
    } else if (!conn_refused(c, STEP_DOT, r)) {
        conn_delivery_over(c);
    }
}
