/* verb_quit - QUIT, and the wait for 221 (RFC 5321 4.1.1.10). The site's slot is free already: the
 * other side may take its time, up to DELIVER_QUIT_MS.
 */
#include "node/deliver/inside.h"

void say_quit(struct conn *c)
{
    conn_say(c, STEP_QUIT, SPAN_LIT("QUIT\r\n"), 1);
}

void hear_quit(struct conn *c, const struct smtp_reply *r)
{
    (void)r;
    conn_drop(c, ROUTER_CONN_OK);
}
