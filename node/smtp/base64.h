/* base64 - strict (RFC 4648 4): padded, no white space, unused bits zero; anything else is ERR_SYNTAX, as
 * AUTH needs it (RFC 4954 4). Decoding into a caller's buffer, so that secrets can be wiped. */
#ifndef SMTP_BASE64_H
#define SMTP_BASE64_H

#include "proto/ground/buf.h"
#include "proto/ground/span.h"

int base64_decode(struct span text, uint8_t *out, size_t out_size,
                  size_t *n_out); /* ERR_SYNTAX, ERR_TOO_LONG */
void base64_encode(struct span bytes, struct buf *out);

/* AUTH PLAIN (RFC 4616): [authzid] NUL authcid NUL passwd. Spans borrow. 0 or ERR_SYNTAX (not exactly two
 * NULs, empty authcid or passwd). */
int sasl_plain_split(struct span message, struct span *authzid, struct span *authcid,
                     struct span *passwd);

#endif
