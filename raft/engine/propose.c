/* propose - a command gets its index at once and its answer later.
 *
 * In a group of this node alone its bytes stay with the proposer. With other members a peer may need them when the proposer has
 * long got his answer: the head is copied, the body too when it has no owner to share it with.
 */
#include "raft/engine/inside.h"

static void keep(struct slot *s, const struct raft_proposal *p)
{
    struct blob *copy = blob_new(p->head.n + (p->owner ? 0 : p->body.n));

    CHECK(blob_add(copy, p->head.p, p->head.n, copy->cap) == 0);
    s->owner = copy;
    s->head = span_of(copy->p, p->head.n);
    if (p->owner) {
        s->body_owner = blob_ref(p->owner);
        return;
    }
    CHECK(blob_add(copy, p->body.p, p->body.n, copy->cap) == 0);
    s->body = span_of(copy->p + p->head.n, p->body.n);
}

static void take(struct raft_group *g, struct raft_proposal *p, const struct core_update *u)
{
    struct slot s = { .head = p->head,
                      .body = p->body,
                      .proposal = p,
                      .term = u->append.term,
                      .kind = CORE_COMMAND };

    if (!g->alone) keep(&s, p);
    p->index = u->append.index;
    p->entry_term = u->append.term;
    list_init(&p->link);
    cache_add(g, p->index, &s);
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
