/* cmd_place - other voters are wanted for a shard. */
#include "node/control/inside.h"

int cmd_place(struct work *w, const Angarium__ControlPlace *place)
{
    struct control_shard *s = shard_find(w->control, place->shard);
    int rv;

    if (!s) return ERR_NOT_FOUND;
    if (place->version != s->version) return ERR_SUPERSEDED;
    rv = voters_check(w->control, place->voters, place->n_voters);
    if (rv == 0) rv = voters_may_come(w->control, s, place->voters, place->n_voters);
    return rv == 0 ? shard_place(s, place->voters, place->n_voters) : rv;
}
