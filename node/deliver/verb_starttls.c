/* verb_starttls - TLS (RFC 3207): what becomes of an address that refuses it or fails is secure.c's.
 */
#include "node/deliver/inside.h"

void say_starttls(struct conn *c)
{
    conn_say(c, STEP_STARTTLS, SPAN_LIT("STARTTLS\r\n"), 1);
}

void hear_starttls(struct conn *c, const struct smtp_reply *r)
{
    const struct router_host *h = &c->plan->p.hosts[c->host];

    if (!reply_is(r, 2)) {
        secure_failed(c, "4.7.4", "%s answered STARTTLS with %u %s", c->remote.host, r->code,
                      r->text);
        return;
    }
    c->tls_begun = true;
    conn_wait_for(c, c->d->o.command_timeout_ms);
    if (stream_tls(c->stream, secure_context(c), h->name) != 0)
        secure_failed(c, "4.7.5", "TLS with %s could not begin", c->remote.host);
}
