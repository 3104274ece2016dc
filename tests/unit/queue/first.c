/* first - the bound where an index begins is raised by scans, lowered by writes, and never wrong in between. */
#include "tests/unit/queue/world.h"

#include "queue/first.h"

#define B SPAN_LIT("b.test")

static void raised_by_a_scan_lowered_by_a_write(void **state)
{
    struct first *f = first_new();
    uint64_t version;

    (void)state;
    assert_int_equal(first_ask(f, 1, B, &version), 0);
    first_seen(f, 1, B, version, 500);
    assert_int_equal(first_ask(f, 1, B, &version), 500);
    first_seen(f, 1, B, version, 400); /* never down by a scan */
    assert_int_equal(first_ask(f, 1, B, &version), 500);
    first_written(f, 1, B, 300);
    assert_int_equal(first_ask(f, 1, B, &version), 300);
    first_written(f, 1, B, 700);
    assert_int_equal(first_ask(f, 1, B, &version), 300);
    first_seen(f, 1, B, version, UINT64_MAX); /* empty */
    first_written(f, 1, B, 800);
    assert_int_equal(first_ask(f, 1, B, &version), 800);
    first_forget_all(f);
    assert_int_equal(first_ask(f, 1, B, &version), 0);
    first_free(&f);
}

static void a_write_during_a_scan_keeps_the_bound(void **state)
{
    struct first *f = first_new();
    uint64_t version, other;

    (void)state;
    first_ask(f, 1, B, &version);
    first_written(f, 1, B, 900); /* the scan may not have seen it, whatever its time */
    first_seen(f, 1, B, version, 1000);
    assert_int_equal(first_ask(f, 1, B, &other), 0);
    first_forget_all(f);
    first_seen(f, 1, B, other, 1000);
    assert_int_equal(first_ask(f, 1, B, &other), 0);
    first_free(&f);
}

/* Many more indexes than slots: whoever takes a slot begins at 0, and the one before learns nothing of it. */
static void slots_change_hands(void **state)
{
    struct first *f = first_new();
    uint64_t version, old;
    char name[16];

    (void)state;
    first_ask(f, 1, B, &old);
    for (unsigned i = 0; i < 100000; i++) {
        int n = snprintf(name, sizeof name, "d%u.test", i);

        assert_int_equal(first_ask(f, 2, span_of(name, (size_t)n), &version), 0);
        first_seen(f, 2, span_of(name, (size_t)n), version, 7);
    }
    assert_int_equal(first_ask(f, 1, B, &version), 0); /* its slot was taken and taken back */
    first_seen(f, 1, B, old, 9);
    assert_int_equal(first_ask(f, 1, B, &version), 0);
    assert_int_equal(first_ask(f, 2, B, &version), 0); /* another shard is another index */
    first_free(&f);
}

static void scans_see_what_comes_before_the_bound(void **state)
{
    struct world w;
    struct queue_due d[4];
    struct queue_place at = { 0 };
    uint64_t m;

    (void)state;
    world_open(&w, NULL);
    w.now_ms += 1000;
    m = accept(&w, "s@a.test", "x@b.test y@b.test");
    assert_int_equal(queue_due_by_domain(w.store, SHARD, B, &at, UINT64_MAX, d, 4), 2); /* raises to 1000 */
    assert_true(claim(&w, m, 0) && in_doubt(&w, m, 0));
    assert_true(deferred(&w, m, 0, START_MS + 5)); /* before the bound */
    at = (struct queue_place){ 0 };
    assert_int_equal(queue_due_by_domain(w.store, SHARD, B, &at, UINT64_MAX, d, 4), 2);
    assert_int_equal(d[0].due_at_ms, START_MS + 5);
    assert_int_equal(queue_due_next_ms(w.store, SHARD, span_of(NULL, 0)), START_MS + 5);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(raised_by_a_scan_lowered_by_a_write),
        cmocka_unit_test(a_write_during_a_scan_keeps_the_bound),
        cmocka_unit_test(slots_change_hands),
        cmocka_unit_test(scans_see_what_comes_before_the_bound),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
