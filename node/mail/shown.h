/* shown - what a reader makes of the text in a field: encoded words (RFC 2047) decoded, folding and
 * backslashes gone. Pure.
 *
 * As careless as the most careless reader: encoded words are decoded wherever they stand, in quotes,
 * comments and addresses too, with spaces inside, without padding. For looking at, not for keeping. */
#ifndef MAIL_SHOWN_H
#define MAIL_SHOWN_H

#include "proto/ground/buf.h"
#include "proto/ground/span.h"

/* Appends to out, never more than value.n bytes. ERR_UNSUPPORTED: an encoded word is in a charset whose
 * bytes do not show what is in it (UTF-7, UTF-16 and the like). */
int mail_shown(struct span value, struct buf *out);
/* The next thing that looks like somebody's address: *domain is what stands behind its '@' (also a
 * full-width one); *at is where to look from. */
bool mail_shown_next_domain(struct span text, size_t *at, struct span *domain);
/* Controls, or marks that turn the direction of text around: what is seen is not what is there. */
bool mail_shown_deceives(struct span text);

#endif
