/* tls_server - what a server shows: certificates, the choice among them by the name that a client asks for, and
 * the facts of each for people.
 *
 * Invariants: the first identity's context is the one that streams begin with; it alone chooses. All contexts of a
 * server have the same options, session id context and ticket keys, so that a session may be resumed whichever
 * was chosen.
 */
#include "node/net/tls_private.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "proto/ground/buf.h"
#include "proto/ground/check.h"
#include "proto/ground/hex.h"

#define DAY_MS         86400000
#define NAMES_SIZE_MAX (16u << 10)

/* ---- the choice */

static struct tls_identity *find_identity(const struct tls *t, const char *name, unsigned flags)
{
    for (unsigned i = 0; i < t->identity_count; i++)
        if (X509_check_host(t->identities[i].leaf, name, 0, flags, NULL) == 1)
            return &t->identities[i];
    return NULL;
}

/* RFC 6066, 3: an unknown name is not an error, the default certificate is shown. */
static int on_name(SSL *ssl, int *alert, void *arg)
{
    const struct tls *t = arg;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    struct tls_identity *id;

    (void)alert;
    if (!name || !*name) return SSL_TLSEXT_ERR_NOACK;
    id = find_identity(t, name, X509_CHECK_FLAG_NO_WILDCARDS);
    if (!id) id = find_identity(t, name, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (!id) return SSL_TLSEXT_ERR_NOACK;
    if (id->ctx != t->ctx) SSL_set_SSL_CTX(ssl, id->ctx);
    return SSL_TLSEXT_ERR_OK;
}

/* ---- the facts */

static uint64_t wall_of(const ASN1_TIME *t)
{
    ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
    int days = 0, seconds = 0;
    bool ok = epoch && ASN1_TIME_diff(&days, &seconds, epoch, t) == 1;

    ASN1_TIME_free(epoch);
    return ok && days >= 0 && seconds >= 0 ? (uint64_t)days * DAY_MS + (uint64_t)seconds * 1000 : 0;
}

/* A name as it may be shown: a certificate is a foreign thing. */
static void add_name(struct buf *out, const unsigned char *name, int size)
{
    if (size <= 0) return;
    if (out->n > 0) buf_add_cstr(out, ", ");
    for (int i = 0; i < size; i++)
        buf_add_u8(out, name[i] > 0x20 && name[i] < 0x7f ? name[i] : '?');
}

static void add_common_name(struct buf *out, X509 *leaf)
{
    X509_NAME *subject = X509_get_subject_name(leaf);
    int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    const ASN1_STRING *cn =
        at >= 0 ? X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)) : NULL;

    if (cn) add_name(out, ASN1_STRING_get0_data(cn), ASN1_STRING_length(cn));
}

/* The names of the leaf: those that X509_check_host looks at. */
static char *names_of(X509 *leaf)
{
    GENERAL_NAMES *list = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
    struct buf out;
    char *names;

    buf_init(&out, NAMES_SIZE_MAX);
    for (int i = 0; i < sk_GENERAL_NAME_num(list); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(list, i);

        if (name->type == GEN_DNS)
            add_name(&out, ASN1_STRING_get0_data(name->d.dNSName),
                     ASN1_STRING_length(name->d.dNSName));
    }
    GENERAL_NAMES_free(list);
    if (out.n == 0) add_common_name(&out, leaf);
    names = check_strdup(buf_cstr(&out));
    buf_deinit(&out);
    return names;
}

/* What a client that verifies would stumble over, as far as the file alone shows it. */
static const char *doubt_of(X509 *leaf, STACK_OF(X509) * chain)
{
    X509 *below = leaf;

    for (int i = 0; i < sk_X509_num(chain); i++) {
        X509 *above = sk_X509_value(chain, i);

        if (X509_check_issued(above, below) != X509_V_OK)
            return "the file's certificates do not follow each other, leaf first";
        below = above;
    }
    if (sk_X509_num(chain) > 0 || X509_self_signed(leaf, 0) == 1) return NULL;
    /* A public authority says where its certificate is: then there is one between the leaf and the root. */
    if (X509_get_ext_by_NID(leaf, NID_info_access, -1) >= 0)
        return "the file holds the leaf alone; the certificates between it and the root are "
               "missing";
    return NULL;
}

static void fill_facts(struct tls_identity *id)
{
    STACK_OF(X509) *chain = NULL;
    struct tls_certificate *f = &id->facts;
    uint8_t hash[32] = { 0 };

    SSL_CTX_get0_chain_certs(id->ctx, &chain);
    f->file = id->file;
    f->names = id->names;
    f->not_before_ms = wall_of(X509_get0_notBefore(id->leaf));
    f->not_after_ms = wall_of(X509_get0_notAfter(id->leaf));
    f->chain_count = 1 + (chain ? (unsigned)sk_X509_num(chain) : 0);
    f->doubt = doubt_of(id->leaf, chain);
    CHECK(X509_digest(id->leaf, EVP_sha256(), hash, NULL) == 1);
    hex_print(hash, sizeof hash, f->sha256);
    tls_spki_sha256(id->leaf, f->spki_sha256);
}

/* ---- loading */

static int load_pair(SSL_CTX *ctx, const struct tls_pair *pair, struct errmsg *why)
{
    if (SSL_CTX_use_certificate_chain_file(ctx, pair->certificate) != 1)
        return errmsg_set(why, ERR_TLS, "certificate %s: %s", pair->certificate, tls_last_reason());
    if (SSL_CTX_use_PrivateKey_file(ctx, pair->key, SSL_FILETYPE_PEM) != 1)
        return errmsg_set(why, ERR_TLS, "key %s of certificate %s: %s", pair->key,
                          pair->certificate, tls_last_reason());
    if (SSL_CTX_check_private_key(ctx) != 1)
        return errmsg_set(why, ERR_TLS, "key %s does not belong to certificate %s", pair->key,
                          pair->certificate);
    return 0;
}

static SSL_CTX *server_context(const struct tls *t)
{
    static const unsigned char session_context[] = "angarium";
    SSL_CTX *ctx = tls_context_new(TLS_server_method());

    SSL_CTX_set_session_id_context(ctx, session_context, sizeof session_context - 1);
    SSL_CTX_set_timeout(ctx, TLS_TICKET_LIFE_MS / 1000);
    SSL_CTX_set_num_tickets(ctx, t->tickets ? 1 : 0);
    if (t->tickets)
        tls_tickets_use(t->tickets, ctx);
    else
        SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
    return ctx;
}

static int key_kind(const struct tls_identity *id)
{
    return EVP_PKEY_get_base_id(X509_get0_pubkey(id->leaf));
}

/* The context of an earlier certificate with the same names and another kind of key, or NULL. */
static SSL_CTX *twin_context(const struct tls *t, const struct tls_identity *id)
{
    SSL_CTX *ctx = NULL;

    for (const struct tls_identity *it = t->identities; it < id; it++) {
        if (strcmp(it->names, id->names) != 0) continue;
        if (key_kind(it) == key_kind(id)) return NULL; /* the earlier one counts */
        ctx = it->ctx;
    }
    return ctx;
}

static int add_identity(struct tls *t, const struct tls_pair *pair, struct errmsg *why)
{
    struct tls_identity *id = &t->identities[t->identity_count];
    SSL_CTX *twin;
    int rv;

    id->ctx = server_context(t);
    rv = load_pair(id->ctx, pair, why);
    if (rv != 0) {
        SSL_CTX_free(id->ctx);
        return rv;
    }
    id->leaf = SSL_CTX_get0_certificate(id->ctx);
    X509_up_ref(id->leaf);
    id->file = check_strdup(pair->certificate);
    id->names = names_of(id->leaf);
    fill_facts(id);
    t->identity_count++;
    twin = twin_context(t, id);
    if (!twin) return 0;
    rv = load_pair(twin, pair, why);
    if (rv != 0) return rv;
    SSL_CTX_up_ref(twin);
    SSL_CTX_free(id->ctx);
    id->ctx = twin;
    return 0;
}

int tls_server_new(struct tls **out, const struct tls_pair *pairs, unsigned count,
                   struct tls_tickets *tickets, struct errmsg *why)
{
    struct tls *t = check_calloc(1, sizeof *t);
    int rv = 0;

    *out = NULL;
    CHECK(count > 0 && count <= TLS_PAIRS_MAX);
    ERR_clear_error();
    atomic_init(&t->refs, 1);
    t->server = true;
    t->tickets = tickets ? tls_tickets_ref(tickets) : NULL;
    t->identities = check_calloc(count, sizeof *t->identities);
    for (unsigned i = 0; rv == 0 && i < count; i++)
        rv = add_identity(t, &pairs[i], why);
    ERR_clear_error();
    if (rv != 0) {
        tls_unref(&t);
        return rv;
    }
    t->ctx = t->identities[0].ctx;
    SSL_CTX_up_ref(t->ctx);
    SSL_CTX_set_tlsext_servername_callback(t->ctx, on_name);
    SSL_CTX_set_tlsext_servername_arg(t->ctx, t);
    *out = t;
    return 0;
}

void tls_server_free(struct tls *t)
{
    for (unsigned i = 0; i < t->identity_count; i++) {
        struct tls_identity *id = &t->identities[i];

        X509_free(id->leaf);
        SSL_CTX_free(id->ctx);
        free(id->file);
        free(id->names);
    }
    free(t->identities);
    tls_tickets_unref(&t->tickets);
}

/* ---- seeing */

unsigned tls_certificate_count(const struct tls *t)
{
    return t->identity_count;
}

const struct tls_certificate *tls_certificate(const struct tls *t, unsigned i)
{
    CHECK(i < t->identity_count);
    return &t->identities[i].facts;
}

int64_t tls_days_left(const struct tls_certificate *c, uint64_t wall_ms)
{
    int64_t left = (int64_t)c->not_after_ms - (int64_t)wall_ms;

    return left >= 0 ? left / DAY_MS : (left - DAY_MS + 1) / DAY_MS;
}
