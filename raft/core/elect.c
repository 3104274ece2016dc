/* elect - when a follower stands for election, and what its own vote is worth.
 *
 * The new term and the vote in it are one record (R4); the vote counts when that record is durable,
 * known by its write id (R1). One voter: its own vote is a majority.
 */
#include "raft/core/inside.h"

void elect_set_timer(struct core *c)
{
    c->election_at_ms = c->now_ms + c->o.election_ms;
    if (c->o.election_ms > 0) c->election_at_ms += rng_below(&c->rng, c->o.election_ms);
}

static bool may_stand(const struct core *c)
{
    return c->role == CORE_FOLLOWER && !c->tainted;
}

uint64_t elect_wake_at(const struct core *c)
{
    return may_stand(c) ? c->election_at_ms : UINT64_MAX;
}

void elect_on_time(struct core *c, struct core_update *u)
{
    if (!may_stand(c) || c->now_ms < c->election_at_ms) return;
    become(c, CORE_CANDIDATE);
    c->hard = (struct core_hard){ .term = c->hard.term + 1, .vote = c->o.self };
    c->vote_write = append_write(c, u);
    u->flags |= CORE_HARD;
}

void elect_on_vote_durable(struct core *c, struct core_update *u)
{
    CHECK(c->hard.vote == c->o.self);
    become(c, CORE_LEADER);
    append_noop(c, u);
}
