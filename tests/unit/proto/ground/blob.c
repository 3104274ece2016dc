/* blob - growth to the limit, the count of references on several threads, the total. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <string.h>

#include "proto/ground/blob.h"
#include "proto/ground/err.h"

static void grows_to_the_limit_and_not_over_it(void **state)
{
    struct blob *b = blob_new(0);

    (void)state;
    assert_int_equal(blob_span(b).n, 0);
    assert_int_equal(blob_add(b, NULL, 0, 10), 0);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(blob_add(b, "0123456789", 10, 10000), 0);
    assert_int_equal(b->n, 10000);
    assert_true(b->cap <= 10000);
    assert_int_equal(blob_add(b, "x", 1, 10000), ERR_FULL);
    assert_int_equal(blob_add(b, "x", 1, 5), ERR_FULL);
    assert_int_equal(blob_add(b, "x", SIZE_MAX, SIZE_MAX), ERR_FULL);
    assert_int_equal(b->n, 10000);
    assert_memory_equal(blob_span(b).p + 9990, "0123456789", 10);
    blob_unref(&b);
    assert_null(b);
    blob_unref(&b);
    assert_int_equal(blob_span(NULL).n, 0);
}

static void a_copy_is_its_own(void **state)
{
    uint8_t bytes[] = "as they were";
    struct blob *b = blob_copy(span_of(bytes, sizeof bytes)), *none = blob_copy(span_of(NULL, 0));

    (void)state;
    bytes[0] = 'X';
    assert_int_equal(b->n, sizeof bytes);
    assert_string_equal((const char *)b->p, "as they were");
    assert_int_equal(none->n, 0);
    blob_unref(&b);
    blob_unref(&none);
}

static void the_total_counts_room(void **state)
{
    size_t before = blob_bytes_total();
    struct blob *a = blob_new(100), *b = blob_new(1), *c;

    (void)state;
    assert_int_equal(blob_bytes_total(), before + 101);
    assert_int_equal(blob_add(b, "abc", 3, 3), 0);
    assert_int_equal(blob_bytes_total(), before + 103);
    c = blob_ref(a);
    assert_ptr_equal(c, a);
    blob_unref(&a);
    assert_int_equal(blob_bytes_total(), before + 103);
    blob_unref(&c);
    blob_unref(&b);
    assert_int_equal(blob_bytes_total(), before);
}

/* A room of a chunk that is let go is the next one's; the total knows only what is in use, and what does not fit
 * into the spares goes back. */
static void rooms_of_a_chunk_are_kept(void **state)
{
    size_t before = blob_bytes_total();
    struct blob *all[64], *b = blob_new(BLOB_CHUNK_SIZE / 2);
    uint8_t *room;

    (void)state;
    assert_int_equal(blob_add(b, "abc", 3, BLOB_CHUNK_SIZE), 0);
    memset(b->p + 3, 'x', BLOB_CHUNK_SIZE / 2 - 3);
    b->n = BLOB_CHUNK_SIZE / 2;
    assert_int_equal(blob_add(b, "yz", 2, BLOB_CHUNK_SIZE), 0); /* grows into a chunk */
    assert_int_equal(b->cap, BLOB_CHUNK_SIZE);
    assert_memory_equal(b->p, "abcx", 4);
    assert_memory_equal(b->p + BLOB_CHUNK_SIZE / 2 - 1, "xyz", 3);
    room = b->p;
    blob_unref(&b);
    assert_int_equal(blob_bytes_total(), before);
    b = blob_new(BLOB_CHUNK_SIZE);
    assert_ptr_equal(b->p, room);
    assert_int_equal(b->n, 0);
    assert_int_equal(blob_add(b, "q", 1, 2 * BLOB_CHUNK_SIZE), 0);
    b->n = BLOB_CHUNK_SIZE;
    assert_int_equal(blob_add(b, "r", 1, 2 * BLOB_CHUNK_SIZE), 0); /* and out of it */
    assert_int_equal(b->p[0], 'q');
    assert_int_equal(b->p[BLOB_CHUNK_SIZE], 'r');
    blob_unref(&b);
    for (int i = 0; i < 64; i++)
        all[i] = blob_new(BLOB_CHUNK_SIZE);
    for (int i = 0; i < 64; i++)
        blob_unref(&all[i]);
    assert_int_equal(blob_bytes_total(), before);
}

static void *read_and_let_go(void *arg)
{
    struct blob *b = arg;

    for (int i = 0; i < 1000; i++) {
        struct blob *mine = blob_ref(b);
        assert_int_equal(blob_span(mine).p[2], 'c');
        blob_unref(&mine);
    }
    blob_unref(&b);
    return NULL;
}

static void owners_on_many_threads(void **state)
{
    size_t before = blob_bytes_total();
    struct blob *b = blob_new(16);
    pthread_t threads[4];

    (void)state;
    assert_int_equal(blob_add(b, "abc", 3, 16), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_and_let_go, blob_ref(b)), 0);
    blob_unref(&b);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(blob_bytes_total(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grows_to_the_limit_and_not_over_it),
        cmocka_unit_test(a_copy_is_its_own),
        cmocka_unit_test(the_total_counts_room),
        cmocka_unit_test(rooms_of_a_chunk_are_kept),
        cmocka_unit_test(owners_on_many_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
