/* recv_append - entries from the leader (thesis 3.5).
 *
 *   prev matches?  no: say where both may agree. Yes: what is here and the same stays, so that an old message
 *   takes nothing away; from the first that differs on the log is cut off; the rest is appended: one write. The
 *   answer waits for the write that holds the last of them (R1), also when an earlier message brought it.
 */
#include "raft/core/inside.h"

/* Up to here nothing can change any more. A configuration was appended only when the one before it was committed. */
static uint64_t settled(const struct core *c)
{
    return MAX(c->commit, c->has_before ? c->before->index : c->config->index);
}

static struct core_msg *reply(struct core *c, const struct core_msg *m, struct core_update *u)
{
    struct core_msg *r = send_new(c, CORE_MSG_APPEND_REPLY, m->from, 0, u);

    r->lost = c->tainted;
    r->free_permille = c->free_permille;
    return r;
}

/* Thesis 3.5: back up by terms, not by entries. Up to its commit this log agrees with every leader's. */
static void reject(struct core *c, const struct core_msg *m, struct core_update *u)
{
    uint64_t hint = trail_find(&c->trail, m->prev.index, m->prev.term);
    struct core_msg *r = reply(c, m, u);

    r->commit = MIN(c->commit, c->last);
    hint = MAX(hint, r->commit);
    if (MUTATED(R5_COMMIT_REGRESSES)) c->commit = MIN(c->commit, m->commit);
    r->reject = true;
    r->prev = m->prev;
    r->hint = (struct core_pos){ hint, trail_term(&c->trail, hint) };
}

static void accept(struct core *c, const struct core_msg *m, uint64_t match, struct core_update *u)
{
    struct core_msg *r = reply(c, m, u);

    if (match > c->durable &&
        !MUTATED(R1_ACK_UNSYNCED)) /* some write that is on its way holds it */
        u->sends[u->send_count - 1].after_write = c->last_write;
    r->match = MUTATED(MATCH_IS_LAST) ? c->last : match;
}

/* How many of the message's entries are here already. ERR_CORRUPT: one differs that may not. */
static int find_new(const struct core *c, const struct core_msg *m, unsigned *out)
{
    unsigned i = 0;

    for (; i < m->count && m->first + i <= c->last; i++) {
        uint64_t index = m->first + i, term = term_here(c, m, index);

        if (term == 0) continue; /* committed, long ago */
        if (term == m->entries[i].term) continue;
        if (index <= settled(c)) return ERR_CORRUPT;
        break;
    }
    if (MUTATED(STALE_APPEND_CUTS) && i > 0 && m->first > c->commit) i = 0;
    *out = i;
    return 0;
}

/* The entry before the new ones: what it is here, too. */
static struct core_pos end_of_old(const struct core_msg *m, unsigned skip)
{
    if (skip == 0) return m->prev;
    return (struct core_pos){ m->first + skip - 1, m->entries[skip - 1].term };
}

static void append(struct core *c, const struct core_msg *m, unsigned skip, struct core_update *u)
{
    uint64_t index = m->first + skip;

    CHECK(index <= c->last + 1);
    if (index <= c->last) {
        append_truncate(c, end_of_old(m, skip));
        u->append.truncate_from = index;
    }
    u->append.index = index;
    u->append.skip = skip;
    u->append.count = m->count - skip;
    u->flags |= CORE_APPEND;
    for (unsigned i = skip; i < m->count; i++) {
        append_place(c, m->entries[i].term, m->entries[i].weight);
        if (m->entries[i].kind == CORE_CONFIG)
            config_adopt(c, m->entries[i].config, c->last); /* R6 */
    }
    marks_add(&c->marks, append_write(c, u), c->last);
}

static bool is_busy(const struct core *c)
{
    return window_bytes(&c->window, c->applied, MIN(c->commit, c->last)) > c->o.unapplied_bytes_max;
}

int recv_append(struct core *c, const struct core_msg *m, struct core_update *u)
{
    unsigned skip = 0;
    uint64_t end, term;
    bool is_late;
    int rv;

    if (m->prev.index > 0 && m->prev.index <= settled(c) && m->prev.index <= c->last) {
        term = trail_term(&c->trail, m->prev.index);
        if (term != 0 && term != m->prev.term) return ERR_CORRUPT;
    }
    rv = find_new(c, m, &skip);
    if (rv != 0) return rv;
    if (become_follower_of(c, m, u) != 0) return ERR_CORRUPT;
    c->resting = false;
    term = term_here(c, m, m->prev.index);
    if (MUTATED(NO_LOG_MATCHING)) term = m->prev.term;
    if (m->prev.index > c->last || (m->prev.index > c->commit && term != m->prev.term)) {
        reject(c, m, u);
        return 0;
    }
    taint_heard(c, m->commit);
    end = m->prev.index + m->count;
    is_late = (skip < m->count || m->count == 0) && is_busy(c); /* a question too: whether to send */
    if (is_late)
        end = m->prev.index + skip;
    else if (skip < m->count)
        append(c, m, skip, u);
    c->commit = /* R5; and no further than what is the same here (thesis 3.5) */
        MAX(c->commit, MIN(m->commit, MUTATED(COMMIT_BEYOND_MATCH) ? c->last : MIN(end, c->last)));
    accept(c, m, end, u);
    u->sends[u->send_count - 1].msg.busy = is_late;
    return 0;
}
