/* cmd_cancel - an operator ends recipients; one that is claimed is cancelled after its attempt, if
 * that did not deliver it. */
#include "queue/inside.h"

static bool cancel_one(struct work *w, struct work_message *m, uint32_t number,
                       Angarium__RecipientRecord *r, ProtobufCBinaryData by)
{
    if (proto_state_is_terminal(r->state)) return false;
    if (r->state == ANGARIUM__RECIPIENT_STATE__RECIPIENT_CLAIMED) {
        r->cancel_wanted = true;
        recipient_save(w, m->index, number, r);
        return true;
    }
    recipient_move(w, m, number, r, ANGARIUM__RECIPIENT_STATE__RECIPIENT_CANCELLED, 0);
    event_add(w, ANGARIUM__EVENT_TYPE__EVENT_CANCELLED, m, number, r, NULL, by);
    return true;
}

void cmd_cancel(struct work *w, const Angarium__Cancel *c)
{
    w->time_ms = c->time_ms;
    w->node = c->node;
    recipient_each(w, c->index, c->recipients, c->n_recipients, cancel_one, c->by);
}
