/* tls_dev - a certificate authority and a certificate under it, for trying things out and for
 * tests.
 *
 * Invariants: a file that exists is kept; a new one appears whole or not at all (written beside,
 * then renamed), keys readable by their owner only. Keys are P-256. Times begin a day ago, so that
 * a peer whose clock is behind accepts them.
 */
#include "node/net/stream_private.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/ground/check.h"

#define DAY_S     (24 * 60 * 60)
#define CA_DAYS   3650
#define LEAF_DAYS 825
#define SANS_SIZE 8192

#define NODE_SCHEME     "angarium://"
#define CLUSTER_SIZE    32
#define NODE_DIGITS_MAX 20
#define LEAF_NAME_MAX   32

struct pair {
    X509 *cert;
    EVP_PKEY *key;
};

static void pair_free(struct pair *p)
{
    X509_free(p->cert);
    EVP_PKEY_free(p->key);
    *p = (struct pair){ 0 };
}

/* ---- files ---- */

struct pem_file {
    char path[1024], temp[1040];
    FILE *f;
};

static int pem_open(struct pem_file *file, const char *dir, const char *name, mode_t mode,
                    struct errmsg *why)
{
    int fd;

    snprintf(file->path, sizeof file->path, "%s/%s", dir, name);
    snprintf(file->temp, sizeof file->temp, "%s.new", file->path);
    unlink(file->temp);
    fd = open(file->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    file->f = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (file->f) return 0;
    if (fd >= 0) close(fd);
    return errmsg_set(why, ERR_IO, "%s: %s", file->temp, strerror(errno));
}

/* Into its place when everything was written. */
static int pem_close(struct pem_file *file, bool ok, struct errmsg *why)
{
    ok = ok && fflush(file->f) == 0 && fsync(fileno(file->f)) == 0;
    ok = fclose(file->f) == 0 && ok;
    ok = ok && rename(file->temp, file->path) == 0;
    if (ok) return 0;
    unlink(file->temp);
    return errmsg_set(why, ERR_IO, "%s could not be written", file->path);
}

static int write_key(const char *dir, const char *name, EVP_PKEY *key, struct errmsg *why)
{
    struct pem_file file;
    int err = pem_open(&file, dir, name, 0600, why);

    if (err) return err;
    return pem_close(&file, PEM_write_PrivateKey(file.f, key, NULL, NULL, 0, NULL, NULL) == 1, why);
}

static int write_cert(const char *dir, const char *name, X509 *cert, X509 *issuer,
                      struct errmsg *why)
{
    struct pem_file file;
    int err = pem_open(&file, dir, name, 0644, why);
    bool ok;

    if (err) return err;
    ok = PEM_write_X509(file.f, cert) == 1;
    ok = ok && (!issuer || PEM_write_X509(file.f, issuer) == 1);
    return pem_close(&file, ok, why);
}

static int read_pair(struct pair *out, const char *dir, const char *name, struct errmsg *why)
{
    char path[1024];
    FILE *f;

    snprintf(path, sizeof path, "%s/%s.pem", dir, name);
    f = fopen(path, "re");
    if (f) out->cert = PEM_read_X509(f, NULL, NULL, NULL);
    if (f) fclose(f);
    snprintf(path, sizeof path, "%s/%s.key", dir, name);
    f = fopen(path, "re");
    if (f) out->key = PEM_read_PrivateKey(f, NULL, NULL, NULL);
    if (f) fclose(f);
    if (out->cert && out->key && X509_check_private_key(out->cert, out->key) == 1) return 0;
    pair_free(out);
    return errmsg_set(why, ERR_TLS, "%s/%s.pem and its .key are not a certificate and its key", dir,
                      name);
}

/* A key alone is what an interrupted run has left, and made anew; a certificate alone is
 * somebody's. */
static int pair_look(const char *dir, const char *name, bool *exists_out, struct errmsg *why)
{
    char cert[1024], key[1024];
    bool has_cert, has_key;

    snprintf(cert, sizeof cert, "%s/%s.pem", dir, name);
    snprintf(key, sizeof key, "%s/%s.key", dir, name);
    has_cert = access(cert, F_OK) == 0;
    has_key = access(key, F_OK) == 0;
    *exists_out = has_cert && has_key;
    if (has_cert && !has_key)
        return errmsg_set(why, ERR_EXISTS, "%s is there, but not its key", cert);
    return 0;
}

/* ---- certificates ---- */

static bool set_serial(X509 *cert)
{
    BIGNUM *bn = BN_new();
    bool ok = bn && BN_rand(bn, 127, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1 &&
              BN_to_ASN1_INTEGER(bn, X509_get_serialNumber(cert));

    BN_free(bn);
    return ok;
}

static bool set_times(X509 *cert, int days)
{
    time_t now_s = (time_t)(clock_wall_ms(&clock_real) / 1000);

    return ASN1_TIME_set(X509_getm_notBefore(cert), now_s - DAY_S) &&
           ASN1_TIME_set(X509_getm_notAfter(cert), now_s + (time_t)days * DAY_S);
}

static bool set_subject(X509 *cert, const char *name)
{
    return X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_UTF8,
                                      (const unsigned char *)name, -1, -1, 0) == 1;
}

static bool add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509_EXTENSION *ext;
    bool ok;

    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    ok = ext && X509_add_ext(cert, ext, -1) == 1;
    X509_EXTENSION_free(ext);
    return ok;
}

/* What a CA and a leaf have in common; it still needs its extensions and its signature. */
static bool pair_begin(struct pair *p, const char *subject, int days)
{
    p->key = EVP_EC_gen("P-256");
    p->cert = X509_new();
    return p->key && p->cert && X509_set_version(p->cert, X509_VERSION_3) == 1 &&
           set_serial(p->cert) && set_times(p->cert, days) && set_subject(p->cert, subject) &&
           X509_set_pubkey(p->cert, p->key) == 1;
}

static bool make_ca(struct pair *ca)
{
    if (!pair_begin(ca, "angarium development CA", CA_DAYS)) return false;
    return X509_set_issuer_name(ca->cert, X509_get_subject_name(ca->cert)) == 1 &&
           add_extension(ca->cert, ca->cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
           add_extension(ca->cert, ca->cert, NID_key_usage, "critical,keyCertSign,cRLSign") &&
           add_extension(ca->cert, ca->cert, NID_subject_key_identifier, "hash") &&
           X509_sign(ca->cert, ca->key, EVP_sha256()) > 0;
}

static bool make_leaf(struct pair *leaf, const struct pair *ca, const char *subject,
                      const char *sans)
{
    if (!pair_begin(leaf, subject, LEAF_DAYS)) return false;
    return X509_set_issuer_name(leaf->cert, X509_get_subject_name(ca->cert)) == 1 &&
           add_extension(leaf->cert, ca->cert, NID_basic_constraints, "critical,CA:FALSE") &&
           add_extension(leaf->cert, ca->cert, NID_key_usage, "critical,digitalSignature") &&
           add_extension(leaf->cert, ca->cert, NID_ext_key_usage, "serverAuth,clientAuth") &&
           add_extension(leaf->cert, ca->cert, NID_subject_key_identifier, "hash") &&
           add_extension(leaf->cert, ca->cert, NID_authority_key_identifier, "keyid") &&
           add_extension(leaf->cert, ca->cert, NID_subject_alt_name, sans) &&
           X509_sign(leaf->cert, ca->key, EVP_sha256()) > 0;
}

/* angarium://<cluster: 32 lower-case hex digits>/node/<number>, as peers ask for it (raft/wire/wire.h). */
static bool is_node_name(const char *text)
{
    static const char middle[] = "/node/";
    const char *number = text + strlen(NODE_SCHEME) + CLUSTER_SIZE + strlen(middle);

    return strlen(text) > (size_t)(number - text) && strlen(number) <= NODE_DIGITS_MAX &&
           strspn(text + strlen(NODE_SCHEME), "0123456789abcdef") == CLUSTER_SIZE &&
           strncmp(number - strlen(middle), middle, strlen(middle)) == 0 && number[0] != '0' &&
           strspn(number, "0123456789") == strlen(number);
}

/* A host may be a name, an address, or a node's name; it has no byte that the extension's syntax would take for its own. */
static int add_san(struct buf *sans, const char *host)
{
    struct stream_address a = { 0 };
    struct sockaddr_storage sa;

    if (strncmp(host, NODE_SCHEME, strlen(NODE_SCHEME)) == 0) {
        if (!is_node_name(host)) return ERR_SYNTAX;
        buf_addf(sans, "%sURI:%s", sans->n > 0 ? "," : "", host);
        return buf_failed(sans) ? ERR_TOO_LONG : 0;
    }
    if (host[0] == '\0' || strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                        "0123456789-_.:*") != strlen(host))
        return ERR_SYNTAX;
    snprintf(a.text, sizeof a.text, "%s", host);
    buf_addf(sans, "%s%s:%s", sans->n > 0 ? "," : "", tcp_address(&a, 0, &sa) == 0 ? "IP" : "DNS",
             host);
    return buf_failed(sans) ? ERR_TOO_LONG : 0;
}

static int make_ca_files(struct pair *ca, const char *dir, struct errmsg *why)
{
    bool exists;
    int err = pair_look(dir, "ca", &exists, why);

    if (err) return err;
    if (exists) return read_pair(ca, dir, "ca", why);
    if (!make_ca(ca)) return errmsg_set(why, ERR_TLS, "the CA certificate could not be made");
    err = write_key(dir, "ca.key", ca->key, why);
    return err ? err : write_cert(dir, "ca.pem", ca->cert, NULL, why);
}

static int make_leaf_files(const struct pair *ca, const char *dir, const char *name,
                           const char *subject, const char *sans, struct errmsg *why)
{
    struct pair leaf = { 0 };
    char key[LEAF_NAME_MAX + 5], cert[LEAF_NAME_MAX + 5];
    bool exists;
    int err = pair_look(dir, name, &exists, why);

    if (err || exists) return err;
    snprintf(key, sizeof key, "%s.key", name);
    snprintf(cert, sizeof cert, "%s.pem", name);
    if (!make_leaf(&leaf, ca, subject, sans))
        err = errmsg_set(why, ERR_TLS, "the certificate could not be made");
    else
        err = write_key(dir, key, leaf.key, why);
    if (err == 0) err = write_cert(dir, cert, leaf.cert, ca->cert, why);
    pair_free(&leaf);
    return err;
}

int tls_make_dev_leaf(const char *dir, const char *name, const char *const *hosts,
                      unsigned host_count, struct errmsg *why)
{
    struct pair ca = { 0 };
    struct buf sans;
    int err = 0;

    if (strlen(dir) > 1000)
        return errmsg_set(why, ERR_TOO_LONG, "the path %.40s... is too long", dir);
    CHECK(strlen(name) <= LEAF_NAME_MAX && !strchr(name, '/'));
    if (host_count == 0) return errmsg_set(why, ERR_RANGE, "a certificate needs a host");
    if (mkdir(dir, 0700) < 0 && errno != EEXIST)
        return errmsg_set(why, ERR_IO, "%s: %s", dir, strerror(errno));
    buf_init(&sans, SANS_SIZE);
    for (unsigned i = 0; i < host_count && err == 0; i++) {
        err = add_san(&sans, hosts[i]);
        if (err) errmsg_set(why, err, "host %.200s: %s", hosts[i], err_text(err));
    }
    if (err == 0) err = make_ca_files(&ca, dir, why);
    if (err == 0) err = make_leaf_files(&ca, dir, name, hosts[0], buf_cstr(&sans), why);
    pair_free(&ca);
    buf_deinit(&sans);
    ERR_clear_error();
    return err;
}

int tls_make_dev_files(const char *dir, const char *const *hosts, unsigned host_count,
                       struct errmsg *why)
{
    return tls_make_dev_leaf(dir, "node", hosts, host_count, why);
}
