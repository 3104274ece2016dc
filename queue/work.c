/* work - the writes of one command: collected, read through, committed as one; and its effects. */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "queue/inside.h"

struct work_change {
    struct span key, value;
    bool is_delete;
    UT_hash_handle hh;
};

void *work_alloc(struct work *w, size_t size)
{
    void *p = arena_alloc(&w->queue->arena, size);

    CHECK(p);
    return p;
}

void *work_unpack(struct work *w, const ProtobufCMessageDescriptor *type, struct span value)
{
    ProtobufCAllocator allocator = proto_allocator(&w->queue->arena);
    void *record = protobuf_c_message_unpack(type, &allocator, value.n, value.p);

    if (!record) check_last_word("the queue's store is damaged", "decode", type->short_name);
    return record;
}

static struct span keep(struct work *w, struct span s)
{
    struct span copy = arena_dup(&w->queue->arena, s);

    CHECK(copy.p);
    return copy;
}

static struct work_change *change_of(struct work *w, struct span key)
{
    struct work_change *c;

    HASH_FIND(hh, w->changes, key.p, key.n, c);
    return c;
}

static struct work_change *change_make(struct work *w, const struct queue_key *key)
{
    struct work_change *c = change_of(w, queue_key_span(key));

    if (c) return c;
    c = work_alloc(w, sizeof *c);
    c->key = keep(w, queue_key_span(key));
    HASH_ADD_KEYPTR(hh, w->changes, c->key.p, c->key.n, c);
    return c;
}

void work_put(struct work *w, const struct queue_key *key, struct span value)
{
    struct work_change *c = change_make(w, key);

    c->value = keep(w, value);
    c->is_delete = false;
}

void work_put_message(struct work *w, const struct queue_key *key, const ProtobufCMessage *m)
{
    struct buf *b = &w->queue->scratch;

    buf_reset(b);
    proto_pack(m, b);
    CHECK(!buf_failed(b));
    work_put(w, key, buf_span(b));
}

void work_delete(struct work *w, const struct queue_key *key)
{
    struct work_change *c = change_make(w, key);

    c->value = span_of(NULL, 0);
    c->is_delete = true;
}

bool work_get(struct work *w, const struct queue_key *key, struct span *value)
{
    struct work_change *c = change_of(w, queue_key_span(key));
    struct queue *q = w->queue;

    if (c) {
        *value = c->value;
        return !c->is_delete;
    }
    buf_reset(&q->scratch);
    if (q->store->calls->get(q->store->self, queue_key_span(key), &q->scratch) != 0) return false;
    CHECK(!buf_failed(&q->scratch));
    *value = keep(w, buf_span(&q->scratch));
    return true;
}

unsigned work_change_count(const struct work *w)
{
    return HASH_COUNT(w->changes);
}

void work_forget_body(struct work *w, uint64_t entry)
{
    struct queue_key key = body_key(w->queue->shard, entry);
    struct work_body *b = work_alloc(w, sizeof *b);

    b->key = keep(w, queue_key_span(&key));
    b->next = w->bodies;
    w->bodies = b;
    w->body_count++;
}

/* The state record: fixed layout, so that equal states have equal bytes. */
static void put_state(struct queue *q, struct buf *b)
{
    const struct queue_counts *c = &q->state.counts;
    const uint64_t all[] = { q->state.applied, q->state.digest, c->messages, c->bytes,
                             c->waiting,       c->claimed,      c->held,     c->accepted,
                             c->delivered,     c->bounced,      c->expired,  c->cancelled,
                             c->suppressed,    c->in_doubt,     c->uploads,  c->kept_messages,
                             c->kept_events,   c->in_doubt_now };

    buf_reset(b);
    for (unsigned i = 0; i < sizeof all / sizeof all[0]; i++)
        buf_add_u64be(b, all[i]);
    CHECK(!buf_failed(b));
}

void work_note_due(struct work *w, struct span domain, uint64_t due_at_ms)
{
    struct work_due *d = work_alloc(w, sizeof *d);

    *d = (struct work_due){ .domain = domain, .due_at_ms = due_at_ms, .next = w->dues };
    w->dues = d;
}

/* The index by time first: a scan by destination asks for the other one first, so when it knows that bound with this item, it knows
 * this one with it, too. */
static void tell_first(const struct work *w)
{
    struct queue *q = w->queue;

    for (const struct work_due *d = w->dues; d; d = d->next) {
        first_written(q->store->first, q->shard, span_of(NULL, 0), d->due_at_ms);
        first_written(q->store->first, q->shard, d->domain, d->due_at_ms);
    }
}

void work_commit(struct work *w)
{
    struct queue *q = w->queue;
    size_t n = HASH_COUNT(w->changes), i = 0;
    struct queue_change *list = work_alloc(w, (n + 1 + w->body_count) * sizeof *list);
    struct queue_key state_key = queue_key(q->shard, 'S');
    uint64_t digest = XXH3_64bits_withSeed(&w->entry, sizeof w->entry, q->state.digest);

    for (struct work_change *c = w->changes; c; c = c->hh.next) {
        digest = XXH3_64bits_withSeed(c->key.p, c->key.n, digest + c->is_delete);
        digest = XXH3_64bits_withSeed(c->value.p, c->value.n, digest);
        list[i++] =
            (struct queue_change){ .key = c->key, .value = c->value, .is_delete = c->is_delete };
    }
    CHECK(i == n);
    q->state.digest = digest;
    q->state.applied = w->entry;
    put_state(q, &q->scratch);
    list[i++] =
        (struct queue_change){ .key = queue_key_span(&state_key), .value = buf_span(&q->scratch) };
    for (struct work_body *b = w->bodies; b; b = b->next)
        list[i++] = (struct queue_change){ .key = b->key, .is_delete = true, .is_body = true };
    q->store->calls->write(q->store->self, list, i);
    tell_first(w);
    HASH_CLEAR(hh, w->changes);
    HASH_CLEAR(hh, w->messages);
}

void work_effect(struct work *w, const struct queue_effect *effect)
{
    struct queue *q = w->queue;

    if (!w->tell) return;
    if (q->effect_count == q->effect_cap) {
        q->effect_cap = q->effect_cap ? 2 * q->effect_cap : 64;
        q->effects = check_realloc(q->effects, q->effect_cap * sizeof *q->effects);
    }
    q->effects[q->effect_count++] = *effect;
}

void work_refuse(struct work *w, uint64_t index, uint32_t recipient, int error)
{
    work_effect(
        w, &(struct queue_effect){
               .kind = QUEUE_REFUSED, .index = index, .recipient = recipient, .error = error });
}
