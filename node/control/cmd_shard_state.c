/* cmd_shard_state - a shard closes: it takes no new mail; when nothing of it is left it is closed, which is for ever. Its number
 * stays taken.
 */
#include "node/control/inside.h"

static bool is_last_open(const struct control *c, const struct control_shard *s)
{
    for (unsigned i = 0; i < c->shard_count; i++)
        if (&c->shards[i] != s && c->shards[i].state == CONTROL_OPEN) return false;
    return true;
}

int cmd_shard_state(struct work *w, const Angarium__ControlShardState *state)
{
    struct control_shard *s = shard_find(w->control, state->shard);

    if (!s) return ERR_NOT_FOUND;
    if (state->state == (uint32_t)s->state) return 0;
    if (state->state == CONTROL_OPEN) return ERR_DENIED;
    if (state->state == CONTROL_CLOSED && s->state != CONTROL_CLOSING) return ERR_DENIED;
    if (s->state == CONTROL_OPEN && is_last_open(w->control, s)) return ERR_BUSY;
    s->state = (enum control_shard_state)state->state;
    s->version++;
    if (s->state == CONTROL_CLOSING) {
        if (s->in_force == s->version - 1) s->in_force = s->version; /* the voters are the same */
        return 0;
    }
    s->in_force = s->version;
    s->voter_count = s->holder_count = s->settled_count = 0;
    return 0;
}
