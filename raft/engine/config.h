/* config - private to the engine: configurations between core, wire and log. */
#ifndef RAFT_ENGINE_CONFIG_H
#define RAFT_ENGINE_CONFIG_H

#include "proto/ground/check.h"
#include "proto/raft.pb-c.h"
#include "raft/core/core.h"

/* A generated message with the memory that it needs; refers to itself, so it is not copied. */
struct config_wire {
    Angarium__GroupConfig config;
    Angarium__GroupMember members[CORE_MEMBERS_MAX];
    Angarium__GroupMember *list[CORE_MEMBERS_MAX];
};
void config_to_wire(const struct core_config *config, struct config_wire *out);
/* False: not one. */
bool config_from_wire(const Angarium__GroupConfig *from, struct core_config *to);

#endif
