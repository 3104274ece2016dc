/* mailbox - address lists (RFC 5322 3.2-3.4, 4.4).
 *
 * One pass, no memory. A list element is read as words until '@', '<' or ':' tells what it is. Two
 * things are taken that the grammar does not have, since every reader takes them and nothing hangs
 * on them: brackets and bytes over 127 in a display name. Bare controls are never taken.
 */
#include "node/mail/mailbox.h"

#include "proto/ground/ascii.h"
#include "proto/ground/err.h"

#define ODD_WORDS_(name, words) words,
static const char *const odd_words[] = { MAILBOX_ODD_TABLE(ODD_WORDS_) };
#undef ODD_WORDS_

const char *mailbox_odd_words(enum mailbox_odd_number odd)
{
    return odd_words[odd];
}

/* ---- bytes */

static bool is_atext(uint8_t c)
{
    return ascii_is_alnum(c) || c >= 0x80 || (c != 0 && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

/* What may stand between quotes, in a comment, or in a literal, as itself. */
static bool is_text(uint8_t c)
{
    return c == '\t' || (c >= 0x20 && c != 0x7f);
}

static bool is_fold(const struct mailbox_reader *r)
{
    return r->end - r->p > 2 && r->p[0] == '\r' && r->p[1] == '\n' &&
           (r->p[2] == ' ' || r->p[2] == '\t');
}

/* One byte of text, with its backslash or as folding, at least one is there: false when it is none. */
static bool pass_text(struct mailbox_reader *r)
{
    if (is_fold(r)) {
        r->p += 2;
        return true;
    }
    if (*r->p == '\\') r->p++;
    if (r->p == r->end || !is_text(*r->p)) return false;
    r->p++;
    return true;
}

/* ---- white space and comments */

static int pass_comment(struct mailbox_reader *r)
{
    unsigned depth = 0;

    do {
        if (r->p == r->end) return ERR_SYNTAX;
        if (*r->p == '(') {
            if (++depth > MAILBOX_COMMENT_DEPTH_MAX) return ERR_SYNTAX;
            r->p++;
        } else if (*r->p == ')') {
            depth--;
            r->p++;
        } else if (!pass_text(r)) {
            return ERR_SYNTAX;
        }
    } while (depth > 0);
    return 0;
}

/* *odd gets what was there. */
static int pass_cfws(struct mailbox_reader *r, unsigned *odd)
{
    while (r->p < r->end) {
        if (*r->p == ' ' || *r->p == '\t') {
            r->p++;
            *odd |= MAILBOX_ODD(SPACE);
        } else if (is_fold(r)) {
            r->p += 2;
        } else if (*r->p == '(') {
            if (pass_comment(r) != 0) return ERR_SYNTAX;
            *odd |= MAILBOX_ODD(COMMENT);
        } else {
            break;
        }
    }
    return 0;
}

/* ---- words */

/* What was read of an element that may become a local part, a display name or a group's name. */
struct words {
    const uint8_t *begin, *end; /* end: behind the last word or dot */
    unsigned count;
    bool is_local;    /* words and dots alternate, and nothing else */
    bool wants_dot;   /* a word was last */
    unsigned inside;  /* oddities between words */
    unsigned between; /* behind the last one */
    unsigned odd;     /* of quoted strings */
};

static int pass_quoted(struct mailbox_reader *r, struct words *w)
{
    r->p++;
    for (;;) {
        if (r->p == r->end) return ERR_SYNTAX;
        if (*r->p == '"') break;
        if (!is_atext(*r->p) && *r->p != '.' && *r->p != ' ') w->odd |= MAILBOX_ODD(QUOTED);
        if (!pass_text(r)) return ERR_SYNTAX;
    }
    r->p++;
    return 0;
}

static void add_word(struct words *w, bool is_dot)
{
    if (w->count > 0) w->inside |= w->between;
    w->between = 0;
    if (is_dot != w->wants_dot) w->is_local = false;
    w->wants_dot = !is_dot;
    w->count++;
}

/* Words and dots, as many as there are, with what stands around them. */
static int pass_words(struct mailbox_reader *r, struct words *w, bool is_phrase)
{
    *w = (struct words){ .is_local = true };
    if (pass_cfws(r, &w->between) != 0) return ERR_SYNTAX;
    w->begin = w->end = r->p;
    w->between = 0;
    while (r->p < r->end) {
        bool is_bracket = is_phrase && (*r->p == '[' || *r->p == ']');

        if (*r->p == '"') {
            add_word(w, false);
            if (pass_quoted(r, w) != 0) return ERR_SYNTAX;
        } else if (is_atext(*r->p)) {
            add_word(w, false);
            while (r->p < r->end && is_atext(*r->p))
                r->p++;
        } else if (*r->p == '.' || is_bracket) {
            add_word(w, true);
            if (is_bracket) w->is_local = false;
            r->p++;
        } else {
            break;
        }
        w->end = r->p;
        if (pass_cfws(r, &w->between) != 0) return ERR_SYNTAX;
    }
    return 0;
}

static struct span words_span(const struct words *w)
{
    return span_of(w->begin, (size_t)(w->end - w->begin));
}

/* ---- addr-spec */

static bool has_encoded_word(struct span s)
{
    for (size_t i = 0; i + 1 < s.n; i++)
        if (s.p[i] == '=' && s.p[i + 1] == '?') return true;
    return false;
}

static int pass_literal(struct mailbox_reader *r)
{
    while (r->p < r->end && *r->p != ']') {
        if (*r->p == '[' || !pass_text(r)) return ERR_SYNTAX;
    }
    if (r->p == r->end) return ERR_SYNTAX;
    r->p++;
    return 0;
}

/* Behind '@'. What follows the domain is left, but its white space and comments. */
static int pass_domain(struct mailbox_reader *r, struct span *out, unsigned *odd, unsigned *behind)
{
    struct words w;

    *behind = 0;
    if (pass_cfws(r, odd) != 0 || r->p == r->end) return ERR_SYNTAX;
    if (*r->p == '[') {
        const uint8_t *begin = r->p++;
        if (pass_literal(r) != 0) return ERR_SYNTAX;
        *out = span_of(begin, (size_t)(r->p - begin));
        return pass_cfws(r, behind);
    }
    if (pass_words(r, &w, false) != 0) return ERR_SYNTAX;
    *out = words_span(&w);
    if (!w.is_local || !w.wants_dot || span_find(*out, 0, '"') < out->n) return ERR_SYNTAX;
    *odd |= w.inside;
    *behind = w.between;
    return 0;
}

/* The words before '@' were read; r stands at '@'. */
static int take_address(struct mailbox_reader *r, const struct words *w, struct mailbox *out,
                        unsigned *behind)
{
    if (!w->is_local || !w->wants_dot) return ERR_SYNTAX;
    out->local = words_span(w);
    out->odd |= w->inside | w->between | w->odd;
    r->p++;
    if (pass_domain(r, &out->domain, &out->odd, behind) != 0) return ERR_SYNTAX;
    if (has_encoded_word(out->local) || has_encoded_word(out->domain))
        out->odd |= MAILBOX_ODD(ENCODED);
    return 0;
}

/* "@a,@b:" in front (4.4). */
static int pass_route(struct mailbox_reader *r, struct mailbox *out)
{
    struct span domain;
    unsigned behind;

    for (;;) {
        if (r->p == r->end) return ERR_SYNTAX;
        if (*r->p == ':') break;
        if (*r->p == ',') {
            r->p++;
            if (pass_cfws(r, &out->odd) != 0) return ERR_SYNTAX;
        } else if (*r->p == '@') {
            r->p++;
            if (pass_domain(r, &domain, &out->odd, &behind) != 0) return ERR_SYNTAX;
        } else {
            return ERR_SYNTAX;
        }
    }
    out->odd |= MAILBOX_ODD(ROUTE);
    r->p++;
    return 0;
}

/* Behind '<'. White space next to the brackets is nothing to anybody; a comment there is odd. */
static int take_angle(struct mailbox_reader *r, struct mailbox *out)
{
    unsigned edge = 0, behind;
    struct words w;

    r->p++;
    if (pass_cfws(r, &edge) != 0 || r->p == r->end) return ERR_SYNTAX;
    if ((*r->p == '@' || *r->p == ',') && pass_route(r, out) != 0) return ERR_SYNTAX;
    if (pass_cfws(r, &edge) != 0 || pass_words(r, &w, false) != 0) return ERR_SYNTAX;
    if (r->p == r->end || *r->p != '@' || take_address(r, &w, out, &behind) != 0) return ERR_SYNTAX;
    if (r->p == r->end || *r->p != '>') return ERR_SYNTAX;
    out->odd |= (edge | behind) & MAILBOX_ODD(COMMENT);
    r->p++;
    return 0;
}

/* ---- the list */

void mailbox_reader_init(struct mailbox_reader *r, struct span value)
{
    *r = (struct mailbox_reader){ .p = value.p, .end = value.p + value.n };
}

static int open_group(struct mailbox_reader *r, const struct words *w)
{
    if (r->in_group || w->count == 0) return ERR_SYNTAX;
    r->in_group = true;
    r->after_item = r->after_comma = false;
    r->group_count++;
    r->p++;
    return ERR_AGAIN;
}

/* One element: 0: a mailbox; ERR_AGAIN: a group begins. */
static int take_item(struct mailbox_reader *r, struct mailbox *out)
{
    struct words w;
    unsigned behind;
    int rv = ERR_SYNTAX;

    *out = (struct mailbox){ .odd = r->in_group ? MAILBOX_ODD(GROUP) : 0 };
    if (pass_words(r, &w, true) != 0 || r->p == r->end) return ERR_SYNTAX;
    if (*r->p == ':') return open_group(r, &w);
    if (*r->p == '@') {
        rv = take_address(r, &w, out, &behind);
    } else if (*r->p == '<') {
        out->phrase = words_span(&w);
        rv = take_angle(r, out);
    }
    r->after_item = rv == 0;
    r->after_comma = false;
    return rv;
}

/* What stands between elements: ERR_AGAIN when an element follows. */
static int pass_separators(struct mailbox_reader *r)
{
    unsigned odd = 0;

    for (;;) {
        if (pass_cfws(r, &odd) != 0) return ERR_SYNTAX;
        if (r->p == r->end) break;
        if (*r->p == ',') {
            if (!r->after_item) r->empty_count++;
            r->after_item = false;
            r->after_comma = true;
        } else if (*r->p == ';' && r->in_group) {
            if (r->after_comma) r->empty_count++;
            r->in_group = r->after_comma = false;
            r->after_item = true;
        } else {
            return r->after_item ? ERR_SYNTAX : ERR_AGAIN;
        }
        r->p++;
    }
    if (r->after_comma) r->empty_count++;
    r->after_comma = false;
    return r->in_group ? ERR_SYNTAX : ERR_CLOSED;
}

int mailbox_next(struct mailbox_reader *r, struct mailbox *out)
{
    int rv;

    do {
        rv = pass_separators(r);
        if (rv == ERR_AGAIN) rv = take_item(r, out);
    } while (rv == ERR_AGAIN);
    return rv;
}
