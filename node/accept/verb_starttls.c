/* STARTTLS (RFC 3207). Whoever sends more behind it, in clear, is not heard: such bytes could be
 * another's, put there to be taken for the client's (CVE-2011-0411). After the handshake nothing is
 * known of the client.
 */
#include "node/accept/session.h"

bool verb_starttls_check(struct session *s, struct span arg)
{
    if (session_has_tls(s)) return session_refuse(s, SMTP_REPLY_TLS_ALREADY);
    if (!session_pass(s, GATE_HELO)) return false;
    if (arg.n > 0) return session_refuse(s, SMTP_REPLY_BAD_ARGUMENT);
    if (s->accept->tls) return true;
    return session_refuse(s, session_is_submission(s) ? SMTP_REPLY_TLS_UNAVAILABLE
                                                      : SMTP_REPLY_NOT_IMPLEMENTED);
}

void verb_starttls_act(struct session *s, struct span arg)
{
    (void)arg;
    if (s->behind > 0) {
        session_reply_close(s, SMTP_REPLY_EARLY_TALKER, "bytes behind STARTTLS");
        return;
    }
    session_reply(s, SMTP_REPLY_READY_TLS, NULL);
    session_transaction_end(s);
    session_state_set(s, SESSION_HANDSHAKE);
    if (s->stream && stream_tls(s->stream, s->accept->tls, NULL) != 0) session_abort(s, "no TLS");
}

void verb_starttls_ready(struct session *s)
{
    s->helo[0] = '\0';
    s->is_esmtp = false;
    s->credential = NULL;
    session_state_set(s, SESSION_FRESH);
}
