/* shown - text as it is seen (RFC 2047 2-6, RFC 2231 5; what clients do besides it). */
#include "node/mail/shown.h"

#include "proto/ground/ascii.h"
#include "proto/ground/base64.h"
#include "proto/ground/err.h"
#include "proto/ground/hex.h"

struct encoded_word {
    struct span whole, charset, text;
    bool is_base64;
};

/* ---- encoded words */

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* "=?charset*lang?B?text?=" at the front of s; `last` is where the last "?=" of the text stands. Behind
 * it nothing is looked for, so that many beginnings without an end cost no more than one. */
static bool word_at(struct span s, const uint8_t *last, struct encoded_word *out)
{
    size_t name_end, text_end;

    if (!last || s.p >= last || s.n < 2 || s.p[0] != '=' || s.p[1] != '?') return false;
    name_end = span_find(s, 2, '?');
    if (name_end + 2 >= s.n || s.p[name_end + 2] != '?') return false;
    text_end = span_find(s, name_end + 3, '?');
    while (text_end + 1 < s.n && s.p[text_end + 1] != '=')
        text_end = span_find(s, text_end + 1, '?');
    if (text_end + 1 >= s.n) return false;
    out->whole = span_sub(s, 0, text_end + 2);
    out->charset = span_sub(s, 2, name_end - 2);
    out->charset.n = span_find(out->charset, 0, '*');
    out->text = span_sub(s, name_end + 3, text_end - name_end - 3);
    out->is_base64 = (s.p[name_end + 1] | 0x20) == 'b';
    return out->is_base64 || (s.p[name_end + 1] | 0x20) == 'q';
}

static void decode_q(struct span text, struct buf *out)
{
    for (size_t i = 0; i < text.n; i++) {
        bool is_long = text.p[i] == '=' && i + 2 < text.n;
        int byte = is_long ? hex_pair(text.p[i + 1], text.p[i + 2]) : -1;

        if (byte >= 0) {
            buf_add_u8(out, (uint8_t)byte);
            i += 2;
        } else {
            buf_add_u8(out, text.p[i] == '_' ? ' ' : text.p[i]);
        }
    }
}

/* Those of base64url, too. */
static int digit64(uint8_t c)
{
    if (c == '-') return 62;
    return c == '_' ? 63 : base64_value(c);
}

/* What is no digit is passed over, padding ends a group. */
static void decode_b(struct span text, struct buf *out)
{
    unsigned bits = 0, count = 0;

    for (size_t i = 0; i < text.n; i++) {
        int v = digit64(text.p[i]);

        if (text.p[i] == '=') bits = count = 0;
        if (v < 0) continue;
        bits = (bits << 6 | (unsigned)v) & 0xffffff;
        count += 6;
        if (count < 8) continue;
        count -= 8;
        buf_add_u8(out, (uint8_t)(bits >> count));
    }
}

static bool is_opaque(struct span charset)
{
    static const char *const names[] = { "utf-7",     "utf7",      "unicode-1-1-utf-7",
                                         "x-unicode", "utf-16",    "utf16",
                                         "utf-32",    "utf32",     "ucs-",
                                         "csucs",     "csunicode", "iso-10646-ucs",
                                         "ebcdic",    "ibm037",    "cp037",
                                         "ibm1047",   "cp1047",    "ibm500",
                                         "cp500",     "hz-gb-2312" };

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (span_starts_nocase(charset, span_cstr(names[i]))) return true;
    return false;
}

/* ---- text */

/* White space between two encoded words is not shown (RFC 2047 6.2). */
static size_t gap_to_next_word(struct span s, const uint8_t *last)
{
    struct encoded_word next;
    size_t n = 0;

    while (n < s.n && is_blank(s.p[n]))
        n++;
    return word_at(span_from(s, n), last, &next) ? n : 0;
}

static const uint8_t *last_end(struct span s)
{
    for (size_t i = s.n; i >= 2; i--)
        if (s.p[i - 2] == '?' && s.p[i - 1] == '=') return s.p + i - 2;
    return NULL;
}

int mail_shown(struct span value, struct buf *out)
{
    const uint8_t *last = last_end(value);
    struct encoded_word w;

    while (value.n > 0) {
        if (word_at(value, last, &w)) {
            if (is_opaque(w.charset)) return ERR_UNSUPPORTED;
            if (w.is_base64)
                decode_b(w.text, out);
            else
                decode_q(w.text, out);
            value = span_from(value, w.whole.n);
            value = span_from(value, gap_to_next_word(value, last));
            continue;
        }
        if (value.n > 1 && value.p[0] == '\\') value = span_from(value, 1);
        if (value.n < 2 || value.p[0] != '\r' || value.p[1] != '\n')
            buf_add_u8(out, *value.p);
        else
            value = span_from(value, 1);
        value = span_from(value, 1);
    }
    return 0;
}

/* ---- what looks like an address */

static bool starts_with(struct span s, const char *bytes)
{
    size_t n = strlen(bytes);

    return s.n >= n && memcmp(s.p, bytes, n) == 0;
}

/* '@', U+FF20, U+FE6B: its size. */
static size_t at_sign(struct span s)
{
    if (s.p[0] == '@') return 1;
    return starts_with(s, "\xef\xbc\xa0") || starts_with(s, "\xef\xb9\xab") ? 3 : 0;
}

/* '.', and what IDNA takes for one: U+3002, U+FF0E, U+FF61. */
static bool is_dot(struct span s)
{
    return s.p[0] == '.' || starts_with(s, "\xe3\x80\x82") || starts_with(s, "\xef\xbc\x8e") ||
           starts_with(s, "\xef\xbd\xa1");
}

static bool is_domain_byte(uint8_t c)
{
    return ascii_is_alnum(c) || c == '-' || c == '_' || c == '.' || c >= 0x80;
}

static bool may_precede(uint8_t c)
{
    return c > ' ' && strchr("(<,:;[", c) == NULL;
}

/* A name with a dot inside, behind '@': its size, 0 when there is none. */
static size_t domain_size(struct span s)
{
    size_t n = 0;
    bool has_dot = false;

    while (n < s.n && is_domain_byte(s.p[n]) && at_sign(span_from(s, n)) == 0)
        n++;
    while (n > 0 && s.p[n - 1] == '.')
        n--;
    for (size_t i = 1; i < n; i++)
        has_dot |= is_dot(span_from(s, i));
    return has_dot ? n : 0;
}

bool mail_shown_next_domain(struct span text, size_t *at, struct span *domain)
{
    for (size_t i = *at; i < text.n; i++) {
        size_t sign = at_sign(span_from(text, i)), n;

        if (sign == 0 || i == 0 || !may_precede(text.p[i - 1])) continue;
        n = domain_size(span_from(text, i + sign));
        if (n == 0) continue;
        *domain = span_sub(text, i + sign, n);
        *at = i + sign + n;
        return true;
    }
    *at = text.n;
    return false;
}

bool mail_shown_deceives(struct span text)
{
    for (size_t i = 0; i < text.n; i++) {
        uint8_t c = text.p[i];

        if ((c < 0x20 && c != '\t' && c != 0x1b) || c == 0x7f) return true; /* ISO 2022 has ESC */
        if (starts_with(span_from(text, i), "\xe2\x80\xad")) return true;   /* U+202D */
        if (starts_with(span_from(text, i), "\xe2\x80\xae")) return true;   /* U+202E */
    }
    return false;
}
