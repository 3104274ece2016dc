/* router - the choice: which next hop, how many at once, when to try again, what a reply means. Pure: no
 * clock, no socket, no DNS; times, random numbers and DNS facts are arguments. One router per loop.
 *
 * Words: destination (the recipient's domain), site (hosts that are reached alike: a fixed next hop, or an
 * MX set), lane (the work for one destination), plan (what to do now, with the reason in words).
 */
#ifndef ROUTER_ROUTER_H
#define ROUTER_ROUTER_H

#include "proto/ground/rng.h"
#include "proto/ground/span.h"

struct router;

/* MAY: opportunistic (RFC 3207, RFC 7435); ENCRYPT: never in clear; VERIFY: and only to whom the certificate
 * names. */
enum router_tls { ROUTER_TLS_NONE, ROUTER_TLS_MAY, ROUTER_TLS_ENCRYPT, ROUTER_TLS_VERIFY };

enum router_via { ROUTER_VIA_MX, ROUTER_VIA_HOST, ROUTER_VIA_INBOX };
struct router_rule {
    char match[256]; /* "*", "example.test", or ".example.test" (its subdomains) */
    enum router_via via;
    char host[256]; /* HOST: name or address */
    uint16_t port;  /* HOST; MX always uses options.mx_port */
    enum router_tls tls;
    unsigned
        tls_context; /* handed on to the plan; what it means is the caller's: whom to trust, versions */
    unsigned login;  /* HOST: the same, of the account to log in with; 0: none */
};

struct router_options {
    const struct router_rule *rules; /* first match wins; none: MX */
    unsigned rule_count;
    uint16_t mx_port;              /* 25 */
    unsigned site_connections_max; /* at once to one site, of this router; default 20 */
    unsigned sites_max;            /* kept in memory; default 4096 */
    /* retry schedule (attempt n): base * 2^(n-1), at most cap, +- jitter_permille */
    uint64_t retry_base_ms, retry_cap_ms;
    unsigned retry_jitter_permille;
    /* a site that cannot be reached is probed, not stormed: pause = base * 2^(failures-1), at most cap */
    uint64_t pause_base_ms, pause_cap_ms;
    unsigned pause_after_failures; /* connection failures in a row; default 3 */
    uint64_t seed;
};
void router_options_default(struct router_options *o);
struct router *router_new(const struct router_options *o);
/* Other rules and numbers from now on; what is known of sites stays, and so do sites_max and the seed. Slots that are taken
 * are kept, also when they are more than the new site_connections_max. */
void router_set_options(struct router *r, const struct router_options *o);
void router_free(struct router **r);

/* ---- where */

enum router_plan_kind {
    ROUTER_NEED_MX, /* ask DNS: MX of plan.name, then give router_mx_plan the facts */
    ROUTER_HOSTS,   /* try plan.hosts in order */
    ROUTER_INBOX,   /* keep in the built-in inbox */
    ROUTER_BOUNCE,  /* never: plan.code, plan.enhanced, plan.why */
    ROUTER_DEFER,   /* later: plan.why */
};
#define ROUTER_HOSTS_MAX 16
struct router_host {
    char name[256]; /* host name or address text, no brackets */
    uint16_t port;
    uint16_t preference; /* of its MX; others: 0 */
    bool is_address;
};
struct router_plan {
    enum router_plan_kind kind;
    struct router_host hosts[ROUTER_HOSTS_MAX];
    unsigned host_count;
    char site
        [300]; /* names the site: "host:port", "host:port#login", or the sorted MX set's first name */
    enum router_tls tls;
    unsigned tls_context, login;
    bool is_fixed;  /* HOSTS: a rule named the host; else DNS or the address did */
    char name[256]; /* NEED_MX */
    unsigned code;
    char enhanced[16];
    char class[32];
    char why[256]; /* in words, for log and API */
};
/* What DNS said of the MX of a domain. */
enum router_dns { ROUTER_DNS_OK, ROUTER_DNS_NO_DATA, ROUTER_DNS_NO_NAME, ROUTER_DNS_FAILED };
struct router_mx {
    char host[256];
    uint16_t preference;
};
void router_choose(struct router *r, struct span domain, struct router_plan *out);
/* RFC 5321 5.1: by preference, equal ones shuffled; no MX: the domain itself; null MX (RFC 7505): bounce;
 * no such domain: bounce; failure: defer; ourselves in the list (self_name): the hosts of equal or greater
 * preference are dropped, none left: bounce 5.4.6. */
void router_mx_plan(struct router *r, struct span domain, enum router_dns dns,
                    const struct router_mx *mx, unsigned mx_count, struct span self_name,
                    struct router_plan *out);

/* ---- how many at once: a lane asks for a slot before it connects, and gives it back. */

enum router_slot { ROUTER_SLOT_YES, ROUTER_SLOT_BUSY /* wait for a release */, ROUTER_SLOT_PAUSED };
/* YES: one connection to the site is yours until router_slot_release. PAUSED: not before *until_ms. At the
 * end of a pause one probe is let through; others wait for it. BUSY with *until_ms > 0: sites_max sites are
 * in use and this one is not known, so no release will tell: ask again then. */
enum router_slot router_slot_take(struct router *r, const char *site, uint64_t now_ms,
                                  uint64_t *until_ms);
enum router_result {
    ROUTER_CONN_OK,     /* it spoke SMTP and took or refused mail as servers do */
    ROUTER_CONN_FAILED, /* no connection, no greeting, 421, broken in the middle */
    ROUTER_CONN_UNUSED,
};
/* True: the site had waiters (a take that was BUSY since): lanes of it should ask again. */
bool router_slot_release(struct router *r, const char *site, enum router_result result,
                         uint64_t now_ms);

/* ---- when again */

/* Time of the next attempt after `attempts` (>= 1) tries; never over expires_at_ms, never before now_ms.
 * hint_ms 0: by the schedule. Else the host named a time (router_hint_ms): not before it, and not later than
 * ROUTER_HINT_SLACK_MS and a tenth after it. Only when a host has been taken at its word
 * ROUTER_HINT_TRUST_MAX times, the schedule counts again, where it is later. */
#define ROUTER_HINT_SLACK_MS  5000u
#define ROUTER_HINT_TRUST_MAX 4u
uint64_t router_retry_at_ms(struct router *r, unsigned attempts, uint64_t hint_ms, uint64_t now_ms,
                            uint64_t expires_at_ms);
/* In how many ms the host wants to be tried again, by the words of its reply: 0, it did not say; else from
 * ROUTER_HINT_MIN_MS to ROUTER_HINT_MAX_MS. wall_ms: now, for replies with a date. */
#define ROUTER_HINT_MIN_MS 30000u
#define ROUTER_HINT_MAX_MS 86400000u
uint64_t router_hint_ms(unsigned code, const char *enhanced, const char *text, uint64_t wall_ms);

/* ---- what a reply means */

enum router_verdict { ROUTER_DELIVERED, ROUTER_LATER, ROUTER_NEVER };
enum router_stage {
    ROUTER_AT_GREETING,
    ROUTER_AT_HELO,
    ROUTER_AT_MAIL,
    ROUTER_AT_RCPT,
    ROUTER_AT_DATA,
    ROUTER_AT_DOT
};
struct router_meaning {
    enum router_verdict verdict;
    const char
        *class;     /* "ok", "user_unknown", "mailbox_full", "too_large", "greylist", "throttled",
                              "policy", "spam", "auth", "protocol", "unavailable", "connect", "timeout",
                              "bad_domain", "bad_address", "bad_sender", "mailbox_disabled", "content",
                              "too_many_recipients", "relay_denied", "loop", "tls", "login", "refused" */
    bool closes;    /* use the connection no more (421) */
    bool next_host; /* worth trying the next host of the plan (greeting 5yz/4yz, 421) */
};
/* For replies that end something: 2yz and 3yz are meant only where the lane did not want them, except 2yz
 * at AT_DOT. code 0: no reply (text: why). `enhanced` and `text` may be "" or NULL. */
void router_classify(enum router_stage stage, unsigned code, const char *enhanced, const char *text,
                     struct router_meaning *out);

#endif
