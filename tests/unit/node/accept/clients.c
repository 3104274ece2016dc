/* clients - tallies of addresses and usernames: limits, rates, failures, and tables that are full. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "node/accept/clients.h"

#define NOW 1000000u

static struct accept_limits limits(void)
{
    struct accept_limits l;

    accept_limits_default(&l);
    return l;
}

static enum clients_answer come(struct accept_clients *c, const char *from, uint64_t now_ms,
                                struct tally **out)
{
    struct stream_address address = { .port = 1 };

    *out = NULL;
    snprintf(address.text, sizeof address.text, "%s", from);
    return clients_enter(c, &address, now_ms, out);
}

static void sessions_of_all_and_of_one(void **state)
{
    struct accept_limits l = limits();
    struct accept_clients *c;
    struct tally *a, *b, *d, *e;

    (void)state;
    l.sessions_max = 3;
    l.address_sessions_max = 2;
    c = accept_clients_new(&l);
    assert_int_equal(come(c, "192.0.2.1", NOW, &a), CLIENTS_COME_IN);
    assert_int_equal(come(c, "192.0.2.1", NOW, &b), CLIENTS_COME_IN);
    assert_int_equal(come(c, "192.0.2.1", NOW, &d), CLIENTS_ADDRESS_SESSIONS);
    assert_int_equal(come(c, "192.0.2.2", NOW, &d), CLIENTS_COME_IN);
    assert_int_equal(come(c, "192.0.2.3", NOW, &e), CLIENTS_ALL_SESSIONS);
    clients_leave(c, &a);
    assert_null(a);
    assert_int_equal(come(c, "192.0.2.1", NOW, &a), CLIENTS_COME_IN);
    clients_leave(c, &a);
    clients_leave(c, &b);
    clients_leave(c, &d);
    clients_leave(c, &d);
    accept_clients_unref(&c);
}

static void other_limits(void **state)
{
    struct accept_limits l = limits();
    struct accept_clients *c = accept_clients_new(&l);
    struct tally *a, *b, *d;
    char from[32];

    (void)state;
    assert_int_equal(come(c, "192.0.2.1", NOW, &a), CLIENTS_COME_IN);
    assert_int_equal(come(c, "192.0.2.1", NOW, &b), CLIENTS_COME_IN);
    for (unsigned i = 0; i < 100; i++) {
        snprintf(from, sizeof from, "198.51.100.%u", i);
        assert_int_equal(come(c, from, NOW, &d), CLIENTS_COME_IN);
        clients_leave(c, &d);
    }
    assert_int_equal(clients_count(c), 101);
    l.address_sessions_max = 1;
    l.clients_max = 16;
    l.sessions_memory_max = 1000;
    accept_clients_set_limits(c, &l);
    assert_int_equal(clients_count(c), 16); /* who is in stays */
    assert_int_equal(come(c, "192.0.2.1", NOW, &d), CLIENTS_ADDRESS_SESSIONS);
    assert_true(clients_have_memory(c));
    clients_weigh(c, 0, 1000);
    assert_false(clients_have_memory(c));
    clients_weigh(c, 1000, 0);
    clients_leave(c, &a);
    clients_leave(c, &b);
    accept_clients_unref(&c);
}

/* An IPv6 host is its /64, an IPv4 host the same however it is written. */
static void addresses_that_are_one(void **state)
{
    static const struct {
        const char *one, *other;
        bool same;
    } cases[] = {
        { "192.0.2.1", "192.0.2.2", false },
        { "192.0.2.1", "::ffff:192.0.2.1", true },
        { "::ffff:192.0.2.1", "::ffff:192.0.2.2", false },
        { "2001:db8::1", "2001:db8::ffff:1:2:3", true },
        { "2001:db8::1", "2001:db8:0:1::1", false },
        { "", "", true },
    };
    struct accept_limits l = limits();

    (void)state;
    l.address_sessions_max = 1;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct accept_clients *c = accept_clients_new(&l);
        struct tally *a, *b;

        assert_int_equal(come(c, cases[i].one, NOW, &a), CLIENTS_COME_IN);
        assert_int_equal(come(c, cases[i].other, NOW, &b),
                         cases[i].same ? CLIENTS_ADDRESS_SESSIONS : CLIENTS_COME_IN);
        accept_clients_unref(&c);
    }
}

static void rate_of_one(void **state)
{
    struct accept_limits l = limits();
    struct accept_clients *c;
    struct tally *a;

    (void)state;
    l.address_rate_max = 6;
    c = accept_clients_new(&l);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(come(c, "192.0.2.1", NOW, &a), CLIENTS_COME_IN);
        clients_leave(c, &a);
    }
    assert_int_equal(come(c, "192.0.2.1", NOW, &a), CLIENTS_ADDRESS_RATE);
    assert_int_equal(come(c, "192.0.2.1", NOW + 9999, &a), CLIENTS_ADDRESS_RATE);
    assert_int_equal(come(c, "192.0.2.1", NOW + 10000, &a), CLIENTS_COME_IN);
    clients_leave(c, &a);
    assert_int_equal(come(c, "192.0.2.1", NOW + 10000, &a), CLIENTS_ADDRESS_RATE);
    assert_int_equal(come(c, "192.0.2.9", NOW + 10000, &a), CLIENTS_COME_IN);
    clients_leave(c, &a);
    accept_clients_unref(&c);
}

static void sessions_of_a_username(void **state)
{
    struct accept_limits l = limits();
    struct accept_clients *c;
    struct tally *a = NULL, *b = NULL;

    (void)state;
    l.credential_sessions_max = 1;
    c = accept_clients_new(&l);
    assert_true(clients_enter_as(c, SPAN_LIT("demo"), NOW, &a));
    assert_false(clients_enter_as(c, SPAN_LIT("demo"), NOW, &b));
    assert_null(b);
    assert_true(clients_enter_as(c, SPAN_LIT("second"), NOW, &b));
    clients_leave_as(c, &a);
    assert_true(clients_enter_as(c, SPAN_LIT("demo"), NOW, &a));
    clients_leave_as(c, &a);
    clients_leave_as(c, &b);
    accept_clients_unref(&c);
}

static void memory_of_all(void **state)
{
    struct accept_limits l = limits();
    struct accept_clients *c;
    struct tally *a;

    (void)state;
    l.sessions_memory_max = 1000;
    c = accept_clients_new(&l);
    clients_weigh(c, 0, 999);
    assert_true(clients_have_memory(c));
    clients_weigh(c, 999, 1000);
    assert_false(clients_have_memory(c));
    assert_int_equal(come(c, "192.0.2.1", NOW, &a), CLIENTS_ALL_MEMORY);
    clients_weigh(c, 1000, 0);
    assert_int_equal(come(c, "192.0.2.1", NOW, &a), CLIENTS_COME_IN);
    clients_leave(c, &a);
    accept_clients_unref(&c);
}

static void failures_are_told_later_each_time_and_forgotten(void **state)
{
    static const uint64_t delays[] = { 0, 500, 1000, 2000, 4000, 8000, 10000, 10000 };
    struct accept_limits l = limits();
    struct accept_clients *c;
    struct tally *a;

    (void)state;
    l.auth_failures_max = 8;
    c = accept_clients_new(&l);
    assert_int_equal(come(c, "192.0.2.1", NOW, &a), CLIENTS_COME_IN);
    for (unsigned i = 0; i < 8; i++) {
        char name[32];

        snprintf(name, sizeof name, "u%u", i);
        assert_int_equal(clients_gate(c, a, span_cstr(name), NOW), CLIENTS_MAY_TRY);
        assert_int_equal(clients_failed(c, a, span_cstr(name), NOW), delays[i]);
    }
    assert_int_equal(clients_gate(c, a, SPAN_LIT("x"), NOW), CLIENTS_ADDRESS_WAITS);
    assert_int_equal(clients_gate(c, a, SPAN_LIT("x"), NOW + 59999), CLIENTS_ADDRESS_WAITS);
    assert_int_equal(clients_gate(c, a, SPAN_LIT("x"), NOW + 60000), CLIENTS_MAY_TRY);
    assert_int_equal(clients_failed(c, a, SPAN_LIT("x"), NOW + 60000), 10000);
    assert_int_equal(clients_gate(c, a, SPAN_LIT("x"), NOW + 60000), CLIENTS_ADDRESS_WAITS);
    assert_int_equal(clients_failed(c, a, SPAN_LIT("x"), NOW + 8 * 60000), 500);
    assert_int_equal(clients_failed(c, a, SPAN_LIT("y"), NOW + 1000 * 60000), 0);
    clients_leave(c, &a);
    accept_clients_unref(&c);
}

/* A name that is tried from everywhere waits, but where it was right before. */
static void a_username_waits(void **state)
{
    struct accept_limits l = limits();
    struct accept_clients *c;
    struct tally *home, *a, *b, *d;

    (void)state;
    l.auth_failures_max = 2;
    c = accept_clients_new(&l);
    come(c, "192.0.2.1", NOW, &home);
    come(c, "192.0.2.2", NOW, &a);
    come(c, "192.0.2.3", NOW, &b);
    come(c, "192.0.2.4", NOW, &d);
    clients_succeeded(c, home, SPAN_LIT("demo"));
    assert_int_equal(clients_failed(c, a, SPAN_LIT("demo"), NOW), 0);
    assert_int_equal(clients_failed(c, b, SPAN_LIT("demo"), NOW), 500);
    assert_int_equal(clients_gate(c, d, SPAN_LIT("demo"), NOW), CLIENTS_USERNAME_WAITS);
    assert_int_equal(clients_gate(c, d, SPAN_LIT("second"), NOW), CLIENTS_MAY_TRY);
    assert_int_equal(clients_gate(c, home, SPAN_LIT("demo"), NOW), CLIENTS_MAY_TRY);
    clients_succeeded(c, home, SPAN_LIT("second"));
    assert_int_equal(clients_gate(c, home, SPAN_LIT("demo"), NOW), CLIENTS_USERNAME_WAITS);
    assert_int_equal(clients_gate(c, d, SPAN_LIT("demo"), NOW + 60000), CLIENTS_MAY_TRY);
    clients_leave(c, &home);
    clients_leave(c, &a);
    clients_leave(c, &b);
    clients_leave(c, &d);
    accept_clients_unref(&c);
}

static void a_full_table(void **state)
{
    struct accept_limits l = limits();
    struct accept_clients *c;
    struct tally *a, *b, *d, *name = NULL;
    char text[32];

    (void)state;
    l.clients_max = 2;
    l.auth_failures_max = 1;
    c = accept_clients_new(&l);
    come(c, "192.0.2.1", NOW, &a);
    come(c, "192.0.2.2", NOW, &b);
    assert_int_equal(come(c, "192.0.2.3", NOW, &d), CLIENTS_TABLE_FULL);
    /* who has failed is remembered longer than who has not */
    clients_failed(c, a, SPAN_LIT("x"), NOW);
    clients_leave(c, &a);
    clients_leave(c, &b);
    for (int i = 3; i < 200; i++) {
        snprintf(text, sizeof text, "192.0.2.%d", i);
        assert_int_equal(come(c, text, NOW, &d), CLIENTS_COME_IN);
        clients_leave(c, &d);
    }
    come(c, "192.0.2.1", NOW, &a);
    assert_int_equal(clients_gate(c, a, SPAN_LIT("y"), NOW), CLIENTS_ADDRESS_WAITS);
    /* usernames: no room is no failure to come in */
    assert_true(clients_enter_as(c, SPAN_LIT("x"), NOW, &name));
    d = NULL;
    assert_true(clients_enter_as(c, SPAN_LIT("y"), NOW, &d));
    clients_failed(c, a, SPAN_LIT("z"), NOW);
    assert_in_range(clients_count(c), 3, 4);
    clients_leave_as(c, &name);
    clients_leave_as(c, &d);
    clients_leave(c, &a);
    accept_clients_unref(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sessions_of_all_and_of_one),
        cmocka_unit_test(other_limits),
        cmocka_unit_test(addresses_that_are_one),
        cmocka_unit_test(rate_of_one),
        cmocka_unit_test(sessions_of_a_username),
        cmocka_unit_test(memory_of_all),
        cmocka_unit_test(failures_are_told_later_each_time_and_forgotten),
        cmocka_unit_test(a_username_waits),
        cmocka_unit_test(a_full_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
