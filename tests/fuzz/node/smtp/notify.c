/* notify - values that pass are what the header promises: words in range, text that decodes to no
 * control. */
#include <stdlib.h>

#include "node/smtp/notify.h"
#include "proto/ground/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

/* Decoded by another way than the code's: strtoul on two digits. */
static void expect_text(struct span xtext)
{
    for (size_t i = 0; i < xtext.n; i++) {
        char digits[3] = "";
        unsigned long byte = xtext.p[i];

        if (byte == '+') {
            CHECK(xtext.n - i >= 3);
            memcpy(digits, xtext.p + i + 1, 2);
            byte = strtoul(digits, NULL, 16);
            CHECK(byte < 0x7f);
            i += 2;
        }
        CHECK(byte >= 0x20 && byte != 0x7f);
    }
}

/* For a host without SMTPUTF8: a value like others, or none. */
static void expect_ascii(struct span orcpt)
{
    struct buf b;

    buf_init(&b, 4 * SMTP_ORCPT_SIZE_MAX);
    if (smtp_orcpt_ascii(orcpt, &b) == 0)
        CHECK(smtp_orcpt_check(buf_span(&b), false) == 0);
    else
        CHECK(b.n == 0);
    buf_deinit(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct span value = span_of(bytes, n);
    unsigned word;

    if (smtp_notify_parse(value, &word) == 0)
        CHECK(word == SMTP_NOTIFY_NEVER || (word > 0 && word <= 14 && word % 2 == 0));
    if (smtp_ret_parse(value, &word) == 0) CHECK(word == SMTP_RET_FULL || word == SMTP_RET_HDRS);
    if (smtp_envid_check(value) == 0) {
        CHECK(n <= SMTP_ENVID_SIZE_MAX);
        expect_text(value);
    }
    if (smtp_orcpt_check(value, false) == 0) CHECK(smtp_orcpt_check(value, true) == 0);
    if (smtp_orcpt_check(value, true) == 0) {
        CHECK(n <= SMTP_ORCPT_SIZE_MAX && span_find(value, 0, ';') < n);
        expect_text(value);
        expect_ascii(value);
    }
    return 0;
}
