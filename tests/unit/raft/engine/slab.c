/* slab - blocks beside each other, zeroed, taken again; chunks that are empty go. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "raft/engine/inside.h"

#define BLOCKS 1000u
#define SIZE   3408u

static struct list chunks;

static unsigned count_chunks(void)
{
    unsigned n = 0;

    LIST_FOR(it, &chunks) n++;
    return n;
}

static void check_zero(const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        assert_int_equal(p[i], 0);
}

static void blocks_are_zeroed_and_their_own(void **state)
{
    static uint8_t *blocks[BLOCKS];

    (void)state;
    list_init(&chunks);
    for (unsigned i = 0; i < BLOCKS; i++) {
        blocks[i] = slab_take(&chunks, SIZE);
        assert_int_equal((uintptr_t)blocks[i] % 16, 0);
        check_zero(blocks[i], SIZE);
        memset(blocks[i], (int)i | 1, SIZE);
    }
    for (unsigned i = 0; i < BLOCKS; i++)
        for (unsigned k = 0; k < SIZE; k++)
            assert_int_equal(blocks[i][k], (uint8_t)(i | 1));
    for (unsigned i = 0; i < BLOCKS; i++)
        slab_give(&chunks, blocks[(i * 7) % BLOCKS]);
    assert_int_equal(count_chunks(), 0);
}

static void what_was_given_back_is_taken_first(void **state)
{
    static uint8_t *blocks[BLOCKS];
    unsigned before;

    (void)state;
    list_init(&chunks);
    for (unsigned i = 0; i < BLOCKS; i++)
        blocks[i] = slab_take(&chunks, SIZE);
    before = count_chunks();
    for (unsigned i = 0; i < BLOCKS; i += 3) {
        memset(blocks[i], 0xff, SIZE);
        slab_give(&chunks, blocks[i]);
    }
    for (unsigned i = 0; i < BLOCKS; i += 3) {
        blocks[i] = slab_take(&chunks, SIZE);
        check_zero(blocks[i], SIZE);
    }
    assert_int_equal(count_chunks(), before);
    for (unsigned i = 0; i < BLOCKS; i++)
        slab_give(&chunks, blocks[i]);
    assert_int_equal(count_chunks(), 0);
}

static void sizes_do_not_share_a_chunk(void **state)
{
    uint8_t *small, *large, *again;

    (void)state;
    list_init(&chunks);
    small = slab_take(&chunks, 100);
    large = slab_take(&chunks, 10000);
    again = slab_take(&chunks, 100);
    assert_int_equal(count_chunks(), 2);
    memset(small, 1, 100);
    memset(large, 2, 10000);
    memset(again, 3, 100);
    assert_int_equal(small[99], 1);
    assert_int_equal(large[0], 2);
    slab_give(&chunks, small);
    slab_give(&chunks, again);
    assert_int_equal(count_chunks(), 1);
    slab_give(&chunks, large);
    assert_int_equal(count_chunks(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_zeroed_and_their_own),
        cmocka_unit_test(what_was_given_back_is_taken_first),
        cmocka_unit_test(sizes_do_not_share_a_chunk),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
