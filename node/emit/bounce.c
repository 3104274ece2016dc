/* bounce - messages that owe one get a delivery status notification (RFC 3461 6, RFC 3464), as a mail like others.
 *
 * Way:   queue_bounces (what is owed, on disk) -> message, recipients with debts, the original -> notice_print
 *        (notice.c) -> commit_mail with bounce_of and told. Applying that entry pays what it tells.
 * Rule:  exactly one DSN tells of each debt: it is paid by the very entry that holds the DSN, and an entry that
 *        tells of what is not owed any more is refused by the queue (ERR_EXISTS) and made anew.
 * Bound: EMIT_BOUNCES_IN_FLIGHT_MAX at once, EMIT_DSN_SIZE_MAX each; the rest stays on disk.
 */
#include "node/emit/inside.h"

#include <stdio.h>
#include <stdlib.h>

#include "node/smtp/address.h"

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

/* ---- the DSN as a mail */

static int propose(struct bounce *b, const struct mail_facts *facts, struct notice *n)
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
    accept.told = n->told_list;
    accept.n_told = n->count;
    accept.smtputf8 = n->is_utf8;
    accept.hold_in_doubt = b->message->hold_in_doubt;
    if (facts->eight_bit || facts->eight_bit_header) accept.body_type = PROTO_BODY_8BITMIME;
    b->mail.accept = &accept;
    b->mail.shard = b->shard;
    b->mail.on_done = on_committed;
    rv = commit_mail(e->o.commit, e->o.loop, &b->mail);
    buf_deinit(&domain);
    return rv;
}

static void make(struct bounce *b, struct blob *original)
{
    struct emit *e = b->emit;
    struct mail_reader *reader;
    struct notice n;
    struct buf out;
    int rv;

    buf_init(&out, EMIT_DSN_SIZE_MAX);
    if (!notice_print(&n, e, b->shard, b->index, b->message, blob_span(original), &out)) {
        buf_deinit(&out);
        bounce_end(b, 0); /* paid, or forgiven, meanwhile */
        return;
    }
    CHECK(!buf_failed(&out));
    reader = mail_reader_new();
    mail_reader_start(reader, false);
    mail_reader_feed(reader, buf_span(&out));
    b->mail.body = blob_copy(buf_span(&out));
    rv = propose(b, mail_reader_finish(reader), &n);
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
    e->owing = check_calloc(commit_shard_max(e->o.commit) + 1, sizeof *e->owing);
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
