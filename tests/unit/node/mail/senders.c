/* senders - headers that let one reader see another author than the next one does: none gets
 * through, and what honest mailers write does. The tenant has example.test and other.test. Cases
 * are from RFC 5322 (3.4, 4.4, appendix A), RFC 6854, and from published attacks on sender
 * authentication ("Composition kills", "Weak links in authentication chains", "Mailsploit").
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "node/mail/senders.h"
#include "proto/ground/err.h"

static bool may(void *arg, struct span domain)
{
    (void)arg;
    if (domain.n > 0 && domain.p[domain.n - 1] == '.') domain.n--;
    return span_eq_nocase(domain, SPAN_LIT("example.test")) ||
           span_eq_nocase(domain, SPAN_LIT("other.test"));
}

struct one {
    struct span header;
    const char *cause; /* how it begins; NULL: fine */
};
/* clang-format off */
#define FINE(text)          { SPAN_LIT(text "\r\n"), NULL }
#define DENIED(text, cause) { SPAN_LIT(text "\r\n"), cause }
/* clang-format on */
#define FOREIGN    "From: this credential may not send from"
#define SHOWS      "From: it shows an address of victim.test"
#define UNREADABLE "From: cannot be read as addresses"

static void check(const struct one *cases, size_t n, bool may_lack_from)
{
    struct mail_senders_rules rules = { .may = may, .may_lack_from = may_lack_from };
    char cause[MAIL_SENDERS_CAUSE_SIZE];

    for (size_t i = 0; i < n; i++) {
        const char *wanted = cases[i].cause ? cases[i].cause : "";
        int rv = mail_senders_check(cases[i].header, &rules, cause);
        bool is_right =
            rv == (cases[i].cause ? ERR_DENIED : 0) && strncmp(cause, wanted, strlen(wanted)) == 0;

        if (!is_right)
            printf("%.*s gave %d \"%s\", not \"%s\"\n", SPAN_ARG(cases[i].header), rv, cause,
                   wanted);
        assert_true(is_right);
        assert_int_equal(cause[0] == '\0', rv == 0);
    }
}

static void honest_mail_passes(void **state)
{
    const struct one cases[] = {
        FINE("From: a@example.test"),
        FINE("from:a@example.test"),
        FINE("FROM: <a@Example.TEST>"),
        FINE("From: Ann <a@example.test>"),
        FINE("From: \"Doe, John\" <john.doe@example.test>"),
        FINE("From: John Q. Public <a@example.test>"),
        FINE("From: \"Joe & J. \\\"Harvey\\\"\" <a@example.test>"),
        FINE("From: a@example.test (Ann)"),
        FINE("From: (Ann) a@example.test (again (nested \\) one))"),
        FINE("From: [Tracker] Ann <a@example.test>"),
        FINE("From: =?utf-8?q?J=C3=BCrgen?= <a@example.test>"),
        FINE("From: =?UTF-8?B?SsO8cmdlbg==?= =?utf-8*de?q?_M=C3=BCller?= <a@example.test>"),
        FINE("From: =?iso-2022-jp?B?GyRCRURDZhsoQg==?= <a@example.test>"),
        FINE("From: J\xc3\xbcrgen <a@example.test>"),
        FINE("From: J\xfcrgen <a@example.test>"),
        FINE("From: \"a@example.test\" <a@other.test>"),
        FINE("From:\r\n Ann\r\n\t<a@example.test>"),
        FINE("From: \"john smith\"@example.test"),
        FINE("From: user+tag=x%y!z@example.test"),
        FINE("From: Ann < a@example.test >"),
        FINE("From: \"@handle\" <a@example.test>"),
        FINE("From: \"\xe7\x94\xb0\xe4\xb8\xad@\xe5\x96\xb6\xe6\xa5\xad\" <a@example.test>"),
        FINE("From: \"noreply.victim.test\" <a@example.test>"),
        FINE("From: a@example.test\r\nSender: b@other.test"),
        FINE("From: a@example.test, b@other.test\r\nSender: a@example.test"),
        FINE("From: a@example.test\r\nReply-To: ceo@victim.test\r\nTo: undisclosed: ;"),
        FINE("X: 1\r\nFrom: a@example.test\r\nSubject: From: ceo@victim.test\r\n From: x"),
        FINE("Resent-From: a@example.test\r\nResent-From: b@other.test\r\n"
             "Resent-Sender: a@example.test\r\nFrom: a@example.test"),
        FINE("From: a@example.test\r\nX-Folded: a\r\n \r\n b"),
        FINE("From: a@example.test\r\n\r\nFrom: ceo@victim.test"),
    };

    (void)state;
    check(cases, sizeof cases / sizeof cases[0], false);
}

static void another_domain_does_not(void **state)
{
    const struct one cases[] = {
        DENIED("From: ceo@victim.test", FOREIGN " victim.test"),
        DENIED("From: a@sub.example.test", FOREIGN " sub.example.test"),
        DENIED("From: a@example.test.victim.test", FOREIGN),
        DENIED("From: a@xexample.test", FOREIGN),
        DENIED("From: a@test", FOREIGN),
        DENIED("From: a@[192.0.2.1]", FOREIGN " [192.0.2.1]"),
        DENIED("From: a@[example.test]", FOREIGN),
        DENIED("From: Ann <ceo@victim.test>", FOREIGN),
        DENIED("From: \"a@example.test\" <ceo@victim.test>", FOREIGN),
        DENIED("From: a@ex\xd0\xb0mple.test", FOREIGN " ex??mple.test"),
        DENIED("From: a@example\xe3\x80\x82test", FOREIGN),
    };

    (void)state;
    check(cases, sizeof cases / sizeof cases[0], false);
}

static void another_field_does_not(void **state)
{
    const struct one cases[] = {
        DENIED("From: a@example.test\r\nFrom: ceo@victim.test", "more than one From"),
        DENIED("From: a@example.test\r\nFrom: a@example.test", "more than one From"),
        DENIED("From: a@example.test\r\nfrom : ceo@victim.test", "more than one From"),
        DENIED("From: a@example.test\r\nSender: a@example.test\r\nSender: b@other.test",
               "more than one Sender"),
        DENIED("Sender: a@example.test", "From is missing"),
        DENIED("", "From is missing"),
        DENIED("From : a@example.test", "From: white space stands before the colon"),
        DENIED("From\t: a@example.test", "From: white space stands before the colon"),
        DENIED(" From: ceo@victim.test\r\nFrom: a@example.test", "field 1 of the header"),
        DENIED("no field\r\nFrom: a@example.test", "From: stands behind a line that is no field"),
        DENIED("From: a@example.test\r\nFr\xd0\xbem: ceo@victim.test", "field 2 of the header"),
        DENIED("From\0: ceo@victim.test\r\nFrom: a@example.test", "field 1 of the header"),
        DENIED("\xef\xbb\xbf"
               "From: ceo@victim.test\r\nFrom: a@example.test",
               "field 1"),
        DENIED(": x\r\nFrom: a@example.test", "field 1 of the header"),
        DENIED("From ceo@victim.test Mon Jan 1\r\nFrom: a@example.test", "field 1"),
        DENIED("From: a@example.test\r\nSender: ceo@victim.test",
               "Sender: this credential may not send from victim.test"),
        DENIED("From: a@example.test\r\nSender: a@example.test, b@other.test",
               "Sender: more than one address"),
        DENIED("From: a@example.test\r\nSender:", "Sender: no address"),
        DENIED("From: a@example.test\r\nResent-From: ceo@victim.test", "Resent-From: this cred"),
        DENIED("Resent-From: a@example.test\r\nFrom: ceo@victim.test", FOREIGN),
        DENIED("From: a@example.test\r\nResent-From: a@example.test\r\nX: y\r\n"
               "Resent-From: ceo@victim.test",
               "Resent-From: this credential"),
        DENIED("From: a@example.test\r\nResent-Sender: x <ceo@victim.test>", "Resent-Sender: this"),
    };

    (void)state;
    check(cases, sizeof cases / sizeof cases[0], false);
}

static void another_author_does_not(void **state)
{
    const struct one cases[] = {
        DENIED("From: a@example.test, ceo@victim.test", FOREIGN),
        DENIED("From: <ceo@victim.test>, <a@example.test>", FOREIGN),
        DENIED("From: a@example.test, b@other.test", "From has several authors"),
        DENIED("From: a@example.test,\r\n ceo@victim.test\r\nSender: a@example.test", FOREIGN),
        DENIED("From: <a@example.test><ceo@victim.test>", UNREADABLE),
        DENIED("From: <a@example.test> <ceo@victim.test>", UNREADABLE),
        DENIED("From: a@example.test ceo@victim.test", UNREADABLE),
        DENIED("From: ceo@victim.test <a@example.test>", FOREIGN),
        DENIED("From: a@example.test <ceo@victim.test>", UNREADABLE),
        DENIED("From: <ceo@victim.test> a@example.test", FOREIGN),
        DENIED("From: <a@example.test> ceo@victim.test", UNREADABLE),
        DENIED("From: a@example.test; ceo@victim.test", UNREADABLE),
        DENIED("From: Doe, John <a@example.test>", UNREADABLE),
        DENIED("From: ,a@example.test", "From: a comma too many"),
        DENIED("From: a@example.test,", "From: a comma too many"),
        DENIED("From: a@example.test, (x), b@other.test", "From: a comma too many"),
        /* groups */
        DENIED("From: friends: a@example.test;", "From: an address stands in a group"),
        DENIED("From: friends: a@example.test, ceo@victim.test;", "From: an address stands"),
        DENIED("From: undisclosed: ;", "From: a group stands in it"),
        DENIED("From: ceo@victim.test:a@example.test;", FOREIGN),
        DENIED("From: g: a@example.test", "From: an address stands in a group"),
        DENIED("From: g: h: a@example.test;;", UNREADABLE),
        DENIED("From: g:;, a@example.test", "From: a group stands in it"),
        /* source routes */
        DENIED("From: <@victim.test:a@example.test>", "From: an address has a source route"),
        DENIED("From: <@example.test,@victim.test:a@example.test>", "From: an address has a sou"),
        DENIED("From: <@example.test:ceo@victim.test>", "From: an address has a source route"),
    };

    (void)state;
    check(cases, sizeof cases / sizeof cases[0], false);
}

static void odd_writing_does_not(void **state)
{
    const struct one cases[] = {
        /* quotes and quoted pairs */
        DENIED("From: \"ceo@victim.test>\"@example.test", "From: an address has special"),
        DENIED("From: \"ceo@victim.test\"@example.test", "From: an address has special"),
        DENIED("From: \"ceo\\@victim.test\"@example.test", "From: an address has special"),
        DENIED("From: <\"ceo@victim.test> \"@example.test>", "From: an address has special"),
        DENIED("From: ceo\\@victim.test@example.test", UNREADABLE),
        DENIED("From: \"unclosed <a@example.test>", UNREADABLE),
        DENIED("From: \"ceo@victim.test\" <a@example.test>", SHOWS),
        DENIED("From: \"ceo\\@victim\\.test\" <a@example.test>", SHOWS),
        DENIED("From: \"<ceo@victim.test>\" <a@example.test>", SHOWS),
        DENIED("From: \"ceo@victim.test\" <ceo@victim.test> <a@example.test>", FOREIGN),
        /* comments */
        DENIED("From: a@example.test (ceo@victim.test)", SHOWS),
        DENIED("From: (<ceo@victim.test>) a@example.test", SHOWS),
        DENIED("From: a@example.test(\\)) (ceo@victim.test)", SHOWS),
        DENIED("From: a@example.test(unclosed", UNREADABLE),
        DENIED("From: a(x)@example.test", "From: an address has a comment"),
        DENIED("From: a@(x)example.test", "From: an address has a comment"),
        DENIED("From: a@example(x).test", "From: an address has a comment"),
        DENIED("From: <a@example.test(>, <ceo@victim.test>)>", "From: an address has a comment"),
        DENIED("From: <(ceo@victim.test>) a@example.test>", "From: an address has a comment"),
        DENIED("From: a@example.test(\r\n\r\nFrom: ceo@victim.test)", UNREADABLE),
        /* obsolete white space */
        DENIED("From: a @example.test", "From: an address has white space"),
        DENIED("From: a@ example.test", "From: an address has white space"),
        DENIED("From: a@example .test", "From: an address has white space"),
        DENIED("From: a@example.\r\n test", "From: an address has white space"),
        DENIED("From: a . b@example.test", "From: an address has white space"),
        /* no addresses */
        DENIED("From:", "From: no address stands in it"),
        DENIED("From: \r\n ", "From: no address stands in it"),
        DENIED("From: <>", UNREADABLE),
        DENIED("From: root", UNREADABLE),
        DENIED("From: <root>", UNREADABLE),
        DENIED("From: @example.test", UNREADABLE),
        DENIED("From: .a@example.test", UNREADABLE),
        DENIED("From: a..b@example.test", UNREADABLE),
        DENIED("From: a@example..test", UNREADABLE),
        DENIED("From: a@example.test.", UNREADABLE),
        DENIED("From: a@b@example.test", FOREIGN),
        DENIED("From: ceo@victim.test@example.test", FOREIGN),
        DENIED("From: a@example.test\0@victim.test", UNREADABLE),
        DENIED("From: a\0@example.test", UNREADABLE),
        DENIED("From: <a@example.test\x01>", UNREADABLE),
        DENIED("From: \x7f <a@example.test>", UNREADABLE),
        DENIED("From: <a@\"example.test\">", UNREADABLE),
        DENIED("From: <a@example.test", UNREADABLE),
        DENIED("From: a@example.test>", UNREADABLE),
    };

    (void)state;
    check(cases, sizeof cases / sizeof cases[0], false);
}

static void encoded_words_do_not(void **state)
{
    const struct one cases[] = {
        DENIED("From: =?utf-8?q?ceo=40victim.test?= <a@example.test>", SHOWS),
        DENIED("From: =?utf-8?b?Y2VvQHZpY3RpbS50ZXN0?= <a@example.test>", SHOWS),
        DENIED("From: =?utf-8?b?Y2VvQHZpY3RpbS50ZXN0IDw?= <a@example.test>", SHOWS),
        DENIED("From: =?utf-8?q?ceo@vic?= =?us-ascii?b?dGltLnRlc3Q=?= <a@example.test>",
               UNREADABLE),
        DENIED("From: =?utf-8?q?ceo=40vic?=\r\n =?utf-8?q?tim.test?= <a@example.test>", SHOWS),
        DENIED("From: \"=?utf-8?q?ceo=40victim.test?=\" <a@example.test>", SHOWS),
        DENIED("From: a@example.test (=?utf-8?q?ceo=40victim.test?=)", SHOWS),
        DENIED("From: \"=?utf-8?q?ceo=40victim.test with spaces?=\" <a@example.test>", SHOWS),
        DENIED("From: =?utf-8?b?Y2VvQHZpY3RpbS50ZXN0?=@example.test",
               "From: an address has an encoded word"),
        DENIED("From: <=?utf-8?q?ceo=40victim.test=3E=00?=@example.test>",
               "From: an address has an encoded word"),
        DENIED("From: a@=?utf-8?q?example.test?=", "From: an address has an encoded word"),
        DENIED("From: =?utf-8?q?ceo=00?= <a@example.test>", "From: control characters"),
        DENIED("From: =?utf-8?q?ceo=0D=0AFrom=3A?= <a@example.test>", "From: control characters"),
        DENIED("From: =?utf-7?q?ceo+AEA-victim.test?= <a@example.test>", "From: an encoded word"),
        DENIED("From: =?utf-16le?b?QAA=?= <a@example.test>", "From: an encoded word"),
        DENIED("From: \"ceo\xef\xbc\xa0victim.test\" <a@example.test>", SHOWS),
        DENIED("From: \"ceo\xef\xb9\xabvictim\xef\xbc\x8etest\" <a@example.test>",
               "From: it shows an address of victim???test"),
        DENIED("From: \xe2\x80\xaetset.mitciv <a@example.test>", "From: control characters"),
    };

    (void)state;
    check(cases, sizeof cases / sizeof cases[0], false);
}

static void from_may_be_left_to_us(void **state)
{
    const struct one cases[] = {
        FINE("Subject: no author"),
        FINE("Sender: a@example.test"),
        FINE("no header at all\r\nto speak of"),
        DENIED("x\r\n From: ceo@victim.test", "field 1"),
        DENIED("Sender: ceo@victim.test", "Sender: this credential may not"),
        DENIED("From: a@example.test\r\nFrom: a@example.test", "more than one From"),
    };

    (void)state;
    check(cases, sizeof cases / sizeof cases[0], true);
}

/* Long fields are cut by some readers: what stands behind the cut is not read by all. */
static void oversized_fields_are_refused(void **state)
{
    size_t n = MAIL_SENDERS_FIELD_SIZE_MAX;
    char *header = malloc(2 * n);
    struct mail_senders_rules rules = { .may = may };
    char cause[MAIL_SENDERS_CAUSE_SIZE];

    (void)state;
    assert_non_null(header);
    memset(header, ' ', 2 * n);
    memcpy(header, "From:", 5);
    memcpy(header + n - 16, "a@example.test\r\n", 16);
    assert_int_equal(mail_senders_check(span_of(header, n), &rules, cause), 0);
    memcpy(header + n - 16, " a@example.test\r\n", 17);
    assert_int_equal(mail_senders_check(span_of(header, n + 1), &rules, cause), ERR_DENIED);
    assert_string_equal(cause, "From: longer than 8192 bytes");
    free(header);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(honest_mail_passes),     cmocka_unit_test(another_domain_does_not),
        cmocka_unit_test(another_field_does_not), cmocka_unit_test(another_author_does_not),
        cmocka_unit_test(odd_writing_does_not),   cmocka_unit_test(encoded_words_do_not),
        cmocka_unit_test(from_may_be_left_to_us), cmocka_unit_test(oversized_fields_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
