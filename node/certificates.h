/* certificates - what the node shows: one watch for the SMTP listeners, one for HTTP, one for its peers, by the settings. */
#ifndef NODE_CERTIFICATES_H
#define NODE_CERTIFICATES_H

#include "node/net/tls_watch.h"
#include "node/settings/settings.h"

struct certificates {
    struct tls_watch *smtp, *http, *peers; /* NULL: none in the settings */
};
struct certificates_calls {
    void (*on_smtp)(void *arg, struct tls *fresh);
    void (*on_http)(void *arg, struct tls *fresh);
    /* A file of the peers has changed: the certificate, its key or the CA. The wire reads them itself. */
    void (*on_peers)(void *arg, struct tls *fresh);
    void *arg;
};
/* Reads them; on loop, which is where calls come after certificates_start. ERR_TLS: nothing was opened. */
int certificates_open(struct certificates *out, struct loop *loop, const struct settings *s,
                      struct tls_tickets *tickets, const struct certificates_calls *calls,
                      struct errmsg *why);
void certificates_start(struct certificates *c);
void certificates_close(struct certificates *c);             /* may be called twice */
struct tls *certificates_smtp(const struct certificates *c); /* borrowed; NULL: none */
struct tls *certificates_http(const struct certificates *c);
struct tls *certificates_peers(const struct certificates *c);

#endif
