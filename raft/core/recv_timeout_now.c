/* recv_timeout_now - the leader hands over: stand at once, in its name (thesis 3.10). */
#include "raft/core/inside.h"

int recv_timeout_now(struct core *c, const struct core_msg *m, struct core_update *u)
{
    if (c->role != CORE_FOLLOWER || m->term != c->hard.term) return 0;
    if (c->leader != 0 && c->leader != m->from) return 0;
    c->resting = false;
    if (!elect_may_stand(c) || c->stalled) return 0;
    elect_stand(c, true, u);
    return 0;
}
