/* keys - records print and parse the same; what is cut short, strange or newer is refused. */
#include "tests/unit/raft/store/place.h"

static void keys_sort_by_group_kind_and_index(void **state)
{
    static const struct {
        uint64_t group;
        uint8_t kind;
        uint64_t index;
    } sorted[] = { { 0, 'e', 0 },   { 1, 'c', 0 },     { 1, 'e', 1 }, { 1, 'e', 255 },
                   { 1, 'e', 256 }, { 1, 'e', ~0ull }, { 1, 'h', 0 }, { 255, 'e', 9 },
                   { 256, 'e', 1 }, { ~0ull, 'b', 0 } };
    uint8_t last[KEY_SIZE] = { 0 }, key[KEY_SIZE];

    (void)state;
    for (unsigned i = 0; i < sizeof sorted / sizeof sorted[0]; i++) {
        uint64_t group, index;
        uint8_t kind;

        key_pack(key, sorted[i].group, sorted[i].kind, sorted[i].index);
        assert_true(memcmp(last, key, KEY_SIZE) < 0);
        memcpy(last, key, KEY_SIZE);
        assert_int_equal(key_unpack(span_of(key, KEY_SIZE), &group, &kind, &index), 0);
        assert_true(group == sorted[i].group && kind == sorted[i].kind && index == sorted[i].index);
        assert_int_equal(key_unpack(span_of(key, KEY_SIZE - 1), &group, &kind, &index),
                         ERR_CORRUPT);
    }
}

static size_t print_entry(uint8_t *out, const struct store_entry *e)
{
    entry_lead_pack(out, e);
    memcpy(out + ENTRY_LEAD_SIZE, e->head.p, e->head.n);
    memcpy(out + ENTRY_LEAD_SIZE + e->head.n, e->body.p, e->body.n);
    return ENTRY_LEAD_SIZE + e->head.n + e->body.n;
}

static void an_entry_is_what_it_was(void **state)
{
    struct store_entry e = { 1,
                             2,
                             0x0102030405060708,
                             CORE_COMMAND,
                             SPAN_LIT("head"),
                             SPAN_LIT("the body") },
                       got;
    uint8_t bytes[64];
    size_t n = print_entry(bytes, &e);

    (void)state;
    assert_memory_equal(bytes, "\x01\x02\x01\x02\x03\x04\x05\x06\x07\x08\0\0\0\x04head", 18);
    assert_int_equal(entry_unpack(span_of(bytes, n), &got), 0);
    assert_true(got.term == e.term && got.kind == CORE_COMMAND);
    assert_true(span_eq(got.head, e.head) && span_eq(got.body, e.body));
    for (size_t cut = 0; cut < 18; cut++) /* shorter than lead and head */
        assert_int_equal(entry_unpack(span_of(bytes, cut), &got), ERR_CORRUPT);
    bytes[1] = 9;
    assert_int_equal(entry_unpack(span_of(bytes, n), &got), ERR_CORRUPT);
    bytes[1] = 0;
    assert_int_equal(entry_unpack(span_of(bytes, n), &got), ERR_CORRUPT);
    bytes[0] = STORE_FORMAT + 1;
    assert_int_equal(entry_unpack(span_of(bytes, n), &got), ERR_VERSION);
    bytes[0] = 0;
    assert_int_equal(entry_unpack(span_of(bytes, n), &got), ERR_CORRUPT);
}

static void a_pair_is_what_it_was(void **state)
{
    uint8_t bytes[PAIR_SIZE + 1] = { 0 };
    uint64_t a, b;

    (void)state;
    pair_pack(bytes, 7, ~0ull);
    assert_int_equal(pair_unpack(span_of(bytes, PAIR_SIZE), &a, &b), 0);
    assert_true(a == 7 && b == ~0ull);
    assert_int_equal(pair_unpack(span_of(bytes, PAIR_SIZE - 1), &a, &b), ERR_CORRUPT);
    assert_int_equal(pair_unpack(span_of(bytes, PAIR_SIZE + 1), &a, &b), ERR_CORRUPT);
    bytes[0] = STORE_FORMAT + 1;
    assert_int_equal(pair_unpack(span_of(bytes, PAIR_SIZE), &a, &b), ERR_VERSION);
}

static void each_bit_of_a_watermark_slot_counts(void **state)
{
    struct watermark_slot slot = { .sequence = 41, .batch = 1234567 }, got;
    uint8_t bytes[WATERMARK_SLOT_SIZE];

    (void)state;
    watermark_slot_pack(bytes, &slot);
    assert_int_equal(watermark_slot_unpack(span_of(bytes, sizeof bytes), &got), 0);
    assert_true(got.sequence == 41 && got.batch == 1234567);
    for (unsigned i = 0; i < 8 * sizeof bytes; i++) {
        bytes[i / 8] ^= (uint8_t)(1u << i % 8);
        assert_int_equal(watermark_slot_unpack(span_of(bytes, sizeof bytes), &got), ERR_CORRUPT);
        bytes[i / 8] ^= (uint8_t)(1u << i % 8);
    }
    assert_int_equal(watermark_slot_unpack(span_of(bytes, sizeof bytes - 1), &got), ERR_CORRUPT);
    memset(bytes, 0, sizeof bytes);
    assert_int_equal(watermark_slot_unpack(span_of(bytes, sizeof bytes), &got), ERR_CORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_sort_by_group_kind_and_index),
        cmocka_unit_test(an_entry_is_what_it_was),
        cmocka_unit_test(a_pair_is_what_it_was),
        cmocka_unit_test(each_bit_of_a_watermark_slot_counts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
