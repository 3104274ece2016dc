/* engine - what tests may reach behind raft/raft.h. */
#ifndef RAFT_ENGINE_ENGINE_H
#define RAFT_ENGINE_ENGINE_H

#include "raft/raft.h"
#include "raft/store/store.h"

/* The store under the engine: with options.dir NULL a memory store, stepped by store_mem_sync(). */
struct store *raft_store_of(struct raft *r);

#endif
