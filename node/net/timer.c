/* timer - the timers of a loop in a binary heap.
 *
 * Invariants: entries[i].timer->slot == i + 1 for every entry, and slot == 0 for a timer that is
 * not in the heap. An entry's due is never later than its timer's: a timer that is started again
 * for later (an idle timer, at every command) only writes its own due, and its entry is put right
 * once, when it comes up. So a restart costs nothing, and a stop, which must forget the timer's
 * address, O(log n).
 */
#include "node/net/loop_private.h"

#include <stdlib.h>

#include "proto/ground/check.h"

#define HEAP_SIZE_FIRST 64

static bool entry_before(const struct timer_entry *a, const struct timer_entry *b)
{
    if (a->due_ms != b->due_ms) return a->due_ms < b->due_ms;
    return a->order < b->order;
}

static void put_at(struct timer_heap *h, size_t i, struct timer_entry e)
{
    h->entries[i] = e;
    e.timer->slot = i + 1;
}

static void sift_up(struct timer_heap *h, size_t i)
{
    struct timer_entry e = h->entries[i];

    while (i > 0) {
        size_t up = (i - 1) / 2;
        if (!entry_before(&e, &h->entries[up])) break;
        put_at(h, i, h->entries[up]);
        i = up;
    }
    put_at(h, i, e);
}

static void sift_down(struct timer_heap *h, size_t i)
{
    struct timer_entry e = h->entries[i];

    for (;;) {
        size_t down = 2 * i + 1;
        if (down >= h->n) break;
        if (down + 1 < h->n && entry_before(&h->entries[down + 1], &h->entries[down])) down++;
        if (!entry_before(&h->entries[down], &e)) break;
        put_at(h, i, h->entries[down]);
        i = down;
    }
    put_at(h, i, e);
}

static void take_out(struct timer_heap *h, struct loop_timer *t)
{
    size_t i = t->slot - 1;
    struct timer_entry last = h->entries[--h->n];

    t->slot = 0;
    if (i == h->n) return;
    put_at(h, i, last);
    sift_up(h, i);
    sift_down(h, last.timer->slot - 1);
}

static void put_in(struct timer_heap *h, struct loop_timer *t)
{
    if (h->n == h->cap) {
        h->cap = h->cap > 0 ? 2 * h->cap : HEAP_SIZE_FIRST;
        h->entries = check_realloc(h->entries, h->cap * sizeof h->entries[0]);
    }
    put_at(h, h->n, (struct timer_entry){ t->due_ms, h->order_next++, t });
    sift_up(h, h->n++);
}

void timer_heap_deinit(struct timer_heap *h)
{
    while (h->n > 0)
        loop_timer_stop(h->entries[0].timer);
    free(h->entries);
    *h = (struct timer_heap){ 0 };
}

uint64_t timer_heap_due(const struct timer_heap *h)
{
    return h->n > 0 ? h->entries[0].due_ms : UINT64_MAX;
}

/* The first entry's timer when it is due now; entries of timers that were moved are put right, also when the new
 * time has come, too: in a turn that comes late timers still fire in their order. */
static struct loop_timer *take_due(struct timer_heap *h, uint64_t mono_ms)
{
    while (h->n > 0 && h->entries[0].due_ms <= mono_ms) {
        struct loop_timer *t = h->entries[0].timer;
        if (t->due_ms == h->entries[0].due_ms) {
            take_out(h, t);
            return t;
        }
        h->entries[0].due_ms = t->due_ms;
        h->entries[0].order = h->order_next++;
        sift_down(h, 0);
    }
    return NULL;
}

void timer_heap_fire(struct timer_heap *h, uint64_t mono_ms)
{
    /* A timer that starts itself anew with 0 must not hold up the turn: its turn is the next one.
     */
    for (size_t most = h->n; most > 0; most--) {
        struct loop_timer *t = take_due(h, mono_ms);
        if (!t) return;
        t->due_ms = UINT64_MAX;
        t->on_fire(t);
    }
}

void loop_timer_init(struct loop_timer *t, struct loop *l, void (*on_fire)(struct loop_timer *t))
{
    *t = (struct loop_timer){ .loop = l, .due_ms = UINT64_MAX, .on_fire = on_fire };
}

void loop_timer_start(struct loop_timer *t, uint64_t in_ms)
{
    struct timer_heap *h = &t->loop->timers;
    uint64_t now_ms = loop_mono_ms(t->loop);

    t->due_ms = in_ms < UINT64_MAX - 1 - now_ms ? now_ms + in_ms : UINT64_MAX - 1;
    if (t->slot == 0) {
        put_in(h, t);
        return;
    }
    struct timer_entry *e = &h->entries[t->slot - 1];
    if (t->due_ms >= e->due_ms) return;
    e->due_ms = t->due_ms;
    e->order = h->order_next++;
    sift_up(h, t->slot - 1);
}

void loop_timer_stop(struct loop_timer *t)
{
    t->due_ms = UINT64_MAX;
    if (t->slot != 0) take_out(&t->loop->timers, t);
}
