/* elect - when a core stands for election. Timeouts are drawn from the seeded generator (R10). */
#include "raft/core/inside.h"

void elect_start_timer(struct core *c)
{
    /* a group of one waits for nobody: there is no leader whose absence must be made sure of */
    c->deadline_ms = c->o.voter_count == 1
                         ? c->now_ms
                         : c->now_ms + c->o.election_ms + rng_below(&c->rng, c->o.election_ms);
}

int elect_time(struct core *c, struct core_update *out)
{
    if (c->role != CORE_FOLLOWER || c->tainted || c->now_ms < c->deadline_ms) return 0;
    become_candidate(c, out);
    return 0;
}
