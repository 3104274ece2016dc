/* cmd_node_state - serving, cordoned, draining, gone. Gone is for ever, and only for a node that holds no shard; by force
 * also for one that will not come back: it is dropped from the voters of its shards, if each has another one.
 */
#include "node/control/inside.h"

static bool is_alone(const uint64_t *list, unsigned count, uint64_t id)
{
    return count == 1 && list[0] == id;
}

/* Each shard of it has another voter, and its placement is in force: of one that was forced out before and votes yet, nothing
 * would be known any more. */
static bool may_drop(const struct control *c, uint64_t id)
{
    for (unsigned i = 0; i < c->shard_count; i++) {
        const struct control_shard *s = &c->shards[i];

        if (!control_holds(s, id)) continue;
        if (s->in_force != s->version || is_alone(s->voters, s->voter_count, id)) return false;
    }
    return true;
}

static int leave(struct control *c, uint64_t id, bool force)
{
    if (control_held(c, id) == 0) return 0;
    if (!force || !may_drop(c, id)) return ERR_BUSY;
    for (unsigned i = 0; i < c->shard_count; i++)
        if (control_holds(&c->shards[i], id)) shard_drop(&c->shards[i], id);
    return 0;
}

int cmd_node_state(struct work *w, const Angarium__ControlNodeState *state)
{
    struct control_node *n = node_find(w->control, state->id);
    int rv = 0;

    if (!n) return ERR_NOT_FOUND;
    if (n->state == CONTROL_GONE) return ERR_DENIED;
    if (state->was != 0 && state->was != (uint32_t)n->state) return ERR_SUPERSEDED;
    if (state->state == CONTROL_GONE) rv = leave(w->control, n->id, state->force);
    if (rv != 0) return rv;
    n->state = (enum control_node_state)state->state;
    if (n->state == CONTROL_GONE || n->state == CONTROL_DRAINING) n->promoted = false;
    return 0;
}
