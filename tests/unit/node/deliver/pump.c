/* pump - every due item before the cursor belongs to a destination that has a lane (D4). */
#include "tests/unit/node/deliver/fake.h"

#define FAR 86400000u

static struct pump *pump(void)
{
    return &fake.d.pumps[0];
}

static void mails(unsigned count, unsigned from)
{
    char domain[32];

    for (unsigned i = from; i < from + count; i++) {
        snprintf(domain, sizeof domain, "d%u.test", i);
        fake_mail(domain, 1, fake_now_ms() - 1000, fake_now_ms() + FAR);
    }
}

static void run(void)
{
    struct list *it = list_take_first(&fake.d.pumps_ready);

    assert_non_null(it);
    pump_turn(CONTAINER_OF(it, struct pump, link));
}

static void due_items_mark_their_lanes(void **state)
{
    (void)state;
    mails(3, 0);
    mails(3, 0);
    pump_start(pump());
    run();
    assert_int_equal(fake.d.lane_count, 3);
    assert_true(list_empty(&fake.d.pumps_ready));
    assert_false(loop_timer_is_running(&pump()->timer));
}

static void a_slice_a_turn(void **state)
{
    (void)state;
    mails(DELIVER_PUMP_SLICE + 10, 0);
    pump_start(pump());
    run();
    assert_int_equal(fake.d.lane_count, DELIVER_PUMP_SLICE);
    run();
    assert_int_equal(fake.d.lane_count, DELIVER_PUMP_SLICE + 10);
}

static void what_is_due_later_is_waited_for(void **state)
{
    uint64_t now_ms = deliver_mono_ms(&fake.d);

    (void)state;
    fake_mail("later.test", 1, fake_now_ms() + 3000, fake_now_ms() + FAR);
    pump_start(pump());
    run();
    assert_int_equal(fake.d.lane_count, 0);
    assert_true(loop_timer_is_running(&pump()->timer));
    assert_true(pump()->timer.due_ms <= now_ms + 3100);
    pump_due(pump(), SPAN_LIT("sooner.test"), fake_now_ms() + 500);
    assert_true(pump()->timer.due_ms <= now_ms + 600);
    pump_due(pump(), SPAN_LIT("never.test"), fake_now_ms() + FAR);
    assert_true(pump()->timer.due_ms <= now_ms + 600);
}

static void full_lanes_stop_the_cursor(void **state)
{
    struct lane *l;

    (void)state;
    fake.d.o.lanes_max = 2;
    mails(3, 0);
    pump_start(pump());
    run();
    assert_int_equal(fake.d.lane_count, 2);
    assert_true(pump()->is_full);
    assert_true(list_empty(&fake.d.pumps_ready));
    l = fake_lane("d0.test");
    fake_defer(1, 0, fake_now_ms() + FAR); /* nothing of it is due any more */
    lane_turn(l);
    assert_int_equal(fake.d.lane_count, 1);
    run(); /* the freed lane has marked it */
    assert_int_equal(fake.d.lane_count, 2);
    assert_non_null(fake_lane("d2.test"));
    assert_false(pump()->is_full);
}

static void what_gets_no_lane_moves_the_cursor_back(void **state)
{
    uint64_t early_ms = fake_now_ms() - 90000;

    (void)state;
    fake.d.o.lanes_max = 1;
    mails(1, 0);
    pump_start(pump());
    run();
    fake_mail("early.test", 1, early_ms, fake_now_ms() + FAR);
    pump_due(pump(), SPAN_LIT("early.test"), early_ms);
    assert_true(pump()->is_full);
    fake.d.o.lanes_max = 2;
    pump_mark(pump());
    run();
    assert_int_equal(fake.d.lane_count, 2);
    assert_non_null(fake_lane("early.test"));
}

static void a_shard_that_is_not_led_is_still(void **state)
{
    (void)state;
    mails(1, 0);
    pump_start(pump());
    pump_stop(pump());
    pump_mark(pump());
    pump_due(pump(), SPAN_LIT("d0.test"), 1);
    assert_true(list_empty(&fake.d.pumps_ready));
    assert_int_equal(fake.d.lane_count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAKE_TEST(due_items_mark_their_lanes),
        FAKE_TEST(a_slice_a_turn),
        FAKE_TEST(what_is_due_later_is_waited_for),
        FAKE_TEST(full_lanes_stop_the_cursor),
        FAKE_TEST(what_gets_no_lane_moves_the_cursor_back),
        FAKE_TEST(a_shard_that_is_not_led_is_still),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
