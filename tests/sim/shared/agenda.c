/* agenda - a heap of actions: agenda.h. */
#include "tests/sim/shared/agenda.h"

#include <stdbool.h>

#include "proto/ground/check.h"

static bool is_before(const struct action *a, const struct action *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

void agenda_add(struct agenda *g, const struct action *a)
{
    size_t at = g->count++;

    if (at == g->cap) {
        g->cap = g->cap ? 2 * g->cap : 1024;
        g->list = check_realloc(g->list, g->cap * sizeof *g->list);
    }
    for (; at > 0 && is_before(a, &g->list[(at - 1) / 2]); at = (at - 1) / 2)
        g->list[at] = g->list[(at - 1) / 2];
    g->list[at] = *a;
}

struct action agenda_take(struct agenda *g)
{
    struct action first, last;
    size_t at = 0, child;

    CHECK(g->count > 0);
    first = g->list[0];
    last = g->list[--g->count];
    while ((child = 2 * at + 1) < g->count) {
        if (child + 1 < g->count && is_before(&g->list[child + 1], &g->list[child])) child++;
        if (!is_before(&g->list[child], &last)) break;
        g->list[at] = g->list[child];
        at = child;
    }
    g->list[at] = last;
    return first;
}
