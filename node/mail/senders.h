/* senders - who a message says it is from: the fields that name a sender, and whether every reader would
 * name the same one (RFC 5322 3.6.2, 3.6.6; RFC 6409 6.1, 8.1). Pure.
 *
 * Rules for a message that is submitted:
 * - no sender stands behind a line that is no field: some readers end the header there. Such a line
 *   has no colon, so that nobody takes it for a field;
 * - one From (RFC 5322 3.6). It may be missing when may_lack_from: it is then added at delivery;
 * - at most one Sender; needed when From has several authors (3.6.2). One author in a Sender;
 * - Resent-From and Resent-Sender, one for each time that it was resent (3.6.6), as From and Sender;
 * - each of these can be read, has no oddity (mailbox.h), names only domains that may() allows, and
 *   shows no address of another domain in names and comments, encoded words decoded.
 * Reply-To, To and what else names addresses is not a claim of who sent it, and free. */
#ifndef MAIL_SENDERS_H
#define MAIL_SENDERS_H

#include "proto/ground/span.h"

#define MAIL_SENDERS_FIELD_SIZE_MAX                                                                \
    8192 /* of one such field: longer ones are cut by some readers */
#define MAIL_SENDERS_CAUSE_SIZE 200

struct mail_senders_rules {
    bool (*may)(void *arg, struct span domain); /* domain as written: letters, or "[...]" */
    void *arg;
    bool may_lack_from;
};
/* `header` is the raw header of a message without bare CR and LF. 0, or ERR_DENIED and the cause in
 * words (printable ASCII). */
int mail_senders_check(struct span header, const struct mail_senders_rules *rules,
                       char cause[MAIL_SENDERS_CAUSE_SIZE]);

#endif
