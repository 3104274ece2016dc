/* mpsc - a stack that putters push to and the reader takes as a whole and turns round.
 *
 * Invariants: nothing is ever popped alone, so a node that comes back at the same address does no
 * harm. A node belongs to the reader the moment it is on the stack: the putter never touches it
 * again. Each put releases, the take acquires: what a putter wrote before, the reader sees.
 */
#include "proto/ground/mpsc.h"

void mpsc_init(struct mpsc *q)
{
    atomic_init(&q->top, NULL);
}

bool mpsc_put(struct mpsc *q, struct mpsc_node *node)
{
    struct mpsc_node *top = atomic_load_explicit(&q->top, memory_order_relaxed);

    do {
        node->next = top;
    } while (!atomic_compare_exchange_weak_explicit(&q->top, &top, node, memory_order_release,
                                                    memory_order_relaxed));
    return top == NULL;
}

struct mpsc_node *mpsc_take_all(struct mpsc *q)
{
    struct mpsc_node *newest = atomic_exchange_explicit(&q->top, NULL, memory_order_acquire);
    struct mpsc_node *oldest = NULL;

    while (newest) {
        struct mpsc_node *older = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = older;
    }
    return oldest;
}
