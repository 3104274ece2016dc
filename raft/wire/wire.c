/* wire - opening, closing, the table of peers: the calls of wire.h for NNG streams under OpenSSL. */
#include "raft/wire/inside.h"

#include <stdio.h>
#include <stdlib.h>

#include "proto/ground/check.h"

static struct wire_nng *of(struct wire *w)
{
    return CONTAINER_OF(w, struct wire_nng, base);
}

/* ---- calls */

static int call_send(struct wire *base, uint64_t node, enum wire_lane lane, struct blob *frame)
{
    struct peer *p;
    int rv;

    if (frame->n > WIRE_FRAME_MAX) return ERR_TOO_LONG;
    if (frame->n == 0) return ERR_RANGE;
    p = wire_peer_find(of(base), node);
    if (!p) return ERR_NOT_FOUND;
    rv = wire_lane_send(&p->lanes[lane], frame);
    wire_peer_unref(p);
    return rv;
}

static void call_resume(struct wire *base, uint64_t node, enum wire_lane lane)
{
    struct peer *p = wire_peer_find(of(base), node);

    if (!p) return;
    wire_lane_resume(&p->lanes[lane]);
    wire_peer_unref(p);
}

/* "host:port", "[address]:port": what the URL of NNG takes, and nothing that would be more than that. */
static bool address_ok(const char *address)
{
    const char *colon = strrchr(address, ':');
    uint64_t port;

    if (!colon || colon == address || strlen(address) >= WIRE_ADDRESS_SIZE) return false;
    if (strspn(address, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:[]") !=
        strlen(address))
        return false;
    return span_u64(span_cstr(colon + 1), UINT16_MAX, &port) == 0;
}

/* Its pauses begin anew; those of an address that is known go on. */
static void peer_moved(struct peer *p, const char *address)
{
    bool is_known;

    pthread_mutex_lock(&p->lock);
    is_known = strcmp(p->address, address) == 0;
    snprintf(p->address, sizeof p->address, "%s", address);
    pthread_mutex_unlock(&p->lock);
    if (is_known) return;
    for (enum wire_lane n = 0; n < WIRE_LANES; n++) {
        pthread_mutex_lock(&p->lanes[n].lock);
        p->lanes[n].failures = 0;
        p->lanes[n].dial_at_ms = 0;
        pthread_mutex_unlock(&p->lanes[n].lock);
    }
}

static int peer_add(struct wire_nng *w, const struct wire_peer *given, bool is_removed)
{
    struct peer *p = wire_peer_new(w, given, is_removed);
    int rv = 0;

    pthread_rwlock_wrlock(&w->table);
    for (size_t i = 0; i < w->peer_count; i++)
        if (w->peers[i]->node == given->node) rv = ERR_EXISTS; /* two threads at once */
    if (w->peer_count == WIRE_PEERS_MAX) rv = ERR_FULL;
    if (rv == 0) w->peers[w->peer_count++] = p;
    pthread_rwlock_unlock(&w->table);
    if (rv != 0) wire_peer_free(p);
    return rv;
}

static int call_peer(struct wire *base, const struct wire_peer *given)
{
    struct wire_nng *w = of(base);
    struct peer *p;
    int rv = 0;

    if (given->node == 0 || given->node == w->o.node) return ERR_RANGE;
    if (!address_ok(given->address)) return ERR_SYNTAX;
    p = wire_peer_find(w, given->node);
    if (!p) rv = peer_add(w, given, false);
    if (p && p->is_removed) rv = ERR_DENIED;
    if (p && rv == 0) peer_moved(p, given->address);
    if (p) wire_peer_unref(p);
    if (rv == 0) wire_keeper_wake(w);
    return rv;
}

/* The last one of the table, or that of the number. It has no place there any more; its reference is the caller's. */
static struct peer *take_peer(struct wire_nng *w, const uint64_t *node)
{
    struct peer *p = NULL;

    pthread_rwlock_wrlock(&w->table);
    for (size_t i = w->peer_count; i > 0 && !p; i--)
        if (!node || w->peers[i - 1]->node == *node) {
            p = w->peers[i - 1];
            w->peers[i - 1] = w->peers[--w->peer_count];
        }
    pthread_rwlock_unlock(&w->table);
    return p;
}

/* No call-back for it when this returns; the keeper frees it when the last conn has gone. */
static void end_peer(struct peer *p, const char *why)
{
    struct wire_nng *w = p->w;

    atomic_store(&p->is_gone, true);
    for (enum wire_lane n = 0; n < WIRE_LANES; n++) {
        if (p->lanes[n].dial) nng_aio_cancel(p->lanes[n].dial); /* the keeper does not see it */
        wire_lane_close(&p->lanes[n], why);
        pthread_mutex_lock(&p->lanes[n].events); /* somebody else may be closing it: wait */
        p->lanes[n].is_quiet = true;
        pthread_mutex_unlock(&p->lanes[n].events);
    }
    pthread_mutex_lock(&w->lock);
    list_add(&w->gone, &p->link);
    pthread_mutex_unlock(&w->lock);
    wire_keeper_wake(w);
}

static void call_forget(struct wire *base, uint64_t node)
{
    struct peer *p = take_peer(of(base), &node);

    if (p) end_peer(p, "the peer was removed");
}

static bool is_removed(struct wire_nng *w, uint64_t node)
{
    struct peer *p = wire_peer_find(w, node);
    bool is = p && p->is_removed;

    if (p) wire_peer_unref(p);
    return is;
}

static void call_remove(struct wire *base, const struct wire_peer *given)
{
    struct wire_nng *w = of(base);
    struct wire_peer gone = *given;

    if (given->node == 0 || given->node == w->o.node || is_removed(w, given->node)) return;
    if (!address_ok(gone.address)) gone.address[0] = '\0';
    call_forget(base, given->node);
    if (peer_add(w, &gone, true) == 0) wire_keeper_wake(w);
}

static void wire_free(struct wire_nng *w)
{
    SSL_CTX_free(w->ctx);
    pthread_rwlock_destroy(&w->table);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

static void be_quiet(struct wire_nng *w)
{
    pthread_rwlock_rdlock(&w->table);
    for (size_t i = 0; i < w->peer_count; i++)
        for (enum wire_lane n = 0; n < WIRE_LANES; n++) {
            pthread_mutex_lock(&w->peers[i]->lanes[n].events);
            w->peers[i]->lanes[n].is_quiet = true;
            pthread_mutex_unlock(&w->peers[i]->lanes[n].events);
        }
    pthread_rwlock_unlock(&w->table);
}

static void call_close(struct wire *base)
{
    struct wire_nng *w = of(base);
    struct peer *p;

    be_quiet(w);
    pthread_mutex_lock(&w->lock);
    w->is_closing = true;
    pthread_mutex_unlock(&w->lock);
    while ((p = take_peer(w, NULL)) != NULL)
        end_peer(p, "this node closes");
    pthread_mutex_lock(&w->lock);
    w->is_emptied = true;
    pthread_mutex_unlock(&w->lock);
    wire_keeper_wake(w);
    wire_keeper_join(w);
    wire_free(w);
}

static const struct wire_calls calls = { .send = call_send,
                                         .resume = call_resume,
                                         .peer = call_peer,
                                         .forget = call_forget,
                                         .remove = call_remove,
                                         .close = call_close };

/* ---- opening */

static void fill_in(struct wire_options *o)
{
    static const size_t queue_bytes[WIRE_LANES] = { 4u << 20, 32u << 20, 16u << 20 };

    for (enum wire_lane n = 0; n < WIRE_LANES; n++)
        if (o->queue_bytes_max[n] == 0) o->queue_bytes_max[n] = queue_bytes[n];
    if (o->connect_timeout_ms == 0) o->connect_timeout_ms = 3000;
    if (o->tcp_timeout_ms == 0) o->tcp_timeout_ms = 1000;
    if (o->tcp_timeout_ms > o->connect_timeout_ms) o->tcp_timeout_ms = o->connect_timeout_ms;
    if (o->send_timeout_ms == 0) o->send_timeout_ms = 10000;
    if (o->silence_timeout_ms == 0) o->silence_timeout_ms = 3000;
    if (o->dial_first_ms == 0) o->dial_first_ms = 20;
    if (o->dial_max_ms == 0) o->dial_max_ms = 500;
    if (o->farewell_max_ms == 0) o->farewell_max_ms = 60000;
    if (o->accept_max == 0) o->accept_max = 64;
    if (o->renew_within_ms == 0) o->renew_within_ms = 30000;
}

static int check(const struct wire_options *o, struct errmsg *why)
{
    if (o->node == 0) return errmsg_set(why, ERR_CONFIG, "a node has a number from 1");
    if (o->format_min > o->format_max)
        return errmsg_set(why, ERR_CONFIG, "formats %u to %u are none", o->format_min,
                          o->format_max);
    if (o->listen && !address_ok(o->listen))
        return errmsg_set(why, ERR_CONFIG, "%.60s is no address; it should be host:port",
                          o->listen);
    CHECK(o->events.on_frame && o->events.on_peer && o->events.on_room);
    return 0;
}

int wire_open(struct wire **out, const struct wire_options *o, struct errmsg *why)
{
    struct wire_nng *w;
    int rv = check(o, why);

    *out = NULL;
    if (rv != 0) return rv;
    w = check_calloc(1, sizeof *w);
    w->base.calls = &calls;
    w->o = *o;
    fill_in(&w->o);
    w->key_records_max = KEY_RECORDS_MAX;
    w->at_once_us = AT_ONCE_US;
    atomic_init(&w->format_min, o->format_min);
    wire_name(w->name, o->cluster, o->node);
    CHECK(pthread_rwlock_init(&w->table, NULL) == 0);
    CHECK(pthread_mutex_init(&w->lock, NULL) == 0);
    list_init(&w->conns);
    list_init(&w->dead);
    list_init(&w->gone);
    rv = wire_tls_load(&w->ctx, w, o->certificate, o->key, o->ca, why);
    if (rv == 0) wire_tls_digest(w->ctx, w->files);
    if (rv == 0 && o->listen) rv = wire_accept_open(w, o->listen, why);
    if (rv != 0) {
        wire_accept_close(w);
        wire_free(w);
        return rv;
    }
    wire_keeper_start(w);
    if (w->listener) wire_accept_again(w);
    *out = &w->base;
    return 0;
}

/* lock is held. */
static void note_files(struct wire_nng *w, SSL_CTX *ctx)
{
    uint64_t now_ms = clock_mono_ms(&clock_real);
    uint8_t files[DIGEST_SIZE];

    wire_tls_digest(ctx, files);
    if (memcmp(files, w->files, sizeof files) == 0) return;
    memcpy(w->files, files, sizeof files);
    w->generation++;
    w->renew_at_ms = now_ms;
    w->renew_by_ms = now_ms + w->o.renew_within_ms;
}

int wire_reload(struct wire *base, const char *certificate, const char *key, const char *ca,
                struct errmsg *why)
{
    struct wire_nng *w = of(base);
    SSL_CTX *ctx, *old;
    int rv = wire_tls_load(&ctx, w, certificate, key, ca, why);

    if (rv != 0) return rv;
    pthread_mutex_lock(&w->lock);
    old = w->ctx;
    w->ctx = ctx;
    note_files(w, ctx);
    pthread_mutex_unlock(&w->lock);
    SSL_CTX_free(old);
    wire_keeper_wake(w);
    return 0;
}

int wire_check(struct wire *base, const char *certificate, const char *key, const char *ca,
               struct errmsg *why)
{
    SSL_CTX *ctx;
    int rv = wire_tls_load(&ctx, of(base), certificate, key, ca, why);

    SSL_CTX_free(ctx);
    return rv;
}

void wire_formats(struct wire *base, uint32_t min)
{
    CHECK(min <= of(base)->o.format_max);
    atomic_store(&of(base)->format_min, min);
}

uint16_t wire_port(const struct wire *base)
{
    return CONTAINER_OF(base, const struct wire_nng, base)->port;
}
