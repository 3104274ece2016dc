/* cmd_outcome - what became of attempts, recipient by recipient.
 *
 *   result      from                to                         event
 *   DELIVERED   claimed             delivered (and who asked   delivered
 *                                   is owed a confirmation, where the next hop gives none)
 *   BOUNCED     claimed, waiting    bounced (owes a bounce)    bounced
 *   DEFERRED    claimed, waiting    waiting, due later (owes   deferred
 *                                   a notice of delay when the leader says it is late)
 *   IN_DOUBT    claimed             waiting, due later         in_doubt      (P4)
 *                                   held, if its tenant wants  in_doubt, held
 *
 * A doubt lasts until the recipient's end: what is tried again may arrive a second time.
 * A hold or cancel that came while the recipient was claimed is done when the attempt left it
 * pending.
 */
#include "queue/inside.h"

static bool may(Angarium__Result result, Angarium__RecipientState state)
{
    bool claimed = state == ANGARIUM__RECIPIENT_STATE__RECIPIENT_CLAIMED;
    bool waiting = state == ANGARIUM__RECIPIENT_STATE__RECIPIENT_WAITING;

    if (result == ANGARIUM__RESULT__RESULT_DELIVERED || result == ANGARIUM__RESULT__RESULT_IN_DOUBT)
        return claimed;
    return claimed || waiting;
}

static void note_reply(Angarium__RecipientRecord *r, const Angarium__RecipientOutcome *o)
{
    r->last_reply = o->reply;
    r->last_host = o->remote_host;
    r->class_ = o->class_;
}

/* Held by its tenant's policy: nobody sends it again before an operator says so. */
static void hold_doubt(struct work *w, struct work_message *m, Angarium__RecipientRecord *r,
                       const Angarium__RecipientOutcome *o)
{
    Angarium__RecipientOutcome why = ANGARIUM__RECIPIENT_OUTCOME__INIT;

    why.remote_host = o->remote_host;
    why.remote_address = o->remote_address;
    why.class_ = proto_bytes(SPAN_LIT("in_doubt"));
    event_add(w, ANGARIUM__EVENT_TYPE__EVENT_HELD, m, o->recipient, r, &why,
              (ProtobufCBinaryData){ 0 });
}

/* Back to waiting, with the events that explain it; then what was asked for meanwhile. */
static void put_back(struct work *w, struct work_message *m, Angarium__RecipientRecord *r,
                     const Angarium__RecipientOutcome *o)
{
    bool in_doubt = o->result == ANGARIUM__RESULT__RESULT_IN_DOUBT;
    bool hold = r->hold_wanted, cancel = r->cancel_wanted;

    if (in_doubt) recipient_doubt(w, m, o->recipient, r);
    r->hold_wanted = r->cancel_wanted = false;
    if (o->is_late) recipient_owe(w, m, r, PROTO_OWED_DELAYED);
    recipient_move(w, m, o->recipient, r, ANGARIUM__RECIPIENT_STATE__RECIPIENT_WAITING,
                   o->next_attempt_at_ms);
    event_add(
        w, in_doubt ? ANGARIUM__EVENT_TYPE__EVENT_IN_DOUBT : ANGARIUM__EVENT_TYPE__EVENT_DEFERRED,
        m, o->recipient, r, o, (ProtobufCBinaryData){ 0 });
    if (cancel) {
        recipient_move(w, m, o->recipient, r, ANGARIUM__RECIPIENT_STATE__RECIPIENT_CANCELLED, 0);
        event_add(w, ANGARIUM__EVENT_TYPE__EVENT_CANCELLED, m, o->recipient, r, NULL,
                  (ProtobufCBinaryData){ 0 });
    } else if (hold || (in_doubt && m->record->hold_in_doubt)) {
        recipient_move(w, m, o->recipient, r, ANGARIUM__RECIPIENT_STATE__RECIPIENT_HELD, 0);
        if (hold)
            event_add(w, ANGARIUM__EVENT_TYPE__EVENT_HELD, m, o->recipient, r, NULL,
                      (ProtobufCBinaryData){ 0 });
        else
            hold_doubt(w, m, r, o);
    }
}

/* Somebody asked to hear of success, and the next hop will not tell. */
static void confirm(struct work *w, struct work_message *m, Angarium__RecipientRecord *r,
                    const Angarium__RecipientOutcome *o)
{
    static const uint32_t debts[] = { [PROTO_CONFIRM_RELAYED] = PROTO_OWED_RELAYED,
                                      [PROTO_CONFIRM_DELIVERED] = PROTO_OWED_DELIVERED };

    if (o->confirm == 0) return;
    recipient_owe(w, m, r, debts[o->confirm]);
    recipient_save(w, o->index, o->recipient, r);
}

/* Who takes over does not know where its predecessor's attempts went: their claims do. */
static void name_host(Angarium__RecipientOutcome *o, Angarium__RecipientRecord *r)
{
    if (o->result == ANGARIUM__RESULT__RESULT_IN_DOUBT && o->remote_host.len == 0)
        o->remote_host = r->claimed_host;
    r->claimed_host = (ProtobufCBinaryData){ 0 };
}

static int outcome_one(struct work *w, Angarium__RecipientOutcome *o)
{
    struct work_message *m = message_of(w, o->index);
    Angarium__RecipientRecord *r = m ? recipient_of(w, o->index, o->recipient) : NULL;

    if (!r) return ERR_NOT_FOUND;
    if (!may(o->result, r->state)) return ERR_BUSY;
    if (r->state == ANGARIUM__RECIPIENT_STATE__RECIPIENT_WAITING && o->counts) r->attempts++;
    name_host(o, r);
    note_reply(r, o);
    switch (o->result) {
    case ANGARIUM__RESULT__RESULT_DELIVERED:
        recipient_move(w, m, o->recipient, r, ANGARIUM__RECIPIENT_STATE__RECIPIENT_DELIVERED, 0);
        confirm(w, m, r, o);
        event_add(w, ANGARIUM__EVENT_TYPE__EVENT_DELIVERED, m, o->recipient, r, o,
                  (ProtobufCBinaryData){ 0 });
        return 0;
    case ANGARIUM__RESULT__RESULT_BOUNCED:
        recipient_move(w, m, o->recipient, r, ANGARIUM__RECIPIENT_STATE__RECIPIENT_BOUNCED, 0);
        event_add(w, ANGARIUM__EVENT_TYPE__EVENT_BOUNCED, m, o->recipient, r, o,
                  (ProtobufCBinaryData){ 0 });
        return 0;
    default: /* checked when it was decoded: DEFERRED or IN_DOUBT */
        put_back(w, m, r, o);
        return 0;
    }
}

void cmd_outcome(struct work *w, const Angarium__Outcome *c)
{
    w->time_ms = c->time_ms;
    w->node = c->node;
    for (size_t i = 0; i < c->n_recipients; i++) {
        int rv = outcome_one(w, c->recipients[i]);

        if (rv != 0) work_refuse(w, c->recipients[i]->index, c->recipients[i]->recipient, rv);
    }
}
