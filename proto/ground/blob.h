/* blob - bytes with a reference count: the body (or one chunk) of a mail, written once, then read by
 * several owners on any thread. Who fills it holds the only reference; after the first blob_ref() it is
 * never changed again.
 */
#ifndef GROUND_BLOB_H
#define GROUND_BLOB_H

#include <stdatomic.h>
#include "proto/ground/span.h"

#define BLOB_CHUNK_SIZE (256u << 10) /* rooms of this size are kept: up to 8 MiB */

struct blob {
    atomic_uint refs;
    size_t n;   /* bytes in use */
    size_t cap; /* bytes of room */
    uint8_t *p;
};

struct blob *blob_new(size_t cap); /* one reference, n = 0 */
struct blob *blob_copy(struct span s); /* one reference */
struct blob *blob_ref(struct blob *b);
void blob_unref(struct blob **b); /* nulls; takes NULL; the last one frees */
/* Appends; grows by doubling up to cap_max. ERR_FULL when it would not fit (nothing is added). */
int blob_add(struct blob *b, const void *p, size_t n, size_t cap_max);
static inline struct span blob_span(const struct blob *b)
{
    return b ? span_of(b->p, b->n) : span_of(NULL, 0);
}
/* Bytes held by all blobs of the process now, for bounds and metrics. */
size_t blob_bytes_total(void);

#endif
