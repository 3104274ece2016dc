/* message - the record of a message while a command works on it; its end; its being forgotten. */
#include "queue/inside.h"

struct work_message *message_handle(struct work *w, uint64_t index)
{
    struct work_message *m;

    HASH_FIND(hh, w->messages, &index, sizeof index, m);
    if (m) return m;
    m = work_alloc(w, sizeof *m);
    m->index = index;
    HASH_ADD(hh, w->messages, index, sizeof m->index, m);
    return m;
}

struct work_message *message_of(struct work *w, uint64_t index)
{
    struct queue_key key = queue_key_1(w->queue->shard, 'm', index);
    struct work_message *m = message_handle(w, index);
    struct span value;

    if (!m->is_read && work_get(w, &key, &value))
        m->record = work_unpack(w, &angarium__message_record__descriptor, value);
    m->is_read = true;
    return m->record ? m : NULL;
}

static void release_bodies(struct work *w, struct work_message *m)
{
    const Angarium__MessageRecord *r = m->record;

    if (r->n_chunks == 0) body_release(w, m->index);
    for (size_t i = 0; i < r->n_chunks; i++)
        body_release(w, r->chunks[i]);
}

static void finish(struct work *w, struct work_message *m)
{
    struct queue_key key;

    CHECK(!m->record->body_gone);
    release_bodies(w, m);
    m->record->body_gone = true;
    m->record->finished_at_ms = w->time_ms;
    key = queue_key_1(w->queue->shard, 'f', w->time_ms);
    queue_key_u64(&key, m->index);
    work_put(w, &key, span_of("", 0));
}

void message_settle_all(struct work *w)
{
    for (struct work_message *m = w->messages; m; m = m->hh.next) {
        struct queue_key key = queue_key_1(w->queue->shard, 'm', m->index);

        if (!m->record || !m->is_changed) continue;
        if (m->record->pending_count == 0 && m->record->bounce_owed == 0) finish(w, m);
        work_put_message(w, &key, &m->record->base);
    }
}

/* ---- forgetting */

struct story {
    struct work *work;
    uint64_t index;
};

static bool forget_event(void *arg, struct span key, struct span value)
{
    struct story *s = arg;
    struct work *w = s->work;
    uint64_t entry = queue_read_u64(key, 13);
    uint32_t number = queue_read_u32(key, 21);
    struct queue_key story = queue_key_story(w->queue->shard, s->index, entry, number);
    struct queue_key event = queue_key_ref(w->queue->shard, 'e', entry, number);

    (void)value;
    work_delete(w, &story);
    work_delete(w, &event);
    w->queue->state.counts.kept_events--;
    return true;
}

void message_forget(struct work *w, uint64_t index)
{
    struct work_message *m = message_of(w, index);
    struct queue_store *store = w->queue->store;
    struct story story = { w, index };
    struct queue_key key, prefix = queue_key_1(w->queue->shard, 's', index);

    CHECK(m && m->record->body_gone);
    key = queue_key_1(w->queue->shard, 'f', m->record->finished_at_ms);
    queue_key_u64(&key, index);
    work_delete(w, &key);
    for (uint32_t i = 0; i < m->record->recipient_count; i++) {
        key = queue_key_ref(w->queue->shard, 'r', index, i);
        work_delete(w, &key);
    }
    store->calls->each(store->self, queue_key_span(&prefix), queue_key_span(&prefix), false, &story,
                       forget_event);
    key = queue_key_1(w->queue->shard, 'm', index);
    work_delete(w, &key);
    m->record = NULL;
    w->queue->state.counts.kept_messages--;
}
