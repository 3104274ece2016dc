/* store_rocks - the queue's store on RocksDB, without WAL.
 *
 * One column family for the state and for the bodies that outlived the log (the larger ones go to
 * blob files by themselves): a memtable is flushed as a whole, so what is on disk is always
 * everything as of one write; what was not flushed is rebuilt by replaying the log. (Two families
 * under atomic_flush would say the same, but this RocksDB ends the process when a flush that is
 * asked for meets one of a full memtable, and its C interface asks for one family at a time.)
 * Closing does not flush: it leaves the disk as a crash would.
 *
 * Rule: P7 a failed read or write ends the process with a last word.
 */
#include <rocksdb/c.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/ground/check.h"
#include "queue/keys.h"
#include "queue/store.h"

#define MEMTABLE_BYTES (32u << 20)
#define BLOB_SIZE_MIN  1024               /* records of the state are smaller, nearly always */
#define FORMAT_KEY     "\xff\xff\xff\xff" /* behind every shard */
#define BODY_BIT       0x80 /* first bit of a body's key: behind the states of all shards */

struct rocks {
    rocksdb_t *db;
    rocksdb_options_t *options;
    rocksdb_writeoptions_t *writing;
    rocksdb_readoptions_t *reading;
    rocksdb_flushoptions_t *flushing;
};

/* A key as it stands in the database. */
struct place {
    char p[QUEUE_KEY_SIZE_MAX];
    size_t n;
};

static void place_make(struct place *at, struct span key, bool is_body)
{
    CHECK(key.n > 0 && key.n <= sizeof at->p);
    memcpy(at->p, key.p, key.n);
    at->n = key.n;
    if (is_body) at->p[0] = (char)((uint8_t)at->p[0] | BODY_BIT);
}

static _Noreturn void last_word(const char *what, char *error)
{
    check_last_word("the queue's store failed", what, error);
}

static void rocks_write(void *self, const struct queue_change *list, size_t n)
{
    struct rocks *r = self;
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    struct place at;
    char *error = NULL;

    /* of this thread: its counters cost more than comparing keys */
    rocksdb_set_perf_level(rocksdb_disable);
    for (size_t i = 0; i < n; i++) {
        const struct queue_change *c = &list[i];

        place_make(&at, c->key, c->is_body);
        if (c->is_delete)
            rocksdb_writebatch_delete(batch, at.p, at.n);
        else
            rocksdb_writebatch_put(batch, at.p, at.n, (const char *)c->value.p, c->value.n);
    }
    rocksdb_write(r->db, r->writing, batch, &error);
    if (error) last_word("write", error);
    rocksdb_writebatch_destroy(batch);
}

/* NULL: not there. */
static rocksdb_pinnableslice_t *read_value(struct rocks *r, struct span key, bool is_body,
                                           struct span *value)
{
    rocksdb_pinnableslice_t *slice;
    struct place at;
    char *error = NULL;

    place_make(&at, key, is_body);
    slice = rocksdb_get_pinned(r->db, r->reading, at.p, at.n, &error);
    if (error) last_word("read", error);
    if (slice) value->p = (const uint8_t *)rocksdb_pinnableslice_value(slice, &value->n);
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

static int rocks_body_get(void *self, struct span key, struct blob **out)
{
    struct span value;
    rocksdb_pinnableslice_t *slice = read_value(self, key, true, &value);

    if (!slice) return ERR_NOT_FOUND;
    *out = blob_new(value.n);
    CHECK(blob_add(*out, value.p, value.n, value.n) == 0);
    rocksdb_pinnableslice_destroy(slice);
    return 0;
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

/* Without bounds an iterator that has passed the prefix' last record would walk over all the
 * deleted records behind it before it could tell. */
static void rocks_each(void *self, struct span prefix, struct span from, bool backwards, void *arg,
                       bool (*each)(void *arg, struct span key, struct span value))
{
    struct rocks *r = self;
    rocksdb_readoptions_t *reading = rocksdb_readoptions_create();
    uint8_t upper[QUEUE_KEY_SIZE_MAX];
    struct span end = behind(prefix, upper);
    rocksdb_iterator_t *it;
    char *error = NULL;

    rocksdb_readoptions_set_iterate_lower_bound(reading, (const char *)prefix.p, prefix.n);
    if (end.n > 0) rocksdb_readoptions_set_iterate_upper_bound(reading, (const char *)end.p, end.n);
    it = rocksdb_create_iterator(r->db, reading);
    if (backwards)
        rocksdb_iter_seek_for_prev(it, (const char *)from.p, from.n);
    else
        rocksdb_iter_seek(it, (const char *)from.p, from.n);
    while (rocksdb_iter_valid(it)) {
        size_t kn, vn;
        const char *k = rocksdb_iter_key(it, &kn), *v = rocksdb_iter_value(it, &vn);

        if (!each(arg, span_of(k, kn), span_of(v, vn))) break;
        if (backwards)
            rocksdb_iter_prev(it);
        else
            rocksdb_iter_next(it);
    }
    rocksdb_iter_get_error(it, &error);
    if (error) last_word("scan", error);
    rocksdb_iter_destroy(it);
    rocksdb_readoptions_destroy(reading);
}

static int rocks_flush(void *self, struct errmsg *why)
{
    struct rocks *r = self;
    char *error = NULL;

    (void)why;
    rocksdb_flush(r->db, r->flushing, &error);
    if (error) last_word("flush", error);
    return 0;
}

static uint64_t rocks_bytes(void *self)
{
    static const char *const properties[] = { "rocksdb.total-sst-files-size",
                                              "rocksdb.total-blob-file-size",
                                              "rocksdb.cur-size-all-mem-tables" };
    struct rocks *r = self;
    uint64_t total = 0, n;

    for (unsigned i = 0; i < 3; i++)
        if (rocksdb_property_int(r->db, properties[i], &n) == 0) total += n;
    return total;
}

static void rocks_close(void *self)
{
    struct rocks *r = self;

    if (r->db) rocksdb_close(r->db);
    rocksdb_options_destroy(r->options);
    rocksdb_writeoptions_destroy(r->writing);
    rocksdb_readoptions_destroy(r->reading);
    rocksdb_flushoptions_destroy(r->flushing);
    free(r);
}

/* Options that have no setter. The hint: nearly all keys of one shard and kind (the first 5 bytes) are
 * written in their order; remembering where the last one went makes that several times cheaper. */
static rocksdb_options_t *options_of(void)
{
    rocksdb_options_t *base = rocksdb_options_create(), *made = rocksdb_options_create();
    char *error = NULL;

    rocksdb_get_options_from_string(
        base,
        "avoid_flush_during_shutdown=true;"
        "memtable_insert_with_hint_prefix_extractor=rocksdb.FixedPrefix.5",
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
    rocksdb_options_set_max_background_jobs(o, 2);
    rocksdb_options_set_keep_log_file_num(o, 4);
    rocksdb_options_set_info_log_level(o, 2);
    rocksdb_options_set_write_buffer_size(o, MEMTABLE_BYTES);
    rocksdb_options_set_max_write_buffer_number(o, 3);
    rocksdb_options_set_compression(o, rocksdb_lz4_compression);
    rocksdb_options_set_enable_blob_files(o, 1);
    rocksdb_options_set_min_blob_size(o, BLOB_SIZE_MIN);
    rocksdb_options_set_blob_compression_type(o, rocksdb_lz4_compression);
    rocksdb_options_set_enable_blob_gc(o, 1);
    rocksdb_options_set_blob_gc_age_cutoff(o, 0.5);
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
        buf_add_u32be(&value, PROTO_FORMAT_VERSION);
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
    static const struct queue_store_calls calls = { rocks_write,    rocks_get,   rocks_each,
                                                    rocks_body_get, rocks_flush, rocks_bytes,
                                                    rocks_close };
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
    if (rv != 0) {
        rocks_close(r);
        return rv;
    }
    s->calls = &calls;
    s->self = r;
    return 0;
}
