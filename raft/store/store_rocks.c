/* store_rocks - the log on RocksDB: one column family, one synced write a batch.
 *
 * Rules: P7 a failed write or sync ends the process with a last word; nothing is tried again, because after a
 *   failed fsync the kernel may have dropped the pages. Recovery stops at the first bad record (mode 2); the
 *   watermark tells whether that lost anything that was synced.
 * Cost:  an entry's head and body are gathered straight into the write batch: one copy.
 */
#include <errno.h>
#include <rocksdb/c.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "raft/store/inside.h"

struct rocks {
    rocksdb_t *db;
    rocksdb_options_t *options;
    rocksdb_writeoptions_t *synced, *unsynced;
    rocksdb_readoptions_t *reading;
    rocksdb_writebatch_t *batch;
    struct watermark watermark;
    uint64_t batch_number;
    bool tainted; /* watermark and batch number stay as they are: they are the evidence */
};

static _Noreturn void last_word(const char *what, const char *error)
{
    check_last_word("the log failed", what, error);
}

/* ---- writing */

static void add_entry(struct rocks *r, const struct store_entry *e)
{
    uint8_t key[KEY_SIZE], front[ENTRY_FRONT_SIZE];
    const char *keys[1] = { (const char *)key };
    const char *values[3] = { (const char *)front, (const char *)e->head.p, (const char *)e->body.p };
    const size_t key_sizes[1] = { KEY_SIZE }, value_sizes[3] = { ENTRY_FRONT_SIZE, e->head.n, e->body.n };

    key_print(key, e->group, 'e', e->index);
    entry_front_print(front, e);
    rocksdb_writebatch_putv(r->batch, 1, keys, key_sizes, 3, values, value_sizes);
}

static void add_pair(struct rocks *r, uint64_t group, uint8_t kind, uint64_t a, uint64_t b)
{
    uint8_t key[KEY_SIZE], value[PAIR_SIZE];

    key_print(key, group, kind, 0);
    pair_print(value, a, b);
    rocksdb_writebatch_put(r->batch, (const char *)key, KEY_SIZE, (const char *)value, PAIR_SIZE);
}

static void add_cut(struct rocks *r, const struct store_op *op)
{
    uint8_t from[KEY_SIZE], to[KEY_SIZE];

    CHECK(op->cut_from <= op->cut_to);
    key_print(from, op->entry.group, 'e', op->cut_from);
    key_print(to, op->entry.group, 'e', op->cut_to + 1);
    rocksdb_writebatch_delete_range(r->batch, (const char *)from, KEY_SIZE, (const char *)to, KEY_SIZE);
    add_pair(r, op->entry.group, 'c', op->cut_to, op->cut_term);
}

static void rocks_batch_add(void *self, const struct store_op *op)
{
    switch (op->kind) {
    case STORE_HARD:
        add_pair(self, op->entry.group, 'h', op->hard.term, op->hard.vote);
        return;
    case STORE_APPEND:
        add_entry(self, &op->entry);
        return;
    case STORE_CUT:
        add_cut(self, op);
        return;
    }
    UNREACHED();
}

static void rocks_batch_write(void *self, bool sync)
{
    struct rocks *r = self;
    char *error = NULL;

    if (!r->tainted) add_pair(r, STORE_OWN_GROUP, 'b', ++r->batch_number, 0);
    rocksdb_write(r->db, sync ? r->synced : r->unsynced, r->batch, &error);
    if (error) last_word("write and sync", error);
    rocksdb_writebatch_clear(r->batch);
    if (sync && !r->tainted) watermark_set(&r->watermark, r->batch_number);
}

/* ---- reading */

static int get_pair(struct rocks *r, uint64_t group, uint8_t kind, uint64_t *a, uint64_t *b)
{
    uint8_t key[KEY_SIZE];
    char *error = NULL, *value;
    size_t n;
    int rv = ERR_NOT_FOUND;

    key_print(key, group, kind, 0);
    value = rocksdb_get(r->db, r->reading, (const char *)key, KEY_SIZE, &n, &error);
    if (error) last_word("read", error);
    if (value) rv = pair_parse(span_of(value, n), a, b);
    rocksdb_free(value);
    return rv;
}

static rocksdb_iterator_t *seek_entry(struct rocks *r, uint64_t group, uint64_t index)
{
    uint8_t key[KEY_SIZE];
    rocksdb_iterator_t *it = rocksdb_create_iterator(r->db, r->reading);

    key_print(key, group, 'e', index);
    rocksdb_iter_seek(it, (const char *)key, KEY_SIZE);
    return it;
}

/* The entry under the iterator, if it is one of the group's. */
static int entry_under(rocksdb_iterator_t *it, uint64_t group, struct store_entry *out)
{
    uint64_t g;
    uint8_t kind;
    size_t n;
    const char *p;

    if (!rocksdb_iter_valid(it)) return ERR_NOT_FOUND;
    p = rocksdb_iter_key(it, &n);
    if (key_parse(span_of(p, n), &g, &kind, &out->index) != 0) return ERR_CORRUPT;
    if (g != group || kind != 'e') return ERR_NOT_FOUND;
    out->group = g;
    p = rocksdb_iter_value(it, &n);
    return entry_parse(span_of(p, n), out);
}

static int rocks_entries_each(void *self, uint64_t group, uint64_t first, uint64_t last, void *arg,
                              bool (*each)(void *arg, const struct store_entry *entry))
{
    rocksdb_iterator_t *it = seek_entry(self, group, first);
    char *error = NULL;
    int rv = 0;

    for (uint64_t index = first; index <= last && rv == 0; index++) {
        struct store_entry e;

        rv = entry_under(it, group, &e);
        if (rv == 0 && e.index != index) rv = ERR_CORRUPT; /* a hole in the log */
        if (rv != 0 || !each(arg, &e)) break;
        rocksdb_iter_next(it);
    }
    rocksdb_iter_get_error(it, &error); /* what cannot be read is not the end of the log */
    if (error) last_word("scan", error);
    rocksdb_iter_destroy(it);
    return rv;
}

struct counting {
    uint64_t bytes, last, last_term;
};

static bool count_one(void *arg, const struct store_entry *e)
{
    struct counting *c = arg;

    c->bytes += e->head.n + e->body.n;
    c->last = e->index;
    c->last_term = e->term;
    return true;
}

static int rocks_group_read(void *self, uint64_t group, struct store_group *out, struct errmsg *why)
{
    struct counting c = { 0 };
    uint64_t cut = 0, cut_term = 0;
    int hard, found;

    *out = (struct store_group){ .first = 1 };
    hard = get_pair(self, group, 'h', &out->hard.term, &out->hard.vote);
    found = get_pair(self, group, 'c', &cut, &cut_term);
    if ((hard != 0 && hard != ERR_NOT_FOUND) || (found != 0 && found != ERR_NOT_FOUND))
        return errmsg_set(why, ERR_CORRUPT, "group %llu: its hard state or cut does not decode",
                          (unsigned long long)group);
    out->known = hard == 0;
    out->first = cut + 1;
    c.last = cut;
    c.last_term = cut_term;
    found = rocks_entries_each(self, group, out->first, UINT64_MAX, &c, count_one);
    if (found != 0 && found != ERR_NOT_FOUND)
        return errmsg_set(why, found, "group %llu: the entry after %llu is damaged or missing",
                          (unsigned long long)group, (unsigned long long)c.last);
    out->last = c.last;
    out->last_term = c.last_term;
    out->bytes = c.bytes;
    return 0;
}

static struct blob *blob_of(struct span s)
{
    struct blob *b = blob_new(s.n);

    CHECK(blob_add(b, s.p, s.n, s.n) == 0);
    return b;
}

static int rocks_entry_read(void *self, uint64_t group, uint64_t index, enum core_entry_kind *kind,
                            uint64_t *term, struct blob **head, struct blob **body)
{
    struct rocks *r = self;
    struct store_entry e;
    uint8_t key[KEY_SIZE];
    char *error = NULL;
    const char *p;
    size_t n;
    rocksdb_pinnableslice_t *value;
    int rv;

    key_print(key, group, 'e', index);
    value = rocksdb_get_pinned(r->db, r->reading, (const char *)key, KEY_SIZE, &error);
    if (error) last_word("read", error);
    if (!value) return ERR_NOT_FOUND;
    p = rocksdb_pinnableslice_value(value, &n);
    rv = entry_parse(span_of(p, n), &e);
    if (rv == 0) {
        if (kind) *kind = e.kind;
        if (term) *term = e.term;
        if (head) *head = blob_of(e.head);
        if (body) *body = blob_of(e.body);
    }
    rocksdb_pinnableslice_destroy(value);
    return rv;
}

/* ---- opening */

static void rocks_close(void *self)
{
    struct rocks *r = self;

    watermark_close(&r->watermark);
    if (r->db) rocksdb_close(r->db);
    rocksdb_options_destroy(r->options);
    rocksdb_writeoptions_destroy(r->synced);
    rocksdb_writeoptions_destroy(r->unsynced);
    rocksdb_readoptions_destroy(r->reading);
    rocksdb_writebatch_destroy(r->batch);
    free(r);
}

static void set_options(struct rocks *r, const struct store_options *o)
{
    rocksdb_options_t *base = rocksdb_options_create();
    char *error = NULL;

    r->options = rocksdb_options_create();
    /* what the C interface has no setter for */
    rocksdb_get_options_from_string(base, "avoid_flush_during_shutdown=true;track_and_verify_wals_in_manifest=true",
                                    r->options, &error);
    CHECK(error == NULL);
    rocksdb_options_destroy(base);
    rocksdb_options_set_create_if_missing(r->options, 1);
    rocksdb_options_set_paranoid_checks(r->options, 1);
    rocksdb_options_set_wal_recovery_mode(r->options, rocksdb_point_in_time_recovery);
    /* big memtables: most entries are cut away before theirs would be written out */
    rocksdb_options_set_write_buffer_size(r->options, o->memtable_bytes ? o->memtable_bytes : 64u << 20);
    rocksdb_options_set_max_write_buffer_number(r->options, 3);
    rocksdb_options_set_max_background_jobs(r->options, 2);
    rocksdb_options_set_compression(r->options, rocksdb_no_compression);
    rocksdb_options_set_keep_log_file_num(r->options, 4);
    rocksdb_options_set_info_log_level(r->options, 2);
    r->synced = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(r->synced, 1);
    r->unsynced = rocksdb_writeoptions_create();
    r->reading = rocksdb_readoptions_create();
    r->batch = rocksdb_writebatch_create();
}

static int check_format(struct rocks *r, const char *dir, struct errmsg *why)
{
    uint64_t format = 0, unused;
    int rv = get_pair(r, STORE_OWN_GROUP, 'f', &format, &unused);

    if (rv == ERR_NOT_FOUND) {
        add_pair(r, STORE_OWN_GROUP, 'f', STORE_FORMAT, 0);
        return 0;
    }
    if (rv != 0 && rv != ERR_VERSION) return errmsg_set(why, ERR_CORRUPT, "%s: the format record is damaged", dir);
    if (rv == ERR_VERSION || format > STORE_FORMAT)
        return errmsg_set(why, ERR_VERSION, "%s: written by a newer version (format %llu, this one reads up to %d)",
                          dir, (unsigned long long)format, STORE_FORMAT);
    return 0;
}

static int open_error(const char *dir, char *error, struct errmsg *why)
{
    bool busy = strstr(error, "lock") != NULL || strstr(error, "LOCK") != NULL;
    int rv = busy ? errmsg_set(why, ERR_BUSY, "%s: in use by another process", dir)
                  : errmsg_set(why, strstr(error, "Corruption") ? ERR_CORRUPT : ERR_IO, "%s: %s", dir, error);

    rocksdb_free(error);
    return rv;
}

int store_rocks_open(struct store *s, const struct store_options *o, bool *tainted, struct errmsg *why)
{
    static const struct store_calls calls = { rocks_batch_add,  rocks_batch_write,  rocks_group_read,
                                              rocks_entry_read, rocks_entries_each, rocks_close };
    struct rocks *r;
    char path[4096], *error = NULL;
    uint64_t unused;
    int rv;

    if (mkdir(o->dir, 0700) != 0 && errno != EEXIST)
        return errmsg_set(why, ERR_IO, "%s: cannot make the directory: %s", o->dir, strerror(errno));
    r = check_calloc(1, sizeof *r);
    r->watermark.fd = -1;
    set_options(r, o);
    snprintf(path, sizeof path, "%s/db", o->dir);
    r->db = rocksdb_open(r->options, path, &error);
    rv = error ? open_error(path, error, why) : check_format(r, path, why);
    if (rv == 0) rv = watermark_open(&r->watermark, o->dir, why);
    if (rv != 0) {
        rocks_close(r);
        return rv;
    }
    if (get_pair(r, STORE_OWN_GROUP, 'b', &r->batch_number, &unused) != 0) r->batch_number = 0;
    r->tainted = r->watermark.batch > r->batch_number;
    *tainted = r->tainted;
    s->calls = &calls;
    s->self = r;
    return 0;
}
