/* first - private to the queue: a cache of where each due index begins (first.c). An empty domain
 * is the index by time. */
#ifndef QUEUE_FIRST_H
#define QUEUE_FIRST_H

#include "proto/ground/span.h"

struct first;

struct first *first_new(unsigned slots);
void first_free(struct first **f);
/* A scan from the start begins at the returned due time; 0: nothing is known. */
uint64_t first_ask(struct first *f, uint32_t shard, struct span domain, uint64_t *version);
/* What that scan found first (UINT64_MAX: nothing). */
void first_seen(struct first *f, uint32_t shard, struct span domain, uint64_t version,
                uint64_t due_at_ms);
/* After an item was written. */
void first_written(struct first *f, uint32_t shard, struct span domain, uint64_t due_at_ms);
/* The store went back to an earlier state (tests). */
void first_forget_all(struct first *f);

#endif
