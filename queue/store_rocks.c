/* store_rocks - the queue's store on RocksDB, without WAL.
 *
 * One column family for the state and for the bodies that outlived the log (the larger ones go to
 * blob files by themselves): a memtable is flushed as a whole, so what is on disk is always
 * everything as of one write; what was not flushed is rebuilt by replaying the log. (Two families
 * under atomic_flush would say the same, but this RocksDB ends the process when a flush that is
 * asked for meets one of a full memtable, and its C interface asks for one family at a time.)
 * Closing does not flush: it leaves the disk as a crash would.
 *
 * Snapshots are staged in a shard's other place (slot.h). One record a shard that ever had one says which place is read;
 * it is written before anything is staged, so that at the next start what is left can be found.
 *
 * Rule: P7 a failed read or write ends the process with a last word.
 */
#include <rocksdb/c.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/ground/check.h"
#include "queue/keys.h"
#include "queue/slot.h"
#include "queue/store.h"

#define MEMTABLE_BYTES   (32u << 20)
#define JOBS_MAX         4 /* a flush, and compactions: fresh tables become one while a long one goes on */
#define FRESH_TABLES     12 /* so many of level 0 are compacted at once, together with all of the level below */
#define LEVEL_BYTES      (64u << 20) /* of that one */
#define TABLE_BYTES      (8u << 20)  /* most keys are new ones, behind those of their shard: only the last tables are copied */
#define BLOB_SIZE_MIN    1024 /* records of the state are smaller, nearly always */
#define BLOB_CUTOFF_NONE "0"
#define BLOB_CUTOFF_HALF "0.5"
#define BLOB_CUTOFF_ALL  "1.0"
#define BLOB_GARBAGE_MAX 4 /* up to the fourth part of the files of bodies: none is copied */
#define FORMAT_KEY       "\xff\xff\xff\xff" /* behind every shard */
#define SLOT_KEY         "\xff\xff\xff\xfe" /* | shard u32: u8, the place that is read */
#define HINT_PREFIX      "5"
#define BODY_BIT         0x80 /* first bit of a body's key: behind the states of all shards */

struct rocks {
    rocksdb_t *db;
    rocksdb_options_t *options;
    rocksdb_writeoptions_t *writing;
    rocksdb_readoptions_t *reading;
    rocksdb_flushoptions_t *flushing;
    _Atomic(rocksdb_writebatch_t *) bodies; /* an empty batch with room for a body, or NULL */
    atomic_bool copies_bodies;              /* compactions do, out of the older half of the files */
    struct slots slots;
};

/* A key as it stands in the database. */
struct place {
    char p[QUEUE_KEY_SIZE_MAX];
    size_t n;
};

static void place_make(struct place *at, struct span key, bool is_body, uint8_t slot)
{
    CHECK(key.n > 0 && key.n <= sizeof at->p);
    memcpy(at->p, key.p, key.n);
    at->n = key.n;
    at->p[0] = (char)((uint8_t)at->p[0] | slot | (is_body ? BODY_BIT : 0));
}

static _Noreturn void last_word(const char *what, char *error)
{
    check_last_word("the queue's store failed", what, error);
}

/* A body's batch is large: fresh memory for each would cost more than filling it. */
static rocksdb_writebatch_t *batch_take(struct rocks *r, bool is_body)
{
    rocksdb_writebatch_t *batch = is_body ? atomic_exchange(&r->bodies, NULL) : NULL;

    return batch ? batch : rocksdb_writebatch_create();
}

static void batch_give(struct rocks *r, bool is_body, rocksdb_writebatch_t *batch)
{
    rocksdb_writebatch_clear(batch);
    if (is_body) batch = atomic_exchange(&r->bodies, batch);
    if (batch) rocksdb_writebatch_destroy(batch);
}

static void rocks_write(void *self, const struct queue_change *list, size_t n)
{
    struct rocks *r = self;
    bool is_body = n > 0 && list[0].is_body && list[0].value.n <= BLOB_CHUNK_SIZE;
    rocksdb_writebatch_t *batch = batch_take(r, is_body);
    struct place at;
    char *error = NULL;

    /* of this thread: its counters cost more than comparing keys */
    rocksdb_set_perf_level(rocksdb_disable);
    for (size_t i = 0; i < n; i++) {
        const struct queue_change *c = &list[i];

        place_make(&at, c->key, c->is_body, slot_bit(&r->slots, slot_shard(c->key), c->is_staged));
        if (c->is_delete)
            rocksdb_writebatch_delete(batch, at.p, at.n);
        else
            rocksdb_writebatch_put(batch, at.p, at.n, (const char *)c->value.p, c->value.n);
    }
    rocksdb_write(r->db, r->writing, batch, &error);
    if (error) last_word("write", error);
    batch_give(r, is_body, batch);
}

/* NULL: not there. */
static rocksdb_pinnableslice_t *read_place(struct rocks *r, rocksdb_readoptions_t *reading,
                                           const struct place *at, struct span *value)
{
    rocksdb_pinnableslice_t *slice;
    char *error = NULL;

    slice = rocksdb_get_pinned(r->db, reading, at->p, at->n, &error);
    if (error) last_word("read", error);
    if (slice) value->p = (const uint8_t *)rocksdb_pinnableslice_value(slice, &value->n);
    return slice;
}

/* Who looks in a place that is swapped away meanwhile looks again. */
static rocksdb_pinnableslice_t *read_value(struct rocks *r, struct span key, bool is_body,
                                           struct span *value)
{
    uint32_t shard = slot_shard(key);
    rocksdb_pinnableslice_t *slice;
    struct place at;
    uint8_t slot;

    do {
        slot = slot_bit(&r->slots, shard, false);
        place_make(&at, key, is_body, slot);
        slice = read_place(r, r->reading, &at, value);
    } while (!slice && slot != slot_bit(&r->slots, shard, false));
    return slice;
}

static int rocks_get(void *self, struct span key, struct buf *out)
{
    struct span value;
    rocksdb_pinnableslice_t *slice = read_value(self, key, false, &value);

    if (!slice) return ERR_NOT_FOUND;
    buf_add_span(out, value);
    rocksdb_pinnableslice_destroy(slice);
    return 0;
}

static int take_body(rocksdb_pinnableslice_t *slice, struct span value, struct blob **out)
{
    if (!slice) return ERR_NOT_FOUND;
    *out = blob_copy(value);
    rocksdb_pinnableslice_destroy(slice);
    return 0;
}

static int rocks_body_get(void *self, struct span key, struct blob **out)
{
    struct span value = { 0 };
    rocksdb_pinnableslice_t *slice = read_value(self, key, true, &value);

    return take_body(slice, value, out);
}

/* The key behind all that begin with prefix; empty when there is none. */
static struct span behind(struct span prefix, uint8_t out[QUEUE_KEY_SIZE_MAX])
{
    size_t n = prefix.n;

    CHECK(n <= QUEUE_KEY_SIZE_MAX);
    while (n > 0 && prefix.p[n - 1] == 0xff)
        n--;
    if (n == 0) return span_of(NULL, 0);
    memcpy(out, prefix.p, n);
    out[n - 1]++;
    return span_of(out, n);
}

struct scan {
    struct rocks *rocks;
    const rocksdb_snapshot_t *at; /* NULL: now */
    struct span prefix, from;     /* as callers know them */
    uint8_t slot;
    bool backwards;
};

/* The key as callers know it. */
static struct span shown(const char *key, size_t n, uint8_t slot, struct place *copy)
{
    if (slot == 0) return span_of(key, n);
    CHECK(n <= sizeof copy->p);
    memcpy(copy->p, key, n);
    copy->p[0] = (char)((uint8_t)copy->p[0] & ~slot);
    return span_of(copy->p, n);
}

static void walk(const struct scan *s, rocksdb_iterator_t *it, void *arg,
                 bool (*each)(void *arg, struct span key, struct span value))
{
    struct place copy;

    while (rocksdb_iter_valid(it)) {
        size_t kn, vn;
        const char *k = rocksdb_iter_key(it, &kn), *v = rocksdb_iter_value(it, &vn);

        if (!each(arg, shown(k, kn, s->slot, &copy), span_of(v, vn))) break;
        if (s->backwards)
            rocksdb_iter_prev(it);
        else
            rocksdb_iter_next(it);
    }
}

/* Without bounds an iterator that has passed the prefix' last record would walk over all the
 * deleted records behind it before it could tell. */
static void scan(const struct scan *s, void *arg,
                 bool (*each)(void *arg, struct span key, struct span value))
{
    rocksdb_readoptions_t *reading = rocksdb_readoptions_create();
    struct place first, start;
    uint8_t upper[QUEUE_KEY_SIZE_MAX];
    struct span end;
    rocksdb_iterator_t *it;
    char *error = NULL;

    place_make(&first, s->prefix, false, s->slot);
    place_make(&start, s->from, false, s->slot);
    end = behind(span_of(first.p, first.n), upper);
    if (s->at) rocksdb_readoptions_set_snapshot(reading, s->at);
    rocksdb_readoptions_set_iterate_lower_bound(reading, first.p, first.n);
    if (end.n > 0) rocksdb_readoptions_set_iterate_upper_bound(reading, (const char *)end.p, end.n);
    it = rocksdb_create_iterator(s->rocks->db, reading);
    if (s->backwards)
        rocksdb_iter_seek_for_prev(it, start.p, start.n);
    else
        rocksdb_iter_seek(it, start.p, start.n);
    walk(s, it, arg, each);
    rocksdb_iter_get_error(it, &error);
    if (error) last_word("scan", error);
    rocksdb_iter_destroy(it);
    rocksdb_readoptions_destroy(reading);
}

static void rocks_each(void *self, struct span prefix, struct span from, bool backwards, void *arg,
                       bool (*each)(void *arg, struct span key, struct span value))
{
    struct rocks *r = self;
    const struct scan s = { .rocks = r,
                            .prefix = prefix,
                            .from = from,
                            .slot = slot_bit(&r->slots, slot_shard(prefix), false),
                            .backwards = backwards };

    scan(&s, arg, each);
}

/* ---- many keys */

/* An iterator goes on to the next record for less than a get costs, and seeks for as much. Between two records that are there may stand
 * any number of deleted ones, which it walks over: then it is told to give up, and seeks. */
#define SEEKER_STEPS    4
#define SEEKER_SKIP_MAX 64

struct seeker {
    rocksdb_readoptions_t *reading;
    rocksdb_iterator_t *it;
    rocksdb_pinnableslice_t *got; /* where the iterator has given up */
    struct place first, last;     /* bound, borrowed by the iterator; looked for last */
    uint8_t upper[QUEUE_KEY_SIZE_MAX];
    uint8_t slot;
};

static void *rocks_seeker_open(void *self, struct span prefix)
{
    struct rocks *r = self;
    struct seeker *k = check_calloc(1, sizeof *k);
    struct span end;

    k->slot = slot_bit(&r->slots, slot_shard(prefix), false);
    place_make(&k->first, prefix, false, k->slot);
    end = behind(span_of(k->first.p, k->first.n), k->upper);
    k->reading = rocksdb_readoptions_create();
    rocksdb_readoptions_set_iterate_lower_bound(k->reading, k->first.p, k->first.n);
    if (end.n > 0)
        rocksdb_readoptions_set_iterate_upper_bound(k->reading, (const char *)end.p, end.n);
    rocksdb_readoptions_set_max_skippable_internal_keys(k->reading, SEEKER_SKIP_MAX);
    k->it = rocksdb_create_iterator(r->db, k->reading);
    return k;
}

/* Whether the iterator stands on a record; *gave_up: it does not, and what comes behind is not known. */
static bool seeker_stands(const struct seeker *k, bool *gave_up)
{
    char *error = NULL;

    *gave_up = false;
    if (rocksdb_iter_valid(k->it)) return true;
    rocksdb_iter_get_error(k->it, &error);
    if (!error) return false;
    if (strncmp(error, "Result incomplete", 17) != 0) last_word("read", error);
    rocksdb_free(error);
    *gave_up = true;
    return false;
}

static struct span seeker_key(const struct seeker *k)
{
    size_t n;
    const char *p = rocksdb_iter_key(k->it, &n);

    return span_of(p, n);
}

/* A few records on, to `at` or behind it; false: it is not known what stands there. */
static bool seeker_walk(struct seeker *k, struct span at)
{
    bool gave_up;

    for (unsigned i = 0; i < SEEKER_STEPS; i++) {
        if (!seeker_stands(k, &gave_up)) return !gave_up && k->last.n > 0;
        if (span_compare(seeker_key(k), at) >= 0) return true;
        rocksdb_iter_next(k->it);
    }
    return false;
}

static int seeker_get_one(struct rocks *r, struct seeker *k, const struct place *at,
                          struct span *value)
{
    k->got = read_place(r, r->reading, at, value);
    return k->got ? 0 : ERR_NOT_FOUND;
}

static void seeker_let_go(struct seeker *k)
{
    if (k->got) rocksdb_pinnableslice_destroy(k->got);
    k->got = NULL;
}

static int rocks_seeker_get(void *self, void *seeker, struct span key, struct span *value)
{
    struct seeker *k = seeker;
    struct place at;
    struct span wanted;
    bool gave_up;

    seeker_let_go(k);
    place_make(&at, key, false, k->slot);
    wanted = span_of(at.p, at.n);
    CHECK(span_compare(span_of(k->last.p, k->last.n), wanted) <= 0);
    if (!seeker_walk(k, wanted)) rocksdb_iter_seek(k->it, at.p, at.n);
    k->last = at;
    if (!seeker_stands(k, &gave_up))
        return gave_up ? seeker_get_one(self, k, &at, value) : ERR_NOT_FOUND;
    if (!span_eq(seeker_key(k), wanted)) return ERR_NOT_FOUND;
    value->p = (const uint8_t *)rocksdb_iter_value(k->it, &value->n);
    return 0;
}

static void rocks_seeker_close(void *self, void *seeker)
{
    struct seeker *k = seeker;

    (void)self;
    seeker_let_go(k);
    rocksdb_iter_destroy(k->it);
    rocksdb_readoptions_destroy(k->reading);
    free(k);
}

/* ---- snapshots */

struct view {
    const rocksdb_snapshot_t *at;
    rocksdb_readoptions_t *reading;
    struct queue_key prefix;
    uint8_t slot;
};

static struct queue_key shard_prefix(uint32_t shard)
{
    struct queue_key k = { .n = 0 };

    queue_key_u32(&k, shard);
    return k;
}

static void *rocks_freeze(void *self, uint32_t shard)
{
    struct rocks *r = self;
    struct view *v = check_calloc(1, sizeof *v);

    v->at = rocksdb_create_snapshot(r->db);
    v->reading = rocksdb_readoptions_create();
    rocksdb_readoptions_set_snapshot(v->reading, v->at);
    v->prefix = shard_prefix(shard);
    v->slot = slot_bit(&r->slots, shard, false);
    return v;
}

static void rocks_thaw(void *self, void *view)
{
    struct rocks *r = self;
    struct view *v = view;

    rocksdb_readoptions_destroy(v->reading);
    rocksdb_release_snapshot(r->db, v->at);
    free(v);
}

static void rocks_frozen_each(void *self, void *view, struct span from, void *arg,
                              bool (*each)(void *arg, struct span key, struct span value))
{
    struct view *v = view;
    const struct scan s = { .rocks = self,
                            .at = v->at,
                            .prefix = queue_key_span(&v->prefix),
                            .from = from,
                            .slot = v->slot };

    scan(&s, arg, each);
}

static int rocks_frozen_body_get(void *self, void *view, struct span key, struct blob **out)
{
    struct view *v = view;
    struct span value = { 0 };
    struct place at;

    place_make(&at, key, true, v->slot);
    return take_body(read_place(self, v->reading, &at, &value), value, out);
}

/* Where a shard's keys in a place begin, and where they have ended. */
static struct span shard_range(uint32_t shard, uint8_t slot, bool is_body, struct place *first,
                               uint8_t upper[QUEUE_KEY_SIZE_MAX])
{
    struct queue_key prefix = shard_prefix(shard);

    place_make(first, queue_key_span(&prefix), is_body, slot);
    return behind(span_of(first->p, first->n), upper);
}

/* The ends of a range are shorter than HINT_PREFIX: this RocksDB keeps one hint for a prefix's keys and for the ranges that
 * begin in it, which stand in another list, and the two would spoil each other. */
static void add_delete_all(rocksdb_writebatch_t *batch, uint32_t shard, uint8_t slot, bool is_body)
{
    uint8_t upper[QUEUE_KEY_SIZE_MAX];
    struct place first;
    struct span end = shard_range(shard, slot, is_body, &first, upper);

    CHECK(first.n < (size_t)(HINT_PREFIX[0] - '0'));
    rocksdb_writebatch_delete_range(batch, first.p, first.n, (const char *)end.p, end.n);
}

/* One batch: a place is emptied, and it is noted which one is read from now on. */
static void write_slot(struct rocks *r, uint32_t shard, uint8_t emptied, uint8_t slot)
{
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    struct queue_key key = { .n = 0 };
    char *error = NULL;

    queue_key_bytes(&key, SPAN_LIT(SLOT_KEY));
    queue_key_u32(&key, shard);
    add_delete_all(batch, shard, emptied, false);
    add_delete_all(batch, shard, emptied, true);
    rocksdb_writebatch_put(batch, (const char *)key.p, key.n, slot ? "\1" : "\0", 1);
    rocksdb_write(r->db, r->writing, batch, &error);
    if (error) last_word("write", error);
    rocksdb_writebatch_destroy(batch);
}

static void rocks_unstage(void *self, uint32_t shard)
{
    struct rocks *r = self;

    write_slot(r, shard, slot_bit(&r->slots, shard, true), slot_bit(&r->slots, shard, false));
}

static void rocks_swap(void *self, uint32_t shard)
{
    struct rocks *r = self;

    write_slot(r, shard, slot_bit(&r->slots, shard, false), slot_bit(&r->slots, shard, true));
    slot_flip(&r->slots, shard);
}

struct found {
    struct rocks *rocks;
    uint32_t shards[64];
    unsigned count;
    bool is_damaged;
};

/* Each key only once: the walk goes on behind the last one of a full list. */
static bool note_slot(void *arg, struct span key, struct span value)
{
    struct found *f = arg;
    uint32_t shard =
        key.n == 8 && value.n == 1 && value.p[0] <= 1 ? slot_shard(span_from(key, 4)) : 0;

    f->is_damaged = f->is_damaged || shard == 0;
    if (f->is_damaged || f->count == sizeof f->shards / sizeof f->shards[0]) return false;
    if (value.p[0] == 1) slot_flip(&f->rocks->slots, shard);
    f->shards[f->count++] = shard;
    return true;
}

static bool note_any(void *arg, struct span key, struct span value)
{
    (void)key;
    (void)value;
    *(bool *)arg = true;
    return false;
}

/* What a snapshot that was never installed has left. */
static void drop_staged(struct rocks *r, uint32_t shard)
{
    struct queue_key prefix = shard_prefix(shard);
    struct scan s = { .rocks = r,
                      .prefix = queue_key_span(&prefix),
                      .from = queue_key_span(&prefix),
                      .slot = slot_bit(&r->slots, shard, true) };
    bool any = false;

    scan(&s, &any, note_any);
    if (any) rocks_unstage(r, shard);
}

static int read_slots(struct rocks *r, const char *dir, struct errmsg *why)
{
    struct queue_key from = { .n = 0 };
    struct found f = { .rocks = r };

    queue_key_bytes(&from, SPAN_LIT(SLOT_KEY));
    do {
        f.count = 0;
        rocks_each(r, SPAN_LIT(SLOT_KEY), queue_key_span(&from), false, &f, note_slot);
        if (f.is_damaged)
            return errmsg_set(why, ERR_CORRUPT, "%s: the record of a shard's place is damaged",
                              dir);
        for (unsigned i = 0; i < f.count; i++)
            drop_staged(r, f.shards[i]);
        from.n = 4;
        if (f.count > 0) queue_key_u32(&from, f.shards[f.count - 1] + 1);
    } while (f.count == sizeof f.shards / sizeof f.shards[0]);
    return 0;
}

/* Compactions copy what lives out of so much of the files of bodies, the oldest first, garbage or not. */
static void set_blob_cutoff(struct rocks *r, const char *cutoff)
{
    const char *const names[] = { "blob_garbage_collection_age_cutoff" };
    char *error = NULL;

    rocksdb_set_options(r->db, 1, names, &cutoff, &error);
    if (error) last_word("options", error);
}

static const char *usual_cutoff(struct rocks *r)
{
    return atomic_load(&r->copies_bodies) ? BLOB_CUTOFF_HALF : BLOB_CUTOFF_NONE;
}

static uint64_t property(struct rocks *r, const char *name)
{
    uint64_t n;

    return rocksdb_property_int(r->db, name, &n) == 0 ? n : 0;
}

/* Keys of all shards stand in each table, so each compaction would copy half of all bodies that wait: only where that gives
 * room back. */
static void choose_blob_cutoff(struct rocks *r)
{
    uint64_t garbage = property(r, "rocksdb.live-blob-file-garbage-size");
    bool copies = garbage > property(r, "rocksdb.live-blob-file-size") / BLOB_GARBAGE_MAX;

    if (atomic_exchange(&r->copies_bodies, copies) != copies) set_blob_cutoff(r, usual_cutoff(r));
}

static int rocks_flush(void *self, struct errmsg *why)
{
    struct rocks *r = self;
    char *error = NULL;

    (void)why;
    choose_blob_cutoff(r);
    rocksdb_flush(r->db, r->flushing, &error);
    if (error) last_word("flush", error);
    return 0;
}

/* What was deleted goes with the next compaction of its tables, which for a shard that is written no more might never come. */
static void rocks_reclaim(void *self, uint32_t shard)
{
    rocksdb_compactoptions_t *how = rocksdb_compactoptions_create();
    const uint8_t slots[] = { slot_bit(&((struct rocks *)self)->slots, shard, false),
                              slot_bit(&((struct rocks *)self)->slots, shard, true) };

    rocksdb_compactoptions_set_exclusive_manual_compaction(how, 0); /* others go on */
    set_blob_cutoff(self, BLOB_CUTOFF_ALL);
    for (unsigned i = 0; i < 4; i++) {
        uint8_t upper[QUEUE_KEY_SIZE_MAX];
        struct place first;
        struct span end = shard_range(shard, slots[i / 2], i % 2 == 1, &first, upper);

        rocksdb_compact_range_opt(((struct rocks *)self)->db, how, first.p, first.n,
                                  (const char *)end.p, end.n);
    }
    set_blob_cutoff(self, usual_cutoff(self));
    rocksdb_compactoptions_destroy(how);
}

static uint64_t rocks_bytes(void *self)
{
    static const char *const properties[] = { "rocksdb.total-sst-files-size",
                                              "rocksdb.total-blob-file-size",
                                              "rocksdb.cur-size-all-mem-tables" };
    uint64_t total = 0;

    for (unsigned i = 0; i < 3; i++)
        total += property(self, properties[i]);
    return total;
}

static void rocks_close(void *self)
{
    struct rocks *r = self;

    if (r->db) rocksdb_close(r->db);
    if (r->bodies) rocksdb_writebatch_destroy(r->bodies);
    rocksdb_options_destroy(r->options);
    rocksdb_writeoptions_destroy(r->writing);
    rocksdb_readoptions_destroy(r->reading);
    rocksdb_flushoptions_destroy(r->flushing);
    free(r);
}

/* Options that have no setter. HINT_PREFIX: see add_delete_all. The hint: nearly all keys of one shard and kind (the first 5 bytes) are
 * written in their order; remembering where the last one went makes that several times cheaper. */
static rocksdb_options_t *options_of(void)
{
    rocksdb_options_t *base = rocksdb_options_create(), *made = rocksdb_options_create();
    char *error = NULL;

    rocksdb_get_options_from_string(
        base,
        "avoid_flush_during_shutdown=true;"
        "memtable_insert_with_hint_prefix_extractor=rocksdb.FixedPrefix." HINT_PREFIX,
        made, &error);
    CHECK(error == NULL);
    rocksdb_options_destroy(base);
    return made;
}

static void set_options(struct rocks *r)
{
    rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();
    rocksdb_options_t *o = r->options = options_of();

    rocksdb_options_set_create_if_missing(o, 1);
    rocksdb_options_set_max_background_jobs(o, JOBS_MAX);
    rocksdb_options_set_level0_file_num_compaction_trigger(o, FRESH_TABLES);
    rocksdb_options_set_level0_slowdown_writes_trigger(o, 3 * FRESH_TABLES);
    rocksdb_options_set_level0_stop_writes_trigger(o, 5 * FRESH_TABLES);
    rocksdb_options_set_max_bytes_for_level_base(o, LEVEL_BYTES);
    rocksdb_options_set_target_file_size_base(o, TABLE_BYTES);
    rocksdb_options_set_keep_log_file_num(o, 4);
    rocksdb_options_set_info_log_level(o, 2);
    rocksdb_options_set_write_buffer_size(o, MEMTABLE_BYTES);
    rocksdb_options_set_max_write_buffer_number(o, 3);
    rocksdb_options_set_compression(o, rocksdb_lz4_compression);
    rocksdb_options_set_enable_blob_files(o, 1);
    rocksdb_options_set_min_blob_size(o, BLOB_SIZE_MIN);
    rocksdb_options_set_blob_compression_type(o, rocksdb_lz4_compression);
    rocksdb_options_set_enable_blob_gc(o, 1);
    rocksdb_options_set_blob_gc_age_cutoff(o, strtod(BLOB_CUTOFF_NONE, NULL));
    rocksdb_block_based_options_set_filter_policy(table,
                                                  rocksdb_filterpolicy_create_bloom_full(10));
    rocksdb_options_set_block_based_table_factory(o, table);
    rocksdb_block_based_options_destroy(table);
    r->writing = rocksdb_writeoptions_create();
    rocksdb_writeoptions_disable_WAL(r->writing, 1);
    r->reading = rocksdb_readoptions_create();
    r->flushing = rocksdb_flushoptions_create();
    rocksdb_flushoptions_set_wait(r->flushing, 1);
}

static int check_format(struct rocks *r, const char *dir, struct errmsg *why)
{
    struct span key = SPAN_LIT(FORMAT_KEY);
    struct buf value;
    struct cursor c;
    uint32_t format;
    int rv;

    buf_init(&value, 64);
    rv = rocks_get(r, key, &value);
    if (rv == ERR_NOT_FOUND) {
        buf_add_u32be(&value, proto_format());
        rocks_write(r, &(struct queue_change){ .key = key, .value = buf_span(&value) }, 1);
        rv = 0;
    }
    cursor_init(&c, buf_span(&value));
    format = cursor_u32be(&c);
    if (!cursor_done(&c))
        rv = errmsg_set(why, ERR_CORRUPT, "%s: the format record is damaged", dir);
    else if (format > PROTO_FORMAT_VERSION)
        rv = errmsg_set(why, ERR_VERSION,
                        "%s: written by a newer version (format %u, this one reads up to %u)", dir,
                        format, PROTO_FORMAT_VERSION);
    buf_deinit(&value);
    return rv;
}

int queue_store_open_rocks(struct queue_store *s, const char *dir, struct errmsg *why)
{
    static const struct queue_store_calls calls = {
        rocks_write,   rocks_get,
        rocks_seeker_open, rocks_seeker_get, rocks_seeker_close,
        rocks_each,    rocks_body_get,
        rocks_freeze,  rocks_thaw, rocks_frozen_each, rocks_frozen_body_get,
        rocks_unstage, rocks_swap, rocks_flush,       rocks_reclaim,
        rocks_bytes,   rocks_close
    };
    struct rocks *r = check_calloc(1, sizeof *r);
    char *error = NULL;
    int rv = 0;

    set_options(r);
    r->db = rocksdb_open(r->options, dir, &error);
    if (error) {
        bool busy =
            strstr(error, "While lock file") || strstr(error, "lock hold by current process");

        rv = busy ? errmsg_set(why, ERR_BUSY, "%s: in use by another process", dir)
                  : errmsg_set(why, strstr(error, "Corruption") ? ERR_CORRUPT : ERR_IO, "%s: %s",
                               dir, error);
        rocksdb_free(error);
    }
    if (rv == 0) rv = check_format(r, dir, why);
    if (rv == 0) rv = read_slots(r, dir, why);
    if (rv != 0) {
        rocks_close(r);
        return rv;
    }
    s->calls = &calls;
    s->self = r;
    return 0;
}
