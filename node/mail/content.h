/* content - rules about what a mail says: who writes it is told no (RFC 5321 3.3, 4.2.5; 554 5.7.1), or the mail goes
 * out with one more field. Pure.
 *
 * A rule looks at one of:
 * - the value of each field of a name in the message's header, as a reader sees it: unfolded, encoded words decoded
 *   (shown.h), at most MAIL_CONTENT_VALUE_MAX bytes of it. The whole value has to match a glob;
 * - the text in the message, as node/mail/parts.h sees it: decoded, in its own charset, line ends included. The
 *   pattern stands somewhere in it, byte for byte;
 * - the name of each file in the message (RFC 2183 2.3 filename, RFC 2045 5.1 name; RFC 2231, encoded words): the whole
 *   name has to match a glob.
 * ASCII letters match in either case. In a glob "*" is any bytes, "?" any one byte; all others are themselves.
 *
 * Bounds: MAIL_CONTENT_RULES_MAX rules; a scan keeps one header and some KiB, whatever the mail's size. */
#ifndef MAIL_CONTENT_H
#define MAIL_CONTENT_H

#include "proto/ground/buf.h"
#include "proto/ground/span.h"

#define MAIL_CONTENT_RULES_MAX 32
#define MAIL_CONTENT_NAME_MAX  64
#define MAIL_CONTENT_MATCH_MAX 128
#define MAIL_CONTENT_TEXT_MAX  120
#define MAIL_CONTENT_VALUE_MAX 1000
#define MAIL_CONTENT_SAID_SIZE (MAIL_CONTENT_NAME_MAX + 2 + MAIL_CONTENT_TEXT_MAX + 1)

enum mail_content_part {
    MAIL_CONTENT_HEADER,
    MAIL_CONTENT_BODY,
    MAIL_CONTENT_FILE,
    MAIL_CONTENT_GTUBE, /* not of a rule: the test text is built in */
    MAIL_CONTENT_PART_COUNT,
};
struct mail_content_rule {
    const char *name;
    enum mail_content_part part;
    const char *field;  /* HEADER: "Subject" */
    const char *match;  /* 1 to MAIL_CONTENT_MATCH_MAX bytes */
    bool tags;          /* the mail is taken and tagged; else it is refused */
    const char *text;   /* said with the name; NULL, "": nothing */
    const char *tenant; /* whose mail it looks at; NULL, "": everybody's */
};
struct mail_content; /* immutable, counted, of any thread */
/* Copies all. is_gtube: a text with the GTUBE line, which is made for testing such rules, is refused as by a rule of
 * the name "gtube". NULL when nothing is to be looked for. */
struct mail_content *mail_content_new(const struct mail_content_rule *rules, unsigned count,
                                      bool is_gtube);
struct mail_content *mail_content_ref(struct mail_content *c); /* takes NULL */
void mail_content_unref(struct mail_content **c);

/* A look at one mail. */
struct mail_content_scan;
/* NULL: no rule is for that tenant; the others below take that, and find nothing. References the rules. */
struct mail_content_scan *mail_content_scan_new(struct mail_content *c, struct span tenant);
void mail_content_scan_free(struct mail_content_scan **s);
/* The bytes of the mail, header and all, in any pieces. */
void mail_content_scan_feed(struct mail_content_scan *s, struct span run);
void mail_content_scan_finish(struct mail_content_scan *s);

/* What a rule has to say of the mail: "name" or "name: text", printable ASCII. */
struct mail_content_hit {
    enum mail_content_part part;
    bool tags;
    char said[MAIL_CONTENT_SAID_SIZE];
};
/* The first rule so far that refuses the mail; false: none. */
bool mail_content_refused(const struct mail_content_scan *s, struct mail_content_hit *out);
/* The rules that tag it, in their order: the next one from *at, which begins as 0. False: no more. */
bool mail_content_tagged(const struct mail_content_scan *s, unsigned *at,
                         struct mail_content_hit *out);

/* "X-Angarium-Content: said CR LF". */
void mail_content_tag_print(struct buf *out, struct span said);

/* The glob above. */
bool mail_content_glob(struct span pattern, struct span text);

#endif
