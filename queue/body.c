/* body - which entries' bodies are still needed, and the ones that were moved out of the log.
 *
 * Young bodies were never moved, so their end costs no delete: only entries up to `moved_upto` are
 * forgotten in the store. That number is known from queue_set_moved while the node runs; over a
 * restart it is kept beside the bodies, written together with them, so that also a replay that
 * comes before queue_set_moved forgets them.
 */
#include "queue/inside.h"

void body_keep(struct work *w, uint64_t entry, uint64_t owner)
{
    struct queue_key key = queue_key_1(w->queue->shard, 'l', entry), value = { .n = 0 };

    queue_key_u64(&value, owner);
    work_put(w, &key, queue_key_span(&value));
}

void body_release(struct work *w, uint64_t entry)
{
    struct queue *q = w->queue;
    struct queue_key key = queue_key_1(q->shard, 'l', entry);

    work_delete(w, &key);
    if (entry <= q->moved_upto) work_forget_body(w, entry);
    work_effect(w, &(struct queue_effect){ .kind = QUEUE_BODY_GONE, .index = entry });
}

struct queue_key body_key(uint32_t shard, uint64_t entry)
{
    return queue_key_1(shard, 'B', entry);
}

uint64_t queue_moved_upto(struct queue_store *s, uint32_t shard)
{
    struct queue_key key = queue_key(shard, 'M');
    struct blob *value = NULL;
    uint64_t upto = 0;

    if (s->calls->body_get(s->self, queue_key_span(&key), &value) != 0) return 0;
    if (value->n == 8) upto = queue_read_u64(blob_span(value), 0);
    blob_unref(&value);
    return upto;
}

void queue_body_move(struct queue_store *s, uint32_t shard, uint64_t entry, struct span body,
                     uint64_t *upto)
{
    struct queue_key key = body_key(shard, entry), upto_key = queue_key(shard, 'M'),
                     value = { .n = 0 };
    bool grows = entry > *upto;
    struct queue_change changes[2] = {
        { .key = queue_key_span(&key), .value = body, .is_body = true },
        { .key = queue_key_span(&upto_key), .is_body = true },
    };

    queue_key_u64(&value, entry);
    changes[1].value = queue_key_span(&value);
    s->calls->write(s->self, changes, grows ? 2 : 1);
    if (grows) *upto = entry;
}

void queue_body_put(struct queue_store *s, uint32_t shard, uint64_t entry, struct span body)
{
    uint64_t upto = queue_moved_upto(s, shard);

    queue_body_move(s, shard, entry, body, &upto);
}

int queue_body_get(struct queue_store *s, uint32_t shard, uint64_t entry, struct blob **out)
{
    struct queue_key key = body_key(shard, entry);

    return s->calls->body_get(s->self, queue_key_span(&key), out);
}

void queue_body_forget(struct queue_store *s, uint32_t shard, uint64_t entry)
{
    struct queue_key key = body_key(shard, entry);
    struct queue_change change = { .key = queue_key_span(&key),
                                   .is_delete = true,
                                   .is_body = true };

    s->calls->write(s->self, &change, 1);
}

void queue_set_moved(struct queue *q, uint64_t upto)
{
    if (upto > q->moved_upto) q->moved_upto = upto;
}
