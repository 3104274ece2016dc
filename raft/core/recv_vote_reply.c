/* recv_vote_reply - counts votes; a quorum makes the leader of the term. */
#include "raft/core/inside.h"

int recv_vote_reply(struct core *c, const struct core_msg *m, struct core_update *u)
{
    struct progress *p = progress_of(c, m->from);

    if (c->role != CORE_CANDIDATE || !p || m->term != c->hard.term) return 0; /* R6 */
    if (c->vote_write > c->durable_write && !MUTATED(R4_VOTE_UNSYNCED)) return 0; /* not asked yet */
    p->yes = !m->reject;
    p->no = m->reject;
    elect_count(c, u);
    return 0;
}
