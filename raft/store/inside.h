/* inside - private to the store: records, the watermark, the log thread, and what an implementation
 * is. */
#ifndef RAFT_STORE_INSIDE_H
#define RAFT_STORE_INSIDE_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "proto/ground/buf.h"
#include "proto/ground/check.h"
#include "proto/ground/list.h"
#include "raft/store/store.h"

#define STORE_FORMAT 1

/* ---- records (keys.c has the picture) */

#define KEY_SIZE        17
#define ENTRY_LEAD_SIZE 14
#define PAIR_SIZE       17
#define KEY_CUT         'c'
#define KEY_BURIED      'd'
#define KEY_ENTRY       'e'
#define KEY_CONFIG      'g'
#define KEY_HARD        'h'
#define KEY_INTENT      'i'
#define KEY_UNTAINTED   'u'
/* The store's own records stand under a group number that no group may have. */
#define KEY_OWN_GROUP UINT64_MAX
#define KEY_BATCH     'b'
#define KEY_FORMAT    'f'
#define KEY_TAINT     't'

void key_pack(uint8_t out[KEY_SIZE], uint64_t group, uint8_t kind, uint64_t index);
int key_unpack(struct span key, uint64_t *group, uint8_t *kind, uint64_t *index);
/* What stands before head and body in an entry's value. */
void entry_lead_pack(uint8_t out[ENTRY_LEAD_SIZE], const struct store_entry *e);
/* Fills term, kind, head and body (borrowed). ERR_CORRUPT, ERR_VERSION. */
int entry_unpack(struct span value, struct store_entry *out);
void pair_pack(uint8_t out[PAIR_SIZE], uint64_t a, uint64_t b);
int pair_unpack(struct span value, uint64_t *a, uint64_t *b);

/* ---- store.c: what a group's entries tell, one by one in order; false: it cannot be */

bool store_group_add(struct store_group *g, const struct store_entry *e);
/* ERR_CORRUPT when it is too long. */
int store_config_set(struct store_config *out, uint64_t index, struct span bytes);

/* ---- checksum.c */

/* CRC32C of what crc is that of (0: nothing) and size more bytes. It has the name under which RocksDB's shared library looks for its own:
 * the program's comes first, so each checksum of a log, a table or a state is taken by it. */
__attribute__((visibility("default"))) uint32_t
checksum_extend(uint32_t crc, const char *data,
                size_t size) __asm__("_ZN7rocksdb6crc32c6ExtendEjPKcm");
/* That of RFC 3720's and everybody's test, "123456789", is right. */
void checksum_check(void);

/* ---- watermark.c */

#define WATERMARK_SLOT_SIZE  64
#define WATERMARK_SLOT_SPACE 4096 /* each in a block of its own: one torn write harms one slot */
#define WATERMARK_FILE_SIZE  (2 * WATERMARK_SLOT_SPACE)
#define WATERMARK_SYNC_EVERY 1024 /* batches */

struct watermark_slot {
    uint64_t sequence, batch;
    uint64_t term_max; /* of any group in a synced batch; 0: not known */
};
void watermark_slot_pack(uint8_t out[WATERMARK_SLOT_SIZE], const struct watermark_slot *slot);
int watermark_slot_unpack(struct span bytes,
                          struct watermark_slot *out); /* ERR_CORRUPT, ERR_VERSION */

struct watermark {
    int fd; /* -1: not open */
    char *path;
    struct watermark_slot now;
    unsigned unsynced;
};
/* Opens or makes the file and locks it. ERR_BUSY, ERR_VERSION, ERR_IO. */
int watermark_open(struct watermark *w, const char *dir, struct errmsg *why);
void watermark_set(struct watermark *w, uint64_t batch, uint64_t term_max);
void watermark_close(struct watermark *w); /* may be called twice */

/* ---- log_thread.c */

#define LOG_BATCH_BYTES_MAX (8u << 20)

/* Where batches go. Called by the log thread only. A failure ends the process inside. */
struct log_sink {
    void *arg;
    void (*add)(void *arg, const struct store_op *op);
    void (*write)(void *arg, bool sync); /* what was added, as one batch */
};
struct log_thread {
    struct mpsc submitted;
    sem_t wake;
    pthread_t thread;
    atomic_bool stopping;
    struct log_sink sink;
};
void log_thread_start(struct log_thread *t, const struct log_sink *sink);
void log_thread_submit(struct log_thread *t, struct store_write *w);
void log_thread_drain(struct log_thread *t);
void log_thread_stop(struct log_thread *t); /* after all that was submitted is written */

/* ---- an implementation: its object begins with struct store */

struct store_calls {
    void (*submit)(struct store *s, struct store_write *w);
    void (*drain)(struct store *s);
    int (*group_read)(struct store *s, uint64_t group, struct store_group *out, struct errmsg *why);
    int (*entry_read)(struct store *s, uint64_t group, uint64_t index,
                      enum core_entry_kind *kind_out, uint64_t *term_out, struct blob **head_out,
                      struct blob **body_out);
    int (*entries_each)(struct store *s, uint64_t group, uint64_t first, uint64_t last, void *arg,
                        bool (*each)(void *arg, const struct store_entry *entry));
    bool (*rest)(struct store *s);
    void (*close)(struct store *s);
};
struct store {
    const struct store_calls *calls;
};
int store_rocks_open(struct store **out, const struct store_options *o, bool *tainted_out,
                     struct errmsg *why);
struct store *store_mem_open(void);

#endif
