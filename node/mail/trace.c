/* trace - the Received field that every relay puts in front (RFC 5321 4.4, RFC 3848).
 *
 * Names and addresses come from peers: bytes that could end a comment, a path or the line become
 * '?'. One clause on a line, so that no line comes near its limit.
 */
#include "node/mail/mail.h"
#include "node/mail/write.h"

#include "proto/ground/clock.h"

static bool is_safe(uint8_t c)
{
    return c > 0x20 && c < 0x7f && !strchr("()<>\\\";,", c);
}

/* A name, address or word; `spaces` says whether spaces may stand in it. */
static void add_safe(struct buf *out, struct span s, bool spaces)
{
    for (size_t i = 0; i < s.n; i++)
        buf_add_u8(out, is_safe(s.p[i]) || (spaces && s.p[i] == ' ') ? s.p[i] : '?');
}

/* address-literal (RFC 5321 4.1.3) */
static void add_literal(struct buf *out, struct span address)
{
    bool is_ipv6 = span_find(address, 0, ':') < address.n;

    buf_add_cstr(out, is_ipv6 ? "[IPv6:" : "[");
    add_safe(out, address, false);
    buf_add_u8(out, ']');
}

static void add_from(struct buf *out, const struct mail_trace *t)
{
    if (t->helo.n == 0 && t->client_address.n == 0) return;
    buf_add_cstr(out, " from ");
    if (t->helo.n == 0) {
        add_literal(out, t->client_address);
    } else {
        add_safe(out, t->helo, false);
        if (t->client_address.n > 0) {
            buf_add_cstr(out, " (");
            add_literal(out, t->client_address);
            buf_add_u8(out, ')');
        }
    }
    buf_add_cstr(out, "\r\n\t");
}

/* A path may have a quoted local part; what cannot break the field stays. A UTF-8 address is left out: the
 * field would make a mail need SMTPUTF8 that needs it no more (RFC 6531 4.3). */
static void add_for(struct buf *out, struct span address)
{
    if (address.n == 0 || !write_is_ascii(address)) return;
    buf_add_cstr(out, "\r\n\tfor <");
    for (size_t i = 0; i < address.n; i++) {
        uint8_t c = address.p[i];
        buf_add_u8(out, c > 0x20 && c < 0x7f && c != '<' && c != '>' ? c : '?');
    }
    buf_add_u8(out, '>');
}

void mail_received_print(struct buf *out, const struct mail_trace *t)
{
    char date[CLOCK_RFC5322_SIZE];

    buf_add_cstr(out, "Received:");
    add_from(out, t);
    buf_add_cstr(out, t->helo.n == 0 && t->client_address.n == 0 ? " by " : "by ");
    add_safe(out, t->hostname, false);
    if (t->protocol.n > 0) {
        buf_add_cstr(out, " with ");
        add_safe(out, t->protocol, false);
    }
    if (t->tls.n > 0) {
        buf_add_cstr(out, "\r\n\t(");
        add_safe(out, t->tls, true);
        buf_add_u8(out, ')');
    }
    if (t->id && t->id[0]) {
        buf_add_cstr(out, t->tls.n > 0 ? "\r\n\tid " : " id ");
        add_safe(out, span_cstr(t->id), false);
    }
    add_for(out, t->for_address);
    clock_rfc5322(t->time_ms, date);
    buf_addf(out, ";\r\n\t%s\r\n", date);
}
