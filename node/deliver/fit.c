/* fit - what a server offers against what a mail needs (RFC 1870 6.1, RFC 6152 3, RFC 3030 3, RFC 6531 3.4).
 *
 *     needs                         offered                        not offered
 *     its size                      SIZE is enough                 5.3.4
 *     8 bits in the body            8BITMIME                       converted (mail/downgrade.c), or 5.6.3
 *     binary content                BINARYMIME with CHUNKING       converted, or 5.6.3
 *     UTF-8 in an address, header   SMTPUTF8                       5.6.7; a domain alone goes in its A-label form
 *
 * What needs nothing new goes to every host: a mail that was handed in with SMTPUTF8 and has ASCII only is as good as
 * any. Recipients who alone need more do not hold the others up: these come again at once.
 */
#include "node/deliver/inside.h"
#include "node/smtp/address.h"

bool fit_is_ascii(struct span s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] > 0x7f) return false;
    return true;
}

bool fit_is_binary(const struct delivery *y)
{
    return y->message->body_type == PROTO_BODY_BINARYMIME;
}

bool fit_needs_8bit(const struct delivery *y)
{
    const Angarium__BodyFacts *body = y->message->body;

    return body && (body->eight_bit || body->eight_bit_header);
}

/* A name before the @ has no other form; a domain has. */
static bool needs_utf8(struct span address)
{
    size_t at = address.n;

    while (at > 0 && address.p[at - 1] != '@')
        at--;
    return !fit_is_ascii(span_sub(address, 0, at));
}

/* Asked of the very conversion that MAIL makes: what it cannot do is no surprise there. */
static bool sender_needs_utf8(struct span from)
{
    struct buf ascii;
    bool needs;

    if (fit_is_ascii(from)) return false;
    buf_init(&ascii, PROTO_ADDRESS_SIZE_MAX + SMTP_DOMAIN_SIZE_MAX);
    needs = smtp_address_ascii(from, &ascii) != 0;
    buf_deinit(&ascii);
    return needs;
}

bool fit_needs_utf8(const struct delivery *y)
{
    const Angarium__BodyFacts *body = y->message->body;

    return sender_needs_utf8(proto_span(y->message->mail_from)) ||
           (y->message->smtputf8 && body && body->eight_bit_header);
}

/* ---- size */

static struct verdict *too_large(struct conn *c, struct delivery *y)
{
    const Angarium__BodyFacts *body = y->message->body;
    uint64_t size = (body ? body->size : 0) + y->trace.n;
    struct verdict *v;

    if (c->offer.size_max == 0 || size <= c->offer.size_max) return NULL;
    v = delivery_words(y, ANGARIUM__RESULT__RESULT_BOUNCED, "too_large",
                       "the message has %llu bytes, %s takes at most %llu",
                       (unsigned long long)size, c->remote.host,
                       (unsigned long long)c->offer.size_max);
    memcpy(v->enhanced, "5.3.4", sizeof "5.3.4");
    return v;
}

/* ---- bits */

static bool takes_binary(const struct smtp_offer *o)
{
    return o->binarymime && o->chunking && o->pipelining;
}

static bool must_convert(const struct conn *c, const struct delivery *y)
{
    if (fit_is_binary(y)) return !takes_binary(&c->offer);
    return y->message->body && y->message->body->eight_bit && !c->offer.eight_bit_mime;
}

static struct verdict *no_form(struct conn *c, struct delivery *y)
{
    struct verdict *v;

    y->converts = must_convert(c, y);
    if (!y->converts || !y->message->body->eight_bit_header) return NULL;
    v = delivery_words(y, ANGARIUM__RESULT__RESULT_BOUNCED, "8bit_unsupported",
                       "the message has an 8-bit header, %s does not offer 8BITMIME",
                       c->remote.host);
    memcpy(v->enhanced, "5.6.3", sizeof "5.6.3");
    return v;
}

/* ---- UTF-8 */

static struct verdict *no_utf8(struct conn *c, struct delivery *y)
{
    struct verdict *v = delivery_words(
        y, ANGARIUM__RESULT__RESULT_BOUNCED, "utf8_unsupported",
        "addresses or header are in UTF-8, %s does not offer SMTPUTF8", c->remote.host);

    memcpy(v->enhanced, "5.6.7", sizeof "5.6.7");
    return v;
}

static bool refuses_utf8(struct conn *c, struct delivery *y)
{
    const struct verdict *no = NULL;
    struct verdict *again;

    if (c->offer.smtputf8) return false;
    for (unsigned i = 0; i < y->count; i++) {
        if (!fit_needs_utf8(y) && !needs_utf8(proto_span(y->list[i].record->address))) continue;
        if (!no) no = no_utf8(c, y);
        y->list[i].verdict = no;
    }
    if (!no) return false;
    again = delivery_words(y, ANGARIUM__RESULT__RESULT_DEFERRED, "restarted",
                           "another recipient of the transaction needs SMTPUTF8");
    again->counts = false;
    again->at_once = true;
    delivery_judge(y, again);
    return true;
}

/* ---- all of it */

static bool wants_bdat(const struct conn *c, const struct delivery *y)
{
    const Angarium__BodyFacts *body = y->message->body;

    if (y->converts || !c->offer.chunking || !c->offer.pipelining) return false;
    return fit_is_binary(y) || (c->deliveries == 0 && body && body->size >= DELIVER_BDAT_MIN);
}

bool fit(struct conn *c)
{
    struct delivery *y = c->y;
    const struct verdict *v = too_large(c, y);

    if (!v) v = no_form(c, y);
    if (v) {
        delivery_judge(y, v);
        return false;
    }
    if (refuses_utf8(c, y)) return false;
    y->by_bdat = wants_bdat(c, y);
    return true;
}
