/* ring - the newest entries of a group, by index. Grows by doubling; an empty one holds no memory. */
#include "raft/engine/inside.h"

#define CAP_FIRST 4u

static struct slot *place(const struct ring *r, unsigned i)
{
    return &r->slots[(r->head + i) & (r->cap - 1)];
}

struct slot *ring_at(const struct ring *r, uint64_t index)
{
    if (r->count == 0 || index < r->first || index - r->first >= r->count) return NULL;
    return place(r, (unsigned)(index - r->first));
}

static void grow(struct ring *r)
{
    unsigned cap = r->cap ? 2 * r->cap : CAP_FIRST;
    struct slot *slots = check_malloc(cap * sizeof *slots);

    for (unsigned i = 0; i < r->count; i++)
        slots[i] = *place(r, i);
    free(r->slots);
    r->slots = slots;
    r->cap = cap;
    r->head = 0;
}

struct slot *ring_push(struct ring *r, uint64_t index)
{
    struct slot *s;

    if (r->count == r->cap) grow(r);
    if (r->count == 0) r->first = index;
    CHECK(index == r->first + r->count);
    s = place(r, r->count++);
    *s = (struct slot){ 0 };
    return s;
}

static void shrink(struct ring *r)
{
    if (r->count == 0) ring_deinit(r);
}

void ring_drop_first(struct ring *r)
{
    CHECK(r->count > 0);
    r->head = (r->head + 1) & (r->cap - 1);
    r->first++;
    r->count--;
    if (r->cap > 64) shrink(r); /* a small one stays: it is about to be used again */
}

void ring_drop_last(struct ring *r)
{
    CHECK(r->count > 0);
    r->count--;
}

void ring_deinit(struct ring *r)
{
    free(r->slots);
    *r = (struct ring){ 0 };
}
