/* propose - a command gets its index at once and its answer later; its bytes stay with the owner. */
#include "raft/engine/inside.h"

int raft_propose(struct raft_group *g, struct raft_proposal *p)
{
    struct core_event e = { .kind = CORE_PROPOSE };
    struct core_update u;
    struct store_op op = { .kind = STORE_APPEND };
    size_t size = p->head.n + p->body.n;
    int rv;

    if (size > RAFT_ENTRY_SIZE_MAX) return ERR_TOO_LONG;
    e.u.propose.term = p->term;
    e.u.propose.weight = (uint32_t)size;
    rv = group_step(g, &e, &u);
    if (rv != 0) return rv;
    CHECK(u.flags & CORE_APPEND);
    p->index = u.append.index;
    p->entry_term = u.append.term;
    list_init(&p->link);
    list_add(&g->proposals, &p->link);
    op.entry = (struct store_entry){ .group = g->number, .index = p->index, .term = p->entry_term,
                                     .kind = u.append.kind, .head = p->head, .body = p->body };
    engine_add_op(g, &op, u.write_id);
    g->last = p->index;
    g->log_bytes += size;
    g->uncommitted_bytes += size;
    g->last_update = u;
    return 0;
}
