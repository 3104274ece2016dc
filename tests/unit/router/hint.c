/* hint - replies of the field and the time that they name (checklist C301 to C304), in their own words;
 * texts stand behind code and enhanced code, lines joined by " / ". */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "router/router.h"

#define S      1000u
#define NOW_MS 1795873200000u /* 2026-11-28T13:40:00Z */

static const struct {
    unsigned code;
    const char *enhanced, *text;
    unsigned seconds; /* 0: no time is named */
} cases[] = {
    { 450, "4.2.0",
      "<x@y.z>: Recipient address rejected: example.com greylisted for 60 seconds by ZEROSPAM",
      60 },
    { 451, "4.7.1", "<x@y.z>: Recipient address rejected: Greylisted for 5 minutes", 300 },
    { 450, "", "<x@y.z>: Recipient address rejected: Greylisted for 60 seconds", 60 },
    { 450, "", "<x@y.z>: Recipient address rejected: Greylisted for 181 seconds", 181 },
    { 450, "4.7.1",
      "<x@y.z>: Recipient address rejected: Greylisted for 300 seconds (see "
      "http://isg.ee.ethz.ch/tools/postgrey/help/60.html)",
      300 },
    { 451, "4.7.1", "Greylisting in action, please come back in 00:09:00", 540 },
    { 451, "4.7.1", "Greylisting in action, please come back in 00:05:00", 300 },
    { 451, "", "Greylisting enabled, try again in 1 minutes", 60 },
    { 450, "",
      "<x@y.z>: Recipient address rejected: Hotkey Greylisting in progress (mx.y.z). Please try "
      "again after 2 minutes",
      120 },
    { 450, "",
      "<x@y.z>: Recipient address rejected: Greylisting in action. Please try delivery again in "
      "240 seconds.",
      240 },
    { 451, "", "Greylisted, please try again in 900 seconds", 900 },
    { 451, "", "Greylisted, please try again in 86400 seconds", 86400 },
    { 451, "", "Greylisted, please try again in 604800 seconds",
      86400 }, /* no host parks our queue */
    { 450, "", "Greylisted, see http://postgrey.schweikert.ch/help/x.html or wait 300 seconds",
      300 },
    { 450, "", "Greylisted for 5 seconds", 30 }, /* nor makes us storm it */
    { 450, "4.2.0", "<x@y.z>: Recipient address rejected: Greylisted for 120 seconds. policy[7]",
      120 },
    { 450, "4.7.1", "greylisted, try again in 180 seconds", 180 },
    { 451, "4.7.1", "greylisted, try again in 60s", 60 },
    { 450, "4.2.0", "Greylisted, try again in 5 minutes", 300 },
    { 450, "4.7.1", "<x@y.z>: Greylisted, try again in 500 seconds", 500 },
    { 451, "4.7.1", "Greylisting in effect, please retry in 300 seconds", 300 },
    { 451, "4.7.1", "<x@y.z>: Recipient address rejected: Greylisted, try again in 300 seconds",
      300 },
    { 450, "4.2.0", "<x@y.z>: Sender address rejected: Greylisted for 50 sec.", 50 },
    { 451, "", "Greylisted for 5 minutes. Try again later.", 300 },
    { 450, "", "Try again in 30 seconds", 30 },
    { 450, "", "Try again in 5 minutes", 300 },
    { 550, "", "Too many messages. Try again in 92 seconds.", 92 },
    { 451, "", "Greylisting active, please retry in 170 seconds", 170 },
    { 451, "", "Greylisting active ... 170 seconds", 170 },
    { 451, "4.7.1", "Try again later, Sat, 28 Nov 2026 13:47:30 +0000", 450 },
    { 451, "4.7.1", "Try again later, Sat, 28 Nov 2026 14:50:00 +0100", 600 },
    { 451, "4.7.1", "Try again after 2026-11-28T13:45:00Z", 300 },
    { 451, "4.7.1", "try again after 2026-11-28 08:45:00 -05:00", 300 },
    { 451, "4.7.1", "Try again later, Sat, 28 Nov 2026 13:39:59 +0000", 0 }, /* it is later */
    { 451, "", "DT:SPM 163 smtp8,DMCowAD please try again", 120 },
    { 451, "", "MI:SFQ 163 smtp8,DMCowAD", 900 },
    { 421, "4.7.28", "Our system has detected an unusual rate of mail", 600 },
    { 451, "4.3.0", "Retry-After: 300", 300 },
    { 421, "", "Service busy, retry after 90", 90 },
    { 450, "", "please wait at least 10 minutes before you try again", 600 },
    { 450, "", "deferred for 1 hour 30 minutes", 5400 },
    { 450, "", "come back in 1 hour and 5 min", 3900 },
    { 450, "", "try again in about an hour", 3600 },
    { 450, "", "Try again in fifteen minutes", 900 },
    { 421, "", "busy / please retry in 5m30s", 330 },

    /* no time is named */
    { 451, "4.7.1", "Greylisting in action, please come back later", 0 },
    { 450, "", "<x@y.z>: Policy Rejection- GreyList learning. Please try later.", 0 },
    { 451, "", "sender/recip/ip triad greylisted; retry AFTER A DECENT INTERVAL", 0 },
    { 452, "4.2.2", "Greylisted, please try again in a few moments.", 0 },
    { 451, "", "Temporary failure, please try again later.", 0 },
    { 421, "4.7.1", "Client host [192.0.2.10] blocked using grey.rbl; Greylisting in action", 0 },
    { 451, "4.7.500", "Server busy. Please try again later from [192.0.2.10]. (S77719)", 0 },
    { 450, "", "Too many messages in the last 10 minutes, try again", 0 },
    { 450, "", "more than 20 connections per 60 seconds", 0 },
    { 450, "", "Greylisted: 20 messages within the past 5 minutes", 0 },
    { 450, "", "you sent 500 messages 5 minutes ago, try again", 0 },
    { 450, "4.7.1", "Error: too much mail from 192.0.2.10", 0 },
    { 450, "", "try again in version 2.4.5 seconds", 0 },
    { 450, "", "queue id #4.3.0 in 4B7C10 minutes", 0 },
    { 450, "", "in 0 seconds", 0 },
    { 450, "", "", 0 },
    { 450, "", "in in in in in 99999999999999999999 seconds", 0 },
};

static void the_words_of_the_field(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t ms = router_hint_ms(cases[i].code, cases[i].enhanced, cases[i].text, NOW_MS);

        if (ms != cases[i].seconds * S)
            print_error("%u %s: %llu ms\n", cases[i].code, cases[i].text, (unsigned long long)ms);
        assert_int_equal(ms, cases[i].seconds * S);
    }
    assert_int_equal(router_hint_ms(450, NULL, NULL, NOW_MS), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(the_words_of_the_field) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
