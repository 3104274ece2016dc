/* apply - committed entries go to the machine in order, then the core hears of it, then the machine of its
 * role, then the proposals get their answers.
 *
 * Own proposals are applied from their own bytes. After a start entries come from the log, in slices, so that
 * a loop is not held by a long replay.
 */
#include "raft/engine/inside.h"

struct slice {
    struct raft_group *group;
    uint64_t upto;
    size_t bytes;
};

static void give(struct raft_group *g, const struct raft_entry *entry)
{
    CHECK(entry->index > g->applied);
    g->machine.apply(g->machine.arg, entry);
}

static bool replay_one(void *arg, const struct store_entry *e)
{
    struct slice *s = arg;

    if (e->kind == CORE_COMMAND)
        give(s->group, &(struct raft_entry){ .index = e->index, .term = e->term, .head = e->head, .body = e->body });
    s->upto = e->index;
    s->group->applied = e->index;
    s->bytes += e->head.n + e->body.n;
    return s->bytes < ENGINE_REPLAY_BYTES;
}

/* Entries that an earlier life of the process wrote. */
static void replay(struct raft_group *g)
{
    struct slice s = { .group = g };
    uint64_t last = g->commit < g->replay_to ? g->commit : g->replay_to;
    int rv;

    if (last - g->applied > ENGINE_REPLAY_ENTRIES) last = g->applied + ENGINE_REPLAY_ENTRIES;
    rv = store_entries_each(g->raft->store, g->number, g->applied + 1, last, &s, replay_one);
    CHECK(rv == 0); /* raft_group_open has read them all */
}

static void apply_own(struct raft_group *g)
{
    struct list *it = list_first(&g->proposals);

    while (g->applied < g->commit) {
        uint64_t index = g->applied + 1;
        struct raft_proposal *p;

        if (index == g->own_noop) {
            g->applied = index;
            continue;
        }
        CHECK(it && it != &g->proposals);
        p = CONTAINER_OF(it, struct raft_proposal, link);
        if (p->index < index) { /* applied, its answer is yet to come */
            it = it->next;
            continue;
        }
        CHECK(p->index == index);
        give(g, &(struct raft_entry){ .index = index, .term = p->entry_term, .head = p->head, .body = p->body });
        g->applied = index;
        g->uncommitted_bytes -= p->head.n + p->body.n;
        it = it->next;
    }
}

static void answer(struct raft_group *g)
{
    struct list *it;

    while ((it = list_first(&g->proposals)) != NULL) {
        struct raft_proposal *p = CONTAINER_OF(it, struct raft_proposal, link);

        if (p->index > g->applied) return;
        list_remove(it);
        p->on_done(p, RAFT_COMMITTED, p->index, p->entry_term);
    }
}

static enum raft_role role_to_tell(const struct core_update *u)
{
    switch (u->role) {
    case CORE_FOLLOWER:
        return RAFT_FOLLOWER;
    case CORE_CANDIDATE:
        return RAFT_CANDIDATE;
    case CORE_LEADER:
        return u->ready ? RAFT_LEADER : RAFT_CANDIDATE;
    case CORE_BROKEN:
        return RAFT_BROKEN;
    }
    UNREACHED();
}

static void tell_role(struct raft_group *g)
{
    const struct core_update *u = &g->last_update;
    enum raft_role role = role_to_tell(u);

    if (g->role_told && role == g->role && u->term == g->told_term) return;
    g->role_told = true;
    g->role = role;
    g->told_term = u->term;
    g->machine.role(g->machine.arg, role, u->term, u->leader);
}

bool group_apply(struct raft_group *g)
{
    uint64_t before = g->applied;

    if (g->applied < g->commit && g->applied < g->replay_to) replay(g);
    if (g->applied >= g->replay_to) apply_own(g);
    if (g->applied > before) {
        struct core_event e = { .kind = CORE_APPLIED };
        struct core_update u;

        e.u.applied.index = g->applied;
        CHECK(group_step(g, &e, &u) == 0);
        group_carry_out(g, &u);
        g->machine.applied(g->machine.arg, g->applied);
    }
    tell_role(g);
    answer(g);
    return g->applied < g->commit;
}
