/* mail - the format of a message: what is learned of it while its bytes pass, and what is written for it
 * (trace headers, delivery status notifications). Pure; hashes by OpenSSL's EVP.
 */
#ifndef MAIL_MAIL_H
#define MAIL_MAIL_H

#include "proto/ground/buf.h"
#include "proto/ground/span.h"

/* ---- facts: header positions, sizes, 8-bit, and if asked both DKIM body hashes; bytes in any pieces, once each. */

#define MAIL_FIELDS_MAX      256          /* positions kept; more fields are counted only */
#define MAIL_HEADER_SIZE_MAX (256u << 10) /* a larger header: facts.header_too_large */

struct mail_field {
    uint32_t offset, length, name_length;
};
struct mail_facts {
    uint64_t size;
    uint32_t header_size; /* with the empty line; the whole mail when there is none */
    bool header_too_large;
    bool eight_bit, eight_bit_header;
    bool has_bare_cr, has_bare_lf, has_nul;    /* in header or body */
    bool has_bare_in_header;                   /* a bare CR or LF, or a NUL */
    uint32_t line_length_max;                  /* without CR LF */
    uint32_t field_count;                      /* all of them */
    struct mail_field fields[MAIL_FIELDS_MAX]; /* the first MAIL_FIELDS_MAX */
    bool has_date, has_message_id, has_from;
    bool has_private; /* mail_field_is_private */
    uint32_t from_count, received_count;
    bool has_hashes; /* set by mail_reader_finish, if they were asked for: RFC 6376 3.4.3, 3.4.4 */
    uint8_t hash_simple[32], hash_relaxed[32];
};
struct mail_reader; /* about 8 KiB; reused between mails */
struct mail_reader *mail_reader_new(void);
void mail_reader_free(struct mail_reader **r);
/* with_hashes: who signs wants them; they are half of the work, and more where the processor has no SHA-256. */
void mail_reader_start(struct mail_reader *r, bool with_hashes);
void mail_reader_feed(struct mail_reader *r, struct span run);
const struct mail_facts *mail_reader_facts(const struct mail_reader *r); /* so far */
const struct mail_facts *mail_reader_finish(struct mail_reader *r);

/* The value of the first field called `name` (no colon), unfolded and trimmed, cut at out_size - 1; false if
 * there is none. `header` is the raw header. */
bool mail_header_value(struct span header, struct span name, char *out, size_t out_size);

/* ---- of 7 bits, for hosts that take no other (RFC 6152 3); bytes in any pieces, once each. */

struct mail_downgrade; /* about 50 KiB */
struct mail_downgrade *mail_downgrade_new(void);
void mail_downgrade_free(struct mail_downgrade **d);
/* Appends what `in` becomes, at most 4 * in.n + MAIL_DOWNGRADE_BURST_MAX bytes. 0; ERR_UNSUPPORTED: it cannot be
 * converted (a signed part, an 8-bit header, ...), and what was appended is of no use. */
#define MAIL_DOWNGRADE_BURST_MAX (72u << 10)
int mail_downgrade_feed(struct mail_downgrade *d, struct span in, struct buf *out);
int mail_downgrade_finish(struct mail_downgrade *d, struct buf *out);

/* ---- written by us */

struct mail_trace {
    struct span helo, client_address, hostname, protocol, tls, for_address; /* empty: left out */
    const char *id;                                                         /* 13 characters */
    uint64_t time_ms;
};
/* "Received: from helo ([addr]) by host with ESMTPSA (TLS...) id ID for <x>; date CRLF", folded (RFC 5321 4.4). */
void mail_received_print(struct buf *out, const struct mail_trace *t);

/* A delivery status notification (RFC 3461 6, RFC 3464, RFC 6522; RFC 6533), complete with header. */
enum mail_dsn_action { MAIL_DSN_FAILED, MAIL_DSN_DELAYED, MAIL_DSN_RELAYED, MAIL_DSN_DELIVERED };
struct mail_dsn_recipient {
    struct span address;
    struct span orcpt; /* "rfc822;x+2By@z", xtext as the client gave it; empty: left out */
    enum mail_dsn_action action;
    struct span status;      /* "5.1.1"; made from the code when empty */
    struct span remote_host; /* empty: left out */
    unsigned code;           /* 0: there was no reply */
    struct span reply_text;
    struct span reason; /* in words, when there was no reply */
    uint64_t last_attempt_ms;
};
struct mail_dsn {
    struct span hostname;   /* reporting MTA */
    struct span to;         /* the return path of the original */
    const char *boundary;   /* unique, made by the caller */
    const char *message_id; /* "<...>" made by the caller */
    uint64_t time_ms, arrival_ms;
    uint64_t retry_until_ms; /* DELAYED; 0: left out */
    const char *original_id;
    struct span envid; /* xtext, as the client gave it; empty: left out */
    const struct mail_dsn_recipient *recipients;
    size_t recipient_count;
    /* The message, or as much of it as is at hand. Bcc, Resent-Bcc and Return-Path of its header are left out: a report
     * goes to the return path, which may be a list, an assistant or a program and not the author, who alone may see
     * whom he wrote to in secret (RFC 5322 3.6.3), and it is forwarded when help is asked for. */
    struct span original;
    bool returns_all; /* the whole of it; else its header, cut at MAIL_DSN_HEADER_SIZE_MAX */
    bool eight_bit;   /* what is returned may have bytes over 127: the parts are announced so */
    bool utf8; /* RFC 6533: addresses in UTF-8, message/global-delivery-status, message/global... */
};
#define MAIL_DSN_HEADER_SIZE_MAX (32u << 10)
/* What is added to a whole message, at most, beside MAIL_DSN_RECIPIENT_SIZE_MAX for each recipient. */
#define MAIL_DSN_FRAME_SIZE_MAX     (4u << 10)
#define MAIL_DSN_RECIPIENT_SIZE_MAX (8u << 10)
void mail_dsn_print(struct buf *out, const struct mail_dsn *d);

/* A simple message out of fields, for the HTTP API and `send`: RFC 5322 header and a text part, UTF-8,
 * quoted-printable when needed; header values with controls are refused (ERR_SYNTAX). */
struct mail_draft {
    struct span from, subject, text, html, message_id;
    const struct span *to;
    size_t to_count;
    uint64_t time_ms;
    const char *boundary;
};
int mail_draft_print(struct buf *out, const struct mail_draft *d);

#endif
