/* ledger - arrays that only grow: ledger.h. */
#include "tests/sim/shared/ledger.h"

#include <string.h>

#include "proto/ground/check.h"

uint64_t leaders_note(struct leaders *l, uint64_t term, uint64_t who)
{
    uint64_t cap = l->cap, before;

    if (term >= cap) {
        l->cap = 2 * term + 64;
        l->list = check_realloc(l->list, l->cap * sizeof *l->list);
        memset(l->list + cap, 0, (l->cap - cap) * sizeof *l->list);
    }
    before = l->list[term];
    if (before == 0) l->list[term] = who;
    return before;
}

uint64_t votes_note(struct votes *v, unsigned node, unsigned group, uint64_t term, uint64_t to)
{
    for (size_t i = v->count; i-- > 0;) {
        const struct vote *x = &v->list[i];

        if (x->group == group && x->node == node && x->term == term) return x->to;
    }
    if (v->count == v->cap) {
        v->cap = v->cap ? 2 * v->cap : 64;
        v->list = check_realloc(v->list, v->cap * sizeof *v->list);
    }
    v->list[v->count++] = (struct vote){ term, to, group, node };
    return 0;
}
