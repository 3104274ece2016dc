/* draft - a message out of fields (RFC 5322 3.6, RFC 2045 2.6, 6.7, RFC 2046 5.1.4, RFC 2047).
 *
 * - Header values with controls, or that are not UTF-8, are refused: nobody writes a second field.
 * - What is not ASCII in the subject or before an <address> becomes encoded words; addresses are
 * ASCII.
 * - Line ends of the texts (CR LF, LF, CR) become CR LF. A text goes as it is when it is ASCII with
 *   short lines, else as quoted-printable.
 */
#include "node/mail/mail.h"
#include "node/mail/write.h"

#include "proto/ground/ascii.h"
#include "proto/ground/err.h"

#define QP_LINE_SIZE      76  /* RFC 2045 6.7 (5), with the soft line break */
#define NAME_SIZE_MAX     200 /* longer ones are encoded, which folds them */
#define PLAIN_LINE_SIZE   900 /* longer lines: quoted-printable */
#define ENCODED_WORD_SIZE 64  /* RFC 2047 2: at most 75; the field name stands before it */

/* ---- header values */

static bool value_ok(struct span s)
{
    return !write_has_controls(s) && write_is_utf8(s);
}

static bool is_word_byte(uint8_t c) /* RFC 2047 5 (3): legal in a phrase too */
{
    return ascii_is_alnum(c) || (c != 0 && strchr("!*+-/", c) != NULL);
}

/* Encoded words of whole characters, each on a line of its own. */
static void add_encoded(struct buf *out, struct span s)
{
    static const char open[] = "=?UTF-8?Q?", close[] = "?=";
    const size_t room = ENCODED_WORD_SIZE - (sizeof open - 1) - (sizeof close - 1);
    size_t used = 0;

    buf_add_cstr(out, open);
    for (size_t i = 0; i < s.n; i++) {
        uint8_t c = s.p[i];
        bool starts = (c & 0xc0) != 0x80; /* a character, which takes up to 12 bytes */
        if (starts && used + 12 > room) {
            buf_addf(out, "%s\r\n %s", close, open);
            used = 0;
        }
        if (is_word_byte(c) || c == ' ') {
            buf_add_u8(out, c == ' ' ? '_' : c);
            used++;
        } else {
            buf_addf(out, "=%02X", c);
            used += 3;
        }
    }
    buf_add_cstr(out, close);
}

/* ASCII text with a word too long to fold is encoded as well. */
static bool needs_encoding(struct span s)
{
    size_t word = 0;

    for (size_t i = 0; i < s.n; i++) {
        word = s.p[i] == ' ' ? 0 : word + 1;
        if (s.p[i] > 0x7e || word > PLAIN_LINE_SIZE) return true;
    }
    return false;
}

static void add_subject(struct buf *out, struct span s)
{
    if (s.n == 0) return;
    if (!needs_encoding(s)) {
        write_field(out, "Subject", s);
        return;
    }
    buf_add_cstr(out, "Subject: ");
    add_encoded(out, s);
    buf_add_cstr(out, "\r\n");
}

/* "a@b" or "Name <a@b>": *name is empty or the name without its quotes, *address the rest. */
static int split_mailbox(struct span s, struct span *name, struct span *address)
{
    size_t open = s.n;

    s = span_trim(s);
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] == '<') open = i;
    if (open >= s.n) {
        *name = span_of(NULL, 0);
        *address = s;
    } else {
        if (s.p[s.n - 1] != '>') return ERR_SYNTAX;
        *name = span_trim(span_sub(s, 0, open));
        *address = span_sub(s, open + 1, s.n - open - 2);
    }
    if (address->n == 0 || address->n > 320 || !write_is_utf8(*address)) return ERR_SYNTAX;
    if (span_find(*address, 0, '@') == address->n) return ERR_SYNTAX;
    for (size_t i = 0; i < address->n; i++)
        if (strchr(" ,;<>", address->p[i])) return ERR_SYNTAX;
    return 0;
}

/* The name as it must stand in a phrase: atoms, a quoted string or encoded words (RFC 5322 3.2.5).
 */
static void add_name(struct buf *out, struct span name)
{
    bool quoted = name.n > 1 && name.p[0] == '"' && name.p[name.n - 1] == '"';

    if (quoted) name = span_sub(name, 1, name.n - 2);
    if (name.n > NAME_SIZE_MAX || needs_encoding(name)) {
        add_encoded(out, name);
        return;
    }
    buf_add_u8(out, '"');
    for (size_t i = 0; i < name.n; i++) {
        bool escaped = quoted && name.p[i] == '\\' && i + 1 < name.n;
        if (escaped) i++;
        if (name.p[i] == '"' || name.p[i] == '\\') buf_add_u8(out, '\\');
        buf_add_u8(out, name.p[i]);
    }
    buf_add_u8(out, '"');
}

static int add_mailbox(struct buf *out, struct span s)
{
    struct span name, address;

    if (!value_ok(s) || split_mailbox(s, &name, &address) != 0) return ERR_SYNTAX;
    if (name.n == 0) {
        buf_add_span(out, address);
        return 0;
    }
    add_name(out, name);
    buf_add_cstr(out, name.n + address.n > 60 ? "\r\n <" : " <");
    buf_add_span(out, address);
    buf_add_u8(out, '>');
    return 0;
}

static int add_to(struct buf *out, const struct mail_draft *d)
{
    if (d->to_count == 0) {
        buf_add_cstr(out, "To: undisclosed-recipients:;\r\n");
        return 0;
    }
    for (size_t i = 0; i < d->to_count; i++) {
        buf_add_cstr(out, i == 0 ? "To: " : ",\r\n ");
        if (add_mailbox(out, d->to[i]) != 0) return ERR_SYNTAX;
    }
    buf_add_cstr(out, "\r\n");
    return 0;
}

static int add_header(struct buf *out, const struct mail_draft *d)
{
    if (!value_ok(d->subject) || !value_ok(d->message_id)) return ERR_SYNTAX;
    if (!write_is_ascii(d->message_id) || d->message_id.n > PLAIN_LINE_SIZE) return ERR_SYNTAX;
    if (!write_is_utf8(d->text) || !write_is_utf8(d->html)) return ERR_SYNTAX;
    buf_add_cstr(out, "From: ");
    if (add_mailbox(out, d->from) != 0) return ERR_SYNTAX;
    buf_add_cstr(out, "\r\n");
    if (add_to(out, d) != 0) return ERR_SYNTAX;
    add_subject(out, d->subject);
    write_date(out, "Date", d->time_ms);
    if (d->message_id.n > 0) {
        buf_add_cstr(out, "Message-ID: ");
        buf_add_span(out, d->message_id);
        buf_add_cstr(out, "\r\n");
    }
    buf_add_cstr(out, "MIME-Version: 1.0\r\n");
    return 0;
}

/* ---- texts */

/* Takes the next line without its end; false when there is none. */
static bool take_line(struct span *rest, struct span *line)
{
    size_t end = 0;

    if (rest->n == 0) return false;
    while (end < rest->n && rest->p[end] != '\r' && rest->p[end] != '\n')
        end++;
    *line = span_sub(*rest, 0, end);
    if (end + 1 < rest->n && rest->p[end] == '\r' && rest->p[end + 1] == '\n') end++;
    *rest = span_from(*rest, end < rest->n ? end + 1 : end);
    return true;
}

static bool is_plain(struct span text)
{
    struct span line;

    while (take_line(&text, &line)) {
        if (line.n > PLAIN_LINE_SIZE) return false;
        for (size_t i = 0; i < line.n; i++)
            if (line.p[i] > 0x7e || (line.p[i] < 0x20 && line.p[i] != '\t')) return false;
    }
    return true;
}

static void add_qp_line(struct buf *out, struct span line)
{
    size_t column = 0;

    for (size_t i = 0; i < line.n; i++) {
        uint8_t c = line.p[i];
        bool blank_at_end = (c == ' ' || c == '\t') && i + 1 == line.n;
        bool literal = (c == '\t' || (c >= 0x20 && c < 0x7f)) && c != '=' && !blank_at_end;
        size_t n = literal ? 1 : 3;
        if (column + n > QP_LINE_SIZE - 1) { /* room for the '=' of the soft line break */
            buf_add_cstr(out, "=\r\n");
            column = 0;
        }
        if (literal)
            buf_add_u8(out, c);
        else
            buf_addf(out, "=%02X", c);
        column += n;
    }
}

static void add_text(struct buf *out, const char *type, struct span text)
{
    bool plain = is_plain(text);
    struct span line;

    buf_addf(out, "Content-Type: text/%s; charset=%s\r\n", type, plain ? "us-ascii" : "utf-8");
    buf_addf(out, "Content-Transfer-Encoding: %s\r\n\r\n", plain ? "7bit" : "quoted-printable");
    while (take_line(&text, &line)) {
        if (plain)
            buf_add_span(out, line);
        else
            add_qp_line(out, line);
        buf_add_cstr(out, "\r\n");
    }
}

int mail_draft_print(struct buf *out, const struct mail_draft *d)
{
    int err = add_header(out, d);

    if (err) return err;
    if (d->html.n == 0) {
        add_text(out, "plain", d->text);
    } else if (d->text.n == 0) {
        add_text(out, "html", d->html);
    } else {
        buf_addf(out, "Content-Type: multipart/alternative; boundary=\"%s\"\r\n\r\n--%s\r\n",
                 d->boundary, d->boundary);
        add_text(out, "plain", d->text);
        buf_addf(out, "\r\n--%s\r\n", d->boundary);
        add_text(out, "html", d->html);
        buf_addf(out, "\r\n--%s--\r\n", d->boundary);
    }
    return buf_failed(out) ? ERR_FULL : 0;
}
