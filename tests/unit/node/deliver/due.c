/* due - what a lane sees of the due index, what it takes together, what it passes. */
#include "tests/unit/node/deliver/fake.h"

#define FAR 86400000u

static uint64_t old_mail(const char *domain, unsigned count)
{
    return fake_mail(domain, count, fake_now_ms() - 1000, fake_now_ms() + FAR);
}

static void nothing_is_due(void **state)
{
    struct lane *l = fake_lane("a.test");

    (void)state;
    assert_null(due_peek(l, true));
    fake_mail("a.test", 1, fake_now_ms() + FAR, fake_now_ms() + 2 * FAR);
    old_mail("b.test", 1);
    assert_null(due_peek(l, true));
    assert_null(due_take(l, 10));
}

static void recipients_of_one_message_travel_together(void **state)
{
    struct lane *l = fake_lane("a.test");
    uint64_t first = old_mail("a.test", 3), second = old_mail("a.test", 1);
    struct delivery *y = due_take(l, 10), *z;

    (void)state;
    assert_non_null(y);
    assert_true(y->index == first);
    assert_int_equal(y->count, 3);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(y->list[i].number, i);
    z = due_take(l, 10);
    assert_non_null(z);
    assert_true(z->index == second);
    assert_null(due_peek(l, true));
    assert_true(l->saw_air);
}

static void no_more_than_are_asked_for(void **state)
{
    struct lane *l = fake_lane("a.test");

    (void)state;
    old_mail("a.test", 250);
    assert_int_equal(due_take(l, 100)->count, 100);
    assert_int_equal(due_take(l, 100)->count, 100);
    assert_int_equal(due_take(l, 100)->count, 50);
    assert_null(due_take(l, 100));
    assert_int_equal(fake.d.air_count, 250);
}

static void one_recipient_is_taken_once(void **state)
{
    struct lane *l = fake_lane("a.test");
    struct delivery *y;

    (void)state;
    old_mail("a.test", 1);
    y = due_take(l, 100);
    assert_int_equal(y->count, 1);
    assert_null(due_take(l, 100));
    delivery_close(y);
    assert_int_equal(due_take(l, 100)->count, 1);
}

/* Between the reading and the taking it was put off: it stands elsewhere now. */
static void what_was_read_ahead_is_looked_at_again(void **state)
{
    struct lane *l = fake_lane("a.test");
    uint64_t index = old_mail("a.test", 3);
    struct delivery *y;

    (void)state;
    assert_non_null(due_peek(l, true));
    fake_defer(index, 0, fake_now_ms() + FAR);
    fake_defer(index, 1, fake_now_ms() - 10);
    y = due_take(l, 100);
    assert_int_equal(y->count, 2); /* 2 where it stood; 1 at its new place, once */
    assert_int_equal(y->list[0].number, 2);
    assert_int_equal(y->list[1].number, 1);
}

/* An item before the cursor is found by a second look from the start. */
static void what_comes_in_before_the_cursor_is_found(void **state)
{
    struct lane *l = fake_lane("a.test");
    uint64_t early;

    (void)state;
    old_mail("a.test", 1);
    assert_non_null(due_take(l, 100));
    early = fake_mail("a.test", 1, fake_now_ms() - 500000, fake_now_ms() + FAR);
    assert_non_null(due_peek(l, true));
    assert_true(due_take(l, 100)->index == early);
}

static void what_is_over_expires_instead(void **state)
{
    struct lane *l = fake_lane("a.test");
    uint64_t over = fake_mail("a.test", 2, fake_now_ms() - 1000, fake_now_ms() - 1);
    uint64_t good = old_mail("a.test", 1);
    struct delivery *y = due_take(l, 100);

    (void)state;
    assert_true(y && y->index == good);
    assert_int_equal(fake.commit.expired_count, 2);
    assert_true(fake.commit.expired[1].index == over);
    assert_null(due_take(l, 100));
    assert_int_equal(fake.commit.expired_count, 2); /* on their way: not again */
}

static void expiries_come_in_slices(void **state)
{
    struct lane *l = fake_lane("a.test");
    uint64_t ms;

    (void)state;
    fake_mail("a.test", 700, fake_now_ms() - 1000, fake_now_ms() - 1);
    ms = due_expire(l);
    assert_int_equal(fake.commit.expired_count, DELIVER_EXPIRE_SLICE);
    assert_int_equal(ms, DELIVER_AGAIN_MS);
    due_expire(l);
    ms = due_expire(l);
    assert_int_equal(fake.commit.expired_count, 700);
    assert_true(ms > DELIVER_AGAIN_MS);
}

static void the_next_expiry_says_when_to_look_again(void **state)
{
    struct lane *l = fake_lane("a.test");
    uint64_t ms;

    (void)state;
    fake_mail("a.test", 1, fake_now_ms() - 1000, fake_now_ms() + 5000);
    fake_mail("a.test", 1, fake_now_ms() - 1000, fake_now_ms() + 9000);
    ms = due_expire(l);
    assert_int_equal(fake.commit.expired_count, 0);
    assert_true(ms > 3000 && ms <= 5000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAKE_TEST(nothing_is_due),
        FAKE_TEST(recipients_of_one_message_travel_together),
        FAKE_TEST(no_more_than_are_asked_for),
        FAKE_TEST(one_recipient_is_taken_once),
        FAKE_TEST(what_was_read_ahead_is_looked_at_again),
        FAKE_TEST(what_comes_in_before_the_cursor_is_found),
        FAKE_TEST(what_is_over_expires_instead),
        FAKE_TEST(expiries_come_in_slices),
        FAKE_TEST(the_next_expiry_says_when_to_look_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
