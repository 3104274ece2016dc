/* inside - private to the store: records, the watermark, and the one contract of its two implementations. */
#ifndef RAFT_STORE_INSIDE_H
#define RAFT_STORE_INSIDE_H

#include <pthread.h>
#include <stdatomic.h>

#include "proto/ground/buf.h"
#include "proto/ground/check.h"
#include "proto/ground/list.h"
#include "proto/ground/metric.h"
#include "raft/store/store.h"

#define STORE_FORMAT     1
#define KEY_SIZE         17
#define ENTRY_FRONT_SIZE 14
#define PAIR_SIZE        17
#define STORE_OWN_GROUP  UINT64_MAX
#define STORE_BATCH_BYTES_MAX (8u << 20)

void key_print(uint8_t out[KEY_SIZE], uint64_t group, uint8_t kind, uint64_t index);
int key_parse(struct span key, uint64_t *group, uint8_t *kind, uint64_t *index);
void entry_front_print(uint8_t out[ENTRY_FRONT_SIZE], const struct store_entry *e);
int entry_parse(struct span value, struct store_entry *out); /* term, kind, head, body; borrows */
void pair_print(uint8_t out[PAIR_SIZE], uint64_t a, uint64_t b);
int pair_parse(struct span value, uint64_t *a, uint64_t *b);

/* watermark.c */
struct watermark {
    int fd;
    unsigned next; /* slot */
    uint64_t sequence, batch;
};
#define WATERMARK_SLOT_SIZE 64
void watermark_slot_print(uint8_t out[WATERMARK_SLOT_SIZE], uint64_t sequence, uint64_t batch);
int watermark_slot_parse(struct span slot, uint64_t *sequence, uint64_t *batch);
int watermark_open(struct watermark *w, const char *dir, struct errmsg *why);
void watermark_set(struct watermark *w, uint64_t batch);
void watermark_close(struct watermark *w);

/* What an implementation does; `self` is its own. Batches are written by one thread at a time. */
struct store_calls {
    void (*batch_add)(void *self, const struct store_op *op);
    void (*batch_write)(void *self, bool sync); /* ends the process when it fails */
    int (*group_read)(void *self, uint64_t group, struct store_group *out, struct errmsg *why);
    int (*entry_read)(void *self, uint64_t group, uint64_t index, enum core_entry_kind *kind, uint64_t *term,
                      struct blob **head, struct blob **body);
    int (*entries_each)(void *self, uint64_t group, uint64_t first, uint64_t last, void *arg,
                        bool (*each)(void *arg, const struct store_entry *entry));
    void (*close)(void *self);
};

struct store {
    const struct store_calls *calls;
    void *self;
    bool has_thread;
    struct mpsc submitted;
    struct mpsc_node *waiting; /* memory store: taken and not synced, oldest first */
    pthread_t thread;
    pthread_mutex_t lock; /* guards the sleep of the thread */
    pthread_cond_t wake;
    bool is_awake, stopping;
};

int store_rocks_open(struct store *s, const struct store_options *o, bool *tainted, struct errmsg *why);
int store_mem_open(struct store *s);
void log_thread_start(struct store *s);
void log_thread_stop(struct store *s);

#endif
