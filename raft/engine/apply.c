/* apply - committed entries go to the machine in order, then the core hears of it, then the machine
 * of its role, then the proposals get their answers.
 *
 * Own proposals are applied from their own bytes. What was in the log at boot is read from it,
 * once. Both in slices, so that a long replay does not hold the loop's other groups.
 */
#include "raft/engine/inside.h"

#define SLICE_ENTRIES 256
#define SLICE_BYTES   (4u << 20)

struct slice {
    struct raft_group *group;
    unsigned entries;
    size_t bytes;
    struct list done; /* own proposals that are applied now */
};

static bool has_room(const struct slice *s)
{
    return s->entries < SLICE_ENTRIES && s->bytes < SLICE_BYTES;
}

static void apply_entry(struct slice *s, enum core_entry_kind kind, const struct raft_entry *e)
{
    struct raft_group *g = s->group;

    CHECK(e->index == g->applied + 1);
    CHECK(e->index <= g->commit);
    if (kind == CORE_COMMAND) g->machine.apply(g->machine.arg, e);
    g->applied = e->index;
    s->entries++;
    s->bytes += e->head.n + e->body.n;
}

/* ---- what was in the log at boot */

static bool apply_stored(void *arg, const struct store_entry *e)
{
    struct slice *s = arg;

    apply_entry(s, e->kind, &(struct raft_entry){ e->index, e->term, e->head, e->body });
    return has_room(s);
}

static void replay(struct slice *s)
{
    struct raft_group *g = s->group;
    uint64_t upto = g->commit < g->boot_last ? g->commit : g->boot_last;
    int rv = store_entries_each(g->raft->store, g->number, g->applied + 1, upto, s, apply_stored);

    /* They were there at boot, and are committed: without them this node cannot go on. */
    if (rv != 0) check_last_word("the log", "read of committed entries", err_text(rv));
}

/* ---- what this life of the process has appended */

static void apply_own(struct slice *s)
{
    struct raft_group *g = s->group;

    while (g->applied < g->commit && has_room(s)) {
        uint64_t index = g->applied + 1;
        struct raft_proposal *p;

        if (index == g->noop) {
            apply_entry(s, CORE_NOOP, &(struct raft_entry){ .index = index });
            continue;
        }
        CHECK(!list_empty(&g->sent));
        p = CONTAINER_OF(g->sent.next, struct raft_proposal, link);
        CHECK(p->index == index);
        apply_entry(s, CORE_COMMAND,
                    &(struct raft_entry){ index, p->entry_term, p->head, p->body });
        list_remove(&p->link);
        list_add(&s->done, &p->link);
    }
}

bool group_apply(struct raft_group *g)
{
    struct core_event e = { .kind = CORE_APPLIED };
    struct slice s = { .group = g };

    if (g->applied == g->commit) return false;
    list_init(&s.done);
    if (g->applied < g->boot_last)
        replay(&s);
    else
        apply_own(&s);
    if (g->machine.applied) g->machine.applied(g->machine.arg, g->applied);
    e.u.applied.index = g->applied;
    group_event(g, &e);
    group_answer(&s.done, RAFT_COMMITTED);
    return g->applied < g->commit;
}
