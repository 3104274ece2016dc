/* NOOP (RFC 5321 4.1.1.9), and what changes nothing either: HELP, EXPN, and words that are no
 * commands. */
#include "node/accept/session.h"

bool verb_noop_check(struct session *s, struct span arg)
{
    (void)s;
    (void)arg;
    return true;
}

void verb_noop_act(struct session *s, struct span arg)
{
    (void)arg;
    session_reply(s, SMTP_REPLY_OK, NULL);
}

bool verb_help_check(struct session *s, struct span arg)
{
    (void)arg;
    return session_pass(s, GATE_TLS);
}

void verb_help_act(struct session *s, struct span arg)
{
    (void)arg;
    session_reply(s, SMTP_REPLY_HELP, NULL);
}

/* RFC 5321 7.3: lists are nobody's business. */
bool verb_expn_check(struct session *s, struct span arg)
{
    (void)arg;
    return session_pass(s, GATE_TLS) && session_refuse(s, SMTP_REPLY_NOT_IMPLEMENTED);
}

void verb_expn_act(struct session *s, struct span arg)
{
    (void)s;
    (void)arg;
}

bool verb_unknown_check(struct session *s, struct span arg)
{
    (void)arg;
    s->unknown_count++;
    return session_refuse(s, SMTP_REPLY_UNKNOWN_COMMAND);
}

void verb_unknown_act(struct session *s, struct span arg)
{
    (void)s;
    (void)arg;
}
