/* recipient - one recipient of one message, and the only function that changes its state.
 *
 *   from \ to    waiting  claimed  held  delivered  bounced  expired  cancelled
 *   (new)           x                                                             cmd_accept
 *   waiting         x        x       x                 x        x         x       cmd_outcome
 * (deferred, bounced), _claim, _hold, _expire, _cancel claimed         x                        x
 * x                          cmd_outcome held            x x         x       cmd_release, _expire,
 * _cancel
 *
 * The others are terminal. A hold or cancel that is wanted while the recipient is claimed is done
 * by cmd_outcome, from waiting, after a deferral.
 */
#include "queue/inside.h"

#define WAITING    ANGARIUM__RECIPIENT_STATE__RECIPIENT_WAITING
#define CLAIMED    ANGARIUM__RECIPIENT_STATE__RECIPIENT_CLAIMED
#define HELD       ANGARIUM__RECIPIENT_STATE__RECIPIENT_HELD
#define DELIVERED  ANGARIUM__RECIPIENT_STATE__RECIPIENT_DELIVERED
#define BOUNCED    ANGARIUM__RECIPIENT_STATE__RECIPIENT_BOUNCED
#define EXPIRED    ANGARIUM__RECIPIENT_STATE__RECIPIENT_EXPIRED
#define CANCELLED  ANGARIUM__RECIPIENT_STATE__RECIPIENT_CANCELLED
#define SUPPRESSED ANGARIUM__RECIPIENT_STATE__RECIPIENT_SUPPRESSED
#define TO(state)  (1u << (state))

bool recipient_may_move(Angarium__RecipientState from, Angarium__RecipientState to)
{
    static const unsigned moves[] = {
        [WAITING] =
            TO(WAITING) | TO(CLAIMED) | TO(HELD) | TO(BOUNCED) | TO(EXPIRED) | TO(CANCELLED),
        [CLAIMED] = TO(WAITING) | TO(DELIVERED) | TO(BOUNCED),
        [HELD] = TO(WAITING) | TO(EXPIRED) | TO(CANCELLED),
    };

    return (unsigned)from <= HELD && (moves[from] & TO(to)) != 0;
}

Angarium__RecipientRecord *recipient_of(struct work *w, uint64_t index, uint32_t number)
{
    struct queue_key key = queue_key_ref(w->queue->shard, 'r', index, number);
    struct span value;

    if (!work_get(w, &key, &value)) return NULL;
    return work_unpack(w, &angarium__recipient_record__descriptor, value);
}

void recipient_save(struct work *w, uint64_t index, uint32_t number,
                    const Angarium__RecipientRecord *r)
{
    struct queue_key key = queue_key_ref(w->queue->shard, 'r', index, number);

    work_put_message(w, &key, &r->base);
}

static uint64_t *count_of(struct queue_counts *c, Angarium__RecipientState state)
{
    uint64_t *const counts[] = { &c->waiting, &c->claimed, &c->held,      &c->delivered,
                                 &c->bounced, &c->expired, &c->cancelled, &c->suppressed };

    CHECK((unsigned)state <= SUPPRESSED);
    return counts[state];
}

/* ---- indexes of the two states that have them */

static void enter_indexes(struct work *w, uint64_t index, uint32_t number,
                          const Angarium__RecipientRecord *r)
{
    uint32_t shard = w->queue->shard;
    struct queue_key key;

    if (r->state == CLAIMED) {
        key = queue_key_ref(shard, 'c', index, number);
        work_put(w, &key, span_of("", 0));
    } else if (r->state == WAITING) {
        key = queue_key_time(shard, r->due_at_ms, index, number);
        work_put(w, &key, proto_span(r->domain));
        key = queue_key_domain(shard, proto_span(r->domain), r->due_at_ms, index, number);
        work_put(w, &key, span_of("", 0));
        work_note_due(w, proto_span(r->domain), r->due_at_ms);
        work_effect(w, &(struct queue_effect){ .kind = QUEUE_DUE,
                                               .index = index,
                                               .recipient = number,
                                               .domain = proto_span(r->domain),
                                               .due_at_ms = r->due_at_ms });
    }
}

static void leave_indexes(struct work *w, uint64_t index, uint32_t number,
                          const Angarium__RecipientRecord *r)
{
    uint32_t shard = w->queue->shard;
    struct queue_key key;

    if (r->state == CLAIMED) {
        key = queue_key_ref(shard, 'c', index, number);
        work_delete(w, &key);
    } else if (r->state == WAITING) {
        key = queue_key_time(shard, r->due_at_ms, index, number);
        work_delete(w, &key);
        key = queue_key_domain(shard, proto_span(r->domain), r->due_at_ms, index, number);
        work_delete(w, &key);
    }
}

void recipient_new(struct work *w, struct work_message *m, uint32_t number,
                   const Angarium__Recipient *from)
{
    Angarium__RecipientRecord *r = work_alloc(w, sizeof *r);

    angarium__recipient_record__init(r);
    r->address = from->address;
    r->domain = from->domain;
    r->notify = from->notify;
    r->orcpt = from->orcpt;
    r->state = WAITING;
    r->due_at_ms = w->time_ms;
    w->queue->state.counts.waiting++;
    w->queue->state.counts.accepted++;
    m->record->pending_count++;
    enter_indexes(w, m->index, number, r);
    recipient_save(w, m->index, number, r);
    event_add(w, ANGARIUM__EVENT_TYPE__EVENT_ACCEPTED, m, number, r, NULL,
              (ProtobufCBinaryData){ 0 });
}

/* ---- debts */

static bool is_asked_for(const Angarium__RecipientRecord *r, uint32_t debt)
{
    switch (debt) {
    case PROTO_OWED_FAILED:
        return r->notify == 0 || (r->notify & PROTO_NOTIFY_FAILURE) != 0;
    case PROTO_OWED_DELAYED:
        return (r->notify & PROTO_NOTIFY_DELAY) != 0 && !r->delay_told;
    default:
        return (r->notify & PROTO_NOTIFY_SUCCESS) != 0;
    }
}

void recipient_owe(struct work *w, struct work_message *m, Angarium__RecipientRecord *r,
                   uint32_t debt)
{
    struct queue_key key = queue_key_1(w->queue->shard, 'b', m->index);

    if (m->record->mail_from.len == 0) return; /* never a bounce for a bounce (RFC 5321 4.5.5) */
    if (!is_asked_for(r, debt)) return;
    if (debt == PROTO_OWED_DELAYED) r->delay_told = true;
    if (r->bounce_owed == 0 && m->record->bounce_owed++ == 0) work_put(w, &key, span_of("", 0));
    r->bounce_owed |= debt;
    m->is_changed = true;
    work_effect(w, &(struct queue_effect){ .kind = QUEUE_BOUNCE, .index = m->index });
}

/* The caller saves the recipient. */
static void pay(struct work *w, struct work_message *m, Angarium__RecipientRecord *r,
                uint32_t debts)
{
    struct queue_key key = queue_key_1(w->queue->shard, 'b', m->index);

    if ((r->bounce_owed & debts) == 0) return;
    r->bounce_owed &= ~debts;
    m->is_changed = true;
    if (r->bounce_owed == 0 && --m->record->bounce_owed == 0) work_delete(w, &key);
}

static bool is_owed(struct work *w, const struct work_message *m, const Angarium__Told *t)
{
    const Angarium__RecipientRecord *r = recipient_of(w, m->index, t->recipient);

    return r && (r->bounce_owed & t->debts) == t->debts;
}

static void pay_one(struct work *w, struct work_message *m, uint32_t number, uint32_t debts)
{
    Angarium__RecipientRecord *r = recipient_of(w, m->index, number);

    CHECK(r);
    if (r->bounce_owed == 0) return;
    pay(w, m, r, debts);
    recipient_save(w, m->index, number, r);
}

bool recipient_pay_bounces(struct work *w, struct work_message *m, Angarium__Told *const *told,
                           size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!is_owed(w, m, told[i])) return false;
    for (size_t i = 0; i < n; i++)
        pay_one(w, m, told[i]->recipient, told[i]->debts);
    for (uint32_t i = 0; n == 0 && i < m->record->recipient_count; i++)
        pay_one(w, m, i, PROTO_OWED_ALL);
    return true;
}

/* ---- doubt (Q11) */

void recipient_doubt(struct work *w, const struct work_message *m, uint32_t number,
                     Angarium__RecipientRecord *r)
{
    struct queue_key key = queue_key_ref(w->queue->shard, 'i', m->index, number);
    struct queue_counts *c = &w->queue->state.counts;

    r->doubts++;
    c->in_doubt++;
    if (r->in_doubt_since_ms > 0) return;
    r->in_doubt_since_ms = w->time_ms > 0 ? w->time_ms : 1;
    c->in_doubt_now++;
    work_put(w, &key, span_of("", 0));
}

static void end_doubt(struct work *w, const struct work_message *m, uint32_t number,
                      Angarium__RecipientRecord *r)
{
    struct queue_key key = queue_key_ref(w->queue->shard, 'i', m->index, number);

    if (r->in_doubt_since_ms == 0) return;
    r->in_doubt_since_ms = 0;
    w->queue->state.counts.in_doubt_now--;
    work_delete(w, &key);
}

/* ---- moving */

static void end_pending(struct work *w, struct work_message *m, Angarium__RecipientRecord *r)
{
    struct queue_key pending = queue_key_1(w->queue->shard, 'p', m->index);
    struct queue_counts *c = &w->queue->state.counts;

    CHECK(m->record);
    r->finished_at_ms = w->time_ms;
    r->hold_wanted = r->cancel_wanted = false;
    m->is_changed = true;
    CHECK(m->record->pending_count > 0);
    if (--m->record->pending_count == 0) {
        work_delete(w, &pending);
        c->messages--;
        c->bytes -= m->record->body->size;
    }
    pay(w, m, r, PROTO_OWED_DELAYED); /* who hears of the end need not hear that it was late */
    if (r->state == BOUNCED || r->state == EXPIRED) recipient_owe(w, m, r, PROTO_OWED_FAILED);
}

void recipient_move(struct work *w, struct work_message *m, uint32_t number,
                    Angarium__RecipientRecord *r, Angarium__RecipientState to, uint64_t due_at_ms)
{
    struct queue_counts *c = &w->queue->state.counts;

    CHECK(recipient_may_move(r->state, to));
    leave_indexes(w, m->index, number, r);
    --*count_of(c, r->state);
    r->state = to;
    r->due_at_ms = to == WAITING ? due_at_ms : 0;
    ++*count_of(c, to);
    enter_indexes(w, m->index, number, r);
    if (proto_state_is_terminal(to)) {
        end_doubt(w, m, number, r);
        end_pending(w, m, r);
    }
    recipient_save(w, m->index, number, r);
}

void recipient_each(struct work *w, uint64_t index, const uint32_t *list, size_t n,
                    bool (*each)(struct work *w, struct work_message *m, uint32_t number,
                                 Angarium__RecipientRecord *r, ProtobufCBinaryData by),
                    ProtobufCBinaryData by)
{
    struct work_message *m = message_of(w, index);
    size_t count = n > 0 ? n : m ? m->record->recipient_count : 0;
    bool took = false;

    for (size_t i = 0; m && i < count; i++) {
        uint32_t number = n > 0 ? list[i] : (uint32_t)i;
        Angarium__RecipientRecord *r = recipient_of(w, index, number);

        took |= r && each(w, m, number, r, by);
    }
    if (!took) work_refuse(w, index, 0, ERR_NOT_FOUND);
}
