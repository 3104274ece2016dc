/* snapshot - the state of a shard goes out of one store and into another: over both kinds of stores, onto an empty and a
 * stale state, cut short at each point, damaged at each byte.
 */
#include "tests/unit/queue/scene.h"

#include <unistd.h>

#define BODY_SIZE  3000
#define CHUNKS_MAX 64
#define LAST       1000u /* the index that is told when it is installed: behind the last command's */

/* Where bodies come from: entry e's is that many bytes of its own, unless it was moved into the store. */
struct source {
    struct scene s;
    char dir[32];
    uint64_t moved_upto, missing;
};

static struct blob *body_of(uint64_t entry, size_t size)
{
    struct blob *b = blob_new(size);

    for (size_t i = 0; i < size; i++) {
        uint8_t c = (uint8_t)(entry * 31 + i);

        CHECK(blob_add(b, &c, 1, size) == 0);
    }
    return b;
}

static int read_body(void *arg, uint64_t entry, struct blob **out)
{
    struct source *f = arg;

    if (entry <= f->moved_upto || entry == f->missing) return ERR_NOT_FOUND;
    *out = body_of(entry, BODY_SIZE);
    return 0;
}

static void open_source(struct source *f, bool on_disk)
{
    struct queue_store *store = NULL;

    memset(f, 0, sizeof *f);
    snprintf(f->dir, sizeof f->dir, "/tmp/angarium-snap-XXXXXX");
    if (on_disk) assert_non_null(mkdtemp(f->dir));
    assert_int_equal(queue_store_open(&store, on_disk ? f->dir : NULL, NULL), 0);
    scene_open_on(&f->s, store);
}

static void close_source(struct source *f, bool on_disk)
{
    scene_close(&f->s);
    if (on_disk) scene_remove(f->dir);
}

/* Mails that wait, are claimed, held, deferred, bounced with a debt, over; an open upload; the older half moved. */
static void populate(struct source *f, unsigned mails)
{
    struct scene *s = &f->s;
    uint64_t last = 0;

    for (unsigned i = 0; i < mails; i++) {
        uint64_t m = scene_accept(s, "a@example.test", "to@example.org", "b@example.net");

        last = m;
        if (i % 6 == 1) scene_claim(s, m, 0);
        if (i % 6 == 2) scene_hold(s, m, NULL, 0);
        if (i % 6 == 3) {
            scene_claim(s, m, 1);
            scene_outcome(s, m, 1, ANGARIUM__RESULT__RESULT_DEFERRED, s->now_ms + 5000);
        }
        if (i % 6 == 4) {
            scene_claim(s, m, 0);
            scene_outcome(s, m, 0, ANGARIUM__RESULT__RESULT_BOUNCED, 0);
        }
        if (i % 6 == 5) scene_cancel(s, m, NULL, 0);
        if (i == mails / 2) f->moved_upto = last;
    }
    scene_chunk(s, "an upload", 0, BODY_SIZE);
    scene_chunk(s, "an upload", 1, BODY_SIZE);
    for (uint64_t e = 1; e <= f->moved_upto; e++) {
        struct blob *b;

        if (!scene_body_is_live(s, e)) continue;
        b = body_of(e, BODY_SIZE);
        queue_body_put(s->store, SHARD, e, blob_span(b));
        blob_unref(&b);
    }
    queue_set_moved(s->q, f->moved_upto);
    scene_verify(s);
}

struct stream {
    struct buf chunks[CHUNKS_MAX];
    unsigned count;
    uint64_t digest;
};

static void take_stream(struct source *f, struct stream *out)
{
    struct queue_snapshot *n;
    bool last = false;

    out->count = 0;
    out->digest = queue_digest(f->s.q);
    queue_snapshot_open(&n, f->s.q, read_body, f);
    while (!last) {
        struct buf *b = &out->chunks[out->count++];

        assert_true(out->count < CHUNKS_MAX);
        buf_init(b, QUEUE_CHUNK_SIZE_MAX);
        assert_int_equal(queue_snapshot_next(n, b, &last), 0);
        assert_false(buf_failed(b));
        assert_true(last || b->n == QUEUE_CHUNK_SIZE_MAX);
    }
    queue_snapshot_close(&n);
}

static void free_stream(struct stream *t)
{
    for (unsigned i = 0; i < t->count; i++)
        buf_deinit(&t->chunks[i]);
}

static void install(struct queue_store *to, const struct stream *t, uint64_t index)
{
    struct queue_staging *g;

    queue_staging_open(&g, to, SHARD);
    for (unsigned i = 0; i < t->count; i++)
        assert_int_equal(queue_staging_add(g, buf_span(&t->chunks[i])), 0);
    assert_int_equal(queue_staging_install(g, index), 0);
    queue_staging_close(&g);
}

/* All records but the state's (its applied index is the one that was told) are the same, and all live bodies are there. */
struct compare {
    struct queue_store *other;
    unsigned records;
};

static bool same_there(void *arg, struct span key, struct span value)
{
    struct compare *c = arg;
    struct buf there;

    c->records++;
    if (key.p[4] == 'S') return true;
    buf_init(&there, 1u << 20);
    assert_int_equal(c->other->calls->get(c->other->self, key, &there), 0);
    assert_true(span_eq(buf_span(&there), value));
    buf_deinit(&there);
    return true;
}

static unsigned compare(struct queue_store *a, struct queue_store *b)
{
    struct compare c = { .other = b };
    uint8_t prefix[4] = { 0, 0, 0, SHARD };

    a->calls->each(a->self, span_of(prefix, 4), span_of(prefix, 4), false, &c, same_there);
    return c.records;
}

static void expect_bodies(struct queue_store *s, uint64_t upto, size_t at_least)
{
    uint64_t live[1000];
    size_t n = queue_live_bodies(s, SHARD, 0, upto, live, 1000);

    assert_true(n >= at_least);
    for (size_t i = 0; i < n; i++) {
        struct blob *got = NULL, *want = body_of(live[i], BODY_SIZE);

        assert_int_equal(queue_body_get(s, SHARD, live[i], &got), 0);
        assert_true(span_eq(blob_span(got), blob_span(want)));
        blob_unref(&got);
        blob_unref(&want);
    }
}

static void expect_installed(struct source *from, const struct stream *t, struct queue_store *to)
{
    struct errmsg why = { "" };
    struct queue_counts a, b;
    struct queue *q = NULL;

    assert_int_equal(queue_open(&q, to, SHARD, &why), 0);
    assert_int_equal(queue_applied(q), LAST);
    assert_true(queue_digest(q) == t->digest);
    queue_counts(from->s.q, &a);
    queue_counts(q, &b);
    assert_memory_equal(&a, &b, sizeof a);
    queue_close(&q);
    if (queue_verify(to, SHARD, &why) != 0) fail_msg("%s", why.text);
    assert_int_equal(compare(from->s.store, to), compare(to, from->s.store));
    expect_bodies(to, UINT64_MAX, 1);
}

static void round_trip(bool from_disk, bool to_disk)
{
    struct source from, to;
    struct stream t;

    open_source(&from, from_disk);
    open_source(&to, to_disk);
    populate(&from, 300);
    take_stream(&from, &t);
    assert_true(t.count > 2);
    install(to.s.store, &t, LAST); /* on an empty one */
    expect_installed(&from, &t, to.s.store);
    free_stream(&t);
    close_source(&to, to_disk);

    open_source(&to, to_disk); /* on another state, with bodies that nobody needs any more */
    populate(&to, 20);
    scene_accept(&from.s, "a@example.test", "later@example.org", NULL);
    take_stream(&from, &t);
    install(to.s.store, &t, LAST);
    expect_installed(&from, &t, to.s.store);
    install(to.s.store, &t, LAST); /* and back into the first place */
    expect_installed(&from, &t, to.s.store);
    free_stream(&t);
    close_source(&to, to_disk);
    close_source(&from, from_disk);
}

static void memory_to_memory(void **state)
{
    (void)state;
    round_trip(false, false);
}

static void disk_to_disk(void **state)
{
    (void)state;
    round_trip(true, true);
}

static void both_stores_give_one_stream(void **state)
{
    struct source a, b;
    struct stream ta, tb;

    (void)state;
    open_source(&a, false);
    open_source(&b, true);
    populate(&a, 60);
    populate(&b, 60);
    take_stream(&a, &ta);
    take_stream(&b, &tb);
    assert_int_equal(ta.count, tb.count);
    for (unsigned i = 0; i < ta.count; i++)
        assert_true(span_eq(buf_span(&ta.chunks[i]), buf_span(&tb.chunks[i])));
    free_stream(&ta);
    free_stream(&tb);
    close_source(&a, false);
    close_source(&b, true);
}

/* What is applied while it goes out is not in it; what the queue does afterwards it does to the new state. */
static void check_view(bool on_disk)
{
    struct queue_snapshot *n;
    struct queue_staging *g;
    struct source from, to;
    struct buf b;
    uint64_t digest, applied;
    bool last = false;

    open_source(&from, on_disk);
    open_source(&to, on_disk);
    populate(&from, 300);
    digest = queue_digest(from.s.q);
    applied = queue_applied(from.s.q);
    queue_snapshot_open(&n, from.s.q, read_body, &from);
    queue_staging_open(&g, to.s.store, SHARD);
    while (!last) {
        buf_init(&b, QUEUE_CHUNK_SIZE_MAX);
        assert_int_equal(queue_snapshot_next(n, &b, &last), 0);
        assert_int_equal(queue_staging_add(g, buf_span(&b)), 0);
        buf_deinit(&b);
        for (unsigned i = 0; i < 10; i++)
            scene_accept(&from.s, "x@example.test", "meanwhile@example.org", NULL);
        scene_purge(&from.s, from.s.now_ms, 5);
        scene_cancel(&from.s, 1, NULL, 0); /* its body was moved, and goes */
    }
    queue_snapshot_close(&n);
    assert_int_equal(queue_staging_install(g, applied), 0);
    queue_staging_close(&g);
    assert_int_equal(queue_reload(to.s.q, NULL), 0);
    assert_true(queue_digest(to.s.q) == digest);
    to.s.next = queue_applied(to.s.q) + 1;
    assert_int_equal(queue_applied(to.s.q), applied);
    scene_verify(&to.s);
    expect_bodies(to.s.store, UINT64_MAX, 100);
    scene_cancel(&to.s, 1, NULL, 0);
    assert_int_equal(queue_body_get(to.s.store, SHARD, 1, &(struct blob *){ NULL }), ERR_NOT_FOUND);
    scene_verify(&to.s);
    close_source(&to, on_disk);
    close_source(&from, on_disk);
}

static void a_snapshot_is_of_one_moment(void **state)
{
    (void)state;
    check_view(false);
    check_view(true);
}

static void crash(struct source *f, bool on_disk)
{
    struct queue_store *store = f->s.store;

    queue_close(&f->s.q);
    if (!on_disk) {
        queue_store_mem_crash(store);
    } else {
        queue_store_close(&store);
        assert_int_equal(queue_store_open(&store, f->dir, NULL), 0);
    }
    f->s.store = store;
    assert_int_equal(queue_open(&f->s.q, store, SHARD, NULL), 0);
}

static bool note(void *arg, struct span key, struct span value)
{
    (void)key;
    (void)value;
    ++*(unsigned *)arg;
    return true;
}

/* Records in the store that belong to the place that is not read: swapped in, they would be seen. */
static unsigned count_staged(struct queue_store *s)
{
    uint8_t prefix[4] = { 0, 0, 0, SHARD };
    unsigned n = 0;

    s->calls->swap(s->self, SHARD);
    s->calls->each(s->self, span_of(prefix, 4), span_of(prefix, 4), false, &n, note);
    return n;
}

/* The process ends in the middle: after so many chunks, flushed or not, before it is installed, after. */
static void check_crash(bool on_disk, unsigned chunks, bool is_flushed, bool is_installed)
{
    struct source from, to;
    struct queue_staging *g;
    struct queue_store store; /* a staging outlives the store here: it is the dead process' */
    struct stream t;
    uint64_t digest;

    open_source(&from, false);
    open_source(&to, on_disk);
    populate(&from, 300);
    populate(&to, 12);
    store = *to.s.store;
    assert_int_equal(queue_store_flush(to.s.store, NULL), 0);
    digest = queue_digest(to.s.q);
    take_stream(&from, &t);
    queue_staging_open(&g, &store, SHARD);
    for (unsigned i = 0; i < chunks && i < t.count; i++)
        assert_int_equal(queue_staging_add(g, buf_span(&t.chunks[i])), 0);
    if (is_flushed) assert_int_equal(queue_store_flush(to.s.store, NULL), 0);
    if (is_installed) assert_int_equal(queue_staging_install(g, LAST), 0);
    crash(&to, on_disk);
    store = *to.s.store;
    if (is_installed) {
        expect_installed(&from, &t, to.s.store);
    } else {
        assert_true(queue_digest(to.s.q) == digest);
        scene_verify(&to.s);
        expect_bodies(to.s.store, to.moved_upto, 1);
    }
    if (on_disk && !is_installed) assert_int_equal(count_staged(to.s.store), 0);
    queue_staging_close(&g);
    free_stream(&t);
    close_source(&to, on_disk);
    close_source(&from, false);
}

static void a_crash_leaves_the_old_or_the_new(void **state)
{
    (void)state;
    for (unsigned disk = 0; disk < 2; disk++) {
        check_crash(disk, 1, true, false);
        check_crash(disk, CHUNKS_MAX, false, false);
        check_crash(disk, CHUNKS_MAX, true, false);
        check_crash(disk, CHUNKS_MAX, true, true);
    }
}

static void who_gives_up_leaves_nothing(void **state)
{
    struct source from, to;
    struct queue_staging *g;
    struct stream t;

    (void)state;
    open_source(&from, false);
    open_source(&to, true);
    populate(&from, 300);
    populate(&to, 12);
    take_stream(&from, &t);
    queue_staging_open(&g, to.s.store, SHARD);
    assert_int_equal(queue_staging_add(g, buf_span(&t.chunks[0])), 0);
    assert_int_equal(queue_staging_install(g, LAST), ERR_CORRUPT); /* not whole */
    queue_staging_close(&g);
    scene_verify(&to.s);
    assert_int_equal(count_staged(to.s.store), 0);
    free_stream(&t);
    close_source(&to, true);
    close_source(&from, false);
}

/* Each byte of a small stream wrong, each cut, in pieces of all sizes: refused, or (a byte of a value) its hash is. */
static void damage_is_told(void **state)
{
    struct source from, to;
    struct queue_staging *g;
    struct stream t;
    struct buf *b;

    (void)state;
    open_source(&from, false);
    open_source(&to, false);
    from.missing = 0;
    scene_accept(&from.s, "a@example.test", "to@example.org", NULL);
    take_stream(&from, &t);
    assert_int_equal(t.count, 1);
    b = &t.chunks[0];
    for (size_t i = 0; i < b->n; i += i < 600 ? 1 : 97) {
        b->p[i] ^= 0x21;
        queue_staging_open(&g, to.s.store, SHARD);
        if (queue_staging_add(g, buf_span(b)) == 0)
            assert_int_equal(queue_staging_install(g, LAST), ERR_CORRUPT);
        queue_staging_close(&g);
        b->p[i] ^= 0x21;
        queue_staging_open(&g, to.s.store, SHARD);
        assert_int_equal(queue_staging_add(g, span_of(b->p, i)), 0);
        assert_int_equal(queue_staging_install(g, LAST), ERR_CORRUPT);
        assert_int_equal(queue_staging_add(g, span_of(b->p + i, b->n - i)), 0);
        assert_int_equal(queue_staging_install(g, 0), ERR_CORRUPT); /* it ends behind that index */
        queue_staging_close(&g);
    }
    queue_staging_open(&g, to.s.store, SHARD);
    for (size_t i = 0; i < b->n; i++)
        assert_int_equal(queue_staging_add(g, span_of(b->p + i, 1)), 0);
    assert_int_equal(queue_staging_add(g, span_of("x", 1)), ERR_CORRUPT);
    queue_staging_close(&g);
    install(to.s.store, &t, LAST);
    expect_installed(&from, &t, to.s.store);
    free_stream(&t);
    close_source(&to, false);
    close_source(&from, false);
}

static void a_newer_format_is_refused(void **state)
{
    static const uint8_t newer[] = { 'H', 0, 0, 0, PROTO_FORMAT_VERSION + 1, 0, 0, 0, SHARD };
    static const uint8_t other[] = { 'H', 0, 0, 0, PROTO_FORMAT_VERSION, 0, 0, 0, SHARD + 1 };
    struct queue_staging *g;
    struct source to;

    (void)state;
    open_source(&to, false);
    queue_staging_open(&g, to.s.store, SHARD);
    assert_int_equal(queue_staging_add(g, span_of(newer, sizeof newer)), ERR_VERSION);
    assert_int_equal(queue_staging_add(g, span_of(newer, 0)), ERR_VERSION);
    queue_staging_close(&g);
    queue_staging_open(&g, to.s.store, SHARD);
    assert_int_equal(queue_staging_add(g, span_of(other, sizeof other)), ERR_CORRUPT);
    queue_staging_close(&g);
    close_source(&to, false);
}

static void a_missing_body_ends_it(void **state)
{
    struct queue_snapshot *n;
    struct source from;
    struct buf b;
    bool last = false;

    (void)state;
    open_source(&from, false);
    from.missing = scene_accept(&from.s, "a@example.test", "to@example.org", NULL);
    queue_snapshot_open(&n, from.s.q, read_body, &from);
    buf_init(&b, QUEUE_CHUNK_SIZE_MAX);
    assert_int_equal(queue_snapshot_next(n, &b, &last), ERR_CORRUPT);
    assert_int_equal(queue_snapshot_next(n, &b, &last), ERR_CORRUPT);
    buf_deinit(&b);
    queue_snapshot_close(&n);
    close_source(&from, false);
}

/* A shard whose log holds only entries of raft's own. */
static void an_empty_state_is_one_too(void **state)
{
    struct source from, to;
    struct stream t;

    (void)state;
    open_source(&from, true);
    open_source(&to, true);
    populate(&to, 12);
    take_stream(&from, &t);
    install(to.s.store, &t, 7);
    assert_int_equal(queue_reload(to.s.q, NULL), 0);
    assert_int_equal(queue_applied(to.s.q), 7);
    assert_true(queue_digest(to.s.q) == 0);
    scene_verify(&to.s);
    assert_int_equal(compare(to.s.store, from.s.store), 1);
    free_stream(&t);
    close_source(&to, true);
    close_source(&from, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_to_memory),
        cmocka_unit_test(disk_to_disk),
        cmocka_unit_test(both_stores_give_one_stream),
        cmocka_unit_test(a_snapshot_is_of_one_moment),
        cmocka_unit_test(a_crash_leaves_the_old_or_the_new),
        cmocka_unit_test(who_gives_up_leaves_nothing),
        cmocka_unit_test(damage_is_told),
        cmocka_unit_test(a_newer_format_is_refused),
        cmocka_unit_test(a_missing_body_ends_it),
        cmocka_unit_test(an_empty_state_is_one_too),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
