/* trail - the terms of the log, as runs: all that the core keeps of its entries.
 *
 * Terms only grow along a log, so a run is (first index, term). When the runs are used up the oldest
 * one goes, if all of it is committed: up to the commit every log agrees (thesis 3.5), so nobody
 * asks for those terms but a leader with a peer that far behind, who then sends a snapshot.
 * So many leaders in a row that commit nothing do not fit: further terms are refused, not forgotten.
 */
#include "raft/core/inside.h"

void trail_init(struct trail *t, struct core_pos base)
{
    t->base = base;
    t->last = base.index;
    t->count = 0;
}

static uint64_t remembered_from(const struct trail *t)
{
    return t->count ? t->runs[0].first : t->last + 1;
}

uint64_t trail_term(const struct trail *t, uint64_t index)
{
    if (index == t->base.index) return t->base.term;
    if (index > t->last || index < remembered_from(t)) return 0;
    for (unsigned i = t->count; i-- > 0;)
        if (t->runs[i].first <= index) return t->runs[i].term;
    UNREACHED();
}

static uint64_t end_of(const struct trail *t, unsigned i)
{
    return i + 1 < t->count ? t->runs[i + 1].first - 1 : t->last;
}

unsigned trail_room(const struct trail *t, uint64_t from, uint64_t commit)
{
    unsigned kept = 0, spare = 0;

    while (kept < t->count && t->runs[kept].first < from)
        kept++;
    while (spare < kept && MIN(end_of(t, spare), from - 1) <= commit)
        spare++;
    return t->max - kept + spare;
}

bool trail_add(struct trail *t, uint64_t term, uint64_t commit)
{
    if (t->count > 0 && t->runs[t->count - 1].term == term) {
        t->last++;
        return true;
    }
    CHECK(t->count == 0 || t->runs[t->count - 1].term < term);
    if (t->count == t->max) {
        if (end_of(t, 0) > commit) return false;
        t->count--;
        memmove(t->runs, t->runs + 1, t->count * sizeof t->runs[0]);
    }
    t->last++;
    t->runs[t->count++] = (struct core_run){ .first = t->last, .term = term };
    return true;
}

void trail_truncate(struct trail *t, uint64_t from)
{
    CHECK(from > t->base.index);
    CHECK(from <= t->last);
    t->last = from - 1;
    while (t->count > 0 && t->runs[t->count - 1].first >= from)
        t->count--;
}

void trail_cut(struct trail *t, uint64_t upto)
{
    unsigned gone = 0;

    CHECK(upto <= t->last);
    CHECK(upto >= t->base.index);
    t->base = (struct core_pos){ upto, trail_term(t, upto) };
    while (gone < t->count && end_of(t, gone) <= upto)
        gone++;
    t->count -= gone;
    memmove(t->runs, t->runs + gone, t->count * sizeof t->runs[0]);
    if (t->count > 0 && t->runs[0].first <= upto) t->runs[0].first = upto + 1;
}

uint64_t trail_find(const struct trail *t, uint64_t index, uint64_t term)
{
    index = MIN(index, t->last);
    for (unsigned i = t->count; i-- > 0;) {
        if (t->runs[i].first > index) continue;
        if (t->runs[i].term <= term) return index;
        index = t->runs[i].first - 1;
    }
    return MIN(index, MAX(t->base.index, remembered_from(t) - 1));
}
