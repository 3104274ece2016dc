/* params - the structured values of MIME fields: tokens, quoted strings, comments, parameters (RFC 2045 5.1, RFC 2183,
 * RFC 2231). Inside of node/mail only. Pure; spans borrow. */
#ifndef MAIL_PARAMS_H
#define MAIL_PARAMS_H

#include "proto/ground/buf.h"
#include "proto/ground/span.h"

#define PARAMS_VALUE_SIZE_MAX 1000 /* of one parameter, put together and decoded; the rest is cut */

/* Each takes what it names off *s, and the space and comments behind it. */
void params_skip_space(struct span *s);
struct span params_take_token(struct span *s);
bool params_take_byte(struct span *s, uint8_t c);
/* A token or a quoted string; cut at `size`. Its size. */
size_t params_take_value(struct span *s, char *out, size_t size);

/* Each way in which a parameter `name` of a field's value is given: as it is, percent-encoded ("name*"), in sections
 * ("name*0", "name*1*"; RFC 2231 3). Readers differ in which one they believe: all are told. */
void params_each(struct span value, struct span name, void (*tell)(void *arg, struct span text),
                 void *arg);

#endif
