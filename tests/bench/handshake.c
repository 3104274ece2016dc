/* handshake - how long a TLS handshake takes each end: the server's contexts (node/net) and a client with OpenSSL's defaults, both in
 * this thread and in memory, so without the system's part; full and resumed, with either hash, in turn. The median of many leaves out
 * those that other work interrupted.
 *
 *   bench_handshake [TIMES]    of each kind; 500
 */
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "node/net/tls_private.h"
#include "proto/ground/check.h"
#include "proto/ground/span.h"

#define PIPE_SIZE (64u << 10)
#define TURNS_MAX 8

struct kind {
    const char *name, *suites; /* that the client offers */
    bool resumes;
    SSL_CTX *client;
    SSL_SESSION *session; /* the newest that the server gave */
    double *server_us, *client_us;
};

static double now_us(void)
{
    return (double)uv_hrtime() / 1e3;
}

static int keep_session(SSL *ssl, SSL_SESSION *session)
{
    struct kind *k = SSL_get_app_data(ssl);

    SSL_SESSION_free(k->session);
    k->session = session;
    return 1;
}

static SSL_CTX *client_of(const struct kind *k)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

    CHECK(ctx && SSL_CTX_set_ciphersuites(ctx, k->suites) == 1);
    SSL_CTX_set_session_cache_mode(
        ctx, k->resumes ? SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL : SSL_SESS_CACHE_OFF);
    SSL_CTX_sess_set_new_cb(ctx, keep_session);
    return ctx;
}

/* ---- one meeting: handshake, a command, its reply */

struct end {
    SSL *ssl;
    double us;
};

static void begin(struct end *e, SSL_CTX *ctx, BIO *pipe, struct kind *offers)
{
    double from = now_us();

    e->us = 0;
    e->ssl = SSL_new(ctx);
    CHECK(e->ssl);
    SSL_set_bio(e->ssl, pipe, pipe);
    if (offers) {
        SSL_set_app_data(e->ssl, offers);
        SSL_set_connect_state(e->ssl);
        if (offers->session) CHECK(SSL_set_session(e->ssl, offers->session) == 1);
    } else {
        SSL_set_accept_state(e->ssl);
    }
    e->us += now_us() - from;
}

static void shake(struct end *e)
{
    double from = now_us();

    ERR_clear_error();
    SSL_do_handshake(e->ssl);
    e->us += now_us() - from;
}

static void say(struct end *e, const char *text)
{
    double from = now_us();

    CHECK(SSL_write(e->ssl, text, (int)strlen(text)) > 0);
    e->us += now_us() - from;
}

static void hear(struct end *e)
{
    char room[256];
    double from = now_us();

    CHECK(SSL_read(e->ssl, room, sizeof room) > 0);
    e->us += now_us() - from;
}

static double over(struct end *e)
{
    double from = now_us();

    SSL_set_shutdown(e->ssl, SSL_SENT_SHUTDOWN |
                                 SSL_RECEIVED_SHUTDOWN); /* else OpenSSL forgets the session */
    SSL_free(e->ssl);
    return e->us + now_us() - from;
}

static void meet(struct kind *k, const struct tls *tls, unsigned at)
{
    struct end server, client;
    bool has_session = k->session != NULL;
    BIO *a, *b;

    CHECK(BIO_new_bio_pair(&a, PIPE_SIZE, &b, PIPE_SIZE) == 1);
    begin(&server, tls->ctx, a, NULL);
    begin(&client, k->client, b, k);
    for (unsigned i = 0; i < TURNS_MAX && !SSL_is_init_finished(server.ssl); i++) {
        shake(&client);
        shake(&server);
    }
    say(&client, "EHLO client.test\r\n");
    hear(&server);
    say(&server, "250 server.test\r\n");
    hear(&client); /* the ticket, too */
    CHECK(SSL_session_reused(server.ssl) == (k->resumes && has_session));
    k->server_us[at] = over(&server);
    k->client_us[at] = over(&client);
}

/* ---- all of them */

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static double median(double *us, unsigned n)
{
    qsort(us, n, sizeof *us, compare);
    return us[n / 2];
}

static struct tls *server_in(const char *dir, struct tls_tickets *tickets)
{
    static const char *const host = "server.test";
    char certificate[256], key[256];
    struct tls_pair pair = { certificate, key };
    struct errmsg why = { "" };
    struct tls *t;

    snprintf(certificate, sizeof certificate, "%s/node.pem", dir);
    snprintf(key, sizeof key, "%s/node.key", dir);
    if (tls_make_dev_files(dir, &host, 1, &why) != 0 ||
        tls_server_new(&t, &pair, 1, tickets, &why) != 0) {
        fprintf(stderr, "%s\n", why.text);
        exit(1);
    }
    return t;
}

static void forget(const char *dir)
{
    static const char *const files[] = { "ca.pem", "ca.key", "node.pem", "node.key" };
    char path[256];

    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, files[i]);
        unlink(path);
    }
    rmdir(dir);
}

static void measure(struct tls *server, unsigned times)
{
    struct kind kinds[] = {
        { .name = "full, AES-128, SHA-256", .suites = "TLS_AES_128_GCM_SHA256" },
        { .name = "full, AES-256, SHA-384", .suites = "TLS_AES_256_GCM_SHA384" },
        { .name = "resumed, AES-128, SHA-256",
          .suites = "TLS_AES_128_GCM_SHA256",
          .resumes = true },
        { .name = "resumed, AES-256, SHA-384",
          .suites = "TLS_AES_256_GCM_SHA384",
          .resumes = true },
    };
    const size_t count = sizeof kinds / sizeof kinds[0];

    for (struct kind *k = kinds; k < kinds + count; k++) {
        k->client = client_of(k);
        k->server_us = check_calloc(times, sizeof *k->server_us);
        k->client_us = check_calloc(times, sizeof *k->client_us);
        meet(k, server, 0); /* warm, and where the first session comes from */
    }
    for (unsigned i = 0; i < times; i++)
        for (struct kind *k = kinds; k < kinds + count; k++)
            meet(k, server, i);
    printf("%-28s %10s %10s   microseconds, median of %u\n", "handshake, P-256", "server", "client",
           times);
    for (struct kind *k = kinds; k < kinds + count; k++) {
        printf("%-28s %10.0f %10.0f\n", k->name, median(k->server_us, times),
               median(k->client_us, times));
        SSL_SESSION_free(k->session);
        SSL_CTX_free(k->client);
        free(k->server_us);
        free(k->client_us);
    }
}

int main(int argc, char **argv)
{
    struct tls_tickets *tickets = tls_tickets_new(&clock_real);
    char dir[] = "/tmp/angarium-handshake-XXXXXX";
    uint64_t times = 500;
    struct tls *server;

    if (argc > 2 ||
        (argc == 2 && (span_u64(span_cstr(argv[1]), 1000000, &times) != 0 || times == 0))) {
        fprintf(stderr, "usage: bench_handshake [TIMES]\n");
        return 2;
    }
    CHECK(mkdtemp(dir));
    server = server_in(dir, tickets);
    forget(dir);
    measure(server, (unsigned)times);
    tls_unref(&server);
    tls_tickets_unref(&tickets);
    return 0;
}
