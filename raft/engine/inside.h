/* inside - private to the engine. */
#ifndef RAFT_ENGINE_INSIDE_H
#define RAFT_ENGINE_INSIDE_H

#include "proto/ground/check.h"
#include "raft/core/core.h"
#include "raft/engine/engine.h"
#include "raft/raft.h"
#include "raft/store/store.h"

#define ENGINE_LOOPS_MAX        64
#define ENGINE_OPS_MAX          4096        /* of one write: more begin another */
#define ENGINE_REPLAY_BYTES     (4u << 20)  /* read from the log for one turn */
#define ENGINE_REPLAY_ENTRIES   1024
#define ENGINE_ELECTION_MS      300
#define ENGINE_UNCOMMITTED_MAX  (64u << 20)

/* One write of one loop on its way through the log thread; `acks` says whose write ids it carries. */
struct engine_ack {
    struct raft_group *group;
    uint64_t write_id;
};
struct engine_write {
    struct store_write write;
    struct engine_loop *loop;
    struct store_op *ops;
    struct engine_ack *acks; /* as many as ops; group NULL: a cut */
    size_t count, cap;
    struct engine_write *next_free, *next_all;
};

struct engine_loop {
    struct raft *raft;
    unsigned number;
    struct raft_loop_port port;
    struct mpsc done;           /* struct engine_write, from the log thread */
    struct engine_write *open;  /* collects this turn's ops; NULL: none yet */
    struct engine_write *pool, *all;
    struct list groups;
    uint64_t now_ms;
};

struct raft {
    struct raft_options o;
    struct store *store;
    bool tainted;
    struct engine_loop loops[ENGINE_LOOPS_MAX];
};

struct raft_group {
    struct list link;      /* in its loop's groups */
    struct raft *raft;
    struct engine_loop *loop;
    uint64_t number;
    struct raft_machine machine;
    struct core *core;
    struct list proposals; /* struct raft_proposal, by index; not answered */
    uint64_t first, last, commit, applied, replay_to;
    uint64_t own_noop;     /* index of the no-op of this leadership; 0: none */
    uint64_t last_cut_term;
    size_t log_bytes, uncommitted_bytes;
    uint64_t wake_at_ms;
    enum raft_role role;   /* as told to the machine */
    uint64_t told_term;
    bool role_told, ready;
    struct core_update last_update;
};

/* engine.c */
struct engine_write *engine_open_write(struct engine_loop *l);
void engine_add_op(struct raft_group *g, const struct store_op *op, uint64_t write_id);
/* group.c */
int group_step(struct raft_group *g, struct core_event *e, struct core_update *out);
void group_carry_out(struct raft_group *g, const struct core_update *u);
/* apply.c: applies what is committed, as far as one turn allows; true: more is left. */
bool group_apply(struct raft_group *g);

#endif
