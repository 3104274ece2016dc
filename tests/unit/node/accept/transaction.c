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
    char address[] = "b@Elsewhere.test", domain[] = "elsewhere.test", orcpt[] = "rfc822;b";
    struct smtp_rcpt rcpt = { .notify = SMTP_NOTIFY_DELAY, .orcpt = span_cstr(orcpt) };

    (void)state;
    assert_int_equal(transaction_open(&t, &mail), 0);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(transaction_add(&t, &rcpt, span_cstr(address), span_cstr(domain)), 0);
    memset(address, 'x', sizeof address - 1);
    memset(domain, 'x', sizeof domain - 1);
    memset(orcpt, 'x', sizeof orcpt - 1);
    assert_int_equal(t.recipient_count, 100);
    for (unsigned i = 0; i < 100; i++) {
        assert_true(span_eq(proto_span(t.recipients[i]->address), SPAN_LIT("b@Elsewhere.test")));
        assert_true(span_eq(proto_span(t.recipients[i]->domain), SPAN_LIT("elsewhere.test")));
        assert_true(span_eq(proto_span(t.recipients[i]->orcpt), SPAN_LIT("rfc822;b")));
        assert_int_equal(t.recipients[i]->notify, PROTO_NOTIFY_DELAY);
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

/* The arena ends before PROTO_RECIPIENTS_MAX of the longest recipients: refused, with what is there
 * kept, and what is there fits into a command, so that the mail is never refused for ever. */
static void arena_is_bounded(void **state)
{
    static char address[SMTP_ADDRESS_SIZE_MAX], domain[189], orcpt[SMTP_ORCPT_SIZE_MAX];
    struct smtp_mail mail = mail_from("a@example.test");
    struct smtp_rcpt rcpt = { .notify = SMTP_NOTIFY_DELAY };
    Angarium__Accept accept = ANGARIUM__ACCEPT__INIT;
    struct transaction t;
    unsigned n = 0;

    (void)state;
    memset(address, 'x', sizeof address);
    memset(domain, 'x', sizeof domain);
    memset(orcpt, 'x', sizeof orcpt);
    rcpt.orcpt = span_of(orcpt, sizeof orcpt);
    assert_int_equal(transaction_open(&t, &mail), 0);
    while (n < 1000 && transaction_add(&t, &rcpt, span_of(address, sizeof address),
                                       span_of(domain, sizeof domain)) == 0)
        n++;
    assert_in_range(n, 500, 750);
    assert_int_equal(t.recipient_count, n);
    assert_int_equal(transaction_add(&t, &rcpt, span_of(address, sizeof address), SPAN_LIT("x")),
                     ERR_FULL);
    assert_int_equal(t.recipients[n - 1]->address.len, sizeof address);
    accept.recipients = t.recipients;
    accept.n_recipients = t.recipient_count;
    assert_in_range(angarium__accept__get_packed_size(&accept), 1, TRANSACTION_SIZE_MAX);
    transaction_close(&t);
}

/* What MAIL asked for, in the words of the command. */
static void requests_are_kept(void **state)
{
    static const uint32_t types[] = { PROTO_BODY_7BIT, PROTO_BODY_8BITMIME, PROTO_BODY_BINARYMIME };
    struct smtp_mail mail = mail_from("a@example.test");
    struct transaction t;

    (void)state;
    assert_int_equal(transaction_open(&t, &mail), 0);
    assert_true(t.ret == 0 && t.envid.n == 0 && !t.smtputf8 && t.body_type == 0);
    transaction_close(&t);
    mail.has_body = mail.smtputf8 = true;
    mail.ret = SMTP_RET_HDRS;
    mail.envid = SPAN_LIT("QQ");
    for (unsigned i = 0; i < 3; i++) {
        mail.body = (enum smtp_body)i;
        assert_int_equal(transaction_open(&t, &mail), 0);
        assert_int_equal(t.body_type, types[i]);
        assert_true(t.ret == PROTO_RET_HDRS && span_eq(t.envid, SPAN_LIT("QQ")) && t.smtputf8);
        transaction_close(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recipients_are_copied),
        cmocka_unit_test(null_return_path),
        cmocka_unit_test(arena_is_bounded),
        cmocka_unit_test(requests_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
