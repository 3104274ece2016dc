/* peer - what the host knows of a node: judged once for each pair of nodes, told to the groups they share. */
#include "raft/core/inside.h"

static void leader_lost(struct core *c)
{
    c->resting = false;
    c->lease_until_ms = 0;
    elect_hint(c); /* a hint only: the others are asked, and refuse while they hear it */
}

static void lead(struct core *c, struct progress *p, bool up)
{
    if (up == p->up) return;
    p->up = up;
    p->rests = false;
    if (!up) {
        p->active = false;
        p->heard_until_ms = 0;
    }
    progress_doubt(c, p);
    if (up) rest_wake(c);
    if (c->resting && !commit_could(c, true)) rest_wake(c);
}

void peer_told(struct core *c, const struct core_event *e)
{
    struct progress *p = progress_of(c, e->u.peer.node);
    bool up = e->u.peer.up;

    if (c->role == CORE_LEADER && p) {
        lead(c, p, up);
    } else if (p) {
        p->up = up;
    }
    if (c->role != CORE_FOLLOWER || c->leader != e->u.peer.node) return;
    if (!up) {
        leader_lost(c);
    } else if (e->u.peer.woke && c->resting) {
        c->resting = false;
        c->lease_until_ms = c->now_ms;
        elect_set_timer(c);
    }
}
