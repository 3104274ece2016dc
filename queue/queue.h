/* queue - the truth: the deterministic state of one shard.
 *
 * Way:     raft applies an entry -> queue_apply -> one atomic, unsynced write of the store -> effects.
 * Rule:    the state is a function of the log alone (P6): no clock, no random, no hash order in
 *          apply. Times and spreads are in the commands, chosen by the leader.
 * Store:   one store for all shards of a node (queue_store_*), RocksDB without WAL, or memory for
 *          tests. It holds, per shard: messages, recipients, the due index by time and by
 *          destination, claims, bounces owed, bodies' live index, uploads, events and each message's
 *          story, counts, digest and the applied index. All of one command is one write; a flush takes
 *          all of it, so that what is on disk is always the state as of one applied index.
 * Threads: queue_apply and queue_close on the shard's loop. Functions that take a store (reads) on any
 *          thread; they see the state as of some applied index.
 * Fails:   a store that cannot read or write ends the process with a last word (P7).
 *
 * Invariants (queue_verify checks them all, see docs/INVARIANTS.md):
 *   Q1 every recipient of a kept message is in exactly one state; pending_count counts the non-terminal
 *   Q2 every accepted recipient has at most one terminal event, and has one iff its state is
 *      terminal (P3)
 *   Q3 WAITING <=> it stands in both due indexes at due_at_ms, under its domain
 *   Q4 CLAIMED <=> it stands in the claim index
 *   Q5 bounce_owed of a message = its recipients with bounce_owed; > 0 <=> it stands in the bounce
 *      index; never for a message with the null return path; failure unless NOTIFY forbids it, success
 *      (relayed, delivered) and delay only where NOTIFY asks; a DSN pays exactly what it tells
 *   Q6 an entry's body is live <=> an open upload, or a message that has recipients pending or a
 *      bounce owed, names it
 *   Q7 the counts equal what a scan counts
 *   Q8 a claim only from WAITING, DELIVERED only from CLAIMED (P2): both have an attempt
 *   Q9 what the client asked for (envid, ret, notify, orcpt: RFC 3461; smtputf8: RFC 6531; body type) is
 *      kept as it was accepted, within the ranges of queue.proto, whatever becomes of the recipient
 *   Q10 a closed shard takes no mail but bounces that it owes
 *   Q11 in_doubt_since_ms > 0 <=> it stands in the doubt index; only of who is pending, after an attempt that ended in
 *      doubt (P4)
 */
#ifndef QUEUE_QUEUE_H
#define QUEUE_QUEUE_H

#include "proto/proto.h"
#include "proto/ground/blob.h"

struct queue;
struct queue_store;

/* Opens or makes the node's state store. dir NULL: memory. ERR_VERSION, ERR_BUSY, ERR_CORRUPT,
 * ERR_IO. */
int queue_store_open(struct queue_store **out, const char *dir, struct errmsg *why);
void queue_store_close(struct queue_store **s);
/* Makes everything applied so far durable, atomically over all shards, and the bodies that were
 * put. Blocks: not on a loop. Afterwards (also after a crash) every shard is at least at the
 * applied index that it had when this was called. */
int queue_store_flush(struct queue_store *s, struct errmsg *why);
/* Bytes of the store on disk and in memory tables; estimates. */
uint64_t queue_store_bytes(struct queue_store *s);

int queue_open(struct queue **out, struct queue_store *s, uint32_t shard, struct errmsg *why);
void queue_close(struct queue **q);
uint32_t queue_shard(const struct queue *q);
uint64_t queue_applied(const struct queue *q); /* index of the last applied entry, 0: none */

/* What the outside must hear of an applied command. Borrowed until the next apply or close. */
enum queue_effect_kind {
    QUEUE_EVENT,     /* an event: event, number */
    QUEUE_DUE,       /* a destination has work: domain, due_at_ms */
    QUEUE_BOUNCE,    /* message `index` owes a bounce */
    QUEUE_BODY_GONE, /* the body in entry `index` is no longer needed */
    QUEUE_REFUSED, /* the command (or part of it) did not apply: error, and recipient if it is about
                      one */
};
struct queue_effect {
    enum queue_effect_kind kind;
    uint64_t index; /* message or entry */
    uint32_t recipient;
    uint32_t number; /* of the event within the entry */
    const Angarium__Event *event;
    struct span domain;
    uint64_t due_at_ms;
    int error;
};
struct queue_effects {
    const struct queue_effect *list;
    size_t count;
};

/* Applies the entry at `index` (> queue_applied). head is a packed Command; body_size the size of
 * the bytes beside it (they stay in the log). A head that does not decode is our bug or damage:
 * CHECK. A command that cannot apply any more (message gone, recipient not waiting) changes nothing
 * but the applied index and the digest and says so by QUEUE_REFUSED. `out` NULL: not wanted
 * (replay). */
void queue_apply(struct queue *q, uint64_t index, struct span head, size_t body_size,
                 struct queue_effects *out);

struct queue_counts {
    uint64_t messages;               /* with recipients pending */
    uint64_t bytes;                  /* of these */
    uint64_t waiting, claimed, held; /* recipients */
    uint64_t accepted, delivered, bounced, expired, cancelled, suppressed; /* recipients, ever */
    uint64_t in_doubt;                                                     /* times, ever */
    uint64_t uploads;                                                      /* open */
    uint64_t in_doubt_now; /* recipients that are pending, after an attempt that ended in doubt */
    uint64_t kept_messages, kept_events; /* records in the store, finished ones included */
};
/* Everything of a shard that is not a record of its own; one record, written with each command. */
struct queue_state {
    uint64_t applied, digest;
    struct queue_counts counts;
};
void queue_counts(const struct queue *q, struct queue_counts *out);
/* Closed: an Accept is refused with ERR_CLOSED, unless it is the DSN for a message of its own. For good: when nothing is kept
 * any more, nothing will come. */
bool queue_is_closed(const struct queue *q);
uint64_t queue_digest(
    const struct queue *q); /* a function of the commands applied so far and their effect */

/* Checks Q1-Q11 by scanning. 0, or ERR_CORRUPT and the first broken one in words. Slow. Any thread
 * if nothing is applied meanwhile. */
int queue_verify(struct queue_store *s, uint32_t shard, struct errmsg *why);

/* ---- reading (any thread) */

int queue_message_get(
    struct queue_store *s, uint32_t shard, uint64_t index,
    Angarium__MessageRecord **out); /* ERR_NOT_FOUND, ERR_CORRUPT; free: queue_message_free */
void queue_message_free(Angarium__MessageRecord **m);
int queue_recipient_get(struct queue_store *s, uint32_t shard, uint64_t index, uint32_t recipient,
                        Angarium__RecipientRecord **out);
void queue_recipient_free(Angarium__RecipientRecord **r);

/* Reads many of a shard's records, as of the moment when it was made: cheaper than one by one. Message by message and recipient by
 * recipient, each of them in ascending order. It keeps what it reads from going off the disk: not for long. One thread at a time. */
struct queue_reader;
struct queue_reader *queue_reader_new(struct queue_store *s, uint32_t shard);
void queue_reader_free(struct queue_reader **r);
int queue_reader_message(struct queue_reader *r, uint64_t index, Angarium__MessageRecord **out);
int queue_reader_recipient(struct queue_reader *r, uint64_t index, uint32_t recipient,
                           Angarium__RecipientRecord **out);

/* A place in an index; {0} is the start. A scan leaves it behind the last item that it gave. */
struct queue_place {
    uint64_t due_at_ms, index;
    uint32_t recipient;
    bool started;
};
struct queue_due {
    uint64_t due_at_ms, index;
    uint32_t recipient;
    char domain[256]; /* terminated */
};
/* Waiting recipients due at or before `until_ms`, by time. Returns how many (< max: no more are
 * due). */
size_t queue_due_by_time(struct queue_store *s, uint32_t shard, struct queue_place *place,
                         uint64_t until_ms, struct queue_due *out, size_t max);
/* The same for one destination only. Recipients of one message stand together. */
size_t queue_due_by_domain(struct queue_store *s, uint32_t shard, struct span domain,
                           struct queue_place *place, uint64_t until_ms, struct queue_due *out,
                           size_t max);
/* Earliest due time of the shard (of the domain, if not empty); UINT64_MAX: none. */
uint64_t queue_due_next_ms(struct queue_store *s, uint32_t shard, struct span domain);

struct queue_ref {
    uint64_t index;
    uint32_t recipient;
};
/* Claimed recipients: for a new leader the exact in-doubt set (P4). `place` as above. */
size_t queue_claims(struct queue_store *s, uint32_t shard, struct queue_place *place,
                    struct queue_ref *out, size_t max);
/* Recipients in doubt: pending, and an attempt for them ended so. `place` as above. */
size_t queue_doubts(struct queue_store *s, uint32_t shard, struct queue_place *place,
                    struct queue_ref *out, size_t max);
/* Messages that owe a bounce, by index, beginning after `after`. */
size_t queue_bounces(struct queue_store *s, uint32_t shard, uint64_t after, uint64_t *out,
                     size_t max);
/* When the message that has been finished longest was finished, UINT64_MAX: none is. Tells whether a
 * purge has something to do. */
uint64_t queue_finished_first_ms(struct queue_store *s, uint32_t shard);
/* When the open upload that waits longest got its last chunk, UINT64_MAX: none is open. Reads them all. */
uint64_t queue_uploads_first_ms(struct queue_store *s, uint32_t shard);
/* Messages by index, beginning after `after`: all that are kept, or only those with recipients
 * pending. */
size_t queue_messages(struct queue_store *s, uint32_t shard, uint64_t after, bool only_pending,
                      uint64_t *out, size_t max);

/* Events. The call-back gets a borrowed event and returns false to stop. */
typedef bool queue_event_fn(void *arg, uint64_t entry_index, uint32_t number,
                            const Angarium__Event *event);
void queue_events(struct queue_store *s, uint32_t shard, uint64_t from_entry, uint32_t from_number,
                  queue_event_fn *each, void *arg);
void queue_story(struct queue_store *s, uint32_t shard, uint64_t message_index,
                 queue_event_fn *each, void *arg);

/* ---- bodies that outlive the log. They are no part of the replicated state or its digest: where
 * bytes are stored is each replica's own affair. */

/* Entries in [from, to] whose bodies are live. Any thread. */
size_t queue_live_bodies(struct queue_store *s, uint32_t shard, uint64_t from, uint64_t to,
                         uint64_t *out, size_t max);
/* Bodies of entries up to `upto` may have been put into the store: apply forgets them there when
 * they are gone. Told after a move, and at opening with where the log begins. On the shard's loop.
 */
void queue_set_moved(struct queue *q, uint64_t upto);
/* The bodies of entries up to this one, as far as they are live, are in the store. Any thread. */
uint64_t queue_moved_upto(struct queue_store *s, uint32_t shard);
/* Keeps a body in the store / reads one / forgets one (also called by apply when the body is gone).
 */
void queue_body_put(struct queue_store *s, uint32_t shard, uint64_t entry, struct span body);
/* The same for many: *upto is what queue_moved_upto said before the first of them, and is kept up here. */
void queue_body_move(struct queue_store *s, uint32_t shard, uint64_t entry, struct span body,
                     uint64_t *upto);
int queue_body_get(struct queue_store *s, uint32_t shard, uint64_t entry, struct blob **out);
void queue_body_forget(struct queue_store *s, uint32_t shard, uint64_t entry);

/* ---- snapshots: the whole state of a shard, and the bodies that are live in it, as a stream of bytes. The same state gives
 * the same stream. Layout: snapshot.h. */

#define QUEUE_CHUNK_SIZE_MAX (256u << 10)

struct queue_snapshot;
/* Where the bodies are that the store does not have: 0 and a reference, ERR_NOT_FOUND, or another error. */
typedef int queue_body_fn(void *arg, uint64_t entry, struct blob **out);
/* The state as it is now, whatever is applied afterwards; bodies by `body` first, which is asked while the snapshot is
 * open: bodies that are live now must not vanish until it is closed. On the shard's loop; cheap. */
void queue_snapshot_open(struct queue_snapshot **out, const struct queue *q, queue_body_fn *body,
                         void *arg);
/* Appends the next QUEUE_CHUNK_SIZE_MAX bytes (the last time: up to so many). ERR_CORRUPT: a body that is live is nowhere.
 * Any thread, one at a time. */
int queue_snapshot_next(struct queue_snapshot *n, struct buf *out, bool *last);
void queue_snapshot_close(struct queue_snapshot **n);

/* A snapshot that comes, staged in the store beside the shard's state. All of these may wait for the disk: not on a loop,
 * one at a time. After a crash what was staged is gone. */
struct queue_staging;
/* s NULL: everything is checked, nothing is kept, and nothing can be installed. */
void queue_staging_open(struct queue_staging **out, struct queue_store *s, uint32_t shard);
/* The next bytes. ERR_CORRUPT: not a snapshot of this shard; ERR_VERSION: of a newer version. Then it is over. */
int queue_staging_add(struct queue_staging *g, struct span bytes);
/* Is all of it here? 0 and the state as it says itself; ERR_CORRUPT: no. */
int queue_staging_end(const struct queue_staging *g, struct queue_state *out);
/* The staged state takes the place of the shard's, as one, and is durable: it has applied all up to `index`. The shard's
 * queue must not apply anything meanwhile, nor may bodies be put; then queue_reload. ERR_CORRUPT: it is not whole, or ends
 * behind index; nothing has changed. */
int queue_staging_install(struct queue_staging *g, uint64_t index);
/* What is staged goes, if it was not installed. */
void queue_staging_close(struct queue_staging **g);
/* All that the store has of a shard goes, durably: records, bodies, what is staged; the disk has the room again. No queue of it may be open. Waits for
 * the disk. False: there was nothing. */
bool queue_forget(struct queue_store *s, uint32_t shard);
/* The store holds another state of the shard. On its loop. */
int queue_reload(struct queue *q, struct errmsg *why);

#endif
