/* commit - what a quorum holds durably is committed.
 *
 * R3 (thesis 3.6.2): only entries of the current term are counted; what stands before the first of them commits
 * with it. The leader counts itself only as far as its own disk has it (R1), in parallel with the others; both
 * halves of a joint configuration must hold it (R6), and with spread, voters of two places in each.
 */
#include "raft/core/inside.h"

void commit_count(struct core *c)
{
    struct quorum_voter v[CORE_MEMBERS_MAX];
    bool spread = c->config->spread != CORE_SPREAD_NONE && !MUTATED(SPREAD_IGNORED);
    uint64_t index;

    if (c->role != CORE_LEADER) return;
    index = quorum_index(v, config_half(c, CORE_VOTES_NEW, v), spread);
    index = MIN(index, quorum_index(v, config_half(c, CORE_VOTES_OLD, v), spread));
    CHECK(index <= c->last);
    /* R5, R3 */
    if (index <= c->commit || (index < c->own_first && !MUTATED(R3_OLD_TERMS))) return;
    c->commit = index;
    c->busy_ms = c->now_ms;
}

/* Check-quorum asks for what a commit asks for: else a leader would stay that can commit nothing. */
bool commit_could(const struct core *c, bool by_up)
{
    static const unsigned halves[] = { CORE_VOTES_NEW, CORE_VOTES_OLD };
    struct quorum_voter v[CORE_MEMBERS_MAX];
    bool spread = c->config->spread != CORE_SPREAD_NONE && !MUTATED(SPREAD_CANNOT_COMMIT);

    for (unsigned h = 0; h < 2; h++) {
        unsigned n = config_half(c, halves[h], v);

        for (unsigned i = 0; i < n; i++) {
            const struct progress *p = &c->peers[config_find(c->config, v[i].node)];

            v[i].match = v[i].node == c->o.self || (by_up ? p->up : p->active);
        }
        if (quorum_index(v, n, spread) == 0) return false;
    }
    return true;
}
