/* auth - passwords, the cache of those that were right, and whose a domain is. Hashes are as cheap
 * as argon2id allows. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "node/accept/auth.h"
#include "node/smtp/address.h"
#include "proto/ground/check.h"

#define CACHE_MS 60000

static char hash_of_secret[crypto_pwhash_STRBYTES];
static const char *const demo_domains[] = { "example.test", "Mixed.Test." };
static const char *const other_domains[] = { "other.test" };
static const struct accept_tenant tenants[] = { { "demo", demo_domains, 2, false },
                                                { "other", other_domains, 1, true } };

static int make_hash(void **state)
{
    (void)state;
    if (sodium_init() < 0) return -1;
    return crypto_pwhash_str_alg(hash_of_secret, "secret", 6, crypto_pwhash_OPSLIMIT_MIN,
                                 crypto_pwhash_MEMLIMIT_MIN, crypto_pwhash_ALG_ARGON2ID13);
}

static struct accept_auth *make(uint64_t cache_ms, unsigned inflight_max)
{
    const struct accept_credential credential = { "demo", "demo", hash_of_secret, NULL };
    struct accept_auth *a;
    struct errmsg why;

    assert_int_equal(accept_auth_new(&a, &credential, 1, tenants, 2, cache_ms, inflight_max, &why),
                     0);
    return a;
}

/* ---- one verification, waited for */

struct wait {
    int rv;
    bool is_done;
    const struct credential *credential;
};

static void on_done(void *arg, int rv, const struct credential *credential)
{
    struct wait *w = arg;

    w->rv = rv;
    w->credential = credential;
    w->is_done = true;
}

/* What auth_verify answers; for ERR_AGAIN what comes of it is in *w. */
static int try(struct accept_auth *a, struct loop *l, const char *name, const char *password,
               struct wait *w)
{
    struct auth_attempt *attempt;
    int rv;

    *w = (struct wait){ .rv = 1 };
    rv = auth_verify(a, l, "192.0.2.1", span_cstr(name), span_cstr(password), &w->credential,
                     &attempt, on_done, w);
    if (rv != ERR_AGAIN) return rv;
    assert_false(w->is_done);
    while (!w->is_done)
        loop_turn(l, 10);
    return rv;
}

static struct loop *make_loop(void)
{
    struct loop *l;
    struct errmsg why;

    CHECK(loop_new(&l, 0, &why) == 0);
    return l;
}

static void right_and_wrong(void **state)
{
    struct accept_auth *a = make(CACHE_MS, 4);
    struct loop *l = make_loop();
    struct wait w;

    (void)state;
    assert_int_equal(try(a, l, "demo", "Secret", &w), ERR_AGAIN);
    assert_int_equal(w.rv, ERR_DENIED);
    assert_null(w.credential);
    assert_int_equal(try(a, l, "nobody", "secret", &w), ERR_AGAIN);
    assert_int_equal(w.rv, ERR_DENIED);
    assert_int_equal(try(a, l, "", "", &w), ERR_AGAIN);
    assert_int_equal(w.rv, ERR_DENIED);
    assert_int_equal(auth_cache_count(a), 0);
    assert_int_equal(try(a, l, "demo", "secret", &w), ERR_AGAIN);
    assert_int_equal(w.rv, 0);
    assert_string_equal(w.credential->tenant, "demo");
    accept_auth_unref(&a);
    loop_free(&l);
}

static void cache(void **state)
{
    struct accept_auth *a = make(CACHE_MS, 4);
    struct loop *l = make_loop();
    struct wait w;

    (void)state;
    assert_int_equal(try(a, l, "demo", "secret", &w), ERR_AGAIN);
    assert_int_equal(auth_cache_count(a), 1);
    assert_int_equal(try(a, l, "demo", "secret", &w), 0);
    assert_string_equal(w.credential->username, "demo");
    assert_int_equal(try(a, l, "demo", "secre", &w), ERR_AGAIN);
    assert_int_equal(w.rv, ERR_DENIED);
    assert_int_equal(try(a, l, "demos", "ecret", &w), ERR_AGAIN);
    assert_int_equal(w.rv, ERR_DENIED);
    assert_int_equal(auth_cache_count(a), 1);
    accept_auth_unref(&a);
    loop_free(&l);
}

static void cache_ends(void **state)
{
    struct accept_auth *a = make(20, 4), *none = make(0, 4);
    struct loop *l = make_loop();
    struct wait w;
    uint64_t until;

    (void)state;
    assert_int_equal(try(a, l, "demo", "secret", &w), ERR_AGAIN);
    until = clock_mono_ms(&clock_real) + 40;
    while (clock_mono_ms(&clock_real) < until)
        loop_turn(l, 5);
    assert_int_equal(try(a, l, "demo", "secret", &w), ERR_AGAIN);
    assert_int_equal(w.rv, 0);
    assert_int_equal(try(none, l, "demo", "secret", &w), ERR_AGAIN);
    assert_int_equal(auth_cache_count(none), 0);
    assert_int_equal(try(none, l, "demo", "secret", &w), ERR_AGAIN);
    accept_auth_unref(&a);
    accept_auth_unref(&none);
    loop_free(&l);
}

#define MANY (AUTH_CACHE_MAX + 3)

static void cache_is_bounded(void **state)
{
    static char names[MANY][16];
    static struct accept_credential credentials[MANY];
    struct loop *l = make_loop();
    struct accept_auth *a;
    struct wait w;

    (void)state;
    for (int i = 0; i < MANY; i++) {
        snprintf(names[i], sizeof names[i], "user%d", i);
        credentials[i] = (struct accept_credential){ names[i], "demo", hash_of_secret, NULL };
    }
    assert_int_equal(accept_auth_new(&a, credentials, MANY, tenants, 2, CACHE_MS, 4, NULL), 0);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(try(a, l, names[i], "secret", &w), ERR_AGAIN);
    assert_int_equal(auth_cache_count(a), AUTH_CACHE_MAX);
    assert_int_equal(try(a, l, names[MANY - 1], "secret", &w), 0);
    assert_int_equal(try(a, l, names[0], "secret", &w), ERR_AGAIN);
    accept_auth_unref(&a);
    loop_free(&l);
}

static void too_many_at_once(void **state)
{
    struct accept_auth *a = make(CACHE_MS, 1);
    struct loop *l = make_loop();
    struct auth_attempt *first, *second;
    const struct credential *credential;
    struct wait w = { .rv = 1 }, v = { .rv = 1 };

    (void)state;
    assert_int_equal(auth_verify(a, l, "192.0.2.1", SPAN_LIT("demo"), SPAN_LIT("secret"),
                                 &credential, &first, on_done, &w),
                     ERR_AGAIN);
    assert_int_equal(auth_verify(a, l, "192.0.2.1", SPAN_LIT("demo"), SPAN_LIT("other"),
                                 &credential, &second, on_done, &v),
                     ERR_FULL);
    while (!w.is_done)
        loop_turn(l, 10);
    assert_int_equal(w.rv, 0);
    assert_int_equal(try(a, l, "demo", "other", &v), ERR_AGAIN);
    assert_int_equal(v.rv, ERR_DENIED);
    accept_auth_unref(&a);
    loop_free(&l);
}

/* Who asked is gone, and so is whoever else held the credentials. */
static void forgotten(void **state)
{
    struct accept_auth *a = make(CACHE_MS, 1), *kept = accept_auth_ref(a);
    struct loop *l = make_loop();
    struct auth_attempt *attempt, *none = NULL;
    const struct credential *credential;
    struct wait w = { .rv = 1 };

    (void)state;
    assert_int_equal(auth_verify(a, l, "192.0.2.1", SPAN_LIT("demo"), SPAN_LIT("secret"),
                                 &credential, &attempt, on_done, &w),
                     ERR_AGAIN);
    auth_attempt_forget(&attempt);
    assert_null(attempt);
    auth_attempt_forget(&none);
    accept_auth_unref(&a);
    for (int i = 0; i < 500 && auth_cache_count(kept) == 0; i++)
        loop_turn(l, 10);
    assert_int_equal(auth_cache_count(kept), 1);
    assert_false(w.is_done);
    accept_auth_unref(&kept);
    loop_free(&l);
}

/* ---- two loops, one accept_auth */

static void *ask_often(void *arg)
{
    struct accept_auth *a = arg;
    struct loop *l = make_loop();
    struct wait w;

    for (int i = 0; i < 100; i++) {
        int rv = try(a, l, "demo", "secret", &w);
        CHECK(rv == 0 || (rv == ERR_AGAIN && w.rv == 0));
        rv = try(a, l, "demo", "wrong", &w);
        CHECK(rv == ERR_AGAIN && w.rv == ERR_DENIED);
    }
    loop_free(&l);
    return NULL;
}

static void two_loops(void **state)
{
    struct accept_auth *a = make(1, 64);
    pthread_t threads[2];

    (void)state;
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask_often, a), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    accept_auth_unref(&a);
}

/* ---- settings that are wrong, and domains */

static void expect_wrong(const struct accept_credential *credentials, unsigned n,
                         const struct accept_tenant *of, unsigned tenant_count, const char *reason)
{
    struct accept_auth *a = NULL;
    struct errmsg why = { "" };

    assert_int_equal(accept_auth_new(&a, credentials, n, of, tenant_count, 1, 1, &why), ERR_CONFIG);
    assert_null(a);
    assert_non_null(strstr(why.text, reason));
}

static void wrong_settings(void **state)
{
    const struct accept_tenant clash[] = { { "demo", demo_domains, 2, false },
                                           { "thief", demo_domains, 1, false } };
    const struct accept_tenant twice[] = { { "demo", demo_domains, 2, false },
                                           { "demo", demo_domains, 2, false } };
    const struct accept_credential plain = { "demo", "demo", "secret", NULL };
    const struct accept_credential argon2i = { "demo", "demo",
                                               "$argon2i$v=19$m=8,t=3,p=1$c2FsdHNhbHQ$aGFzaGhhc2g",
                                               NULL };
    const struct accept_credential cut = { "demo", "demo", "$argon2id$v=19$m=8", NULL };
    const struct accept_credential orphan = { "demo", "nobody", hash_of_secret, NULL };
    const struct accept_credential nameless = { "", "demo", hash_of_secret, NULL };
    const struct accept_credential same[] = { { "demo", "demo", hash_of_secret, NULL },
                                              { "demo", "other", hash_of_secret, NULL } };
    struct accept_auth *a;

    (void)state;
    expect_wrong(&plain, 1, tenants, 2, "not argon2id");
    expect_wrong(&argon2i, 1, tenants, 2, "not argon2id");
    expect_wrong(&cut, 1, tenants, 2, "not argon2id");
    expect_wrong(&orphan, 1, tenants, 2, "nobody");
    expect_wrong(&nameless, 1, tenants, 2, "username");
    expect_wrong(same, 2, tenants, 2, "twice");
    expect_wrong(NULL, 0, clash, 2, "belongs to");
    assert_int_equal(accept_auth_new(&a, NULL, 0, twice, 2, 1, 1, NULL), 0);
    accept_auth_unref(&a);
}

/* Without a credential there is still a hash to compare with. */
static void nobody_at_all(void **state)
{
    struct loop *l = make_loop();
    struct accept_auth *a;
    struct wait w;

    (void)state;
    assert_int_equal(accept_auth_new(&a, NULL, 0, NULL, 0, 1, 1, NULL), 0);
    assert_int_equal(try(a, l, "demo", "secret", &w), ERR_AGAIN);
    assert_int_equal(w.rv, ERR_DENIED);
    accept_auth_unref(&a);
    loop_free(&l);
}

/* An unknown name costs what some known one costs, always the same, and no cost stands out. */
static void unknown_names_cost_what_known_ones_do(void **state)
{
    char cheap[crypto_pwhash_STRBYTES], dear[crypto_pwhash_STRBYTES], again[AUTH_HASH_SIZE];
    const struct accept_credential credentials[] = { { "cheap", "demo", cheap, NULL },
                                                     { "dear", "demo", dear, NULL } };
    unsigned of_cheap = 0, of_dear = 0;
    struct accept_auth *a;

    (void)state;
    memcpy(cheap, hash_of_secret, sizeof cheap);
    assert_int_equal(crypto_pwhash_str_alg(dear, "secret", 6, 2, crypto_pwhash_MEMLIMIT_MIN * 2,
                                           crypto_pwhash_ALG_ARGON2ID13),
                     0);
    assert_int_equal(accept_auth_new(&a, credentials, 2, tenants, 2, 1, 1, NULL), 0);
    for (int i = 0; i < 200; i++) {
        char name[32], out[AUTH_HASH_SIZE], *salt;

        snprintf(name, sizeof name, "nobody%d", i);
        auth_dummy_hash(a, span_cstr(name), out);
        auth_dummy_hash(a, span_cstr(name), again);
        assert_string_equal(out, again);
        assert_int_equal(crypto_pwhash_str_verify(out, "secret", 6), -1);
        salt = strrchr(out, '$');
        of_cheap += strncmp(out, cheap, (size_t)(salt - out)) == 0;
        of_dear += strncmp(out, dear, (size_t)(salt - out)) == 0;
    }
    assert_int_equal(of_cheap + of_dear, 200);
    assert_in_range(of_cheap, 40, 160);
    accept_auth_unref(&a);
}

static bool owns_domain(const struct accept_auth *a, struct span tenant, struct span domain)
{
    struct buf key;
    bool owns;

    buf_init(&key, SMTP_DOMAIN_SIZE_MAX);
    smtp_domain_key(domain, &key);
    owns = !buf_failed(&key) && auth_tenant_has_domain(a, tenant, buf_span(&key));
    buf_deinit(&key);
    return owns;
}

static void domains(void **state)
{
    struct accept_auth *a = make(1, 1);
    char longest[400];

    (void)state;
    assert_true(auth_tenant_holds_doubts(a, "other"));
    assert_false(auth_tenant_holds_doubts(a, "demo"));
    assert_true(owns_domain(a, SPAN_LIT("demo"), SPAN_LIT("example.test")));
    assert_true(owns_domain(a, SPAN_LIT("demo"), SPAN_LIT("EXAMPLE.Test.")));
    assert_true(owns_domain(a, SPAN_LIT("demo"), SPAN_LIT("mixed.test")));
    assert_false(owns_domain(a, SPAN_LIT("other"), SPAN_LIT("example.test")));
    assert_false(owns_domain(a, SPAN_LIT("demo"), SPAN_LIT("sub.example.test")));
    assert_false(owns_domain(a, SPAN_LIT("demo"), SPAN_LIT("xample.test")));
    assert_false(owns_domain(a, SPAN_LIT("demo"), SPAN_LIT("")));
    assert_false(owns_domain(a, SPAN_LIT(""), SPAN_LIT("example.test")));
    memset(longest, 'x', sizeof longest);
    assert_false(owns_domain(a, SPAN_LIT("demo"), span_of(longest, sizeof longest)));
    assert_string_equal(auth_tenant_of_domain(a, SPAN_LIT("other.test")), "other");
    assert_null(auth_tenant_of_domain(a, SPAN_LIT("nowhere.test")));
    assert_null(auth_tenant_of_domain(a, span_of(NULL, 0)));
    accept_auth_unref(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(right_and_wrong),  cmocka_unit_test(cache),
        cmocka_unit_test(cache_ends),       cmocka_unit_test(cache_is_bounded),
        cmocka_unit_test(too_many_at_once), cmocka_unit_test(forgotten),
        cmocka_unit_test(two_loops),        cmocka_unit_test(wrong_settings),
        cmocka_unit_test(nobody_at_all),    cmocka_unit_test(unknown_names_cost_what_known_ones_do),
        cmocka_unit_test(domains),
    };
    return cmocka_run_group_tests(tests, make_hash, NULL);
}
