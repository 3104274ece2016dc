/* recv - what holds for every message before its own file sees it.
 *
 *   not a message        ERR_SYNTAX    whoever sent it, no CHECK may fail because of it
 *   of an older era      ignored       from before a recovery, and not of those who went on (recover.c)
 *   of an older term     ignored, or answered with the newer term (thesis 3.3)
 *   of a newer term      it is followed, except where only an election is prepared, or a leader lives
 */
#include "raft/core/inside.h"

/* ---- is it one? */

static bool is_pos(struct core_pos pos)
{
    return pos.index < BOUND && pos.term < BOUND;
}

static bool is_entry(const struct core *c, const struct core_entry *e)
{
    if (e->kind < CORE_NOOP || e->kind > CORE_CONFIG) return false;
    if (e->kind != CORE_CONFIG) return true;
    return e->config && core_config_check(e->config) == 0 &&
           e->config->count <= c->o.limits.members_max;
}

static bool is_append(const struct core *c, const struct core_msg *m)
{
    uint64_t term = m->prev.term;

    if ((m->prev.index == 0) != (m->prev.term == 0)) return false;
    if (m->count > 0 && (m->first != m->prev.index + 1 || !m->entries)) return false;
    if (m->count >= BOUND - m->prev.index) return false;
    for (unsigned i = 0; i < m->count; i++) { /* terms only grow along a log */
        if (!is_entry(c, &m->entries[i]) || m->entries[i].term < term) return false;
        if (m->entries[i].term == 0) return false;
        term = m->entries[i].term;
    }
    return term <= m->term;
}

static bool is_snapshot(const struct core *c, const struct core_msg *m)
{
    if (m->prev.index == 0 || m->prev.term == 0 || m->prev.term > m->term) return false;
    return m->config && core_config_check(m->config) == 0 &&
           m->config->count <= c->o.limits.members_max && m->config->index <= m->prev.index;
}

static bool is_message(const struct core *c, const struct core_msg *m)
{
    if (m->kind == 0 || m->kind >= CORE_MSG_KINDS) return false;
    if (m->to != c->o.self || m->from == c->o.self || m->from == 0 || m->from >= BOUND)
        return false;
    if (m->term == 0 || m->term >= BOUND) return false;
    if (!is_pos(m->prev) || !is_pos(m->hint) || m->commit >= BOUND || m->match >= BOUND)
        return false;
    if (m->kind == CORE_MSG_APPEND) return is_append(c, m);
    if (m->kind == CORE_MSG_SNAPSHOT) return is_snapshot(c, m);
    return true;
}

/* ---- what the trail does not remember */

unsigned core_asks_here(const struct core *c, const struct core_msg *m)
{
    const struct trail *t = &c->trail;
    uint64_t unknown_from = MAX(c->commit, t->base.index) + 1;
    uint64_t known_from = t->edge.term ? t->edge.index : t->edge.index + 1;
    uint64_t last = m->kind == CORE_MSG_APPEND ? m->prev.index + m->count : m->prev.index;

    if (m->kind != CORE_MSG_APPEND && m->kind != CORE_MSG_SNAPSHOT) return 0;
    if (last < unknown_from || m->prev.index >= known_from || unknown_from >= known_from) return 0;
    return (unsigned)(MIN(last, known_from - 1) - m->prev.index) + 1;
}

uint64_t term_here(const struct core *c, const struct core_msg *m, uint64_t index)
{
    uint64_t term = trail_term(&c->trail, index);

    if (term != 0 || index <= MAX(c->commit, c->trail.base.index) || index > c->last) return term;
    CHECK(m->here); /* the host was asked (core_asks_here) */
    CHECK(m->here[index - m->prev.index] != 0);
    return m->here[index - m->prev.index];
}

/* ---- terms */

/* Thesis 3.3: who is behind is told, so that it follows. That is also what frees a node which has a newer term
 * than its leader: it cannot follow, and cannot win while the leader lives. */
static void answer_old(struct core *c, const struct core_msg *m, struct core_update *u)
{
    struct core_msg *r;

    switch (m->kind) {
    case CORE_MSG_PREVOTE:
    case CORE_MSG_VOTE:
        r = send_new(c, m->kind == CORE_MSG_VOTE ? CORE_MSG_VOTE_REPLY : CORE_MSG_PREVOTE_REPLY,
                     m->from, 0, u);
        r->reject = true;
        return;
    case CORE_MSG_APPEND:
    case CORE_MSG_HEARTBEAT:
    case CORE_MSG_SNAPSHOT:
        r = send_new(c, CORE_MSG_APPEND_REPLY, m->from, 0, u);
        r->reject = true;
        r->prev = m->prev;
        r->hint = core_end(c);
        return;
    case CORE_MSG_PREVOTE_REPLY:
    case CORE_MSG_VOTE_REPLY:
    case CORE_MSG_APPEND_REPLY:
    case CORE_MSG_HEARTBEAT_REPLY:
    case CORE_MSG_TIMEOUT_NOW:
    case CORE_MSG_KINDS:
        return;
    }
    UNREACHED();
}

/* Does a newer term in this message say that somebody is in it? */
static bool is_in_term(const struct core *c, const struct core_msg *m)
{
    if (m->kind == CORE_MSG_PREVOTE) return false; /* only wants to */
    if (m->kind == CORE_MSG_PREVOTE_REPLY) return m->reject;
    if (m->kind ==
        CORE_MSG_VOTE) /* thesis 4.2.3: not while the leader lives, unless it wants so itself */
        return m->disrupt || !elect_leader_lives(c);
    return true;
}

static bool is_from_leader(const struct core_msg *m)
{
    return m->kind == CORE_MSG_APPEND || m->kind == CORE_MSG_HEARTBEAT ||
           m->kind == CORE_MSG_SNAPSHOT;
}

static int dispatch(struct core *c, const struct core_msg *m, struct core_update *u)
{
    switch (m->kind) {
    case CORE_MSG_PREVOTE:
        return recv_prevote(c, m, u);
    case CORE_MSG_PREVOTE_REPLY:
        return recv_prevote_reply(c, m, u);
    case CORE_MSG_VOTE:
        return recv_vote(c, m, u);
    case CORE_MSG_VOTE_REPLY:
        return recv_vote_reply(c, m, u);
    case CORE_MSG_APPEND:
        return recv_append(c, m, u);
    case CORE_MSG_APPEND_REPLY:
        return recv_append_reply(c, m, u);
    case CORE_MSG_HEARTBEAT:
        return recv_heartbeat(c, m, u);
    case CORE_MSG_HEARTBEAT_REPLY:
        return recv_heartbeat_reply(c, m, u);
    case CORE_MSG_SNAPSHOT:
        return recv_snapshot(c, m, u);
    case CORE_MSG_TIMEOUT_NOW:
        return recv_timeout_now(c, m, u);
    case CORE_MSG_KINDS:
        break;
    }
    UNREACHED();
}

int recv_any(struct core *c, const struct core_msg *m, struct core_update *u)
{
    if (!is_message(c, m)) return ERR_SYNTAX;
    if (c->role == CORE_BROKEN || c->installing) return 0;
    if (m->era < c->config->era && config_find(c->config, m->from) < 0) return 0;
    if (m->term < c->hard.term) {
        answer_old(c, m, u);
        return 0;
    }
    if (m->term > c->hard.term && is_in_term(c, m) && !is_from_leader(m))
        become_follower(c, m->term, 0, u);
    return dispatch(c, m, u);
}
