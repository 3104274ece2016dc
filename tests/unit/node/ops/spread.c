/* spread - a question to nodes that answer, hang, fail or are refused, in false time: it is over after one bounded wait, whatever they do; each
 * shard has one answer that counts; a shard that somebody answers for is not left out. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "node/ops/spread.h"
#include "proto/ground/rng.h"

#define NODES   6u
#define SHARDS  9u
#define HOLDERS 3u
#define NEVER   UINT64_MAX

enum way { ANSWERS, FAILS, HANGS, REFUSES };
struct scene {
    struct spread spread;
    enum way way[NODES + 1];
    uint64_t takes_ms[NODES + 1], now_ms;
    struct {
        uint64_t node, due_ms;
        uint32_t shards[SHARDS];
        unsigned count;
    } parts[SPREAD_PARTS_MAX];
    unsigned answered[SHARDS + 1], asked[NODES + 1];
};
static const uint32_t shards[SHARDS] = { 1, 2, 3, 4, 5, 6, 7, 8, 9 };

static uint64_t holder(uint32_t shard, unsigned k)
{
    return (shard + k) % NODES + 1;
}

static unsigned scene_holders(void *arg, uint32_t shard, uint64_t out[QUESTION_HOLDERS_MAX])
{
    (void)arg;
    for (unsigned k = 0; k < HOLDERS; k++)
        out[k] = holder(shard, k);
    return HOLDERS;
}

static int scene_ask(void *arg, unsigned part, uint64_t node, const uint32_t *list, unsigned count)
{
    struct scene *s = arg;
    bool ends = s->way[node] == ANSWERS || s->way[node] == FAILS;

    assert_in_range(count, 1, SHARDS);
    s->asked[node]++;
    if (s->way[node] == REFUSES) return ERR_CLOSED;
    s->parts[part].node = node;
    s->parts[part].due_ms = ends ? s->now_ms + s->takes_ms[node] : NEVER;
    s->parts[part].count = count;
    for (unsigned i = 0; i < count; i++)
        s->parts[part].shards[i] = list[i];
    return 0;
}

static void begin(struct scene *s)
{
    const struct spread_calls calls = { s, scene_holders, scene_ask };

    s->now_ms = 1000;
    spread_begin(&s->spread, &calls, shards, SHARDS, s->now_ms);
    for (unsigned i = 0; i < SPREAD_PARTS_MAX; i++)
        s->parts[i].due_ms = NEVER;
    spread_turn(&s->spread, s->now_ms);
}

static void end_part(struct scene *s, unsigned i)
{
    s->parts[i].due_ms = NEVER;
    if (s->way[s->parts[i].node] == FAILS)
        spread_fail(&s->spread, i);
    else if (spread_take(&s->spread, i, s->parts[i].shards, s->parts[i].count))
        for (unsigned k = 0; k < s->parts[i].count; k++)
            s->answered[s->parts[i].shards[k]]++;
    spread_turn(&s->spread, s->now_ms);
}

/* To its end; how long it took. */
static uint64_t run(struct scene *s)
{
    uint64_t begun;

    begin(s);
    begun = s->now_ms;
    while (!spread_is_done(&s->spread, s->now_ms)) {
        uint64_t next = spread_next_ms(&s->spread);
        unsigned first = SPREAD_PARTS_MAX;

        for (unsigned i = 0; i < s->spread.part_count; i++)
            if (s->parts[i].due_ms < next) {
                next = s->parts[i].due_ms;
                first = i;
            }
        assert_true(next >= s->now_ms);
        s->now_ms = next;
        if (first < SPREAD_PARTS_MAX)
            end_part(s, first);
        else
            spread_turn(&s->spread, s->now_ms);
    }
    return s->now_ms - begun;
}

static void all_answer(void **state)
{
    struct scene *s = calloc(1, sizeof *s);

    (void)state;
    for (unsigned n = 1; n <= NODES; n++)
        s->takes_ms[n] = 10 * n;
    assert_int_equal(run(s), 60);
    for (unsigned n = 1; n <= NODES; n++)
        assert_int_equal(s->asked[n], 1);
    free(s);
}

static void who_is_gone_costs_nothing(void **state)
{
    struct scene *s = calloc(1, sizeof *s);

    (void)state;
    for (unsigned n = 1; n <= NODES; n++)
        s->takes_ms[n] = 10;
    s->way[2] = REFUSES;
    s->way[3] = FAILS;
    assert_int_equal(run(s), 20);
    for (unsigned i = 1; i <= SHARDS; i++)
        assert_int_equal(s->answered[i], 1);
    free(s);
}

/* Its shards are asked of others after a part of the wait; it is waited for no longer than these take. */
static void who_hangs_costs_a_part_of_the_wait(void **state)
{
    struct scene *s = calloc(1, sizeof *s);

    (void)state;
    for (unsigned n = 1; n <= NODES; n++)
        s->takes_ms[n] = 10;
    s->way[2] = HANGS;
    assert_int_equal(run(s), SPREAD_HEDGE_MS + 10);
    assert_true(spread_waits_for(&s->spread, 2));
    for (unsigned i = 1; i <= SHARDS; i++)
        assert_int_equal(s->answered[i], 1);
    free(s);
}

static void all_hang(void **state)
{
    struct scene *s = calloc(1, sizeof *s);

    (void)state;
    for (unsigned n = 1; n <= NODES; n++)
        s->way[n] = HANGS;
    assert_int_equal(run(s), SPREAD_WITHIN_MS);
    assert_int_equal(spread_left_ms(&s->spread, s->now_ms), 1);
    free(s);
}

/* One that is slow and answers after all: nothing counts twice. */
static void the_first_answer_counts(void **state)
{
    struct scene *s = calloc(1, sizeof *s);

    (void)state;
    for (unsigned n = 1; n <= NODES; n++)
        s->takes_ms[n] = 500;
    s->takes_ms[2] = SPREAD_HEDGE_MS + 100;
    assert_int_equal(run(s), SPREAD_HEDGE_MS + 100);
    assert_false(spread_waits_for(&s->spread, 2));
    for (unsigned i = 1; i <= SHARDS; i++)
        assert_int_equal(s->answered[i], 1);
    free(s);
}

static void one_wait_whatever_they_do(void **state)
{
    struct rng rng;

    (void)state;
    rng_seed(&rng, 7);
    for (unsigned round = 0; round < 5000; round++) {
        struct scene *s = calloc(1, sizeof *s);
        uint64_t took;

        for (unsigned n = 1; n <= NODES; n++) {
            s->way[n] = (enum way)rng_below(&rng, 4);
            s->takes_ms[n] = rng_below(&rng, 3) ? rng_below(&rng, 50) : rng_below(&rng, 3000);
        }
        took = run(s);
        assert_true(took <= SPREAD_WITHIN_MS);
        for (unsigned i = 1; i <= SHARDS; i++) {
            unsigned quick = 0;

            assert_in_range(s->answered[i], 0, 1);
            for (unsigned k = 0; k < HOLDERS; k++) {
                uint64_t node = holder(i, k);

                quick += s->way[node] == ANSWERS && s->takes_ms[node] < 50;
            }
            if (quick > 0) assert_int_equal(s->answered[i], 1);
        }
        for (unsigned n = 1; n <= NODES; n++)
            assert_in_range(s->asked[n], 0, SHARDS);
        free(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_answer),
        cmocka_unit_test(who_is_gone_costs_nothing),
        cmocka_unit_test(who_hangs_costs_a_part_of_the_wait),
        cmocka_unit_test(all_hang),
        cmocka_unit_test(the_first_answer_counts),
        cmocka_unit_test(one_wait_whatever_they_do),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
