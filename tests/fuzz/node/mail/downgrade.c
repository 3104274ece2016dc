/* downgrade - whatever comes: what comes out is of 7 bits, does not depend on the pieces, keeps to its bound; and
 * converted once more it is what it was. */
#include "node/mail/mail.h"
#include "proto/ground/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static int convert(struct span in, size_t piece, struct buf *out)
{
    struct mail_downgrade *d = mail_downgrade_new();
    int rv = 0;

    for (size_t at = 0, n; at < in.n && rv == 0; at += n) {
        size_t before = out->n;

        n = in.n - at < piece ? in.n - at : piece;
        rv = mail_downgrade_feed(d, span_sub(in, at, n), out);
        CHECK(out->n - before <= 4 * n + MAIL_DOWNGRADE_BURST_MAX);
    }
    if (rv == 0) rv = mail_downgrade_finish(d, out);
    mail_downgrade_free(&d);
    CHECK(!buf_failed(out));
    return rv;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct buf whole, pieces, again;
    int rv;

    if (n < 1) return 0;
    buf_init(&whole, 16u << 20);
    buf_init(&pieces, 16u << 20);
    buf_init(&again, 16u << 20);
    rv = convert(span_of(bytes + 1, n - 1), SIZE_MAX, &whole);
    CHECK(convert(span_of(bytes + 1, n - 1), 1 + bytes[0] % 64, &pieces) == rv);
    for (size_t i = 0; rv == 0 && i < whole.n; i++)
        CHECK(whole.p[i] > 0 && whole.p[i] < 0x80);
    if (rv == 0) CHECK(span_eq(buf_span(&whole), buf_span(&pieces)));
    if (rv == 0) CHECK(convert(buf_span(&whole), SIZE_MAX, &again) == 0);
    if (rv == 0) CHECK(span_eq(buf_span(&whole), buf_span(&again)));
    buf_deinit(&whole);
    buf_deinit(&pieces);
    buf_deinit(&again);
    return 0;
}
