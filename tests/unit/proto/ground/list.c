/* list - order, removal while walking, removal twice. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "proto/ground/list.h"

struct thing {
    int value;
    struct list link;
};

static int value_of(struct list *node)
{
    return CONTAINER_OF(node, struct thing, link)->value;
}

static void order_of_adding(void **state)
{
    struct thing a = { .value = 1 }, b = { .value = 2 }, c = { .value = 0 };
    struct list head;
    int wanted = 0;

    (void)state;
    list_init(&head);
    assert_true(list_empty(&head));
    assert_null(list_first(&head));
    assert_null(list_take_first(&head));
    list_add(&head, &a.link);
    list_add(&head, &b.link);
    list_add_first(&head, &c.link);
    LIST_FOR(it, &head)
        assert_int_equal(value_of(it), wanted++);
    assert_int_equal(wanted, 3);
    assert_int_equal(value_of(list_first(&head)), 0);
    assert_ptr_equal(list_take_first(&head), &c.link);
    assert_ptr_equal(list_take_first(&head), &a.link);
    assert_ptr_equal(list_take_first(&head), &b.link);
    assert_true(list_empty(&head));
}

static void removal_while_walking_and_twice(void **state)
{
    struct thing things[5];
    struct list head;

    (void)state;
    list_init(&head);
    for (int i = 0; i < 5; i++) {
        things[i].value = i;
        list_add(&head, &things[i].link);
    }
    LIST_FOR_SAFE(it, &head)
        if (value_of(it) % 2 == 0) list_remove(it);
    list_remove(&things[0].link);
    assert_ptr_equal(list_first(&head), &things[1].link);
    assert_ptr_equal(things[1].link.next, &things[3].link);
    assert_ptr_equal(things[3].link.next, &head);
    LIST_FOR_SAFE(it, &head)
        list_remove(it);
    assert_true(list_empty(&head));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_of_adding),
        cmocka_unit_test(removal_while_walking_and_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
