/* blob - counted bytes of a body.
 *
 * Invariants: n <= cap; the bytes change only while there is one reference; the last blob_unref()
 * sees every access of the other owners (release on each, acquire on the last). The total counts
 * room, not bytes in use: it is what the process really holds.
 */
#include "proto/ground/blob.h"

#include <stdlib.h>

#include "proto/ground/check.h"
#include "proto/ground/err.h"

#define BLOB_SIZE_FIRST 256

static atomic_size_t bytes_total;

struct blob *blob_new(size_t cap)
{
    struct blob *b = check_malloc(sizeof *b);

    atomic_init(&b->refs, 1);
    b->n = 0;
    b->cap = cap;
    b->p = check_malloc(cap);
    atomic_fetch_add_explicit(&bytes_total, cap, memory_order_relaxed);
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
    free(gone->p);
    free(gone);
}

static void grow(struct blob *b, size_t need, size_t cap_max)
{
    size_t cap = b->cap > 0 ? b->cap : BLOB_SIZE_FIRST;

    while (cap < need && cap <= cap_max / 2)
        cap *= 2;
    if (cap < need || cap > cap_max) cap = cap_max;
    b->p = check_realloc(b->p, cap);
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
