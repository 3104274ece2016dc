/* downgrade - a message with 8-bit content becomes one of 7 bits (RFC 6152 3), while its bytes pass: bodies of MIME
 * parts are encoded anew (RFC 2045 6.7, 6.8), text as quoted-printable, the rest as base64; nothing else changes.
 *
 * A part's body is looked at, up to AHEAD_MAX bytes, before its header is written: what turns out to be of 7 bits
 * stays as it is. What must not be changed (multipart/signed and encrypted, RFC 1847 2.1, message/partial), and what
 * has no form of 7 bits (8-bit bytes in a header), ends it with ERR_UNSUPPORTED.
 *
 * Invariants:
 * - What comes out does not depend on how the message is cut, and has no byte over 127 and no NUL.
 * - Memory: one header (HEADER_MAX), AHEAD_MAX, one line. For each byte that is fed at most 4 come out, behind at most
 *   MAIL_DOWNGRADE_BURST_MAX that were held back.
 * - No line of an encoded body is taken for a delimiter that was none before: behind a soft line break a hyphen is
 *   encoded.
 */
#include <stdlib.h>

#include "node/mail/field.h"
#include "node/mail/mail.h"
#include "node/mail/params.h"
#include "node/mail/write.h"
#include "proto/ground/base64.h"
#include "proto/ground/check.h"
#include "proto/ground/err.h"

#define HEADER_MAX   (32u << 10)
#define AHEAD_MAX    (8u << 10)
#define LINE_MAX     1000u
#define DEPTH_MAX    16u
#define BOUNDARY_MAX 70u
#define QP_LINE      75u /* and the "=" of a soft break */
#define BASE64_LINE  76u

enum state {
    IN_HEADER,
    IN_AHEAD,  /* a leaf that is looked at */
    IN_LEAF,   /* a leaf, `how` is decided */
    IN_MARGIN, /* before, between and behind the parts of a multipart: nobody reads it */
    IN_SEALED, /* a part that must not be changed */
};
enum how { COPY, QUOTED, BASE64 };

struct level {
    char boundary[BOUNDARY_MAX + 1];
    size_t size;
    bool is_digest;
};

struct mail_downgrade {
    enum state state;
    enum how how;
    struct level levels[DEPTH_MAX];
    unsigned depth;
    bool is_top;    /* the header is the message's own */
    bool is_digest; /* the default type is message/rfc822 */
    bool is_text, is_declared;
    struct buf header, ahead;
    char line[LINE_MAX + 2];
    size_t line_size;
    bool begins; /* line[0] is at the start of a line */
    size_t column;
    bool soft; /* behind a soft line break */
    uint8_t group[3];
    unsigned group_size;
    bool holds_crlf; /* base64: it may belong to the delimiter */
};

struct mail_downgrade *mail_downgrade_new(void)
{
    struct mail_downgrade *d = check_calloc(1, sizeof *d);

    buf_init(&d->header, HEADER_MAX);
    buf_init(&d->ahead, AHEAD_MAX + LINE_MAX + 2);
    d->is_top = d->begins = true;
    return d;
}

void mail_downgrade_free(struct mail_downgrade **pd)
{
    struct mail_downgrade *d = *pd;

    *pd = NULL;
    if (!d) return;
    buf_deinit(&d->header);
    buf_deinit(&d->ahead);
    free(d);
}

static bool is_seven_bit(struct span s)
{
    return write_is_ascii(s) && memchr(s.p, 0, s.n) == NULL;
}

/* ---- Content-Type (RFC 2045 5.1) */

struct type {
    struct span main, sub;
    char boundary[BOUNDARY_MAX + 2]; /* one more than may be */
    size_t boundary_size;
};

static void read_type(struct span s, struct type *t)
{
    t->boundary_size = 0;
    params_skip_space(&s);
    t->main = params_take_token(&s);
    if (params_take_byte(&s, '/')) t->sub = params_take_token(&s);
    while (params_take_byte(&s, ';')) {
        struct span name = params_take_token(&s);
        char other[BOUNDARY_MAX + 2];
        bool is_boundary = span_eq_nocase(name, SPAN_LIT("boundary"));
        size_t n;

        if (!params_take_byte(&s, '=')) continue;
        n = params_take_value(&s, is_boundary ? t->boundary : other, sizeof other);
        if (is_boundary) t->boundary_size = n;
    }
}

static bool is_type(const struct type *t, const char *main, const char *sub)
{
    return span_eq_nocase(t->main, span_cstr(main)) &&
           (!sub || span_eq_nocase(t->sub, span_cstr(sub)));
}

/* ---- writing a header */

static bool has_field(struct span header, const char *name)
{
    char value[2];

    return mail_header_value(header, span_cstr(name), value, sizeof value);
}

/* NULL: as it came. */
static void print_header(struct mail_downgrade *d, const char *encoding, struct buf *out)
{
    struct span h = buf_span(&d->header);
    bool is_nothing = d->is_top && !has_field(h, "MIME-Version");
    bool is_untyped = is_nothing && !has_field(h, "Content-Type");
    struct mail_header_field f;

    while (mail_field_next(&h, &f))
        if (!encoding || !span_eq_nocase(f.name, SPAN_LIT("Content-Transfer-Encoding")))
            buf_add_span(out, f.whole);
    if (encoding && h.n > 0) { /* the empty line */
        if (is_nothing) buf_add_cstr(out, "MIME-Version: 1.0\r\n");
        if (is_untyped) /* RFC 1428 3 */
            buf_add_cstr(out, "Content-Type: text/plain; charset=unknown-8bit\r\n");
        buf_addf(out, "Content-Transfer-Encoding: %s\r\n", encoding);
    }
    buf_add_span(out, h);
    buf_reset(&d->header);
    d->is_top = d->is_digest = false;
}

/* ---- encoding a body */

static void quoted_byte(struct mail_downgrade *d, uint8_t c, bool is_plain, struct buf *out)
{
    size_t n = is_plain ? 1 : 3;

    if (d->column + n > QP_LINE) {
        buf_add_cstr(out, "=\r\n");
        d->column = 0;
        d->soft = true;
    }
    if (d->column == 0 && d->soft && c == '-') n = 3;
    if (n == 1)
        buf_add_u8(out, c);
    else
        buf_addf(out, "=%02X", c);
    d->column += n;
}

static void quoted(struct mail_downgrade *d, struct span s, struct buf *out)
{
    bool ends = s.n >= 2 && s.p[s.n - 2] == '\r' && s.p[s.n - 1] == '\n';

    if (ends) s.n -= 2;
    for (size_t i = 0; i < s.n; i++) {
        uint8_t c = s.p[i];
        bool is_space = c == ' ' || c == '\t';

        quoted_byte(d, c, is_space ? i + 1 < s.n : c > ' ' && c < 0x7f && c != '=', out);
    }
    if (!ends) return;
    buf_add_cstr(out, "\r\n");
    d->column = 0;
    d->soft = false;
}

static void base64_group(struct mail_downgrade *d, struct buf *out)
{
    uint32_t v = (uint32_t)d->group[0] << 16 | (uint32_t)d->group[1] << 8 | d->group[2];

    for (unsigned i = 0; i < 4; i++)
        buf_add_u8(out, i <= d->group_size ? (uint8_t)BASE64_DIGITS[v >> (18 - 6 * i) & 63] : '=');
    memset(d->group, 0, sizeof d->group);
    d->group_size = 0;
    d->column += 4;
    if (d->column < BASE64_LINE) return;
    buf_add_cstr(out, "\r\n");
    d->column = 0;
}

static void base64_bytes(struct mail_downgrade *d, struct span s, struct buf *out)
{
    for (size_t i = 0; i < s.n; i++) {
        d->group[d->group_size++] = s.p[i];
        if (d->group_size == 3) base64_group(d, out);
    }
}

static void base64(struct mail_downgrade *d, struct span s, struct buf *out)
{
    if (d->holds_crlf) base64_bytes(d, SPAN_LIT("\r\n"), out);
    d->holds_crlf = s.n >= 2 && s.p[s.n - 2] == '\r' && s.p[s.n - 1] == '\n';
    if (d->holds_crlf) s.n -= 2;
    base64_bytes(d, s, out);
}

/* The body of a leaf is over; before a delimiter its last CR LF is the delimiter's. */
static void end_base64(struct mail_downgrade *d, bool at_delimiter, struct buf *out)
{
    if (d->holds_crlf && !at_delimiter) base64_bytes(d, SPAN_LIT("\r\n"), out);
    d->holds_crlf = false;
    if (d->group_size > 0) base64_group(d, out);
    if (d->column > 0) buf_add_cstr(out, "\r\n");
    d->column = 0;
}

static int leaf_bytes(struct mail_downgrade *d, struct span s, struct buf *out)
{
    if (d->how == QUOTED) {
        quoted(d, s, out);
    } else if (d->how == BASE64) {
        base64(d, s, out);
    } else {
        if (!is_seven_bit(s)) return ERR_UNSUPPORTED;
        buf_add_span(out, s);
    }
    return 0;
}

/* ---- a leaf */

static int decide(struct mail_downgrade *d, enum how how, struct buf *out)
{
    static const char *const names[] = {
        [COPY] = "7bit", [QUOTED] = "quoted-printable", [BASE64] = "base64"
    };
    struct span ahead = buf_span(&d->ahead);
    int rv = 0;

    d->state = IN_LEAF;
    d->how = how;
    d->column = 0;
    d->soft = false;
    print_header(d, how == COPY && !d->is_declared ? NULL : names[how], out);
    while (rv == 0 && ahead.n > 0) { /* line by line, as it came */
        size_t end = span_find(ahead, 0, '\n');
        size_t n = end < ahead.n ? end + 1 : end;

        rv = leaf_bytes(d, span_sub(ahead, 0, n), out);
        ahead = span_from(ahead, n);
    }
    buf_reset(&d->ahead);
    return rv;
}

static int look_ahead(struct mail_downgrade *d, struct span s, struct buf *out)
{
    buf_add_span(&d->ahead, s);
    if (!is_seven_bit(s)) return decide(d, d->is_text ? QUOTED : BASE64, out);
    if (d->ahead.n < AHEAD_MAX) return 0;
    return decide(d, !d->is_declared ? COPY : d->is_text ? QUOTED : BASE64, out);
}

static int end_leaf(struct mail_downgrade *d, bool at_delimiter, struct buf *out)
{
    int rv = 0;

    if (d->state == IN_AHEAD) rv = decide(d, COPY, out);
    if (d->state == IN_LEAF && d->how == BASE64) end_base64(d, at_delimiter, out);
    return rv;
}

/* ---- the end of a header */

enum encoding { NOT_SAID, SEVEN_BIT, EIGHT_BIT, BINARY, OTHER };

static enum encoding read_encoding(struct span header)
{
    static const struct {
        const char *name;
        enum encoding encoding;
    } names[] = { { "7bit", SEVEN_BIT }, { "8bit", EIGHT_BIT }, { "binary", BINARY } };
    char value[64];
    struct span s, t;

    if (!mail_header_value(header, SPAN_LIT("Content-Transfer-Encoding"), value, sizeof value))
        return NOT_SAID;
    s = span_cstr(value);
    params_skip_space(&s);
    t = params_take_token(&s);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (span_eq_nocase(t, span_cstr(names[i].name))) return names[i].encoding;
    return OTHER;
}

static void seal(struct mail_downgrade *d, struct buf *out)
{
    print_header(d, NULL, out);
    d->state = IN_SEALED;
}

static void begin_multipart(struct mail_downgrade *d, const struct type *t, bool is_declared,
                            struct buf *out)
{
    struct level *l = &d->levels[d->depth];
    bool is_whole = is_type(t, "multipart", "signed") || is_type(t, "multipart", "encrypted");

    if (is_whole || t->boundary_size == 0 || t->boundary_size > BOUNDARY_MAX ||
        d->depth == DEPTH_MAX) {
        seal(d, out);
        return;
    }
    memcpy(l->boundary, t->boundary, t->boundary_size);
    l->size = t->boundary_size;
    l->is_digest = is_type(t, "multipart", "digest");
    d->depth++;
    print_header(d, is_declared ? "7bit" : NULL, out);
    d->state = IN_MARGIN;
}

static void begin_leaf(struct mail_downgrade *d, const struct type *t, enum encoding encoding,
                       struct buf *out)
{
    d->is_text = is_type(t, "text", NULL) || is_type(t, "message", NULL) || t->main.n == 0;
    d->is_declared = encoding == EIGHT_BIT || encoding == BINARY;
    d->state = IN_AHEAD;
    if (encoding == BINARY) /* its line ends may be none */
        (void)decide(d, d->is_text ? QUOTED : BASE64, out);
    if (encoding != OTHER) return;
    d->is_declared = false;
    (void)decide(d, COPY, out);
}

static int end_header(struct mail_downgrade *d, struct buf *out)
{
    char value[1024];
    struct type t = { .main = { NULL, 0 }, .sub = { NULL, 0 } };
    enum encoding encoding = read_encoding(buf_span(&d->header));
    bool is_declared = encoding == EIGHT_BIT || encoding == BINARY;
    bool is_message;

    if (mail_header_value(buf_span(&d->header), SPAN_LIT("Content-Type"), value, sizeof value))
        read_type(span_cstr(value), &t);
    is_message = t.main.n == 0
                     ? d->is_digest
                     : is_type(&t, "message", "rfc822") || is_type(&t, "message", "global");
    if (is_type(&t, "multipart", NULL)) {
        begin_multipart(d, &t, is_declared, out);
    } else if (is_message && encoding != OTHER) {
        print_header(d, is_declared ? "7bit" : NULL, out); /* RFC 2046 5.2.1: no other is allowed */
    } else if (is_type(&t, "message", "partial") || is_type(&t, "message", "external-body")) {
        seal(d, out);
    } else {
        begin_leaf(d, &t, encoding, out);
    }
    return 0;
}

/* ---- lines */

static bool is_white(uint8_t c)
{
    return c == '\r' || c == '\n' || c == ' ' || c == '\t';
}

/* "--boundary" or "--boundary--" of a level; its number from 1, 0: it is none. */
static unsigned delimiter_of(const struct mail_downgrade *d, struct span s, bool *is_last)
{
    while (s.n > 0 && is_white(s.p[s.n - 1]))
        s.n--;
    if (s.n < 3 || s.p[0] != '-' || s.p[1] != '-') return 0;
    s = span_from(s, 2);
    for (unsigned i = d->depth; i > 0; i--) {
        const struct level *l = &d->levels[i - 1];
        struct span b = span_of(l->boundary, l->size);

        *is_last = s.n == b.n + 2 && s.p[s.n - 1] == '-' && s.p[s.n - 2] == '-';
        if (span_eq(span_sub(s, 0, *is_last ? b.n : s.n), b)) return i;
    }
    return 0;
}

static int pass_delimiter(struct mail_downgrade *d, struct span s, unsigned level, bool is_last,
                          struct buf *out)
{
    int rv = 0;

    if (d->state == IN_HEADER)
        print_header(d, NULL, out); /* a part that has no body */
    else
        rv = end_leaf(d, true, out);
    buf_add_span(out, s);
    d->depth = is_last ? level - 1 : level;
    d->state = is_last ? IN_MARGIN : IN_HEADER;
    d->is_digest = !is_last && d->levels[level - 1].is_digest;
    return rv;
}

static void margin(struct span s, struct buf *out)
{
    for (size_t i = 0; i < s.n; i++)
        buf_add_u8(out, s.p[i] > 0x7f || s.p[i] == 0 ? '?' : s.p[i]);
}

/* A line, or a piece of a long one. */
static int take_line(struct mail_downgrade *d, struct span s, bool begins, struct buf *out)
{
    bool is_last = false;
    unsigned level = begins ? delimiter_of(d, s, &is_last) : 0;

    if (level > 0) return pass_delimiter(d, s, level, is_last, out);
    switch (d->state) {
    case IN_HEADER:
        buf_add_span(&d->header, s);
        if (buf_failed(&d->header) || !is_seven_bit(s)) return ERR_UNSUPPORTED;
        return begins && span_eq(s, SPAN_LIT("\r\n")) ? end_header(d, out) : 0;
    case IN_AHEAD:
        return look_ahead(d, s, out);
    case IN_LEAF:
        return leaf_bytes(d, s, out);
    case IN_MARGIN:
        margin(s, out);
        return 0;
    case IN_SEALED:
        if (!is_seven_bit(s)) return ERR_UNSUPPORTED;
        buf_add_span(out, s);
        return 0;
    }
    UNREACHED();
}

static int flush_line(struct mail_downgrade *d, struct buf *out)
{
    struct span s = span_of(d->line, d->line_size);
    bool begins = d->begins;

    if (s.n == 0) return 0;
    d->line_size = 0;
    d->begins = s.n >= 2 && s.p[s.n - 2] == '\r' && s.p[s.n - 1] == '\n';
    return take_line(d, s, begins, out);
}

int mail_downgrade_feed(struct mail_downgrade *d, struct span in, struct buf *out)
{
    int rv = 0;

    for (size_t i = 0; i < in.n && rv == 0; i++) {
        char c = (char)in.p[i];

        /* full: but a CR LF is never torn apart */
        if (d->line_size >= LINE_MAX && !(c == '\n' && d->line[d->line_size - 1] == '\r'))
            rv = flush_line(d, out);
        if (rv != 0) break;
        d->line[d->line_size++] = c;
        if (c == '\n') rv = flush_line(d, out);
    }
    return rv;
}

int mail_downgrade_finish(struct mail_downgrade *d, struct buf *out)
{
    int rv = flush_line(d, out);

    if (rv != 0) return rv;
    if (d->state == IN_HEADER) {
        print_header(d, NULL, out);
        return 0;
    }
    return end_leaf(d, false, out);
}
