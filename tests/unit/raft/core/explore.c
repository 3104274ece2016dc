/* explore - all that can happen to three nodes within bounds breaks no promise (explore.h).
 *
 *   EXPLORE_TERMS, _ENTRIES, _CRASHES, _STATES, _WAYS, _SEED: further
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "tests/unit/raft/core/explore.h"

static uint64_t wish(const char *name, uint64_t otherwise)
{
    const char *v = getenv(name);

    return v ? strtoull(v, NULL, 10) : otherwise;
}

static void explore_within(struct bounds b)
{
    b.terms = (unsigned)wish("EXPLORE_TERMS", b.terms);
    b.entries = (unsigned)wish("EXPLORE_ENTRIES", b.entries);
    b.crashes = (unsigned)wish("EXPLORE_CRASHES", b.crashes);
    b.states_max = wish("EXPLORE_STATES", b.states_max);
    bounds = b;
    assert_true(explore());
    printf("%u terms, %u entries, %u crashes%s: %s%u states, %u steps deep\n", b.terms, b.entries,
           b.crashes, b.asks ? ", asked first" : "", seen_count < b.states_max ? "all " : "",
           U(seen_count), depth_seen);
}

static void replication(void **state)
{
    (void)state;
    explore_within((struct bounds){ .terms = 1, .entries = 2, .crashes = 0, .states_max = 100000 });
}

static void elections(void **state)
{
    (void)state;
    explore_within((struct bounds){ .terms = 2, .entries = 3, .crashes = 1, .states_max = 20000 });
}

static void ways(void **state)
{
    (void)state;
    bounds = (struct bounds){ .terms = 3, .entries = 3, .crashes = 2 };
    assert_true(wander((unsigned)wish("EXPLORE_WAYS", 3000), wish("EXPLORE_SEED", 7)));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(replication), cmocka_unit_test(elections),
                                        cmocka_unit_test(ways) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
