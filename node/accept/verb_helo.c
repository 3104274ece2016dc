/* HELO and EHLO (RFC 5321 4.1.1.1): who the client says it is, and what is offered here. Both begin
 * anew: an open transaction is forgotten (4.1.4).
 */
#include "node/accept/session.h"

static bool check(struct session *s, struct span arg)
{
    return smtp_helo_check(arg) == 0 ? true : session_refuse(s, SMTP_REPLY_BAD_HELO);
}

static void take_name(struct session *s, struct span name, bool is_esmtp)
{
    session_transaction_end(s);
    memcpy(s->helo, name.p, name.n);
    s->helo[name.n] = '\0';
    s->is_esmtp = is_esmtp;
    if (s->state == SESSION_FRESH) session_state_set(s, SESSION_READY);
    buf_reset(&s->accept->scratch);
}

bool verb_helo_check(struct session *s, struct span arg)
{
    return check(s, arg);
}

void verb_helo_act(struct session *s, struct span arg)
{
    take_name(s, arg, false);
    buf_addf(&s->accept->scratch, "250 %s\r\n", s->accept->hostname);
    session_reply_lines(s);
}

bool verb_ehlo_check(struct session *s, struct span arg)
{
    return check(s, arg);
}

/* RFC 9422 4: a value has six digits at most; what is not told is not known. */
static void add_limits(struct buf *out, const struct accept_limits *limits)
{
    buf_add_cstr(out, "250-LIMITS");
    if (limits->transactions_max <= 999999) buf_addf(out, " MAILMAX=%u", limits->transactions_max);
    buf_addf(out, " RCPTMAX=%u\r\n", limits->recipients_max);
}

/* DSN is for our own submitters: on MX service it would let anybody have us write to a return path that
 * he chose (docs/protocol/smtp.md). */
void verb_ehlo_act(struct session *s, struct span arg)
{
    struct accept *a = s->accept;
    struct buf *out = &a->scratch;
    bool has_tls = session_has_tls(s);

    take_name(s, arg, true);
    buf_addf(out, "250-%s\r\n250-PIPELINING\r\n", a->hostname);
    buf_addf(out, "250-SIZE %llu\r\n", (unsigned long long)s->terms->limits.message_size_max);
    buf_add_cstr(out, "250-8BITMIME\r\n");
    if (a->tls && !has_tls) buf_add_cstr(out, "250-STARTTLS\r\n");
    if (has_tls && session_is_submission(s))
        buf_addf(out, "250-AUTH%s%s\r\n", s->mechanisms & ACCEPT_AUTH_PLAIN ? " PLAIN" : "",
                 s->mechanisms & ACCEPT_AUTH_LOGIN ? " LOGIN" : "");
    buf_add_cstr(out, "250-ENHANCEDSTATUSCODES\r\n");
    if (session_is_submission(s)) buf_add_cstr(out, "250-DSN\r\n");
    buf_add_cstr(out, "250-SMTPUTF8\r\n");
    if (a->carries_binary) buf_add_cstr(out, "250-BINARYMIME\r\n");
    add_limits(out, &s->terms->limits);
    buf_add_cstr(out, "250 CHUNKING\r\n");
    session_reply_lines(s);
}
