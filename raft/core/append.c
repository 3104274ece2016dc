/* append - entries get their place in the log: index and term, not bytes. */
#include "raft/core/inside.h"

void append_entry(struct core *c, enum core_entry_kind kind, uint32_t weight, struct core_update *out)
{
    struct core_write *w = durable_expect(c, out);

    CHECK(c->role == CORE_LEADER);
    c->last++;
    c->last_term = c->hard.term;
    c->uncommitted_bytes += weight;
    w->last = c->last;
    w->weight = weight;
    out->flags |= CORE_APPEND;
    out->append.index = c->last;
    out->append.term = c->hard.term;
    out->append.kind = kind;
}

int append_propose(struct core *c, const struct core_event *e, struct core_update *out)
{
    uint32_t weight = e->u.propose.weight;

    if (c->role != CORE_LEADER) return ERR_NOT_LEADER;
    if (e->u.propose.term != 0 && e->u.propose.term != c->hard.term) return ERR_SUPERSEDED; /* R8 */
    if (!durable_has_room(c)) return ERR_FULL;
    /* one proposal always fits: else a large one could never be made */
    if (c->uncommitted_bytes > 0 && c->uncommitted_bytes + weight > c->o.uncommitted_bytes_max) return ERR_FULL;
    append_entry(c, CORE_COMMAND, weight, out);
    return 0;
}
