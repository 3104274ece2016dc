/* inside - private to the engine.
 *
 *   engine.c    opening, closing, the turn of a loop
 *   group.c     a group's life: opening from its log, closing
 *   step.c      events into the core, and what its updates ask for
 *   todo.c      what a group has for the log, in order       flight.c  writes on their way through the log thread
 *   ring.c      the newest entries of a group, in memory     cache.c   how many bytes of them a loop keeps
 *   propose.c   a command enters     ask.c    reads, changes, transfers
 *   apply.c     committed entries go to the machine, answers to the proposers
 *   replay.c    those that are not in memory, out of the log
 *   cut.c       the log forgets      weight.c how many bytes it holds
 *   wake.c      when each group wants to be woken
 *   peer.c      who lives: beats, suspicion, rest generations
 *   inbox.c     frames from the wire's threads to the loops  outbox.c  messages to frames
 *   frame*.c config.c  as bytes                              reader.c  reads that no loop waits for
 *   shipment.c  snapshots that go    stage.c   snapshots that come
 */
#ifndef RAFT_ENGINE_INSIDE_H
#define RAFT_ENGINE_INSIDE_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <uthash.h>

#include "proto/ground/check.h"
#include "proto/ground/metric.h"
#include "proto/ground/mpsc.h"
#include "raft/core/core.h"
#include "raft/engine/engine.h"
#include "raft/engine/frame.h"

#define NEVER UINT64_MAX

/* ---- weight.c: payload bytes of the log behind its last cut */

#define WEIGHT_MARKS  64
#define WEIGHT_STRIDE (256u << 10)

struct weight {
    struct weight_mark {
        uint64_t index, bytes; /* all that was ever appended, up to and with index */
    } only, *marks; /* the first stands at the last cut; only: a log without payload has no other */
    unsigned count, cap;
    uint64_t last, bytes, stride;
};
void weight_init(struct weight *w, uint64_t index); /* an empty log behind index; w is raw memory, and stays in its place */
void weight_deinit(struct weight *w);
void weight_add(struct weight *w, uint64_t index, uint64_t bytes);
void weight_cut(struct weight *w, uint64_t index);
void weight_truncate(struct weight *w, uint64_t from);
uint64_t weight_bytes(const struct weight *w);

/* ---- ring.c: entries first .. first + count - 1, without a gap */

struct slot {
    struct span head, body;
    struct blob *owner; /* of the bytes; NULL: the proposer's */
    struct blob *body_owner; /* NULL: owner has the body, too */
    struct raft_proposal *proposal;
    uint64_t term;
    enum core_entry_kind kind;
};
struct ring {
    struct slot *slots;
    unsigned cap, head, count;
    uint64_t first;
};
struct slot *ring_at(const struct ring *r, uint64_t index); /* NULL: not there */
/* The next one, zeroed; an empty ring begins at index. */
struct slot *ring_push(struct ring *r, uint64_t index);
void ring_drop_first(struct ring *r);
void ring_drop_last(struct ring *r);
void ring_deinit(struct ring *r);

/* ---- todo.c */

enum todo_mark { TODO_NONE, TODO_INTENT, TODO_BEGIN }; /* what landing it means besides */
struct todo {
    uint64_t write_id; /* 0: none of the core's */
    bool has_hard, has_op;
    struct core_hard hard;
    uint64_t truncate_from, truncate_to; /* 0: none */
    uint64_t first;
    unsigned count; /* entries, in the ring */
    enum todo_mark mark;
    struct store_op op; /* has_op: of the engine's own */
    struct blob *owner; /* of its head */
};

/* ---- flight.c: one write of one loop. A loop has FLIGHTS of them; when all are in the air, what
 * comes gathers in its groups until one lands. Owned by the loop on the ground, by the log thread
 * in the air. */

#define FLIGHTS          4
#define FLIGHT_OPS_MAX   1024
#define FLIGHT_BYTES_MAX (8u << 20)

struct flight_ack {
    struct raft_group *group; /* NULL: closed meanwhile */
    uint64_t write_id;        /* the group's last one in this flight; 0: none */
    enum todo_mark mark;
};
struct flight {
    struct store_write write;
    struct engine_loop *loop;
    bool in_air;
    uint64_t left_ms;
    size_t op_count, ack_count, bytes;
    struct store_op ops[FLIGHT_OPS_MAX];
    struct blob *owners[FLIGHT_OPS_MAX][2]; /* of the bytes of each op; may be NULL */
    struct flight_ack acks[FLIGHT_OPS_MAX];
};

/* ---- peers: one for each node that ever shared a group */

struct engine_peer {
    uint64_t node;
    atomic_uint groups;
    atomic_size_t inbox_bytes[WIRE_LANES]; /* received, not stepped */
    atomic_bool paused[WIRE_LANES];
    _Atomic(uint32_t) format; /* the highest that both ends know, as of the last lane that came up */
    /* loop 0 */
    bool up;
    bool lanes[WIRE_LANES];
    uint64_t heard_ms, incarnation, generation;
};

/* ---- outbox.c: a loop's messages to a peer, until they are packed */

#define OUTBOX_MESSAGES_MAX                                                                        \
    4096 /* of a lane; what comes then is dropped, the core sends it again */

struct outgoing {
    struct list link;
    struct raft_group *group;
    uint64_t after_write;
    struct core_msg msg;
    unsigned again;          /* entries of it that were sent before */
    unsigned packed;         /* entries of it that have left, in frames of their own */
    struct fetched *fetched; /* the entries, read from the log */
    bool waits;              /* for that */
};
struct outbox {
    struct engine_peer *peer; /* NULL: not used */
    struct list lanes[WIRE_LANES];
    unsigned counts[WIRE_LANES];
    struct list replies;            /* struct reply_out */
    struct blob *stuck[WIRE_LANES]; /* the lane is full: waits for room */
    bool must_beat;
    uint64_t incarnation, generation; /* of the peer, as this loop knows */
    bool up;
};

/* ---- the loop */

enum mail_kind {
    MAIL_FRAME,
    MAIL_LINK,
    MAIL_ROOM,
    MAIL_PEER,
    MAIL_FETCHED,
    MAIL_CHUNK,
    MAIL_REPLAY
};
struct mail {
    struct mpsc_node node;
    enum mail_kind kind;
};

struct engine_loop {
    struct raft *raft;
    struct raft_loop_port port;
    unsigned number;
    struct mpsc landed;       /* struct flight, from the log thread */
    struct mpsc inbox;        /* struct mail, from any thread */
    struct flight *flights;   /* FLIGHTS */
    struct list groups;       /* all of the loop */
    struct list chunks;       /* their memory */
    struct raft_group *table; /* by number */
    struct list unsent;       /* groups that have something for the log */
    struct list unapplied;    /* groups that have committed entries to apply */
    struct list unflushed;    /* groups whose core is to be told that no more proposals come */
    struct list cached;       /* groups with entries in memory, least recently appended first */
    struct list misplaced;    /* groups led here that another one should lead */
    struct list shipments;    /* snapshots that go: struct shipment */
    struct list fetches;      /* reads on their way: struct fetch */
    struct list unread;       /* groups whose next committed entries are to be read */
    unsigned replays;         /* read, or being read, and not applied */
    size_t cached_bytes;
    struct raft_group **heap; /* by wake_at_ms */
    unsigned heap_count, heap_cap;
    struct outbox outboxes[RAFT_PEERS_MAX]; /* as raft.peers */
    unsigned outbox_count;
    struct frame_out frame;
    struct core_update update,
        inner;                  /* inner: of calls that may come while `update` is carried out */
    struct core_entry *entries; /* scratch of one message: FRAME_APPEND_MAX */
    uint64_t here[FRAME_APPEND_MAX + 1];
    struct frame_entry *bytes;
    uint64_t now_ms;
    uint64_t tokens, tokens_ms; /* snapshots: bytes that may leave now */
    unsigned bulk_turn;         /* the outbox whose turn it is to take of them */
    uint64_t balance_at_ms;
    uint32_t stall_told_ms; /* age of the oldest write, as the cores know */
    uint16_t free_told;
    bool is_stalled;
    bool is_turning;
};

struct raft {
    uint64_t node_id, seed, incarnation;
    size_t uncommitted_bytes_max, cache_bytes_max, inbox_bytes_max;
    uint32_t snapshot_bytes_per_s;
    struct raft_times times;
    struct raft_trial trial;
    struct store *store;
    bool owns_store, tainted;
    unsigned loop_count;
    struct engine_loop *loops;
    struct wire *wire;
    struct reader *reader; /* NULL: reads are done at once */
    atomic_uint free_permille;
    atomic_uint stalled_loops;
    atomic_ullong rest_generation; /* our own */
    atomic_ullong shipment_count;
    uint64_t beat_at_ms; /* loop 0 */
    /* Nodes are added under the lock and never go; their count is written last. */
    pthread_mutex_t lock;
    atomic_uint peer_count;
    struct engine_peer peers[RAFT_PEERS_MAX];
    pthread_rwlock_t directory_lock;
    struct raft_group *directory; /* which loop owns a group; uthash, by directory_hh */
};

/* ---- the group */

struct raft_group {
    struct list link, unsent_link, unapplied_link, unflushed_link, cached_link, misplaced_link,
        unread_link;
    UT_hash_handle hh, directory_hh;
    struct raft *raft;
    struct engine_loop *loop;
    uint64_t number;
    struct raft_machine machine;
    struct core *core;
    size_t bytes; /* of the block: the group, its core, its peers */
    bool closing;

    uint64_t first; /* of the log, as cut */
    uint64_t commit, applied;
    uint64_t wake_at_ms;
    unsigned heap_at; /* its place in the loop's heap; UINT_MAX: not in it */
    enum raft_role told_role;
    uint64_t told_term, told_leader;

    /* For the log, in this order: a cut, then the todos. */
    uint64_t cut_from, cut_to, cut_term; /* cut_to 0: none */
    struct blob *cut_config;
    uint64_t cut_config_index, kept_config_index; /* the last one kept beside the log */
    struct todo *todos;
    unsigned todo_count, todo_cap;
    uint64_t write_last; /* ids: the core's last one */

    struct ring ring;
    size_t cached_bytes;
    struct list superseded; /* proposals that wait until the log has let go of their bytes */
    uint64_t superseded_write;
    struct list held;             /* struct outgoing: leave when a write is durable */
    struct list reads_new, reads; /* struct raft_read: not asked yet; waiting */
    unsigned read_count;
    uint64_t read_round;

    struct engine_peer **peers; /* the other members; room for members_max */
    unsigned peer_count;
    uint64_t fetching[(RAFT_PEERS_MAX + 63) / 64]; /* bit: APPENDs to this peer wait for a read */
    uint64_t rest_generation; /* of the leader's node, when it agreed to rest */
    bool resting, alone;
    struct replay *replay; /* committed entries that come from the log */
    uint64_t handed_ms; /* the last hand-over to who is preferred; the next one not before handed_wait_ms */
    uint32_t handed_wait_ms;
    struct stage *stage; /* a snapshot that comes */
    bool stage_installs; /* nothing is applied or cut */

    struct weight weight;
};

/* ---- engine.c: what the log holds cannot be read: the process ends with a last word (tests: as raft_try says) */
void engine_end(struct raft *r, const char *what, int error);

/* ---- slab.c: blocks of memory side by side. What was given back is taken first; a chunk that is empty goes. */
void *slab_take(struct list *chunks, size_t size); /* zeroed, 16-byte aligned */
void slab_give(struct list *chunks, void *bytes);

/* ---- step.c */
int group_step(struct raft_group *g, struct core_event *e, struct core_update *u);
/* group_step and group_carry_out, for events that cannot fail. */
void group_event(struct raft_group *g, struct core_event *e);
/* m: the message that was stepped; NULL: none. */
void group_carry_out(struct raft_group *g, const struct core_update *u,
                     const struct frame_message *m, struct blob *blob);
void group_receive(struct raft_group *g, const struct frame_message *m, struct blob *blob,
                   uint64_t generation);
void group_mark_unsent(struct raft_group *g);
void group_mark_unflushed(struct raft_group *g);
void group_flush(struct raft_group *g);
void group_tell_peer(struct raft_group *g, uint64_t node, bool up, bool woke);
int group_take_members(struct raft_group *g); /* as the core's configuration says; ERR_FULL */
/* Which peers are down, judged once for all groups: a core takes each one that comes for up, also one that left and came back in the
 * same step, so that this is told for all of them whenever the members change. */
void group_tell_down(struct raft_group *g);
void group_answer(struct list *proposals, enum raft_answer answer);
struct raft_group *group_find(struct engine_loop *l, uint64_t number);

/* ---- cache.c */
void cache_add(struct raft_group *g, uint64_t index, const struct slot *entry); /* takes its references */
/* The oldest slots up to and with index go; their proposals must have their answers. */
void cache_drop_upto(struct raft_group *g, uint64_t index);
/* The newest go, from index on; their proposals are superseded. */
void cache_truncate(struct raft_group *g, uint64_t from);
void cache_clear(struct raft_group *g, struct list *proposals_out);
void cache_rest(struct raft_group *g);
/* It follows, and has applied: it keeps a little, for when it leads. */
void cache_follow(struct raft_group *g);
void cache_evict(struct engine_loop *l);

/* ---- todo.c */
void todo_write(struct raft_group *g, const struct core_update *u);
void todo_op(struct raft_group *g, const struct store_op *op, struct blob *owner,
             enum todo_mark mark);
/* Moves what the group has for the log into the flight; false when it did not all fit. */
bool group_load(struct raft_group *g, struct flight *f);
void todo_deinit(struct raft_group *g);

/* ---- flight.c */
/* Fills free flights with what the loop's groups have for the log and hands them over. */
void flights_send(struct engine_loop *l);
/* Takes in those that the log thread is done with. */
void flights_land(struct engine_loop *l);
/* The group goes away: waits until no flight carries bytes of it, and forgets it in all of them. */
void flights_forget(struct engine_loop *l, struct raft_group *g);
void flights_close(struct engine_loop *l);
uint32_t flights_oldest_ms(const struct engine_loop *l);

/* ---- apply.c: one slice; true: there is more, and it is here. */
#define APPLY_ENTRIES_MAX 256 /* of a slice */
#define APPLY_BYTES_MAX   (4u << 20)
bool group_apply(struct raft_group *g);

/* ---- replay.c: committed entries that are not in memory, by the reader thread */
#define RAFT_REPLAYS_MAX 4 /* slices of a loop, read or being read */
void replay_want(struct raft_group *g); /* the group is put among the unapplied ones when they are here */
/* The slice that begins with the next entry to apply; NULL: not here. It stays the group's until replay_drop. */
const struct fetched *replay_ready(const struct raft_group *g);
void replay_drop(struct raft_group *g);
void replay_done(struct engine_loop *l, struct mail *mail);
void replay_forget(struct raft_group *g); /* the group closes */

/* ---- cut.c */
/* Rare: of an entry that the core does not remember it is read, on the loop. */
uint64_t group_term_at(const struct raft_group *g, uint64_t index);
/* What the core asks for before it steps the message; good until the loop's next one. */
void group_fill_here(const struct raft_group *g, struct core_msg *m);
/* The configuration that counts at index, which is not behind the cut. The core remembers two; an older one is read. */
int group_config_at(const struct raft_group *g, uint64_t index, struct core_config *out);

/* ---- wake.c */
void wake_set(struct raft_group *g, uint64_t at_ms);
void wake_forget(struct raft_group *g);
uint64_t wake_next(const struct engine_loop *l);
void wake_due(struct engine_loop *l);

/* ---- peer.c */
struct engine_peer *peer_find(struct raft *r, uint64_t node, unsigned *number_out);
struct engine_peer *peer_add(struct raft *r, uint64_t node); /* NULL: RAFT_PEERS_MAX */
void peer_shared(struct raft_group *g, struct engine_peer *p);
void peer_unshared(struct raft_group *g, struct engine_peer *p);
/* Loop 0: a beat, or a link, of a node. */
void peer_heard(struct engine_loop *l, struct engine_peer *p, uint64_t incarnation,
                uint64_t generation);
void peer_link(struct engine_loop *l, struct engine_peer *p, enum wire_lane lane, bool up);
void peers_time(struct engine_loop *l);
uint64_t peers_wake_at(const struct engine_loop *l);
/* Every loop: what loop 0 found. */
void peer_judged(struct engine_loop *l, unsigned number, bool up, uint64_t incarnation,
                 uint64_t generation);
void rest_generation_grow(struct raft *r);

/* ---- inbox.c */
void inbox_put(struct engine_loop *l, struct mail *m);
void inbox_take(struct engine_loop *l);
void inbox_close(struct engine_loop *l);
void inbox_post_peer(struct engine_loop *l, unsigned number, bool up, uint64_t incarnation,
                     uint64_t generation);
void directory_add(struct raft_group *g); /* number and loop are set, and stay */
void directory_remove(struct raft_group *g);
bool directory_has(struct raft *r, uint64_t group);
void directory_close(struct raft *r);

/* ---- outbox.c */
struct outbox *outbox_of(struct engine_loop *l, unsigned number);
void outbox_put(struct raft_group *g, const struct core_send *send);
void outbox_release(struct raft_group *g, uint64_t write_id);
void outbox_forget(struct raft_group *g);
void outbox_reply(struct engine_loop *l, uint64_t node, const struct frame_reply *reply);
void outbox_down(struct engine_loop *l, unsigned number, enum wire_lane lane);
void outbox_room(struct engine_loop *l, unsigned number, enum wire_lane lane);
void outboxes_send(struct engine_loop *l);
void outboxes_close(struct engine_loop *l);
/* Packs what is in l->frame and sends it; false: the lane takes no more now. */
bool outbox_send_frame(struct engine_loop *l, struct outbox *o, enum wire_lane lane);

/* ---- reader.c */

struct read_job {
    struct mpsc_node node;
    void (*run)(struct read_job *job); /* on the reader thread; ends by inbox_put */
};
void reader_open(struct raft *r);
void reader_close(struct raft *r);
void reader_do(struct raft *r, struct read_job *job);
void reader_drain(struct raft *r); /* returns when all that was asked before is done */

struct fetched_entry {
    uint64_t term;
    enum core_entry_kind kind;
    struct blob *head, *body;
};
struct fetched {
    unsigned count;
    struct fetched_entry entries[];
};
void fetched_free(struct fetched **f);
/* Entries of m, which goes to the peer: comes back as MAIL_FETCHED, and to fetch_done. */
void fetch_begin(struct engine_loop *l, struct outgoing *m, unsigned peer);
void fetch_done(struct engine_loop *l, struct mail *mail);
void fetch_forget(struct outgoing *m);

/* ---- shipment.c */
#define RAFT_SHIPMENTS_MAX   4 /* of a loop */
#define RAFT_CHUNKS_AWAY_MAX 4 /* made, and not staged there yet */
void shipment_begin(struct raft_group *g, uint64_t to);
void shipments_run(struct engine_loop *l);
uint64_t shipments_wake_at(const struct engine_loop *l);
void shipments_send(struct engine_loop *l);
void shipments_down(struct engine_loop *l, uint64_t node);
void shipment_reply(struct raft_group *g, uint64_t from, const struct frame_reply *reply);
void shipment_chunk_done(struct engine_loop *l, struct mail *mail);
void shipments_forget(struct raft_group *g);
uint64_t shipments_hold(const struct raft_group *g); /* no cut behind this index; NEVER: none */

/* ---- stage.c */
void stage_take(struct raft_group *g, uint64_t from, const struct frame_chunk *chunk);
void stage_install(struct raft_group *g, struct core_pos pos); /* CORE_INSTALL */
void stage_intended(struct raft_group *g);                     /* TODO_INTENT has landed */
void stage_begun(struct raft_group *g);                        /* TODO_BEGIN has landed */
void stage_forget(struct raft_group *g);

/* ---- ask.c */
void reads_flush(struct raft_group *g);
void reads_told(struct raft_group *g, const struct core_read *reads, unsigned count);
void reads_settle(struct raft_group *g);
void reads_end(struct raft_group *g, int rv);
void balance_mark(struct raft_group *g);
void balance(struct engine_loop *l);

/* ---- offline.c */
struct raft_offline {
    struct store *store;
};

#endif
