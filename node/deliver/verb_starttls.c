/* verb_starttls - opportunistic TLS (RFC 3207, RFC 7435): used when it is offered; when it is
 * refused or the handshake fails, the same address is tried once more in clear.
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
        find_clear_retry(c);
        return;
    }
    c->tls_begun = true;
    conn_wait_for(c, c->d->o.command_timeout_ms);
    if (stream_tls(c->stream, c->d->tls, h->is_address ? NULL : h->name) != 0) find_clear_retry(c);
}
