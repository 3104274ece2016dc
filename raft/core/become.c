/* become - the only place where a core's role changes.
 *
 *   follower -> candidate   election timeout, not tainted       (thesis 3.4)
 *   candidate -> leader     a majority of votes: the own one, once it is durable (R4)
 *   any -> broken           a write failed: it may or may not be on the disk, so nothing else may ever be
 *                           issued at its index (R2)
 */
#include "raft/core/inside.h"


void become_candidate(struct core *c, struct core_update *out)
{
    CHECK(c->role == CORE_FOLLOWER && !c->tainted);
    c->role = CORE_CANDIDATE;
    c->leader = 0;
    /* R4: the new term and the vote in it are one record; the reply (to ourselves) waits for it */
    c->hard.term++;
    c->hard.vote = c->o.self;
    out->flags |= CORE_HARD;
    durable_expect(c, out)->is_vote = true;
}

void become_leader(struct core *c, struct core_update *out)
{
    CHECK(c->role == CORE_CANDIDATE && c->hard.vote == c->o.self);
    c->role = CORE_LEADER;
    c->leader = c->o.self;
    /* an entry of the own term: entries of earlier terms commit with it, never by counting (R3) */
    append_entry(c, CORE_NOOP, 0, out);
    c->own_first = c->last;
}

void become_broken(struct core *c)
{
    c->role = CORE_BROKEN;
    c->leader = 0;
}
