/* keys - builds the keys of keys.h. */
#include "queue/keys.h"

#include "proto/ground/check.h"

struct queue_key queue_key(uint32_t shard, char kind)
{
    struct queue_key k = { .n = 0 };

    queue_key_u32(&k, shard);
    k.p[k.n++] = (uint8_t)kind;
    return k;
}

void queue_key_u64(struct queue_key *k, uint64_t v)
{
    CHECK(k->n + 8 <= QUEUE_KEY_SIZE_MAX);
    for (unsigned i = 0; i < 8; i++)
        k->p[k->n++] = (uint8_t)(v >> (56 - 8 * i));
}

void queue_key_u32(struct queue_key *k, uint32_t v)
{
    CHECK(k->n + 4 <= QUEUE_KEY_SIZE_MAX);
    for (unsigned i = 0; i < 4; i++)
        k->p[k->n++] = (uint8_t)(v >> (24 - 8 * i));
}

void queue_key_bytes(struct queue_key *k, struct span s)
{
    CHECK(k->n + s.n <= QUEUE_KEY_SIZE_MAX);
    if (s.n > 0) memcpy(k->p + k->n, s.p, s.n);
    k->n += s.n;
}

struct queue_key queue_key_1(uint32_t shard, char kind, uint64_t a)
{
    struct queue_key k = queue_key(shard, kind);

    queue_key_u64(&k, a);
    return k;
}

struct queue_key queue_key_ref(uint32_t shard, char kind, uint64_t index, uint32_t recipient)
{
    struct queue_key k = queue_key_1(shard, kind, index);

    queue_key_u32(&k, recipient);
    return k;
}

struct queue_key queue_key_time(uint32_t shard, uint64_t due, uint64_t index, uint32_t recipient)
{
    struct queue_key k = queue_key_1(shard, 't', due);

    queue_key_u64(&k, index);
    queue_key_u32(&k, recipient);
    return k;
}

struct queue_key queue_key_domain(uint32_t shard, struct span domain, uint64_t due, uint64_t index,
                                  uint32_t recipient)
{
    struct queue_key k = queue_key(shard, 'd');

    queue_key_bytes(&k, domain);
    queue_key_bytes(&k, span_of("", 1));
    queue_key_u64(&k, due);
    queue_key_u64(&k, index);
    queue_key_u32(&k, recipient);
    return k;
}

struct queue_key queue_key_story(uint32_t shard, uint64_t index, uint64_t entry, uint32_t number)
{
    struct queue_key k = queue_key_1(shard, 's', index);

    queue_key_u64(&k, entry);
    queue_key_u32(&k, number);
    return k;
}
