/* core - the dispatch of events, what every update says, and what must hold after every step.
 *
 * Way of a start: BOOT -> TIME: candidate, write 1 (term, vote) -> DURABLE 1: leader, write 2 (its
 * no-op)
 *                 -> DURABLE 2: commit -> APPLIED: ready -> PROPOSE, write 3 ...
 */
#include "raft/core/inside.h"

/* What a step must not take back. */
struct before {
    enum core_role role;
    struct core_hard hard;
    uint64_t leader, commit, applied, last, durable_write;
    bool ready;
};

size_t core_size(void)
{
    return sizeof(struct core);
}

int core_init(struct core *c, const struct core_options *o)
{
    if (o->voter_count > 1) return ERR_UNSUPPORTED;
    if (o->voter_count == 0 || o->self == 0 || o->voters[0] != o->self) return ERR_RANGE;
    *c = (struct core){ .o = *o, .role = CORE_FOLLOWER };
    rng_seed(&c->rng, o->seed);
    return 0;
}

static void applied_upto(struct core *c, uint64_t index)
{
    CHECK(index >= c->applied);
    CHECK(index <= c->commit);
    c->applied = index;
    if (c->role == CORE_LEADER && index >= c->own_first) c->ready = true;
}

static int dispatch(struct core *c, const struct core_event *e, struct core_update *u)
{
    CHECK(c->booted == (e->kind != CORE_BOOT));
    switch (e->kind) {
    case CORE_BOOT:
        return boot(c, e);
    case CORE_TIME:
        elect_on_time(c, u);
        return 0;
    case CORE_PROPOSE:
        return append_propose(c, e, u);
    case CORE_DURABLE:
        durable_upto(c, e->u.durable.write_id, u);
        return 0;
    case CORE_IOFAIL:
        durable_failed(c);
        return 0;
    case CORE_APPLIED:
        applied_upto(c, e->u.applied.index);
        return 0;
    }
    UNREACHED();
}

static void check_invariants(const struct core *c, const struct before *b,
                             const struct core_update *u)
{
    CHECK(c->hard.term >= b->hard.term);
    CHECK(c->hard.term > b->hard.term || c->hard.vote == b->hard.vote); /* R4: one vote a term */
    CHECK(c->commit >= b->commit);                                      /* R5 */
    CHECK(c->last >= b->last);
    CHECK(c->applied <= c->commit);
    CHECK(c->commit <= c->last || c->tainted);
    CHECK(c->durable_write <= c->last_write);
    CHECK(b->role != CORE_BROKEN || c->role == CORE_BROKEN); /* R2 */
    CHECK(c->role != CORE_BROKEN || u->write_id == 0);
    CHECK(!c->tainted || u->write_id == 0);
    CHECK((u->write_id != 0) == ((u->flags & (CORE_HARD | CORE_APPEND)) != 0));
    CHECK(!c->ready || (c->role == CORE_LEADER && c->applied >= c->own_first));
    CHECK(c->commit == b->commit || c->commit >= c->own_first); /* R3 */
}

static void fill_update(const struct core *c, const struct before *b, struct core_update *u)
{
    if (c->commit > b->commit) u->flags |= CORE_COMMIT;
    if (c->role != b->role || c->leader != b->leader || c->hard.term != b->hard.term ||
        c->ready != b->ready)
        u->flags |= CORE_ROLE;
    u->hard = c->hard;
    u->commit = c->commit;
    u->role = c->role;
    u->term = c->hard.term;
    u->leader = c->leader;
    u->ready = c->ready;
    u->wake_at_ms = elect_wake_at(c);
}

int core_step(struct core *c, const struct core_event *e, struct core_update *out)
{
    struct before before;
    int rv;

    CHECK(e->now_ms >= c->now_ms); /* R10 */
    c->now_ms = e->now_ms;
    *out = (struct core_update){ 0 };
    before = (struct before){ c->role,    c->hard, c->leader,        c->commit,
                              c->applied, c->last, c->durable_write, c->ready };
    rv = dispatch(c, e, out);
    if (e->kind == CORE_BOOT) /* the beginning takes nothing back */
        before = (struct before){ .role = CORE_FOLLOWER, .hard = c->hard, .commit = c->commit };
    check_invariants(c, &before, out);
    CHECK(rv == 0 || out->flags == 0);
    fill_update(c, &before, out);
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
                               .last_write = c->last_write,
                               .uncommitted_bytes = c->window.bytes,
                               .tainted = c->tainted,
                               .ready = c->ready };
}
