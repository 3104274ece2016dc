/* client - an SMTP client for stories: exact bytes out, lines in, TLS when wished. The server runs
 * in the same thread, so whoever waits here turns its loop meanwhile. */
#ifndef CONFORMANCE_CLIENT_H
#define CONFORMANCE_CLIENT_H

#include "node/net/loop.h"
#include "proto/ground/buf.h"
#include "proto/ground/span.h"

#define CLIENT_WAIT_MS 10000
#define CLIENT_DEAF_MS 500

struct client;
/* narrow: with a small receive buffer, so that a server's answers soon find no room. */
int client_connect(struct client **out, struct loop *l, const char *from, uint16_t port,
                   bool narrow);
void client_free(struct client **c);
/* 0, ERR_TIMEOUT, or ERR_CLOSED. deaf: does not hear meanwhile; ERR_TIMEOUT is then the rule. */
int client_send(struct client *c, struct span bytes, bool deaf);
/* One line without CR LF. ERR_TIMEOUT, ERR_CLOSED, or ERR_SYNTAX for a line that has no CR. */
int client_line(struct client *c, char *out, size_t out_size, unsigned wait_ms);
bool client_has_input(struct client *c,
                      unsigned wait_ms); /* a byte, or the end, comes within that time */
int client_handshake(struct client *c,
                     int version); /* version: 0, or TLS1_2_VERSION ... as the highest */
/* The other side has ended, with nothing said that was not read; on TLS by close_notify. */
int client_closed(struct client *c);
void client_finish(struct client *c); /* sends no more; still hears */
void client_drop(struct client *c);   /* gone, by RST */

#endif
