/* store - the contract of both stores: order, atomic batches, what a crash leaves, bodies, refusals
 * at opening. */
#include "tests/unit/queue/folder.h"
#include "tests/unit/queue/world.h"

struct place {
    struct world w;
    struct folder folder;
    bool on_disk;
};

static void open_place(struct place *p, bool on_disk)
{
    p->on_disk = on_disk;
    if (on_disk) folder_make(&p->folder);
    world_open(&p->w, on_disk ? p->folder.path : NULL);
}

static void flush(struct place *p)
{
    struct errmsg why = { "" };

    assert_int_equal(queue_store_flush(p->w.store, &why), OK);
}

/* All that was not flushed is gone, as after a power cut. */
static void crash(struct place *p)
{
    struct errmsg why = { "" };

    queue_close(&p->w.queue);
    if (p->on_disk) {
        queue_store_close(&p->w.store);
        assert_int_equal(queue_store_open(&p->w.store, p->folder.path, &why), OK);
    } else {
        queue_store_mem_crash(p->w.store);
    }
    assert_int_equal(queue_open(&p->w.queue, p->w.store, SHARD, &why), OK);
    p->w.entry = queue_applied(p->w.queue);
    world_verify(&p->w);
}

static void close_place(struct place *p)
{
    world_close(&p->w);
    if (p->on_disk) folder_remove(&p->folder);
}

/* Runs a story on both. */
static void on_both(void (*story)(struct place *p))
{
    for (int on_disk = 0; on_disk < 2; on_disk++) {
        struct place p;

        open_place(&p, on_disk);
        story(&p);
        close_place(&p);
    }
}

/* ---- records */

static void put(struct queue_store *s, const char *key, const char *value)
{
    struct queue_change c = { .key = span_cstr(key),
                              .value = span_cstr(value),
                              .is_delete = !value };

    s->calls->write(s->self, &c, 1);
}

static bool join(void *arg, struct span key, struct span value)
{
    struct buf *out = arg;

    buf_add_span(out, key);
    buf_add_u8(out, '=');
    buf_add_span(out, value);
    buf_add_u8(out, ' ');
    return out->n < 40;
}

static void assert_scan(struct queue_store *s, const char *prefix, const char *from, bool backwards,
                        const char *want)
{
    struct buf got;

    buf_init(&got, 1000);
    s->calls->each(s->self, span_cstr(prefix), span_cstr(from), backwards, &got, join);
    assert_string_equal(buf_cstr(&got), want);
    buf_deinit(&got);
}

static void records_are_in_order(struct place *p)
{
    struct queue_store *s = p->w.store;
    struct buf value;

    put(s, "x/b", "2");
    put(s, "x/a", "1");
    put(s, "x/c", "");
    put(s, "y/a", "9");
    put(s, "x/a", "1b");
    assert_scan(s, "x/", "x/", false, "x/a=1b x/b=2 x/c= ");
    assert_scan(s, "x/", "x/aa", false, "x/b=2 x/c= ");
    assert_scan(s, "x/", "x/c", true, "x/c= x/b=2 x/a=1b ");
    assert_scan(s, "x/", "x/bb", true, "x/b=2 x/a=1b ");
    assert_scan(s, "x/", "x/", true, "");
    assert_scan(s, "z/", "z/", false, "");
    put(s, "x/b", NULL);
    put(s, "x/nothing", NULL);
    assert_scan(s, "x/", "x/", false, "x/a=1b x/c= ");
    buf_init(&value, 10);
    assert_int_equal(s->calls->get(s->self, SPAN_LIT("x/b"), &value), ERR_NOT_FOUND);
    assert_int_equal(s->calls->get(s->self, SPAN_LIT("x/c"), &value), OK);
    assert_int_equal(value.n, 0);
    assert_int_equal(s->calls->get(s->self, SPAN_LIT("x/a"), &value), OK);
    assert_true(span_eq(buf_span(&value), SPAN_LIT("1b")));
    buf_deinit(&value);
}

static void both_keep_order(void **state)
{
    (void)state;
    on_both(records_are_in_order);
}

/* ---- crashes */

static void unflushed_is_gone(struct place *p)
{
    uint64_t m = accept(&p->w, "s@a.test", "r@b.test");
    uint64_t digest = queue_digest(p->w.queue), applied = queue_applied(p->w.queue);

    flush(p);
    assert_true(claim(&p->w, m, 0) && delivered(&p->w, m, 0));
    accept(&p->w, "s@a.test", "r@b.test");
    crash(p);
    assert_int_equal(queue_applied(p->w.queue), applied);
    assert_int_equal(queue_digest(p->w.queue), digest);
    assert_int_equal(state_of(&p->w, m, 0), STATE(WAITING));
    assert_int_equal(counts(&p->w).messages, 1);
    assert_true(claim(&p->w, m, 0) && delivered(&p->w, m, 0)); /* the replay */
    flush(p);
    crash(p);
    assert_int_equal(state_of(&p->w, m, 0), STATE(DELIVERED));
}

static void both_crash_to_what_was_flushed(void **state)
{
    (void)state;
    on_both(unflushed_is_gone);
}

static bool has_body(struct place *p, uint64_t entry, const char *want)
{
    struct blob *b = NULL;
    bool is_it;

    if (queue_body_get(p->w.store, SHARD, entry, &b) != 0) return false;
    is_it = span_eq(blob_span(b), span_cstr(want));
    blob_unref(&b);
    return is_it;
}

static void bodies_are_durable_with_a_flush(struct place *p)
{
    uint64_t m = accept(&p->w, "s@a.test", "r@b.test"), young;

    queue_body_put(p->w.store, SHARD, m, SPAN_LIT("the body"));
    flush(p); /* the log may be cut now */
    young = accept(&p->w, "s@a.test", "r@b.test");
    queue_body_put(p->w.store, SHARD, young, SPAN_LIT("lost"));
    assert_true(has_body(p, young, "lost"));
    crash(p);
    assert_true(has_body(p, m, "the body"));
    assert_false(has_body(p, young, "lost"));
}

static void both_keep_bodies(void **state)
{
    (void)state;
    on_both(bodies_are_durable_with_a_flush);
}

static void moved_bodies_are_forgotten(struct place *p)
{
    uint64_t moved = accept(&p->w, "s@a.test", "r@b.test"),
             late = accept(&p->w, "s@a.test", "r@b.test");

    queue_body_put(p->w.store, SHARD, moved, SPAN_LIT("moved"));
    flush(p);
    /* at boot, replay comes before anybody can say how far bodies were moved */
    crash(p);
    assert_true(has_body(p, moved, "moved"));
    assert_true(claim(&p->w, moved, 0) && delivered(&p->w, moved, 0));
    assert_false(has_body(p, moved, "moved"));
    /* while the node runs it is said after the move; what died before is the mover's to forget */
    queue_body_put(p->w.store, SHARD, late, SPAN_LIT(""));
    assert_true(has_body(p, late, ""));
    queue_set_moved(p->w.queue, late);
    queue_set_moved(p->w.queue, 1);
    assert_true(order(&p->w, CANCEL, late, 0));
    assert_false(has_body(p, late, ""));
    queue_body_put(p->w.store, SHARD, moved, SPAN_LIT("again"));
    queue_body_forget(p->w.store, SHARD, moved);
    assert_false(has_body(p, moved, "again"));
}

static void both_forget_moved_bodies(void **state)
{
    (void)state;
    on_both(moved_bodies_are_forgotten);
}

static void a_large_body_comes_back(struct place *p)
{
    struct blob *b = blob_new(1u << 20), *read = NULL;

    for (unsigned i = 0; i < 1u << 20; i++)
        b->p[i] = (uint8_t)(i * 2654435761u >> 24);
    b->n = 1u << 20;
    accept(&p->w, "s@a.test", "r@b.test");
    queue_body_put(p->w.store, SHARD, 1, blob_span(b));
    flush(p);
    crash(p);
    assert_int_equal(queue_body_get(p->w.store, SHARD, 1, &read), OK);
    assert_true(span_eq(blob_span(read), blob_span(b)));
    assert_true(queue_store_bytes(p->w.store) > 0);
    blob_unref(&read);
    blob_unref(&b);
}

static void both_keep_large_bodies(void **state)
{
    (void)state;
    on_both(a_large_body_comes_back);
}

static void shards_do_not_meet(struct place *p)
{
    struct world other = { .store = p->w.store, .now_ms = START_MS };
    struct queue_due due[4];
    struct queue_place at = { 0 };
    struct errmsg why = { "" };

    assert_int_equal(queue_open(&other.queue, p->w.store, SHARD + 1, &why), OK);
    accept(&p->w, "s@a.test", "r@b.test");
    assert_int_equal(queue_applied(other.queue), 0);
    assert_int_equal(queue_due_by_time(p->w.store, SHARD + 1, &at, UINT64_MAX, due, 4), 0);
    assert_int_equal(queue_shard(other.queue), SHARD + 1);
    queue_close(&other.queue);
    queue_close(&other.queue);
}

static void both_keep_shards_apart(void **state)
{
    (void)state;
    on_both(shards_do_not_meet);
}

/* ---- opening */

static void a_store_in_use_is_busy(void **state)
{
    struct place p;
    struct queue_store *second = NULL;
    struct errmsg why = { "" };

    (void)state;
    open_place(&p, true);
    assert_int_equal(queue_store_open(&second, p.folder.path, &why), ERR_BUSY);
    assert_non_null(strstr(why.text, p.folder.path));
    close_place(&p);
}

static void a_newer_store_is_refused(void **state)
{
    struct place p;
    struct queue_store *s = NULL;
    struct errmsg why = { "" };

    (void)state;
    open_place(&p, true);
    put(p.w.store, "\xff\xff\xff\xff", "\x7f\x7f\x7f\x7f");
    flush(&p);
    world_close(&p.w);
    assert_int_equal(queue_store_open(&s, p.folder.path, &why), ERR_VERSION);
    assert_non_null(strstr(why.text, "newer"));
    folder_remove(&p.folder);
}

static void a_damaged_record_is_told(void **state)
{
    struct place p;
    struct queue_key key = queue_key(SHARD, 'S');
    struct queue_change cut = { .key = queue_key_span(&key), .value = SPAN_LIT("short") };
    struct queue *q = NULL;
    struct queue_store *s = NULL;
    struct errmsg why = { "" };

    (void)state;
    open_place(&p, true);
    accept(&p.w, "s@a.test", "r@b.test");
    p.w.store->calls->write(p.w.store->self, &cut, 1);
    assert_int_equal(queue_open(&q, p.w.store, SHARD, &why), ERR_CORRUPT);
    put(p.w.store, "\xff\xff\xff\xff", "x");
    flush(&p);
    world_close(&p.w);
    assert_int_equal(queue_store_open(&s, p.folder.path, &why), ERR_CORRUPT);
    folder_remove(&p.folder);
}

static void a_place_that_cannot_be_is_told(void **state)
{
    struct queue_store *s = NULL;
    struct errmsg why = { "" };

    (void)state;
    assert_int_equal(queue_store_open(&s, "/dev/null/nowhere", &why), ERR_IO);
    assert_null(s);
    queue_store_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_keep_order),
        cmocka_unit_test(both_crash_to_what_was_flushed),
        cmocka_unit_test(both_keep_bodies),
        cmocka_unit_test(both_forget_moved_bodies),
        cmocka_unit_test(both_keep_large_bodies),
        cmocka_unit_test(both_keep_shards_apart),
        cmocka_unit_test(a_store_in_use_is_busy),
        cmocka_unit_test(a_newer_store_is_refused),
        cmocka_unit_test(a_damaged_record_is_told),
        cmocka_unit_test(a_place_that_cannot_be_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
