/* lives - many lives of one core over a disk that loses its unsynced writes: whatever is committed
 * stays, with the term it had, through all lives (R1, R3, R4, R5); no term leads twice.
 */
#include "tests/unit/raft/core/trace.h"

#include "proto/ground/rng.h"

#define LIVES       40
#define STEPS       120
#define ENTRIES_MAX 4096
#define WRITES_MAX  256

struct write {
    uint64_t id;
    bool is_hard;
    struct core_hard hard;
    uint64_t index, term;
};

struct world {
    struct rng rng;
    struct trace t;
    /* the disk */
    struct core_hard hard;
    uint64_t terms[ENTRIES_MAX]; /* of entry i, 0: none */
    uint64_t last;
    struct write waiting[WRITES_MAX];
    unsigned waiting_count;
    /* what must stay */
    uint64_t committed[ENTRIES_MAX];
    uint64_t commit, applied, led_term;
};

static void carry_out(struct world *w)
{
    const struct core_update *u = &w->t.last;
    uint64_t before = w->commit;

    if (u->write_id) {
        struct write *p = &w->waiting[w->waiting_count++];

        CHECK(w->waiting_count < WRITES_MAX);
        *p = (struct write){ .id = u->write_id,
                             .is_hard = u->flags & CORE_HARD,
                             .hard = u->hard,
                             .index = u->append.index,
                             .term = u->append.term };
    }
    if ((u->flags & CORE_ROLE) && u->role == CORE_LEADER && !u->ready) {
        assert_true(u->term > w->led_term);
        assert_int_equal(w->hard.term, u->term); /* its vote is on the disk */
        w->led_term = u->term;
    }
    if (!(u->flags & CORE_COMMIT)) return;
    assert_true(u->commit >= before || u->commit >= w->applied);
    for (uint64_t i = 1; i <= u->commit; i++) {
        assert_true(i <= w->last); /* only what is on the disk */
        if (i <= before) assert_int_equal(w->committed[i], w->terms[i]);
        w->committed[i] = w->terms[i];
    }
    if (u->commit > w->commit) w->commit = u->commit;
}

static void sync_some(struct world *w, unsigned n)
{
    uint64_t id;

    if (n == 0) return;
    for (unsigned i = 0; i < n; i++) {
        const struct write *p = &w->waiting[i];

        if (p->is_hard) {
            w->hard = p->hard;
        } else {
            assert_int_equal(p->index, w->last + 1);
            w->terms[++w->last] = p->term;
        }
    }
    id = w->waiting[n - 1].id;
    w->waiting_count -= n;
    memmove(w->waiting, w->waiting + n, w->waiting_count * sizeof w->waiting[0]);
    trace_durable(&w->t, id);
    carry_out(w);
}

static void step(struct world *w)
{
    uint64_t commit = trace_see(&w->t).commit;

    switch (rng_below(&w->rng, 4)) {
    case 0:
        trace_time(&w->t, w->t.now_ms + rng_below(&w->rng, 100));
        break;
    case 1:
        if (w->waiting_count < WRITES_MAX / 2)
            trace_propose(&w->t, (uint32_t)rng_below(&w->rng, 400), 0);
        break;
    case 2:
        sync_some(w, (unsigned)rng_below(&w->rng, w->waiting_count + 1));
        return;
    case 3:
        w->applied += rng_below(&w->rng, commit - w->applied + 1);
        trace_applied(&w->t, w->applied);
        break;
    }
    carry_out(w);
    w->t.last = (struct core_update){ 0 };
}

/* The disk keeps any number of the writes that were not acknowledged; the machine keeps any part of
 * what it had applied, but not less than the log was cut to (nothing is cut here). */
static void power_cut(struct world *w)
{
    unsigned kept = (unsigned)rng_below(&w->rng, w->waiting_count + 1);

    for (unsigned i = 0; i < kept; i++) {
        if (w->waiting[i].is_hard)
            w->hard = w->waiting[i].hard;
        else
            w->terms[++w->last] = w->waiting[i].term;
    }
    w->waiting_count = 0;
    w->applied = rng_below(&w->rng, w->applied + 1);
}

static void live(struct world *w)
{
    struct core_options o = trace_options;

    o.election_ms = (uint32_t)rng_below(&w->rng, 100);
    o.seed = rng_next(&w->rng);
    trace_open(&w->t, &o);
    trace_boot(&w->t, &(struct trace_log){ .hard = w->hard,
                                           .first = 1,
                                           .last = w->last,
                                           .last_term = w->terms[w->last],
                                           .applied = w->applied });
    for (unsigned i = 0; i < STEPS && w->last < ENTRIES_MAX - WRITES_MAX; i++)
        step(w);
    trace_close(&w->t);
    power_cut(w);
}

static void what_is_committed_stays(void **state)
{
    static struct world w;

    (void)state;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        memset(&w, 0, sizeof w);
        rng_seed(&w.rng, seed);
        for (unsigned i = 0; i < LIVES; i++)
            live(&w);
        assert_true(w.commit > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(what_is_committed_stays) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
