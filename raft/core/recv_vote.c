/* recv_vote - the vote of this node: one a term, durable before it is given (R4). Who asks need not be a member
 * here: its configuration may be the newer one (thesis 4.2).
 */
#include "raft/core/inside.h"

int recv_vote(struct core *c, const struct core_msg *m, struct core_update *u)
{
    bool is_free = c->hard.vote == 0 || c->hard.vote == m->from || MUTATED(VOTE_TWICE);
    bool grants;
    struct core_msg *r;

    if (m->term > c->hard.term) return 0; /* the leader lives: not even the term is taken */
    grants = is_free && c->role == CORE_FOLLOWER && c->leader == 0 && !c->tainted &&
             elect_is_newer(c, m->prev);
    if (grants && c->hard.vote == 0) {
        become_hard(c, (struct core_hard){ c->hard.term, m->from }, u);
        c->hinted = false; /* it is given the time to win */
        elect_set_timer(c);
    }
    r = send_new(c, CORE_MSG_VOTE_REPLY, m->from, 0, u);
    r->reject = !grants;
    return 0;
}
