/* reader - facts do not depend on the cut; fields lie in the header, one behind the other. */
#include "node/mail/complete.h"
#include "node/mail/field.h"
#include "node/mail/mail.h"
#include "proto/ground/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void read_cut(struct mail_reader *r, struct span in, size_t first, size_t second,
                     struct mail_facts *out)
{
    mail_reader_start(r, true);
    mail_reader_feed(r, span_sub(in, 0, first));
    mail_reader_feed(r, span_sub(in, first, second - first));
    mail_reader_feed(r, span_from(in, second));
    *out = *mail_reader_finish(r);
}

static void expect_equal(const struct mail_facts *a, const struct mail_facts *b)
{
    CHECK(a->size == b->size);
    CHECK(a->header_size == b->header_size);
    CHECK(a->eight_bit == b->eight_bit);
    CHECK(a->eight_bit_header == b->eight_bit_header);
    CHECK(a->has_bare_cr == b->has_bare_cr);
    CHECK(a->has_bare_lf == b->has_bare_lf);
    CHECK(a->has_nul == b->has_nul);
    CHECK(a->has_bare_in_header == b->has_bare_in_header);
    CHECK(a->line_length_max == b->line_length_max);
    CHECK(a->field_count == b->field_count);
    CHECK(memcmp(a->fields, b->fields, sizeof a->fields) == 0);
    CHECK(a->has_date == b->has_date);
    CHECK(a->has_message_id == b->has_message_id);
    CHECK(a->from_count == b->from_count);
    CHECK(a->received_count == b->received_count);
    CHECK(memcmp(a->hash_simple, b->hash_simple, 32) == 0);
    CHECK(memcmp(a->hash_relaxed, b->hash_relaxed, 32) == 0);
}

/* field.c cuts a whole header as the reader does one that comes in pieces. */
static void expect_fields(struct span header, const struct mail_facts *f)
{
    struct mail_header_field x;
    uint32_t n = 0;
    bool has_private = false;

    for (struct span rest = header; mail_field_next(&rest, &x); n++) {
        has_private |= mail_field_is_private(x.name);
        if (n >= MAIL_FIELDS_MAX) continue;
        CHECK(x.whole.p == header.p + f->fields[n].offset);
        CHECK(x.whole.n == f->fields[n].length);
        CHECK(x.name.n == f->fields[n].name_length);
    }
    CHECK(n == f->field_count);
    CHECK(has_private == f->has_private);
}

static void expect_facts(struct span in, const struct mail_facts *f)
{
    uint32_t count = f->field_count < MAIL_FIELDS_MAX ? f->field_count : MAIL_FIELDS_MAX;
    uint32_t at = 0;

    CHECK(f->size == in.n);
    CHECK(f->header_size <= in.n);
    CHECK(f->line_length_max <= in.n);
    for (uint32_t i = 0; i < count; i++) {
        const struct mail_field *x = &f->fields[i];
        CHECK(x->offset == at);
        CHECK(x->length > 0);
        CHECK(x->name_length < x->length);
        at += x->length;
    }
    CHECK(at <= f->header_size);
    CHECK(f->has_from == (f->from_count > 0));
    if (!f->has_bare_cr) expect_fields(span_sub(in, 0, f->header_size), f); /* else it is refused */
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static struct mail_facts whole, other;
    struct mail_reader *r = mail_reader_new();
    struct span in = span_of(bytes, n);
    size_t step = n / 32 + 1;

    read_cut(r, in, n, n, &whole);
    expect_facts(in, &whole);
    for (size_t cut = 0; cut < n; cut += step) {
        read_cut(r, in, cut, cut + (n - cut) / 3, &other);
        expect_equal(&whole, &other);
    }
    mail_reader_free(&r);
    return 0;
}
