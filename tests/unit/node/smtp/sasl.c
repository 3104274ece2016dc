/* sasl - the client's messages of each mechanism, by the letter; and what an offer holds.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "node/smtp/reply.h"
#include "node/smtp/sasl.h"

static struct smtp_sasl_facts facts(const char *user, const char *secret)
{
    return (struct smtp_sasl_facts){ .user = span_cstr(user),
                                     .secret = span_cstr(secret),
                                     .host = SPAN_LIT("smtp.test"),
                                     .port = 587 };
}

static void begins(struct smtp_sasl *s, enum smtp_mechanism m, const struct smtp_sasl_facts *f,
                   const char *line)
{
    struct buf out;

    buf_init(&out, SMTP_SASL_LINE_MAX);
    smtp_sasl_begin(s, m, f, &out);
    assert_string_equal(buf_cstr(&out), line);
    buf_deinit(&out);
}

static void answers(struct smtp_sasl *s, const struct smtp_sasl_facts *f, const char *line)
{
    struct buf out;

    buf_init(&out, SMTP_SASL_LINE_MAX);
    assert_int_equal(smtp_sasl_answer(s, f, &out), line[0] != '*');
    assert_string_equal(buf_cstr(&out), line);
    buf_deinit(&out);
}

static void each_mechanism(void **state)
{
    struct smtp_sasl_facts f = facts("tim", "tanstaaftanstaaf"); /* RFC 4616 4 */
    struct smtp_sasl s;

    (void)state;
    begins(&s, SMTP_PLAIN, &f, "AUTH PLAIN AHRpbQB0YW5zdGFhZnRhbnN0YWFm\r\n");
    answers(&s, &f, "*\r\n");
    begins(&s, SMTP_LOGIN, &f, "AUTH LOGIN\r\n");
    answers(&s, &f, "dGlt\r\n");
    answers(&s, &f, "dGFuc3RhYWZ0YW5zdGFhZg==\r\n");
    answers(&s, &f, "*\r\n");
    f = facts("someuser@example.com", "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg");
    begins(&s, SMTP_XOAUTH2, &f,
           "AUTH XOAUTH2 "
           "dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB5YTI5LnZGOWRmdDRxbVRjMk52YjNSbGNrQmh"
           "kSFJoZG1s"
           "emRHRXVZMjl0Q2cBAQ==\r\n");
    answers(&s, &f, "\r\n");
    answers(&s, &f, "*\r\n");
    f = facts("a,b=c", "t");
    begins(&s, SMTP_OAUTHBEARER, &f,
           "AUTH OAUTHBEARER "
           "bixhPWE9MkNiPTNEYywBaG9zdD1zbXRwLnRlc3QBcG9ydD01ODcBYXV0aD1CZWFyZXIgdAEB\r\n");
    answers(&s, &f, "AQ==\r\n");
    answers(&s, &f, "*\r\n");
}

/* The command has at most 512 bytes with CR LF; one byte more, and the message waits for 334. */
static void long_messages_wait(void **state)
{
    char secret[SMTP_SASL_LINE_MAX / 4];
    struct smtp_sasl s;
    size_t last_short = 0;

    (void)state;
    for (size_t n = 1; n < 600; n++) {
        struct smtp_sasl_facts f = facts("u", secret);
        struct buf out;

        memset(secret, 'x', n);
        f.secret.n = n;
        buf_init(&out, SMTP_SASL_LINE_MAX);
        smtp_sasl_begin(&s, SMTP_PLAIN, &f, &out);
        assert_true(out.n <= 512);
        if (s.said == 1) last_short = n;
        if (s.said == 0) {
            assert_string_equal(buf_cstr(&out), "AUTH PLAIN\r\n");
            buf_reset(&out);
            assert_true(smtp_sasl_answer(&s, &f, &out));
            assert_true(out.n > 500);
        }
        buf_deinit(&out);
    }
    assert_int_equal(
        last_short,
        369); /* 372 bytes are 496 of base64; "AUTH PLAIN " and CR LF are 13; 4 more do not fit */
}

static void what_must_not_be_kept(void **state)
{
    struct smtp_sasl_facts f = facts("user", "secret-of-mine");
    struct smtp_sasl s;

    (void)state;
    begins(&s, SMTP_PLAIN, &f, "AUTH PLAIN AHVzZXIAc2VjcmV0LW9mLW1pbmU=\r\n");
    assert_true(smtp_sasl_is_repeated(&s, &f, span_cstr("no: secret-of-mine")));
    assert_true(smtp_sasl_is_repeated(&s, &f, span_cstr("no: \"VzZXIAc2Vj\"")));
    assert_false(smtp_sasl_is_repeated(&s, &f, span_cstr("no: \"VzZXIAc\", whoever user is")));
    assert_false(smtp_sasl_is_repeated(&s, &f, span_cstr("Username and Password not accepted")));
    assert_false(smtp_sasl_is_repeated(&s, &f, span_of(NULL, 0)));
    begins(&s, SMTP_LOGIN, &f, "AUTH LOGIN\r\n");
    answers(&s, &f, "dXNlcg==\r\n");
    assert_false(
        smtp_sasl_is_repeated(&s, &f, span_cstr("c2VjcmV0LW9mLW1pbmU="))); /* not said yet */
    answers(&s, &f, "c2VjcmV0LW9mLW1pbmU=\r\n");
    assert_true(smtp_sasl_is_repeated(&s, &f, span_cstr("bad: c2VjcmV0LW9mLW1pbmU=")));
}

static void offers(void **state)
{
    static const struct {
        const char *words;
        unsigned set;
    } rows[] = { { "", 0 },
                 { "PLAIN", SMTP_PLAIN },
                 { "plain Login", SMTP_PLAIN | SMTP_LOGIN },
                 { "  LOGIN   XOAUTH2 ", SMTP_LOGIN | SMTP_XOAUTH2 },
                 { "PLAIN-CLIENTTOKEN XOAUTH", 0 },
                 { "CRAM-MD5 OAUTHBEARER GSSAPI", SMTP_OAUTHBEARER } };
    struct smtp_offer o;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(smtp_mechanisms_parse(span_cstr(rows[i].words)), rows[i].set);
    o = (struct smtp_offer){ .size_max = 0 };
    smtp_offer_add(&o, SPAN_LIT("AUTH PLAIN"));
    smtp_offer_add(&o, SPAN_LIT("AUTH=LOGIN"));
    smtp_offer_add(&o, SPAN_LIT("SIZE 5"));
    assert_int_equal(o.mechanisms, SMTP_PLAIN | SMTP_LOGIN);
    assert_int_equal(o.size_max, 5);
    o = (struct smtp_offer){ .size_max = 0 };
    smtp_offer_add(&o, SPAN_LIT("AUTH"));
    assert_true(o.auth);
    assert_int_equal(o.mechanisms, 0);
}

static void the_best(void **state)
{
    struct buf out;

    (void)state;
    assert_int_equal(smtp_mechanism_best(SMTP_PLAIN | SMTP_LOGIN), SMTP_PLAIN);
    assert_int_equal(smtp_mechanism_best(SMTP_XOAUTH2 | SMTP_OAUTHBEARER), SMTP_OAUTHBEARER);
    assert_int_equal(smtp_mechanism_best(0), 0);
    buf_init(&out, 100);
    smtp_mechanisms_print(SMTP_LOGIN | SMTP_PLAIN, &out);
    assert_string_equal(buf_cstr(&out), "PLAIN, LOGIN");
    buf_reset(&out);
    smtp_mechanisms_print(0, &out);
    assert_string_equal(buf_cstr(&out), "none");
    buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_mechanism),
        cmocka_unit_test(long_messages_wait),
        cmocka_unit_test(what_must_not_be_kept),
        cmocka_unit_test(offers),
        cmocka_unit_test(the_best),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
