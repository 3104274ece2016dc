/* machine - the real queue of a group on a node: applies what is committed, is flushed now and then, is saved as
 * a snapshot and replaced by one. */
#include <stdlib.h>

#include "queue/store.h"
#include "proto/ground/mutation.h"
#include "tests/sim/cluster/world.h"

struct record {
    struct blob *key, *value;
};
struct snapshot {
    unsigned refs;
    struct core_pos pos;
    struct core_config config;
    uint64_t digest;
    struct record *records;
    size_t count, cap;
};

static uint32_t shard_of(unsigned group)
{
    return group + 1;
}

void machine_open(struct world *w, struct node *n, unsigned group)
{
    struct host *h = &n->hosts[group];
    struct kept *k = &n->disk.kept[group];

    if (!k->store) {
        CHECK(queue_store_open(&k->store, NULL, NULL) == 0);
    }
    CHECK(queue_open(&h->queue, k->store, shard_of(group), NULL) == 0);
    EXPECT(w, queue_applied(h->queue) <= k->machine_upto,
           "n%u g%u: the machine is ahead of its position", n->at + 1, group);
}

static void apply_one(struct world *w, struct node *n, unsigned group, uint64_t index)
{
    struct host *h = &n->hosts[group];
    struct slot *s = log_at(&h->log, index);
    struct queue_effects effects = { 0 };
    struct entry *e;

    EXPECT(w, s != NULL, "n%u g%u: entry %llu is committed and not in the log", n->at + 1, group,
           (unsigned long long)index);
    e = s->entry;
    EXPECT(w, s->has_body, "n%u g%u: entry %llu is committed and its body is missing", n->at + 1,
           group, (unsigned long long)index);
    if (e->kind == CORE_COMMAND && !(MUTATED(APPLY_SKIPS) && h->is_fresh))
        queue_apply(h->queue, index, span_of(e->head, e->head_size), 100, &effects);
    h->applied = index;
    h->is_fresh = false;
    if (check_applied(w, n, group, index)) mail_learn(w, group, e, &effects);
    mail_applied(w, n, group, e, &effects);
}

void machine_apply(struct world *w, struct node *n, unsigned group)
{
    struct host *h = &n->hosts[group];

    h->apply_at_us = 0;
    if (h->installing) return;
    while (h->applied < h->commit) {
        if (node_point(w, n)) return;
        apply_one(w, n, group, h->applied + 1);
    }
    if (node_point(w, n)) return;
    node_step(w, n, group,
              &(struct core_event){ .kind = CORE_APPLIED, .u.applied.index = h->applied }, NULL,
              NULL);
}

/* ---- flushing, and cutting the log behind it */

static void cut(struct world *w, struct node *n, unsigned group)
{
    struct host *h = &n->hosts[group];
    uint64_t upto = MUTATED(R7_GAP_SKIPPED) ? h->applied : n->disk.kept[group].machine_upto;
    struct write *x;

    if (h->sending > 0 && h->sending_upto < upto) upto = h->sending_upto;
    if (upto > log_last(&h->log)) upto = log_last(&h->log);
    if (upto < h->log.first + w->plan.keep_entries) return;
    upto -= w->plan.keep_entries;
    log_cut(&h->log, upto);
    x = check_calloc(1, sizeof *x);
    x->kind = WRITE_CUT;
    x->group = group;
    x->cut_upto = upto;
    disk_write(w, n, x);
    node_step(w, n, group,
              &(struct core_event){ .kind = CORE_CUT, .u.cut = { upto, h->log.base_term } }, NULL,
              NULL);
}

void machine_flush(struct world *w, struct node *n)
{
    for (unsigned g = 0; g < w->plan.groups; g++) {
        struct host *h = &n->hosts[g];

        if (!h->open || h->installing) continue;
        if (node_point(w, n)) return;
        if (!MUTATED(CUT_TOO_FAR) && !MUTATED(R7_GAP_SKIPPED))
            CHECK(queue_store_flush(n->disk.kept[g].store, NULL) == 0);
        if (!MUTATED(R7_GAP_SKIPPED)) n->disk.kept[g].machine_upto = h->applied;
        if (node_point(w, n)) return;
        cut(w, n, g);
        if (n->dying) return;
        bounds_flushed(w, n, g);
    }
}

/* ---- snapshots */

static struct blob *copy(struct span s)
{
    struct blob *b = blob_new(s.n);

    CHECK(blob_add(b, s.p, s.n, s.n) == 0);
    return b;
}

static bool save_record(void *arg, struct span key, struct span value)
{
    struct snapshot *s = arg;

    if (s->count == s->cap) {
        s->cap = s->cap ? 2 * s->cap : 64;
        s->records = check_realloc(s->records, s->cap * sizeof *s->records);
    }
    s->records[s->count++] = (struct record){ copy(key), copy(value) };
    return true;
}

struct snapshot *machine_save(struct world *w, struct node *n, unsigned group)
{
    struct host *h = &n->hosts[group];
    struct queue_store *store = n->disk.kept[group].store;
    const struct core_config *config = core_config_at(h->core, h->applied);
    uint64_t term = log_term(&h->log, h->applied);
    uint8_t prefix[4] = { 0, 0, 0, (uint8_t)shard_of(group) };
    struct snapshot *s;

    /* the core remembers two; where both are newer than what is applied, the log knows */
    if (!config) config = log_config(&h->log, h->applied);
    if (!config) config = &w->first_config[group];
    if (term == 0) return NULL;
    s = check_calloc(1, sizeof *s);
    s->refs = 1;
    s->pos = (struct core_pos){ h->applied, term };
    s->config = *config;
    s->digest = queue_digest(h->queue);
    store->calls->each(store->self, span_of(prefix, 4), span_of(prefix, 4), false, s, save_record);
    w->snapshots++;
    TRACE(w, "n%u g%u saves a snapshot at %llu/%llu, %zu records", n->at + 1, group,
          (unsigned long long)s->pos.index, (unsigned long long)s->pos.term, s->count);
    return s;
}

static struct queue_store *load(const struct snapshot *s)
{
    struct queue_change *list = check_calloc(s->count + 1, sizeof *list);
    struct queue_store *store = NULL;

    CHECK(queue_store_open(&store, NULL, NULL) == 0);
    for (size_t i = 0; i < s->count; i++)
        list[i] = (struct queue_change){ .key = blob_span(s->records[i].key),
                                         .value = blob_span(s->records[i].value) };
    store->calls->write(store->self, list, s->count);
    CHECK(queue_store_flush(store, NULL) == 0);
    free(list);
    return store;
}

struct queue_store *machine_copy(struct world *w, struct node *n, unsigned group)
{
    struct snapshot *s = machine_save(w, n, group);
    struct queue_store *store;

    if (!s) return NULL;
    store = load(s);
    snapshot_unref(s);
    return store;
}

static void replace(struct world *w, struct node *n, unsigned group, struct snapshot *s)
{
    struct host *h = &n->hosts[group];
    struct kept *k = &n->disk.kept[group];

    queue_close(&h->queue);
    queue_store_close(&k->store);
    k->store = load(s);
    k->machine_upto = s->pos.index;
    log_reset(&k->log, s->pos, &s->config);
    log_reset(&h->log, s->pos, &s->config);
    n->disk.undo_count = 0;
    machine_open(w, n, group);
    EXPECT(w, queue_digest(h->queue) == s->digest, "n%u g%u: a snapshot does not give its digest",
           n->at + 1, group);
    h->applied = s->pos.index;
    if (h->commit < s->pos.index) h->commit = s->pos.index;
    mail_skipped(w, n, group, s->pos.index);
}

static bool has_writes(const struct disk *d, unsigned group)
{
    LIST_FOR(at, &d->flight)
        if (CONTAINER_OF(at, struct write, link)->group == group) return true;
    LIST_FOR(at, &d->waiting)
        if (CONTAINER_OF(at, struct write, link)->group == group) return true;
    return false;
}

void machine_install(struct world *w, struct node *n, unsigned group, struct snapshot *s)
{
    struct host *h = &n->hosts[group];
    struct core_event e = { .kind = CORE_SNAPSHOT_INSTALLED };
    bool ok;

    if (n == &w->zombie) return; /* nothing of it becomes durable */
    ok = !world_chance(w, 100);
    if (has_writes(&n->disk, group)) {
        world_at(w, MS,
                 &(struct action){
                     .kind = ACT_INSTALL, .node = n->at, .group = group, .life = n->life });
        return;
    }
    if (n->disk.failed || node_point(w, n)) return;
    if (ok) replace(w, n, group, s);
    TRACE(w, "n%u g%u installs a snapshot at %llu: %s", n->at + 1, group,
          (unsigned long long)s->pos.index, ok ? "done" : "failed");
    if (node_point(w, n)) return;
    h->installing = false;
    h->staged = NULL;
    e.u.installed.ok = ok;
    e.u.installed.config = &s->config;
    node_step(w, n, group, &e, NULL, NULL);
    snapshot_unref(s);
}

struct core_pos snapshot_pos(const struct snapshot *s)
{
    return s->pos;
}

const struct core_config *snapshot_config(const struct snapshot *s)
{
    return &s->config;
}

struct snapshot *snapshot_ref(struct snapshot *s)
{
    s->refs++;
    return s;
}

void snapshot_unref(struct snapshot *s)
{
    if (--s->refs > 0) return;
    for (size_t i = 0; i < s->count; i++) {
        blob_unref(&s->records[i].key);
        blob_unref(&s->records[i].value);
    }
    free(s->records);
    free(s);
}
