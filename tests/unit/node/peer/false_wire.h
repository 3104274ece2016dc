/* false_wire - nodes 1 (a) and 2 (b) on one loop, and a wire between them that the test plays: frames wait until pump(). */
#ifndef TESTS_UNIT_NODE_PEER_FALSE_WIRE_H
#define TESTS_UNIT_NODE_PEER_FALSE_WIRE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "node/peer/inside.h"
#include "raft/wire/queue.h"

#define ASKS_KEPT 2048u

struct end {
    struct wire wire;
    struct end *other;
    uint64_t node;
    struct peers *peers;
    struct wire_events events;
    struct queue out[WIRE_LANES];
    bool is_up[WIRE_LANES], is_full[WIRE_LANES];
    struct peer_ask *asks[ASKS_KEPT];
    unsigned ask_count, behind_frames, behind_links;
};
struct scene {
    struct loop *loop;
    struct end a, b;
};

static int wire_false_send(struct wire *w, uint64_t node, enum wire_lane lane, struct blob *frame)
{
    struct end *e = CONTAINER_OF(w, struct end, wire);

    assert_int_equal(node, e->other->node);
    if (!e->is_up[lane]) return ERR_CLOSED;
    if (e->is_full[lane]) return ERR_FULL;
    wire_queue_put(&e->out[lane], blob_ref(frame));
    return 0;
}

static inline bool behind_frame(void *arg, uint64_t node, enum wire_lane lane, struct blob *frame)
{
    struct end *e = arg;

    (void)node, (void)lane;
    e->behind_frames++;
    blob_unref(&frame);
    return true;
}

static inline void behind_peer(void *arg, const struct wire_link *link)
{
    struct end *e = arg;

    (void)link;
    e->behind_links++;
}

static inline void behind_room(void *arg, uint64_t node, enum wire_lane lane)
{
    (void)arg, (void)node, (void)lane;
}

static inline void keep_ask(void *arg, struct peer_ask *a)
{
    struct end *e = arg;

    assert_in_range(e->ask_count, 0, ASKS_KEPT - 1);
    e->asks[e->ask_count++] = a;
}

static inline void end_open(struct end *e, struct end *other, uint64_t node, struct loop *l)
{
    static const struct wire_calls calls = { .send = wire_false_send };
    const struct wire_events behind = { e, behind_frame, behind_peer, behind_room };

    *e = (struct end){ .wire = { &calls }, .other = other, .node = node };
    e->peers = peers_new(node, 5, &behind);
    e->events = peers_wire_events(e->peers);
    peers_attach(e->peers, &e->wire);
    peer_serve(e->peers, PEER_QUERY, l, keep_ask, e);
    for (unsigned i = 0; i < WIRE_LANES; i++)
        wire_queue_init(&e->out[i], SIZE_MAX);
}

static inline void end_link(struct end *e, enum wire_lane lane, bool up)
{
    const struct wire_link link = {
        .node = e->other->node, .lane = lane, .up = up, .incarnation = 5, .format = 1
    };

    e->is_up[lane] = up;
    if (!up) wire_queue_clear(&e->out[lane]);
    e->events.on_peer(e->events.arg, &link);
}

static inline void link_set(struct scene *s, enum wire_lane lane, bool up)
{
    end_link(&s->a, lane, up);
    end_link(&s->b, lane, up);
}

static inline unsigned end_pump(struct end *e)
{
    unsigned n = 0;

    for (unsigned lane = 0; lane < WIRE_LANES; lane++)
        for (struct blob *b; (b = wire_queue_take(&e->out[lane])) != NULL; n++)
            e->other->events.on_frame(e->other->events.arg, e->node, (enum wire_lane)lane, b);
    return n;
}

/* Frames and letters until nothing is on its way; timers that are due. */
static inline void pump(struct scene *s)
{
    do {
        loop_turn(s->loop, 1);
        loop_turn(s->loop, 0);
    } while (end_pump(&s->a) + end_pump(&s->b) > 0);
}

static inline void room(struct scene *s, enum wire_lane lane)
{
    s->a.is_full[lane] = false;
    s->a.events.on_room(s->a.events.arg, 2, lane);
}

static inline void scene_open(struct scene *s)
{
    struct errmsg why;

    assert_int_equal(loop_new(&s->loop, 0, &why), 0);
    end_open(&s->a, &s->b, 1, s->loop);
    end_open(&s->b, &s->a, 2, s->loop);
    for (unsigned lane = 0; lane < WIRE_LANES; lane++)
        link_set(s, (enum wire_lane)lane, true);
}

static inline void end_close(struct end *e)
{
    peers_free(&e->peers);
    for (unsigned i = 0; i < WIRE_LANES; i++)
        wire_queue_deinit(&e->out[i]);
}

static inline void scene_close(struct scene *s)
{
    peers_stop(s->a.peers);
    peers_stop(s->b.peers);
    pump(s);
    end_close(&s->a);
    end_close(&s->b);
    loop_free(&s->loop);
}

/* ---- a call of a, and what became of it */

struct probe {
    struct peer_call call;
    char number[2], answer[64];
    unsigned ended;
    int rv;
};

static inline void probe_done(struct peer_call *c, int rv, struct span answer, struct span body)
{
    struct probe *p = CONTAINER_OF(c, struct probe, call);

    p->ended++;
    p->rv = rv;
    snprintf(p->answer, sizeof p->answer, "%.*s|%.*s", SPAN_ARG(answer), SPAN_ARG(body));
}

static inline void probe_init(struct probe *p, const char *request, const char *body)
{
    *p = (struct probe){ .call = { .to = 2,
                                   .kind = PEER_QUERY,
                                   .lane = WIRE_BULK,
                                   .within_ms = 600000,
                                   .request = span_cstr(request),
                                   .body = span_cstr(body),
                                   .on_done = probe_done } };
}

static inline void probe_call(struct scene *s, struct probe *p, const char *request,
                              const char *body)
{
    probe_init(p, request, body);
    assert_int_equal(peer_call(s->a.peers, s->loop, &p->call), 0);
}

static inline void answer(struct end *e, unsigned ask, int rv, const char *head, const char *body)
{
    peer_answer(e->asks[ask], rv, span_cstr(head), span_cstr(body));
}

#endif
