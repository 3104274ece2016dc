/* verb_bdat - BDAT (RFC 3030): the content in chunks, as it is, no dots stuffed. Needed for binary content; for a
 * large mail it spares the stuffing, and the server can say no in the middle.
 *
 * The last chunk is an empty one, "BDAT 0 LAST": it is to the mail what the final dot is (verb_dot.c), and it is said
 * only when all the others have been answered.
 *
 * DATA has an answer of its own, 354: if a server's answers were out of step it would be noticed there. BDAT has none, so
 * it is used only in the first transaction of a connection: an answer too many, left over from the one before, can never be
 * taken for the answer to a mail.
 */
#include <stdio.h>

#include "node/deliver/inside.h"

void say_bdat(struct conn *c, struct span chunk)
{
    char line[32];
    int n = snprintf(line, sizeof line, "BDAT %zu\r\n", chunk.n);

    conn_say(c, STEP_BDAT, span_of(line, (size_t)n), 1);
    (void)stream_write(c->stream, chunk);
}

void hear_bdat(struct conn *c, const struct smtp_reply *r)
{
    struct delivery *y = c->y;

    if (reply_is(r, 2)) {
        data_go(c);
        dot_try(c);
    } else if (!reply_refuses(r)) {
        conn_nonsense(c, STEP_BDAT, r);
    } else if (!conn_refused(c, STEP_BDAT, r)) {
        conn_part(c); /* there may be chunks on their way */
        conn_drop(c, ROUTER_CONN_OK);
        delivery_over(y);
    }
}
