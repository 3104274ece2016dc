/* event - facts of a recipient's story: stored once under the entry that made them, and listed by
 * message. */
#include "queue/inside.h"

void event_add(struct work *w, Angarium__EventType type, const struct work_message *m,
               uint32_t number, const Angarium__RecipientRecord *r,
               const Angarium__RecipientOutcome *o, ProtobufCBinaryData by)
{
    struct queue *q = w->queue;
    Angarium__Event *e = work_alloc(w, sizeof *e);
    uint32_t event_number = w->event_count++;
    struct queue_key key;

    angarium__event__init(e);
    e->type = type;
    e->time_ms = w->time_ms;
    e->index = m->index;
    e->recipient_number = number;
    e->recipient = r->address;
    e->tenant = m->record->origin->tenant;
    e->node = w->node;
    e->by = by;
    if (type == ANGARIUM__EVENT_TYPE__EVENT_ACCEPTED) {
        e->mail_from = m->record->mail_from;
        e->size = m->record->body->size;
    } else {
        e->attempt = r->attempts;
    }
    if (o) {
        e->remote_host = o->remote_host;
        e->remote_address = o->remote_address;
        e->source_address = o->source_address;
        e->tls = o->tls;
        e->reply = o->reply;
        e->class_ = o->class_;
        e->next_attempt_at_ms = r->due_at_ms;
    }
    key = queue_key_ref(q->shard, 'e', w->entry, event_number);
    work_put_message(w, &key, &e->base);
    key = queue_key_story(q->shard, m->index, w->entry, event_number);
    work_put(w, &key, span_of("", 0));
    q->state.counts.kept_events++;
    work_effect(w, &(struct queue_effect){ .kind = QUEUE_EVENT,
                                           .index = m->index,
                                           .recipient = number,
                                           .number = event_number,
                                           .event = e });
}
