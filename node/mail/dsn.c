/* dsn - delivery status notifications (RFC 3464, RFC 6522, RFC 3834).
 *
 * Three parts: words for people, the same for machines, the header of the original. Texts of remote
 * hosts are evidence but never trusted: other bytes than printable ASCII become '?', lines are
 * folded. Of the original's header only lines that end with CR LF are lines; NUL and bare CR or LF
 * become '?', and so do 8-bit bytes unless the part is announced as 8bit.
 */
#include "node/mail/mail.h"

#include <stdio.h>

#include "node/mail/write.h"

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
};

/* The gravest action decides the subject. */
static enum mail_dsn_action gravest(const struct mail_dsn *d)
{
    enum mail_dsn_action a = MAIL_DSN_RELAYED;

    for (size_t i = 0; i < d->recipient_count; i++)
        if (d->recipients[i].action < a) a = d->recipients[i].action;
    return a;
}

static void add_header(struct buf *out, const struct mail_dsn *d)
{
    buf_add_cstr(out, "From: Mail Delivery System <MAILER-DAEMON@");
    write_plain(out, d->hostname);
    buf_add_cstr(out, ">\r\nTo: <");
    write_plain(out, d->to);
    buf_addf(out, ">\r\nSubject: %s\r\n", kinds[gravest(d)].subject);
    write_date(out, "Date", d->time_ms);
    buf_addf(out, "Message-ID: %s\r\n", d->message_id);
    buf_add_cstr(out, "Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n");
    if (d->eight_bit_header) buf_add_cstr(out, "Content-Transfer-Encoding: 8bit\r\n");
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
    buf_addf(out, "--%s\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n", d->boundary);
    buf_add_cstr(out, "This is the mail relay ");
    write_plain(out, d->hostname);
    buf_add_cstr(out, ".\r\n\r\n");
    buf_add_cstr(out, kinds[gravest(d)].sentence);
    for (size_t i = 0; i < d->recipient_count; i++) {
        const struct mail_dsn_recipient *r = &d->recipients[i];
        size_t column = 4;
        buf_add_cstr(out, "\r\n<");
        write_plain(out, r->address);
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
    static const char classes[] = {
        [MAIL_DSN_FAILED] = '5', [MAIL_DSN_DELAYED] = '4', [MAIL_DSN_RELAYED] = '2'
    };
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

static void add_recipient(struct buf *out, const struct mail_dsn_recipient *r)
{
    size_t column = 24;

    buf_add_cstr(out, "\r\nFinal-Recipient: rfc822; ");
    write_plain(out, r->address);
    buf_addf(out, "\r\nAction: %s\r\n", kinds[r->action].name);
    add_status(out, r);
    if (r->remote_host.n > 0) {
        buf_add_cstr(out, "Remote-MTA: dns; ");
        write_plain(out, r->remote_host);
        buf_add_cstr(out, "\r\n");
    }
    buf_addf(out, "Diagnostic-Code: %s; ", r->code ? "smtp" : "x-angarium");
    add_story(out, r, " ", &column);
    buf_add_cstr(out, "\r\n");
    write_date(out, "Last-Attempt-Date", r->last_attempt_ms);
}

static void add_status_part(struct buf *out, const struct mail_dsn *d)
{
    buf_addf(out, "\r\n--%s\r\nContent-Type: message/delivery-status\r\n\r\n", d->boundary);
    buf_add_cstr(out, "Reporting-MTA: dns; ");
    write_plain(out, d->hostname);
    buf_add_cstr(out, "\r\n");
    if (d->original_id && d->original_id[0])
        write_field(out, "X-Angarium-Message", span_cstr(d->original_id));
    write_date(out, "Arrival-Date", d->arrival_ms);
    for (size_t i = 0; i < d->recipient_count; i++)
        add_recipient(out, &d->recipients[i]);
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

static void add_original(struct buf *out, const struct mail_dsn *d)
{
    struct span h = cut_header(d->original_header);

    buf_addf(out, "\r\n--%s\r\nContent-Type: text/rfc822-headers\r\n", d->boundary);
    if (d->eight_bit_header) buf_add_cstr(out, "Content-Transfer-Encoding: 8bit\r\n");
    buf_add_cstr(out, "\r\n");
    for (size_t i = 0; i < h.n; i++) {
        uint8_t c = h.p[i];
        if (c == '\r' && i + 1 < h.n && h.p[i + 1] == '\n') {
            buf_add_cstr(out, "\r\n");
            i++;
            continue;
        }
        if (c == 0 || c == '\r' || c == '\n' || (c > 0x7f && !d->eight_bit_header)) c = '?';
        buf_add_u8(out, c);
    }
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
