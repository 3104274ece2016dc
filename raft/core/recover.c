/* recover - a quorum is lost for good, and somebody decides to go on with what is left.
 *
 * What the lost voters alone held is lost: entries that were acknowledged may be among it. So it only lowers the
 * quorum, on one voter that follows nobody, for a while; that voter stands, wins with the voters that are left,
 * and its first entry is a configuration of them, of a new era. Should the lost ones return, their messages are
 * of an older era and are not heard: they can be added again, with empty disks.
 */
#include "raft/core/inside.h"

#define ALONE 4 /* election timeouts without a leader */

static bool is_alone(const struct core *c)
{
    if (c->role == CORE_LEADER || c->role == CORE_BROKEN || c->tainted || c->installing)
        return false;
    if (elect_leader_lives(c) || c->last == 0) return false;
    if (c->leader != 0) return c->lease_until_ms == 0; /* its node is down */
    return c->now_ms >= c->alone_since_ms + ALONE * (uint64_t)c->o.election_ms;
}

static int choose(const struct core *c, const struct core_event *e, uint64_t *out)
{
    uint64_t voters = 0;

    for (unsigned i = 0; i < e->u.recover.count; i++) {
        int at = config_find(c->config, e->u.recover.nodes[i]);

        if (at < 0 || !config_is_voter(c->config, e->u.recover.nodes[i])) return ERR_RANGE;
        if (voters >> at & 1) return ERR_RANGE;
        voters |= UINT64_C(1) << at;
    }
    *out = voters;
    return 0;
}

static bool is_quorum(const struct core *c, unsigned flag, uint64_t voters)
{
    unsigned n = 0, left = 0;

    for (unsigned i = 0; i < c->config->count; i++) {
        if (!(c->config->members[i].flags & flag)) continue;
        n++;
        left += voters >> i & 1;
    }
    return n == 0 || left >= quorum_size(n);
}

int recover_begin(struct core *c, const struct core_event *e, struct core_update *u)
{
    int self = config_find(c->config, c->o.self), rv;
    uint64_t voters;

    if (!is_alone(c) || !config_is_voter(c->config, c->o.self)) return ERR_DENIED;
    if (c->rescue.on) return ERR_BUSY;
    rv = choose(c, e, &voters);
    if (rv != 0) return rv;
    if (!(voters >> self & 1)) return ERR_RANGE;
    if (is_quorum(c, CORE_VOTES_NEW, voters) && is_quorum(c, CORE_VOTES_OLD, voters))
        return ERR_RANGE;
    if (e->u.recover.dry) return 0;
    c->rescue.on = true;
    c->rescue.voters = voters;
    c->rescue.until_ms = c->now_ms + e->u.recover.within_ms;
    c->resting = false;
    elect_begin(c, u);
    return 0;
}

void recover_config(const struct core *c, struct core_config *out)
{
    *out = (struct core_config){ .version = c->config->version + 1,
                                 .era = c->config->era + 1,
                                 .spread = c->config->spread };
    for (unsigned i = 0; i < c->config->count; i++) {
        struct core_member m = c->config->members[i];

        if (c->rescue.voters >> i & 1)
            m.flags = CORE_VOTES_NEW;
        else if (m.flags & (CORE_VOTES_NEW | CORE_VOTES_OLD))
            continue;
        out->members[out->count++] = m;
    }
}
