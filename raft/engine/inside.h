/* inside - private to the engine.
 *
 *   engine.c   opening, closing, the turn of a loop
 *   flight.c   writes on their way through the log thread
 *   group.c    a group's life; its core's steps and what they ask for
 *   propose.c  a command enters
 *   apply.c    committed entries go to the machine, answers to the proposers
 *   cut.c      the log forgets
 *   weight.c   how many bytes the log holds
 */
#ifndef RAFT_ENGINE_INSIDE_H
#define RAFT_ENGINE_INSIDE_H

#include "proto/ground/check.h"
#include "proto/ground/mpsc.h"
#include "raft/core/core.h"
#include "raft/engine/engine.h"

/* ---- weight.c: payload bytes of the log behind its last cut */

#define WEIGHT_MARKS  64
#define WEIGHT_STRIDE (256u << 10)

struct weight {
    struct {
        uint64_t index, bytes; /* all that was ever appended, up to and with index */
    } marks[WEIGHT_MARKS];     /* the first stands at the last cut */
    unsigned count;
    uint64_t last, bytes, stride;
};
void weight_init(struct weight *w, uint64_t index); /* an empty log behind index */
void weight_add(struct weight *w, uint64_t index, uint64_t bytes);
void weight_cut(struct weight *w, uint64_t index);
uint64_t weight_bytes(const struct weight *w);

/* ---- flight.c: one write of one loop. A loop has FLIGHTS of them; when all are in the air, what
 * comes gathers in its groups until one lands. Owned by the loop on the ground, by the log thread
 * in the air. */

#define FLIGHTS          4
#define FLIGHT_OPS_MAX   1024
#define FLIGHT_BYTES_MAX (8u << 20)

struct flight_ack {
    struct raft_group *group; /* NULL: closed meanwhile */
    uint64_t write_id;        /* the group's last one in this flight */
};
struct flight {
    struct store_write write;
    struct engine_loop *loop;
    bool in_air;
    size_t op_count, ack_count, bytes;
    struct store_op ops[FLIGHT_OPS_MAX];
    struct flight_ack acks[FLIGHT_OPS_MAX];
};

struct engine_loop {
    struct raft *raft;
    struct raft_loop_port port;
    struct mpsc landed;     /* struct flight, from the log thread */
    struct flight *flights; /* FLIGHTS */
    struct list groups;     /* all of the loop */
    struct list unsent;     /* groups that have something for the log */
    struct list unapplied;  /* groups that have committed entries to apply */
    uint64_t now_ms;
    uint64_t wake_at_ms; /* no group wants to be woken before */
    bool is_turning;
};

/* Fills free flights with what the loop's groups have for the log and hands them over. */
void flights_send(struct engine_loop *l);
/* Takes in those that the log thread is done with. */
void flights_land(struct engine_loop *l);
/* The group goes away: waits until no flight carries bytes of it, and forgets it in all of them. */
void flights_forget(struct engine_loop *l, struct raft_group *g);

struct raft {
    uint64_t node_id, seed;
    size_t uncommitted_bytes_max;
    struct store *store;
    bool owns_store, tainted;
    unsigned loop_count;
    struct engine_loop *loops;
};

struct raft_group {
    struct list link, unsent_link, unapplied_link; /* in the loop's lists */
    struct raft *raft;
    struct engine_loop *loop;
    uint64_t number;
    struct raft_machine machine;
    struct core *core;
    bool closing;

    uint64_t first;                /* of the log, as cut */
    uint64_t boot_last, boot_term; /* where the log ended at boot, and the term there */
    uint64_t commit, applied;
    uint64_t noop; /* index of the own no-op; 0: none yet */
    uint64_t wake_at_ms;
    enum raft_role told_role;
    uint64_t told_term;

    /* For the log, in this order: a cut, the core's own write (hard state or no-op), proposals. */
    uint64_t cut_from, cut_to, cut_term; /* cut_to 0: none */
    struct store_op own;
    bool has_own;
    struct list unsent; /* proposals, by index */
    struct list
        sent; /* proposals handed to the log and not applied, by index; all before `unsent` */
    uint64_t write_last, write_sent; /* ids: the core's last one, the last one handed over */

    struct weight weight;
};

/* ---- group.c */
int group_step(struct raft_group *g, struct core_event *e, struct core_update *u);
/* group_step and group_carry_out, for events that cannot fail. */
void group_event(struct raft_group *g, struct core_event *e);
void group_carry_out(struct raft_group *g, const struct core_update *u);
void group_mark_unsent(struct raft_group *g);
/* Moves what the group has for the log into the flight; false when it did not all fit. */
bool group_load(struct raft_group *g, struct flight *f);
void group_answer(struct list *proposals, enum raft_answer answer);

/* ---- apply.c: one slice; true: there is more. */
bool group_apply(struct raft_group *g);

#endif
