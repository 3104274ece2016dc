/* become - the only place where a core's role changes.
 *
 *   follower ──> candidate ──> leader        with one voter nobody else can take the lead,
 *       └────────────┴───────────┴──> broken  so nobody steps down; broken has no way out (R2)
 */
#include "raft/core/inside.h"

#define TO(role) (1u << (role))

static const unsigned successors[] = {
    [CORE_FOLLOWER] = TO(CORE_CANDIDATE) | TO(CORE_BROKEN),
    [CORE_CANDIDATE] = TO(CORE_LEADER) | TO(CORE_BROKEN),
    [CORE_LEADER] = TO(CORE_BROKEN),
    [CORE_BROKEN] = 0,
};

void become(struct core *c, enum core_role role)
{
    CHECK(successors[c->role] & TO(role));
    c->role = role;
    c->leader = role == CORE_LEADER ? c->o.self : 0;
    c->ready = false;
}
