/* cmd_expire - recipients whose time is over; the leader lists them, the queue looks at its own
 * clock: the command's time against the message's. */
#include "queue/inside.h"

static int expire_one(struct work *w, uint64_t index, uint32_t number)
{
    struct work_message *m = message_of(w, index);
    Angarium__RecipientRecord *r = m ? recipient_of(w, index, number) : NULL;

    if (!r) return ERR_NOT_FOUND;
    if (m->record->expires_at_ms > w->time_ms) return ERR_AGAIN;
    if (r->state != ANGARIUM__RECIPIENT_STATE__RECIPIENT_WAITING &&
        r->state != ANGARIUM__RECIPIENT_STATE__RECIPIENT_HELD)
        return ERR_BUSY;
    recipient_move(w, m, number, r, ANGARIUM__RECIPIENT_STATE__RECIPIENT_EXPIRED, 0);
    event_add(w, ANGARIUM__EVENT_TYPE__EVENT_EXPIRED, m, number, r, NULL,
              (ProtobufCBinaryData){ 0 });
    return 0;
}

void cmd_expire(struct work *w, const Angarium__Expire *c)
{
    w->time_ms = c->time_ms;
    w->node = c->node;
    for (size_t i = 0; i < c->n_recipients; i++) {
        int rv = expire_one(w, c->recipients[i]->index, c->recipients[i]->recipient);

        if (rv != 0) work_refuse(w, c->recipients[i]->index, c->recipients[i]->recipient, rv);
    }
}
