/* cmd_node_state - serving, draining, gone. Gone is for ever, and only for a node that holds no shard. */
#include "node/control/inside.h"

static bool holds_shard(const struct control *c, uint64_t id)
{
    for (unsigned i = 0; i < c->shard_count; i++)
        for (unsigned k = 0; k < c->shards[i].voter_count; k++)
            if (c->shards[i].voters[k] == id) return true;
    return false;
}

int cmd_node_state(struct work *w, const Angarium__ControlNodeState *state)
{
    struct control_node *n = node_find(w->control, state->id);

    if (!n) return ERR_NOT_FOUND;
    if (n->state == CONTROL_GONE) return ERR_DENIED;
    if (state->state == CONTROL_GONE && holds_shard(w->control, n->id)) return ERR_BUSY;
    n->state = (enum control_node_state)state->state;
    return 0;
}
