/* header - a value is one line of text; notifications and drafts of any bytes are lines of text. */
#include "node/mail/mail.h"
#include "proto/ground/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void expect_lines(struct span s)
{
    for (size_t i = 0; i < s.n; i++) {
        CHECK(s.p[i] != 0);
        if (s.p[i] == '\n') CHECK(i > 0 && s.p[i - 1] == '\r');
        if (s.p[i] == '\r') CHECK(i + 1 < s.n && s.p[i + 1] == '\n');
    }
}

static void print_dsn(struct span a, struct span b)
{
    struct mail_dsn_recipient r = { .address = a,
                                    .orcpt = b,
                                    .action = (enum mail_dsn_action)(b.n % 4),
                                    .reply_text = b,
                                    .remote_host = a,
                                    .code = 550 };
    struct mail_dsn d = { .hostname = b,
                          .to = a,
                          .boundary = "b",
                          .message_id = "<1@a>",
                          .recipients = &r,
                          .recipient_count = 1,
                          .envid = a,
                          .original = b,
                          .returns_all = a.n % 3 == 0,
                          .utf8 = a.n % 5 == 0,
                          .eight_bit = a.n % 2 };
    struct buf out;

    buf_init(&out, 16u << 20);
    mail_dsn_print(&out, &d);
    CHECK(!buf_failed(&out));
    expect_lines(buf_span(&out));
    buf_deinit(&out);
}

static void print_draft(struct span a, struct span b)
{
    struct mail_draft d = {
        .from = SPAN_LIT("a@b"), .subject = a, .text = b, .html = a, .boundary = "b"
    };
    struct mail_draft named = { .from = a, .text = b, .boundary = "b" };
    struct buf out;

    buf_init(&out, 16u << 20);
    if (mail_draft_print(&out, &d) == 0) expect_lines(buf_span(&out));
    buf_reset(&out);
    if (mail_draft_print(&out, &named) == 0) expect_lines(buf_span(&out));
    buf_deinit(&out);
}

/* RFC 5322, 2.2: printable ASCII. */
static bool is_field_name(struct span name)
{
    for (size_t i = 0; i < name.n; i++)
        if (name.p[i] <= ' ' || name.p[i] >= 0x7f) return false;
    return name.n > 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct span in = span_of(bytes, n);
    size_t half = n / 2, colon = span_find(in, 0, ':');
    struct span name = span_sub(in, 0, colon < 40 ? colon : 0);
    char out[64] = "x";
    bool found = mail_header_value(in, name, out, n % 64 + 1);

    if (colon < n && is_field_name(name)) CHECK(found);
    CHECK(strlen(out) <= n % 64);
    for (const char *p = out; *p; p++)
        CHECK((uint8_t)*p >= 0x20 && *p != 0x7f);
    print_dsn(span_sub(in, 0, half), span_from(in, half));
    print_draft(span_sub(in, 0, half), span_from(in, half));
    return 0;
}
