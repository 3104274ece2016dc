/* rest - a group in which nothing happens sends nothing and sets no timer.
 *
 * Its leader tells the others so once all have the same log, all of it committed; those who agree stop their
 * timers. From then on the beat of the leader's node stands for the group: its end (CORE_PEER down), or a new
 * rest generation (woke), starts the timers again. A leader that stops leading such a group without a successor
 * who will be heard, says so (CORE_UNREST), so that its node's generation grows.
 */
#include "raft/core/inside.h"

void rest_wake(struct core *c)
{
    if (c->role != CORE_LEADER) return;
    if (c->resting) { /* all members were well when it began to rest */
        c->heartbeat_at_ms = c->now_ms;
        c->quorum_at_ms = c->now_ms + c->o.election_ms;
        for (unsigned i = 0; i < c->config->count; i++)
            c->peers[i].active = c->peers[i].up;
    }
    c->resting = false;
    for (unsigned i = 0; i < c->config->count; i++)
        c->peers[i].rests = false;
}

static bool is_settled(const struct core *c)
{
    if (!c->ready || c->commit != c->last || c->applied != c->commit || c->durable != c->last)
        return false;
    if (c->read_count > 0 || c->transfer.to != 0 || c->config->joint) return false;
    for (unsigned i = 0; i < c->config->count; i++) {
        const struct progress *p = &c->peers[i];

        if (p->node == c->o.self || !p->up) continue; /* who is down is told when it is up again */
        if (p->match != c->last || (c->config->members[i].flags & CORE_PROMOTE)) return false;
    }
    return true;
}

bool rest_may(const struct core *c)
{
    if (c->o.rest_after_ms == 0 || c->now_ms - c->busy_ms < c->o.rest_after_ms) return false;
    if (disk_too_few(c)) return false; /* it has to hear when they have room again */
    return is_settled(c) && commit_could(c, true);
}

void rest_settle(struct core *c)
{
    if (c->role != CORE_LEADER || c->resting || !rest_may(c)) return;
    for (unsigned i = 0; i < c->config->count; i++) {
        const struct progress *p = &c->peers[i];

        if (p->node != c->o.self && p->up && !p->rests) return;
    }
    c->resting = true;
}

bool rest_is_owed(const struct core *c)
{
    for (unsigned i = 0; i < c->config->count; i++)
        if (c->peers[i].may_rest) return true;
    return false;
}
