/* net_test - what the tests of node/net share: a loop that is turned by hand, and an end of a
 * connection that notes what happens to it. */
#ifndef NET_TEST_H
#define NET_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "node/net/stream.h"
#include "proto/ground/check.h"

/* Turns the loop until the fact holds; fails after that many turns. */
#define TURNS_MAX 3000
#define UNTIL(loop, fact)                                                                          \
    do {                                                                                           \
        for (unsigned turn_ = 0; turn_ < TURNS_MAX && !(fact); turn_++)                            \
            loop_turn(loop, 5);                                                                    \
        assert_true(fact);                                                                         \
    } while (0)

struct end {
    struct stream *s;
    struct loop *loop;
    char in[1 << 16]; /* what was eaten, from the first byte on; more is counted only */
    size_t n;
    size_t eat_max;    /* per on_read; 0: all */
    bool echo, hungry; /* hungry: not full, so asks for more at once */
    unsigned reads, lows, readies, ends, closes;
    int err;
    char why[128];
    void (*then)(struct end *e); /* called at the end of each on_read */
    void (*on_ready)(struct end *e);
    void (*on_end)(struct end *e);
    struct tls *tls; /* begin with it as soon as the connection is there */
};

static inline size_t end_read(void *arg, struct span bytes)
{
    struct end *e = arg;
    size_t eat = e->eat_max > 0 && e->eat_max < bytes.n ? e->eat_max : bytes.n;

    for (size_t i = 0; i < eat && e->n + i < sizeof e->in; i++)
        e->in[e->n + i] = (char)bytes.p[i];
    e->n += eat;
    e->reads++;
    if (e->echo) assert_int_equal(stream_write(e->s, span_sub(bytes, 0, eat)), 0);
    if (e->then) e->then(e);
    return eat;
}

static inline void end_low(void *arg)
{
    ((struct end *)arg)->lows++;
}

static inline void end_is_ready(void *arg)
{
    struct end *e = arg;
    e->readies++;
    if (e->on_ready) e->on_ready(e);
}

static inline void end_ended(void *arg, int err)
{
    struct end *e = arg;
    e->ends++;
    e->err = err;
    snprintf(e->why, sizeof e->why, "%s", stream_why(e->s));
    if (e->on_end)
        e->on_end(e);
    else
        stream_close(&e->s);
}

static inline void end_closed(void *arg)
{
    ((struct end *)arg)->closes++;
}

static const struct stream_calls end_calls = { end_read, end_low, end_is_ready, end_ended,
                                               end_closed };

/* A listener on loopback, and the ends of one connection. */
struct pair {
    struct loop *loop;
    struct listener *listener;
    struct stream_address at;
    struct end server, client;
    struct stream_options server_options, client_options;
    bool accepted;
};

static inline void pair_connection(void *arg, struct listener *li)
{
    struct pair *p = arg;

    if (p->accepted) return;
    p->accepted = true;
    assert_int_equal(stream_accept(&p->server.s, li, &p->server_options), 0);
    if (p->server.tls) assert_int_equal(stream_tls(p->server.s, p->server.tls, NULL), 0);
}

static inline struct pair *pair_new(const char *address)
{
    struct pair *p = check_calloc(1, sizeof *p);
    struct listener_options o = { .on_connection = pair_connection, .arg = p };
    struct errmsg why;

    assert_int_equal(loop_new(&p->loop, 0, &why), 0);
    snprintf(o.at.text, sizeof o.at.text, "%s", address);
    assert_int_equal(listener_open(&p->listener, p->loop, &o, &why), 0);
    p->at = o.at;
    p->at.port = listener_port(p->listener);
    p->server.loop = p->client.loop = p->loop;
    p->server_options = (struct stream_options){ .calls = &end_calls, .arg = &p->server };
    p->client_options = (struct stream_options){ .calls = &end_calls, .arg = &p->client };
    return p;
}

static inline void pair_connect(struct pair *p, const char *host)
{
    assert_int_equal(stream_connect(&p->client.s, p->loop, &p->at, NULL, 5000, &p->client_options),
                     0);
    if (p->client.tls) assert_int_equal(stream_tls(p->client.s, p->client.tls, host), 0);
}

static inline void pair_free(struct pair *p)
{
    stream_close(&p->client.s);
    stream_close(&p->server.s);
    listener_close(&p->listener);
    for (unsigned i = 0; i < 20; i++)
        loop_turn(p->loop, 1);
    loop_free(&p->loop);
    free(p);
}

static inline struct span end_text(const struct end *e)
{
    return span_of(e->in, e->n < sizeof e->in ? e->n : sizeof e->in);
}

#endif
