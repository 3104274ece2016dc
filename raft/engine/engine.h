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

#endif
