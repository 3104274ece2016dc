/* tls_ticket - keys for session tickets: drawn, rotated, wiped.
 *
 * Invariants: slot 0 makes tickets; the others only read theirs. A key is younger than ROTATE while it makes, and
 * younger than ROTATE + LIFE while it is there at all. Handshakes of all loops come here: the lock guards a copy of
 * a key, nothing slow.
 */
#include "node/net/tls_private.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "proto/ground/check.h"

#define KEYS_MAX                                                                                   \
    3 /* one that makes, and those that may still be read: LIFE / ROTATE, rounded up, and one */
#define NAME_SIZE 16
_Static_assert((KEYS_MAX - 2) * (uint64_t)TLS_TICKET_ROTATE_MS >= TLS_TICKET_LIFE_MS,
               "a key is forgotten before its tickets are over");

struct ticket_key {
    unsigned char name[NAME_SIZE], secret[32], mac[32];
    uint64_t born_ms;
    bool used;
};

struct tls_tickets {
    atomic_uint refs;
    const struct clock *clock;
    pthread_mutex_t lock;
    struct ticket_key keys[KEYS_MAX];
};

/* False: no random bytes; then there is no ticket, and the handshake goes on without. */
static bool draw(struct ticket_key *k, uint64_t now_ms)
{
    unsigned char bytes[sizeof k->name + sizeof k->secret + sizeof k->mac];
    bool ok = RAND_priv_bytes(bytes, sizeof bytes) == 1;

    if (ok) {
        memcpy(k->name, bytes, sizeof k->name);
        memcpy(k->secret, bytes + sizeof k->name, sizeof k->secret);
        memcpy(k->mac, bytes + sizeof k->name + sizeof k->secret, sizeof k->mac);
        k->born_ms = now_ms;
        k->used = true;
    }
    OPENSSL_cleanse(bytes, sizeof bytes);
    return ok;
}

static uint64_t age(const struct ticket_key *k, uint64_t now_ms)
{
    return now_ms > k->born_ms ? now_ms - k->born_ms : 0;
}

static void turn(struct tls_tickets *t, uint64_t now_ms)
{
    for (unsigned i = 0; i < KEYS_MAX; i++)
        if (t->keys[i].used &&
            age(&t->keys[i], now_ms) >= TLS_TICKET_ROTATE_MS + TLS_TICKET_LIFE_MS)
            OPENSSL_cleanse(&t->keys[i], sizeof t->keys[i]);
    if (t->keys[0].used && age(&t->keys[0], now_ms) < TLS_TICKET_ROTATE_MS) return;
    if (t->keys[0].used) memmove(&t->keys[1], &t->keys[0], (KEYS_MAX - 1) * sizeof t->keys[0]);
    OPENSSL_cleanse(&t->keys[0], sizeof t->keys[0]);
    draw(&t->keys[0], now_ms);
}

void tls_tickets_turn(struct tls_tickets *t)
{
    pthread_mutex_lock(&t->lock);
    turn(t, clock_mono_ms(t->clock));
    pthread_mutex_unlock(&t->lock);
}

/* A copy of the key with that name (NULL: of the one that makes tickets): its slot, or -1. The copy is to be wiped. */
static int take_key(struct tls_tickets *t, const unsigned char *name, struct ticket_key *out)
{
    int found = -1;

    pthread_mutex_lock(&t->lock);
    turn(t, clock_mono_ms(t->clock));
    for (int i = 0; found < 0 && i < KEYS_MAX; i++)
        if (t->keys[i].used && (!name || memcmp(t->keys[i].name, name, NAME_SIZE) == 0)) found = i;
    if (!name && found != 0) found = -1;
    if (found >= 0) *out = t->keys[found];
    pthread_mutex_unlock(&t->lock);
    return found;
}

static bool set_key(const struct ticket_key *k, const unsigned char *iv, EVP_CIPHER_CTX *cipher,
                    EVP_MAC_CTX *mac, int making)
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)(uintptr_t)k->mac,
                                          sizeof k->mac),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)(uintptr_t) "sha256", 0),
        OSSL_PARAM_construct_end(),
    };

    return EVP_MAC_CTX_set_params(mac, params) == 1 &&
           EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, k->secret, iv, making) == 1;
}

/* SSL_CTX_set_tlsext_ticket_key_evp_cb(3): 1 go on, 2 go on and give a new ticket, 0 no ticket, -1 fail. */
static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                     EVP_MAC_CTX *mac, int making)
{
    struct tls_tickets *t = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    struct ticket_key key;
    int slot = take_key(t, making ? NULL : name, &key), rv = 0;

    if (slot >= 0 && making) {
        memcpy(name, key.name, NAME_SIZE);
        if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) != 1) slot = -1;
    }
    if (slot >= 0) rv = set_key(&key, iv, cipher, mac, making) ? 1 : -1;
    /* In TLS 1.3 a ticket is for one use (RFC 8446, C.4): there is always another one. */
    if (rv == 1 && !making && (slot > 0 || SSL_version(ssl) >= TLS1_3_VERSION)) rv = 2;
    OPENSSL_cleanse(&key, sizeof key);
    return rv;
}

void tls_tickets_use(struct tls_tickets *t, SSL_CTX *ctx)
{
    SSL_CTX_set_app_data(ctx, t);
    CHECK(SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket) == 1);
}

struct tls_tickets *tls_tickets_new(const struct clock *clock)
{
    struct tls_tickets *t = check_calloc(1, sizeof *t);

    atomic_init(&t->refs, 1);
    t->clock = clock;
    CHECK(pthread_mutex_init(&t->lock, NULL) == 0);
    return t;
}

struct tls_tickets *tls_tickets_ref(struct tls_tickets *t)
{
    atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
    return t;
}

void tls_tickets_unref(struct tls_tickets **tp)
{
    struct tls_tickets *t = *tp;

    *tp = NULL;
    if (!t || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1) return;
    pthread_mutex_destroy(&t->lock);
    OPENSSL_cleanse(t->keys, sizeof t->keys);
    free(t);
}
