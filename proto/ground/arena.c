/* arena - blocks of memory that are given out from the front and freed as one.
 *
 * Invariants: `blocks` is the block that is given out from; older ones hang behind it, the first
 * one last. `used` counts what was asked for, rounded up to ALIGN, and never passes size_max. A
 * reset keeps the first block only when it has the usual size: one large allocation is not kept for
 * ever.
 */
#include "proto/ground/arena.h"

#include <stdlib.h>

#include "proto/ground/check.h"

#define ALIGN      ((size_t)16)
#define BLOCK_SIZE ((size_t)4096 - 64) /* a block and its head stay within one page */

struct arena_block {
    struct arena_block *older;
    size_t n, cap;
    _Alignas(16) uint8_t bytes[];
};

size_t arena_held(const struct arena *a)
{
    size_t n = 0;

    for (const struct arena_block *b = a->blocks; b; b = b->older)
        n += sizeof *b + b->cap;
    return n;
}

void arena_init(struct arena *a, size_t size_max)
{
    *a = (struct arena){ .size_max = size_max };
}

static void free_blocks(struct arena_block *b)
{
    while (b) {
        struct arena_block *older = b->older;
        free(b);
        b = older;
    }
}

void arena_deinit(struct arena *a)
{
    free_blocks(a->blocks);
    a->blocks = NULL;
    a->used = 0;
}

void arena_reset(struct arena *a)
{
    struct arena_block **first = &a->blocks;
    struct arena_block *kept;

    while (*first && (*first)->older)
        first = &(*first)->older;
    kept = *first;
    if (kept && kept->cap <= BLOCK_SIZE) {
        *first = NULL;
        kept->n = 0;
    } else {
        kept = NULL;
    }
    free_blocks(a->blocks);
    a->blocks = kept;
    a->used = 0;
}

static void add_block(struct arena *a, size_t size)
{
    size_t cap = size > BLOCK_SIZE ? size : BLOCK_SIZE;
    struct arena_block *b = check_malloc(sizeof *b + cap);

    b->older = a->blocks;
    b->n = 0;
    b->cap = cap;
    a->blocks = b;
}

void *arena_alloc(struct arena *a, size_t size)
{
    void *p;

    if (size > SIZE_MAX / 2) return NULL; /* so that nothing below overflows */
    size = size > 0 ? (size + ALIGN - 1) / ALIGN * ALIGN : ALIGN;
    if (size > a->size_max - a->used) return NULL;
    if (!a->blocks || size > a->blocks->cap - a->blocks->n) add_block(a, size);
    p = a->blocks->bytes + a->blocks->n;
    a->blocks->n += size;
    a->used += size;
    return memset(p, 0, size);
}

struct span arena_dup(struct arena *a, struct span s)
{
    static const uint8_t nothing[1];
    void *p;

    if (s.n == 0) return span_of(nothing, 0);
    p = arena_alloc(a, s.n);
    if (!p) return span_of(NULL, 0);
    return span_of(memcpy(p, s.p, s.n), s.n);
}

char *arena_cstr(struct arena *a, struct span s)
{
    char *text = s.n < SIZE_MAX ? arena_alloc(a, s.n + 1) : NULL;

    if (text && s.n > 0) memcpy(text, s.p, s.n);
    return text;
}
