/* parts - see parts.h. A line's beginning is held back as long as it may be a delimiter's; all other bytes pass. */
#include "node/mail/parts.h"

#include <stdlib.h>

#include "node/mail/field.h"
#include "node/mail/mail.h"
#include "node/mail/params.h"
#include "proto/ground/base64.h"
#include "proto/ground/check.h"
#include "proto/ground/hex.h"

#define OUT_SIZE 1024

enum encoding { AS_IS, QUOTED, BASE64 };
/* QUOTED: what of an escape has passed. */
enum held { HELD_NOTHING, HELD_EQUALS, HELD_DIGIT, HELD_CR };

struct level {
    char boundary[PARTS_BOUNDARY_MAX];
    size_t size;
    bool is_digest;
};
struct parts {
    const struct parts_calls *calls;
    void *arg;
    struct level levels[PARTS_DEPTH_MAX];
    unsigned depth;
    bool in_header, is_top, is_digest; /* digest: the part's default type is message/rfc822 */
    bool is_text;
    enum encoding encoding;
    enum held held;
    uint8_t digit;
    uint32_t bits;
    unsigned bit_count;
    struct buf header;
    size_t header_lines; /* bytes of it up to the end of a line */
    bool header_is_full;
    char line[PARTS_LINE_MAX]; /* a line that may be a delimiter, so far */
    size_t line_size;
    bool begins; /* at the start of a line */
    uint8_t out[OUT_SIZE];
    size_t out_size;
};

struct parts *parts_new(const struct parts_calls *calls, void *arg)
{
    struct parts *p = check_calloc(1, sizeof *p);

    p->calls = calls;
    p->arg = arg;
    p->in_header = p->is_top = p->begins = true;
    buf_init(&p->header, MAIL_HEADER_SIZE_MAX);
    return p;
}

void parts_free(struct parts **pp)
{
    if (!*pp) return;
    buf_deinit(&(*pp)->header);
    free(*pp);
    *pp = NULL;
}

/* ---- text */

static void flush(struct parts *p)
{
    if (p->out_size > 0) p->calls->on_text(p->arg, span_of(p->out, p->out_size));
    p->out_size = 0;
}

static void put(struct parts *p, uint8_t c)
{
    if (p->out_size == OUT_SIZE) flush(p);
    p->out[p->out_size++] = c;
}

static void quoted_plain(struct parts *p, uint8_t c)
{
    p->held = c == '=' ? HELD_EQUALS : HELD_NOTHING;
    if (c != '=') put(p, c);
}

static void quoted_byte(struct parts *p, uint8_t c)
{
    switch (p->held) {
    case HELD_NOTHING:
        quoted_plain(p, c);
        return;
    case HELD_EQUALS:
        if (hex_value(c) >= 0) {
            p->digit = c;
            p->held = HELD_DIGIT;
        } else if (c == '\r') {
            p->held = HELD_CR;
        } else if (c == '\n') {
            p->held = HELD_NOTHING;
        } else if (c != ' ' &&
                   c != '\t') { /* RFC 2045 6.7 (3): blanks before a soft break are padding */
            put(p, '=');
            quoted_plain(p, c);
        }
        return;
    case HELD_DIGIT:
        p->held = HELD_NOTHING;
        if (hex_value(c) >= 0) {
            put(p, (uint8_t)hex_pair(p->digit, c));
            return;
        }
        put(p, '=');
        put(p, p->digit);
        quoted_plain(p, c);
        return;
    case HELD_CR:
        if (c == '\n')
            p->held = HELD_NOTHING;
        else
            quoted_plain(p, c);
        return;
    }
}

/* What is no digit is passed over; padding ends a group, and another may follow. */
static void base64_byte(struct parts *p, uint8_t c)
{
    int v = base64_value(c);

    if (c == '=') p->bits = p->bit_count = 0;
    if (v < 0) return;
    p->bits = (p->bits << 6 | (uint32_t)v) & 0xffffff;
    p->bit_count += 6;
    if (p->bit_count < 8) return;
    p->bit_count -= 8;
    put(p, (uint8_t)(p->bits >> p->bit_count));
}

static void pass_text(struct parts *p, struct span s)
{
    if (!p->is_text || s.n == 0) return;
    if (p->encoding == AS_IS) {
        p->calls->on_text(p->arg, s);
        return;
    }
    for (size_t i = 0; i < s.n; i++)
        if (p->encoding == QUOTED)
            quoted_byte(p, s.p[i]);
        else
            base64_byte(p, s.p[i]);
}

static void begin_text(struct parts *p, bool is_text, enum encoding encoding)
{
    p->in_header = false;
    p->is_text = is_text;
    p->encoding = encoding;
    p->held = HELD_NOTHING;
    p->bits = p->bit_count = 0;
}

static void begin_header(struct parts *p)
{
    p->in_header = true;
    buf_reset(&p->header);
    p->header_lines = 0;
    p->header_is_full = false;
}

/* ---- the end of a header */

/* Of the first field of that name, as one line; cut. */
static struct span value_of(struct span header, const char *name, char *room, size_t size)
{
    return mail_header_value(header, span_cstr(name), room, size) ? span_cstr(room)
                                                                  : span_of(NULL, 0);
}

static enum encoding encoding_of(struct span header)
{
    char room[64];
    struct span s = value_of(header, "Content-Transfer-Encoding", room, sizeof room), t;

    params_skip_space(&s);
    t = params_take_token(&s);
    if (span_eq_nocase(t, SPAN_LIT("quoted-printable"))) return QUOTED;
    return span_eq_nocase(t, SPAN_LIT("base64")) ? BASE64 : AS_IS;
}

static void take_boundary(void *arg, struct span text)
{
    struct level *l = arg;

    if (l->size > 0 || text.n == 0 || text.n > PARTS_BOUNDARY_MAX) return;
    memcpy(l->boundary, text.p, text.n);
    l->size = text.n;
}

/* False: it cannot be told where its parts begin, and it is taken for text. */
static bool begin_multipart(struct parts *p, struct span type, struct span sub)
{
    struct level *l = &p->levels[p->depth];

    if (p->depth == PARTS_DEPTH_MAX) return false;
    l->size = 0;
    l->is_digest = span_eq_nocase(sub, SPAN_LIT("digest"));
    params_each(type, SPAN_LIT("boundary"), take_boundary, l);
    if (l->size == 0) return false;
    p->depth++;
    begin_text(p, true, AS_IS);
    return true;
}

static void end_header(struct parts *p)
{
    struct span header = span_sub(buf_span(&p->header), 0, p->header_lines);
    char room[2048];
    struct span type = value_of(header, "Content-Type", room, sizeof room), rest = type, main, sub;
    enum encoding encoding = encoding_of(header);
    bool is_message;

    p->calls->on_header(p->arg, header, p->is_top);
    params_skip_space(&rest);
    main = params_take_token(&rest);
    sub = params_take_byte(&rest, '/') ? params_take_token(&rest) : span_of(NULL, 0);
    is_message = main.n == 0 ? p->is_digest
                             : span_eq_nocase(main, SPAN_LIT("message")) &&
                                   (span_eq_nocase(sub, SPAN_LIT("rfc822")) ||
                                    span_eq_nocase(sub, SPAN_LIT("global")));
    p->is_top = p->is_digest = false;
    if (is_message && encoding == AS_IS) {
        begin_header(p);
    } else if (!span_eq_nocase(main, SPAN_LIT("multipart"))) {
        begin_text(p, main.n == 0 || is_message || span_eq_nocase(main, SPAN_LIT("text")),
                   encoding);
    } else if (!begin_multipart(p, type, sub)) {
        begin_text(p, true, encoding);
    }
}

/* ---- lines */

static bool is_white(uint8_t c)
{
    return c == '\r' || c == '\n' || c == ' ' || c == '\t';
}

/* "--boundary" or "--boundary--" of a level; its number from 1, 0: it is none. */
static unsigned delimiter_of(const struct parts *p, struct span s, bool *is_last)
{
    while (s.n > 0 && is_white(s.p[s.n - 1]))
        s.n--;
    if (s.n < 3 || s.p[0] != '-' || s.p[1] != '-') return 0;
    s = span_from(s, 2);
    for (unsigned i = p->depth; i > 0; i--) {
        struct span b = span_of(p->levels[i - 1].boundary, p->levels[i - 1].size);

        *is_last = s.n == b.n + 2 && s.p[s.n - 1] == '-' && s.p[s.n - 2] == '-';
        if (span_eq(span_sub(s, 0, *is_last ? b.n : s.n), b)) return i;
    }
    return 0;
}

static void pass_delimiter(struct parts *p, unsigned level, bool is_last)
{
    if (p->in_header) end_header(p);
    flush(p);
    p->depth = is_last ? level - 1 : level;
    if (is_last) {
        p->calls->on_text(p->arg, span_of(NULL, 0));
        begin_text(p, true, AS_IS);
    } else {
        begin_header(p);
        p->is_digest = p->levels[level - 1].is_digest;
    }
}

static void add_header(struct parts *p, struct span s, bool ends)
{
    size_t max = p->is_top ? MAIL_HEADER_SIZE_MAX : PARTS_HEADER_MAX;

    if (p->header_is_full || p->header.n + s.n > max) {
        p->header_is_full = true;
        return;
    }
    buf_add_span(&p->header, s);
    if (ends) p->header_lines = p->header.n;
}

/* A line, or a piece of a long one. */
static void take_line(struct parts *p, struct span s, bool begins)
{
    bool ends = s.n > 0 && s.p[s.n - 1] == '\n', is_last = false;
    bool is_empty = begins && ends && (s.n == 1 || (s.n == 2 && s.p[0] == '\r'));
    unsigned level = begins && ends ? delimiter_of(p, s, &is_last) : 0;

    p->begins = ends;
    if (level > 0) {
        pass_delimiter(p, level, is_last);
    } else if (!p->in_header) {
        pass_text(p, s);
    } else if (is_empty) {
        end_header(p);
    } else {
        add_header(p, s, ends);
    }
}

/* Only a line of a header or one that begins with a hyphen needs to be seen whole. */
static bool must_hold(const struct parts *p, uint8_t first)
{
    return p->begins && (p->in_header || (p->depth > 0 && first == '-'));
}

static size_t hold(struct parts *p, struct span run)
{
    size_t n = PARTS_LINE_MAX - p->line_size, end = span_find(run, 0, '\n');

    if (end < run.n && end + 1 < n) n = end + 1;
    if (n > run.n) n = run.n;
    memcpy(p->line + p->line_size, run.p, n);
    p->line_size += n;
    if (p->line_size == PARTS_LINE_MAX || p->line[p->line_size - 1] == '\n') {
        struct span s = span_of(p->line, p->line_size);

        p->line_size = 0;
        take_line(p, s, true);
    }
    return n;
}

static size_t pass(struct parts *p, struct span run)
{
    size_t end = span_find(run, 0, '\n'), n = end < run.n ? end + 1 : end;

    if (!p->in_header && p->depth == 0) n = run.n; /* text to the end: no line of it matters */
    take_line(p, span_sub(run, 0, n), false);
    return n;
}

void parts_feed(struct parts *p, struct span run)
{
    while (run.n > 0) {
        bool holds = p->line_size > 0 || must_hold(p, run.p[0]);

        run = span_from(run, holds ? hold(p, run) : pass(p, run));
    }
}

void parts_finish(struct parts *p)
{
    struct span s = span_of(p->line, p->line_size);

    p->line_size = 0;
    if (s.n > 0) { /* the last line has no end */
        bool is_last;

        if (delimiter_of(p, s, &is_last) == 0) take_line(p, s, false);
    }
    if (p->in_header) {
        if (!p->header_is_full) p->header_lines = p->header.n;
        end_header(p);
    }
    flush(p);
}
