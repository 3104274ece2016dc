/* weight - how many payload bytes a group's log holds behind its last cut.
 *
 * The sum of all appends is kept with marks along it: (index, sum up to there). A cut falls between
 * two marks; the sum at the earlier one counts as cut away, so the answer is never too small, and
 * too big by less than two strides. When the marks are used up, every second one goes and the
 * stride doubles. A log without payload has no marks but the first: most groups are idle.
 */
#include "raft/engine/inside.h"

void weight_init(struct weight *w, uint64_t index)
{
    *w = (struct weight){ .count = 1, .cap = 1, .last = index, .stride = WEIGHT_STRIDE };
    w->only.index = index;
    w->marks = &w->only;
}

void weight_deinit(struct weight *w)
{
    if (w->marks != &w->only) free(w->marks);
    *w = (struct weight){ 0 };
}

static void thin_out(struct weight *w)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < w->count; i += 2)
        w->marks[kept++] = w->marks[i];
    w->count = kept;
    w->stride *= 2;
}

static void make_room(struct weight *w)
{
    if (w->count < w->cap) return;
    if (w->cap == WEIGHT_MARKS) {
        thin_out(w);
        return;
    }
    w->cap = w->cap < 8 ? 8 : WEIGHT_MARKS;
    if (w->marks == &w->only) {
        w->marks = check_malloc(w->cap * sizeof *w->marks);
        w->marks[0] = w->only;
    } else {
        w->marks = check_realloc(w->marks, w->cap * sizeof *w->marks);
    }
}

void weight_add(struct weight *w, uint64_t index, uint64_t bytes)
{
    CHECK(index > w->last);
    w->last = index;
    w->bytes += bytes;
    if (w->bytes - w->marks[w->count - 1].bytes < w->stride) return;
    make_room(w);
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

/* What went is counted up to the last mark before it: a little too much. */
void weight_truncate(struct weight *w, uint64_t from)
{
    while (w->count > 1 && w->marks[w->count - 1].index >= from)
        w->count--;
    if (w->last >= from) w->last = from - 1;
    if (w->last < w->marks[0].index) w->last = w->marks[0].index;
}

uint64_t weight_bytes(const struct weight *w)
{
    return w->bytes - w->marks[0].bytes;
}
