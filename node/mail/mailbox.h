/* mailbox - the addresses in a field of the header: RFC 5322 3.4 with the obsolete forms of 4.4, groups
 * (RFC 6854), UTF-8 (RFC 6532). Pure. Spans borrow from the value.
 *
 * Whatever the grammar allows or tolerates is read. What readers are known to understand differently
 * is told in `odd`: whoever decides by an address refuses an odd one. */
#ifndef MAIL_MAILBOX_H
#define MAIL_MAILBOX_H

#include "proto/ground/span.h"

/* X(NAME, in words: "an address ...") */
#define MAILBOX_ODD_TABLE(X)                                                                       \
    X(GROUP, "stands in a group")                                                                  \
    X(ROUTE, "has a source route")                                                                 \
    X(COMMENT, "has a comment inside")                                                             \
    X(SPACE, "has white space inside")                                                             \
    X(QUOTED, "has special characters in a quoted local part")                                     \
    X(ENCODED, "has an encoded word inside")

#define MAILBOX_ODD_ENUM_(name, words) MAILBOX_ODD_##name##_,
enum mailbox_odd_number { MAILBOX_ODD_TABLE(MAILBOX_ODD_ENUM_) MAILBOX_ODD_COUNT };
#undef MAILBOX_ODD_ENUM_
#define MAILBOX_ODD(name) (1u << MAILBOX_ODD_##name##_)
const char *mailbox_odd_words(enum mailbox_odd_number odd);

struct mailbox {
    struct span phrase; /* the display name as written; empty: none */
    struct span local;  /* as written, quotes included; comments and spaces too when it is odd so */
    struct span domain; /* the same; "[...]" for a literal */
    unsigned odd;       /* bits MAILBOX_ODD(...) */
};

struct mailbox_reader {
    const uint8_t *p, *end;
    bool in_group, after_item, after_comma;
    unsigned group_count; /* so far */
    unsigned empty_count; /* list elements with nothing in them (obsolete, 4.4) */
};
#define MAILBOX_COMMENT_DEPTH_MAX 32

/* `value` is what stands behind the colon of a field; folding is white space. */
void mailbox_reader_init(struct mailbox_reader *r, struct span value);
/* 0 and the next mailbox; ERR_CLOSED: that was all; ERR_SYNTAX: the rest cannot be read. */
int mailbox_next(struct mailbox_reader *r, struct mailbox *out);

#endif
