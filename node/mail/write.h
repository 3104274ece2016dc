/* write - pieces of header text that trace, dsn and draft share. Inside of node/mail only. */
#ifndef MAIL_WRITE_H
#define MAIL_WRITE_H

#include "proto/ground/buf.h"
#include "proto/ground/span.h"

#define WRITE_LINE_SIZE 76 /* where lines are folded, if they can be */

bool write_is_ascii(struct span s); /* no byte over 0x7f */
bool write_has_controls(struct span s);
bool write_is_utf8(struct span s); /* well-formed (RFC 3629 4) */
/* Printable ASCII; every other byte is a '?', so that a peer's bytes never make a line. */
void write_plain(struct buf *out, struct span s);
/* The same, folded with CR LF and `indent` at spaces; *column is where the line stands. */
void write_folded(struct buf *out, struct span s, const char *indent, size_t *column);
/* "Name: text CRLF", folded; text as write_plain. */
void write_field(struct buf *out, const char *name, struct span text);
/* "Name: <date> CRLF" (RFC 5322 3.3); nothing when time_ms is 0. */
void write_date(struct buf *out, const char *name, uint64_t time_ms);

#endif
