/* span - comparing, cutting and reading borrowed bytes.
 *
 * A span of no bytes may have p == NULL: nothing here does arithmetic on, or hands to libc, such a
 * pointer. Letters are ASCII; no locale is ever asked.
 */
#include "proto/ground/ascii.h"
#include "proto/ground/span.h"

#include "proto/ground/check.h"
#include "proto/ground/err.h"

bool span_eq_nocase(struct span a, struct span b)
{
    return a.n == b.n && span_starts_nocase(a, b);
}

bool span_starts_nocase(struct span s, struct span prefix)
{
    if (s.n < prefix.n) return false;
    for (size_t i = 0; i < prefix.n; i++)
        if (ascii_lower(s.p[i]) != ascii_lower(prefix.p[i])) return false;
    return true;
}

int span_compare(struct span a, struct span b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int order = n > 0 ? memcmp(a.p, b.p, n) : 0;

    if (order != 0) return order;
    return (a.n > b.n) - (a.n < b.n);
}

size_t span_find(struct span s, size_t from, uint8_t c)
{
    const uint8_t *at;

    if (from >= s.n) return s.n;
    at = memchr(s.p + from, c, s.n - from);
    return at ? (size_t)(at - s.p) : s.n;
}

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

struct span span_trim(struct span s)
{
    while (s.n > 0 && is_blank(s.p[0]))
        s = span_from(s, 1);
    while (s.n > 0 && is_blank(s.p[s.n - 1]))
        s.n--;
    return s;
}

struct span span_from(struct span s, size_t from)
{
    CHECK(from <= s.n);
    return span_of(from > 0 ? s.p + from : s.p, s.n - from);
}

struct span span_sub(struct span s, size_t from, size_t n)
{
    CHECK(from <= s.n);
    CHECK(n <= s.n - from);
    return span_of(from > 0 ? s.p + from : s.p, n);
}

int span_u64(struct span s, uint64_t max, uint64_t *out)
{
    uint64_t v = 0;
    bool over = false;

    if (s.n == 0) return ERR_SYNTAX;
    for (size_t i = 0; i < s.n; i++) {
        uint8_t digit = (uint8_t)(s.p[i] - '0');
        if (digit > 9) return ERR_SYNTAX;
        over = over || v > (UINT64_MAX - digit) / 10;
        if (!over) v = v * 10 + digit;
    }
    if (over || v > max) return ERR_RANGE;
    *out = v;
    return 0;
}

char *span_dup(struct span s)
{
    char *text = check_malloc(s.n + 1);

    if (s.n > 0) memcpy(text, s.p, s.n);
    text[s.n] = '\0';
    return text;
}

size_t span_utf8_size(struct span s)
{
    uint8_t c = s.n > 0 ? s.p[0] : 0xff, low = 0x80, high = 0xbf;
    size_t n = c < 0x80                 ? 1
               : c >= 0xc2 && c <= 0xdf ? 2 /* 0xc0, 0xc1: overlong */
               : (c & 0xf0) == 0xe0     ? 3
               : c >= 0xf0 && c <= 0xf4 ? 4
                                        : 0;

    if (n == 0 || n > s.n) return 0;
    if (c == 0xe0) low = 0xa0;
    if (c == 0xed) high = 0x9f; /* surrogates */
    if (c == 0xf0) low = 0x90;
    if (c == 0xf4) high = 0x8f; /* over U+10FFFF */
    if (n > 1 && (s.p[1] < low || s.p[1] > high)) return 0;
    for (size_t i = 2; i < n; i++)
        if ((s.p[i] & 0xc0) != 0x80) return 0;
    return n;
}
