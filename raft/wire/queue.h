/* queue - the frames that wait on one lane: a ring, bounded in bytes. Not locked: its owner is. */
#ifndef RAFT_WIRE_QUEUE_H
#define RAFT_WIRE_QUEUE_H

#include "proto/ground/blob.h"

#define QUEUE_FRAME_COST 64u /* counted with each frame, so that small ones are bounded too */

struct queue {
    struct blob **ring;
    size_t cap, at, n; /* frames: room, the oldest, how many */
    size_t bytes, bytes_max;
};

void wire_queue_init(struct queue *q, size_t bytes_max);
/* Drops what is in it; returns how many that were. */
size_t wire_queue_clear(struct queue *q);
void wire_queue_deinit(struct queue *q);
/* An empty queue takes any frame. */
bool wire_queue_has_room(const struct queue *q, size_t n);
void wire_queue_put(struct queue *q,
                    struct blob *frame); /* takes the reference; whether there is room or not */
struct blob *wire_queue_take(struct queue *q); /* the oldest, the caller's; NULL when empty */

#endif
