/* gen - the parts of mailgen: the plan (what to send), the tally (what came of it), the sessions.
 *
 * One thread, one epoll. Each session is a state machine that sends one mail at a time; the plan
 * says when the next may begin. A mail whose end was sent and whose reply was not read, or was 4yz,
 * is unsure: it may or may not arrive. Ids are never used twice.
 */
#ifndef BENCH_GEN_H
#define BENCH_GEN_H

#include "tests/bench/wire.h"

enum gen_tls { GEN_TLS_NONE, GEN_TLS_STARTTLS, GEN_TLS_IMPLICIT };

struct gen_plan {
    struct wire_address to;
    enum gen_tls tls;
    SSL_CTX *ctx;
    const char *user, *password, *from, *id_prefix;
    char **domains; /* of the recipients, taken in turn */
    unsigned domain_count;
    unsigned sessions, per_session, recipients;
    uint64_t mails; /* to be answered for good; 0: no end by number */
    uint64_t seconds, give_up_s;
    size_t size_least, size_most;
    double rate; /* mails a second, begun when they are due; 0: as fast as answers come */
    uint64_t seed;
    bool resume; /* TLS sessions of the connection before */
    bool bdat, pipelining, quickack, nodelay, keep_trying;
    bool drop_late; /* with a rate: what was due while nobody took it is not made up for */
};

/* Microseconds, all of them kept. */
struct gen_samples {
    uint32_t *us;
    size_t n, cap;
};

#define GEN_CODES 600

struct gen_tally {
    uint64_t acked, refused, unsure, lost, connections, connect_failures, bytes;
    uint64_t full, resumed; /* TLS handshakes */
    uint64_t by_code[GEN_CODES];
    struct gen_samples whole, dot; /* MAIL..250, end of mail..250 */
    uint64_t first_us, last_us;    /* of the acked */
    uint64_t progress_us;          /* when something last went well */
    int acked_fd, unsure_fd, failed_fd; /* -1: not wanted */
};

struct gen {
    struct gen_plan plan;
    struct gen_tally tally;
    int epoll;
    struct gen_session *sessions;
    unsigned turn_next; /* whose turn is the next one's first */
    uint64_t begun_us, late_us, mail_next, in_flight, seed;
    bool stopping;
};

enum gen_phase {
    GEN_OFF,
    GEN_CONNECT,
    GEN_TLS,
    GEN_GREETING,
    GEN_EHLO,
    GEN_STARTTLS,
    GEN_AUTH,
    GEN_IDLE,
    GEN_MAIL,
    GEN_RSET,
    GEN_QUIT,
    GEN_GONE,
};

/* The mail in the air: steps MAIL, RCPT.., then DATA and its body, or BDAT.. */
struct gen_mail {
    char id[LETTER_ID_SIZE];
    struct letter letter;
    unsigned steps, sent, replied, accepted;
    int failed; /* the reply that ended it, 0: none */
    bool in_text, end_sent; /* text is still to be sent; all is */
    uint64_t begun_us, dot_us;
};

struct gen_session {
    struct gen *gen;
    struct wire wire;
    enum gen_phase phase;
    struct gen_mail mail;
    bool can_pipeline, can_size, can_bdat, secured;
    unsigned mails, failures; /* on this connection; in a row */
    uint64_t wake_us;         /* OFF and IDLE: nothing before this */
};

/* gen_session.c */
void gen_session_event(struct gen_session *s, uint32_t events);
/* Does what is due now; returns when it wants to be called again (UINT64_MAX: only by events). */
uint64_t gen_session_turn(struct gen_session *s, uint64_t now_us);

/* gen_mail.c: the steps of one mail */
void gen_mail_begin(struct gen_session *s, uint64_t now_us);
void gen_mail_send(struct gen_session *s);
/* All that was to be sent is sent; true: here is more. */
bool gen_mail_more(struct gen_session *s);
/* Takes one reply; true when the mail is over (s->mail.failed tells how). */
bool gen_mail_reply(struct gen_session *s, int code, const char *text);
/* The connection broke. */
void gen_mail_lost(struct gen_session *s);

/* gen_tally.c */
void gen_sample(struct gen_samples *s, uint64_t us);
/* Appends "id word mono_ms number" as one write. */
void gen_note(int fd, const char *id, const char *word, unsigned number);
void gen_note_failed(const struct gen_session *s);
void gen_print(struct gen *g, const char *json_file);

/* mailgen.c: may a mail begin now? Then it counts as begun, and *due_us is when it should have.
 * Otherwise *due_us is when to ask again (UINT64_MAX: never). */
bool gen_may_begin(struct gen *g, uint64_t now_us, uint64_t *due_us);

#endif
