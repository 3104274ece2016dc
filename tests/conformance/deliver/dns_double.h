/* dns_double - stands where the resolver stands: answers from a table that the story wrote. */
#ifndef CONFORMANCE_DNS_DOUBLE_H
#define CONFORMANCE_DNS_DOUBLE_H

#include "node/net/dns.h"

struct dns *double_dns_open(struct loop *l);
void double_dns_close(struct dns **d);
/* An MX host with its preference, or an address, of `name`. */
void double_dns_add(struct dns *d, enum dns_type type, const char *name, const char *answer,
                    uint16_t preference);
/* What is asked for `name` ends so; `why` (not copied) when it fails. Names that were never named have no
 * name. */
void double_dns_status(struct dns *d, enum dns_type type, const char *name, enum dns_status status,
                       const char *why);

#endif
