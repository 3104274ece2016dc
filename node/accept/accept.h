/* accept - bytes become a mail: the SMTP server (RFC 5321, 6409, 8314, 3207, 4954, 3030,
 * 3461, 6531, 9422).
 *
 * Way:     listener -> session (state table) -> verb_*.c -> transaction -> body -> commit -> "250 queued as".
 * Promise: `250` after the end of data is written only in commit's on_done with 0 (P1). A password is
 *          neither kept nor logged, AUTH runs on TLS only (P9). Everything is bounded; at a limit the answer
 *          is 4yz (P5).
 * Threads: one accept per loop serves its own listeners; credentials and the AUTH cache are shared by all
 *          (struct accept_auth).
 */
#ifndef ACCEPT_ACCEPT_H
#define ACCEPT_ACCEPT_H

#include "node/commit/commit.h"
#include "node/mail/content.h"
#include "node/net/stream.h"
#include "node/net/tls.h"

enum accept_kind {
    ACCEPT_SUBMISSION,  /* STARTTLS and AUTH needed */
    ACCEPT_SUBMISSIONS, /* TLS from the first byte, AUTH needed */
    ACCEPT_MX,          /* STARTTLS offered; mail for tenants' domains only */
};

/* What becomes of a bare CR or LF in a mail (RFC 5321 2.3.8). Never does one end data or a command. */
enum accept_bare {
    ACCEPT_BARE_REFUSE,    /* 554 */
    ACCEPT_BARE_NORMALISE, /* from who has authenticated it becomes CR LF; from others it is refused */
};

enum { ACCEPT_AUTH_PLAIN = 1, ACCEPT_AUTH_LOGIN = 2 };

/* What a listener does. */
struct accept_service {
    enum accept_kind kind;
    enum accept_bare bare;
    unsigned mechanisms; /* ACCEPT_AUTH_*; 0: all */
};

/* ---- who may: shared by all loops, replaced as a whole on reload */

struct accept_credential {
    const char *username, *tenant, *password_hash;
    const char *addresses; /* networks that it may come from, with commas between; NULL, "": any */
};
struct accept_tenant {
    const char *name;
    const char *const *domains;
    unsigned domain_count;
    bool holds_doubts; /* its mail is held when it is in doubt (P4) */
};
struct accept_auth;
/* Copies all. cache_ms: how long a verified password is remembered, under a keyed hash (key drawn at
 * start). inflight_max: verifications at once on the CPU pool; more: 454. ERR_CONFIG for a hash that is not
 * argon2id. */
int accept_auth_new(struct accept_auth **out, const struct accept_credential *credentials,
                    unsigned credential_count, const struct accept_tenant *tenants,
                    unsigned tenant_count, uint64_t cache_ms, unsigned inflight_max,
                    struct errmsg *why);
struct accept_auth *accept_auth_ref(struct accept_auth *a); /* any thread */
void accept_auth_unref(struct accept_auth **a);             /* any thread */

/* ---- the server of one loop */

struct accept_limits {
    uint64_t message_size_max; /* 52428800 */
    unsigned recipients_max;   /* of a transaction: 1000 */
    size_t line_size_max;      /* of a command, with CR LF: 2048 (AUTH: 12288, RFC 4954 4) */
    size_t bodies_size_max; /* memory of all bodies of the process, arriving or leaving: 512 MiB */
    size_t header_size_max; /* 256 KiB */
    unsigned header_fields_max; /* 1000 */
    unsigned hops_max;          /* Received fields: 50 */
    unsigned transactions_max;  /* of a session: 1000 */
    unsigned errors_max;        /* of a session: 20 */
    unsigned unknown_max;       /* unknown commands of a session: 10 */
    uint64_t greeting_ms;       /* MX service waits so long before its greeting: 0 */
    uint64_t idle_ms;           /* 5 min (RFC 5321 4.5.3.2.7) */
    uint64_t data_idle_ms;      /* 3 min */
    uint64_t life_ms;           /* of a session: 1 h */
    uint64_t data_rate_min;     /* bytes a second that a mail comes with at least: 100, ... */
    uint64_t data_window_ms;    /* ... over each such time: 1 min */

    /* Of all loops, kept by accept_clients: */
    unsigned sessions_max;            /* 10000 */
    size_t sessions_memory_max;       /* what they hold without bodies, as estimated: 1 GiB */
    unsigned clients_max;             /* addresses, and usernames, that are remembered: 65536 */
    unsigned address_sessions_max;    /* of one client address: 1000 */
    unsigned address_rate_max;        /* new connections a minute of one: 3000 */
    unsigned credential_sessions_max; /* of one username: 1000 */
    unsigned auth_failures_max;       /* of an address, of a username: 20 */
    uint64_t auth_forget_ms;          /* one of them is forgotten each: 1 min */
    uint64_t auth_delay_ms;     /* the second one is answered so late, each next twice: 500 ms */
    uint64_t auth_delay_max_ms; /* 10 s */
};
void accept_limits_default(struct accept_limits *l);
int accept_limits_check(const struct accept_limits *l, struct errmsg *why); /* 0, ERR_CONFIG */

/* ---- who came: client addresses and usernames, shared by all loops (clients.c) */

struct accept_clients;
struct accept_clients *accept_clients_new(const struct accept_limits *limits);
struct accept_clients *accept_clients_ref(struct accept_clients *c); /* any thread */
void accept_clients_unref(struct accept_clients **c);                /* any thread */
/* Other limits from now on; who is in stays in. Any thread. */
void accept_clients_set_limits(struct accept_clients *c, const struct accept_limits *limits);

struct accept;
struct accept_options {
    struct loop *loop;
    struct commit *commit;
    struct accept_auth *auth;       /* referenced */
    struct accept_clients *clients; /* referenced; NULL: this loop is the only one */
    struct mail_content *content;   /* referenced; NULL: no rules */
    struct tls *tls;                /* server context, referenced; NULL: no TLS offered (MX only) */
    const char *hostname;           /* copied */
    uint64_t node;
    uint64_t start;     /* distinguishes process starts in session ids: wall ms */
    uint64_t expire_ms; /* a recipient expires so long after acceptance */
    uint64_t hold_ms; /* so long at most nobody is let in while no shard leads, here or elsewhere, or auth is missing: who comes waits */
    bool lacks_auth;  /* auth is not what the cluster goes by: the first accept_set_auth says that */
    struct accept_limits limits;
    bool
        carries_binary; /* BINARYMIME is offered: delivery can carry it, or convert it (RFC 3030) */
};
int accept_new(struct accept **out, const struct accept_options *o, struct errmsg *why);
void accept_free(struct accept **a); /* after accept_is_idle, or to cut everything off */
int accept_listen(struct accept *a, const struct accept_service *service,
                  const struct stream_address *at, struct errmsg *why);
uint16_t accept_port(const struct accept *a,
                     unsigned number); /* of the number-th listener (tests) */
/* For reload; sessions that run keep what they have, also when their listener goes. On the loop. */
void accept_set_auth(struct accept *a, struct accept_auth *auth);
void accept_set_tls(struct accept *a, struct tls *tls);
void accept_set_content(struct accept *a, struct mail_content *content); /* for mails that begin */
void accept_set_limits(struct accept *a, const struct accept_limits *limits, uint64_t expire_ms);
/* The listeners from now on: one that is open and not among them is closed, one that is goes on with that service.
 * Not while it drains. */
struct accept_door {
    struct accept_service service;
    struct stream_address at;
    int socket; /* of listener_socket, taken; -1: a listener is open there */
};
void accept_set_doors(struct accept *a, const struct accept_door *doors, unsigned count);
/* No new sessions; idle ones get 421 now, others at the end of their transaction. On the loop. */
void accept_drain(struct accept *a);
bool accept_is_idle(const struct accept *a);

#endif
