/* TLS contexts of a server without sockets: which certificate is shown, pins and expiry, tickets and the rotation of
 * their keys on a false clock, files that change under a watch. */
#include "tests/unit/node/net/net_test.h"

#include <ftw.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

#include "node/net/tls_private.h"
#include "node/net/tls_watch.h"
#include "proto/ground/metric.h"

#define DAY_S 86400

static char dir[64];

static int make_dir(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/net_tls_unit.XXXXXX");
    assert_non_null(mkdtemp(dir));
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

static int remove_dir(void **state)
{
    (void)state;
    return nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* ---- certificates of our own */

struct files {
    char cert[128], key[128];
};

static X509 *make_certificate(EVP_PKEY *key, const char *names, int days)
{
    X509 *x = X509_new();
    X509_NAME *subject = X509_get_subject_name(x);
    X509_EXTENSION *san = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, names);

    assert_non_null(san);
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 7);
    X509_gmtime_adj(X509_getm_notBefore(x), -DAY_S);
    X509_gmtime_adj(X509_getm_notAfter(x), (long)days * DAY_S + 3600);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)names, -1, -1,
                               0);
    X509_set_issuer_name(x, subject);
    X509_add_ext(x, san, -1);
    X509_set_pubkey(x, key);
    assert_true(X509_sign(x, key, EVP_sha256()) > 0);
    X509_EXTENSION_free(san);
    return x;
}

/* Self-signed, names as "DNS:a.test,DNS:b.test". */
static struct files make_files(const char *name, const char *names, bool rsa, int days)
{
    struct files f;
    EVP_PKEY *key = rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");
    X509 *x = make_certificate(key, names, days);
    FILE *file;

    snprintf(f.cert, sizeof f.cert, "%s/%s.pem", dir, name);
    snprintf(f.key, sizeof f.key, "%s/%s.key", dir, name);
    file = fopen(f.cert, "w");
    assert_true(file && PEM_write_X509(file, x) == 1);
    fclose(file);
    file = fopen(f.key, "w");
    assert_true(file && PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) == 1);
    fclose(file);
    X509_free(x);
    EVP_PKEY_free(key);
    return f;
}

static struct tls_pair pair_of(const struct files *f)
{
    return (struct tls_pair){ f->cert, f->key };
}

static struct tls *server_of(const struct tls_pair *pairs, unsigned count,
                             struct tls_tickets *tickets)
{
    struct tls *t;
    struct errmsg why;

    if (tls_server_new(&t, pairs, count, tickets, &why) != 0) fail_msg("%s", why.text);
    return t;
}

/* ---- a client in memory */

struct client {
    SSL_CTX *ctx;
    SSL_SESSION *session; /* the last that the server gave */
    bool ok, resumed;
    char names[256]; /* the common name of what was shown: make_certificate puts the names there */
    int key_kind;
    char suite[64];
};

static int keep_session(SSL *ssl, SSL_SESSION *session)
{
    struct client *c = SSL_get_app_data(ssl);
    SSL_SESSION *before = c->session;

    c->session = session;
    SSL_SESSION_free(before);
    return 1;
}

static void client_init(struct client *c, int version)
{
    *c = (struct client){ .ctx = SSL_CTX_new(TLS_client_method()) };
    SSL_CTX_set_min_proto_version(c->ctx, version);
    SSL_CTX_set_max_proto_version(c->ctx, version);
    SSL_CTX_set_session_cache_mode(c->ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(c->ctx, keep_session);
}

static void client_deinit(struct client *c)
{
    SSL_SESSION_free(c->session);
    SSL_CTX_free(c->ctx);
}

static void look_at(struct client *c, SSL *mine)
{
    X509 *shown = SSL_get1_peer_certificate(mine);

    c->resumed = SSL_session_reused(mine) == 1;
    c->names[0] = '\0';
    snprintf(c->suite, sizeof c->suite, "%s", SSL_get_cipher_name(mine));
    if (!shown) return;
    X509_NAME_get_text_by_NID(X509_get_subject_name(shown), NID_commonName, c->names,
                              sizeof c->names);
    c->key_kind = EVP_PKEY_get_base_id(X509_get0_pubkey(shown));
    X509_free(shown);
}

/* One handshake; the client offers the session it has when `resume`. */
static void meet(struct client *c, const struct tls *server, const char *name, bool resume)
{
    SSL *mine = SSL_new(c->ctx), *other = SSL_new(server->ctx);
    BIO *a, *b;
    char byte;

    BIO_new_bio_pair(&a, 1u << 16, &b, 1u << 16);
    SSL_set_bio(mine, a, a);
    SSL_set_bio(other, b, b);
    SSL_set_app_data(mine, c);
    SSL_set_connect_state(mine);
    SSL_set_accept_state(other);
    if (name) SSL_set_tlsext_host_name(mine, name);
    if (resume && c->session) SSL_set_session(mine, c->session);
    for (unsigned i = 0; i < 8; i++) {
        SSL_do_handshake(mine);
        SSL_do_handshake(other);
    }
    c->ok = SSL_is_init_finished(mine) && SSL_is_init_finished(other);
    if (c->ok && SSL_version(mine) == TLS1_2_VERSION) keep_session(mine, SSL_get1_session(mine));
    SSL_read(mine, &byte, 1); /* takes a ticket of TLS 1.3 */
    look_at(c, mine);
    SSL_shutdown(mine);
    SSL_free(mine);
    SSL_free(other);
    ERR_clear_error();
}

/* ---- names */

static void test_names(void **state)
{
    (void)state;
    struct files first = make_files("first", "DNS:mx.one.test", false, 90);
    struct files second = make_files("second", "DNS:*.two.test,DNS:two.test", false, 90);
    struct files third = make_files("third", "DNS:smtp.two.test", false, 90);
    const struct tls_pair pairs[] = { pair_of(&first), pair_of(&second), pair_of(&third) };
    static const char *const asked[][2] = {
        { NULL, "mx.one.test" },
        { "mx.one.test", "mx.one.test" },
        { "MX.ONE.TEST", "mx.one.test" },
        { "a.two.test", "*.two.test" },
        { "two.test", "*.two.test" },
        { "smtp.two.test", "DNS:smtp.two.test" },
        { "a.b.two.test", "mx.one.test" } /* a star is one label */,
        { "unknown.test", "mx.one.test" },
    };
    struct tls *t = server_of(pairs, 3, NULL);
    struct client c;

    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        client_init(&c, version);
        for (unsigned i = 0; i < sizeof asked / sizeof asked[0]; i++) {
            meet(&c, t, asked[i][0], false);
            assert_true(c.ok);
            if (!strstr(c.names, asked[i][1])) fail_msg("%s: shown %s", asked[i][0], c.names);
        }
        client_deinit(&c);
    }
    assert_int_equal(tls_certificate_count(t), 3);
    assert_string_equal(tls_certificate(t, 1)->names, "*.two.test, two.test");
    tls_unref(&t);
}

static void test_two_kinds_of_keys_for_one_name(void **state)
{
    (void)state;
    struct files ec = make_files("ec", "DNS:mx.test", false, 90);
    struct files rsa = make_files("rsa", "DNS:mx.test", true, 90);
    const struct tls_pair pairs[] = { pair_of(&ec), pair_of(&rsa) };
    struct tls *t = server_of(pairs, 2, NULL);
    struct client c;

    client_init(&c, TLS1_2_VERSION);
    meet(&c, t, "mx.test", false);
    assert_true(c.ok);
    assert_int_equal(c.key_kind, EVP_PKEY_EC);
    SSL_CTX_set_cipher_list(c.ctx, "ECDHE-RSA-AES128-GCM-SHA256"); /* cannot verify ECDSA */
    meet(&c, t, "mx.test", false);
    assert_true(c.ok);
    assert_int_equal(c.key_kind, EVP_PKEY_RSA);
    meet(&c, t, NULL, false);
    assert_true(c.ok);
    client_deinit(&c);
    tls_unref(&t);
}

static void test_versions_and_suites(void **state)
{
    (void)state;
    struct files f = make_files("suites", "DNS:mx.test", true, 90);
    const struct tls_pair pair = pair_of(&f);
    static const char *const refused[] = { "AES128-GCM-SHA256", "ECDHE-RSA-AES128-SHA",
                                           "DHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-SHA384" };
    struct tls *t = server_of(&pair, 1, NULL);
    struct client c;

    for (int version = TLS1_VERSION; version <= TLS1_1_VERSION; version++) {
        client_init(&c, version);
        SSL_CTX_set_cipher_list(c.ctx, "ALL:@SECLEVEL=0");
        meet(&c, t, NULL, false);
        assert_false(c.ok);
        client_deinit(&c);
    }
    client_init(&c, TLS1_2_VERSION);
    for (unsigned i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        assert_int_equal(SSL_CTX_set_cipher_list(c.ctx, refused[i]), 1);
        meet(&c, t, NULL, false);
        if (c.ok) fail_msg("%s was taken", refused[i]);
    }
    client_deinit(&c);
    tls_unref(&t);
}

/* AES-128 with SHA-256 where the client can; else what it can. The client's order does not count, but for ChaCha20. */
static void test_the_suite_that_costs_least(void **state)
{
    (void)state;
    struct files f = make_files("order", "DNS:mx.test", false, 90);
    const struct tls_pair pair = pair_of(&f);
    static const struct {
        int version;
        const char *offered, *chosen;
    } rows[] = {
        { TLS1_3_VERSION,
          "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256",
          "TLS_AES_128_GCM_SHA256" },
        { TLS1_3_VERSION, "TLS_AES_256_GCM_SHA384", "TLS_AES_256_GCM_SHA384" },
        { TLS1_3_VERSION, "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256",
          "TLS_CHACHA20_POLY1305_SHA256" },
        { TLS1_2_VERSION, "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256",
          "ECDHE-ECDSA-AES128-GCM-SHA256" },
        { TLS1_2_VERSION, "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384" },
    };
    struct tls *t = server_of(&pair, 1, NULL);
    struct client c;

    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        client_init(&c, rows[i].version);
        if (rows[i].version == TLS1_3_VERSION)
            assert_int_equal(SSL_CTX_set_ciphersuites(c.ctx, rows[i].offered), 1);
        else
            assert_int_equal(SSL_CTX_set_cipher_list(c.ctx, rows[i].offered), 1);
        meet(&c, t, NULL, false);
        assert_true(c.ok);
        assert_string_equal(c.suite, rows[i].chosen);
        client_deinit(&c);
    }
    tls_unref(&t);
}

/* ---- facts */

static void test_facts(void **state)
{
    (void)state;
    struct files f = make_files("facts", "DNS:b.test,DNS:a.test", false, 20);
    const struct tls_pair pair = pair_of(&f);
    struct tls *t = server_of(&pair, 1, NULL);
    const struct tls_certificate *c = tls_certificate(t, 0);
    uint64_t now = clock_wall_ms(&clock_real);
    uint8_t hash[32];
    unsigned char *der = NULL;
    char want[65];
    int n;

    assert_string_equal(c->file, f.cert);
    assert_string_equal(c->names, "b.test, a.test");
    assert_int_equal(c->chain_count, 1);
    assert_null(c->doubt);
    assert_true(tls_days_left(c, now) == 20);
    assert_true(tls_days_left(c, now + 21ull * DAY_S * 1000) == -1);
    assert_true(c->not_before_ms < now);
    n = i2d_PUBKEY(X509_get0_pubkey(t->identities[0].leaf), &der);
    EVP_Digest(der, (size_t)n, hash, NULL, EVP_sha256(), NULL);
    OPENSSL_free(der);
    for (unsigned i = 0; i < 32; i++)
        snprintf(want + 2 * i, 3, "%02x", hash[i]);
    assert_string_equal(c->spki_sha256, want);
    assert_string_not_equal(c->sha256, want);
    tls_unref(&t);
}

static void test_a_chain_out_of_order_is_told(void **state)
{
    (void)state;
    struct files f = make_files("order", "DNS:a.test", false, 20);
    struct files other = make_files("stranger", "DNS:b.test", false, 20);
    const struct tls_pair pair = pair_of(&f);
    char bytes[4096];
    FILE *from = fopen(other.cert, "r"), *to = fopen(f.cert, "a");
    size_t n = fread(bytes, 1, sizeof bytes, from);
    struct tls *t;

    fclose(from);
    assert_true(fwrite(bytes, 1, n, to) == n);
    fclose(to);
    t = server_of(&pair, 1, NULL);
    assert_int_equal(tls_certificate(t, 0)->chain_count, 2);
    assert_non_null(tls_certificate(t, 0)->doubt);
    tls_unref(&t);
}

static void test_expiry_stages(void **state)
{
    (void)state;
    static const struct {
        int days;
        unsigned warn, stage;
    } cases[] = { { 31, 30, 0 }, { 30, 30, 0 }, { 29, 30, 1 }, { 14, 30, 1 }, { 13, 30, 2 },
                  { 7, 30, 2 },  { 6, 30, 3 },  { 2, 30, 4 },  { 0, 30, 5 },  { -1, 30, 6 },
                  { 12, 10, 0 }, { 8, 10, 2 },  { 0, 1, 5 },   { 1, 1, 0 },   { -9, 1, 6 } };

    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (tls_expiry_stage(cases[i].days, cases[i].warn) != cases[i].stage)
            fail_msg("%d days left, warned at %u: stage %u", cases[i].days, cases[i].warn,
                     tls_expiry_stage(cases[i].days, cases[i].warn));
}

/* ---- tickets */

static uint64_t false_ms;
static uint64_t read_false(void *arg)
{
    (void)arg;
    return false_ms;
}
static const struct clock false_clock = { NULL, read_false, read_false };

static void resume(struct client *c, const struct tls *t, bool want)
{
    meet(c, t, "a.test", true);
    assert_true(c->ok);
    if (c->resumed != want)
        fail_msg("at %llu: resumed %d", (unsigned long long)false_ms, c->resumed);
}

static void tickets_with(int version)
{
    struct files f = make_files("tickets", "DNS:default.test", false, 90);
    struct files g = make_files("tickets-a", "DNS:a.test", false, 90);
    const struct tls_pair pairs[] = { pair_of(&f), pair_of(&g) };
    struct tls_tickets *keys;
    struct tls *t, *reloaded;
    struct client c, old;

    false_ms = 5000;
    keys = tls_tickets_new(&false_clock);
    t = server_of(pairs, 2, keys);
    client_init(&c, version);
    meet(&c, t, "a.test", false);
    assert_true(c.ok && !c.resumed);
    assert_non_null(c.session);
    resume(&c, t, true);
    /* another loop, another context, the same keys; also after a reload */
    reloaded = server_of(pairs, 2, keys);
    resume(&c, reloaded, true);
    /* the key is old: its tickets are taken, and replaced by those of the new key */
    old = c;
    SSL_SESSION_up_ref(old.session);
    SSL_CTX_up_ref(old.ctx);
    false_ms += TLS_TICKET_ROTATE_MS;
    resume(&c, t, true);
    assert_true(c.session != old.session);
    false_ms += TLS_TICKET_LIFE_MS - 1;
    resume(&c, t, true);
    false_ms += 1; /* the first key is wiped now */
    resume(&old, t, false);
    resume(&c, t, true);
    tls_unref(&reloaded);
    tls_unref(&t);
    tls_tickets_unref(&keys);
    /* a node that was started anew knows no ticket of before */
    keys = tls_tickets_new(&false_clock);
    t = server_of(pairs, 2, keys);
    resume(&c, t, false);
    client_deinit(&c);
    client_deinit(&old);
    tls_unref(&t);
    tls_tickets_unref(&keys);
}

static void test_tickets(void **state)
{
    (void)state;
    tickets_with(TLS1_2_VERSION);
    tickets_with(TLS1_3_VERSION);
}

static void test_a_changed_ticket_is_not_taken(void **state)
{
    (void)state;
    struct files f = make_files("changed", "DNS:a.test", false, 90);
    const struct tls_pair pair = pair_of(&f);
    struct tls_tickets *keys = tls_tickets_new(&false_clock);
    struct tls *t = server_of(&pair, 1, keys);
    struct client c;
    unsigned char *der = NULL, *ticket;
    const unsigned char *at, *bytes;
    size_t size;
    int n;

    client_init(&c, TLS1_3_VERSION);
    meet(&c, t, "a.test", false);
    n = i2d_SSL_SESSION(c.session, &der);
    SSL_SESSION_get0_ticket(c.session, &bytes, &size);
    ticket = memmem(der, (size_t)n, bytes, size);
    assert_non_null(ticket);
    ticket[size / 2] ^= 1;
    SSL_SESSION_free(c.session);
    at = der;
    c.session = d2i_SSL_SESSION(NULL, &at, n);
    assert_non_null(c.session);
    resume(&c, t, false);
    OPENSSL_free(der);
    client_deinit(&c);
    tls_unref(&t);
    tls_tickets_unref(&keys);
}

static void test_no_keys_no_tickets(void **state)
{
    (void)state;
    struct files f = make_files("none", "DNS:a.test", false, 90);
    const struct tls_pair pair = pair_of(&f);
    struct tls *t = server_of(&pair, 1, NULL);
    struct client c;

    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        client_init(&c, version);
        meet(&c, t, "a.test", false);
        assert_true(c.ok);
        resume(&c, t, false);
        client_deinit(&c);
    }
    tls_unref(&t);
}

/* ---- the watch */

struct watched {
    struct loop *loop;
    struct tls_watch *watch;
    unsigned changes;
};

static void on_change(void *arg, struct tls *fresh)
{
    struct watched *w = arg;

    assert_ptr_equal(fresh, tls_watch_current(w->watch));
    w->changes++;
}

static void replace(const char *from, const char *to)
{
    assert_int_equal(rename(from, to), 0);
}

static bool shows(const struct watched *w, const char *names)
{
    return strcmp(tls_certificate(tls_watch_current(w->watch), 0)->names, names) == 0;
}

static void begin_watch(struct watched *w, const struct tls_pair *pair)
{
    *w = (struct watched){ 0 };
    assert_int_equal(loop_new(&w->loop, 0, NULL), 0);
    assert_int_equal(tls_watch_open(&w->watch,
                                    &(struct tls_watch_options){ .loop = w->loop,
                                                                 .use = "test",
                                                                 .pairs = pair,
                                                                 .pair_count = 1,
                                                                 .warn_days = 30,
                                                                 .every_ms = 1,
                                                                 .on_change = on_change,
                                                                 .arg = w },
                                    NULL),
                     0);
    tls_watch_start(w->watch);
}

static void test_a_changed_file_is_read(void **state)
{
    (void)state;
    struct files f = make_files("watched", "DNS:one.test", false, 90), g;
    const struct tls_pair pair = pair_of(&f);
    uint64_t refused = metric_get(M_TLS_RELOADS_REFUSED);
    struct watched w;
    struct tls *kept;

    begin_watch(&w, &pair);
    kept = tls_ref(tls_watch_current(w.watch));
    for (unsigned i = 0; i < 20; i++)
        loop_turn(w.loop, 1);
    assert_int_equal(w.changes, 0);
    /* the certificate comes first: it does not fit the key, what was in force stays */
    g = make_files("watched.next", "DNS:two.test", false, 90);
    replace(g.cert, f.cert);
    UNTIL(w.loop, metric_get(M_TLS_RELOADS_REFUSED) == refused + 1);
    for (unsigned i = 0; i < 20; i++)
        loop_turn(w.loop, 1);
    assert_int_equal(metric_get(M_TLS_RELOADS_REFUSED), refused + 1); /* told once */
    assert_true(shows(&w, "one.test"));
    assert_int_equal(w.changes, 0);
    replace(g.key, f.key);
    UNTIL(w.loop, w.changes == 1);
    assert_true(shows(&w, "two.test"));
    assert_string_equal(tls_certificate(kept, 0)->names, "one.test"); /* sessions that hold it */
    /* gone, and there again */
    unlink(f.cert);
    UNTIL(w.loop, metric_get(M_TLS_RELOADS_REFUSED) == refused + 2);
    make_files("watched", "DNS:three.test", false, 90);
    UNTIL(w.loop, shows(&w, "three.test"));
    tls_unref(&kept);
    tls_watch_close(&w.watch);
    assert_null(w.watch);
    loop_free(&w.loop);
}

/* As Kubernetes does it: the path stays, a link on the way to it is swapped. */
static void test_a_swapped_link_is_noticed(void **state)
{
    (void)state;
    struct files one = make_files("link-1", "DNS:one.test", false, 90);
    struct files two = make_files("link-2", "DNS:two.test", false, 90);
    struct tls_pair pair;
    char cert[128], key[128], other[140];
    struct watched w;

    snprintf(cert, sizeof cert, "%s/link.pem", dir);
    snprintf(key, sizeof key, "%s/link.key", dir);
    assert_int_equal(symlink(one.cert, cert) | symlink(one.key, key), 0);
    pair = (struct tls_pair){ cert, key };
    begin_watch(&w, &pair);
    snprintf(other, sizeof other, "%s.new", key);
    assert_int_equal(symlink(two.key, other), 0);
    replace(other, key);
    snprintf(other, sizeof other, "%s.new", cert);
    assert_int_equal(symlink(two.cert, other), 0);
    replace(other, cert);
    UNTIL(w.loop, shows(&w, "two.test"));
    tls_watch_close(&w.watch);
    loop_free(&w.loop);
}

static void test_closed_while_it_looks(void **state)
{
    (void)state;
    struct files f = make_files("closed", "DNS:one.test", false, 90);
    const struct tls_pair pair = pair_of(&f);

    for (unsigned turns = 0; turns < 6; turns++) {
        struct watched w;

        begin_watch(&w, &pair);
        for (unsigned i = 0; i < turns; i++)
            loop_turn(w.loop, 1);
        tls_watch_close(&w.watch);
        loop_free(&w.loop);
    }
}

static void test_files_that_cannot_serve(void **state)
{
    (void)state;
    struct files f = make_files("good", "DNS:one.test", false, 90);
    struct files g = make_files("other", "DNS:two.test", false, 90);
    const struct tls_pair crossed[] = { pair_of(&f), { g.cert, f.key } };
    struct tls_watch *w;
    struct loop *loop;
    struct errmsg why;

    assert_int_equal(loop_new(&loop, 0, NULL), 0);
    assert_int_equal(
        tls_watch_open(&w,
                       &(struct tls_watch_options){
                           .loop = loop, .use = "test", .pairs = crossed, .pair_count = 2 },
                       &why),
        ERR_TLS);
    assert_null(w);
    assert_non_null(strstr(why.text, "other.pem"));
    loop_free(&loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_two_kinds_of_keys_for_one_name),
        cmocka_unit_test(test_versions_and_suites),
        cmocka_unit_test(test_the_suite_that_costs_least),
        cmocka_unit_test(test_facts),
        cmocka_unit_test(test_a_chain_out_of_order_is_told),
        cmocka_unit_test(test_expiry_stages),
        cmocka_unit_test(test_tickets),
        cmocka_unit_test(test_a_changed_ticket_is_not_taken),
        cmocka_unit_test(test_no_keys_no_tickets),
        cmocka_unit_test(test_a_changed_file_is_read),
        cmocka_unit_test(test_a_swapped_link_is_noticed),
        cmocka_unit_test(test_closed_while_it_looks),
        cmocka_unit_test(test_files_that_cannot_serve),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
