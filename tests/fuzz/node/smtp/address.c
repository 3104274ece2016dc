/* address - a mailbox that parses is put together again from its parts; the key of a key is itself.
 */
#include "node/smtp/address.h"
#include "proto/ground/check.h"
#include "proto/ground/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void expect_key(struct span domain)
{
    struct buf key, again;

    buf_init(&key, 1000);
    buf_init(&again, 1000);
    CHECK(smtp_domain_key(domain, &key) == 0);
    CHECK(smtp_domain_key(buf_span(&key), &again) == 0);
    CHECK(!buf_failed(&key) && key.n <= SMTP_DOMAIN_SIZE_MAX);
    CHECK(span_eq(buf_span(&key), buf_span(&again)));
    for (size_t i = 0; i < key.n; i++)
        CHECK(key.p[i] > 0x20 && key.p[i] < 0x7f && (key.p[i] < 'A' || key.p[i] > 'Z'));
    buf_deinit(&again);
    buf_deinit(&key);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct span inside = span_of(bytes, n);
    struct smtp_address a;
    char text[46];
    bool is_ipv6;
    int err = smtp_address_parse(inside, n % 2, n % 3 == 0, &a);

    CHECK(err == 0 || err == ERR_SYNTAX || err == ERR_TOO_LONG);
    if (smtp_literal_parse(inside, text, &is_ipv6) == 0) CHECK(strlen(text) < sizeof text);
    if (smtp_domain_ok(inside)) expect_key(inside);
    if (err || a.text.n == 0) return 0;
    CHECK(a.text.p + a.text.n == bytes + n);
    if (a.domain.n == 0) return 0;
    CHECK(a.text.n == a.local.n + 1 + a.domain.n);
    CHECK(a.is_literal || a.is_utf8 || smtp_domain_ok(a.domain));
    CHECK(a.text.n <= SMTP_ADDRESS_SIZE_MAX);
    expect_key(a.domain);
    return 0;
}
