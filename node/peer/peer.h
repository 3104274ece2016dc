/* peer - a call to another node of the cluster, and its answer, over the lanes of raft/wire.
 *
 * Way:     peer_call on any loop -> a frame on a lane -> there: peer_serve's on_ask on the loop of that kind ->
 *          peer_answer, at any later time -> a frame back -> on_done, once, on the caller's loop.
 * Frames:  the first byte is PEER_FRAME; every other frame goes on to who stands behind (raft's begin with RAFT_FRAME).
 * Promises: on_done comes exactly once for each call that peer_call took. A lane that goes down ends its calls at once; what
 *          was asked over it is answered to nobody. An answer that comes late, twice, or from whom it was not asked is dropped
 *          and counted; numbers of calls are not used again, also not by the next incarnation of this node.
 *          was_sent false: the request surely never left this node. is_answered: rv is the other node's word; else rv says what
 *          befell the call, and nobody knows what became of it.
 * Order:   requests of one node on one lane arrive in the order of their calls, when these came from one loop.
 * Bounds:  PEER_CALLS_MAX and PEER_NODE_CALLS_MAX calls without an answer, PEER_NODE_BYTES_MAX of frames that wait for room
 *          in a lane; over them peer_call says ERR_FULL. The side that is asked holds at most PEER_NODE_ASKS_MAX requests
 *          of a node and PEER_NODE_BYTES_MAX of their bytes, PEER_BYTES_MAX of all; over them it answers ERR_FULL itself.
 *          A kind that nobody serves is answered ERR_UNSUPPORTED.
 * Threads: as said at each function; nothing blocks.
 */
#ifndef PEER_PEER_H
#define PEER_PEER_H

#include "node/net/loop.h"
#include "raft/wire/wire.h"

#define PEER_FRAME          ((uint8_t)'P')
#define PEER_BYTES_ONE_MAX  (WIRE_FRAME_MAX - 512u) /* head and body of a request, or of an answer */
#define PEER_CALLS_MAX      4096u
#define PEER_NODE_CALLS_MAX 1024u
#define PEER_NODE_ASKS_MAX  1024u
#define PEER_NODE_BYTES_MAX (16u << 20)
#define PEER_BYTES_MAX      (64u << 20)

/* Numbers go over the wire: only added. */
enum peer_kind {
    PEER_NONE,
    PEER_CHANGE, /* a packed ControlCommand, for the node that leads control */
    PEER_LEADS,  /* which shards the speaker leads */
    PEER_CHUNK,  /* a chunk of a mail's body */
    PEER_MAIL,   /* a mail */
    PEER_ORDER,  /* an operator's command for a shard */
    PEER_QUERY,  /* what the API asks on behalf of another node */
    PEER_FOLLOW, /* what happens from certain places on */
    PEER_KINDS
};

struct peers;

/* Before loops run; `behind` gets every frame that is not ours, and every link and room. */
struct peers *peers_new(uint64_t node, uint64_t incarnation, const struct wire_events *behind);
/* For wire_options.events. */
struct wire_events peers_wire_events(struct peers *p);
/* The wire that these events come from; before it is told of its first peer (wire_peer). */
void peers_attach(struct peers *p, struct wire *wire);
/* Calls that wait end with ERR_CLOSED (letters to their loops), new ones are refused. Any thread. */
void peers_stop(struct peers *p);
/* After the wire was closed, and the letters of peers_stop have come. */
void peers_free(struct peers **p);

/* ---- asking */

struct peer_call {
    uint64_t to;
    enum peer_kind kind;
    enum wire_lane lane;
    uint32_t within_ms;        /* > 0 */
    struct span request, body; /* copied by peer_call */
    /* answer, body: valid until it returns. The call is the owner's again. */
    void (*on_done)(struct peer_call *c, int rv, struct span answer, struct span body);
    bool was_sent, is_answered; /* out */
    /* private from here on */
    struct peers *peers;
    struct loop *loop;
    struct loop_timer timer;
    struct loop_letter letter;
    struct list link; /* of the node's calls; itself: it has ended */
    uint64_t number;
    struct blob *answer_frame;
    struct span answer, answer_body;
    int rv;
};
/* On loop l, where on_done comes, never inside. 0, or it does not come and nothing was sent: ERR_CLOSED (the lane is down, or
 * peers_stop), ERR_FULL, ERR_TOO_LONG. */
int peer_call(struct peers *p, struct loop *l, struct peer_call *c);
/* Ends the calls of that kind to a node as if their lane had closed: ERR_CLOSED. An answer that comes later is dropped. Any thread. */
void peers_end_calls(struct peers *p, uint64_t node, enum peer_kind kind);

/* ---- being asked */

struct peer_ask {
    uint64_t from;
    enum peer_kind kind;
    struct span request, body; /* valid until peer_answer */
    struct loop *loop;         /* that serves it */
    uint64_t generation;       /* of the connection that it came by, as in peer_link for the bulk lane */
    /* private from here on */
    struct peers *peers;
    struct loop_letter letter;
    struct list link;
    struct blob *frame;
    void (*on_ask)(void *arg, struct peer_ask *a);
    void *arg;
    uint64_t number;
    enum wire_lane lane;
};
/* Before loops run. on_ask comes on l and hands over or answers; each ask gets one peer_answer. */
void peer_serve(struct peers *p, enum peer_kind kind, struct loop *l,
                void (*on_ask)(void *arg, struct peer_ask *a), void *arg);
/* Frees the ask. Any thread, until peers_free. The bytes are copied; over PEER_BYTES_ONE_MAX it becomes ERR_TOO_LONG. */
void peer_answer(struct peer_ask *a, int rv, struct span answer, struct span body);

/* ---- who is there */

struct peer_link {
    uint64_t node, incarnation;
    uint64_t generation; /* another one each time when its bulk lane came up */
};
/* Nodes whose bulk lane is up. Any thread. */
unsigned peers_up(struct peers *p, struct peer_link out[WIRE_PEERS_MAX]);
bool peers_is_up(struct peers *p, uint64_t node);

/* A letter whenever peers_up has changed: several changes may be one letter. */
struct peer_watch {
    struct loop *loop;
    void (*on_change)(struct peer_watch *w);
    /* private from here on */
    struct loop_letter letter;
    atomic_bool is_posted;
    struct list link;
};
/* Before the wire is opened; until peers_free. */
void peers_watch(struct peers *p, struct peer_watch *w);

#endif
