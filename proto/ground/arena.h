/* arena - memory that goes away as one: per session, per transaction, per request. Not thread-safe. */
#ifndef GROUND_ARENA_H
#define GROUND_ARENA_H

#include "proto/ground/span.h"

struct arena_block;
struct arena {
    struct arena_block *blocks;
    size_t used, size_max;
};

size_t arena_held(const struct arena *a); /* bytes of memory that it has now, kept block included */
void arena_init(struct arena *a, size_t size_max); /* size_max bytes over its life until reset */
void arena_deinit(struct arena *a);                /* may be called twice */
void arena_reset(struct arena *a);                 /* keeps the first block */
/* 16-byte aligned, zeroed; NULL when size_max would be passed. */
void *arena_alloc(struct arena *a, size_t size);
/* A copy in the arena; .p is NULL when it does not fit (also for an empty span: .n = 0, .p != NULL). */
struct span arena_dup(struct arena *a, struct span s);
char *arena_cstr(struct arena *a, struct span s);

#endif
