/* clients - private to accept: what is counted for client addresses and for usernames, over all loops.
 *
 * A tally is what is known of one key: an address (IPv4 whole, IPv6 by /64, since that is what one
 * customer gets), or a username (by a keyed hash, known or not: nobody learns which names exist).
 * Tables are bounded. A tally whose sessions are open stays; of the others the one that was used
 * longest ago goes first, those without failures before those with. When all stay there is no room:
 * a new address is answered as at the limit of all sessions, a new username is not counted.
 */
#ifndef ACCEPT_CLIENTS_H
#define ACCEPT_CLIENTS_H

#include "node/accept/accept.h"

struct tally;

enum clients_answer {
    CLIENTS_COME_IN,
    CLIENTS_ALL_SESSIONS,     /* sessions_max */
    CLIENTS_ALL_MEMORY,       /* sessions_memory_max */
    CLIENTS_TABLE_FULL,       /* clients_max */
    CLIENTS_ADDRESS_SESSIONS, /* address_sessions_max */
    CLIENTS_ADDRESS_RATE,     /* address_rate_max */
};
/* A connection: counted, and *out is set, when the answer is CLIENTS_COME_IN. Every other one counts
 * for the rate only. */
enum clients_answer clients_enter(struct accept_clients *c, const struct stream_address *from,
                                  uint64_t now_ms, struct tally **out);
void clients_leave(struct accept_clients *c, struct tally **address);

/* A session of that username: false: credential_sessions_max, or no room. Else *out is set. */
bool clients_enter_as(struct accept_clients *c, struct span username, uint64_t now_ms,
                      struct tally **out);
void clients_leave_as(struct accept_clients *c, struct tally **username);

/* What a session holds has changed. */
void clients_weigh(struct accept_clients *c, size_t before, size_t after);
bool clients_have_memory(const struct accept_clients *c);

/* ---- AUTH: failures are counted for the address and for the username, each forgets one in
 * auth_forget_ms. */
enum clients_gate {
    CLIENTS_MAY_TRY,
    CLIENTS_ADDRESS_WAITS, /* auth_failures_max from there */
    CLIENTS_USERNAME_WAITS, /* auth_failures_max for it; an address that was right with it before may try */
};
enum clients_gate clients_gate(struct accept_clients *c, struct tally *address,
                               struct span username, uint64_t now_ms);
/* How long the answer shall wait. */
uint64_t clients_failed(struct accept_clients *c, struct tally *address, struct span username,
                        uint64_t now_ms);
void clients_succeeded(struct accept_clients *c, struct tally *address, struct span username);

/* For tests. */
unsigned clients_count(struct accept_clients *c);

#endif
