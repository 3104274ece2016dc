/* reply - replies read in two pieces are those read in one; the texts are lines of text. */
#include "node/smtp/reply.h"
#include "proto/ground/check.h"
#include "proto/ground/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

struct reading {
    unsigned count, code_sum, line_sum;
    int err;
    uint64_t text_hash;
};

static void expect_reply(const struct smtp_reply *r, struct reading *out)
{
    CHECK(r->code >= 200 && r->code <= 599);
    CHECK(strlen(r->text) <= SMTP_REPLY_TEXT_SIZE_MAX);
    CHECK(r->enhanced[0] == '\0' || r->enhanced[0] == (char)('0' + r->code / 100));
    for (const char *p = r->text; *p; p++) {
        CHECK((uint8_t)*p >= 0x20 && *p != 0x7f);
        out->text_hash = out->text_hash * 31 + (uint8_t)*p;
    }
    for (const char *p = r->enhanced; *p; p++)
        out->text_hash = out->text_hash * 31 + (uint8_t)*p;
    out->count++;
    out->code_sum += r->code;
    out->line_sum += r->line_count;
}

static void expect_offer(const struct smtp_offer *o, struct reading *out)
{
    CHECK(o->size || o->size_max == 0);
    CHECK(o->auth || o->mechanisms == 0);
    out->text_hash = out->text_hash * 31 + o->size_max + o->starttls + o->mechanisms;
}

static bool read_piece(struct smtp_reply_reader *r, struct span piece, struct reading *out)
{
    while (piece.n > 0) {
        out->err = smtp_reply_read(r, &piece);
        if (out->err == 0) expect_reply(&r->reply, out);
        if (out->err == 0) expect_offer(&r->offer, out);
        if (out->err != 0 && out->err != ERR_AGAIN) return false;
    }
    return true;
}

static struct reading read_cut(struct span in, size_t cut)
{
    static struct smtp_reply_reader r;
    struct reading out = { .err = ERR_AGAIN };

    smtp_reply_reader_init(&r);
    if (read_piece(&r, span_sub(in, 0, cut), &out)) read_piece(&r, span_from(in, cut), &out);
    return out;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct span in = span_of(bytes, n);
    struct reading whole = read_cut(in, n);
    size_t step = n / 64 + 1;

    for (size_t cut = 0; cut < n; cut += step) {
        struct reading other = read_cut(in, cut);
        CHECK(whole.count == other.count);
        CHECK(whole.code_sum == other.code_sum);
        CHECK(whole.line_sum == other.line_sum);
        CHECK(whole.err == other.err);
        CHECK(whole.text_hash == other.text_hash);
    }
    return 0;
}
