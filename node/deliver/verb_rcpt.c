/* verb_rcpt - RCPT, one for each recipient of the delivery (RFC 5321 4.1.1.3). Each is answered for
 * itself. A server that takes some and then says "too many" (RFC 5321 4.5.3.1.10) gets the others
 * at once, in a transaction of their own.
 */
#include "node/deliver/inside.h"

#include <stdio.h>

#include "node/smtp/notify.h"

/* As it was given; to a host without SMTPUTF8 a domain in UTF-8 goes in its A-label form. */
static void add_address(const struct conn *c, const Angarium__RecipientRecord *r, struct buf *line)
{
    struct span address = proto_span(r->address);
    size_t at = address.n;

    if (c->offer.smtputf8 || fit_is_ascii(address)) {
        buf_add_span(line, address);
        return;
    }
    while (at > 0 && address.p[at - 1] != '@')
        at--;
    buf_add_span(line, span_sub(address, 0, at));
    buf_add_span(line, proto_span(r->domain));
}

/* RFC 6533 3: raw UTF-8 goes where MAIL has SMTPUTF8 alone. What has no form there that is short enough is left out: the
 * next host then reports of the address that it got. */
static void add_orcpt(const struct conn *c, struct span orcpt, struct buf *line)
{
    struct buf ascii;

    if (orcpt.n == 0) return;
    buf_init(&ascii, 4 * SMTP_ORCPT_SIZE_MAX);
    if (c->y->asks_utf8) buf_add_span(&ascii, orcpt);
    if (c->y->asks_utf8 || smtp_orcpt_ascii(orcpt, &ascii) == 0) {
        buf_add_cstr(line, " ORCPT=");
        buf_add_span(line, buf_span(&ascii));
    }
    buf_deinit(&ascii);
}

/* RFC 3461 5.2.1 */
static void add_dsn(const struct conn *c, const Angarium__RecipientRecord *r, struct buf *line)
{
    static const struct {
        uint32_t bit;
        const char *name;
    } words[] = { { PROTO_NOTIFY_NEVER, "NEVER" },
                  { PROTO_NOTIFY_SUCCESS, "SUCCESS" },
                  { PROTO_NOTIFY_FAILURE, "FAILURE" },
                  { PROTO_NOTIFY_DELAY, "DELAY" } };
    const char *before = " NOTIFY=";

    for (unsigned i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (!(r->notify & words[i].bit)) continue;
        buf_addf(line, "%s%s", before, words[i].name);
        before = ",";
    }
    add_orcpt(c, proto_span(r->orcpt), line);
}

static void say_one(struct conn *c, struct buf *line)
{
    struct delivery *y = c->y;
    const Angarium__RecipientRecord *r = y->list[y->said++].record;

    buf_add_cstr(line, "RCPT TO:<");
    add_address(c, r, line);
    buf_add_cstr(line, ">");
    if (c->offer.dsn) add_dsn(c, r, line);
    buf_add_cstr(line, "\r\n");
}

void say_rcpt(struct conn *c)
{
    struct delivery *y = c->y;
    struct buf *lines = &c->d->scratch;
    unsigned before = y->said;

    buf_reset(lines);
    do
        say_one(c, lines);
    while (c->offer.pipelining && y->said < y->count);
    conn_say(c, STEP_RCPT, buf_span(lines), y->said - before);
    buf_reset(lines);
}

static bool is_too_many(const struct delivery *y, const struct smtp_reply *r)
{
    if (y->taken == 0) return false;
    return strcmp(r->enhanced, "4.5.3") == 0 || (r->code == 452 && r->enhanced[0] == '\0');
}

static struct verdict *too_many(struct delivery *y, const struct smtp_reply *r)
{
    struct verdict *v =
        delivery_words(y, ANGARIUM__RESULT__RESULT_DEFERRED, "too_many_recipients", "%s", r->text);

    v->code = r->code;
    snprintf(v->enhanced, sizeof v->enhanced, "%s", r->enhanced);
    v->counts = false;
    v->at_once = true;
    return v;
}

/* True: the connection is over. */
static bool one_refused(struct conn *c, struct delivery_recipient *to, const struct smtp_reply *r)
{
    struct router_meaning meaning;
    const struct verdict *v;

    if (is_too_many(c->y, r)) {
        to->verdict = too_many(c->y, r);
        return false;
    }
    v = delivery_reply(c->y, ROUTER_AT_RCPT, r, &meaning);
    if (meaning.closes) return conn_refused(c, STEP_RCPT, r);
    to->verdict = v;
    return false;
}

void hear_rcpt(struct conn *c, const struct smtp_reply *r)
{
    struct delivery *y = c->y;
    struct delivery_recipient *to = &y->list[y->heard++];

    if (to->verdict) { /* MAIL was refused: what is said of its recipients means nothing, but 421 */
        if (r->code == 421 && conn_refused(c, STEP_RCPT, r)) return;
    } else if (reply_is(r, 2)) {
        to->taken = true;
        y->taken++;
    } else if (!reply_refuses(r)) {
        conn_nonsense(c, STEP_RCPT, r);
        return;
    } else if (one_refused(c, to, r)) {
        return;
    }
    if (c->offer.pipelining && !y->by_bdat) return;
    if (c->expected_count > 0) return;
    if (y->said < y->count)
        say_rcpt(c);
    else if (y->taken > 0)
        say_data(c);
    else
        conn_delivery_over(c);
}
