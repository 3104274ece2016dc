/* notify - values of NOTIFY, RET, ENVID and ORCPT (RFC 3461 4, RFC 6533 3).
 *
 * Strict: hexadecimal digits of xtext are upper case, lengths are those of the RFC, and what an
 * encoded byte hides is looked at here, once: "+0D+0A" would be a field of its own in a report.
 */
#include "node/smtp/notify.h"

#include "proto/ground/err.h"
#include "proto/ground/hex.h"

static const struct {
    const char *name;
    unsigned bit;
} words[] = {
    { "NEVER", SMTP_NOTIFY_NEVER },
    { "SUCCESS", SMTP_NOTIFY_SUCCESS },
    { "FAILURE", SMTP_NOTIFY_FAILURE },
    { "DELAY", SMTP_NOTIFY_DELAY },
};
#define WORD_COUNT (sizeof words / sizeof words[0])

static unsigned notify_bit(struct span word)
{
    for (unsigned i = 0; i < WORD_COUNT; i++)
        if (span_eq_nocase(word, span_cstr(words[i].name))) return words[i].bit;
    return 0;
}

int smtp_notify_parse(struct span value, unsigned *out)
{
    *out = 0;
    for (size_t from = 0; from <= value.n;) {
        size_t comma = span_find(value, from, ',');
        unsigned bit = notify_bit(span_sub(value, from, comma - from));

        if (bit == 0) return ERR_SYNTAX;
        *out |= bit;
        if (bit == SMTP_NOTIFY_NEVER && (from > 0 || comma < value.n)) return ERR_SYNTAX;
        from = comma + 1;
    }
    return 0;
}

int smtp_ret_parse(struct span value, unsigned *out)
{
    *out = span_eq_nocase(value, SPAN_LIT("FULL"))   ? SMTP_RET_FULL
           : span_eq_nocase(value, SPAN_LIT("HDRS")) ? SMTP_RET_HDRS
                                                     : 0;
    return *out != 0 ? 0 : ERR_SYNTAX;
}

/* ---- xtext */

/* The byte at the front, and how many it takes: 0 when there is no xtext. */
static size_t xtext_byte(struct span s, uint8_t *out)
{
    int high, low;

    *out = s.p[0];
    if (s.p[0] != '+') return s.p[0] > 0x20 && s.p[0] < 0x7f && s.p[0] != '=' ? 1 : 0;
    if (s.n < 3) return 0;
    high = hex_value_upper(s.p[1]);
    low = hex_value_upper(s.p[2]);
    if (high < 0 || low < 0) return 0;
    *out = (uint8_t)(high * 16 + low);
    return 3;
}

static bool is_shown(uint8_t c)
{
    return c >= 0x20 && c < 0x7f;
}

/* xtext, not empty, of printable ASCII; raw UTF-8 if it may be there. */
static int check_xtext(struct span s, bool may_be_utf8)
{
    if (s.n == 0) return ERR_SYNTAX;
    while (s.n > 0) {
        uint8_t byte;
        size_t n = xtext_byte(s, &byte);

        if (n > 0 && !is_shown(byte)) return ERR_SYNTAX;
        if (n == 0 && may_be_utf8 && s.p[0] >= 0x80) n = span_utf8_size(s);
        if (n == 2 && s.p[0] == 0xc2 && s.p[1] < 0xa0) return ERR_SYNTAX; /* C1 */
        if (n == 0) return ERR_SYNTAX;
        s = span_from(s, n);
    }
    return 0;
}

int smtp_envid_check(struct span value)
{
    return value.n > SMTP_ENVID_SIZE_MAX ? ERR_TOO_LONG : check_xtext(value, false);
}

/* ---- ORCPT: addr-type ";" xtext; the type is an atom (RFC 3464 2.1.2) */

static bool is_utf8_type(struct span type)
{
    return span_eq_nocase(type, SPAN_LIT("utf-8"));
}

static bool type_ok(struct span type)
{
    for (size_t i = 0; i < type.n; i++)
        if (!is_shown(type.p[i]) || strchr("()<>@,;:\\\".[] +=", type.p[i])) return false;
    return type.n > 0;
}

int smtp_orcpt_check(struct span value, bool may_be_utf8)
{
    size_t at = span_find(value, 0, ';');
    struct span type = span_sub(value, 0, at);

    if (value.n > SMTP_ORCPT_SIZE_MAX) return ERR_TOO_LONG;
    if (at == value.n || !type_ok(type)) return ERR_SYNTAX;
    return check_xtext(span_from(value, at + 1), may_be_utf8 && is_utf8_type(type));
}

static uint32_t code_point(const uint8_t *p, size_t n)
{
    uint32_t v = n == 2 ? p[0] & 0x1fu : n == 3 ? p[0] & 0x0fu : p[0] & 0x07u;

    for (size_t i = 1; i < n; i++)
        v = v << 6 | (p[i] & 0x3fu);
    return v;
}

int smtp_orcpt_ascii(struct span value, struct buf *out)
{
    size_t before = out->n;

    while (value.n > 0) {
        size_t n = value.p[0] < 0x80 ? 1 : span_utf8_size(value);

        if (n < 2) {
            buf_add_u8(out, value.p[0]);
            n = 1;
        } else {
            buf_addf(out, "\\x{%X}", (unsigned)code_point(value.p, n));
        }
        value = span_from(value, n);
    }
    if (out->n - before <= SMTP_ORCPT_SIZE_MAX) return 0;
    out->n = before;
    return ERR_TOO_LONG;
}
