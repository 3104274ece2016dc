/* stream - a TCP connection on a loop, with TLS inside when wished: bounded out-queue, one write per turn,
 * turn-taking by how much the owner eats. TCP_NODELAY is always set.
 *
 * Reading: on_read(arg, bytes) gives what is there; the owner returns how many bytes it ate. The rest is kept
 *   and shown again, together with new bytes, when more arrives or after stream_read_more(). While
 *   stream_read_pause() holds, nothing is shown and the socket is not read (back-pressure). At most
 *   options.in_bytes_max are kept; a stream that idles keeps none and holds no buffer.
 * Writing: stream_write copies into the out-queue; all of it leaves in one write before the loop sleeps (or
 *   when it passes 64 KiB). Above `out_bytes_max` ERR_FULL, nothing taken. When a queue that was over half
 *   falls under a quarter of the maximum, on_low is called.
 * Ending: stream_close lets the queue leave (at most 5 s), sends close_notify and FIN; stream_abort does not.
 *   After either no call-back but on_closed comes, exactly once, never inside the call; then the stream is
 *   gone. When the peer ends or fails first, on_end(arg, err) is called once (ERR_CLOSED: orderly end;
 *   ERR_IO, ERR_TLS, ERR_TIMEOUT, ERR_REFUSED ...): the owner then calls stream_close or stream_abort.
 */
#ifndef NET_STREAM_H
#define NET_STREAM_H

#include "node/net/loop.h"
#include "node/net/tls.h"
#include "proto/ground/buf.h"

struct stream;

struct stream_address {
    char text[46]; /* numeric, no brackets */
    uint16_t port;
};

struct stream_calls {
    size_t (*on_read)(void *arg, struct span bytes);
    void (*on_low)(void *arg);   /* NULL: not wanted */
    void (*on_ready)(void *arg); /* connected (client), or TLS is established; see stream_tls */
    void (*on_end)(void *arg, int err);
    void (*on_closed)(void *arg);
};
struct stream_options {
    const struct stream_calls *calls; /* must outlive the stream */
    void *arg;
    size_t in_bytes_max, out_bytes_max; /* 0: 64 KiB, 256 KiB */
};

/* Client: connects to a numeric address; from: numeric source address or NULL. on_ready, or on_end. */
int stream_connect(struct stream **out, struct loop *l, const struct stream_address *to,
                   const char *from, unsigned timeout_ms, const struct stream_options *o);

int stream_write(struct stream *s, struct span bytes);
/* The same for what holds a secret: only under TLS (ERR_TLS), and the copies here are wiped when they have left. */
int stream_write_secret(struct stream *s, struct span bytes);
size_t stream_out_bytes(const struct stream *s); /* waiting to leave */
size_t stream_out_room(const struct stream *s);  /* until ERR_FULL */
void stream_flush(struct stream *s);             /* now, not at the end of the turn */
void stream_read_pause(struct stream *s);
void stream_read_more(
    struct stream *s); /* ends a pause; shows kept bytes again soon (not inside the call) */
/* Inside on_read: overwrites a part of what is being shown, which held a secret. */
void stream_wipe(struct stream *s, struct span shown);
/* Bytes received and not yet eaten. For STARTTLS: must be 0 when the reply is sent, else the peer talks early. */
size_t stream_in_bytes(const struct stream *s);

/* The same, and what waits in the socket (in clear): has the peer said something yet? Asks the kernel. */
size_t stream_in_waiting(const struct stream *s);

/* Begins TLS: from here on bytes are TLS records; on_ready when established. Server: after the reply to
 * STARTTLS was written (it leaves first, in clear); what was received in clear and not eaten is dropped.
 * host: for a client the name for SNI (may be NULL). Verification is the context's. */
int stream_tls(struct stream *s, struct tls *ctx, const char *host);
bool stream_has_tls(const struct stream *s); /* established */
const char *
stream_tls_text(const struct stream *s); /* "TLSv1.3 TLS_AES_256_GCM_SHA384", "" in clear */
/* The peer's certificate is valid for the name that stream_tls was told, and from somebody the context trusts. */
bool stream_tls_verified(const struct stream *s);

void stream_close(struct stream **s); /* nulls the owner's pointer */
void stream_abort(struct stream **s);

/* For a human: why it ended ("connection reset by peer", "certificate has expired"); "" before. */
const char *stream_why(const struct stream *s);
const struct stream_address *stream_peer(const struct stream *s);
const struct stream_address *stream_self(const struct stream *s);
struct loop *stream_loop(const struct stream *s);
void stream_set_arg(struct stream *s, const struct stream_calls *calls, void *arg);

/* Listening: each loop opens its own socket on the same address (SO_REUSEPORT). The owner takes a new
 * connection with stream_accept inside on_connection, or it is closed. */
struct listener;
struct listener_options {
    struct stream_address at; /* text "0.0.0.0", "::", or an address; port 0: any */
    int backlog;              /* 0: 1024 */
    int *socket;              /* of listener_socket, taken on success; NULL: it opens its own */
    void (*on_connection)(void *arg, struct listener *li);
    /* NULL: at once. Nobody is taken in before this has said true, asked every LISTENER_LOOK_MS; who comes waits in the backlog. */
    bool (*may_begin)(void *arg);
    void *arg;
};
#define LISTENER_LOOK_MS 20
/* A socket that listens, for a listener of another loop that is opened later. alone: refused (ERR_BUSY) while anybody is
 * there. Any thread. */
int listener_socket(const struct stream_address *at, int backlog, bool alone, int *out,
                    struct errmsg *why);
int listener_open(struct listener **out, struct loop *l, const struct listener_options *o,
                  struct errmsg *why);
int stream_accept(struct stream **out, struct listener *li, const struct stream_options *o);
uint16_t listener_port(const struct listener *li);
void listener_close(struct listener **li);

/* "127.0.0.1:25", "[::1]:25" to an address; 0 or ERR_SYNTAX (names are not resolved). */
int stream_address_parse(struct span text, struct stream_address *out);

/* Where a listener at `at` is reached: itself, or for "0.0.0.0" and "::" the addresses of this host's
 * interfaces now. Returns how many, at most max. */
unsigned stream_own_addresses(const struct stream_address *at, struct stream_address *out,
                              unsigned max);

#endif
