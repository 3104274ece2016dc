/* tls_pin - public keys that a peer must have one of (SHA-256 of its SubjectPublicKeyInfo, as in RFC 7469 2.4 and in
 * TLSA 3 1 1 records), and how such a hash is made.
 */
#include "node/net/tls_private.h"

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdlib.h>

#include "proto/ground/check.h"
#include "proto/ground/hex.h"

void tls_spki_sha256(X509 *leaf, char out[65])
{
    unsigned char *spki = NULL;
    uint8_t hash[32] = { 0 };
    int n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(leaf), &spki);

    CHECK(n > 0 && EVP_Digest(spki, (size_t)n, hash, NULL, EVP_sha256(), NULL) == 1);
    hex_print(hash, sizeof hash, out);
    OPENSSL_free(spki);
}

void tls_pin(struct tls *t, const char *const *pins, unsigned count)
{
    CHECK(!t->server && !t->pins && count > 0 && count <= TLS_PINS_MAX);
    t->pins = check_calloc(count, sizeof *t->pins);
    t->pin_count = count;
    for (unsigned i = 0; i < count; i++) {
        CHECK(strlen(pins[i]) == sizeof *t->pins - 1);
        memcpy(t->pins[i], pins[i], sizeof *t->pins);
    }
}

bool tls_pin_fits(const struct tls *t, const char shown[65])
{
    for (unsigned i = 0; i < t->pin_count; i++)
        if (strcmp(t->pins[i], shown) == 0) return true;
    return t->pin_count == 0;
}
