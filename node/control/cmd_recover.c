/* cmd_recover - a quorum was lost for good (raft.h, raft_offline_recover): the lost nodes are gone for ever, and shards have the voters
 * that are left of them, in force already. A shard of which nothing is left is closed. */
#include "node/control/inside.h"

static bool is_lost(const Angarium__ControlRecover *r, uint64_t id)
{
    return list_has(r->lost, (unsigned)r->n_lost, id);
}

static int check(const struct control *c, const Angarium__ControlRecover *r)
{
    for (size_t i = 0; i < r->n_lost; i++)
        if (!control_node(c, r->lost[i])) return ERR_NOT_FOUND;
    for (size_t i = 0; i < r->n_shards; i++) {
        const Angarium__ControlPlace *p = r->shards[i];

        if (!control_shard(c, p->shard)) return ERR_NOT_FOUND;
        if (p->n_voters > 0 && voters_check(c, p->voters, p->n_voters) != 0) return ERR_RANGE;
        for (size_t k = 0; k < p->n_voters; k++)
            if (is_lost(r, p->voters[k])) return ERR_RANGE;
    }
    return 0;
}

static void place(struct control_shard *s, const Angarium__ControlPlace *p)
{
    if (s->state == CONTROL_CLOSED) return;
    if (p->n_voters == 0) s->state = CONTROL_CLOSED;
    s->voter_count = voters_take(s->voters, p->voters, p->n_voters);
    s->holder_count = s->settled_count = voters_take(s->holders, p->voters, p->n_voters);
    s->version++;
    s->in_force = s->version;
}

/* Every shard that a lost node holds must be among those that are placed. */
static bool leaves_none(const struct control *c, const Angarium__ControlRecover *r)
{
    for (unsigned i = 0; i < c->shard_count; i++) {
        bool is_placed = false, holds = false;

        for (size_t k = 0; k < r->n_shards; k++)
            is_placed = is_placed || r->shards[k]->shard == i + 1;
        for (size_t k = 0; k < r->n_lost; k++)
            holds = holds || control_holds(&c->shards[i], r->lost[k]);
        if (holds && !is_placed) return false;
    }
    return true;
}

int cmd_recover(struct work *w, const Angarium__ControlRecover *r)
{
    int rv = check(w->control, r);

    if (rv != 0) return rv;
    if (!leaves_none(w->control, r)) return ERR_BUSY;
    for (size_t i = 0; i < r->n_shards; i++)
        place(&w->control->shards[r->shards[i]->shard - 1], r->shards[i]);
    for (size_t i = 0; i < r->n_lost; i++) {
        struct control_node *n = node_find(w->control, r->lost[i]);

        n->state = CONTROL_GONE;
        n->promoted = false;
    }
    return 0;
}
