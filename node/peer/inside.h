/* inside - private to peer: the frame, the table of nodes, and what waits for room in a lane.
 *
 * One lock, `lock`, guards it all; no call into the wire or into a loop's room is made under it, but loop_post and loop_wake.
 */
#ifndef PEER_INSIDE_H
#define PEER_INSIDE_H

#include <pthread.h>

#include "node/peer/peer.h"
#include "proto/ground/check.h"
#include "proto/ground/log.h"
#include "proto/ground/metric.h"

/* ---- frame.c:  | 'P' | size of the envelope, u24 BE | PeerEnvelope | head | body | */

#define PEER_LEAD_SIZE    4u
#define PEER_ENVELOPE_MAX 256u
#define PEER_NODES_KEPT   (2u * WIRE_PEERS_MAX)
#define PEER_NUMBER_BITS  40 /* of a call, under the incarnation */

struct peer_frame {
    uint64_t number;
    uint32_t kind;
    bool is_answer;
    int status;
    struct span head, body; /* borrowed from the frame */
};
/* One reference; head and body together at most PEER_BYTES_ONE_MAX. */
struct blob *peer_frame_pack(const struct peer_frame *f);
/* 0; ERR_SYNTAX: not one of ours, or a field of it is out of its range; ERR_TOO_LONG. */
int peer_frame_unpack(struct span frame, struct peer_frame *out);

/* ---- the table */

struct outgoing {
    struct list link;
    struct blob *frame;
    uint64_t number; /* of a call; 0: an answer */
};
struct peer_lane {
    bool is_up;
    uint64_t generation; /* of its last coming up */
    struct list waiting; /* struct outgoing */
    size_t waiting_bytes;
    bool is_sending; /* somebody is at it, without the lock */
    bool is_full;    /* on_room will come */
    bool room_came;  /* while somebody was at it */
};
struct peer_node {
    uint64_t node, incarnation;
    struct peer_lane lanes[WIRE_LANES];
    struct list calls; /* struct peer_call: sent or waiting, not ended */
    unsigned call_count;
    unsigned ask_count;
    size_t ask_bytes;
};
struct peer_service {
    struct loop *loop;
    void (*on_ask)(void *arg, struct peer_ask *a);
    void *arg;
};
struct peers {
    uint64_t node, numbers; /* the last that was given */
    struct wire_events behind;
    struct wire *wire;
    struct peer_service services[PEER_KINDS];
    pthread_mutex_t lock;
    bool is_stopped;
    uint64_t generation;
    unsigned node_count, call_count;
    size_t ask_bytes;
    struct peer_node nodes[PEER_NODES_KEPT];
    struct list asks;    /* struct peer_ask, not answered */
    struct list watches; /* struct peer_watch */
};

/* All with the lock held. */
struct peer_node *peer_node_find(struct peers *p, uint64_t node);
void peer_call_end(struct peers *p, struct peer_node *n, struct peer_call *c, int rv);

/* send.c */
/* The lock is held. False: over the bound; the frame is not taken. */
bool peer_lane_put(struct peer_lane *l, struct blob *frame, uint64_t number);
void peer_lane_drop(struct peer_lane *l, uint64_t number); /* 0: all. The lock is held */
/* Without the lock: what waits goes as far as there is room. */
void peer_lane_send(struct peers *p, uint64_t node, enum wire_lane lane);
void peer_lane_room(struct peers *p, uint64_t node, enum wire_lane lane);

/* call.c, serve.c: frames that came, on a thread of the wire */
void peer_call_answered(struct peers *p, uint64_t from, const struct peer_frame *f,
                        struct blob *frame);
void peer_ask_came(struct peers *p, uint64_t from, enum wire_lane lane, const struct peer_frame *f,
                   struct blob *frame);

#endif
