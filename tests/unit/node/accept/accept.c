/* accept - what is refused before anything listens, ports, and what a reload changes. Conversations
 * are in tests/conformance. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "node/accept/session.h"
#include "proto/ground/check.h"

static struct loop *loop;
static struct accept_auth *auth;

static int begin(void **state)
{
    struct errmsg why;

    (void)state;
    if (loop_new(&loop, 0, &why) != 0) return -1;
    return accept_auth_new(&auth, NULL, 0, NULL, 0, 0, 1, &why);
}

static int end(void **state)
{
    (void)state;
    accept_auth_unref(&auth);
    loop_free(&loop);
    return 0;
}

static int make(struct accept **out, const struct accept_limits *limits, struct errmsg *why)
{
    struct accept_options o = {
        .loop = loop, .auth = auth, .hostname = "relay.test", .limits = *limits
    };

    return accept_new(out, &o, why);
}

static void limits_are_checked(void **state)
{
    struct accept *a = NULL;
    struct accept_limits l;
    struct errmsg why;

    (void)state;
    accept_limits_default(&l);
    l.recipients_max = 0;
    assert_int_equal(make(&a, &l, &why), ERR_CONFIG);
    l.recipients_max = PROTO_RECIPIENTS_MAX + 1;
    assert_int_equal(make(&a, &l, &why), ERR_CONFIG);
    accept_limits_default(&l);
    l.line_size_max = 511;
    assert_int_equal(make(&a, &l, &why), ERR_CONFIG);
    l.line_size_max = 1u << 20;
    assert_int_equal(make(&a, &l, &why), ERR_CONFIG);
    accept_limits_default(&l);
    l.message_size_max = (uint64_t)PROTO_CHUNKS_MAX * PROTO_CHUNK_SIZE_MAX + 1;
    assert_int_equal(make(&a, &l, &why), ERR_CONFIG);
    assert_null(a);
    accept_free(&a);
}

static void listening(void **state)
{
    const struct stream_address any = { .text = "127.0.0.1" }, wrong = { .text = "nonsense" };
    struct accept_limits l;
    struct accept *a;
    struct errmsg why;

    (void)state;
    accept_limits_default(&l);
    assert_int_equal(make(&a, &l, &why), 0);
    assert_int_equal(
        accept_listen(a, &(struct accept_service){ .kind = ACCEPT_SUBMISSION }, &any, &why),
        ERR_CONFIG);
    assert_int_equal(
        accept_listen(a, &(struct accept_service){ .kind = ACCEPT_SUBMISSIONS }, &any, &why),
        ERR_CONFIG);
    assert_int_not_equal(
        accept_listen(a, &(struct accept_service){ .kind = ACCEPT_MX }, &wrong, &why), 0);
    assert_int_equal(accept_listen(a, &(struct accept_service){ .kind = ACCEPT_MX }, &any, &why),
                     0);
    assert_int_equal(accept_listen(a, &(struct accept_service){ .kind = ACCEPT_MX }, &any, &why),
                     0);
    assert_int_not_equal(accept_port(a, 0), 0);
    assert_int_not_equal(accept_port(a, 1), accept_port(a, 0));
    assert_int_equal(accept_port(a, 2), 0);
    assert_true(accept_is_idle(a));
    accept_drain(a);
    accept_drain(a);
    assert_true(accept_is_idle(a));
    accept_free(&a);
    assert_null(a);
}

static void reload(void **state)
{
    struct accept_limits l;
    struct accept_auth *next;
    struct accept *a;
    struct errmsg why;

    (void)state;
    accept_limits_default(&l);
    assert_int_equal(make(&a, &l, &why), 0);
    assert_int_equal(accept_auth_new(&next, NULL, 0, NULL, 0, 0, 1, &why), 0);
    accept_set_auth(a, next);
    assert_ptr_equal(a->auth, next);
    accept_auth_unref(&next);
    accept_set_auth(a, a->auth);
    accept_set_tls(a, NULL);
    accept_free(&a);
}

static struct terms *terms_of_the_only_session(struct accept *a)
{
    assert_int_equal(a->session_count, 1);
    return CONTAINER_OF(list_first(&a->sessions), struct session, link)->terms;
}

static int connect_to(uint16_t port)
{
    struct sockaddr_in to = { .sin_family = AF_INET,
                              .sin_port = htons(port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0) return fd;
    close(fd);
    return -1;
}

static void turns(struct accept *a, unsigned sessions)
{
    for (unsigned i = 0; i < 1000 && a->session_count != sessions; i++)
        loop_turn(loop, 1);
    assert_int_equal(a->session_count, sessions);
}

/* A session goes by the limits of its begin, those after it by the new ones. */
static void sessions_keep_their_limits(void **state)
{
    const struct stream_address any = { .text = "127.0.0.1" };
    struct accept_limits l;
    struct terms *first;
    struct accept *a;
    struct errmsg why;
    int fd, second;

    (void)state;
    accept_limits_default(&l);
    assert_int_equal(make(&a, &l, &why), 0);
    assert_int_equal(accept_listen(a, &(struct accept_service){ .kind = ACCEPT_MX }, &any, &why),
                     0);
    fd = connect_to(accept_port(a, 0));
    turns(a, 1);
    first = terms_of_the_only_session(a);
    l.message_size_max = 4711;
    accept_set_limits(a, &l, 99);
    assert_ptr_equal(terms_of_the_only_session(a), first);
    assert_int_equal(first->limits.message_size_max, 52428800);
    close(fd);
    turns(a, 0);
    second = connect_to(accept_port(a, 0));
    turns(a, 1);
    assert_int_equal(terms_of_the_only_session(a)->limits.message_size_max, 4711);
    assert_int_equal(terms_of_the_only_session(a)->expire_ms, 99);
    close(second);
    turns(a, 0);
    accept_free(&a);
}

static void doors_come_and_go(void **state)
{
    const struct stream_address any = { .text = "127.0.0.1" };
    struct accept_door doors[2] = { { .service.kind = ACCEPT_MX, .at = any, .socket = -1 },
                                    { .service.kind = ACCEPT_MX, .at = any } };
    struct accept_limits l;
    struct accept *a;
    struct errmsg why;
    uint16_t old, fresh;
    int fd;

    (void)state;
    accept_limits_default(&l);
    assert_int_equal(make(&a, &l, &why), 0);
    assert_int_equal(accept_listen(a, &doors[0].service, &any, &why), 0);
    old = accept_port(a, 0);
    assert_int_equal(listener_socket(&any, 0, true, &doors[1].socket, &why), 0);
    doors[0].service.bare = ACCEPT_BARE_NORMALISE;
    accept_set_doors(a, doors, 2);
    assert_int_equal(accept_port(a, 0), old);
    fresh = accept_port(a, 1);
    assert_int_not_equal(fresh, 0);
    fd = connect_to(old);
    turns(a, 1);
    assert_int_equal(CONTAINER_OF(list_first(&a->sessions), struct session, link)->bare,
                     ACCEPT_BARE_NORMALISE);
    accept_set_doors(a, doors, 0);
    loop_turn(loop, 0);
    assert_int_equal(accept_port(a, 0), 0);
    assert_int_equal(connect_to(old), -1);
    assert_int_equal(connect_to(fresh), -1);
    assert_int_equal(a->session_count, 1); /* it lives on */
    close(fd);
    turns(a, 0);
    accept_free(&a);
}

/* More readers than are kept go away. */
static void readers(void **state)
{
    struct mail_reader *taken[ACCEPT_READERS_KEPT + 2];
    struct accept_limits l;
    struct accept *a;
    struct errmsg why;

    (void)state;
    accept_limits_default(&l);
    assert_int_equal(make(&a, &l, &why), 0);
    for (unsigned i = 0; i < ACCEPT_READERS_KEPT + 2; i++)
        taken[i] = accept_reader_take(a);
    for (unsigned i = 0; i < ACCEPT_READERS_KEPT + 2; i++) {
        accept_reader_give(a, &taken[i]);
        assert_null(taken[i]);
    }
    assert_int_equal(a->reader_count, ACCEPT_READERS_KEPT);
    accept_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limits_are_checked),
        cmocka_unit_test(listening),
        cmocka_unit_test(sessions_keep_their_limits),
        cmocka_unit_test(doors_come_and_go),
        cmocka_unit_test(reload),
        cmocka_unit_test(readers),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
