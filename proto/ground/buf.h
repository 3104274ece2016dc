/* buf - a growing, bounded run of bytes with a sticky error, and a cursor that reads with one.
 *
 * Write many fields, test once: after the first failure (limit reached) every later call does nothing
 * and buf_failed() says so. Nothing here ends the process for a full buffer; out of memory does.
 */
#ifndef GROUND_BUF_H
#define GROUND_BUF_H

#include "proto/ground/span.h"

struct buf {
    uint8_t *p;
    size_t n;        /* bytes in use */
    size_t cap;      /* bytes allocated */
    size_t size_max; /* never grows over this */
    bool failed;
};

void buf_init(struct buf *b, size_t size_max);
void buf_deinit(struct buf *b); /* may be called twice */
void buf_reset(struct buf *b);  /* empty again, memory kept, failure forgotten */
/* Frees memory over `keep` bytes; the buffer must be empty. */
void buf_shrink(struct buf *b, size_t keep);
void buf_add(struct buf *b, const void *p, size_t n);
void buf_add_span(struct buf *b, struct span s);
void buf_add_cstr(struct buf *b, const char *text);
void buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_add_u8(struct buf *b, uint8_t v);
void buf_add_u16be(struct buf *b, uint16_t v);
void buf_add_u32be(struct buf *b, uint32_t v);
void buf_add_u64be(struct buf *b, uint64_t v);
/* Room for n more bytes at the end, or NULL (failed); buf_added() then says how many were used. */
uint8_t *buf_room(struct buf *b, size_t n);
void buf_added(struct buf *b, size_t n);
/* Removes n bytes from the front (n <= b->n). Moves the rest: keep the rest small. */
void buf_drop(struct buf *b, size_t n);
/* b->p as a terminated string; the terminator is not counted. Returns "" when failed or empty. */
const char *buf_cstr(struct buf *b);

static inline bool buf_failed(const struct buf *b)
{
    return b->failed;
}
static inline struct span buf_span(const struct buf *b)
{
    return span_of(b->p, b->n);
}

/* Reads from borrowed bytes; reading over the end fails, returns zeros and stays failed. */
struct cursor {
    const uint8_t *p, *end;
    bool failed;
};

void cursor_init(struct cursor *c, struct span s);
uint8_t cursor_u8(struct cursor *c);
uint16_t cursor_u16be(struct cursor *c);
uint32_t cursor_u32be(struct cursor *c);
uint64_t cursor_u64be(struct cursor *c);
struct span cursor_span(struct cursor *c, size_t n);
struct span cursor_rest(struct cursor *c);
static inline bool cursor_done(const struct cursor *c)
{
    return !c->failed && c->p == c->end;
}

#endif
