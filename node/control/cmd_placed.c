/* cmd_placed - a placement is in force: nobody but its voters has a vote, and who is not among them may forget the shard. */
#include "node/control/inside.h"
#include "proto/ground/mutation.h"

int cmd_placed(struct work *w, const Angarium__ControlPlaced *placed)
{
    struct control_shard *s = shard_find(w->control, placed->shard);

    if (!s) return ERR_NOT_FOUND;
    if (placed->version != s->version && !MUTATED(CONTROL_PLACED_UNFENCED))
        return ERR_SUPERSEDED;
    s->in_force = s->version;
    s->holder_count = s->settled_count = voters_take(s->holders, s->voters, s->voter_count);
    return 0;
}
