/* disk - a leader whose own disk does not move must not lead (R9): it would hold the group for ever, alive on
 * the network and dead for writes. It hands over to whom it can, steps down, and stays back for a while, because
 * it would be the first to know that nobody leads.
 *
 * A leader short of room hands over to one that says it has some: it will be the first to end. What a peer says
 * of its room counts as long as it answers (check-quorum): the others may hear it, and this one keeps its office.
 */
#include "raft/core/inside.h"

void disk_told(struct core *c, const struct core_event *e, struct core_update *u)
{
    int to;

    c->free_permille = e->u.disk.free_permille;
    c->stalled = c->o.disk_stall_ms > 0 && e->u.disk.oldest_ms >= c->o.disk_stall_ms;
    if (disk_too_few(c)) rest_wake(c);
    if (!c->stalled || MUTATED(R9_DISK_IGNORED) || c->role != CORE_LEADER || !config_has_others(c))
        return;
    to = transfer_best(c);
    if (to >= 0) send_new(c, CORE_MSG_TIMEOUT_NOW, c->config->members[to].node, 0, u);
    become_follower(c, c->hard.term, 0, u);
    c->backoff_until_ms = c->now_ms + 4 * (uint64_t)c->o.election_ms;
}

bool disk_is_low(const struct core *c, uint16_t free_permille)
{
    return free_permille != 0 && free_permille < c->o.low_permille;
}

bool disk_hands_over(const struct core *c)
{
    int to;

    if (!c->ready || !disk_is_low(c, c->free_permille) || c->now_ms < c->handover_at_ms)
        return false;
    if (MUTATED(FREE_REMEMBERED)) return false;
    to = transfer_best(c);
    return to >= 0 && c->peers[to].free_permille != 0;
}

/* More entries would fill disks until no quorum is left that can write. */
bool disk_too_few(const struct core *c)
{
    unsigned voters = 0, low = 0;

    if (c->o.low_permille == 0) return false;
    for (unsigned i = 0; i < c->config->count; i++) {
        uint16_t free =
            c->config->members[i].node == c->o.self ? c->free_permille : c->peers[i].free_permille;

        if (!(c->config->members[i].flags & CORE_VOTES_NEW)) continue;
        voters++;
        low += disk_is_low(c, free);
    }
    return voters - low < quorum_size(voters);
}
