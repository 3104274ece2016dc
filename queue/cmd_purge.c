/* cmd_purge - what is over is forgotten: finished messages with their story, abandoned uploads.
 *
 * One command does a bounded part; what is left is found by the next one.
 */
#include "queue/inside.h"

#define PURGE_MESSAGES_MAX 4096
#define PURGE_UPLOADS_MAX  256
#define PURGE_CHANGES_MAX  32768 /* no further message is begun when so many records are to go */

struct found {
    uint64_t list[PURGE_MESSAGES_MAX];
    unsigned count, max;
    uint64_t before_ms;
};

static bool find_message(void *arg, struct span key, struct span value)
{
    struct found *f = arg;

    (void)value;
    if (f->count == f->max || queue_read_u64(key, 5) >= f->before_ms) return false;
    f->list[f->count++] = queue_read_u64(key, 13);
    return true;
}

static void purge_messages(struct work *w, const Angarium__Purge *c)
{
    struct found *f = work_alloc(w, sizeof *f);
    struct queue_store *store = w->queue->store;
    struct queue_key prefix = queue_key(w->queue->shard, 'f');

    f->max = c->limit < PURGE_MESSAGES_MAX ? c->limit : PURGE_MESSAGES_MAX;
    f->before_ms = c->before_ms;
    store->calls->each(store->self, queue_key_span(&prefix), queue_key_span(&prefix), false, f,
                       find_message);
    for (unsigned i = 0; i < f->count && work_change_count(w) < PURGE_CHANGES_MAX; i++)
        message_forget(w, f->list[i]);
}

static void drop_upload(struct work *w, struct span name)
{
    struct queue_key key = queue_key(w->queue->shard, 'u');
    Angarium__UploadRecord *u;
    struct span value;

    queue_key_bytes(&key, name);
    if (!work_get(w, &key, &value)) return;
    u = work_unpack(w, &angarium__upload_record__descriptor, value);
    for (size_t i = 0; i < u->n_chunks; i++)
        body_release(w, u->chunks[i]);
    work_delete(w, &key);
    w->queue->state.counts.uploads--;
}

struct old_uploads {
    struct work *work;
    struct span names[PURGE_UPLOADS_MAX];
    unsigned count;
    uint64_t before_ms;
};

/* Chunk lists are long and uploads may be many: each is freed at once. */
static bool find_upload(void *arg, struct span key, struct span value)
{
    struct old_uploads *o = arg;
    Angarium__UploadRecord *u = angarium__upload_record__unpack(NULL, value.n, value.p);

    if (!u) check_last_word("the queue's store is damaged", "decode", "UploadRecord");
    if (u->last_at_ms < o->before_ms)
        o->names[o->count++] = arena_dup(&o->work->queue->arena, span_from(key, 5));
    angarium__upload_record__free_unpacked(u, NULL);
    return o->count < PURGE_UPLOADS_MAX;
}

static void purge_uploads(struct work *w, uint64_t before_ms)
{
    struct old_uploads o = { .work = w, .before_ms = before_ms };
    struct queue_store *store = w->queue->store;
    struct queue_key prefix = queue_key(w->queue->shard, 'u');

    if (before_ms == 0) return;
    store->calls->each(store->self, queue_key_span(&prefix), queue_key_span(&prefix), false, &o,
                       find_upload);
    for (unsigned i = 0; i < o.count; i++)
        drop_upload(w, o.names[i]);
}

void cmd_purge(struct work *w, const Angarium__Purge *c)
{
    w->time_ms = c->time_ms;
    if (c->upload.len > 0) drop_upload(w, proto_span(c->upload));
    purge_uploads(w, c->uploads_before_ms);
    purge_messages(w, c);
}
