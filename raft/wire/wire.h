/* wire - frames between the nodes of a cluster: three lanes for each pair of nodes.
 *
 * One contract, two implementations, like the store: NNG streams under OpenSSL (wire_open) and a false one that a
 * simulator gives (struct wire_calls). A frame is opaque bytes, at most WIRE_FRAME_MAX. Frames of one lane arrive whole,
 * in order, at most once, or not at all: a lane is *up* or *down*; what was sent and had not arrived when it went down
 * is lost, and nothing that was queued before is ever sent to whoever comes next.
 *
 * Who is there. Each end shows a certificate of the cluster's CA (TLS 1.3, both ways) with exactly one name of ours among
 * its subject alternative names, a URI:
 *         angarium://<cluster: 32 lower-case hex digits>/node/<number, decimal>
 * The cluster must be ours and the number that of a peer set here (at the dialling end: of the peer that was dialled).
 * The first frame each way is a hello (proto/wire.proto): cluster, node, incarnation, lane and range of formats, checked again.
 * An incarnation lower than one that was seen before is a zombie: refused. Every refusal is counted by its reason
 * (metric wire_refused_total), logged, and told to the other end.
 *
 * Who dials. Of two nodes the one with the lower number dials, the other one only accepts; a new connection of
 * a lane takes the place of an old one (whose end the dialler has seen). So one connection a lane survives.
 *
 * Who is gone. A node that left the cluster for ever (wire_remove) is refused and told so. Its certificate may be good for years.
 *
 * Threads. All functions from any thread, but wire_forget, wire_remove, wire_close and wire_reload not from a call-back. Call-backs come on
 * threads of the wire, one at a time for each peer and lane; wire_send and wire_resume may be called in them; they hand
 * over and return, for they hold up their lane.
 */
#ifndef RAFT_WIRE_WIRE_H
#define RAFT_WIRE_WIRE_H

#include "proto/ground/blob.h"
#include "proto/ground/err.h"

#define WIRE_FRAME_MAX    (1u << 20) /* payload of a frame, checked before a byte of it is kept */
#define WIRE_PEERS_MAX    128u
#define WIRE_ADDRESS_SIZE 280u /* "host:port", "[::1]:port", and its end */
#define WIRE_CLUSTER_SIZE 16u

enum wire_lane {
    WIRE_CONTROL, /* votes, heartbeats. A full queue drops its oldest frame */
    WIRE_LOG,     /* appends. A full queue pushes back */
    WIRE_BULK,    /* snapshots, forwarded mail, queries. A full queue pushes back */
    WIRE_LANES
};

struct wire_peer {
    uint64_t node; /* not 0, not our own */
    char
        address[WIRE_ADDRESS_SIZE]; /* "host:port"; only dialled when our number is the lower one */
};

/* A lane that went up or down. */
struct wire_link {
    uint64_t node;
    enum wire_lane lane;
    bool up;
    uint64_t incarnation; /* of the peer, also when down */
    uint32_t format;      /* the highest that both ends know */
};

struct wire_events {
    void *arg;
    /* Takes the reference; the frame has at least one byte. False: taken, but read no more of this lane until
     * wire_resume; what was read already still comes (64 KiB of frames, or one), and the last of it counts. WIRE_CONTROL ignores it. Who waits
     * longer than the peer's send_timeout_ms loses the connection, and does not learn that it ended while he waits. */
    bool (*on_frame)(void *arg, uint64_t node, enum wire_lane lane, struct blob *frame);
    /* Up and down alternate for each lane, up first; frames come only between. Down comes within milliseconds after
     * the other end closed or died; after silence_timeout_ms when its machine vanished. */
    void (*on_peer)(void *arg, const struct wire_link *link);
    /* After ERR_FULL: the queue is at most half full again. */
    void (*on_room)(void *arg, uint64_t node, enum wire_lane lane);
};

struct wire;
struct wire_calls {
    int (*send)(struct wire *w, uint64_t node, enum wire_lane lane, struct blob *frame);
    void (*resume)(struct wire *w, uint64_t node, enum wire_lane lane);
    int (*peer)(struct wire *w, const struct wire_peer *peer);
    void (*forget)(struct wire *w, uint64_t node);
    void (*remove)(struct wire *w, const struct wire_peer *peer);
    void (*close)(struct wire *w);
};
struct wire {
    const struct wire_calls *calls; /* the first member of an implementation */
};

/* Queues the frame; the wire takes a reference of its own, and the bytes stay as they are. Never blocks: a frame of 32 KiB at
 * most is encrypted and given to TCP here when its lane is idle, as far as TCP takes it; the rest goes on threads of the wire. ERR_CLOSED: the lane
 * is down (on_peer will tell). ERR_FULL: log and bulk, push back (on_room will tell). ERR_TOO_LONG: over
 * WIRE_FRAME_MAX. ERR_RANGE: an empty frame. ERR_NOT_FOUND: no such peer. */
static inline int wire_send(struct wire *w, uint64_t node, enum wire_lane lane, struct blob *frame)
{
    return w->calls->send(w, node, lane, frame);
}
/* Reads on after on_frame said false. Harmless when it did not. */
static inline void wire_resume(struct wire *w, uint64_t node, enum wire_lane lane)
{
    w->calls->resume(w, node, lane);
}
/* A node that we may talk to, or its new address, which is dialled at once; harmless when that was said before. ERR_RANGE (0, or our own number), ERR_SYNTAX (address), ERR_FULL
 * (WIRE_PEERS_MAX), ERR_DENIED (it was removed). */
static inline int wire_peer(struct wire *w, const struct wire_peer *peer)
{
    return w->calls->peer(w, peer);
}
/* Closes its lanes (on_peer down comes before this returns) and refuses it from now on. */
static inline void wire_forget(struct wire *w, uint64_t node)
{
    w->calls->forget(w, node);
}
/* It left the cluster for ever: its lanes close as above, and whoever shows its name hears that it was removed (on_removed there).
 * Where our number is the lower one it is dialled, at most once in farewell_max_ms, until it refuses us: it heard, kept that, and forgot
 * us. With an empty address it is not. Harmless when that was said before; wire_forget takes it back. */
static inline void wire_remove(struct wire *w, const struct wire_peer *peer)
{
    w->calls->remove(w, peer);
}
/* Nulls; takes NULL. What is queued is lost; no call-back runs after it returns (and none for its closing). */
static inline void wire_close(struct wire **w)
{
    struct wire *gone = *w;

    *w = NULL;
    if (gone) gone->calls->close(gone);
}

/* ---- the real one */

/* Zero in a number takes its default. Texts are copied. */
struct wire_options {
    uint64_t node;        /* our own number, not 0 */
    uint64_t incarnation; /* grows with each start of this node */
    uint8_t cluster[WIRE_CLUSTER_SIZE];
    uint32_t format_min, format_max;
    const char *listen;            /* "host:port"; port 0: any, see wire_port. NULL: accept none */
    const char *certificate, *key; /* PEM: chain, key; the certificate carries our own name */
    const char *ca; /* PEM: who signs the nodes of this cluster; nobody else is trusted */
    size_t queue_bytes_max
        [WIRE_LANES];            /* default 4 MiB, 32 MiB, 16 MiB; 64 are counted with each frame */
    uint32_t connect_timeout_ms; /* TLS and hello, together; default 3000 */
    uint32_t tcp_timeout_ms; /* one attempt to reach a node, at most connect_timeout_ms; default 1000 */
    uint32_t send_timeout_ms;    /* no byte of a batch was taken; default 10000 */
    uint32_t
        silence_timeout_ms; /* no byte came; a third of it without a frame sends an empty one; default 3000 */
    uint32_t dial_first_ms, dial_max_ms; /* doubling with jitter; default 20, 500 */
    uint32_t farewell_max_ms; /* between two attempts to tell a node that it was removed; default 60000 */
    uint32_t renew_within_ms; /* the longest life of a connection after its files went; default 30000 */
    uint32_t
        accept_max; /* connections that have not said who they are; over it the oldest goes; default 64 */
    struct wire_events events;
    /* That peer says that this node was removed from the cluster. NULL: nobody wants to know. Call-back as those of events. */
    void (*on_removed)(void *arg, uint64_t node);
    void *removed_arg;
};

/* ERR_CONFIG, ERR_TLS (certificate, key, ca; or the name in the certificate is not ours), ERR_BUSY or ERR_IO (listen).
 * NNG starts threads of its own at the first call, about a dozen, for the life of the process; no fork after it. */
int wire_open(struct wire **out, const struct wire_options *o, struct errmsg *why);
/* Whether these files can serve: what wire_reload would say, and nothing is taken. */
int wire_check(struct wire *w, const char *certificate, const char *key, const char *ca,
               struct errmsg *why);
/* Takes other files. When they say something else than those in force, the connections that are open are replaced one lane after
 * the other, each by one that was made under the new files; what cannot be replaced so ends after renew_within_ms. On an
 * error all is as it was. Only what wire_open gave. */
int wire_reload(struct wire *w, const char *certificate, const char *key, const char *ca,
                struct errmsg *why);
/* Who knows no format from `min` on is refused from now on; min <= format_max. Any thread. */
void wire_formats(struct wire *w, uint32_t min);
/* The port that it listens on; 0: none. */
uint16_t wire_port(const struct wire *w);

#define WIRE_NAME_SIZE 80u
/* The URI of a node as it must stand in its certificate. */
void wire_name(char out[WIRE_NAME_SIZE], const uint8_t cluster[WIRE_CLUSTER_SIZE], uint64_t node);

#endif
