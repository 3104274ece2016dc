/* apply - committed entries go to the machine in order, then the core hears of it, then the machine
 * of its role, then the proposals get their answers.
 *
 * From memory where they are there; what was in the log at boot, or has left the cache, is read from it by the reader thread
 * (replay.c). Both in slices, so that a long replay does not hold the loop's other groups.
 */
#include "raft/engine/inside.h"

struct slice {
    struct raft_group *group;
    unsigned entries;
    size_t bytes;
    struct list done; /* own proposals that are applied now */
};

static bool has_room(const struct slice *s)
{
    return s->entries < APPLY_ENTRIES_MAX && s->bytes < APPLY_BYTES_MAX;
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

/* ---- from the log */

static void apply_read(struct slice *s, const struct fetched *f)
{
    struct raft_group *g = s->group;

    for (unsigned i = 0; i < f->count; i++) {
        const struct fetched_entry *e = &f->entries[i];

        apply_entry(s, e->kind,
                    &(struct raft_entry){ g->applied + 1, e->term, blob_span(e->head),
                                          blob_span(e->body) });
    }
    replay_drop(g);
}

/* ---- from memory */

static void apply_slot(struct slice *s, uint64_t index)
{
    struct raft_group *g = s->group;
    struct slot *slot = ring_at(&g->ring, index);
    bool is_lent = slot->proposal && !slot->owner;

    apply_entry(s, slot->kind, &(struct raft_entry){ index, slot->term, slot->head, slot->body });
    slot = ring_at(&g->ring, index); /* a call-back may have proposed: the ring may have moved */
    if (slot->proposal) list_add(&s->done, &slot->proposal->link);
    slot->proposal = NULL;
    if (is_lent || g->alone) cache_drop_upto(g, index); /* the bytes go back to their owner */
}

static void apply_cached(struct slice *s)
{
    struct raft_group *g = s->group;

    while (g->applied < g->commit && has_room(s))
        apply_slot(s, g->applied + 1);
}

/* False: the next entries are not here. */
static bool apply_slice(struct slice *s)
{
    struct raft_group *g = s->group;
    const struct fetched *f;

    if (ring_at(&g->ring, g->applied + 1)) {
        apply_cached(s);
        return true;
    }
    f = replay_ready(g);
    if (f) {
        apply_read(s, f);
        return true;
    }
    replay_drop(g); /* of another place */
    replay_want(g);
    return false;
}

bool group_apply(struct raft_group *g)
{
    struct core_event e = { .kind = CORE_APPLIED };
    struct slice s = { .group = g };

    if (g->applied == g->commit || g->stage_installs) return false;
    list_init(&s.done);
    if (!apply_slice(&s)) return false;
    if (g->machine.applied) g->machine.applied(g->machine.arg, g->applied);
    e.u.applied.index = g->applied;
    group_event(g, &e);
    group_answer(&s.done, RAFT_COMMITTED);
    cache_follow(g);
    reads_settle(g);
    return g->applied < g->commit;
}
