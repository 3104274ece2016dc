/* cache - bodies of young mails in memory, so that most deliveries read no disk. Bounded by bytes; the one
 * that was put first goes first. A body that is gone from here is read from the log. */
#include <uthash.h>

#include "node/commit/shard.h"

struct cached_body {
    uint64_t entry;
    struct blob *body;
    UT_hash_handle hh;
};

static void drop(struct body_cache *cache, struct cached_body *b)
{
    HASH_DEL(cache->by_entry, b);
    cache->bytes -= b->body->n;
    metric_sub(M_BODY_CACHE_BYTES, b->body->n);
    blob_unref(&b->body);
    free(b);
}

void body_cache_put(struct body_cache *cache, uint64_t entry, struct blob *body)
{
    size_t bytes_max = atomic_load_explicit(&cache->bytes_max, memory_order_relaxed);
    struct cached_body *b;

    body_cache_drop(cache, entry);
    while (cache->by_entry && cache->bytes + body->n > bytes_max)
        drop(cache, cache->by_entry);
    if (body->n > bytes_max) return;
    b = check_calloc(1, sizeof *b);
    b->entry = entry;
    b->body = blob_ref(body);
    HASH_ADD(hh, cache->by_entry, entry, sizeof b->entry, b);
    cache->bytes += body->n;
    metric_add(M_BODY_CACHE_BYTES, body->n);
}

struct blob *body_cache_get(struct body_cache *cache, uint64_t entry)
{
    struct cached_body *b;

    HASH_FIND(hh, cache->by_entry, &entry, sizeof entry, b);
    return b ? blob_ref(b->body) : NULL;
}

void body_cache_drop(struct body_cache *cache, uint64_t entry)
{
    struct cached_body *b;

    HASH_FIND(hh, cache->by_entry, &entry, sizeof entry, b);
    if (b) drop(cache, b);
}

void body_cache_clear(struct body_cache *cache)
{
    while (cache->by_entry)
        drop(cache, cache->by_entry);
}
