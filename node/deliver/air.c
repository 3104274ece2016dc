/* air - which recipients are in the air, so that none is taken twice (D1).
 *
 * The due index still shows a recipient whose claim or expiry is proposed and not yet applied; who
 * reads it asks here. One set for the loop: its table is made once, not per mail. Bounded by
 * DELIVER_AIR_MAX.
 */
#include "node/deliver/inside.h"

#include <stdlib.h>

struct awaited {
    struct air air;
    struct list link; /* oldest first */
    uint64_t until_ms;
};

bool air_has(const struct deliver *d, struct air_key key)
{
    struct air *found;

    HASH_FIND(hh, d->air, &key, sizeof key, found);
    return found != NULL;
}

void air_add(struct deliver *d, struct air *a, struct air_key key)
{
    CHECK(!a->is_in);
    a->key = key;
    a->is_in = true;
    HASH_ADD(hh, d->air, key, sizeof a->key, a);
    d->air_count++;
}

void air_remove(struct deliver *d, struct air *a)
{
    if (!a->is_in) return;
    a->is_in = false;
    HASH_DEL(d->air, a);
    d->air_count--;
}

static void awaited_free(struct deliver *d, struct awaited *e)
{
    air_remove(d, &e->air);
    list_remove(&e->link);
    free(e);
}

void air_await(struct deliver *d, struct air_key key)
{
    struct awaited *e = check_calloc(1, sizeof *e);

    e->air.is_awaited = true;
    e->until_ms = deliver_mono_ms(d) + DELIVER_AWAIT_MS;
    list_add(&d->awaited, &e->link);
    air_add(d, &e->air, key);
}

void air_applied(struct deliver *d, struct air_key key)
{
    struct air *found;

    if (list_empty(&d->awaited)) return;
    HASH_FIND(hh, d->air, &key, sizeof key, found);
    if (found && found->is_awaited) awaited_free(d, CONTAINER_OF(found, struct awaited, air));
}

uint64_t air_sweep(struct deliver *d, uint64_t mono_ms)
{
    struct list *first;

    while ((first = list_first(&d->awaited)) != NULL) {
        struct awaited *e = CONTAINER_OF(first, struct awaited, link);

        if (e->until_ms > mono_ms) return e->until_ms;
        awaited_free(d, e);
    }
    return UINT64_MAX;
}

void air_drop_shard(struct deliver *d, uint32_t shard)
{
    LIST_FOR_SAFE(it, &d->awaited) {
        struct awaited *e = CONTAINER_OF(it, struct awaited, link);

        if (shard == 0 || e->air.key.shard == shard) awaited_free(d, e);
    }
}
