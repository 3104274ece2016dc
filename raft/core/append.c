/* append - entries get their place: index, term, write id. Their bytes stay with the caller.
 *
 * A leader writes one entry a write and nothing else, so within its term entry own_first + n is in
 * write own_first_write + n: that is how a durable write id says which entries are durable (R1).
 */
#include "raft/core/inside.h"

uint64_t append_write(struct core *c, struct core_update *u)
{
    CHECK(u->write_id == 0); /* a step makes one write at most */
    u->write_id = ++c->last_write;
    return u->write_id;
}

static void append_entry(struct core *c, enum core_entry_kind kind, uint32_t weight,
                         struct core_update *u)
{
    uint64_t write_id = append_write(c, u);

    CHECK(c->role == CORE_LEADER);
    c->last++;
    if (kind == CORE_NOOP) {
        c->own_first = c->last;
        c->own_first_write = write_id;
        window_begin(&c->window, c->last);
    }
    CHECK(write_id - c->own_first_write == c->last - c->own_first);
    window_add(&c->window, weight);
    u->flags |= CORE_APPEND;
    u->append.index = c->last;
    u->append.term = c->hard.term;
    u->append.kind = kind;
}

void append_noop(struct core *c, struct core_update *u)
{
    append_entry(c, CORE_NOOP, 0, u);
}

int append_propose(struct core *c, const struct core_event *e, struct core_update *u)
{
    uint64_t fence = e->u.propose.term;

    if (!c->ready) return ERR_NOT_LEADER;
    if (fence != 0 && fence != c->hard.term) return ERR_SUPERSEDED; /* R8 */
    if (!window_has_room(&c->window, e->u.propose.weight, c->o.uncommitted_bytes_max))
        return ERR_FULL;
    append_entry(c, CORE_COMMAND, e->u.propose.weight, u);
    return 0;
}
