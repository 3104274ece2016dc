/* pki - certificate authorities and certificates of nodes, good and bad ones, in a folder of their own. */
#ifndef TESTS_UNIT_RAFT_WIRE_PKI_H
#define TESTS_UNIT_RAFT_WIRE_PKI_H

#include <ftw.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/ground/check.h"
#include "proto/ground/clock.h"

#define PKI_PATH_SIZE 128

struct pki {
    char dir[64];
};

static inline void pki_begin(struct pki *p)
{
    snprintf(p->dir, sizeof p->dir, "/tmp/angarium-wire-XXXXXX");
    CHECK(mkdtemp(p->dir) != NULL);
}

static inline const char *pki_path(const struct pki *p, const char *name, const char *suffix,
                                   char out[PKI_PATH_SIZE])
{
    snprintf(out, PKI_PATH_SIZE, "%s/%s.%s", p->dir, name, suffix);
    return out;
}

static inline void pki_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509_EXTENSION *ext;

    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    CHECK(ext && X509_add_ext(cert, ext, -1) == 1);
    X509_EXTENSION_free(ext);
}

static inline void pki_write(const struct pki *p, const char *name, X509 *cert, EVP_PKEY *key)
{
    char path[PKI_PATH_SIZE], temp[PKI_PATH_SIZE];
    FILE *f = fopen(pki_path(p, name, "pem.new", temp), "w");

    CHECK(f && PEM_write_X509(f, cert) == 1 && fclose(f) == 0);
    CHECK(rename(temp, pki_path(p, name, "pem", path)) == 0);
    f = fopen(pki_path(p, name, "key.new", temp), "w");
    CHECK(f && PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) == 1 && fclose(f) == 0);
    CHECK(rename(temp, pki_path(p, name, "key", path)) == 0);
}

static inline void pki_read(const struct pki *p, const char *name, X509 **cert, EVP_PKEY **key)
{
    char path[PKI_PATH_SIZE];
    FILE *f = fopen(pki_path(p, name, "pem", path), "r");

    CHECK(f && (*cert = PEM_read_X509(f, NULL, NULL, NULL)) != NULL);
    fclose(f);
    f = fopen(pki_path(p, name, "key", path), "r");
    CHECK(f && (*key = PEM_read_PrivateKey(f, NULL, NULL, NULL)) != NULL);
    fclose(f);
}

/* NAME.pem, NAME.key; valid from..to seconds from now. sans NULL: none; issuer NULL: a CA. */
static inline void pki_make(const struct pki *p, const char *issuer, const char *name,
                            const char *sans, long from_s, long to_s)
{
    static unsigned serial = 1;
    EVP_PKEY *key = EVP_EC_gen("P-256"), *ca_key = key;
    X509 *cert = X509_new(), *ca = cert;
    time_t now_s = (time_t)(clock_wall_ms(&clock_real) / 1000);

    CHECK(key && cert && X509_set_version(cert, X509_VERSION_3) == 1);
    CHECK(ASN1_INTEGER_set(X509_get_serialNumber(cert), serial++) == 1);
    CHECK(ASN1_TIME_set(X509_getm_notBefore(cert), now_s + from_s) != NULL);
    CHECK(ASN1_TIME_set(X509_getm_notAfter(cert), now_s + to_s) != NULL);
    CHECK(X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_UTF8,
                                     (const unsigned char *)name, -1, -1, 0) == 1);
    CHECK(X509_set_pubkey(cert, key) == 1);
    if (issuer) pki_read(p, issuer, &ca, &ca_key);
    CHECK(X509_set_issuer_name(cert, X509_get_subject_name(ca)) == 1);
    pki_extension(cert, ca, NID_basic_constraints,
                  issuer ? "critical,CA:FALSE" : "critical,CA:TRUE");
    if (issuer) pki_extension(cert, ca, NID_ext_key_usage, "serverAuth,clientAuth");
    if (sans) pki_extension(cert, ca, NID_subject_alt_name, sans);
    CHECK(X509_sign(cert, ca_key, EVP_sha256()) > 0);
    pki_write(p, name, cert, key);
    if (issuer) {
        X509_free(ca);
        EVP_PKEY_free(ca_key);
    }
    X509_free(cert);
    EVP_PKEY_free(key);
}

/* A file of both certificates, without a key. */
static inline void pki_both(const struct pki *p, const char *one, const char *other, const char *name)
{
    X509 *certs[2];
    EVP_PKEY *keys[2];
    char path[PKI_PATH_SIZE];
    FILE *f = fopen(pki_path(p, name, "pem", path), "w");

    pki_read(p, one, &certs[0], &keys[0]);
    pki_read(p, other, &certs[1], &keys[1]);
    for (unsigned i = 0; i < 2; i++) {
        CHECK(f && PEM_write_X509(f, certs[i]) == 1);
        X509_free(certs[i]);
        EVP_PKEY_free(keys[i]);
    }
    CHECK(fclose(f) == 0);
}

static inline int pki_remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

static inline void pki_end(const struct pki *p)
{
    CHECK(nftw(p->dir, pki_remove_one, 8, FTW_DEPTH | FTW_PHYS) == 0);
}

#endif
