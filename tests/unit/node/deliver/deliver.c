/* deliver - options and paths; deliver as a whole is told in tests/conformance/deliver. */
#include "tests/unit/node/deliver/fake.h"

static void the_inbox_names_its_files(void **state)
{
    char path[100], id[BASE32_SIZE], wanted[100];

    (void)state;
    base32_print(proto_id(3, 77), id);
    snprintf(wanted, sizeof wanted, "/var/inbox/%s.12.eml", id);
    deliver_inbox_path("/var/inbox", proto_id(3, 77), 12, path, sizeof path);
    assert_string_equal(path, wanted);
    deliver_inbox_path("/var/inbox", proto_id(3, 77), 12, path, 5); /* cut, not over the end */
    assert_string_equal(path, "/var");
}

static void options(struct deliver_options *o)
{
    deliver_options_default(o);
    o->loop = fake.loop;
    o->commit = &fake.commit;
    o->hostname = "node.test";
}

static int try_new(const struct deliver_options *o)
{
    struct deliver *d;
    struct errmsg why = { "" };
    int rv = deliver_new(&d, o, &why);

    if (rv != 0) assert_true(why.text[0] != '\0');
    deliver_free(&d);
    return rv;
}

static void a_limit_of_nothing_is_refused(void **state)
{
    struct deliver_options o;

    (void)state;
    options(&o);
    assert_int_equal(try_new(&o), 0);
    o.connections_max = 0;
    assert_int_equal(try_new(&o), ERR_CONFIG);
    options(&o);
    o.recipients_per_transaction_max = 0;
    assert_int_equal(try_new(&o), ERR_CONFIG);
    options(&o);
    o.inbox_dir = "/proc/no/such/place";
    assert_int_equal(try_new(&o), ERR_IO);
}

static void a_new_one_is_idle_and_drains_at_once(void **state)
{
    struct deliver_options o;
    struct errmsg why;
    struct deliver *d;

    (void)state;
    options(&o);
    assert_int_equal(deliver_new(&d, &o, &why), 0);
    assert_true(deliver_is_idle(d));
    deliver_drain(d);
    deliver_drain(d);
    assert_true(deliver_is_idle(d));
    deliver_free(&d);
    deliver_free(&d);
}

static void a_reply_is_told_as_it_was_said(void **state)
{
    struct smtp_reply r = { .code = 550, .enhanced = "5.1.1", .text = "no such user" };
    struct router_meaning meaning;
    struct verdict v;

    (void)state;
    verdict_reply(&fake.d, &v, ROUTER_AT_RCPT, &r, &meaning);
    assert_int_equal(v.result, ANGARIUM__RESULT__RESULT_BOUNCED);
    assert_int_equal(v.code, 550);
    assert_string_equal(v.enhanced, "5.1.1");
    assert_string_equal(v.text, "no such user");
    assert_string_equal(v.class, "user_unknown");
    assert_true(v.counts);
    r.code = 451;
    verdict_reply(&fake.d, &v, ROUTER_AT_RCPT, &r, &meaning);
    assert_int_equal(v.result, ANGARIUM__RESULT__RESULT_DEFERRED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAKE_TEST(the_inbox_names_its_files),
        FAKE_TEST(a_limit_of_nothing_is_refused),
        FAKE_TEST(a_new_one_is_idle_and_drains_at_once),
        FAKE_TEST(a_reply_is_told_as_it_was_said),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
