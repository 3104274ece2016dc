/* address - mailboxes in the envelope (RFC 5321 4.1.2, 4.1.3; RFC 6531 3.3). Pure. Spans borrow from the
 * input. */
#ifndef SMTP_ADDRESS_H
#define SMTP_ADDRESS_H

#include <stdbool.h>
#include "proto/ground/buf.h"
#include "proto/ground/span.h"

#define SMTP_LOCAL_SIZE_MAX  64  /* RFC 5321 4.5.3.1.1 */
#define SMTP_DOMAIN_SIZE_MAX 255 /* RFC 5321 4.5.3.1.2 */
#define SMTP_ADDRESS_SIZE_MAX                                                                      \
    254 /* RFC 5321 4.5.3.1.3: a path of 256, with its brackets and without its route */

struct smtp_address {
    struct span text;   /* "local@domain" without brackets and source route; empty: <> */
    struct span local;  /* as written, quotes included */
    struct span domain; /* as written; "[...]" for a literal */
    bool is_literal;
    bool is_utf8; /* has bytes over 127: legal only where SMTPUTF8 was asked for (RFC 6531) */
};

/* What stands between < and > (source routes are dropped, RFC 5321 F.2). allow_empty: <> is legal; for
 * RCPT "postmaster" alone is legal (RFC 5321 4.5.1): domain is then empty. 0 or ERR_SYNTAX, ERR_TOO_LONG.
 * UTF-8 is taken where it is well-formed, has no controls (C1, line separators, overrides of direction) and
 * its domain has an A-label form; who cannot use such an address has to ask is_utf8. */
int smtp_address_parse(struct span inside, bool allow_empty, bool allow_postmaster,
                       struct smtp_address *out);
/* The domain as the queue keys it and DNS is asked for it: lower case, no trailing dot, A-labels (RFC 5890, by
 * libidn2, non-transitional UTS 46); literals as "[1.2.3.4]". Appends to out. 0, or ERR_SYNTAX: a UTF-8
 * domain without such a form (nothing is appended; never for a domain that smtp_address_parse took). */
int smtp_domain_key(struct span domain, struct buf *out);
/* The address as a host without SMTPUTF8 takes it: its domain in A-labels. ERR_SYNTAX (nothing is appended): its
 * local part is not ASCII, it has no such form. `text` is an address that smtp_address_parse took, or empty. */
int smtp_address_ascii(struct span text, struct buf *out);
bool smtp_is_ascii(struct span s);
/* Letters, digits, hyphens, dots (underscore tolerated); labels 1-63. ASCII only. */
bool smtp_domain_ok(struct span domain);
/* "[192.0.2.1]" or "[IPv6:...]" (RFC 5321 4.1.3): the bare address text. 0 or ERR_SYNTAX. */
int smtp_literal_parse(struct span domain, char out[46], bool *is_ipv6_out);

#endif
