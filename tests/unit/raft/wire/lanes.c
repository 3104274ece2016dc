/* lanes - two nodes and their lanes: what is sent arrives or is told to be lost; limits; the call-backs' promises. */
#include "tests/unit/raft/wire/rig.h"

#include <dirent.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/resource.h>

static struct pki pki;

static void open_pair(struct rig_node *a, struct rig_node *b)
{
    rig_init(a, 1);
    rig_init(b, 2);
    rig_open(b, &pki, "node2");
    rig_open(a, &pki, "node1");
    rig_meet(b, 1, wire_port(a->wire));
    rig_meet(a, 2, wire_port(b->wire));
    for (unsigned lane = 0; lane < WIRE_LANES; lane++) {
        RIG_UNTIL(a, a->lanes[2][lane].is_up);
        RIG_UNTIL(b, b->lanes[1][lane].is_up);
    }
}

/* ---- sockets */

/* With Nagle's algorithm the end of a frame waits for the acknowledgement of what came before it, which the kernel delays by
 * 40 ms: every commit would wait with it. NNG's streams have it on. */
static void connections_do_not_wait(void **state)
{
    struct rig_node a, b;
    unsigned seen = 0;

    (void)state;
    open_pair(&a, &b);
    for (int fd = 0; fd < 1024; fd++) {
        struct sockaddr_storage peer;
        socklen_t size = sizeof peer, one = sizeof(int);
        int no_delay = 0;

        if (getpeername(fd, (struct sockaddr *)&peer, &size) != 0) continue;
        if (peer.ss_family != AF_INET) continue;
        assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &no_delay, &one), 0);
        assert_int_equal(no_delay, 1);
        seen++;
    }
    assert_true(seen >= 2 * WIRE_LANES);
    rig_close(&a);
    rig_close(&b);
}

/* ---- frames */

#define FRAMES 300u

static size_t size_of(struct rng *r)
{
    static const size_t edges[] = { 1,     3,     16380, 16381, 16384, 32760,
                                    65536, 65537, 1000,  100,   1,     WIRE_FRAME_MAX };

    return rng_below(r, 3) == 0 ? edges[rng_below(r, sizeof edges / sizeof edges[0])]
                                : 1 + (size_t)rng_below(r, 30000);
}

struct sender {
    struct rig_node *from;
    uint64_t to;
    enum wire_lane lane;
    pthread_t thread;
};

static void *send_all(void *arg)
{
    struct sender *s = arg;
    struct rng r;

    rng_seed(&r, s->to * 10 + s->lane);
    for (unsigned i = 0; i < FRAMES; i++) {
        size_t n = size_of(&r);
        struct blob *b = rig_frame(n, (uint8_t)i);
        unsigned rooms;
        int rv;

        do {
            pthread_mutex_lock(&s->from->lock);
            rooms = s->from->lanes[s->to][s->lane].rooms;
            pthread_mutex_unlock(&s->from->lock);
            rv = wire_send(s->from->wire, s->to, s->lane, b);
            if (rv == ERR_FULL) RIG_UNTIL(s->from, s->from->lanes[s->to][s->lane].rooms > rooms);
        } while (rv == ERR_FULL);
        assert_int_equal(rv, 0);
        blob_unref(&b);
    }
    return NULL;
}

static void expect_all(struct rig_node *at, uint64_t from, enum wire_lane lane)
{
    struct rig_lane *l = &at->lanes[from][lane];
    struct rng r;

    RIG_UNTIL(at, l->frames >= FRAMES);
    rng_seed(&r, at->o.node * 10 + lane);
    for (unsigned i = 0; i < FRAMES; i++) {
        struct blob *b = wire_queue_take(&l->kept);

        assert_int_equal(b->n, size_of(&r));
        for (size_t k = 0; k < b->n; k++)
            if (b->p[k] != (uint8_t)i) fail_msg("frame %u is not what was sent", i);
        blob_unref(&b);
    }
}

static void frames_of_all_lanes_both_ways_arrive_whole_and_in_order(void **state)
{
    struct rig_node a, b;
    struct sender senders[2 * WIRE_LANES];

    (void)state;
    rig_init(&a, 1);
    rig_init(&b, 2);
    for (unsigned lane = 0; lane < WIRE_LANES; lane++) {
        a.lanes[2][lane].keeps = b.lanes[1][lane].keeps = true;
        /* control drops when it is full: there it shall not be */
        a.o.queue_bytes_max[lane] = b.o.queue_bytes_max[lane] =
            lane == WIRE_CONTROL ? SIZE_MAX : 2 * WIRE_FRAME_MAX;
    }
    rig_open(&b, &pki, "node2");
    rig_open(&a, &pki, "node1");
    /* keys change on the way, also while the other end sends */
    CONTAINER_OF(a.wire, struct wire_nng, base)->key_records_max = 5;
    CONTAINER_OF(b.wire, struct wire_nng, base)->key_records_max = 7;
    CONTAINER_OF(b.wire, struct wire_nng, base)->at_once_us = 0; /* its senders write */
    rig_meet(&b, 1, wire_port(a.wire));
    rig_meet(&a, 2, wire_port(b.wire));
    for (unsigned i = 0; i < 2 * WIRE_LANES; i++) {
        struct sender *s = &senders[i];

        *s = (struct sender){ .from = i % 2 ? &a : &b, .to = i % 2 ? 2 : 1, .lane = i / 2 };
        RIG_UNTIL(s->from, s->from->lanes[s->to][s->lane].is_up);
        pthread_create(&s->thread, NULL, send_all, s);
    }
    for (unsigned i = 0; i < 2 * WIRE_LANES; i++)
        pthread_join(senders[i].thread, NULL);
    for (unsigned lane = 0; lane < WIRE_LANES; lane++) {
        expect_all(&a, 2, lane);
        expect_all(&b, 1, lane);
        assert_int_equal(a.lanes[2][lane].ups, 1);
    }
    assert_int_equal(a.lanes[2][0].last.format, 3);
    rig_close(&a);
    rig_close(&b);
}

static void what_cannot_be_sent_is_told(void **state)
{
    struct rig_node a;
    struct wire_peer peer = { .node = 2, .address = "127.0.0.1:1" };

    (void)state;
    rig_init(&a, 1);
    rig_open(&a, &pki, "node1");
    assert_int_equal(rig_send(&a, 2, WIRE_LOG, 10, 0), ERR_NOT_FOUND);
    assert_int_equal(wire_peer(a.wire, &peer), 0);
    assert_int_equal(rig_send(&a, 2, WIRE_LOG, 10, 0), ERR_CLOSED);
    assert_int_equal(rig_send(&a, 2, WIRE_LOG, WIRE_FRAME_MAX + 1, 0), ERR_TOO_LONG);
    assert_int_equal(rig_send(&a, 2, WIRE_LOG, 0, 0), ERR_RANGE);
    rig_close(&a);
}

static void peers_that_cannot_be_are_told(void **state)
{
    static const char *const bad[] = { "",      "host",       ":1",       "host:",   "host:65536",
                                       "a/b:1", "host:1?x=1", "u@host:1", "host: 1", "host:-1" };
    struct rig_node a;
    struct wire_peer peer = { .node = 1, .address = "127.0.0.1:1" };

    (void)state;
    rig_init(&a, 1);
    rig_open(&a, &pki, "node1");
    assert_int_equal(wire_peer(a.wire, &peer), ERR_RANGE);
    peer.node = 0;
    assert_int_equal(wire_peer(a.wire, &peer), ERR_RANGE);
    peer.node = 2;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        snprintf(peer.address, sizeof peer.address, "%s", bad[i]);
        assert_int_equal(wire_peer(a.wire, &peer), ERR_SYNTAX);
    }
    snprintf(peer.address, sizeof peer.address, "127.0.0.1:1");
    for (peer.node = 2; peer.node < 2 + WIRE_PEERS_MAX; peer.node++)
        assert_int_equal(wire_peer(a.wire, &peer), 0);
    assert_int_equal(wire_peer(a.wire, &peer), ERR_FULL);
    peer.node = 2; /* known already: its address only */
    assert_int_equal(wire_peer(a.wire, &peer), 0);
    rig_close(&a);
}

/* ---- bounds */

static void a_full_log_lane_pushes_back_and_tells_of_room(void **state)
{
    struct rig_node a, b;
    unsigned sent = 0;

    (void)state;
    rig_init(&a, 1);
    rig_init(&b, 2);
    a.o.queue_bytes_max[WIRE_LOG] = 3 * WIRE_FRAME_MAX;
    b.lanes[1][WIRE_LOG].says_pause = true;
    rig_open(&b, &pki, "node2");
    rig_open(&a, &pki, "node1");
    rig_meet(&b, 1, wire_port(a.wire));
    rig_meet(&a, 2, wire_port(b.wire));
    RIG_UNTIL(&a, a.lanes[2][WIRE_LOG].is_up && a.lanes[2][WIRE_CONTROL].is_up);
    while (rig_send(&a, 2, WIRE_LOG, WIRE_FRAME_MAX, 7) == 0)
        assert_true(++sent < 1000); /* TCP's buffers and the queue are all there is */
    /* paused: the rest of what was read may come, not more than a frame of this size */
    RIG_UNTIL(&b, b.lanes[1][WIRE_LOG].frames >= 1);
    assert_int_equal(rig_send(&a, 2, WIRE_CONTROL, 1, 0), 0); /* other lanes do not feel it */
    RIG_UNTIL(&b, b.lanes[1][WIRE_CONTROL].frames == 1);
    pthread_mutex_lock(&b.lock);
    assert_true(b.lanes[1][WIRE_LOG].frames <= 2);
    b.lanes[1][WIRE_LOG].says_pause = false;
    pthread_mutex_unlock(&b.lock);
    wire_resume(b.wire, 1, WIRE_LOG);
    RIG_UNTIL(&b, b.lanes[1][WIRE_LOG].frames == sent);
    RIG_UNTIL(&a, a.lanes[2][WIRE_LOG].rooms > 0);
    rig_close(&a);
    rig_close(&b);
}

/* Both frames are of one record. Who caught up in between resumes nothing: it has said so. */
static void the_last_frame_of_what_was_read_says_whether_to_read_on(void **state)
{
    static const uint8_t two[] = { FRAME_PAYLOAD, 0, 0, 1, 'a', FRAME_PAYLOAD, 0, 0, 1, 'b' };
    struct rig_node b;
    struct rogue r;
    struct hello h = rogue_hello(1, 2, WIRE_LOG);

    (void)state;
    rig_init(&b, 2);
    b.lanes[1][WIRE_LOG].pauses_at = 1;
    rig_open(&b, &pki, "node2");
    rig_meet(&b, 1, 1);
    assert_true(rogue_dial(&r, &pki, "node1", wire_port(b.wire)));
    rogue_say_hello(&r, &h);
    assert_true(rogue_read_hello(&r, &h));
    rogue_say(&r, two, sizeof two);
    rogue_say(&r, two, sizeof two);
    RIG_UNTIL(&b, b.lanes[1][WIRE_LOG].frames == 4);
    rogue_end(&r);
    rig_close(&b);
}

static void a_full_control_lane_drops_its_oldest(void **state)
{
    struct rig_node b;
    struct rogue r;
    struct hello h = rogue_hello(1, 2, WIRE_CONTROL);
    uint64_t dropped = metric_get(M_WIRE_DROPPED_CONTROL);
    const unsigned sent = 60;
    unsigned came = 0;
    uint8_t *bytes = check_malloc(WIRE_FRAME_MAX);
    int last = -1;

    (void)state;
    rig_init(&b, 2);
    b.o.queue_bytes_max[WIRE_CONTROL] = 4 * WIRE_FRAME_MAX;
    rig_open(&b, &pki, "node2");
    rig_meet(&b, 1, 1);
    assert_true(rogue_dial(&r, &pki, "node1", wire_port(b.wire)));
    rogue_say_hello(&r, &h);
    assert_true(rogue_read_hello(&r, &h)); /* and then it does not read */
    for (unsigned i = 0; i < sent; i++)
        assert_int_equal(rig_send(&b, 1, WIRE_CONTROL, WIRE_FRAME_MAX, (uint8_t)i), 0);
    dropped = metric_get(M_WIRE_DROPPED_CONTROL) - dropped;
    assert_true(dropped > 0);
    while (last != (int)sent - 1) { /* the newest is there, and what came is in order */
        assert_int_equal(rogue_read_frame(&r, bytes, WIRE_FRAME_MAX), WIRE_FRAME_MAX);
        assert_true(bytes[0] > last && bytes[WIRE_FRAME_MAX - 1] == bytes[0]);
        last = bytes[0];
        came++;
    }
    assert_int_equal(came + dropped, sent);
    rogue_end(&r);
    free(bytes);
    rig_close(&b);
}

/* Who sends writes himself until TCP is full, in the middle of a frame, and never learns of room or of an end in it. */
static void what_tcp_takes_in_parts_arrives_whole(void **state)
{
    struct rig_node b;
    struct rogue r;
    struct hello h = rogue_hello(1, 2, WIRE_LOG);
    uint8_t *bytes = check_malloc(AT_ONCE_SIZE);
    unsigned sent = 0, read = 0;

    (void)state;
    rig_init(&b, 2);
    b.o.queue_bytes_max[WIRE_LOG] = 2 * WIRE_FRAME_MAX;
    rig_open(&b, &pki, "node2");
    CONTAINER_OF(b.wire, struct wire_nng, base)->at_once_us = 0;
    rig_meet(&b, 1, 1);
    assert_true(rogue_dial(&r, &pki, "node1", wire_port(b.wire)));
    rogue_say_hello(&r, &h);
    assert_true(rogue_read_hello(&r, &h));
    for (unsigned round = 1; round <= 5; round++) {
        while (rig_send(&b, 1, WIRE_LOG, AT_ONCE_SIZE - sent % 1000, (uint8_t)sent) == 0)
            sent++;
        for (; read < sent; read++) {
            assert_int_equal(rogue_read_frame(&r, bytes, AT_ONCE_SIZE), AT_ONCE_SIZE - read % 1000);
            for (size_t i = 0; i < AT_ONCE_SIZE - read % 1000; i++)
                if (bytes[i] != (uint8_t)read) fail_msg("frame %u is not what was sent", read);
        }
        RIG_UNTIL(&b, b.lanes[1][WIRE_LOG].rooms >= round);
    }
    rogue_end(&r);
    while (rig_send(&b, 1, WIRE_LOG, 100, 1) != ERR_CLOSED) /* the end is told elsewhere */
        sched_yield();
    RIG_UNTIL(&b, b.lanes[1][WIRE_LOG].downs == 1);
    free(bytes);
    rig_close(&b);
}

/* ---- ends */

static void a_peer_that_goes_is_told_and_comes_back(void **state)
{
    struct rig_node a, b, again;
    uint16_t port;
    char address[32];

    (void)state;
    open_pair(&a, &b);
    port = wire_port(b.wire);
    snprintf(address, sizeof address, "127.0.0.1:%u", port);
    rig_close(&b);
    for (unsigned lane = 0; lane < WIRE_LANES; lane++)
        RIG_UNTIL(&a, a.lanes[2][lane].downs == 1);
    assert_int_equal(rig_send(&a, 2, WIRE_LOG, 100, 1), ERR_CLOSED);
    rig_init(&again, 2);
    again.o.listen = address;
    again.o.incarnation = 2;
    rig_open(&again, &pki, "node2");
    rig_meet(&again, 1, wire_port(a.wire));
    for (unsigned lane = 0; lane < WIRE_LANES; lane++)
        RIG_UNTIL(&a, a.lanes[2][lane].ups == 2);
    assert_int_equal(a.lanes[2][0].last.incarnation, 2);
    assert_int_equal(rig_send(&a, 2, WIRE_BULK, 100, 1), 0);
    RIG_UNTIL(&again, again.lanes[1][WIRE_BULK].frames == 1);
    rig_close(&a);
    rig_close(&again);
}

static void what_waited_for_a_peer_that_went_is_never_sent_to_the_next(void **state)
{
    struct rig_node b;
    struct rogue r;
    struct hello h = rogue_hello(1, 2, WIRE_LOG), theirs;
    uint8_t byte;

    (void)state;
    rig_init(&b, 2);
    rig_open(&b, &pki, "node2");
    rig_meet(&b, 1, 1);
    assert_true(rogue_dial(&r, &pki, "node1", wire_port(b.wire)));
    rogue_say_hello(&r, &h);
    assert_true(rogue_read_hello(&r, &theirs));
    while (rig_send(&b, 1, WIRE_LOG, WIRE_FRAME_MAX, 1) == 0)
        ; /* it does not read */
    rogue_end(&r);
    RIG_UNTIL(&b, b.lanes[1][WIRE_LOG].downs == 1);
    assert_true(rogue_dial(&r, &pki, "node1", wire_port(b.wire)));
    rogue_say_hello(&r, &h);
    assert_true(rogue_read_hello(&r, &theirs));
    RIG_UNTIL(&b, b.lanes[1][WIRE_LOG].ups == 2);
    assert_int_equal(rig_send(&b, 1, WIRE_LOG, 1, 9), 0);
    assert_int_equal(rogue_read_frame(&r, &byte, 1), 1);
    assert_int_equal(byte, 9);
    rogue_end(&r);
    rig_close(&b);
}

static void a_forgotten_peer_is_closed_and_refused(void **state)
{
    struct rig_node a, b;
    uint64_t refused = metric_get(M_WIRE_REFUSED_MEMBER);

    (void)state;
    open_pair(&a, &b);
    wire_forget(b.wire, 1);
    for (unsigned lane = 0; lane < WIRE_LANES; lane++) {
        assert_int_equal(b.lanes[1][lane].downs, 1); /* before it returned */
        RIG_UNTIL(&a, a.lanes[2][lane].downs >= 1);
    }
    assert_int_equal(rig_send(&b, 1, WIRE_LOG, 1, 0), ERR_NOT_FOUND);
    rig_until_metric(M_WIRE_REFUSED_MEMBER, refused + 1);
    wire_forget(b.wire, 1); /* harmless */
    rig_meet(&b, 1, 1);
    RIG_UNTIL(&a, a.lanes[2][WIRE_LOG].is_up);
    rig_close(&b);
    rig_close(&a);
}

static void remove_peer(struct rig_node *n, uint64_t node, uint16_t port)
{
    struct wire_peer peer = { .node = node };

    if (port != 0) snprintf(peer.address, sizeof peer.address, "127.0.0.1:%u", port);
    wire_remove(n->wire, &peer);
}

static void a_removed_peer_that_dials_is_told_so(void **state)
{
    struct rig_node a, b;
    struct wire_peer again = { .node = 1, .address = "127.0.0.1:1" };

    (void)state;
    open_pair(&a, &b);
    remove_peer(&b, 1, 0);
    for (unsigned lane = 0; lane < WIRE_LANES; lane++)
        assert_int_equal(b.lanes[1][lane].downs, 1); /* before it returned */
    assert_int_equal(rig_send(&b, 1, WIRE_LOG, 1, 0), ERR_CLOSED);
    RIG_UNTIL(&a, a.farewells[2] >= 3); /* as often as it asks */
    assert_int_equal(wire_peer(b.wire, &again), ERR_DENIED);
    remove_peer(&b, 1, 0); /* harmless */
    assert_int_equal(b.farewells[1], 0);
    wire_forget(a.wire, 2); /* it has heard */
    assert_int_equal(b.lanes[1][WIRE_LOG].ups, 1);
    rig_close(&b);
    rig_close(&a);
}

static struct peer *peer_of(const struct rig_node *n, uint64_t node)
{
    return wire_peer_find(CONTAINER_OF(n->wire, struct wire_nng, base), node);
}

/* The lower number dials: as long as nobody is there, and who is there hears it again until it refuses us. */
static void a_removed_peer_is_dialled_until_it_has_forgotten_us(void **state)
{
    struct rig_node a, b;
    uint64_t failed = metric_get(M_WIRE_DIALS_FAILED), dials;
    struct peer *removed;
    unsigned heard;

    (void)state;
    rig_init(&a, 1);
    rig_init(&b, 2);
    rig_open(&a, &pki, "node1");
    rig_open(&b, &pki, "node2");
    rig_meet(&b, 1, wire_port(a.wire));
    remove_peer(&a, 4, 1); /* nobody listens there */
    rig_until_metric(M_WIRE_DIALS_FAILED, failed + 3);
    remove_peer(&a, 2, wire_port(b.wire));
    RIG_UNTIL(&b, b.farewells[1] >= 3);
    wire_forget(b.wire, 1);
    heard = b.farewells[1];
    removed = peer_of(&a, 2);
    while (!atomic_load(&removed->has_forgotten_us))
        sched_yield();
    wire_peer_unref(removed);
    dials = metric_get(M_WIRE_DIALS);
    failed = metric_get(M_WIRE_DIALS_FAILED);
    rig_until_metric(M_WIRE_DIALS_FAILED, failed + 20); /* it had time for as many to the other one */
    assert_int_equal(metric_get(M_WIRE_DIALS), dials);
    assert_int_equal(b.farewells[1], heard);
    assert_int_equal(b.lanes[1][WIRE_CONTROL].ups, 0);
    assert_int_equal(a.lanes[2][WIRE_CONTROL].ups, 0);
    rig_close(&b);
    rig_close(&a);
}

static void a_silent_peer_is_dropped_and_an_idle_one_is_not(void **state)
{
    struct rig_node a, b;
    struct rogue r;
    struct hello h = rogue_hello(3, 4, WIRE_LOG), theirs;
    uint64_t silent = metric_get(M_WIRE_SILENT);

    (void)state;
    rig_init(&a, 1);
    rig_init(&b, 4);
    a.o.silence_timeout_ms = b.o.silence_timeout_ms = 1500;
    rig_open(&b, &pki, "node4");
    rig_open(&a, &pki, "node1");
    rig_meet(&b, 1, wire_port(a.wire));
    rig_meet(&b, 3, 1);
    rig_meet(&a, 4, wire_port(b.wire));
    RIG_UNTIL(&b, b.lanes[1][WIRE_BULK].is_up);
    assert_true(rogue_dial(&r, &pki, "node3", wire_port(b.wire)));
    rogue_say_hello(&r, &h);
    assert_true(rogue_read_hello(&r, &theirs));
    RIG_UNTIL(&b, b.lanes[3][WIRE_LOG].ups == 1);
    RIG_UNTIL(&b, b.lanes[3][WIRE_LOG].downs == 1);
    assert_true(metric_get(M_WIRE_SILENT) > silent);
    /* the idle lane was there before, and still is: signs of life */
    assert_int_equal(b.lanes[1][WIRE_BULK].downs, 0);
    assert_int_equal(a.lanes[4][WIRE_BULK].downs, 0);
    rogue_end(&r);
    rig_close(&a);
    rig_close(&b);
}

static void a_new_connection_takes_the_place_of_the_old_one(void **state)
{
    struct rig_node b;
    struct rogue old, new;
    struct hello h = rogue_hello(1, 2, WIRE_LOG), theirs;
    uint8_t byte;

    (void)state;
    rig_init(&b, 2);
    rig_open(&b, &pki, "node2");
    rig_meet(&b, 1, 1);
    assert_true(rogue_dial(&old, &pki, "node1", wire_port(b.wire)));
    rogue_say_hello(&old, &h);
    assert_true(rogue_read_hello(&old, &theirs));
    assert_true(rogue_dial(&new, &pki, "node1", wire_port(b.wire)));
    h.incarnation = 2;
    rogue_say_hello(&new, &h);
    assert_true(rogue_read_hello(&new, &theirs));
    assert_true(rogue_sees_end(&old));
    RIG_UNTIL(&b, b.lanes[1][WIRE_LOG].ups == 2 && b.lanes[1][WIRE_LOG].downs == 1);
    assert_int_equal(rig_send(&b, 1, WIRE_LOG, 1, 5), 0);
    assert_int_equal(rogue_read_frame(&new, &byte, 1), 1);
    rogue_end(&old);
    rogue_end(&new);
    rig_close(&b);
}

/* ---- dialling and accepting */

static void an_address_that_moved_is_dialled_anew(void **state)
{
    struct rig_node a, b;
    uint64_t failed = metric_get(M_WIRE_DIALS_FAILED);

    (void)state;
    rig_init(&a, 1);
    rig_init(&b, 2);
    b.o.listen = "[::1]:0";
    rig_open(&a, &pki, "node1");
    rig_meet(&a, 2, 1); /* nobody is there */
    rig_until_metric(M_WIRE_DIALS_FAILED, failed + 5);
    if (rig_try_open(&b, &pki, "node2", NULL) != 0) { /* a machine without IPv6 */
        b.o.listen = "127.0.0.1:0";
        rig_open(&b, &pki, "node2");
        rig_meet(&a, 2, wire_port(b.wire));
    } else {
        struct wire_peer moved = { .node = 2 };

        snprintf(moved.address, sizeof moved.address, "[::1]:%u", wire_port(b.wire));
        assert_int_equal(wire_peer(a.wire, &moved), 0);
    }
    rig_meet(&b, 1, 1);
    RIG_UNTIL(&a, a.lanes[2][WIRE_BULK].is_up);
    rig_close(&a);
    rig_close(&b);
}

/* How often the lane was dialled in vain; *at_ms_out: when it is dialled again. */
static unsigned failures(const struct rig_node *n, uint64_t node, uint64_t *at_ms_out)
{
    struct peer *p = peer_of(n, node);
    struct lane *l = &p->lanes[WIRE_LOG];
    unsigned count;

    pthread_mutex_lock(&l->lock);
    count = l->failures;
    *at_ms_out = l->dial_at_ms;
    pthread_mutex_unlock(&l->lock);
    wire_peer_unref(p);
    return count;
}

/* Who keeps the table says it all again whenever something of it changes. */
static void an_address_that_is_said_again_is_not_dialled_sooner(void **state)
{
    uint64_t failed = metric_get(M_WIRE_DIALS_FAILED), before_ms, after_ms;
    struct rig_node a;

    (void)state;
    rig_init(&a, 1);
    a.o.dial_first_ms = a.o.dial_max_ms = 3600000;
    rig_open(&a, &pki, "node1");
    rig_meet(&a, 2, 1); /* nobody is there */
    rig_until_metric(M_WIRE_DIALS_FAILED, failed + WIRE_LANES);
    while (failures(&a, 2, &before_ms) == 0) /* counted before */
        sched_yield();
    rig_meet(&a, 2, 1);
    assert_int_equal(failures(&a, 2, &after_ms), 1);
    assert_int_equal(after_ms, before_ms);
    rig_meet(&a, 2, 2); /* another one is dialled at once */
    rig_until_metric(M_WIRE_DIALS_FAILED, failed + 2 * WIRE_LANES);
    rig_close(&a);
}

static unsigned descriptors(void)
{
    DIR *d = opendir("/proc/self/fd");
    unsigned n = 0;

    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

/* Nobody answers a SYN, as over a cable that is cut: what hangs does not keep the node from a way that is open, however long TLS may
 * take. */
static void an_attempt_that_hangs_makes_room_for_the_next(void **state)
{
    struct sockaddr_in at = { .sin_family = AF_INET };
    socklen_t size = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), only;
    uint64_t failed = metric_get(M_WIRE_DIALS_FAILED);
    struct rig_node a, b;

    (void)state;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, size), 0);
    assert_int_equal(listen(fd, 0), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &size), 0);
    only = rogue_tcp(ntohs(at.sin_port)); /* the kernel keeps one for who accepts none, and drops other SYNs */
    rig_init(&a, 1);
    rig_init(&b, 2);
    a.o.connect_timeout_ms = 3600000;
    a.o.tcp_timeout_ms = 300;
    rig_open(&a, &pki, "node1");
    rig_open(&b, &pki, "node2");
    rig_meet(&b, 1, 1);
    rig_meet(&a, 2, ntohs(at.sin_port));
    rig_until_metric(M_WIRE_DIALS_FAILED, failed + 2 * WIRE_LANES);
    rig_meet(&a, 2, wire_port(b.wire));
    for (unsigned lane = 0; lane < WIRE_LANES; lane++)
        RIG_UNTIL(&a, a.lanes[2][lane].is_up);
    rig_close(&a);
    rig_close(&b);
    close(only);
    close(fd);
}

/* A machine that takes connections or does not, and never says a word: attempts end by their timeout. */
static void a_peer_that_never_answers_leaves_nothing(void **state)
{
    struct sockaddr_in at = { .sin_family = AF_INET };
    socklen_t size = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    uint64_t failed = metric_get(M_WIRE_DIALS_FAILED), slow = metric_get(M_WIRE_REFUSED_SLOW);
    struct rig_node a;
    unsigned before;

    (void)state;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, size), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &size), 0);
    rig_init(&a, 1);
    a.o.connect_timeout_ms = 50;
    a.o.dial_max_ms = 10;
    rig_open(&a, &pki, "node1");
    before = descriptors();
    rig_meet(&a, 2, ntohs(at.sin_port));
    rig_until_metric(M_WIRE_REFUSED_SLOW, slow + 1);
    rig_until_metric(M_WIRE_DIALS_FAILED, failed + 30);
    wire_forget(a.wire, 2); /* in the middle of one */
    for (unsigned i = 0; descriptors() > before; i++) {
        struct timespec tick = { .tv_nsec = 2000000 };

        if (i > RIG_WAIT_S * 500u) fail_msg("%u descriptors are left", descriptors() - before);
        nanosleep(&tick, NULL);
    }
    rig_close(&a);
    close(fd);
}

/* Dials, handshakes, hellos, frames, evictions on their way: the end may come in the middle of each. */
static void wires_are_closed_at_any_moment_and_leave_nothing(void **state)
{
    unsigned before = 0;
    struct rng r;

    (void)state;
    rng_seed(&r, 1);
    for (unsigned round = 0; round < 60; round++) {
        struct timespec pause = { .tv_nsec = (long)rng_below(&r, 12000000) };
        struct rig_node a, b;

        if (round == 5) before = descriptors();
        rig_init(&a, 1);
        rig_init(&b, 2);
        a.o.connect_timeout_ms = b.o.connect_timeout_ms = 1 + (uint32_t)rng_below(&r, 20);
        a.o.dial_first_ms = a.o.dial_max_ms = 1;
        rig_open(&b, &pki, "node2");
        rig_open(&a, &pki, "node1");
        rig_meet(&b, 1, 1);
        rig_meet(&a, 2, wire_port(b.wire));
        nanosleep(&pause, NULL);
        for (unsigned i = 0; i < 20; i++)
            rig_send(&a, 2, i % WIRE_LANES, 50000, 1);
        if (rng_below(&r, 3) == 0) wire_forget(b.wire, 1);
        if (rng_below(&r, 3) == 0) remove_peer(&a, 2, wire_port(b.wire));
        rig_close(rng_below(&r, 2) == 0 ? &a : &b);
        if (a.wire) rig_close(&a);
        if (b.wire) rig_close(&b);
        assert_int_equal(metric_get(M_WIRE_CONNECTIONS), 0);
        assert_int_equal(blob_bytes_total(), 0);
    }
    for (unsigned i = 0; descriptors() > before; i++) {
        struct timespec tick = { .tv_nsec = 2000000 };

        if (i > RIG_WAIT_S * 500u) fail_msg("%u descriptors are left", descriptors() - before);
        nanosleep(&tick, NULL);
    }
}

static void without_descriptors_it_waits_and_goes_on(void **state)
{
    struct rig_node b;
    struct rlimit limit, tight;
    struct sockaddr_in at = { .sin_family = AF_INET };
    uint64_t failed = metric_get(M_WIRE_ACCEPTS_FAILED);
    int fd;

    (void)state;
    rig_init(&b, 2);
    rig_open(&b, &pki, "node2");
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    at.sin_port = htons(wire_port(b.wire));
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    tight = limit;
    tight.rlim_cur = (rlim_t)fd + 1; /* it was the lowest that was free */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    rig_until_metric(M_WIRE_ACCEPTS_FAILED, failed + 2);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    rig_until_metric(M_WIRE_CONNECTIONS, 1);
    close(fd);
    rig_close(&b);
}

/* ---- certificates */

static bool is_in_force(struct wire_nng *w, uint64_t node, unsigned lane)
{
    struct peer *p = wire_peer_find(w, node);
    struct conn *c = wire_lane_conn(&p->lanes[lane]);
    bool is = c && c->generation == w->generation;

    if (c) wire_conn_unref(c);
    wire_peer_unref(p);
    return is;
}

/* The connection that carries the lane was made under the files that are in force. */
static void until_in_force(struct rig_node *n, uint64_t node, unsigned lane)
{
    struct wire_nng *w = CONTAINER_OF(n->wire, struct wire_nng, base);

    for (unsigned i = 0; !is_in_force(w, node, lane); i++) {
        struct timespec tick = { .tv_nsec = 2000000 };

        if (i > RIG_WAIT_S * 500u) fail_msg("lane %u to node %u was not renewed", lane, (unsigned)node);
        nanosleep(&tick, NULL);
    }
}

static int reload_with(struct rig_node *n, const char *name, const char *ca, struct errmsg *why)
{
    char pem[PKI_PATH_SIZE], key[PKI_PATH_SIZE], trusted[PKI_PATH_SIZE];

    return wire_reload(n->wire, pki_path(&pki, name, "pem", pem), pki_path(&pki, name, "key", key),
                       pki_path(&pki, ca, "pem", trusted), why);
}

static void make_node(const char *ca, const char *name, uint64_t node)
{
    char uri[WIRE_NAME_SIZE], san[WIRE_NAME_SIZE + 8];

    wire_name(uri, rig_cluster, node);
    snprintf(san, sizeof san, "URI:%s", uri);
    pki_make(&pki, ca, name, san, -60, 36000);
}

/* All lanes of the pair came up so often, at both ends, and each carries a frame. */
static void expect_ups(struct rig_node *a, struct rig_node *b, unsigned ups)
{
    for (unsigned lane = 0; lane < WIRE_LANES; lane++) {
        unsigned frames;

        RIG_UNTIL(a, a->lanes[2][lane].ups == ups && a->lanes[2][lane].is_up);
        RIG_UNTIL(b, b->lanes[1][lane].ups == ups && b->lanes[1][lane].is_up);
        frames = b->lanes[1][lane].frames;
        assert_int_equal(rig_send(a, 2, lane, 100, 1), 0);
        RIG_UNTIL(b, b->lanes[1][lane].frames == frames + 1);
    }
}

static void files_that_cannot_serve_change_nothing(void **state)
{
    struct rig_node a, b;
    struct errmsg why = { "" };
    char pem[PKI_PATH_SIZE], key[PKI_PATH_SIZE], ca[PKI_PATH_SIZE];

    (void)state;
    open_pair(&a, &b);
    assert_int_equal(reload_with(&b, "node1", "ca", &why), ERR_TLS); /* another node's */
    assert_non_null(strstr(why.text, "/node/1"));
    pki_path(&pki, "ca", "pem", ca);
    pki_path(&pki, "node1", "key", key);
    assert_int_equal(
        wire_reload(b.wire, pki_path(&pki, "node2", "pem", pem), key, ca, &why), ERR_TLS);
    assert_int_equal(wire_check(b.wire, pem, key, ca, &why), ERR_TLS);
    assert_int_equal(wire_reload(b.wire, "/nowhere.pem", key, ca, &why), ERR_TLS);
    assert_int_equal(reload_with(&b, "node2", "nowhere", &why), ERR_TLS);
    /* the same again: no reason to replace a connection */
    assert_int_equal(reload_with(&b, "node2", "ca", &why), 0);
    assert_int_equal(CONTAINER_OF(b.wire, struct wire_nng, base)->generation, 0);
    expect_ups(&a, &b, 1);
    rig_close(&a);
    rig_close(&b);
}

/* At the end that dials, then at the end that accepts: each lane is up again over a connection that both have proved by what is
 * in force, and the old connections are gone. */
static void certificates_are_taken_anew_and_lanes_renewed(void **state)
{
    struct rig_node a, b;
    struct errmsg why = { "" };
    uint64_t refused = metric_get(M_WIRE_REFUSED_CERTIFICATE);

    (void)state;
    make_node("ca", "node1-new", 1);
    make_node("ca", "node2-new", 2);
    open_pair(&a, &b);
    assert_int_equal(reload_with(&a, "node1-new", "ca", &why), 0);
    expect_ups(&a, &b, 2);
    assert_int_equal(reload_with(&b, "node2-new", "ca", &why), 0);
    expect_ups(&a, &b, 3);
    for (unsigned i = 0; metric_get(M_WIRE_CONNECTIONS) > 2 * WIRE_LANES; i++) {
        struct timespec tick = { .tv_nsec = 2000000 };

        if (i > RIG_WAIT_S * 500u) fail_msg("old connections are left");
        nanosleep(&tick, NULL);
    }
    assert_int_equal(metric_get(M_WIRE_REFUSED_CERTIFICATE), refused);
    rig_close(&a);
    rig_close(&b);
}

/* First both ends trust both, then each shows a certificate of the new one, then the old one goes. */
static void one_ca_makes_room_for_another(void **state)
{
    struct rig_node a, b;
    struct errmsg why = { "" };
    uint64_t refused = metric_get(M_WIRE_REFUSED_CERTIFICATE);

    (void)state;
    pki_make(&pki, NULL, "ca-next", NULL, -60, 36000);
    pki_both(&pki, "ca", "ca-next", "ca-both");
    make_node("ca-next", "node1-next", 1);
    make_node("ca-next", "node2-next", 2);
    open_pair(&a, &b);
    assert_int_equal(reload_with(&a, "node1", "ca-both", &why), 0);
    assert_int_equal(reload_with(&b, "node2", "ca-both", &why), 0);
    assert_int_equal(reload_with(&a, "node1-next", "ca-both", &why), 0);
    RIG_UNTIL(&a, a.lanes[2][WIRE_BULK].ups >= 2);
    assert_int_equal(reload_with(&b, "node2-next", "ca-both", &why), 0);
    assert_int_equal(reload_with(&b, "node2-next", "ca-next", &why), 0);
    assert_int_equal(reload_with(&a, "node1-next", "ca-next", &why), 0);
    for (unsigned lane = 0; lane < WIRE_LANES; lane++) { /* nothing of the old one is left */
        until_in_force(&a, 2, lane);
        until_in_force(&b, 1, lane);
    }
    assert_int_equal(metric_get(M_WIRE_REFUSED_CERTIFICATE), refused);
    rig_close(&a);
    rig_close(&b);
}

/* Another CA at one end only: the lane stays what it is while new connections are refused ... */
static void a_lane_lives_on_while_nothing_better_comes(void **state)
{
    struct rig_node a, b;
    struct errmsg why = { "" };
    uint64_t refused = metric_get(M_WIRE_REFUSED_CERTIFICATE);

    (void)state;
    pki_make(&pki, NULL, "ca-other", NULL, -60, 36000);
    make_node("ca-other", "node2-other", 2);
    open_pair(&a, &b);
    assert_int_equal(reload_with(&b, "node2-other", "ca-other", &why), 0);
    rig_until_metric(M_WIRE_REFUSED_CERTIFICATE, refused + 3);
    expect_ups(&a, &b, 1);
    rig_close(&b);
    rig_close(&a);
}

/* ... and ends when its time is over. */
static void what_is_not_trusted_any_more_ends_in_time(void **state)
{
    struct rig_node a, b;
    struct errmsg why = { "" };

    (void)state;
    rig_init(&a, 1);
    rig_init(&b, 2);
    b.o.renew_within_ms = 100;
    rig_open(&b, &pki, "node2");
    rig_open(&a, &pki, "node1");
    rig_meet(&b, 1, wire_port(a.wire));
    rig_meet(&a, 2, wire_port(b.wire));
    for (unsigned lane = 0; lane < WIRE_LANES; lane++)
        RIG_UNTIL(&b, b.lanes[1][lane].is_up);
    assert_int_equal(reload_with(&b, "node2-other", "ca-other", &why), 0);
    for (unsigned lane = 0; lane < WIRE_LANES; lane++) {
        RIG_UNTIL(&b, b.lanes[1][lane].downs == 1);
        assert_int_equal(b.lanes[1][lane].ups, 1);
    }
    assert_int_equal(reload_with(&b, "node2", "ca", &why), 0); /* and back */
    expect_ups(&a, &b, 2);
    rig_close(&a);
    rig_close(&b);
}

static void what_cannot_be_opened_says_why(void **state)
{
    struct rig_node a, b;
    struct errmsg why = { "" };
    char address[32];

    (void)state;
    rig_init(&a, 1);
    rig_init(&b, 2);
    assert_int_equal(rig_try_open(&a, &pki, "node2", &why), ERR_TLS);
    assert_non_null(strstr(why.text, "this node is angarium://"));
    pki_make(&pki, "ca", "nameless", "DNS:node1.test", -60, 36000);
    assert_int_equal(rig_try_open(&a, &pki, "nameless", &why), ERR_TLS);
    assert_non_null(strstr(why.text, "URI:angarium://"));
    rig_open(&b, &pki, "node2");
    snprintf(address, sizeof address, "127.0.0.1:%u", wire_port(b.wire));
    a.o.listen = address;
    assert_int_equal(rig_try_open(&a, &pki, "node1", &why), ERR_BUSY);
    a.o.listen = "nonsense";
    assert_int_equal(rig_try_open(&a, &pki, "node1", &why), ERR_CONFIG);
    a.o.listen = NULL; /* accepts none */
    rig_open(&a, &pki, "node1");
    assert_int_equal(wire_port(a.wire), 0);
    rig_meet(&b, 1, 1);
    rig_meet(&a, 2, wire_port(b.wire));
    RIG_UNTIL(&a, a.lanes[2][WIRE_LOG].is_up);
    rig_close(&a);
    rig_close(&b);
}

static int set_up(void **state)
{
    (void)state;
    rig_pki(&pki);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    pki_end(&pki);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connections_do_not_wait),
        cmocka_unit_test(frames_of_all_lanes_both_ways_arrive_whole_and_in_order),
        cmocka_unit_test(what_cannot_be_sent_is_told),
        cmocka_unit_test(peers_that_cannot_be_are_told),
        cmocka_unit_test(a_full_log_lane_pushes_back_and_tells_of_room),
        cmocka_unit_test(the_last_frame_of_what_was_read_says_whether_to_read_on),
        cmocka_unit_test(a_full_control_lane_drops_its_oldest),
        cmocka_unit_test(what_tcp_takes_in_parts_arrives_whole),
        cmocka_unit_test(a_peer_that_goes_is_told_and_comes_back),
        cmocka_unit_test(what_waited_for_a_peer_that_went_is_never_sent_to_the_next),
        cmocka_unit_test(a_forgotten_peer_is_closed_and_refused),
        cmocka_unit_test(a_removed_peer_that_dials_is_told_so),
        cmocka_unit_test(a_removed_peer_is_dialled_until_it_has_forgotten_us),
        cmocka_unit_test(a_silent_peer_is_dropped_and_an_idle_one_is_not),
        cmocka_unit_test(a_new_connection_takes_the_place_of_the_old_one),
        cmocka_unit_test(an_address_that_moved_is_dialled_anew),
        cmocka_unit_test(an_address_that_is_said_again_is_not_dialled_sooner),
        cmocka_unit_test(an_attempt_that_hangs_makes_room_for_the_next),
        cmocka_unit_test(a_peer_that_never_answers_leaves_nothing),
        cmocka_unit_test(wires_are_closed_at_any_moment_and_leave_nothing),
        cmocka_unit_test(without_descriptors_it_waits_and_goes_on),
        cmocka_unit_test(files_that_cannot_serve_change_nothing),
        cmocka_unit_test(certificates_are_taken_anew_and_lanes_renewed),
        cmocka_unit_test(one_ca_makes_room_for_another),
        cmocka_unit_test(a_lane_lives_on_while_nothing_better_comes),
        cmocka_unit_test(what_is_not_trusted_any_more_ends_in_time),
        cmocka_unit_test(what_cannot_be_opened_says_why),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
