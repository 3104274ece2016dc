/* store - private to the queue: ordered records of all shards of a node, one contract, two
 * implementations (store_rocks.c, and store_mem.c for tests).
 *
 * Two sets of records: the state, and the bodies that outlived the log. A batch is applied as one,
 * over both, and what is durable is always everything as of one batch; flush makes it the last one.
 * Each shard has two places for both sets (slot.h): one is read, in the other a snapshot is staged.
 * Reads see applied batches. An implementation that cannot read or write ends the process with a
 * last word (P7).
 */
#ifndef QUEUE_STORE_H
#define QUEUE_STORE_H

#include "proto/ground/buf.h"
#include "queue/first.h"
#include "queue/queue.h"

struct queue_change {
    struct span key, value;
    bool is_delete;
    bool is_body;   /* among the bodies, not in the state */
    bool is_staged; /* in the staged records of the key's shard, beside the ones that are read */
};

struct queue_store_calls {
    void (*write)(void *self, const struct queue_change *list, size_t n);
    /* Appends the value; ERR_NOT_FOUND. */
    int (*get)(void *self, struct span key, struct buf *value);
    /* Many of the keys that begin with prefix, ascending, as of the moment of `open`: cheaper than get. What was read is borrowed
     * until the next one. ERR_NOT_FOUND. Any thread, one at a time. */
    void *(*seeker_open)(void *self, struct span prefix);
    int (*seeker_get)(void *self, void *seeker, struct span key, struct span *value);
    void (*seeker_close)(void *self, void *seeker);
    /* Keys from `from` on (backwards: from `from` down), while they begin with prefix. */
    void (*each)(void *self, struct span prefix, struct span from, bool backwards, void *arg,
                 bool (*each)(void *arg, struct span key, struct span value));
    int (*body_get)(void *self, struct span key, struct blob **out);
    /* A view of a shard's records that later batches do not change: the pages it holds are kept until thaw. Any thread, one
     * at a time. */
    void *(*freeze)(void *self, uint32_t shard);
    void (*thaw)(void *self, void *view);
    void (*frozen_each)(void *self, void *view, struct span from, void *arg,
                        bool (*each)(void *arg, struct span key, struct span value));
    int (*frozen_body_get)(void *self, void *view, struct span key, struct blob **out);
    /* What is staged for the shard goes; staged batches may follow. What a crash leaves of them goes when the store is
     * opened. */
    void (*unstage)(void *self, uint32_t shard);
    /* What is staged takes the place of the shard's records and bodies, which go: as one batch. */
    void (*swap)(void *self, uint32_t shard);
    int (*flush)(void *self, struct errmsg *why);
    /* The room that deleted records and bodies of the shard took on the disk is given back. Takes its time: on a pool. */
    void (*reclaim)(void *self, uint32_t shard);
    uint64_t (*bytes)(void *self);
    void (*close)(void *self);
};

struct queue_store {
    const struct queue_store_calls *calls;
    void *self;
    struct first *first; /* where the due indexes begin */
};

int queue_store_open_rocks(struct queue_store *s, const char *dir, struct errmsg *why);
int queue_store_open_mem(struct queue_store *s);
/* Memory store, tests: back to what was last flushed, as a crash would leave it. */
void queue_store_mem_crash(struct queue_store *s);

#endif
