/* first - where the due indexes begin: a bound below which no item of an index stands.
 *
 * Deleted records stay in the store until it compacts; a scan from the start of a busy
 * destination's index would walk over all of its delivered mail each time. So the due time of the
 * first item is remembered, per index, in a cache of fixed size. It is no part of the state:
 * nothing but scans read it, and nothing of it is stored.
 *
 * Invariant: no item of the index that a slot names is due before its bound. A scan that began at
 * the bound may raise it to the first item that it saw, but not when an item was written since the
 * scan asked (the version). Whoever writes an item lowers the bound after the write: a scan between
 * the two misses it as if it had come before the write. A slot that is taken by another index
 * begins anew, at 0; so does one of an earlier epoch, when all was forgotten.
 *
 * Any thread. A slot's lock is held for a few copies, never over a call out of this file.
 */
#include <stdatomic.h>
#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "proto/ground/check.h"
#include "queue/first.h"

#define DOMAIN_SIZE 256

struct slot {
    atomic_bool locked;
    uint32_t shard;
    uint16_t domain_size;
    uint8_t domain[DOMAIN_SIZE];
    uint64_t due_at_ms, version, epoch;
};

struct first {
    _Atomic uint64_t epoch;
    unsigned slot_count;
    struct slot slots[];
};

struct first *first_new(unsigned slots)
{
    struct first *f = check_calloc(1, sizeof *f + slots * sizeof f->slots[0]);

    f->slot_count = slots;
    return f;
}

void first_free(struct first **f)
{
    free(*f);
    *f = NULL;
}

static void lock(struct slot *s)
{
    while (atomic_exchange_explicit(&s->locked, true, memory_order_acquire)) {
    }
}

static void unlock(struct slot *s)
{
    atomic_store_explicit(&s->locked, false, memory_order_release);
}

/* The slot that the index has, or would have; locked. */
static struct slot *take(struct first *f, uint32_t shard, struct span domain)
{
    struct slot *s = &f->slots[XXH3_64bits_withSeed(domain.p, domain.n, shard) % f->slot_count];
    uint64_t epoch;

    CHECK(domain.n <= DOMAIN_SIZE);
    lock(s);
    epoch = atomic_load(&f->epoch);
    if (s->epoch != epoch) {
        s->epoch = epoch;
        s->due_at_ms = 0;
        s->version++;
    }
    return s;
}

static bool is_of(const struct slot *s, uint32_t shard, struct span domain)
{
    return s->shard == shard && span_eq(span_of(s->domain, s->domain_size), domain);
}

uint64_t first_ask(struct first *f, uint32_t shard, struct span domain, uint64_t *version)
{
    struct slot *s = take(f, shard, domain);
    uint64_t due_at_ms;

    if (!is_of(s, shard, domain)) {
        s->shard = shard;
        s->domain_size = (uint16_t)domain.n;
        if (domain.n > 0) memcpy(s->domain, domain.p, domain.n);
        s->due_at_ms = 0;
        s->version++;
    }
    due_at_ms = s->due_at_ms;
    *version = s->version;
    unlock(s);
    return due_at_ms;
}

void first_seen(struct first *f, uint32_t shard, struct span domain, uint64_t version,
                uint64_t due_at_ms)
{
    struct slot *s = take(f, shard, domain);

    if (is_of(s, shard, domain) && s->version == version && due_at_ms > s->due_at_ms)
        s->due_at_ms = due_at_ms;
    unlock(s);
}

void first_written(struct first *f, uint32_t shard, struct span domain, uint64_t due_at_ms)
{
    struct slot *s = take(f, shard, domain);

    if (is_of(s, shard, domain)) {
        s->version++;
        if (due_at_ms < s->due_at_ms) s->due_at_ms = due_at_ms;
    }
    unlock(s);
}

void first_forget_all(struct first *f)
{
    atomic_fetch_add(&f->epoch, 1);
}
