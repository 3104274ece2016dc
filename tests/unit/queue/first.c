/* first - the bound where a due index begins: raised by scans, lowered by writes, never wrong in
 * between. */
#include "tests/unit/queue/scene.h"

#include "proto/ground/rng.h"
#include "queue/first.h"

#define B SPAN_LIT("b.example")

static void raised_by_a_scan_lowered_by_a_write(void **state)
{
    struct first *f = first_new(4096);
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
    struct first *f = first_new(4096);
    uint64_t version, later;

    (void)state;
    first_ask(f, 1, B, &version);
    first_written(f, 1, B, 900); /* the scan may not have seen it */
    first_seen(f, 1, B, version, 1000);
    assert_int_equal(first_ask(f, 1, B, &later), 0);
    first_forget_all(f);
    first_seen(f, 1, B, later, 1000);
    assert_int_equal(first_ask(f, 1, B, &later), 0);
    first_free(&f);
}

/* Many more indexes than slots: who takes a slot begins at 0, and learns nothing of the one before.
 */
static void slots_change_hands(void **state)
{
    struct first *f = first_new(4096);
    uint64_t version, old;
    char name[24];

    (void)state;
    first_ask(f, 1, B, &old);
    for (unsigned i = 0; i < 100000; i++) {
        int n = snprintf(name, sizeof name, "d%u.example", i);

        assert_int_equal(first_ask(f, 2, span_of(name, (size_t)n), &version), 0);
        first_seen(f, 2, span_of(name, (size_t)n), version, 7);
    }
    assert_int_equal(first_ask(f, 1, B, &version), 0); /* its slot was taken, and taken back */
    first_seen(f, 1, B, old, 9);
    assert_int_equal(first_ask(f, 1, B, &version), 0);
    assert_int_equal(first_ask(f, 2, B, &version), 0); /* another shard is another index */
    first_free(&f);
}

/* ---- in the queue: a scan from the start finds what a scan that knows no bound finds */

static const char *const domains[] = { "one.example", "two.example", "three.example" };

static size_t scan(struct scene *s, const char *domain, bool bounded, struct queue_due *out,
                   size_t max)
{
    struct queue_place place = { .started = !bounded };

    return domain ? queue_due_by_domain(s->store, SHARD, span_cstr(domain), &place, s->now_ms, out,
                                        max)
                  : queue_due_by_time(s->store, SHARD, &place, s->now_ms, out, max);
}

static void compare_scans(struct scene *s, const char *domain)
{
    static struct queue_due with[512], without[512];
    size_t n = scan(s, domain, true, with, 512);

    assert_int_equal(n, scan(s, domain, false, without, 512));
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(with[i].due_at_ms, without[i].due_at_ms);
        assert_int_equal(with[i].index, without[i].index);
        assert_int_equal(with[i].recipient, without[i].recipient);
        assert_string_equal(with[i].domain, without[i].domain);
    }
}

static void random_step(struct scene *s, struct rng *r)
{
    static const char *const to[] = { "a@one.example", "b@two.example", "c@three.example" };
    uint64_t index = s->next > 60 ? s->next - 60 + rng_below(r, 60) : rng_below(r, 60) + 1;
    uint64_t later = s->now_ms - 20000 + rng_below(r, 60000);

    switch (rng_below(r, 6)) {
    case 0:
    case 1:
        scene_accept(s, "s@x.example", to[rng_below(r, 3)], to[rng_below(r, 3)]);
        return;
    case 2:
    case 3:
        scene_claim(s, index, (uint32_t)rng_below(r, 2));
        return;
    case 4:
        scene_outcome(s, index, (uint32_t)rng_below(r, 2), ANGARIUM__RESULT__RESULT_DEFERRED,
                      later);
        return;
    default:
        scene_cancel(s, index, NULL, 0);
    }
}

static void scans_from_the_start_miss_nothing(void **state)
{
    struct scene s;
    struct rng r;

    (void)state;
    rng_seed(&r, 5);
    scene_open(&s);
    s.verify_each = false;
    for (unsigned i = 0; i < 5000; i++) {
        random_step(&s, &r);
        if (rng_below(&r, 3) == 0) compare_scans(&s, domains[rng_below(&r, 3)]);
        if (rng_below(&r, 5) == 0) compare_scans(&s, NULL);
    }
    scene_verify(&s);
    scene_close(&s);
}

/* A bound that was learned before a crash is not one of the state after it. */
static void a_crash_forgets_the_bounds(void **state)
{
    struct queue_place place = { 0 };
    struct queue_due d[2];
    struct scene s;
    uint64_t m;

    (void)state;
    scene_open(&s);
    s.verify_each = false;
    m = scene_accept(&s, "s@x.example", "b@two.example", NULL);
    assert_int_equal(queue_store_flush(s.store, NULL), 0);
    scene_cancel(&s, m, NULL, 0);
    assert_int_equal(queue_due_by_time(s.store, SHARD, &place, UINT64_MAX, d, 2), 0);
    queue_close(&s.q);
    queue_store_mem_crash(s.store);
    assert_int_equal(queue_open(&s.q, s.store, SHARD, NULL), 0);
    assert_int_equal(queue_due_by_time(s.store, SHARD, &place, UINT64_MAX, d, 2), 1);
    scene_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(raised_by_a_scan_lowered_by_a_write),
        cmocka_unit_test(a_write_during_a_scan_keeps_the_bound),
        cmocka_unit_test(slots_change_hands),
        cmocka_unit_test(scans_from_the_start_miss_nothing),
        cmocka_unit_test(a_crash_forgets_the_bounds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
