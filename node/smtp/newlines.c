/* newlines - bare CR and LF become CR LF (RFC 5321 2.3.8 forbids them; old programs send them).
 *
 * A CR is held back until the next byte is known, so that the result does not depend on how the
 * content is cut in pieces.
 */
#include "node/smtp/data.h"

void smtp_newlines_init(struct smtp_newlines *n)
{
    *n = (struct smtp_newlines){ .behind_cr = false };
}

static int give_end(struct smtp_newlines *n, int (*give)(void *arg, struct span run), void *arg)
{
    n->behind_cr = false;
    return give(arg, SPAN_LIT("\r\n"));
}

/* The size of what stands before the next CR or LF. */
static size_t text_size(struct span s)
{
    const uint8_t *cr = memchr(s.p, '\r', s.n);
    size_t n = cr ? (size_t)(cr - s.p) : s.n;
    const uint8_t *lf = memchr(s.p, '\n', n);

    return lf ? (size_t)(lf - s.p) : n;
}

int smtp_newlines_feed(struct smtp_newlines *n, struct span run,
                       int (*give)(void *arg, struct span run), void *arg)
{
    int err = 0;

    while (!err && run.n > 0) {
        size_t size;

        if (n->behind_cr && run.p[0] != '\n') {
            n->repaired++;
            err = give_end(n, give, arg);
            continue;
        }
        size = text_size(run);
        if (size > 0) {
            err = give(arg, span_sub(run, 0, size));
            run = span_from(run, size);
            continue;
        }
        if (run.p[0] == '\r') {
            n->behind_cr = true;
        } else {
            n->repaired += !n->behind_cr;
            err = give_end(n, give, arg);
        }
        run = span_from(run, 1);
    }
    return err;
}

int smtp_newlines_finish(struct smtp_newlines *n, int (*give)(void *arg, struct span run),
                         void *arg)
{
    if (!n->behind_cr) return 0;
    n->repaired++;
    return give_end(n, give, arg);
}
