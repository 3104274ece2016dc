/* recv_prevote_reply - counts who would vote; then the term begins. */
#include "raft/core/inside.h"

int recv_prevote_reply(struct core *c, const struct core_msg *m, struct core_update *u)
{
    struct progress *p = progress_of(c, m->from);

    if (c->role != CORE_PRECANDIDATE || !p) return 0; /* R6: who is no member is not counted */
    if (m->reject ? m->term != c->hard.term : m->term != c->hard.term + 1) return 0;
    p->yes = !m->reject;
    p->no = m->reject;
    elect_count(c, u);
    return 0;
}
