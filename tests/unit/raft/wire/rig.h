/* rig - nodes with wires for the tests: what their call-backs told is remembered and can be waited for; and a rogue, an end of
 * a connection that the test plays itself, with any certificate and any words. */
#ifndef TESTS_UNIT_RAFT_WIRE_RIG_H
#define TESTS_UNIT_RAFT_WIRE_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <time.h>

#include "proto/ground/metric.h"
#include "raft/wire/inside.h"
#include "tests/unit/raft/wire/pki.h"

#define RIG_NODES  10
#define RIG_WAIT_S 120 /* for what must come; nothing is measured by it */

static const uint8_t rig_cluster[WIRE_CLUSTER_SIZE] = "a cluster of us";

struct rig_lane {
    unsigned ups, downs, frames, rooms;
    bool is_up,
        is_confused; /* up and down did not alternate, or a frame came between a down and an up, or a call-back in wire_send */
    bool says_pause;
    unsigned pauses_at; /* the number of one frame that says it, and the next ones do not; 0: none */
    uint64_t bytes;
    struct wire_link last;
    struct queue kept; /* when keeps is set */
    bool keeps;
};

struct rig_node {
    struct wire *wire;
    struct wire_options o;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct rig_lane lanes[RIG_NODES][WIRE_LANES];
    unsigned farewells[RIG_NODES]; /* who said that we were removed, and how often */
};

/* This thread is in wire_send: no call-back may come on it. */
static _Thread_local bool rig_sends;

/* Under the lock, until it is true; the test fails when it does not become true. */
#define RIG_UNTIL(n, fact)                                                                         \
    do {                                                                                           \
        struct timespec until_ = rig_deadline();                                                   \
        int rv_ = 0;                                                                               \
        pthread_mutex_lock(&(n)->lock);                                                            \
        while (!(fact) && rv_ == 0)                                                                \
            rv_ = pthread_cond_timedwait(&(n)->changed, &(n)->lock, &until_);                      \
        if (!(fact)) rig_never(#fact, __FILE__, __LINE__);                                         \
        pthread_mutex_unlock(&(n)->lock);                                                          \
    } while (0)

static inline struct timespec rig_deadline(void)
{
    uint64_t at_ms = clock_mono_ms(&clock_real) + RIG_WAIT_S * 1000;

    return (struct timespec){ .tv_sec = (time_t)(at_ms / 1000) };
}

static inline void rig_never(const char *fact, const char *file, int line)
{
    fprintf(stderr, "never came: %s\n", fact);
    _fail(file, line);
}

/* Until a metric is at least so much. */
static inline void rig_until_metric(enum metric m, uint64_t least)
{
    for (unsigned i = 0; metric_get(m) < least; i++) {
        struct timespec tick = { .tv_nsec = 2000000 };

        if (i > RIG_WAIT_S * 500u) rig_never("a metric", __FILE__, __LINE__);
        nanosleep(&tick, NULL);
    }
}

/* ---- a node */

static inline bool rig_on_frame(void *arg, uint64_t node, enum wire_lane lane, struct blob *frame)
{
    struct rig_node *n = arg;
    struct rig_lane *l = &n->lanes[node][lane];
    bool goes_on;

    pthread_mutex_lock(&n->lock);
    l->is_confused |= !l->is_up || rig_sends;
    l->frames++;
    l->bytes += frame->n;
    goes_on = !l->says_pause && l->frames != l->pauses_at;
    if (l->keeps)
        wire_queue_put(&l->kept, frame);
    else
        blob_unref(&frame);
    pthread_cond_broadcast(&n->changed);
    pthread_mutex_unlock(&n->lock);
    return goes_on;
}

static inline void rig_on_peer(void *arg, const struct wire_link *link)
{
    struct rig_node *n = arg;
    struct rig_lane *l = &n->lanes[link->node][link->lane];

    pthread_mutex_lock(&n->lock);
    l->is_confused |= l->is_up == link->up || rig_sends;
    l->is_up = link->up;
    l->ups += link->up;
    l->downs += !link->up;
    l->last = *link;
    pthread_cond_broadcast(&n->changed);
    pthread_mutex_unlock(&n->lock);
}

static inline void rig_on_room(void *arg, uint64_t node, enum wire_lane lane)
{
    struct rig_node *n = arg;

    pthread_mutex_lock(&n->lock);
    n->lanes[node][lane].is_confused |= rig_sends;
    n->lanes[node][lane].rooms++;
    pthread_cond_broadcast(&n->changed);
    pthread_mutex_unlock(&n->lock);
}

static inline void rig_on_removed(void *arg, uint64_t node)
{
    struct rig_node *n = arg;

    pthread_mutex_lock(&n->lock);
    n->farewells[node]++;
    pthread_cond_broadcast(&n->changed);
    pthread_mutex_unlock(&n->lock);
}

/* Options of a node; the test may change them before rig_open. */
static inline void rig_init(struct rig_node *n, uint64_t node)
{
    pthread_condattr_t attr;

    memset(n, 0, sizeof *n);
    n->o = (struct wire_options){ .node = node,
                                  .incarnation = 1,
                                  .format_min = 1,
                                  .format_max = 3,
                                  .listen = "127.0.0.1:0",
                                  .connect_timeout_ms = 20000,
                                  .silence_timeout_ms = 20000,
                                  .dial_max_ms = 50,
                                  .farewell_max_ms = 50,
                                  .on_removed = rig_on_removed,
                                  .removed_arg = n,
                                  .events = { n, rig_on_frame, rig_on_peer, rig_on_room } };
    memcpy(n->o.cluster, rig_cluster, sizeof rig_cluster);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&n->lock, NULL);
    pthread_cond_init(&n->changed, &attr);
    pthread_condattr_destroy(&attr);
    for (unsigned i = 0; i < RIG_NODES; i++)
        for (unsigned k = 0; k < WIRE_LANES; k++)
            wire_queue_init(&n->lanes[i][k].kept, SIZE_MAX);
}

static inline int rig_try_open(struct rig_node *n, const struct pki *p, const char *name,
                               struct errmsg *why)
{
    char certificate[PKI_PATH_SIZE], key[PKI_PATH_SIZE], ca[PKI_PATH_SIZE];

    n->o.certificate = pki_path(p, name, "pem", certificate);
    n->o.key = pki_path(p, name, "key", key);
    n->o.ca = pki_path(p, "ca", "pem", ca);
    return wire_open(&n->wire, &n->o, why);
}

static inline void rig_open(struct rig_node *n, const struct pki *p, const char *name)
{
    struct errmsg why = { "" };
    int rv = rig_try_open(n, p, name, &why);

    if (rv != 0) fprintf(stderr, "%s\n", why.text);
    assert_int_equal(rv, 0);
}

/* Also after the wire is closed. */
static inline void rig_close(struct rig_node *n)
{
    wire_close(&n->wire);
    for (unsigned i = 0; i < RIG_NODES; i++)
        for (unsigned k = 0; k < WIRE_LANES; k++) {
            assert_false(n->lanes[i][k].is_confused);
            wire_queue_deinit(&n->lanes[i][k].kept);
        }
    pthread_mutex_destroy(&n->lock);
    pthread_cond_destroy(&n->changed);
}

static inline void rig_meet(struct rig_node *n, uint64_t node, uint16_t port)
{
    struct wire_peer peer = { .node = node };

    snprintf(peer.address, sizeof peer.address, "127.0.0.1:%u", port);
    assert_int_equal(wire_peer(n->wire, &peer), 0);
}

static inline struct blob *rig_frame(size_t n, uint8_t fill)
{
    struct blob *b = blob_new(n);

    memset(b->p, fill, n);
    b->n = n;
    return b;
}

static inline int rig_send(struct rig_node *n, uint64_t to, enum wire_lane lane, size_t size,
                           uint8_t fill)
{
    struct blob *b = rig_frame(size, fill);
    int rv;

    rig_sends = true;
    rv = wire_send(n->wire, to, lane, b);
    rig_sends = false;
    blob_unref(&b);
    return rv;
}

/* The certificates that a cluster has: ca, node1 .. node9. */
static inline void rig_pki(struct pki *p)
{
    char name[16], uri[WIRE_NAME_SIZE], san[WIRE_NAME_SIZE + 32];

    pki_begin(p);
    pki_make(p, NULL, "ca", NULL, -60, 36000);
    for (unsigned i = 1; i < RIG_NODES; i++) {
        snprintf(name, sizeof name, "node%u", i);
        wire_name(uri, rig_cluster, i);
        snprintf(san, sizeof san, "URI:%s,DNS:node%u.test", uri, i);
        pki_make(p, "ca", name, san, -60, 36000);
    }
}

/* ---- a rogue */

struct rogue {
    int fd;
    SSL_CTX *ctx;
    SSL *ssl;
};

static inline int rogue_tcp(uint16_t port)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };
    struct timeval patience = { .tv_sec = RIG_WAIT_S };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

/* Dials as the node of that certificate (NULL: with none). True when the handshake is done at this end. */
static inline bool rogue_dial(struct rogue *r, const struct pki *p, const char *name, uint16_t port)
{
    char path[PKI_PATH_SIZE];

    *r = (struct rogue){ .fd = rogue_tcp(port), .ctx = SSL_CTX_new(TLS_method()) };
    if (name) {
        CHECK(SSL_CTX_use_certificate_chain_file(r->ctx, pki_path(p, name, "pem", path)) == 1);
        CHECK(SSL_CTX_use_PrivateKey_file(r->ctx, pki_path(p, name, "key", path),
                                          SSL_FILETYPE_PEM) == 1);
    }
    r->ssl = SSL_new(r->ctx);
    SSL_set_fd(r->ssl, r->fd);
    return SSL_connect(r->ssl) == 1;
}

static inline void rogue_say(struct rogue *r, const void *p, size_t n)
{
    SSL_write(r->ssl, p, (int)n); /* a refused one cannot: what counts is what the node did */
}

static inline struct hello rogue_hello(uint64_t node, uint64_t to, enum wire_lane lane)
{
    struct hello h = {
        .node = node, .to = to, .lane = lane, .incarnation = 1, .format_min = 1, .format_max = 1
    };

    memcpy(h.cluster, rig_cluster, sizeof h.cluster);
    return h;
}

static inline void rogue_say_hello(struct rogue *r, const struct hello *h)
{
    uint8_t bytes[HELLO_FRAME_SIZE];

    rogue_say(r, bytes, wire_hello_pack(h, bytes));
}

static inline bool rogue_read(struct rogue *r, void *out, size_t n)
{
    for (size_t at = 0; at < n;) {
        int got = SSL_read(r->ssl, (uint8_t *)out + at, (int)(n - at));

        if (got <= 0) return false;
        at += (size_t)got;
    }
    return true;
}

/* The next frame's payload; -1 when the connection ended. */
static inline int rogue_read_frame(struct rogue *r, uint8_t *out, size_t size)
{
    uint8_t lead[FRAME_LEAD_SIZE];
    size_t n;

    if (!rogue_read(r, lead, sizeof lead)) return -1;
    n = (size_t)lead[1] << 16 | (size_t)lead[2] << 8 | lead[3];
    assert_true(n <= size);
    return rogue_read(r, out, n) ? (int)n : -1;
}

/* The hello that comes; false when the connection ended instead. */
static inline bool rogue_read_hello(struct rogue *r, struct hello *out)
{
    uint8_t bytes[HELLO_SIZE_MAX];
    int n = rogue_read_frame(r, bytes, sizeof bytes);

    return n > 0 && wire_hello_unpack(span_of(bytes, (size_t)n), out) == 0;
}

/* True when the other end closes; what it still says is dropped. */
static inline bool rogue_sees_end(struct rogue *r)
{
    uint8_t byte;

    do
        errno = 0;
    while (rogue_read(r, &byte, 1));
    return errno != EAGAIN && errno != EWOULDBLOCK;
}

static inline void rogue_end(struct rogue *r)
{
    if (r->fd < 0) return;
    SSL_free(r->ssl);
    SSL_CTX_free(r->ctx);
    close(r->fd);
    r->fd = -1;
}

#endif
