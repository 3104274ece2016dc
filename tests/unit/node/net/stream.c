/* Streams in clear over loopback: echo, queues, back-pressure, endings. */
#include "tests/unit/node/net/net_test.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "node/net/stream_private.h"

static struct pair *joined(const char *address)
{
    struct pair *p = pair_new(address);

    pair_connect(p, NULL);
    UNTIL(p->loop, p->client.readies == 1 && p->server.s);
    return p;
}

static void echo_on(const char *address)
{
    struct pair *p = joined(address);

    p->server.echo = true;
    assert_string_equal(stream_peer(p->client.s)->text, address);
    assert_int_equal(stream_peer(p->client.s)->port, p->at.port);
    assert_int_equal(stream_self(p->client.s)->port, stream_peer(p->server.s)->port);
    assert_string_equal(stream_self(p->server.s)->text, address);
    assert_int_equal(stream_write(p->client.s, SPAN_LIT("hello")), 0);
    assert_int_equal(stream_out_bytes(p->client.s), 5);
    UNTIL(p->loop, p->client.n == 5);
    assert_memory_equal(p->client.in, "hello", 5);
    assert_false(stream_has_tls(p->client.s));
    assert_string_equal(stream_tls_text(p->client.s), "");
    stream_close(&p->client.s);
    assert_null(p->client.s);
    assert_int_equal(p->client.closes, 0);
    UNTIL(p->loop, p->client.closes == 1 && p->server.closes == 1);
    assert_int_equal(p->server.ends, 1);
    assert_int_equal(p->server.err, ERR_CLOSED);
    assert_int_equal(p->client.ends, 0);
    pair_free(p);
}

static void test_echo(void **state)
{
    (void)state;
    echo_on("127.0.0.1");
    echo_on("::1");
}

static void test_one_write_per_turn(void **state)
{
    (void)state;
    struct pair *p = joined("127.0.0.1");
    uint64_t before;

    for (unsigned i = 0; i < 3; i++)
        loop_turn(p->loop, 1);
    before = stream_writes_total();
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(stream_write(p->client.s, SPAN_LIT("0123456789")), 0);
    assert_int_equal(stream_writes_total(), before);
    UNTIL(p->loop, p->server.n == 1000);
    assert_int_equal(stream_writes_total(), before + 1);
    assert_int_equal(p->server.reads, 1);
    pair_free(p);
}

static void test_flush_is_now(void **state)
{
    (void)state;
    struct pair *p = joined("127.0.0.1");

    assert_int_equal(stream_write(p->client.s, SPAN_LIT("x")), 0);
    stream_flush(p->client.s);
    assert_int_equal(stream_out_bytes(p->client.s), 0);
    UNTIL(p->loop, p->server.n == 1);
    pair_free(p);
}

static void test_rest_is_kept(void **state)
{
    (void)state;
    struct pair *p = joined("127.0.0.1");

    p->server.eat_max = 3;
    assert_int_equal(stream_write(p->client.s, SPAN_LIT("abcdefgh")), 0);
    UNTIL(p->loop, p->server.reads == 1);
    assert_int_equal(stream_in_bytes(p->server.s), 5);
    for (unsigned i = 0; i < 5; i++)
        loop_turn(p->loop, 1);
    assert_int_equal(p->server.reads, 1); /* nobody asked, nothing new */
    stream_read_more(p->server.s);
    assert_int_equal(p->server.reads, 1); /* not inside the call */
    loop_turn(p->loop, 0);
    assert_int_equal(p->server.reads, 2);
    assert_int_equal(stream_write(p->client.s, SPAN_LIT("ij")), 0);
    UNTIL(p->loop, p->server.reads == 3);
    assert_int_equal(stream_in_bytes(p->server.s), 1);
    stream_read_more(p->server.s);
    UNTIL(p->loop, p->server.n == 10);
    assert_memory_equal(p->server.in, "abcdefghij", 10);
    assert_int_equal(stream_in_bytes(p->server.s), 0);
    pair_free(p);
}

static void pause_reading(struct end *e)
{
    stream_read_pause(e->s);
}

static void test_pause(void **state)
{
    (void)state;
    struct pair *p = joined("127.0.0.1");

    p->server.then = pause_reading;
    p->server.eat_max = 1;
    assert_int_equal(stream_write(p->client.s, SPAN_LIT("abc")), 0);
    UNTIL(p->loop, p->server.reads == 1);
    assert_int_equal(stream_write(p->client.s, SPAN_LIT("def")), 0);
    stream_close(&p->client.s);
    for (unsigned i = 0; i < 20; i++)
        loop_turn(p->loop, 1);
    assert_int_equal(p->server.reads, 1);
    assert_int_equal(p->server.ends, 0);
    p->server.then = NULL;
    p->server.eat_max = 0;
    stream_read_more(p->server.s);
    UNTIL(p->loop, p->server.ends == 1);
    assert_int_equal(p->server.n, 6);
    assert_memory_equal(p->server.in, "abcdef", 6);
    pair_free(p);
}

/* A pause that ends before anything came costs nothing; bytes that come meanwhile stay in the kernel. */
static void test_pause_watches_until_bytes_come(void **state)
{
    (void)state;
    struct pair *p = joined("127.0.0.1");

    for (unsigned i = 0; i < 3; i++)
        loop_turn(p->loop, 1);
    stream_read_pause(p->server.s);
    loop_turn(p->loop, 1);
    assert_true(p->server.s->reading);
    assert_int_equal(stream_write(p->client.s, SPAN_LIT("abc")), 0);
    UNTIL(p->loop, !p->server.s->reading);
    assert_int_equal(stream_in_bytes(p->server.s), 0);
    assert_int_equal(stream_in_waiting(p->server.s), 3);
    assert_int_equal(p->server.reads, 0);
    stream_read_more(p->server.s);
    assert_true(p->server.s->reading);
    UNTIL(p->loop, p->server.n == 3);
    assert_memory_equal(p->server.in, "abc", 3);
    pair_free(p);
}

/* The end is bytes of a kind: who pauses is not told of it. */
static void test_pause_holds_the_end_back(void **state)
{
    (void)state;
    struct pair *p = joined("127.0.0.1");

    stream_read_pause(p->server.s);
    stream_close(&p->client.s);
    UNTIL(p->loop, !p->server.s->reading);
    assert_int_equal(p->server.ends, 0);
    stream_read_more(p->server.s);
    UNTIL(p->loop, p->server.ends == 1);
    assert_int_equal(p->server.err, ERR_CLOSED);
    pair_free(p);
}

static void test_in_bytes_are_bounded(void **state)
{
    (void)state;
    static char big[100000];
    struct pair *p = pair_new("127.0.0.1");

    p->server_options.in_bytes_max = 1000;
    p->server.then = NULL;
    pair_connect(p, NULL);
    UNTIL(p->loop, p->client.readies == 1 && p->server.s);
    p->server.eat_max = 1; /* one byte is eaten of each show */
    assert_int_equal(stream_write(p->client.s, span_of(big, sizeof big)), 0);
    for (unsigned i = 0; i < 200; i++)
        loop_turn(p->loop, 1);
    assert_in_range(stream_in_bytes(p->server.s), 900, 1000);
    p->server.eat_max = 0;
    stream_read_more(p->server.s);
    UNTIL(p->loop, p->server.n == sizeof big);
    pair_free(p);
}

static void test_slow_reader(void **state)
{
    (void)state;
    static char block[16384];
    struct pair *p = pair_new("127.0.0.1");
    size_t written = 0;
    int err = 0;

    p->client_options.out_bytes_max = 128 << 10;
    pair_connect(p, NULL);
    UNTIL(p->loop, p->client.readies == 1 && p->server.s);
    stream_read_pause(p->server.s);
    for (unsigned i = 0; i < 100000 && !err; i++) {
        err = stream_write(p->client.s, span_of(block, sizeof block));
        if (!err) written += sizeof block;
        loop_turn(p->loop, 0);
    }
    assert_int_equal(err, ERR_FULL);
    assert_in_range(stream_out_bytes(p->client.s), 112 << 10, 128 << 10);
    assert_true(stream_out_room(p->client.s) < sizeof block);
    assert_int_equal(p->client.lows, 0);
    stream_read_more(p->server.s);
    UNTIL(p->loop, p->client.lows == 1);
    UNTIL(p->loop, p->server.n == written);
    assert_int_equal(p->client.lows, 1);
    assert_int_equal(stream_write(p->client.s, span_of(block, sizeof block)), 0);
    pair_free(p);
}

static void test_close_lets_the_queue_leave(void **state)
{
    (void)state;
    static char big[200000];
    struct pair *p = joined("127.0.0.1");

    assert_int_equal(stream_write(p->client.s, span_of(big, sizeof big)), 0);
    stream_close(&p->client.s);
    UNTIL(p->loop, p->server.ends == 1);
    assert_int_equal(p->server.n, sizeof big);
    UNTIL(p->loop, p->client.closes == 1);
    pair_free(p);
}

static void close_now(struct end *e)
{
    stream_close(&e->s);
}

static void abort_now(struct end *e)
{
    stream_abort(&e->s);
}

static void test_close_inside_calls(void **state)
{
    (void)state;
    void (*const ways[])(struct end *) = { close_now, abort_now };

    for (unsigned i = 0; i < 2; i++) {
        struct pair *p = joined("127.0.0.1");
        p->server.then = ways[i];
        assert_int_equal(stream_write(p->client.s, SPAN_LIT("bye")), 0);
        UNTIL(p->loop, p->server.closes == 1 && p->client.closes == 1);
        assert_int_equal(p->server.ends, 0);
        pair_free(p);

        p = pair_new("127.0.0.1");
        p->client.on_ready = ways[i];
        pair_connect(p, NULL);
        UNTIL(p->loop, p->client.closes == 1);
        assert_int_equal(p->client.ends, 0);
        pair_free(p);

        p = joined("127.0.0.1");
        p->server.on_end = ways[i];
        stream_abort(&p->client.s);
        UNTIL(p->loop, p->server.closes == 1 && p->client.closes == 1);
        assert_int_equal(p->server.ends, 1);
        pair_free(p);
    }
}

static void test_close_keeps_the_kept_from_the_owner(void **state)
{
    (void)state;
    struct pair *p = joined("127.0.0.1");

    p->server.eat_max = 1;
    assert_int_equal(stream_write(p->client.s, SPAN_LIT("abc")), 0);
    UNTIL(p->loop, p->server.reads == 1);
    stream_read_more(p->server.s);
    stream_close(&p->server.s);
    UNTIL(p->loop, p->server.closes == 1);
    assert_int_equal(p->server.reads, 1);
    pair_free(p);
}

/* A socket of our own that resets. */
static int raw_connect(const struct pair *p)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(p->at.port) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

static void raw_reset(int fd)
{
    struct linger now = { .l_onoff = 1 };

    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(fd);
}

static void test_reset(void **state)
{
    (void)state;
    struct pair *p = pair_new("127.0.0.1");
    int fd = raw_connect(p);

    UNTIL(p->loop, p->server.s);
    raw_reset(fd);
    UNTIL(p->loop, p->server.ends == 1);
    assert_int_equal(p->server.err, ERR_IO);
    assert_string_equal(p->server.why, "connection reset by peer");
    UNTIL(p->loop, p->server.closes == 1);
    pair_free(p);
}

static void test_reset_while_writing(void **state)
{
    (void)state;
    static char big[200000];

    for (unsigned paused = 0; paused < 2; paused++) {
        struct pair *p = pair_new("127.0.0.1");
        int fd = raw_connect(p);
        UNTIL(p->loop, p->server.s);
        if (paused) stream_read_pause(p->server.s);
        raw_reset(fd);
        stream_write(p->server.s, span_of(big, sizeof big));
        UNTIL(p->loop, p->server.ends == 1);
        UNTIL(p->loop, p->server.closes == 1);
        pair_free(p);
    }
}

static void test_last_words_are_read_after_a_failed_write(void **state)
{
    (void)state;
    struct pair *p = pair_new("127.0.0.1");
    int fd = raw_connect(p);

    UNTIL(p->loop, p->server.s);
    assert_int_equal(send(fd, "421 go away\r\n", 13, 0), 13);
    assert_int_equal(stream_write(p->server.s, SPAN_LIT("one")), 0);
    stream_flush(p->server.s);
    close(fd); /* with unread bytes: a reset follows */
    stream_write(p->server.s, SPAN_LIT("two"));
    stream_flush(p->server.s);
    UNTIL(p->loop, p->server.ends == 1);
    assert_int_equal(p->server.n, 13);
    pair_free(p);
}

static void test_refused(void **state)
{
    (void)state;
    struct pair *p = pair_new("127.0.0.1");

    listener_close(&p->listener);
    loop_turn(p->loop, 0);
    pair_connect(p, NULL);
    UNTIL(p->loop, p->client.ends == 1);
    assert_int_equal(p->client.err, ERR_REFUSED);
    assert_int_equal(p->client.readies, 0);
    UNTIL(p->loop, p->client.closes == 1);
    pair_free(p);
}

/* A listener with a full backlog lets nobody in and refuses nobody. */
static void test_connect_timeout(void **state)
{
    (void)state;
    struct pair *p = pair_new("127.0.0.1");
    struct sockaddr_in sa = { .sin_family = AF_INET };
    socklen_t size = sizeof sa;
    int full = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int fill[4];

    inet_pton(AF_INET, "127.0.0.1", &sa.sin_addr);
    assert_int_equal(bind(full, (struct sockaddr *)&sa, sizeof sa), 0);
    assert_int_equal(listen(full, 0), 0);
    getsockname(full, (struct sockaddr *)&sa, &size);
    for (unsigned i = 0; i < 4; i++) {
        fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        connect(fill[i], (struct sockaddr *)&sa, sizeof sa);
    }
    p->at.port = ntohs(sa.sin_port);
    assert_int_equal(stream_connect(&p->client.s, p->loop, &p->at, NULL, 50, &p->client_options),
                     0);
    UNTIL(p->loop, p->client.ends == 1);
    assert_int_equal(p->client.err, ERR_TIMEOUT);
    UNTIL(p->loop, p->client.closes == 1);
    for (unsigned i = 0; i < 4; i++)
        close(fill[i]);
    close(full);
    pair_free(p);
}

static void test_source_address(void **state)
{
    (void)state;
    struct pair *p = pair_new("127.0.0.1");

    assert_int_equal(
        stream_connect(&p->client.s, p->loop, &p->at, "127.0.0.5", 5000, &p->client_options), 0);
    UNTIL(p->loop, p->client.readies == 1 && p->server.s);
    assert_string_equal(stream_peer(p->server.s)->text, "127.0.0.5");
    assert_string_equal(stream_self(p->client.s)->text, "127.0.0.5");
    stream_close(&p->client.s);
    assert_true(
        stream_connect(&p->client.s, p->loop, &p->at, "192.0.2.77", 5000, &p->client_options) < 0);
    assert_null(p->client.s);
    snprintf(p->at.text, sizeof p->at.text, "localhost");
    assert_int_equal(stream_connect(&p->client.s, p->loop, &p->at, NULL, 5000, &p->client_options),
                     ERR_SYNTAX);
    pair_free(p);
}

static void test_not_taken_is_closed(void **state)
{
    (void)state;
    struct pair *p = pair_new("127.0.0.1");
    int fd;
    char c;

    p->accepted = true; /* the owner takes no more */
    fd = raw_connect(p);
    for (unsigned i = 0; i < 5; i++)
        loop_turn(p->loop, 1);
    assert_int_equal(recv(fd, &c, 1, 0), 0);
    close(fd);
    pair_free(p);
}

/* A closing stream whose queue cannot leave: the peer reads nothing. */
static struct stream *stuck_in_closing(struct pair *p, int *fd)
{
    static char big[16 << 20];
    struct stream *s;

    p->server_options.out_bytes_max = sizeof big;
    *fd = raw_connect(p);
    UNTIL(p->loop, p->server.s);
    s = p->server.s;
    assert_int_equal(stream_write(s, span_of(big, sizeof big)), 0);
    stream_close(&p->server.s);
    for (unsigned i = 0; i < 5; i++)
        loop_turn(p->loop, 1);
    assert_int_equal(p->server.closes, 0);
    return s;
}

static void test_closing_is_bounded(void **state)
{
    (void)state;
    struct pair *p = pair_new("127.0.0.1");
    int fd;
    struct stream *s = stuck_in_closing(p, &fd);

    assert_true(loop_timer_is_running(&s->timer));
    loop_timer_start(&s->timer, 0);
    UNTIL(p->loop, p->server.closes == 1);
    close(fd);
    pair_free(p);
}

static void test_reset_while_closing(void **state)
{
    (void)state;
    struct pair *p = pair_new("127.0.0.1");
    int fd;

    stuck_in_closing(p, &fd);
    raw_reset(fd);
    UNTIL(p->loop, p->server.closes == 1);
    assert_int_equal(p->server.ends, 0);
    pair_free(p);
}

static void test_loop_ends_while_closing(void **state)
{
    (void)state;
    static char big[200000];
    struct pair *p = joined("127.0.0.1");

    assert_int_equal(stream_write(p->client.s, span_of(big, sizeof big)), 0);
    stream_close(&p->client.s);
    stream_close(&p->server.s);
    listener_close(&p->listener);
    loop_free(&p->loop);
    assert_int_equal(p->client.closes, 1);
    assert_int_equal(p->server.closes, 1);
    free(p);
}

static void test_out_of_files(void **state)
{
    (void)state;
    struct pair *p = pair_new("127.0.0.1");
    struct rlimit before, none;
    int fd = raw_connect(p);

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 1;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    for (unsigned i = 0; i < 5; i++)
        loop_turn(p->loop, 1);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_false(p->accepted);
    UNTIL(p->loop, p->server.s); /* it has waited in the backlog */
    close(fd);
    UNTIL(p->loop, p->server.closes == 1);
    pair_free(p);
}

static bool door_is_open;

static bool may_begin(void *arg)
{
    (void)arg;
    return door_is_open;
}

static void test_a_listener_that_may_not_begin_yet(void **state)
{
    (void)state;
    struct pair *p = pair_new("127.0.0.1");
    struct listener_options o = { .on_connection = pair_connection,
                                  .may_begin = may_begin,
                                  .arg = p };
    struct errmsg why;
    int fd;

    listener_close(&p->listener);
    loop_turn(p->loop, 0);
    door_is_open = false;
    o.at = p->at;
    assert_int_equal(listener_open(&p->listener, p->loop, &o, &why), 0);
    fd = raw_connect(p);
    for (unsigned i = 0; i < 5; i++)
        loop_turn(p->loop, 1);
    assert_false(p->accepted);
    door_is_open = true;
    UNTIL(p->loop, p->server.s); /* it has waited in the backlog */
    close(fd);
    UNTIL(p->loop, p->server.closes == 1);
    pair_free(p);
}

static void test_many_listeners_on_one_port(void **state)
{
    (void)state;
    struct pair *p = pair_new("127.0.0.1");
    struct loop *other;
    struct listener *second;
    struct listener_options o = { .at = p->at, .on_connection = pair_connection, .arg = p };
    struct errmsg why;

    assert_int_equal(loop_new(&other, 1, &why), 0);
    assert_int_equal(listener_open(&second, other, &o, &why), 0);
    assert_int_equal(listener_port(second), p->at.port);
    listener_close(&second);
    loop_turn(other, 0);
    loop_free(&other);
    /* the first loop of a process does not share a port with another process */
    assert_int_equal(listener_open(&second, p->loop, &o, &why), ERR_BUSY);
    snprintf(o.at.text, sizeof o.at.text, "192.0.2.77");
    assert_int_not_equal(listener_open(&second, p->loop, &o, &why), 0);
    assert_null(second);
    assert_true(strstr(why.text, "192.0.2.77") != NULL);
    pair_free(p);
}

static void test_a_socket_made_elsewhere(void **state)
{
    (void)state;
    struct pair *p = pair_new("127.0.0.1");
    struct listener_options o = { .on_connection = pair_connection, .arg = p };
    struct listener *second;
    struct errmsg why = { "" };
    int fd = -1, taken;

    snprintf(o.at.text, sizeof o.at.text, "127.0.0.1");
    assert_int_equal(listener_socket(&o.at, 0, true, &fd, &why), 0);
    taken = fd;
    o.socket = &fd;
    assert_int_equal(listener_open(&second, p->loop, &o, &why), 0);
    assert_int_equal(fd, -1);
    assert_int_not_equal(listener_port(second), 0);
    listener_close(&second);
    loop_turn(p->loop, 0);
    assert_int_equal(fcntl(taken, F_GETFD), -1); /* it was the listener's, and is closed with it */
    assert_int_equal(listener_socket(&p->at, 0, true, &fd, &why), ERR_BUSY);
    assert_true(strstr(why.text, "127.0.0.1") != NULL);
    assert_int_equal(listener_socket(&p->at, 0, false, &fd, &why), 0); /* for another loop */
    close(fd);
    pair_free(p);
}

static void test_address_parse(void **state)
{
    (void)state;
    static const char *const bad[] = { "",           ":25",       "127.0.0.1", "127.0.0.1:",
                                       "1.2.3:25",   "a:25",      "::1:25",    "[127.0.0.1]:1",
                                       "[::1]25",    "[::1",      "[::1]:",    "1.2.3.4:65536",
                                       "1.2.3.4: 5", "1.2.3.4:-1" };
    struct stream_address a;

    assert_int_equal(stream_address_parse(SPAN_LIT("127.0.0.1:25"), &a), 0);
    assert_string_equal(a.text, "127.0.0.1");
    assert_int_equal(a.port, 25);
    assert_int_equal(stream_address_parse(SPAN_LIT("[2001:db8::1]:65535"), &a), 0);
    assert_string_equal(a.text, "2001:db8::1");
    assert_int_equal(a.port, 65535);
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(stream_address_parse(span_cstr(bad[i]), &a), ERR_SYNTAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_echo),
        cmocka_unit_test(test_one_write_per_turn),
        cmocka_unit_test(test_flush_is_now),
        cmocka_unit_test(test_rest_is_kept),
        cmocka_unit_test(test_pause),
        cmocka_unit_test(test_pause_watches_until_bytes_come),
        cmocka_unit_test(test_pause_holds_the_end_back),
        cmocka_unit_test(test_in_bytes_are_bounded),
        cmocka_unit_test(test_slow_reader),
        cmocka_unit_test(test_close_lets_the_queue_leave),
        cmocka_unit_test(test_close_inside_calls),
        cmocka_unit_test(test_close_keeps_the_kept_from_the_owner),
        cmocka_unit_test(test_reset),
        cmocka_unit_test(test_reset_while_writing),
        cmocka_unit_test(test_last_words_are_read_after_a_failed_write),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_connect_timeout),
        cmocka_unit_test(test_source_address),
        cmocka_unit_test(test_not_taken_is_closed),
        cmocka_unit_test(test_closing_is_bounded),
        cmocka_unit_test(test_reset_while_closing),
        cmocka_unit_test(test_loop_ends_while_closing),
        cmocka_unit_test(test_out_of_files),
        cmocka_unit_test(test_a_listener_that_may_not_begin_yet),
        cmocka_unit_test(test_many_listeners_on_one_port),
        cmocka_unit_test(test_a_socket_made_elsewhere),
        cmocka_unit_test(test_address_parse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
