/* http_query - splits request targets and decodes percent signs (RFC 3986, 2.1), strictly: a
 * percent sign that two hex digits do not follow is an error, and so is a decoded NUL, because
 * values end with one.
 *
 * Invariant: out is terminated whenever true is returned, and nothing is written after out_size
 * bytes.
 */
#include "node/net/http_query.h"

#include "node/net/http.h"
#include "proto/ground/hex.h"

/* The byte at s.p[*at], decoded; *at moves behind it. -1: malformed, or NUL. */
static int decode_byte(struct span s, size_t *at, bool plus_is_space)
{
    uint8_t c = s.p[(*at)++];
    int byte;

    if (c == '+' && plus_is_space) return ' ';
    if (c != '%') return c != 0 ? c : -1;
    if (s.n - *at < 2) return -1;
    byte = hex_pair(s.p[*at], s.p[*at + 1]);
    *at += 2;
    return byte != 0 ? byte : -1;
}

static bool decode(struct span s, bool plus_is_space, char *out, size_t out_size)
{
    size_t n = 0;

    if (out_size == 0) return false;
    for (size_t at = 0; at < s.n; n++) {
        int c = decode_byte(s, &at, plus_is_space);
        if (c < 0 || n + 1 >= out_size) return false;
        out[n] = (char)c;
    }
    out[n] = '\0';
    return true;
}

bool http_decode(struct span text, char *out, size_t out_size)
{
    return decode(text, false, out, out_size);
}

/* Whether the encoded name is `key`; no room is needed for the decoded name. */
static bool name_is(struct span name, const char *key)
{
    size_t i = 0;

    for (size_t at = 0; at < name.n; i++) {
        int c = decode_byte(name, &at, true);
        if (c < 0 || key[i] == '\0' || (uint8_t)key[i] != c) return false;
    }
    return key[i] == '\0';
}

bool http_query_value(struct span query, const char *key, char *out, size_t out_size)
{
    for (size_t at = 0; at < query.n;) {
        size_t end = span_find(query, at, '&');
        struct span pair = span_sub(query, at, end - at);
        size_t eq = span_find(pair, 0, '=');

        if (name_is(span_sub(pair, 0, eq), key))
            return decode(span_from(pair, eq < pair.n ? eq + 1 : eq), true, out, out_size);
        at = end + 1;
    }
    return false;
}

int http_target_split(struct span target, struct http_target *out)
{
    size_t mark;

    if (span_starts_nocase(target, SPAN_LIT("http://")))
        target = span_from(target, span_find(target, 7, '/'));
    else if (span_starts_nocase(target, SPAN_LIT("https://")))
        target = span_from(target, span_find(target, 8, '/'));
    if (target.n == 0 || (target.p[0] != '/' && !span_eq(target, SPAN_LIT("*")))) return ERR_SYNTAX;
    target = span_sub(target, 0, span_find(target, 0, '#'));
    mark = span_find(target, 0, '?');
    out->path = span_sub(target, 0, mark);
    out->query = span_from(target, mark < target.n ? mark + 1 : mark);
    return 0;
}
