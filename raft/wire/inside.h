/* inside - the objects of the wire and who may touch them when.
 *
 *     wire_nng ── peer (of the table, or gone) ── lane x 3 ──> the conn that carries it
 *         └────── conn, all of them, from TCP to their end; freed by the keeper alone
 *
 * Locks, in the order in which they are taken:
 *     conn.tls     SSL object, what is read and what is to be written; held through call-backs
 *     wire.table   (read-write) which peers there are
 *     lane.events  held through each call-back of the lane: they come one at a time, and end with it
 *     lane.lock    queue, which conn carries the lane, dialling
 *     conn.ops     operations of NNG begin under it, and none after the close
 *     wire.lock    lists of the keeper, TLS context
 *
 * A conn lives while something holds a reference: its being open, its receive operation, its send operation, a caller. The
 * last one hands it to the keeper, which stops and frees what NNG forbids to free in a call-back of its own.
 */
#ifndef RAFT_WIRE_INSIDE_H
#define RAFT_WIRE_INSIDE_H

#include <nng/nng.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>

#include "proto/ground/clock.h"
#include "proto/ground/list.h"
#include "proto/ground/metric.h"
#include "proto/ground/rng.h"
#include "raft/wire/frame.h"
#include "raft/wire/queue.h"
#include "raft/wire/wire.h"

/* X(NAME, text): why a connection is not wanted. Numbers go over the wire: only added. */
#define WIRE_REFUSAL_TABLE(X)                                                                      \
    X(NONE, "nothing is wrong")                                                                    \
    X(TLS, "what it sent is not TLS 1.3")                                                          \
    X(CERTIFICATE, "its certificate is missing or not signed by this cluster's CA")                \
    X(EXPIRED, "its certificate is not valid at this time")                                        \
    X(NAME, "its certificate does not carry exactly one name of a node of this cluster")           \
    X(MEMBER, "it is not a peer of this node")                                                     \
    X(NODE, "it is not the node that was dialled, or not one that dials us")                       \
    X(HELLO, "its hello is malformed or came twice")                                               \
    X(CLUSTER, "it belongs to another cluster")                                                    \
    X(INCARNATION, "a later incarnation of this node was here already")                            \
    X(FORMAT, "the two versions have no format in common")                                         \
    X(FRAME, "a frame is malformed or over its limit")                                             \
    X(SLOW, "it did not say who it is in time")                                                    \
    X(LIMIT, "too many connections have not said who they are")                                    \
    X(REMOVED, "it was removed from the cluster")

#define WIRE_REFUSAL_ENUM_(name, text) REFUSE_##name,
enum wire_refusal { WIRE_REFUSAL_TABLE(WIRE_REFUSAL_ENUM_) REFUSE_COUNT };
#undef WIRE_REFUSAL_ENUM_

#define IN_SIZE  (64u << 10) /* one read from TCP */
#define OUT_SIZE (64u << 10) /* one write to TCP holds at least this when there is more */
#define OUT_SIZE_MAX                                                                               \
    (OUT_SIZE + (32u << 10)) /* a record over it, and what the handshake has to say */
#define STAGE_SIZE 16384u    /* of a TLS record: small frames share one */
/* RFC 8446, 5.5: AES-GCM is good for 2^24.5 records under one key. */
#define KEY_RECORDS_MAX (1u << 23)
/* Who sends more often has its frames gathered by another thread, into fewer writes. */
#define AT_ONCE_US   50u
#define AT_ONCE_SIZE (32u << 10) /* a larger frame is always left to another thread */
#define RENEW_PACE_MS   100u /* between two lanes that are dialled anew: a leader does not lose all of its lanes at once */
#define DIGEST_SIZE     32u

struct wire_nng;
struct peer;
struct conn;

struct lane {
    struct peer *peer;
    enum wire_lane number;
    pthread_mutex_t events;
    bool is_quiet; /* under events: no call-back any more */
    pthread_mutex_t lock;
    struct queue queue;
    bool wants_room;
    struct conn *conn;   /* that carries it; NULL: down */
    struct conn *coming; /* dialled, not up yet; or the same as conn */
    atomic_uint resumes; /* wire_resume was called so often */
    /* dialling, by the side with the lower number */
    nng_stream_dialer *dialer;
    char dialer_address[WIRE_ADDRESS_SIZE];
    nng_aio *dial;
    bool is_dialling, is_dialer_spent;
    unsigned failures;
    uint64_t dial_at_ms;
    struct rng rng; /* under lock */
};

struct peer {
    struct wire_nng *w;
    struct list link; /* of wire.gone */
    uint64_t node;
    atomic_uint refs; /* the table (or gone) and each conn */
    atomic_bool is_gone;
    bool is_removed; /* all its life: it left the cluster */
    atomic_bool has_forgotten_us; /* removed, and says that we are no peer of it: it has heard */
    pthread_mutex_t lock;
    char address[WIRE_ADDRESS_SIZE]; /* under lock */
    uint64_t incarnation_max;        /* under lock */
    struct lane lanes[WIRE_LANES];
};

enum conn_state { CONN_HANDSHAKE, CONN_HELLO, CONN_UP, CONN_REFUSED };
enum send_state {
    SEND_IDLE,
    SEND_BUSY,
    SEND_AGAIN
}; /* at rest, at work, at work and to look again */

struct conn {
    struct wire_nng *w;
    struct list link; /* of wire.conns or wire.dead */
    atomic_uint refs;
    bool is_accepted;
    bool is_ending; /* under wire.lock: somebody is about to close it */
    unsigned generation; /* of the files that it was made under */
    unsigned renewal;    /* the generation for which its lane had a turn; the keeper's */
    nng_stream *stream;
    nng_aio *recv, *send;
    nng_aio *at_once; /* what TCP takes without waiting: it never outlives a hold of ops */
    char from[64];                 /* its address, for the log */
    _Atomic(uint64_t) deadline_ms; /* to be up, or to be gone when it is refused; 0: none */
    _Atomic(uint64_t) sent_at_us;
    atomic_bool is_alive_due; /* an empty frame is to be sent */
    atomic_bool is_renewal_due; /* the other end is to be asked to dial anew */

    pthread_mutex_t tls;
    enum conn_state state;
    SSL *ssl;
    struct span in; /* received, not decrypted */
    struct frame_in frame;
    uint8_t *fill; /* encrypted, to be sent after what is being sent; OUT_SIZE_MAX */
    size_t fill_n;
    uint8_t stage[STAGE_SIZE]; /* to be encrypted */
    size_t stage_n;
    uint8_t hello[HELLO_FRAME_SIZE];
    size_t hello_n;
    struct blob *sending; /* a frame that is partly staged */
    size_t sending_at;    /* its lead included */
    uint32_t records;     /* written under the present key */
    bool tells_room;
    bool wants_pause;
    unsigned pause_at; /* lane.resumes when on_frame said so */
    struct peer *peer; /* known after the handshake (accepted), or from the start (dialled) */
    struct hello theirs;
    bool is_attached; /* under lane.events */
    uint64_t up_at_ms;

    pthread_mutex_t ops;
    bool is_closing;
    bool is_paused;
    struct lane *lane; /* set once */
    const char *why;   /* it was closed; the first reason counts */

    atomic_int send_state;
    uint8_t *flight; /* being sent; belongs to who claimed send_state */
    size_t flight_n, flight_at;
    uint8_t in_bytes[IN_SIZE]; /* belongs to the receive operation */
};

struct wire_nng {
    struct wire base;
    struct wire_options o; /* its texts are not kept */
    _Atomic(uint32_t) format_min; /* o.format_min is what it began with */
    char name[WIRE_NAME_SIZE];
    pthread_rwlock_t table;
    struct peer *peers[WIRE_PEERS_MAX];
    size_t peer_count;

    nng_stream_listener *listener;
    nng_aio *accept;
    uint16_t port;

    pthread_mutex_t lock;
    pthread_cond_t wake; /* of the keeper, and of who closes the wire */
    pthread_t keeper;
    bool has_work, is_closing;
    bool is_emptied;    /* closing, and the table is empty: no peer comes to `gone` any more */
    bool accept_failed; /* the keeper begins again at accept_at_ms */
    uint64_t accept_at_ms;
    struct list conns, dead, gone;
    SSL_CTX *ctx;
    uint8_t files[DIGEST_SIZE]; /* of what ctx was made of */
    unsigned generation;        /* grows when that changes; connections of earlier ones are to go */
    uint64_t renew_at_ms, renew_by_ms; /* the next lane; what is left then is closed. 0: nothing is to go */
    uint64_t refusal_logged_ms;
    uint32_t key_records_max;
    uint32_t at_once_us; /* between two writes by who calls wire_send */
};

/* tls.c */
int wire_tls_load(SSL_CTX **out, const struct wire_nng *w, const char *certificate, const char *key,
                  const char *ca, struct errmsg *why);
/* What the context shows and trusts: two of the same digest make no difference to any peer. */
void wire_tls_digest(SSL_CTX *ctx, uint8_t out[DIGEST_SIZE]);
SSL *wire_tls_new(SSL_CTX *ctx, struct conn *c);
/* The name in the peer's certificate; ERR_NOT_FOUND when there is not exactly one of ours. */
int wire_tls_peer_name(SSL *ssl, uint8_t cluster_out[WIRE_CLUSTER_SIZE], uint64_t *node_out);
/* Why a handshake or record failed. *by_peer_out: an alert, it is the other end that refuses. */
enum wire_refusal wire_tls_failure(SSL *ssl, bool *by_peer_out, const char **text_out);

/* conn.c */
/* Takes the stream and, for a dialled one, is the lane's coming conn. */
void wire_conn_start(struct wire_nng *w, nng_stream *stream, struct lane *dialled);
struct conn *wire_conn_ref(struct conn *c);
/* For who found it in wire.conns (and holds wire.lock): false when its last reference has just gone. */
bool wire_conn_try_ref(struct conn *c);
void wire_conn_unref(struct conn *c);
void wire_conn_close(struct conn *c, const char *why);
/* tls is held. Says so to the other end as far as that is possible, then closes. */
void wire_conn_refuse(struct conn *c, enum wire_refusal reason, const char *detail);
void wire_conn_resume(struct conn *c);
/* It has not come up in time, or its place is needed. */
void wire_conn_evict(struct conn *c, enum wire_refusal reason);
void wire_conn_free(struct conn *c); /* the keeper's */

/* conn_send.c */
/* There is something to send: a thread of NNG does it. */
void wire_conn_kick(struct conn *c);
/* The same, but the caller does what goes at once. It holds neither ops nor a lock of the lane. */
void wire_conn_write(struct conn *c);
void wire_conn_on_sent(void *arg);
/* conn_hello.c; tls is held. 0, or the connection was refused. */
void wire_hello_say(struct conn *c, enum wire_refusal refused);
enum wire_refusal wire_hello_check_name(struct conn *c);
enum wire_refusal wire_hello_take(struct conn *c, struct span payload);

/* lane.c */
void wire_lane_init(struct lane *l, struct peer *peer, enum wire_lane number);
void wire_lane_deinit(struct lane *l);
int wire_lane_send(struct lane *l, struct blob *frame);
void wire_lane_resume(struct lane *l);
/* The conn carries the lane from now on; false when it is closing or the peer is gone. tls is held. */
bool wire_lane_attach(struct lane *l, struct conn *c);
void wire_lane_detach(struct lane *l, struct conn *c);
/* tls of c is held. The next frame to be sent, or NULL; *room_out: who was pushed back is to be told. */
struct blob *wire_lane_next(struct lane *l, const struct conn *c, bool *room_out);
void wire_lane_tell_room(struct lane *l, const struct conn *c);
/* Takes the frame. False: read no more. */
bool wire_lane_deliver(struct lane *l, const struct conn *c, struct blob *frame);
void wire_lane_close(struct lane *l, const char *why);
/* Its conn, with a reference, or NULL. */
struct conn *wire_lane_conn(struct lane *l);

/* renew.c */
/* The lane that c carries is to be carried by a new connection: dialled, or asked for. False: one is on its way already. */
bool wire_renew_lane(struct lane *l, struct conn *c);
/* Keeper: gives a lane its turn when that is due; returns when to look again. */
uint64_t wire_renew_turn(struct wire_nng *w, uint64_t now_ms);

/* peer.c */
struct peer *wire_peer_new(struct wire_nng *w, const struct wire_peer *given, bool is_removed);
void wire_peer_free(struct peer *p);
struct peer *wire_peer_find(struct wire_nng *w, uint64_t node); /* with a reference, or NULL */
void wire_peer_unref(struct peer *p);
/* False: an older one than was seen. */
bool wire_peer_saw(struct peer *p, uint64_t incarnation);

/* dial.c */
void wire_dial_init(struct lane *l);
void wire_dial_deinit(struct lane *l); /* keeper; nothing is dialling */
bool wire_dial_is_ours(const struct lane *l);
/* lane.lock is held: a pause from now on, the shortest when the last connection was good. */
void wire_dial_again(struct lane *l, bool was_good);
/* Keeper: begins when it is due; returns when to look again. */
uint64_t wire_dial_turn(struct lane *l, uint64_t now_ms);

/* keeper.c */
void wire_keeper_start(struct wire_nng *w);
void wire_keeper_wake(struct wire_nng *w);
void wire_keeper_bury(struct conn *c);
void wire_keeper_join(struct wire_nng *w); /* when everything is closed */

/* accept.c */
int wire_accept_open(struct wire_nng *w, const char *address, struct errmsg *why);
void wire_accept_again(struct wire_nng *w);
void wire_accept_close(struct wire_nng *w); /* the keeper's */

#endif
