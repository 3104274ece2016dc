/* cmd_chunk - a piece of a body whose mail is not there yet; kept until the mail names it or a
 * purge drops it. */
#include "queue/inside.h"

void cmd_chunk(struct work *w, const Angarium__Chunk *c)
{
    Angarium__UploadRecord fresh = ANGARIUM__UPLOAD_RECORD__INIT, *u = &fresh;
    struct queue_key key = queue_key(w->queue->shard, 'u');
    uint64_t *chunks;
    struct span value;

    w->time_ms = c->time_ms;
    queue_key_bytes(&key, proto_span(c->upload));
    if (work_get(w, &key, &value)) u = work_unpack(w, &angarium__upload_record__descriptor, value);
    if (c->number != u->n_chunks || c->number >= PROTO_CHUNKS_MAX) {
        work_refuse(w, w->entry, 0, ERR_NOT_FOUND);
        return;
    }
    if (u->n_chunks == 0) w->queue->state.counts.uploads++;
    chunks = work_alloc(w, (u->n_chunks + 1) * sizeof *chunks);
    if (u->n_chunks > 0) memcpy(chunks, u->chunks, u->n_chunks * sizeof *chunks);
    chunks[u->n_chunks++] = w->entry;
    u->chunks = chunks;
    u->size += w->body_size;
    u->last_at_ms = c->time_ms;
    work_put_message(w, &key, &u->base);
    body_keep(w, w->entry, 0);
}
