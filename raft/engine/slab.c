/* slab - the memory of groups, block beside block in chunks.
 *
 * A group lives for as long as its process; what comes and goes with its proposals and elections does not. Taken from
 * one heap in turn, each group would leave a hole behind it that nothing of its size fills again.
 *
 *   chunk | link | size | used | free ─┐ | block: chunk, bytes | block | ...      a free block holds the next one
 */
#include "raft/engine/inside.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define HIDE(p, n) ASAN_POISON_MEMORY_REGION(p, n)
#define SHOW(p, n) ASAN_UNPOISON_MEMORY_REGION(p, n)
#else
#define HIDE(p, n) ((void)0)
#define SHOW(p, n) ((void)0)
#endif

#define CHUNK_BLOCKS 64u

struct block {
    struct slab_chunk *chunk;
    struct block *next; /* free: the next free one */
    _Alignas(16) uint8_t bytes[];
};

struct slab_chunk {
    struct list link; /* among those of its loop; who has room stands in front */
    size_t size;      /* of a block's bytes */
    unsigned used, begun;
    struct block *free;
    _Alignas(16) uint8_t blocks[];
};

static size_t stride(size_t size)
{
    return sizeof(struct block) + ((size + 15) & ~(size_t)15);
}

static struct slab_chunk *chunk_with_room(struct list *chunks, size_t size)
{
    struct slab_chunk *c;

    for (struct list *at = chunks->next; at != chunks; at = at->next) {
        c = CONTAINER_OF(at, struct slab_chunk, link);
        if (c->used == CHUNK_BLOCKS) break;
        if (c->size == size) return c;
    }
    c = check_calloc(1, sizeof *c + CHUNK_BLOCKS * stride(size)); /* pages are touched as they are used */
    c->size = size;
    list_add_first(chunks, &c->link);
    return c;
}

void *slab_take(struct list *chunks, size_t size)
{
    struct slab_chunk *c = chunk_with_room(chunks, size);
    struct block *b = c->free;

    if (b) {
        c->free = b->next;
        SHOW(b->bytes, size);
        memset(b->bytes, 0, size);
    } else {
        b = (void *)(c->blocks + c->begun++ * stride(size));
        b->chunk = c;
    }
    if (++c->used == CHUNK_BLOCKS) {
        list_remove(&c->link);
        list_add(chunks, &c->link);
    }
    return b->bytes;
}

void slab_give(struct list *chunks, void *bytes)
{
    struct block *b = CONTAINER_OF((uint8_t(*)[])bytes, struct block, bytes);
    struct slab_chunk *c = b->chunk;

    list_remove(&c->link);
    if (--c->used == 0) {
        SHOW(c->blocks, CHUNK_BLOCKS * stride(c->size));
        free(c);
        return;
    }
    list_add_first(chunks, &c->link);
    b->next = c->free;
    c->free = b;
    HIDE(b->bytes, c->size);
}
