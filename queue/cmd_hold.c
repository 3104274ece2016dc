/* cmd_hold - an operator stops recipients from being tried; one that is claimed is held after its
 * attempt. */
#include "queue/inside.h"

static bool hold_one(struct work *w, struct work_message *m, uint32_t number,
                     Angarium__RecipientRecord *r, ProtobufCBinaryData by)
{
    if (r->state == ANGARIUM__RECIPIENT_STATE__RECIPIENT_CLAIMED) {
        r->hold_wanted = true;
        recipient_save(w, m->index, number, r);
        return true;
    }
    if (r->state != ANGARIUM__RECIPIENT_STATE__RECIPIENT_WAITING) return false;
    recipient_move(w, m, number, r, ANGARIUM__RECIPIENT_STATE__RECIPIENT_HELD, 0);
    event_add(w, ANGARIUM__EVENT_TYPE__EVENT_HELD, m, number, r, NULL, by);
    return true;
}

void cmd_hold(struct work *w, const Angarium__Hold *c)
{
    w->time_ms = c->time_ms;
    w->node = c->node;
    recipient_each(w, c->index, c->recipients, c->n_recipients, hold_one, c->by);
}
