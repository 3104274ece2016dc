/* verb_mail - MAIL, with SIZE (RFC 1870), BODY=8BITMIME (RFC 6152), RET and ENVID (RFC 3461) where they are
 * offered; with PIPELINING (RFC 2920) RCPT and DATA go out in the same write. A transaction that the last
 * delivery left open is reset first.
 */
#include "node/deliver/inside.h"

#include <inttypes.h>

#include "node/smtp/address.h"

static void add_body(const struct conn *c, struct buf *line)
{
    const struct delivery *y = c->y;

    if (y->converts) return;
    if (y->by_bdat && fit_is_binary(y))
        buf_add_cstr(line, " BODY=BINARYMIME");
    else if (fit_needs_8bit(y) && c->offer.eight_bit_mime)
        buf_add_cstr(line, " BODY=8BITMIME");
}

/* RFC 6531 3.4: for what needs it. */
static void add_utf8(struct conn *c, struct buf *line)
{
    struct delivery *y = c->y;
    bool needs = fit_needs_utf8(y) || !fit_is_ascii(proto_span(y->message->mail_from));

    for (unsigned i = 0; i < y->count; i++)
        needs |= !fit_is_ascii(proto_span(y->list[i].record->address));
    y->asks_utf8 = needs && c->offer.smtputf8;
    if (y->asks_utf8) buf_add_cstr(line, " SMTPUTF8");
}

/* What the client asked of notifications is the next host's to do, if it can (RFC 3461 5.2.1). */
static void add_dsn(const struct conn *c, struct buf *line)
{
    const Angarium__MessageRecord *m = c->y->message;

    if (!c->offer.dsn) return;
    if (m->ret == PROTO_RET_FULL) buf_add_cstr(line, " RET=FULL");
    if (m->ret == PROTO_RET_HDRS) buf_add_cstr(line, " RET=HDRS");
    if (m->envid.len == 0) return;
    buf_add_cstr(line, " ENVID=");
    buf_add_span(line, proto_span(m->envid));
}

/* As it was given; to a host without SMTPUTF8 a domain in UTF-8 goes in its A-label form. fit() has seen to it that
 * there is one. */
static void add_sender(const struct conn *c, struct buf *line)
{
    struct span from = proto_span(c->y->message->mail_from);

    if (c->offer.smtputf8)
        buf_add_span(line, from);
    else
        CHECK(smtp_address_ascii(from, line) == 0);
}

static void say(struct conn *c)
{
    const struct delivery *y = c->y;
    struct buf *line = &c->d->scratch;
    uint64_t size = (y->message->body ? y->message->body->size : 0) + y->trace.n;

    buf_reset(line);
    buf_add_cstr(line, "MAIL FROM:<");
    add_sender(c, line);
    buf_add_cstr(line, ">");
    if (c->offer.size && !y->converts) buf_addf(line, " SIZE=%" PRIu64, size);
    add_body(c, line);
    add_utf8(c, line);
    add_dsn(c, line);
    buf_add_cstr(line, "\r\n");
    conn_say(c, STEP_MAIL, buf_span(line), 1);
    buf_reset(line);
    if (!c->offer.pipelining) return;
    say_rcpt(c);
    if (!y->by_bdat) say_data(c);
}

void say_mail(struct conn *c)
{
    if (c->must_reset) {
        say_rset(c);
        if (!c->offer.pipelining) return; /* hear_rset() comes back here */
    }
    say(c);
}

void hear_mail(struct conn *c, const struct smtp_reply *r)
{
    if (reply_is(r, 2)) {
        c->must_reset = true;
        if (!c->offer.pipelining) say_rcpt(c);
    } else if (!reply_refuses(r)) {
        conn_nonsense(c, STEP_MAIL, r);
    } else if (!conn_refused(c, STEP_MAIL, r) && c->expected_count == 0) {
        conn_delivery_over(c);
    }
}
