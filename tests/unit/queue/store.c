/* store - the contract of queue/store.h, told to both implementations: memory and RocksDB. */
#include "tests/unit/queue/scene.h"

#include <dirent.h>
#include <unistd.h>

/* One implementation on the stage; `crash` leaves what was flushed and opens again. */
struct stage {
    struct queue_store *store;
    char dir[32];
    bool is_mem;
};

static int open_mem(void **state)
{
    struct stage *t = check_calloc(1, sizeof *t);

    t->is_mem = true;
    assert_int_equal(queue_store_open(&t->store, NULL, NULL), 0);
    *state = t;
    return 0;
}

static int open_rocks(void **state)
{
    struct stage *t = check_calloc(1, sizeof *t);

    snprintf(t->dir, sizeof t->dir, "/tmp/angarium-store-XXXXXX");
    assert_non_null(mkdtemp(t->dir));
    assert_int_equal(queue_store_open(&t->store, t->dir, NULL), 0);
    *state = t;
    return 0;
}

static int close_stage(void **state)
{
    struct stage *t = *state;

    queue_store_close(&t->store);
    if (!t->is_mem) scene_remove(t->dir);
    free(t);
    return 0;
}

static void crash(struct stage *t)
{
    if (t->is_mem) {
        queue_store_mem_crash(t->store);
        return;
    }
    queue_store_close(&t->store); /* does not flush */
    assert_int_equal(queue_store_open(&t->store, t->dir, NULL), 0);
}

static void put(struct stage *t, const char *key, const char *value)
{
    struct queue_change c = { .key = span_cstr(key), .value = span_cstr(value) };

    t->store->calls->write(t->store->self, &c, 1);
}

static void drop(struct stage *t, const char *key)
{
    struct queue_change c = { .key = span_cstr(key), .is_delete = true };

    t->store->calls->write(t->store->self, &c, 1);
}

/* want NULL: it is not there */
static void expect(struct stage *t, const char *key, const char *want)
{
    struct buf value;
    int rv;

    buf_init(&value, 4096);
    buf_add_cstr(&value, "kept "); /* get appends */
    rv = t->store->calls->get(t->store->self, span_cstr(key), &value);
    assert_int_equal(rv, want ? 0 : ERR_NOT_FOUND);
    assert_memory_equal(value.p, "kept ", 5);
    assert_true(span_eq(span_from(buf_span(&value), 5), span_cstr(want ? want : "")));
    buf_deinit(&value);
}

struct seen {
    char text[256];
    size_t n;
    unsigned left;
};

static bool see(void *arg, struct span key, struct span value)
{
    struct seen *s = arg;

    s->n += (size_t)snprintf(s->text + s->n, sizeof s->text - s->n, "%.*s=%.*s ", SPAN_ARG(key),
                             SPAN_ARG(value));
    return --s->left > 0;
}

static void expect_scan(struct stage *t, const char *prefix, const char *from, bool backwards,
                        unsigned max, const char *want)
{
    struct seen s = { .left = max };

    t->store->calls->each(t->store->self, span_cstr(prefix), span_cstr(from), backwards, &s, see);
    assert_string_equal(s.text, want);
}

/* ---- records */

static void the_last_write_of_a_key_counts(void **state)
{
    struct stage *t = *state;

    expect(t, "a", NULL);
    put(t, "a", "1");
    put(t, "b", "");
    expect(t, "a", "1");
    expect(t, "b", "");
    put(t, "a", "22");
    expect(t, "a", "22");
    drop(t, "a");
    drop(t, "never there");
    expect(t, "a", NULL);
    expect(t, "b", "");
}

static void a_batch_is_in_order(void **state)
{
    struct queue_change list[] = { { .key = SPAN_LIT("a"), .value = SPAN_LIT("1") },
                                   { .key = SPAN_LIT("a"), .is_delete = true },
                                   { .key = SPAN_LIT("b"), .is_delete = true },
                                   { .key = SPAN_LIT("b"), .value = SPAN_LIT("2") } };
    struct stage *t = *state;

    t->store->calls->write(t->store->self, list, 4);
    expect(t, "a", NULL);
    expect(t, "b", "2");
}

static void keys_and_values_are_bytes(void **state)
{
    struct queue_change c = { .key = span_of("k\0\xff", 3), .value = span_of("\0v\0", 3) };
    struct stage *t = *state;
    struct buf value;

    t->store->calls->write(t->store->self, &c, 1);
    buf_init(&value, 16);
    assert_int_equal(t->store->calls->get(t->store->self, c.key, &value), 0);
    assert_true(span_eq(buf_span(&value), c.value));
    buf_deinit(&value);
    expect(t, "k", NULL);
}

static void scans_keep_to_prefix_and_direction(void **state)
{
    struct stage *t = *state;

    expect_scan(t, "m", "m", false, 9, "");
    expect_scan(t, "m", "m", true, 9, "");
    put(t, "l9", "x");
    put(t, "m1", "a");
    put(t, "m3", "c");
    put(t, "m2", "b");
    put(t, "n1", "y");
    expect_scan(t, "m", "m", false, 9, "m1=a m2=b m3=c ");
    expect_scan(t, "m", "m2", false, 9, "m2=b m3=c ");
    expect_scan(t, "m", "m11", false, 9, "m2=b m3=c ");
    expect_scan(t, "m", "m", false, 2, "m1=a m2=b "); /* stopped */
    expect_scan(t, "m", "m9", false, 9, "");
    expect_scan(t, "m", "m2", true, 9, "m2=b m1=a ");
    expect_scan(t, "m", "m29", true, 9, "m2=b m1=a ");
    expect_scan(t, "m", "m\xff", true, 1, "m3=c ");
    expect_scan(t, "l", "l0", true, 9, ""); /* in front of the first one */
    expect_scan(t, "n", "z", true, 9, "n1=y ");
}

/* ---- bodies */

/* want NULL: it is not there */
static void expect_sought(struct stage *t, void *seeker, const char *key, const char *want)
{
    struct span value = { 0 };
    int rv = t->store->calls->seeker_get(t->store->self, seeker, span_cstr(key), &value);

    assert_int_equal(rv, want ? 0 : ERR_NOT_FOUND);
    if (want) assert_true(span_eq(value, span_cstr(want)));
}

static void *seek_in(struct stage *t, const char *prefix)
{
    return t->store->calls->seeker_open(t->store->self, span_cstr(prefix));
}

static void a_seeker_finds_what_is_there(void **state)
{
    struct stage *t = *state;
    void *k;

    put(t, "aaaaa9", "another prefix");
    put(t, "aaaab1", "one");
    put(t, "aaaab10", "one and more");
    put(t, "aaaab2", "two");
    put(t, "aaaab4", "four");
    put(t, "aaaab5", "");
    put(t, "aaaac1", "behind");
    k = seek_in(t, "aaaab");
    expect_sought(t, k, "aaaab0", NULL);
    expect_sought(t, k, "aaaab1", "one");
    expect_sought(t, k, "aaaab1", "one");
    expect_sought(t, k, "aaaab2", "two");
    expect_sought(t, k, "aaaab3", NULL);
    expect_sought(t, k, "aaaab4", "four");
    expect_sought(t, k, "aaaab5", "");
    expect_sought(t, k, "aaaab6", NULL);
    expect_sought(t, k, "aaaab7", NULL);
    t->store->calls->seeker_close(t->store->self, k);
    k = seek_in(t, "aaaad");
    expect_sought(t, k, "aaaad1", NULL);
    t->store->calls->seeker_close(t->store->self, k);
}

/* More between two keys than a seeker walks over: records that are there, and deleted ones, in memory and on the disk. */
static void a_seeker_passes_over_what_is_gone(void **state)
{
    enum { COUNT = 3000, EVERY = 300 };
    struct stage *t = *state;
    char key[16];

    for (unsigned round = 0; round < 3; round++) {
        void *k;

        for (unsigned i = 0; i < COUNT; i++) {
            snprintf(key, sizeof key, "aaaab%04u", i);
            put(t, key, key);
            if (i % EVERY > 20) drop(t, key);
        }
        k = seek_in(t, "aaaab");
        for (unsigned i = 0; i < COUNT; i += EVERY / 2) {
            snprintf(key, sizeof key, "aaaab%04u", i);
            expect_sought(t, k, key, i % EVERY ? NULL : key);
        }
        snprintf(key, sizeof key, "aaaab%04u", COUNT);
        expect_sought(t, k, key, NULL);
        t->store->calls->seeker_close(t->store->self, k);
        t->store->calls->flush(t->store->self, NULL);
    }
}

static void a_seeker_sees_one_moment(void **state)
{
    struct stage *t = *state;
    void *k;

    put(t, "aaaab1", "one");
    put(t, "aaaab2", "two");
    k = seek_in(t, "aaaab");
    put(t, "aaaab1", "changed");
    put(t, "aaaab3", "new");
    drop(t, "aaaab2");
    t->store->calls->flush(t->store->self, NULL);
    expect_sought(t, k, "aaaab1", "one");
    expect_sought(t, k, "aaaab2", "two");
    expect_sought(t, k, "aaaab3", NULL);
    t->store->calls->seeker_close(t->store->self, k);
    k = seek_in(t, "aaaab");
    expect_sought(t, k, "aaaab1", "changed");
    expect_sought(t, k, "aaaab2", NULL);
    expect_sought(t, k, "aaaab3", "new");
    t->store->calls->seeker_close(t->store->self, k);
}

static void expect_of_shard(struct stage *t, void *seeker, const char *want)
{
    struct span value = { 0 };

    assert_int_equal(
        t->store->calls->seeker_get(t->store->self, seeker, SPAN_LIT("\0\0\0\7m1"), &value), 0);
    assert_true(span_eq(value, span_cstr(want)));
    t->store->calls->seeker_close(t->store->self, seeker);
}

/* The place that was read when it was opened. */
static void a_seeker_reads_the_place_that_is_read(void **state)
{
    struct stage *t = *state;
    const struct queue_store_calls *calls = t->store->calls;
    struct queue_change c = { .key = SPAN_LIT("\0\0\0\7m1"), .value = SPAN_LIT("one") };
    void *before;

    calls->write(t->store->self, &c, 1);
    calls->unstage(t->store->self, 7);
    c.value = SPAN_LIT("staged");
    c.is_staged = true;
    calls->write(t->store->self, &c, 1);
    before = calls->seeker_open(t->store->self, SPAN_LIT("\0\0\0\7m"));
    calls->swap(t->store->self, 7);
    expect_of_shard(t, calls->seeker_open(t->store->self, SPAN_LIT("\0\0\0\7m")), "staged");
    expect_of_shard(t, before, "one");
}

static void expect_body(struct stage *t, uint64_t entry, const char *want)
{
    struct blob *body = NULL;

    assert_int_equal(queue_body_get(t->store, SHARD, entry, &body), want ? 0 : ERR_NOT_FOUND);
    if (want) assert_true(span_eq(blob_span(body), span_cstr(want)));
    blob_unref(&body);
}

static size_t count_records(struct stage *t)
{
    static const uint8_t prefix[] = { 0, 0, 0, SHARD };
    struct span shard = span_of(prefix, sizeof prefix);
    struct seen s = { .left = UINT32_MAX };

    t->store->calls->each(t->store->self, shard, shard, false, &s, see);
    return UINT32_MAX - s.left;
}

static void bodies_stand_beside_the_state(void **state)
{
    struct stage *t = *state;

    expect_body(t, 7, NULL);
    queue_body_put(t->store, SHARD, 7, SPAN_LIT("seven"));
    queue_body_put(t->store, SHARD, 8, SPAN_LIT("eight"));
    queue_body_put(t->store, SHARD + 1, 7, SPAN_LIT("another shard's"));
    expect_body(t, 7, "seven");
    assert_int_equal(count_records(t), 0); /* no part of the state */
    queue_body_forget(t->store, SHARD, 7);
    queue_body_forget(t->store, SHARD, 7);
    expect_body(t, 7, NULL);
    expect_body(t, 8, "eight");
}

/* ---- flush and crash */

static void a_crash_leaves_what_was_flushed(void **state)
{
    struct stage *t = *state;

    put(t, "a", "1");
    put(t, "b", "1");
    assert_int_equal(queue_store_flush(t->store, NULL), 0);
    put(t, "a", "2");
    drop(t, "b");
    put(t, "c", "2");
    crash(t);
    expect(t, "a", "1");
    expect(t, "b", "1");
    expect(t, "c", NULL);
    put(t, "a", "3");
    assert_int_equal(queue_store_flush(t->store, NULL), 0);
    crash(t);
    expect(t, "a", "3");
    crash(t); /* nothing was written since */
    expect(t, "a", "3");
}

/* The log is cut after a flush: a body that was moved out of it must be on the disk then. */
static void a_flush_takes_the_bodies_along(void **state)
{
    struct stage *t = *state;

    put(t, "a", "1");
    queue_body_put(t->store, SHARD, 7, SPAN_LIT("moved out of the log"));
    assert_int_equal(queue_store_flush(t->store, NULL), 0);
    queue_body_put(t->store, SHARD, 8, SPAN_LIT("too late"));
    crash(t);
    expect(t, "a", "1");
    expect_body(t, 7, "moved out of the log");
    expect_body(t, 8, NULL);
}

static void a_flush_of_bodies_alone(void **state)
{
    struct stage *t = *state;

    queue_body_put(t->store, SHARD, 7, SPAN_LIT("moved"));
    assert_int_equal(queue_store_flush(t->store, NULL), 0);
    crash(t);
    expect_body(t, 7, "moved");
    queue_body_forget(t->store, SHARD, 7);
    assert_int_equal(queue_store_flush(t->store, NULL), 0);
    crash(t);
    expect_body(t, 7, NULL);
}

static void large_bodies_come_back_whole(void **state)
{
    size_t n = 200000;
    uint8_t *bytes = check_malloc(n);
    struct stage *t = *state;
    struct blob *body = NULL;

    for (size_t i = 0; i < n; i++)
        bytes[i] = (uint8_t)(i * 131 >> 3);
    queue_body_put(t->store, SHARD, 7, span_of(bytes, n));
    assert_int_equal(queue_store_flush(t->store, NULL), 0);
    crash(t);
    assert_int_equal(queue_body_get(t->store, SHARD, 7, &body), 0);
    assert_int_equal(body->n, n);
    assert_memory_equal(body->p, bytes, n);
    blob_unref(&body);
    free(bytes);
    assert_true(queue_store_bytes(t->store) > 0 || t->is_mem);
}

/* ---- two shards in one store */

static void shards_do_not_see_each_other(void **state)
{
    struct stage *t = *state;
    struct queue *other = NULL;
    struct queue_counts counts;
    struct scene s;
    uint64_t m;

    scene_open_on(&s, t->store);
    m = scene_accept(&s, "a@x.example", "b@y.example", NULL);
    assert_int_equal(queue_open(&other, t->store, SHARD + 1, NULL), 0);
    queue_counts(other, &counts);
    assert_int_equal(counts.accepted, 0);
    assert_int_equal(queue_applied(other), 0);
    assert_int_equal(queue_due_next_ms(t->store, SHARD + 1, span_of(NULL, 0)), UINT64_MAX);
    assert_int_equal(queue_messages(t->store, SHARD + 1, 0, false, &m, 1), 0);
    queue_close(&other);
    scene_leave(&s);
}

/* Of two shards that share tables and files of bodies; both have bodies of both sizes. */
static void a_shard_that_is_forgotten_gives_its_room_back(void **state)
{
    size_t n = 50000;
    uint8_t *bytes = check_malloc(n);
    struct stage *t = *state;
    struct blob *body = NULL;
    uint64_t before, left;
    struct scene s;

    scene_open_on(&s, t->store);
    scene_accept(&s, "a@x.example", "b@y.example", NULL);
    scene_leave(&s);
    for (uint64_t i = 1; i <= 200; i++) {
        uint64_t x = i * 0x9e3779b97f4a7c15ull;

        for (size_t k = 0; k < n; k++) { /* what cannot be compressed */
            x = x * 6364136223846793005ull + 1442695040888963407ull;
            bytes[k] = (uint8_t)(x >> 56);
        }
        queue_body_put(t->store, SHARD, i, span_of(bytes, i % 2 ? n : 300));
        if (i % 10 == 0) queue_body_put(t->store, SHARD + 1, i, span_of(bytes, n));
        if (i % 50 == 0) assert_int_equal(queue_store_flush(t->store, NULL), 0);
    }
    before = queue_store_bytes(t->store);
    assert_true(t->is_mem || before > 100 * n);
    assert_true(queue_forget(t->store, SHARD));
    left = queue_store_bytes(t->store);
    assert_true(t->is_mem || left < 40 * n);
    expect_body(t, 1, NULL);
    expect_body(t, 200, NULL);
    for (uint64_t i = 10; i <= 200; i += 10) {
        assert_int_equal(queue_body_get(t->store, SHARD + 1, i, &body), 0);
        assert_int_equal(body->n, n);
        blob_unref(&body);
    }
    assert_false(queue_forget(t->store, SHARD));
    free(bytes);
}

static void a_shard_opens_where_it_was_flushed(void **state)
{
    struct stage *t = *state;
    struct queue_counts counts;
    uint64_t digest, applied;
    struct scene s;

    scene_open_on(&s, t->store);
    scene_accept(&s, "a@x.example", "b@y.example", NULL);
    assert_int_equal(queue_store_flush(t->store, NULL), 0);
    digest = queue_digest(s.q);
    applied = queue_applied(s.q);
    scene_accept(&s, "a@x.example", "b@y.example", NULL);
    assert_int_not_equal(queue_digest(s.q), digest);
    scene_leave(&s);
    crash(t);
    scene_open_on(&s, t->store);
    assert_int_equal(queue_applied(s.q), applied);
    assert_int_equal(queue_digest(s.q), digest);
    queue_counts(s.q, &counts);
    assert_int_equal(counts.accepted, 1);
    scene_verify(&s);
    scene_leave(&s);
}

/* ---- files of bodies: each flush makes one; which are there tells what compactions have copied */

/* So many tables that no compaction has taken, and RocksDB takes no write: one has run before. */
#define L0_STOPS_AT 36
#define BODY_SIZE   5000

static int is_body_file(const struct dirent *entry)
{
    const char *dot = strrchr(entry->d_name, '.');

    return dot && strcmp(dot, ".blob") == 0;
}

static unsigned count_body_files(const struct stage *t)
{
    struct dirent **list;
    int n = scandir(t->dir, &list, is_body_file, alphasort);

    assert_true(n >= 0);
    for (int i = 0; i < n; i++)
        free(list[i]);
    free(list);
    return (unsigned)n;
}

static void put_bodies(struct stage *t, uint64_t first, unsigned n)
{
    uint8_t bytes[BODY_SIZE];

    for (unsigned i = 0; i < n; i++) {
        memset(bytes, (int)(first + i), sizeof bytes);
        queue_body_put(t->store, SHARD + i % 2, first + i, span_of(bytes, sizeof bytes));
    }
}

static void expect_whole(struct stage *t, uint32_t shard, uint64_t entry)
{
    struct blob *body = NULL;

    assert_int_equal(queue_body_get(t->store, shard, entry, &body), 0);
    assert_int_equal(body->n, BODY_SIZE);
    assert_int_equal(body->p[0], entry & 0xff);
    blob_unref(&body);
}

static void bodies_that_wait_are_not_copied(void **state)
{
    const unsigned rounds = L0_STOPS_AT + 6;
    struct stage *t = *state;

    for (unsigned i = 0; i < rounds; i++) {
        put_bodies(t, 2 * i, 2);
        assert_int_equal(queue_store_flush(t->store, NULL), 0);
    }
    assert_int_equal(count_body_files(t), rounds);
    for (unsigned i = 0; i < 2 * rounds; i++)
        expect_whole(t, SHARD + i % 2, i);
}

/* One compaction finds the garbage; one may have begun before the next flush saw it; one copies what lives. */
static void bodies_among_garbage_are_copied_and_its_room_given_back(void **state)
{
    const unsigned rounds_max = 3 * L0_STOPS_AT + 6;
    struct stage *t = *state;
    unsigned rounds = 0;

    do {
        put_bodies(t, 4 * rounds, 4);
        for (unsigned i = 1; i < 4 && rounds > 0; i++)
            queue_body_forget(t->store, SHARD + i % 2, 4 * (rounds - 1) + i);
        assert_int_equal(queue_store_flush(t->store, NULL), 0);
        rounds++;
    } while (rounds < rounds_max && count_body_files(t) >= rounds);
    assert_true(count_body_files(t) < rounds);
    for (unsigned i = 0; i < rounds; i++)
        expect_whole(t, SHARD, 4 * i);
}

/* ---- opening RocksDB's */

static void a_newer_or_damaged_format_is_refused(void **state)
{
    static const char *const values[] = { "\0\0\0\x63", "xy" };
    static const int errors[] = { ERR_VERSION, ERR_CORRUPT };
    static const size_t sizes[] = { 4, 2 };
    struct stage *t = *state;

    for (unsigned i = 0; i < 2; i++) {
        struct queue_change c = { .key = SPAN_LIT("\xff\xff\xff\xff"),
                                  .value = span_of(values[i], sizes[i]) };
        struct queue_store *again = NULL;
        struct errmsg why = { "" };

        t->store->calls->write(t->store->self, &c, 1);
        assert_int_equal(queue_store_flush(t->store, NULL), 0);
        queue_store_close(&t->store);
        assert_int_equal(queue_store_open(&again, t->dir, &why), errors[i]);
        assert_non_null(strstr(why.text, t->dir));
        assert_null(again);
        scene_remove(t->dir);
        assert_int_equal(queue_store_open(&t->store, t->dir, NULL), 0);
    }
}

static void a_directory_in_use_is_refused(void **state)
{
    struct queue_store *second = NULL;
    struct stage *t = *state;
    struct errmsg why = { "" };

    assert_int_equal(queue_store_open(&second, t->dir, &why), ERR_BUSY);
    assert_non_null(strstr(why.text, t->dir));
    put(t, "a", "1"); /* the first one is well */
    expect(t, "a", "1");
}

static void a_directory_that_cannot_be_made_is_refused(void **state)
{
    struct queue_store *s = NULL;
    struct errmsg why = { "" };

    (void)state;
    assert_int_equal(queue_store_open(&s, "/dev/null/queue", &why), ERR_IO);
    assert_non_null(strstr(why.text, "/dev/null/queue"));
    assert_null(s);
}

int main(void)
{
#define BOTH(name)                                                                                 \
    { #name "_mem", name, open_mem, close_stage, NULL },                                           \
    {                                                                                              \
#name "_rocks", name, open_rocks, close_stage, NULL                                        \
    }
    const struct CMUnitTest tests[] = {
        BOTH(the_last_write_of_a_key_counts),
        BOTH(a_batch_is_in_order),
        BOTH(keys_and_values_are_bytes),
        BOTH(bodies_stand_beside_the_state),
        BOTH(a_crash_leaves_what_was_flushed),
        BOTH(a_flush_takes_the_bodies_along),
        BOTH(a_flush_of_bodies_alone),
        BOTH(large_bodies_come_back_whole),
        BOTH(shards_do_not_see_each_other),
        BOTH(a_seeker_finds_what_is_there),
        BOTH(a_seeker_passes_over_what_is_gone),
        BOTH(a_seeker_sees_one_moment),
        BOTH(a_seeker_reads_the_place_that_is_read),
        BOTH(a_shard_that_is_forgotten_gives_its_room_back),
        BOTH(a_shard_opens_where_it_was_flushed),
        BOTH(scans_keep_to_prefix_and_direction),
        cmocka_unit_test_setup_teardown(bodies_that_wait_are_not_copied, open_rocks, close_stage),
        cmocka_unit_test_setup_teardown(bodies_among_garbage_are_copied_and_its_room_given_back,
                                        open_rocks, close_stage),
        cmocka_unit_test_setup_teardown(a_newer_or_damaged_format_is_refused, open_rocks,
                                        close_stage),
        cmocka_unit_test_setup_teardown(a_directory_in_use_is_refused, open_rocks, close_stage),
        cmocka_unit_test(a_directory_that_cannot_be_made_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
