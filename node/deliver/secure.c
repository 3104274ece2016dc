/* secure - what a route demands of TLS, and what becomes of an address that does not give it (RFC 3207, RFC 7435).
 *
 *     none      never asked for
 *     may       used where it is offered; where it is refused or fails, the address gets the mail in clear, on
 *               a new connection, and is remembered as one of these for DELIVER_CLEAR_MS
 *     encrypt   needed, whoever the other side is
 *     verify    needed, with a certificate of that name from somebody whom the route trusts
 *
 * With an account nothing less than encrypt counts, whatever the route says.
 * Under encrypt and verify no envelope and no content is ever said in clear (conn_ready checks): an address
 * without TLS is of no use, the next one is tried, at last the mail waits.
 */
#include "node/deliver/inside.h"

#include <stdarg.h>
#include <stdio.h>

struct tls *secure_context(const struct conn *c)
{
    const struct deliver_routes *r = c->plan->routes;
    unsigned n = c->plan->p.tls_context;

    CHECK(n <= r->tls_count);
    return n > 0 ? r->tls[n - 1] : c->d->tls;
}

bool secure_is_needed(const struct conn *c)
{
    return c->plan->p.tls >= ROUTER_TLS_ENCRYPT || auth_is_needed(c);
}

bool secure_is_wanted(const struct conn *c)
{
    if (!secure_context(c)) return false;
    return secure_is_needed(c) || (c->plan->p.tls != ROUTER_TLS_NONE && !c->clear_only);
}

/* ---- addresses whose TLS has failed lately */

bool secure_is_clear(const struct deliver *d, const struct stream_address *a)
{
    uint64_t now_ms = deliver_mono_ms(d);

    for (unsigned i = 0; i < DELIVER_CLEAR_MAX; i++) {
        const struct clear *c = &d->clear[i];

        if (c->until_ms > now_ms && c->at.port == a->port && strcmp(c->at.text, a->text) == 0)
            return true;
    }
    return false;
}

/* The one that is forgotten first makes room. */
static void remember(struct deliver *d, const struct stream_address *a)
{
    struct clear *place = &d->clear[0];

    for (unsigned i = 1; i < DELIVER_CLEAR_MAX; i++)
        if (d->clear[i].until_ms < place->until_ms) place = &d->clear[i];
    place->at = *a;
    place->until_ms = deliver_mono_ms(d) + DELIVER_CLEAR_MS;
}

void secure_failed(struct conn *c, const char *enhanced, const char *fmt, ...)
{
    struct verdict v = { .result = ANGARIUM__RESULT__RESULT_DEFERRED, .counts = true };
    va_list args;

    snprintf(v.class, sizeof v.class, "tls");
    snprintf(v.enhanced, sizeof v.enhanced, "%s", enhanced);
    va_start(args, fmt);
    vsnprintf(v.text, sizeof v.text, fmt, args);
    va_end(args);
    metric_add(M_TLS_OUT_FAILED, 1);
    if (secure_is_needed(c) || c->clear_only) {
        conn_leave(c);
        find_failed(c, &v);
        return;
    }
    log_event(LOG_WARN, "conn.clear_retry", LOG_TEXT("remote_host", c->remote.host),
              LOG_TEXT("remote_address", c->remote.address), LOG_TEXT("why", v.text));
    remember(c->d, &c->addresses[c->address]);
    find_again(c);
}
