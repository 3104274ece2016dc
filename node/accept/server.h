/* server - private to accept: the server of one loop, as its sessions see it. */
#ifndef ACCEPT_SERVER_H
#define ACCEPT_SERVER_H

#include "node/accept/accept.h"
#include "node/mail/mail.h"

#define ACCEPT_READERS_KEPT 32
#define ACCEPT_SCRATCH_MAX  4096 /* the longest reply: EHLO's */

/* What a session goes by from its begin to its end; a reload makes new ones. */
struct terms {
    unsigned refs;
    struct accept_limits limits;
    uint64_t expire_ms;
};
struct terms *terms_ref(struct terms *t);
void terms_unref(struct terms **t);

struct accept {
    struct loop *loop;
    struct commit *commit;
    struct accept_auth *auth;
    struct accept_clients *clients;
    struct tls *tls;              /* NULL: none */
    struct mail_content *content; /* NULL: no rules */
    char *hostname;
    uint64_t node, start, hold_until_ms; /* mono */
    struct terms *terms; /* of the sessions to come */
    struct list doors;    /* listeners */
    struct list sessions; /* those whose streams are not gone yet */
    unsigned session_count;
    bool draining, carries_binary, lacks_auth;
    struct mail_reader *readers[ACCEPT_READERS_KEPT]; /* at rest */
    unsigned reader_count;
    struct buf scratch; /* a reply on its way to a stream */
};

/* A mail_reader is some KiB and most sessions are idle: they share what lies here. */
struct mail_reader *accept_reader_take(struct accept *a);
void accept_reader_give(struct accept *a, struct mail_reader **r);
const char *accept_kind_name(enum accept_kind kind);

#endif
