/* see - what is known, for tests, metrics, and the host's decisions. */
#include "raft/core/inside.h"

void core_see(const struct core *c, struct core_view *out)
{
    *out = (struct core_view){ .role = c->role,
                               .term = c->hard.term,
                               .vote = c->hard.vote,
                               .leader = c->leader,
                               .first = c->first,
                               .last = c->last,
                               .last_term = core_end(c).term,
                               .commit = c->commit,
                               .durable = c->durable,
                               .applied = c->applied,
                               .durable_write = c->durable_write,
                               .last_write = c->last_write,
                               .transfer_to = c->transfer.to,
                               .tainted = c->tainted,
                               .ready = c->ready,
                               .resting = c->resting,
                               .installing = c->installing,
                               .recovering = c->rescue.on,
                               .stalled = c->stalled,
                               .config_committed = config_is_committed(c) };
    if (!c->booted) return;
    out->uncommitted_bytes = window_bytes(&c->window, c->commit, c->last);
    out->unapplied_bytes = window_bytes(&c->window, c->applied, c->commit);
}

bool core_see_peer(const struct core *c, unsigned i, struct core_peer_view *out)
{
    const struct progress *p;

    if (c->role != CORE_LEADER || i >= c->config->count) return false;
    p = &c->peers[i];
    *out = (struct core_peer_view){ .node = p->node,
                                    .match = p->match,
                                    .next = p->next,
                                    .progress = p->state,
                                    .flags = c->config->members[i].flags,
                                    .up = p->up,
                                    .active = progress_lives(c, p),
                                    .resting = p->rests,
                                    .free_permille = p->free_permille };
    if (p->node != c->o.self) return true;
    out->match = c->durable;
    out->next = c->last + 1;
    out->up = out->active = true;
    out->free_permille = c->free_permille;
    return true;
}

const struct core_config *core_config_now(const struct core *c)
{
    return c->config;
}

const struct core_config *core_config_at(const struct core *c, uint64_t index)
{
    if (c->config->index <= index || MUTATED(SNAPSHOT_CONFIG)) return c->config;
    return c->has_before && c->before->index <= index ? c->before : NULL;
}

uint64_t core_term_at(const struct core *c, uint64_t index)
{
    return trail_term(&c->trail, index);
}
