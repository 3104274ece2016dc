/* inside - private to the queue: one command being applied.
 *
 * A command reads and writes through its `struct work`: writes are collected (the last one of a key
 * counts) and reads see them; at the end all of it is one write of the store, the digest is chained
 * over it, and the counts go along. Memory is the queue's arena, reset by the next command, so
 * effects may borrow from it.
 */
#ifndef QUEUE_INSIDE_H
#define QUEUE_INSIDE_H

#include <uthash.h>

#include "proto/ground/arena.h"
#include "proto/ground/check.h"
#include "queue/keys.h"
#include "queue/store.h"

/* A command's own limits bound what it needs; a purge counts its changes. */
#define QUEUE_ARENA_SIZE_MAX ((size_t)1 << 30)

/* False: not the record of a state. */
bool queue_state_take(struct span value, struct queue_state *out);

struct queue {
    struct queue_store *store;
    uint32_t shard;
    struct queue_state state;
    bool is_closed;      /* it takes no new mail */
    uint64_t moved_upto; /* bodies of entries up to here may be in the store */
    struct arena arena;
    struct queue_effect *effects;
    size_t effect_count, effect_cap;
    struct buf scratch;
};

/* A message that the command touches. */
struct work_message {
    uint64_t index;
    Angarium__MessageRecord *record; /* NULL: not read, not there, or forgotten */
    bool is_read, is_changed;
    UT_hash_handle hh; /* by index, in order of first touching */
};

/* A moved body that the command forgets. */
struct work_body {
    struct span key;
    struct work_body *next;
};

/* An item that the command writes into the due indexes. */
struct work_due {
    struct span domain;
    uint64_t due_at_ms;
    struct work_due *next;
};

struct work {
    struct queue *queue;
    uint64_t entry, time_ms, node;
    size_t body_size;
    bool tell;                   /* effects are wanted */
    struct work_change *changes; /* by key, in order of first writing */
    struct work_message *messages;
    struct work_body *bodies;
    size_t body_count;
    struct work_due *dues;
    uint32_t event_count;
};

/* work.c */
void work_put(struct work *w, const struct queue_key *key, struct span value);
void work_put_message(struct work *w, const struct queue_key *key, const ProtobufCMessage *m);
void work_delete(struct work *w, const struct queue_key *key);
/* The value, in the arena; false: not there. */
bool work_get(struct work *w, const struct queue_key *key, struct span *value);
unsigned work_change_count(const struct work *w);
void work_forget_body(struct work *w, uint64_t entry);
void work_note_due(struct work *w, struct span domain, uint64_t due_at_ms);
/* Memory that goes with the command. */
void *work_alloc(struct work *w, size_t size);
/* A record of ours that does not decode is damage: ends the process (P7). */
void *work_unpack(struct work *w, const ProtobufCMessageDescriptor *type, struct span value);
void work_commit(struct work *w);
void work_effect(struct work *w, const struct queue_effect *effect);
void work_refuse(struct work *w, uint64_t index, uint32_t recipient, int error);

/* message.c */
struct work_message *message_of(struct work *w, uint64_t index); /* NULL: no such message */
/* Without reading its record: for moves between states that are not terminal. */
struct work_message *message_handle(struct work *w, uint64_t index);
/* Writes all changed messages; those that owe nothing any more are finished first. */
void message_settle_all(struct work *w);
void message_forget(struct work *w, uint64_t index); /* with recipients, events, story (purge) */

/* recipient.c */
Angarium__RecipientRecord *recipient_of(struct work *w, uint64_t index, uint32_t number); /* NULL */
void recipient_save(struct work *w, uint64_t index, uint32_t number,
                    const Angarium__RecipientRecord *r);
/* A new recipient, WAITING. */
void recipient_new(struct work *w, struct work_message *m, uint32_t number,
                   const Angarium__Recipient *from);
/* The only function that changes a state: keeps both due indexes, claims, counts, debts; saves the
 * record. */
void recipient_move(struct work *w, struct work_message *m, uint32_t number,
                    Angarium__RecipientRecord *r, Angarium__RecipientState to, uint64_t due_at_ms);
/* An attempt for it ended in doubt (P4); it is in doubt until its end. The caller saves. */
void recipient_doubt(struct work *w, const struct work_message *m, uint32_t number,
                     Angarium__RecipientRecord *r);
bool recipient_may_move(Angarium__RecipientState from, Angarium__RecipientState to);
/* The DSN for message m has been accepted: its debts are paid. */
/* False: not all of it is owed, and nothing is paid. */
bool recipient_pay_bounces(struct work *w, struct work_message *m, Angarium__Told *const *told,
                           size_t n);
/* A DSN has to tell of it, if it was asked for (RFC 3461 4.1) and there is somebody to tell. The caller saves. */
void recipient_owe(struct work *w, struct work_message *m, Angarium__RecipientRecord *r,
                   uint32_t debt);
/* Calls each for the recipients that an order names (none named: all), which takes them or not. An
 * order that took nobody is refused. */
void recipient_each(struct work *w, uint64_t index, const uint32_t *list, size_t n,
                    bool (*each)(struct work *w, struct work_message *m, uint32_t number,
                                 Angarium__RecipientRecord *r, ProtobufCBinaryData by),
                    ProtobufCBinaryData by);

/* event.c: `o` NULL: no attempt is behind it. */
void event_add(struct work *w, Angarium__EventType type, const struct work_message *m,
               uint32_t number, const Angarium__RecipientRecord *r,
               const Angarium__RecipientOutcome *o, ProtobufCBinaryData by);

/* body.c */
void body_keep(struct work *w, uint64_t entry, uint64_t owner);
void body_release(struct work *w, uint64_t entry);
struct queue_key body_key(uint32_t shard, uint64_t entry);

/* cmd_*.c */
void cmd_accept(struct work *w, const Angarium__Accept *c);
void cmd_chunk(struct work *w, const Angarium__Chunk *c);
void cmd_claim(struct work *w, const Angarium__Claim *c);
void cmd_outcome(struct work *w, const Angarium__Outcome *c);
void cmd_expire(struct work *w, const Angarium__Expire *c);
void cmd_hold(struct work *w, const Angarium__Hold *c);
void cmd_release(struct work *w, const Angarium__Release *c);
void cmd_cancel(struct work *w, const Angarium__Cancel *c);
void cmd_purge(struct work *w, const Angarium__Purge *c);
void cmd_close(struct work *w, const Angarium__Close *c);

/* view.c */
uint64_t queue_read_u64(struct span bytes, size_t at);
uint32_t queue_read_u32(struct span bytes, size_t at);

#endif
