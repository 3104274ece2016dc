/* base64 - a text that decodes is the very text that the bytes encode to; any bytes come back. */
#include <stdlib.h>

#include "node/smtp/base64.h"
#include "proto/ground/check.h"
#include "proto/ground/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct span in = span_of(bytes, n), a, b, c;
    uint8_t *out = check_malloc(n + 1);
    struct buf text;
    size_t size;

    buf_init(&text, 2 * n + 8);
    if (base64_decode(in, out, n / 4 * 3, &size) == 0) {
        base64_encode(span_of(out, size), &text);
        CHECK(span_eq(buf_span(&text), in));
    }
    buf_reset(&text);
    base64_encode(in, &text);
    CHECK(!buf_failed(&text));
    CHECK(base64_decode(buf_span(&text), out, n, &size) == 0);
    CHECK(span_eq(span_of(out, size), in));
    if (n > 0) CHECK(base64_decode(buf_span(&text), out, n - 1, &size) == ERR_TOO_LONG);
    if (sasl_plain_split(in, &a, &b, &c) == 0) CHECK(a.n + b.n + c.n + 2 == n);
    buf_deinit(&text);
    free(out);
    return 0;
}
