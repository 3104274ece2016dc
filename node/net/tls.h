/* tls - TLS contexts (OpenSSL): 1.2 and 1.3, ECDHE with AEAD only, session tickets; reference counted, so
 * that a reload swaps the context under running listeners. Contexts may be used by streams of any loop. */
#ifndef NET_TLS_H
#define NET_TLS_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/ground/clock.h"
#include "proto/ground/err.h"

struct tls;

/* ---- session tickets: the keys, shared by all contexts and loops of a node (RFC 5077, RFC 8446 4.6.1)
 *
 * A key makes tickets for TLS_TICKET_ROTATE_MS; those that it made are taken for TLS_TICKET_LIFE_MS more; then it
 * is wiped. So who steals a key can read what was resumed by it, and nothing that is older or younger. Keys are
 * drawn at random, are never written anywhere, and outlive a reload of certificates. */
#define TLS_TICKET_ROTATE_MS (4u * 3600 * 1000)
#define TLS_TICKET_LIFE_MS   (4u * 3600 * 1000)
struct tls_tickets;
struct tls_tickets *tls_tickets_new(const struct clock *clock); /* borrowed; its mono time counts */
struct tls_tickets *tls_tickets_ref(struct tls_tickets *t);     /* any thread */
void tls_tickets_unref(struct tls_tickets **t);                 /* any thread */
/* Does what is due; also done at every handshake. Call it now and then, so that an idle node wipes too. */
void tls_tickets_turn(struct tls_tickets *t); /* any thread */

/* ---- contexts */

struct tls_pair {
    const char *certificate, *key; /* PEM files: the chain, the leaf first; its key */
};
#define TLS_PAIRS_MAX 256
/* Server. The first pair is shown to who asks for no name or for an unknown one; each other to who asks for a name
 * of its leaf (SNI, RFC 6066 3; exact names before wildcards, then the earlier pair). Pairs with the same names and
 * different kinds of keys (ECDSA, RSA) serve together: the client gets what it can verify.
 * tickets: referenced; NULL: no session is resumed. ERR_TLS with the reason (file, what is wrong). */
int tls_server_new(struct tls **out, const struct tls_pair *pairs, unsigned count,
                   struct tls_tickets *tickets, struct errmsg *why);
enum tls_verify { TLS_VERIFY_NONE /* opportunistic */, TLS_VERIFY_PEER };
/* Client: ca_file NULL: the system's roots. NONE: a certificate is looked at (stream_tls_verified) and nothing
 * hangs on it. */
int tls_client_new(struct tls **out, enum tls_verify verify, const char *ca_file,
                   struct errmsg *why);
/* From TLS 1.3 on only; before the context is used. */
void tls_need_13(struct tls *t);
/* A client talks only to who has one of these public keys: SHA-256 of the SPKI, 64 digits of lower-case hex, as
 * tls_certificate.spki_sha256 shows them. Beside verification, not instead of it. Before the context is used; once. */
#define TLS_PINS_MAX 16u
void tls_pin(struct tls *t, const char *const *pins, unsigned count);
struct tls *tls_ref(struct tls *t); /* any thread */
void tls_unref(struct tls **t);     /* any thread */

/* ---- what a server shows, for people and pins */

struct tls_certificate {
    const char *file;
    const char *names;                    /* "mx.example.test, *.example.test" */
    uint64_t not_before_ms, not_after_ms; /* wall */
    char sha256[65],
        spki_sha256[65];  /* of the leaf, of its public key (TLSA 3 1 1, RFC 6698); hex */
    unsigned chain_count; /* certificates in the file */
    const char *doubt;    /* what is strange about the chain; NULL: nothing */
};
unsigned tls_certificate_count(const struct tls *t);
const struct tls_certificate *tls_certificate(const struct tls *t,
                                              unsigned i); /* lives as t does */
/* Whole days until it expires, rounded down; negative: expired. */
int64_t tls_days_left(const struct tls_certificate *c, uint64_t wall_ms);

/* Makes a CA and a certificate for hosts signed by it (P-256), PEM, mode 0600 for keys: for `angarium dev`
 * and tests. Files: dir/ca.pem, dir/ca.key, dir/node.pem, dir/node.key; what exists is kept. A host is a name, an address, or
 * a node's name among peers (angarium://CLUSTER/node/N). The first one, which is no node's name, is the subject. */
int tls_make_dev_files(const char *dir, const char *const *hosts, unsigned host_count,
                       struct errmsg *why);
/* The same, with the certificate in dir/NAME.pem, dir/NAME.key: several under one CA. */
int tls_make_dev_leaf(const char *dir, const char *name, const char *const *hosts,
                      unsigned host_count, struct errmsg *why);

#endif
