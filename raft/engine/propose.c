/* propose - a command gets its index at once and its answer later.
 *
 * In a group of this node alone its bytes stay with the owner. With other members they are copied once: a peer may need them
 * when the owner has long got his answer.
 */
#include "raft/engine/inside.h"

static struct blob *copy_of(const struct raft_proposal *p)
{
    struct blob *b = blob_new(p->head.n + p->body.n);

    CHECK(blob_add(b, p->head.p, p->head.n, b->cap) == 0);
    CHECK(blob_add(b, p->body.p, p->body.n, b->cap) == 0);
    return b;
}

static void take(struct raft_group *g, struct raft_proposal *p, const struct core_update *u)
{
    struct blob *copy = g->alone ? NULL : copy_of(p);
    struct span head = p->head, body = p->body;

    if (copy) {
        head = span_of(copy->p, p->head.n);
        body = span_of(copy->p + p->head.n, p->body.n);
    }
    p->index = u->append.index;
    p->entry_term = u->append.term;
    list_init(&p->link);
    cache_add(g, p->index, CORE_COMMAND, p->entry_term, head, body, copy, p);
}

int raft_propose(struct raft_group *g, struct raft_proposal *p)
{
    struct core_event e = { .kind = CORE_PROPOSE };
    struct core_update *u = &g->loop->inner;
    size_t size = p->head.n + p->body.n;
    int rv;

    if (g->closing) return ERR_NOT_LEADER;
    if (size > RAFT_ENTRY_SIZE_MAX) return ERR_TOO_LONG;
    e.u.propose.term = p->term;
    e.u.propose.weight = (uint32_t)size;
    e.u.propose.more = true;
    rv = group_step(g, &e, u);
    if (rv != 0) return rv;
    CHECK(u->flags == CORE_APPEND); /* nothing here calls the machine back */
    todo_write(g, u);
    take(g, p, u);
    for (unsigned i = 0; i < u->send_count;
         i++) /* not the entry: that leaves when all of this turn are in */
        outbox_put(g, &u->sends[i]);
    weight_add(&g->weight, p->index, size);
    return 0;
}
