/* commit - the waist: accept, deliver and emit meet here and nowhere else. It chooses a shard, proposes to
 * its group, applies what commits to its queue, answers who asked, and tells the watchers what happened.
 *
 * Promises: on_done of a mail with 0 comes only after its entry is committed (fsynced by a majority of the
 *   shard's voters) and applied (P1). on_done of a claim with 0 comes only after the claim has committed in
 *   the leader's current term (P2). Claims, outcomes and expiries of one loop turn travel as one entry a shard.
 * Threads: shard i lives on loop (i - 1) % loop_count. Functions that take a `struct loop *l` are called on
 *   that loop and call back on it; whatever has to cross to the shard's loop does so inside. Functions that
 *   take a shard alone must be called on the shard's loop. Marked ones: any thread.
 * Bounds:  in-flight bytes a group (raft), an upload COMMIT_UPLOAD_WINDOW chunks, the body cache, the queue
 *   reserve (messages, bytes) and the disk reserve: ERR_FULL.
 * Where no shard leads, or there is no room, mail goes to a node that takes it (forward.c): on_done with 0 comes only after its
 *   entry is committed and applied there. An order goes to the node that leads its shard.
 * A replica that is behind the cut of its shard's log gets the state as a snapshot (snapshot.c).
 * It also keeps house: cuts the log behind what the state store has flushed, moves bodies that outlive it,
 *   purges what is over, forgets abandoned uploads.
 */
#ifndef COMMIT_COMMIT_H
#define COMMIT_COMMIT_H

#include "node/mail/content.h"
#include "node/mail/mail.h"
#include "node/net/loop.h"
#include "node/peer/peer.h"
#include "proto/ground/blob.h"
#include "proto/proto.h"
#include "queue/queue.h"
#include "raft/raft.h"

struct commit;

/* What may change while it runs. 0: the default, but for the reserve. */
struct commit_limits {
    size_t body_cache_bytes;                      /* of the node; 64 MiB */
    uint64_t queue_messages_max, queue_bytes_max; /* 10 million, 100 GiB */
    uint64_t disk_reserve_bytes;                  /* 0: none */
    uint64_t retention_ms; /* finished messages and events are kept so long; 7 days */
};

struct commit_calls {
    void *arg;
    /* Of shards that this node leads, on their loop; again and again while commit_place says nothing new. */
    void (*on_placed)(void *arg, uint32_t shard,
                      uint32_t version);         /* those who are wanted vote, and nobody else */
    void (*on_empty)(void *arg, uint32_t shard); /* it has closed, and nothing of it is left */
    /* Is that placement still the one that is wanted? Before members change; commit_confirm says yes, with the same term. */
    void (*on_confirm)(void *arg, uint32_t shard, uint32_t version, uint64_t term);
    /* Does control, of all that it has done up to now, place that shard here? commit_not_held says no, with the same number. Asked
     * again while nothing has come. NULL: nothing is removed. */
    void (*on_ask_held)(void *arg, uint32_t shard, uint64_t question);
};

struct commit_options {
    struct loop *const *loops; /* copied */
    unsigned loop_count;
    struct raft *raft;
    struct peers *peers; /* other nodes, whom mail may be forwarded to; NULL: none */
    const char *region;  /* of this node: leaders of it are asked first; NULL: "" */
    struct queue_store *store;
    const char *data_dir; /* for the disk reserve */
    uint64_t node;
    const struct core_config *config; /* of shards that are new; NULL: this node alone */
    unsigned
        shard_count; /* shards 1..n are opened at once; 0: those that commit_place names, later */
    unsigned shard_max; /* with shard_count 0: the highest number there can be */
    struct commit_limits limits;
    struct commit_calls calls; /* with shard_count 0; NULLs: not wanted */
    size_t cut_bytes;          /* the log is cut when it holds more; default 32 MiB a node */
    uint64_t rest_ms; /* so often what the stores have in memory is written out; default COMMIT_REST_MS */
};
/* Others count from now on. Any thread. */
void commit_set_limits(struct commit *c, const struct commit_limits *l);
int commit_open(struct commit **out, const struct commit_options *o, struct errmsg *why);
/* Makes the state durable (flush) and lets go of the groups; loops have stopped. */
void commit_close(struct commit **c);

/* ---- watchers: called on the shard's loop, in the order added; add them before loops run. */
struct commit_watcher {
    struct list link;
    void *arg;
    bool everywhere; /* effects on every replica; else only where the shard's leader is */
    /* Effects of one applied entry. NULL: not wanted. Not called for replay at boot. */
    void (*on_effects)(void *arg, uint32_t shard, uint64_t entry,
                       const struct queue_effects *effects);
    /* This node begins (leads) or ceases to lead the shard. When it begins, claims found in the queue are
     * exactly those that are in doubt (P4): commit itself turns them into in_doubt outcomes before it calls
     * this. */
    void (*on_lead)(void *arg, uint32_t shard, bool leads);
};
void commit_watch(struct commit *c, struct commit_watcher *w);

/* ---- placement: for a node of several, whose shards come and grow while it runs */

struct commit_placement {
    uint32_t shard;
    struct core_config
        founders; /* with whom the shard's log began; used when this node does not know the shard yet */
    struct core_config wanted; /* who shall vote; the first one shall lead when it can */
    uint32_t version;          /* of who is wanted: grows */
    bool
        in_force; /* it is known that they vote: if others do, there is a later version that is not known here */
    bool closes; /* no new mail; what is there ends */
};
/* This node holds the shard from now on, and where it leads it sees to the placement: who is wanted learns first and
 * then votes, who is not goes after that, and the leadership goes to the first one, when nothing is in the air. Any thread; copied. A
 * shard that cannot be opened ends the process: its log and its state do not fit (R7). */
void commit_place(struct commit *c, const struct commit_placement *p);
/* Asked after calls.on_confirm, control said that the placement is the newest one. Any thread. */
void commit_confirm(struct commit *c, uint32_t shard, uint32_t version, uint64_t term);
/* The shard has ended, on all nodes and for ever (it was closed, and empty): what this node has of it goes, event
 * shard.removed. Any thread; again at every start. */
void commit_forget(struct commit *c, uint32_t shard);
/* Control's copy here, which may be old, says that this node does not hold the shard: it moved away, or was never here. When control
 * itself says so (calls.on_ask_held, commit_not_held) and nothing has come for its group meanwhile, what this node has of it goes, but for
 * the terms and votes of its log; event shard.removed. Any thread; again at every start. commit_place takes it back. */
void commit_vacate(struct commit *c, uint32_t shard);
/* Asked after calls.on_ask_held, control said that no placement in force, or on its way, has this node. Any thread. */
void commit_not_held(struct commit *c, uint32_t shard, uint64_t question);
/* So many shards moved away and are, or may be, on this node's disk yet. Any thread. */
unsigned commit_vacating(struct commit *c);
/* No new mail here, or again: what this node leads it goes on with. Any thread. */
void commit_set_cordoned(struct commit *c, bool cordoned);
/* This node goes: each leadership is handed to another voter that can take it, when nothing is in the air, again and again. New
 * mail goes elsewhere meanwhile. Any thread. */
void commit_leave(struct commit *c);
unsigned
commit_leaving(struct commit *c); /* so many shards are led here yet that another one could take */

/* ---- a mail */

/* The facts of a body in the words of the command; borrows the hashes of f. */
struct commit_facts {
    Angarium__BodyFacts body;
    Angarium__HeaderField fields[MAIL_FIELDS_MAX], *list[MAIL_FIELDS_MAX];
};
void commit_facts_fill(struct commit_facts *out, const struct mail_facts *f);

/* What content rules say of a mail that is taken, for Accept.tags; borrows from out. Each is counted. */
struct commit_tags {
    struct mail_content_hit hits[MAIL_CONTENT_RULES_MAX];
    ProtobufCBinaryData list[MAIL_CONTENT_RULES_MAX];
    size_t n;
};
void commit_tags_fill(struct commit_tags *out, const struct mail_content_scan *s);
/* The mail is refused for what that rule found. */
void commit_content_count(const struct mail_content_hit *refused);

struct commit_upload;
struct commit_mail {
    const Angarium__Accept
        *accept;       /* borrowed until commit_mail returns; .upload/.chunks are commit's */
    struct blob *body; /* taken on success; NULL when there is an upload */
    struct commit_upload *upload; /* taken on success; NULL */
    uint32_t shard;               /* 0: commit chooses */
    bool only_here;               /* never forwarded to another node; nor when a shard is said */
    /* rv 0: id is the mail's. ERR_UNKNOWN, ERR_SUPERSEDED, ERR_NOT_LEADER, ERR_NOT_FOUND, ERR_EXISTS, ERR_FULL. */
    void (*on_done)(struct commit_mail *m, int rv, uint64_t id);
    struct commit_mail_request *request; /* private */
};
/* 0: on_done comes, never inside. ERR_NOT_LEADER (no shard can commit), ERR_FULL (a reserve is reached),
 * ERR_CLOSED (shutting down): it does not, and body and upload are still the caller's. */
int commit_mail(struct commit *c, struct loop *l, struct commit_mail *m);
/* The owner of m goes away: on_done does not come any more. The mail may commit all the same. */
void commit_mail_forget(struct commit_mail *m);
/* Would a mail of that size be taken now? 0, ERR_FULL, ERR_NOT_LEADER, ERR_CLOSED. Cheap; any loop. */
int commit_may_take(struct commit *c, uint64_t size);

#define COMMIT_INLINE_SIZE_MAX BLOB_CHUNK_SIZE /* larger bodies go up in chunks of this size */
#define COMMIT_UPLOAD_WINDOW   2               /* chunks in flight */
int commit_upload_open(struct commit *c, struct loop *l, struct commit_upload **out);
/* Takes *chunk (nulls it) on success. ERR_FULL: the window is full, on_room comes; another error: the upload
 * is lost, abort it (ERR_BUSY: for want of room). */
int commit_upload_chunk(struct commit_upload *u, struct blob **chunk);
void commit_upload_on_room(struct commit_upload *u, void (*on_room)(void *arg), void *arg);
void commit_upload_abort(struct commit_upload **u); /* its chunks are forgotten; takes NULL */

/* ---- attempts (on the shard's loop) */

struct commit_ref {
    uint64_t index;
    uint32_t recipient;
    bool refused; /* out: it is not waiting any more; do not send to it */
};
struct commit_claim {
    struct commit_ref *refs; /* the owner's, until on_done */
    unsigned count;
    struct span host; /* where they are about to go, for who takes over; the owner's, until on_done */
    void (*on_done)(struct commit_claim *claim,
                    int rv); /* rv != 0: nothing was claimed as far as we know: send nothing */
    struct list link;        /* private */
};
int commit_claim(struct commit *c, uint32_t shard, struct commit_claim *claim);
/* Outcomes are copied. Nobody is called back: when leadership is lost they are the new leader's doubt. */
void commit_outcome(struct commit *c, uint32_t shard, const Angarium__RecipientOutcome *list,
                    unsigned count);
void commit_expire(struct commit *c, uint32_t shard, const struct queue_ref *refs, unsigned count);

/* ---- operators' commands: hold, release, cancel (any loop, any shard) */
struct commit_order {
    const Angarium__Command *command; /* borrowed until commit_order returns */
    uint32_t shard;
    bool only_here; /* not forwarded to the node that leads the shard */
    void (*on_done)(struct commit_order *o,
                    int rv); /* ERR_NOT_FOUND, ERR_BUSY: nothing that it could change */
    struct commit_order_request *request; /* private */
};
int commit_order(struct commit *c, struct loop *l, struct commit_order *o);
void commit_order_forget(struct commit_order *o);

/* ---- bodies */

/* The body of entry `entry`, out of memory: a reference for the caller, or NULL. On the shard's loop. */
struct blob *commit_body_cached(struct commit *c, uint32_t shard, uint64_t entry);
/* From the log or the store, by the DISK pool. on_done gets a reference to keep (rv 0), or ERR_NOT_FOUND. */
struct commit_read {
    uint32_t shard;
    uint64_t entry;
    void (*on_done)(struct commit_read *r, int rv, struct blob *body);
    struct commit *commit; /* private, from here on */
    struct loop_work work;
    struct blob *body;
    int rv;
};
int commit_body_read(struct commit *c, struct loop *l, struct commit_read *r);
/* The same at once: it waits for the disk. On a pool. */
int commit_body_get(struct commit *c, uint32_t shard, uint64_t entry, struct blob **out);

/* ---- backups: the state of a shard that this node leads, and its live bodies, as a stream of bytes (queue/snapshot.h) */
struct commit_backup_request;
struct commit_backup {
    uint32_t shard;
    /* On the asking loop. 0: what was acknowledged before the question is in it. ERR_NOT_LEADER, ERR_NOT_FOUND (this node
     * does not hold the shard), ERR_FULL, ERR_CLOSED: then it is over. */
    void (*on_open)(struct commit_backup *b, int rv);
    uint64_t index, term, digest; /* of the state, when on_open comes with 0 */
    struct queue_counts counts;
    struct commit_backup_request *request; /* private */
};
/* 0: on_open comes, never inside. While it is open the shard's log is not cut: the owner closes it soon. */
int commit_backup_open(struct commit *c, struct loop *l, struct commit_backup *b);
/* Appends at most QUEUE_CHUNK_SIZE_MAX bytes; *last with the last ones. May wait for the disk: by a pool, one at a time.
 * ERR_CORRUPT: a body that is live is nowhere. */
int commit_backup_next(struct commit_backup *b, struct buf *out, bool *last);
/* On the asking loop, also while it is being opened (on_open does not come then). Harmless when it is closed. */
void commit_backup_close(struct commit_backup *b);

/* ---- seeing (any thread) */

struct queue_store *commit_store(struct commit *c);
unsigned commit_shard_max(const struct commit *c); /* the highest number that can be */
unsigned
commit_shard_count(const struct commit *c); /* the highest number that was opened here; grows */
struct loop *commit_shard_loop(const struct commit *c, uint32_t shard); /* NULL: no such shard */
struct commit_shard_view {
    uint32_t shard;
    bool is_open; /* this node holds the shard */
    bool leads;
    bool is_closed; /* it takes no new mail, for good */
    struct raft_group_view raft;
    struct queue_counts counts;
    uint64_t digest;
    uint64_t
        state; /* the queue's state ends with this entry; raft's own entries behind it do not count */
    uint64_t cut; /* the log begins behind this index */
};
void commit_shard_see(struct commit *c, uint32_t shard, struct commit_shard_view *out);
/* The node that leads the shard as far as is known here. 0: none. */
uint64_t commit_shard_leader(struct commit *c, uint32_t shard);
/* True when mail that comes here can be committed: every shard leads, or, of a node of several, one does, here or on a node that
 * mail is forwarded to. For /readyz. `why` says what is missing. */
bool commit_is_ready(struct commit *c, char *why, size_t why_size);
/* From now on commit_mail answers ERR_CLOSED; what is in flight is answered. Any thread. */
void commit_drain(struct commit *c);

#endif
