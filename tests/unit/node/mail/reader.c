/* reader - the facts of mails, equal in every cut; DKIM body hashes against values computed
 * elsewhere. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "node/mail/mail.h"

#include "proto/ground/rng.h"

static struct mail_reader *reader;

static int make_reader(void **state)
{
    (void)state;
    reader = mail_reader_new();
    return 0;
}

static int drop_reader(void **state)
{
    (void)state;
    mail_reader_free(&reader);
    mail_reader_free(&reader);
    return 0;
}

/* In two pieces that meet at `cut`; byte by byte when cut is SIZE_MAX. */
static void read_cut(struct span mail, size_t cut, struct mail_facts *out)
{
    mail_reader_start(reader, true);
    if (cut == SIZE_MAX) {
        for (size_t i = 0; i < mail.n; i++)
            mail_reader_feed(reader, span_sub(mail, i, 1));
    } else {
        mail_reader_feed(reader, span_sub(mail, 0, cut));
        mail_reader_feed(reader, span_from(mail, cut));
    }
    *out = *mail_reader_finish(reader);
}

static void expect_equal(const struct mail_facts *a, const struct mail_facts *b)
{
    assert_int_equal(a->size, b->size);
    assert_int_equal(a->header_size, b->header_size);
    assert_int_equal(a->eight_bit, b->eight_bit);
    assert_int_equal(a->eight_bit_header, b->eight_bit_header);
    assert_int_equal(a->has_bare_cr, b->has_bare_cr);
    assert_int_equal(a->has_bare_lf, b->has_bare_lf);
    assert_int_equal(a->has_nul, b->has_nul);
    assert_int_equal(a->has_bare_in_header, b->has_bare_in_header);
    assert_int_equal(a->line_length_max, b->line_length_max);
    assert_int_equal(a->field_count, b->field_count);
    assert_memory_equal(a->fields, b->fields, sizeof a->fields);
    assert_int_equal(a->has_date, b->has_date);
    assert_int_equal(a->has_message_id, b->has_message_id);
    assert_int_equal(a->from_count, b->from_count);
    assert_int_equal(a->received_count, b->received_count);
    assert_memory_equal(a->hash_simple, b->hash_simple, 32);
    assert_memory_equal(a->hash_relaxed, b->hash_relaxed, 32);
}

static void read_all_ways(struct span mail, struct mail_facts *out)
{
    static struct mail_facts other;

    read_cut(mail, mail.n, out);
    read_cut(mail, SIZE_MAX, &other);
    expect_equal(out, &other);
    for (size_t cut = 0; cut < mail.n; cut++) {
        read_cut(mail, cut, &other);
        expect_equal(out, &other);
    }
}

/* Who does not ask for hashes learns everything else. */
static void no_hashes_unless_asked(void **state)
{
    const struct span mail = SPAN_LIT("Subject: x\r\n\r\nbody \t\r\n");
    const uint8_t none[32] = { 0 };
    static struct mail_facts with, without;

    (void)state;
    read_cut(mail, 3, &with);
    assert_true(with.has_hashes);
    mail_reader_start(reader, false);
    mail_reader_feed(reader, mail);
    without = *mail_reader_finish(reader);
    assert_false(without.has_hashes);
    assert_memory_equal(without.hash_simple, none, 32);
    assert_memory_equal(without.hash_relaxed, none, 32);
    memcpy(without.hash_simple, with.hash_simple, 32);
    memcpy(without.hash_relaxed, with.hash_relaxed, 32);
    expect_equal(&with, &without);
}

static void expect_hash(const uint8_t hash[32], const char *hex, size_t number)
{
    char text[65];

    for (int i = 0; i < 32; i++)
        snprintf(text + 2 * i, 3, "%02x", hash[i]);
    if (strcmp(text, hex) != 0) fail_msg("hash of body %zu is %s", number, text);
}

static void body_hashes(void **state)
{
    const struct {
        struct span body;
        const char *simple, *relaxed;
    } cases[] = {
        { SPAN_LIT(""), "7eb70257593da06f682a3ddda54a9d260d4fc514f645237f5ca74b08f8da61a6",
          "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
        { SPAN_LIT("\r\n"), "7eb70257593da06f682a3ddda54a9d260d4fc514f645237f5ca74b08f8da61a6",
          "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
        { SPAN_LIT("\r\n\r\n\r\n"),
          "7eb70257593da06f682a3ddda54a9d260d4fc514f645237f5ca74b08f8da61a6",
          "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
        { SPAN_LIT("a"), "8e4621379786ef42a4fec155cd525c291dd7db3c1fde3478522f4f61c03fd1bd",
          "8e4621379786ef42a4fec155cd525c291dd7db3c1fde3478522f4f61c03fd1bd" },
        { SPAN_LIT("a\r\n"), "8e4621379786ef42a4fec155cd525c291dd7db3c1fde3478522f4f61c03fd1bd",
          "8e4621379786ef42a4fec155cd525c291dd7db3c1fde3478522f4f61c03fd1bd" },
        { SPAN_LIT("a\r\n\r\n\r\n"),
          "8e4621379786ef42a4fec155cd525c291dd7db3c1fde3478522f4f61c03fd1bd",
          "8e4621379786ef42a4fec155cd525c291dd7db3c1fde3478522f4f61c03fd1bd" },
        { SPAN_LIT(" C \r\nD \t E\r\n\r\n\r\n"),
          "34e7a2bdb4250c7f5398d289530ec3e77c197ec93c60c67f853b955704e08bcb",
          "ba76a4e891ead302fe4351cfedd5b5b63071f452c0e837dfa19d2aacbc1b6e9a" },
        { SPAN_LIT("Hello,\r\n\r\nplain text with single spaces.\r\n"),
          "38f80abd94363e4d0269b4cd36a395bf1c91bb5b9584b21ae7fa1f825b1c1ee5",
          "38f80abd94363e4d0269b4cd36a395bf1c91bb5b9584b21ae7fa1f825b1c1ee5" },
        { SPAN_LIT("trailing \r\n\ttab\tand  double \t \r\n \r\n \r\n"),
          "4c34128a1d0daf68a9f990144a78345e4a76b6227bb438b1134ce29de21e086e",
          "3611ff3f6f818d3c949627cb365a7c5b554a6500d0caaffe1bc235ca82487f75" },
        { SPAN_LIT("  \t"), "609030becefdb3e2d6357b8d8eb61b29927cc88b6eb091ad02fe4b314b5f8dd5",
          "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
        { SPAN_LIT(" \r\n"), "6bdf66b5bf2a44e658bea2ee86695ab150a06e600bf67cd5cce245ad54962c61",
          "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
        { SPAN_LIT("a "), "885fa5c5cb5f80fdb414f1b3e0b94c4b1366db1ce83e82358c4cb67da2ab73e4",
          "8e4621379786ef42a4fec155cd525c291dd7db3c1fde3478522f4f61c03fd1bd" },
        { SPAN_LIT("a \r"), "3c24caf9cea026817ce66fd0ae3d73800d1d9208f46b5e740e7ca92949ce85f2",
          "3c24caf9cea026817ce66fd0ae3d73800d1d9208f46b5e740e7ca92949ce85f2" },
        { SPAN_LIT("a \rb\r\n"), "27cf929793a65beb30a34266a735eabb2516c2f6e84aac97b6de8b897f3db12b",
          "27cf929793a65beb30a34266a735eabb2516c2f6e84aac97b6de8b897f3db12b" },
        { SPAN_LIT("a\r"), "9b03de62b82ec74f8a4266c87c17fd01910ad11179392bdf2d2bd9806771ef78",
          "9b03de62b82ec74f8a4266c87c17fd01910ad11179392bdf2d2bd9806771ef78" },
        { SPAN_LIT("\r"), "f08153d16a9490d994a25d5a341ff8acfc405deddabd0d2134ef9af9d46acd54",
          "f08153d16a9490d994a25d5a341ff8acfc405deddabd0d2134ef9af9d46acd54" },
        { SPAN_LIT("\r\n\r"), "bbaf4e41abd040f26151fa20868f0d8aea6be6a8ebe5c9e35c790a84ae2cddfc",
          "bbaf4e41abd040f26151fa20868f0d8aea6be6a8ebe5c9e35c790a84ae2cddfc" },
        { SPAN_LIT("a\nb\n"), "c54c9567bbdd7a29295538dc8de90cd8aa4de47d11bc477790b8e218ca38d46f",
          "c54c9567bbdd7a29295538dc8de90cd8aa4de47d11bc477790b8e218ca38d46f" },
        { SPAN_LIT(" \r\r\n"), "d5d9858e950d4e91e39eda191922e9eecdee94ff8a57d4b77c98d795bb34507d",
          "d5d9858e950d4e91e39eda191922e9eecdee94ff8a57d4b77c98d795bb34507d" },
        { SPAN_LIT("a \r \r\nb"),
          "8772d58c4d4ea6110c9217c199300c3a6364a040b046acdd722e58de0b19dad0",
          "a38d1e6ea0bfaf98242ba1f43452728794b170e3437379bb5b579be1295ccb19" },
        { SPAN_LIT("x\t\r\ny"), "a4a2b072a6780f8f8c40b4082769bb83669268c26d57b82720849ec591a3041d",
          "6adc129c2038f41c45d1a27f913c4e7b7d97c46efa2f1d18f170478c15f9cbf4" },
        { SPAN_LIT("\r\n\r\n a\r\n\r\n b  c\r\n\r\n"),
          "040002b906f47904caf2868b03acaadc7d7dc5175fd890a8d3ba5f48b6369763",
          "a32dead5a3f168cc76fe5d4166f1ee8f983be9cb9890c41c17bbb3717f8c28c7" },
        { SPAN_LIT("a\0"
                   "b \xff"
                   "\xfe"
                   "\r\n"),
          "be574142fb63dcebf9dca2c5cc08ffe53b223720f336d3c50026fa56d414110f",
          "be574142fb63dcebf9dca2c5cc08ffe53b223720f336d3c50026fa56d414110f" },
    };
    static struct mail_facts f;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf mail;
        buf_init(&mail, 1000);
        buf_add_cstr(&mail, "A: b  c \r\n\r\n");
        buf_add_span(&mail, cases[i].body);
        read_all_ways(buf_span(&mail), &f);
        expect_hash(f.hash_simple, cases[i].simple, i);
        expect_hash(f.hash_relaxed, cases[i].relaxed, i);
        buf_deinit(&mail);
    }
}

static void a_mail_without_a_body_has_the_hashes_of_nothing(void **state)
{
    static struct mail_facts f, g;

    (void)state;
    read_all_ways(SPAN_LIT("A: b\r\n"), &f);
    read_all_ways(SPAN_LIT("A: b\r\n\r\n"), &g);
    assert_memory_equal(f.hash_simple, g.hash_simple, 32);
    assert_memory_equal(f.hash_relaxed, g.hash_relaxed, 32);
    expect_hash(f.hash_relaxed, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                0);
}

static void fields_have_their_places(void **state)
{
    struct span mail = SPAN_LIT("Received: x\r\nFrom: a@b\r\n (c)\r\n\td\r\nMESSAGE-ID : <1>\r\n"
                                "date:\r\n\r\nFrom: not a field\r\n");
    const struct mail_field wanted[] = {
        { 0, 13, 8 }, { 13, 21, 4 }, { 34, 18, 10 }, { 52, 7, 4 }
    };
    static struct mail_facts f;

    (void)state;
    read_all_ways(mail, &f);
    assert_int_equal(f.size, mail.n);
    assert_int_equal(f.header_size, 61);
    assert_int_equal(f.field_count, 4);
    assert_memory_equal(f.fields, wanted, sizeof wanted);
    assert_true(f.has_date && f.has_message_id && f.has_from);
    assert_int_equal(f.from_count, 1);
    assert_int_equal(f.received_count, 1);
    assert_false(f.eight_bit || f.has_bare_cr || f.has_bare_lf || f.has_nul);
    assert_int_equal(f.line_length_max, 17);
}

static void headers_of_all_kinds(void **state)
{
    const struct {
        struct span mail;
        uint32_t header_size, field_count, name_lengths[3];
    } cases[] = {
        { SPAN_LIT(""), 0, 0, { 0 } },
        { SPAN_LIT("\r\n"), 2, 0, { 0 } },
        { SPAN_LIT("\r\nA: b\r\n"), 2, 0, { 0 } },
        { SPAN_LIT("A: b"), 4, 1, { 1 } },
        { SPAN_LIT("A"), 1, 1, { 0 } },
        { SPAN_LIT("\r"), 1, 0, { 0 } },
        { SPAN_LIT("A: b\r\n\r"), 7, 1, { 1 } },
        { SPAN_LIT("A: b\r\nno colon\r\nC:\r\n\r\n"), 22, 3, { 1, 0, 1 } },
        { SPAN_LIT("From x@y Mon 12:00\r\nA:\r\n\r\n"), 26, 2, { 0, 1 } },
        { SPAN_LIT(" folded first\r\nA:\r\n\r\n"), 21, 2, { 0, 1 } },
        { SPAN_LIT(": no name\r\n\r\n"), 13, 1, { 0 } },
        { SPAN_LIT("A\x80: b\r\nB\t : c\r\n\r\n"), 17, 2, { 0, 1 } },
        { SPAN_LIT("A: b\nB: c\r\n\r\n"), 13, 1, { 1 } },
        { SPAN_LIT("A: b\n\nbody\r\n\r\n"), 14, 1, { 1 } },
        { SPAN_LIT("A: b\r\n\n\r\nB: c\r\n\r\n"), 17, 3, { 1, 0, 1 } },
        { SPAN_LIT("A: b\r\n\r\r\n\r\n"), 11, 2, { 1, 0 } },
    };
    static struct mail_facts f;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        read_all_ways(cases[i].mail, &f);
        if (f.header_size != cases[i].header_size)
            fail_msg("mail %zu: header %u", i, f.header_size);
        if (f.field_count != cases[i].field_count)
            fail_msg("mail %zu: fields %u", i, f.field_count);
        for (uint32_t k = 0; k < f.field_count; k++)
            if (f.fields[k].name_length != cases[i].name_lengths[k])
                fail_msg("mail %zu: name %u has %u", i, k, f.fields[k].name_length);
    }
}

static void bytes_that_are_noticed(void **state)
{
    const struct {
        struct span mail;
        bool eight_bit, eight_bit_header, bare_cr, bare_lf, nul;
        uint32_t line_length_max;
        bool bare_in_header;
    } cases[] = {
        { SPAN_LIT("A: b\r\n\r\nc\r\n"), false, false, false, false, false, 4, false },
        { SPAN_LIT("A: \xc3\xa4\r\n\r\nc\r\n"), true, true, false, false, false, 5, false },
        { SPAN_LIT("A: b\r\n\r\n\xff\r\n"), true, false, false, false, false, 4, false },
        { SPAN_LIT("A: b\r\n\r\na\rb\r\n"), false, false, true, false, false, 4, false },
        { SPAN_LIT("A: b\r\n\r\nabc\r"), false, false, true, false, false, 4, false },
        { SPAN_LIT("A: b\r\n\r\na\r\r\n"), false, false, true, false, false, 4, false },
        { SPAN_LIT("A: b\r\n\r\nabc\ndef\r\n"), false, false, false, true, false, 7, false },
        { SPAN_LIT("\nA: b\r\n"), false, false, false, true, false, 5, true },
        { SPAN_LIT("A: b\r\n\r\n\r\n\n\r\n"), false, false, false, true, false, 4, false },
        { SPAN_LIT("A: b\r\n\r\na\0b\r\n"), false, false, false, false, true, 4, false },
        { SPAN_LIT("A\0: b\r\n"), false, false, false, false, true, 5, true },
        { SPAN_LIT("A: b\rc\r\n\r\n"), false, false, true, false, false, 6, true },
        { SPAN_LIT("A: b\r"), false, false, true, false, false, 5, true },
        { SPAN_LIT("A: b\r\n\rc\r\n"), false, false, true, false, false, 4, true },
        { SPAN_LIT("A: b\r\n\r\nlong last line"), false, false, false, false, false, 14, false },
    };
    static struct mail_facts f;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        read_all_ways(cases[i].mail, &f);
        assert_int_equal(f.eight_bit, cases[i].eight_bit);
        assert_int_equal(f.eight_bit_header, cases[i].eight_bit_header);
        assert_int_equal(f.has_bare_cr, cases[i].bare_cr);
        assert_int_equal(f.has_bare_lf, cases[i].bare_lf);
        assert_int_equal(f.has_nul, cases[i].nul);
        assert_int_equal(f.line_length_max, cases[i].line_length_max);
        assert_int_equal(f.has_bare_in_header, cases[i].bare_in_header);
    }
}

static void facts_so_far(void **state)
{
    const struct mail_facts *f = mail_reader_facts(reader);

    (void)state;
    mail_reader_start(reader, true);
    mail_reader_feed(reader, SPAN_LIT("A: b\r"));
    assert_false(f->has_bare_cr);
    assert_int_equal(f->size, 5);
    mail_reader_feed(reader, SPAN_LIT("\nB: c\rd"));
    assert_true(f->has_bare_cr);
    mail_reader_feed(reader, SPAN_LIT("\n\r\n"));
    assert_true(f->has_bare_lf);
    assert_int_equal(f->field_count, 1);
}

static void limits_of_the_header(void **state)
{
    static struct mail_facts f;
    struct buf b;

    (void)state;
    buf_init(&b, 1 << 20);
    for (int i = 0; i < MAIL_FIELDS_MAX + 10; i++)
        buf_add_cstr(&b, "From: x\r\n");
    read_cut(buf_span(&b), 1000, &f);
    assert_int_equal(f.field_count, MAIL_FIELDS_MAX + 10);
    assert_int_equal(f.from_count, MAIL_FIELDS_MAX + 10);
    assert_int_equal(f.fields[MAIL_FIELDS_MAX - 1].offset, 9 * (MAIL_FIELDS_MAX - 1));

    while (b.n <= MAIL_HEADER_SIZE_MAX - 9)
        buf_add_cstr(&b, "From: x\r\n");
    read_cut(buf_span(&b), 1000, &f);
    assert_false(f.header_too_large);
    buf_add_cstr(&b, "From: x\r\n\r\n");
    read_cut(buf_span(&b), 1000, &f);
    assert_true(f.header_too_large);
    buf_deinit(&b);
}

/* Long mails: the loops over blocks and the canon buffer, with random cuts. */
static void long_mails_in_random_cuts(void **state)
{
    static const char alphabet[] = "aaaaaaaaaaaaaaaaaaaaaaaa    \t\r\n\r\n\r\n\r\r\n\n\x80";
    static uint8_t bytes[20000];
    static struct mail_facts f, g;
    struct rng rng;

    (void)state;
    rng_seed(&rng, 3);
    for (int round = 0; round < 60; round++) {
        size_t n = 12000 + (size_t)rng_below(&rng, 8000), letters = sizeof alphabet - 1;
        size_t from = 0;
        if (round % 3 == 0) letters = 24 + (size_t)rng_below(&rng, 5); /* with few line ends */
        memcpy(bytes, "A: b\r\n\r\n", 8);
        for (size_t i = 8; i < n; i++)
            bytes[i] = (uint8_t)alphabet[rng_below(&rng, letters)];
        read_cut(span_of(bytes, n), n, &f);
        mail_reader_start(reader, true);
        while (from < n) {
            size_t piece = 1 + (size_t)rng_below(&rng, round % 2 ? 90 : 6000);
            if (piece > n - from) piece = n - from;
            mail_reader_feed(reader, span_of(bytes + from, piece));
            from += piece;
        }
        g = *mail_reader_finish(reader);
        expect_equal(&f, &g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(body_hashes),
        cmocka_unit_test(no_hashes_unless_asked),
        cmocka_unit_test(a_mail_without_a_body_has_the_hashes_of_nothing),
        cmocka_unit_test(fields_have_their_places),
        cmocka_unit_test(headers_of_all_kinds),
        cmocka_unit_test(bytes_that_are_noticed),
        cmocka_unit_test(facts_so_far),
        cmocka_unit_test(limits_of_the_header),
        cmocka_unit_test(long_mails_in_random_cuts),
    };
    return cmocka_run_group_tests(tests, make_reader, drop_reader);
}
