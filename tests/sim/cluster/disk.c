/* disk - a false disk: writes complete in order, one sync at a time over all groups of the node, as the log's
 * store promises.
 *
 * A crash loses what was not synced; the sync that runs then is on the disk as a whole or not at all (a torn
 * batch is told by its checksum and dropped: what the store does with bytes is its own tests'). A disk that
 * lies goes back to an earlier sync: the watermark tells, and the node boots tainted.
 */
#include <stdlib.h>

#include "proto/ground/mutation.h"
#include "tests/sim/cluster/world.h"

void disk_init(struct disk *d)
{
    list_init(&d->waiting);
    list_init(&d->flight);
    d->slow = 1;
    for (unsigned g = 0; g < GROUPS_MAX; g++)
        d->kept[g].log.first = 1;
}

void disk_write_free(struct write *x)
{
    for (unsigned i = 0; i < x->count; i++)
        entry_unref(x->slots[i].entry);
    free(x->slots);
    free(x);
}

static void drop_all(struct disk *d, struct list *l)
{
    struct list *at;

    while ((at = list_take_first(l)) != NULL) {
        disk_write_free(CONTAINER_OF(at, struct write, link));
        d->write_count--;
    }
}

void disk_wipe(struct disk *d)
{
    drop_all(d, &d->waiting);
    drop_all(d, &d->flight);
    for (unsigned g = 0; g < GROUPS_MAX; g++) {
        log_free(&d->kept[g].log);
        queue_store_close(&d->kept[g].store);
        d->kept[g] = (struct kept){ .log.first = 1 };
    }
    d->undo_count = 0;
}

/* ---- what a sync makes durable */

static void remember(struct disk *d, const struct write *x)
{
    const struct kept *k = &d->kept[x->group];

    if (d->undo_count == UNDO_MAX) {
        memmove(d->undo, d->undo + 1, (UNDO_MAX - 1) * sizeof d->undo[0]);
        d->undo_count--;
    }
    d->undo[d->undo_count++] =
        (struct undo){ .group = x->group,
                       .hard = k->hard,
                       .last = log_last(&k->log),
                       .batch = d->batch,
                       .shortened = x->truncate_from && x->truncate_from <= log_last(&k->log) };
}

static void apply_log(struct disk *d, struct write *x)
{
    struct kept *k = &d->kept[x->group];

    remember(d, x);
    k->exists = true;
    if (x->has_hard) k->hard = x->hard;
    if (k->hard.term > d->term_max) d->term_max = k->hard.term;
    if (x->truncate_from && x->truncate_from <= log_last(&k->log))
        log_truncate(&k->log, x->truncate_from);
    for (unsigned i = 0; i < x->count; i++)
        log_add(&k->log, (struct slot){ entry_ref(x->slots[i].entry), x->slots[i].has_body });
}

static void apply(struct disk *d, struct write *x)
{
    struct kept *k = &d->kept[x->group];

    switch (x->kind) {
    case WRITE_LOG:
        apply_log(d, x);
        return;
    case WRITE_CUT:
        log_cut(&k->log, x->cut_upto);
        return;
    case WRITE_UNTAINT:
        k->tainted = false;
        return;
    }
}

/* ---- in order, one sync at a time */

static void begin_sync(struct world *w, struct node *n)
{
    struct disk *d = &n->disk;
    struct list *at;
    uint64_t took;

    if (!list_empty(&d->flight) || list_empty(&d->waiting) || d->failed) return;
    for (unsigned i = 0; i < w->plan.sync_batch && (at = list_take_first(&d->waiting)) != NULL; i++)
        list_add(&d->flight, at);
    took = world_between(w, w->plan.sync_min_us, w->plan.sync_max_us) * d->slow;
    world_at(w, took, &(struct action){ .kind = ACT_SYNCED, .node = n->at, .life = n->life });
}

void disk_write(struct world *w, struct node *n, struct write *x)
{
    x->since_us = w->now_us;
    list_add(&n->disk.waiting, &x->link);
    n->disk.write_count++;
    bounds_written(w, n);
    begin_sync(w, n);
}

static void fail(struct world *w, struct node *n)
{
    struct disk *d = &n->disk;
    bool kept = world_chance(w, 500);

    TRACE(w, "n%u EIO", n->at + 1);
    d->failing = false;
    d->failed = true;
    LIST_FOR(at, &d->flight) {
        struct write *x = CONTAINER_OF(at, struct write, link);

        if (kept) apply(d, x);
    }
    drop_all(d, &d->flight);
    world_at(w, world_below(w, 3 * SECOND),
             &(struct action){ .kind = ACT_DIE, .node = n->at, .life = n->life });
    for (unsigned g = 0; g < w->plan.groups; g++)
        if (n->hosts[g].open && !n->dying)
            node_step(w, n, g, &(struct core_event){ .kind = CORE_IOFAIL }, NULL, NULL);
}

void disk_synced(struct world *w, struct node *n)
{
    struct disk *d = &n->disk;
    uint64_t ids[GROUPS_MAX] = { 0 }, life = n->life;
    struct list *at;

    if (d->stalled_until_us == NEVER) return;
    if (d->stalled_until_us > w->now_us) {
        world_at(w, d->stalled_until_us - w->now_us,
                 &(struct action){ .kind = ACT_SYNCED, .node = n->at, .life = n->life });
        return;
    }
    if (d->failing) {
        fail(w, n);
        return;
    }
    if (node_point(w, n)) return;
    while ((at = list_take_first(&d->flight)) != NULL) {
        struct write *x = CONTAINER_OF(at, struct write, link);

        apply(d, x);
        if (x->id) ids[x->group] = x->id;
        disk_write_free(x);
        d->write_count--;
    }
    if (node_point(w, n)) return;
    d->batch++;
    d->marks[d->batch % 2] = (struct mark){ .batch = d->batch, .term_max = d->term_max };
    for (unsigned g = 0; g < w->plan.groups && n->life == life && n->up; g++)
        if (ids[g]) node_durable(w, n, g, ids[g]);
    if (n->life == life && n->up) begin_sync(w, n);
}

void disk_fence(struct world *w, struct disk *from, struct disk *to)
{
    bool kept = world_chance(w, w->plan.torn_permille);
    struct list *at;

    list_init(&to->waiting);
    list_init(&to->flight);
    while ((at = list_take_first(&from->flight)) != NULL) {
        if (kept) apply(from, CONTAINER_OF(at, struct write, link));
        list_add(&to->flight, at);
    }
    while ((at = list_take_first(&from->waiting)) != NULL)
        list_add(&to->waiting, at);
    to->stalled_until_us = NEVER;
    from->write_count = 0;
}

void disk_crash(struct world *w, struct node *n)
{
    struct disk *d = &n->disk;

    if (world_chance(w, w->plan.torn_permille))
        LIST_FOR(at, &d->flight)
            apply(d, CONTAINER_OF(at, struct write, link));
    drop_all(d, &d->flight);
    drop_all(d, &d->waiting);
    d->failed = d->failing = false;
}

/* ---- a disk that lies */

static void taint(struct disk *d, struct kept *k, uint64_t last)
{
    if (!k->exists) return;
    if (!k->tainted || last > k->lost_upto.index) k->lost_upto.index = last;
    k->lost_upto.term = d->term_max;
    k->tainted = true;
}

static const struct mark *newest_mark(const struct disk *d)
{
    const struct mark *a = &d->marks[0], *b = &d->marks[1];

    if (a->damaged || (!b->damaged && b->batch > a->batch)) return b->damaged ? NULL : b;
    return a;
}

/* A damaged watermark hides what is lost beside it, or how far terms went: two faults of one disk at once, of which nothing
 * is promised. Without damage it hides only what was never answered for. */
static bool is_hidden(const struct disk *d, uint64_t batch)
{
    const struct mark *m = newest_mark(d);

    if (!d->marks[0].damaged && !d->marks[1].damaged) return false;
    return !m || m->batch <= batch || m->term_max < d->term_max;
}

void disk_damage_marks(struct world *w, struct node *n)
{
    unsigned which = 1 + (unsigned)world_below(w, 3);

    for (unsigned i = 0; i < 2; i++)
        if (which & (1u << i)) n->disk.marks[i].damaged = true;
    TRACE(w, "n%u: its watermark is damaged, slots %u", n->at + 1, which);
}

bool disk_lie(struct world *w, struct node *n)
{
    struct disk *d = &n->disk;
    uint64_t last[GROUPS_MAX];
    unsigned back = 0, wanted;

    if (d->undo_count == 0) return false;
    for (unsigned g = 0; g < GROUPS_MAX; g++)
        last[g] = log_last(&d->kept[g].log);
    wanted = 1 + (unsigned)world_below(w, d->undo_count);
    if (is_hidden(d, d->undo[d->undo_count - 1].batch)) return false;
    for (; back < wanted && !d->undo[d->undo_count - 1].shortened; back++) {
        const struct undo *u = &d->undo[--d->undo_count];
        struct kept *k = &d->kept[u->group];
        uint64_t from = u->last + 1 < k->log.first ? k->log.first : u->last + 1;

        if (from <= log_last(&k->log)) log_truncate(&k->log, from);
        k->hard = u->hard;
        d->batch = u->batch;
    }
    if (back == 0) return false;
    for (unsigned g = 0; g < w->plan.groups; g++)
        taint(d, &d->kept[g], last[g]);
    TRACE(w, "n%u lost its last %u syncs: tainted", n->at + 1, back);
    return true;
}

uint32_t disk_oldest_ms(const struct world *w, const struct node *n)
{
    const struct list *at = list_first(&n->disk.flight);

    if (!at) at = list_first(&n->disk.waiting);
    if (!at) return 0;
    return (uint32_t)((w->now_us - CONTAINER_OF(at, struct write, link)->since_us) / MS) + 1;
}
