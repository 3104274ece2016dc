/* priority - who should lead, when several could.
 *
 * At first only the voters of the highest priority stand. Each timeout that passes without a leader lowers what
 * is wanted, so that the others follow, in order; a leader heard that commits sets it back. Priority 0 comes last: it may hold
 * the only complete log of a quorum. It hands over as soon as another is fit to lead.
 */
#include "raft/core/inside.h"

uint8_t priority_own(const struct core *c)
{
    int i = config_find(c->config, c->o.self);

    return i < 0 ? 0 : c->config->members[i].priority;
}

void priority_reset(struct core *c)
{
    c->wanted_priority = 0;
    for (unsigned i = 0; i < c->config->count; i++) {
        const struct core_member *m = &c->config->members[i];

        if (m->flags & (CORE_VOTES_NEW | CORE_VOTES_OLD))
            c->wanted_priority = MAX(c->wanted_priority, m->priority);
    }
}

/* A leader that has committed nothing in its term may never do: wanting it back would bring it back for ever. */
void priority_heard(struct core *c)
{
    if (trail_term(&c->trail, c->commit) == c->hard.term || MUTATED(PRIORITY_FRUITLESS))
        priority_reset(c);
}

bool priority_waits(struct core *c)
{
    if (c->rescue.on || priority_own(c) >= c->wanted_priority) return false;
    c->wanted_priority = (uint8_t)(c->wanted_priority * c->o.decay_permille / 1000);
    return true;
}

bool priority_hands_over(const struct core *c)
{
    int i = config_find(c->config, c->o.self);

    return c->ready && i >= 0 && c->config->members[i].priority == 0 &&
           c->now_ms >= c->handover_at_ms;
}
