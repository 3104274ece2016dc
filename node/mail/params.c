/* params - see params.h. */
#include "node/mail/params.h"
#include "proto/ground/hex.h"

#define SECTIONS_MAX 32 /* of one parameter; what stands behind is not looked at */

static bool is_token_byte(uint8_t c)
{
    return c > ' ' && c < 0x7f && !strchr("()<>@,;:\\\"/[]?=", c);
}

void params_skip_space(struct span *s)
{
    unsigned depth = 0;

    while (s->n > 0) {
        uint8_t c = s->p[0];

        if (c == '(') depth++;
        if (depth == 0 && c != ' ' && c != '\t') return;
        if (c == ')' && depth > 0) depth--;
        if (c == '\\' && s->n > 1) *s = span_from(*s, 1);
        *s = span_from(*s, 1);
    }
}

struct span params_take_token(struct span *s)
{
    struct span t = *s;
    size_t n = 0;

    while (n < s->n && is_token_byte(s->p[n]))
        n++;
    t.n = n;
    *s = span_from(*s, n);
    params_skip_space(s);
    return t;
}

size_t params_take_value(struct span *s, char *out, size_t size)
{
    size_t n = 0;

    if (s->n == 0 || s->p[0] != '"') {
        struct span t = params_take_token(s);

        n = t.n < size ? t.n : size;
        memcpy(out, t.p, n);
        return n;
    }
    for (*s = span_from(*s, 1); s->n > 0 && s->p[0] != '"'; *s = span_from(*s, 1)) {
        if (s->p[0] == '\\' && s->n > 1) *s = span_from(*s, 1);
        if (n < size) out[n++] = (char)s->p[0];
    }
    if (s->n > 0) *s = span_from(*s, 1);
    params_skip_space(s);
    return n;
}

bool params_take_byte(struct span *s, uint8_t c)
{
    if (s->n == 0 || s->p[0] != c) return false;
    *s = span_from(*s, 1);
    params_skip_space(s);
    return true;
}

/* ---- parameters */

/* What has no quotes ends at a semicolon or comment: readers take a file name's spaces as they stand. */
static struct span take_words(struct span *s)
{
    size_t n = 0;
    struct span words;

    while (n < s->n && s->p[n] != ';' && s->p[n] != '(')
        n++;
    words = span_trim(span_sub(*s, 0, n < PARAMS_VALUE_SIZE_MAX ? n : PARAMS_VALUE_SIZE_MAX));
    *s = span_from(*s, n);
    return words;
}

/* Goes to the next "; name=value"; a quoted value is put into `room`. False: there is none. */
static bool next_param(struct span *s, struct span *name, struct span *value,
                       char room[PARAMS_VALUE_SIZE_MAX])
{
    for (;;) {
        *s = span_from(*s, span_find(*s, 0, ';'));
        if (!params_take_byte(s, ';')) return false;
        *name = params_take_token(s);
        if (params_take_byte(s, '=')) break;
    }
    if (s->n > 0 && s->p[0] == '"')
        *value = span_of(room, params_take_value(s, room, PARAMS_VALUE_SIZE_MAX));
    else
        *value = take_words(s);
    return true;
}

/* "charset'language'text%20"; of a section that is not the first one the text alone. */
static void add_percent(struct buf *out, struct span text, bool is_first)
{
    if (is_first) {
        size_t one = span_find(text, 0, '\'');
        size_t two = one < text.n ? span_find(text, one + 1, '\'') : text.n;

        if (two < text.n) text = span_from(text, two + 1);
    }
    for (size_t i = 0; i < text.n; i++) {
        bool is_long = text.p[i] == '%' && i + 2 < text.n;
        int byte = is_long ? hex_pair(text.p[i + 1], text.p[i + 2]) : -1;

        buf_add_u8(out, byte >= 0 ? (uint8_t)byte : text.p[i]);
        if (byte >= 0) i += 2;
    }
}

/* What stands behind `name` in "name", "name*", "name*7", "name*7*". */
struct form {
    bool is_percent, is_section;
    uint64_t section;
};

static bool read_form(struct span is, struct span name, struct form *out)
{
    *out = (struct form){ false, false, 0 };
    if (!span_starts_nocase(is, name)) return false;
    is = span_from(is, name.n);
    if (is.n == 0) return true;
    if (is.p[0] != '*') return false;
    is = span_from(is, 1);
    out->is_percent = is.n == 0 || is.p[is.n - 1] == '*';
    if (is.n == 0) return true;
    if (out->is_percent) is.n--;
    out->is_section = true;
    return span_u64(is, SECTIONS_MAX - 1, &out->section) == 0;
}

/* The section of that number, the first of those that claim it. */
static bool add_section(struct span value, struct span name, uint64_t number, struct buf *out)
{
    char room[PARAMS_VALUE_SIZE_MAX];
    struct span is, text;
    struct form f;

    while (next_param(&value, &is, &text, room)) {
        if (!read_form(is, name, &f) || !f.is_section || f.section != number) continue;
        if (f.is_percent)
            add_percent(out, text, number == 0);
        else
            buf_add_span(out, text);
        return true;
    }
    return false;
}

static struct span kept(const struct buf *b)
{
    struct span s = buf_span(b);

    return s.n > PARAMS_VALUE_SIZE_MAX ? span_sub(s, 0, PARAMS_VALUE_SIZE_MAX) : s;
}

void params_each(struct span value, struct span name, void (*tell)(void *arg, struct span text),
                 void *arg)
{
    char room[PARAMS_VALUE_SIZE_MAX];
    struct span rest = value, is, text;
    struct buf joined;
    struct form f;
    bool has_sections = false;

    buf_init(&joined, SECTIONS_MAX * PARAMS_VALUE_SIZE_MAX);
    while (next_param(&rest, &is, &text, room)) {
        if (!read_form(is, name, &f)) continue;
        has_sections |= f.is_section;
        if (f.is_section) continue;
        buf_reset(&joined);
        if (f.is_percent)
            add_percent(&joined, text, true);
        else
            buf_add_span(&joined, text);
        tell(arg, kept(&joined));
    }
    buf_reset(&joined);
    for (uint64_t i = 0; has_sections && i < SECTIONS_MAX; i++)
        if (!add_section(value, name, i, &joined)) break;
    if (joined.n > 0) tell(arg, kept(&joined));
    buf_deinit(&joined);
}
