/* inside - what the files of node/login share. Nobody else includes this. */
#ifndef LOGIN_INSIDE_H
#define LOGIN_INSIDE_H

#include <pthread.h>
#include <stdatomic.h>

#include "node/login/login.h"

enum login_kind { LOGIN_PASSWORD, LOGIN_TOKEN_FILE, LOGIN_ENDPOINT };

struct login {
    atomic_uint refs;
    atomic_bool is_stopped;
    enum login_kind kind;
    char *username, *file; /* of the password or the access token */
    char *token_url, *client_id, *client_secret_file, *refresh_token_file, *scope, *token_ca_file;
    const struct clock *clock;

    /* of the fetch that runs alone */
    struct secret *rotated;  /* the refresh token that came instead of the file's ... */
    struct secret *replaced; /* ... which held this when it came */

    pthread_mutex_t lock; /* what follows */
    struct secret *current;
    uint64_t current_until_ms; /* then it is looked for again */
    bool is_fetching, is_proven, is_tried, is_renewed, is_suspect;
    unsigned refusals, failures; /* in a row: of secrets by the host, of fetches */
    uint64_t refused_until_ms, failed_until_ms;
    int failed;
    char why[512]; /* of the last failure */
    struct list waiting;
    unsigned waiting_count;
};

/* What a fetch brought. */
struct login_catch {
    int result;
    struct secret *secret;
    uint64_t life_ms;
    struct errmsg why;
};
/* On a pool's thread. */
void login_fetch(struct login *l, struct login_catch *out);
/* POST of a form to the token endpoint: 0 and the answer, or ERR_IO, ERR_TLS, ERR_TIMEOUT ... *body is wiped by the
 * caller. */
int login_post(const struct login *l, const char *form, unsigned *status, struct buf *body,
               struct errmsg *why);

#endif
