/* inside - private to the core: the state of one group, and which file changes what.
 *
 *   core.c     dispatch; fills the update; checks the invariants after each step
 *   boot.c     what the disk held
 *   become.c   the only writer of `role`
 *   elect.c    when to stand for election, the vote, winning
 *   append.c   entries get index, term and write id
 *   durable.c  what completed writes mean: votes, commit; what a failed one means
 *   window.c   bytes and entries that are appended and not committed
 */
#ifndef RAFT_CORE_INSIDE_H
#define RAFT_CORE_INSIDE_H

#include "proto/ground/check.h"
#include "proto/ground/err.h"
#include "proto/ground/rng.h"
#include "raft/core/core.h"

/* Weights of the leader's own uncommitted entries: indexes first .. first + count - 1. */
struct window {
    uint64_t first, count, bytes;
    uint32_t weights[CORE_UNCOMMITTED_MAX]; /* of index i: at i % CORE_UNCOMMITTED_MAX */
};

struct core {
    struct core_options o;
    struct rng rng;
    enum core_role role;
    struct core_hard hard;
    uint64_t leader;
    uint64_t first, last;
    uint64_t commit, applied;
    uint64_t last_write, durable_write;  /* ids: 1, 2, ... without gaps, durable in this order */
    uint64_t vote_write;                 /* candidate: the write that holds its term and vote */
    uint64_t own_first, own_first_write; /* leader: its first entry, and the write of it */
    uint64_t election_at_ms, now_ms;
    bool booted, tainted, ready;
    struct window window;
};

int boot(struct core *c, const struct core_event *e);

/* Successors are a table; any other step is our bug. */
void become(struct core *c, enum core_role role);

void elect_set_timer(struct core *c);
uint64_t elect_wake_at(const struct core *c); /* UINT64_MAX: never */
void elect_on_time(struct core *c, struct core_update *u);
void elect_on_vote_durable(struct core *c, struct core_update *u);

/* One write of a step: its id, also in the update. */
uint64_t append_write(struct core *c, struct core_update *u);
void append_noop(struct core *c, struct core_update *u);
int append_propose(struct core *c, const struct core_event *e, struct core_update *u);

void durable_upto(struct core *c, uint64_t write_id, struct core_update *u);
void durable_failed(struct core *c);

void window_begin(struct window *w, uint64_t first);
bool window_has_room(const struct window *w, uint32_t weight, uint64_t bytes_max);
void window_add(struct window *w, uint32_t weight);
void window_drop_upto(struct window *w, uint64_t index);

#endif
