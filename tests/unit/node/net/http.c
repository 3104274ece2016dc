/* The HTTP server, spoken to with raw bytes over loopback. */
#include "tests/unit/node/net/net_test.h"

#include "node/net/http_private.h"

#define BODY_MAX 100000

struct site {
    struct loop *loop;
    struct http_server *server;
    struct stream_address at;
    struct end client;
    struct http_request *held; /* for requests that are answered later */
    unsigned requests, gone, rooms;
    bool answer_when_gone;
    char seen[512]; /* what the last request said */
};

static void on_gone(void *arg)
{
    struct site *site = arg;

    site->gone++;
    if (!site->answer_when_gone) return;
    http_answer(site->held, 200, NULL, SPAN_LIT("nobody reads this"));
    site->held = NULL;
}

static void on_room(void *arg)
{
    ((struct site *)arg)->rooms++;
}

static void note(struct site *site, struct http_request *r)
{
    struct span m = http_method(r), p = http_path(r), h = http_header(r, "x-test"),
                b = http_body(r);
    char q[32];

    if (!http_query(r, "q", q, sizeof q)) snprintf(q, sizeof q, "none");
    snprintf(site->seen, sizeof site->seen, "%.*s %.*s q=%s x-test=%.*s body=%.*s", SPAN_ARG(m),
             SPAN_ARG(p), q, SPAN_ARG(h), b.n < 20 ? (int)b.n : 20,
             b.n > 0 ? (const char *)b.p : "");
}

static void on_request(void *arg, struct http_request *r)
{
    struct site *site = arg;
    struct span path = http_path(r);

    site->requests++;
    note(site, r);
    assert_ptr_equal(http_loop(r), site->loop);
    assert_string_equal(http_peer(r)->text, "127.0.0.1");
    if (span_eq(path, SPAN_LIT("/hold")) || span_eq(path, SPAN_LIT("/stream"))) {
        site->held = r;
        http_on_gone(r, on_gone, site);
    } else if (span_eq(path, SPAN_LIT("/echo"))) {
        http_answer(r, 200, "application/octet-stream", http_body(r));
    } else if (span_eq(path, SPAN_LIT("/headers"))) {
        http_add_header(r, "X-Good", "yes");
        http_add_header(r, "X-Evil", "a\r\nSet-Cookie: b");
        http_add_header(r, "X Evil", "a");
        http_add_header(r, "cache-control", "max-age=60");
        http_answer(r, 204, "text/plain", SPAN_LIT("not sent"));
    } else if (span_eq(path, SPAN_LIT("/close"))) {
        http_server_close(&site->server);
        http_answer(r, 200, NULL, SPAN_LIT("too late"));
    } else {
        http_answer(r, 200, "text/plain", path);
    }
}

static struct site *site_new(unsigned idle_ms)
{
    struct site *site = check_calloc(1, sizeof *site);
    struct http_server_options o = { .at = { .text = "127.0.0.1" },
                                     .body_size_max = BODY_MAX,
                                     .idle_ms = idle_ms,
                                     .on_request = on_request,
                                     .arg = site };
    struct errmsg why;

    assert_int_equal(loop_new(&site->loop, 0, &why), 0);
    assert_int_equal(http_server_open(&site->server, site->loop, &o, &why), 0);
    site->at = o.at;
    site->at.port = http_server_port(site->server);
    site->client.loop = site->loop;
    return site;
}

static void reconnect(struct site *site)
{
    struct stream_options o = { .calls = &end_calls, .arg = &site->client };

    stream_close(&site->client.s);
    memset(&site->client, 0, sizeof site->client);
    site->client.loop = site->loop;
    assert_int_equal(stream_connect(&site->client.s, site->loop, &site->at, NULL, 5000, &o), 0);
    UNTIL(site->loop, site->client.readies == 1);
}

static struct site *joined(void)
{
    struct site *site = site_new(0);

    reconnect(site);
    return site;
}

static void site_free(struct site *site)
{
    stream_close(&site->client.s);
    http_server_close(&site->server);
    for (unsigned i = 0; i < 20; i++)
        loop_turn(site->loop, 1);
    loop_free(&site->loop);
    free(site);
}

static void say(struct site *site, const char *text)
{
    assert_int_equal(stream_write(site->client.s, span_cstr(text)), 0);
}

static bool got(struct site *site, const char *text)
{
    size_t n =
        site->client.n < sizeof site->client.in ? site->client.n : sizeof site->client.in - 1;

    site->client.in[n] = '\0';
    return strstr(site->client.in, text) != NULL;
}

static void forget(struct site *site)
{
    site->client.n = 0;
    memset(site->client.in, 0, sizeof site->client.in);
}

static void test_keep_alive(void **state)
{
    (void)state;
    struct site *site = joined();

    say(site, "GET /a%20b?q=x+y&r HTTP/1.1\r\nHost: h\r\nEmpty:\r\nX-Test:  some value  \r\n\r\n");
    UNTIL(site->loop, got(site, "\r\n\r\n/a%20b"));
    assert_string_equal(site->seen, "GET /a%20b q=x y x-test=some value body=");
    assert_memory_equal(site->client.in, "HTTP/1.1 200 OK\r\nDate: ", 23);
    assert_true(got(site, " GMT\r\n"));
    assert_true(got(site, "Content-Length: 6\r\n"));
    assert_true(got(site, "Content-Type: text/plain\r\n"));
    assert_true(got(site, "X-Content-Type-Options: nosniff\r\n"));
    assert_true(got(site, "Cache-Control: no-store\r\n"));
    assert_false(got(site, "Connection:"));
    forget(site);
    say(site, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhe");
    for (unsigned i = 0; i < 3; i++)
        loop_turn(site->loop, 1);
    assert_int_equal(site->requests, 1);
    say(site, "llo");
    UNTIL(site->loop, got(site, "\r\n\r\nhello"));
    assert_int_equal(site->client.ends, 0);
    site_free(site);
}

static void test_close_and_old_clients(void **state)
{
    (void)state;
    struct site *site = joined();

    say(site, "GET /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    UNTIL(site->loop, site->client.ends == 1);
    assert_int_equal(site->client.err, ERR_CLOSED);
    assert_true(got(site, "Connection: close\r\n"));
    assert_true(got(site, "\r\n\r\n/x"));
    reconnect(site);
    say(site, "GET /y HTTP/1.0\r\n\r\n");
    UNTIL(site->loop, site->client.ends == 1);
    assert_true(got(site, "\r\n\r\n/y"));
    reconnect(site);
    say(site, "GET /z HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    UNTIL(site->loop, got(site, "\r\n\r\n/z"));
    assert_true(got(site, "Connection: keep-alive\r\n"));
    assert_int_equal(site->client.ends, 0);
    site_free(site);
}

static void test_head_and_headers(void **state)
{
    (void)state;
    struct site *site = joined();

    say(site, "HEAD /long HTTP/1.1\r\nHost: h\r\n\r\nGET /headers HTTP/1.1\r\nHost: h\r\n\r\n");
    UNTIL(site->loop, got(site, "204 No Content"));
    assert_true(got(site, "Content-Length: 5\r\n"));
    assert_false(got(site, "\r\n\r\n/long"));
    assert_true(got(site, "X-Good: yes\r\n"));
    assert_false(got(site, "Evil"));
    assert_false(got(site, "Cookie"));
    assert_true(got(site, "cache-control: max-age=60\r\n"));
    assert_false(got(site, "not sent"));
    site_free(site);
}

static void test_pipelined_wait(void **state)
{
    (void)state;
    struct site *site = joined();

    say(site, "GET /hold HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n"
              "GET /3 HTTP/1.1\r\nHost: h\r\n\r\n");
    UNTIL(site->loop, site->held);
    for (unsigned i = 0; i < 5; i++)
        loop_turn(site->loop, 1);
    assert_int_equal(site->requests, 1);
    http_answer(site->held, 200, "text/plain", SPAN_LIT("/1"));
    UNTIL(site->loop, got(site, "\r\n\r\n/3"));
    assert_int_equal(site->requests, 3);
    assert_true(strstr(site->client.in, "\r\n\r\n/1") < strstr(site->client.in, "\r\n\r\n/2"));
    site_free(site);
}

static void test_chunked_body(void **state)
{
    (void)state;
    struct site *site = joined();

    say(site, "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
              "5;ext=1\r\nhello\r\n1\r\n \r\n5\r\nworld\r\n0\r\nX-Test: late\r\n\r\n");
    UNTIL(site->loop, got(site, "\r\n\r\nhello world"));
    assert_string_equal(site->seen, "POST /echo q=none x-test= body=hello world");
    site_free(site);
}

static void test_continue(void **state)
{
    (void)state;
    struct site *site = joined();

    say(site,
        "POST /echo HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    UNTIL(site->loop, got(site, "HTTP/1.1 100 Continue\r\n\r\n"));
    say(site, "ok");
    UNTIL(site->loop, got(site, "\r\n\r\nok"));
    site_free(site);
}

static void refused(const char *request, const char *status)
{
    struct site *site = joined();

    say(site, request);
    UNTIL(site->loop, site->client.ends == 1);
    assert_true(got(site, status));
    assert_true(got(site, "Connection: close\r\n"));
    assert_int_equal(site->requests, 0);
    site_free(site);
}

static void test_bad_requests(void **state)
{
    (void)state;
    refused("nonsense\r\n\r\n", "HTTP/1.1 400 Bad Request");
    refused("GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 ");
    refused("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "HTTP/1.1 400 ");
    refused("GET / HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n", "HTTP/1.1 400 ");
    refused("GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", "HTTP/1.1 400 ");
    refused("GET / HTTP/1.1\nHost: a\n\n", "HTTP/1.1 400 ");
    refused("GET x HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 400 ");
    refused("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 400 ");
    refused("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "HTTP/1.1 400 ");
    refused("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 400 ");
    refused("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            "HTTP/1.1 400 ");
    refused("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100001\r\n\r\n", "HTTP/1.1 413 ");
    refused("POST / HTTP/1.1\r\nHost: a\r\nExpect: wonders\r\nContent-Length: 1\r\n\r\n",
            "HTTP/1.1 417 ");
    refused("GET / HTTP/2.0\r\nHost: a\r\n\r\n", "HTTP/1.1 505 ");
}

static void test_bodies_of_all_are_bounded(void **state)
{
    (void)state;
    char text[1200];
    int n =
        snprintf(text, sizeof text, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n");

    memset(text + n, 'x', 1001);
    text[n + 1001] = '\0';
    http_bodies_size_max = 1000;
    refused(text, "HTTP/1.1 503 ");
    http_bodies_size_max = HTTP_BODIES_SIZE_MAX;
}

static void test_limits(void **state)
{
    (void)state;
    char *big = check_malloc(BODY_MAX + 100);
    size_t n;

    n = (size_t)snprintf(big, 100, "GET / HTTP/1.1\r\nHost: a\r\nX: ");
    memset(big + n, 'x', 40000);
    big[n + 40000] = '\0';
    refused(big, "HTTP/1.1 431 Request Header Fields Too Large");

    n = (size_t)snprintf(big, 100, "GET / HTTP/1.1\r\nHost: a\r\n");
    for (unsigned i = 0; i < 101; i++)
        n += (size_t)snprintf(big + n, 20, "A%u: b\r\n", i);
    refused(big, "HTTP/1.1 431 ");

    n = (size_t)snprintf(
        big, 100, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n186a1\r\n");
    memset(big + n, 'x', BODY_MAX);
    big[n + BODY_MAX] = '\0';
    char *more = check_malloc(BODY_MAX + 200);
    snprintf(more, BODY_MAX + 200, "%s%s", big, "y\r\n0\r\n\r\n");
    refused(more, "HTTP/1.1 413 ");
    free(more);

    snprintf(big, 100, "GET / HTTP/1.1\r\nHost: a\r\nX:");
    n = strlen(big);
    memset(big + n, ' ', 60000); /* kept nowhere, but bounded all the same */
    big[n + 60000] = '\0';
    refused(big, "HTTP/1.1 431 ");
    free(big);
}

static void test_slow_request(void **state)
{
    (void)state;
    struct site *site = site_new(30);

    reconnect(site);
    say(site, "GET / HT");
    UNTIL(site->loop, site->client.ends == 1);
    assert_true(got(site, "HTTP/1.1 408 Request Timeout"));
    reconnect(site);
    UNTIL(site->loop, site->client.ends == 1); /* idle: no word */
    assert_int_equal(site->client.n, 0);
    site_free(site);
}

static void test_big_answer(void **state)
{
    (void)state;
    static char body[20000000];
    struct site *site = joined();

    memset(body, 'b', sizeof body);
    say(site, "GET /hold HTTP/1.1\r\nHost: h\r\n\r\nGET /next HTTP/1.1\r\nHost: h\r\n\r\n");
    UNTIL(site->loop, site->held);
    stream_read_pause(site->client.s);
    http_answer(site->held, 200, "text/plain", span_of(body, sizeof body));
    for (unsigned i = 0; i < 20; i++)
        loop_turn(site->loop, 1);
    assert_int_equal(site->requests, 1);
    stream_read_more(site->client.s);
    UNTIL(site->loop, site->requests == 2 && site->client.n > sizeof body + 300);
    site_free(site);
}

static void test_client_that_reads_nothing(void **state)
{
    (void)state;
    static char body[20000000];
    struct site *site = site_new(30);

    reconnect(site);
    say(site, "GET /hold HTTP/1.1\r\nHost: h\r\n\r\n");
    UNTIL(site->loop, site->held);
    stream_read_pause(site->client.s);
    http_answer(site->held, 200, "text/plain", span_of(body, sizeof body));
    for (unsigned i = 0; i < 60; i++)
        loop_turn(site->loop, 3);
    stream_read_more(site->client.s);
    UNTIL(site->loop, site->client.ends == 1);
    assert_true(site->client.n < sizeof body);
    site_free(site);
}

static void test_gone(void **state)
{
    (void)state;
    struct site *site = joined();

    say(site, "GET /hold HTTP/1.1\r\nHost: h\r\n\r\n");
    UNTIL(site->loop, site->held);
    stream_close(&site->client.s);
    UNTIL(site->loop, site->gone == 1);
    http_answer(site->held, 200, NULL, SPAN_LIT("late")); /* harmless */
    reconnect(site);
    site->answer_when_gone = true;
    say(site, "GET /hold HTTP/1.1\r\nHost: h\r\n\r\n");
    site->held = NULL;
    UNTIL(site->loop, site->held);
    stream_abort(&site->client.s);
    UNTIL(site->loop, site->gone == 2);
    reconnect(site);
    site->answer_when_gone = false;
    say(site, "GET /stream HTTP/1.1\r\nHost: h\r\n\r\n");
    UNTIL(site->loop, site->held);
    http_stream_start(site->held, 200, "text/plain");
    stream_abort(&site->client.s);
    UNTIL(site->loop, site->gone == 3);
    assert_int_equal(http_stream_write(site->held, SPAN_LIT("x")), ERR_CLOSED);
    http_stream_end(site->held);
    site_free(site);
}

static void test_streaming(void **state)
{
    (void)state;
    struct site *site = joined();

    say(site, "GET /stream HTTP/1.1\r\nHost: h\r\n\r\nGET /after HTTP/1.1\r\nHost: h\r\n\r\n");
    UNTIL(site->loop, site->held);
    http_stream_start(site->held, 200, "text/event-stream");
    assert_int_equal(http_stream_write(site->held, SPAN_LIT("data: 1\n\n")), 0);
    UNTIL(site->loop, got(site, "9\r\ndata: 1\n\n\r\n"));
    assert_true(got(site, "Transfer-Encoding: chunked\r\n"));
    assert_false(got(site, "Content-Length"));
    assert_int_equal(http_stream_write(site->held, SPAN_LIT("")), 0);
    http_stream_end(site->held);
    UNTIL(site->loop, got(site, "\r\n\r\n/after"));
    assert_true(got(site, "\r\n0\r\n\r\nHTTP/1.1 200"));
    site_free(site);

    site = joined();
    say(site, "GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    UNTIL(site->loop, site->held);
    http_stream_start(site->held, 200, "text/plain");
    assert_int_equal(http_stream_write(site->held, SPAN_LIT("raw")), 0);
    http_stream_end(site->held);
    UNTIL(site->loop, site->client.ends == 1);
    assert_true(got(site, "\r\n\r\nraw"));
    assert_false(got(site, "chunked"));
    site_free(site);
}

static void test_streaming_to_a_slow_reader(void **state)
{
    (void)state;
    static char block[60000];
    struct site *site = joined();
    int err = 0;

    say(site, "GET /stream HTTP/1.1\r\nHost: h\r\n\r\n");
    UNTIL(site->loop, site->held);
    http_on_room(site->held, on_room, site);
    http_stream_start(site->held, 200, "text/plain");
    stream_read_pause(site->client.s);
    for (unsigned i = 0; i < 10000 && !err; i++) {
        err = http_stream_write(site->held, span_of(block, sizeof block));
        loop_turn(site->loop, 0);
    }
    assert_int_equal(err, ERR_FULL);
    assert_int_equal(site->rooms, 0);
    stream_read_more(site->client.s);
    UNTIL(site->loop, site->rooms == 1);
    assert_int_equal(http_stream_write(site->held, span_of(block, sizeof block)), 0);
    http_stream_end(site->held);
    site_free(site);
}

static void test_server_closes_inside_a_request(void **state)
{
    (void)state;
    struct site *site = joined();

    say(site, "GET /close HTTP/1.1\r\nHost: h\r\n\r\n");
    UNTIL(site->loop, site->client.ends == 1);
    assert_null(site->server);
    site_free(site);
}

static void test_server_closes_while_the_owner_thinks(void **state)
{
    (void)state;
    struct site *site = joined();

    say(site, "GET /hold HTTP/1.1\r\nHost: h\r\n\r\n");
    UNTIL(site->loop, site->held);
    http_server_close(&site->server);
    assert_int_equal(site->gone, 1);
    http_answer(site->held, 200, NULL, SPAN_LIT("x"));
    UNTIL(site->loop, site->client.ends == 1);
    site_free(site);
}

static void test_tls(void **state)
{
    (void)state;
    static const char *const hosts[] = { "localhost" };
    static const char *const names[] = { "ca.pem", "ca.key", "node.pem", "node.key" };
    char dir[] = "/tmp/net_http_test.XXXXXX", cert[64], key[64];
    struct site *site = site_new(0);
    struct http_server_options o = { .at = { .text = "127.0.0.1" },
                                     .on_request = on_request,
                                     .arg = site };
    struct tls *client;
    struct errmsg why;

    assert_non_null(mkdtemp(dir));
    assert_int_equal(tls_make_dev_files(dir, hosts, 1, &why), 0);
    snprintf(cert, sizeof cert, "%s/node.pem", dir);
    snprintf(key, sizeof key, "%s/node.key", dir);
    assert_int_equal(tls_server_new(&o.tls, &(struct tls_pair){ cert, key }, 1, NULL, &why), 0);
    assert_int_equal(tls_client_new(&client, TLS_VERIFY_NONE, NULL, &why), 0);
    http_server_close(&site->server);
    assert_int_equal(http_server_open(&site->server, site->loop, &o, &why), 0);
    site->at.port = http_server_port(site->server);
    tls_unref(&o.tls); /* the server has its own reference */
    reconnect(site);
    assert_int_equal(stream_tls(site->client.s, client, NULL), 0);
    say(site, "GET /secret HTTP/1.1\r\nHost: h\r\n\r\n");
    UNTIL(site->loop, got(site, "\r\n\r\n/secret"));
    say(site, "GET /bye HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    UNTIL(site->loop, site->client.ends == 1);
    assert_int_equal(site->client.err, ERR_CLOSED);
    tls_unref(&client);
    site_free(site);
    for (unsigned i = 0; i < 4; i++) {
        snprintf(cert, sizeof cert, "%s/%s", dir, names[i]);
        unlink(cert);
    }
    rmdir(dir);
}

static void test_too_many_connections(void **state)
{
    (void)state;
    struct site *site = site_new(0);
    static struct end ends[HTTP_CONNECTIONS_MAX];
    struct stream_options o = { .calls = &end_calls };

    memset(ends, 0, sizeof ends);
    for (unsigned i = 0; i < HTTP_CONNECTIONS_MAX; i++) {
        o.arg = &ends[i];
        assert_int_equal(stream_connect(&ends[i].s, site->loop, &site->at, NULL, 5000, &o), 0);
        if (i % 64 == 63) UNTIL(site->loop, ends[i].readies == 1);
    }
    UNTIL(site->loop, ends[HTTP_CONNECTIONS_MAX - 1].readies == 1);
    for (unsigned i = 0; i < 20; i++)
        loop_turn(site->loop, 1);
    reconnect(site);
    UNTIL(site->loop, site->client.ends == 1);
    assert_true(got(site, "HTTP/1.1 503 Service Unavailable"));
    for (unsigned i = 0; i < HTTP_CONNECTIONS_MAX; i++)
        stream_close(&ends[i].s);
    UNTIL(site->loop, ends[0].closes == 1);
    reconnect(site);
    say(site, "GET /again HTTP/1.1\r\nHost: h\r\n\r\n");
    UNTIL(site->loop, got(site, "\r\n\r\n/again"));
    site_free(site);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keep_alive),
        cmocka_unit_test(test_close_and_old_clients),
        cmocka_unit_test(test_head_and_headers),
        cmocka_unit_test(test_pipelined_wait),
        cmocka_unit_test(test_chunked_body),
        cmocka_unit_test(test_continue),
        cmocka_unit_test(test_bad_requests),
        cmocka_unit_test(test_bodies_of_all_are_bounded),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_slow_request),
        cmocka_unit_test(test_big_answer),
        cmocka_unit_test(test_client_that_reads_nothing),
        cmocka_unit_test(test_gone),
        cmocka_unit_test(test_streaming),
        cmocka_unit_test(test_streaming_to_a_slow_reader),
        cmocka_unit_test(test_server_closes_inside_a_request),
        cmocka_unit_test(test_server_closes_while_the_owner_thinks),
        cmocka_unit_test(test_tls),
        cmocka_unit_test(test_too_many_connections),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
