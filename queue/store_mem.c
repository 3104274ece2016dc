/* store_mem - the queue's store in memory, for tests: sorted arrays, and a copy of them as of the
 * last flush.
 *
 * Keys and values are blobs that array and copy share. One thread only.
 */
#include <stdlib.h>

#include "proto/ground/check.h"
#include "queue/store.h"

struct record {
    struct blob *key, *value;
};

struct table {
    struct record *list; /* sorted by key */
    size_t n, cap;
};

struct mem {
    struct table now, flushed, bodies, bodies_flushed;
};

static struct blob *copy(struct span s)
{
    struct blob *b = blob_new(s.n);

    CHECK(blob_add(b, s.p, s.n, s.n) == 0);
    return b;
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
        t->list[i].value = copy(value);
        return;
    }
    if (t->n == t->cap) {
        t->cap = t->cap ? 2 * t->cap : 64;
        t->list = check_realloc(t->list, t->cap * sizeof *t->list);
    }
    memmove(t->list + i + 1, t->list + i, (t->n - i) * sizeof *t->list);
    t->list[i] = (struct record){ copy(key), copy(value) };
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

static void mem_write(void *self, const struct queue_change *list, size_t n)
{
    struct mem *m = self;

    for (size_t i = 0; i < n; i++) {
        struct table *t = list[i].is_body ? &m->bodies : &m->now;

        if (list[i].is_delete)
            table_delete(t, list[i].key);
        else
            table_put(t, list[i].key, list[i].value);
    }
}

static int mem_get(void *self, struct span key, struct buf *value)
{
    struct mem *m = self;
    size_t i = find(&m->now, key);

    if (!is_at(&m->now, i, key)) return ERR_NOT_FOUND;
    buf_add_span(value, blob_span(m->now.list[i].value));
    return 0;
}

static bool begins(struct span key, struct span prefix)
{
    return key.n >= prefix.n && memcmp(key.p, prefix.p, prefix.n) == 0;
}

static void mem_each(void *self, struct span prefix, struct span from, bool backwards, void *arg,
                     bool (*each)(void *arg, struct span key, struct span value))
{
    struct mem *m = self;
    size_t i = find(&m->now, from);

    if (backwards && !is_at(&m->now, i, from)) i--; /* wraps below 0: ends the loop */
    for (; i < m->now.n; backwards ? i-- : i++) {
        struct span key = blob_span(m->now.list[i].key);

        if (!begins(key, prefix) || !each(arg, key, blob_span(m->now.list[i].value))) return;
    }
}

static int mem_flush(void *self, struct errmsg *why)
{
    struct mem *m = self;

    (void)why;
    table_copy(&m->flushed, &m->now);
    table_copy(&m->bodies_flushed, &m->bodies);
    return 0;
}

static int mem_body_get(void *self, struct span key, struct blob **out)
{
    struct mem *m = self;
    size_t i = find(&m->bodies, key);

    if (!is_at(&m->bodies, i, key)) return ERR_NOT_FOUND;
    *out = blob_ref(m->bodies.list[i].value);
    return 0;
}

static uint64_t mem_bytes(void *self)
{
    return ((struct mem *)self)->now.n;
}

static void mem_close(void *self)
{
    struct mem *m = self;
    struct table *all[] = { &m->now, &m->flushed, &m->bodies, &m->bodies_flushed };

    for (unsigned i = 0; i < 4; i++) {
        table_clear(all[i]);
        free(all[i]->list);
    }
    free(m);
}

int queue_store_open_mem(struct queue_store *s)
{
    static const struct queue_store_calls calls = { mem_write, mem_get,   mem_each, mem_body_get,
                                                    mem_flush, mem_bytes, mem_close };

    s->calls = &calls;
    s->self = check_calloc(1, sizeof(struct mem));
    return 0;
}

void queue_store_mem_crash(struct queue_store *s)
{
    struct mem *m = s->self;

    CHECK(s->calls->close == mem_close);
    table_copy(&m->now, &m->flushed);
    table_copy(&m->bodies, &m->bodies_flushed);
    first_forget_all(s->first);
}
