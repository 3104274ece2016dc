/* progress - what a leader knows of a peer's log, and what it has sent.
 *
 *   probes ──accepted──> replicates      probes: one message at a time, until both agree on a position
 *     ^ └───log is cut──> snapshots      replicates: next runs ahead of match, by a window of entries
 *     └─rejected, late, down─┴──┘           and bytes
 *                                        snapshots: the host sends one; then it probes behind it
 *
 * Entries go out again only when a refusal, or the loss of what had been acknowledged, says that they are not there. What is only
 * late (a slow disk, a node that had no processor for a while, a connection that may be a new one) is asked for without entries, behind
 * all that was sent: where nothing was lost the answer is yes, else a refusal says from where on.
 */
#include "raft/core/inside.h"

struct progress *progress_of(struct core *c, uint64_t node)
{
    int i = config_find(c->config, node);

    return i < 0 ? NULL : &c->peers[i];
}

void progress_begin(struct core *c)
{
    for (unsigned i = 0; i < c->config->count; i++) {
        struct progress *p = &c->peers[i];

        *p = (struct progress){ .node = p->node,
                                .up = p->up,
                                .active = true,
                                .next = c->last + 1,
                                .goal = c->last + 1,
                                .round_ms = c->now_ms };
    }
}

void progress_heard(const struct core *c, struct progress *p)
{
    p->active = true;
    p->heard_until_ms = c->now_ms + c->o.election_ms;
}

/* Not `active` alone: that begins anew with each check-quorum, and says of nobody that he lives until his next answer. */
bool progress_lives(const struct core *c, const struct progress *p)
{
    return p->active || c->now_ms < p->heard_until_ms;
}

void progress_probe(struct core *c, struct progress *p, uint64_t next)
{
    CHECK(next > p->match);
    CHECK(next <= c->last + 1);
    p->state = CORE_PROBES;
    p->next = next;
    p->waits = p->asked = p->doubts = false;
}

void progress_doubt(struct core *c, struct progress *p)
{
    bool is_sent = p->next > p->match + 1 && (p->state == CORE_REPLICATES || p->doubts);

    progress_probe(c, p, is_sent ? p->next : p->match > 0 ? p->match + 1 : c->last + 1);
    p->asked = p->doubts = is_sent;
}

/* What it had acknowledged is gone (taint.c): commits that counted it stand, the next ones do not count it. A refusal that
 * is only late says the same; so no window follows at once, or each pair of one and an acknowledgement would send it again. */
void progress_forget(struct core *c, struct progress *p, uint64_t next)
{
    p->match = 0;
    p->held_ms = c->now_ms + c->o.heartbeat_ms;
    progress_probe(c, p, next);
}

/* Thesis 4.2.1: it has caught up when a round, of what was there at its beginning, takes no longer than an
 * election; then a commit will not wait longer for it either. */
static void count_round(struct core *c, struct progress *p)
{
    if (p->match < p->goal) return;
    p->caught_up = c->now_ms - p->round_ms <= c->o.election_ms;
    p->goal = c->last;
    p->round_ms = c->now_ms;
}

bool progress_is_near(const struct core *c, const struct progress *p)
{
    if (!p->active || !p->up) return false;
    if (p->lost) return false; /* it has no vote to give (taint.c) */
    if (p->match == c->last)
        return true; /* however long the last round took: the next one has nothing in it */
    return p->caught_up &&
           c->now_ms - p->round_ms <= c->o.election_ms; /* not fallen behind again */
}

/* An answer that comes while it probes may be one of an older message. In doubt it says that what was sent was only late, and next stays;
 * else it says nothing of what was asked. */
static bool ends_probe(const struct progress *p, bool is_new)
{
    return p->doubts ? is_new : p->match >= p->next - 1;
}

void progress_acked(struct core *c, struct progress *p, uint64_t match)
{
    bool is_new = match > p->match;

    if (is_new) p->match = match;
    if (p->next <= p->match) p->next = p->match + 1;
    count_round(c, p);
    if (p->state == CORE_REPLICATES) return;
    if (p->state == CORE_SNAPSHOTS && p->match + 1 < c->first) return;
    if (p->state == CORE_SNAPSHOTS || MUTATED(LATE_IS_LOST))
        p->next = p->match + 1;
    else if (!ends_probe(p, is_new))
        return;
    p->waits = p->asked = c->now_ms < p->held_ms;
    p->doubts = false;
    p->state = p->waits ? CORE_PROBES : CORE_REPLICATES;
}

/* What was asked may have been lost; a snapshot is not asked for as fast. */
void progress_tick(struct core *c)
{
    for (unsigned i = 0; i < c->config->count; i++) {
        struct progress *p = &c->peers[i];

        if (p->state == CORE_PROBES && c->now_ms >= p->asked_ms + c->o.heartbeat_ms)
            p->waits = false;
    }
}

bool progress_has_room(const struct core *c, const struct progress *p)
{
    uint64_t sent = p->next - 1 - p->match;

    if (sent == 0) return true;
    if (sent >= c->o.window_entries) return false;
    return window_bytes(&c->window, p->match, p->next - 1) < c->o.window_bytes;
}

void progress_snapshot_sent(struct core *c, const struct core_event *e)
{
    struct progress *p = progress_of(c, e->u.snapshot_sent.to);
    const struct core_pos *pos = &e->u.snapshot_sent.pos;

    if (c->role != CORE_LEADER || !p || p->state != CORE_SNAPSHOTS) return;
    CHECK(!e->u.snapshot_sent.ok || pos->index <= c->commit);
    if (e->u.snapshot_sent.ok && pos->index > p->match)
        progress_probe(c, p, pos->index + 1); /* its answer, or a probe's, says that it is there */
    else
        progress_probe(c, p, p->match + 1);
    p->waits = p->asked = true;
    p->asked_ms = c->now_ms + c->o.election_ms; /* it may be staged yet; or: not again at once */
}
