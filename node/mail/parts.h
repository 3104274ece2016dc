/* parts - walks the MIME parts of a message while its bytes pass: their headers, and the text in them without its
 * transfer encoding (RFC 2045 6.7, 6.8; RFC 2046 5.1, 5.2.1). Inside of node/mail only. Pure.
 *
 * What is seen: the header of the message, of every part, and of messages in it; the content of parts that are text
 * (or have no type), decoded out of quoted-printable and base64, in the charset that it has; what stands before,
 * between and behind the parts of a multipart, as it is. Other content is passed over.
 * Bounds: PARTS_HEADER_MAX bytes of a part's header and PARTS_DEPTH_MAX multiparts in each other; what is over is not
 * looked at, or taken for text. A line that is longer than PARTS_LINE_MAX delimits nothing.
 * The result does not depend on how the message is cut in pieces, but for where texts are cut. */
#ifndef MAIL_PARTS_H
#define MAIL_PARTS_H

#include "proto/ground/buf.h"
#include "proto/ground/span.h"

#define PARTS_HEADER_MAX   (16u << 10) /* the message's own: MAIL_HEADER_SIZE_MAX */
#define PARTS_DEPTH_MAX    16u
#define PARTS_LINE_MAX     256u
#define PARTS_BOUNDARY_MAX 70u

struct parts_calls {
    /* A header is complete, or as much of it as is kept: whole lines. A new part begins. */
    void (*on_header)(void *arg, struct span header, bool is_top);
    /* Of the part that began last, in pieces. Empty: the part is over, what comes stands behind it. */
    void (*on_text)(void *arg, struct span text);
};
struct parts; /* about 3 KiB, and a header */
struct parts *parts_new(const struct parts_calls *calls, void *arg);
void parts_free(struct parts **p);
void parts_feed(struct parts *p, struct span run);
void parts_finish(struct parts *p);

#endif
