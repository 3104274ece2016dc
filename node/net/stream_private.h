/* stream_private - what the files of a stream know of it: stream.c (queues and endings),
 * stream_tcp.c (libuv), stream_tls.c (OpenSSL), listener.c. Nobody else includes this.
 *
 * Way in:  socket -> loop's read buffer -> [TLS: loop's plain buffer] -> on_read; the rest into
 * `in`. Way out: stream_write -> [TLS: plain ->] queue -> the socket at the end of the turn; what
 * the socket does not take becomes `wire`, which is libuv's until it is written.
 */
#ifndef NET_STREAM_PRIVATE_H
#define NET_STREAM_PRIVATE_H

#include <sys/socket.h>

#include "node/net/loop_private.h"
#include "node/net/stream.h"
#include "node/net/tls_private.h"

enum stream_state {
    STREAM_CONNECTING,
    STREAM_OPEN,
    STREAM_CLOSING, /* stream_close: the queue leaves, what comes is thrown away */
    STREAM_GONE,    /* only on_closed is left */
};

enum stream_soon { STREAM_SOON_SHOW = 1, STREAM_SOON_LOW = 2, STREAM_SOON_END = 4 };

struct stream_tls {
    struct tls *ctx; /* referenced: its call-backs look at it */
    SSL *ssl;
    struct span feed; /* records that came in and OpenSSL has not yet read */
    struct buf plain; /* waiting to become records */
    bool has_name;    /* whom the peer must be is known */
    bool established;
    bool has_secret; /* plain is wiped when it has become records */
    bool failed;     /* no more use of ssl but to free it */
    char text[64];
};

struct stream {
    struct list link, soon, dirty; /* in the loop's lists */
    struct loop *loop;
    const struct stream_calls *calls;
    void *arg;
    size_t in_max, out_max;

    enum stream_state state;
    unsigned soon_what;
    bool client;
    bool paused;
    bool reading;    /* libuv watches the socket */
    bool drop_shown; /* stream_tls inside on_read: forget the rest of what is shown */
    bool was_high;   /* on_low is owed once the queue is low */
    bool writing;    /* libuv has `wire` */
    bool goodbye;    /* close_notify is written, or not to be written */
    bool fin_sent, fin_done, fin_received;
    bool end_due, end_told;
    bool broken; /* the socket takes no more */
    int end_err;
    const char *why;
    size_t showing; /* bytes in on_read now */

    struct buf in, queue, wire;
    struct stream_tls *tls;
    struct loop_timer timer; /* connect, close */
    struct stream_address peer, self;
    uv_tcp_t tcp;
    uv_write_t write;
    union {
        uv_connect_t connect;
        uv_shutdown_t shutdown;
    } req;
};

/* stream.c */
struct stream *stream_new(struct loop *l, bool client, const struct stream_options *o);
void stream_connected(struct stream *s, int uv_err);
void stream_input(struct stream *s, struct span plain);      /* bytes for the owner */
void stream_written(struct stream *s, int uv_err);           /* `wire` is libuv's no more */
void stream_shut(struct stream *s);                          /* FIN has left */
void stream_end(struct stream *s, int err, const char *why); /* the peer or the path ended it */
bool stream_wants_reading(const struct stream *s);
void stream_update_reading(
    struct stream *s); /* starts it; it stops when something comes that is not wanted */
void stream_mark_dirty(struct stream *s);
void stream_want_low(struct stream *s); /* on_low once it is low, however full it was */
void stream_destroy(struct stream *s);
void stream_freed(struct stream *s); /* libuv has let go */
/* Gives memory back when nothing is in it. */
void stream_buf_free(struct buf *b);

/* stream_tcp.c */
int tcp_address(const struct stream_address *a, uint16_t port, struct sockaddr_storage *out);
void tcp_address_text(const struct sockaddr_storage *sa, struct stream_address *out);
socklen_t tcp_address_size(const struct sockaddr_storage *sa);
int tcp_socket(const struct sockaddr_storage *sa, int *fd_out); /* 0 or -errno */
int tcp_open(struct stream *s, int fd);                         /* takes fd when 0 */
int tcp_connect(struct stream *s, const struct sockaddr_storage *to);
void tcp_read_start(struct stream *s);
size_t tcp_in_waiting(const struct stream *s); /* bytes that the kernel has for us */
/* Writes the queue: at once what the socket takes, the rest as `wire`. A libuv error when broken.
 */
int tcp_write(struct stream *s);
void tcp_shutdown(struct stream *s);
void tcp_close(struct stream *s);

/* stream_tls.c */
void tls_start(struct stream *s); /* the first flight of a client */
void tls_take(struct stream *s, struct span records);
void tls_encrypt(struct stream *s);
void tls_goodbye(struct stream *s);
void tls_free(struct stream *s);

/* For tests and benches: writes to sockets by all streams of the process. */
uint64_t stream_writes_total(void);

#endif
