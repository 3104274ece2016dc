/* verb_rset - RSET before the next MAIL, when the last delivery left its transaction open: its
 * recipients or its DATA were refused (RFC 5321 4.1.1.5). A server that does not take it is left;
 * the delivery moves on.
 */
#include "node/deliver/inside.h"

void say_rset(struct conn *c)
{
    conn_say(c, STEP_RSET, SPAN_LIT("RSET\r\n"), 1);
}

void hear_rset(struct conn *c, const struct smtp_reply *r)
{
    if (!reply_is(r, 2)) {
        c->replies = 0; /* none of this delivery was looked at */
        conn_broken(c, "protocol", "RSET was answered %u %s", r->code, r->text);
        return;
    }
    c->must_reset = false;
    c->replies = 0;
    if (!c->offer.pipelining) say_mail(c);
}
