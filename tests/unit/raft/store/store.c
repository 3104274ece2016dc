/* store - the log's contract, told to RocksDB and to memory; what RocksDB's must refuse; the
 * watermark. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <rocksdb/c.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "raft/store/inside.h"

#define GROUP           9u
#define READ_GROUP_FLAG "--read-group" /* then the directory: what the child of a test does */

struct stage {
    struct store *s;
    char dir[40];
    bool is_mem, tainted;
};

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static int open_again(struct stage *t, struct errmsg *why)
{
    struct store_options o = { .dir = t->is_mem ? NULL : t->dir, .memtable_bytes = 4u << 20 };

    return store_open(&t->s, &o, &t->tainted, why);
}

static int open_mem(void **state)
{
    struct stage *t = check_calloc(1, sizeof *t);

    t->is_mem = true;
    assert_int_equal(open_again(t, NULL), 0);
    *state = t;
    return 0;
}

static int open_rocks(void **state)
{
    struct stage *t = check_calloc(1, sizeof *t);

    snprintf(t->dir, sizeof t->dir, "/tmp/angarium-log-XXXXXX");
    assert_non_null(mkdtemp(t->dir));
    assert_int_equal(open_again(t, NULL), 0);
    assert_false(t->tainted);
    *state = t;
    return 0;
}

static int close_stage(void **state)
{
    struct stage *t = *state;

    store_close(&t->s);
    if (!t->is_mem) nftw(t->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(t);
    return 0;
}

static void reopen(struct stage *t)
{
    struct errmsg why = { "" };

    if (t->is_mem) return;
    store_close(&t->s);
    if (open_again(t, &why) != 0) fail_msg("%s", why.text);
}

/* ---- writing */

struct write {
    struct store_write w;
    sem_t done;
    unsigned *order, place; /* order: counts completions; place: of this one */
};

static void on_done(struct store_write *sw)
{
    struct write *w = CONTAINER_OF(sw, struct write, w);

    if (w->order) w->place = ++*w->order;
    sem_post(&w->done);
}

static void submit(struct stage *t, struct write *w, struct store_op *ops, size_t n)
{
    sem_init(&w->done, 0, 0);
    w->w = (struct store_write){ .ops = ops, .op_count = n, .on_done = on_done };
    store_submit(t->s, &w->w);
}

static void wait_for(struct stage *t, struct write *w)
{
    if (t->is_mem) store_mem_sync(t->s, SIZE_MAX);
    sem_wait(&w->done);
    sem_destroy(&w->done);
}

static void write_ops(struct stage *t, struct store_op *ops, size_t n)
{
    struct write w = { .order = NULL };

    submit(t, &w, ops, n);
    wait_for(t, &w);
}

static struct store_op hard_op(uint64_t group, uint64_t term, uint64_t vote)
{
    struct store_op op = { .kind = STORE_HARD, .hard = { term, vote } };

    op.entry.group = group;
    return op;
}

static struct store_op append_op(uint64_t group, uint64_t index, uint64_t term, const char *head,
                                 const char *body)
{
    struct store_op op = { .kind = STORE_APPEND };

    op.entry = (struct store_entry){ .group = group,
                                     .index = index,
                                     .term = term,
                                     .kind = CORE_COMMAND,
                                     .head = span_cstr(head),
                                     .body = span_cstr(body) };
    return op;
}

static void cut(struct stage *t, uint64_t from, uint64_t to, uint64_t term)
{
    struct store_op op = { .kind = STORE_CUT, .cut_from = from, .cut_to = to, .cut_term = term };

    op.entry.group = GROUP;
    write_ops(t, &op, 1);
}

/* Entries from..to of GROUP in one submission: head "h<index>", body "b". */
static void append(struct stage *t, uint64_t from, uint64_t to, uint64_t term)
{
    struct store_op ops[64];
    char heads[64][16];
    size_t n = 0;

    CHECK(to - from < 64);
    for (uint64_t i = from; i <= to; i++, n++) {
        snprintf(heads[n], sizeof heads[n], "h%u", (unsigned)i);
        ops[n] = append_op(GROUP, i, term, heads[n], "b");
    }
    write_ops(t, ops, n);
}

static void set_hard(struct stage *t, uint64_t term)
{
    struct store_op op = hard_op(GROUP, term, 1);

    write_ops(t, &op, 1);
}

/* ---- looking */

static struct store_group group_of(struct stage *t, uint64_t group)
{
    struct store_group g;
    struct errmsg why = { "" };

    if (store_group_read(t->s, group, &g, &why) != 0) fail_msg("%s", why.text);
    return g;
}

static void expect_entry(struct stage *t, uint64_t index, const char *head, const char *body)
{
    struct blob *h = NULL, *b = NULL;
    enum core_entry_kind kind = CORE_CONFIG;
    int rv = store_entry_read(t->s, GROUP, index, &kind, NULL, &h, &b);

    assert_int_equal(rv, head ? 0 : ERR_NOT_FOUND);
    if (!head) return;
    assert_int_equal(kind, CORE_COMMAND);
    assert_true(span_eq(blob_span(h), span_cstr(head)));
    assert_true(span_eq(blob_span(b), span_cstr(body)));
    blob_unref(&h);
    blob_unref(&b);
}

struct seen {
    uint64_t indexes[64];
    unsigned count, stop_at;
};

static bool see(void *arg, const struct store_entry *e)
{
    struct seen *s = arg;

    s->indexes[s->count++] = e->index;
    return s->count < s->stop_at;
}

/* ---- the contract of both */

static void a_new_group_is_empty(void **state)
{
    struct stage *t = *state;
    struct store_group g = group_of(t, GROUP);

    assert_false(g.known);
    assert_int_equal(g.first, 1);
    assert_int_equal(g.last, 0);
    assert_int_equal(g.hard.term, 0);
    assert_int_equal(g.bytes, 0);
}

static void what_is_written_is_read(void **state)
{
    struct store_op ops[] = { hard_op(GROUP, 3, 7), append_op(GROUP, 1, 3, "head", "body"),
                              append_op(GROUP, 2, 3, "", ""), append_op(GROUP, 3, 3, "h", ""),
                              append_op(GROUP, 4, 3, "", "b") };
    struct stage *t = *state;
    struct store_group g;

    write_ops(t, ops, 5);
    for (unsigned life = 0; life < 3; life++) {
        g = group_of(t, GROUP);
        assert_true(g.known);
        assert_int_equal(g.hard.term, 3);
        assert_int_equal(g.hard.vote, 7);
        assert_int_equal(g.first, 1);
        assert_int_equal(g.last, 4);
        assert_int_equal(g.last_term, 3);
        assert_int_equal(g.bytes, 10);
        expect_entry(t, 1, "head", "body");
        expect_entry(t, 2, "", "");
        expect_entry(t, 3, "h", "");
        expect_entry(t, 4, "", "b");
        expect_entry(t, 5, NULL, NULL);
        reopen(t);
        assert_false(t->tainted);
    }
}

static void ranges_are_in_order(void **state)
{
    struct seen all = { .stop_at = 64 }, some = { .stop_at = 3 }, beyond = { .stop_at = 64 };
    struct stage *t = *state;

    set_hard(t, 1);
    append(t, 1, 20, 1);
    assert_int_equal(store_entries_each(t->s, GROUP, 5, 14, &all, see), 0);
    assert_int_equal(all.count, 10);
    for (unsigned i = 0; i < all.count; i++)
        assert_int_equal(all.indexes[i], 5 + i);
    assert_int_equal(store_entries_each(t->s, GROUP, 5, 14, &some, see), 0);
    assert_int_equal(some.count, 3);
    assert_int_equal(store_entries_each(t->s, GROUP, 19, 21, &beyond, see), ERR_NOT_FOUND);
    assert_int_equal(beyond.count, 2);
}

static void a_cut_forgets_the_front(void **state)
{
    struct stage *t = *state;
    struct store_group g;

    set_hard(t, 2);
    append(t, 1, 30, 2);
    cut(t, 1, 10, 2);
    cut(t, 11, 12, 2);
    for (unsigned life = 0; life < 2; life++) {
        g = group_of(t, GROUP);
        assert_int_equal(g.first, 13);
        assert_int_equal(g.last, 30);
        assert_int_equal(g.bytes, 18 * 4);
        expect_entry(t, 12, NULL, NULL);
        expect_entry(t, 13, "h13", "b");
        reopen(t);
    }
    append(t, 31, 31, 2); /* it goes on at the end */
    assert_int_equal(group_of(t, GROUP).last, 31);
}

static void a_cut_of_everything_leaves_its_term(void **state)
{
    struct stage *t = *state;
    struct store_group g;

    set_hard(t, 5);
    append(t, 1, 8, 4);
    cut(t, 1, 8, 4);
    for (unsigned life = 0; life < 2; life++) {
        g = group_of(t, GROUP);
        assert_true(g.known);
        assert_int_equal(g.first, 9);
        assert_int_equal(g.last, 8);
        assert_int_equal(g.last_term, 4);
        assert_int_equal(g.bytes, 0);
        reopen(t);
    }
    append(t, 9, 9, 5);
    assert_int_equal(group_of(t, GROUP).last_term, 5);
}

static void an_entry_is_written_over(void **state)
{
    struct store_op op = append_op(GROUP, 3, 2, "other", "x");
    struct stage *t = *state;

    append(t, 1, 3, 1);
    write_ops(t, &op, 1);
    expect_entry(t, 3, "other", "x");
    assert_int_equal(group_of(t, GROUP).last_term, 2);
}

static void groups_do_not_see_each_other(void **state)
{
    struct store_op ops[] = { hard_op(GROUP - 1, 1, 1), append_op(GROUP - 1, 1, 1, "before", ""),
                              hard_op(GROUP + 1, 8, 2), append_op(GROUP + 1, 1, 8, "after", ""),
                              append_op(GROUP + 1, 2, 8, "after", "") };
    struct stage *t = *state;

    write_ops(t, ops, 5);
    assert_false(group_of(t, GROUP).known);
    assert_int_equal(group_of(t, GROUP).last, 0);
    set_hard(t, 3);
    append(t, 1, 2, 3);
    cut(t, 1, 2, 3);
    reopen(t);
    assert_int_equal(group_of(t, GROUP).first, 3);
    assert_int_equal(group_of(t, GROUP - 1).last, 1);
    assert_int_equal(group_of(t, GROUP + 1).last, 2);
    assert_int_equal(group_of(t, GROUP + 1).hard.term, 8);
}

/* Many submissions, more bytes than one batch takes: all complete, in order. */
static void completions_come_in_order(void **state)
{
    enum { WRITES = 24 };
    size_t size = 512u << 10;
    char *body = check_malloc(size + 1);
    struct store_op ops[WRITES];
    struct write writes[WRITES];
    struct stage *t = *state;
    unsigned order = 0;

    memset(body, 'x', size);
    body[size] = 0;
    for (unsigned i = 0; i < WRITES; i++) {
        writes[i] = (struct write){ .order = &order };
        ops[i] = append_op(GROUP, i + 1, 1, "h", body);
        submit(t, &writes[i], &ops[i], 1);
    }
    for (unsigned i = 0; i < WRITES; i++) {
        wait_for(t, &writes[i]);
        assert_int_equal(writes[i].place, i + 1);
    }
    assert_int_equal(group_of(t, GROUP).last, WRITES);
    assert_int_equal(group_of(t, GROUP).bytes, WRITES * (size + 1));
    free(body);
}

/* ---- memory: what a test may do to it */

static void memory_syncs_as_many_as_it_is_told(void **state)
{
    struct store_op ops[3] = { append_op(GROUP, 1, 1, "h1", ""), append_op(GROUP, 2, 1, "h2", ""),
                               append_op(GROUP, 3, 1, "h3", "") };
    struct write writes[3] = { { .order = NULL } };
    struct stage *t = *state;
    int value;

    for (unsigned i = 0; i < 3; i++)
        submit(t, &writes[i], &ops[i], 1);
    assert_int_equal(group_of(t, GROUP).last, 0); /* nothing is written before it is synced */
    assert_int_equal(store_mem_sync(t->s, 2), 2);
    assert_int_equal(group_of(t, GROUP).last, 2);
    sem_getvalue(&writes[1].done, &value);
    assert_int_equal(value, 1);
    sem_getvalue(&writes[2].done, &value);
    assert_int_equal(value, 0);
    assert_int_equal(store_mem_sync(t->s, SIZE_MAX), 1);
    assert_int_equal(store_mem_sync(t->s, SIZE_MAX), 0);
    expect_entry(t, 3, "h3", "");
    for (unsigned i = 0; i < 3; i++)
        sem_destroy(&writes[i].done);
}

static void memory_loses_what_was_not_synced(void **state)
{
    struct store_op ops[2] = { append_op(GROUP, 1, 1, "h1", ""), append_op(GROUP, 2, 1, "h2", "") };
    struct write writes[2] = { { .order = NULL } };
    struct stage *t = *state;
    int value;

    for (unsigned i = 0; i < 2; i++)
        submit(t, &writes[i], &ops[i], 1);
    assert_int_equal(store_mem_sync(t->s, 1), 1);
    store_mem_power_cut(t->s);
    assert_int_equal(store_mem_sync(t->s, SIZE_MAX), 0);
    assert_int_equal(group_of(t, GROUP).last, 1);
    sem_getvalue(&writes[1].done, &value);
    assert_int_equal(value, 0); /* never answered */
    for (unsigned i = 0; i < 2; i++)
        sem_destroy(&writes[i].done);
}

/* ---- damage on the disk, done behind the store's back */

static void put_raw(struct stage *t, const uint8_t key[KEY_SIZE], struct span value, bool delete)
{
    rocksdb_options_t *options = rocksdb_options_create();
    rocksdb_writeoptions_t *writing = rocksdb_writeoptions_create();
    char path[64], *error = NULL;
    rocksdb_t *db;

    store_close(&t->s);
    snprintf(path, sizeof path, "%s/db", t->dir);
    db = rocksdb_open(options, path, &error);
    assert_null(error);
    if (delete)
        rocksdb_delete(db, writing, (const char *)key, KEY_SIZE, &error);
    else
        rocksdb_put(db, writing, (const char *)key, KEY_SIZE, (const char *)value.p, value.n,
                    &error);
    assert_null(error);
    rocksdb_close(db);
    rocksdb_options_destroy(options);
    rocksdb_writeoptions_destroy(writing);
}

static void put_pair(struct stage *t, uint64_t group, uint8_t kind, uint8_t format, uint64_t a)
{
    uint8_t key[KEY_SIZE], value[PAIR_SIZE];

    key_print(key, group, kind, 0);
    pair_print(value, a, 0);
    value[0] = format;
    put_raw(t, key, span_of(value, sizeof value), false);
}

static void expect_open_fails(struct stage *t, int error, const char *words)
{
    struct errmsg why = { "" };

    assert_null(t->s);
    assert_int_equal(open_again(t, &why), error);
    if (!strstr(why.text, words)) fail_msg("no \"%s\": %s", words, why.text);
    assert_null(t->s);
}

static void a_newer_format_is_refused(void **state)
{
    struct stage *t = *state;

    set_hard(t, 1);
    put_pair(t, STORE_OWN_GROUP, 'f', STORE_FORMAT, STORE_FORMAT + 1);
    expect_open_fails(t, ERR_VERSION, "newer");
    assert_int_equal(open_again(t, NULL), ERR_VERSION);
    put_pair(t, STORE_OWN_GROUP, 'f', STORE_FORMAT + 1, STORE_FORMAT); /* the record's own */
    expect_open_fails(t, ERR_VERSION, "newer");
    put_pair(t, STORE_OWN_GROUP, 'f', STORE_FORMAT, STORE_FORMAT);
    assert_int_equal(open_again(t, NULL), 0);
    assert_int_equal(group_of(t, GROUP).hard.term, 1);
}

static void a_damaged_format_is_refused(void **state)
{
    uint8_t key[KEY_SIZE];
    struct stage *t = *state;

    set_hard(t, 1);
    key_print(key, STORE_OWN_GROUP, 'f', 0);
    put_raw(t, key, SPAN_LIT("short"), false);
    expect_open_fails(t, ERR_CORRUPT, "damaged");
}

static void expect_group_corrupt(struct stage *t)
{
    struct store_group g;
    struct errmsg why = { "" };

    assert_int_equal(open_again(t, NULL), 0);
    assert_int_equal(store_group_read(t->s, GROUP, &g, &why), ERR_CORRUPT);
    assert_non_null(strstr(why.text, "group 9"));
}

static void a_damaged_entry_is_told(void **state)
{
    static const char *const values[] = { "", "short", "\1\7.................." };
    uint8_t key[KEY_SIZE];
    struct stage *t = *state;

    set_hard(t, 1);
    append(t, 1, 5, 1);
    key_print(key, GROUP, 'e', 3);
    for (unsigned i = 0; i < 3; i++) {
        put_raw(t, key, span_cstr(values[i]), false);
        expect_group_corrupt(t);
        assert_int_equal(store_entry_read(t->s, GROUP, 3, NULL, NULL, NULL, NULL), ERR_CORRUPT);
        expect_entry(t, 2, "h2", "b");
    }
}

static void a_hole_is_told(void **state)
{
    uint8_t key[KEY_SIZE];
    struct stage *t = *state;

    set_hard(t, 1);
    append(t, 1, 5, 1);
    key_print(key, GROUP, 'e', 3);
    put_raw(t, key, span_of(NULL, 0), true);
    expect_group_corrupt(t);
}

static void a_damaged_hard_state_or_cut_is_told(void **state)
{
    static const uint8_t kinds[] = { 'h', 'c' };
    uint8_t key[KEY_SIZE];

    for (unsigned i = 0; i < 2; i++) {
        struct stage *t = *state;

        set_hard(t, 1);
        key_print(key, GROUP, kinds[i], 0);
        put_raw(t, key, SPAN_LIT("short"), false);
        expect_group_corrupt(t);
        set_hard(t, 1);
    }
}

/* A file of the database whose name ends so; the largest. */
static void find_file(struct stage *t, const char *ending, char out[320])
{
    char dir[64], path[320];
    struct dirent *entry;
    off_t largest = -1;
    struct stat st;
    DIR *d;

    snprintf(dir, sizeof dir, "%s/db", t->dir);
    d = opendir(dir);
    assert_non_null(d);
    while ((entry = readdir(d)) != NULL) {
        size_t n = strlen(entry->d_name), e = strlen(ending);

        if (n < e || strcmp(entry->d_name + n - e, ending) != 0) continue;
        snprintf(path, sizeof path, "%s/%s", dir, entry->d_name);
        if (stat(path, &st) != 0 || st.st_size <= largest) continue;
        largest = st.st_size;
        memcpy(out, path, sizeof path);
    }
    closedir(d);
    assert_true(largest > 0);
}

/* In a process of its own, which the last word may end. */
static int read_group_alone(const char *dir)
{
    struct store_options o = { .dir = dir };
    struct store_group g;
    struct store *s;

    if (store_open(&s, &o, NULL, NULL) != 0) return 70;
    return store_group_read(s, GROUP, &g, NULL) == 0 ? 1 : 70;
}

/* A block that cannot be read is not the end of the log: P7. */
static void an_unreadable_block_ends_the_process(void **state)
{
    struct stage *t = *state;
    char path[320];
    int fd, status = 0;
    pid_t pid;

    set_hard(t, 1);
    for (uint64_t i = 0; i < 20; i++)
        append(t, 1 + i * 60, 60 + i * 60, 1);
    reopen(t); /* the WAL becomes a table */
    store_close(&t->s);
    find_file(t, ".sst", path);
    fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, "XXXXXXXX", 8, 6000), 8);
    close(fd);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(STDERR_FILENO);
        execl("/proc/self/exe", "store", READ_GROUP_FLAG, t->dir, (char *)NULL);
        _exit(99);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 70);
}

static void a_directory_in_use_is_refused(void **state)
{
    struct store_options o = { .dir = ((struct stage *)*state)->dir };
    struct stage *t = *state;
    struct store *second = NULL;
    struct errmsg why = { "" };

    assert_int_equal(store_open(&second, &o, NULL, &why), ERR_BUSY);
    assert_non_null(strstr(why.text, t->dir));
    o.dir = "/dev/null/log";
    assert_int_equal(store_open(&second, &o, NULL, &why), ERR_IO);
    assert_null(second);
}

/* ---- the watermark */

static void write_watermark(struct stage *t, const void *bytes, size_t n, off_t at)
{
    char path[64];
    int fd;

    snprintf(path, sizeof path, "%s/watermark", t->dir);
    fd = open(path, O_RDWR | O_CREAT, 0600);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, n, at), n);
    close(fd);
}

/* Both slots: one good, with that sequence and batch. */
static void set_watermark(struct stage *t, uint64_t sequence, uint64_t batch, unsigned slot)
{
    uint8_t bytes[WATERMARK_SLOT_SIZE];

    watermark_slot_print(bytes, sequence, batch);
    write_watermark(t, bytes, sizeof bytes, slot * WATERMARK_SLOT_SIZE);
}

static void a_log_behind_its_watermark_is_tainted_for_good(void **state)
{
    struct stage *t = *state;

    set_hard(t, 1);
    append(t, 1, 5, 1);
    store_close(&t->s);
    set_watermark(t, 1000, 7, 0); /* two batches were synced, it says seven */
    assert_int_equal(open_again(t, NULL), 0);
    assert_true(t->tainted);
    assert_int_equal(group_of(t, GROUP).last, 5); /* it can be read, to follow */
    for (unsigned life = 0; life < 3; life++) {
        /* whatever is written since does not bring back what was lost */
        for (uint64_t i = 0; i < 20; i++)
            append(t, 6 + life * 20 + i, 6 + life * 20 + i, 1);
        reopen(t);
        assert_true(t->tainted);
    }
}

/* What a power cut under a lying disk leaves: the last records of the WAL are not there. */
static void a_log_that_lost_its_tail_is_tainted(void **state)
{
    struct stage *t = *state;
    char path[320];
    struct stat st;

    set_hard(t, 1);
    for (uint64_t i = 1; i <= 10; i++)
        append(t, i, i, 1);
    store_close(&t->s);
    find_file(t, ".log", path);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(truncate(path, st.st_size - 20), 0);
    assert_int_equal(open_again(t, NULL), 0);
    assert_true(t->tainted);
    assert_int_equal(group_of(t, GROUP).last, 9);
}

static void a_torn_slot_is_not_looked_at(void **state)
{
    struct stage *t = *state;
    uint8_t slot[WATERMARK_SLOT_SIZE];

    set_hard(t, 1);
    store_close(&t->s);
    set_watermark(t, 1000, 1, 0);
    watermark_slot_print(slot, 1001, 999);
    slot[20] ^= 1; /* a newer one that was torn */
    write_watermark(t, slot, sizeof slot, WATERMARK_SLOT_SIZE);
    assert_int_equal(open_again(t, NULL), 0);
    assert_false(t->tainted);
    append(t, 1, 3, 1); /* written into the torn slot; the good one stays */
    reopen(t);
    assert_false(t->tainted);
    store_close(&t->s);
    set_watermark(t, 5, 999, 0); /* an old sequence: the other slot counts */
    assert_int_equal(open_again(t, NULL), 0);
    assert_false(t->tainted);
}

static void a_watermark_that_says_nothing_is_fine(void **state)
{
    uint8_t noise[2 * WATERMARK_SLOT_SIZE];
    struct stage *t = *state;
    char path[64];

    memset(noise, 0x5a, sizeof noise);
    set_hard(t, 1);
    snprintf(path, sizeof path, "%s/watermark", t->dir);
    store_close(&t->s);
    assert_int_equal(unlink(path), 0); /* missing */
    assert_int_equal(open_again(t, NULL), 0);
    assert_false(t->tainted);
    set_hard(t, 2);
    store_close(&t->s);
    write_watermark(t, noise, sizeof noise, 0); /* bad in both slots */
    assert_int_equal(open_again(t, NULL), 0);
    assert_false(t->tainted);
    store_close(&t->s);
    assert_int_equal(truncate(path, 10), 0); /* cut */
    assert_int_equal(open_again(t, NULL), 0);
    assert_false(t->tainted);
}

/* The directory of the log is empty, its watermark is not: somebody lost a disk. */
static void a_log_that_is_gone_is_tainted(void **state)
{
    struct stage *t = *state;
    char path[64];

    set_hard(t, 1);
    append(t, 1, 5, 1);
    store_close(&t->s);
    snprintf(path, sizeof path, "%s/db", t->dir);
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    assert_int_equal(open_again(t, NULL), 0);
    assert_true(t->tainted);
}

static void slots_are_checked(void **state)
{
    uint8_t slot[WATERMARK_SLOT_SIZE];
    uint64_t sequence = 0, batch = 0;

    (void)state;
    watermark_slot_print(slot, 12, UINT64_MAX);
    assert_int_equal(watermark_slot_parse(span_of(slot, sizeof slot), &sequence, &batch), 0);
    assert_int_equal(sequence, 12);
    assert_int_equal(batch, UINT64_MAX);
    for (unsigned i = 0; i < 32; i++) {
        slot[i] ^= 0x10;
        assert_int_equal(watermark_slot_parse(span_of(slot, sizeof slot), &sequence, &batch),
                         ERR_CORRUPT);
        slot[i] ^= 0x10;
    }
    for (size_t n = 0; n < 32; n++)
        assert_int_equal(watermark_slot_parse(span_of(slot, n), &sequence, &batch), ERR_CORRUPT);
}

int main(int argc, char **argv)
{
#define MEM(name)   cmocka_unit_test_setup_teardown(name, open_mem, close_stage)
#define ROCKS(name) cmocka_unit_test_setup_teardown(name, open_rocks, close_stage)
#define BOTH(name)                                                                                 \
    { #name "_mem", name, open_mem, close_stage, NULL },                                           \
    {                                                                                              \
#name "_rocks", name, open_rocks, close_stage, NULL                                        \
    }
    const struct CMUnitTest tests[] = {
        BOTH(a_new_group_is_empty),
        BOTH(what_is_written_is_read),
        BOTH(ranges_are_in_order),
        BOTH(a_cut_forgets_the_front),
        BOTH(a_cut_of_everything_leaves_its_term),
        BOTH(an_entry_is_written_over),
        BOTH(groups_do_not_see_each_other),
        BOTH(completions_come_in_order),
        MEM(memory_syncs_as_many_as_it_is_told),
        MEM(memory_loses_what_was_not_synced),
        ROCKS(a_newer_format_is_refused),
        ROCKS(a_damaged_format_is_refused),
        ROCKS(a_damaged_entry_is_told),
        ROCKS(a_hole_is_told),
        ROCKS(a_damaged_hard_state_or_cut_is_told),
        ROCKS(an_unreadable_block_ends_the_process),
        ROCKS(a_directory_in_use_is_refused),
        ROCKS(a_log_behind_its_watermark_is_tainted_for_good),
        ROCKS(a_log_that_lost_its_tail_is_tainted),
        ROCKS(a_torn_slot_is_not_looked_at),
        ROCKS(a_watermark_that_says_nothing_is_fine),
        ROCKS(a_log_that_is_gone_is_tainted),
        cmocka_unit_test(slots_are_checked),
    };

    if (argc == 3 && strcmp(argv[1], READ_GROUP_FLAG) == 0) return read_group_alone(argv[2]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
