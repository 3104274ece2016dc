/* mpsc - a queue that any thread puts into and one thread drains: how all work crosses threads. */
#ifndef GROUND_MPSC_H
#define GROUND_MPSC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct mpsc_node {
    struct mpsc_node *next;
};
struct mpsc {
    _Atomic(struct mpsc_node *) top;
};

void mpsc_init(struct mpsc *q);
/* Any thread. True when the queue was empty before: the putter then wakes the reader. */
bool mpsc_put(struct mpsc *q, struct mpsc_node *node);
/* The reader: takes all, oldest first, linked by next; NULL when empty. */
struct mpsc_node *mpsc_take_all(struct mpsc *q);

#endif
