/* RCPT (RFC 5321 4.1.1.3; NOTIFY and ORCPT: RFC 3461): one more recipient. A refused one leaves the others as they are.
 * "postmaster" alone (RFC 5321 4.5.1) is this host's, where this host's name is a domain that is
 * served.
 */
#include "node/accept/session.h"

bool verb_rcpt_check(struct session *s, struct span arg)
{
    (void)arg;
    if (!session_pass(s, GATE_TLS | GATE_HELO | GATE_AUTH)) return false;
    if (s->state == SESSION_BETWEEN) return session_refuse(s, SMTP_REPLY_BAD_SEQUENCE);
    if (s->state != SESSION_ENVELOPE) return session_refuse(s, SMTP_REPLY_NEED_MAIL);
    if (s->transaction.recipient_count >= s->terms->limits.recipients_max)
        return session_refuse(s, SMTP_REPLY_TOO_MANY_RECIPIENTS);
    return clients_have_memory(s->accept->clients) ? true
                                                   : session_refuse(s, SMTP_REPLY_QUEUE_FULL);
}

static bool parse(struct session *s, struct span arg, struct smtp_rcpt *out)
{
    switch (smtp_rcpt_parse(arg, s->transaction.smtputf8, out)) {
    case SMTP_PARAM_OK:
        if (session_is_submission(s) || (out->notify == 0 && out->orcpt.n == 0)) return true;
        return session_refuse(s, SMTP_REPLY_UNKNOWN_PARAMETER); /* DSN is not offered */
    case SMTP_PARAM_UTF8:
        return session_refuse(s, SMTP_REPLY_UTF8_ADDRESS);
    case SMTP_PARAM_ADDRESS:
        return session_refuse(s, SMTP_REPLY_BAD_RECIPIENT);
    case SMTP_PARAM_UNKNOWN:
        return session_refuse(s, SMTP_REPLY_UNKNOWN_PARAMETER);
    case SMTP_PARAM_SYNTAX:
    case SMTP_PARAM_VALUE:
    case SMTP_PARAM_TWICE:
        break;
    }
    return session_refuse(s, SMTP_REPLY_BAD_ARGUMENT);
}

static enum smtp_reply_id add(struct session *s, const struct smtp_rcpt *rcpt, struct span address,
                              struct span domain)
{
    enum smtp_reply_id id = policy_recipient(s, rcpt->to.local, domain);

    if (id == SMTP_REPLY_RELAY_DENIED) session_log_denied(s, id, address);
    if (id != SMTP_REPLY_RECIPIENT_OK) return id;
    if (transaction_add(&s->transaction, rcpt, address, domain) != 0)
        return SMTP_REPLY_TOO_MANY_RECIPIENTS;
    return id;
}

void verb_rcpt_act(struct session *s, struct span arg)
{
    struct smtp_rcpt rcpt;
    struct buf address, domain;
    struct span host = span_cstr(s->accept->hostname);

    if (!parse(s, arg, &rcpt)) return;
    buf_init(&address, PROTO_ADDRESS_SIZE_MAX);
    buf_init(&domain, SMTP_DOMAIN_SIZE_MAX + 1);
    buf_add_span(&address, rcpt.to.text);
    if (rcpt.to.domain.n == 0) {
        buf_add_u8(&address, '@');
        buf_add_span(&address, host);
    }
    smtp_domain_key(rcpt.to.domain.n > 0 ? rcpt.to.domain : host, &domain);
    if (buf_failed(&address) || buf_failed(&domain))
        session_reply(s, SMTP_REPLY_BAD_RECIPIENT, NULL);
    else
        session_reply(s, add(s, &rcpt, buf_span(&address), buf_span(&domain)), NULL);
    buf_deinit(&address);
    buf_deinit(&domain);
}
