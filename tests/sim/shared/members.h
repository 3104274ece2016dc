/* members - configurations as the simulations look at them, and as their operators change them. */
#ifndef SIM_SHARED_MEMBERS_H
#define SIM_SHARED_MEMBERS_H

#include "proto/ground/rng.h"
#include "raft/core/core.h"

/* What is asked of a member: does it hold an entry, may it be counted on. */
struct member_ask {
    bool (*says_yes)(const struct member_ask *ask, const struct core_member *m);
};

/* Whether those who say yes are a quorum of each half that counts, in two zones or regions where the configuration wants that. */
bool members_quorum(const struct core_config *c, const struct member_ask *ask);
/* And of all that it becomes unasked: who is to be promoted may be a voter soon, and those who say no before the others. */
bool members_quorum_soon(const struct core_config *c, const struct member_ask *ask);

/* The members as they are wanted now: without those that only go. */
void members_wanted(const struct core_config *now, struct core_config *aim);
bool members_has(const struct core_config *c, uint64_t node);
void members_drop(struct core_config *aim, unsigned at);
/* Another priority, or a voter that becomes a learner, or the reverse. */
void members_alter(struct rng *r, struct core_config *aim);

#endif
