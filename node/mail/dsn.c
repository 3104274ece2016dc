/* dsn - delivery status notifications (RFC 3464, RFC 6522, RFC 3834; with UTF-8: RFC 6533).
 *
 * Three parts: words for people, the same for machines, the original or its header. Texts of remote
 * hosts are evidence but never trusted: other bytes than printable ASCII become '?', lines are
 * folded. Of the original only lines that end with CR LF are lines; NUL and bare CR or LF become
 * '?', and so do 8-bit bytes unless the part is announced as 8bit.
 */
#include "node/mail/mail.h"

#include <stdio.h>

#include "node/mail/complete.h"
#include "node/mail/write.h"
#include "proto/ground/hex.h"

struct kind {
    const char *name, *subject, *sentence;
};

static const struct kind kinds[] = {
    [MAIL_DSN_FAILED] = { "failed", "Mail could not be delivered",
                          "The mail described below could not be delivered to the recipients\r\n"
                          "listed here. No further attempt will be made for them.\r\n" },
    [MAIL_DSN_DELAYED] = { "delayed", "Mail is delayed",
                           "The mail described below has not been delivered yet to the "
                           "recipients\r\n"
                           "listed here. Nothing needs to be done: attempts go on.\r\n" },
    [MAIL_DSN_RELAYED] = { "relayed", "Mail was relayed",
                           "The mail described below was handed on for the recipients listed "
                           "here\r\n"
                           "to a host that sends no confirmation of delivery.\r\n" },
    [MAIL_DSN_DELIVERED] = { "delivered", "Mail was delivered",
                             "The mail described below was delivered to the recipients listed "
                             "here.\r\n" },
};

/* An address or what a client said of one: in UTF-8 where that is the form, else printable ASCII. */
static void write_name(struct buf *out, struct span s, bool utf8)
{
    if (!utf8 || !write_is_utf8(s) || write_has_controls(s))
        write_plain(out, s);
    else
        buf_add_span(out, s);
}

/* xtext (RFC 3461 4), decoded. */
static void write_xtext(struct buf *out, struct span s, bool utf8)
{
    uint8_t text[1024];
    size_t n = 0;

    for (size_t i = 0; i < s.n && n < sizeof text; i++) {
        int byte = i + 2 < s.n && s.p[i] == '+' ? hex_pair(s.p[i + 1], s.p[i + 2]) : -1;

        text[n++] = byte >= 0 ? (uint8_t)byte : s.p[i];
        if (byte >= 0) i += 2;
    }
    write_name(out, span_of(text, n), utf8);
}

/* The gravest action decides the subject. */
static enum mail_dsn_action gravest(const struct mail_dsn *d)
{
    enum mail_dsn_action a = MAIL_DSN_DELIVERED;

    for (size_t i = 0; i < d->recipient_count; i++)
        if (d->recipients[i].action < a) a = d->recipients[i].action;
    return a;
}

static const char eight_bit[] = "Content-Transfer-Encoding: 8bit\r\n";

static bool is_eight_bit(const struct mail_dsn *d)
{
    return d->eight_bit || d->utf8;
}

static void add_header(struct buf *out, const struct mail_dsn *d)
{
    buf_add_cstr(out, "From: Mail Delivery System <MAILER-DAEMON@");
    write_plain(out, d->hostname);
    buf_add_cstr(out, ">\r\nTo: <");
    write_name(out, d->to, d->utf8);
    buf_addf(out, ">\r\nSubject: %s\r\n", kinds[gravest(d)].subject);
    write_date(out, "Date", d->time_ms);
    buf_addf(out, "Message-ID: %s\r\n", d->message_id);
    buf_add_cstr(out, "Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n");
    if (is_eight_bit(d)) buf_add_cstr(out, eight_bit);
    buf_add_cstr(out, "Content-Type: multipart/report; report-type=delivery-status;\r\n");
    buf_addf(out, " boundary=\"%s\"\r\n\r\n", d->boundary);
}

/* What the remote host said, or what happened instead. */
static void add_story(struct buf *out, const struct mail_dsn_recipient *r, const char *indent,
                      size_t *column)
{
    char code[16];
    int n = snprintf(code, sizeof code, "%u", r->code);

    if (r->code == 0) {
        write_folded(out, r->reason.n > 0 ? r->reason : SPAN_LIT("no reply"), indent, column);
        return;
    }
    buf_add(out, code, (size_t)n);
    *column += (size_t)n;
    if (r->status.n > 0) {
        buf_add_u8(out, ' ');
        write_plain(out, r->status);
        *column += r->status.n + 1;
    }
    if (r->reply_text.n == 0) return;
    buf_add_u8(out, ' ');
    ++*column;
    write_folded(out, r->reply_text, indent, column);
}

static void add_words(struct buf *out, const struct mail_dsn *d)
{
    buf_addf(out, "--%s\r\nContent-Type: text/plain; charset=%s\r\n%s\r\n", d->boundary,
             d->utf8 ? "utf-8" : "us-ascii", d->utf8 ? eight_bit : "");
    buf_add_cstr(out, "This is the mail relay ");
    write_plain(out, d->hostname);
    buf_add_cstr(out, ".\r\n\r\n");
    buf_add_cstr(out, kinds[gravest(d)].sentence);
    for (size_t i = 0; i < d->recipient_count; i++) {
        const struct mail_dsn_recipient *r = &d->recipients[i];
        size_t column = 4;
        buf_add_cstr(out, "\r\n<");
        write_name(out, r->address, d->utf8);
        buf_addf(out, ">: %s\r\n", kinds[r->action].name);
        if (r->remote_host.n > 0) {
            buf_add_cstr(out, "    host ");
            write_plain(out, r->remote_host);
            buf_addf(out, "%s\r\n", r->code ? " replied:" : ":");
        }
        buf_add_cstr(out, "    ");
        add_story(out, r, "    ", &column);
        buf_add_cstr(out, "\r\n");
    }
}

/* RFC 3463 2: the class digit agrees with the action where the reply does not tell more. */
static void add_status(struct buf *out, const struct mail_dsn_recipient *r)
{
    static const char classes[] = { [MAIL_DSN_FAILED] = '5',
                                    [MAIL_DSN_DELAYED] = '4',
                                    [MAIL_DSN_RELAYED] = '2',
                                    [MAIL_DSN_DELIVERED] = '2' };
    bool known = r->code >= 200 && r->code < 600 && r->code / 100 != 3;

    buf_add_cstr(out, "Status: ");
    if (r->status.n > 0)
        write_plain(out, r->status);
    else if (known)
        buf_addf(out, "%u.0.0", r->code / 100);
    else
        buf_addf(out, "%c.0.0", classes[r->action]);
    buf_add_cstr(out, "\r\n");
}

/* RFC 3464 2.3.1, 2.3.2; RFC 6533 3 */
static void add_addresses(struct buf *out, const struct mail_dsn *d,
                          const struct mail_dsn_recipient *r)
{
    if (r->orcpt.n > 0) {
        size_t type = span_find(r->orcpt, 0, ';');

        buf_add_cstr(out, "Original-Recipient: ");
        write_plain(out, span_sub(r->orcpt, 0, type));
        buf_add_cstr(out, "; ");
        write_xtext(out, span_from(r->orcpt, type < r->orcpt.n ? type + 1 : type), d->utf8);
        buf_add_cstr(out, "\r\n");
    }
    buf_addf(out, "Final-Recipient: %s; ",
             d->utf8 && !write_is_ascii(r->address) ? "utf-8" : "rfc822");
    write_name(out, r->address, d->utf8);
    buf_add_cstr(out, "\r\n");
}

/* A wait without a reply, or a success, has no code of its own: its words stand in the first part. */
static void add_diagnostic(struct buf *out, const struct mail_dsn_recipient *r)
{
    size_t column = 24;

    if (r->action >= MAIL_DSN_RELAYED && r->code == 0) return;
    buf_addf(out, "Diagnostic-Code: %s; ", r->code ? "smtp" : "x-angarium");
    add_story(out, r, " ", &column);
    buf_add_cstr(out, "\r\n");
}

static void add_recipient(struct buf *out, const struct mail_dsn *d,
                          const struct mail_dsn_recipient *r)
{
    buf_add_cstr(out, "\r\n");
    add_addresses(out, d, r);
    buf_addf(out, "Action: %s\r\n", kinds[r->action].name);
    add_status(out, r);
    if (r->remote_host.n > 0) {
        buf_add_cstr(out, "Remote-MTA: dns; ");
        write_plain(out, r->remote_host);
        buf_add_cstr(out, "\r\n");
    }
    add_diagnostic(out, r);
    write_date(out, "Last-Attempt-Date", r->last_attempt_ms);
    if (r->action == MAIL_DSN_DELAYED) write_date(out, "Will-Retry-Until", d->retry_until_ms);
}

static void add_status_part(struct buf *out, const struct mail_dsn *d)
{
    buf_addf(out, "\r\n--%s\r\nContent-Type: message/%sdelivery-status\r\n%s\r\n", d->boundary,
             d->utf8 ? "global-" : "", d->utf8 ? eight_bit : "");
    if (d->envid.n > 0) {
        buf_add_cstr(out, "Original-Envelope-Id: ");
        write_xtext(out, d->envid, d->utf8);
        buf_add_cstr(out, "\r\n");
    }
    buf_add_cstr(out, "Reporting-MTA: dns; ");
    write_plain(out, d->hostname);
    buf_add_cstr(out, "\r\n");
    if (d->original_id && d->original_id[0])
        write_field(out, "X-Angarium-Message", span_cstr(d->original_id));
    write_date(out, "Arrival-Date", d->arrival_ms);
    for (size_t i = 0; i < d->recipient_count; i++)
        add_recipient(out, d, &d->recipients[i]);
}

/* The header without its empty line, whole lines only, at most MAIL_DSN_HEADER_SIZE_MAX bytes. */
static struct span cut_header(struct span h)
{
    const uint8_t *at = h.n > 0 ? memmem(h.p, h.n, "\r\n\r\n", 4) : NULL;

    if (at) h.n = (size_t)(at - h.p) + 2;
    if (h.n <= MAIL_DSN_HEADER_SIZE_MAX) return h;
    h.n = MAIL_DSN_HEADER_SIZE_MAX;
    while (h.n > 0 && !(h.p[h.n - 1] == '\n' && h.n > 1 && h.p[h.n - 2] == '\r'))
        h.n--;
    return h;
}

static const char *original_type(const struct mail_dsn *d)
{
    if (d->returns_all) return d->utf8 ? "message/global" : "message/rfc822";
    return d->utf8 ? "message/global-headers" : "text/rfc822-headers";
}

static void add_lines(struct buf *out, const struct mail_dsn *d, struct span h)
{
    for (size_t i = 0; i < h.n; i++) {
        uint8_t c = h.p[i];
        if (c == '\r' && i + 1 < h.n && h.p[i + 1] == '\n') {
            buf_add_cstr(out, "\r\n");
            i++;
            continue;
        }
        if (c == 0 || c == '\r' || c == '\n' || (c > 0x7f && !is_eight_bit(d))) c = '?';
        buf_add_u8(out, c);
    }
}

static void add_original(struct buf *out, const struct mail_dsn *d)
{
    struct span h = d->returns_all ? d->original : cut_header(d->original);
    size_t at = 0, begin, end;

    buf_addf(out, "\r\n--%s\r\nContent-Type: %s\r\n%s\r\n", d->boundary, original_type(d),
             is_eight_bit(d) ? eight_bit : "");
    while (mail_private_next(h, at, &begin, &end)) {
        add_lines(out, d, span_sub(h, at, begin - at));
        at = end;
    }
    add_lines(out, d, span_from(h, at));
    if (h.n > 0 && h.p[h.n - 1] != '\n') buf_add_cstr(out, "\r\n");
    buf_addf(out, "\r\n--%s--\r\n", d->boundary);
}

void mail_dsn_print(struct buf *out, const struct mail_dsn *d)
{
    add_header(out, d);
    add_words(out, d);
    add_status_part(out, d);
    add_original(out, d);
}
