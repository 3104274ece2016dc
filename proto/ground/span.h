/* span - borrowed bytes: a pointer and a length. Never owns, never terminated. */
#ifndef GROUND_SPAN_H
#define GROUND_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct span {
    const uint8_t *p;
    size_t n;
};

#define SPAN_LIT(text) ((struct span){ (const uint8_t *)(text), sizeof(text) - 1 })
#define SPAN_ARG(s)    (int)(s).n, (const char *)(s).p /* for "%.*s" */

static inline struct span span_of(const void *p, size_t n)
{
    return (struct span){ (const uint8_t *)p, n };
}

static inline struct span span_cstr(const char *text)
{
    return (struct span){ (const uint8_t *)text, text ? strlen(text) : 0 };
}

static inline bool span_eq(struct span a, struct span b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* ASCII letters compare without case; other bytes exactly. */
bool span_eq_nocase(struct span a, struct span b);
bool span_starts_nocase(struct span s, struct span prefix);
/* memcmp order, the shorter one first when one is a prefix. */
int span_compare(struct span a, struct span b);
/* First position of byte c at or after `from`; s.n when there is none. */
size_t span_find(struct span s, size_t from, uint8_t c);
/* Without spaces and tabs at both ends. */
struct span span_trim(struct span s);
struct span span_from(struct span s, size_t from);          /* from <= s.n */
struct span span_sub(struct span s, size_t from, size_t n); /* from + n <= s.n */
/* Decimal digits only, no sign, no spaces: 0, ERR_SYNTAX (empty or other bytes), ERR_RANGE (> max). */
int span_u64(struct span s, uint64_t max, uint64_t *out);
/* Size of the UTF-8 character at the front (RFC 3629 4; 1 for ASCII), 0: what stands there is none. */
size_t span_utf8_size(struct span s);
/* A terminated copy, check_malloc'ed: caller frees. */
char *span_dup(struct span s);

#endif
