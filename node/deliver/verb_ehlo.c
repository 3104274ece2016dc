/* verb_ehlo - EHLO, and HELO for a server that does not know it (RFC 5321 4.1.1.1, 3.2). After
 * STARTTLS once more: what was offered in clear counts no longer (RFC 3207 4.2).
 */
#include "node/deliver/inside.h"

#include <stdio.h>

static void say(struct conn *c, enum step step)
{
    char line[600];
    int n = snprintf(line, sizeof line, "%s %s\r\n", step_name(step), c->d->hostname);

    conn_say(c, step, span_of(line, (size_t)n), 1);
}

static void refused(struct conn *c, const struct smtp_reply *r)
{
    struct router_meaning meaning;
    struct verdict v;

    verdict_reply(c->d, &v, ROUTER_AT_HELO, r, &meaning);
    find_failed(c, &v);
}

static void greeted(struct conn *c)
{
    if (secure_is_needed(c) && !stream_has_tls(c->stream))
        secure_failed(c, "4.7.4", "%s does not offer STARTTLS, and the route demands it",
                      c->remote.host);
    else if (auth_is_needed(c))
        say_auth(c);
    else
        conn_ready(c);
}

void say_ehlo(struct conn *c)
{
    say(c, STEP_EHLO);
}

void hear_ehlo(struct conn *c, const struct smtp_reply *r)
{
    if (reply_is(r, 2)) {
        c->offer = c->reader.offer;
        if (c->offer.starttls && secure_is_wanted(c) && !stream_has_tls(c->stream))
            say_starttls(c);
        else
            greeted(c);
    } else if (reply_is(r, 5)) {
        say(c, STEP_HELO);
    } else if (reply_refuses(r)) {
        refused(c, r);
    } else {
        conn_nonsense(c, STEP_EHLO, r);
    }
}

void hear_helo(struct conn *c, const struct smtp_reply *r)
{
    if (reply_is(r, 2))
        greeted(c);
    else if (reply_refuses(r))
        refused(c, r);
    else
        conn_nonsense(c, STEP_HELO, r);
}
