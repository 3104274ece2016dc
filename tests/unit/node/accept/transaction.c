/* transaction - the envelope within its bound. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "node/accept/transaction.h"

static struct smtp_mail mail_from(const char *address)
{
    return (struct smtp_mail){ .from = { .text = span_cstr(address) } };
}

static void recipients_are_copied(void **state)
{
    struct smtp_mail mail = mail_from("a@example.test");
    struct transaction t;
    char address[] = "b@Elsewhere.test", domain[] = "elsewhere.test";

    (void)state;
    assert_int_equal(transaction_open(&t, &mail), 0);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(transaction_add(&t, span_cstr(address), span_cstr(domain)), 0);
    memset(address, 'x', sizeof address - 1);
    memset(domain, 'x', sizeof domain - 1);
    assert_int_equal(t.recipient_count, 100);
    for (unsigned i = 0; i < 100; i++) {
        assert_true(span_eq(proto_span(t.recipients[i]->address), SPAN_LIT("b@Elsewhere.test")));
        assert_true(span_eq(proto_span(t.recipients[i]->domain), SPAN_LIT("elsewhere.test")));
    }
    transaction_close(&t);
    assert_int_equal(t.recipient_count, 0);
    transaction_close(&t);
}

static void null_return_path(void **state)
{
    struct smtp_mail mail = mail_from("");
    struct transaction t;

    (void)state;
    assert_int_equal(transaction_open(&t, &mail), 0);
    assert_int_equal(t.from.n, 0);
    transaction_close(&t);
}

/* The arena ends before PROTO_RECIPIENTS_MAX of unthinkable addresses: refused, with what is there
 * kept. */
static void arena_is_bounded(void **state)
{
    static char address[4096];
    struct smtp_mail mail = mail_from("a@example.test");
    struct transaction t;
    unsigned n = 0;

    (void)state;
    memset(address, 'x', sizeof address);
    assert_int_equal(transaction_open(&t, &mail), 0);
    while (n < 1000 && transaction_add(&t, span_of(address, sizeof address), SPAN_LIT("x")) == 0)
        n++;
    assert_in_range(n, 200, 256);
    assert_int_equal(t.recipient_count, n);
    assert_int_equal(transaction_add(&t, span_of(address, sizeof address), SPAN_LIT("x")),
                     ERR_FULL);
    assert_int_equal(t.recipients[n - 1]->address.len, sizeof address);
    transaction_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recipients_are_copied),
        cmocka_unit_test(null_return_path),
        cmocka_unit_test(arena_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
