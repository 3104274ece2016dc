/* store_mem - the same contract in memory, for tests. Nothing is written before store_mem_sync()
 * says so; store_mem_power_cut() drops what was not; the rest of the faults as store.h tells.
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
    bool flipped; /* does not read well any more */
    bool gone;    /* is not found any more */
};

struct mem_group {
    uint64_t number;
    bool known, flipped, buried;
    struct core_hard hard;
    uint64_t first, cut_term;
    uint64_t lost_index; /* buried */
    uint64_t overcome; /* the taint that it has made good */
    struct core_pos intent;
    struct store_config intent_config, config;
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
    uint64_t taint, lost_term, term_max, hole_reads;
    void (*fail)(void *arg);
    void *fail_arg;
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

static void free_entry(struct mem_entry *e)
{
    blob_unref(&e->head);
    blob_unref(&e->body);
}

static void append(struct mem_group *g, const struct store_entry *e)
{
    CHECK(e->index == g->first + g->count);
    if (g->count == g->cap) {
        g->cap = g->cap > 0 ? 2 * g->cap : 2;
        g->entries = check_realloc(g->entries, g->cap * sizeof *g->entries);
    }
    g->entries[g->count++] =
        (struct mem_entry){ e->term, e->kind, blob_copy(e->head), blob_copy(e->body), false, false };
}

static void drop_from(struct mem_group *g, uint64_t index)
{
    while (g->count > 0 && g->first + g->count > index)
        free_entry(&g->entries[--g->count]);
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

static void begin(struct mem_group *g, const struct store_op *op)
{
    drop_from(g, 0);
    g->first = op->pos.index + 1;
    g->cut_term = op->pos.term;
    CHECK(store_config_set(&g->config, op->entry.index, op->entry.head) == 0);
    g->intent.index = 0;
}

static void bury(struct mem_group *g, const struct store_op *op)
{
    const struct mem_group before = *g;

    drop_from(g, g->first);
    free(g->entries);
    *g = (struct mem_group){ .number = before.number,
                             .known = before.known,
                             .hard = before.hard,
                             .overcome = before.overcome,
                             .first = 1,
                             .buried = true,
                             .lost_index = op->pos.index };
}

static void carry_out(struct mem *m, const struct store_op *op)
{
    struct mem_group *g = make_group(m, op->entry.group);

    if (op->kind == STORE_HARD && op->hard.term > m->term_max) m->term_max = op->hard.term;
    if (op->kind == STORE_APPEND && op->entry.term > m->term_max) m->term_max = op->entry.term;
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
    case STORE_TRUNCATE:
        CHECK(op->entry.index >= g->first);
        drop_from(g, op->entry.index);
        return;
    case STORE_CONFIG:
        CHECK(store_config_set(&g->config, op->entry.index, op->entry.head) == 0);
        return;
    case STORE_INTENT:
        g->intent = op->pos;
        CHECK(store_config_set(&g->intent_config, op->entry.index, op->entry.head) == 0);
        return;
    case STORE_BEGIN:
        begin(g, op);
        return;
    case STORE_DROP:
        g->intent.index = 0;
        return;
    case STORE_UNTAINT:
        g->overcome = m->taint;
        g->buried = false;
        return;
    case STORE_BURY:
        bury(g, op);
        return;
    case STORE_FORGET:
        drop_from(g, g->first);
        free(g->entries);
        *g = (struct mem_group){ .number = g->number, .first = 1 };
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

static int add_entries(const struct mem_group *g, struct store_group *out)
{
    for (size_t i = 0; i < g->count; i++) {
        const struct mem_entry *e = &g->entries[i];
        struct store_entry entry = { g->number, g->first + i,       e->term,
                                     e->kind,   blob_span(e->head), blob_span(e->body) };

        if (e->flipped || e->gone || !store_group_add(out, &entry)) return ERR_CORRUPT;
    }
    return 0;
}

static int mem_group_read(struct store *s, uint64_t group, struct store_group *out,
                          struct errmsg *why)
{
    struct mem *m = mem_of(s);
    struct mem_group *g;
    int rv = 0;

    memset(out, 0, sizeof *out);
    out->first = 1;
    pthread_mutex_lock(&m->lock);
    g = find_group(m, group);
    out->tainted = m->taint > (g ? g->overcome : 0);
    if (out->tainted) out->lost_term = m->lost_term;
    if (g) {
        out->buried = g->buried;
        out->tainted = out->tainted || g->buried;
        out->lost_index = g->buried ? g->lost_index : 0;
        out->known = g->known;
        out->hard = g->hard;
        out->first = g->first;
        out->last = g->first - 1;
        out->cut_term = out->last_term = g->cut_term;
        out->kept = out->config = g->config;
        out->intent = g->intent;
        if (g->intent.index > 0) out->intent_config = g->intent_config;
        rv = g->flipped ? ERR_CORRUPT : add_entries(g, out);
    }
    pthread_mutex_unlock(&m->lock);
    if (rv == 0) return 0;
    return errmsg_set(why, rv, "group %llu: the entry after %llu cannot be read",
                      (unsigned long long)group, (unsigned long long)out->last);
}

/* A copy with its own references: the lock is not held while it is used. */
static bool take_entry(struct mem *m, uint64_t group, uint64_t index, struct mem_entry *out)
{
    struct mem_entry *e;

    pthread_mutex_lock(&m->lock);
    e = find_entry(m, group, index);
    if (e)
        *out = (struct mem_entry){ e->term,           e->kind,    blob_ref(e->head),
                                   blob_ref(e->body), e->flipped, e->gone };
    pthread_mutex_unlock(&m->lock);
    return e != NULL;
}

static int mem_entry_read(struct store *s, uint64_t group, uint64_t index,
                          enum core_entry_kind *kind_out, uint64_t *term_out,
                          struct blob **head_out, struct blob **body_out)
{
    struct mem_entry e;

    if (!take_entry(mem_of(s), group, index, &e)) return ERR_NOT_FOUND;
    if (e.flipped || e.gone) {
        free_entry(&e);
        mem_of(s)->hole_reads += !e.flipped;
        return e.flipped ? ERR_CORRUPT : ERR_NOT_FOUND;
    }
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
        if (e.flipped || e.gone) {
            free_entry(&e);
            return ERR_CORRUPT;
        }
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

static bool mem_rest(struct store *s)
{
    (void)s;
    return false;
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
                                              mem_entry_read, mem_entries_each, mem_rest, mem_close };
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

/* Writes the oldest submission; false: there is none, or the disk failed. */
static bool sync_one(struct mem *m, bool answers)
{
    struct store_write *w;

    take_submitted(m);
    if (!m->waiting) return false;
    if (m->fail) {
        m->fail(m->fail_arg);
        return false;
    }
    w = CONTAINER_OF(m->waiting, struct store_write, node);
    m->waiting = m->waiting->next;
    pthread_mutex_lock(&m->lock);
    for (size_t i = 0; i < w->op_count; i++)
        carry_out(m, &w->ops[i]);
    pthread_mutex_unlock(&m->lock);
    if (answers) w->on_done(w);
    return true;
}

size_t store_mem_sync(struct store *s, size_t n)
{
    size_t done = 0;

    while (done < n && sync_one(mem_of(s), true))
        done++;
    return done;
}

size_t store_mem_keep(struct store *s, size_t n)
{
    size_t done = 0;

    while (done < n && sync_one(mem_of(s), false))
        done++;
    return done;
}

size_t store_mem_waiting(struct store *s)
{
    size_t n = 0;

    take_submitted(mem_of(s));
    for (struct mpsc_node *node = mem_of(s)->waiting; node; node = node->next)
        n++;
    return n;
}

void store_mem_power_cut(struct store *s)
{
    take_submitted(mem_of(s));
    mem_of(s)->waiting = NULL;
    mem_of(s)->fail = NULL;
}

void store_mem_lose(struct store *s, uint64_t group, uint64_t from)
{
    struct mem *m = mem_of(s);
    struct mem_group *g;

    pthread_mutex_lock(&m->lock);
    g = find_group(m, group);
    if (g && from != UINT64_MAX) drop_from(g, from);
    if (g && from == UINT64_MAX) {
        drop_from(g, 0);
        free(g->entries);
        *g = (struct mem_group){ .number = group, .first = 1 };
    }
    pthread_mutex_unlock(&m->lock);
}

void store_mem_taint(struct store *s)
{
    mem_of(s)->taint++;
    mem_of(s)->lost_term = mem_of(s)->term_max;
}

bool store_mem_flip(struct store *s, uint64_t group, uint64_t index)
{
    struct mem_group *g;
    struct mem_entry *e;
    bool *flipped = NULL;

    pthread_mutex_lock(&mem_of(s)->lock);
    g = find_group(mem_of(s), group);
    e = find_entry(mem_of(s), group, index);
    if (e) flipped = &e->flipped;
    if (g && index == 0) flipped = &g->flipped;
    if (flipped) *flipped = true;
    pthread_mutex_unlock(&mem_of(s)->lock);
    return flipped != NULL;
}

bool store_mem_hole(struct store *s, uint64_t group, uint64_t index)
{
    struct mem_entry *e;

    pthread_mutex_lock(&mem_of(s)->lock);
    e = find_entry(mem_of(s), group, index + 1) ? find_entry(mem_of(s), group, index) : NULL;
    if (e) e->gone = true;
    pthread_mutex_unlock(&mem_of(s)->lock);
    return e != NULL;
}

uint64_t *store_mem_hole_reads(struct store *s)
{
    return &mem_of(s)->hole_reads;
}

struct core_hard store_mem_hard(struct store *s, uint64_t group)
{
    struct core_hard hard = { 0 };
    struct mem_group *g;

    pthread_mutex_lock(&mem_of(s)->lock);
    g = find_group(mem_of(s), group);
    if (g) hard = g->hard;
    pthread_mutex_unlock(&mem_of(s)->lock);
    return hard;
}

struct store *store_mem_copy(struct store *s)
{
    struct store *copy = store_mem_open();
    struct mem *from = mem_of(s), *to = mem_of(copy);

    pthread_mutex_lock(&from->lock);
    to->group_count = from->group_count;
    to->groups = check_calloc(from->group_count + 1, sizeof *to->groups);
    for (size_t i = 0; i < from->group_count; i++) {
        struct mem_group *g = &to->groups[i];

        *g = from->groups[i];
        g->cap = g->count;
        g->entries = check_calloc(g->count + 1, sizeof *g->entries);
        for (size_t k = 0; k < g->count; k++) {
            g->entries[k] = from->groups[i].entries[k];
            blob_ref(g->entries[k].head);
            blob_ref(g->entries[k].body);
        }
    }
    pthread_mutex_unlock(&from->lock);
    return copy;
}

void store_mem_back(struct store *s, struct store **copy)
{
    struct mem *m = mem_of(s), *old = mem_of(*copy);
    struct mem_group *groups = m->groups;
    size_t count = m->group_count;

    pthread_mutex_lock(&m->lock);
    m->groups = old->groups;
    m->group_count = old->group_count;
    pthread_mutex_unlock(&m->lock);
    old->groups = groups;
    old->group_count = count;
    store_close(copy);
}

void store_mem_fail(struct store *s, void (*fn)(void *arg), void *arg)
{
    mem_of(s)->fail = fn;
    mem_of(s)->fail_arg = arg;
}
