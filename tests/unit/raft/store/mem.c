/* mem - what the memory store adds for tests: nothing is written before it is told, and it can
 * lose. */
#include "tests/unit/raft/store/place.h"

static unsigned done_count;

static void note_done(struct store_write *w)
{
    (void)w;
    done_count++;
}

static struct store *open_mem(void)
{
    struct store *s;

    done_count = 0;
    assert_int_equal(store_open(&s, &(struct store_options){ 0 }, NULL, NULL), 0);
    return s;
}

static void writes_wait_for_the_sync(void **state)
{
    struct store_op ops[] = { op_hard(1, 1, 1), op_entry(1, 1, 1, "a", ""),
                              op_entry(1, 2, 1, "b", "") };
    struct store_write writes[3];
    struct store *s = open_mem();

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        writes[i] = (struct store_write){ .ops = &ops[i], .op_count = 1, .on_done = note_done };
        store_submit(s, &writes[i]);
    }
    assert_int_equal(done_count, 0);
    assert_int_equal(read_group(s, 1).last, 0);
    assert_int_equal(store_mem_sync(s, 2), 2);
    assert_int_equal(done_count, 2);
    assert_int_equal(read_group(s, 1).last, 1);
    assert_int_equal(store_mem_sync(s, SIZE_MAX), 1);
    assert_int_equal(store_mem_sync(s, SIZE_MAX), 0);
    assert_int_equal(read_group(s, 1).last, 2);
    store_close(&s);
}

static void a_power_cut_drops_what_was_not_synced(void **state)
{
    struct store_op ops[] = { op_entry(1, 1, 1, "a", ""), op_entry(1, 2, 1, "b", "") };
    struct store_write writes[2];
    struct store *s = open_mem();

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        writes[i] = (struct store_write){ .ops = &ops[i], .op_count = 1, .on_done = note_done };
        store_submit(s, &writes[i]);
    }
    store_mem_sync(s, 1);
    store_mem_power_cut(s);
    assert_int_equal(store_mem_sync(s, SIZE_MAX), 0);
    assert_int_equal(done_count, 1);
    assert_int_equal(read_group(s, 1).last, 1);
    store_close(&s);
}

static void a_lying_disk_loses_what_was_synced(void **state)
{
    struct store *s = open_mem();

    (void)state;
    write_entries(s, 1, 1, 5, 1);
    store_mem_lose(s, 1, 4);
    assert_int_equal(read_group(s, 1).last, 3);
    assert_int_equal(store_entry_read(s, 1, 4, NULL, NULL, NULL, NULL), ERR_NOT_FOUND);
    store_mem_lose(s, 1, 1);
    assert_int_equal(read_group(s, 1).last, 0);
    store_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_wait_for_the_sync),
        cmocka_unit_test(a_power_cut_drops_what_was_not_synced),
        cmocka_unit_test(a_lying_disk_loses_what_was_synced),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
