/* tls - TLS contexts: what is allowed is written here and nowhere else.
 *
 * TLS 1.2 and 1.3; for 1.2 only ECDHE with an AEAD cipher; no compression, no renegotiation.
 * Sessions are resumed by tickets (RFC 8446, 4.6.1), so a server keeps nothing per session. A
 * context is never changed once made: a reload makes a new one, and streams that began with the old
 * keep it alive.
 */
#include "node/net/stream_private.h"

#include <openssl/err.h>
#include <stdlib.h>
#include <unistd.h>

#include "proto/ground/check.h"

#define SUITES_TLS12 "ECDHE+AESGCM:ECDHE+CHACHA20"
#define GROUPS       "X25519:P-256:P-384"

static const char *last_reason(void)
{
    const char *text = ERR_reason_error_string(ERR_peek_last_error());
    return text ? text : "no reason given";
}

/* A key that wants a passphrase is an error, not a question on the terminal. */
static int no_passphrase(char *out, int size, int writing, void *arg)
{
    (void)out;
    (void)size;
    (void)writing;
    (void)arg;
    return 0;
}

static struct tls *context_new(const SSL_METHOD *method)
{
    struct tls *t = check_calloc(1, sizeof *t);

    atomic_init(&t->refs, 1);
    t->ctx = SSL_CTX_new(method);
    CHECK(t->ctx != NULL);
    CHECK(SSL_CTX_set_min_proto_version(t->ctx, TLS1_2_VERSION) == 1);
    CHECK(SSL_CTX_set_cipher_list(t->ctx, SUITES_TLS12) == 1);
    CHECK(SSL_CTX_set1_groups_list(t->ctx, GROUPS) == 1);
    SSL_CTX_set_options(t->ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                    SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_mode(t->ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                 SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_cache_mode(t->ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_default_passwd_cb(t->ctx, no_passphrase);
    return t;
}

static int load_pair(struct tls *t, const char *cert_file, const char *key_file, struct errmsg *why)
{
    if (SSL_CTX_use_certificate_chain_file(t->ctx, cert_file) != 1)
        return errmsg_set(why, ERR_TLS, "certificate %s: %s", cert_file, last_reason());
    if (SSL_CTX_use_PrivateKey_file(t->ctx, key_file, SSL_FILETYPE_PEM) != 1)
        return errmsg_set(why, ERR_TLS, "key %s: %s", key_file, last_reason());
    if (SSL_CTX_check_private_key(t->ctx) != 1)
        return errmsg_set(why, ERR_TLS, "key %s does not belong to certificate %s", key_file,
                          cert_file);
    return 0;
}

int tls_server_new(struct tls **out, const char *cert_file, const char *key_file,
                   struct errmsg *why)
{
    static const unsigned char session_context[] = "angarium";
    struct tls *t = context_new(TLS_server_method());
    int err;

    *out = NULL;
    ERR_clear_error();
    t->server = true;
    SSL_CTX_set_session_id_context(t->ctx, session_context, sizeof session_context - 1);
    SSL_CTX_set_num_tickets(t->ctx, 1);
    err = load_pair(t, cert_file, key_file, why);
    ERR_clear_error();
    if (err)
        tls_unref(&t);
    else
        *out = t;
    return err;
}

int tls_client_new(struct tls **out, enum tls_verify verify, const char *ca_file,
                   struct errmsg *why)
{
    struct tls *t = context_new(TLS_client_method());
    int ok = 1;

    *out = NULL;
    ERR_clear_error();
    t->verify = verify == TLS_VERIFY_PEER;
    SSL_CTX_set_verify(t->ctx, t->verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
    if (ca_file)
        ok = SSL_CTX_load_verify_locations(t->ctx, ca_file, NULL);
    else if (t->verify)
        ok = SSL_CTX_set_default_verify_paths(t->ctx);
    if (ok != 1) {
        int err = errmsg_set(why, ERR_TLS, "CA certificates %s: %s",
                             ca_file ? ca_file : "of the system", last_reason());
        ERR_clear_error();
        tls_unref(&t);
        return err;
    }
    *out = t;
    return 0;
}

struct tls *tls_ref(struct tls *t)
{
    atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
    return t;
}

void tls_unref(struct tls **tp)
{
    struct tls *t = *tp;

    *tp = NULL;
    if (!t || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1) return;
    SSL_CTX_free(t->ctx);
    free(t);
}
