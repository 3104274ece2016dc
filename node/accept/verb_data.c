/* DATA (RFC 5321 4.1.1.4): the mail, until CR LF . CR LF and nothing else. What is wrong with it is
 * said at its end; until then it is read.
 */
#include "node/accept/session.h"

bool verb_data_check(struct session *s, struct span arg)
{
    if (!session_pass(s, GATE_TLS | GATE_HELO | GATE_AUTH)) return false;
    if (arg.n > 0) return session_refuse(s, SMTP_REPLY_BAD_ARGUMENT);
    if (s->state == SESSION_BETWEEN) return session_refuse(s, SMTP_REPLY_BAD_SEQUENCE);
    if (s->state != SESSION_ENVELOPE) return session_refuse(s, SMTP_REPLY_NEED_MAIL);
    if (s->transaction.recipient_count == 0) return session_refuse(s, SMTP_REPLY_NO_RECIPIENTS);
    if (s->transaction.body_type == PROTO_BODY_BINARYMIME) /* RFC 3030 3 */
        return session_refuse(s, SMTP_REPLY_BINARY_BY_DATA);
    return true;
}

void verb_data_act(struct session *s, struct span arg)
{
    (void)arg;
    session_body_open(s);
    smtp_data_reader_init(&s->data_reader);
    session_state_set(s, SESSION_DATA);
    session_reply(s, SMTP_REPLY_START_DATA, NULL);
}

static int give(void *arg, struct span run)
{
    struct session *s = arg;

    session_body_feed(s, run);
    return 0;
}

void verb_data_read(struct session *s, struct span *in)
{
    size_t n = in->n < BODY_FEED_MAX ? in->n : BODY_FEED_MAX;
    struct span piece = span_sub(*in, 0, n);
    int rv = smtp_data_read(&s->data_reader, &piece, give, s);

    *in = span_from(*in, n - piece.n);
    if ((s->data_reader.bare_cr || s->data_reader.bare_lf) && !session_repairs(s))
        body_refuse(&s->transaction.body, SMTP_REPLY_BARE_LINE_END);
    if (rv == 0) session_body_end(s);
}
