/* cmd_create - a shard is born: it takes the next number. */
#include "node/control/inside.h"

int cmd_create(struct work *w, const Angarium__ControlCreate *create)
{
    struct control *c = w->control;
    struct control_shard *s;
    int rv = voters_check(c, create->voters, create->n_voters);

    if (rv == 0) rv = voters_may_come(c, NULL, create->voters, create->n_voters);
    if (rv != 0) return rv;
    if (c->shard_count == CONTROL_SHARDS_MAX) return ERR_FULL;
    s = &c->shards[c->shard_count++];
    *s = (struct control_shard){
        .number = c->shard_count, .version = 1, .in_force = 1, .state = CONTROL_OPEN
    };
    s->spread = spread_take(create->spread);
    s->founder_count = voters_take(s->founders, create->voters, create->n_voters);
    s->voter_count = voters_take(s->voters, create->voters, create->n_voters);
    s->holder_count = s->settled_count = voters_take(s->holders, s->voters, s->voter_count);
    w->answer->shard = s->number;
    return 0;
}
