/* reply - the replies of the server side, and reading those of others (RFC 5321 4.2, RFC 2034 4).
 *
 * Reading is lenient where it cannot mislead: a line may end with LF alone, the space behind the
 * code may be missing, lines of any length pass (what is over the limit is skipped). It is strict
 * where the dialogue could fall out of step: every line begins with the same code of 200 to 599.
 */
#include "node/smtp/reply.h"

#include "proto/ground/ascii.h"
#include "proto/ground/check.h"
#include "proto/ground/err.h"

#define FACT_(name, code, enhanced, text, note) { code, #name, enhanced, text },
static const struct smtp_reply_fact facts[SMTP_REPLY_COUNT] = { SMTP_REPLY_TABLE(FACT_) };
#undef FACT_

const struct smtp_reply_fact *smtp_reply_fact(enum smtp_reply_id id)
{
    CHECK((unsigned)id < SMTP_REPLY_COUNT);
    return &facts[id];
}

static bool is_control(uint8_t c)
{
    return c < 0x20 || c == 0x7f;
}

void smtp_reply_print(struct buf *out, enum smtp_reply_id id, const char *more)
{
    const struct smtp_reply_fact *f = smtp_reply_fact(id);
    bool has_more = more && more[0] != '\0';

    buf_addf(out, "%u %s%s%s", f->code, f->enhanced, f->enhanced[0] ? " " : "", f->text);
    if (has_more && f->text[0]) buf_add_u8(out, ' ');
    for (const char *p = more; has_more && *p; p++)
        buf_add_u8(out, is_control((uint8_t)*p) ? '?' : (uint8_t)*p);
    buf_add_cstr(out, "\r\n");
}

void smtp_reply_reader_init(struct smtp_reply_reader *r)
{
    r->reply.line_count = 0;
    r->line_size = 0;
    r->line_cut = false;
    r->done = true;
}

static void begin_reply(struct smtp_reply_reader *r)
{
    r->reply.code = 0;
    r->reply.enhanced[0] = '\0';
    r->reply.text[0] = '\0';
    r->reply.line_count = 0;
    r->offer = (struct smtp_offer){ .size_max = 0 };
    r->text_size = 0;
    r->done = false;
}

/* Up to three digits at s.p[at]; the position behind them, or `at` when there is none. */
static size_t pass_number(struct span s, size_t at)
{
    size_t end = at;

    while (end < s.n && end - at < 3 && ascii_is_digit(s.p[end]))
        end++;
    return end;
}

/* The size of "class.subject.detail" at the front (RFC 3463 2); 0 when there is none. */
static size_t enhanced_size(struct span s, unsigned code)
{
    size_t subject, detail;

    if (s.n < 5 || s.p[0] != '0' + code / 100 || s.p[1] != '.') return 0;
    subject = pass_number(s, 2);
    if (subject == 2 || subject == s.n || s.p[subject] != '.') return 0;
    detail = pass_number(s, subject + 1);
    if (detail == subject + 1) return 0;
    return detail == s.n || s.p[detail] == ' ' ? detail : 0;
}

/* Keeps the first enhanced code and takes it away from the text of each line that repeats it. */
static struct span take_enhanced(struct smtp_reply *reply, struct span text)
{
    size_t n = enhanced_size(text, reply->code);
    struct span code = span_sub(text, 0, n);

    if (n == 0 || n >= sizeof reply->enhanced) return text;
    if (reply->enhanced[0] == '\0') {
        memcpy(reply->enhanced, code.p, n);
        reply->enhanced[n] = '\0';
    }
    if (!span_eq(code, span_cstr(reply->enhanced))) return text;
    return span_trim(span_from(text, n));
}

static void add_text(struct smtp_reply_reader *r, struct span s)
{
    for (size_t i = 0; i < s.n && r->text_size < SMTP_REPLY_TEXT_SIZE_MAX; i++)
        r->reply.text[r->text_size++] = is_control(s.p[i]) ? '?' : (char)s.p[i];
    r->reply.text[r->text_size] = '\0';
}

/* The text is cut, an offer never: what stands at the end of a long reply counts as well. */
static void add_line(struct smtp_reply_reader *r, struct span text)
{
    add_text(r, text);
    if (r->reply.line_count > 1) smtp_offer_add(&r->offer, text);
}

/* The code at the front of a line; 0 when there is none. */
static unsigned line_code(struct span line)
{
    uint64_t code;

    if (line.n < 3 || span_u64(span_sub(line, 0, 3), 599, &code) != 0 || code < 200) return 0;
    if (line.n > 3 && line.p[3] != ' ' && line.p[3] != '-') return 0;
    return (unsigned)code;
}

/* The line in r->line is complete. 0: so is the reply. */
static int take_line(struct smtp_reply_reader *r)
{
    struct span line = span_of(r->line, r->line_size);
    unsigned code;

    if (line.n > 0 && line.p[line.n - 1] == '\r' && !r->line_cut) line.n--;
    r->line_size = 0;
    r->line_cut = false;
    if (r->done) begin_reply(r);
    if (r->reply.line_count == SMTP_REPLY_LINES_MAX) return ERR_TOO_LONG;

    code = line_code(line);
    if (code == 0 || (r->reply.line_count > 0 && code != r->reply.code)) return ERR_SYNTAX;
    r->reply.code = code;
    if (r->reply.line_count++ > 0) add_text(r, SPAN_LIT(" / "));
    if (line.n > 4) add_line(r, take_enhanced(&r->reply, span_trim(span_from(line, 4))));
    r->done = line.n == 3 || line.p[3] == ' ';
    return r->done ? 0 : ERR_AGAIN;
}

static void add_to_line(struct smtp_reply_reader *r, struct span s)
{
    size_t room = sizeof r->line - r->line_size;

    if (s.n > room) {
        r->line_cut = true;
        s.n = room;
    }
    if (s.n > 0) memcpy(r->line + r->line_size, s.p, s.n);
    r->line_size += s.n;
}

int smtp_reply_read(struct smtp_reply_reader *r, struct span *in)
{
    while (in->n > 0) {
        size_t end = span_find(*in, 0, '\n');
        int err;
        add_to_line(r, span_sub(*in, 0, end));
        if (end == in->n) {
            *in = span_from(*in, end);
            return ERR_AGAIN;
        }
        *in = span_from(*in, end + 1);
        err = take_line(r);
        if (err != ERR_AGAIN) return err;
    }
    return ERR_AGAIN;
}
