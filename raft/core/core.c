/* core - the dispatch of events, and what every update says at its end.
 *
 * Way of a start:  BOOT -> TIME: become_candidate (hard write W1) -> DURABLE W1: become_leader (append of a
 * no-op, W2) -> DURABLE W2: commit -> APPLIED: ready.
 */
#include "raft/core/inside.h"

size_t core_size(void)
{
    return sizeof(struct core);
}

int core_init(struct core *c, const struct core_options *o)
{
    *c = (struct core){ .o = *o, .role = CORE_FOLLOWER, .next_write_id = 1 };
    if (o->voter_count != 1) return ERR_UNSUPPORTED;
    if (o->self == 0 || o->voters[0] != o->self) return ERR_RANGE;
    rng_seed(&c->rng, o->seed);
    return 0;
}

static int step_boot(struct core *c, const struct core_event *e)
{
    CHECK(!c->booted);
    CHECK(e->u.boot.last + 1 >= e->u.boot.first);
    /* R7: the machine must have everything in front of the log */
    if (e->u.boot.applied + 1 < e->u.boot.first) return ERR_CORRUPT;
    c->booted = true;
    c->hard = e->u.boot.hard;
    c->tainted = e->u.boot.tainted;
    c->first = e->u.boot.first;
    c->last = e->u.boot.last;
    c->last_term = e->u.boot.last_term;
    c->durable = c->last;
    /* what is applied was committed; never less than the cut */
    c->applied = e->u.boot.applied;
    c->commit = c->applied;
    CHECK(c->commit <= c->last);
    elect_start_timer(c);
    return 0;
}

static int step_applied(struct core *c, uint64_t index)
{
    CHECK(index >= c->applied && index <= c->commit);
    c->applied = index;
    return 0;
}

static int dispatch(struct core *c, const struct core_event *e, struct core_update *out)
{
    switch (e->kind) {
    case CORE_BOOT:
        return step_boot(c, e);
    case CORE_TIME:
        return elect_time(c, out);
    case CORE_PROPOSE:
        return append_propose(c, e, out);
    case CORE_DURABLE:
        return durable_upto(c, e->u.durable.write_id, out);
    case CORE_IOFAIL:
        become_broken(c);
        return 0;
    case CORE_APPLIED:
        return step_applied(c, e->u.applied.index);
    }
    UNREACHED();
}

int core_step(struct core *c, const struct core_event *e, struct core_update *out)
{
    struct core before = { .role = c->role, .hard = c->hard, .leader = c->leader, .commit = c->commit };
    bool was_ready = c->ready;
    int rv;

    CHECK(c->booted || e->kind == CORE_BOOT);
    CHECK(e->now_ms >= c->now_ms); /* R10: time comes with events and never goes back */
    c->now_ms = e->now_ms;
    *out = (struct core_update){ 0 };
    rv = dispatch(c, e, out);
    c->ready = c->role == CORE_LEADER && c->own_first > 0 && c->applied >= c->own_first;
    CHECK(c->commit >= before.commit); /* R5 */
    CHECK(c->commit <= c->last);
    if (c->commit > before.commit) out->flags |= CORE_COMMIT;
    if (c->role != before.role || c->leader != before.leader || c->hard.term != before.hard.term ||
        c->ready != was_ready)
        out->flags |= CORE_ROLE;
    out->hard = c->hard;
    out->commit = c->commit;
    out->role = c->role;
    out->term = c->hard.term;
    out->leader = c->leader;
    out->ready = c->ready;
    out->wake_at_ms = c->role == CORE_FOLLOWER && !c->tainted ? c->deadline_ms : UINT64_MAX;
    return rv;
}

void core_see(const struct core *c, struct core_view *out)
{
    *out = (struct core_view){ .role = c->role,
                               .term = c->hard.term,
                               .vote = c->hard.vote,
                               .leader = c->leader,
                               .first = c->first,
                               .last = c->last,
                               .commit = c->commit,
                               .applied = c->applied,
                               .durable_write = c->durable_write,
                               .last_write = c->next_write_id - 1,
                               .uncommitted_bytes = c->uncommitted_bytes,
                               .tainted = c->tainted,
                               .ready = c->ready };
}
