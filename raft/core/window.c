/* window - how many bytes the log holds from here to there.
 *
 * Sums along the log at some indexes (marks). Entries of one weight in a row need no mark of their own,
 * so the newest are exact; when the marks are used up, every second one goes, so what is older gets coarser
 * the older it is, and is interpolated. Good for windows and bounds; a host that packs a message knows better
 * and may split it.
 */
#include "raft/core/inside.h"

void window_init(struct window *w, uint64_t index)
{
    w->count = 1;
    w->marks[0].index = index;
    w->marks[0].bytes = 0;
}

static void thin_out(struct window *w)
{
    unsigned kept = 1;

    for (unsigned i = 2; i + 1 < w->count; i += 2)
        w->marks[kept++] = w->marks[i];
    w->marks[kept++] = w->marks[w->count - 1];
    w->count = kept;
}

/* The last two marks and the new point lie on one line: the last one can move along it. */
static bool is_straight(const struct window *w, uint64_t index, uint64_t bytes)
{
    uint64_t index_a, bytes_a, index_b, bytes_b;

    if (w->count < 2) return false;
    index_a = w->marks[w->count - 2].index;
    bytes_a = w->marks[w->count - 2].bytes;
    index_b = w->marks[w->count - 1].index;
    bytes_b = w->marks[w->count - 1].bytes;
    if ((bytes - bytes_b) % (index - index_b) != 0 ||
        (bytes_b - bytes_a) % (index_b - index_a) != 0)
        return false;
    return (bytes - bytes_b) / (index - index_b) == (bytes_b - bytes_a) / (index_b - index_a);
}

void window_add(struct window *w, uint64_t index, uint64_t bytes)
{
    uint64_t sum = w->marks[w->count - 1].bytes + bytes;

    CHECK(index > w->marks[w->count - 1].index);
    if (is_straight(w, index, sum)) w->count--;
    if (w->count == WINDOW_MARKS) thin_out(w);
    w->marks[w->count].index = index;
    w->marks[w->count++].bytes = sum;
}

static uint64_t sum_upto(const struct window *w, uint64_t index)
{
    unsigned i = w->count - 1;
    uint64_t steps, bytes;

    if (index >= w->marks[i].index) return w->marks[i].bytes;
    while (i > 0 && w->marks[i].index > index)
        i--;
    if (w->marks[i].index >= index) return w->marks[i].bytes;
    steps = w->marks[i + 1].index - w->marks[i].index;
    bytes = w->marks[i + 1].bytes - w->marks[i].bytes;
    return w->marks[i].bytes + bytes / steps * (index - w->marks[i].index) +
           bytes % steps * (index - w->marks[i].index) / steps;
}

uint64_t window_bytes(const struct window *w, uint64_t after, uint64_t upto)
{
    return after >= upto ? 0 : sum_upto(w, upto) - sum_upto(w, after);
}

uint64_t window_upto(const struct window *w, uint64_t after, uint64_t last, uint64_t bytes)
{
    uint64_t low = after + 1, high = last;

    CHECK(after < last);
    while (low < high) { /* low fits, or is the one that may be too large */
        uint64_t middle = low + (high - low + 1) / 2;

        if (window_bytes(w, after, middle) <= bytes)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

void window_truncate(struct window *w, uint64_t from)
{
    uint64_t bytes = sum_upto(w, from - 1);

    CHECK(from > w->marks[0].index);
    while (w->marks[w->count - 1].index >= from)
        w->count--;
    if (w->marks[w->count - 1].index == from - 1) return;
    w->marks[w->count].index = from - 1;
    w->marks[w->count++].bytes = bytes;
}

void window_cut(struct window *w, uint64_t upto)
{
    uint64_t bytes = sum_upto(w, upto);
    unsigned gone = 0;

    while (gone + 1 < w->count && w->marks[gone + 1].index <= upto)
        gone++;
    w->count -= gone;
    memmove(w->marks, w->marks + gone, w->count * sizeof w->marks[0]);
    w->marks[0].index = upto;
    w->marks[0].bytes = bytes;
}
