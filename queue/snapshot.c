/* snapshot - the state of a shard goes out: its records in the order of their keys, each live body behind the record that
 * says so.
 *
 * The store's view is frozen when it is opened. Between two chunks only the last key is remembered: no iterator stays open.
 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <stdlib.h>

#include "queue/inside.h"
#include "queue/snapshot.h"

#define PENDING_MAX (4 * SNAPSHOT_VALUE_MAX)

struct queue_snapshot {
    struct queue_store *store;
    uint32_t shard;
    void *view;
    queue_body_fn *body;
    void *arg;
    struct queue_key at; /* behind the last record that is in pending, or went */
    struct buf pending;  /* items, from `taken` on not gone yet */
    size_t taken;
    uint64_t items, hash;
    bool ended;
    int rv;
};

void queue_snapshot_open(struct queue_snapshot **out, const struct queue *q, queue_body_fn *body,
                         void *arg)
{
    struct queue_snapshot *n = check_calloc(1, sizeof *n);

    n->store = q->store;
    n->shard = q->shard;
    n->body = body;
    n->arg = arg;
    n->view = n->store->calls->freeze(n->store->self, q->shard);
    queue_key_u32(&n->at, q->shard);
    buf_init(&n->pending, PENDING_MAX);
    *out = n;
}

void queue_snapshot_close(struct queue_snapshot **pn)
{
    struct queue_snapshot *n = *pn;

    if (!n) return;
    *pn = NULL;
    n->store->calls->thaw(n->store->self, n->view);
    buf_deinit(&n->pending);
    free(n);
}

static size_t waiting(const struct queue_snapshot *n)
{
    return n->pending.n - n->taken;
}

/* An item is complete: it stands in pending from `from` on. */
static void count_item(struct queue_snapshot *n, size_t from)
{
    CHECK(!buf_failed(&n->pending));
    n->hash = XXH3_64bits_withSeed(n->pending.p + from, n->pending.n - from, n->hash);
    n->items++;
}

static int find_body(struct queue_snapshot *n, uint64_t entry, struct blob **out)
{
    const struct queue_store *s = n->store;
    struct queue_key key = body_key(n->shard, entry);
    int rv = n->body(n->arg, entry, out);

    if (rv == ERR_NOT_FOUND)
        rv = s->calls->frozen_body_get(s->self, n->view, queue_key_span(&key), out);
    return rv == ERR_NOT_FOUND ? ERR_CORRUPT : rv;
}

static int add_body(struct queue_snapshot *n, uint64_t entry)
{
    size_t from = n->pending.n;
    struct blob *body = NULL;
    int rv = find_body(n, entry, &body);

    if (rv == 0 && body && body->n > SNAPSHOT_VALUE_MAX) rv = ERR_TOO_LONG;
    if (rv != 0) {
        blob_unref(&body);
        return rv;
    }
    buf_add_u8(&n->pending, 'B');
    buf_add_u64be(&n->pending, entry);
    buf_add_u32be(&n->pending, (uint32_t)blob_span(body).n);
    buf_add_span(&n->pending, blob_span(body));
    blob_unref(&body);
    count_item(n, from);
    return 0;
}

/* The first key behind the given one. */
static struct queue_key behind(struct span key)
{
    struct queue_key k = { .n = 0 };

    queue_key_bytes(&k, key);
    queue_key_bytes(&k, span_of("", 1));
    return k;
}

static bool add_record(void *arg, struct span key, struct span value)
{
    struct queue_snapshot *n = arg;
    size_t from = n->pending.n;

    if (waiting(n) >= QUEUE_CHUNK_SIZE_MAX) return false;
    if (value.n > SNAPSHOT_VALUE_MAX) {
        n->rv = ERR_TOO_LONG;
        return false;
    }
    buf_add_u8(&n->pending, 'R');
    buf_add_u16be(&n->pending, (uint16_t)(key.n - 4));
    buf_add_u32be(&n->pending, (uint32_t)value.n);
    buf_add_span(&n->pending, span_from(key, 4));
    buf_add_span(&n->pending, value);
    count_item(n, from);
    n->at = behind(key);
    if (key.p[4] == 'l') n->rv = add_body(n, queue_read_u64(key, 5));
    return n->rv == 0;
}

static void add_head(struct queue_snapshot *n)
{
    buf_add_u8(&n->pending, 'H');
    buf_add_u32be(&n->pending, proto_format());
    buf_add_u32be(&n->pending, n->shard);
    count_item(n, 0);
}

static void add_end(struct queue_snapshot *n)
{
    buf_add_u8(&n->pending, 'E');
    buf_add_u64be(&n->pending, n->items);
    buf_add_u64be(&n->pending, n->hash);
    n->ended = true;
}

static void fill(struct queue_snapshot *n)
{
    struct queue_key from = n->at;

    buf_drop(&n->pending, n->taken);
    n->taken = 0;
    if (n->items == 0) add_head(n);
    n->store->calls->frozen_each(n->store->self, n->view, queue_key_span(&from), n, add_record);
    if (n->rv == 0 && waiting(n) < QUEUE_CHUNK_SIZE_MAX) add_end(n);
}

int queue_snapshot_next(struct queue_snapshot *n, struct buf *out, bool *last)
{
    size_t take;

    if (!n->ended && waiting(n) < QUEUE_CHUNK_SIZE_MAX) fill(n);
    if (n->rv != 0) return n->rv;
    take = waiting(n) < QUEUE_CHUNK_SIZE_MAX ? waiting(n) : QUEUE_CHUNK_SIZE_MAX;
    buf_add(out, n->pending.p + n->taken, take);
    n->taken += take;
    *last = n->ended && waiting(n) == 0;
    return 0;
}
