/* recv_snapshot - a whole snapshot is staged here: is it wanted?
 *
 * R7: it is installed as one: the log is emptied and begins behind it. Meanwhile nothing is written, so messages
 * are ignored, as by a node that is down.
 */
#include "raft/core/inside.h"

int recv_snapshot(struct core *c, const struct core_msg *m, struct core_update *u)
{
    bool is_here = m->prev.index <= c->last && term_here(c, m, m->prev.index) == m->prev.term;
    struct core_msg *r;

    if (become_follower_of(c, m, u) != 0) return ERR_CORRUPT;
    if (m->prev.index > c->commit && is_here) c->commit = m->prev.index; /* the log says the same */
    if (m->prev.index <= c->commit && m->prev.index <= c->last) {
        r = send_new(c, CORE_MSG_APPEND_REPLY, m->from, 0, u);
        r->match = MIN(c->commit, c->last);
        r->lost = c->tainted;
        if (r->match > c->durable) u->sends[u->send_count - 1].after_write = c->last_write;
        return 0;
    }
    c->installing = true;
    c->install = m->prev;
    u->flags |= CORE_INSTALL;
    u->install = m->prev;
    return 0;
}

static void take(struct core *c, const struct core_config *g)
{
    CHECK(c->install.index > c->commit || c->tainted);
    trail_init(&c->trail, c->install);
    window_init(&c->window, c->install.index);
    c->marks.count = 0;
    c->first = c->install.index + 1;
    c->last = c->durable = c->install.index;
    c->commit = c->applied = MAX(c->commit, c->install.index);
    config_adopt(c, g, g->index);
    c->has_before = false; /* R6: no snapshot holds one that is not committed */
}

void recv_snapshot_installed(struct core *c, const struct core_event *e, struct core_update *u)
{
    struct core_msg *r;

    CHECK(c->installing);
    c->installing = false;
    if (c->role == CORE_BROKEN) return;
    elect_set_timer(c);
    if (!e->u.installed.ok) return; /* the leader will ask what is here, and send another */
    take(c, e->u.installed.config);
    if (c->leader == 0) return;
    r = send_new(c, CORE_MSG_APPEND_REPLY, c->leader, 0, u);
    r->match = c->last;
    r->lost = c->tainted;
}
