/* tls_watch - certificates of a server as they stand on the disk: read at first, looked at every TLS_WATCH_MS (by
 * the DISK pool, no loop waits), read anew when a file has changed, told of before they expire.
 *
 * Files are compared by what stat(2) tells through all links, so that a rename, a write in place and a swapped link
 * (Kubernetes secrets, certbot's live/) are all noticed. Files that do not fit together (a certificate whose key has
 * not come yet, half a file) change nothing: what was in force stays so, and one log line says why; they are read
 * again when they change again.
 *
 * Log lines: tls.certificate (each that comes into force, with its pins), tls.certificate_expires (once for each of
 * the days warn_days, 14, 7, 3, 1, and 0: it has expired), tls.reloaded, tls.reload_refused.
 */
#ifndef NET_TLS_WATCH_H
#define NET_TLS_WATCH_H

#include "node/net/loop.h"
#include "node/net/tls.h"

#define TLS_WATCH_MS 5000

struct tls_watch;
struct tls_watch_options {
    struct loop *loop;            /* its owner's; call-backs come there */
    const char *use;              /* a literal for log lines and metrics: "smtp", "http", "peers" */
    const struct tls_pair *pairs; /* copied */
    unsigned pair_count;
    const char *beside; /* another file whose change counts, which is not read here; copied; may be NULL */
    struct tls_tickets *tickets; /* referenced; may be NULL */
    unsigned warn_days;          /* the first warning before a certificate expires */
    unsigned every_ms;           /* 0: TLS_WATCH_MS */
    void (*on_change)(void *arg,
                      struct tls *fresh); /* borrowed; never inside a call of the owner */
    void *arg;
};
/* Reads the files now: ERR_TLS when they cannot serve. */
int tls_watch_open(struct tls_watch **out, const struct tls_watch_options *o, struct errmsg *why);
/* What is in force: borrowed, until on_change or close. */
struct tls *tls_watch_current(const struct tls_watch *w);
/* Begins to look: on_change may come from here on. */
void tls_watch_start(struct tls_watch *w);
void tls_watch_close(struct tls_watch **w); /* takes NULL; no call-back comes any more */

/* How urgent it is: 0 not at all, then one more for each of warn_days, 14, 7, 3, 1 that has been reached, and one
 * for "expired". */
unsigned tls_expiry_stage(int64_t days_left, unsigned warn_days);

#endif
