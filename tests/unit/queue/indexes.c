/* indexes - what only lists and restarts show: pending messages, the longest destination, moved
 * bodies over a crash; and damages of what the indexes say. */
#include "tests/unit/queue/scene.h"

#include "queue/inside.h"
#include "queue/keys.h"

static void messages_are_listed_by_index(void **state)
{
    struct scene s;
    uint64_t list[8], m[3];

    (void)state;
    scene_open(&s);
    for (unsigned i = 0; i < 3; i++)
        m[i] = scene_accept(&s, "a@x.example", "b@y.example", NULL);
    scene_cancel(&s, m[1], NULL, 0);
    assert_int_equal(queue_messages(s.store, SHARD, 0, false, list, 8), 3);
    assert_int_equal(queue_messages(s.store, SHARD, 0, true, list, 8), 2);
    assert_int_equal(list[0], m[0]);
    assert_int_equal(list[1], m[2]);
    assert_int_equal(queue_messages(s.store, SHARD, m[0], true, list, 8), 1);
    assert_int_equal(queue_messages(s.store, SHARD, 0, false, list, 2), 2);
    assert_int_equal(queue_messages(s.store, SHARD, UINT64_MAX, false, list, 8), 0);
    scene_close(&s);
}

static void the_longest_destination(void **state)
{
    struct queue_place at = { 0 };
    struct queue_due d[2];
    char to[2 + 255 + 1] = "x@";
    struct scene s;

    (void)state;
    memset(to + 2, 'd', 255);
    scene_open(&s);
    scene_accept(&s, "a@x.example", to, NULL);
    assert_int_equal(queue_due_by_time(s.store, SHARD, &at, UINT64_MAX, d, 2), 1);
    assert_string_equal(d[0].domain, to + 2);
    at = (struct queue_place){ 0 };
    assert_int_equal(queue_due_by_domain(s.store, SHARD, span_cstr(to + 2), &at, UINT64_MAX, d, 2),
                     1);
    at = (struct queue_place){ 0 };
    assert_int_equal(
        queue_due_by_domain(s.store, SHARD, span_of(to + 2, 254), &at, UINT64_MAX, d, 2), 0);
    scene_close(&s);
}

/* ---- where scans begin */

static const struct queue_store_calls *beneath;
static uint64_t begun_at_ms; /* due time from which the last scan went */

static void each_seen(void *self, struct span prefix, struct span from, bool backwards, void *arg,
                      bool (*each)(void *arg, struct span key, struct span value))
{
    begun_at_ms = from.n >= prefix.n + 8 ? queue_read_u64(from, prefix.n) : 0;
    beneath->each(self, prefix, from, backwards, arg, each);
}

/* What is gone is walked over once: by the index of time for all destinations. */
static void a_destination_is_looked_for_where_anything_is_due(void **state)
{
    static struct queue_store_calls calls;
    struct queue_place at = { 0 };
    struct queue_due d[2];
    struct scene s;
    uint64_t gone, late;

    (void)state;
    scene_open(&s);
    gone = scene_accept(&s, "a@x.example", "b@y.example", NULL);
    scene_cancel(&s, gone, NULL, 0);
    late = scene_accept(&s, "a@x.example", "c@y.example", NULL);
    calls = *s.store->calls;
    beneath = s.store->calls;
    calls.each = each_seen;
    s.store->calls = &calls;
    assert_int_not_equal(queue_due_next_ms(s.store, SHARD, span_of(NULL, 0)), UINT64_MAX);
    assert_int_equal(begun_at_ms, 0);
    assert_int_equal(
        queue_due_by_domain(s.store, SHARD, SPAN_LIT("y.example"), &at, UINT64_MAX, d, 2), 1);
    assert_int_equal(d[0].index, late);
    assert_int_equal(begun_at_ms, d[0].due_at_ms);
    s.store->calls = beneath;
    scene_close(&s);
}

/* At boot the log is replayed before anybody says how far bodies were moved: they are forgotten all
 * the same. */
static void moved_bodies_are_forgotten_by_a_replay(void **state)
{
    struct queue_store *store = NULL;
    struct blob *b = NULL;
    struct errmsg why;
    struct scene s;
    uint64_t m, young;

    (void)state;
    assert_int_equal(queue_store_open(&store, NULL, &why), 0);
    scene_open_on(&s, store);
    m = scene_accept(&s, "a@x.example", "b@y.example", NULL);
    queue_body_put(store, SHARD, m, SPAN_LIT("moved"));
    assert_int_equal(queue_store_flush(store, &why), 0);
    young = scene_accept(&s, "a@x.example", "b@y.example", NULL);
    queue_close(&s.q);
    queue_store_mem_crash(store);
    assert_int_equal(queue_open(&s.q, store, SHARD, &why), 0);
    s.next = young;
    assert_int_equal(scene_accept(&s, "a@x.example", "b@y.example", NULL), young);
    scene_cancel(&s, m, NULL, 0);
    assert_int_equal(queue_body_get(store, SHARD, m, &b), ERR_NOT_FOUND);
    scene_leave(&s);
    queue_store_close(&store);
}

/* ---- damages */

struct harm {
    struct scene s;
    uint64_t open, finished;
};

static void put(struct harm *h, struct queue_key key, struct span value)
{
    struct queue_change c = { .key = queue_key_span(&key), .value = value };

    h->s.store->calls->write(h->s.store->self, &c, 1);
}

static void drop(struct harm *h, struct queue_key key)
{
    struct queue_change c = { .key = queue_key_span(&key), .is_delete = true };

    h->s.store->calls->write(h->s.store->self, &c, 1);
}

static void a_pending_one_is_not_listed(struct harm *h)
{
    drop(h, queue_key_1(SHARD, 'p', h->open));
}

static void a_finished_one_is_listed(struct harm *h)
{
    put(h, queue_key_1(SHARD, 'p', h->finished), span_of("", 0));
}

static void due_elsewhere(struct harm *h)
{
    Angarium__RecipientRecord *r = NULL;

    assert_int_equal(queue_recipient_get(h->s.store, SHARD, h->open, 0, &r), 0);
    put(h, queue_key_time(SHARD, r->due_at_ms, h->open, 0), SPAN_LIT("other.example"));
    queue_recipient_free(&r);
}

static void the_body_of_another(struct harm *h)
{
    put(h, queue_key_1(SHARD, 'l', h->open), SPAN_LIT("\0\0\0\0\0\0\0\11"));
}

static void a_recipient_of_nobody(struct harm *h)
{
    put(h, queue_key_ref(SHARD, 'r', 999, 0), span_of("", 0));
}

static void claimed_without_an_attempt(struct harm *h)
{
    Angarium__RecipientRecord *r = NULL;
    struct buf b;

    assert_int_equal(queue_recipient_get(h->s.store, SHARD, h->open, 1, &r), 0);
    r->attempts = 0;
    buf_init(&b, 10000);
    proto_pack(&r->base, &b);
    put(h, queue_key_ref(SHARD, 'r', h->open, 1), buf_span(&b));
    buf_deinit(&b);
    queue_recipient_free(&r);
}

static void damages_are_found(void **state)
{
    static const struct {
        const char *rule;
        void (*damage)(struct harm *h);
    } cases[] = {
        { "Q7:", a_pending_one_is_not_listed },
        { "Q7:", a_finished_one_is_listed },
        { "Q3:", due_elsewhere },
        { "Q6:", the_body_of_another },
        { "Q1:", a_recipient_of_nobody },
        { "Q8:", claimed_without_an_attempt },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct errmsg why = { "" };
        struct harm h;

        scene_open(&h.s);
        h.open = scene_accept(&h.s, "a@x.example", "waits@y.example", "claimed@y.example");
        scene_claim(&h.s, h.open, 1);
        h.finished = scene_accept(&h.s, "a@x.example", "b@y.example", NULL);
        scene_cancel(&h.s, h.finished, NULL, 0);
        cases[i].damage(&h);
        if (queue_verify(h.s.store, SHARD, &why) != ERR_CORRUPT || !strstr(why.text, cases[i].rule))
            fail_msg("not %s but \"%s\"", cases[i].rule, why.text);
        scene_close(&h.s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_are_listed_by_index),
        cmocka_unit_test(the_longest_destination),
        cmocka_unit_test(a_destination_is_looked_for_where_anything_is_due),
        cmocka_unit_test(moved_bodies_are_forgotten_by_a_replay),
        cmocka_unit_test(damages_are_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
