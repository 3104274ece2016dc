/* downgrade - messages of 8 bits and what becomes of them (RFC 6152 3): each case whole, byte by byte, and in pieces of
 * seven. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "node/mail/mail.h"
#include "proto/ground/check.h"
#include "proto/ground/err.h"

static int convert(struct span in, size_t piece, struct buf *out)
{
    struct mail_downgrade *d = mail_downgrade_new();
    int rv = 0;

    buf_reset(out);
    for (size_t at = 0, n; at < in.n && rv == 0; at += n) {
        n = in.n - at < piece ? in.n - at : piece;
        rv = mail_downgrade_feed(d, span_sub(in, at, n), out);
    }
    if (rv == 0) rv = mail_downgrade_finish(d, out);
    mail_downgrade_free(&d);
    return rv;
}

static void expect(const char *in, int wanted, const char *text)
{
    static const size_t pieces[] = { SIZE_MAX, 1, 7 };
    struct buf out;

    buf_init(&out, 1u << 20);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(convert(span_cstr(in), pieces[i], &out), wanted);
        if (wanted == 0) assert_string_equal(buf_cstr(&out), text);
    }
    buf_deinit(&out);
}

#define MIME "MIME-Version: 1.0\r\n"
#define AE   "\xc3\xa4" /* an umlaut in UTF-8 */

static void text_becomes_quoted_printable(void **state)
{
    (void)state;
    expect(MIME "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: "
                "8bit\r\nSubject: s\r\n\r\n"
                "a=b " AE " \r\n.\r\n",
           0,
           MIME "Content-Type: text/plain; charset=utf-8\r\nSubject: s\r\n"
                "Content-Transfer-Encoding: quoted-printable\r\n\r\na=3Db =C3=A4=20\r\n.\r\n");
}

static void what_is_seven_bit_stays(void **state)
{
    (void)state;
    expect(MIME "Content-Transfer-Encoding :8bit\r\n\r\n\xc3\xa4\r\n", 0, /* RFC 5322 4.5 */
           MIME "Content-Transfer-Encoding: quoted-printable\r\n\r\n=C3=A4\r\n");
    expect(MIME "Content-Transfer-Encoding: 8bit\r\n\r\nab = c\r\n", 0,
           MIME "Content-Transfer-Encoding: 7bit\r\n\r\nab = c\r\n");
    expect("Subject: s\r\n\r\nab = c\r\n", 0, "Subject: s\r\n\r\nab = c\r\n");
    expect(MIME "Content-Transfer-Encoding: base64\r\n\r\nw6Q=\r\n", 0,
           MIME "Content-Transfer-Encoding: base64\r\n\r\nw6Q=\r\n");
}

static void other_types_become_base64(void **state)
{
    (void)state;
    expect(MIME "Content-Type: image/x\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\xff\r\n", 0,
           MIME "Content-Type: image/x\r\nContent-Transfer-Encoding: base64\r\n\r\n/w0K\r\n");
    expect(MIME "Content-Type: image/x\r\nContent-Transfer-Encoding: binary\r\n\r\na\nb", 0,
           MIME "Content-Type: image/x\r\nContent-Transfer-Encoding: base64\r\n\r\nYQpi\r\n");
}

/* RFC 1428: who just sends eight bits says nothing of MIME. */
static void eight_bits_without_mime(void **state)
{
    (void)state;
    expect("Subject: s\r\n\r\n" AE "\r\n", 0,
           "Subject: s\r\n" MIME "Content-Type: text/plain; charset=unknown-8bit\r\n"
           "Content-Transfer-Encoding: quoted-printable\r\n\r\n=C3=A4\r\n");
}

static void each_part_as_it_needs(void **state)
{
    (void)state;
    expect(MIME "Content-Type: multipart/mixed; (a comment) boundary=\"b 1\"\r\n"
                "Content-Transfer-Encoding: 8bit\r\n\r\nfor \xff nobody\r\n"
                "--b 1\r\n\r\nplain\r\n"
                "--b 1\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" AE
                "\r\n"
                "--b 1\r\nContent-Type: application/x\r\n\r\n" AE "\r\n\r\n"
                "--b 1\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
                "Subject: inner\r\n\r\n" AE "\r\n"
                "--b 1--\r\nthe end\r\n",
           0,
           MIME "Content-Type: multipart/mixed; (a comment) boundary=\"b 1\"\r\n"
                "Content-Transfer-Encoding: 7bit\r\n\r\nfor ? nobody\r\n"
                "--b 1\r\n\r\nplain\r\n"
                "--b 1\r\nContent-Type: text/plain\r\n"
                "Content-Transfer-Encoding: quoted-printable\r\n\r\n=C3=A4\r\n"
                "--b 1\r\nContent-Type: application/x\r\nContent-Transfer-Encoding: base64\r\n\r\n"
                "w6QNCg==\r\n"
                "--b 1\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: 7bit\r\n\r\n"
                "Subject: inner\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=C3=A4\r\n"
                "--b 1--\r\nthe end\r\n");
}

/* RFC 1847 2.1, RFC 6152 3: what is signed is not touched: of seven bits it passes, of eight it does not. */
static void signed_parts_are_sealed(void **state)
{
    (void)state;
#define SIGNED                                                                                     \
    "Content-Type: multipart/signed; boundary=s\r\n\r\n--s\r\nContent-Transfer-Encoding: "         \
    "8bit\r\n\r\n"
    expect(MIME SIGNED "a = b\r\n--s--\r\n", 0, MIME SIGNED "a = b\r\n--s--\r\n");
    expect(MIME SIGNED AE "\r\n--s--\r\n", ERR_UNSUPPORTED, NULL);
    expect(MIME "Content-Type: multipart/mixed; boundary=m\r\n\r\n--m\r\n" SIGNED "ok\r\n--s--\r\n"
                "--m\r\n\r\n" AE "\r\n--m--\r\n",
           0,
           MIME "Content-Type: multipart/mixed; boundary=m\r\n\r\n--m\r\n" SIGNED "ok\r\n--s--\r\n"
                "--m\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=C3=A4\r\n--m--\r\n");
}

static void what_has_no_form_of_seven_bits(void **state)
{
    (void)state;
    expect("Subject: " AE "\r\n\r\nx\r\n", ERR_UNSUPPORTED, NULL);
    expect(MIME "Content-Type: message/partial; id=1\r\n\r\n" AE "\r\n", ERR_UNSUPPORTED, NULL);
    expect(MIME "Content-Type: multipart/mixed\r\n\r\n" AE "\r\n", ERR_UNSUPPORTED, NULL);
    expect(MIME "Content-Transfer-Encoding: quoted-printable\r\n\r\n" AE "\r\n", ERR_UNSUPPORTED,
           NULL);
}

static void a_mail_that_ends_early(void **state)
{
    (void)state;
    expect("", 0, "");
    expect("Subject: s\r\n", 0, "Subject: s\r\n");
    expect("Subject: s", 0, "Subject: s");
    expect(MIME "Content-Type: multipart/mixed; boundary=m\r\n\r\n--m\r\nX: y", 0,
           MIME "Content-Type: multipart/mixed; boundary=m\r\n\r\n--m\r\nX: y");
    expect(MIME "Content-Transfer-Encoding: 8bit\r\n\r\n" AE, 0,
           MIME "Content-Transfer-Encoding: quoted-printable\r\n\r\n=C3=A4");
}

/* Lines of any length, tens of kilobytes before the first 8-bit byte: lines stay short, nothing is lost. */
static void long_lines_are_broken(void **state)
{
    struct buf in, out;
    size_t line = 0, letters = 0;

    (void)state;
    buf_init(&in, 1u << 20);
    buf_init(&out, 4u << 20);
    buf_add_cstr(&in, MIME "Content-Type: text/plain\r\nContent-Transfer-Encoding: 8bit\r\n\r\n");
    for (unsigned i = 0; i < 50000; i++)
        buf_add_u8(&in, 'x');
    buf_add_cstr(&in, AE "--x\r\n");
    assert_int_equal(convert(buf_span(&in), 4096, &out), 0);
    for (size_t i = 0; i < out.n; i++) {
        line = out.p[i] == '\n' ? 0 : line + 1;
        assert_true(line <= 77);
        assert_true(out.p[i] < 0x80);
        letters += out.p[i] == 'x';
    }
    assert_int_equal(letters, 50001 + 1); /* and one in "text" */
    buf_deinit(&in);
    buf_deinit(&out);
}

/* A line of 8 bits that, broken softly, would leave a delimiter at the start of a line. */
static void no_delimiter_is_made(void **state)
{
    struct buf in, out;

    (void)state;
    buf_init(&in, 1u << 20);
    buf_init(&out, 1u << 20);
    buf_add_cstr(&in, MIME "Content-Type: multipart/mixed; boundary=m\r\n\r\n--m\r\n\r\n");
    for (unsigned lead = 60; lead < 80; lead++) {
        buf_add_cstr(&in, AE);
        for (unsigned i = 0; i < lead; i++)
            buf_add_u8(&in, 'y');
        buf_add_cstr(&in, "--m--\r\n");
    }
    buf_add_cstr(&in, "--m--\r\n");
    assert_int_equal(convert(buf_span(&in), SIZE_MAX, &out), 0);
    assert_null(strstr(buf_cstr(&out), "=\r\n--m"));
    buf_deinit(&in);
    buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_becomes_quoted_printable),  cmocka_unit_test(what_is_seven_bit_stays),
        cmocka_unit_test(other_types_become_base64),      cmocka_unit_test(eight_bits_without_mime),
        cmocka_unit_test(each_part_as_it_needs),          cmocka_unit_test(signed_parts_are_sealed),
        cmocka_unit_test(what_has_no_form_of_seven_bits), cmocka_unit_test(a_mail_that_ends_early),
        cmocka_unit_test(long_lines_are_broken),          cmocka_unit_test(no_delimiter_is_made),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
