/* store_mem - the queue's store in memory, for tests: sorted arrays, and a copy of them as of the
 * last flush.
 *
 * Keys and values are blobs that array and copy share. One thread only.
 */
#include <stdlib.h>

#include "proto/ground/check.h"
#include "queue/keys.h"
#include "queue/slot.h"
#include "queue/store.h"

struct record {
    struct blob *key, *value;
};

struct table {
    struct record *list; /* sorted by key */
    size_t n, cap;
};

/* All that stands in the store as of one moment. */
struct moment {
    struct table state, bodies;
    bool is_swapped; /* a shard's second place was ever read */
    struct slots slots;
};

struct mem {
    struct moment now, flushed;
};

/* A key as it stands in a table. */
struct place {
    uint8_t p[QUEUE_KEY_SIZE_MAX];
    size_t n;
};

static struct span place_make(struct place *at, const struct moment *m, struct span key,
                              bool is_staged)
{
    CHECK(key.n <= sizeof at->p);
    if (key.n > 0) memcpy(at->p, key.p, key.n);
    at->n = key.n;
    if (key.n > 0) at->p[0] |= slot_bit(&m->slots, slot_shard(key), is_staged);
    return span_of(at->p, at->n);
}

/* The first record whose key is not less. */
static size_t find(const struct table *t, struct span key)
{
    size_t from = 0, to = t->n;

    while (from < to) {
        size_t mid = from + (to - from) / 2;

        if (span_compare(blob_span(t->list[mid].key), key) < 0)
            from = mid + 1;
        else
            to = mid;
    }
    return from;
}

static bool is_at(const struct table *t, size_t i, struct span key)
{
    return i < t->n && span_eq(blob_span(t->list[i].key), key);
}

static void table_put(struct table *t, struct span key, struct span value)
{
    size_t i = find(t, key);

    if (is_at(t, i, key)) {
        blob_unref(&t->list[i].value);
        t->list[i].value = blob_copy(value);
        return;
    }
    if (t->n == t->cap) {
        t->cap = t->cap ? 2 * t->cap : 64;
        t->list = check_realloc(t->list, t->cap * sizeof *t->list);
    }
    memmove(t->list + i + 1, t->list + i, (t->n - i) * sizeof *t->list);
    t->list[i] = (struct record){ blob_copy(key), blob_copy(value) };
    t->n++;
}

static void table_delete(struct table *t, struct span key)
{
    size_t i = find(t, key);

    if (!is_at(t, i, key)) return;
    blob_unref(&t->list[i].key);
    blob_unref(&t->list[i].value);
    t->n--;
    memmove(t->list + i, t->list + i + 1, (t->n - i) * sizeof *t->list);
}

static void table_clear(struct table *t)
{
    for (size_t i = 0; i < t->n; i++) {
        blob_unref(&t->list[i].key);
        blob_unref(&t->list[i].value);
    }
    t->n = 0;
}

static void table_copy(struct table *to, const struct table *from)
{
    table_clear(to);
    to->list = check_realloc(to->list, (from->n + 1) * sizeof *to->list);
    to->cap = from->n + 1;
    for (size_t i = 0; i < from->n; i++)
        to->list[i] = (struct record){ blob_ref(from->list[i].key), blob_ref(from->list[i].value) };
    to->n = from->n;
}

static void moment_copy(struct moment *to, const struct moment *from)
{
    table_copy(&to->state, &from->state);
    table_copy(&to->bodies, &from->bodies);
    if (to->is_swapped || from->is_swapped) memcpy(&to->slots, &from->slots, sizeof to->slots);
    to->is_swapped = from->is_swapped;
}

static void moment_clear(struct moment *m)
{
    table_clear(&m->state);
    table_clear(&m->bodies);
    free(m->state.list);
    free(m->bodies.list);
}

static void mem_write(void *self, const struct queue_change *list, size_t n)
{
    struct moment *m = &((struct mem *)self)->now;
    struct place at;

    for (size_t i = 0; i < n; i++) {
        struct table *t = list[i].is_body ? &m->bodies : &m->state;
        struct span key = place_make(&at, m, list[i].key, list[i].is_staged);

        if (list[i].is_delete)
            table_delete(t, key);
        else
            table_put(t, key, list[i].value);
    }
}

static int mem_get(void *self, struct span key, struct buf *value)
{
    struct moment *m = &((struct mem *)self)->now;
    struct place at;
    struct span place = place_make(&at, m, key, false);
    size_t i = find(&m->state, place);

    if (!is_at(&m->state, i, place)) return ERR_NOT_FOUND;
    buf_add_span(value, blob_span(m->state.list[i].value));
    return 0;
}

static bool begins(struct span key, struct span prefix)
{
    return key.n >= prefix.n && memcmp(key.p, prefix.p, prefix.n) == 0;
}

/* The key as callers know it. */
static struct span shown(struct span key, uint8_t bit, struct place *copy)
{
    if (bit == 0) return key;
    memcpy(copy->p, key.p, key.n);
    copy->p[0] = (uint8_t)(copy->p[0] & ~bit);
    return span_of(copy->p, key.n);
}

static void moment_each(struct moment *m, struct span prefix, struct span from, bool backwards,
                        void *arg, bool (*each)(void *arg, struct span key, struct span value))
{
    uint8_t bit = slot_bit(&m->slots, slot_shard(prefix), false);
    struct place first, last, copy;
    struct span start = place_make(&first, m, from, false);
    size_t i = find(&m->state, start);

    prefix = place_make(&last, m, prefix, false);
    if (backwards && !is_at(&m->state, i, start)) i--; /* wraps below 0: ends the loop */
    for (; i < m->state.n; backwards ? i-- : i++) {
        struct span key = blob_span(m->state.list[i].key);

        if (!begins(key, prefix) ||
            !each(arg, shown(key, bit, &copy), blob_span(m->state.list[i].value)))
            return;
    }
}

static void mem_each(void *self, struct span prefix, struct span from, bool backwards, void *arg,
                     bool (*each)(void *arg, struct span key, struct span value))
{
    moment_each(&((struct mem *)self)->now, prefix, from, backwards, arg, each);
}

static int mem_flush(void *self, struct errmsg *why)
{
    struct mem *m = self;

    (void)why;
    moment_copy(&m->flushed, &m->now);
    return 0;
}

static int moment_body_get(struct moment *m, struct span key, struct blob **out)
{
    struct place at;
    struct span place = place_make(&at, m, key, false);
    size_t i = find(&m->bodies, place);

    if (!is_at(&m->bodies, i, place)) return ERR_NOT_FOUND;
    *out = blob_ref(m->bodies.list[i].value);
    return 0;
}

static int mem_body_get(void *self, struct span key, struct blob **out)
{
    return moment_body_get(&((struct mem *)self)->now, key, out);
}

/* ---- snapshots */

struct view {
    struct moment moment;
    uint32_t shard;
};

static void *mem_freeze(void *self, uint32_t shard)
{
    struct view *v = check_calloc(1, sizeof *v);

    moment_copy(&v->moment, &((struct mem *)self)->now);
    v->shard = shard;
    return v;
}

static void mem_thaw(void *self, void *view)
{
    (void)self;
    moment_clear(&((struct view *)view)->moment);
    free(view);
}

static void mem_frozen_each(void *self, void *view, struct span from, void *arg,
                            bool (*each)(void *arg, struct span key, struct span value))
{
    struct view *v = view;
    struct queue_key k = { .n = 0 };

    (void)self;
    queue_key_u32(&k, v->shard);
    moment_each(&v->moment, queue_key_span(&k), from, false, arg, each);
}

/* ---- many keys */

static void *mem_seeker_open(void *self, struct span prefix)
{
    return mem_freeze(self, slot_shard(prefix));
}

static int mem_seeker_get(void *self, void *seeker, struct span key, struct span *value)
{
    struct moment *m = &((struct view *)seeker)->moment;
    struct place at;
    struct span place = place_make(&at, m, key, false);
    size_t i = find(&m->state, place);

    (void)self;
    if (!is_at(&m->state, i, place)) return ERR_NOT_FOUND;
    *value = blob_span(m->state.list[i].value);
    return 0;
}

static int mem_frozen_body_get(void *self, void *view, struct span key, struct blob **out)
{
    (void)self;
    return moment_body_get(&((struct view *)view)->moment, key, out);
}

static void table_delete_all(struct table *t, struct span prefix)
{
    size_t i = find(t, prefix), kept = i;

    for (; i < t->n; i++) {
        if (!begins(blob_span(t->list[i].key), prefix)) {
            t->list[kept++] = t->list[i];
            continue;
        }
        blob_unref(&t->list[i].key);
        blob_unref(&t->list[i].value);
    }
    t->n = kept;
}

static void delete_place(struct moment *m, uint32_t shard, bool is_staged)
{
    struct queue_key k = { .n = 0 };
    struct place at;
    struct span prefix;

    queue_key_u32(&k, shard);
    prefix = place_make(&at, m, queue_key_span(&k), is_staged);
    table_delete_all(&m->state, prefix);
    table_delete_all(&m->bodies, prefix);
}

static void mem_unstage(void *self, uint32_t shard)
{
    delete_place(&((struct mem *)self)->now, shard, true);
}

static void mem_swap(void *self, uint32_t shard)
{
    struct moment *m = &((struct mem *)self)->now;

    delete_place(m, shard, false);
    slot_flip(&m->slots, shard);
    m->is_swapped = true;
}

static void mem_reclaim(void *self, uint32_t shard)
{
    (void)self, (void)shard;
}

static uint64_t mem_bytes(void *self)
{
    return ((struct mem *)self)->now.state.n;
}

static void mem_close(void *self)
{
    struct mem *m = self;

    moment_clear(&m->now);
    moment_clear(&m->flushed);
    free(m);
}

int queue_store_open_mem(struct queue_store *s)
{
    static const struct queue_store_calls calls = {
        mem_write,   mem_get,
        mem_seeker_open, mem_seeker_get, mem_thaw,
        mem_each,    mem_body_get,
        mem_freeze,  mem_thaw, mem_frozen_each, mem_frozen_body_get,
        mem_unstage, mem_swap, mem_flush,       mem_reclaim,
        mem_bytes,   mem_close
    };

    s->calls = &calls;
    s->self = check_calloc(1, sizeof(struct mem));
    return 0;
}

static void drop_staged(const struct moment *m, struct table *t)
{
    size_t kept = 0;

    for (size_t i = 0; i < t->n; i++) {
        struct span key = blob_span(t->list[i].key);
        struct place copy;
        uint32_t shard = slot_shard(shown(key, key.p[0] & SLOT_BIT, &copy));

        if (slot_bit(&m->slots, shard, false) == (shard ? key.p[0] & SLOT_BIT : 0)) {
            t->list[kept++] = t->list[i];
            continue;
        }
        blob_unref(&t->list[i].key);
        blob_unref(&t->list[i].value);
    }
    t->n = kept;
}

/* What was staged when the store was flushed goes, as it does when the other one is opened. */
void queue_store_mem_crash(struct queue_store *s)
{
    struct mem *m = s->self;

    CHECK(s->calls->close == mem_close);
    moment_copy(&m->now, &m->flushed);
    drop_staged(&m->now, &m->now.state);
    drop_staged(&m->now, &m->now.bodies);
    first_forget_all(s->first);
}
