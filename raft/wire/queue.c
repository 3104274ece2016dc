/* queue - a ring that grows as it must; its bound is its owner's to keep (wire_queue_has_room before wire_queue_put). */
#include "raft/wire/queue.h"

#include <stdlib.h>

#include "proto/ground/check.h"

#define RING_FIRST 16u

void wire_queue_init(struct queue *q, size_t bytes_max)
{
    *q = (struct queue){ .bytes_max = bytes_max };
}

size_t wire_queue_clear(struct queue *q)
{
    size_t gone = q->n;
    struct blob *frame;

    while ((frame = wire_queue_take(q)) != NULL)
        blob_unref(&frame);
    return gone;
}

void wire_queue_deinit(struct queue *q)
{
    wire_queue_clear(q);
    free(q->ring);
    *q = (struct queue){ 0 };
}

bool wire_queue_has_room(const struct queue *q, size_t n)
{
    return q->n == 0 ||
           (q->bytes < q->bytes_max && n + QUEUE_FRAME_COST <= q->bytes_max - q->bytes);
}

static void grow(struct queue *q)
{
    size_t cap = q->cap > 0 ? q->cap * 2 : RING_FIRST;
    struct blob **ring = check_malloc(cap * sizeof *ring);

    for (size_t i = 0; i < q->n; i++)
        ring[i] = q->ring[(q->at + i) % q->cap];
    free(q->ring);
    q->ring = ring;
    q->cap = cap;
    q->at = 0;
}

void wire_queue_put(struct queue *q, struct blob *frame)
{
    if (q->n == q->cap) grow(q);
    q->ring[(q->at + q->n) % q->cap] = frame;
    q->n++;
    q->bytes += frame->n + QUEUE_FRAME_COST;
}

struct blob *wire_queue_take(struct queue *q)
{
    struct blob *frame;

    if (q->n == 0) return NULL;
    frame = q->ring[q->at];
    q->at = (q->at + 1) % q->cap;
    q->n--;
    q->bytes -= frame->n + QUEUE_FRAME_COST;
    return frame;
}
