/* deliver - a promise becomes a remote host's reply: takes due recipients of the shards that this
 * node leads, asks the router, speaks SMTP as a client (RFC 5321, 3207, 2920, 1870, 6152), proposes
 * outcomes.
 *
 * Way:     pump (due index by time marks lanes ready) -> lane (one destination: its own cursor in
 * the due index by destination) -> router (plan, slot) -> connection (reused) -> transaction: claim
 * is proposed beside MAIL/RCPT, the final dot waits for it (P2) -> reply -> commit_outcome.
 * Fairness: a lane reads only its own index, waits only for its own site's slots; one slow or dead
 *          destination never stands before another.
 * Bounds:  lanes, connections, recipients in the air; reading stops when they are reached.
 * Threads: one deliver per loop, for the shards of that loop.
 */
#ifndef DELIVER_DELIVER_H
#define DELIVER_DELIVER_H

#include "node/commit/commit.h"
#include "node/login/login.h"
#include "node/net/dns.h"
#include "node/net/stream.h"
#include "node/net/tls.h"
#include "router/router.h"

#define DELIVER_OWN_MAX 64u

/* What the rules of a router mean by their numbers: shared by all loops, replaced with the rules. */
struct deliver_routes;
/* tls[n - 1] is context n of a rule, logins[n - 1] login n; all are referenced. */
struct deliver_routes *deliver_routes_new(struct tls *const *tls, unsigned tls_count,
                                          struct login *const *logins, unsigned login_count);
struct deliver_routes *deliver_routes_ref(struct deliver_routes *r); /* any thread */
void deliver_routes_unref(struct deliver_routes **r);                /* any thread */

struct deliver;
struct deliver_options {
    struct loop *loop;
    struct commit *commit;
    struct dns *dns; /* borrowed */
    struct tls *tls; /* client context for opportunistic TLS, referenced */
    struct deliver_routes *routes; /* referenced; NULL: no rule has a context or a login */
    const char *hostname; /* for EHLO; copied */
    /* Where this relay listens for other relays: an MX that leads there is ourselves (RFC 5321 5.1). Copied. */
    const struct stream_address *own;
    unsigned own_count; /* at most DELIVER_OWN_MAX */
    uint64_t node;
    struct router_options router;
    const char *inbox_dir;                    /* for ROUTER_VIA_INBOX; copied; NULL: not there */
    unsigned connections_max;                 /* of this loop: 200 */
    unsigned lanes_max;                       /* 16384 */
    unsigned recipients_per_transaction_max;  /* 100 */
    unsigned transactions_per_connection_max; /* 100 */
    uint64_t idle_ms;                         /* a connection without work is kept so long: 3 s */
    uint64_t delay_dsn_ms;                    /* a mail that waits so long is late: 4 h */
    uint64_t connect_timeout_ms, greeting_timeout_ms, command_timeout_ms, data_timeout_ms,
        dot_timeout_ms;
};
void deliver_options_default(struct deliver_options *o);
int deliver_new(struct deliver **out, const struct deliver_options *o, struct errmsg *why);
/* Cuts everything off: what was claimed and has no outcome is in doubt. */
void deliver_free(struct deliver **d);
/* For reload: router, routes, own, limits and times of *o count from now on. A transaction that runs is ended as it began;
 * then its connection is of the past, and so are idle ones and every plan. On the loop. */
void deliver_set_options(struct deliver *d, const struct deliver_options *o);
int deliver_options_check(const struct deliver_options *o, struct errmsg *why); /* 0, ERR_CONFIG */
/* Takes no new work; transactions that run are ended. On the loop. */
void deliver_drain(struct deliver *d);
bool deliver_is_idle(const struct deliver *d);

/* Inbox: the path of a kept message's file in inbox_dir, "ID.RECIPIENT.eml". */
void deliver_inbox_path(const char *inbox_dir, uint64_t id, uint32_t recipient, char *out,
                        size_t out_size);

#endif
