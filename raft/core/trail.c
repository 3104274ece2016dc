/* trail - the terms of the log, as runs: all that the core keeps of its entries.
 *
 *   base | not remembered | edge | run 0 | run 1 | ... | last       edge = base when nothing was forgotten
 *
 * Terms only grow along a log, so a run is (first index, term). When the runs are used up the oldest one goes, but
 * for its last entry, the edge. Who asks for a term that is not remembered gets 0: the host looks into its log then,
 * for a leader that asks a peer there (send.c), and for a follower that is to compare (recv_append.c).
 */
#include "raft/core/inside.h"

void trail_init(struct trail *t, struct core_pos base)
{
    t->base = t->edge = base;
    t->last = base.index;
    t->count = 0;
}

uint64_t trail_term(const struct trail *t, uint64_t index)
{
    if (index == t->base.index) return t->base.term;
    if (index == t->edge.index) return t->edge.term;
    if (index > t->last || index < t->edge.index) return 0;
    for (unsigned i = t->count; i-- > 0;)
        if (t->runs[i].first <= index) return t->runs[i].term;
    UNREACHED();
}

static uint64_t end_of(const struct trail *t, unsigned i)
{
    return i + 1 < t->count ? t->runs[i + 1].first - 1 : t->last;
}

/* The oldest `count` runs go. */
static void forget(struct trail *t, unsigned count)
{
    if (count == 0) return;
    t->edge = (struct core_pos){ end_of(t, count - 1), t->runs[count - 1].term };
    t->count -= count;
    memmove(t->runs, t->runs + count, t->count * sizeof t->runs[0]);
}

void trail_add(struct trail *t, uint64_t term)
{
    if (t->count > 0 && t->runs[t->count - 1].term == term) {
        t->last++;
        return;
    }
    CHECK(t->count == 0 || t->runs[t->count - 1].term < term);
    if (t->count == t->max) forget(t, 1);
    t->last++;
    t->runs[t->count++] = (struct core_run){ .first = t->last, .term = term };
}

void trail_truncate(struct trail *t, struct core_pos end)
{
    CHECK(end.index >= t->base.index);
    CHECK(end.index < t->last);
    t->last = end.index;
    while (t->count > 0 && t->runs[t->count - 1].first > end.index)
        t->count--;
    if (end.index <= t->edge.index) t->edge = end;
    CHECK(trail_term(t, end.index) == end.term);
}

void trail_cut(struct trail *t, struct core_pos end)
{
    uint64_t upto = end.index, term = trail_term(t, upto);
    unsigned gone = 0;

    CHECK(upto <= t->last);
    CHECK(upto >= t->base.index);
    CHECK(end.term != 0 && (term == 0 || term == end.term));
    while (gone < t->count && end_of(t, gone) <= upto)
        gone++;
    forget(t, gone);
    if (t->count > 0 && t->runs[0].first <= upto) t->runs[0].first = upto + 1;
    t->base = end;
    if (t->edge.index < upto) t->edge = t->base;
}

uint64_t trail_find(const struct trail *t, uint64_t index, uint64_t term)
{
    index = MIN(index, t->last);
    for (unsigned i = t->count; i-- > 0;) {
        if (t->runs[i].first > index) continue;
        if (t->runs[i].term <= term) return index;
        index = t->runs[i].first - 1;
    }
    return index;
}
