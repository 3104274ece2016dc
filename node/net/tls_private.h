/* tls_private - what the files of TLS contexts know of them: tls.c, tls_server.c, tls_ticket.c, stream_tls.c. */
#ifndef NET_TLS_PRIVATE_H
#define NET_TLS_PRIVATE_H

#include <openssl/ssl.h>
#include <stdatomic.h>

#include "node/net/tls.h"

/* One certificate that a server shows. Two with the same names share a context. */
struct tls_identity {
    SSL_CTX *ctx; /* a reference */
    X509 *leaf;   /* a reference */
    char *file, *names;
    struct tls_certificate facts;
};

struct tls {
    atomic_uint refs;
    SSL_CTX *ctx; /* of a server: the first identity's */
    bool server, verify;
    struct tls_identity *identities;
    unsigned identity_count;
    struct tls_tickets *tickets;
    char (*pins)[65]; /* of a client: hex */
    unsigned pin_count;
};

/* What is allowed, for both sides. */
SSL_CTX *tls_context_new(const SSL_METHOD *method);
const char *tls_last_reason(void);
void tls_spki_sha256(X509 *leaf, char out[65]);
bool tls_pin_fits(const struct tls *t, const char shown[65]); /* no pins: any key does */
/* Tickets of ctx are made and read with these keys; they must outlive it. */
void tls_tickets_use(struct tls_tickets *t, SSL_CTX *ctx);
void tls_server_free(struct tls *t); /* identities and keys */

#endif
