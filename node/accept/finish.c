/* finish - the end of the data (RFC 5321 4.1.1.4, 6.1): what is wrong with the mail is said, or it
 * goes to commit, and "250 queued as" is written when, and only when, commit says that it is kept
 * (P1).
 */
#include <stdio.h>

#include "node/accept/session.h"
#include "proto/ground/log.h"
#include "proto/ground/metric.h"

#define REJECTED_LOGGED_MAX 100 /* recipients of a mail; mail.refused has their number */

void session_transaction_end(struct session *s)
{
    transaction_close(&s->transaction);
    if (s->state != SESSION_FRESH && s->state != SESSION_READY) session_state_set(s, SESSION_READY);
}

static struct span sender_shown(const struct transaction *t)
{
    return t->from.n > 0 ? t->from : SPAN_LIT("<>");
}

void session_log_denied(const struct session *s, enum smtp_reply_id id, struct span address)
{
    const struct smtp_reply_fact *fact = smtp_reply_fact(id);

    log_event(LOG_INFO, "mail.denied", LOG_TEXT("session", s->id),
              LOG_TEXT("client", s->client.text), LOG_NUM("code", fact->code),
              LOG_TEXT("reason", fact->text), LOG_SPAN("address", address));
}

const char *session_body_cause(const struct session *s, enum smtp_reply_id id)
{
    const struct body *b = &s->transaction.body;

    return s->transaction.body_is_open && b->refusal == (int)id ? b->cause : "";
}

/* The event of each recipient: it is of this node only, nothing of the mail is in the queue. */
static void log_rejected(const struct session *s, const struct smtp_reply_fact *fact,
                         const char *rule)
{
    const struct transaction *t = &s->transaction;

    for (unsigned i = 0; i < t->recipient_count && i < REJECTED_LOGGED_MAX; i++)
        log_event(LOG_INFO, "recipient.rejected", LOG_TEXT("session", s->id),
                  LOG_SPAN("recipient", proto_span(t->recipients[i]->address)),
                  LOG_TEXT("tenant", t->tenant), LOG_NUM("code", fact->code),
                  LOG_TEXT("enhanced", fact->enhanced), LOG_TEXT("rule", rule));
}

void session_mail_refuse(struct session *s, enum smtp_reply_id id)
{
    const struct smtp_reply_fact *fact = smtp_reply_fact(id);
    struct transaction *t = &s->transaction;
    char cause[MAIL_SENDERS_CAUSE_SIZE];

    snprintf(cause, sizeof cause, "%s", session_body_cause(s, id));
    if (id == SMTP_REPLY_CONTENT_DENIED) log_rejected(s, fact, cause);
    log_event(LOG_INFO, "mail.refused", LOG_TEXT("session", s->id),
              LOG_TEXT("client", s->client.text), LOG_NUM("code", fact->code),
              LOG_TEXT("reason", fact->text), LOG_TEXT("cause", cause),
              LOG_SPAN("from", sender_shown(t)), LOG_NUM("recipients", t->recipient_count),
              LOG_NUM("size", t->body.size));
    s->mails_refused++;
    metric_add(fact->code >= 500 ? M_MAILS_REFUSED_NEVER : M_MAILS_REFUSED_LATER, 1);
    session_transaction_end(s);
    if (id == SMTP_REPLY_SHUTDOWN)
        session_reply_close(s, id, "shutdown");
    else
        session_reply(s, id, cause);
}

static const char *body_name(uint32_t type)
{
    return type == PROTO_BODY_BINARYMIME ? "BINARYMIME"
           : type == PROTO_BODY_8BITMIME ? "8BITMIME"
                                         : "7BIT";
}

static void accepted(struct session *s, uint64_t id)
{
    struct transaction *t = &s->transaction;
    char text[BASE32_SIZE];

    base32_print(id, text);
    log_event(LOG_INFO, "mail.accepted", LOG_TEXT("message", text), LOG_TEXT("session", s->id),
              LOG_TEXT("client", s->client.text), LOG_TEXT("tenant", t->tenant),
              LOG_SPAN("from", sender_shown(t)), LOG_NUM("recipients", t->recipient_count),
              LOG_NUM("size", t->body.size), LOG_TEXT("transfer", t->by_bdat ? "BDAT" : "DATA"),
              LOG_TEXT("body", body_name(t->body_type)), LOG_NUM("smtputf8", t->smtputf8),
              LOG_NUM("repaired", s->newlines.repaired));
    s->mails_accepted++;
    metric_add(M_MAILS_ACCEPTED, 1);
    metric_add(M_MAILS_ACCEPTED_BYTES, t->body.size);
    metric_time_us(M_ACCEPT_TIME, (loop_mono_ms(s->accept->loop) - t->committing_since_ms) * 1000);
    session_transaction_end(s);
    session_reply(s, SMTP_REPLY_QUEUED, text);
}

static void on_committed(struct commit_mail *m, int rv, uint64_t id)
{
    struct session *s = CONTAINER_OF(m, struct session, transaction.mail);

    s->transaction.is_committing = false;
    if (rv == 0)
        accepted(s, id);
    else
        session_mail_refuse(s, body_reply_of(rv));
    session_go_on(s);
}

/* RFC 3848, RFC 6531 4.3. */
static const char *protocol(const struct session *s)
{
    static const char *const utf8[] = { "UTF8SMTP", "UTF8SMTPS", "UTF8SMTPA", "UTF8SMTPSA" };
    bool is_tls = session_has_tls(s);

    if (s->transaction.smtputf8) return utf8[(is_tls ? 1 : 0) + (s->credential ? 2 : 0)];

    if (!s->is_esmtp && !s->credential) return "SMTP";
    if (is_tls) return s->credential ? "ESMTPSA" : "ESMTPS";
    return s->credential ? "ESMTPA" : "ESMTP";
}

static int commit(struct session *s)
{
    struct accept *a = s->accept;
    struct transaction_origin origin = {
        .session = span_cstr(s->id),
        .client_address = span_cstr(s->client.text),
        .client_port = s->client.port,
        .helo = span_cstr(s->helo),
        .protocol = span_cstr(protocol(s)),
        .tls = span_cstr(stream_tls_text(s->stream)),
        .credential = span_cstr(s->credential ? s->credential->username : ""),
        .listener = span_cstr(accept_kind_name(s->kind)),
        .hostname = span_cstr(a->hostname),
        .node = a->node,
        .time_ms = loop_wall_ms(a->loop),
        .expire_ms = s->terms->expire_ms,
        .submitted = session_is_submission(s),
        .hold_in_doubt = auth_tenant_holds_doubts(s->auth, s->transaction.tenant),
    };

    return transaction_commit(&s->transaction, &origin, on_committed);
}

/* The body is complete, and nothing of it waits. */
static void conclude(struct session *s)
{
    int rv;

    if (s->transaction.body.refusal != BODY_FINE) {
        session_mail_refuse(s, (enum smtp_reply_id)s->transaction.body.refusal);
        return;
    }
    session_state_set(s, SESSION_COMMIT);
    rv = commit(s);
    if (rv) session_mail_refuse(s, body_reply_of(rv));
}

static void on_header(void *arg, struct span header)
{
    struct session *s = arg;
    char cause[MAIL_SENDERS_CAUSE_SIZE];

    if (!policy_header(s, header, cause))
        body_refuse_cause(&s->transaction.body, SMTP_REPLY_HEADER_DENIED, cause);
}

static void on_room(void *arg)
{
    struct session *s = arg;

    if (s->state == SESSION_FLUSH) conclude(s);
    session_go_on(s);
}

void session_body_open(struct session *s)
{
    static const struct body_calls calls = { .on_header = on_header, .on_room = on_room };

    body_open(&s->transaction.body, s->accept, s->terms,
              s->transaction.body_type == PROTO_BODY_BINARYMIME, span_cstr(s->transaction.tenant),
              &calls, s);
    s->transaction.body_is_open = true;
    smtp_newlines_init(&s->newlines);
}

/* A binary body's are content. */
bool session_repairs(const struct session *s)
{
    return s->bare == ACCEPT_BARE_NORMALISE && s->credential && !s->transaction.body.is_binary;
}

static int feed(void *arg, struct span run)
{
    struct session *s = arg;

    body_feed(&s->transaction.body, run);
    return 0;
}

void session_body_feed(struct session *s, struct span run)
{
    if (session_repairs(s))
        smtp_newlines_feed(&s->newlines, run, feed, s);
    else if (run.n > 0)
        body_feed(&s->transaction.body, run);
}

void session_body_end(struct session *s)
{
    struct body *b = &s->transaction.body;

    smtp_newlines_finish(&s->newlines, feed, s);
    if (s->newlines.repaired > 0) metric_add(M_MAILS_REPAIRED, 1);
    session_state_set(s, SESSION_FLUSH);
    body_finish(b);
    if (!body_is_full(b)) conclude(s);
}
