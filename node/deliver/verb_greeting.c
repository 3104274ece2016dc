/* verb_greeting - what the server says first (RFC 5321 3.1, 4.3.1): 220, or it wants no mail here
 * and now, and the next host may.
 */
#include "node/deliver/inside.h"

void hear_greeting(struct conn *c, const struct smtp_reply *r)
{
    struct router_meaning meaning;
    struct verdict v;

    if (r->code == 220) {
        say_ehlo(c);
    } else if (reply_refuses(r)) {
        verdict_reply(c->d, &v, ROUTER_AT_GREETING, r, &meaning);
        find_failed(c, &v);
    } else {
        conn_nonsense(c, STEP_GREETING, r);
    }
}
