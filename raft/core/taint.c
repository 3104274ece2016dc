/* taint - synced entries were lost here: what this node has acknowledged may be gone.
 *
 * It follows and writes what it gets, says `lost` with each answer, so that a leader forgets what it had
 * counted, but it neither votes nor stands: with a shorter log it could bring one to power that lacks what a
 * quorum holds. That ends when its log reaches all that a leader had committed when it was first heard, and
 * the last entry it ever acknowledged, as far as that is known.
 */
#include "raft/core/inside.h"

void taint_heard(struct core *c, uint64_t commit)
{
    if (c->tainted && c->taint_goal == NEVER) c->taint_goal = commit;
}

void taint_settle(struct core *c, struct core_update *u)
{
    if (!c->tainted || c->role != CORE_FOLLOWER || c->leader == 0 || c->taint_goal == NEVER) return;
    if (c->durable < MAX(c->taint_goal, c->lost_index) || c->last < c->applied) return;
    if (c->durable != c->last || c->hard_write > c->durable_write) return;
    c->tainted = false;
    u->flags |= CORE_UNTAINTED;
    elect_set_timer(c);
}
