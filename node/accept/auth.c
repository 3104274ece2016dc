/* auth - credentials, tenants, and passwords that were right a moment ago (RFC 4954 8, RFC 9106).
 *
 * Invariants:
 * - A password is held by an attempt only, and wiped when that is over. The cache knows a keyed
 * hash of name and password, under a key that dies with it. Failures are not remembered.
 * - An unknown name costs what a known one costs: it is verified against a hash that nothing fits.
 * - Verifications at once are counted over all loops; more than inflight_max are refused.
 * - Everything but the cache and the counters is fixed when accept_auth_new returns, and read
 *   without a lock.
 */
#include "node/accept/auth.h"

#include <errno.h>
#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "node/smtp/address.h"
#include "proto/ground/check.h"
#include "proto/ground/metric.h"
#include "proto/ground/network.h"

#define CACHE_KEY_SIZE 32
_Static_assert(AUTH_HASH_SIZE == crypto_pwhash_STRBYTES, "a hash of libsodium");
/* Nobody's: no password has it. The costs are libsodium's for interactive use. */
#define DUMMY_HASH                                                                                 \
    "$argon2id$v=19$m=65536,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$"                                       \
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

struct known {
    struct credential credential;
    UT_hash_handle hh; /* by username */
};
struct owned {
    char *domain; /* the queue's key */
    char *tenant;
    UT_hash_handle hh; /* by domain */
};
struct cached {
    uint8_t key[CACHE_KEY_SIZE];
    const struct credential *credential;
    uint64_t until_ms;
    UT_hash_handle hh; /* by key; in order of insertion */
};

struct accept_auth {
    atomic_uint refs;
    struct known *known;
    struct owned *owned;
    char **holding; /* tenants whose mail is held when it is in doubt */
    unsigned holding_count;
    const char **models; /* the hashes of `known` */
    unsigned model_count;
    uint64_t cache_ms;
    unsigned inflight_max;
    atomic_uint inflight;
    uint8_t cache_secret[crypto_generichash_KEYBYTES];
    pthread_mutex_t lock; /* of the cache */
    struct cached *cache;
};

struct auth_attempt {
    struct loop_work work;
    struct accept_auth *auth;
    const struct credential *credential;     /* NULL: an unknown name */
    char dummy_hash[crypto_pwhash_STRBYTES]; /* of that one */
    uint8_t key[CACHE_KEY_SIZE];
    int rv;
    uint64_t now_ms;
    void (*on_done)(void *arg, int rv, const struct credential *credential); /* NULL: forgotten */
    void *arg;
    size_t password_size;
    char password[];
};

/* ---- making and unmaking */

static bool hash_is_argon2id(const char *hash)
{
    return strncmp(hash, "$argon2id$", 10) == 0 && strlen(hash) < crypto_pwhash_STRBYTES &&
           crypto_pwhash_str_needs_rehash(hash, crypto_pwhash_OPSLIMIT_MIN,
                                          crypto_pwhash_MEMLIMIT_MIN) != -1;
}

static int add_tenant(struct accept_auth *a, const struct accept_tenant *t, struct errmsg *why)
{
    for (unsigned i = 0; i < t->domain_count; i++) {
        struct owned *o = NULL;
        struct buf key;

        buf_init(&key, SMTP_DOMAIN_SIZE_MAX);
        if (smtp_domain_key(span_cstr(t->domains[i]), &key) != 0 || buf_failed(&key))
            return buf_deinit(&key), errmsg_set(why, ERR_CONFIG, "tenant %s: %s is no domain",
                                                t->name, t->domains[i]);
        HASH_FIND(hh, a->owned, buf_cstr(&key), strlen(buf_cstr(&key)), o);
        if (o && strcmp(o->tenant, t->name) != 0)
            return buf_deinit(&key),
                   errmsg_set(why, ERR_CONFIG, "domain %s belongs to tenants %s and %s",
                              t->domains[i], o->tenant, t->name);
        if (!o) {
            o = check_calloc(1, sizeof *o);
            o->domain = check_strdup(buf_cstr(&key));
            o->tenant = check_strdup(t->name);
            HASH_ADD_KEYPTR(hh, a->owned, o->domain, strlen(o->domain), o);
        }
        buf_deinit(&key);
    }
    return 0;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The tenants' names, in order. Caller frees. */
static const char **names_of(const struct accept_tenant *tenants, unsigned count)
{
    const char **names = check_calloc(count + 1, sizeof *names);

    for (unsigned i = 0; i < count; i++)
        names[i] = tenants[i].name;
    qsort(names, count, sizeof *names, compare_names);
    return names;
}

static bool is_named(const char **names, unsigned count, const char *name)
{
    return bsearch(&name, names, count, sizeof *names, compare_names) != NULL;
}

static int add_credential(struct accept_auth *a, const struct accept_credential *c,
                          struct errmsg *why)
{
    struct known *k = NULL;

    if (c->username[0] == '\0' || strlen(c->username) > AUTH_USERNAME_MAX)
        return errmsg_set(why, ERR_CONFIG, "a username has not 1..%d bytes", AUTH_USERNAME_MAX);
    if (!hash_is_argon2id(c->password_hash))
        return errmsg_set(why, ERR_CONFIG, "the password hash of %s is not argon2id", c->username);
    HASH_FIND_STR(a->known, c->username, k);
    if (k) return errmsg_set(why, ERR_CONFIG, "username %s is there twice", c->username);
    k = check_calloc(1, sizeof *k);
    k->credential.username = check_strdup(c->username);
    k->credential.tenant = check_strdup(c->tenant);
    k->credential.password_hash = check_strdup(c->password_hash);
    k->credential.addresses = check_strdup(c->addresses ? c->addresses : "");
    HASH_ADD_KEYPTR(hh, a->known, k->credential.username, strlen(k->credential.username), k);
    a->models[a->model_count++] = k->credential.password_hash;
    return 0;
}

/* The hash with a result that nothing gives. */
static void spoil_hash(const char *model, char out[crypto_pwhash_STRBYTES])
{
    char *result;

    memcpy(out, model, strlen(model) + 1);
    result = strrchr(out, '$') + 1;
    memset(result, 'A', strlen(result));
}

/* A hash that nothing fits, as dear as some credential's: which one, the name decides under a key
 * that nobody has. So unknown names cost as often what known ones cost, and each always the same. */
static void choose_dummy(const struct accept_auth *a, struct span username,
                         char out[crypto_pwhash_STRBYTES])
{
    const char *model = DUMMY_HASH;
    uint64_t number[2];

    crypto_generichash((unsigned char *)number, sizeof number, username.p, username.n,
                       a->cache_secret, sizeof a->cache_secret);
    if (a->model_count > 0) model = a->models[number[0] % a->model_count];
    spoil_hash(model, out);
}

int accept_auth_new(struct accept_auth **out, const struct accept_credential *credentials,
                    unsigned credential_count, const struct accept_tenant *tenants,
                    unsigned tenant_count, uint64_t cache_ms, unsigned inflight_max,
                    struct errmsg *why)
{
    struct accept_auth *a;
    const char **names;
    int rv = 0;

    if (sodium_init() < 0) return errmsg_set(why, ERR_UNSUPPORTED, "libsodium does not start");
    a = check_calloc(1, sizeof *a);
    atomic_init(&a->refs, 1);
    a->cache_ms = cache_ms;
    a->inflight_max = inflight_max;
    pthread_mutex_init(&a->lock, NULL);
    crypto_generichash_keygen(a->cache_secret);
    a->models = check_calloc(credential_count + 1, sizeof *a->models);
    a->holding = check_calloc(tenant_count + 1, sizeof *a->holding);
    for (unsigned i = 0; i < tenant_count && rv == 0; i++)
        rv = add_tenant(a, &tenants[i], why);
    names = names_of(tenants, tenant_count);
    for (unsigned i = 0; i < tenant_count; i++)
        if (tenants[i].holds_doubts) a->holding[a->holding_count++] = check_strdup(tenants[i].name);
    for (unsigned i = 0; i < credential_count && rv == 0; i++) {
        if (!is_named(names, tenant_count, credentials[i].tenant))
            rv = errmsg_set(why, ERR_CONFIG, "credential %s is of tenant %s, which is not there",
                            credentials[i].username, credentials[i].tenant);
        else
            rv = add_credential(a, &credentials[i], why);
    }
    free(names);
    if (rv) {
        accept_auth_unref(&a);
        return rv;
    }
    *out = a;
    return 0;
}

struct accept_auth *accept_auth_ref(struct accept_auth *a)
{
    atomic_fetch_add_explicit(&a->refs, 1, memory_order_relaxed);
    return a;
}

static void free_credentials(struct accept_auth *a)
{
    struct known *k, *k_next;

    HASH_ITER(hh, a->known, k, k_next)
    {
        HASH_DEL(a->known, k);
        free(k->credential.username);
        free(k->credential.tenant);
        sodium_memzero(k->credential.password_hash, strlen(k->credential.password_hash));
        free(k->credential.password_hash);
        free(k->credential.addresses);
        free(k);
    }
}

static void free_domains(struct accept_auth *a)
{
    struct owned *o, *o_next;

    HASH_ITER(hh, a->owned, o, o_next)
    {
        HASH_DEL(a->owned, o);
        free(o->domain);
        free(o->tenant);
        free(o);
    }
}

static void cache_remove(struct accept_auth *a, struct cached *c)
{
    HASH_DEL(a->cache, c);
    sodium_memzero(c, sizeof *c);
    free(c);
}

void accept_auth_unref(struct accept_auth **auth)
{
    struct accept_auth *a = *auth;
    struct cached *c, *c_next;

    *auth = NULL;
    if (!a || atomic_fetch_sub_explicit(&a->refs, 1, memory_order_acq_rel) > 1) return;
    HASH_ITER(hh, a->cache, c, c_next)
    cache_remove(a, c);
    free_credentials(a);
    free_domains(a);
    free(a->models);
    while (a->holding_count > 0)
        free(a->holding[--a->holding_count]);
    free(a->holding);
    pthread_mutex_destroy(&a->lock);
    sodium_memzero(a, sizeof *a);
    free(a);
}

/* ---- domains */

static const struct owned *find_domain(const struct accept_auth *a, struct span key)
{
    struct owned *o = NULL;

    if (key.n > 0) HASH_FIND(hh, a->owned, key.p, key.n, o);
    return o;
}

const char *auth_tenant_of_domain(const struct accept_auth *a, struct span key)
{
    const struct owned *o = find_domain(a, key);

    return o ? o->tenant : NULL;
}

bool auth_tenant_has_domain(const struct accept_auth *a, struct span tenant, struct span key)
{
    const struct owned *o = find_domain(a, key);

    return o && span_eq(span_cstr(o->tenant), tenant);
}

bool auth_tenant_holds_doubts(const struct accept_auth *a, const char *tenant)
{
    for (unsigned i = 0; i < a->holding_count; i++)
        if (strcmp(a->holding[i], tenant) == 0) return true;
    return false;
}

/* ---- the cache */

static void cache_key(const struct accept_auth *a, struct span username, struct span password,
                      uint8_t key[CACHE_KEY_SIZE])
{
    crypto_generichash_state state;

    crypto_generichash_init(&state, a->cache_secret, sizeof a->cache_secret, CACHE_KEY_SIZE);
    crypto_generichash_update(&state, username.p, username.n);
    crypto_generichash_update(&state, (const uint8_t *)"", 1);
    crypto_generichash_update(&state, password.p, password.n);
    crypto_generichash_final(&state, key, CACHE_KEY_SIZE);
    sodium_memzero(&state, sizeof state);
}

static const struct credential *cache_find(struct accept_auth *a, const uint8_t key[CACHE_KEY_SIZE],
                                           uint64_t now_ms)
{
    struct cached *c = NULL;
    const struct credential *found = NULL;

    pthread_mutex_lock(&a->lock);
    HASH_FIND(hh, a->cache, key, CACHE_KEY_SIZE, c);
    if (c && now_ms < c->until_ms)
        found = c->credential;
    else if (c)
        cache_remove(a, c);
    pthread_mutex_unlock(&a->lock);
    return found;
}

/* What is in it longest goes first. */
static void cache_put(struct accept_auth *a, const uint8_t key[CACHE_KEY_SIZE],
                      const struct credential *credential, uint64_t now_ms)
{
    struct cached *c = NULL;

    if (a->cache_ms == 0) return;
    pthread_mutex_lock(&a->lock);
    HASH_FIND(hh, a->cache, key, CACHE_KEY_SIZE, c);
    if (c) cache_remove(a, c);
    if (HASH_COUNT(a->cache) >= AUTH_CACHE_MAX) cache_remove(a, a->cache);
    c = check_calloc(1, sizeof *c);
    memcpy(c->key, key, CACHE_KEY_SIZE);
    c->credential = credential;
    c->until_ms = now_ms + a->cache_ms;
    HASH_ADD(hh, a->cache, key, CACHE_KEY_SIZE, c);
    pthread_mutex_unlock(&a->lock);
}

void auth_dummy_hash(const struct accept_auth *a, struct span username, char out[AUTH_HASH_SIZE])
{
    choose_dummy(a, username, out);
}

size_t auth_cache_count(struct accept_auth *a)
{
    size_t n;

    pthread_mutex_lock(&a->lock);
    n = HASH_COUNT(a->cache);
    pthread_mutex_unlock(&a->lock);
    return n;
}

/* ---- attempts */

/* On a thread of the CPU pool. libsodium says by errno whether the password was wrong (EINVAL) or
 * the verification itself failed, for want of memory for instance. */
static void verify(struct loop_work *w)
{
    struct auth_attempt *t = CONTAINER_OF(w, struct auth_attempt, work);
    const char *hash = t->credential ? t->credential->password_hash : t->dummy_hash;
    int rv;

    errno = 0;
    rv = crypto_pwhash_str_verify(hash, t->password, t->password_size);
    t->rv = rv == 0 ? 0 : errno == EINVAL ? ERR_DENIED : ERR_IO;
    if (t->rv == 0 && !t->credential) t->rv = ERR_DENIED;
    sodium_memzero(t->password, t->password_size);
}

static void attempt_free(struct auth_attempt *t)
{
    sodium_memzero(t->password, t->password_size);
    sodium_memzero(t->key, sizeof t->key);
    accept_auth_unref(&t->auth);
    free(t);
}

static void verified(struct loop_work *w)
{
    struct auth_attempt *t = CONTAINER_OF(w, struct auth_attempt, work);

    atomic_fetch_sub_explicit(&t->auth->inflight, 1, memory_order_relaxed);
    if (t->rv == 0) cache_put(t->auth, t->key, t->credential, t->now_ms);
    if (t->on_done) t->on_done(t->arg, t->rv, t->rv == 0 ? t->credential : NULL);
    attempt_free(t);
}

static const struct credential *find_credential(const struct accept_auth *a, struct span username)
{
    struct known *k = NULL;

    if (username.n > 0) HASH_FIND(hh, a->known, username.p, username.n, k);
    return k ? &k->credential : NULL;
}

bool auth_is_elsewhere(const struct accept_auth *a, const char *from, struct span username)
{
    const struct credential *c = find_credential(a, username);

    return c && !network_list_has(span_cstr(c->addresses), from);
}

static struct auth_attempt *attempt_new(struct accept_auth *a, const char *from,
                                        struct span username, struct span password)
{
    struct auth_attempt *t = check_calloc(1, sizeof *t + password.n + 1);
    const struct credential *c = find_credential(a, username);

    t->work.run = verify;
    t->work.on_done = verified;
    t->auth = accept_auth_ref(a);
    if (!c)
        choose_dummy(a, username, t->dummy_hash);
    else if (auth_is_elsewhere(a, from, username))
        spoil_hash(c->password_hash, t->dummy_hash);
    else
        t->credential = c;
    t->password_size = password.n;
    if (password.n > 0) memcpy(t->password, password.p, password.n);
    return t;
}

static int attempt_start(struct auth_attempt *t, struct loop *l)
{
    struct accept_auth *a = t->auth;
    int rv = ERR_FULL;

    if (atomic_fetch_add_explicit(&a->inflight, 1, memory_order_relaxed) < a->inflight_max)
        rv = loop_work(l, LOOP_POOL_CPU, &t->work);
    if (rv) atomic_fetch_sub_explicit(&a->inflight, 1, memory_order_relaxed);
    return rv;
}

int auth_verify(struct accept_auth *a, struct loop *l, const char *from, struct span username,
                struct span password, const struct credential **out,
                struct auth_attempt **attempt_out,
                void (*on_done)(void *arg, int rv, const struct credential *credential), void *arg)
{
    uint8_t key[CACHE_KEY_SIZE];
    struct auth_attempt *t;

    CHECK(password.n <= AUTH_SECRET_MAX);
    cache_key(a, username, password, key);
    *out = auth_is_elsewhere(a, from, username) ? NULL : cache_find(a, key, loop_mono_ms(l));
    if (*out && span_eq(username, span_cstr((*out)->username))) return 0;
    *out = NULL;
    t = attempt_new(a, from, username, password);
    memcpy(t->key, key, sizeof key);
    t->now_ms = loop_mono_ms(l);
    t->on_done = on_done;
    t->arg = arg;
    if (attempt_start(t, l) != 0) {
        attempt_free(t);
        return ERR_FULL;
    }
    *attempt_out = t;
    return ERR_AGAIN;
}

void auth_attempt_forget(struct auth_attempt **attempt)
{
    if (*attempt) (*attempt)->on_done = NULL;
    *attempt = NULL;
}
