/* BDAT (RFC 3030): the mail in chunks of told sizes. A chunk's bytes are read whatever becomes of
 * it, and its answer comes behind them: who pipelines has sent them already. What makes the mail
 * impossible kills the transaction: every further chunk gets the same answer, until LAST, RSET or
 * EHLO. A size that cannot be read ends the session, since nobody could tell content from commands
 * any more.
 */
#include "node/accept/session.h"

bool verb_bdat_check(struct session *s, struct span arg)
{
    struct smtp_bdat bdat;

    if (smtp_bdat_parse(arg, &bdat) == SMTP_PARAM_OK) return true;
    session_reply_close(s, SMTP_REPLY_BAD_ARGUMENT, "BDAT without a size");
    return false;
}

/* Is the command out of place? Then its chunk leads back to where we are. */
static int misplaced(const struct session *s)
{
    int missing = session_gate(s, GATE_TLS | GATE_HELO | GATE_AUTH);

    if (missing != GATE_OPEN) return missing;
    if (s->state != SESSION_ENVELOPE && s->state != SESSION_BETWEEN) return SMTP_REPLY_NEED_MAIL;
    return s->transaction.recipient_count > 0 ? GATE_OPEN : SMTP_REPLY_NO_RECIPIENTS;
}

static void kill_transaction(struct session *s, int id)
{
    struct transaction *t = &s->transaction;

    t->dead = id;
    if (t->body_is_open) body_refuse(&t->body, (enum smtp_reply_id)id);
}

/* Answers the chunk of a transaction that is dead. */
static void refuse_chunk(struct session *s)
{
    enum smtp_reply_id id = (enum smtp_reply_id)s->transaction.dead;

    if (s->chunk.last || id == SMTP_REPLY_SHUTDOWN) {
        session_mail_refuse(s, id);
        return;
    }
    session_state_set(s, SESSION_BETWEEN);
    session_reply(s, id, session_body_cause(s, id));
}

static void end_chunk(struct session *s)
{
    struct transaction *t = &s->transaction;

    if (s->chunk.refusal != GATE_OPEN) {
        session_state_set(s, s->chunk.back);
        session_reply(s, (enum smtp_reply_id)s->chunk.refusal, NULL);
        return;
    }
    if (t->dead == TRANSACTION_ALIVE && t->body.refusal != BODY_FINE) t->dead = t->body.refusal;
    if (t->dead != TRANSACTION_ALIVE) {
        refuse_chunk(s);
    } else if (s->chunk.last) {
        session_body_end(s);
    } else {
        session_state_set(s, SESSION_BETWEEN);
        session_reply(s, SMTP_REPLY_CHUNK_OK, NULL);
    }
}

void verb_bdat_act(struct session *s, struct span arg)
{
    struct transaction *t = &s->transaction;
    struct smtp_bdat bdat;

    smtp_bdat_parse(arg, &bdat);
    s->chunk.left = bdat.size;
    s->chunk.last = bdat.last;
    s->chunk.back = s->state;
    s->chunk.refusal = misplaced(s);
    session_state_set(s, SESSION_CHUNK);
    if (s->chunk.refusal == GATE_OPEN) {
        uint64_t size_max = s->terms->limits.message_size_max;

        if (!t->body_is_open) session_body_open(s);
        t->by_bdat = true;
        if (t->dead == TRANSACTION_ALIVE &&
            (bdat.size > size_max || t->body.size > size_max - bdat.size))
            kill_transaction(s, SMTP_REPLY_TOO_LARGE);
    }
    if (s->chunk.left == 0) end_chunk(s);
}

void verb_bdat_read(struct session *s, struct span *in)
{
    size_t n = in->n < BODY_FEED_MAX ? in->n : BODY_FEED_MAX;

    if (n > s->chunk.left) n = (size_t)s->chunk.left;
    if (s->chunk.refusal == GATE_OPEN) session_body_feed(s, span_sub(*in, 0, n));
    *in = span_from(*in, n);
    s->chunk.left -= n;
    if (s->chunk.left == 0) end_chunk(s);
}
