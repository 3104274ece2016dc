/* recv_append_reply - what a peer has, or why not. */
#include "raft/core/inside.h"

/* Its log has grown since; or what was refused has just been sent again: each refusal of a whole window would make
 * it go out once more. Heartbeats find what is lost all the same (find_loss). */
static bool is_old(const struct core *c, const struct progress *p, const struct core_msg *m)
{
    if (m->hint.index < p->match) return true;
    return p->state == CORE_REPLICATES && c->now_ms < p->backed_ms + c->o.heartbeat_ms;
}

/* Thesis 3.5: go back to where the terms may agree. */
static void back_up(struct core *c, struct progress *p, const struct core_msg *m)
{
    uint64_t next = trail_find(&c->trail, m->hint.index, m->hint.term ? m->hint.term : NEVER) + 1;

    if (p->state == CORE_PROBES && m->prev.index != p->next - 1) return; /* of an older question */
    if (m->prev.index <= p->match) return;                               /* older still */
    if (!MUTATED(OLD_REJECTS) && is_old(c, p, m)) return;
    if (next > m->prev.index &&
        (m->hint.term == 0 || trail_term(&c->trail, next - 1) != m->hint.term))
        next = MIN(m->commit + 1, m->prev.index); /* not all terms are remembered there: where both surely are the same */
    if (p->state == CORE_REPLICATES) p->backed_ms = c->now_ms;
    progress_probe(c, p, MAX(next, p->match + 1));
}

int recv_append_reply(struct core *c, const struct core_msg *m, struct core_update *u)
{
    struct progress *p = progress_of(c, m->from);

    (void)u;
    if (c->role != CORE_LEADER || !p || m->term != c->hard.term) return 0; /* R6 */
    if (!m->reject && m->match > c->last) return ERR_SYNTAX;
    progress_heard(c, p);
    p->lost = m->lost;
    p->free_permille = m->free_permille;
    if (m->lost && m->reject && m->hint.index < p->match && !MUTATED(LOST_COUNTED)) {
        progress_forget(c, p, MIN(m->hint.index, c->last) + 1);
    } else if (m->reject) {
        if (p->state != CORE_SNAPSHOTS) back_up(c, p, m);
    } else {
        progress_acked(c, p, m->match);
        if (!m->busy) return 0;
        progress_probe(c, p, p->match + 1);
        p->waits = p->asked = true;
        p->asked_ms = c->now_ms;
    }
    return 0;
}
