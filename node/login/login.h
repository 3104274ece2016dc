/* login - the account that a route logs in with at its next hop: a name, and a secret that comes from a password file,
 * from a file with an access token that somebody else renews, or from a token endpoint (OAuth 2.0: RFC 6749 6).
 *
 * A login is counted and shared by all loops. Who wants to say AUTH asks (login_ask), gets the secret or the reason
 * why not, and tells what became of it (login_tell) exactly once for each secret that it got.
 *
 * Holds:  - Files are looked at again after LOGIN_LOOK_MS, tokens are fetched anew LOGIN_EARLY_MS before they end; one
 *           fetch at a time, never on a loop, bounded in time and size.
 *         - An account is not hammered. Until a secret has been accepted once, one asker has it at a time. A secret
 *           that is refused is renewed once (a fresh token, the file read again); is what comes refused as well, or
 *           the same, then nobody gets one for LOGIN_PAUSE_MS, which doubles up to LOGIN_PAUSE_MAX_MS. A file that
 *           holds another secret ends the pause.
 *         - A fetch that fails is not repeated for LOGIN_BACKOFF_MS, at an endpoint doubling up to LOGIN_BACKOFF_MAX_MS.
 *         - Secrets are in no log line and no text of this room; what was replaced is wiped with its last holder.
 * Threads: any, but for an ask: it is made, answered and cancelled on one loop. */
#ifndef LOGIN_LOGIN_H
#define LOGIN_LOGIN_H

#include "node/net/loop.h"
#include "proto/ground/secret.h"

#define LOGIN_LOOK_MS        5000u
#define LOGIN_EARLY_MS       300000u /* or a tenth of the token's life, if that is less */
#define LOGIN_PAUSE_MS       60000u
#define LOGIN_PAUSE_MAX_MS   900000u
#define LOGIN_BACKOFF_MS     10000u
#define LOGIN_BACKOFF_MAX_MS 600000u
#define LOGIN_ANSWER_MS      30000u      /* a token endpoint answers in that time */
#define LOGIN_ANSWER_SIZE    (64u << 10) /* ... with at most so much */
#define LOGIN_ASKS_MAX       4096u       /* that wait at once; more: ERR_FULL */

struct login;
/* Texts are copied; NULL or "": not set. One of password_file, access_token_file and token_url is set. */
struct login_options {
    const char *username;
    const char *password_file, *access_token_file;
    const char *token_url; /* "https://...", or "http://" with a loopback host */
    const char *client_id, *client_secret_file, *refresh_token_file, *scope;
    const char
        *token_ca_file; /* whom the endpoint's certificate must come from; not set: the system's */
    const struct clock *clock; /* borrowed */
};
struct login *login_new(const struct login_options *o);
struct login *login_ref(struct login *l);
void login_unref(struct login **l);
const char *login_username(const struct login *l);
bool login_is_token(const struct login *l); /* else a password */
/* Fetches end early and none begins: before the loops are settled for good. */
void login_stop(struct login *l);

struct login_answer {
    int result; /* 0; ERR_DENIED: refused by the host, ERR_FULL, others: it cannot be had */
    struct secret *secret; /* with 0: the receiver's */
    uint64_t again_at_ms;  /* else: not before (mono); 0: any time */
    const char *why;       /* borrowed during the call */
};
struct login_ask;
/* Answered by done(arg, answer), never inside the call. *ask is of no use from then on. */
void login_ask(struct login *l, struct loop *loop,
               void (*done)(void *arg, const struct login_answer *a), void *arg,
               struct login_ask **ask);
void login_ask_cancel(
    struct login_ask **ask); /* NULL inside is harmless; a secret on its way is given back */

/* Whether asking is of no use now: the account was refused, or its secret could not be had and is being looked for. Then
 * look again at *until_ms (mono). On a loop, cheap; sees to it that a file is looked at again. */
#define LOGIN_POLL_MS 1000u
bool login_is_held(struct login *l, struct loop *loop, uint64_t *until_ms);

enum login_result { LOGIN_ACCEPTED, LOGIN_REFUSED, LOGIN_UNTRIED };
void login_tell(struct login *l, struct loop *loop, struct secret **s,
                enum login_result result); /* takes s */

/* ---- what a token endpoint says (RFC 6749 5.1, 5.2; RFC 6750 2.1) */

struct login_token {
    struct secret *access, *refresh; /* the caller's; refresh NULL: the old one stays */
    uint64_t life_ms;
    char error[65]; /* "invalid_grant", ...: what it is refused with; "": it did not say */
};
/* 0; ERR_DENIED: an answer of 4xx, with out->error; ERR_SYNTAX: not an answer that can be used. */
int login_token_read(unsigned status, struct span body, struct login_token *out,
                     struct errmsg *why);
void login_token_deinit(struct login_token *t);

#endif
