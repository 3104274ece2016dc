/* append - entries get their place: index, term, write id. Their bytes stay with the caller. */
#include "raft/core/inside.h"

uint64_t append_write(struct core *c, struct core_update *u)
{
    CHECK(c->role != CORE_BROKEN); /* R2 */
    CHECK(!c->installing);
    if (u->write_id == 0) u->write_id = ++c->last_write; /* a step makes one write at most */
    return u->write_id;
}

void append_place(struct core *c, uint64_t term, uint32_t weight)
{
    trail_add(&c->trail, term);
    c->last++;
    CHECK(c->last == c->trail.last);
    window_add(&c->window, c->last, weight);
}

/* What was never committed may go (thesis 3.5); a configuration in it goes with it (R6). */
void append_truncate(struct core *c, struct core_pos end)
{
    CHECK(end.index >= c->commit);
    CHECK(c->role != CORE_LEADER); /* thesis 3.5: a leader only appends */
    trail_truncate(&c->trail, end);
    window_truncate(&c->window, end.index + 1);
    if (!MUTATED(R1_REUSED_INDEX)) marks_clip(&c->marks, end.index);
    c->last = end.index;
    c->durable = MIN(c->durable, c->last);
    config_roll_back(c);
}

void append_own(struct core *c, enum core_entry_kind kind, uint32_t weight, struct core_update *u)
{
    CHECK(c->role == CORE_LEADER);
    CHECK(!(u->flags & CORE_APPEND));
    append_place(c, c->hard.term, weight);
    marks_add(&c->marks, append_write(c, u), c->last);
    u->flags |= CORE_APPEND;
    u->append.own = true;
    u->append.index = c->last;
    u->append.count = 1;
    u->append.term = c->hard.term;
    u->append.kind = kind;
    c->busy_ms = c->now_ms;
    rest_wake(c);
}

static bool has_room(const struct core *c, uint32_t weight)
{
    uint64_t uncommitted = window_bytes(&c->window, c->commit, c->last);

    if (window_bytes(&c->window, c->applied, c->commit) > c->o.unapplied_bytes_max) return false;
    if (c->last == c->commit) return true;
    if (c->last - c->commit >= CORE_UNCOMMITTED_MAX) return false;
    return weight <= c->o.uncommitted_bytes_max &&
           uncommitted <= c->o.uncommitted_bytes_max - weight;
}

int append_propose(struct core *c, const struct core_event *e, struct core_update *u)
{
    uint64_t fence = e->u.propose.term;

    if (!c->ready) return ERR_NOT_LEADER;
    if (fence != 0 && fence != c->hard.term && !MUTATED(R8_NO_FENCE))
        return ERR_SUPERSEDED; /* R8 */
    if (c->transfer.to != 0) return ERR_BUSY;
    if (!has_room(c, e->u.propose.weight) || disk_too_few(c)) return ERR_FULL;
    append_own(c, CORE_COMMAND, e->u.propose.weight, u);
    c->holds_sends = e->u.propose.more;
    return 0;
}
