/* cmd_claim - attempts are about to begin: only who is waiting can be claimed, so nobody sends
 * twice (P2, Q8). */
#include "queue/inside.h"

static int claim_one(struct work *w, uint64_t index, uint32_t number, uint64_t node,
                     ProtobufCBinaryData host)
{
    Angarium__RecipientRecord *r = recipient_of(w, index, number);

    if (!r) return ERR_NOT_FOUND;
    if (r->state != ANGARIUM__RECIPIENT_STATE__RECIPIENT_WAITING) return ERR_BUSY;
    r->attempts++;
    r->claimed_at_ms = w->time_ms;
    r->claimed_by = node;
    r->claimed_host = host;
    recipient_move(w, message_handle(w, index), number, r,
                   ANGARIUM__RECIPIENT_STATE__RECIPIENT_CLAIMED, 0);
    return 0;
}

void cmd_claim(struct work *w, const Angarium__Claim *c)
{
    w->time_ms = c->time_ms;
    w->node = c->node;
    for (size_t i = 0; i < c->n_recipients; i++) {
        const Angarium__RecipientRef *ref = c->recipients[i];
        ProtobufCBinaryData host = ref->host ? c->hosts[ref->host - 1] : (ProtobufCBinaryData){ 0 };
        int rv = claim_one(w, ref->index, ref->recipient, c->node, host);

        if (rv != 0) work_refuse(w, ref->index, ref->recipient, rv);
    }
}
