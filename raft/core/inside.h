/* inside - private: the state of one group's core. */
#ifndef RAFT_CORE_INSIDE_H
#define RAFT_CORE_INSIDE_H

#include "proto/ground/check.h"
#include "proto/ground/err.h"
#include "proto/ground/rng.h"
#include "raft/core/core.h"

/* Writes in flight that the core must remember: the vote of a candidate and the appends of a leader are told
 * apart by what they end with. A ring; as many as the engine may have in flight. */
#define CORE_WRITES_MAX 8192

struct core_write {
    uint64_t write_id;
    uint64_t last;   /* index of the last entry that it holds; 0: none */
    uint64_t term;   /* the term it was made in */
    uint32_t weight; /* bytes of its entry */
    bool is_vote;    /* for self, as a candidate */
};

struct core {
    struct core_options o;
    struct rng rng;
    enum core_role role;
    struct core_hard hard;
    uint64_t leader;
    bool booted, tainted, ready;
    uint64_t first, last, last_term;
    uint64_t commit, applied;
    uint64_t own_first;   /* index of the leader's first entry of its term */
    uint64_t durable;     /* last index that is on our disk, by the writes that completed */
    uint64_t next_write_id, durable_write;
    uint64_t uncommitted_bytes;
    uint64_t deadline_ms; /* election timeout */
    uint64_t now_ms;
    struct core_write writes[CORE_WRITES_MAX];
    unsigned write_first, write_count;
};

/* become.c: the only place where the role changes */
void become_candidate(struct core *c, struct core_update *out);
void become_leader(struct core *c, struct core_update *out);
void become_broken(struct core *c);
/* elect.c */
void elect_start_timer(struct core *c);
int elect_time(struct core *c, struct core_update *out);
/* append.c */
void append_entry(struct core *c, enum core_entry_kind kind, uint32_t weight, struct core_update *out);
int append_propose(struct core *c, const struct core_event *e, struct core_update *out);
/* durable.c */
struct core_write *durable_expect(struct core *c, struct core_update *out);
bool durable_has_room(const struct core *c);
int durable_upto(struct core *c, uint64_t write_id, struct core_update *out);

#endif
