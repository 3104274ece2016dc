/* buf - a growing, bounded run of bytes, and the cursor that reads one.
 *
 * Invariants: n <= cap <= size_max, and one byte more than cap is allocated, so that buf_cstr()
 * never needs room. A call that would pass size_max adds nothing at all and sets `failed`; from
 * then on nothing is added. Taking out (buf_drop) works also then: what is in the buffer is what
 * was added before the failure.
 */
#include "proto/ground/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/ground/check.h"

#define BUF_SIZE_FIRST 64

void buf_init(struct buf *b, size_t size_max)
{
    CHECK(size_max < SIZE_MAX);
    *b = (struct buf){ .size_max = size_max };
}

void buf_deinit(struct buf *b)
{
    free(b->p);
    *b = (struct buf){ .size_max = b->size_max };
}

void buf_reset(struct buf *b)
{
    b->n = 0;
    b->failed = false;
}

static void resize(struct buf *b, size_t cap)
{
    b->p = check_realloc(b->p, cap + 1);
    b->cap = cap;
}

void buf_shrink(struct buf *b, size_t keep)
{
    CHECK(b->n == 0);
    if (b->cap <= keep) return;
    if (keep > 0) {
        resize(b, keep);
        return;
    }
    free(b->p);
    b->p = NULL;
    b->cap = 0;
}

/* Twice as large until `need` fits; the last step goes to size_max. */
static size_t next_cap(const struct buf *b, size_t need)
{
    size_t cap = b->cap > 0 ? b->cap : BUF_SIZE_FIRST;

    while (cap < need && cap <= b->size_max / 2)
        cap *= 2;
    return cap < need || cap > b->size_max ? b->size_max : cap;
}

uint8_t *buf_room(struct buf *b, size_t n)
{
    if (b->failed) return NULL;
    if (n > b->size_max - b->n) {
        b->failed = true;
        return NULL;
    }
    if (!b->p || n > b->cap - b->n) resize(b, next_cap(b, b->n + n));
    return b->p + b->n;
}

void buf_added(struct buf *b, size_t n)
{
    if (b->failed) return;
    CHECK(n <= b->cap - b->n);
    b->n += n;
}

void buf_add(struct buf *b, const void *p, size_t n)
{
    uint8_t *to = buf_room(b, n);

    if (!to || n == 0) return;
    memcpy(to, p, n);
    b->n += n;
}

void buf_add_span(struct buf *b, struct span s)
{
    buf_add(b, s.p, s.n);
}

void buf_add_cstr(struct buf *b, const char *text)
{
    buf_add(b, text, strlen(text));
}

void buf_addf(struct buf *b, const char *fmt, ...)
{
    va_list args, again;
    int n;
    uint8_t *to;

    if (b->failed) return;
    va_start(args, fmt);
    va_copy(again, args);
    n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    to = buf_room(b, n >= 0 ? (size_t)n : SIZE_MAX); /* negative: longer than an int can say */
    if (to) {
        vsnprintf((char *)to, (size_t)n + 1, fmt,
                  again); /* the byte over cap takes the terminator */
        b->n += (size_t)n;
    }
    va_end(again);
}

/* The low `n` bytes of v, the highest first. */
static void add_be(struct buf *b, uint64_t v, size_t n)
{
    uint8_t bytes[8];

    for (size_t i = 0; i < n; i++)
        bytes[i] = (uint8_t)(v >> (8 * (n - 1 - i)));
    buf_add(b, bytes, n);
}

void buf_add_u8(struct buf *b, uint8_t v)
{
    add_be(b, v, 1);
}

void buf_add_u16be(struct buf *b, uint16_t v)
{
    add_be(b, v, 2);
}

void buf_add_u32be(struct buf *b, uint32_t v)
{
    add_be(b, v, 4);
}

void buf_add_u64be(struct buf *b, uint64_t v)
{
    add_be(b, v, 8);
}

void buf_drop(struct buf *b, size_t n)
{
    CHECK(n <= b->n);
    b->n -= n;
    if (n > 0 && b->n > 0) memmove(b->p, b->p + n, b->n);
}

const char *buf_cstr(struct buf *b)
{
    if (b->failed || b->n == 0) return "";
    b->p[b->n] = '\0';
    return (const char *)b->p;
}

void cursor_init(struct cursor *c, struct span s)
{
    static const uint8_t nothing[1];

    c->p = s.n > 0 ? s.p : nothing;
    c->end = c->p + s.n;
    c->failed = false;
}

struct span cursor_span(struct cursor *c, size_t n)
{
    struct span s;

    if (c->failed || n > (size_t)(c->end - c->p)) {
        c->failed = true;
        return span_of(NULL, 0);
    }
    s = span_of(c->p, n);
    c->p += n;
    return s;
}

struct span cursor_rest(struct cursor *c)
{
    return cursor_span(c, (size_t)(c->end - c->p));
}

static uint64_t read_be(struct cursor *c, size_t n)
{
    struct span s = cursor_span(c, n);
    uint64_t v = 0;

    for (size_t i = 0; i < s.n; i++)
        v = v << 8 | s.p[i];
    return v;
}

uint8_t cursor_u8(struct cursor *c)
{
    return (uint8_t)read_be(c, 1);
}

uint16_t cursor_u16be(struct cursor *c)
{
    return (uint16_t)read_be(c, 2);
}

uint32_t cursor_u32be(struct cursor *c)
{
    return (uint32_t)read_be(c, 4);
}

uint64_t cursor_u64be(struct cursor *c)
{
    return read_be(c, 8);
}
