/* data - the end and the content do not depend on the cut; what is written is read again. */
#include "node/smtp/data.h"
#include "proto/ground/check.h"
#include "proto/ground/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

#define SIZE_MAX_HERE (4u << 20)

struct result {
    struct buf content;
    size_t eaten;
    bool ended, bare_cr, bare_lf;
};

static int keep(void *arg, struct span run)
{
    CHECK(run.n > 0);
    buf_add_span(arg, run);
    return 0;
}

static bool read_piece(struct smtp_data_reader *r, struct span piece, struct result *out)
{
    size_t n = piece.n;
    int err = smtp_data_read(r, &piece, keep, &out->content);

    CHECK(err == 0 || err == ERR_AGAIN);
    CHECK(err == 0 || piece.n == 0);
    out->ended = err == 0;
    out->eaten += n - piece.n;
    return !out->ended;
}

static void read_cut(struct span in, size_t cut, struct result *out)
{
    struct smtp_data_reader r;

    *out = (struct result){ .ended = false };
    buf_init(&out->content, SIZE_MAX_HERE);
    smtp_data_reader_init(&r);
    if (read_piece(&r, span_sub(in, 0, cut), out)) read_piece(&r, span_from(in, cut), out);
    out->bare_cr = r.bare_cr;
    out->bare_lf = r.bare_lf;
}

static void expect_equal(const struct result *a, const struct result *b)
{
    CHECK(a->ended == b->ended);
    CHECK(a->eaten == b->eaten);
    CHECK(a->bare_cr == b->bare_cr);
    CHECK(a->bare_lf == b->bare_lf);
    CHECK(span_eq(buf_span(&a->content), buf_span(&b->content)));
}

/* The end is where the first CR LF . CR LF is, and nowhere else. */
static void expect_end(struct span in, const struct result *r)
{
    bool at_once = in.n >= 3 && memcmp(in.p, ".\r\n", 3) == 0;
    const uint8_t *p = in.n > 0 ? memmem(in.p, in.n, "\r\n.\r\n", 5) : NULL;
    size_t end = at_once ? 3 : p ? (size_t)(p - in.p) + 5 : 0;

    CHECK(r->ended == (end > 0));
    if (r->ended) CHECK(r->eaten == end);
}

static void there_and_back(struct span content)
{
    struct smtp_data_writer w;
    struct buf wire;
    struct result r;
    size_t half = content.n / 2;
    bool has_end = content.n == 0 || (content.n >= 2 && content.p[content.n - 2] == '\r' &&
                                      content.p[content.n - 1] == '\n');

    buf_init(&wire, SIZE_MAX_HERE);
    smtp_data_writer_init(&w);
    smtp_data_write(&w, span_sub(content, 0, half), &wire);
    smtp_data_write(&w, span_from(content, half), &wire);
    smtp_data_finish(&w, &wire);
    read_cut(buf_span(&wire), wire.n, &r);
    CHECK(r.ended);
    CHECK(r.eaten == wire.n);
    CHECK(r.content.n == content.n + (has_end ? 0 : 2));
    CHECK(content.n == 0 || memcmp(r.content.p, content.p, content.n) == 0);
    buf_deinit(&r.content);
    buf_deinit(&wire);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct span in = span_of(bytes, n);
    struct result whole, other;
    size_t step = n / 64 + 1;

    read_cut(in, n, &whole);
    expect_end(in, &whole);
    for (size_t cut = 0; cut < n; cut += step) {
        read_cut(in, cut, &other);
        expect_equal(&whole, &other);
        buf_deinit(&other.content);
    }
    there_and_back(in);
    buf_deinit(&whole.content);
    return 0;
}
