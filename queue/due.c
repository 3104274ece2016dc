/* due - what is waiting, by time and by destination, what is claimed, what is in doubt: scans that remember their
 * place. */
#include <stdio.h>

#include "queue/inside.h"

struct due_walk {
    struct queue_place *place;
    struct queue_due *out;
    struct queue_ref *refs;
    size_t count, max, at; /* `at`: where due time, index and recipient begin in the key */
    uint64_t until_ms;
    struct span domain; /* by destination: told; by time: in the value */
    uint64_t first_ms;  /* due time of the first item, wanted or not */
};

static bool add_due(void *arg, struct span key, struct span value)
{
    struct due_walk *w = arg;
    struct span domain = w->domain.n > 0 ? w->domain : value;
    struct queue_due *d;

    if (w->first_ms == UINT64_MAX) w->first_ms = queue_read_u64(key, w->at);
    if (w->count == w->max || queue_read_u64(key, w->at) > w->until_ms) return false;
    d = &w->out[w->count++];
    d->due_at_ms = queue_read_u64(key, w->at);
    d->index = queue_read_u64(key, w->at + 8);
    d->recipient = queue_read_u32(key, w->at + 16);
    snprintf(d->domain, sizeof d->domain, "%.*s", SPAN_ARG(domain));
    *w->place = (struct queue_place){
        .due_at_ms = d->due_at_ms, .index = d->index, .recipient = d->recipient, .started = true
    };
    return true;
}

/* The key behind the place: the next recipient number cannot be passed over. */
static struct queue_key behind(uint32_t shard, struct span domain, const struct queue_place *p)
{
    uint32_t next = p->started ? p->recipient + 1 : 0;

    return domain.n > 0 ? queue_key_domain(shard, domain, p->due_at_ms, p->index, next)
                        : queue_key_time(shard, p->due_at_ms, p->index, next);
}

static struct queue_key due_prefix(uint32_t shard, struct span domain)
{
    struct queue_key k = queue_key(shard, domain.n > 0 ? 'd' : 't');

    if (domain.n == 0) return k;
    queue_key_bytes(&k, domain);
    queue_key_bytes(&k, span_of("", 1));
    return k;
}

/* No destination's items are due before the first item of all. Asked in this order: see tell_first in work.c. */
static uint64_t first_due(struct queue_store *s, uint32_t shard, struct span domain,
                          uint64_t *version)
{
    uint64_t own = first_ask(s->first, shard, domain, version), all = 0, other;

    if (domain.n > 0) all = first_ask(s->first, shard, span_of(NULL, 0), &other);
    return all > own ? all : own;
}

static size_t walk_due(struct queue_store *s, uint32_t shard, struct span domain,
                       struct queue_place *place, uint64_t until_ms, struct queue_due *out,
                       size_t max)
{
    struct queue_place start = { 0 };
    struct queue_key prefix = due_prefix(shard, domain), from;
    struct due_walk w = { .place = place,
                          .out = out,
                          .max = max,
                          .until_ms = until_ms,
                          .domain = domain,
                          .at = prefix.n,
                          .first_ms = UINT64_MAX };
    bool whole = !place->started;
    uint64_t version;

    if (whole) start.due_at_ms = first_due(s, shard, domain, &version);
    from = behind(shard, domain, whole ? &start : place);
    s->calls->each(s->self, queue_key_span(&prefix), queue_key_span(&from), false, &w, add_due);
    if (whole) first_seen(s->first, shard, domain, version, w.first_ms);
    return w.count;
}

size_t queue_due_by_time(struct queue_store *s, uint32_t shard, struct queue_place *place,
                         uint64_t until_ms, struct queue_due *out, size_t max)
{
    return walk_due(s, shard, span_of(NULL, 0), place, until_ms, out, max);
}

size_t queue_due_by_domain(struct queue_store *s, uint32_t shard, struct span domain,
                           struct queue_place *place, uint64_t until_ms, struct queue_due *out,
                           size_t max)
{
    CHECK(domain.n > 0);
    return walk_due(s, shard, domain, place, until_ms, out, max);
}

uint64_t queue_due_next_ms(struct queue_store *s, uint32_t shard, struct span domain)
{
    struct queue_place place = { 0 };
    struct queue_due d;

    return walk_due(s, shard, domain, &place, UINT64_MAX, &d, 1) == 1 ? d.due_at_ms : UINT64_MAX;
}

static bool add_ref(void *arg, struct span key, struct span value)
{
    struct due_walk *w = arg;

    (void)value;
    if (w->count == w->max) return false;
    w->refs[w->count++] = (struct queue_ref){ queue_read_u64(key, 5), queue_read_u32(key, 13) };
    *w->place = (struct queue_place){ .index = queue_read_u64(key, 5),
                                      .recipient = queue_read_u32(key, 13),
                                      .started = true };
    return true;
}

static size_t list_refs(struct queue_store *s, uint32_t shard, char kind,
                        struct queue_place *place, struct queue_ref *out, size_t max)
{
    struct queue_key prefix = queue_key(shard, kind);
    struct queue_key from =
        queue_key_ref(shard, kind, place->index, place->started ? place->recipient + 1 : 0);
    struct due_walk w = { .place = place, .refs = out, .max = max };

    s->calls->each(s->self, queue_key_span(&prefix), queue_key_span(&from), false, &w, add_ref);
    return w.count;
}

size_t queue_claims(struct queue_store *s, uint32_t shard, struct queue_place *place,
                    struct queue_ref *out, size_t max)
{
    return list_refs(s, shard, 'c', place, out, max);
}

size_t queue_doubts(struct queue_store *s, uint32_t shard, struct queue_place *place,
                    struct queue_ref *out, size_t max)
{
    return list_refs(s, shard, 'i', place, out, max);
}
