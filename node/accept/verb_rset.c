/* RSET (RFC 5321 4.1.1.5): the transaction is forgotten; who the client is, is not. */
#include "node/accept/session.h"

bool verb_rset_check(struct session *s, struct span arg)
{
    if (!session_pass(s, GATE_TLS)) return false;
    return arg.n == 0 ? true : session_refuse(s, SMTP_REPLY_BAD_ARGUMENT);
}

void verb_rset_act(struct session *s, struct span arg)
{
    (void)arg;
    session_transaction_end(s);
    session_reply(s, SMTP_REPLY_OK, NULL);
}
