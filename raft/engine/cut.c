/* cut - the machine has made entries durable elsewhere, so the log forgets them.
 *
 * Ranges are disjoint, from the last cut on: overlapping ones would make every later read dearer.
 * Cuts of one turn become one. The term of the last entry cut is kept in the log with its index.
 */
#include "raft/engine/inside.h"

static uint64_t term_at(const struct raft_group *g, uint64_t index)
{
    struct core_view v;
    uint64_t term;
    int rv;

    if (index == g->boot_last) return g->boot_term;
    if (index > g->boot_last) { /* appended by this life, which has one term */
        core_see(g->core, &v);
        CHECK(v.role == CORE_LEADER);
        return v.term;
    }
    rv = store_entry_read(g->raft->store, g->number, index, NULL, &term, NULL, NULL);
    if (rv != 0) check_last_word("the log", "read of the entry to cut at", err_text(rv));
    return term;
}

void raft_group_cut(struct raft_group *g, uint64_t upto)
{
    if (g->raft->tainted) return; /* what is left is evidence */
    if (upto > g->applied) upto = g->applied;
    if (upto < g->first) return;
    if (g->cut_to == 0) g->cut_from = g->first;
    CHECK(g->cut_to == 0 || g->first == g->cut_to + 1);
    g->cut_to = upto;
    g->cut_term = term_at(g, upto);
    g->first = upto + 1;
    weight_cut(&g->weight, upto);
    group_mark_unsent(g);
}
