/* QUIT (RFC 5321 4.1.1.10): the answer leaves, then TLS and the connection are closed in order. */
#include "node/accept/session.h"

bool verb_quit_check(struct session *s, struct span arg)
{
    return arg.n == 0 ? true : session_refuse(s, SMTP_REPLY_BAD_ARGUMENT);
}

void verb_quit_act(struct session *s, struct span arg)
{
    (void)arg;
    session_reply_close(s, SMTP_REPLY_GOODBYE, "quit");
}
