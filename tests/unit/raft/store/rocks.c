/* rocks - the log on a real disk: over restarts, behind its watermark, newer, in use, damaged,
 * failing. */
#include "tests/unit/raft/store/place.h"

#include <dirent.h>
#include <dlfcn.h>
#include <rocksdb/c.h>

static void what_was_written_is_there_after_a_restart(void **state)
{
    struct place p;
    bool tainted = true;

    (void)state;
    place_open(&p);
    for (uint64_t life = 0; life < 4; life++) {
        struct store *s = open_log(&p, &tainted);
        struct store_group g = read_group(s, 9);

        assert_false(tainted);
        assert_int_equal(g.known, life > 0);
        assert_int_equal(g.hard.term, life);
        assert_int_equal(g.last, life * 10);
        assert_int_equal(g.first, life > 0 ? life * 10 - 4 : 1);
        write_one(s, op_hard(9, life + 1, 1));
        write_entries(s, 9, life * 10 + 1, life * 10 + 10, life + 1);
        write_one(s, op_cut(9, g.first, life * 10 + 5, life + 1));
        store_close(&s);
    }
    place_close(&p);
}

/* ---- rest */

/* What its WAL takes on the disk. */
static size_t wal_bytes(const struct place *p)
{
    char path[512];
    struct dirent *e;
    struct stat st;
    size_t bytes = 0;
    DIR *dir;

    snprintf(path, sizeof path, "%s/db", p->log);
    dir = opendir(path);
    assert_non_null(dir);
    while ((e = readdir(dir)) != NULL) {
        const char *dot = strrchr(e->d_name, '.');

        if (!dot || strcmp(dot, ".log") != 0) continue;
        snprintf(path, sizeof path, "%s/db/%s", p->log, e->d_name);
        assert_int_equal(stat(path, &st), 0);
        bytes += (size_t)st.st_size;
    }
    closedir(dir);
    return bytes;
}

static void write_large(struct store *s, uint64_t first, uint64_t last)
{
    char *body = check_malloc(100001);

    memset(body, 'x', 100000);
    body[100000] = '\0';
    for (uint64_t i = first; i <= last; i++)
        write_one(s, op_entry(9, i, 1, "head", body));
    free(body);
}

/* As a crash leaves it: closing flushes nothing. */
static void a_log_that_rests_stands_in_its_tables(void **state)
{
    struct place p;
    bool tainted = true;
    struct store *s;
    struct store_group g;

    (void)state;
    place_open(&p);
    assert_int_equal(store_open(&s, &(struct store_options){ .dir = p.log, .memtable_bytes = 64u << 20 }, &tainted, NULL), 0);
    write_one(s, op_hard(9, 1, 1));
    write_large(s, 1, 5);
    assert_false(store_rest(s)); /* it is not worth it */
    write_large(s, 6, 100);
    assert_true(store_rest(s));
    assert_false(store_rest(s));
    write_large(s, 101, 102);
    write_one(s, op_cut(9, 1, 50, 1));
    store_close(&s);
    assert_in_range(wal_bytes(&p), 200000, 300000); /* what came behind */
    s = open_log(&p, &tainted);
    assert_false(tainted);
    g = read_group(s, 9);
    assert_int_equal(g.first, 51);
    assert_int_equal(g.last, 102);
    assert_int_equal(g.hard.term, 1);
    assert_int_equal(g.bytes, 52 * 100004);
    store_close(&s);
    place_close(&p);
}

/* ---- the watermark */

static void watermark_path(const struct place *p, char *out, size_t size)
{
    CHECK(snprintf(out, size, "%s/watermark", p->log) < (int)size);
}

static struct watermark_slot read_slot(const struct place *p, unsigned i)
{
    struct watermark_slot slot = { 0 };
    uint8_t bytes[WATERMARK_SLOT_SIZE];
    char path[128];
    int fd;

    watermark_path(p, path, sizeof path);
    fd = open(path, O_RDONLY);
    CHECK(pread(fd, bytes, sizeof bytes, (off_t)i * WATERMARK_SLOT_SPACE) == sizeof bytes);
    close(fd);
    if (watermark_slot_unpack(span_of(bytes, sizeof bytes), &slot) != 0) slot.sequence = 0;
    return slot;
}

static void write_slot_bytes(const struct place *p, unsigned i,
                             const uint8_t bytes[WATERMARK_SLOT_SIZE])
{
    char path[128];
    int fd;

    watermark_path(p, path, sizeof path);
    fd = open(path, O_WRONLY);
    CHECK(pwrite(fd, bytes, WATERMARK_SLOT_SIZE, (off_t)i * WATERMARK_SLOT_SPACE) ==
          WATERMARK_SLOT_SIZE);
    close(fd);
}

static void make_log(const struct place *p)
{
    struct store *s = open_log(p, NULL);

    write_one(s, op_hard(9, 1, 1));
    write_entries(s, 9, 1, 9, 1); /* ten synced batches */
    store_close(&s);
}

static bool is_tainted(const struct place *p)
{
    bool tainted;
    struct store *s = open_log(p, &tainted);

    assert_int_equal(read_group(s, 9).last, 9); /* it can be read in any case */
    store_close(&s);
    return tainted;
}

static void the_watermark_follows_each_synced_batch(void **state)
{
    struct watermark_slot a, b;
    struct place p;

    (void)state;
    place_open(&p);
    make_log(&p);
    a = read_slot(&p, 0);
    b = read_slot(&p, 1);
    assert_true(a.sequence + b.sequence == 19); /* 9 and 10, in turn */
    assert_true(a.batch == a.sequence && b.batch == b.sequence);
    assert_false(is_tainted(&p));
    place_close(&p);
}

static void a_log_behind_its_watermark_is_tainted_and_stays_so(void **state)
{
    uint8_t bytes[WATERMARK_SLOT_SIZE];
    struct place p;

    (void)state;
    place_open(&p);
    make_log(&p);
    watermark_slot_pack(bytes, &(struct watermark_slot){ .sequence = 11, .batch = 11 });
    write_slot_bytes(&p, 1, bytes);
    assert_true(is_tainted(&p));
    assert_true(is_tainted(&p));
    place_close(&p);
}

static void a_database_that_vanished_is_tainted(void **state)
{
    struct place p;
    struct store *s;
    char path[128];
    bool tainted = false;

    (void)state;
    place_open(&p);
    make_log(&p);
    snprintf(path, sizeof path, "%s/db", p.log);
    CHECK(nftw(path, place_remove_one, 8, FTW_DEPTH | FTW_PHYS) == 0);
    s = open_log(&p, &tainted);
    assert_true(tainted);
    store_close(&s);
    place_close(&p);
}

static void torn_old_or_missing_watermarks_do_not_taint(void **state)
{
    uint8_t bytes[WATERMARK_SLOT_SIZE];
    struct place p;
    char path[128];

    (void)state;
    place_open(&p);
    make_log(&p);
    watermark_slot_pack(bytes, &(struct watermark_slot){ .sequence = 11, .batch = 11 });
    memset(bytes + 32, 0xff, 16); /* half of it is from elsewhere */
    write_slot_bytes(&p, 1, bytes);
    assert_false(is_tainted(&p));
    watermark_slot_pack(bytes, &(struct watermark_slot){ .sequence = 11, .batch = 7 });
    write_slot_bytes(&p, 1, bytes);
    assert_false(is_tainted(&p));
    watermark_path(&p, path, sizeof path);
    CHECK(truncate(path, 100) == 0);
    assert_false(is_tainted(&p));
    CHECK(unlink(path) == 0);
    assert_false(is_tainted(&p));
    place_close(&p);
}

/* After an old watermark, writing goes on where the database is. */
static void an_old_watermark_catches_up(void **state)
{
    struct watermark_slot a, b;
    struct place p;
    struct store *s;
    char path[128];

    (void)state;
    place_open(&p);
    make_log(&p);
    watermark_path(&p, path, sizeof path);
    CHECK(unlink(path) == 0);
    s = open_log(&p, NULL);
    write_entries(s, 9, 10, 11, 1);
    store_close(&s);
    a = read_slot(&p, 0);
    b = read_slot(&p, 1);
    assert_true(a.batch + b.batch == 11 + 12);
    place_close(&p);
}

/* ---- refusals */

/* Puts a raw record into the closed database. */
static void put_raw(const struct place *p, const uint8_t *key, size_t key_size, const char *value,
                    size_t n)
{
    rocksdb_options_t *o = rocksdb_options_create();
    rocksdb_writeoptions_t *wo = rocksdb_writeoptions_create();
    char path[128], *error = NULL;
    rocksdb_t *db;

    snprintf(path, sizeof path, "%s/db", p->log);
    db = rocksdb_open(o, path, &error);
    CHECK(error == NULL);
    if (value)
        rocksdb_put(db, wo, (const char *)key, key_size, value, n, &error);
    else
        rocksdb_delete(db, wo, (const char *)key, key_size, &error);
    CHECK(error == NULL);
    rocksdb_close(db);
    rocksdb_writeoptions_destroy(wo);
    rocksdb_options_destroy(o);
}

static void a_newer_format_is_refused(void **state)
{
    uint8_t key[KEY_SIZE], value[PAIR_SIZE];
    struct errmsg why = { "" };
    struct place p;

    (void)state;
    place_open(&p);
    make_log(&p);
    key_pack(key, KEY_OWN_GROUP, KEY_FORMAT, 0);
    pair_pack(value, STORE_FORMAT + 1, 0);
    put_raw(&p, key, KEY_SIZE, (const char *)value, PAIR_SIZE);
    assert_int_equal(try_open(&p, &why), ERR_VERSION);
    assert_non_null(strstr(why.text, "newer"));
    put_raw(&p, key, KEY_SIZE, "\x02 of another shape", 19);
    assert_int_equal(try_open(&p, &why), ERR_VERSION);
    place_close(&p);
}

static void a_database_that_is_not_ours_is_refused(void **state)
{
    uint8_t key[KEY_SIZE];
    struct errmsg why = { "" };
    struct place p;

    (void)state;
    place_open(&p);
    make_log(&p);
    key_pack(key, KEY_OWN_GROUP, KEY_FORMAT, 0);
    put_raw(&p, key, KEY_SIZE, NULL, 0);
    assert_int_equal(try_open(&p, &why), ERR_CORRUPT);
    place_close(&p);
}

static void damage_in_a_group_is_found_when_it_is_opened(void **state)
{
    uint8_t key[KEY_SIZE];
    struct store_group g;
    struct errmsg why = { "" };
    struct store *s;
    struct place p;

    (void)state;
    place_open(&p);
    make_log(&p);
    key_pack(key, 9, KEY_ENTRY, 4);
    put_raw(&p, key, KEY_SIZE, NULL, 0); /* a hole */
    s = open_log(&p, NULL);
    assert_int_equal(store_group_read(s, 9, &g, &why), ERR_CORRUPT);
    assert_non_null(strstr(why.text, "entry after 3"));
    store_close(&s);
    put_raw(&p, key, KEY_SIZE, "\x01\x02short", 7);
    s = open_log(&p, NULL);
    assert_int_equal(store_group_read(s, 9, &g, &why), ERR_CORRUPT);
    assert_int_equal(store_entry_read(s, 9, 4, NULL, NULL, NULL, NULL), ERR_CORRUPT);
    store_close(&s);
    put_raw(&p, key, KEY_SIZE, "\x01\x02\0\0\0\0\0\0\0\0\0\0\0\0", 14); /* term 0 after term 1 */
    s = open_log(&p, NULL);
    assert_int_equal(store_group_read(s, 9, &g, &why), ERR_CORRUPT);
    store_close(&s);
    key_pack(key, 9, KEY_HARD, 0);
    put_raw(&p, key, KEY_SIZE, "\x01", 1);
    s = open_log(&p, NULL);
    assert_int_equal(store_group_read(s, 9, &g, &why), ERR_CORRUPT);
    assert_int_equal(store_group_read(s, 8, &g, &why), 0);
    store_close(&s);
    place_close(&p);
}

static void a_directory_that_cannot_be_made_is_an_error(void **state)
{
    struct place p = { .log = "/proc/no/such/place" };
    struct errmsg why = { "" };

    (void)state;
    assert_int_equal(try_open(&p, &why), ERR_IO);
    assert_non_null(strstr(why.text, "/proc/no/such/place"));
}

/* ---- checksums */

static void rocksdb_takes_its_checksums_by_our_function(void **state)
{
    (void)state;
    /* what its own calls are bound to, for they go by name */
    assert_ptr_equal(dlsym(RTLD_DEFAULT, "_ZN7rocksdb6crc32c6ExtendEjPKcm"), checksum_extend);
    assert_int_equal(checksum_extend(0, "123456789", 9), 0xe3069283);
    for (size_t i = 0; i <= 9; i++) /* in two parts, wherever it is cut */
        assert_int_equal(
            checksum_extend(checksum_extend(0, "123456789", i), "123456789" + i, 9 - i),
            0xe3069283);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_there_after_a_restart),
        cmocka_unit_test(a_log_that_rests_stands_in_its_tables),
        cmocka_unit_test(the_watermark_follows_each_synced_batch),
        cmocka_unit_test(a_log_behind_its_watermark_is_tainted_and_stays_so),
        cmocka_unit_test(a_database_that_vanished_is_tainted),
        cmocka_unit_test(torn_old_or_missing_watermarks_do_not_taint),
        cmocka_unit_test(an_old_watermark_catches_up),
        cmocka_unit_test(a_newer_format_is_refused),
        cmocka_unit_test(a_database_that_is_not_ours_is_refused),
        cmocka_unit_test(damage_in_a_group_is_found_when_it_is_opened),
        cmocka_unit_test(a_directory_that_cannot_be_made_is_an_error),
        cmocka_unit_test(rocksdb_takes_its_checksums_by_our_function),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
