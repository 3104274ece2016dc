/* recv_heartbeat_reply - a peer lives: it counts for check-quorum, for reads, and may rest. */
#include "raft/core/inside.h"

/* Two replies in a row, and neither has anything come there nor an answer here: what was sent or what was answered
 * is lost, or its disk is slow; ask. Or what it had acknowledged is gone (taint.c). */
static void find_loss(struct core *c, struct progress *p, const struct core_msg *m)
{
    bool is_waiting = p->match < p->next - 1;
    bool is_stuck = is_waiting && m->hint.index == p->tail && p->match == p->tail_match &&
                    !MUTATED(ANSWER_NEVER_ASKED);
    uint64_t next = MIN(m->hint.index + 1, p->next);

    p->tail = is_waiting ? m->hint.index : NEVER;
    p->tail_match = p->match;
    if (m->lost && m->hint.index < p->match && !MUTATED(LOST_COUNTED)) {
        progress_forget(c, p, next);
    } else if (p->state == CORE_REPLICATES && is_stuck) {
        if (c->now_ms < p->asked_ms + c->o.heartbeat_ms)
            return; /* asked just now: replies that come at once are one */
        if (MUTATED(LATE_IS_LOST))
            progress_probe(c, p, MAX(next, p->match + 1));
        else
            progress_doubt(c, p);
    } else if (p->state == CORE_REPLICATES && m->lost && p->match == c->last) {
        progress_probe(c, p, p->match + 1); /* an APPEND tells it that this one knows */
    }
}

int recv_heartbeat_reply(struct core *c, const struct core_msg *m, struct core_update *u)
{
    struct progress *p = progress_of(c, m->from);

    (void)u;
    if (c->role != CORE_LEADER || !p || m->term != c->hard.term) return 0; /* R6 */
    if (m->context > c->round) return ERR_SYNTAX;
    progress_heard(c, p);
    p->lost = m->lost;
    p->free_permille = m->free_permille;
    p->round = MAX(p->round, m->context);
    p->rests = m->rest && rest_may(c);
    if (!m->rest) p->may_rest = false;
    find_loss(c, p, m);
    return 0;
}
