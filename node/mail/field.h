/* field - the fields of a raw header, one after the other (RFC 5322 2.2). Pure. Spans borrow. */
#ifndef MAIL_FIELD_H
#define MAIL_FIELD_H

#include "proto/ground/span.h"

struct mail_header_field {
    struct span whole; /* with the lines that continue it and the last CR LF */
    struct span name;  /* printable ASCII; empty: the line begins no field */
    struct span value; /* behind the colon, as written: folded, not trimmed */
    bool is_spaced;    /* white space stands before the colon (obsolete, RFC 5322 4.5) */
};
/* Takes the first field off *header; false at the empty line or at the end. Only CR LF ends a line. */
bool mail_field_next(struct span *header, struct mail_header_field *out);

#endif
