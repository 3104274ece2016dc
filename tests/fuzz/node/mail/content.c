/* content - whatever comes: what is found does not depend on how the mail is cut, a text that stands in a plain body
 * is found wherever it stands, and a glob agrees with its definition. The first byte chooses the pieces. */
#include "node/mail/content.h"
#include "proto/ground/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static const struct mail_content_rule rules[] = {
    { .name = "s",
      .part = MAIL_CONTENT_HEADER,
      .field = "Subject",
      .match = "*a?b*",
      .tags = true },
    { .name = "b", .part = MAIL_CONTENT_BODY, .match = "needle", .tags = true },
    { .name = "c", .part = MAIL_CONTENT_BODY, .match = "n", .tags = true },
    { .name = "f", .part = MAIL_CONTENT_FILE, .match = "*.e?e", .tags = true },
    { .name = "r", .part = MAIL_CONTENT_BODY, .match = "refuse\r\nme" },
};

static unsigned scan(struct mail_content *c, struct span mail, size_t piece)
{
    struct mail_content_scan *s = mail_content_scan_new(c, SPAN_LIT("t"));
    struct mail_content_hit hit;
    unsigned at = 0, found = 0;

    for (size_t i = 0, k; i < mail.n; i += k) {
        k = mail.n - i < piece ? mail.n - i : piece;
        mail_content_scan_feed(s, span_sub(mail, i, k));
    }
    mail_content_scan_finish(s);
    while (mail_content_tagged(s, &at, &hit)) {
        CHECK(hit.tags && at <= 4);
        found |= 1u << at;
    }
    if (mail_content_refused(s, &hit)) {
        CHECK(!hit.tags && hit.said[0] == 'r');
        found |= 1;
    }
    mail_content_scan_free(&s);
    CHECK(!s);
    return found;
}

/* The definition, by recursion; for short ones. */
static bool glob(struct span p, struct span t)
{
    if (p.n == 0) return t.n == 0;
    if (p.p[0] == '*') return glob(span_from(p, 1), t) || (t.n > 0 && glob(p, span_from(t, 1)));
    if (t.n == 0) return false;
    if (p.p[0] != '?' && !span_eq_nocase(span_sub(p, 0, 1), span_sub(t, 0, 1))) return false;
    return glob(span_from(p, 1), span_from(t, 1));
}

static void plain_is_found(struct mail_content *c, struct span before)
{
    struct buf mail;

    buf_init(&mail, before.n + 64);
    buf_add_cstr(&mail, "\r\n");
    buf_add_span(&mail, before);
    buf_add_cstr(&mail, "nEEdle");
    CHECK(scan(c, buf_span(&mail), 1000) & 1u << 2);
    buf_deinit(&mail);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct mail_content *c;
    struct span mail;

    if (n < 1) return 0;
    mail = span_of(bytes + 1, n - 1);
    c = mail_content_new(rules, sizeof rules / sizeof rules[0], false);
    CHECK(scan(c, mail, SIZE_MAX) == scan(c, mail, 1 + bytes[0] % 64));
    plain_is_found(c, mail);
    mail_content_unref(&c);
    if (mail.n >= 4 && mail.n <= 24) {
        struct span pattern = span_sub(mail, 0, mail.n / 3), text = span_from(mail, mail.n / 3);

        CHECK(mail_content_glob(pattern, text) == glob(pattern, text));
    }
    return 0;
}
