/* VRFY (RFC 5321 3.5.3, 7.3): we do not say who exists. */
#include "node/accept/session.h"

bool verb_vrfy_check(struct session *s, struct span arg)
{
    if (!session_pass(s, GATE_TLS | GATE_AUTH)) return false;
    return arg.n > 0 ? true : session_refuse(s, SMTP_REPLY_BAD_ARGUMENT);
}

void verb_vrfy_act(struct session *s, struct span arg)
{
    (void)arg;
    session_reply(s, SMTP_REPLY_VRFY, NULL);
}
