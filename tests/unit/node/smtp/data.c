/* data - where DATA ends, dots, bare CR and LF, in every cut; and the way back. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "node/smtp/data.h"

#include "proto/ground/err.h"
#include "proto/ground/rng.h"

#define NOT_ENDED SIZE_MAX

struct result {
    struct buf content;
    size_t rest; /* bytes behind the end; NOT_ENDED */
    bool bare_cr, bare_lf;
};

static int keep(void *arg, struct span run)
{
    assert_true(run.n > 0);
    buf_add_span(arg, run);
    return 0;
}

/* Reads `in` in pieces that end at each position of `cuts` whose bit is set. */
static void read_cut(struct span in, bool (*is_cut)(size_t at, size_t cut), size_t cut,
                     struct result *out)
{
    struct smtp_data_reader r;
    size_t from = 0;

    *out = (struct result){ .rest = NOT_ENDED };
    buf_init(&out->content, 1 << 20);
    smtp_data_reader_init(&r);
    while (from < in.n && out->rest == NOT_ENDED) {
        size_t end = from + 1;
        struct span piece;
        int err;
        while (end < in.n && !is_cut(end, cut))
            end++;
        piece = span_sub(in, from, end - from);
        err = smtp_data_read(&r, &piece, keep, &out->content);
        if (err == 0) out->rest = piece.n + (in.n - end);
        if (err != 0) assert_int_equal(err, ERR_AGAIN);
        if (err != 0) assert_int_equal(piece.n, 0);
        from = end;
    }
    out->bare_cr = r.bare_cr;
    out->bare_lf = r.bare_lf;
}

static bool one_cut(size_t at, size_t cut)
{
    return at == cut;
}

static bool all_cuts(size_t at, size_t cut)
{
    (void)at;
    (void)cut;
    return true;
}

static void expect_equal(struct result *a, struct result *b)
{
    assert_true(span_eq(buf_span(&a->content), buf_span(&b->content)));
    assert_int_equal(a->rest, b->rest);
    assert_int_equal(a->bare_cr, b->bare_cr);
    assert_int_equal(a->bare_lf, b->bare_lf);
    buf_deinit(&b->content);
}

/* In one piece, in every two pieces, byte by byte: all the same. The caller frees the content. */
static void read_all_ways(struct span in, struct result *out)
{
    struct result other;

    read_cut(in, one_cut, 0, out);
    for (size_t cut = 1; cut < in.n; cut++) {
        read_cut(in, one_cut, cut, &other);
        expect_equal(out, &other);
    }
    read_cut(in, all_cuts, 0, &other);
    expect_equal(out, &other);
}

static void contents(void **state)
{
    const struct {
        struct span in, content;
        size_t rest;
        bool bare_cr, bare_lf;
    } cases[] = {
        { SPAN_LIT(".\r\n"), SPAN_LIT(""), 0, false, false },
        { SPAN_LIT(".\r\nQUIT\r\n"), SPAN_LIT(""), 6, false, false },
        { SPAN_LIT("a\r\n.\r\n"), SPAN_LIT("a\r\n"), 0, false, false },
        { SPAN_LIT("\r\n.\r\n"), SPAN_LIT("\r\n"), 0, false, false },
        { SPAN_LIT("a\r\n.\r\n.\r\n"), SPAN_LIT("a\r\n"), 3, false, false },
        { SPAN_LIT("..\r\n.\r\n"), SPAN_LIT(".\r\n"), 0, false, false },
        { SPAN_LIT("a\r\n..b\r\n...\r\n.\r\nX"), SPAN_LIT("a\r\n.b\r\n..\r\n"), 1, false, false },
        { SPAN_LIT(".a\r\n.\r\n"), SPAN_LIT("a\r\n"), 0, false, false },
        { SPAN_LIT("a.\r\n.b.\r\n"), SPAN_LIT("a.\r\nb.\r\n"), NOT_ENDED, false, false },
        { SPAN_LIT("a\r\n.\rb\r\n.\r\n"), SPAN_LIT("a\r\n\rb\r\n"), 0, true, false },
        { SPAN_LIT("a\r\n.\r\r\n.\r\n"), SPAN_LIT("a\r\n\r\r\n"), 0, true, false },
        { SPAN_LIT("a\r\n.\nb\r\n.\r\n"), SPAN_LIT("a\r\n\nb\r\n"), 0, false, true },
        { SPAN_LIT("a\0b\r\n.\r\n"), SPAN_LIT("a\0b\r\n"), 0, false, false },
        { SPAN_LIT("a\rb\nc\r\n.\r\n"), SPAN_LIT("a\rb\nc\r\n"), 0, true, true },
        { SPAN_LIT("a\r\r\n.\r\n"), SPAN_LIT("a\r\r\n"), 0, true, false },
        { SPAN_LIT("a\xff\r\n.\r\n"), SPAN_LIT("a\xff\r\n"), 0, false, false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct result r;
        read_all_ways(cases[i].in, &r);
        if (!span_eq(buf_span(&r.content), cases[i].content)) fail_msg("content of case %zu", i);
        assert_int_equal(r.rest, cases[i].rest);
        assert_int_equal(r.bare_cr, cases[i].bare_cr);
        assert_int_equal(r.bare_lf, cases[i].bare_lf);
        buf_deinit(&r.content);
    }
}

/* Each stands for the end in some reader; none is one here, and each is noticed unless it is
 * lawful. */
static void forged_ends_end_nothing(void **state)
{
    const struct {
        struct span forgery;
        bool noticed;
    } cases[] = {
        { SPAN_LIT("\n.\n"), true },          { SPAN_LIT("\n.\r\n"), true },
        { SPAN_LIT("\r\n.\n"), true },        { SPAN_LIT("\r.\r"), true },
        { SPAN_LIT("\r.\r\n"), true },        { SPAN_LIT("\r\n.\r"), true },
        { SPAN_LIT("\r.\n"), true },          { SPAN_LIT("\n.\r"), true },
        { SPAN_LIT("\r\n.\r\r\n"), true },    { SPAN_LIT("\r\r\n.\n"), true },
        { SPAN_LIT("\r\n\0.\r\n"), false },   { SPAN_LIT("\r\n.\0\r\n"), false },
        { SPAN_LIT("\0\r\n.\0\r\n"), false }, { SPAN_LIT("\r\0\n.\r\n"), true },
        { SPAN_LIT("\r\n.\r\0\n"), true },    { SPAN_LIT("\r\n \x2e\r\n"), false },
        { SPAN_LIT("\n\n.\n\n"), true },      { SPAN_LIT("\r\n.\v\n"), true },
        { SPAN_LIT("\r\n..\r\n"), false },    { SPAN_LIT("\x8d\x8a.\x8d\x8a"), false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf in;
        struct result r;
        buf_init(&in, 1000);
        buf_add_cstr(&in, "text");
        buf_add_span(&in, cases[i].forgery);
        buf_add_cstr(&in, "MAIL FROM:<forged@example.com>\r\n");
        read_all_ways(buf_span(&in), &r);
        if (r.rest != NOT_ENDED) fail_msg("forgery %zu ended the data", i);
        assert_int_equal(r.bare_cr || r.bare_lf, cases[i].noticed);
        buf_deinit(&r.content);
        buf_deinit(&in);
    }
}

static int refuse(void *arg, struct span run)
{
    (void)run;
    ++*(int *)arg;
    return ERR_FULL;
}

static void the_taker_can_stop(void **state)
{
    struct smtp_data_reader r;
    struct span in = SPAN_LIT("abc\r\n..d\r\n.\r\n");
    int calls = 0;

    (void)state;
    smtp_data_reader_init(&r);
    assert_int_equal(smtp_data_read(&r, &in, refuse, &calls), ERR_FULL);
    assert_int_equal(calls, 1);
    in = span_of(NULL, 0);
    smtp_data_reader_init(&r);
    assert_int_equal(smtp_data_read(&r, &in, refuse, &calls), ERR_AGAIN);
}

static void write_cut(struct span content, bool (*is_cut)(size_t, size_t), size_t cut,
                      struct buf *out)
{
    struct smtp_data_writer w;

    buf_init(out, 1 << 20);
    smtp_data_writer_init(&w);
    for (size_t from = 0; from < content.n;) {
        size_t end = from + 1;
        while (end < content.n && !is_cut(end, cut))
            end++;
        smtp_data_write(&w, span_sub(content, from, end - from), out);
        from = end;
    }
    smtp_data_finish(&w, out);
}

static void written_in_every_cut(struct span content, struct buf *out)
{
    struct buf other;

    write_cut(content, one_cut, 0, out);
    for (size_t cut = 1; cut < content.n; cut++) {
        write_cut(content, one_cut, cut, &other);
        assert_true(span_eq(buf_span(out), buf_span(&other)));
        buf_deinit(&other);
    }
    write_cut(content, all_cuts, 0, &other);
    assert_true(span_eq(buf_span(out), buf_span(&other)));
    buf_deinit(&other);
}

static void dots_are_stuffed(void **state)
{
    static const char *const cases[][2] = {
        { "", ".\r\n" },
        { ".", "..\r\n.\r\n" },
        { "a", "a\r\n.\r\n" },
        { "a\r\n", "a\r\n.\r\n" },
        { "a\r", "a\r\r\n.\r\n" },
        { "a\n", "a\n\r\n.\r\n" },
        { ".\r\n", "..\r\n.\r\n" },
        { "a\r\n.\r\n", "a\r\n..\r\n.\r\n" },
        { "\r\n.\r\n.\r\n..", "\r\n..\r\n..\r\n...\r\n.\r\n" },
        { "a.\r\n.b", "a.\r\n..b\r\n.\r\n" },
        { "a\n.\r.b", "a\n.\r.b\r\n.\r\n" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf out;
        written_in_every_cut(span_cstr(cases[i][0]), &out);
        assert_string_equal(buf_cstr(&out), cases[i][1]);
        buf_deinit(&out);
    }
}

/* Bytes that matter, in random order: written and read they are the same, in every cut. */
static void there_and_back(void **state)
{
    static const char alphabet[] = "\r\n..\r\n.a\n\r";
    struct rng rng;

    (void)state;
    rng_seed(&rng, 7);
    for (int round = 0; round < 2000; round++) {
        uint8_t bytes[24];
        size_t n = (size_t)rng_below(&rng, sizeof bytes - 2);
        struct buf wire;
        struct result r;
        for (size_t i = 0; i < n; i++)
            bytes[i] = (uint8_t)alphabet[rng_below(&rng, sizeof alphabet - 1)];
        bytes[n++] = '\r';
        bytes[n++] = '\n';
        written_in_every_cut(span_of(bytes, n), &wire);
        read_all_ways(buf_span(&wire), &r);
        assert_int_equal(r.rest, 0);
        assert_true(span_eq(buf_span(&r.content), span_of(bytes, n)));
        buf_deinit(&r.content);
        buf_deinit(&wire);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(contents),           cmocka_unit_test(forged_ends_end_nothing),
        cmocka_unit_test(the_taker_can_stop), cmocka_unit_test(dots_are_stuffed),
        cmocka_unit_test(there_and_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
