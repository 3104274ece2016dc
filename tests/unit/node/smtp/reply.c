/* reply - replies printed, replies read in every cut, and the table of what can be sent. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "node/smtp/reply.h"

#include "proto/ground/err.h"

static void replies_are_printed(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 1000);
    smtp_reply_print(&b, SMTP_REPLY_SENDER_OK, NULL);
    smtp_reply_print(&b, SMTP_REPLY_OK, "queued as x");
    smtp_reply_print(&b, SMTP_REPLY_AUTH_CONTINUE, "");
    smtp_reply_print(&b, SMTP_REPLY_AUTH_CONTINUE, "eA==");
    smtp_reply_print(&b, SMTP_REPLY_START_DATA, NULL);
    smtp_reply_print(&b, SMTP_REPLY_OK, "a\r\nb\x7f");
    assert_string_equal(buf_cstr(&b), "250 2.1.0 OK\r\n"
                                      "250 2.0.0 OK queued as x\r\n"
                                      "334 \r\n"
                                      "334 eA==\r\n"
                                      "354 Start mail input; end with <CRLF>.<CRLF>\r\n"
                                      "250 2.0.0 OK a??b?\r\n");
    buf_deinit(&b);
}

/* RFC 2034 4: enhanced codes begin with the code's digit; no line is over 512 bytes. */
static void the_table_is_sound(void **state)
{
    (void)state;
    for (unsigned id = 0; id < SMTP_REPLY_COUNT; id++) {
        const struct smtp_reply_fact *f = smtp_reply_fact((enum smtp_reply_id)id);
        assert_in_range(f->code, 200, 599);
        assert_true(strlen(f->text) < 400);
        if (f->enhanced[0])
            assert_int_equal(f->enhanced[0], '0' + (int)(f->code / 100));
        else
            assert_int_equal(f->code / 100, 3);
    }
}

struct reading {
    struct smtp_reply replies[4];
    unsigned count;
    int err; /* of the last read */
};

/* Reads all of `in`, in pieces of `first` bytes and the rest, or of one byte (first = 0). */
static void read_cut(struct span in, size_t first, struct reading *out)
{
    static struct smtp_reply_reader r;

    memset(out, 0, sizeof *out);
    memset(&r, 0xa5, sizeof r);
    smtp_reply_reader_init(&r);
    out->err = ERR_AGAIN;
    for (size_t from = 0; from < in.n;) {
        size_t n = first == 0 ? 1 : from == 0 && first < in.n ? first : in.n - from;
        struct span piece = span_sub(in, from, n);
        while (piece.n > 0) {
            out->err = smtp_reply_read(&r, &piece);
            if (out->err == 0 && out->count < 4) out->replies[out->count++] = r.reply;
            if (out->err != 0 && out->err != ERR_AGAIN) return;
        }
        from += n;
    }
}

static void expect_equal(const struct reading *a, const struct reading *b)
{
    assert_int_equal(a->count, b->count);
    assert_int_equal(a->err, b->err);
    for (unsigned i = 0; i < a->count; i++) {
        assert_int_equal(a->replies[i].code, b->replies[i].code);
        assert_int_equal(a->replies[i].line_count, b->replies[i].line_count);
        assert_string_equal(a->replies[i].enhanced, b->replies[i].enhanced);
        assert_string_equal(a->replies[i].text, b->replies[i].text);
    }
}

static void read_all_ways(struct span in, struct reading *out)
{
    static struct reading other;

    read_cut(in, in.n, out);
    for (size_t cut = 0; cut < in.n; cut++) {
        read_cut(in, cut, &other);
        expect_equal(out, &other);
    }
}

static void single_replies(void **state)
{
    const struct {
        struct span in;
        unsigned code, lines;
        const char *enhanced, *text;
    } cases[] = {
        { SPAN_LIT("250 2.1.0 OK\r\n"), 250, 1, "2.1.0", "OK" },
        { SPAN_LIT("250 OK\n"), 250, 1, "", "OK" },
        { SPAN_LIT("250\r\n"), 250, 1, "", "" },
        { SPAN_LIT("250 \r\n"), 250, 1, "", "" },
        { SPAN_LIT("220-a\r\n220 b\r\n"), 220, 2, "", "a / b" },
        { SPAN_LIT("250-\r\n250 PIPELINING\r\n"), 250, 2, "", " / PIPELINING" },
        { SPAN_LIT("550-5.1.1 no\r\n550 5.1.1 such user\r\n"), 550, 2, "5.1.1", "no / such user" },
        { SPAN_LIT("550-no\r\n550 5.1.1 such user\r\n"), 550, 2, "5.1.1", "no / such user" },
        { SPAN_LIT("550-5.1.1 a\r\n550 5.7.1 b\r\n"), 550, 2, "5.1.1", "a / 5.7.1 b" },
        { SPAN_LIT("421 5.7.32 class\r\n"), 421, 1, "", "5.7.32 class" },
        { SPAN_LIT("552 1 Requested\r\n"), 552, 1, "", "1 Requested" },
        { SPAN_LIT("550 5.7.133\r\n"), 550, 1, "5.7.133", "" },
        { SPAN_LIT("550 5.1234.1 x\r\n"), 550, 1, "", "5.1234.1 x" },
        { SPAN_LIT("550 5.1.x\r\n"), 550, 1, "", "5.1.x" },
        { SPAN_LIT("550 5.1.1: x\r\n"), 550, 1, "", "5.1.1: x" },
        { SPAN_LIT("450 a\tb\x01\xe9\r\n"), 450, 1, "", "a?b?\xe9" },
        { SPAN_LIT("450 a\rb\r\n"), 450, 1, "", "a?b" },
        { SPAN_LIT("250 a\0b\r\n"), 250, 1, "", "a?b" },
    };
    static struct reading r;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        read_all_ways(cases[i].in, &r);
        assert_int_equal(r.count, 1);
        assert_int_equal(r.replies[0].code, cases[i].code);
        assert_int_equal(r.replies[0].line_count, cases[i].lines);
        assert_string_equal(r.replies[0].enhanced, cases[i].enhanced);
        assert_string_equal(r.replies[0].text, cases[i].text);
    }
}

static void replies_in_a_row(void **state)
{
    static struct reading r;

    (void)state;
    read_all_ways(SPAN_LIT("250 2.1.0 a\r\n250-2.1.5 b\r\n250 2.1.5 c\r\n354 go\r\n25"), &r);
    assert_int_equal(r.count, 3);
    assert_int_equal(r.err, ERR_AGAIN);
    assert_string_equal(r.replies[0].text, "a");
    assert_string_equal(r.replies[1].text, "b / c");
    assert_int_equal(r.replies[1].line_count, 2);
    assert_string_equal(r.replies[2].enhanced, "");
}

static void what_is_no_reply(void **state)
{
    const struct span bad[] = {
        SPAN_LIT("\r\n"),          SPAN_LIT("hello\r\n"),      SPAN_LIT("25\r\n"),
        SPAN_LIT("2500 x\r\n"),    SPAN_LIT("199 x\r\n"),      SPAN_LIT("600 x\r\n"),
        SPAN_LIT("250\tx\r\n"),    SPAN_LIT("+50 x\r\n"),      SPAN_LIT("250-a\r\n251 b\r\n"),
        SPAN_LIT("250-a\r\n\r\n"), SPAN_LIT("250-a\r\nb\r\n"), SPAN_LIT(" 250 a\r\n"),
    };
    static struct reading r;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        read_all_ways(bad[i], &r);
        assert_int_equal(r.count, 0);
        assert_int_equal(r.err, ERR_SYNTAX);
    }
}

static void limits(void **state)
{
    static struct reading r;
    struct buf b;

    (void)state;
    buf_init(&b, 1 << 20);
    buf_add_cstr(&b, "250 "); /* a long line is cut, what follows is in step */
    for (int i = 0; i < 5000; i++)
        buf_add_u8(&b, 'x');
    buf_add_cstr(&b, "\r\n354 go\r\n");
    read_all_ways(buf_span(&b), &r);
    assert_int_equal(r.count, 2);
    assert_int_equal(strlen(r.replies[0].text), SMTP_REPLY_TEXT_SIZE_MAX);
    assert_int_equal(r.replies[1].code, 354);

    buf_reset(&b);
    for (int i = 0; i < SMTP_REPLY_LINES_MAX - 1; i++)
        buf_add_cstr(&b, "250-x\r\n");
    buf_add_cstr(&b, "250 x\r\n");
    read_cut(buf_span(&b), 7, &r);
    assert_int_equal(r.count, 1);
    assert_int_equal(r.replies[0].line_count, SMTP_REPLY_LINES_MAX);

    buf_reset(&b);
    for (int i = 0; i < SMTP_REPLY_LINES_MAX + 1; i++)
        buf_add_cstr(&b, "250-x\r\n");
    read_cut(buf_span(&b), 7, &r);
    assert_int_equal(r.err, ERR_TOO_LONG);
    buf_deinit(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replies_are_printed), cmocka_unit_test(the_table_is_sound),
        cmocka_unit_test(single_replies),      cmocka_unit_test(replies_in_a_row),
        cmocka_unit_test(what_is_no_reply),    cmocka_unit_test(limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
