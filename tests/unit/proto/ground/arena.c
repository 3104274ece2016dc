/* arena - alignment, zeros, the limit, and what a reset keeps. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "proto/ground/arena.h"

static void memory_is_aligned_and_zeroed(void **state)
{
    struct arena a;

    (void)state;
    arena_init(&a, 1 << 20);
    for (int round = 0; round < 3; round++) {
        for (size_t size = 0; size < 300; size++) {
            uint8_t *p = arena_alloc(&a, size);
            assert_non_null(p);
            assert_int_equal((uintptr_t)p % 16, 0);
            for (size_t i = 0; i < size; i++)
                assert_int_equal(p[i], 0);
            memset(p, 0xff, size);
        }
        arena_reset(&a);
    }
    arena_deinit(&a);
    arena_deinit(&a);
}

static void the_limit_holds_until_reset(void **state)
{
    struct arena a;

    (void)state;
    arena_init(&a, 10000);
    assert_non_null(arena_alloc(&a, 9000));
    assert_null(arena_alloc(&a, 1001));
    assert_non_null(arena_alloc(&a, 1000 - 8)); /* 9008 + 992 = 10000 */
    assert_int_equal(a.used, 10000);
    assert_in_range(arena_held(&a), 10000, 20000);
    assert_null(arena_alloc(&a, 1));
    assert_null(arena_alloc(&a, 0));
    assert_null(arena_alloc(&a, SIZE_MAX));
    arena_reset(&a);
    assert_int_equal(a.used, 0);
    assert_non_null(arena_alloc(&a, 10000));
    arena_deinit(&a);

    arena_init(&a, SIZE_MAX);
    assert_non_null(arena_alloc(&a, 1));
    assert_null(arena_alloc(&a, SIZE_MAX - 3));
    arena_deinit(&a);
    assert_int_equal(arena_held(&a), 0);
    assert_non_null(arena_alloc(&a, 1)); /* as good as new */
    arena_deinit(&a);
}

static void the_first_block_is_kept(void **state)
{
    struct arena a;
    void *first, *large;

    (void)state;
    arena_init(&a, 1 << 20);
    arena_reset(&a);
    first = arena_alloc(&a, 10);
    large = arena_alloc(&a, 100000);
    assert_non_null(large);
    assert_non_null(arena_alloc(&a, 4000));
    arena_reset(&a);
    assert_ptr_equal(arena_alloc(&a, 10), first);
    arena_reset(&a);
    arena_deinit(&a);

    arena_init(&a, 1 << 20);
    assert_non_null(arena_alloc(&a, 100000));
    arena_reset(&a);
    assert_null(a.blocks); /* but not one of unusual size */
    arena_deinit(&a);
}

static void copies(void **state)
{
    struct arena a;
    struct span s;

    (void)state;
    arena_init(&a, 64);
    s = arena_dup(&a, SPAN_LIT("abc"));
    assert_true(span_eq(s, SPAN_LIT("abc")));
    assert_string_equal(arena_cstr(&a, SPAN_LIT("0123456789abcde")), "0123456789abcde");
    assert_string_equal(arena_cstr(&a, span_of(NULL, 0)), "");
    assert_null(arena_cstr(&a, SPAN_LIT("0123456789abcdef"))); /* the terminator does not fit */
    assert_non_null(arena_dup(&a, SPAN_LIT("0123456789abcdef")).p);
    assert_null(arena_dup(&a, SPAN_LIT("x")).p);
    s = arena_dup(&a, span_of(NULL, 0));
    assert_non_null(s.p);
    assert_int_equal(s.n, 0);
    arena_deinit(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_aligned_and_zeroed),
        cmocka_unit_test(the_limit_holds_until_reset),
        cmocka_unit_test(the_first_block_is_kept),
        cmocka_unit_test(copies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
