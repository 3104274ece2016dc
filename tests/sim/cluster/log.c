/* log - entries of the simulated cluster, shared by all who hold them, and a run of them: what a node sees, or
 * what its disk holds. */
#include <stdlib.h>

#include "tests/sim/cluster/world.h"

struct entry *entry_new(unsigned group, const struct entry *what, struct span head)
{
    struct entry *e = check_calloc(1, sizeof *e + head.n);

    *e = *what;
    e->refs = 1;
    e->group = group;
    e->head_size = head.n;
    if (head.n) memcpy(e->head, head.p, head.n);
    if (what->config) {
        e->config = check_malloc(sizeof *e->config);
        *e->config = *what->config;
    }
    return e;
}

struct entry *entry_ref(struct entry *e)
{
    e->refs++;
    return e;
}

void entry_unref(struct entry *e)
{
    if (--e->refs > 0) return;
    free(e->config);
    free(e);
}

void log_free(struct log *l)
{
    for (size_t i = 0; i < l->count; i++)
        entry_unref(l->list[i].entry);
    free(l->list);
    *l = (struct log){ .first = 1 };
}

uint64_t log_last(const struct log *l)
{
    return l->first + l->count - 1;
}

struct slot *log_at(struct log *l, uint64_t index)
{
    return index >= l->first && index <= log_last(l) ? &l->list[index - l->first] : NULL;
}

uint64_t log_term(const struct log *l, uint64_t index)
{
    if (index + 1 == l->first) return l->base_term;
    return index >= l->first && index <= log_last(l) ? l->list[index - l->first].entry->term : 0;
}

void log_add(struct log *l, struct slot s)
{
    CHECK(s.entry->index == log_last(l) + 1);
    if (l->count == l->cap) {
        l->cap = l->cap ? 2 * l->cap : 32;
        l->list = check_realloc(l->list, l->cap * sizeof *l->list);
    }
    l->list[l->count++] = s;
}

void log_truncate(struct log *l, uint64_t from)
{
    CHECK(from >= l->first);
    while (log_last(l) >= from)
        entry_unref(l->list[--l->count].entry);
}

void log_cut(struct log *l, uint64_t upto)
{
    const struct core_config *base;
    size_t n;

    if (upto < l->first) return;
    CHECK(upto <= log_last(l));
    base = log_config(l, upto);
    if (base && base != &l->base) l->base = *base;
    l->has_base = base != NULL;
    l->base_term = log_term(l, upto);
    n = (size_t)(upto - l->first + 1);
    for (size_t i = 0; i < n; i++)
        entry_unref(l->list[i].entry);
    l->count -= n;
    memmove(l->list, l->list + n, l->count * sizeof *l->list);
    l->first = upto + 1;
}

void log_reset(struct log *l, struct core_pos pos, const struct core_config *base)
{
    log_truncate(l, l->first);
    l->first = pos.index + 1;
    l->base_term = pos.term;
    l->base = *base;
    l->has_base = true;
}

void log_copy(struct log *to, const struct log *from)
{
    log_free(to);
    to->first = from->first;
    to->base_term = from->base_term;
    to->base = from->base;
    to->has_base = from->has_base;
    for (size_t i = 0; i < from->count; i++)
        log_add(to, (struct slot){ entry_ref(from->list[i].entry), from->list[i].has_body });
}

const struct core_config *log_config(const struct log *l, uint64_t upto)
{
    for (size_t i = l->count; i-- > 0;) {
        const struct entry *e = l->list[i].entry;

        if (e->index <= upto && e->kind == CORE_CONFIG) return e->config;
    }
    return l->has_base ? &l->base : NULL;
}
