/* hostile - everything that a stranger, a wrong node or a broken one may send: refused and counted, never more than that; and
 * the lanes of the others do not feel it. */
#include "tests/unit/raft/wire/rig.h"

static struct pki pki;
static struct rig_node node, friend; /* friend 1 dials node 5; strangers try to be 2 or others */

static int set_up(void **state)
{
    uint8_t other_cluster[WIRE_CLUSTER_SIZE] = "another cluster";
    char uri[WIRE_NAME_SIZE], san[3 * WIRE_NAME_SIZE];

    (void)state;
    rig_pki(&pki);
    wire_name(uri, rig_cluster, 2);
    snprintf(san, sizeof san, "URI:%s", uri);
    pki_make(&pki, NULL, "foreign-ca", NULL, -60, 36000);
    pki_make(&pki, "foreign-ca", "foreign", san, -60, 36000);
    pki_make(&pki, "ca", "expired", san, -7200, -3600);
    pki_make(&pki, "ca", "early", san, 3600, 7200);
    pki_make(&pki, "ca", "nameless", "DNS:node2.test", -60, 36000);
    snprintf(san, sizeof san, "URI:%s,URI:%.*s3", uri, (int)strlen(uri) - 1, uri);
    pki_make(&pki, "ca", "two-names", san, -60, 36000);
    snprintf(san, sizeof san, "URI:%s0", uri); /* node 20: not known here, and the wrong way */
    pki_make(&pki, "ca", "node20", san, -60, 36000);
    wire_name(uri, other_cluster, 2);
    snprintf(san, sizeof san, "URI:%s", uri);
    pki_make(&pki, "ca", "other-cluster", san, -60, 36000);

    rig_init(&node, 5);
    node.o.accept_max = 8;
    rig_open(&node, &pki, "node5");
    rig_meet(&node, 1, 1);
    rig_meet(&node, 2, 1);
    rig_init(&friend, 1);
    rig_open(&friend, &pki, "node1");
    rig_meet(&friend, 5, wire_port(node.wire));
    for (unsigned lane = 0; lane < WIRE_LANES; lane++)
        RIG_UNTIL(&node, node.lanes[1][lane].is_up);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (unsigned lane = 0; lane < WIRE_LANES; lane++) {
        assert_int_equal(node.lanes[1][lane].ups,
                         1); /* nothing of all this touched the friend's lanes */
        assert_int_equal(node.lanes[1][lane].downs, 0);
    }
    rig_close(&friend);
    rig_close(&node);
    pki_end(&pki);
    return 0;
}

static void the_friend_is_heard(void)
{
    unsigned frames = node.lanes[1][WIRE_LOG].frames;

    RIG_UNTIL(&friend, friend.lanes[5][WIRE_LOG].is_up);
    assert_int_equal(rig_send(&friend, 5, WIRE_LOG, 1000, 1), 0);
    RIG_UNTIL(&node, node.lanes[1][WIRE_LOG].frames == frames + 1);
}

/* ---- not TLS, or no certificate that counts */

static void bytes_that_are_no_tls_are_refused(void **state)
{
    static const char *const words[] = { "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "EHLO there\r\n",
                                         "\x16\x03\x01\xff\xff",
                                         "\x80\x80\x80\x80\x80\x80\x80\x80" };

    (void)state;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        uint64_t before = metric_get(M_WIRE_REFUSED_TLS);
        int fd = rogue_tcp(wire_port(node.wire));
        char byte[64];

        assert_true(send(fd, words[i], strlen(words[i]), MSG_NOSIGNAL) > 0);
        rig_until_metric(M_WIRE_REFUSED_TLS, before + 1);
        do
            errno = 0;
        while (recv(fd, byte, sizeof byte, 0) > 0); /* an alert, then the end */
        assert_true(errno != EAGAIN);
        close(fd);
    }
    the_friend_is_heard();
}

static void older_tls_is_refused(void **state)
{
    uint64_t before = metric_get(M_WIRE_REFUSED_TLS);
    struct rogue r = { .fd = rogue_tcp(wire_port(node.wire)), .ctx = SSL_CTX_new(TLS_method()) };

    (void)state;
    SSL_CTX_set_max_proto_version(r.ctx, TLS1_2_VERSION);
    r.ssl = SSL_new(r.ctx);
    SSL_set_fd(r.ssl, r.fd);
    assert_int_not_equal(SSL_connect(r.ssl), 1);
    rig_until_metric(M_WIRE_REFUSED_TLS, before + 1);
    rogue_end(&r);
}

static void certificates_that_do_not_count_are_refused(void **state)
{
    static const struct {
        const char *name;
        enum metric counted;
    } bad[] = {
        { NULL, M_WIRE_REFUSED_CERTIFICATE },
        { "foreign", M_WIRE_REFUSED_CERTIFICATE },
        { "expired", M_WIRE_REFUSED_EXPIRED },
        { "early", M_WIRE_REFUSED_EXPIRED },
        { "nameless", M_WIRE_REFUSED_NAME },
        { "two-names", M_WIRE_REFUSED_NAME },
        { "other-cluster", M_WIRE_REFUSED_CLUSTER },
        { "node3", M_WIRE_REFUSED_MEMBER },
        { "node5", M_WIRE_REFUSED_NODE },  /* our own name */
        { "node20", M_WIRE_REFUSED_NODE }, /* it is us who would dial it */
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint64_t before = metric_get(bad[i].counted);
        struct rogue r;
        struct hello h = rogue_hello(2, 5, WIRE_LOG);

        if (rogue_dial(&r, &pki, bad[i].name, wire_port(node.wire))) rogue_say_hello(&r, &h);
        rig_until_metric(bad[i].counted, before + 1);
        assert_true(rogue_sees_end(&r));
        rogue_end(&r);
    }
    assert_int_equal(node.lanes[2][WIRE_LOG].ups, 0);
    the_friend_is_heard();
}

/* ---- the hello */

static void hellos_that_are_wrong_are_refused_and_told_why(void **state)
{
    struct hello good = rogue_hello(2, 5, WIRE_LOG), bad[6];
    static const struct {
        enum metric counted;
        enum wire_refusal told;
    } expected[] = {
        { M_WIRE_REFUSED_CLUSTER, REFUSE_CLUSTER }, { M_WIRE_REFUSED_NODE, REFUSE_NODE },
        { M_WIRE_REFUSED_NODE, REFUSE_NODE },       { M_WIRE_REFUSED_FORMAT, REFUSE_FORMAT },
        { M_WIRE_REFUSED_FORMAT, REFUSE_FORMAT },   { M_WIRE_REFUSED_NODE, REFUSE_NODE }
    };

    (void)state;
    for (size_t i = 0; i < 6; i++)
        bad[i] = good;
    bad[0].cluster[15] ^= 1;
    bad[1].node = 1; /* not that of its certificate */
    bad[2].to = 6;
    bad[3].format_min = bad[3].format_max = 4;
    bad[4].format_min = bad[4].format_max = 0;
    bad[5].to = 0;
    for (size_t i = 0; i < 6; i++) {
        uint64_t before = metric_get(expected[i].counted);
        struct rogue r;
        struct hello theirs;

        assert_true(rogue_dial(&r, &pki, "node2", wire_port(node.wire)));
        rogue_say_hello(&r, &bad[i]);
        assert_true(rogue_read_hello(&r, &theirs));
        assert_int_equal(theirs.refused, expected[i].told);
        assert_true(rogue_sees_end(&r));
        assert_int_equal(metric_get(expected[i].counted), before + 1);
        rogue_end(&r);
    }
    assert_int_equal(node.lanes[2][WIRE_LOG].ups, 0);
}

/* When the cluster writes what older versions cannot read, they are not talked to any more. */
static void who_does_not_know_the_format_in_force_is_refused(void **state)
{
    struct hello h = rogue_hello(2, 5, WIRE_LOG), theirs;
    uint64_t before = metric_get(M_WIRE_REFUSED_FORMAT);
    struct rogue r;

    (void)state;
    h.format_min = 1;
    h.format_max = 2;
    for (unsigned i = 0; i < 2; i++) {
        wire_formats(node.wire, i == 0 ? 3 : 2);
        assert_true(rogue_dial(&r, &pki, "node2", wire_port(node.wire)));
        rogue_say_hello(&r, &h);
        assert_true(rogue_read_hello(&r, &theirs));
        assert_int_equal(theirs.refused, i == 0 ? REFUSE_FORMAT : 0);
        assert_int_equal(theirs.format_min, i == 0 ? 3 : 2);
        if (i == 1) RIG_UNTIL(&node, node.lanes[2][WIRE_LOG].last.format == 2);
        rogue_end(&r);
    }
    RIG_UNTIL(&node, !node.lanes[2][WIRE_LOG].is_up);
    assert_int_equal(metric_get(M_WIRE_REFUSED_FORMAT), before + 1);
    wire_formats(node.wire, 1);
}

static void words_that_are_no_hello_are_refused(void **state)
{
    static const struct {
        const char *bytes;
        size_t n;
    } bad[] = {
        { "\x00\x00\x00\x04"
          "aaaa",
          8 }, /* a frame before the hello */
        { "\x01\x00\x00\x04"
          "\xff\xff\xff\xff",
          8 },                     /* no protobuf */
        { "\x01\x00\x00\x00", 4 }, /* empty */
        { "\x01\x00\x01\x01", 4 }, /* over its limit, by one */
        { "\x01\xff\xff\xff", 4 },
        { "\x00\x00\x00\x00", 4 }, /* a sign of life of nobody */
        { "\x01\x00\x00\x02"
          "\x10\x02",
          6 }, /* no cluster */
        { "\x07\x00\x00\x04", 4 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint64_t before = metric_get(M_WIRE_REFUSED_HELLO);
        struct rogue r;

        assert_true(rogue_dial(&r, &pki, "node2", wire_port(node.wire)));
        rogue_say(&r, bad[i].bytes, bad[i].n);
        assert_true(rogue_sees_end(&r));
        assert_int_equal(metric_get(M_WIRE_REFUSED_HELLO), before + 1);
        rogue_end(&r);
    }
    the_friend_is_heard();
}

static void an_incarnation_of_the_past_is_refused(void **state)
{
    struct hello h = rogue_hello(2, 5, WIRE_BULK), theirs;
    uint64_t before = metric_get(M_WIRE_REFUSED_INCARNATION);
    struct rogue r;

    (void)state;
    for (unsigned i = 0; i < 3; i++) { /* 7 comes; 6 is a zombie; 7 may come again */
        h.incarnation = i == 1 ? 6 : 7;
        assert_true(rogue_dial(&r, &pki, "node2", wire_port(node.wire)));
        rogue_say_hello(&r, &h);
        assert_true(rogue_read_hello(&r, &theirs));
        assert_int_equal(theirs.refused, i == 1 ? REFUSE_INCARNATION : 0);
        rogue_end(&r);
    }
    assert_int_equal(metric_get(M_WIRE_REFUSED_INCARNATION), before + 1);
}

/* ---- after the hello */

static void a_known_node_that_sends_nonsense_loses_its_lane(void **state)
{
    static const struct {
        const char *bytes;
        size_t n;
        enum metric counted;
    } bad[] = {
        { "\x00\x10\x00\x01", 4,
          M_WIRE_REFUSED_FRAME }, /* over 1 MiB, by one: not a byte of it is awaited */
        { "\x00\xff\xff\xff", 4, M_WIRE_REFUSED_FRAME },
        { "\x02\x00\x00\x01", 4, M_WIRE_REFUSED_FRAME }, /* an unknown kind */
        { "\xff\xff\xff\xff", 4, M_WIRE_REFUSED_FRAME },
        { NULL, 0, M_WIRE_REFUSED_HELLO }, /* its hello again */
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint64_t before = metric_get(bad[i].counted);
        size_t bytes = blob_bytes_total();
        unsigned downs = node.lanes[2][WIRE_CONTROL].downs;
        struct hello h = rogue_hello(2, 5, WIRE_CONTROL), theirs;
        struct rogue r;

        h.incarnation = 9;
        assert_true(rogue_dial(&r, &pki, "node2", wire_port(node.wire)));
        rogue_say_hello(&r, &h);
        assert_true(rogue_read_hello(&r, &theirs));
        if (bad[i].bytes)
            rogue_say(&r, bad[i].bytes, bad[i].n);
        else
            rogue_say_hello(&r, &h);
        assert_true(rogue_sees_end(&r));
        RIG_UNTIL(&node, node.lanes[2][WIRE_CONTROL].downs == downs + 1);
        assert_int_equal(metric_get(bad[i].counted), before + 1);
        assert_true(blob_bytes_total() < bytes + WIRE_FRAME_MAX);
        rogue_end(&r);
    }
    the_friend_is_heard();
}

static void a_frame_that_is_cut_short_is_never_seen(void **state)
{
    unsigned downs = node.lanes[2][WIRE_LOG].downs, frames = node.lanes[2][WIRE_LOG].frames;
    struct hello h = rogue_hello(2, 5, WIRE_LOG), theirs;
    struct rogue r;

    (void)state;
    h.incarnation = 9;
    assert_true(rogue_dial(&r, &pki, "node2", wire_port(node.wire)));
    rogue_say_hello(&r, &h);
    assert_true(rogue_read_hello(&r, &theirs));
    rogue_say(&r,
              "\x00\x00\x00\x02"
              "ab"
              "\x00\x00\x00\x05"
              "cd",
              12);
    RIG_UNTIL(&node, node.lanes[2][WIRE_LOG].frames == frames + 1);
    rogue_end(&r);
    RIG_UNTIL(&node, node.lanes[2][WIRE_LOG].downs == downs + 1);
    assert_int_equal(node.lanes[2][WIRE_LOG].frames, frames + 1);
}

static void bytes_that_were_changed_on_the_way_end_the_connection(void **state)
{
    unsigned downs = node.lanes[2][WIRE_LOG].downs;
    uint64_t before = metric_get(M_WIRE_REFUSED_TLS);
    struct hello h = rogue_hello(2, 5, WIRE_LOG), theirs;
    static const uint8_t forged[64] = { 0x17, 3, 3, 0, 59 };
    struct rogue r;

    (void)state;
    h.incarnation = 9;
    assert_true(rogue_dial(&r, &pki, "node2", wire_port(node.wire)));
    rogue_say_hello(&r, &h);
    assert_true(rogue_read_hello(&r, &theirs));
    assert_int_equal(send(r.fd, forged, sizeof forged, MSG_NOSIGNAL), sizeof forged);
    RIG_UNTIL(&node, node.lanes[2][WIRE_LOG].downs == downs + 1);
    rig_until_metric(M_WIRE_REFUSED_TLS, before + 1);
    rogue_end(&r);
}

/* ---- those who only take places */

static void silent_strangers_make_room_for_who_speaks(void **state)
{
    uint64_t limit = metric_get(M_WIRE_REFUSED_LIMIT);
    struct hello h = rogue_hello(2, 5, WIRE_BULK), theirs;
    int fds[200];
    struct rogue r;

    (void)state;
    for (unsigned i = 0; i < 200; i++)
        fds[i] = rogue_tcp(wire_port(node.wire));
    rig_until_metric(M_WIRE_REFUSED_LIMIT, limit + 200 - node.o.accept_max);
    h.incarnation = 9;
    assert_true(rogue_dial(&r, &pki, "node2", wire_port(node.wire)));
    rogue_say_hello(&r, &h);
    assert_true(rogue_read_hello(&r, &theirs));
    assert_int_equal(theirs.refused, 0);
    for (unsigned i = 0; i < 200; i++)
        close(fds[i]);
    rogue_end(&r);
    the_friend_is_heard();
}

static void who_does_not_say_who_it_is_in_time_is_dropped(void **state)
{
    uint64_t slow = metric_get(M_WIRE_REFUSED_SLOW);
    struct rig_node hasty;
    struct rogue r;
    uint8_t byte;
    int fd;

    (void)state;
    rig_init(&hasty, 6);
    hasty.o.connect_timeout_ms = 300;
    rig_open(&hasty, &pki, "node6");
    rig_meet(&hasty, 2, 1);
    fd = rogue_tcp(wire_port(hasty.wire)); /* no word at all */
    rig_until_metric(M_WIRE_REFUSED_SLOW, slow + 1);
    assert_int_equal(recv(fd, &byte, 1, 0), 0);
    close(fd);
    if (rogue_dial(&r, &pki, "node2", wire_port(hasty.wire))) /* no hello */
        assert_true(rogue_sees_end(&r));
    rig_until_metric(M_WIRE_REFUSED_SLOW, slow + 2);
    rogue_end(&r);
    rig_close(&hasty);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_that_are_no_tls_are_refused),
        cmocka_unit_test(older_tls_is_refused),
        cmocka_unit_test(certificates_that_do_not_count_are_refused),
        cmocka_unit_test(hellos_that_are_wrong_are_refused_and_told_why),
        cmocka_unit_test(words_that_are_no_hello_are_refused),
        cmocka_unit_test(who_does_not_know_the_format_in_force_is_refused),
        cmocka_unit_test(an_incarnation_of_the_past_is_refused),
        cmocka_unit_test(a_known_node_that_sends_nonsense_loses_its_lane),
        cmocka_unit_test(a_frame_that_is_cut_short_is_never_seen),
        cmocka_unit_test(bytes_that_were_changed_on_the_way_end_the_connection),
        cmocka_unit_test(silent_strangers_make_room_for_who_speaks),
        cmocka_unit_test(who_does_not_say_who_it_is_in_time_is_dropped),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
