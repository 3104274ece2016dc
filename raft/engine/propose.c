/* propose - a command gets its index at once and its answer later; its bytes stay with the owner.
 */
#include "raft/engine/inside.h"

int raft_propose(struct raft_group *g, struct raft_proposal *p)
{
    struct core_event e = { .kind = CORE_PROPOSE };
    size_t size = p->head.n + p->body.n;
    struct core_update u;
    int rv;

    if (g->closing) return ERR_NOT_LEADER;
    if (size > RAFT_ENTRY_SIZE_MAX) return ERR_TOO_LONG;
    e.u.propose.term = p->term;
    e.u.propose.weight = (uint32_t)size;
    rv = group_step(g, &e, &u);
    if (rv != 0) return rv;
    CHECK(u.flags == CORE_APPEND); /* nothing here calls the machine back */
    CHECK(u.write_id == g->write_last + 1);
    g->write_last = u.write_id;
    p->index = u.append.index;
    p->entry_term = u.append.term;
    list_init(&p->link);
    list_add(&g->unsent, &p->link);
    group_mark_unsent(g);
    weight_add(&g->weight, p->index, size);
    return 0;
}
