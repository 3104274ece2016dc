/* complete - what the relay adds to the header of a submitted mail, and what it leaves out (RFC 6409 8,
 * RFC 5322 3.6). The log keeps the mail as it came; this happens whenever it is written out, from facts
 * and to the same bytes each time. Pure. */
#ifndef MAIL_COMPLETE_H
#define MAIL_COMPLETE_H

#include "proto/ground/buf.h"
#include "proto/ground/span.h"

struct mail_completion {
    bool lacks_date, lacks_message_id; /* RFC 6409 8.2, 8.3 */
    bool lacks_from;                   /* gets return_path, if there is one */
    bool lacks_header;       /* its first line is no field: an empty line goes before it */
    struct span return_path; /* "a@b", empty: null */
    const char *id;          /* of the message: 13 characters */
    struct span hostname;    /* of the node that accepted it */
    uint64_t time_ms;        /* when */
};
/* The fields that are missing; they stand behind the trace field and before the mail's own header. */
void mail_completion_print(struct buf *out, const struct mail_completion *c);

/* Fields that are nobody's business but the author's: Bcc and Resent-Bcc (RFC 5322 3.6.3), and
 * Return-Path, which only the last host writes (RFC 5321 4.4). */
bool mail_field_is_private(struct span name);
/* The first of them at or behind `from`, where a field begins; false: there is none. */
bool mail_private_next(struct span header, size_t from, size_t *begin, size_t *end);

#endif
