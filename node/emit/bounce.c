/* bounce - messages that owe one get a delivery status notification (RFC 3464), as a mail like others.
 *
 * Way:   queue_bounces (what is owed, on disk) -> message, failed recipients, header of the original ->
 *        mail_dsn_print -> commit_mail with bounce_of. Applying that entry clears the debt.
 * Rule:  exactly one DSN tells of each failed recipient: the debt is cleared by the very entry that holds the
 *        DSN; a second one for a message that owes nothing is refused by the queue (ERR_EXISTS).
 * Bound: EMIT_BOUNCES_IN_FLIGHT_MAX at once; the rest stays on disk.
 */
#include "node/emit/inside.h"

#include <stdio.h>
#include <stdlib.h>

#include "node/mail/mail.h"
#include "node/smtp/address.h"

#define BOUNCE_SIZE_MAX       (256u << 10)
#define BOUNCE_RECIPIENTS_MAX 100 /* in one DSN; others are told of by the next */

struct bounce {
    struct list link;
    struct emit *emit;
    uint32_t shard;
    uint64_t index;
    Angarium__MessageRecord *message;
    struct commit_read read;
    bool reading;
    struct commit_mail mail;
};

static void bounce_free(struct bounce *b)
{
    list_remove(&b->link);
    b->emit->bounce_count--;
    queue_message_free(&b->message);
    blob_unref(&b->mail.body);
    free(b);
}

/* One is done: others may be owed. */
static void bounce_end(struct bounce *b, uint64_t next_in_ms)
{
    struct emit *e = b->emit;
    uint32_t shard = b->shard;

    bounce_free(b);
    bounce_wake(e, shard, next_in_ms);
}

static void on_committed(struct commit_mail *m, int rv, uint64_t id)
{
    struct bounce *b = CONTAINER_OF(m, struct bounce, mail);
    char text[BASE32_SIZE], of[BASE32_SIZE];

    base32_print(proto_id(b->shard, b->index), of);
    if (rv == 0) {
        base32_print(id, text);
        metric_add(M_BOUNCES, 1);
        log_event(LOG_INFO, "bounce.queued", LOG_TEXT("message", of), LOG_TEXT("bounce", text),
                  LOG_SPAN("to", proto_span(b->message->mail_from)));
    } else if (rv != ERR_EXISTS) {
        log_event(LOG_WARN, "bounce.later", LOG_TEXT("message", of),
                  LOG_TEXT("error", err_name(rv)));
    }
    bounce_end(b, rv == 0 || rv == ERR_EXISTS ? 0 : EMIT_BOUNCE_RETRY_MS);
}

/* ---- what the DSN says */

static const char *reason_of(const Angarium__RecipientRecord *r)
{
    if (r->state == ANGARIUM__RECIPIENT_STATE__RECIPIENT_EXPIRED)
        return "The message could not be delivered before it expired.";
    return "The message could not be delivered.";
}

static void fill_recipient(struct mail_dsn_recipient *to, const Angarium__RecipientRecord *r)
{
    bool has_reply = r->last_reply && r->last_reply->code > 0;
    bool expired = r->state == ANGARIUM__RECIPIENT_STATE__RECIPIENT_EXPIRED;

    *to = (struct mail_dsn_recipient){
        .address = proto_span(r->address),
        .action = MAIL_DSN_FAILED,
        .remote_host = proto_span(r->last_host),
        .reason = span_cstr(reason_of(r)),
        .last_attempt_ms = r->finished_at_ms,
    };
    if (r->last_reply) {
        to->code = r->last_reply->code;
        to->reply_text = proto_span(r->last_reply->text);
        to->status = proto_span(r->last_reply->enhanced);
        if (!has_reply && to->reply_text.n > 0) to->reason = to->reply_text;
    }
    if (expired) to->status = SPAN_LIT("5.4.7"); /* RFC 3463 3.5: delivery time expired */
}

/* The failed recipients that no DSN has told of; returns how many, records are freed by the caller. */
static unsigned owed_recipients(struct bounce *b, Angarium__RecipientRecord **records,
                                struct mail_dsn_recipient *list)
{
    struct queue_store *store = commit_store(b->emit->o.commit);
    unsigned n = 0;

    for (uint32_t i = 0; i < b->message->recipient_count && n < BOUNCE_RECIPIENTS_MAX; i++) {
        Angarium__RecipientRecord *r = NULL;

        if (queue_recipient_get(store, b->shard, b->index, i, &r) != 0) continue;
        if (!r->bounce_owed) {
            queue_recipient_free(&r);
            continue;
        }
        fill_recipient(&list[n], r);
        records[n++] = r;
    }
    return n;
}

static void print_dsn(struct bounce *b, struct span header, struct buf *out)
{
    Angarium__RecipientRecord *records[BOUNCE_RECIPIENTS_MAX];
    struct mail_dsn_recipient list[BOUNCE_RECIPIENTS_MAX];
    unsigned n = owed_recipients(b, records, list);
    uint64_t now = loop_wall_ms(b->emit->o.loop);
    char of[BASE32_SIZE], boundary[64], message_id[384];

    base32_print(proto_id(b->shard, b->index), of);
    snprintf(boundary, sizeof boundary, "=_%s_%llx", of, (unsigned long long)now);
    snprintf(message_id, sizeof message_id, "<%s.%llx@%s>", of, (unsigned long long)now,
             b->emit->o.hostname);
    mail_dsn_print(out,
                   &(struct mail_dsn){ .hostname = span_cstr(b->emit->o.hostname),
                                       .to = proto_span(b->message->mail_from),
                                       .boundary = boundary,
                                       .message_id = message_id,
                                       .time_ms = now,
                                       .arrival_ms = b->message->accepted_at_ms,
                                       .original_id = of,
                                       .recipients = list,
                                       .recipient_count = n,
                                       .original_header = header,
                                       .eight_bit_header = b->message->body->eight_bit_header });
    for (unsigned i = 0; i < n; i++)
        queue_recipient_free(&records[i]);
}

/* ---- the DSN as a mail */

static int propose(struct bounce *b, const struct mail_facts *facts)
{
    struct commit_facts body;
    struct emit *e = b->emit;
    Angarium__Accept accept = ANGARIUM__ACCEPT__INIT;
    Angarium__Recipient recipient = ANGARIUM__RECIPIENT__INIT, *recipients[1] = { &recipient };
    Angarium__Origin origin = ANGARIUM__ORIGIN__INIT;
    struct smtp_address to;
    struct buf domain;
    int rv = smtp_address_parse(proto_span(b->message->mail_from), false, false, &to);

    if (rv != 0) return rv;
    buf_init(&domain, SMTP_DOMAIN_SIZE_MAX + 1);
    smtp_domain_key(to.domain, &domain);
    recipient.address = b->message->mail_from;
    recipient.domain = proto_bytes(buf_span(&domain));
    commit_facts_fill(&body, facts);
    origin.protocol = proto_bytes(SPAN_LIT("DSN"));
    origin.tenant = b->message->origin->tenant;
    origin.hostname = proto_bytes(span_cstr(e->o.hostname));
    origin.node = e->o.node;
    accept.time_ms = loop_wall_ms(e->o.loop);
    accept.recipients = recipients;
    accept.n_recipients = 1;
    accept.body = &body.body;
    accept.origin = &origin;
    accept.expires_at_ms = accept.time_ms + e->o.expire_ms;
    accept.bounce_of = b->index;
    b->mail.accept = &accept;
    b->mail.shard = b->shard;
    b->mail.on_done = on_committed;
    rv = commit_mail(e->o.commit, e->o.loop, &b->mail);
    buf_deinit(&domain);
    return rv;
}

static void make(struct bounce *b, struct blob *original)
{
    struct mail_reader *reader = mail_reader_new();
    struct span header = blob_span(original);
    struct buf out;
    int rv;

    if (header.n > b->message->body->header_size) header.n = b->message->body->header_size;
    buf_init(&out, BOUNCE_SIZE_MAX);
    print_dsn(b, header, &out);
    CHECK(!buf_failed(&out));
    mail_reader_start(reader);
    mail_reader_feed(reader, buf_span(&out));
    b->mail.body = blob_new(out.n);
    CHECK(blob_add(b->mail.body, out.p, out.n, BOUNCE_SIZE_MAX) == 0);
    rv = propose(b, mail_reader_finish(reader));
    buf_deinit(&out);
    mail_reader_free(&reader);
    if (rv == 0) return;
    log_event(LOG_WARN, "bounce.later", LOG_NUM("shard", b->shard), LOG_NUM("index", b->index),
              LOG_TEXT("error", err_name(rv)));
    bounce_end(b, EMIT_BOUNCE_RETRY_MS);
}

static void on_read(struct commit_read *r, int rv, struct blob *body)
{
    struct bounce *b = CONTAINER_OF(r, struct bounce, read);

    b->reading = false;
    CHECK(rv == 0 || rv == ERR_NOT_FOUND); /* NOT_FOUND: a mail without a body */
    make(b, body);
    blob_unref(&body);
}

static void start(struct emit *e, uint32_t shard, uint64_t index)
{
    struct bounce *b = check_calloc(1, sizeof *b);
    uint64_t entry = index;
    struct blob *original;

    b->emit = e;
    b->shard = shard;
    b->index = index;
    list_init(&b->link);
    list_add(&e->bounces, &b->link);
    e->bounce_count++;
    if (queue_message_get(commit_store(e->o.commit), shard, index, &b->message) != 0) {
        bounce_end(b, 0); /* purged meanwhile */
        return;
    }
    if (b->message->n_chunks > 0) entry = b->message->chunks[0];
    original = commit_body_cached(e->o.commit, shard, entry);
    if (original) {
        make(b, original);
        blob_unref(&original);
        return;
    }
    b->read.shard = shard;
    b->read.entry = entry;
    b->read.on_done = on_read;
    b->reading = commit_body_read(e->o.commit, e->o.loop, &b->read) == 0;
    if (!b->reading) bounce_end(b, EMIT_BOUNCE_RETRY_MS);
}

/* ---- what is owed */

static bool is_in_flight(const struct emit *e, uint32_t shard, uint64_t index)
{
    LIST_FOR(it, &e->bounces) {
        const struct bounce *b = CONTAINER_OF(it, struct bounce, link);

        if (b->shard == shard && b->index == index) return true;
    }
    return false;
}

/* Starts what is owed and not on its way; the shard stays marked while there may be more. */
static void scan(struct emit *e, uint32_t shard)
{
    uint64_t list[2 * EMIT_BOUNCES_IN_FLIGHT_MAX];
    size_t n =
        queue_bounces(commit_store(e->o.commit), shard, 0, list, 2 * EMIT_BOUNCES_IN_FLIGHT_MAX);

    e->owing[shard] = n > 0;
    for (size_t i = 0; i < n && e->bounce_count < EMIT_BOUNCES_IN_FLIGHT_MAX; i++)
        if (!is_in_flight(e, shard, list[i])) start(e, shard, list[i]);
}

static void on_timer(struct loop_timer *t)
{
    struct emit *e = CONTAINER_OF(t, struct emit, timer);

    for (uint32_t shard = 1; shard <= commit_shard_count(e->o.commit); shard++) {
        struct commit_shard_view v;

        if (!e->owing[shard]) continue;
        commit_shard_see(e->o.commit, shard, &v);
        if (v.leads) scan(e, shard);
    }
}

void bounce_wake(struct emit *e, uint32_t shard, uint64_t in_ms)
{
    e->owing[shard] = true;
    if (loop_timer_is_running(&e->timer) && e->timer.due_ms <= loop_mono_ms(e->o.loop) + in_ms)
        return;
    loop_timer_start(&e->timer, in_ms);
}

void bounce_init(struct emit *e)
{
    list_init(&e->bounces);
    loop_timer_init(&e->timer, e->o.loop, on_timer);
    e->owing = check_calloc(commit_shard_count(e->o.commit) + 1, sizeof *e->owing);
}

void bounce_deinit(struct emit *e)
{
    loop_timer_stop(&e->timer);
    LIST_FOR_SAFE(it, &e->bounces) {
        struct bounce *b = CONTAINER_OF(it, struct bounce, link);

        CHECK(!b->reading); /* the loop has run dry */
        commit_mail_forget(&b->mail);
        bounce_free(b);
    }
    free(e->owing);
}
