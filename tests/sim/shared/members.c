/* members - counts and changes of configurations: members.h. */
#include "tests/sim/shared/members.h"

/* Who has the flag, or may get it unasked: `soon`, who is to be promoted and says no. */
static bool has_vote(const struct core_member *m, unsigned flag, bool soon, bool yes)
{
    return (m->flags & flag) || (soon && (m->flags & CORE_PROMOTE) && !yes);
}

static unsigned place_of(const struct core_config *c, const struct core_member *m)
{
    return c->spread == CORE_SPREAD_REGION ? m->region : m->zone;
}

static bool half(const struct core_config *c, unsigned flag, bool soon,
                 const struct member_ask *ask)
{
    unsigned voters = 0, count = 0, places = 0, places_yes = 0;

    for (unsigned i = 0; i < c->count; i++) {
        const struct core_member *m = &c->members[i];
        bool yes = ask->says_yes(ask, m);

        if (!has_vote(m, flag, soon, yes)) continue;
        voters++;
        places |= 1u << place_of(c, m);
        if (!yes) continue;
        count++;
        places_yes |= 1u << place_of(c, m);
    }
    if (voters == 0) return true;
    if (c->spread != CORE_SPREAD_NONE && (places & (places - 1)) &&
        !(places_yes & (places_yes - 1)))
        return false;
    return count > voters / 2;
}

bool members_quorum(const struct core_config *c, const struct member_ask *ask)
{
    return half(c, CORE_VOTES_NEW, false, ask) &&
           (!c->joint || half(c, CORE_VOTES_OLD, false, ask));
}

bool members_quorum_soon(const struct core_config *c, const struct member_ask *ask)
{
    return members_quorum(c, ask) && half(c, CORE_VOTES_NEW, true, ask);
}

void members_wanted(const struct core_config *now, struct core_config *aim)
{
    *aim = (struct core_config){ .spread = now->spread };
    for (unsigned i = 0; i < now->count; i++) {
        struct core_member m = now->members[i];

        m.flags &= (uint8_t)~CORE_VOTES_OLD;
        if (m.flags) aim->members[aim->count++] = m;
    }
}

bool members_has(const struct core_config *c, uint64_t node)
{
    for (unsigned i = 0; i < c->count; i++)
        if (c->members[i].node == node) return true;
    return false;
}

void members_drop(struct core_config *aim, unsigned at)
{
    aim->members[at] = aim->members[--aim->count];
}

void members_alter(struct rng *r, struct core_config *aim)
{
    struct core_member *m = &aim->members[rng_below(r, aim->count)];

    if (rng_below(r, 1000) < 500)
        m->priority = (uint8_t)rng_below(r, 4);
    else if (m->flags & CORE_VOTES_NEW)
        m->flags = CORE_LEARNS | (rng_below(r, 1000) < 500 ? CORE_PROMOTE : 0);
    else
        m->flags = CORE_VOTES_NEW;
}
