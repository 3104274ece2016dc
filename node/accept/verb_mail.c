/* MAIL (RFC 5321 4.1.1.2; SIZE: RFC 1870, BODY: RFC 6152 and 3030, AUTH: RFC 4954 5, RET and ENVID:
 * RFC 3461, SMTPUTF8: RFC 6531): a transaction begins,
 * if this client may send from that address and there is room for such a mail.
 */
#include "node/accept/session.h"
#include "proto/ground/metric.h"

bool verb_mail_check(struct session *s, struct span arg)
{
    (void)arg;
    if (!session_pass(s, GATE_TLS | GATE_HELO | GATE_AUTH)) return false;
    if (s->state != SESSION_READY) return session_refuse(s, SMTP_REPLY_NESTED_MAIL);
    if (s->transaction_count < s->terms->limits.transactions_max) return true;
    metric_add(M_SESSION_LIMIT_MAILS, 1);
    session_reply_close(s, SMTP_REPLY_SESSION_LIMIT, "too many transactions");
    return false;
}

/* What EHLO does not offer is not known here. */
static bool is_offered(const struct session *s, const struct smtp_mail *m)
{
    if (m->has_body && m->body == SMTP_BODY_BINARYMIME && !s->accept->carries_binary) return false;
    return session_is_submission(s) || (!m->has_auth && m->ret == 0 && m->envid.n == 0);
}

static bool parse(struct session *s, struct span arg, struct smtp_mail *out)
{
    switch (smtp_mail_parse(arg, out)) {
    case SMTP_PARAM_OK:
        break;
    case SMTP_PARAM_ADDRESS:
        return session_refuse(s, SMTP_REPLY_BAD_SENDER);
    case SMTP_PARAM_UNKNOWN:
        return session_refuse(s, SMTP_REPLY_UNKNOWN_PARAMETER);
    case SMTP_PARAM_UTF8:
        return session_refuse(s, SMTP_REPLY_UTF8_ADDRESS);
    case SMTP_PARAM_SYNTAX:
    case SMTP_PARAM_VALUE:
    case SMTP_PARAM_TWICE:
        return session_refuse(s, SMTP_REPLY_BAD_ARGUMENT);
    }
    return is_offered(s, out) ? true : session_refuse(s, SMTP_REPLY_UNKNOWN_PARAMETER);
}

static bool may_send_from(struct session *s, const struct smtp_address *from)
{
    struct buf key;
    bool may;

    if (from->text.n == 0) return true;
    buf_init(&key, SMTP_DOMAIN_SIZE_MAX + 1);
    smtp_domain_key(from->domain, &key);
    may = policy_sender(s, buf_span(&key));
    if (!may) {
        session_log_denied(s, SMTP_REPLY_SENDER_DENIED, from->text);
        session_reply(s, SMTP_REPLY_SENDER_DENIED, buf_cstr(&key));
    }
    buf_deinit(&key);
    return may;
}

static bool has_room(struct session *s, uint64_t size)
{
    int rv = clients_have_memory(s->accept->clients) ? commit_may_take(s->accept->commit, size)
                                                     : ERR_FULL;
    enum smtp_reply_id id = body_reply_of(rv);

    if (rv == 0) return true;
    if (id != SMTP_REPLY_SHUTDOWN) return session_refuse(s, id);
    session_reply_close(s, id, "shutdown");
    return false;
}

void verb_mail_act(struct session *s, struct span arg)
{
    struct smtp_mail mail;

    if (!parse(s, arg, &mail)) return;
    if (mail.has_size && mail.size > s->terms->limits.message_size_max) {
        session_reply(s, SMTP_REPLY_TOO_LARGE, NULL);
        return;
    }
    if (!may_send_from(s, &mail.from)) return;
    if (!has_room(s, mail.has_size ? mail.size : 0)) return;
    if (transaction_open(&s->transaction, &mail) != 0) {
        session_reply(s, SMTP_REPLY_QUEUE_FULL, NULL);
        return;
    }
    if (s->credential) s->transaction.tenant = s->credential->tenant;
    s->transaction_count++;
    session_state_set(s, SESSION_ENVELOPE);
    session_reply(s, SMTP_REPLY_SENDER_OK, NULL);
}
