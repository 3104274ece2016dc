/* recv_prevote - may somebody stand for election? Nothing changes by the answer (thesis 9.6). */
#include "raft/core/inside.h"

int recv_prevote(struct core *c, const struct core_msg *m, struct core_update *u)
{
    int at = config_find(c->config, m->from);
    struct core_msg *r;
    bool grants;

    if (c->role == CORE_FOLLOWER && m->from == c->leader && m->term > c->hard.term)
        become_follower(c, c->hard.term, 0, u); /* it leads no more, or it would not ask */
    grants = m->term > c->hard.term && !elect_leader_lives(c) && !c->tainted &&
             elect_is_newer(c, m->prev);
    r = send_new(c, CORE_MSG_PREVOTE_REPLY, m->from, 0, u);
    r->reject = !grants;
    if (grants) r->term = m->term;
    if (c->role != CORE_LEADER || at < 0) return 0;
    rest_wake(c); /* it has not heard that this one leads */
    send_heartbeat(c, (unsigned)at, false, u);
    return 0;
}
