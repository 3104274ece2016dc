/* certificates - from the settings to watches of certificate files. */
#include "node/certificates.h"

#include <stdlib.h>

#include "proto/ground/check.h"

static bool is_set(const char *text)
{
    return text && *text;
}

static int open_smtp(struct certificates *out, struct tls_watch_options *o,
                     const struct settings *s, struct errmsg *why)
{
    struct tls_pair *pairs = check_calloc(s->certificate_count + 1, sizeof *pairs);
    int rv;

    pairs[0] = (struct tls_pair){ s->tls.certificate, s->tls.key };
    for (unsigned i = 0; i < s->certificate_count; i++)
        pairs[i + 1] = (struct tls_pair){ s->certificates[i].certificate, s->certificates[i].key };
    o->use = "smtp";
    o->pairs = pairs;
    o->pair_count = s->certificate_count + 1;
    rv = tls_watch_open(&out->smtp, o, why);
    free(pairs);
    return rv;
}

static int open_http(struct certificates *out, struct tls_watch_options *o,
                     const struct settings *s, struct errmsg *why)
{
    struct tls_pair pair = { s->http.certificate, s->http.key };

    o->use = "http";
    o->pairs = &pair;
    o->pair_count = 1;
    return tls_watch_open(&out->http, o, why);
}

static int open_peers(struct certificates *out, struct tls_watch_options *o,
                      const struct settings *s, struct errmsg *why)
{
    struct tls_pair pair = { s->cluster.certificate, s->cluster.key };

    o->use = "peers";
    o->pairs = &pair;
    o->pair_count = 1;
    o->beside = s->cluster.ca;
    return tls_watch_open(&out->peers, o, why);
}

int certificates_open(struct certificates *out, struct loop *loop, const struct settings *s,
                      struct tls_tickets *tickets, const struct certificates_calls *calls,
                      struct errmsg *why)
{
    struct tls_watch_options o = {
        .loop = loop, .tickets = tickets, .warn_days = (unsigned)s->tls.warn_days, .arg = calls->arg
    };
    int rv = 0;

    *out = (struct certificates){ 0 };
    o.on_change = calls->on_smtp;
    if (is_set(s->tls.certificate)) rv = open_smtp(out, &o, s, why);
    o.on_change = calls->on_http;
    if (rv == 0 && is_set(s->http.certificate)) rv = open_http(out, &o, s, why);
    o.on_change = calls->on_peers;
    if (rv == 0 && is_set(s->cluster.certificate)) rv = open_peers(out, &o, s, why);
    if (rv != 0) certificates_close(out);
    return rv;
}

void certificates_start(struct certificates *c)
{
    if (c->smtp) tls_watch_start(c->smtp);
    if (c->http) tls_watch_start(c->http);
    if (c->peers) tls_watch_start(c->peers);
}

void certificates_close(struct certificates *c)
{
    tls_watch_close(&c->smtp);
    tls_watch_close(&c->http);
    tls_watch_close(&c->peers);
}

struct tls *certificates_smtp(const struct certificates *c)
{
    return c->smtp ? tls_watch_current(c->smtp) : NULL;
}

struct tls *certificates_http(const struct certificates *c)
{
    return c->http ? tls_watch_current(c->http) : NULL;
}

struct tls *certificates_peers(const struct certificates *c)
{
    return c->peers ? tls_watch_current(c->peers) : NULL;
}
