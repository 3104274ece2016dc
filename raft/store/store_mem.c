/* store_mem - the same contract in memory, for tests. Nothing is written before store_mem_sync()
 * says so; store_mem_power_cut() drops what was not.
 *
 * A group's entries stand in an array, first at [0]. One mutex guards them: reads come from any
 * thread.
 */
#include <stdlib.h>

#include "raft/store/inside.h"

struct mem_entry {
    uint64_t term;
    enum core_entry_kind kind;
    struct blob *head, *body;
};

struct mem_group {
    uint64_t number;
    bool known;
    struct core_hard hard;
    uint64_t first, cut_term;
    struct mem_entry *entries;
    size_t count, cap;
};

struct mem {
    struct store store; /* first */
    struct mpsc submitted;
    struct mpsc_node *waiting; /* taken out of `submitted`, oldest first */
    pthread_mutex_t lock;
    struct mem_group *groups;
    size_t group_count;
};

static struct mem *mem_of(struct store *s)
{
    return CONTAINER_OF(s, struct mem, store);
}

/* ---- groups and entries, under the lock */

static struct mem_group *find_group(struct mem *m, uint64_t number)
{
    for (size_t i = 0; i < m->group_count; i++)
        if (m->groups[i].number == number) return &m->groups[i];
    return NULL;
}

static struct mem_group *make_group(struct mem *m, uint64_t number)
{
    struct mem_group *g = find_group(m, number);

    if (g) return g;
    m->groups = check_realloc(m->groups, (m->group_count + 1) * sizeof *m->groups);
    g = &m->groups[m->group_count++];
    *g = (struct mem_group){ .number = number, .first = 1 };
    return g;
}

static struct mem_entry *find_entry(struct mem *m, uint64_t group, uint64_t index)
{
    struct mem_group *g = find_group(m, group);

    if (!g || index < g->first || index - g->first >= g->count) return NULL;
    return &g->entries[index - g->first];
}

static struct blob *copy_of(struct span s)
{
    struct blob *b = blob_new(s.n);

    CHECK(blob_add(b, s.p, s.n, s.n) == 0);
    return b;
}

static void free_entry(struct mem_entry *e)
{
    blob_unref(&e->head);
    blob_unref(&e->body);
}

static void append(struct mem_group *g, const struct store_entry *e)
{
    CHECK(e->index == g->first + g->count);
    if (g->count == g->cap) {
        g->cap = g->cap > 0 ? 2 * g->cap : 16;
        g->entries = check_realloc(g->entries, g->cap * sizeof *g->entries);
    }
    g->entries[g->count++] =
        (struct mem_entry){ e->term, e->kind, copy_of(e->head), copy_of(e->body) };
}

static void cut(struct mem_group *g, const struct store_op *op)
{
    size_t n = (size_t)(op->cut_to - op->cut_from) + 1;

    CHECK(op->cut_from == g->first); /* disjoint, and no gap */
    CHECK(op->cut_from <= op->cut_to);
    CHECK(n <= g->count);
    for (size_t i = 0; i < n; i++)
        free_entry(&g->entries[i]);
    g->count -= n;
    memmove(g->entries, g->entries + n, g->count * sizeof *g->entries);
    g->first = op->cut_to + 1;
    g->cut_term = op->cut_term;
}

static void carry_out(struct mem *m, const struct store_op *op)
{
    struct mem_group *g = make_group(m, op->entry.group);

    switch (op->kind) {
    case STORE_HARD:
        g->known = true;
        g->hard = op->hard;
        return;
    case STORE_APPEND:
        append(g, &op->entry);
        return;
    case STORE_CUT:
        cut(g, op);
        return;
    }
    UNREACHED();
}

/* ---- the contract */

static void mem_submit(struct store *s, struct store_write *w)
{
    mpsc_put(&mem_of(s)->submitted, &w->node);
}

static void mem_drain(struct store *s)
{
    store_mem_sync(s, SIZE_MAX);
}

static int mem_group_read(struct store *s, uint64_t group, struct store_group *out,
                          struct errmsg *why)
{
    struct mem *m = mem_of(s);
    struct mem_group *g;

    (void)why;
    *out = (struct store_group){ .first = 1 };
    pthread_mutex_lock(&m->lock);
    g = find_group(m, group);
    if (g) {
        *out = (struct store_group){ .known = g->known,
                                     .hard = g->hard,
                                     .first = g->first,
                                     .last = g->first + g->count - 1,
                                     .last_term = g->cut_term };
        for (size_t i = 0; i < g->count; i++)
            out->bytes += g->entries[i].head->n + g->entries[i].body->n;
        if (g->count > 0) out->last_term = g->entries[g->count - 1].term;
    }
    pthread_mutex_unlock(&m->lock);
    return 0;
}

/* A copy with its own references: the lock is not held while it is used. */
static bool take_entry(struct mem *m, uint64_t group, uint64_t index, struct mem_entry *out)
{
    struct mem_entry *e;

    pthread_mutex_lock(&m->lock);
    e = find_entry(m, group, index);
    if (e) *out = (struct mem_entry){ e->term, e->kind, blob_ref(e->head), blob_ref(e->body) };
    pthread_mutex_unlock(&m->lock);
    return e != NULL;
}

static int mem_entry_read(struct store *s, uint64_t group, uint64_t index,
                          enum core_entry_kind *kind_out, uint64_t *term_out,
                          struct blob **head_out, struct blob **body_out)
{
    struct mem_entry e;

    if (!take_entry(mem_of(s), group, index, &e)) return ERR_NOT_FOUND;
    if (kind_out) *kind_out = e.kind;
    if (term_out) *term_out = e.term;
    if (head_out) *head_out = blob_ref(e.head);
    if (body_out) *body_out = blob_ref(e.body);
    free_entry(&e);
    return 0;
}

static int mem_entries_each(struct store *s, uint64_t group, uint64_t first, uint64_t last,
                            void *arg, bool (*each)(void *arg, const struct store_entry *entry))
{
    bool go_on = true;

    for (uint64_t i = first; go_on && i <= last; i++) {
        struct mem_entry e;

        if (!take_entry(mem_of(s), group, i, &e)) return ERR_NOT_FOUND;
        go_on = each(arg, &(struct store_entry){ .group = group,
                                                 .index = i,
                                                 .term = e.term,
                                                 .kind = e.kind,
                                                 .head = blob_span(e.head),
                                                 .body = blob_span(e.body) });
        free_entry(&e);
    }
    return 0;
}

static void mem_close(struct store *s)
{
    struct mem *m = mem_of(s);

    mem_drain(s);
    for (size_t i = 0; i < m->group_count; i++) {
        store_mem_lose(s, m->groups[i].number, m->groups[i].first);
        free(m->groups[i].entries);
    }
    free(m->groups);
    pthread_mutex_destroy(&m->lock);
    free(m);
}

struct store *store_mem_open(void)
{
    static const struct store_calls calls = { mem_submit,     mem_drain,        mem_group_read,
                                              mem_entry_read, mem_entries_each, mem_close };
    struct mem *m = check_calloc(1, sizeof *m);

    m->store.calls = &calls;
    mpsc_init(&m->submitted);
    CHECK(pthread_mutex_init(&m->lock, NULL) == 0);
    return &m->store;
}

/* ---- what tests do to it */

static void take_submitted(struct mem *m)
{
    struct mpsc_node **end = &m->waiting;

    while (*end)
        end = &(*end)->next;
    *end = mpsc_take_all(&m->submitted);
}

static bool sync_one(struct mem *m)
{
    struct store_write *w;

    take_submitted(m);
    if (!m->waiting) return false;
    w = CONTAINER_OF(m->waiting, struct store_write, node);
    m->waiting = m->waiting->next;
    pthread_mutex_lock(&m->lock);
    for (size_t i = 0; i < w->op_count; i++)
        carry_out(m, &w->ops[i]);
    pthread_mutex_unlock(&m->lock);
    w->on_done(w);
    return true;
}

size_t store_mem_sync(struct store *s, size_t n)
{
    size_t done = 0;

    while (done < n && sync_one(mem_of(s)))
        done++;
    return done;
}

void store_mem_power_cut(struct store *s)
{
    take_submitted(mem_of(s));
    mem_of(s)->waiting = NULL;
}

void store_mem_lose(struct store *s, uint64_t group, uint64_t from)
{
    struct mem *m = mem_of(s);
    struct mem_group *g;

    pthread_mutex_lock(&m->lock);
    g = find_group(m, group);
    while (g && g->count > 0 && g->first + g->count > from)
        free_entry(&g->entries[--g->count]);
    pthread_mutex_unlock(&m->lock);
}
