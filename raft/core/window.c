/* window - what a leader has appended and not committed, bounded in bytes and in entries.
 *
 * One entry is always let in when there is none, so that a bound below its size delays it, but not
 * for ever.
 */
#include "raft/core/inside.h"

void window_begin(struct window *w, uint64_t first)
{
    w->first = first;
    w->count = 0;
    w->bytes = 0;
}

bool window_has_room(const struct window *w, uint32_t weight, uint64_t bytes_max)
{
    if (w->count == 0) return true;
    if (w->count == CORE_UNCOMMITTED_MAX) return false;
    return weight <= bytes_max && w->bytes <= bytes_max - weight;
}

void window_add(struct window *w, uint32_t weight)
{
    CHECK(w->count < CORE_UNCOMMITTED_MAX);
    w->weights[(w->first + w->count) % CORE_UNCOMMITTED_MAX] = weight;
    w->count++;
    w->bytes += weight;
}

void window_drop_upto(struct window *w, uint64_t index)
{
    CHECK(index < w->first + w->count);
    while (w->first <= index) {
        uint32_t weight = w->weights[w->first % CORE_UNCOMMITTED_MAX];

        CHECK(w->bytes >= weight);
        w->bytes -= weight;
        w->first++;
        w->count--;
    }
}
