/* mpsc - order, the wake-up told once, nothing lost between many putters and one reader. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <sched.h>

#include "proto/ground/mpsc.h"

#define PUTTERS 4
#define NODES   20000

struct parcel {
    struct mpsc_node node; /* first */
    unsigned from, number;
};

static struct mpsc queue;
static struct parcel parcels[PUTTERS][NODES];
static unsigned froms[PUTTERS];
static atomic_uint wakes;

static void oldest_first_and_empty_told_once(void **state)
{
    struct mpsc_node a, b, c;
    struct mpsc q;

    (void)state;
    mpsc_init(&q);
    assert_null(mpsc_take_all(&q));
    assert_true(mpsc_put(&q, &a));
    assert_false(mpsc_put(&q, &b));
    assert_false(mpsc_put(&q, &c));
    assert_ptr_equal(mpsc_take_all(&q), &a);
    assert_ptr_equal(a.next, &b);
    assert_ptr_equal(b.next, &c);
    assert_null(c.next);
    assert_null(mpsc_take_all(&q));
    assert_true(mpsc_put(&q, &b));
    assert_ptr_equal(mpsc_take_all(&q), &b);
    assert_null(b.next);
}

static void *put_all(void *arg)
{
    unsigned from = *(unsigned *)arg;

    for (unsigned i = 0; i < NODES; i++) {
        parcels[from][i].from = from;
        parcels[from][i].number = i;
        if (mpsc_put(&queue, &parcels[from][i].node)) atomic_fetch_add(&wakes, 1);
    }
    return NULL;
}

static void nothing_is_lost_and_each_putter_is_in_order(void **state)
{
    unsigned next[PUTTERS] = { 0 }, got = 0, batches = 0;
    pthread_t threads[PUTTERS];

    (void)state;
    mpsc_init(&queue);
    for (unsigned i = 0; i < PUTTERS; i++) {
        froms[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, put_all, &froms[i]), 0);
    }
    while (got < PUTTERS * NODES) {
        struct mpsc_node *node = mpsc_take_all(&queue);
        batches += node != NULL;
        if (!node) sched_yield();
        while (node) {
            struct parcel *p = (struct parcel *)node;
            node = node->next;
            assert_int_equal(p->number, next[p->from]++);
            got++;
        }
    }
    for (unsigned i = 0; i < PUTTERS; i++)
        pthread_join(threads[i], NULL);
    assert_null(mpsc_take_all(&queue));
    assert_int_equal(atomic_load(&wakes), batches);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(oldest_first_and_empty_told_once),
        cmocka_unit_test(nothing_is_lost_and_each_putter_is_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
