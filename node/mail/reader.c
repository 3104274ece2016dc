/* reader - learns the facts of a mail while its bytes pass (RFC 5322 2.1-2.2, RFC 5321 4.5.3.1.6).
 *
 * Invariants:
 * - The facts do not depend on how the mail is cut in pieces.
 * - Only CR LF ends a line. The header ends behind the first empty line; a mail without one is all
 *   header and has an empty body.
 * - A line of the header that begins no field by the grammar (no colon, bytes that no name may
 * have, white space in the very first line) counts as a field with name_length 0.
 *
 * Each piece is walked a few times by loops that do one thing each: memchr finds the lines and what is no line's end, the compiler
 * makes wide instructions of the rest, and the hash reads the bytes in place.
 */
#include "node/mail/mail.h"

#include <stdlib.h>

#include "node/mail/bodyhash.h"
#include "node/mail/complete.h"
#include "proto/ground/check.h"

#define NAME_SIZE_MAX 16 /* the names that are counted are shorter */
#define BLOCK_SIZE    32

enum header_state {
    HEADER_LINE,    /* at the start of a line */
    HEADER_LINE_CR, /* behind a CR at the start of a line */
    HEADER_NAME,
    HEADER_VALUE,
    HEADER_DONE,
};

/* Counts of bytes, in the header and in the body. */
struct counts {
    uint64_t cr, lf, crlf;
};

struct mail_reader {
    struct mail_facts facts;
    enum header_state state;
    uint8_t last; /* byte of the piece before */
    bool field_open;
    struct mail_field field; /* the open one */
    char name[NAME_SIZE_MAX];
    bool name_ok, name_over; /* over: white space follows the name */
    uint64_t line_size;      /* of the open line so far */
    struct counts counts;
    bool with_hashes;
    struct bodyhash hash;
};

struct mail_reader *mail_reader_new(void)
{
    struct mail_reader *r = check_calloc(1, sizeof *r);

    bodyhash_init(&r->hash);
    mail_reader_start(r, false);
    return r;
}

void mail_reader_free(struct mail_reader **r)
{
    if (!*r) return;
    bodyhash_deinit(&(*r)->hash);
    free(*r);
    *r = NULL;
}

void mail_reader_start(struct mail_reader *r, bool with_hashes)
{
    memset(r, 0, offsetof(struct mail_reader, hash));
    r->with_hashes = with_hashes;
    if (with_hashes) bodyhash_start(&r->hash);
}

/* ---- the header */

static uint32_t clamp(uint64_t v)
{
    return v < UINT32_MAX ? (uint32_t)v : UINT32_MAX;
}

/* Offset in the mail of p, which stands in the piece. */
static uint64_t offset_of(const struct mail_reader *r, struct span piece, const uint8_t *p)
{
    return r->facts.size + (uint64_t)(p - piece.p);
}

static void close_field(struct mail_reader *r, uint64_t end)
{
    struct mail_facts *f = &r->facts;

    if (!r->field_open) return;
    r->field_open = false;
    r->field.length = clamp(end) - r->field.offset;
    if (f->field_count < MAIL_FIELDS_MAX) f->fields[f->field_count] = r->field;
    f->field_count++;
}

static void open_field(struct mail_reader *r, uint64_t offset)
{
    close_field(r, offset);
    r->field_open = true;
    r->field = (struct mail_field){ .offset = clamp(offset) };
    r->name_ok = true;
    r->name_over = false;
}

static void end_header(struct mail_reader *r, uint64_t fields_end, uint64_t end)
{
    close_field(r, fields_end);
    r->state = HEADER_DONE;
    r->facts.header_size = clamp(end);
}

/* The colon was reached: which name is it? */
static void end_name(struct mail_reader *r)
{
    struct mail_facts *f = &r->facts;
    struct span name = span_of(r->name, r->field.name_length);

    if (!r->name_ok) r->field.name_length = 0;
    if (!r->name_ok || name.n > NAME_SIZE_MAX) return;
    if (span_eq_nocase(name, SPAN_LIT("Date"))) f->has_date = true;
    if (span_eq_nocase(name, SPAN_LIT("Message-ID"))) f->has_message_id = true;
    if (span_eq_nocase(name, SPAN_LIT("Received"))) f->received_count++;
    if (mail_field_is_private(name)) f->has_private = true;
    if (span_eq_nocase(name, SPAN_LIT("From"))) {
        f->has_from = true;
        f->from_count++;
    }
}

/* White space between name and colon is obsolete and legal (RFC 5322 4.5). */
static void name_byte(struct mail_reader *r, uint8_t c)
{
    bool blank = c == ' ' || c == '\t';

    if (blank && r->field.name_length > 0) {
        r->name_over = true;
        return;
    }
    if (c < 33 || c > 126 || r->name_over) r->name_ok = false;
    if (r->field.name_length < NAME_SIZE_MAX) r->name[r->field.name_length] = (char)c;
    r->field.name_length++;
}

static const uint8_t *pass_line_start(struct mail_reader *r, struct span piece, const uint8_t *p)
{
    if (*p == '\r') {
        r->state = HEADER_LINE_CR;
        return p + 1;
    }
    r->state = HEADER_VALUE;
    if ((*p == ' ' || *p == '\t') && r->field_open) return p;
    open_field(r, offset_of(r, piece, p));
    if (*p != ' ' && *p != '\t') r->state = HEADER_NAME;
    return p;
}

static const uint8_t *pass_line_cr(struct mail_reader *r, struct span piece, const uint8_t *p)
{
    uint64_t at = offset_of(r, piece, p);

    if (*p == '\n') {
        end_header(r, at - 1, at + 1);
        return p + 1;
    }
    open_field(r, at - 1); /* a line that begins with a bare CR */
    r->state = HEADER_VALUE;
    return p;
}

static const uint8_t *pass_name(struct mail_reader *r, const uint8_t *p, uint8_t before)
{
    if (*p == ':') {
        if (r->field.name_length == 0) r->name_ok = false;
        end_name(r);
        r->state = HEADER_VALUE;
    } else if (*p == '\n' && before == '\r') {
        r->field.name_length = 0; /* a line without a colon */
        r->state = HEADER_LINE;
    } else {
        name_byte(r, *p);
    }
    return p + 1;
}

static const uint8_t *pass_value(struct mail_reader *r, struct span piece, const uint8_t *p)
{
    const uint8_t *end = piece.p + piece.n;
    const uint8_t *lf = memchr(p, '\n', (size_t)(end - p));

    if (!lf) return end;
    if ((lf > piece.p ? lf[-1] : r->last) == '\r') r->state = HEADER_LINE;
    return lf + 1;
}

/* Returns how many bytes of the piece belong to the header. */
static size_t read_header(struct mail_reader *r, struct span piece)
{
    const uint8_t *p = piece.p, *end = piece.p + piece.n;

    while (p < end && r->state != HEADER_DONE) {
        switch (r->state) {
        case HEADER_LINE:
            p = pass_line_start(r, piece, p);
            break;
        case HEADER_LINE_CR:
            p = pass_line_cr(r, piece, p);
            break;
        case HEADER_NAME:
            p = pass_name(r, p, p > piece.p ? p[-1] : r->last);
            break;
        case HEADER_VALUE:
            p = pass_value(r, piece, p);
            break;
        case HEADER_DONE:
            break;
        }
    }
    return (size_t)(p - piece.p);
}

/* ---- all bytes */

static bool has_high(struct span s)
{
    uint64_t all[BLOCK_SIZE / 8] = { 0 }, some[BLOCK_SIZE / 8], high = 0;
    size_t i = 0;

    for (; s.n - i >= BLOCK_SIZE; i += BLOCK_SIZE) {
        memcpy(some, s.p + i, BLOCK_SIZE);
        for (unsigned k = 0; k < BLOCK_SIZE / 8; k++)
            all[k] |= some[k];
    }
    for (unsigned k = 0; k < BLOCK_SIZE / 8; k++)
        high |= all[k] & 0x8080808080808080u;
    for (; i < s.n; i++)
        high |= s.p[i] & 0x80u;
    return high != 0;
}

static uint64_t count_cr(const uint8_t *p, const uint8_t *end)
{
    uint64_t n = 0;

    while (p < end && (p = memchr(p, '\r', (size_t)(end - p))) != NULL) {
        n++;
        p++;
    }
    return n;
}

static void note_line(struct mail_reader *r, uint64_t size)
{
    if (size > r->facts.line_length_max) r->facts.line_length_max = clamp(size);
}

/* Counts and measures the lines of s. `before` is the byte before s. */
static void walk_lines(struct mail_reader *r, uint8_t before, struct span s)
{
    struct counts *c = &r->counts;
    const uint8_t *p = s.p, *end = s.p + s.n;

    while (p < end) {
        const uint8_t *lf = memchr(p, '\n', (size_t)(end - p));
        const uint8_t *next = lf ? lf + 1 : end;
        bool is_end = lf && (lf > s.p ? lf[-1] : before) == '\r';
        bool has_cr = is_end && lf > p; /* not of the piece before */

        c->cr += has_cr + count_cr(p, lf ? lf - has_cr : end);
        c->lf += lf != NULL;
        c->crlf += is_end;
        r->line_size += (uint64_t)(next - p);
        p = next;
        if (!is_end) continue;
        note_line(r, r->line_size - 2);
        r->line_size = 0;
    }
}

/* A CR at the end of what was counted may be half of a CR LF. */
static bool has_bare(const struct counts *c, uint8_t last)
{
    return c->cr - (last == '\r') > c->crlf || c->lf > c->crlf;
}

static void learn(struct mail_reader *r, struct span header, struct span body, uint8_t last)
{
    struct mail_facts *f = &r->facts;
    struct counts *c = &r->counts;
    uint8_t before = header.n > 0 ? header.p[header.n - 1] : r->last;
    bool high_header = has_high(header);

    walk_lines(r, r->last, header);
    if (header.n > 0 && (has_bare(c, before) || memchr(header.p, 0, header.n)))
        f->has_bare_in_header = true;
    walk_lines(r, before, body);
    if (high_header) f->eight_bit_header = true;
    if (high_header || has_high(body)) f->eight_bit = true;
    f->has_bare_cr = c->cr - (last == '\r') > c->crlf; /* a CR at the end may be half of CR LF */
    f->has_bare_lf = c->lf > c->crlf;
}

void mail_reader_feed(struct mail_reader *r, struct span run)
{
    struct mail_facts *f = &r->facts;
    size_t header_size = 0;
    uint8_t last;

    if (run.n == 0) return;
    last = run.p[run.n - 1];
    if (r->state != HEADER_DONE) header_size = read_header(r, run);
    learn(r, span_sub(run, 0, header_size), span_from(run, header_size), last);
    if (!f->has_nul && memchr(run.p, 0, run.n)) f->has_nul = true;
    if (r->with_hashes) bodyhash_feed(&r->hash, span_from(run, header_size));

    f->size += run.n;
    r->last = last;
    if (r->state != HEADER_DONE) f->header_size = clamp(f->size);
    f->header_too_large = f->header_size > MAIL_HEADER_SIZE_MAX;
}

const struct mail_facts *mail_reader_facts(const struct mail_reader *r)
{
    return &r->facts;
}

const struct mail_facts *mail_reader_finish(struct mail_reader *r)
{
    struct mail_facts *f = &r->facts;

    if (r->state != HEADER_DONE) {
        if (r->state == HEADER_NAME) r->field.name_length = 0;
        end_header(r, f->size, f->size);
        if (r->last == '\r') f->has_bare_in_header = true;
    }
    note_line(r, r->line_size);
    f->has_bare_cr = r->counts.cr > r->counts.crlf;
    f->has_hashes = r->with_hashes;
    if (r->with_hashes) bodyhash_finish(&r->hash, f->hash_simple, f->hash_relaxed);
    return f;
}
