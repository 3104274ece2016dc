/* raft - many replicated logs (groups) in one process, driven by the caller's event loops.
 *
 * Way:     raft_propose -> core step (append, write id W) -> log thread: one synced batch for all groups
 *          -> durable(W) -> core step (commit) -> machine.apply, in log order -> proposal.on_done.
 * Threads: a group belongs to one loop, named when it is opened. Every function that takes a group, and
 *          every call-back of its machine and of its proposals, runs on that loop's thread, inside
 *          raft_turn() or raft_group_open(), never inside raft_propose(). Exceptions are marked
 *          "any thread". The log thread is the library's own.
 * Loops:   the library knows no event loop. For each loop the caller gives a `wake` function (any
 *          thread may call it; it must make raft_turn() run soon on that loop) and calls raft_turn():
 *          when woken, once before the loop sleeps, and at the time that the last raft_turn returned.
 * Fails:   a failed write or fsync ends the process with a last word on stderr (P7); nothing retries it.
 * Ref:     Ongaro, "Consensus: Bridging Theory and Practice" (thesis), chapters 3, 4 and 6.
 */
#ifndef RAFT_RAFT_H
#define RAFT_RAFT_H

#include "proto/ground/err.h"
#include "proto/ground/list.h"
#include "proto/ground/span.h"

struct raft;
struct raft_group;

#define RAFT_VOTERS_MAX 7

enum raft_role { RAFT_FOLLOWER, RAFT_CANDIDATE, RAFT_LEADER, RAFT_BROKEN };
const char *raft_role_name(enum raft_role role);

/* Voting members of a group, by node id (1..). In this version exactly one, this node: groups with more
 * are refused by raft_group_open with ERR_UNSUPPORTED. */
struct raft_config {
    uint64_t voters[RAFT_VOTERS_MAX];
    unsigned voter_count;
};

struct raft_loop_port {
    void *arg;
    void (*wake)(void *arg); /* any thread, until raft_close returns; coalesced calls are fine */
};

struct raft_options {
    const char *dir;  /* the log's directory; made when missing. NULL: log in memory (tests) */
    uint64_t node_id; /* from 1 */
    const struct raft_loop_port *loops; /* copied */
    unsigned loop_count;
    uint64_t seed;                      /* of election jitter */
    size_t group_uncommitted_bytes_max; /* proposals over it answer ERR_FULL; 0: 64 MiB */
    size_t memtable_bytes;              /* of the log's RocksDB; 0: 128 MiB */
};

/* Opens (or makes) the log. Refuses a log of a newer format (ERR_VERSION), a damaged one (ERR_CORRUPT),
 * one in use by another process (ERR_BUSY). `*tainted_out` (NULL allowed) tells that the log is behind its
 * watermark: synced data was lost; groups opened then follow but do not vote or lead. */
int raft_open(struct raft **out, const struct raft_options *o, bool *tainted_out,
              struct errmsg *why);
/* Ends the log thread after what was submitted is written; proposals not yet answered get RAFT_UNKNOWN.
 * All loops must have stopped calling raft_turn. */
void raft_close(struct raft **r);

/* Steps the loop's groups: completions of the log, time, proposals; hands one batch to the log thread.
 * Returns when to be called again, in mono ms (UINT64_MAX: only when woken). */
uint64_t raft_turn(struct raft *r, unsigned loop, uint64_t mono_ms);

/* An entry as the machine sees it. `head` is the command, `body` bulk bytes that the machine may leave
 * where they are (raft_entry_read finds them again). Both borrowed for the call. Entries that the library
 * makes for itself (no-ops, configurations) are not shown, so indexes have gaps. */
struct raft_entry {
    uint64_t index, term;
    struct span head, body;
};

struct raft_snapshot_sink; /* takes chunks of a snapshot; used once groups have several members */

struct raft_machine {
    void *arg;
    /* Committed entries, in order, each once per process life, beginning after applied_at_open. */
    void (*apply)(void *arg, const struct raft_entry *entry);
    /* All entries handed over by one step are applied: a place to act on them together. */
    void (*applied)(void *arg, uint64_t upto);
    /* The role changed. RAFT_LEADER is told only after the leader's own first entry (of `term`) is
     * committed and everything before it is applied: what the machine then sees is all there is. */
    void (*role)(void *arg, enum raft_role role, uint64_t term, uint64_t leader);
    /* Stream the machine's state as of now / take one in. Called only in groups of several members. */
    int (*snapshot_save)(void *arg, struct raft_snapshot_sink *sink);
    int (*snapshot_load)(void *arg, struct span chunk, bool last);
};

/* Opens the group, making it when the log does not know it (its voters are then `config`). The machine
 * has everything up to applied_at_open; entries after it are applied as they (re)commit. ERR_CORRUPT when
 * the log begins after applied_at_open + 1 (R7: a gap is fatal) or ends before it and is not tainted.
 * ERR_EXISTS when it is open. Called before loops run, or on `loop`. The role is told inside. */
int raft_group_open(struct raft *r, uint64_t group, unsigned loop, const struct raft_config *config,
                    const struct raft_machine *machine, uint64_t applied_at_open,
                    struct raft_group **out, struct errmsg *why);
/* Waits until the log thread has let go of the group's proposals (a sync at most), then answers them with
 * RAFT_UNKNOWN. On the group's loop, or when loops have stopped; never inside a call-back. */
void raft_group_close(struct raft_group **g);

enum raft_answer {
    RAFT_COMMITTED,  /* committed and applied */
    RAFT_SUPERSEDED, /* it will never be applied */
    RAFT_UNKNOWN,    /* it may or may not be applied later */
};

/* A request, embedded in the caller's object. head and body are borrowed until on_done. */
struct raft_proposal {
    struct span head, body;
    uint64_t term; /* fence: only under this term (R8); 0: under any */
    void (*on_done)(struct raft_proposal *p, enum raft_answer answer, uint64_t index,
                    uint64_t term);
    struct list link; /* the library's, while it is in flight */
    uint64_t index, entry_term;
};

/* 0: on_done will be called once, later. ERR_NOT_LEADER (also before RAFT_LEADER was told), ERR_FULL (bytes
 * or entries in flight), ERR_SUPERSEDED (the fence), ERR_TOO_LONG (over RAFT_ENTRY_SIZE_MAX): it will not be
 * called. It leaves with the loop's next raft_turn. */
#define RAFT_ENTRY_SIZE_MAX (1u << 20)
int raft_propose(struct raft_group *g, struct raft_proposal *p);

/* A copy of the entry's head and body out of the log; NULL pointers are skipped. ERR_NOT_FOUND when it was
 * cut or never there. Any thread; may read the disk. */
struct blob;
int raft_entry_read(struct raft *r, uint64_t group, uint64_t index, struct blob **head_out,
                    struct blob **body_out);

/* The machine says: everything up to `upto` is durable in its own store, the log may forget it.
 * Disjoint ranges [last cut, upto] are deleted, by the log thread. No more than what is applied is cut; a
 * tainted log is left as it is. */
void raft_group_cut(struct raft_group *g, uint64_t upto);

struct raft_group_view {
    uint64_t group, term, leader, first, last, commit, applied;
    enum raft_role role; /* as told to the machine */
    size_t uncommitted_bytes;
    size_t log_bytes; /* payload bytes behind the last cut; may be a little too many */
};
void raft_group_see(const struct raft_group *g, struct raft_group_view *out);

#endif
