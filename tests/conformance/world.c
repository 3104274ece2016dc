/* world - see world.h. Passwords are hashed as cheaply as argon2id allows. */
#include "tests/conformance/world.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "proto/ground/check.h"

#define HOSTNAME "relay.test"

void world_begin(struct world *w)
{
    struct errmsg why;

    CHECK(sodium_init() >= 0);
    CHECK(loop_new(&w->loop, 0, &why) == 0);
    w->commit = double_new(w->loop);
    w->auth = NULL;
    w->tls = NULL;
    w->accept = NULL;
    w->inflight_max = 4;
    w->has_tls = true;
    w->bare = ACCEPT_BARE_REFUSE;
    w->mechanisms = 0;
    w->serves_hostname = w->carries_binary = w->has_gtube = false;
    w->rule_count = 0;
    w->content = NULL;
    accept_limits_default(&w->limits);
    w->limits.auth_delay_ms = 1;
}

static void hash(const char *password, char out[crypto_pwhash_STRBYTES])
{
    CHECK(crypto_pwhash_str_alg(out, password, strlen(password), crypto_pwhash_OPSLIMIT_MIN,
                                crypto_pwhash_MEMLIMIT_MIN, crypto_pwhash_ALG_ARGON2ID13) == 0);
}

static int make_auth(struct world *w, struct errmsg *why)
{
    static char hashes[2][crypto_pwhash_STRBYTES];
    static const char *const demo_domains[] = { "example.test", "Other.Test", HOSTNAME };
    static const char *const second_domains[] = { "second.test" };
    const struct accept_tenant tenants[] = { { "demo", demo_domains, w->serves_hostname ? 3 : 2, false },
                                             { "second", second_domains, 1, false } };
    const struct accept_credential credentials[] = { { "demo", "demo", hashes[0], NULL },
                                                     { "second", "second", hashes[1], NULL },
                                                     { "homely", "demo", hashes[0],
                                                       "127.0.0.7, 2001:db8::/32" } };

    if (hashes[0][0] == '\0') {
        hash("secret", hashes[0]);
        hash("geheim", hashes[1]);
    }
    return accept_auth_new(&w->auth, credentials, 3, tenants, 2, 60000, w->inflight_max, why);
}

static int make_tls(struct world *w, struct errmsg *why)
{
    static const char *const hosts[] = { HOSTNAME, "127.0.0.1" };
    char cert[128], key[128];
    int rv;

    if (w->dir[0] == '\0') {
        snprintf(w->dir, sizeof w->dir, "/tmp/conformance.XXXXXX");
        if (!mkdtemp(w->dir)) return errmsg_set(why, ERR_IO, "no directory for certificates");
    }
    rv = tls_make_dev_files(w->dir, hosts, 2, why);
    if (rv) return rv;
    snprintf(cert, sizeof cert, "%s/node.pem", w->dir);
    snprintf(key, sizeof key, "%s/node.key", w->dir);
    return tls_server_new(&w->tls, &(struct tls_pair){ cert, key }, 1, NULL, why);
}

int world_listen(struct world *w, enum accept_kind kind, struct errmsg *why)
{
    struct stream_address at = { .text = "127.0.0.1" };
    struct accept_service service = { .kind = kind, .bare = w->bare, .mechanisms = w->mechanisms };
    struct accept_options o = { .loop = w->loop, .commit = w->commit, .hostname = HOSTNAME };
    int rv = make_auth(w, why);

    if (rv == 0 && w->has_tls) rv = make_tls(w, why);
    if (rv) return rv;
    o.auth = w->auth;
    o.tls = w->tls;
    o.node = 7;
    o.start = 1700000000000;
    o.expire_ms = 5ull * 24 * 60 * 60 * 1000;
    o.limits = w->limits;
    o.carries_binary = w->carries_binary;
    w->content = mail_content_new(w->rules, w->rule_count, w->has_gtube);
    o.content = w->content;
    rv = accept_new(&w->accept, &o, why);
    return rv ? rv : accept_listen(w->accept, &service, &at, why);
}

void world_turn(struct world *w, unsigned ms)
{
    uint64_t until = clock_mono_ms(&clock_real) + ms;

    do
        loop_turn(w->loop, 1);
    while (clock_mono_ms(&clock_real) < until);
}

void world_end(struct world *w)
{
    accept_free(&w->accept);
    double_go_on(w->commit);
    world_turn(w, 5);
    double_free(&w->commit);
    if (w->auth) accept_auth_unref(&w->auth);
    if (w->tls) tls_unref(&w->tls);
    mail_content_unref(&w->content);
    loop_free(&w->loop);
}

void world_clean(const struct world *w)
{
    static const char *const files[] = { "ca.pem", "ca.key", "node.pem", "node.key" };
    char path[128];

    if (w->dir[0] == '\0') return;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", w->dir, files[i]);
        unlink(path);
    }
    rmdir(w->dir);
}
