/* storeput - writes values to a replicated store of other people and counts what it acknowledges; tests/bench/stores.py.
 *
 *   storeput etcd|amqp --to HOST:PORT[,HOST:PORT] [--bytes 4096] [--flight 64] [--connections 6] [--seconds 5] [--every MS]
 *
 * etcd: Put over gRPC, 100 keys a connection written again and again. amqp: persistent messages into the quorum queue "bench",
 * with confirms. Connections are spread over the addresses, writes on their way over the connections. --every: one write each so
 * many ms, whatever is on its way (up to --flight). The last line is JSON: acked, failed, per_s, p50_ms, p99_ms, and gap_ms, the
 * longest time without an acknowledgement.
 */
#include <amqp.h>
#include <amqp_framing.h>
#include <amqp_tcp_socket.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "proto/ground/check.h"
#include "proto/ground/clock.h"
#include "proto/ground/err.h"
#include "proto/ground/span.h"

#define CONNECTIONS_MAX 64
#define FLIGHT_MAX      1024
#define SAMPLES_MAX     (4u << 20)
#define KEYS            100

static struct {
    const char *to;
    unsigned bytes, flight, connections, seconds, every_ms;
} o = { .bytes = 4096, .flight = 64, .connections = 6, .seconds = 5 };

struct sample {
    uint64_t at_us;
    uint32_t took_us;
};
struct connection {
    pthread_t thread;
    unsigned number, window;
    char host[64];
    unsigned port;
    uint64_t next_us; /* of --every */
    struct sample *samples;
    unsigned acked, failed;
};
static uint64_t end_us;

static void ack(struct connection *c, uint64_t began_us)
{
    uint64_t now = clock_mono_us();

    if (now > end_us || c->acked == SAMPLES_MAX / o.connections) return;
    c->samples[c->acked++] = (struct sample){ now, (uint32_t)(now - began_us) };
}

/* May one more leave now? */
static bool is_due(struct connection *c, unsigned in_flight)
{
    uint64_t now = clock_mono_us();

    if (now >= end_us || in_flight >= c->window) return false;
    if (o.every_ms == 0) return true;
    if (now < c->next_us) return false;
    c->next_us = c->next_us == 0 ? now : c->next_us;
    c->next_us += (uint64_t)o.every_ms * 1000;
    return true;
}

/* ---- etcd: gRPC over one HTTP/2 connection */

struct put {
    uint64_t began_us;
    int32_t stream; /* 0: free */
    bool is_ok;
    uint8_t *request;
    size_t n, sent;
};
struct channel {
    struct connection *c;
    nghttp2_session *session;
    int fd;
    unsigned in_flight;
    struct put puts[FLIGHT_MAX];
};

static size_t varint(uint8_t *to, size_t v)
{
    size_t n = 0;

    for (; v >= 128; v >>= 7)
        to[n++] = (uint8_t)(v | 128);
    to[n++] = (uint8_t)v;
    return n;
}

/* A gRPC message: 5 bytes, then PutRequest { key = 1, value = 2 }. */
static void fill_put(struct put *p, unsigned connection, unsigned key)
{
    char name[32];
    size_t k = (size_t)snprintf(name, sizeof name, "bench-%u-%u", connection, key), n = 5;

    p->request[n++] = 10;
    n += varint(p->request + n, k);
    memcpy(p->request + n, name, k);
    n += k;
    p->request[n++] = 18;
    n += varint(p->request + n, o.bytes);
    memset(p->request + n, 'v', o.bytes);
    n += o.bytes;
    p->n = n;
    p->sent = 0;
    p->request[0] = 0;
    for (unsigned i = 0; i < 4; i++)
        p->request[1 + i] = (uint8_t)((n - 5) >> (24 - 8 * i));
}

static ssize_t give_body(nghttp2_session *session, int32_t stream, uint8_t *to, size_t room,
                         uint32_t *flags, nghttp2_data_source *source, void *arg)
{
    struct put *p = source->ptr;
    size_t n = p->n - p->sent < room ? p->n - p->sent : room;

    (void)session;
    (void)stream;
    (void)arg;
    memcpy(to, p->request + p->sent, n);
    p->sent += n;
    if (p->sent == p->n) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

static nghttp2_nv field(const char *name, const char *value)
{
    return (nghttp2_nv){ (uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name),
                         strlen(value),
                         NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE };
}

static bool send_put(struct channel *h, struct put *p, unsigned key)
{
    nghttp2_nv fields[] = { field(":method", "POST"),
                            field(":scheme", "http"),
                            field(":path", "/etcdserverpb.KV/Put"),
                            field(":authority", "etcd"),
                            field("content-type", "application/grpc"),
                            field("te", "trailers") };
    nghttp2_data_provider body = { .source = { .ptr = p }, .read_callback = give_body };
    int32_t stream;

    fill_put(p, h->c->number, key);
    p->is_ok = false;
    p->began_us = clock_mono_us();
    stream = nghttp2_submit_request(h->session, NULL, fields, sizeof fields / sizeof fields[0],
                                    &body, p);
    if (stream < 0) return false;
    p->stream = stream;
    h->in_flight++;
    return true;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_n, const uint8_t *value, size_t value_n, uint8_t flags, void *arg)
{
    struct put *p = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);

    (void)flags;
    (void)arg;
    if (p && name_n == 11 && memcmp(name, "grpc-status", 11) == 0)
        p->is_ok = value_n == 1 && value[0] == '0';
    return 0;
}

static int on_end(nghttp2_session *session, int32_t stream, uint32_t error, void *arg)
{
    struct channel *h = arg;
    struct put *p = nghttp2_session_get_stream_user_data(session, stream);

    (void)error;
    if (!p) return 0;
    p->stream = 0;
    h->in_flight--;
    if (p->is_ok)
        ack(h->c, p->began_us);
    else
        h->c->failed++;
    return 0;
}

static bool open_channel(struct channel *h)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)h->c->port) };
    nghttp2_settings_entry settings = { NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, FLIGHT_MAX };
    nghttp2_session_callbacks *calls;
    int one = 1;

    inet_pton(AF_INET, h->c->host, &to.sin_addr);
    h->fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(h->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(h->fd, (struct sockaddr *)&to, sizeof to) != 0) return false;
    fcntl(h->fd, F_SETFL, O_NONBLOCK);
    nghttp2_session_callbacks_new(&calls);
    nghttp2_session_callbacks_set_on_header_callback(calls, on_header);
    nghttp2_session_callbacks_set_on_stream_close_callback(calls, on_end);
    CHECK(nghttp2_session_client_new(&h->session, calls, h) == 0);
    nghttp2_session_callbacks_del(calls);
    return nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, &settings, 1) == 0;
}

/* False: the connection is of no more use. */
static bool exchange(struct channel *h, const uint8_t **left, ssize_t *left_n)
{
    struct pollfd p = { .fd = h->fd, .events = POLLIN };
    uint8_t bytes[65536];
    ssize_t n;

    for (;;) {
        if (*left_n == 0) *left_n = nghttp2_session_mem_send(h->session, left);
        if (*left_n <= 0) break;
        n = send(h->fd, *left, (size_t)*left_n, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN) return false;
        if (n < 0) break;
        *left += n;
        *left_n -= n;
    }
    if (*left_n < 0) return false;
    if (*left_n > 0) p.events |= POLLOUT;
    poll(&p, 1, 1);
    n = recv(h->fd, bytes, sizeof bytes, 0);
    if (n > 0) return nghttp2_session_mem_recv(h->session, bytes, (size_t)n) == n;
    return n < 0 && errno == EAGAIN;
}

static void talk_to_etcd(struct channel *h)
{
    const uint8_t *left = NULL;
    ssize_t left_n = 0;
    unsigned key = 0;
    bool ok = open_channel(h);

    while (ok && clock_mono_us() < end_us) {
        for (unsigned i = 0; ok && i < h->c->window; i++)
            if (h->puts[i].stream == 0 && is_due(h->c, h->in_flight))
                ok = send_put(h, &h->puts[i], key++ % KEYS);
        ok = ok && exchange(h, &left, &left_n);
    }
    if (clock_mono_us() < end_us) h->c->failed += h->in_flight;
    if (h->session) nghttp2_session_del(h->session);
    close(h->fd);
}

static void *run_etcd(void *arg)
{
    struct connection *c = arg;

    while (clock_mono_us() < end_us) {
        struct channel *h = calloc(1, sizeof *h);

        CHECK(h);
        h->c = c;
        for (unsigned i = 0; i < c->window; i++) {
            h->puts[i].request = malloc(o.bytes + 64);
            CHECK(h->puts[i].request);
        }
        talk_to_etcd(h);
        for (unsigned i = 0; i < c->window; i++)
            free(h->puts[i].request);
        free(h);
    }
    return NULL;
}

/* ---- amqp */

struct session {
    amqp_connection_state_t state;
    uint64_t began_us[FLIGHT_MAX * 2]; /* by delivery tag */
    uint64_t next_tag, acked_tag;
    bool is_acked[FLIGHT_MAX * 2];
};

static bool login(struct session *s, const struct connection *c)
{
    amqp_socket_t *socket;
    amqp_rpc_reply_t reply;
    struct timeval wait = { .tv_sec = 2 };

    s->state = amqp_new_connection();
    socket = amqp_tcp_socket_new(s->state);
    s->next_tag = 1;
    s->acked_tag = 0;
    if (!socket || amqp_socket_open_noblock(socket, c->host, (int)c->port, &wait) != 0)
        return false;
    reply = amqp_login(s->state, "/", 0, 131072, 0, AMQP_SASL_METHOD_PLAIN, "guest", "guest");
    if (reply.reply_type != AMQP_RESPONSE_NORMAL) return false;
    amqp_channel_open(s->state, 1);
    if (amqp_get_rpc_reply(s->state).reply_type != AMQP_RESPONSE_NORMAL) return false;
    amqp_confirm_select(s->state, 1);
    return amqp_get_rpc_reply(s->state).reply_type == AMQP_RESPONSE_NORMAL;
}

static bool declare(const struct connection *c)
{
    struct session s;
    amqp_table_entry_t entry = { amqp_cstring_bytes("x-queue-type"),
                                 { .kind = AMQP_FIELD_KIND_UTF8 } };
    amqp_table_t table = { 1, &entry };
    bool ok;

    entry.value.value.bytes = amqp_cstring_bytes("quorum");
    ok = login(&s, c);
    if (ok) amqp_queue_declare(s.state, 1, amqp_cstring_bytes("bench"), 0, 1, 0, 0, table);
    ok = ok && amqp_get_rpc_reply(s.state).reply_type == AMQP_RESPONSE_NORMAL;
    amqp_destroy_connection(s.state);
    return ok;
}

static bool publish(struct session *s, const uint8_t *value)
{
    amqp_basic_properties_t p = { ._flags = AMQP_BASIC_DELIVERY_MODE_FLAG, .delivery_mode = 2 };
    amqp_bytes_t body = { o.bytes, (void *)(uintptr_t)value };

    s->began_us[s->next_tag % (FLIGHT_MAX * 2)] = clock_mono_us();
    s->is_acked[s->next_tag % (FLIGHT_MAX * 2)] = false;
    s->next_tag++;
    return amqp_basic_publish(s->state, 1, amqp_empty_bytes, amqp_cstring_bytes("bench"), 0, 0, &p,
                              body) == 0;
}

static void take_ack(struct session *s, struct connection *c, const amqp_basic_ack_t *a)
{
    uint64_t from = a->multiple ? s->acked_tag + 1 : a->delivery_tag;

    for (uint64_t t = from; t <= a->delivery_tag; t++) {
        if (s->is_acked[t % (FLIGHT_MAX * 2)]) continue;
        s->is_acked[t % (FLIGHT_MAX * 2)] = true;
        ack(c, s->began_us[t % (FLIGHT_MAX * 2)]);
    }
    while (s->acked_tag + 1 < s->next_tag && s->is_acked[(s->acked_tag + 1) % (FLIGHT_MAX * 2)])
        s->acked_tag++;
}

/* False: the connection is of no more use. */
static bool hear(struct session *s, struct connection *c, unsigned wait_ms)
{
    struct timeval wait = { .tv_usec = (suseconds_t)wait_ms * 1000 };
    amqp_frame_t frame;
    int rv;

    amqp_maybe_release_buffers(s->state);
    rv = amqp_simple_wait_frame_noblock(s->state, &frame, &wait);
    if (rv == AMQP_STATUS_TIMEOUT) return true;
    if (rv != AMQP_STATUS_OK || frame.frame_type != AMQP_FRAME_METHOD) return rv == AMQP_STATUS_OK;
    if (frame.payload.method.id == AMQP_BASIC_ACK_METHOD) {
        take_ack(s, c, frame.payload.method.decoded);
        return true;
    }
    if (frame.payload.method.id == AMQP_BASIC_NACK_METHOD) c->failed++;
    return frame.payload.method.id == AMQP_BASIC_NACK_METHOD;
}

static void *run_amqp(void *arg)
{
    struct connection *c = arg;
    uint8_t *value = calloc(1, o.bytes);

    CHECK(value);
    while (clock_mono_us() < end_us) {
        struct session *s = calloc(1, sizeof *s);
        bool ok;

        CHECK(s);
        ok = login(s, c);
        while (ok && clock_mono_us() < end_us) {
            unsigned in_flight = (unsigned)(s->next_tag - 1 - s->acked_tag);

            if (is_due(c, in_flight))
                ok = publish(s, value);
            else
                ok = hear(s, c, 1);
        }
        if (clock_mono_us() < end_us) c->failed += (unsigned)(s->next_tag - 1 - s->acked_tag);
        amqp_destroy_connection(s->state);
        free(s);
    }
    free(value);
    return NULL;
}

/* ---- all */

static int by_time(const void *a, const void *b)
{
    const struct sample *x = a, *y = b;

    return x->at_us < y->at_us ? -1 : x->at_us > y->at_us;
}

static int by_length(const void *a, const void *b)
{
    const struct sample *x = a, *y = b;

    return x->took_us < y->took_us ? -1 : x->took_us > y->took_us;
}

static void tell(struct connection *list, uint64_t began_us)
{
    static struct sample all[SAMPLES_MAX];
    uint64_t before = began_us, gap = 0;
    unsigned n = 0, failed = 0;

    for (unsigned i = 0; i < o.connections; i++) {
        memcpy(all + n, list[i].samples, list[i].acked * sizeof all[0]);
        n += list[i].acked;
        failed += list[i].failed;
    }
    qsort(all, n, sizeof all[0], by_time);
    for (unsigned i = 0; i < n; i++) {
        if (i > 0 && all[i].at_us - before > gap) gap = all[i].at_us - before;
        before = all[i].at_us;
    }
    if (end_us - before > gap) gap = end_us - before;
    qsort(all, n, sizeof all[0], by_length);
    printf("{\"acked\": %u, \"failed\": %u, \"per_s\": %.0f, \"p50_ms\": %.2f, \"p99_ms\": %.2f, "
           "\"gap_ms\": %.1f}\n",
           n, failed, (double)n * 1e6 / (double)(end_us - began_us),
           n ? all[n / 2].took_us / 1000.0 : 0, n ? all[n - 1 - n / 100].took_us / 1000.0 : 0,
           (double)gap / 1000);
}

static bool find_address(struct connection *c, unsigned number)
{
    struct span all = span_cstr(o.to), one;
    unsigned count = 1;
    uint64_t port;
    size_t colon;

    for (size_t i = 0; i < all.n; i++)
        count += all.p[i] == ',';
    for (unsigned i = 0; i < number % count; i++)
        all = span_from(all, span_find(all, 0, ',') + 1);
    one = span_sub(all, 0, span_find(all, 0, ','));
    colon = span_find(one, 0, ':');
    if (colon >= one.n || colon >= sizeof c->host) return false;
    memcpy(c->host, one.p, colon);
    if (span_u64(span_from(one, colon + 1), UINT16_MAX, &port) != 0) return false;
    c->port = (unsigned)port;
    return true;
}

static int usage(void)
{
    fprintf(stderr, "storeput etcd|amqp --to HOST:PORT[,HOST:PORT] [--bytes N] [--flight N] "
                    "[--connections N] [--seconds N] "
                    "[--every MS]\n");
    return 2;
}

static bool read_options(int argc, char **argv)
{
    static const struct option options[] = {
        { "to", 1, NULL, 't' },      { "bytes", 1, NULL, 'b' },
        { "flight", 1, NULL, 'f' },  { "connections", 1, NULL, 'c' },
        { "seconds", 1, NULL, 's' }, { "every", 1, NULL, 'e' },
        { NULL, 0, NULL, 0 }
    };
    unsigned *numbers[256] = { ['b'] = &o.bytes,
                               ['f'] = &o.flight,
                               ['c'] = &o.connections,
                               ['s'] = &o.seconds,
                               ['e'] = &o.every_ms };
    int c;

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c == '?') return false;
        if (c == 't') o.to = optarg;
        if (c != 't') *numbers[c] = (unsigned)strtoul(optarg, NULL, 10);
    }
    return o.to && optind + 1 == argc && o.bytes > 0 && o.bytes <= 100000 && o.seconds > 0 &&
           o.connections > 0 && o.connections <= CONNECTIONS_MAX && o.flight >= o.connections &&
           o.flight <= FLIGHT_MAX;
}

int main(int argc, char **argv)
{
    static struct connection list[CONNECTIONS_MAX];
    void *(*run)(void *) = NULL;
    uint64_t began_us;

    if (!read_options(argc, argv)) return usage();
    if (strcmp(argv[optind], "etcd") == 0) run = run_etcd;
    if (strcmp(argv[optind], "amqp") == 0) run = run_amqp;
    if (!run) return usage();
    for (unsigned i = 0; i < o.connections; i++) {
        list[i] = (struct connection){ .number = i, .window = o.flight / o.connections };
        list[i].samples = malloc(SAMPLES_MAX / o.connections * sizeof list[i].samples[0]);
        CHECK(list[i].samples);
        if (!find_address(&list[i], i)) return usage();
    }
    if (run == run_amqp && !declare(&list[0])) {
        fprintf(stderr, "%s:%u: the queue cannot be declared\n", list[0].host, list[0].port);
        return 1;
    }
    began_us = clock_mono_us();
    end_us = began_us + (uint64_t)o.seconds * 1000000;
    for (unsigned i = 0; i < o.connections; i++)
        CHECK(pthread_create(&list[i].thread, NULL, run, &list[i]) == 0);
    for (unsigned i = 0; i < o.connections; i++)
        pthread_join(list[i].thread, NULL);
    tell(list, began_us);
    for (unsigned i = 0; i < o.connections; i++)
        free(list[i].samples);
    return 0;
}
