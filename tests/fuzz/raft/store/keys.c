/* keys - any bytes as a record of the log: refused, or taken, and then written again as the same
 * bytes.
 *
 * The first byte chooses the record: 0 entry, 1 pair, 2 key, 3 watermark slot.
 */
#include "raft/store/inside.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void try_entry(struct span bytes)
{
    struct store_entry e;
    uint8_t lead[ENTRY_LEAD_SIZE];

    if (entry_unpack(bytes, &e) != 0) return;
    CHECK(e.head.n + e.body.n + ENTRY_LEAD_SIZE == bytes.n);
    entry_lead_pack(lead, &e);
    CHECK(memcmp(lead, bytes.p, sizeof lead) == 0);
    CHECK(span_eq(e.head, span_of(bytes.p + ENTRY_LEAD_SIZE, e.head.n)));
    CHECK(span_eq(e.body, span_of(bytes.p + ENTRY_LEAD_SIZE + e.head.n, e.body.n)));
}

static void try_pair(struct span bytes)
{
    uint8_t again[PAIR_SIZE];
    uint64_t a, b;

    if (pair_unpack(bytes, &a, &b) != 0) return;
    pair_pack(again, a, b);
    CHECK(span_eq(bytes, span_of(again, sizeof again)));
}

static void try_key(struct span bytes)
{
    uint8_t again[KEY_SIZE], kind;
    uint64_t group, index;

    if (key_unpack(bytes, &group, &kind, &index) != 0) return;
    key_pack(again, group, kind, index);
    CHECK(span_eq(bytes, span_of(again, sizeof again)));
}

/* No input finds the checksum by chance: what is there is also tried with the right one. */
static void try_slot(struct span bytes)
{
    struct watermark_slot slot, again;
    uint8_t packed[WATERMARK_SLOT_SIZE];

    (void)watermark_slot_unpack(bytes, &slot);
    if (bytes.n < sizeof slot) return;
    memcpy(&slot, bytes.p, sizeof slot);
    watermark_slot_pack(packed, &slot);
    CHECK(watermark_slot_unpack(span_of(packed, sizeof packed), &again) == 0);
    CHECK(again.sequence == slot.sequence);
    CHECK(again.batch == slot.batch);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    static void (*const tries[])(struct span bytes) = { try_entry, try_pair, try_key, try_slot };

    if (n > 0) tries[p[0] % 4](span_of(p + 1, n - 1));
    return 0;
}
