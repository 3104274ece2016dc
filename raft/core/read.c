/* read - linearizable reads without an entry (thesis 6.4): the commit index of when it was asked, once a quorum
 * has confirmed, later than that, that this node still leads.
 *
 * A round is a number that all heartbeats carry and their replies bring back; what is asked while one is on its
 * way waits for the next, so that no older answer can confirm it.
 */
#include "raft/core/inside.h"

int read_ask(struct core *c, uint64_t context)
{
    if (!c->ready)
        return ERR_NOT_LEADER; /* before its first entry commits it may not know what is committed */
    if (c->read_count == c->o.limits.reads_max) return ERR_FULL;
    c->reads[c->read_count++] =
        (struct read){ context, c->commit,
                       c->round + (MUTATED(READ_OLD_ROUND) ? c->round > 0 : 1) };
    c->busy_ms = c->now_ms;
    rest_wake(c);
    return 0;
}

static uint64_t confirmed(const struct core *c)
{
    struct quorum_voter v[CORE_MEMBERS_MAX];
    static const unsigned halves[] = { CORE_VOTES_NEW, CORE_VOTES_OLD };
    uint64_t round = NEVER;

    for (unsigned h = 0; h < 2; h++) {
        unsigned n = 0;

        for (unsigned i = 0; i < c->config->count; i++) {
            const struct core_member *m = &c->config->members[i];

            if (!(m->flags & halves[h])) continue;
            v[n++].match = m->node == c->o.self ? NEVER : c->peers[i].round;
        }
        round = MIN(round, quorum_index(v, n, false));
    }
    return round;
}

static void release(struct core *c, uint64_t round, struct core_update *u)
{
    unsigned done = 0;

    while (done < c->read_count && c->reads[done].round <= round) {
        u->reads[u->read_count++] =
            (struct core_read){ c->reads[done].context, c->reads[done].index };
        done++;
    }
    c->read_count -= done;
    memmove(c->reads, c->reads + done, c->read_count * sizeof c->reads[0]);
}

static void begin_round(struct core *c, struct core_update *u)
{
    c->round++;
    send_heartbeats(c, u);
}

void read_settle(struct core *c, struct core_update *u)
{
    if (c->role != CORE_LEADER || c->read_count == 0) return;
    if (confirmed(c) == NEVER && c->config->count > 1)
        begin_round(c, u); /* the only voter: it asks nobody, and those who learn hear all the same what is committed */
    release(c, MUTATED(READ_UNCONFIRMED) ? NEVER : confirmed(c), u);
    if (c->read_count > 0 && c->reads[0].round > c->round) /* nothing is on its way */
        begin_round(c, u);
}

void read_fail(struct core *c, struct core_update *u)
{
    for (unsigned i = 0; i < c->read_count; i++)
        u->reads[u->read_count++] = (struct core_read){ .context = c->reads[i].context };
    c->read_count = 0;
}
