/* core - one Raft group as one pure function: step(event) -> update.
 *
 * No clock (time comes with events), no random but its seeded generator, no disk, no socket, no
 * allocation after init, no payload bytes: it knows of an entry only its term, kind and weight, and of
 * a CONFIG entry the configuration.
 *
 * The caller (the host) carries an update out in this order:
 *   1. hand (hard, append) to the log as one write, named update.write_id; writes complete in order
 *   2. send each message: at once when its after_write is 0, else when that write is durable
 *   3. when write N is durable: step CORE_DURABLE{N} (cumulative)
 *   4. apply entries up to update.commit, then step CORE_APPLIED
 *   5. step CORE_TIME at wake_at_ms; when that is not later than now, there is more to send: at the end
 *      of the turn
 * Messages are packed (step 2) after the write was handed over (step 1): an APPEND or SNAPSHOT names what
 * it carries, and the host fills the bytes in ("hydrates") from its entry cache, its log, its machine, so
 * that a slow read for a lagging peer blocks no step.
 *
 * What arrives from a peer may be anything: it is checked, and refused with ERR_SYNTAX or ERR_CORRUPT, and
 * fails no CHECK. What the host says is trusted, and a CHECK.
 *
 * Rules (docs/INVARIANTS.md says which test holds each):
 *   R1  durability is acknowledged by write id, never by index.
 *   R2  after a failed write the core is BROKEN for good: it neither leads nor votes nor appends.
 *   R3  only entries of the current term commit by counting.
 *   R4  term and vote are one record, durable before any reply; a vote is never taken back in its term.
 *   R5  commit never regresses.
 *   R6  a configuration counts from append, the size of the quorum with it; cutting it off brings the former
 *       one back; who is no member is not counted.
 *   R7  a gap between snapshot and log is fatal.
 *   R8  a proposal carries its term.
 *   R9  heartbeats depend on the leader's own disk.
 *   R10 time comes only with events, chance only from the seed.
 * Ref: Ongaro, "Consensus: Bridging Theory and Practice" (the thesis), chapters 3, 4, 6, 9.
 */
#ifndef RAFT_CORE_CORE_H
#define RAFT_CORE_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CORE_VOTERS_MAX      7    /* of one configuration; a joint one holds two */
#define CORE_MEMBERS_MAX     64   /* voters of both halves, and learners */
#define CORE_UNCOMMITTED_MAX 4096 /* entries that a leader has appended and not committed */
#define CORE_SENDS_MAX       128 /* messages of one step; what does not fit follows in the next one */
#define CORE_READS_MAX       32         /* reads waiting for their confirmation */
#define CORE_VOTE_LOST       UINT64_MAX /* hard.vote: somebody got it, nobody knows who (taint) */

/* PRECANDIDATE asks whether an election could be won, in the old term. A learner, and who is no member, is a
 * follower. */
enum core_role { CORE_FOLLOWER, CORE_PRECANDIDATE, CORE_CANDIDATE, CORE_LEADER, CORE_BROKEN };
enum core_entry_kind { CORE_NOOP = 1, CORE_COMMAND = 2, CORE_CONFIG = 3 };

struct core_pos {
    uint64_t index, term;
};
struct core_hard {
    uint64_t term;
    uint64_t vote; /* node voted for in term; 0: none */
};

/* ---- configurations */

enum core_member_flag {
    CORE_VOTES_NEW = 1, /* in the configuration; in a joint one: in the one to come */
    CORE_VOTES_OLD = 2, /* joint only: in the one that goes */
    CORE_LEARNS = 4,    /* gets entries, has no vote */
    CORE_PROMOTE = 8,   /* with LEARNS: becomes a voter when it has caught up */
};
struct core_member {
    uint64_t node;         /* from 1 */
    uint16_t zone, region; /* 0: not said; a zone's number is unique over all regions */
    uint8_t flags;
    uint8_t priority; /* the higher is preferred; what is wanted decays while nobody leads.
                         0: leads only when nobody else can, and hands over as soon as one can */
};
/* Commit needs voters of two zones or regions, so that it survives the loss of one at any moment. Where all
 * voters stand in one zone, or say none, it asks for nothing. */
enum core_spread { CORE_SPREAD_NONE, CORE_SPREAD_ZONE, CORE_SPREAD_REGION };

/* Members in any order, each once; 1 to CORE_VOTERS_MAX voters a half. What stands behind `count` has no
 * meaning. */
struct core_config {
    uint64_t index;   /* of its entry; 0: the group began with it. The core sets it */
    uint32_t version; /* grows by one with each configuration. The core sets it */
    uint32_t era;     /* grows by one with each recovery from a lost quorum. The core sets it */
    uint8_t spread;   /* enum core_spread */
    bool joint;       /* some members have VOTES_OLD; the next entry of it is its end */
    unsigned count;
    struct core_member members[CORE_MEMBERS_MAX];
};
/* 0 or ERR_RANGE: what may stand in a CONFIG entry. */
int core_config_check(const struct core_config *config);

/* ---- messages */

enum core_msg_kind {
    CORE_MSG_PREVOTE = 1,
    CORE_MSG_PREVOTE_REPLY,
    CORE_MSG_VOTE,
    CORE_MSG_VOTE_REPLY,
    CORE_MSG_APPEND,
    CORE_MSG_APPEND_REPLY, /* also the answer to SNAPSHOT */
    CORE_MSG_HEARTBEAT,
    CORE_MSG_HEARTBEAT_REPLY,
    CORE_MSG_SNAPSHOT,
    CORE_MSG_TIMEOUT_NOW,
    CORE_MSG_KINDS
};

/* As received. In what the core sends, `entries` is NULL: the host reads them from its log. */
struct core_entry {
    uint64_t term;
    uint32_t weight; /* bytes */
    enum core_entry_kind kind;
    const struct core_config *config; /* CONFIG only */
};

/* Every field travels, except entries, config and (in what is sent) the bytes behind them, which the host
 * fills in. What a kind does not name is 0. */
struct core_msg {
    enum core_msg_kind kind;
    bool reject; /* *_REPLY */
    bool
        disrupt; /* VOTE after TIMEOUT_NOW: wanted by the leader, not to be refused because it lives */
    bool
        rest; /* HEARTBEAT: "idle: from now on my node's beat stands for this group"; _REPLY: agreed.
                     A host that gets one under an older rest generation of that node clears it */
    bool busy; /* APPEND_REPLY: nothing taken (or asked for), too much is unapplied here; later again */
    bool lost; /* *_REPLY: synced entries were lost here; believe nothing acknowledged before */
    uint16_t
        free_permille; /* *_REPLY of APPEND, HEARTBEAT: room on the sender's disk; 0: not said */
    uint32_t era;      /* of the sender's configuration */
    uint64_t from, to;
    uint64_t term; /* the sender's; PREVOTE and a granting PREVOTE_REPLY: the term stood for */
    struct core_pos prev; /* APPEND: before the entries; in what is sent, .term 0 at an index that is
                             not 0: not remembered, the host fills in what its log says.
                             (PRE)VOTE: the candidate's last entry.
                             HEARTBEAT{rest}: the leader's last. SNAPSHOT: its position.
                             APPEND_REPLY{reject}: .index, what was asked for */
    uint64_t commit;      /* APPEND, HEARTBEAT. APPEND_REPLY{reject}: the same here and there, at least up to */
    uint64_t context;     /* HEARTBEAT(_REPLY): round of reads; TIMEOUT_NOW: 0 */
    uint64_t match;       /* APPEND_REPLY: durable here and the same as there, up to */
    struct core_pos hint; /* APPEND_REPLY{reject}: the last that may agree (thesis 3.5).
                             HEARTBEAT_REPLY: the last entry here, durable or not */
    uint64_t
        first; /* APPEND: entries first .. first + count - 1. A host may split the range into */
    unsigned count; /* several frames, each with its own prev, or drop a tail of it */
    const struct core_entry *entries; /* RECV of APPEND: count of them, borrowed */
    const struct core_config
        *config; /* RECV of SNAPSHOT: the configuration at its position, borrowed */
    const uint64_t *here; /* RECV, as many as core_asks_here() says: the terms that the own log holds at
                             prev.index and behind it, borrowed */
};

/* ---- events */

enum core_event_kind {
    CORE_BOOT,          /* once, first: what the disk holds */
    CORE_TIME,          /* time has passed */
    CORE_RECV,          /* a message came. A SNAPSHOT is stepped when all of it is staged here */
    CORE_PROPOSE,       /* append one command */
    CORE_DURABLE,       /* writes up to write_id are on disk */
    CORE_IOFAIL,        /* a write failed */
    CORE_APPLIED,       /* entries up to index are applied */
    CORE_CUT,           /* the log forgets entries up to index, which are applied */
    CORE_READ,          /* confirm that this node still leads, for a linearizable read */
    CORE_RECONF,        /* change the configuration */
    CORE_TRANSFER,      /* hand the leadership over */
    CORE_SNAPSHOT_SENT, /* the transfer that a SNAPSHOT asked for ended */
    CORE_SNAPSHOT_INSTALLED, /* answer to CORE_INSTALL */
    CORE_PEER,               /* what the host knows of a node: its beats, its connections */
    CORE_DISK,               /* how the own disk does */
    CORE_RECOVER, /* a quorum is lost for good: go on with what is left (guard rails below) */
};

struct core_run { /* entries from `first` on, up to the next run, have this term */
    uint64_t first, term;
};

struct core_event {
    enum core_event_kind kind;
    uint64_t now_ms;
    union {
        struct {
            struct core_hard hard;
            uint64_t first, last; /* indexes in the log; last = first - 1 when empty */
            uint64_t cut_term;    /* of the entry first - 1; 0 when first is 1 */
            const struct core_run
                *runs;          /* terms of first..last, all or the newest of them, ascending, */
            unsigned run_count; /* borrowed. None only when there are no other voters */
            uint64_t last_term; /* term of `last` (or of the entry before first) */
            uint64_t applied;   /* the machine's; first - 1 <= applied, else R7 */
            uint64_t bytes;     /* weight of first..last together; may be 0 when not known */
            /* The last two configurations in the log, or kept when it was cut: `config` the newer one (its
             * .index may be above what is committed), `before` the one that counts when that is cut off.
             * Both borrowed; config NULL: the options' (a new group), before NULL: config cannot go. */
            const struct core_config *config, *before;
            bool
                tainted; /* synced data was lost: follow, but neither vote nor lead until the end of
                             it (taint.c): the log reaches `lost_upto` and all that may have been
                             committed by counting this node */
            struct core_pos
                lost_upto; /* tainted: .index 0 or the last entry ever acknowledged; .term 0 or
                                          a bound of the terms this node has ever voted or acknowledged in:
                                          it will take part in later ones only */
        } boot;
        const struct core_msg *recv; /* borrowed */
        struct {
            uint64_t term;   /* fence, 0: any */
            uint32_t weight; /* bytes */
            bool more; /* more proposals come at once: send when they have (wake_at_ms says now) */
        } propose;
        struct {
            uint64_t write_id;
        } durable;
        struct {
            uint64_t index;
        } applied;
        struct {
            uint64_t index; /* nothing behind it goes; index <= applied */
            uint64_t term;  /* of that entry */
        } cut;
        struct {
            uint64_t context; /* the host's own name for it, given back in update.reads */
        } read;
        struct {
            const struct core_config
                *config;      /* the aim: members with VOTES_NEW or LEARNS, spread */
            uint32_t version; /* fence: of the configuration it was made for; 0: any */
            bool hasty;       /* voters may be new here or behind: commits may wait for them */
        } reconf;
        struct {
            uint64_t to;        /* 0: the best of the voters */
            uint32_t within_ms; /* given up then; 0: one election timeout */
        } transfer;
        struct {
            uint64_t to;
            bool ok;             /* false: failed or refused; it is asked for again later */
            struct core_pos pos; /* ok: what it held */
        } snapshot_sent;
        struct {
            bool ok; /* the log begins behind the snapshot's position and the machine is there */
            const struct core_config *config; /* ok: the snapshot's, as received; borrowed */
        } installed;
        struct {
            uint64_t node;
            bool
                up; /* false: silent for the suspicion time, a new incarnation, connection closed */
            bool woke; /* its rest generation grew: groups that rest under it wake */
        } peer;
        struct {
            uint32_t oldest_ms;     /* age of the oldest write not durable yet; 0: none */
            uint16_t free_permille; /* 0: not known */
        } disk;
        struct {
            const uint64_t *nodes; /* the voters that are left, this node among them */
            unsigned count;
            uint32_t within_ms; /* given up when not elected by then */
            bool dry;           /* only say whether it could be done */
        } recover;
    } u;
};

/* ---- updates */

enum core_flag {
    CORE_HARD = 1,   /* update.hard is to be written */
    CORE_APPEND = 2, /* update.append is to be written, in the same write */
    CORE_COMMIT = 4, /* update.commit advanced */
    CORE_ROLE = 8,   /* update.role, leader, term or ready changed */
    CORE_MEMBERS =
        16, /* update.config changed: another one counts, or it committed, or was cut off */
    CORE_INSTALL =
        32, /* install the staged snapshot at update.install: the log is emptied and begins
                           behind it. No write is asked for until CORE_SNAPSHOT_INSTALLED */
    CORE_TRANSFERRED = 64, /* update.transfer: a CORE_TRANSFER ended */
    CORE_UNREST = 128,    /* it led this resting group, and knows no successor: wake the others (the
                              node's rest generation grows) */
    CORE_UNTAINTED = 256, /* what was lost has come back */
};

struct core_send {
    struct core_msg msg;
    uint64_t after_write; /* 0: now */
    unsigned again;       /* APPEND: so many of its first entries were sent to that node before, in this term */
};
struct core_read {
    uint64_t context;
    uint64_t index; /* may be answered once this is applied; 0: it no longer leads, not confirmed */
};

/* The caller's, one for all groups of a loop is enough; what sends and reads do not count is not written. */
struct core_update {
    unsigned flags;
    uint64_t write_id; /* of hard + append together; 0 when there is nothing to write */
    struct core_hard hard;
    struct {
        uint64_t truncate_from; /* entries from here on go first; 0: none */
        uint64_t index;         /* of the first one */
        unsigned count;
        bool own;      /* made here: one, as told below. Else those of the message: */
        unsigned skip; /* its first ones that are here already; count = the message's - skip */
        uint64_t term;
        enum core_entry_kind kind;
        const struct core_config *config; /* own CONFIG: borrowed until the next step */
    } append;                             /* bytes of a command are with the caller */
    uint64_t commit;                      /* committed, and durable here: to be applied */
    enum core_role role;
    uint64_t term, leader; /* leader 0: not known */
    bool ready;            /* leader whose own first entry is committed and applied */
    bool resting;          /* nothing is sent and no timer runs; stands by CORE_PEER */
    bool config_committed;
    const struct core_config *config; /* the one that counts; borrowed until the next step */
    struct core_pos install;
    struct {
        uint64_t to;
        bool ok;
    } transfer;
    uint64_t wake_at_ms; /* step CORE_TIME then; UINT64_MAX: never */
    unsigned send_count, read_count;
    struct core_read reads[CORE_READS_MAX];
    struct core_send sends[CORE_SENDS_MAX];
};

/* ---- the core */

struct core_limits {
    unsigned
        members_max; /* 1..CORE_MEMBERS_MAX; a configuration with more is refused. Sizes the core */
    unsigned runs_max;  /* terms of the log's end remembered, from 4; 0: 24 */
    unsigned reads_max; /* 1..CORE_READS_MAX; 0: 8. One context may stand for many reads */
};

struct core_options {
    uint64_t self;
    struct core_limits limits;
    struct core_config config; /* of a new group; .index, .version and .era are 0 */
    uint32_t
        election_ms; /* timeout is drawn from [election_ms, 2 * election_ms); a sole voter waits not */
    uint32_t heartbeat_ms;
    uint32_t
        hint_ms; /* a leader's node is said to be down: it waits below this, below twice and four times
                    this when nobody won; 0: election_ms / 4 */
    uint32_t rest_after_ms;  /* idle that long, all the same: rests; 0: never */
    uint32_t disk_stall_ms;  /* R9: a leader whose write is older steps down; 0: never */
    uint32_t decay_permille; /* what is left of the wanted priority after each timeout; 0: 500 */
    uint16_t
        low_permille; /* disks with less room are low: no proposals when too few others; 0: never */
    uint32_t window_entries;        /* a peer's, sent and not acknowledged; 0: 1024 */
    uint32_t window_bytes;          /* 0: 4 MiB. One message is always let out */
    uint32_t append_entries_max;    /* of a message; 0: 256 */
    uint32_t append_bytes_max;      /* of a message; one entry may be larger; 0: 512 KiB */
    uint64_t uncommitted_bytes_max; /* one entry is always let in when there is none */
    uint64_t unapplied_bytes_max;   /* committed and not applied; 0: no bound */
    uint64_t seed;
};

struct core; /* opaque; the caller gives its memory, aligned for uint64_t */
size_t core_size(const struct core_limits *limits);
/* 0, or ERR_RANGE: the options or their configuration cannot be. `self` need not be a member. */
int core_init(struct core *c, const struct core_options *o);

/* 0, or an error; nothing happened then, and the update says only how things are:
 *   BOOT      ERR_CORRUPT: a gap (R7); unless tainted also a machine ahead of the log, or a log ahead of
 *             the hard state. ERR_RANGE: a configuration that cannot be. The core is not booted then.
 *   RECV      ERR_SYNTAX: not for this node, or not a message; ERR_CORRUPT: it contradicts what is committed
 *             here or a second leader in the term: somebody lost what it had promised. Nothing is taken.
 *             A message that is merely old, foreign or refused is 0.
 *   PROPOSE   ERR_NOT_LEADER (not ready), ERR_SUPERSEDED (fence), ERR_FULL (bytes or entries uncommitted or
 *             unapplied, disks), ERR_BUSY (the leadership is being handed over).
 *   READ      ERR_NOT_LEADER, ERR_FULL.
 *   RECONF    ERR_NOT_LEADER, ERR_SUPERSEDED (fence), ERR_BUSY (another change is on its way, or a
 *             transfer), ERR_RANGE, ERR_AGAIN (a new voter must learn first; not when hasty),
 *             ERR_EXISTS (nothing would change), ERR_FULL.
 *   TRANSFER  ERR_NOT_LEADER, ERR_BUSY, ERR_NOT_FOUND (no voter that could), ERR_AGAIN (it is down, far
 *             behind, or low on disk).
 *   RECOVER   ERR_DENIED: not a voter that follows nobody, or tainted, broken or with an empty log;
 *             ERR_RANGE: not a part of the voters, or one that is a quorum as it is; ERR_BUSY: one runs. */
int core_step(struct core *c, const struct core_event *e, struct core_update *out);

/* The message, about to be stepped, is to be compared with entries whose terms are not remembered: how many, from
 * prev.index on, at most 1 + count. 0, as nearly always: `here` is not looked at. */
unsigned core_asks_here(const struct core *c, const struct core_msg *m);

/* ---- seeing */

struct core_view {
    enum core_role role;
    uint64_t term, vote, leader, first, last, last_term;
    uint64_t commit; /* known to be committed; may be ahead of `durable` */
    uint64_t durable, applied, durable_write, last_write, uncommitted_bytes, unapplied_bytes;
    uint64_t transfer_to; /* 0: none */
    bool tainted, ready, resting, installing, recovering, stalled;
    bool config_committed;
};
void core_see(const struct core *c, struct core_view *out);

enum core_progress { CORE_PROBES, CORE_REPLICATES, CORE_SNAPSHOTS };
struct core_peer_view {
    uint64_t node, match, next;
    enum core_progress progress;
    uint8_t flags; /* of the member */
    bool up, active /* heard in the last election timeout */, resting;
    uint16_t free_permille;
};
/* The leader's view of member i (of config.members, itself included); false: no such, or not leading. */
bool core_see_peer(const struct core *c, unsigned i, struct core_peer_view *out);
/* The configuration that counts, and the one at a position for a snapshot there (R6: the newest at or below
 * index; NULL when it is not remembered any more: index is too far back). Borrowed until the next step. */
const struct core_config *core_config_now(const struct core *c);
const struct core_config *core_config_at(const struct core *c, uint64_t index);
/* Term of an entry that is remembered; 0: not. */
uint64_t core_term_at(const struct core *c, uint64_t index);

#endif
