/* wire - a non-blocking connection with buffers, in clear or under TLS, for the load tools. */
#ifndef BENCH_WIRE_H
#define BENCH_WIRE_H

#include <openssl/ssl.h>
#include <sys/socket.h>

#include "tests/bench/letter.h"

struct wire {
    int fd; /* -1: closed */
    SSL *ssl;
    SSL_SESSION *session; /* the newest that a server gave, for the next connection; NULL: none */
    bool quickack; /* acknowledge at once, as no ordinary client does */
    struct bytes in, out;
    size_t in_at, out_at; /* what is consumed, what is written */
};

enum wire_turn { WIRE_BROKEN = -1, WIRE_WAIT = 0, WIRE_MOVED = 1 };

struct wire_address {
    struct sockaddr_storage addr;
    socklen_t n;
};

/* "HOST:PORT" with a numeric host, or ends the process with a message. */
void wire_address(const char *text, struct wire_address *out);
/* A listening socket; ends the process when it cannot be had. */
int wire_listen(const char *text);
/* Begins to connect; false when that fails at once. */
bool wire_connect(struct wire *w, const struct wire_address *to);
void wire_adopt(struct wire *w, int fd);
void wire_close(struct wire *w);

/* For clients. resume: each wire offers the newest session that it was given on its next connection (RFC 5077,
 * RFC 8446 2.2), as a mail server with a cache of sessions does; else every handshake is a full one. ca: NULL: any
 * certificate will do; ends the process when it cannot be read. */
SSL_CTX *wire_context(const char *ca, bool resume);
/* TLS as a client on what is connected; then wire_handshake until it says WIRE_MOVED. */
void wire_tls(struct wire *w, SSL_CTX *ctx);
enum wire_turn wire_handshake(struct wire *w);

/* Reads once; WIRE_MOVED: there may be more. */
enum wire_turn wire_fill(struct wire *w);
/* Writes all that goes; WIRE_MOVED: nothing is left. */
enum wire_turn wire_flush(struct wire *w);
/* The next whole line without its end, valid until the next wire_fill; NULL when there is none. */
char *wire_line(struct wire *w, size_t *n);

/* Microseconds of a clock that never goes back. */
uint64_t wire_now_us(void);

#endif
