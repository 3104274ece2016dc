/* dns - names to facts, on the loop (libunbound: caching by TTL, validating when a root key is there).
 * Bounded: over DNS_QUERIES_MAX in flight ERR_FULL. A query is embedded in its owner; dns_cancel makes sure
 * that on_done does not come. on_done never comes inside dns_ask. */
#ifndef NET_DNS_H
#define NET_DNS_H

#include "node/net/loop.h"

#define DNS_QUERIES_MAX 1024
#define DNS_ANSWERS_MAX 32
#define DNS_TIME_MS     30000

struct dns;
/* resolver: "127.0.0.1:5353" (only that one is asked, TCP fallback included) or NULL: the system's
 * /etc/resolv.conf. */
/* dns_close: queries in flight get no on_done. */
int dns_open(struct dns **out, struct loop *l, const char *resolver, struct errmsg *why);
void dns_close(struct dns **d);

enum dns_type { DNS_MX, DNS_ADDRESS /* A and AAAA, both asked, A first */ };
enum dns_status { DNS_OK, DNS_NO_DATA, DNS_NO_NAME, DNS_FAILED /* SERVFAIL, time-out, bogus */ };
struct dns_answer {
    char text[256]; /* host name without trailing dot ("" for the root: null MX), or an address */
    uint16_t preference; /* MX */
};
struct dns_query {
    void (*on_done)(struct dns_query *q);
    enum dns_status status;
    struct dns_answer answers[DNS_ANSWERS_MAX];
    unsigned count;
    char why[128]; /* when it failed */
    /* private */
    struct dns *dns;
    void *inflight[2];
    unsigned left;
    struct list link;
    struct loop_timer limit; /* on_done comes in DNS_TIME_MS at the latest */
};
/* MX come with the best preference first. ERR_SYNTAX: no name that can be asked for; ERR_FULL. */
int dns_ask(struct dns *d, struct dns_query *q, enum dns_type type, const char *name);
void dns_cancel(struct dns_query *q);

#endif
