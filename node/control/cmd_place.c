/* cmd_place - other voters are wanted for a shard. */
#include "node/control/inside.h"

int cmd_place(struct work *w, const Angarium__ControlPlace *place)
{
    struct control *c = w->control;
    struct control_shard *s;
    int rv;

    if (!control_shard(c, place->shard)) return ERR_NOT_FOUND;
    s = &c->shards[place->shard - 1];
    if (place->version != s->version) return ERR_SUPERSEDED;
    rv = voters_check(c, place->voters, place->n_voters);
    if (rv != 0) return rv;
    s->voter_count = voters_take(s->voters, place->voters, place->n_voters);
    s->version++;
    return 0;
}
