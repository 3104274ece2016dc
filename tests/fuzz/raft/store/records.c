/* records - keys, entries, pairs and watermark slots: what parses prints the same, spans stay
 * inside. */
#include "raft/store/inside.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void expect_inside(struct span part, struct span whole)
{
    if (part.n == 0) return;
    CHECK(part.p >= whole.p);
    CHECK(part.p + part.n <= whole.p + whole.n);
}

static void try_key(struct span s)
{
    uint8_t again[KEY_SIZE], kind;
    uint64_t group, index;

    if (key_parse(s, &group, &kind, &index) != 0) return;
    key_print(again, group, kind, index);
    CHECK(span_eq(s, span_of(again, sizeof again)));
}

static void try_entry(struct span s)
{
    uint8_t front[ENTRY_FRONT_SIZE];
    struct store_entry e;

    if (entry_parse(s, &e) != 0) return;
    expect_inside(e.head, s);
    expect_inside(e.body, s);
    CHECK(ENTRY_FRONT_SIZE + e.head.n + e.body.n == s.n);
    CHECK(e.kind >= CORE_NOOP && e.kind <= CORE_CONFIG);
    entry_front_print(front, &e);
    CHECK(span_eq(span_sub(s, 0, ENTRY_FRONT_SIZE), span_of(front, sizeof front)));
}

static void try_pair(struct span s)
{
    uint8_t again[PAIR_SIZE];
    uint64_t a, b;

    if (pair_parse(s, &a, &b) != 0) return;
    pair_print(again, a, b);
    CHECK(span_eq(s, span_of(again, sizeof again)));
}

static void try_slot(struct span s)
{
    uint8_t again[WATERMARK_SLOT_SIZE];
    uint64_t sequence, batch;

    if (watermark_slot_parse(s, &sequence, &batch) != 0) return;
    watermark_slot_print(again, sequence, batch);
    CHECK(memcmp(s.p, again, 32) == 0); /* zeros behind the checksum are not looked at */
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct span s = span_of(bytes, n);

    try_key(s);
    try_entry(s);
    try_pair(s);
    try_slot(s);
    return 0;
}
