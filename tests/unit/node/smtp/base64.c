/* base64 - exactly one text for one run of bytes; the message of AUTH PLAIN. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "node/smtp/base64.h"

#include "proto/ground/err.h"
#include "proto/ground/rng.h"

static void vectors_of_the_rfc(void **state)
{
    static const char *const cases[][2] = {
        { "", "" },
        { "f", "Zg==" },
        { "fo", "Zm8=" },
        { "foo", "Zm9v" },
        { "foob", "Zm9vYg==" },
        { "fooba", "Zm9vYmE=" },
        { "foobar", "Zm9vYmFy" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf b;
        uint8_t out[16];
        size_t n;
        buf_init(&b, 100);
        base64_encode(span_cstr(cases[i][0]), &b);
        assert_string_equal(buf_cstr(&b), cases[i][1]);
        assert_int_equal(base64_decode(span_cstr(cases[i][1]), out, sizeof out, &n), 0);
        assert_true(span_eq(span_of(out, n), span_cstr(cases[i][0])));
        buf_deinit(&b);
    }
}

static void other_texts_are_refused(void **state)
{
    const struct span bad[] = {
        SPAN_LIT("Zg"),
        SPAN_LIT("Zg="),
        SPAN_LIT("Zh=="),
        SPAN_LIT("Zm9="),
        SPAN_LIT("Z==="),
        SPAN_LIT("===="),
        SPAN_LIT("=Zg="),
        SPAN_LIT("Zg==Zg=="),
        SPAN_LIT("Zm 9v"),
        SPAN_LIT("Zm9v\n"),
        SPAN_LIT("Zm9-"),
        SPAN_LIT("Zm9_"),
        SPAN_LIT(" Zm9v"),
        SPAN_LIT("Zm9\0"),
        SPAN_LIT("Zm9\xff"),
        SPAN_LIT("="),
        SPAN_LIT("Z=g="),
        SPAN_LIT("*"),
        SPAN_LIT("AGFsaWNlQGV4YW1wbGUuY29tAHNlY3JldA"), /* unpadded */
    };
    uint8_t out[64];
    size_t n;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(base64_decode(bad[i], out, sizeof out, &n), ERR_SYNTAX);
    assert_int_equal(base64_decode(SPAN_LIT("Zm9vYmFy"), out, 5, &n), ERR_TOO_LONG);
    assert_int_equal(base64_decode(SPAN_LIT("Zm9vYmFy"), out, 6, &n), 0);
    assert_int_equal(base64_decode(SPAN_LIT("Zm9vYg=="), out, 4, &n), 0);
}

static void random_bytes_come_back(void **state)
{
    uint8_t bytes[200], out[200];
    struct rng r;

    (void)state;
    rng_seed(&r, 1);
    for (size_t size = 0; size < sizeof bytes; size++) {
        struct buf b;
        size_t n;
        for (size_t i = 0; i < size; i++)
            bytes[i] = (uint8_t)rng_next(&r);
        buf_init(&b, 1000);
        base64_encode(span_of(bytes, size), &b);
        assert_int_equal(base64_decode(buf_span(&b), out, sizeof out, &n), 0);
        assert_true(span_eq(span_of(out, n), span_of(bytes, size)));
        buf_deinit(&b);
    }
}

static void plain_has_three_parts(void **state)
{
    const struct span bad[] = {
        SPAN_LIT(""),         SPAN_LIT("a"),      SPAN_LIT("a\0b"),         SPAN_LIT("\0\0"),
        SPAN_LIT("\0user\0"), SPAN_LIT("\0\0pw"), SPAN_LIT("\0user\0pw\0"),
    };
    struct span authzid, authcid, passwd;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(sasl_plain_split(bad[i], &authzid, &authcid, &passwd), ERR_SYNTAX);
    assert_int_equal(sasl_plain_split(SPAN_LIT("\0tim\0tanstaaf"), &authzid, &authcid, &passwd), 0);
    assert_int_equal(authzid.n, 0);
    assert_true(span_eq(authcid, SPAN_LIT("tim")));
    assert_true(span_eq(passwd, SPAN_LIT("tanstaaf")));
    assert_int_equal(sasl_plain_split(SPAN_LIT("Ursel\0Kurt\0x"), &authzid, &authcid, &passwd), 0);
    assert_true(span_eq(authzid, SPAN_LIT("Ursel")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_of_the_rfc),
        cmocka_unit_test(other_texts_are_refused),
        cmocka_unit_test(random_bytes_come_back),
        cmocka_unit_test(plain_has_three_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
