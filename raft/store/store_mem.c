/* store_mem - the same contract in memory, for tests: nothing is written until store_mem_sync(), and
 * store_mem_power_cut() drops what was submitted and not synced.
 */
#include <stdlib.h>
#include <uthash.h>

#include "raft/store/inside.h"

struct mem_entry {
    uint64_t index, term;
    enum core_entry_kind kind;
    struct blob *head, *body;
    UT_hash_handle hh;
};

struct mem_group {
    uint64_t group;
    struct store_group state;
    struct mem_entry *entries;
    UT_hash_handle hh;
};

struct mem {
    struct mem_group *groups;
};

static struct mem_group *group_of(struct mem *m, uint64_t group)
{
    struct mem_group *g;

    HASH_FIND(hh, m->groups, &group, sizeof group, g);
    if (g) return g;
    g = check_calloc(1, sizeof *g);
    g->group = group;
    g->state.first = 1;
    HASH_ADD(hh, m->groups, group, sizeof g->group, g);
    return g;
}

static struct mem_entry *entry_of(struct mem *m, uint64_t group, uint64_t index)
{
    struct mem_group *g = group_of(m, group);
    struct mem_entry *e;

    HASH_FIND(hh, g->entries, &index, sizeof index, e);
    return e;
}

static void entry_drop(struct mem_group *g, struct mem_entry *e)
{
    HASH_DEL(g->entries, e);
    g->state.bytes -= e->head->n + e->body->n;
    blob_unref(&e->head);
    blob_unref(&e->body);
    free(e);
}

static struct blob *copy(struct span s)
{
    struct blob *b = blob_new(s.n);

    CHECK(blob_add(b, s.p, s.n, s.n) == 0);
    return b;
}

static void append(struct mem *m, const struct store_entry *from)
{
    struct mem_group *g = group_of(m, from->group);
    struct mem_entry *e = entry_of(m, from->group, from->index);

    CHECK(from->index == g->state.last + 1 || e);
    if (e) entry_drop(g, e);
    e = check_calloc(1, sizeof *e);
    *e = (struct mem_entry){ .index = from->index, .term = from->term, .kind = from->kind,
                             .head = copy(from->head), .body = copy(from->body) };
    HASH_ADD(hh, g->entries, index, sizeof e->index, e);
    g->state.bytes += from->head.n + from->body.n;
    g->state.last = from->index;
    g->state.last_term = from->term;
}

static void mem_batch_add(void *self, const struct store_op *op)
{
    struct mem_group *g = group_of(self, op->entry.group);

    switch (op->kind) {
    case STORE_HARD:
        g->state.hard = op->hard;
        g->state.known = true;
        return;
    case STORE_APPEND:
        append(self, &op->entry);
        return;
    case STORE_CUT:
        for (uint64_t i = op->cut_from; i <= op->cut_to; i++) {
            struct mem_entry *e = entry_of(self, g->group, i);

            if (e) entry_drop(g, e);
        }
        g->state.first = op->cut_to + 1;
        return;
    }
    UNREACHED();
}

static void mem_batch_write(void *self, bool sync)
{
    (void)self;
    (void)sync;
}

static int mem_group_read(void *self, uint64_t group, struct store_group *out, struct errmsg *why)
{
    (void)why;
    *out = group_of(self, group)->state;
    return 0;
}

static int mem_entry_read(void *self, uint64_t group, uint64_t index, enum core_entry_kind *kind,
                          uint64_t *term, struct blob **head, struct blob **body)
{
    struct mem_entry *e = entry_of(self, group, index);

    if (!e) return ERR_NOT_FOUND;
    if (kind) *kind = e->kind;
    if (term) *term = e->term;
    if (head) *head = blob_ref(e->head);
    if (body) *body = blob_ref(e->body);
    return 0;
}

static int mem_entries_each(void *self, uint64_t group, uint64_t first, uint64_t last, void *arg,
                            bool (*each)(void *arg, const struct store_entry *entry))
{
    for (uint64_t i = first; i <= last; i++) {
        struct mem_entry *e = entry_of(self, group, i);

        if (!e) return ERR_NOT_FOUND;
        if (!each(arg, &(struct store_entry){ .group = group, .index = i, .term = e->term, .kind = e->kind,
                                              .head = blob_span(e->head), .body = blob_span(e->body) }))
            break;
    }
    return 0;
}

static void mem_close(void *self)
{
    struct mem *m = self;

    while (m->groups) {
        struct mem_group *g = m->groups;

        while (g->entries)
            entry_drop(g, g->entries);
        HASH_DEL(m->groups, g);
        free(g);
    }
    free(m);
}

int store_mem_open(struct store *s)
{
    static const struct store_calls calls = { mem_batch_add,  mem_batch_write,  mem_group_read,
                                              mem_entry_read, mem_entries_each, mem_close };

    s->calls = &calls;
    s->self = check_calloc(1, sizeof(struct mem));
    return 0;
}

static void take_submitted(struct store *s)
{
    struct mpsc_node **end = &s->waiting;

    while (*end)
        end = &(*end)->next;
    *end = mpsc_take_all(&s->submitted);
}

size_t store_mem_sync(struct store *s, size_t n)
{
    size_t done = 0;

    CHECK(!s->has_thread);
    take_submitted(s);
    while (s->waiting && done < n) {
        struct store_write *w = CONTAINER_OF(s->waiting, struct store_write, node);

        s->waiting = s->waiting->next;
        for (size_t i = 0; i < w->op_count; i++)
            mem_batch_add(s->self, &w->ops[i]);
        w->on_done(w);
        done++;
    }
    return done;
}

void store_mem_power_cut(struct store *s)
{
    CHECK(!s->has_thread);
    take_submitted(s);
    s->waiting = NULL;
}
