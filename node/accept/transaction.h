/* transaction - private to accept: the envelope of one mail in an arena of its own, and its body.
 * From MAIL to the answer after the end of the data, or to RSET and the like. */
#ifndef ACCEPT_TRANSACTION_H
#define ACCEPT_TRANSACTION_H

#include "node/accept/body.h"
#include "node/smtp/command.h"
#include "proto/ground/arena.h"

/* Of the arena. What lies there is a little more than its command's size, and facts, origin and the indexes
 * of chunks come to it: so a transaction that fits here fits into a command. */
#define TRANSACTION_SIZE_MAX (PROTO_COMMAND_SIZE_MAX - (64u << 10))

struct transaction {
    struct arena arena;
    struct span from;   /* empty: the null return path */
    const char *tenant; /* of the credential, or of the first recipient's domain; accept_auth's */
    Angarium__Recipient **recipients;
    unsigned recipient_count, recipient_cap;
    struct span envid;       /* RFC 3461; empty: not said */
    uint32_t ret, body_type; /* as in proto/queue.proto */
    bool smtputf8;
    bool by_bdat; /* for the log */
    int dead;     /* enum smtp_reply_id that every further chunk gets; -1: alive */
    struct body body;
    bool body_is_open;
    struct commit_mail mail;
    bool is_committing; /* mail is commit's */
    uint64_t committing_since_ms;
};

#define TRANSACTION_ALIVE (-1)

/* 0 or ERR_FULL. */
int transaction_open(struct transaction *t, const struct smtp_mail *mail);
/* Forgets everything: also what commit was asked, and the chunks that were sent. May be called
 * twice. */
void transaction_close(struct transaction *t);
/* `address`, `domain` (the queue's key) and what else rcpt asks for are copied. 0 or ERR_FULL. */
int transaction_add(struct transaction *t, const struct smtp_rcpt *rcpt, struct span address,
                    struct span domain);

struct transaction_origin {
    struct span session, client_address, helo, protocol, tls, credential, listener, hostname;
    uint16_t client_port;
    uint64_t node, time_ms, expire_ms;
    bool submitted, hold_in_doubt;
};
/* Hands the mail to commit: 0, and on_done comes, or what commit_mail answers. */
int transaction_commit(struct transaction *t, const struct transaction_origin *origin,
                       void (*on_done)(struct commit_mail *m, int rv, uint64_t id));

#endif
