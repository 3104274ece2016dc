/* store_rocks - the log on RocksDB: one column family, one write batch a sync.
 *
 * Rules: a failed write or sync ends the process with a last word (P7): after it nobody knows what
 * is on the disk, so nothing is tried again. Recovery stops at the first record that does not read
 * well and keeps what stands before it; the watermark tells whether something that was synced stood
 * behind. Cost: head and body are gathered into the batch from where they are. Most entries are cut
 * away before their memtable is written out, so memtables are big and nothing flushes them early but who
 * asks for rest.
 * Threads: the log thread alone writes; reads, and rests, come from any thread.
 */
#include <errno.h>
#include <rocksdb/c.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "raft/store/inside.h"

#define MEMTABLE_BYTES_DEFAULT (128u << 20) /* most entries are cut before theirs is written out */
#define MEMTABLES_MAX          2
#define REST_PART              16 /* of a memtable: less is left in memory */

struct rocks {
    struct store store; /* first */
    char *path;
    rocksdb_t *db;
    rocksdb_options_t *options;
    rocksdb_writeoptions_t *synced, *unsynced;
    rocksdb_readoptions_t *reading;
    rocksdb_writebatch_t *batch;
    struct watermark watermark;
    uint64_t batch_number; /* of the last synced batch */
    uint64_t term_max;     /* of a hard state or an entry in the batch that gathers */
    struct core_pos
        taint; /* of this open: .index the batch that was lost, .term a bound of terms; 0: none */
    bool must_note_taint; /* it is not noted in the log yet. The log thread's */
    struct log_thread thread;
};

static struct rocks *rocks_of(struct store *s)
{
    return CONTAINER_OF(s, struct rocks, store);
}

/* ---- writing: on the log thread, and while opening */

static void add_pair(struct rocks *r, uint64_t group, uint8_t kind, uint64_t a, uint64_t b)
{
    uint8_t key[KEY_SIZE], value[PAIR_SIZE];

    key_pack(key, group, kind, 0);
    pair_pack(value, a, b);
    rocksdb_writebatch_put(r->batch, (const char *)key, sizeof key, (const char *)value,
                           sizeof value);
}

static void add_entry(struct rocks *r, const struct store_entry *e)
{
    uint8_t key[KEY_SIZE], lead[ENTRY_LEAD_SIZE];
    const char *keys[] = { (const char *)key };
    const char *parts[] = { (const char *)lead, (const char *)e->head.p, (const char *)e->body.p };
    const size_t key_sizes[] = { sizeof key };
    const size_t part_sizes[] = { sizeof lead, e->head.n, e->body.n };

    key_pack(key, e->group, KEY_ENTRY, e->index);
    entry_lead_pack(lead, e);
    rocksdb_writebatch_putv(r->batch, 1, keys, key_sizes, 3, parts, part_sizes);
}

static void add_cut(struct rocks *r, const struct store_op *op)
{
    uint8_t from[KEY_SIZE], behind[KEY_SIZE];

    CHECK(op->cut_from <= op->cut_to);
    key_pack(from, op->entry.group, KEY_ENTRY, op->cut_from);
    key_pack(behind, op->entry.group, KEY_ENTRY, op->cut_to + 1);
    rocksdb_writebatch_delete_range(r->batch, (const char *)from, sizeof from, (const char *)behind,
                                    sizeof behind);
    add_pair(r, op->entry.group, KEY_CUT, op->cut_to, op->cut_term);
}

/* The newest go; what follows in the same batch may stand at their places. */
static void add_truncate(struct rocks *r, uint64_t group, uint64_t from, uint64_t to)
{
    uint8_t first[KEY_SIZE], behind[KEY_SIZE];

    CHECK(from <= to);
    key_pack(first, group, KEY_ENTRY, from);
    key_pack(behind, group, KEY_ENTRY, to == UINT64_MAX ? to : to + 1);
    rocksdb_writebatch_delete_range(r->batch, (const char *)first, sizeof first,
                                    (const char *)behind, sizeof behind);
}

/* A configuration beside the entries: its index stands in the place of the term. */
static void add_config(struct rocks *r, uint8_t kind, const struct store_op *op, struct span pos)
{
    struct store_entry e = {
        .term = op->entry.index, .kind = CORE_CONFIG, .head = op->entry.head, .body = pos
    };
    uint8_t key[KEY_SIZE], lead[ENTRY_LEAD_SIZE];
    const char *keys[] = { (const char *)key };
    const char *parts[] = { (const char *)lead, (const char *)e.head.p, (const char *)e.body.p };
    const size_t key_sizes[] = { sizeof key };
    const size_t part_sizes[] = { sizeof lead, e.head.n, e.body.n };

    CHECK(e.head.n > 0 && e.head.n <= STORE_CONFIG_SIZE_MAX);
    key_pack(key, op->entry.group, kind, 0);
    entry_lead_pack(lead, &e);
    rocksdb_writebatch_putv(r->batch, 1, keys, key_sizes, 3, parts, part_sizes);
}

static void add_delete(struct rocks *r, uint64_t group, uint8_t kind)
{
    uint8_t key[KEY_SIZE];

    key_pack(key, group, kind, 0);
    rocksdb_writebatch_delete(r->batch, (const char *)key, sizeof key);
}

static void add_forget(struct rocks *r, uint64_t group)
{
    uint8_t first[KEY_SIZE], behind[KEY_SIZE];

    key_pack(first, group, 0, 0);
    key_pack(behind, group + 1, 0, 0);
    rocksdb_writebatch_delete_range(r->batch, (const char *)first, sizeof first,
                                    (const char *)behind, sizeof behind);
}

static void add_intent(struct rocks *r, const struct store_op *op)
{
    uint8_t pos[PAIR_SIZE];

    pair_pack(pos, op->pos.index, op->pos.term);
    add_config(r, KEY_INTENT, op, span_of(pos, sizeof pos));
}

static void add_begin(struct rocks *r, const struct store_op *op)
{
    add_truncate(r, op->entry.group, 0, UINT64_MAX);
    add_pair(r, op->entry.group, KEY_CUT, op->pos.index, op->pos.term);
    add_config(r, KEY_CONFIG, op, span_of(NULL, 0));
    add_delete(r, op->entry.group, KEY_INTENT);
}

/* What it promised stays: terms, votes, and that it has overcome an older loss. */
static void add_bury(struct rocks *r, const struct store_op *op)
{
    static const uint8_t kinds[] = { KEY_CUT, KEY_CONFIG, KEY_INTENT };
    uint64_t group = op->entry.group;

    add_truncate(r, group, 0, UINT64_MAX);
    for (unsigned i = 0; i < sizeof kinds; i++)
        add_delete(r, group, kinds[i]);
    add_pair(r, group, KEY_BURIED, op->pos.index, 0);
}

/* Where the log should have been is noted in it, and its numbers go on from there: the watermark speaks of those that
 * come from now on. */
static void note_taint(struct rocks *r)
{
    if (!r->must_note_taint) return;
    r->must_note_taint = false;
    r->batch_number = r->taint.index;
    add_pair(r, KEY_OWN_GROUP, KEY_TAINT, r->taint.index, r->taint.term);
}

static void note_term(struct rocks *r, uint64_t term)
{
    if (term > r->term_max) r->term_max = term;
}

static void sink_add(void *arg, const struct store_op *op)
{
    struct rocks *r = arg;
    uint64_t group = op->entry.group;

    CHECK(group != KEY_OWN_GROUP);
    if (op->kind != STORE_CUT) note_taint(r);
    switch (op->kind) {
    case STORE_HARD:
        note_term(r, op->hard.term);
        add_pair(r, group, KEY_HARD, op->hard.term, op->hard.vote);
        return;
    case STORE_APPEND:
        note_term(r, op->entry.term);
        add_entry(r, &op->entry);
        return;
    case STORE_CUT:
        add_cut(r, op);
        return;
    case STORE_TRUNCATE:
        add_truncate(r, group, op->entry.index, op->truncate_to);
        return;
    case STORE_CONFIG:
        add_config(r, KEY_CONFIG, op, span_of(NULL, 0));
        return;
    case STORE_INTENT:
        add_intent(r, op);
        return;
    case STORE_BEGIN:
        add_begin(r, op);
        return;
    case STORE_DROP:
        add_delete(r, group, KEY_INTENT);
        return;
    case STORE_UNTAINT:
        add_pair(r, group, KEY_UNTAINTED, r->taint.index, 0);
        add_delete(r, group, KEY_BURIED);
        return;
    case STORE_BURY:
        add_bury(r, op);
        return;
    case STORE_FORGET:
        add_forget(r, group);
        return;
    }
    UNREACHED();
}

/* A batch that is not synced has no number: the watermark must not speak of it. */
static void sink_write(void *arg, bool sync)
{
    struct rocks *r = arg;
    char *error = NULL;

    rocksdb_set_perf_level(
        rocksdb_disable); /* of this thread: its counters cost more than comparing keys */
    if (sync) add_pair(r, KEY_OWN_GROUP, KEY_BATCH, ++r->batch_number, 0);
    rocksdb_write(r->db, sync ? r->synced : r->unsynced, r->batch, &error);
    if (error) check_last_word(r->path, "write and sync of the log", error);
    rocksdb_writebatch_clear(r->batch);
    if (sync) watermark_set(&r->watermark, r->batch_number, r->term_max);
}

static void rocks_submit(struct store *s, struct store_write *w)
{
    log_thread_submit(&rocks_of(s)->thread, w);
}

static void rocks_drain(struct store *s)
{
    log_thread_drain(&rocks_of(s)->thread);
}

/* ---- resting */

static uint64_t memtable_bytes(const struct rocks *r)
{
    uint64_t n;

    return rocksdb_property_int(r->db, "rocksdb.cur-size-active-mem-table", &n) == 0 ? n : 0;
}

static bool rocks_rest(struct store *s)
{
    struct rocks *r = rocks_of(s);
    rocksdb_flushoptions_t *how;
    char *error = NULL;

    if (memtable_bytes(r) < rocksdb_options_get_write_buffer_size(r->options) / REST_PART)
        return false;
    how = rocksdb_flushoptions_create(); /* it waits until it is done */
    rocksdb_flush(r->db, how, &error);
    if (error) check_last_word(r->path, "flush of the log", error);
    rocksdb_flushoptions_destroy(how);
    return true;
}

/* ---- reading */

/* What RocksDB says as a code; frees the text. */
static int take_error(const struct rocks *r, char *error, struct errmsg *why)
{
    bool is_busy = strstr(error, "While lock file") || strstr(error, "lock hold by");
    int rv = is_busy ? ERR_BUSY : strncmp(error, "IO error", 8) == 0 ? ERR_IO : ERR_CORRUPT;

    errmsg_set(why, rv, "%s: %s", r->path, error);
    rocksdb_free(error);
    return rv;
}

static int get_pair(struct rocks *r, uint64_t group, uint8_t kind, uint64_t *a, uint64_t *b,
                    struct errmsg *why)
{
    uint8_t key[KEY_SIZE];
    char *error = NULL, *value;
    size_t n = 0;
    int rv;

    key_pack(key, group, kind, 0);
    value = rocksdb_get(r->db, r->reading, (const char *)key, sizeof key, &n, &error);
    if (error) return take_error(r, error, why);
    if (!value) return ERR_NOT_FOUND;
    rv = pair_unpack(span_of(value, n), a, b);
    rocksdb_free(value);
    if (rv != 0)
        errmsg_set(why, rv, "%s: group %llu: record '%c': %s", r->path, (unsigned long long)group,
                   kind, err_text(rv));
    return rv;
}

static int rocks_entry_read(struct store *s, uint64_t group, uint64_t index,
                            enum core_entry_kind *kind_out, uint64_t *term_out,
                            struct blob **head_out, struct blob **body_out)
{
    struct rocks *r = rocks_of(s);
    rocksdb_pinnableslice_t *value;
    struct store_entry e;
    uint8_t key[KEY_SIZE];
    char *error = NULL;
    const char *p;
    size_t n = 0;
    int rv;

    key_pack(key, group, KEY_ENTRY, index);
    value = rocksdb_get_pinned(r->db, r->reading, (const char *)key, sizeof key, &error);
    if (error) return take_error(r, error, NULL);
    if (!value) return ERR_NOT_FOUND;
    p = rocksdb_pinnableslice_value(value, &n);
    rv = entry_unpack(span_of(p, n), &e);
    if (rv == 0) {
        if (kind_out) *kind_out = e.kind;
        if (term_out) *term_out = e.term;
        if (head_out) *head_out = blob_copy(e.head);
        if (body_out) *body_out = blob_copy(e.body);
    }
    rocksdb_pinnableslice_destroy(value);
    return rv;
}

/* The entry that the iterator stands on; ERR_NOT_FOUND when it has left the group's entries. */
static int entry_under(const struct rocks *r, rocksdb_iterator_t *it, uint64_t group,
                       struct store_entry *out)
{
    char *error = NULL;
    uint8_t kind;
    const char *p;
    size_t n = 0;

    if (!rocksdb_iter_valid(it)) {
        rocksdb_iter_get_error(it, &error);
        return error ? take_error(r, error, NULL) : ERR_NOT_FOUND;
    }
    p = rocksdb_iter_key(it, &n);
    if (key_unpack(span_of(p, n), &out->group, &kind, &out->index) != 0) return ERR_CORRUPT;
    if (out->group != group || kind != KEY_ENTRY) return ERR_NOT_FOUND;
    p = rocksdb_iter_value(it, &n);
    return entry_unpack(span_of(p, n), out);
}

static int rocks_entries_each(struct store *s, uint64_t group, uint64_t first, uint64_t last,
                              void *arg, bool (*each)(void *arg, const struct store_entry *entry))
{
    struct rocks *r = rocks_of(s);
    rocksdb_iterator_t *it = rocksdb_create_iterator(r->db, r->reading);
    uint8_t key[KEY_SIZE];
    bool go_on = true;
    int rv = 0;

    key_pack(key, group, KEY_ENTRY, first);
    rocksdb_iter_seek(it, (const char *)key, sizeof key);
    for (uint64_t index = first; go_on && index <= last; index++) {
        struct store_entry e;

        rv = entry_under(r, it, group, &e);
        if (rv == 0 && e.index != index) rv = ERR_CORRUPT; /* a hole */
        if (rv != 0) break;
        go_on = each(arg, &e);
        rocksdb_iter_next(it);
    }
    rocksdb_iter_destroy(it);
    return rv;
}

static bool note_entry(void *arg, const struct store_entry *e)
{
    return store_group_add(arg, e);
}

/* A configuration that stands beside the entries: 'g', or 'i' with its position. ERR_NOT_FOUND. */
static int get_config(struct rocks *r, uint64_t group, uint8_t kind, struct store_config *out,
                      struct core_pos *pos)
{
    char *error = NULL, *value;
    struct store_entry e;
    uint8_t key[KEY_SIZE];
    size_t n = 0;
    int rv;

    key_pack(key, group, kind, 0);
    value = rocksdb_get(r->db, r->reading, (const char *)key, sizeof key, &n, &error);
    if (error) return take_error(r, error, NULL);
    if (!value) return ERR_NOT_FOUND;
    rv = entry_unpack(span_of(value, n), &e);
    if (rv == 0) rv = e.kind == CORE_CONFIG ? store_config_set(out, e.term, e.head) : ERR_CORRUPT;
    if (rv == 0 && pos) rv = pair_unpack(e.body, &pos->index, &pos->term);
    rocksdb_free(value);
    return rv;
}

static int get_taint(struct rocks *r, uint64_t group, struct store_group *out, struct errmsg *why)
{
    uint64_t overcome = 0, unused;
    int rv = get_pair(r, group, KEY_UNTAINTED, &overcome, &unused, why);

    if (rv != 0 && rv != ERR_NOT_FOUND) return rv;
    out->tainted = r->taint.index > overcome;
    out->lost_term = out->tainted ? r->taint.term : 0;
    rv = get_pair(r, group, KEY_BURIED, &out->lost_index, &unused, why);
    if (rv != 0 && rv != ERR_NOT_FOUND) return rv;
    out->buried = rv == 0;
    out->tainted = out->tainted || out->buried;
    return 0;
}

/* What stands beside the entries. */
static int get_beside(struct rocks *r, uint64_t group, struct store_group *out, struct errmsg *why)
{
    int rv = get_pair(r, group, KEY_HARD, &out->hard.term, &out->hard.vote, why);
    uint64_t cut = 0;

    out->known = rv == 0;
    if (rv == 0 || rv == ERR_NOT_FOUND) rv = get_pair(r, group, KEY_CUT, &cut, &out->cut_term, why);
    if (rv == 0 || rv == ERR_NOT_FOUND) rv = get_taint(r, group, out, why);
    if (rv != 0) return rv;
    out->first = cut + 1;
    out->last = cut;
    out->last_term = out->cut_term;
    rv = get_config(r, group, KEY_CONFIG, &out->kept, NULL);
    out->config = out->kept;
    if (rv == 0 || rv == ERR_NOT_FOUND)
        rv = get_config(r, group, KEY_INTENT, &out->intent_config, &out->intent);
    if (rv == 0 || rv == ERR_NOT_FOUND) return 0;
    return errmsg_set(why, rv, "%s: group %llu: its configuration cannot be read: %s", r->path,
                      (unsigned long long)group, err_text(rv));
}

/* Reads the whole log of the group once: what is damaged is found now, not when it is needed. */
static int rocks_group_read(struct store *s, uint64_t group, struct store_group *out,
                            struct errmsg *why)
{
    struct rocks *r = rocks_of(s);
    int rv;

    memset(out, 0, sizeof *out);
    rv = get_beside(r, group, out, why);
    if (rv != 0) return rv;
    rv = rocks_entries_each(s, group, out->first, UINT64_MAX, out, note_entry);
    if (rv == ERR_NOT_FOUND) return 0; /* the end of the log */
    if (rv == 0) rv = ERR_CORRUPT;     /* note_entry stopped */
    return errmsg_set(why, rv, "%s: group %llu: the entry after %llu cannot be read: %s", r->path,
                      (unsigned long long)group, (unsigned long long)out->last, err_text(rv));
}

/* ---- opening and closing */

static void free_rocks(struct rocks *r)
{
    if (r->db) rocksdb_close(r->db);
    rocksdb_options_destroy(r->options);
    rocksdb_writeoptions_destroy(r->synced);
    rocksdb_writeoptions_destroy(r->unsynced);
    rocksdb_readoptions_destroy(r->reading);
    rocksdb_writebatch_destroy(r->batch);
    watermark_close(&r->watermark); /* the lock goes last */
    free(r->path);
    free(r);
}

static void rocks_close(struct store *s)
{
    log_thread_stop(&rocks_of(s)->thread);
    free_rocks(rocks_of(s));
}

static rocksdb_options_t *make_options(const struct store_options *o)
{
    /* What the C interface has no setters for. A background error stays one: nothing is tried
     * again. No memtable_insert_with_hint_prefix_extractor: this RocksDB keeps one hint for a prefix's
     * keys and for the ranges deleted in it, which stand in another list, and the two spoil each other. */
    static const char more[] = "avoid_flush_during_shutdown=true;max_bgerror_resume_count=0";
    rocksdb_options_t *base = rocksdb_options_create(), *made = rocksdb_options_create();
    char *error = NULL;

    rocksdb_get_options_from_string(base, more, made, &error);
    CHECK(error == NULL);
    rocksdb_options_destroy(base);
    rocksdb_options_set_create_if_missing(made, 1);
    rocksdb_options_set_paranoid_checks(made, 1);
    rocksdb_options_set_wal_recovery_mode(made, rocksdb_point_in_time_recovery);
    rocksdb_options_set_write_buffer_size(made, o->memtable_bytes ? o->memtable_bytes
                                                                  : MEMTABLE_BYTES_DEFAULT);
    rocksdb_options_set_max_write_buffer_number(made, MEMTABLES_MAX);
    rocksdb_options_set_compression(
        made, rocksdb_no_compression); /* mail is cut soon, or is compressed */
    rocksdb_options_set_max_background_jobs(made, 2);
    rocksdb_options_set_keep_log_file_num(made, 4);
    return made;
}

static struct rocks *make_rocks(const struct store_options *o)
{
    size_t size = strlen(o->dir) + sizeof "/db";
    struct rocks *r = check_calloc(1, sizeof *r);

    r->path = check_malloc(size);
    snprintf(r->path, size, "%s/db", o->dir);
    r->options = make_options(o);
    r->synced = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(r->synced, 1);
    r->unsynced = rocksdb_writeoptions_create();
    r->reading = rocksdb_readoptions_create();
    r->batch = rocksdb_writebatch_create();
    r->watermark.fd = -1;
    return r;
}

/* A database without our format record is new, or it is not ours. */
static int mark_new(struct rocks *r, struct errmsg *why)
{
    rocksdb_iterator_t *it = rocksdb_create_iterator(r->db, r->reading);
    char *error = NULL;
    bool is_empty;

    rocksdb_iter_seek_to_first(it);
    is_empty = !rocksdb_iter_valid(it);
    rocksdb_iter_destroy(it);
    if (!is_empty)
        return errmsg_set(why, ERR_CORRUPT,
                          "%s: holds records, but no format version: damaged, or not a "
                          "log of this program",
                          r->path);
    add_pair(r, KEY_OWN_GROUP, KEY_FORMAT, STORE_FORMAT, 0);
    rocksdb_write(r->db, r->synced, r->batch, &error);
    rocksdb_writebatch_clear(r->batch);
    return error ? take_error(r, error, why) : 0;
}

static int check_format(struct rocks *r, struct errmsg *why)
{
    uint64_t format = 0, unused;
    int rv = get_pair(r, KEY_OWN_GROUP, KEY_FORMAT, &format, &unused, why);

    if (rv == ERR_NOT_FOUND) return mark_new(r, why);
    if (rv == ERR_CORRUPT || rv == ERR_IO) return rv;
    if (rv == ERR_VERSION || format > STORE_FORMAT)
        return errmsg_set(why, ERR_VERSION,
                          "%s: written by a newer version (this one reads formats up to %d)",
                          r->path, STORE_FORMAT);
    return 0;
}

static int read_batch_number(struct rocks *r, struct errmsg *why)
{
    uint64_t unused;
    int rv = get_pair(r, KEY_OWN_GROUP, KEY_BATCH, &r->batch_number, &unused, why);

    if (rv != 0 && rv != ERR_NOT_FOUND) return rv;
    r->must_note_taint = r->watermark.now.batch > r->batch_number;
    if (r->must_note_taint) {
        r->taint = (struct core_pos){ r->watermark.now.batch, r->watermark.now.term_max };
        return 0;
    }
    rv = get_pair(r, KEY_OWN_GROUP, KEY_TAINT, &r->taint.index, &r->taint.term, why);
    return rv == ERR_NOT_FOUND ? 0 : rv;
}

static int open_database(struct rocks *r, struct errmsg *why)
{
    char *error = NULL;
    int rv;

    r->db = rocksdb_open(r->options, r->path, &error);
    if (error) return take_error(r, error, why);
    rv = check_format(r, why);
    return rv == 0 ? read_batch_number(r, why) : rv;
}

int store_rocks_open(struct store **out, const struct store_options *o, bool *tainted_out,
                     struct errmsg *why)
{
    static const struct store_calls calls = { rocks_submit,       rocks_drain,
                                              rocks_group_read,   rocks_entry_read,
                                              rocks_entries_each, rocks_rest, rocks_close };
    struct rocks *r;
    int rv;

    if (mkdir(o->dir, 0700) != 0 && errno != EEXIST)
        return errmsg_set(why, ERR_IO, "%s: cannot make the directory: %s", o->dir,
                          strerror(errno));
    checksum_check();
    r = make_rocks(o);
    rv = watermark_open(&r->watermark, o->dir, why);
    if (rv == 0) rv = open_database(r, why);
    if (rv != 0) {
        free_rocks(r);
        return rv;
    }
    r->store.calls = &calls;
    log_thread_start(&r->thread, &(struct log_sink){ r, sink_add, sink_write });
    *tainted_out = r->must_note_taint;
    *out = &r->store;
    return 0;
}
