/* dns_parse - record data as it stands in answers, to text. Pure, and made for data from strangers.
 */
#ifndef NET_DNS_PARSE_H
#define NET_DNS_PARSE_H

#include "node/net/dns.h"

/* An uncompressed name that fills `wire` exactly: lower case, without trailing dot, "" for the
 * root. ERR_SYNTAX also for labels with other bytes than letters, digits, '-' and '_': no host is
 * called so. */
int dns_parse_name(struct span wire, char out[256]);
int dns_parse_mx(struct span rdata, struct dns_answer *out);
/* Four bytes or sixteen. */
int dns_parse_address(struct span rdata, struct dns_answer *out);
/* Whether text can be asked for: labels of 1..63 bytes of the same letters, 253 in all, one dot at
 * the end allowed. */
bool dns_name_is_valid(const char *name);
/* Puts `a` where its preference belongs, behind equal ones; what no longer fits falls off the end.
 */
void dns_insert_mx(struct dns_answer *answers, unsigned *count, const struct dns_answer *a);

#endif
