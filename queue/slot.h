/* slot - private to the queue's stores: which of a shard's two places is the one that is read.
 *
 * A shard's number leaves the first byte of its keys zero: a bit of it says which place (SLOT_BIT), another that it is a
 * body's key. Callers never see either. The other place is where a snapshot is staged; a swap is one record.
 *
 * Any thread reads; the swap is written by one. Keys that belong to no shard stay as they are.
 */
#ifndef QUEUE_SLOT_H
#define QUEUE_SLOT_H

#include <stdatomic.h>

#include "proto/ground/span.h"
#include "proto/proto.h"

#define SLOT_BIT 0x40

struct slots {
    atomic_uchar bits[(PROTO_SHARD_MAX + 8) / 8];
};

/* 0: of no shard. */
static inline uint32_t slot_shard(struct span key)
{
    if (key.n < 4 || key.p[0] != 0 || key.p[1] > PROTO_SHARD_MAX >> 16) return 0;
    return (uint32_t)key.p[1] << 16 | (uint32_t)key.p[2] << 8 | key.p[3];
}

/* What the first byte of the keys of the place that is read (staged: of the other) carries: 0 or SLOT_BIT. */
static inline uint8_t slot_bit(const struct slots *s, uint32_t shard, bool is_staged)
{
    bool is_second =
        atomic_load_explicit(&s->bits[shard / 8], memory_order_acquire) >> shard % 8 & 1;

    return shard != 0 && is_second != is_staged ? SLOT_BIT : 0;
}

static inline void slot_flip(struct slots *s, uint32_t shard)
{
    atomic_fetch_xor_explicit(&s->bits[shard / 8], (unsigned char)(1u << shard % 8),
                              memory_order_acq_rel);
}

#endif
