/* notice - what a DSN says of a message: which recipients, why, and how much of the original (RFC 3461 6.2, RFC 3464).
 *
 * A recipient is told of once for each debt. RET=FULL returns the whole message when one of them failed and it is
 * not over EMIT_DSN_RETURN_MAX; else its header is enough (RFC 3461 4.3). Recipients go in as long as there is
 * room for all that can be said of them; those left over are told of by the next DSN.
 */
#include <stdio.h>

#include "node/emit/inside.h"
#include "proto/ground/base32.h"

/* ---- recipients */

static enum mail_dsn_action action_of(uint32_t debts)
{
    if (debts & PROTO_OWED_FAILED) return MAIL_DSN_FAILED;
    if (debts & PROTO_OWED_DELAYED) return MAIL_DSN_DELAYED;
    return debts & PROTO_OWED_RELAYED ? MAIL_DSN_RELAYED : MAIL_DSN_DELIVERED;
}

static const char *reason_of(const Angarium__RecipientRecord *r, enum mail_dsn_action action)
{
    if (action == MAIL_DSN_DELAYED) return "No attempt has succeeded yet.";
    if (action == MAIL_DSN_RELAYED) return "The message was handed on.";
    if (action == MAIL_DSN_DELIVERED) return "The message was delivered.";
    if (r->state == ANGARIUM__RECIPIENT_STATE__RECIPIENT_EXPIRED)
        return "The message could not be delivered before it expired.";
    return "The message could not be delivered.";
}

static void fill_recipient(struct mail_dsn_recipient *to, const Angarium__RecipientRecord *r,
                           uint64_t now_ms)
{
    bool has_reply = r->last_reply && r->last_reply->code > 0;
    bool expired = r->state == ANGARIUM__RECIPIENT_STATE__RECIPIENT_EXPIRED;
    enum mail_dsn_action action = action_of(r->bounce_owed);

    *to = (struct mail_dsn_recipient){
        .address = proto_span(r->address),
        .orcpt = proto_span(r->orcpt),
        .action = action,
        .remote_host = proto_span(r->last_host),
        .reason = span_cstr(reason_of(r, action)),
        .last_attempt_ms = r->finished_at_ms > 0 ? r->finished_at_ms : now_ms,
    };
    if (r->last_reply) {
        to->code = r->last_reply->code;
        to->reply_text = proto_span(r->last_reply->text);
        to->status = proto_span(r->last_reply->enhanced);
        if (!has_reply && to->reply_text.n > 0) to->reason = to->reply_text;
    }
    if (expired) to->status = SPAN_LIT("5.4.7"); /* RFC 3463 3.5: delivery time expired */
}

/* More than is ever printed of it: words and machine-readable part. */
static size_t room_of(const Angarium__RecipientRecord *r)
{
    size_t words = r->last_reply ? r->last_reply->text.len + r->last_reply->enhanced.len : 0;

    return 1024 + 3 * r->address.len + r->orcpt.len + 2 * r->last_host.len + words * 5 / 2;
}

static bool has_utf8(struct span s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] > 0x7f) return true;
    return false;
}

static void add(struct notice *n, Angarium__RecipientRecord *r, uint32_t number, uint64_t now_ms)
{
    Angarium__Told *t = &n->told[n->count];

    angarium__told__init(t);
    t->recipient = number;
    t->debts = r->bounce_owed;
    n->told_list[n->count] = t;
    n->debts |= r->bounce_owed;
    n->is_utf8 |= has_utf8(proto_span(r->address));
    fill_recipient(&n->list[n->count], r, now_ms);
    n->records[n->count++] = r;
}

/* Those of whom something is owed, as long as there is room. */
static void gather(struct notice *n, struct emit *e, uint32_t shard, uint64_t index,
                   const Angarium__MessageRecord *m, size_t room)
{
    struct queue_store *store = commit_store(e->o.commit);

    for (uint32_t i = 0; i < m->recipient_count && n->count < EMIT_DSN_RECIPIENTS_MAX; i++) {
        Angarium__RecipientRecord *r = NULL;

        if (queue_recipient_get(store, shard, index, i, &r) != 0) continue;
        if (r->bounce_owed == 0 || (n->count > 0 && room_of(r) > room)) {
            queue_recipient_free(&r);
            continue;
        }
        room -= room_of(r) < room ? room_of(r) : room;
        add(n, r, i, loop_wall_ms(e->o.loop));
    }
}

/* ---- the original */

static bool returns_all(const struct notice *n, const Angarium__MessageRecord *m,
                        struct span original)
{
    return m->ret == PROTO_RET_FULL && (n->debts & PROTO_OWED_FAILED) != 0 && m->n_chunks == 0 &&
           m->body_type != PROTO_BODY_BINARYMIME && original.n == m->body->size &&
           original.n <= EMIT_DSN_RETURN_MAX;
}

static struct span header_of(const Angarium__MessageRecord *m, struct span original)
{
    if (original.n > m->body->header_size) original.n = m->body->header_size;
    return original;
}

bool notice_print(struct notice *n, struct emit *e, uint32_t shard, uint64_t index,
                  const Angarium__MessageRecord *m, struct span original, struct buf *out)
{
    uint64_t now_ms = loop_wall_ms(e->o.loop);
    char of[BASE32_SIZE], boundary[64], message_id[384];
    bool all;

    *n = (struct notice){ .is_utf8 = has_utf8(proto_span(m->mail_from)) };
    gather(n, e, shard, index, m,
           EMIT_DSN_SIZE_MAX - EMIT_DSN_RETURN_MAX - MAIL_DSN_FRAME_SIZE_MAX);
    if (n->count == 0) return false;
    all = returns_all(n, m, original);
    n->is_utf8 |= m->smtputf8 && m->body->eight_bit_header;
    base32_print(proto_id(shard, index), of);
    snprintf(boundary, sizeof boundary, "=_%s_%llx", of, (unsigned long long)now_ms);
    snprintf(message_id, sizeof message_id, "<%s.%llx@%s>", of, (unsigned long long)now_ms,
             e->o.hostname);
    mail_dsn_print(out, &(struct mail_dsn){ .hostname = span_cstr(e->o.hostname),
                                            .to = proto_span(m->mail_from),
                                            .boundary = boundary,
                                            .message_id = message_id,
                                            .time_ms = now_ms,
                                            .arrival_ms = m->accepted_at_ms,
                                            .retry_until_ms = m->expires_at_ms,
                                            .original_id = of,
                                            .envid = proto_span(m->envid),
                                            .recipients = n->list,
                                            .recipient_count = n->count,
                                            .original = all ? original : header_of(m, original),
                                            .returns_all = all,
                                            .eight_bit = m->body->eight_bit_header ||
                                                         (all && m->body->eight_bit),
                                            .utf8 = n->is_utf8 });
    for (unsigned i = 0; i < n->count; i++)
        queue_recipient_free(&n->records[i]);
    return true;
}
