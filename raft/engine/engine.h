/* engine - what tests may reach behind raft/raft.h. */
#ifndef RAFT_ENGINE_ENGINE_H
#define RAFT_ENGINE_ENGINE_H

#include "raft/raft.h"
#include "raft/store/store.h"

/* The log under the engine. With options.dir NULL it is in memory and writes nothing before
 * store_mem_sync(): then raft_turn() sees the completions. */
struct store *raft_store_of(struct raft *r);

/* As raft_open, over a log that is open: it stays the caller's and outlives the process, so to say. What was
 * submitted is written before raft_close returns, unless store_mem_power_cut() came first. */
struct raft *raft_open_over(struct store *store, bool tainted, const struct raft_options *o);

/* What only tests set, before groups are opened. Numbers: of the cores, 0 takes their defaults. ended: called where the
 * process would end with a last word; what it then does in the same turn has no meaning, and it is to be closed after it.
 * NULL: the process ends. */
struct raft_trial {
    uint32_t window_entries, window_bytes;         /* sent and not acknowledged, a group and peer */
    uint32_t append_entries_max, append_bytes_max; /* of a message */
    void *arg;
    void (*ended)(void *arg, const char *what, int error);
};
void raft_try(struct raft *r, const struct raft_trial *t);

#endif
