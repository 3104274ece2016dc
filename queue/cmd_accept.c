/* cmd_accept - a whole mail: its message, its recipients, its body's liveness; P1 hangs on this
 * entry. */
#include "queue/inside.h"

/* The open upload that the command names holds exactly the chunks that it lists. */
static bool upload_matches(struct work *w, const Angarium__Accept *c, struct queue_key *key)
{
    Angarium__UploadRecord *u;
    struct span value;

    *key = queue_key(w->queue->shard, 'u');
    queue_key_bytes(key, proto_span(c->upload));
    if (!work_get(w, key, &value)) return false;
    u = work_unpack(w, &angarium__upload_record__descriptor, value);
    return u->n_chunks == c->n_chunks &&
           memcmp(u->chunks, c->chunks, c->n_chunks * sizeof *c->chunks) == 0;
}

/* One DSN tells of each: the first one that commits. */
static bool pay_bounce(struct work *w, const Angarium__Accept *c)
{
    struct work_message *of = message_of(w, c->bounce_of);

    if (!of || of->record->bounce_owed == 0) return false;
    return recipient_pay_bounces(w, of, c->told, c->n_told);
}

static void keep_bodies(struct work *w, const Angarium__Accept *c)
{
    if (c->n_chunks == 0) {
        body_keep(w, w->entry, w->entry);
        return;
    }
    for (size_t i = 0; i < c->n_chunks; i++)
        body_keep(w, c->chunks[i], w->entry);
}

static struct work_message *make_message(struct work *w, const Angarium__Accept *c)
{
    struct work_message *m = message_handle(w, w->entry);
    Angarium__MessageRecord *r = work_alloc(w, sizeof *r);

    angarium__message_record__init(r);
    r->accepted_at_ms = c->time_ms;
    r->mail_from = c->mail_from;
    r->recipient_count = (uint32_t)c->n_recipients;
    r->body = c->body;
    r->origin = c->origin;
    r->expires_at_ms = c->expires_at_ms;
    r->n_chunks = c->n_chunks;
    r->chunks = c->chunks;
    r->bounce_of = c->bounce_of;
    r->envid = c->envid;
    r->ret = c->ret;
    r->smtputf8 = c->smtputf8;
    r->body_type = c->body_type;
    r->n_tags = c->n_tags;
    r->tags = c->tags;
    r->hold_in_doubt = c->hold_in_doubt;
    m->record = r;
    m->is_read = m->is_changed = true;
    return m;
}

void cmd_accept(struct work *w, const Angarium__Accept *c)
{
    struct queue_key upload, pending = queue_key_1(w->queue->shard, 'p', w->entry);
    struct queue_counts *counts = &w->queue->state.counts;
    struct work_message *m;

    w->time_ms = c->time_ms;
    w->node = c->origin->node;
    if (w->queue->is_closed && c->bounce_of == 0) {
        work_refuse(w, w->entry, 0, ERR_CLOSED);
        return;
    }
    if (c->n_chunks > 0 && !upload_matches(w, c, &upload)) {
        work_refuse(w, w->entry, 0, ERR_NOT_FOUND);
        return;
    }
    if (c->bounce_of != 0 && !pay_bounce(w, c)) {
        work_refuse(w, w->entry, 0, ERR_EXISTS);
        return;
    }
    if (c->n_chunks > 0) {
        work_delete(w, &upload);
        counts->uploads--;
    }
    m = make_message(w, c);
    counts->messages++;
    counts->kept_messages++;
    counts->bytes += c->body->size;
    work_put(w, &pending, span_of("", 0));
    keep_bodies(w, c);
    for (uint32_t i = 0; i < c->n_recipients; i++)
        recipient_new(w, m, i, c->recipients[i]);
}
