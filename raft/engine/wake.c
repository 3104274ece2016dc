/* wake - a heap of the groups that want to be woken, the next one first. Who rests is not in it: 10,000 idle groups cost no
 * turn anything. When more are due than a turn takes, the others have the next one, which comes at once: between two turns
 * beats leave, and what came is heard, so that no other node thinks this one dead, and this one no other. */
#include <limits.h>

#include "raft/engine/inside.h"

#define WAKES_MAX (OUTBOX_MESSAGES_MAX / 4) /* of one turn */

static void put(struct engine_loop *l, unsigned i, struct raft_group *g)
{
    l->heap[i] = g;
    g->heap_at = i;
}

static void up(struct engine_loop *l, unsigned i)
{
    struct raft_group *g = l->heap[i];

    while (i > 0 && l->heap[(i - 1) / 2]->wake_at_ms > g->wake_at_ms) {
        put(l, i, l->heap[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    put(l, i, g);
}

static void down(struct engine_loop *l, unsigned i)
{
    struct raft_group *g = l->heap[i];

    for (;;) {
        unsigned child = 2 * i + 1;

        if (child >= l->heap_count) break;
        if (child + 1 < l->heap_count &&
            l->heap[child + 1]->wake_at_ms < l->heap[child]->wake_at_ms)
            child++;
        if (l->heap[child]->wake_at_ms >= g->wake_at_ms) break;
        put(l, i, l->heap[child]);
        i = child;
    }
    put(l, i, g);
}

void wake_forget(struct raft_group *g)
{
    struct engine_loop *l = g->loop;
    unsigned i = g->heap_at;
    struct raft_group *last;

    if (i == UINT_MAX) return;
    g->heap_at = UINT_MAX;
    last = l->heap[--l->heap_count];
    if (last == g) return;
    put(l, i, last);
    up(l, i);
    down(l, last->heap_at);
}

void wake_set(struct raft_group *g, uint64_t at_ms)
{
    struct engine_loop *l = g->loop;

    if (at_ms == g->wake_at_ms && (at_ms == NEVER) == (g->heap_at == UINT_MAX)) return;
    g->wake_at_ms = at_ms;
    if (at_ms == NEVER) {
        wake_forget(g);
        return;
    }
    if (g->heap_at == UINT_MAX) {
        if (l->heap_count == l->heap_cap) {
            l->heap_cap = l->heap_cap ? 2 * l->heap_cap : 16;
            l->heap = check_realloc(l->heap, l->heap_cap * sizeof(struct raft_group *));
        }
        put(l, l->heap_count++, g);
    }
    up(l, g->heap_at);
    down(l, g->heap_at);
}

uint64_t wake_next(const struct engine_loop *l)
{
    return l->heap_count > 0 ? l->heap[0]->wake_at_ms : NEVER;
}

void wake_due(struct engine_loop *l)
{
    /* A step that has more to send says "now" again: it gets its turn, but not all of this one. */
    unsigned left = l->heap_count * 2;

    if (left > WAKES_MAX) left = WAKES_MAX;

    while (left-- > 0 && wake_next(l) <= l->now_ms) {
        struct core_event e = { .kind = CORE_TIME };

        group_event(l->heap[0], &e);
    }
}
