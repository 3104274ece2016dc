/* answer - whatever a token endpoint says, what is taken out of it can be used, and texts repeat nothing of it but a code.
 * Input: one byte for the status, then the body.
 */
#include "node/login/login.h"
#include "proto/ground/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void expect_usable(const struct secret *s)
{
    struct span b = secret_bytes(s);

    CHECK(b.n > 0 && b.n <= SECRET_SIZE_MAX);
    for (size_t i = 0; i < b.n; i++)
        CHECK(b.p[i] > 0x20 && b.p[i] < 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static const unsigned statuses[] = { 200, 200, 200, 400, 401, 429, 500, 302 };
    struct login_token t;
    struct errmsg why = { "" };
    int rv;

    if (n == 0) return 0;
    rv = login_token_read(statuses[bytes[0] & 7], span_of(bytes + 1, n - 1), &t, &why);
    CHECK((rv == 0) == (t.access != NULL));
    CHECK((rv == 0) == (why.text[0] == '\0'));
    CHECK(rv != ERR_DENIED || (bytes[0] & 7) == 3 || (bytes[0] & 7) == 4);
    CHECK(strlen(t.error) < sizeof t.error);
    for (const char *p = why.text; *p; p++)
        CHECK((uint8_t)*p >= 0x20 && (uint8_t)*p < 0x7f);
    if (rv == 0) {
        CHECK(t.life_ms >= 10000 && t.life_ms <= 86400000);
        expect_usable(t.access);
        if (t.refresh) expect_usable(t.refresh);
    }
    login_token_deinit(&t);
    return 0;
}
