/* tls - TLS contexts: what is allowed is written here and nowhere else.
 *
 * TLS 1.2 and 1.3; for 1.2 only ECDHE with an AEAD cipher; no compression, no renegotiation.
 * Sessions are resumed by tickets (tls_ticket.c), so a server keeps nothing per session. A
 * context is never changed once made: a reload makes a new one, and streams that began with the old
 * keep it alive.
 */
#include "node/net/tls_private.h"

#include <openssl/err.h>
#include <stdlib.h>

#include "proto/ground/check.h"

/* AES-128 with SHA-256 first: it serves as well, and a handshake costs up to a tenth less than with SHA-384, for which few
 * processors have instructions. */
#define SUITES_TLS13 "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define SUITES_TLS12 "ECDHE+AES128+AESGCM:ECDHE+AESGCM:ECDHE+CHACHA20"
#define GROUPS       "X25519:P-256:P-384"

const char *tls_last_reason(void)
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

SSL_CTX *tls_context_new(const SSL_METHOD *method)
{
    SSL_CTX *ctx = SSL_CTX_new(method);

    CHECK(ctx != NULL);
    CHECK(SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1);
    CHECK(SSL_CTX_set_ciphersuites(ctx, SUITES_TLS13) == 1);
    CHECK(SSL_CTX_set_cipher_list(ctx, SUITES_TLS12) == 1);
    CHECK(SSL_CTX_set1_groups_list(ctx, GROUPS) == 1);
    SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                 SSL_OP_CLEANSE_PLAINTEXT | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                 SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
    return ctx;
}

/* As one file into memory where there is one: a directory would be read in the middle of handshakes. */
static bool load_system_roots(struct tls *t)
{
    static const char *const files[] = { "/etc/ssl/certs/ca-certificates.crt",
                                         "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem" };

    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        if (SSL_CTX_load_verify_file(t->ctx, files[i]) == 1) return true;
    return SSL_CTX_set_default_verify_paths(t->ctx) == 1;
}

int tls_client_new(struct tls **out, enum tls_verify verify, const char *ca_file,
                   struct errmsg *why)
{
    struct tls *t = check_calloc(1, sizeof *t);
    int ok = 1;

    *out = NULL;
    ERR_clear_error();
    atomic_init(&t->refs, 1);
    t->ctx = tls_context_new(TLS_client_method());
    t->verify = verify == TLS_VERIFY_PEER;
    SSL_CTX_set_verify(t->ctx, t->verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
    if (ca_file)
        ok = SSL_CTX_load_verify_locations(t->ctx, ca_file, NULL);
    else if (!load_system_roots(t))
        ok = !t->verify;
    if (ok != 1) {
        int err = errmsg_set(why, ERR_TLS, "CA certificates %s: %s",
                             ca_file ? ca_file : "of the system", tls_last_reason());
        ERR_clear_error();
        tls_unref(&t);
        return err;
    }
    ERR_clear_error();
    *out = t;
    return 0;
}

void tls_need_13(struct tls *t)
{
    CHECK(SSL_CTX_set_min_proto_version(t->ctx, TLS1_3_VERSION) == 1);
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
    if (t->server) tls_server_free(t);
    SSL_CTX_free(t->ctx);
    free(t->pins);
    free(t);
}
