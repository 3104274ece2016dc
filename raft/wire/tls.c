/* tls - the one TLS context of a wire, both ends of it, and the name in a certificate.
 *
 * TLS 1.3 only, certificates both ways, signed by the cluster's CA and nobody else; no tickets, no resumption, no early
 * data: every connection shows its certificate, and nothing can be replayed. The bytes go through a BIO that reads and
 * writes the buffers of the connection: no copy more than OpenSSL makes itself.
 */
#include "raft/wire/inside.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "proto/ground/check.h"

/* AES first: every server of these days has it in hardware, and it is twice as fast there. */
#define SUITES "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define GROUPS "X25519:P-256:P-384"

#define ALERT_REASON_MIN 1000 /* of OpenSSL: reason of an alert that came = this + its number */

/* ---- the BIO */

static int bio_read(BIO *b, char *out, int size)
{
    struct conn *c = BIO_get_data(b);
    size_t n = c->in.n < (size_t)size ? c->in.n : (size_t)size;

    BIO_clear_retry_flags(b);
    if (n == 0) {
        BIO_set_retry_read(b);
        return -1;
    }
    memcpy(out, c->in.p, n);
    c->in = span_from(c->in, n);
    return (int)n;
}

/* What does not fit ends the connection: only a peer that makes us answer without end gets there. */
static int bio_write(BIO *b, const char *p, int size)
{
    struct conn *c = BIO_get_data(b);

    BIO_clear_retry_flags(b);
    if ((size_t)size > OUT_SIZE_MAX - c->fill_n) return -1;
    memcpy(c->fill + c->fill_n, p, (size_t)size);
    c->fill_n += (size_t)size;
    return size;
}

static long bio_ctrl(BIO *b, int cmd, long num, void *p)
{
    (void)b;
    (void)num;
    (void)p;
    return cmd == BIO_CTRL_FLUSH ? 1 : 0;
}

static BIO_METHOD *method;
static pthread_once_t method_once = PTHREAD_ONCE_INIT;

static void method_make(void)
{
    method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "wire");
    CHECK(method != NULL);
    CHECK(BIO_meth_set_read(method, bio_read) == 1);
    CHECK(BIO_meth_set_write(method, bio_write) == 1);
    CHECK(BIO_meth_set_ctrl(method, bio_ctrl) == 1);
}

SSL *wire_tls_new(SSL_CTX *ctx, struct conn *c)
{
    SSL *ssl = SSL_new(ctx);
    BIO *bio;

    CHECK(pthread_once(&method_once, method_make) == 0);
    bio = BIO_new(method);
    CHECK(ssl && bio);
    BIO_set_data(bio, c);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl, bio, bio);
    if (c->is_accepted)
        SSL_set_accept_state(ssl);
    else
        SSL_set_connect_state(ssl);
    return ssl;
}

/* ---- names */

static int cert_name(X509 *cert, uint8_t cluster_out[WIRE_CLUSTER_SIZE], uint64_t *node_out)
{
    const struct span scheme = SPAN_LIT("angarium:");
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    unsigned ours = 0;
    int rv = ERR_NOT_FOUND;

    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        struct span uri;

        if (name->type != GEN_URI) continue;
        uri = span_of(ASN1_STRING_get0_data(name->d.uniformResourceIdentifier),
                      (size_t)ASN1_STRING_length(name->d.uniformResourceIdentifier));
        if (!span_starts_nocase(uri, scheme)) continue;
        ours++;
        rv = wire_name_parse(uri, cluster_out, node_out);
    }
    GENERAL_NAMES_free(names);
    return ours == 1 ? rv : ERR_NOT_FOUND;
}

int wire_tls_peer_name(SSL *ssl, uint8_t cluster_out[WIRE_CLUSTER_SIZE], uint64_t *node_out)
{
    X509 *cert = SSL_get0_peer_certificate(ssl);

    if (!cert || SSL_get_verify_result(ssl) != X509_V_OK) return ERR_NOT_FOUND;
    return cert_name(cert, cluster_out, node_out);
}

enum wire_refusal wire_tls_failure(SSL *ssl, bool *by_peer_out, const char **text_out)
{
    unsigned long error = ERR_peek_last_error();
    long verified = SSL_get_verify_result(ssl);

    *by_peer_out = false;
    *text_out = ERR_reason_error_string(error);
    if (verified != X509_V_OK) {
        *text_out = X509_verify_cert_error_string(verified);
        return verified == X509_V_ERR_CERT_HAS_EXPIRED || verified == X509_V_ERR_CERT_NOT_YET_VALID
                   ? REFUSE_EXPIRED
                   : REFUSE_CERTIFICATE;
    }
    if (!*text_out) *text_out = "";
    if (ERR_GET_LIB(error) != ERR_LIB_SSL) return REFUSE_TLS;
    if (ERR_GET_REASON(error) == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE) return REFUSE_CERTIFICATE;
    *by_peer_out = ERR_GET_REASON(error) >= ALERT_REASON_MIN;
    return REFUSE_TLS;
}

/* ---- the context */

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

static SSL_CTX *context_new(void)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_method());

    CHECK(ctx != NULL);
    CHECK(SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1);
    CHECK(SSL_CTX_set_ciphersuites(ctx, SUITES) == 1);
    CHECK(SSL_CTX_set1_groups_list(ctx, GROUPS) == 1);
    CHECK(SSL_CTX_set_num_tickets(ctx, 0) == 1);
    SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
    return ctx;
}

static int load_files(SSL_CTX *ctx, const char *certificate, const char *key, const char *ca,
                      struct errmsg *why)
{
    if (SSL_CTX_load_verify_locations(ctx, ca, NULL) != 1)
        return errmsg_set(why, ERR_TLS, "CA certificates %s: %s", ca, last_reason());
    if (SSL_CTX_use_certificate_chain_file(ctx, certificate) != 1)
        return errmsg_set(why, ERR_TLS, "certificate %s: %s", certificate, last_reason());
    if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)
        return errmsg_set(why, ERR_TLS, "key %s: %s", key, last_reason());
    if (SSL_CTX_check_private_key(ctx) != 1)
        return errmsg_set(why, ERR_TLS, "key %s does not belong to certificate %s", key,
                          certificate);
    return 0;
}

/* The others would refuse us one by one: better said here, once. */
static int check_own_name(SSL_CTX *ctx, const struct wire_nng *w, const char *certificate,
                          struct errmsg *why)
{
    uint8_t cluster[WIRE_CLUSTER_SIZE];
    char name[WIRE_NAME_SIZE];
    uint64_t node;

    if (cert_name(SSL_CTX_get0_certificate(ctx), cluster, &node) != 0)
        return errmsg_set(why, ERR_TLS,
                          "certificate %s has not exactly one name of a node; "
                          "it needs the subject alternative name URI:%s",
                          certificate, w->name);
    wire_name(name, cluster, node);
    if (strcmp(name, w->name) != 0)
        return errmsg_set(why, ERR_TLS, "certificate %s is that of %s, this node is %s",
                          certificate, name, w->name);
    return 0;
}

static void digest_add(EVP_MD_CTX *digest, X509 *cert)
{
    uint8_t hash[DIGEST_SIZE];

    CHECK(X509_digest(cert, EVP_sha256(), hash, NULL) == 1);
    CHECK(EVP_DigestUpdate(digest, hash, sizeof hash) == 1);
}

void wire_tls_digest(SSL_CTX *ctx, uint8_t out[DIGEST_SIZE])
{
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    STACK_OF(X509) *chain = NULL,
    *trusted = X509_STORE_get1_all_certs(SSL_CTX_get_cert_store(ctx));

    CHECK(digest && trusted && EVP_DigestInit_ex(digest, EVP_sha256(), NULL) == 1);
    SSL_CTX_get0_chain_certs(ctx, &chain);
    digest_add(digest, SSL_CTX_get0_certificate(ctx));
    for (int i = 0; i < sk_X509_num(chain); i++)
        digest_add(digest, sk_X509_value(chain, i));
    for (int i = 0; i < sk_X509_num(trusted); i++)
        digest_add(digest, sk_X509_value(trusted, i));
    CHECK(EVP_DigestFinal_ex(digest, out, NULL) == 1);
    sk_X509_pop_free(trusted, X509_free);
    EVP_MD_CTX_free(digest);
}

int wire_tls_load(SSL_CTX **out, const struct wire_nng *w, const char *certificate, const char *key,
                  const char *ca, struct errmsg *why)
{
    SSL_CTX *ctx;
    int rv;

    *out = NULL;
    if (!certificate || !key || !ca)
        return errmsg_set(why, ERR_CONFIG,
                          "nodes need a certificate, its key and the CA's certificate");
    ERR_clear_error();
    ctx = context_new();
    rv = load_files(ctx, certificate, key, ca, why);
    if (rv == 0) rv = check_own_name(ctx, w, certificate, why);
    ERR_clear_error();
    if (rv != 0)
        SSL_CTX_free(ctx);
    else
        *out = ctx;
    return rv;
}
