/* command - lines and arguments: spans stay inside of the line, what parses has the promised form.
 */
#include <stdlib.h>

#include "node/smtp/command.h"
#include "proto/ground/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void expect_inside(struct span part, struct span whole)
{
    if (part.n == 0) return;
    CHECK(part.p >= whole.p);
    CHECK(part.p + part.n <= whole.p + whole.n);
}

static void expect_address(const struct smtp_address *a, struct span arg, bool may_be_utf8)
{
    struct smtp_address again;

    expect_inside(a->text, arg);
    expect_inside(a->local, a->text);
    expect_inside(a->domain, a->text);
    CHECK(a->local.n <= SMTP_LOCAL_SIZE_MAX);
    CHECK(a->domain.n <= SMTP_DOMAIN_SIZE_MAX);
    for (size_t i = 0; i < a->text.n; i++) {
        CHECK(a->text.p[i] >= 0x20 && a->text.p[i] != 0x7f);
        CHECK(a->text.p[i] < 0x80 || (a->is_utf8 && may_be_utf8));
    }
    CHECK(smtp_address_parse(a->text, true, true, &again) == 0);
    CHECK(span_eq(again.text, a->text));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct span line = span_of(bytes, n), arg;
    struct smtp_mail mail;
    struct smtp_rcpt rcpt;
    struct smtp_bdat bdat;

    if (smtp_command_parse(line, &arg) == SMTP_VERB_UNKNOWN) {
        CHECK(arg.n == 0);
        arg = line; /* go on with any bytes */
    }
    expect_inside(arg, line);
    if (smtp_mail_parse(arg, &mail) == SMTP_PARAM_OK) {
        expect_address(&mail.from, arg, mail.smtputf8);
        expect_inside(mail.envid, arg);
        CHECK(mail.body <= SMTP_BODY_BINARYMIME);
    }
    if (smtp_rcpt_parse(arg, n % 2, &rcpt) == SMTP_PARAM_OK) {
        expect_address(&rcpt.to, arg, n % 2);
        expect_inside(rcpt.orcpt, arg);
        CHECK(rcpt.to.local.n > 0);
    }
    (void)smtp_bdat_parse(arg, &bdat);
    if (smtp_helo_check(arg) == 0) CHECK(arg.n > 0 && arg.n <= SMTP_DOMAIN_SIZE_MAX);
    return 0;
}
