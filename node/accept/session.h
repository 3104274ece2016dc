/* session - private to accept: one connection, from its greeting to its end. session.c moves it,
 * verb_*.c act on it. Everything runs on the loop of its stream. */
#ifndef ACCEPT_SESSION_H
#define ACCEPT_SESSION_H

#include "node/accept/auth.h"
#include "node/accept/clients.h"
#include "node/accept/server.h"
#include "node/accept/transaction.h"
#include "node/smtp/command.h"
#include "node/smtp/data.h"
#include "node/smtp/reply.h"

#define SESSION_LINE_SIZE_MAX  32768u /* the most that limits.line_size_max may be */
#define SESSION_AUTH_LINE_SIZE 12288u /* RFC 4954 4.6 */

/* X(NAME, successors, timeout, phrase): session_state_set allows no other move. Timeouts: what ends
 * the session when nothing comes; see session.c for the picture. */
#define SESSION_STATE_TABLE(X)                                                                     \
    X(NEW, S(HANDSHAKE) | S(FRESH), GREETING, "before the greeting")                               \
    X(HANDSHAKE, S(FRESH), DATA_IDLE, "in TLS negotiation")                                        \
    X(FRESH, S(READY) | S(CHUNK), IDLE, "waiting for HELO")                                        \
    X(READY, S(HANDSHAKE) | S(AUTH_LINE) | S(AUTH_WAIT) | S(ENVELOPE) | S(CHUNK), IDLE,            \
      "waiting for a command")                                                                     \
    X(AUTH_LINE, S(AUTH_LINE) | S(AUTH_WAIT) | S(READY), IDLE, "waiting for an AUTH response")     \
    X(AUTH_WAIT, S(READY), NONE, "verifying a password")                                           \
    X(ENVELOPE, S(READY) | S(DATA) | S(CHUNK), IDLE, "in a transaction")                           \
    X(DATA, S(FLUSH), DATA_IDLE, "receiving DATA")                                                 \
    X(CHUNK, S(FRESH) | S(READY) | S(ENVELOPE) | S(BETWEEN) | S(FLUSH), DATA_IDLE,                 \
      "receiving a BDAT chunk")                                                                    \
    X(BETWEEN, S(READY) | S(CHUNK), IDLE, "between BDAT chunks")                                   \
    X(FLUSH, S(COMMIT) | S(READY), NONE, "sending the last of a body")                             \
    X(COMMIT, S(READY), NONE, "waiting for commit")                                                \
    X(CLOSED, 0, NONE, "closed")

#define SESSION_STATE_ENUM_(name, successors, timeout, phrase) SESSION_##name,
enum session_state { SESSION_STATE_TABLE(SESSION_STATE_ENUM_) SESSION_STATE_COUNT };
#undef SESSION_STATE_ENUM_

enum session_auth_step { AUTH_STEP_PLAIN, AUTH_STEP_LOGIN_USERNAME, AUTH_STEP_LOGIN_PASSWORD };

struct session {
    struct list link;      /* in accept->sessions */
    struct accept *accept; /* NULL: cut off, only its stream's end is waited for */
    struct terms *terms;   /* as of its begin, like auth */
    struct stream *stream; /* NULL: closing */
    enum accept_kind kind;
    enum accept_bare bare;
    unsigned mechanisms; /* ACCEPT_AUTH_* */
    enum session_state state;
    struct loop_timer idle_timer, life_timer;
    struct loop_timer window_timer; /* runs while a mail arrives: is it fast enough? */
    struct loop_timer delay_timer;  /* AUTH_WAIT: before a failure is told */
    struct tally *address, *user;   /* of the client; of its username when it has a credential */
    size_t weight;                  /* bytes that it holds, as told to accept_clients */
    struct accept_auth *auth;       /* as of the session's begin */
    char id[64];
    struct stream_address client;
    uint64_t opened_ms;

    char helo[SMTP_DOMAIN_SIZE_MAX + 1]; /* "" before HELO, EHLO */
    bool is_esmtp;
    const struct credential *credential; /* session->auth's; NULL: nobody */

    size_t behind;     /* bytes that were received behind the command that acts now */
    bool skips_line;   /* a line was too long: its rest is dropped */
    bool skips_auth;   /* it is one of AUTH */
    bool is_blocked;   /* the client does not read its replies: reading rests */
    bool is_broken;    /* a reply found no room: the end */
    bool life_is_over; /* at the next answer of commit */
    enum session_auth_step auth_step;
    const char *auth_mechanism;
    const char *auth_failure; /* why, while delay_timer runs */
    char *auth_username;      /* LOGIN: between its two answers; also whom an attempt is for */
    struct auth_attempt *attempt;

    struct transaction transaction; /* open in ENVELOPE, DATA, CHUNK, BETWEEN, FLUSH, COMMIT */
    struct smtp_data_reader data_reader;
    struct smtp_newlines newlines; /* of the transaction's body */
    struct {
        uint64_t left;
        bool last;
        int refusal;             /* enum smtp_reply_id that it gets; GATE_OPEN: none */
        enum session_state back; /* where a chunk that no transaction wants leads back to */
    } chunk;

    unsigned transaction_count, error_count, unknown_count;
    uint64_t window_bytes_in; /* bytes_in when the window began */
    bool window_is_excused;   /* we did not read all the time */
    uint64_t mails_accepted, mails_refused, bytes_in;
};

/* ---- session.c */
/* `address` has been counted; the session takes it and the stream. */
void session_open(struct accept *a, struct stream *stream, struct tally *address,
                  const struct accept_service *service);
void session_drain(struct session *s);
void session_cut(struct session *s); /* accept goes away: nothing of it is touched from here on */
void session_state_set(struct session *s, enum session_state state);
bool session_has_tls(const struct session *s);
static inline bool session_is_submission(const struct session *s)
{
    return s->kind != ACCEPT_MX;
}

/* One reply. `more` goes behind the text; NULL: nothing. 5yz are counted as errors. */
void session_reply(struct session *s, enum smtp_reply_id id, const char *more);
/* What was printed into accept->scratch (EHLO's lines). */
void session_reply_lines(struct session *s);
/* For checks: replies and is false, so that `return session_refuse(...)` reads well. */
bool session_refuse(struct session *s, enum smtp_reply_id id);
/* The reply, then the end. */
void session_reply_close(struct session *s, enum smtp_reply_id id, const char *reason);
/* The end at once: what was written leaves first (close), or does not (abort). */
void session_close(struct session *s, const char *reason);
void session_abort(struct session *s, const char *reason);
/* Behind an answer that came from elsewhere (commit, a pool): limits, draining, and the next
 * commands. */
void session_go_on(struct session *s);

enum session_gate { GATE_TLS = 1, GATE_HELO = 2, GATE_AUTH = 4 };
#define GATE_OPEN (-1)
/* What stands before nearly every command: the first thing that is missing, or GATE_OPEN. */
int session_gate(const struct session *s, unsigned gates);
bool session_pass(struct session *s, unsigned gates); /* the same; replies */

/* ---- finish.c */
/* Forgets the transaction, if there is one. */
void session_transaction_end(struct session *s);
/* For the body of the transaction; also when a chunk's last bytes had to wait. */
void session_body_open(struct session *s);
/* Content of it, as the client sent it. */
void session_body_feed(struct session *s, struct span run);
/* Are bare CR and LF of this session's mails repaired? */
bool session_repairs(const struct session *s);
/* The end of the data was read: on to commit. */
void session_body_end(struct session *s);
/* What stands behind that reply, if the body was refused with it; else "". */
const char *session_body_cause(const struct session *s, enum smtp_reply_id id);
/* The transaction ends without a mail. */
void session_mail_refuse(struct session *s, enum smtp_reply_id id);
/* A sender or a recipient is refused by policy: a log line. */
void session_log_denied(const struct session *s, enum smtp_reply_id id, struct span address);

/* ---- limits.c */
void session_window_init(struct session *s);
void session_window_update(struct session *s); /* the state has changed */
void session_weigh(struct session *s);         /* what it holds may have changed */
void session_count_limit(enum smtp_reply_id id);

/* ---- verb_*.c: may it run now (else it has replied), and doing it */
#define VERB_DECLARE(name)                                                                         \
    bool verb_##name##_check(struct session *s, struct span arg);                                  \
    void verb_##name##_act(struct session *s, struct span arg);
VERB_DECLARE(helo)
VERB_DECLARE(ehlo)
VERB_DECLARE(starttls)
VERB_DECLARE(auth)
VERB_DECLARE(mail)
VERB_DECLARE(rcpt)
VERB_DECLARE(data)
VERB_DECLARE(bdat)
VERB_DECLARE(rset)
VERB_DECLARE(noop)
VERB_DECLARE(vrfy)
VERB_DECLARE(quit)
VERB_DECLARE(help)
VERB_DECLARE(expn)
VERB_DECLARE(unknown)
#undef VERB_DECLARE

void verb_auth_line(struct session *s, struct span line); /* an answer to 334 */
void verb_auth_delayed(struct session *s);                /* a failure is told now */
void verb_data_read(struct session *s, struct span *in);
void verb_bdat_read(struct session *s, struct span *in);
void verb_starttls_ready(struct session *s); /* TLS is established */

/* ---- policy.c */
/* May the session's credential use that sender? MX: yes. */
bool policy_sender(const struct session *s, struct span domain_key);
/* May the credential send a mail with that header (RFC 6409 6.1, 8.1)? Else the cause, in words. */
bool policy_header(struct session *s, struct span header, char cause[MAIL_SENDERS_CAUSE_SIZE]);
/* SMTP_REPLY_RECIPIENT_OK, RELAY_DENIED, or TOO_MANY_RECIPIENTS for a domain of another tenant. On
 * the first recipient of MX service the transaction becomes that tenant's. */
enum smtp_reply_id policy_recipient(struct session *s, struct span local, struct span domain_key);

#endif
