/* newlines - in any pieces the same comes out: no bare CR or LF, and without CR and LF the same bytes; what has none to
 * repair stays as it is. */
#include "node/smtp/data.h"
#include "proto/ground/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static int add(void *arg, struct span run)
{
    CHECK(run.n > 0);
    buf_add_span(arg, run);
    return 0;
}

/* Returns how many line ends were repaired. */
static uint64_t repair(struct span content, size_t piece, struct buf *out)
{
    struct smtp_newlines n;

    smtp_newlines_init(&n);
    for (size_t from = 0; from < content.n; from += piece)
        CHECK(smtp_newlines_feed(
                  &n, span_sub(content, from, content.n - from < piece ? content.n - from : piece),
                  add, out) == 0);
    CHECK(smtp_newlines_finish(&n, add, out) == 0);
    CHECK(!buf_failed(out));
    return n.repaired;
}

static void expect_text(struct span in, struct span out)
{
    size_t at = 0;

    for (size_t i = 0; i < in.n; i++) {
        if (in.p[i] == '\r' || in.p[i] == '\n') continue;
        while (at < out.n && (out.p[at] == '\r' || out.p[at] == '\n'))
            at++;
        CHECK(at < out.n && out.p[at++] == in.p[i]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct span in = span_of(bytes, n);
    struct buf whole, pieces;
    uint64_t repaired;

    buf_init(&whole, 2 * n + 2);
    buf_init(&pieces, 2 * n + 2);
    repaired = repair(in, n + 1, &whole);
    CHECK(repair(in, 1 + n % 7, &pieces) == repaired);
    CHECK(span_eq(buf_span(&whole), buf_span(&pieces)));
    for (size_t i = 0; i < whole.n; i++) {
        if (whole.p[i] == '\n') CHECK(i > 0 && whole.p[i - 1] == '\r');
        if (whole.p[i] == '\r') CHECK(i + 1 < whole.n && whole.p[i + 1] == '\n');
    }
    expect_text(in, buf_span(&whole));
    if (repaired == 0) CHECK(span_eq(buf_span(&whole), in));
    buf_deinit(&whole);
    buf_deinit(&pieces);
    return 0;
}
