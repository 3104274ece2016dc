/* blob - counted bytes of a body.
 *
 * Invariants: n <= cap; the bytes change only while there is one reference; the last blob_unref()
 * sees every access of the other owners (release on each, acquire on the last). The total counts
 * room, not bytes in use: it is what the process really holds.
 *
 * Rooms of one chunk come and go by the thousand. Fresh ones cost a page fault for each 4 KiB, which is more than
 * filling them: so a few are kept as spares, which the total does not count.
 */
#include "proto/ground/blob.h"

#include <stdlib.h>

#include "proto/ground/check.h"
#include "proto/ground/err.h"

#define BLOB_SIZE_FIRST 256
#define SPARES_MAX      32 /* 8 MiB */

static atomic_size_t bytes_total;
static _Atomic(uint8_t *) spares[SPARES_MAX];

static uint8_t *room_take(size_t size)
{
    for (unsigned i = 0; size == BLOB_CHUNK_SIZE && i < SPARES_MAX; i++) {
        uint8_t *p = NULL;

        if (atomic_load_explicit(&spares[i], memory_order_relaxed))
            p = atomic_exchange_explicit(&spares[i], NULL, memory_order_acquire);
        if (p) return p;
    }
    return check_malloc(size);
}

static void room_give(uint8_t *p, size_t size)
{
    for (unsigned i = 0; size == BLOB_CHUNK_SIZE && i < SPARES_MAX; i++) {
        uint8_t *none = NULL;

        if (!atomic_load_explicit(&spares[i], memory_order_relaxed) &&
            atomic_compare_exchange_strong_explicit(&spares[i], &none, p, memory_order_release,
                                                    memory_order_relaxed))
            return;
    }
    free(p);
}

struct blob *blob_new(size_t cap)
{
    struct blob *b = check_malloc(sizeof *b);

    atomic_init(&b->refs, 1);
    b->n = 0;
    b->cap = cap;
    b->p = room_take(cap);
    atomic_fetch_add_explicit(&bytes_total, cap, memory_order_relaxed);
    return b;
}

struct blob *blob_copy(struct span s)
{
    struct blob *b = blob_new(s.n);

    CHECK(blob_add(b, s.p, s.n, s.n) == 0);
    return b;
}

struct blob *blob_ref(struct blob *b)
{
    unsigned before = atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);

    CHECK(before > 0);
    return b;
}

void blob_unref(struct blob **b)
{
    struct blob *gone = *b;
    unsigned before;

    *b = NULL;
    if (!gone) return;
    before = atomic_fetch_sub_explicit(&gone->refs, 1, memory_order_acq_rel);
    CHECK(before > 0);
    if (before > 1) return;
    atomic_fetch_sub_explicit(&bytes_total, gone->cap, memory_order_relaxed);
    room_give(gone->p, gone->cap);
    free(gone);
}

static void grow(struct blob *b, size_t need, size_t cap_max)
{
    size_t cap = b->cap > 0 ? b->cap : BLOB_SIZE_FIRST;

    while (cap < need && cap <= cap_max / 2)
        cap *= 2;
    if (cap < need || cap > cap_max) cap = cap_max;
    if (cap == BLOB_CHUNK_SIZE || b->cap == BLOB_CHUNK_SIZE) {
        uint8_t *p = room_take(cap);

        memcpy(p, b->p, b->n);
        room_give(b->p, b->cap);
        b->p = p;
    } else {
        b->p = check_realloc(b->p, cap);
    }
    atomic_fetch_add_explicit(&bytes_total, cap - b->cap, memory_order_relaxed);
    b->cap = cap;
}

int blob_add(struct blob *b, const void *p, size_t n, size_t cap_max)
{
    CHECK(atomic_load_explicit(&b->refs, memory_order_relaxed) == 1);
    if (b->n > cap_max || n > cap_max - b->n) return ERR_FULL;
    if (n == 0) return 0;
    if (n > b->cap - b->n) grow(b, b->n + n, cap_max);
    memcpy(b->p + b->n, p, n);
    b->n += n;
    return 0;
}

size_t blob_bytes_total(void)
{
    return atomic_load_explicit(&bytes_total, memory_order_relaxed);
}
