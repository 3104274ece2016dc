/* core - one Raft group as one pure function: step(event) -> update.
 *
 * No clock (time comes with events), no random but its seeded generator, no disk, no socket, no
 * allocation after init, no payload bytes: it knows of an entry only its term, kind and weight.
 *
 * The caller carries an update out in this order:
 *   1. hand (hard, append) to the log as one write, named update.write_id; writes complete in order
 *   2. send `now` messages                  (in groups of several members)
 *   3. when the write is durable: send the messages that wait for it, step CORE_DURABLE{write_id}
 *   4. apply entries up to update.commit
 *
 * Rules (see docs/INVARIANTS.md): R1 durability is acknowledged by write id, never by index. R2 after a
 * failed write the core is BROKEN for good: it neither leads nor votes nor appends. R3 only entries of the
 * current term commit by counting. R4 term and vote are one record, durable before any reply. R5 commit
 * never regresses. R7 a gap between snapshot and log is fatal. R8 a proposal carries its term. R10 time
 * comes only with events.
 */
#ifndef RAFT_CORE_CORE_H
#define RAFT_CORE_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CORE_VOTERS_MAX      7
#define CORE_UNCOMMITTED_MAX 4096 /* entries that a leader has appended and not committed */

enum core_role { CORE_FOLLOWER, CORE_CANDIDATE, CORE_LEADER, CORE_BROKEN };
enum core_entry_kind { CORE_NOOP = 1, CORE_COMMAND = 2, CORE_CONFIG = 3 };

enum core_event_kind {
    CORE_BOOT,    /* once, first: what the disk holds */
    CORE_TIME,    /* time has passed */
    CORE_PROPOSE, /* append one command */
    CORE_DURABLE, /* writes up to write_id are on disk */
    CORE_IOFAIL,  /* a write failed */
    CORE_APPLIED, /* entries up to index are applied */
};

struct core_hard {
    uint64_t term;
    uint64_t vote; /* node voted for in term; 0: none */
};

struct core_event {
    enum core_event_kind kind;
    uint64_t now_ms;
    union {
        struct {
            struct core_hard hard;
            uint64_t first, last; /* indexes in the log; last = first - 1 when empty */
            uint64_t last_term;   /* term of `last` (or of the entry before first) */
            uint64_t applied;     /* the machine's; first - 1 <= applied, else R7 */
            bool tainted;         /* synced data was lost: follow, do not vote, lead or write */
        } boot;
        struct {
            uint64_t term;   /* fence, 0: any */
            uint32_t weight; /* bytes */
        } propose;
        struct {
            uint64_t write_id;
        } durable;
        struct {
            uint64_t index;
        } applied;
    } u;
};

enum core_flag {
    CORE_HARD = 1,   /* update.hard is to be written */
    CORE_APPEND = 2, /* update.append is to be written */
    CORE_COMMIT = 4, /* update.commit advanced */
    CORE_ROLE = 8,   /* update.role, leader or term changed */
};

struct core_update {
    unsigned flags;
    uint64_t write_id; /* of hard + append together; 0 when there is nothing to write */
    struct core_hard hard;
    struct {
        uint64_t index, term;
        enum core_entry_kind kind;
    } append; /* one entry a step; its bytes are with the caller */
    uint64_t commit;
    enum core_role role;
    uint64_t term, leader; /* leader 0: not known */
    bool ready;            /* leader whose own first entry is committed and applied */
    uint64_t wake_at_ms;   /* step CORE_TIME then; UINT64_MAX: never */
};

struct core_options {
    uint64_t self;
    uint64_t voters[CORE_VOTERS_MAX];
    unsigned voter_count;
    uint32_t election_ms; /* timeout is drawn from [election_ms, 2 * election_ms); 0: at once */
    uint64_t uncommitted_bytes_max; /* one entry is always let in when there is none */
    uint64_t seed;
};

struct core; /* opaque; the caller gives its memory */
size_t core_size(void);
/* 0, or ERR_UNSUPPORTED (several voters: not in this version), ERR_RANGE (self is not a voter). */
int core_init(struct core *c, const struct core_options *o);
/* 0, or for PROPOSE: ERR_NOT_LEADER (not ready), ERR_SUPERSEDED (fence), ERR_FULL (bytes or entries);
 * nothing happened then. ERR_CORRUPT for a BOOT with a gap (R7), and, unless tainted, with a machine ahead
 * of the log or a log ahead of the hard state: the core is not booted then. The update is filled in any case. */
int core_step(struct core *c, const struct core_event *e, struct core_update *out);

struct core_view {
    enum core_role role;
    uint64_t term, vote, leader, first, last, commit, applied, durable_write, last_write,
        uncommitted_bytes;
    bool tainted, ready;
};
void core_see(const struct core *c, struct core_view *out);

#endif
