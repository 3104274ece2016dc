/* data - the end of DATA and the dots (RFC 5321 4.1.1.4, 4.5.2). Pure.
 *
 * Only CR LF . CR LF ends the data. Bare CR and bare LF are noticed (and never act as line ends), so that
 * the forgeries that smuggle a second mail past sloppy readers end nothing here.
 */
#ifndef SMTP_DATA_H
#define SMTP_DATA_H

#include "proto/ground/buf.h"
#include "proto/ground/span.h"

struct smtp_data_reader {
    uint8_t state;         /* private */
    bool bare_cr, bare_lf; /* seen so far */
};
/* At the start: as if behind CR LF, so that ".CRLF" at once is an empty mail. */
void smtp_data_reader_init(struct smtp_data_reader *r);
/* Eats from *in and gives runs of content: returns 0 when the end was reached (the rest of *in is the next
 * command), ERR_AGAIN when all of *in is eaten. For each run it calls `give` (never with n = 0); stuffed
 * dots are taken away; the CR LF before the final dot is content. Bytes that it must hold back (CR, CR LF .,
 * ...) are given later; none is lost. `give` returning non-zero stops: that value is returned. */
int smtp_data_read(struct smtp_data_reader *r, struct span *in,
                   int (*give)(void *arg, struct span run), void *arg);

/* For a client that is allowed to: bare CR and bare LF of a content become CR LF. Nothing else changes, in
 * particular no dot, and what comes out has no bare CR or LF. It works behind smtp_data_read, so that such a
 * line end never ends data nor makes a dot a stuffed one. */
struct smtp_newlines {
    bool behind_cr;    /* private: a CR is held back */
    uint64_t repaired; /* line ends so far */
};
void smtp_newlines_init(struct smtp_newlines *n);
/* Gives runs (never with n = 0) as smtp_data_read does; `give` returning non-zero stops. */
int smtp_newlines_feed(struct smtp_newlines *n, struct span run,
                       int (*give)(void *arg, struct span run), void *arg);
/* Behind the last run: gives what is held back. */
int smtp_newlines_finish(struct smtp_newlines *n, int (*give)(void *arg, struct span run),
                         void *arg);

/* Sending: stuffs dots. Keeps what the last byte was between calls; at the end call smtp_data_finish. */
struct smtp_data_writer {
    uint8_t last[2]; /* private */
    bool any;
};
void smtp_data_writer_init(struct smtp_data_writer *w);
void smtp_data_write(struct smtp_data_writer *w, struct span run, struct buf *out);
/* CR LF if the content did not end with one, then ". CR LF". */
void smtp_data_finish(struct smtp_data_writer *w, struct buf *out);

#endif
