/* command - the grammar of SMTP command lines (RFC 5321 4.1, RFC 1870, 6152, 3030, 4954, 3461,
 * 6531). Pure.
 *
 * A line is given without its CR LF. Parsing never fails half: the result says what to answer.
 */
#ifndef SMTP_COMMAND_H
#define SMTP_COMMAND_H

#include "node/smtp/address.h"
#include "node/smtp/notify.h"
#include "proto/ground/span.h"

#define SMTP_VERB_TABLE(X)                                                                         \
    X(HELO)                                                                                        \
    X(EHLO)                                                                                        \
    X(STARTTLS)                                                                                    \
    X(AUTH) X(MAIL) X(RCPT) X(DATA) X(BDAT) X(RSET) X(NOOP) X(VRFY) X(QUIT) X(HELP) X(EXPN)

#define SMTP_VERB_ENUM_(v) SMTP_VERB_##v,
enum smtp_verb { SMTP_VERB_UNKNOWN, SMTP_VERB_TABLE(SMTP_VERB_ENUM_) SMTP_VERB_COUNT };
#undef SMTP_VERB_ENUM_

enum smtp_body { SMTP_BODY_7BIT, SMTP_BODY_8BITMIME, SMTP_BODY_BINARYMIME };

/* Splits "VERB rest": verb case-insensitive; arg trimmed of the one separating space and of trailing
 * spaces. A line with bytes under 0x20 (tab allowed in arg) or 0x7f: verb UNKNOWN. */
enum smtp_verb smtp_command_parse(struct span line, struct span *arg_out);
const char *smtp_verb_name(enum smtp_verb v);

/* HELO/EHLO argument: domain or address literal, lenient as the field is (underscores allowed), at most 255
 * bytes, no spaces or controls. 0 or ERR_SYNTAX. */
int smtp_helo_check(struct span arg);

/* Results of the parameter parsers, besides 0: */
enum smtp_param_error {
    SMTP_PARAM_OK = 0,
    SMTP_PARAM_SYNTAX = 1,  /* 501 5.5.4 */
    SMTP_PARAM_UNKNOWN = 2, /* 555 5.5.4: a keyword that is not known here */
    SMTP_PARAM_VALUE = 3,   /* 501 5.5.4: a known keyword with a bad value */
    SMTP_PARAM_ADDRESS = 4, /* 501 5.1.7 / 5.1.3: the address is bad */
    SMTP_PARAM_TWICE = 5,   /* 501 5.5.4: keyword given twice */
    SMTP_PARAM_UTF8 = 6,    /* 553 5.6.7: a UTF-8 address without SMTPUTF8 (RFC 6531 3.5) */
};

struct smtp_mail {
    struct smtp_address from; /* empty: null return path */
    bool has_size;
    uint64_t size;
    bool has_body;
    enum smtp_body body;
    bool has_auth; /* AUTH= was given (RFC 4954 5); its value is not used */
    bool smtputf8;
    unsigned ret;      /* SMTP_RET_*; 0: not said */
    struct span envid; /* as given; empty: not said */
};
struct smtp_rcpt {
    struct smtp_address to;
    unsigned notify;   /* SMTP_NOTIFY_*; 0: not said */
    struct span orcpt; /* as given; empty: not said */
};
struct smtp_bdat {
    uint64_t size;
    bool last;
};
/* `arg` is what follows the verb: "FROM:<a@b> SIZE=5". One space after the colon is tolerated. */
enum smtp_param_error smtp_mail_parse(struct span arg, struct smtp_mail *out);
/* smtputf8: what MAIL asked for. */
enum smtp_param_error smtp_rcpt_parse(struct span arg, bool smtputf8, struct smtp_rcpt *out);
enum smtp_param_error smtp_bdat_parse(struct span arg, struct smtp_bdat *out);

#endif
