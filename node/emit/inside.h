/* inside - private to emit. */
#ifndef EMIT_INSIDE_H
#define EMIT_INSIDE_H

#include "node/emit/emit.h"
#include "proto/ground/check.h"
#include "proto/ground/log.h"
#include "proto/ground/metric.h"

#define EMIT_BOUNCES_IN_FLIGHT_MAX 32
#define EMIT_BOUNCE_GATHER_MS      200 /* recipients that fail together are told of together */
#define EMIT_BOUNCE_RETRY_MS       1000

struct emit {
    struct emit_options o;
    struct commit_watcher watcher;
    struct loop_timer timer;
    struct list bounces; /* struct bounce, in flight */
    unsigned bounce_count;
    bool *owing; /* by shard number: there may be bounces owed */
};

/* bounce.c */
void bounce_wake(struct emit *e, uint32_t shard, uint64_t in_ms);
void bounce_init(struct emit *e);
void bounce_deinit(struct emit *e);

#endif
