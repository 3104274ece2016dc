/* notify - what a client asks of delivery reports (RFC 3461), and xtext, in which it says so. Pure.
 *
 * ENVID and ORCPT are kept and passed on as they were given (RFC 3461 5.2.7), but for raw UTF-8 to a host that does
 * not take it; who shows them decodes them.
 * What they decode to has no control bytes, so that it can stand in the fields of a report (RFC 3464).
 */
#ifndef SMTP_NOTIFY_H
#define SMTP_NOTIFY_H

#include <stdbool.h>
#include "proto/ground/buf.h"
#include "proto/ground/span.h"

#define SMTP_ENVID_SIZE_MAX 100 /* RFC 3461 4.4 */
#define SMTP_ORCPT_SIZE_MAX 500 /* RFC 3461 4.2 */

enum { /* NOTIFY (4.1), a sum; NEVER stands alone; 0: not said */
       SMTP_NOTIFY_NEVER = 1,
       SMTP_NOTIFY_SUCCESS = 2,
       SMTP_NOTIFY_FAILURE = 4,
       SMTP_NOTIFY_DELAY = 8
};
enum { SMTP_RET_FULL = 1, SMTP_RET_HDRS = 2 }; /* RET (4.3); 0: not said */

/* The values of the parameters. 0 or ERR_SYNTAX, ERR_TOO_LONG. */
int smtp_notify_parse(struct span value, unsigned *out);
int smtp_ret_parse(struct span value, unsigned *out);
int smtp_envid_check(struct span value);
/* may_be_utf8: the transaction has SMTPUTF8, so that a "utf-8" address may stand unencoded (RFC 6533 3). */
int smtp_orcpt_check(struct span value, bool may_be_utf8);
/* A value that passed smtp_orcpt_check for a host without SMTPUTF8: characters that are not ASCII as "\x{E4}", the
 * utf-8-addr-xtext of RFC 6533 3. Appends to out. ERR_TOO_LONG, nothing is appended: it is over SMTP_ORCPT_SIZE_MAX so. */
int smtp_orcpt_ascii(struct span value, struct buf *out);

#endif
