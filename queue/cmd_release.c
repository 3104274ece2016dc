/* cmd_release - held recipients are due again at once; a hold that waits for an attempt's end is
 * taken back. */
#include "queue/inside.h"

static bool release_one(struct work *w, struct work_message *m, uint32_t number,
                        Angarium__RecipientRecord *r, ProtobufCBinaryData by)
{
    if (r->state == ANGARIUM__RECIPIENT_STATE__RECIPIENT_CLAIMED && r->hold_wanted) {
        r->hold_wanted = false;
        recipient_save(w, m->index, number, r);
        return true;
    }
    if (r->state != ANGARIUM__RECIPIENT_STATE__RECIPIENT_HELD) return false;
    recipient_move(w, m, number, r, ANGARIUM__RECIPIENT_STATE__RECIPIENT_WAITING, w->time_ms);
    event_add(w, ANGARIUM__EVENT_TYPE__EVENT_RELEASED, m, number, r, NULL, by);
    return true;
}

void cmd_release(struct work *w, const Angarium__Release *c)
{
    w->time_ms = c->time_ms;
    w->node = c->node;
    recipient_each(w, c->index, c->recipients, c->n_recipients, release_one, c->by);
}
