/* network - IPv4 and IPv6 networks in CIDR form (RFC 4632, RFC 4291 2.3), and what is in them. Pure. */
#ifndef GROUND_NETWORK_H
#define GROUND_NETWORK_H

#include "proto/ground/span.h"

struct network {
    uint8_t address[16]; /* IPv4 as mapped: ::ffff:192.0.2.0 */
    unsigned bits;       /* 0..128, of the mapped form */
};

/* A numeric address, no brackets, IPv4 also as mapped; 0 or ERR_SYNTAX. */
int network_address_parse(const char *text, uint8_t out[16]);
/* "192.0.2.0/24", "2001:db8::/32", or one address. 0; ERR_SYNTAX: it is none; ERR_RANGE: the prefix is
 * too long, or bits are set behind it ("192.0.2.1/24"). */
int network_parse(struct span text, struct network *out);
bool network_has(const struct network *n, const uint8_t address[16]);

/* Takes the next network off a list with commas between; spaces do not matter. ERR_CLOSED: there is no
 * more; else as network_parse. */
int network_list_next(struct span *list, struct network *out);
/* Is the address in one of the list's networks? An empty list has everything, a wrong one nothing more. */
bool network_list_has(struct span list, const char *address);

#endif
