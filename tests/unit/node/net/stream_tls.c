/* TLS in streams: versions, upgrade, injected clear text, verification, garbage, one write per
 * turn. */
#include "tests/unit/node/net/net_test.h"

#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

#include "node/net/stream_private.h"

static char dir[64];
static struct tls *server_ctx, *client_ctx, *client12_ctx, *verify_ctx;

static int make_contexts(void **state)
{
    static const char *const hosts[] = { "mx.example.test", "127.0.0.1", "::1" };
    char ca[128], cert[128], key[128];
    struct errmsg why;

    (void)state;
    snprintf(dir, sizeof dir, "/tmp/net_tls_test.XXXXXX");
    assert_non_null(mkdtemp(dir));
    assert_int_equal(tls_make_dev_files(dir, hosts, 3, &why), 0);
    snprintf(ca, sizeof ca, "%s/ca.pem", dir);
    snprintf(cert, sizeof cert, "%s/node.pem", dir);
    snprintf(key, sizeof key, "%s/node.key", dir);
    assert_int_equal(tls_server_new(&server_ctx, &(struct tls_pair){ cert, key }, 1, NULL, &why),
                     0);
    assert_int_equal(tls_client_new(&client_ctx, TLS_VERIFY_NONE, NULL, &why), 0);
    assert_int_equal(tls_client_new(&client12_ctx, TLS_VERIFY_NONE, NULL, &why), 0);
    SSL_CTX_set_max_proto_version(client12_ctx->ctx, TLS1_2_VERSION);
    assert_int_equal(tls_client_new(&verify_ctx, TLS_VERIFY_PEER, ca, &why), 0);
    return 0;
}

/* One file, or NULL: all and their folder. */
static void remove_files(const char *from, const char *one)
{
    static const char *const names[] = { "ca.pem",    "ca.key",    "node.pem",  "node.key",
                                         "node0.pem", "node0.key", "node1.pem", "node1.key" };
    char path[160];

    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", from, names[i]);
        if (!one || strcmp(one, names[i]) == 0) unlink(path);
    }
    if (!one) rmdir(from);
}

static int drop_contexts(void **state)
{
    (void)state;
    tls_unref(&server_ctx);
    tls_unref(&client_ctx);
    tls_unref(&client12_ctx);
    tls_unref(&verify_ctx);
    remove_files(dir, NULL);
    return 0;
}

static struct pair *secured(struct tls *client, const char *host)
{
    struct pair *p = pair_new("127.0.0.1");

    p->server.tls = server_ctx;
    p->client.tls = client;
    pair_connect(p, host);
    UNTIL(p->loop,
          p->client.readies + p->client.ends == 1 && p->server.readies + p->server.ends == 1);
    return p;
}

static void echo_with(struct tls *client, const char *version)
{
    struct pair *p = secured(client, "mx.example.test");

    assert_int_equal(p->client.readies, 1);
    assert_int_equal(p->server.readies, 1);
    p->server.echo = true;
    assert_true(stream_has_tls(p->client.s));
    assert_memory_equal(stream_tls_text(p->client.s), version, strlen(version));
    assert_string_equal(stream_tls_text(p->client.s), stream_tls_text(p->server.s));
    assert_int_equal(stream_write(p->client.s, SPAN_LIT("hello")), 0);
    UNTIL(p->loop, p->client.n == 5);
    assert_memory_equal(p->client.in, "hello", 5);
    stream_close(&p->client.s);
    UNTIL(p->loop, p->client.closes == 1 && p->server.closes == 1);
    assert_int_equal(p->server.err, ERR_CLOSED); /* close_notify came */
    pair_free(p);
}

static void test_echo(void **state)
{
    (void)state;
    echo_with(client_ctx, "TLSv1.3 TLS_");
    echo_with(client12_ctx, "TLSv1.2 ECDHE-");
}

static void test_big_both_ways(void **state)
{
    (void)state;
    static char big[200000];
    struct pair *p = secured(client_ctx, NULL);

    for (unsigned i = 0; i < sizeof big; i++)
        big[i] = (char)(i * 7 + i / 251);
    p->server.echo = true;
    assert_int_equal(stream_write(p->client.s, span_of(big, sizeof big)), 0);
    UNTIL(p->loop, p->client.n == sizeof big);
    assert_memory_equal(p->client.in, big, sizeof p->client.in);
    assert_int_equal(stream_out_bytes(p->client.s), 0);
    pair_free(p);
}

static void test_one_write_and_one_record_per_turn(void **state)
{
    (void)state;
    struct pair *p = secured(client_ctx, NULL);
    uint64_t before;

    for (unsigned i = 0; i < 5; i++)
        loop_turn(p->loop, 1);
    before = stream_writes_total();
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(stream_write(p->client.s, SPAN_LIT("250 OK\r\n")), 0);
    UNTIL(p->loop, p->server.n == 800);
    assert_int_equal(p->server.reads, 1);
    assert_int_equal(stream_writes_total(), before + 1);
    pair_free(p);
}

static void test_writes_before_established_wait(void **state)
{
    (void)state;
    struct pair *p = pair_new("127.0.0.1");

    p->server.tls = server_ctx;
    p->client.tls = client_ctx;
    pair_connect(p, NULL);
    assert_int_equal(stream_write(p->client.s, SPAN_LIT("early")), 0);
    UNTIL(p->loop, p->server.n == 5);
    assert_memory_equal(p->server.in, "early", 5);
    pair_free(p);
}

/* What holds a secret leaves under TLS or not at all: not in clear, not before the handshake is over. */
static void test_secrets_leave_under_tls_only(void **state)
{
    (void)state;
    struct pair *p = secured(client_ctx, NULL);

    assert_int_equal(stream_write_secret(p->client.s, SPAN_LIT("secret")), 0);
    UNTIL(p->loop, p->server.n == 6);
    assert_memory_equal(p->server.in, "secret", 6);
    pair_free(p);
    p = pair_new("127.0.0.1");
    pair_connect(p, NULL);
    assert_int_equal(stream_write_secret(p->client.s, SPAN_LIT("secret")), ERR_TLS);
    UNTIL(p->loop, p->client.readies == 1);
    assert_int_equal(stream_write_secret(p->client.s, SPAN_LIT("secret")), ERR_TLS);
    assert_int_equal(stream_out_bytes(p->client.s), 0);
    assert_int_equal(stream_tls(p->client.s, client_ctx, NULL), 0);
    assert_int_equal(stream_write_secret(p->client.s, SPAN_LIT("secret")), ERR_TLS);
    pair_free(p);
}

/* A key that is none of the pins ends the handshake, whoever has signed it; one of several is enough. */
static void test_pins(void **state)
{
    static const char another[] = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    const char *pins[] = { another, tls_certificate(server_ctx, 0)->spki_sha256 };

    (void)state;
    for (unsigned count = 1; count <= 2; count++) {
        struct errmsg why;
        struct tls *pinned;
        struct pair *p;

        assert_int_equal(tls_client_new(&pinned, TLS_VERIFY_NONE, NULL, &why), 0);
        tls_pin(pinned, pins, count);
        p = secured(pinned, "mx.example.test");
        assert_int_equal(p->client.readies, count == 2);
        if (count == 1) {
            assert_int_equal(p->client.err, ERR_TLS);
            assert_non_null(strstr(p->client.why, "pins"));
        }
        pair_free(p);
        tls_unref(&pinned);
    }
}

static void test_pause_lets_the_handshake_through(void **state)
{
    (void)state;
    struct pair *p = pair_new("127.0.0.1");

    p->server.tls = server_ctx;
    p->client.tls = client_ctx;
    pair_connect(p, NULL);
    assert_int_equal(stream_write(p->client.s, SPAN_LIT("early")), 0);
    UNTIL(p->loop, p->server.s);
    stream_read_pause(p->server.s);
    UNTIL(p->loop, p->server.readies == 1);
    for (unsigned i = 0; i < 5; i++)
        loop_turn(p->loop, 1);
    assert_int_equal(p->server.reads, 0);
    stream_read_more(p->server.s);
    UNTIL(p->loop, p->server.n == 5);
    pair_free(p);
}

/* ---- STARTTLS ---- */

static void answer_and_upgrade(struct end *e)
{
    if (e->tls == NULL || stream_has_tls(e->s)) return;
    assert_int_equal(stream_write(e->s, SPAN_LIT("220 go\r\n")), 0);
    assert_int_equal(stream_tls(e->s, e->tls, NULL), 0);
}

static void upgrade_client(struct end *e)
{
    if (e->n < 8 || stream_has_tls(e->s)) return;
    assert_int_equal(stream_tls(e->s, client_ctx, "mx.example.test"), 0);
}

static struct pair *upgrading(void)
{
    struct pair *p = pair_new("127.0.0.1");

    pair_connect(p, NULL);
    UNTIL(p->loop, p->client.readies == 1 && p->server.s);
    p->server.tls = server_ctx;
    p->server.then = answer_and_upgrade;
    p->server.eat_max = 10; /* "STARTTLS\r\n" */
    p->client.then = upgrade_client;
    return p;
}

static void test_starttls(void **state)
{
    (void)state;
    struct pair *p = upgrading();

    assert_int_equal(stream_write(p->client.s, SPAN_LIT("STARTTLS\r\n")), 0);
    UNTIL(p->loop, p->client.readies == 2 && p->server.readies == 1);
    assert_memory_equal(p->client.in, "220 go\r\n", 8);
    p->server.then = NULL;
    p->server.eat_max = 0;
    assert_int_equal(stream_write(p->client.s, SPAN_LIT("EHLO")), 0);
    UNTIL(p->loop, p->server.n == 14);
    assert_memory_equal(p->server.in, "STARTTLS\r\nEHLO", 14);
    pair_free(p);
}

static void test_injected_clear_text_is_dropped(void **state)
{
    (void)state;
    struct pair *p = upgrading();

    assert_int_equal(stream_write(p->client.s, SPAN_LIT("STARTTLS\r\nRSET\r\nMAIL FROM:<>\r\n")),
                     0);
    UNTIL(p->loop, p->client.readies == 2 && p->server.readies == 1);
    assert_int_equal(stream_in_bytes(p->server.s), 0);
    p->server.then = NULL;
    p->server.eat_max = 0;
    assert_int_equal(stream_write(p->client.s, SPAN_LIT("EHLO")), 0);
    UNTIL(p->loop, p->server.n == 14);
    assert_memory_equal(p->server.in, "STARTTLS\r\nEHLO", 14);
    pair_free(p);
}

static size_t eat_none(void *arg, struct span bytes)
{
    (void)bytes;
    ((struct end *)arg)->reads++;
    return 0;
}

static void test_kept_clear_text_is_dropped(void **state)
{
    (void)state;
    static struct stream_calls calls;
    struct pair *p = upgrading();

    calls = end_calls;
    calls.on_read = eat_none;
    stream_set_arg(p->server.s, &calls, &p->server);
    assert_int_equal(stream_write(p->client.s, SPAN_LIT("RSET\r\n")), 0);
    UNTIL(p->loop, p->server.reads > 0);
    assert_int_equal(stream_in_bytes(p->server.s), 6);
    assert_int_equal(stream_write(p->server.s, SPAN_LIT("220 go\r\n")), 0);
    assert_int_equal(stream_tls(p->server.s, server_ctx, NULL), 0);
    assert_int_equal(stream_in_bytes(p->server.s), 0);
    stream_set_arg(p->server.s, &end_calls, &p->server);
    p->server.then = NULL;
    p->server.eat_max = 0;
    UNTIL(p->loop, p->server.readies == 1);
    assert_int_equal(stream_tls(p->server.s, server_ctx, NULL), ERR_EXISTS);
    assert_int_equal(stream_write(p->client.s, SPAN_LIT("x")), 0);
    UNTIL(p->loop, p->server.n == 1);
    pair_free(p);
}

/* ---- what goes wrong ---- */

static void test_verification(void **state)
{
    (void)state;
    struct pair *p = secured(verify_ctx, "mx.example.test");

    assert_int_equal(p->client.readies, 1);
    pair_free(p);
    p = secured(verify_ctx, "127.0.0.1");
    assert_int_equal(p->client.readies, 1);
    pair_free(p);
    p = secured(verify_ctx, "other.example.test");
    assert_int_equal(p->client.readies, 0);
    assert_int_equal(p->client.err, ERR_TLS);
    assert_string_equal(p->client.why, "hostname mismatch");
    UNTIL(p->loop, p->server.ends == 1);
    pair_free(p);
    p = pair_new("127.0.0.1");
    pair_connect(p, NULL);
    assert_int_equal(stream_tls(p->client.s, verify_ctx, NULL), ERR_TLS);
    assert_int_equal(stream_tls(p->client.s, server_ctx, NULL), ERR_UNSUPPORTED);
    pair_free(p);
}

static void test_unknown_authority(void **state)
{
    (void)state;
    struct tls *system;
    struct errmsg why;
    struct pair *p;

    assert_int_equal(tls_client_new(&system, TLS_VERIFY_PEER, NULL, &why), 0);
    p = secured(system, "mx.example.test");
    assert_int_equal(p->client.err, ERR_TLS);
    assert_true(strstr(p->client.why, "certificate") != NULL);
    pair_free(p);
    tls_unref(&system);
}

static void test_garbage(void **state)
{
    (void)state;
    struct pair *p = pair_new("127.0.0.1");

    p->server.tls = server_ctx;
    pair_connect(p, NULL);
    UNTIL(p->loop, p->client.readies == 1);
    assert_int_equal(stream_write(p->client.s, SPAN_LIT("GET / HTTP/1.1\r\nHost: x\r\n\r\n")), 0);
    UNTIL(p->loop, p->server.ends == 1);
    assert_int_equal(p->server.err, ERR_TLS);
    assert_int_equal(p->server.readies, 0);
    UNTIL(p->loop, p->server.closes == 1 && p->client.closes == 1);
    pair_free(p);
}

static void test_garbage_after_handshake(void **state)
{
    (void)state;
    struct pair *p = secured(client_ctx, NULL);

    buf_add_cstr(&p->client.s->queue, "this is no record at all");
    stream_mark_dirty(p->client.s);
    UNTIL(p->loop, p->server.ends == 1);
    assert_int_equal(p->server.err, ERR_TLS);
    assert_int_equal(p->server.n, 0);
    pair_free(p);
}

static void test_end_without_goodbye(void **state)
{
    (void)state;
    struct pair *p = secured(client_ctx, NULL);

    stream_abort(&p->client.s);
    UNTIL(p->loop, p->server.ends == 1);
    assert_int_equal(p->server.err, ERR_IO);
    pair_free(p);
}

static void test_end_in_handshake(void **state)
{
    (void)state;
    struct pair *p = pair_new("127.0.0.1");

    p->server.tls = server_ctx;
    pair_connect(p, NULL);
    UNTIL(p->loop, p->client.readies == 1 && p->server.s);
    stream_close(&p->client.s);
    UNTIL(p->loop, p->server.ends == 1);
    assert_int_equal(p->server.err, ERR_TLS);
    pair_free(p);
}

static void close_now(struct end *e)
{
    stream_close(&e->s);
}

static void test_close_inside_calls(void **state)
{
    (void)state;
    struct pair *p = pair_new("127.0.0.1");

    p->server.tls = server_ctx;
    p->client.tls = client_ctx;
    p->server.on_ready = close_now;
    pair_connect(p, NULL);
    UNTIL(p->loop, p->server.closes == 1 && p->client.closes == 1);
    pair_free(p);

    p = secured(client_ctx, NULL);
    p->server.then = close_now;
    assert_int_equal(stream_write(p->client.s, SPAN_LIT("x")), 0);
    UNTIL(p->loop, p->server.closes == 1 && p->client.closes == 1);
    assert_int_equal(p->client.err, ERR_CLOSED);
    pair_free(p);
}

static void pause_reading(struct end *e)
{
    stream_read_pause(e->s);
}

static void test_pause_holds_the_end_back(void **state)
{
    (void)state;
    struct pair *p = secured(client_ctx, NULL);

    p->server.then = pause_reading;
    p->server.eat_max = 1;
    assert_int_equal(stream_write(p->client.s, SPAN_LIT("abc")), 0);
    stream_close(&p->client.s); /* record, close_notify: one read */
    UNTIL(p->loop, p->server.reads == 1);
    for (unsigned i = 0; i < 5; i++)
        loop_turn(p->loop, 1);
    assert_int_equal(p->server.ends, 0);
    p->server.then = NULL;
    p->server.eat_max = 0;
    stream_read_more(p->server.s);
    UNTIL(p->loop, p->server.ends == 1);
    assert_int_equal(p->server.n, 3);
    assert_int_equal(p->server.err, ERR_CLOSED);
    pair_free(p);
}

static void test_slow_reader(void **state)
{
    (void)state;
    static char block[16384];
    struct pair *p = secured(client_ctx, NULL);
    size_t written = 0;
    int err = 0;

    stream_read_pause(p->server.s);
    for (unsigned i = 0; i < 100000 && !err; i++) {
        err = stream_write(p->client.s, span_of(block, sizeof block));
        if (!err) written += sizeof block;
        loop_turn(p->loop, 0);
    }
    assert_int_equal(err, ERR_FULL);
    stream_read_more(p->server.s);
    UNTIL(p->loop, p->client.lows == 1);
    UNTIL(p->loop, p->server.n == written);
    pair_free(p);
}

static void test_context_outlives_its_owner(void **state)
{
    (void)state;
    struct tls *mine;
    struct errmsg why;
    struct pair *p;

    assert_int_equal(tls_client_new(&mine, TLS_VERIFY_NONE, NULL, &why), 0);
    p = secured(mine, NULL);
    tls_unref(&mine);
    assert_null(mine);
    p->server.echo = true;
    assert_int_equal(stream_write(p->client.s, SPAN_LIT("x")), 0);
    UNTIL(p->loop, p->client.n == 1);
    pair_free(p);
}

static void test_dev_files(void **state)
{
    (void)state;
    static const char *const hosts[] = { "a.test" };
    static const char *const evil[] = { "a.test,DNS:b" };
    char path[128];
    struct stat before, after;
    struct errmsg why;
    struct tls *t;

    snprintf(path, sizeof path, "%s/node.key", dir);
    assert_int_equal(stat(path, &before), 0);
    assert_int_equal(before.st_mode & 0777, 0600);
    assert_int_equal(tls_make_dev_files(dir, hosts, 1, &why), 0); /* kept */
    assert_int_equal(stat(path, &after), 0);
    assert_true(before.st_ino == after.st_ino);
    assert_int_equal(tls_make_dev_files(dir, evil, 1, &why), ERR_SYNTAX);
    snprintf(path, sizeof path, "%s/half", dir);
    assert_int_equal(tls_make_dev_files(path, hosts, 1, &why), 0);
    remove_files(path, "node.key"); /* a certificate without its key is not written over */
    assert_int_equal(tls_make_dev_files(path, hosts, 1, &why), ERR_EXISTS);
    remove_files(path, "node.pem");
    assert_int_equal(tls_make_dev_files(path, hosts, 1, &why), 0);
    remove_files(path, NULL);
    snprintf(path, sizeof path, "%s/node.key", dir);
    assert_int_equal(tls_server_new(&t, &(struct tls_pair){ path, path }, 1, NULL, &why), ERR_TLS);
    assert_null(t);
    assert_true(strstr(why.text, "node.key") != NULL);
    assert_int_equal(
        tls_server_new(&t, &(struct tls_pair){ "/nonexistent/cert", path }, 1, NULL, &why),
        ERR_TLS);
    assert_int_equal(tls_client_new(&t, TLS_VERIFY_PEER, "/nonexistent/ca", &why), ERR_TLS);
}

#define CLUSTER "00112233445566778899aabbccddeeff"

static bool has_uri(const char *path, const char *uri)
{
    FILE *f = fopen(path, "r");
    X509 *cert = f ? PEM_read_X509(f, NULL, NULL, NULL) : NULL;
    GENERAL_NAMES *names = cert ? X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL) : NULL;
    unsigned found = 0;

    for (int i = 0; names && i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *n = sk_GENERAL_NAME_value(names, i);

        if (n->type != GEN_URI) continue;
        found +=
            strcmp((const char *)ASN1_STRING_get0_data(n->d.uniformResourceIdentifier), uri) == 0;
    }
    GENERAL_NAMES_free(names);
    X509_free(cert);
    if (f) fclose(f);
    return found == 1;
}

/* Several nodes under one CA, each with the name that its peers ask for. */
static void test_dev_peers(void **state)
{
    static const char *const uris[] = { "angarium://" CLUSTER "/node/1",
                                        "angarium://" CLUSTER "/node/12" };
    static const char *const wrong[] = { "angarium://" CLUSTER "/node/",
                                         "angarium://" CLUSTER "/node/0",
                                         "angarium://" CLUSTER "/node/1,DNS:b",
                                         "angarium://" CLUSTER "0/node/1",
                                         "angarium://0011/node/1",
                                         "angarium://" CLUSTER "/nods/1",
                                         "angarium://" };
    char peers[128], path[160];
    struct errmsg why;

    (void)state;
    snprintf(peers, sizeof peers, "%s/peers", dir);
    for (unsigned i = 0; i < 2; i++) {
        const char *hosts[] = { "localhost", "127.0.0.1", uris[i] };
        char name[16];

        snprintf(name, sizeof name, "node%u", i);
        assert_int_equal(tls_make_dev_leaf(peers, name, hosts, 3, &why), 0);
        snprintf(path, sizeof path, "%s/%s.pem", peers, name);
        assert_true(has_uri(path, uris[i]));
        assert_false(has_uri(path, uris[1 - i]));
    }
    for (unsigned i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_int_equal(tls_make_dev_files(peers, &wrong[i], 1, &why), ERR_SYNTAX);
    remove_files(peers, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_echo),
        cmocka_unit_test(test_big_both_ways),
        cmocka_unit_test(test_one_write_and_one_record_per_turn),
        cmocka_unit_test(test_writes_before_established_wait),
        cmocka_unit_test(test_secrets_leave_under_tls_only),
        cmocka_unit_test(test_pins),
        cmocka_unit_test(test_pause_lets_the_handshake_through),
        cmocka_unit_test(test_starttls),
        cmocka_unit_test(test_injected_clear_text_is_dropped),
        cmocka_unit_test(test_kept_clear_text_is_dropped),
        cmocka_unit_test(test_verification),
        cmocka_unit_test(test_unknown_authority),
        cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_garbage_after_handshake),
        cmocka_unit_test(test_end_without_goodbye),
        cmocka_unit_test(test_end_in_handshake),
        cmocka_unit_test(test_close_inside_calls),
        cmocka_unit_test(test_pause_holds_the_end_back),
        cmocka_unit_test(test_slow_reader),
        cmocka_unit_test(test_context_outlives_its_owner),
        cmocka_unit_test(test_dev_files),
        cmocka_unit_test(test_dev_peers),
    };
    return cmocka_run_group_tests(tests, make_contexts, drop_contexts);
}
