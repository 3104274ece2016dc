/* weight - how many payload bytes a group's log holds behind its last cut.
 *
 * The sum of all appends is kept with marks along it: (index, sum up to there). A cut falls between
 * two marks; the sum at the earlier one counts as cut away, so the answer is never too small, and
 * too big by less than two strides. When the marks are used up, every second one goes and the
 * stride doubles.
 */
#include "raft/engine/inside.h"

void weight_init(struct weight *w, uint64_t index)
{
    *w = (struct weight){ .count = 1, .last = index, .stride = WEIGHT_STRIDE };
    w->marks[0].index = index;
}

static void thin_out(struct weight *w)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < w->count; i += 2)
        w->marks[kept++] = w->marks[i];
    w->count = kept;
    w->stride *= 2;
}

void weight_add(struct weight *w, uint64_t index, uint64_t bytes)
{
    CHECK(index > w->last);
    w->last = index;
    w->bytes += bytes;
    if (w->bytes - w->marks[w->count - 1].bytes < w->stride) return;
    if (w->count == WEIGHT_MARKS) thin_out(w);
    w->marks[w->count].index = index;
    w->marks[w->count].bytes = w->bytes;
    w->count++;
}

void weight_cut(struct weight *w, uint64_t index)
{
    unsigned gone = 0;

    if (index >= w->last) { /* all of it */
        w->marks[w->count - 1].index = index;
        w->marks[w->count - 1].bytes = w->bytes;
    }
    while (gone + 1 < w->count && w->marks[gone + 1].index <= index)
        gone++;
    w->count -= gone;
    memmove(w->marks, w->marks + gone, w->count * sizeof w->marks[0]);
    if (weight_bytes(w) == 0) w->stride = WEIGHT_STRIDE;
}

uint64_t weight_bytes(const struct weight *w)
{
    return w->bytes - w->marks[0].bytes;
}
