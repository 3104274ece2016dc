/* shard - private to commit: one shard's group and queue on its loop, and what is on its way to them. */
#ifndef COMMIT_SHARD_H
#define COMMIT_SHARD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "node/commit/commit.h"
#include "proto/ground/arena.h"
#include "proto/ground/check.h"
#include "proto/ground/log.h"
#include "proto/ground/metric.h"

#define COMMIT_BATCH_ARENA_MAX     (4u << 20)
#define COMMIT_UPLOAD_ABANDONED_MS (2u * 60 * 60 * 1000)
#define COMMIT_PURGE_EVERY_MS      1000
#define COMMIT_PURGE_LIMIT         100 /* messages of one purge */
#define COMMIT_LOOK_EVERY_MS       500
#define COMMIT_HOUSE_EVERY_MS      250
#define COMMIT_REST_MS             300000 /* memtables of a busy node are full earlier */
#define COMMIT_LOGS_WAIT_TIMES     4 /* logs of so many times cut_bytes wait for no other node that lags */
#define COMMIT_CACHE_SHARES        16 /* of the body cache, where shards come while the node runs */

/* Bodies of young mails, by entry; least recently added goes first when the bytes are over the bound. */
struct body_cache {
    struct cached_body *by_entry; /* uthash, in order of insertion */
    size_t bytes;
    atomic_size_t bytes_max;
};
void body_cache_put(struct body_cache *cache, uint64_t entry, struct blob *body);
struct blob *body_cache_get(struct body_cache *cache, uint64_t entry); /* a reference, or NULL */
void body_cache_drop(struct body_cache *cache, uint64_t entry);
void body_cache_clear(struct body_cache *cache);

/* A command on its way through the log. Whoever proposes embeds it; on_result runs on the shard's loop,
 * after the entry is applied (rv 0), or with why it will not be (or may never be) applied. */
struct command {
    struct raft_proposal proposal;
    struct shard *shard;
    struct buf head;
    struct list link;  /* in shard->in_flight, in log order */
    struct blob *body; /* a reference, or NULL */
    bool keep_body;    /* put it into the cache as soon as the entry is applied */
    void (*on_result)(struct command *cmd, int rv, uint64_t entry);
};

struct refusal {
    uint64_t entry, index;
    uint32_t recipient;
    int error;
};

struct shard {
    struct commit *commit;
    uint32_t number;
    struct loop *loop;
    struct raft_group *group;
    struct queue *queue;
    uint64_t replay_to; /* entries up to here were in the log when it was opened */
    bool is_open;       /* the shard's loop only; is_open_shared for the others */
    bool is_leader;     /* of the group, as raft told */
    bool leads;         /* and the in-doubt set is dealt with */
    uint64_t term;
    struct place *place;      /* place.c; NULL: nobody said who shall hold it */
    struct vacating *vacating; /* vacate.c; NULL: it is held here, or nothing of it is here */
    struct list in_flight;    /* struct command */
    struct list *apply_at;    /* the first of these that is not applied yet; &in_flight: none */
    struct refusal *refusals; /* of entries that are applied and not yet answered */
    size_t refusal_count, refusal_cap;
    struct body_cache cache;

    /* what this turn collected, proposed by the loop's hook */
    struct list claims; /* struct commit_claim */
    unsigned claim_refs;
    unsigned claims_away; /* batches of them that are proposed and not yet applied */
    struct list outcome_batches; /* struct outcome_batch */
    struct queue_ref *expires;
    unsigned expire_count;

    bool is_offered; /* mail may go to it, as far as the shard goes */
    bool is_sealing; /* a Close is on its way */
    bool is_purging, is_closing;
    bool has_ended; /* for all nodes and for ever: what is here of it is removed */
    uint64_t uploads_due_ms; /* mono; no open upload is old before: they are not looked at */
    uint64_t look_at_ms, looked; /* mono; while it does not lead: what was applied when it last looked what is due */
    uint64_t purge_at_ms, mark; /* mono; where the state ended at the last mark, for the next cut */
    uint64_t cut;
    uint64_t moved;     /* this far it may be cut */
    uint64_t cut_waits; /* this far it is cut next, when no snapshot is open and nobody needs it; 0: not */
    atomic_uint snapshots_out;
    struct incoming *incoming;

    pthread_mutex_t view_lock; /* guards view only */
    struct commit_shard_view view;
    atomic_bool leads_shared, is_open_shared;
    atomic_bool takes_shared; /* leads, and mail may go to it now */
    atomic_bool stays_shared; /* this node leaves, and nobody is there who could lead it instead */
    atomic_bool hands_over_shared;
    atomic_uint uploads_shared; /* open ones, and mails made of one that are not answered: see upload.h */
    atomic_ullong messages_shared, bytes_shared, log_bytes_shared;
};

struct commit_loop {
    struct commit *commit;
    struct loop *loop;
    unsigned number;
    struct loop_hook hook;
    unsigned next_shard; /* round robin of this loop's shards */
};

struct incoming;  /* snapshot.c: one that comes */
struct house;     /* house.c: cuts, moves, purges, disk reserve */
struct leaders;   /* leaders.c */
struct forwarded; /* forwarded.c */

struct commit {
    struct commit_options o;
    struct commit_loop *loops;
    struct shard *shards; /* number - 1 */
    struct list watchers;
    unsigned shard_max;
    atomic_uint shard_count; /* the highest number that is open */
    atomic_ullong queue_messages_max, queue_bytes_max, disk_reserve_bytes, retention_ms;
    atomic_bool draining, disk_low, cordoned, leaving;
    atomic_bool logs_wait; /* with a cut, for nodes that lag */
    atomic_uint leave_turn;     /* place.c: who gets the next leadership */
    atomic_uint vacates;        /* vacate.c: the shard whose turn it is; 0: none */
    atomic_uint vacating_count; /* shards that moved away, and may have left something */
    atomic_ullong questions;
    atomic_ullong upload_counter;
    uint64_t started_ms; /* wall: distinguishes uploads of process lives */
    struct house *house;
    struct leaders *leaders; /* NULL: no peers; so the next */
    struct forwarded *forwarded;
};

static inline struct shard *commit_shard(struct commit *c, uint32_t number)
{
    return number >= 1 && number <= c->shard_max ? &c->shards[number - 1] : NULL;
}

/* mail.c: as commit_may_take, of this node alone */
int commit_takes_here(struct commit *c, uint64_t size);

/* command.c */
void command_init(struct command *cmd, struct shard *s);
void command_deinit(struct command *cmd);
/* On the shard's loop. cmd->head is packed. 0: on_result comes, later. Else it does not. */
int command_propose(struct command *cmd);
/* The same for who can go elsewhere: also ERR_NOT_LEADER when the leadership has gone, or is being handed over. */
int command_offer(struct command *cmd);
/* Packs and proposes; the same answers, and ERR_FULL for a command that is too large. */
int command_send(struct command *cmd, const Angarium__Command *what);
/* First refusal that applying `entry` met: its error, or 0. */
int command_refusal(struct shard *s, uint64_t entry);
bool command_refused(struct shard *s, uint64_t entry, uint64_t index, uint32_t recipient);

/* shard.c */
int shard_open(struct shard *s, const struct core_config *config, struct errmsg *why);
void shard_close(struct shard *s);
void shard_end(struct shard *s); /* while others go on: on its loop, nothing of it under way */
/* Mail goes to the shard, or not for now. */
void shard_offer(struct shard *s, bool offered);
void shard_see(struct shard *s); /* refreshes the view; on the loop, or after it has stopped */

/* snapshot.c */
struct raft_snapshot_calls snapshot_calls(void);
bool snapshot_is_away(const struct shard *s); /* one that comes is in the hands of a pool */

/* place.c: who shall hold the shard */
void place_turn(struct shard *s, uint64_t mono_ms);
void place_close(struct shard *s);
bool place_hands_over(const struct shard *s); /* no claims now */
void shard_count(struct commit *c, unsigned number); /* the loops' turns reach so far */
bool place_takes_mail(const struct shard *s);
void place_take(struct shard *s, const struct commit_placement *p); /* it is placed here */

/* attempt.c: claims, outcomes, expiries of a turn */
void attempt_init(struct shard *s);
void attempt_deinit(struct shard *s);
void attempt_flush(struct shard *s);
/* The leadership is gone: what waits is the next leader's. */
void attempt_drop(struct shard *s);
bool attempt_waits(const struct shard *s);
/* The claims found at the start of a leadership become in_doubt; then shard_lead(). */
void attempt_settle_doubt(struct shard *s);
void shard_lead(struct shard *s);

/* forget.c: a shard that has ended is removed here, when nothing of it is under way */
void forget_turn(struct shard *s);
bool forget_waits(const struct shard *s); /* something is under way: it cannot be closed now */

/* vacate.c: a shard that moved away is removed here, when control says that it is not held */
void vacate_turn(struct shard *s, uint64_t mono_ms);
/* It is placed here (again). True: the pool is at what was left of it: the placement is taken when that is done. */
bool vacate_defers(struct shard *s, const struct commit_placement *p);
/* The process ended between log and state: the state goes, then the placement is taken. */
void vacate_finish(struct shard *s, const struct commit_placement *p);
void vacate_end(struct shard *s);

/* close.c: a shard that closes, where it leads; `tells`: now is the time to say that it is empty */
void close_turn(struct shard *s, bool tells);

/* house.c */
void house_open(struct commit *c);
void house_close(struct commit *c);
void house_purge(struct shard *s, uint64_t mono_ms);
void house_look(struct shard *s, uint64_t mono_ms);
void house_cut_late(struct shard *s);
/* What replaces all of a shard's state. `run` on the DISK pool when no cut is under way; `done` then on the shard's loop, which
 * may free it; also with ERR_CLOSED when it was not run before the end. After rv 0 the log is cut at `index`; 0: there is none. */
struct house_job {
    struct loop_letter letter;
    struct list link;
    struct shard *shard;
    uint64_t index;
    int rv;
    void (*run)(struct house_job *j);
    void (*done)(struct house_job *j);
};
void house_do(struct house_job *j);
void house_purge_upload(struct shard *s, struct span upload);

#endif
