/* raft - many replicated logs (groups) in one process, driven by the caller's event loops.
 *
 * Way:     raft_propose -> core step (append, write id W) -> log thread: one synced batch for all groups,
 *          beside it APPENDs to the peers -> durable(W), replies -> core step (commit) -> machine.apply, in
 *          log order -> proposal.on_done.
 * Threads: a group belongs to one loop, named when it is opened. Every function that takes a group, and
 *          every call-back of its machine and of its requests, runs on that loop's thread, inside
 *          raft_turn() or raft_group_open(), never inside raft_propose(). Exceptions are marked
 *          "any thread". The log thread and the reader thread are the library's own.
 * Loops:   the library knows no event loop. For each loop the caller gives a `wake` function (any
 *          thread may call it; it must make raft_turn() run soon on that loop) and calls raft_turn():
 *          when woken, once before the loop sleeps, and at the time that the last raft_turn returned.
 *          Over a memory log (dir NULL) and a wire that calls back on the same thread there is no thread but
 *          the caller's, and nothing happens but in raft_turn(): a simulator drives it by a clock of its own.
 * Nodes:   groups of several members talk over a wire (raft/wire/wire.h): the caller opens it with
 *          raft_wire_events() and gives it to raft_wire_attach(). Loop 0 judges who lives: each 100 ms a beat
 *          to every node that shares a group. Idle groups rest: they send nothing and set no timer.
 * Fails:   a failed write or fsync ends the process with a last word on stderr (P7); nothing retries it.
 * Ref:     Ongaro, "Consensus: Bridging Theory and Practice" (thesis), chapters 3, 4, 6 and 9.
 */
#ifndef RAFT_RAFT_H
#define RAFT_RAFT_H

#include "proto/ground/err.h"
#include "proto/ground/list.h"
#include "proto/ground/span.h"
#include "raft/core/core.h"
#include "raft/wire/wire.h"

struct buf;
struct raft;
struct raft_group;

#define RAFT_VOTERS_MAX  CORE_VOTERS_MAX
#define RAFT_MEMBERS_MAX CORE_MEMBERS_MAX
#define RAFT_LOOPS_MAX   256u
#define RAFT_PEERS_MAX                                                                             \
    WIRE_PEERS_MAX /* nodes that share groups with this one, over its process life */

enum raft_role { RAFT_FOLLOWER, RAFT_CANDIDATE, RAFT_LEADER, RAFT_BROKEN };
const char *raft_role_name(enum raft_role role);

/* Who is in a group: struct core_config (members with zone, region, priority; spread). Voters alone; this node alone: */
struct core_config raft_config_of(const uint64_t *voters, unsigned count);
#define RAFT_ALONE(self)                                                                           \
    {                                                                                              \
        .count = 1, .members = { { .node = (self), .flags = CORE_VOTES_NEW, .priority = 1 } }      \
    }

struct raft_loop_port {
    void *arg;
    void (*wake)(void *arg); /* any thread, until raft_close returns; coalesced calls are fine */
};

/* Times, of the groups of several members; 0 takes the default. */
struct raft_times {
    uint32_t beat_ms;       /* 100: between nodes, and of a group that is not at rest */
    uint32_t suspect_ms;    /* 500: a node that is silent so long is down */
    uint32_t election_ms;   /* 500: a timeout is drawn from [election_ms, 2 * election_ms) */
    uint32_t rest_after_ms; /* 1000: a group that is idle so long rests; UINT32_MAX: never */
    uint32_t
        disk_stall_ms; /* 2000: a leader whose write is older steps down (R9); UINT32_MAX: never */
};

struct raft_options {
    const char *dir;  /* the log's directory; made when missing. NULL: log in memory (tests) */
    uint64_t node_id; /* from 1 */
    const struct raft_loop_port *loops; /* copied */
    unsigned loop_count;
    uint64_t seed;                      /* of election jitter */
    size_t group_uncommitted_bytes_max; /* proposals over it answer ERR_FULL; 0: 64 MiB */
    size_t memtable_bytes;              /* of the log's RocksDB; 0: 128 MiB */
    /* groups of several members */
    uint64_t incarnation;          /* as the wire's: grows with each start of this node */
    size_t cache_bytes_max;        /* entries kept in memory, a loop; 0: 64 MiB */
    size_t inbox_bytes_max;        /* received and not stepped, a peer and lane; 0: 8 MiB */
    uint32_t snapshot_bytes_per_s; /* sent by this node; 0: 64 MiB */
    bool reads_inline; /* no reader thread: raft_turn() itself reads the log for peers */
    struct raft_times times;
};

/* Opens (or makes) the log. Refuses a log of a newer format (ERR_VERSION), a damaged one (ERR_CORRUPT),
 * one in use by another process (ERR_BUSY). `*tainted_out` (NULL allowed) tells that the log is behind its
 * watermark: synced data was lost. Groups opened then follow, but neither vote nor lead until what was lost has come
 * back from the others (view.tainted); a group of one voter waits for ever, and writes nothing. */
int raft_open(struct raft **out, const struct raft_options *o, bool *tainted_out,
              struct errmsg *why);
/* Ends the log thread after what was submitted is written; requests not yet answered get RAFT_UNKNOWN.
 * All loops must have stopped calling raft_turn, and the wire must be closed. */
void raft_close(struct raft **r);

/* Steps the loop's groups: completions of the log, frames, time, requests; hands one batch to the log thread
 * and one frame a lane to each peer. Returns when to be called again, in mono ms (UINT64_MAX: only when woken). */
uint64_t raft_turn(struct raft *r, unsigned loop, uint64_t mono_ms);

/* ---- the wire */

/* What to open the wire with. Frames of this library begin with the byte RAFT_FRAME; who shares the wire takes his own
 * away first. The call-backs come on any thread, before and after raft_wire_attach, until raft_close. */
#define RAFT_FRAME 'R'
struct wire_events raft_wire_events(struct raft *r);
/* Once, before loops run. It stays the caller's, who also names the peers' addresses (wire_peer), and closes it after
 * the loops have stopped, before raft_close. */
void raft_wire_attach(struct raft *r, struct wire *w);

/* ---- the machine */

/* An entry as the machine sees it. `head` is the command, `body` bulk bytes that the machine may leave
 * where they are (raft_entry_read finds them again). Both borrowed for the call. Entries that the library
 * makes for itself (no-ops, configurations) are not shown, so indexes have gaps. */
struct raft_entry {
    uint64_t index, term;
    struct span head, body;
};

#define RAFT_CHUNK_SIZE_MAX (256u << 10)

/* A snapshot of the machine: a run of chunks whose content is the machine's own business. Only in groups of several
 * members; NULL pointers: this machine has none, and a peer that would need one waits for ever (metric
 * raft_snapshots_refused_total). */
struct raft_snapshot_calls {
    /* Out, leader or not. open: on the loop; freezes what is applied now, cheaply. next: on the reader thread (one call at
     * a time for each); appends one chunk, at most RAFT_CHUNK_SIZE_MAX bytes, to `out`; *last with the last one (which may
     * be empty). close: on the loop; after the last, or earlier. An error ends the transfer; it is tried again later. */
    int (*open)(void *arg, void **snapshot_out);
    int (*next)(void *arg, void *snapshot, struct buf *out, bool *last);
    void (*close)(void *arg, void *snapshot);
    /* In, on the loop. begin: stage beside the state, which stays as it is; what was staged before goes. chunk: in order;
     * ERR_AGAIN: raft_group_staged will tell, and no other chunk comes before (the bytes are borrowed for the call alone).
     * commit: the staged state takes the place of the old one, as one, and is durable; the machine has then applied all up
     * to and with `index`, and says so at its next raft_group_open. ERR_AGAIN: raft_group_installed will tell. drop: the
     * staged state goes. Nothing is applied between commit and its end. */
    int (*begin)(void *arg, uint64_t index);
    int (*chunk)(void *arg, struct span chunk);
    int (*commit)(void *arg, uint64_t index, uint64_t term);
    void (*drop)(void *arg);
};

struct raft_machine {
    void *arg;
    /* Committed entries, in order, each once per process life, beginning after applied_at_open. */
    void (*apply)(void *arg, const struct raft_entry *entry);
    /* All entries handed over by one step are applied: a place to act on them together. */
    void (*applied)(void *arg, uint64_t upto);
    /* NULL: not wanted. The role changed. RAFT_LEADER is told only after the leader's own first entry (of `term`) is
     * committed and everything before it is applied: what the machine then sees is all there is. */
    void (*role)(void *arg, enum raft_role role, uint64_t term, uint64_t leader);
    /* Another configuration counts, or it committed. Borrowed for the call. NULL: not wanted. */
    void (*members)(void *arg, const struct core_config *config, bool committed);
    struct raft_snapshot_calls snapshot;
    unsigned members_max; /* of its configurations; 0: 9. Memory is taken for so many */
};

/* ---- groups */

/* Opens the group, making it when the log does not know it (its members are then `config`; else those of the log). A node
 * that is added to a group opens it with the configuration that the group has now, and follows. The machine
 * has everything up to applied_at_open; entries after it are applied as they (re)commit. ERR_CORRUPT when
 * the log begins after applied_at_open + 1 (R7: a gap is fatal) or ends before it and is not tainted.
 * ERR_AGAIN: it is buried, and the machine is not empty. ERR_EXISTS when it is open. ERR_RANGE: a configuration that cannot be. ERR_FULL: too many peers (RAFT_PEERS_MAX).
 * Called before loops run, or on `loop`. The role is told inside. */
int raft_group_open(struct raft *r, uint64_t group, unsigned loop, const struct core_config *config,
                    const struct raft_machine *machine, uint64_t applied_at_open,
                    struct raft_group **out, struct errmsg *why);
/* Waits until the log thread has let go of the group's bytes (a sync at most), then answers its requests with
 * RAFT_UNKNOWN. On the group's loop, or when loops have stopped; never inside a call-back. */
void raft_group_close(struct raft_group **g);
/* All that the log holds of a group goes, its terms and votes, too: gone for good when this returns. Waits for a sync: not on
 * a loop. Only for a group that has ended: a member that is asked again after it has forgotten its promises breaks them.
 * *had: there was something. ERR_EXISTS: the group is open. */
int raft_group_forget(struct raft *r, uint64_t group, bool *had, struct errmsg *why);
/* All that the log holds of a group goes but the terms and votes, of which a tombstone stays: gone for good when this returns. Waits
 * for a sync: not on a loop. For a node that is not a member any more, and may become one again: opened again, the group is tainted
 * (view.tainted) and its machine has to be empty: it follows, but neither votes nor leads until a leader has brought what it had
 * committed, at least up to `upto`, which this node knows to be committed.
 * *had: there was something besides. ERR_EXISTS: the group is open. ERR_CORRUPT, ERR_VERSION, ERR_IO: it is left as it is. */
int raft_group_bury(struct raft *r, uint64_t group, uint64_t upto, bool *had, struct errmsg *why);
/* Of a group, open or not: whether the log holds something besides a tombstone, and whether it is buried. Reads the group's log. */
int raft_group_remains(struct raft *r, uint64_t group, bool *remains, bool *buried,
                       struct errmsg *why);

enum raft_answer {
    RAFT_COMMITTED,  /* committed and applied */
    RAFT_SUPERSEDED, /* it will never be applied */
    RAFT_UNKNOWN,    /* it may or may not be applied later */
};

/* A request, embedded in the caller's object. head and body are borrowed until on_done. With an owner, in whose bytes the body lies, no
 * copy of it is made for the other members: the library takes references, which may outlive on_done. */
struct blob;
struct raft_proposal {
    struct span head, body;
    struct blob *owner; /* of body; NULL: none */
    uint64_t term; /* fence: only under this term (R8); 0: under any */
    void (*on_done)(struct raft_proposal *p, enum raft_answer answer, uint64_t index,
                    uint64_t term);
    struct list link; /* the library's, while it is in flight */
    uint64_t index, entry_term;
};

/* 0: on_done will be called once, later. ERR_NOT_LEADER (also before RAFT_LEADER was told), ERR_FULL (bytes
 * or entries in flight), ERR_BUSY (the leadership is being handed over), ERR_SUPERSEDED (the fence), ERR_TOO_LONG (over
 * RAFT_ENTRY_SIZE_MAX): it will not be called. It leaves with the loop's next raft_turn. */
#define RAFT_ENTRY_SIZE_MAX ((1u << 20) - 4096) /* with what a frame needs around it, one frame */
int raft_propose(struct raft_group *g, struct raft_proposal *p);

/* A copy of the entry's head and body out of the log; NULL pointers are skipped. ERR_NOT_FOUND when it was
 * cut or never there. Any thread; may read the disk. */
int raft_entry_read(struct raft *r, uint64_t group, uint64_t index, struct blob **head_out,
                    struct blob **body_out);
/* Entries first..last out of the log, in order, borrowed for each call: no copies. ERR_NOT_FOUND: one of them is not there. Any thread;
 * may read the disk. */
int raft_entries_each(struct raft *r, uint64_t group, uint64_t first, uint64_t last, void *arg,
                      void (*each)(void *arg, const struct raft_entry *entry));

/* What the log has in memory goes to its tables, if it is worth it (true): for who has little to do. Any thread but a loop's: it blocks. */
bool raft_rest(struct raft *r);

/* The machine says: everything up to `upto` is durable in its own store, the log may forget it.
 * Disjoint ranges [last cut, upto] are deleted, by the log thread. No more than what is applied is cut, and nothing behind
 * a snapshot that is on its way to a peer; a tainted log is left as it is. `upto` is an index that the machine knows at a
 * restart (it applied it, or installed it), or there would be a gap. */
void raft_group_cut(struct raft_group *g, uint64_t upto);

/* ---- reads, members, leaders */

/* A read barrier: when on_done says 0, this node led at some moment after the call and everything committed before the call
 * is applied: what the machine shows then is no older (thesis 6.4). Embedded in the caller's object. */
struct raft_read {
    void (*on_done)(struct raft_read *read,
                    int rv); /* 0, ERR_NOT_LEADER, ERR_CLOSED (the group closes) */
    struct list link;
    uint64_t index, round;
};
/* 0: on_done will be called once. ERR_NOT_LEADER, ERR_FULL (RAFT_READS_MAX wait): it will not. */
#define RAFT_READS_MAX 65536u
int raft_group_read(struct raft_group *g, struct raft_read *read);

/* Changes who is in the group, by joint consensus. `version` is a fence: of the configuration (view.config) that it was made
 * for, 0: any. 0: it is on its way; machine.members tells. A new voter is best added as a learner with CORE_PROMOTE first.
 * ERR_NOT_LEADER, ERR_SUPERSEDED (fence), ERR_BUSY, ERR_RANGE, ERR_AGAIN, ERR_EXISTS, ERR_FULL: see core.h, RECONF. */
int raft_group_change(struct raft_group *g, const struct core_config *aim, uint32_t version);
/* Hands the leadership to node `to` (0: the best of the voters), or gives up after within_ms (0: one election timeout).
 * 0: it is on its way; machine.role tells. ERR_NOT_LEADER, ERR_BUSY, ERR_NOT_FOUND, ERR_AGAIN: see core.h, TRANSFER. */
int raft_group_transfer(struct raft_group *g, uint64_t to, uint32_t within_ms);
/* A quorum is lost for good: this node goes on with `nodes`, the voters that are left. What only the lost ones had is gone.
 * dry: only say whether it could be done. ERR_DENIED, ERR_RANGE, ERR_BUSY: see core.h, RECOVER. */
int raft_group_recover(struct raft_group *g, const uint64_t *nodes, unsigned count,
                       uint32_t within_ms, bool dry);
/* After snapshot.chunk said ERR_AGAIN: 0, or why it could not be staged. Not inside a call-back. */
void raft_group_staged(struct raft_group *g, int rv);
/* After snapshot.commit said ERR_AGAIN: how it ended. Not inside a call-back. */
void raft_group_installed(struct raft_group *g, bool ok);

/* How the disks do: free room of the log's, 0..1000 (0: not known). Any thread. Leaders refuse proposals when too few
 * disks have room (low_permille of core.h, 50 here). */
void raft_disk(struct raft *r, uint16_t free_permille);

struct raft_group_view {
    uint64_t group, term, leader, first, last, commit, applied;
    enum raft_role role; /* as told to the machine */
    size_t uncommitted_bytes;
    size_t log_bytes; /* payload bytes behind the last cut; may be a little too many */
    size_t cached_bytes;
    size_t memory_bytes; /* that the library holds for the group, its cached entries aside */
    bool tainted, resting, installing;
    bool config_committed;
    uint64_t transfer_to;
};
void raft_group_see(const struct raft_group *g, struct raft_group_view *out);
/* Borrowed until the group's next turn. */
const struct core_config *raft_group_config(const struct raft_group *g);
/* The leader's view of member i of the configuration; false: no such, or not leading. */
bool raft_group_peer(const struct raft_group *g, unsigned i, struct core_peer_view *out);

/* ---- the log of a process that does not run: for tools that restore and rescue. Everything blocks; what is written is synced,
 * a write that fails ends the process. */
struct raft_offline;
/* Makes the log when there is none. ERR_BUSY: the process runs. ERR_VERSION, ERR_CORRUPT, ERR_IO. */
int raft_offline_open(struct raft_offline **out, const char *dir, bool *tainted,
                      struct errmsg *why);
void raft_offline_close(struct raft_offline **o);
struct raft_offline_view {
    bool known, tainted, installing; /* installing: it ended while a snapshot took the place of the state */
    struct core_hard hard;
    uint64_t first;
    struct core_pos last;
    struct core_config config; /* count 0: the group has none of its own */
};
int raft_offline_see(struct raft_offline *o, uint64_t group, struct raft_offline_view *out,
                     struct errmsg *why);
/* Commands from index `from` on; each returns false to stop. ERR_CORRUPT. */
int raft_offline_each(struct raft_offline *o, uint64_t group, uint64_t from, void *arg,
                      bool (*each)(void *arg, const struct raft_entry *entry));
/* The log of a group that it does not know yet begins behind `at`; these are its members. */
void raft_offline_begin(struct raft_offline *o, uint64_t group, struct core_pos at,
                        const struct core_config *config);
/* Hard state: in `term` it has voted for that node. */
void raft_offline_vote(struct raft_offline *o, uint64_t group, uint64_t term, uint64_t vote);
/* A quorum is lost for good: this log, the newest of those that are left, goes on with `config` in a new era, in `term`, which is
 * higher than any that one of those who are left has seen; they must not vote for another in it (raft_offline_vote). The
 * commands follow at once. All that stands in the log before it counts as committed from now on. ERR_RANGE. */
#define RAFT_OFFLINE_COMMANDS_MAX 2u
int raft_offline_recover(struct raft_offline *o, uint64_t group, uint64_t self, uint64_t term,
                         const struct core_config *config, const struct span *commands,
                         unsigned count, struct errmsg *why);

/* What is known of a node; on loop 0. False: it shares no group. */
struct raft_peer_view {
    uint64_t node, incarnation;
    bool up;
    bool lanes[WIRE_LANES];
    uint64_t heard_ms; /* mono: its last beat; 0: none */
    unsigned groups;   /* shared */
    uint32_t format;   /* the highest that both ends know, when it was last connected; 0: never */
};
bool raft_peer_see(const struct raft *r, uint64_t node, struct raft_peer_view *out);

#endif
