/* inside - private to the core: the state of one group, and which file changes what.
 *
 *   core.c      dispatch; fills the update; checks the invariants after each step
 *   boot.c      what the disk held           taint.c     when what was lost has come back
 *   become.c    the only writer of `role`    elect.c     standing, votes, winning
 *   append.c    own entries: index, term, write id       durable.c   what completed writes mean
 *   send.c      messages: held, built; who gets entries now
 *   recv.c      what holds for every message; one file for each kind: recv_*.c
 *   commit.c    what a quorum holds           quorum.c    majorities, halves, zones: arithmetic
 *   config.c    who counts                    progress.c  what the leader knows of a peer
 *   trail.c     index -> term                 window.c    index -> bytes
 *   read.c transfer.c priority.c rest.c peer.c disk.c recover.c  as they are called
 *   see.c       views
 */
#ifndef RAFT_CORE_INSIDE_H
#define RAFT_CORE_INSIDE_H

#include <string.h>

#include "proto/ground/check.h"
#include "proto/ground/err.h"
#include "proto/ground/mutation.h"
#include "proto/ground/rng.h"
#include "raft/core/core.h"

#define NEVER     UINT64_MAX
#define BOUND     (UINT64_C(1) << 62) /* of terms and indexes: what is above is no message */
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

/* ---- trail.c: terms of first..last, the newest of them. */

struct trail {
    struct core_pos base; /* the entry before `first`; term 0: not known */
    struct core_pos edge; /* the entry before runs[0]; between base and it nothing is remembered */
    uint64_t last;
    unsigned count, max;
    struct core_run *runs; /* ascending */
};
void trail_init(struct trail *t, struct core_pos base);
/* 0: not remembered (or behind the end). */
uint64_t trail_term(const struct trail *t, uint64_t index);
void trail_add(struct trail *t, uint64_t term);            /* the next entry, last + 1 */
void trail_truncate(struct trail *t, struct core_pos end); /* what is behind it goes */
void trail_cut(struct trail *t, struct core_pos end);
/* The largest index <= `index` whose term is <= `term`, or is not remembered (thesis 3.5). */
uint64_t trail_find(const struct trail *t, uint64_t index, uint64_t term);

/* ---- window.c: bytes up to an index, exact for the newest, interpolated between marks for the older. */

#define WINDOW_MARKS 16
struct window {
    struct {
        uint64_t index, bytes; /* all up to and with index */
    } marks[WINDOW_MARKS];
    unsigned count;
};
void window_init(struct window *w, uint64_t index);
void window_add(struct window *w, uint64_t index, uint64_t bytes); /* index may jump */
uint64_t window_bytes(const struct window *w, uint64_t after, uint64_t upto);
/* The largest index <= last such that after+1 .. index weigh no more than bytes; at least after + 1. */
uint64_t window_upto(const struct window *w, uint64_t after, uint64_t last, uint64_t bytes);
void window_truncate(struct window *w, uint64_t from);
void window_cut(struct window *w, uint64_t upto);

/* ---- durable.c: which write holds the log up to where. */

#define MARKS 8
struct marks {
    struct {
        uint64_t write, index; /* write + n holds the log up to index + n, for n < count */
        uint64_t count;
    } runs[MARKS];
    unsigned count;
};

/* ---- quorum.c */

struct quorum_voter {
    uint64_t node, match;
    uint32_t place; /* zone or region; 0: not said */
    bool yes, no;
};
unsigned quorum_size(unsigned voters);
/* The largest index that a majority holds and, with spread, voters of two places (unless all stand in one).
 * Sorts nothing of the caller's. 0 voters: NEVER (they ask for nothing). */
uint64_t quorum_index(const struct quorum_voter *v, unsigned n, bool spread);
enum tally { TALLY_OPEN, TALLY_WON, TALLY_LOST };
enum tally quorum_tally(const struct quorum_voter *v, unsigned n); /* 0 voters: WON */

/* ---- progress.c */

struct progress {
    uint64_t node;
    uint64_t match, next;
    uint64_t sent_from, sent; /* entries that went to it in this term */
    uint64_t asked_ms;  /* the last probe or snapshot */
    uint64_t backed_ms; /* when a refusal was last believed while it replicated */
    uint64_t held_ms;   /* until then it probes only: it has just lost what it had acknowledged */
    uint64_t heard_until_ms; /* it was heard in the last election timeout; 0: not */
    uint64_t round;     /* of reads, confirmed */
    uint64_t tail,
        tail_match; /* as of its last heartbeat reply: its last entry, match; NEVER: nothing was on its way */
    uint64_t goal, round_ms; /* learner: the end of this round of catching up, and its beginning */
    uint16_t free_permille;
    uint8_t state;        /* enum core_progress */
    bool up;              /* the host's word; true until told otherwise */
    bool active;          /* heard since quorum_at was set */
    bool waits;           /* probes: an answer (or a while) is waited for */
    bool asked;           /* probes: again; no entries with it */
    bool doubts;          /* probes: only whether what was sent is there, from behind it */
    bool rests, may_rest; /* agreed to; was told and did not answer otherwise since */
    bool caught_up;
    bool lost; /* says that it lost synced entries */
    bool yes, no; /* its vote */
};

struct read {
    uint64_t context, index, round;
};

/* core_options as filled in; the configuration goes to where it will be. */
struct options {
    uint64_t self;
    struct core_limits limits;
    uint32_t election_ms, heartbeat_ms, hint_ms, rest_after_ms, disk_stall_ms;
    uint32_t decay_permille, window_entries, window_bytes, append_entries_max, append_bytes_max;
    uint64_t uncommitted_bytes_max, unapplied_bytes_max;
    uint16_t low_permille;
};

struct core {
    struct options o;
    struct rng rng;
    uint64_t now_ms;
    enum core_role role;
    struct core_hard hard;
    uint64_t hard_write; /* holds `hard`; until it is durable nothing leaves (R4) */
    uint64_t vote_write; /* candidate: the write that holds its own vote */
    uint64_t leader;
    uint64_t first, last;
    uint64_t commit, applied, told_commit;
    uint64_t durable;                   /* the log is on disk up to here */
    uint64_t last_write, durable_write; /* ids: 1, 2, ... without gaps, durable in this order */
    uint64_t own_first;                 /* leader: its first entry */
    uint64_t election_at_ms, heartbeat_at_ms, quorum_at_ms;
    uint64_t lease_until_ms;   /* follower: until then its leader lives */
    uint64_t alone_since_ms;   /* nobody leads since */
    uint64_t backoff_until_ms; /* after its own disk made it step down */
    uint64_t handover_at_ms;   /* not before: the last one failed */
    uint64_t busy_ms;          /* leader: something happened last */
    uint64_t round;            /* of reads: sent last */
    uint64_t
        taint_goal; /* tainted: what the leader had committed when first heard; NEVER: not heard */
    uint64_t lost_index;
    struct {
        uint64_t to, until_ms;
        bool sent;
    } transfer;
    struct {
        uint64_t until_ms;
        uint64_t voters; /* bits of config->members */
        bool on;
    } rescue;
    struct core_pos install;
    bool booted, tainted, ready, resting, installing, stalled, hinted, holds_sends, sends_left,
        has_before;
    bool disrupts; /* candidate by TIMEOUT_NOW */
    uint8_t wanted_priority;
    uint8_t hint_round; /* short waits since the leader's node was said to be down; 0: it was not */
    uint16_t free_permille;
    unsigned read_count;
    struct core_config *config,
        *before; /* room for limits.members_max; read no further than count */
    struct trail trail;
    struct window window;
    struct marks marks;
    struct progress *peers; /* one for each of config.members, in their order */
    struct read *reads;
};

/* ---- boot.c, taint.c */
int boot(struct core *c, const struct core_event *e, struct core_update *u);
void taint_heard(struct core *c, uint64_t commit);
void taint_settle(struct core *c, struct core_update *u);

/* ---- become.c. Successors are a table; any other step is our bug. */
void become(struct core *c, enum core_role role);
/* Follows `leader` (0: not known) in `term`, which is not older than the own: one place to step down. */
void become_follower(struct core *c, uint64_t term, uint64_t leader, struct core_update *u);
void become_broken(struct core *c, struct core_update *u);
/* As become_follower, and the leader was heard just now. ERR_CORRUPT: another one leads in this term. */
int become_follower_of(struct core *c, const struct core_msg *m, struct core_update *u);
void become_hard(struct core *c, struct core_hard hard, struct core_update *u);

/* ---- elect.c */
void elect_set_timer(struct core *c);
void elect_hint(struct core *c);  /* the leader's node is said to be down */
void elect_again(struct core *c); /* after a hint nobody won: a short wait again */
void elect_forget_hint(struct core *c);
bool elect_leader_lives(const struct core *c);
bool elect_may_stand(const struct core *c);
bool elect_is_newer(const struct core *c,
                    struct core_pos last); /* at least as new as the own log */
void elect_on_time(struct core *c, struct core_update *u);
void elect_begin(struct core *c, struct core_update *u);               /* asks first */
void elect_stand(struct core *c, bool disrupt, struct core_update *u); /* in a new term */
void elect_on_durable(struct core *c, struct core_update *u);
void elect_count(struct core *c, struct core_update *u);

/* ---- append.c */
uint64_t append_write(struct core *c, struct core_update *u);      /* the step's one write */
void append_place(struct core *c, uint64_t term, uint32_t weight); /* trail, window, last */
void append_truncate(struct core *c, struct core_pos end);         /* what is behind it goes */
void append_own(struct core *c, enum core_entry_kind kind, uint32_t weight, struct core_update *u);
int append_propose(struct core *c, const struct core_event *e, struct core_update *u);

/* ---- durable.c */
void durable_upto(struct core *c, uint64_t write_id, struct core_update *u);
void durable_failed(struct core *c, struct core_update *u);
void marks_add(struct marks *m, uint64_t write, uint64_t index);
void marks_clip(struct marks *m, uint64_t index);
/* Where the log is durable when `write` is; `index` when the marks say nothing newer. Forgets those below. */
uint64_t marks_take(struct marks *m, uint64_t write, uint64_t index);

/* ---- send.c */
/* A message to be filled in further; it leaves when `after_write` is durable, and the term as well (R4). */
struct core_msg *send_new(struct core *c, enum core_msg_kind kind, uint64_t to,
                          uint64_t after_write, struct core_update *u);
void send_heartbeat(struct core *c, unsigned i, bool rest, struct core_update *u);
void send_heartbeats(struct core *c, struct core_update *u);
void send_appends(struct core *c, struct core_update *u);

/* ---- recv.c and one file a kind */
/* 0: committed and not remembered, cut, or behind the end. */
uint64_t term_here(const struct core *c, const struct core_msg *m, uint64_t index);
int recv_any(struct core *c, const struct core_msg *m, struct core_update *u);
int recv_prevote(struct core *c, const struct core_msg *m, struct core_update *u);
int recv_prevote_reply(struct core *c, const struct core_msg *m, struct core_update *u);
int recv_vote(struct core *c, const struct core_msg *m, struct core_update *u);
int recv_vote_reply(struct core *c, const struct core_msg *m, struct core_update *u);
int recv_append(struct core *c, const struct core_msg *m, struct core_update *u);
int recv_append_reply(struct core *c, const struct core_msg *m, struct core_update *u);
int recv_heartbeat(struct core *c, const struct core_msg *m, struct core_update *u);
int recv_heartbeat_reply(struct core *c, const struct core_msg *m, struct core_update *u);
int recv_snapshot(struct core *c, const struct core_msg *m, struct core_update *u);
int recv_timeout_now(struct core *c, const struct core_msg *m, struct core_update *u);
void recv_snapshot_installed(struct core *c, const struct core_event *e, struct core_update *u);

/* ---- commit.c */
void commit_count(struct core *c);
bool commit_could(const struct core *c, bool by_up); /* those who answer (or are up) could commit */

/* ---- config.c */
void config_copy(struct core_config *to, const struct core_config *from);
int config_find(const struct core_config *g, uint64_t node); /* place in members, or -1 */
bool config_is_voter(const struct core_config *g, uint64_t node);
bool config_has_others(const struct core *c); /* voters besides this node */
bool config_has_peers(const struct core *c);  /* members besides this node */
bool config_same_voters(const struct core_config *a, const struct core_config *b);
bool config_is_committed(const struct core *c);
/* From `now` to the members of `aim`: joint when voters change. ERR_RANGE: too many members. */
int config_towards(const struct core_config *now, const struct core_config *aim,
                   struct core_config *out);
void config_end(const struct core_config *joint, struct core_config *out);
void config_adopt(struct core *c, const struct core_config *g, uint64_t index);
void config_roll_back(struct core *c); /* after the log was cut off */
int config_reconf(struct core *c, const struct core_event *e, struct core_update *u);
void config_settle(struct core *c, struct core_update *u); /* leader: what follows from a commit */
void config_append(struct core *c, const struct core_config *next, struct core_update *u);
/* The voters of one half (CORE_VOTES_NEW or _OLD), or of a rescue. */
unsigned config_half(const struct core *c, unsigned flag,
                     struct quorum_voter out[CORE_MEMBERS_MAX]);

/* ---- progress.c */
struct progress *progress_of(struct core *c, uint64_t node); /* NULL: no member */
void progress_begin(struct core *c);                         /* a new leader knows nothing */
void progress_heard(const struct core *c, struct progress *p);
bool progress_lives(const struct core *c, const struct progress *p); /* heard in the last election timeout */
void progress_probe(struct core *c, struct progress *p, uint64_t next);
/* What was sent is late or lost: a question behind it tells which. */
void progress_doubt(struct core *c, struct progress *p);
/* Of one that lost what it had acknowledged. */
void progress_forget(struct core *c, struct progress *p, uint64_t next);
void progress_acked(struct core *c, struct progress *p, uint64_t match);
bool progress_is_near(const struct core *c, const struct progress *p); /* learner: fit to vote */
void progress_tick(struct core *c);                                    /* with each heartbeat */
bool progress_has_room(const struct core *c, const struct progress *p);
void progress_snapshot_sent(struct core *c, const struct core_event *e);

/* ---- read.c */
int read_ask(struct core *c, uint64_t context);
void read_settle(struct core *c, struct core_update *u);
void read_fail(struct core *c, struct core_update *u);

/* ---- transfer.c */
int transfer_begin(struct core *c, const struct core_event *e);
void transfer_settle(struct core *c, struct core_update *u);
void transfer_end(struct core *c, bool ok, struct core_update *u);
int transfer_best(const struct core *c); /* place of the best successor, or -1 */

/* ---- priority.c */
uint8_t priority_own(const struct core *c);
void priority_reset(struct core *c);
void priority_heard(struct core *c); /* a leader was heard */
bool priority_hands_over(
    const struct core *c);           /* leads for want of a better one, who may be there now */
bool priority_waits(struct core *c); /* true: this timeout is left to the preferred ones */

/* ---- rest.c */
void rest_wake(struct core *c);
bool rest_may(const struct core *c);
void rest_settle(struct core *c);
bool rest_is_owed(const struct core *c);

/* ---- peer.c, disk.c, recover.c */
void peer_told(struct core *c, const struct core_event *e);
void disk_told(struct core *c, const struct core_event *e, struct core_update *u);
bool disk_too_few(const struct core *c);
bool disk_is_low(const struct core *c, uint16_t free_permille);
bool disk_hands_over(const struct core *c); /* has no room, and the best successor has */
int recover_begin(struct core *c, const struct core_event *e, struct core_update *u);
void recover_config(const struct core *c, struct core_config *out);

static inline struct core_pos core_end(const struct core *c)
{
    return (struct core_pos){ c->last, trail_term(&c->trail, c->last) };
}

#endif
