/* transfer - the leadership is handed over (thesis 3.10): no more proposals, the target gets the rest of the log,
 * then TIMEOUT_NOW: it stands at once, and is not refused because a leader lives. Given up at its deadline.
 */
#include "raft/core/inside.h"

static bool could_lead(const struct core *c, unsigned i)
{
    const struct core_member *m = &c->config->members[i];

    return (m->flags & CORE_VOTES_NEW) && m->priority > 0 && m->node != c->o.self;
}

/* It must be there, have room, and not need more than one message: proposals wait that long. Who came back while nothing was
 * written is only probed, but has all. */
static bool is_fit(const struct core *c, unsigned i)
{
    const struct progress *p = &c->peers[i];

    if (!p->up || !progress_lives(c, p) || p->lost) return false;
    if (p->state != CORE_REPLICATES && p->match != c->last) return false;
    if (disk_is_low(c, p->free_permille)) return false;
    return c->last - p->match <= c->o.append_entries_max;
}

int transfer_best(const struct core *c)
{
    int best = -1;

    for (unsigned i = 0; i < c->config->count; i++) {
        const struct core_member *m = &c->config->members[i],
                                 *b = &c->config->members[best < 0 ? 0 : best];

        if (!could_lead(c, i) || !is_fit(c, i)) continue;
        if (best >= 0 && (m->priority < b->priority || (m->priority == b->priority &&
                                                        c->peers[i].match <= c->peers[best].match)))
            continue;
        best = (int)i;
    }
    return best;
}

static void begin(struct core *c, unsigned to, uint32_t within_ms)
{
    c->transfer.to = c->config->members[to].node;
    c->transfer.until_ms = c->now_ms + (within_ms ? within_ms : c->o.election_ms);
    c->transfer.sent = false;
    c->handover_at_ms = c->now_ms + 4 * (uint64_t)c->o.election_ms;
    rest_wake(c);
}

int transfer_begin(struct core *c, const struct core_event *e)
{
    int to = e->u.transfer.to ? config_find(c->config, e->u.transfer.to) : transfer_best(c);

    if (!c->ready) return ERR_NOT_LEADER;
    if (c->transfer.to != 0) return ERR_BUSY;
    if (to < 0 || !could_lead(c, (unsigned)to)) return ERR_NOT_FOUND;
    if (!is_fit(c, (unsigned)to)) return ERR_AGAIN;
    begin(c, (unsigned)to, e->u.transfer.within_ms);
    return 0;
}

void transfer_end(struct core *c, bool ok, struct core_update *u)
{
    if (c->transfer.to == 0) return;
    u->flags |= CORE_TRANSFERRED;
    u->transfer.to = c->transfer.to;
    u->transfer.ok = ok;
    c->transfer.to = 0;
}

void transfer_settle(struct core *c, struct core_update *u)
{
    struct progress *p;
    int to;

    if (c->role != CORE_LEADER) return;
    if (c->transfer.to == 0 && (priority_hands_over(c) || disk_hands_over(c)) &&
        (to = transfer_best(c)) >= 0)
        begin(c, (unsigned)to, 0);
    if (c->transfer.to == 0) return;
    p = progress_of(c, c->transfer.to);
    if (!p || !p->up || c->now_ms >= c->transfer.until_ms) {
        transfer_end(c, false, u);
    } else if (p->match == c->last && !c->transfer.sent) {
        send_new(c, CORE_MSG_TIMEOUT_NOW, p->node, 0, u);
        c->transfer.sent = true;
    }
}
