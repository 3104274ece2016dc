/* taint - synced entries were lost here: what this node has acknowledged may be gone.
 *
 * It follows and writes what it gets, says `lost` with each answer, so that a leader forgets what it had
 * counted, but it neither votes nor stands: with a shorter log it could bring one to power that lacks what a
 * quorum holds. That ends when
 *   - its log reaches what a leader had committed when it sent the first APPEND that fits on what is left here: that
 *     leader knows of the loss, or has counted nothing of it, and counts no more than is here from then on (a heartbeat
 *     may be of one that does; it says of commits only what is surely here);
 *   - a commit in the leader's own term is here: with it all that older leaders may have committed (thesis 3.6.2);
 *   - the log reaches the last entry it ever acknowledged, as far as that is known.
 */
#include "raft/core/inside.h"

void taint_heard(struct core *c, uint64_t commit)
{
    if (c->tainted && c->taint_goal == NEVER) c->taint_goal = commit;
}

static bool has_own_commit(const struct core *c)
{
    return c->commit <= c->last && trail_term(&c->trail, c->commit) == c->hard.term;
}

void taint_settle(struct core *c, struct core_update *u)
{
    if (!c->tainted || c->role != CORE_FOLLOWER || c->leader == 0 || c->taint_goal == NEVER) return;
    if (c->durable < MAX(c->taint_goal, c->lost_index) || c->last < c->applied) return;
    if (!has_own_commit(c) && !MUTATED(TAINT_ENDS_EARLY)) return;
    if (c->durable != c->last || c->hard_write > c->durable_write) return;
    c->tainted = false;
    u->flags |= CORE_UNTAINTED;
    elect_set_timer(c);
}
