/* delivery - recipients of one message on their way together: claim, verdicts, end.
 *
 *     claim:  NONE -> ASKED -> DONE | FAILED
 *
 * A delivery ends when the remote's part is over and the claim, if one was asked for, is known. An
 * outcome that says what a remote did needs a claim that has committed (D3); what is decided
 * without a remote (no such domain, no host reached) does not. A claim that fails, or that refuses
 * a recipient, ends the delivery before its dot: dot_try() is asked again only from here.
 *
 * Call-backs that cannot be taken back (claim, body, file) are pins: the memory stays until the
 * last has come, also when the lane, or deliver itself, is gone by then.
 */
#include "node/deliver/inside.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "node/mail/content.h"
#include "node/smtp/address.h"

#define ARENA_MAX      (2u << 20)
#define TRACE_SIZE_MAX (16u << 10) /* Received, a field for each tag, what the header lacks */

/* ---- life */

static struct delivery *take_spare(struct deliver *d)
{
    struct list *it = list_take_first(&d->spare);
    struct delivery *y;

    if (!it) {
        y = check_calloc(1, sizeof *y);
        arena_init(&y->arena, ARENA_MAX);
        buf_init(&y->trace, TRACE_SIZE_MAX);
        return y;
    }
    d->spare_count--;
    y = CONTAINER_OF(it, struct delivery, link);
    arena_reset(&y->arena);
    buf_reset(&y->trace);
    *y = (struct delivery){ .arena = y->arena, .trace = y->trace };
    return y;
}

struct delivery *delivery_new(struct lane *l, uint64_t index, Angarium__MessageRecord *message,
                              unsigned count)
{
    struct delivery *y = take_spare(l->d);

    y->d = l->d;
    y->lane = l;
    y->shard = l->shard;
    y->index = index;
    y->message = message;
    y->count = count;
    base32_print(proto_id(l->shard, index), y->id);
    y->list = arena_alloc(&y->arena, count * sizeof *y->list);
    CHECK(y->list);
    list_init(&y->link);
    list_init(&y->lane_link);
    list_add(&l->deliveries, &y->lane_link);
    list_add(&l->d->deliveries, &y->link);
    return y;
}

static void destroy(struct delivery *y)
{
    list_remove(&y->link);
    arena_deinit(&y->arena);
    buf_deinit(&y->trace);
    free(y);
}

static void recycle(struct delivery *y)
{
    struct deliver *d = y->d;

    if (d->spare_count >= DELIVER_SPARE_MAX) {
        destroy(y);
        return;
    }
    list_remove(&y->link);
    list_add_first(&d->spare, &y->link);
    d->spare_count++;
}

/* What was not claimed still stands in the due index until its outcome is applied: it stays in the
 * air so long. */
static void leave_air(struct delivery *y)
{
    for (unsigned i = 0; i < y->count; i++) {
        struct air *a = &y->list[i].air;
        bool awaits = a->is_in && y->is_told && y->claim_state != CLAIM_DONE;

        air_remove(y->d, a);
        if (awaits) air_await(y->d, a->key);
    }
}

static void let_go(struct delivery *y)
{
    leave_air(y);
    for (unsigned i = 0; i < y->count; i++)
        queue_recipient_free(&y->list[i].record);
    queue_message_free(&y->message);
    blob_unref(&y->blob);
    inbox_over(y);
    mail_downgrade_free(&y->downgrade);
    list_remove(&y->lane_link);
    y->is_closed = true;
}

void delivery_close(struct delivery *y)
{
    struct lane *l = y->lane;

    CHECK(!y->c && !y->is_closed);
    let_go(y);
    y->lane = NULL;
    if (y->pins == 0) recycle(y);
    lane_delivery_over(l);
}

void delivery_pin(struct delivery *y)
{
    y->pins++;
}

bool delivery_unpin(struct delivery *y)
{
    CHECK(y->pins > 0);
    y->pins--;
    if (!y->is_closed) return true;
    if (y->pins > 0) return false;
    if (y->d)
        recycle(y);
    else
        destroy(y);
    return false;
}

void delivery_detach_all(struct deliver *d)
{
    struct list *it;

    while ((it = list_take_first(&d->deliveries)) != NULL) {
        struct delivery *y = CONTAINER_OF(it, struct delivery, link);

        if (!y->is_closed) let_go(y);
        y->d = NULL;
        if (y->pins == 0) destroy(y);
    }
    while ((it = list_take_first(&d->spare)) != NULL)
        destroy(CONTAINER_OF(it, struct delivery, link));
}

/* ---- verdicts */

struct verdict *delivery_verdict(struct delivery *y)
{
    struct verdict *v = arena_alloc(&y->arena, sizeof *v);

    CHECK(v);
    v->counts = true;
    return v;
}

struct verdict *delivery_words(struct delivery *y, Angarium__Result result, const char *class,
                               const char *fmt, ...)
{
    struct verdict *v = delivery_verdict(y);
    va_list args;

    v->result = result;
    snprintf(v->class, sizeof v->class, "%s", class);
    va_start(args, fmt);
    vsnprintf(v->text, sizeof v->text, fmt, args);
    va_end(args);
    return v;
}

static Angarium__Result result_of(enum router_verdict verdict)
{
    switch (verdict) {
    case ROUTER_DELIVERED:
        return ANGARIUM__RESULT__RESULT_DELIVERED;
    case ROUTER_LATER:
        return ANGARIUM__RESULT__RESULT_DEFERRED;
    case ROUTER_NEVER:
        return ANGARIUM__RESULT__RESULT_BOUNCED;
    }
    UNREACHED();
}

void verdict_reply(const struct deliver *d, struct verdict *v, enum router_stage stage,
                   const struct smtp_reply *r, struct router_meaning *meaning)
{
    router_classify(stage, r->code, r->enhanced, r->text, meaning);
    *v = (struct verdict){ .result = result_of(meaning->verdict), .code = r->code, .counts = true };
    snprintf(v->enhanced, sizeof v->enhanced, "%s", r->enhanced);
    snprintf(v->class, sizeof v->class, "%s", meaning->class);
    snprintf(v->text, sizeof v->text, "%s", r->text);
    if (meaning->verdict == ROUTER_LATER)
        v->hint_ms = router_hint_ms(r->code, r->enhanced, r->text, deliver_wall_ms(d));
}

struct verdict *delivery_reply(struct delivery *y, enum router_stage stage,
                               const struct smtp_reply *r, struct router_meaning *meaning)
{
    struct verdict *v = delivery_verdict(y);

    verdict_reply(y->d, v, stage, r, meaning);
    return v;
}

void delivery_judge(struct delivery *y, const struct verdict *v)
{
    for (unsigned i = 0; i < y->count; i++)
        if (!y->list[i].verdict) y->list[i].verdict = v;
}

/* ---- the claim */

static bool any_refused(const struct delivery *y)
{
    for (unsigned i = 0; i < y->count; i++)
        if (y->claim.refs[i].refused) return true;
    return false;
}

static void leave_conn(struct delivery *y)
{
    struct conn *c = y->c;

    if (!c) return;
    conn_part(c);
    conn_drop(c, ROUTER_CONN_OK);
}

/* Nothing is claimed, as far as is known: nothing is sent, nothing is recorded. */
static void claim_failed(struct delivery *y, int rv)
{
    struct lane *l = y->lane;
    bool is_dead = l->is_dead; /* closing its last delivery frees it */

    log_event(LOG_WARN, "attempt.unclaimed", LOG_TEXT("message", y->id),
              LOG_NUM("recipients", y->count), LOG_TEXT("error", err_name(rv)));
    y->claim_state = CLAIM_FAILED;
    leave_conn(y);
    delivery_close(y);
    if (!is_dead) lane_sleep(l, DELIVER_AGAIN_MS);
}

/* Somebody took a recipient away (hold, cancel) after RCPT was said for it: the transaction must
 * not end well. The others are due again at once. */
static void claim_refused(struct delivery *y)
{
    struct verdict *v = delivery_words(y, ANGARIUM__RESULT__RESULT_DEFERRED, "restarted",
                                       "another recipient of the transaction was withdrawn");

    v->counts = false;
    v->at_once = true;
    delivery_judge(y, v);
    leave_conn(y);
    delivery_over(y);
}

static void on_claimed(struct commit_claim *claim, int rv)
{
    struct delivery *y = CONTAINER_OF(claim, struct delivery, claim);

    y->claim_state = rv == 0 ? CLAIM_DONE : CLAIM_FAILED;
    if (!delivery_unpin(y)) return;
    if (rv != 0)
        claim_failed(y, rv);
    else if (y->is_over)
        delivery_over(y);
    else if (any_refused(y))
        claim_refused(y);
    else if (y->inbox)
        inbox_claimed(y);
    else if (y->c)
        dot_try(y->c);
}

void delivery_claim(struct delivery *y)
{
    struct commit_claim *claim = &y->claim;
    int rv;

    if (y->claim_state != CLAIM_NONE) return;
    claim->refs = arena_alloc(&y->arena, y->count * sizeof *claim->refs);
    CHECK(claim->refs);
    for (unsigned i = 0; i < y->count; i++) {
        claim->refs[i].index = y->index;
        claim->refs[i].recipient = y->list[i].number;
    }
    claim->count = y->count;
    claim->host = span_cstr(y->remote.host);
    claim->on_done = on_claimed;
    list_init(&claim->link);
    y->claim_state = CLAIM_ASKED;
    delivery_pin(y);
    y->d->has_proposed = true;
    rv = commit_claim(y->d->commit, y->shard, claim);
    if (rv == 0) return;
    y->pins--;
    claim_failed(y, rv);
}

/* ---- the end */

static bool needs_claim(const struct delivery *y)
{
    for (unsigned i = 0; i < y->count; i++) {
        const struct verdict *v = y->list[i].verdict;

        if (v->result == ANGARIUM__RESULT__RESULT_DELIVERED ||
            v->result == ANGARIUM__RESULT__RESULT_IN_DOUBT)
            return true;
        if (v->result == ANGARIUM__RESULT__RESULT_BOUNCED && v->code > 0) return true;
    }
    return false;
}

void delivery_over(struct delivery *y)
{
    y->is_over = true;
    if (y->claim_state == CLAIM_ASKED) return; /* on_claimed() comes back */
    if (y->is_orphan) {
        log_event(LOG_WARN, "attempt.unrecorded", LOG_TEXT("message", y->id),
                  LOG_NUM("recipients", y->count));
        delivery_close(y);
        return;
    }
    if (y->claim_state == CLAIM_NONE && needs_claim(y)) {
        delivery_claim(y);
        return;
    }
    outcome_propose(y);
    delivery_close(y);
}

/* The shard is the next leader's. Before the dot nothing has happened; after it the reply is still
 * heard, for the log. */
void delivery_orphan(struct delivery *y)
{
    if (y->is_closed) return;
    y->is_orphan = true;
    leave_air(y);
    if (y->c && y->dot_said && !y->lone_dot) return;
    leave_conn(y);
    delivery_close(y);
}

/* RFC 6409 8: what a submitted mail's header lacks. A From that could do with ASCII must not make the mail need SMTPUTF8. */
static void complete(struct delivery *y, struct span hostname)
{
    const Angarium__BodyFacts *f = y->message->body;
    struct span from = proto_span(y->message->mail_from);
    struct buf ascii;
    struct mail_completion c = { .lacks_date = !f->has_date,
                                 .lacks_message_id = !f->has_message_id,
                                 .lacks_from = !f->has_from,
                                 .lacks_header = f->n_fields > 0 && f->fields[0]->name_length == 0,
                                 .return_path = from,
                                 .id = y->id,
                                 .hostname = hostname,
                                 .time_ms = y->message->accepted_at_ms };

    buf_init(&ascii, PROTO_ADDRESS_SIZE_MAX + SMTP_DOMAIN_SIZE_MAX);
    if (smtp_address_ascii(from, &ascii) == 0) c.return_path = buf_span(&ascii);
    mail_completion_print(&y->trace, &c);
    buf_deinit(&ascii);
}

void delivery_trace(struct delivery *y)
{
    const Angarium__Origin *o = y->message->origin;
    struct mail_trace t = { .hostname = span_cstr(y->d->hostname),
                            .id = y->id,
                            .time_ms = y->message->accepted_at_ms };

    buf_reset(&y->trace);
    if (o) {
        t.helo = proto_span(o->helo);
        t.client_address = proto_span(o->client_address);
        t.protocol = proto_span(o->protocol);
        t.tls = proto_span(o->tls);
        if (o->hostname.len > 0) t.hostname = proto_span(o->hostname);
    }
    if (y->message->recipient_count == 1) t.for_address = proto_span(y->list[0].record->address);
    mail_received_print(&y->trace, &t);
    for (size_t i = 0; i < y->message->n_tags; i++)
        mail_content_tag_print(&y->trace, proto_span(y->message->tags[i]));
    if (o && o->submitted && y->message->body) complete(y, t.hostname);
}
