/* classify - meanings of replies, most of them in the form that hosts of the field use. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "router/router.h"

#define D ROUTER_DELIVERED
#define L ROUTER_LATER
#define N ROUTER_NEVER

static const struct {
    enum router_stage stage;
    unsigned code;
    const char *enhanced, *text;
    enum router_verdict verdict;
    const char *class;
    bool closes, next_host;
} cases[] = {
    { ROUTER_AT_DOT, 250, "2.0.0", "OK", D, "ok", false, false },
    { ROUTER_AT_DOT, 251, "", "", D, "ok", false, false },
    { ROUTER_AT_DOT, 354, "", "go on", L, "protocol", true, false },
    { ROUTER_AT_DATA, 250, "", "OK", L, "protocol", true, false },

    /* at the door */
    { ROUTER_AT_GREETING, 554, "", "No SMTP service here", L, "unavailable", true, true },
    { ROUTER_AT_GREETING, 554, "5.7.1", "IP is on a block list", L, "policy", true, true },
    { ROUTER_AT_GREETING, 521, "", "does not accept mail", L, "unavailable", true, true },
    { ROUTER_AT_GREETING, 421, "", "Too many connections", L, "throttled", true, true },
    { ROUTER_AT_GREETING, 450, "", "busy", L, "unavailable", true, true },
    { ROUTER_AT_HELO, 550, "", "bad HELO", L, "unavailable", true, true },
    { ROUTER_AT_HELO, 502, "", "what", L, "unavailable", true, true },

    /* 421 closes everywhere */
    { ROUTER_AT_MAIL, 421, "4.3.2", "shutting down", L, "unavailable", true, true },
    { ROUTER_AT_RCPT, 421, "", "", L, "unavailable", true, true },
    { ROUTER_AT_DOT, 421, "4.7.28", "unusual rate of mail", L, "throttled", true, false },
    { ROUTER_AT_RCPT, 421, "4.7.0", "Try again later, closing connection", L, "unavailable", true,
      true },
    { ROUTER_AT_RCPT, 421, "4.7.29", "", L, "tls", true, true },

    /* later */
    { ROUTER_AT_RCPT, 450, "4.2.0", "<x@y>: Recipient address rejected: Greylisted for 60 seconds",
      L, "greylist", false, false },
    { ROUTER_AT_RCPT, 451, "4.7.1", "Graylisting in action", L, "greylist", false, false },
    { ROUTER_AT_RCPT, 450, "", "mailbox busy", L, "unavailable", false, false },
    { ROUTER_AT_RCPT, 451, "", "local error", L, "unavailable", false, false },
    { ROUTER_AT_RCPT, 452, "4.2.2", "out of storage space", L, "mailbox_full", false, false },
    { ROUTER_AT_RCPT, 452, "4.5.3", "Too many recipients", L, "too_many_recipients", false, false },
    { ROUTER_AT_RCPT, 452, "4.3.1", "Insufficient system storage", L, "unavailable", false, false },
    { ROUTER_AT_RCPT, 452, "4.1.1", "<x@y> too many recent messages", L, "throttled", false,
      false },
    { ROUTER_AT_RCPT, 421, "4.1.1", "Address verification in progress", L, "unavailable", true,
      true },
    { ROUTER_AT_RCPT, 450, "4.2.1", "receiving email too quickly", L, "throttled", false, false },
    { ROUTER_AT_MAIL, 450, "4.1.8", "Sender address rejected: Domain not found", L, "bad_sender",
      false, false },
    { ROUTER_AT_MAIL, 454, "4.7.0", "Temporary authentication failure", L, "login", false, false },
    { ROUTER_AT_DOT, 451, "4.7.650", "temporarily rate limited due to IP reputation", L,
      "throttled", false, false },
    { ROUTER_AT_DOT, 451, "4.7.500", "Server busy. Please try again later", L, "unavailable", false,
      false },
    { ROUTER_AT_RCPT, 499, "", "", L, "unavailable", false, false },

    /* permanent codes that pass with time */
    { ROUTER_AT_RCPT, 552, "", "4.5.3 Too many recipients", L, "too_many_recipients", false,
      false },
    { ROUTER_AT_RCPT, 552, "5.5.3", "sorry", L, "too_many_recipients", false, false },
    { ROUTER_AT_DOT, 552, "5.5.3", "sorry", N, "too_many_recipients", false, false },
    { ROUTER_AT_MAIL, 550, "5.4.5", "Daily user sending limit exceeded", L, "throttled", false,
      false },
    { ROUTER_AT_RCPT, 550, "", "Too many messages. Try again in 92 seconds.", L, "throttled", false,
      false },
    { ROUTER_AT_RCPT, 550, "", "Ip frequency limited", L, "throttled", false, false },

    /* never */
    { ROUTER_AT_RCPT, 550, "5.1.1", "no such user here", N, "user_unknown", false, false },
    { ROUTER_AT_RCPT, 550, "5.1.1", "", N, "user_unknown", false, false },
    { ROUTER_AT_RCPT, 550, "", "User unknown", N, "user_unknown", false, false },
    { ROUTER_AT_RCPT, 550, "5.7.1", "No such user!", N, "user_unknown", false, false },
    { ROUTER_AT_RCPT, 550, "5.4.1", "Recipient address rejected: Access denied.", N, "user_unknown",
      false, false },
    { ROUTER_AT_RCPT, 550, "5.5.0", "Requested action not taken: mailbox unavailable", N,
      "user_unknown", false, false },
    { ROUTER_AT_DOT, 554, "", "delivery error: dd This user doesn't have a yahoo.com account", N,
      "user_unknown", false, false },
    { ROUTER_AT_DOT, 552, "", "1 Requested mail action aborted, mailbox not found", N,
      "user_unknown", false, false },
    { ROUTER_AT_RCPT, 550, "5.1.10", "RESOLVER.ADR.RecipientNotFound", N, "user_unknown", false,
      false },
    { ROUTER_AT_RCPT, 550, "5.1.2", "", N, "bad_domain", false, false },
    { ROUTER_AT_RCPT, 556, "5.1.10", "null MX", N, "bad_domain", false, false },
    { ROUTER_AT_RCPT, 550, "5.2.1", "account inactive", N, "mailbox_disabled", false, false },
    { ROUTER_AT_RCPT, 550, "5.2.1", "receiving email at a rate that prevents", N, "throttled",
      false, false },
    { ROUTER_AT_RCPT, 552, "5.2.2", "mailbox full", N, "mailbox_full", false, false },
    { ROUTER_AT_RCPT, 552, "", "", N, "mailbox_full", false, false },
    { ROUTER_AT_DOT, 552, "", "", N, "too_large", false, false },
    { ROUTER_AT_MAIL, 552, "5.3.4", "size", N, "too_large", false, false },
    { ROUTER_AT_MAIL, 553, "", "", N, "bad_sender", false, false },
    { ROUTER_AT_RCPT, 553, "5.1.3", "", N, "bad_address", false, false },
    { ROUTER_AT_RCPT, 550, "", "Relaying denied", N, "relay_denied", false, false },
    { ROUTER_AT_RCPT, 550, "", "no", N, "refused", false, false },
    { ROUTER_AT_RCPT, 550, "", "Requested action not taken: mailbox unavailable", N, "refused",
      false, false },
    { ROUTER_AT_RCPT, 551, "", "elsewhere", N, "refused", false, false },
    { ROUTER_AT_RCPT, 599, "", "", N, "refused", false, false },
    { ROUTER_AT_MAIL, 500, "", "", N, "protocol", false, false },
    { ROUTER_AT_MAIL, 555, "5.5.4", "", N, "protocol", false, false },
    { ROUTER_AT_MAIL, 530, "5.7.0", "Authentication required", N, "login", false, false },
    { ROUTER_AT_MAIL, 530, "5.7.0", "Must issue a STARTTLS command first", N, "tls", false, false },
    { ROUTER_AT_DOT, 554, "5.4.6", "too many hops", N, "loop", false, false },
    { ROUTER_AT_DOT, 550, "5.6.0", "", N, "content", false, false },
    { ROUTER_AT_DOT, 552, "5.7.0", "virus found", N, "content", false, false },

    /* refusals of us are no dead mailboxes */
    { ROUTER_AT_RCPT, 550, "5.1.1", "blocked using zen.spamhaus.org", N, "policy", false, false },
    { ROUTER_AT_RCPT, 550, "", "User unknown; your IP is blocked", N, "policy", false, false },
    { ROUTER_AT_RCPT, 550, "5.7.1", "Service unavailable, Client host [192.0.2.1] blocked", N,
      "policy", false, false },
    { ROUTER_AT_DOT, 550, "5.7.1", "likely unsolicited mail", N, "spam", false, false },
    { ROUTER_AT_DOT, 554, "5.7.1", "rejected under suspicion of SPAM", N, "spam", false, false },
    { ROUTER_AT_DOT, 554, "", "Transaction failed", N, "policy", false, false },
    { ROUTER_AT_DOT, 550, "5.7.26", "not authenticated", N, "auth", false, false },
    { ROUTER_AT_DOT, 550, "5.7.515", "", N, "auth", false, false },
    { ROUTER_AT_DOT, 550, "5.7.1", "DMARC policy of the domain", N, "auth", false, false },
    { ROUTER_AT_DOT, 550, "5.7.29", "", N, "tls", false, false },
    { ROUTER_AT_RCPT, 550, "", "your IP doesn't have a PTR record", N, "refused", false, false },

    /* words in addresses and URLs are none; parts of words neither */
    { ROUTER_AT_RCPT, 550, "5.1.1", "<spam@b.example>: User unknown", N, "user_unknown", false,
      false },
    { ROUTER_AT_RCPT, 550, "5.1.1", "User unknown, see http://x.example/spam", N, "user_unknown",
      false, false },
    { ROUTER_AT_RCPT, 550, "5.1.1", "Mr. Spampanato is gone", N, "user_unknown", false, false },

    /* no reply */
    { ROUTER_AT_GREETING, 0, "", "", L, "connect", true, true },
    { ROUTER_AT_RCPT, 0, "", "connection timed out", L, "timeout", true, true },
    { ROUTER_AT_DOT, 0, "", "connection reset", L, "connect", true, false },
};

static void meanings(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct router_meaning m;
        char what[512];
        router_classify(cases[i].stage, cases[i].code, cases[i].enhanced, cases[i].text, &m);
        snprintf(what, sizeof what, "%u %s %s: %d %s %d %d", cases[i].code, cases[i].enhanced,
                 cases[i].text, m.verdict, m.class, m.closes, m.next_host);
        if (m.verdict != cases[i].verdict || strcmp(m.class, cases[i].class) != 0 ||
            m.closes != cases[i].closes || m.next_host != cases[i].next_host)
            fail_msg("%s", what);
    }
}

/* The rules that hold for every reply, whatever its words. */
static void rules_of_all_replies(void **state)
{
    static const char *const enhanced[] = { "", "4.2.2", "5.1.1", "5.5.3", "4.7.28", "5", "5." };

    (void)state;
    for (unsigned stage = 0; stage <= ROUTER_AT_DOT; stage++)
        for (unsigned code = 200; code < 600; code++)
            for (size_t e = 0; e < sizeof enhanced / sizeof enhanced[0]; e++) {
                struct router_meaning m;
                router_classify((enum router_stage)stage, code, enhanced[e], NULL, &m);
                assert_true(m.class && m.class[0]);
                if (m.verdict == D) assert_true(stage == ROUTER_AT_DOT && code < 300);
                if (m.verdict == N) assert_true(code >= 500 && stage > ROUTER_AT_HELO);
                if (code / 100 == 4) assert_int_equal(m.verdict, L);
                if (code == 421) assert_true(m.closes);
            }
}

static void long_and_missing_texts(void **state)
{
    static char text[5000];
    struct router_meaning m;

    (void)state;
    memset(text, 'x', sizeof text - 1);
    router_classify(ROUTER_AT_RCPT, 550, "5.1.1", text, &m);
    assert_string_equal(m.class, "user_unknown");
    memset(text, ' ', sizeof text - 1);
    router_classify(ROUTER_AT_RCPT, 550, NULL, text, &m);
    assert_string_equal(m.class, "refused");
    router_classify(ROUTER_AT_RCPT, 0, NULL, NULL, &m);
    assert_string_equal(m.class, "connect");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(meanings),
        cmocka_unit_test(rules_of_all_replies),
        cmocka_unit_test(long_and_missing_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
