/* properties - the arithmetic of the core against what is plain to see, over many drawn cases: quorum.c, trail.c,
 * window.c, the marks of durable.c, configurations on their way through a joint one.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "raft/core/inside.h"

#define CASES 3000
#define LOG   200

static struct rng rng;

static uint64_t draw(uint64_t n)
{
    return rng_below(&rng, n);
}

static unsigned holders(const struct quorum_voter *v, unsigned n, uint64_t index, unsigned *places)
{
    bool seen[4] = { false };
    unsigned count = 0;

    for (unsigned i = 0; i < n; i++) {
        if (v[i].match < index) continue;
        count++;
        seen[v[i].place] = true;
    }
    *places = seen[0] + seen[1] + seen[2] + seen[3];
    return count;
}

static void a_quorum_holds_its_index_and_none_the_next(void **state)
{
    (void)state;
    for (unsigned k = 0; k < CASES; k++) {
        struct quorum_voter v[CORE_VOTERS_MAX];
        unsigned n = 1 + (unsigned)draw(CORE_VOTERS_MAX), all, places;
        bool spread = draw(2);
        uint64_t index;

        for (unsigned i = 0; i < n; i++)
            v[i] = (struct quorum_voter){ .match = 1 + draw(6), .place = (uint32_t)draw(4) };
        holders(v, n, 0, &all);
        index = quorum_index(v, n, spread);
        assert_true(holders(v, n, index, &places) >= n / 2 + 1);
        assert_true(!spread || all < 2 || places >= 2);
        if (holders(v, n, index + 1, &places) >= n / 2 + 1)
            assert_true(spread && all >= 2 && places < 2);
    }
}

static void votes_decide_when_they_must(void **state)
{
    (void)state;
    for (unsigned k = 0; k < CASES; k++) {
        struct quorum_voter v[CORE_VOTERS_MAX] = { { 0 } };
        unsigned n = 1 + (unsigned)draw(CORE_VOTERS_MAX), yes = 0, no = 0;
        enum tally t;

        for (unsigned i = 0; i < n; i++) {
            unsigned vote = (unsigned)draw(3);

            v[i].yes = vote == 1;
            v[i].no = vote == 2;
            yes += v[i].yes;
            no += v[i].no;
        }
        t = quorum_tally(v, n);
        assert_int_equal(t == TALLY_WON, 2 * yes > n);
        assert_int_equal(t == TALLY_LOST, 2 * (n - no) <= n);
    }
}

/* The log as a plain array beside the trail: what the trail says is so, or it says nothing. */
static void a_trail_never_says_a_wrong_term(void **state)
{
    (void)state;
    for (unsigned k = 0; k < CASES / 10; k++) {
        struct core_run runs[4];
        struct trail t = { .max = 4, .runs = runs };
        uint64_t terms[LOG] = { 0 }, term = 1, base = 0;

        trail_init(&t, (struct core_pos){ 0, 0 });
        for (unsigned step = 0; step < 300 && t.last + 1 < LOG; step++) {
            uint64_t end;

            if (draw(4) == 0) term += 1 + draw(2);
            if (draw(10) > 0) {
                trail_add(&t, term);
                terms[t.last] = term;
            } else if (draw(2) && t.last > base) {
                end = base + draw(t.last - base);
                trail_truncate(&t, (struct core_pos){ end, terms[end] });
            } else if (t.last > base) {
                base += 1 + draw(t.last - base);
                trail_cut(&t, (struct core_pos){ base, terms[base] });
            }
            assert_true(t.edge.index >= t.base.index && t.edge.index <= t.last && t.count <= t.max);
            assert_int_equal(t.base.index, base);
            for (uint64_t i = base; i <= t.last; i++) {
                uint64_t said = trail_term(&t, i);

                assert_true(said == 0 || said == terms[i]);
                assert_true(said != 0 || i < t.edge.index || i == 0);
            }
        }
    }
}

static void a_window_is_exact_for_even_weights_and_bounded_for_others(void **state)
{
    (void)state;
    for (unsigned k = 0; k < CASES / 10; k++) {
        uint64_t sums[LOG] = { 0 }, even = draw(2) ? 1 + draw(50) : 0;
        struct window w;

        window_init(&w, 0);
        for (uint64_t i = 1; i < LOG; i++) {
            uint64_t weight = even ? even : draw(100), from = draw(i), upto;

            window_add(&w, i, weight);
            sums[i] = sums[i - 1] + weight;
            assert_int_equal(window_bytes(&w, 0, i), sums[i]);
            assert_int_equal(window_bytes(&w, i - 1, i), weight);
            assert_true(window_bytes(&w, from, i) <= sums[i]);
            if (even) assert_int_equal(window_bytes(&w, from, i), sums[i] - sums[from]);
            upto = window_upto(&w, from, i, 120);
            assert_true(upto > from && upto <= i);
            assert_true(upto == from + 1 || window_bytes(&w, from, upto) <= 120);
        }
    }
}

/* A write says how far the log is durable; what was cut off meanwhile does not count; never too much. */
static void marks_never_say_too_much(void **state)
{
    (void)state;
    for (unsigned k = 0; k < CASES; k++) {
        struct marks m = { .count = 0 };
        uint64_t durable[LOG] = { 0 }; /* by write: the log on the disk after it, as of now */
        uint64_t last = 0, write = 0, done = 0, said = 0;

        while (write + 1 < LOG) {
            if (draw(3) > 0) {
                if (draw(5) == 0 && last > 0) {
                    last = draw(last + 1);
                    marks_clip(&m, last);
                    said = MIN(said, last);
                    for (uint64_t i = 0; i <= write; i++)
                        durable[i] = MIN(durable[i], last);
                }
                last += 1 + draw(3);
                durable[++write] = last;
                marks_add(&m, write, last);
            } else if (done < write) {
                done += 1 + draw(write - done);
                said = marks_take(&m, done, said);
                assert_true(said <= durable[done]);
            }
        }
        said = marks_take(&m, write, said);
        assert_int_equal(said, last); /* all is done: nothing is left out */
    }
}

static void draw_config(struct core_config *g)
{
    do {
        *g = (struct core_config){ .count = 0 };
        for (unsigned n = 1; n <= 6; n++)
            if (draw(2))
                g->members[g->count++] =
                    (struct core_member){ .node = n,
                                          .flags = draw(3) ? CORE_VOTES_NEW : CORE_LEARNS };
    } while (core_config_check(g) != 0);
}

static bool has_majority(const struct core_config *g, unsigned flag, unsigned nodes)
{
    unsigned n = 0, in = 0;

    for (unsigned i = 0; i < g->count; i++) {
        if (!(g->members[i].flags & flag)) continue;
        n++;
        in += nodes >> g->members[i].node & 1;
    }
    return n == 0 || 2 * in > n;
}

/* Thesis 4.3: no two sets of nodes decide apart, on the way from one configuration to any other. */
static void quorums_of_neighbours_meet(void **state)
{
    (void)state;
    for (unsigned k = 0; k < CASES / 10; k++) {
        struct core_config way[3];
        unsigned steps = 2;

        draw_config(&way[0]);
        draw_config(&way[1]);
        assert_int_equal(config_towards(&way[0], &way[1], &way[2]), 0);
        way[1] = way[2];
        assert_int_equal(core_config_check(&way[1]), 0);
        if (way[1].joint) {
            config_end(&way[1], &way[2]);
            assert_int_equal(core_config_check(&way[2]), 0);
            assert_false(way[2].joint);
            steps = 3;
        }
        for (unsigned s = 0; s + 1 < steps; s++)
            for (unsigned a = 0; a < 128; a += 2) {
                unsigned b = ~a & 126; /* the others */

                assert_false(has_majority(&way[s], CORE_VOTES_NEW, a) &&
                             has_majority(&way[s], CORE_VOTES_OLD, a) &&
                             has_majority(&way[s + 1], CORE_VOTES_NEW, b) &&
                             has_majority(&way[s + 1], CORE_VOTES_OLD, b));
            }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_quorum_holds_its_index_and_none_the_next),
        cmocka_unit_test(votes_decide_when_they_must),
        cmocka_unit_test(a_trail_never_says_a_wrong_term),
        cmocka_unit_test(a_window_is_exact_for_even_weights_and_bounded_for_others),
        cmocka_unit_test(marks_never_say_too_much),
        cmocka_unit_test(quorums_of_neighbours_meet),
    };

    rng_seed(&rng, 11);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
