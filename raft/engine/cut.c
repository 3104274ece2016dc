/* cut - the machine has made entries durable elsewhere, so the log forgets them.
 *
 * Ranges are disjoint, from the last cut on: overlapping ones would make every later read dearer.
 * Cuts of one turn become one. The term of the last entry cut is kept in the log with its index, and the configuration that
 * counts there, when its entry goes.
 */
#include "raft/engine/inside.h"

uint64_t group_term_at(const struct raft_group *g, uint64_t index)
{
    const struct slot *s = ring_at(&g->ring, index);
    uint64_t term = s ? s->term : core_term_at(g->core, index);
    int rv;

    if (term != 0) return term;
    metric_add(M_RAFT_TERMS_READ, 1);
    rv = store_entry_read(g->raft->store, g->number, index, NULL, &term, NULL, NULL);
    if (rv != 0) engine_end(g->raft, "read of an entry's term", rv);
    return term;
}

void group_fill_here(const struct raft_group *g, struct core_msg *m)
{
    unsigned count = core_asks_here(g->core, m);

    CHECK(count <= FRAME_APPEND_MAX + 1);
    for (unsigned i = 0; i < count; i++)
        g->loop->here[i] = m->prev.index + i < g->first ? 0 : group_term_at(g, m->prev.index + i);
    m->here = count > 0 ? g->loop->here : NULL;
}

static bool note_config(void *arg, const struct store_entry *e)
{
    struct store_config *c = arg;

    if (e->kind != CORE_CONFIG || e->head.n > sizeof c->bytes) return true;
    c->index = e->index;
    c->n = e->head.n;
    memcpy(c->bytes, e->head.p, e->head.n);
    return true;
}

static int read_config_at(const struct raft_group *g, uint64_t index, struct core_config *out)
{
    struct store_group *log = check_malloc(sizeof *log);
    int rv = store_group_read(g->raft->store, g->number, log, NULL);

    if (rv == 0)
        rv = store_entries_each(g->raft->store, g->number, log->first, index, &log->kept,
                                note_config);
    if (rv == 0 && log->kept.n == 0) *out = raft_config_of(&g->raft->node_id, 1); /* began alone */
    if (rv == 0 && log->kept.n > 0) rv = config_unpack(span_of(log->kept.bytes, log->kept.n), out);
    if (rv == 0 && log->kept.n > 0) out->index = log->kept.index;
    free(log);
    return rv;
}

/* Rare: two changes of members behind what is applied. The log is read once, on the loop. */
int group_config_at(const struct raft_group *g, uint64_t index, struct core_config *out)
{
    const struct core_config *config = core_config_at(g->core, index);

    if (!config) return read_config_at(g, index, out);
    *out = *config;
    return 0;
}

static void keep_config(struct raft_group *g, uint64_t upto)
{
    struct core_config config;

    if (group_config_at(g, upto, &config) != 0) return;
    if (config.index == 0 || config.index <= g->kept_config_index) return;
    if (config.index < g->first) return; /* kept by an earlier cut */
    blob_unref(&g->cut_config);
    g->cut_config = config_blob(&config);
    g->cut_config_index = g->kept_config_index = config.index;
}

void raft_group_cut(struct raft_group *g, uint64_t upto)
{
    struct core_event e = { .kind = CORE_CUT };
    uint64_t hold = shipments_hold(g);
    struct core_view v;

    core_see(g->core, &v);
    if (v.tainted || g->stage_installs)
        return; /* what is left is evidence; or it goes all at once */
    if (upto > g->applied) upto = g->applied;
    if (upto > hold) upto = hold;
    if (upto < g->first) return;
    if (g->cut_to == 0) g->cut_from = g->first;
    CHECK(g->cut_to == 0 || g->first == g->cut_to + 1);
    g->cut_term = group_term_at(g, upto);
    keep_config(g, upto);
    g->cut_to = upto;
    g->first = upto + 1;
    cache_drop_upto(g, upto);
    weight_cut(&g->weight, upto);
    group_mark_unsent(g);
    e.u.cut.index = upto;
    e.u.cut.term = g->cut_term;
    CHECK(group_step(g, &e, &g->loop->inner) == 0);
    group_carry_out(g, &g->loop->inner, NULL,
                    NULL); /* any step may find that there is something to send */
}
