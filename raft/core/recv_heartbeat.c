/* recv_heartbeat - the leader lives; how far it has committed of what is surely here; whether to rest. */
#include "raft/core/inside.h"

/* Everything is here and committed: nothing will be missed (rest.c). */
static bool may_rest(const struct core *c, const struct core_msg *m)
{
    int at = config_find(c->config, m->from);
    struct core_pos end = core_end(c);

    if (at < 0 || (!c->peers[at].up && !MUTATED(RESTS_UNDER_DEAD))) return false; /* a late message of a node that is down */
    return m->rest && m->prev.index == end.index && m->prev.term == end.term &&
           c->commit == c->last && c->durable == c->last && !c->tainted &&
           c->hard_write <= c->durable_write;
}

int recv_heartbeat(struct core *c, const struct core_msg *m, struct core_update *u)
{
    struct core_msg *r;

    if (become_follower_of(c, m, u) != 0) return ERR_CORRUPT;
    c->commit = MAX(c->commit, MIN(m->commit, c->last)); /* R5 */
    c->resting = may_rest(c, m);
    if (c->resting) c->lease_until_ms = NEVER;
    r = send_new(c, CORE_MSG_HEARTBEAT_REPLY, m->from, 0, u);
    r->context = m->context;
    r->hint = core_end(c);
    r->rest = c->resting;
    r->lost = c->tainted;
    r->free_permille = c->free_permille;
    return 0;
}
