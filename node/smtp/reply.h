/* reply - SMTP replies, made and understood (RFC 5321 4.2, RFC 2034/3463). Pure. */
#ifndef SMTP_REPLY_H
#define SMTP_REPLY_H

#include "proto/ground/buf.h"
#include "proto/ground/span.h"

/* Every reply that the server side can send: X(NAME, code, enhanced, text). `enhanced` "" where RFC 2034
 * has none (greeting, EHLO, 334, 354). docs/protocol/smtp.md is checked against this. */
#define SMTP_REPLY_TABLE(X)                                                                        \
    X(READY_TLS, 220, "2.0.0", "Ready to start TLS")                                               \
    X(GOODBYE, 221, "2.0.0", "Goodbye")                                                            \
    X(AUTH_OK, 235, "2.7.0", "Authentication successful")                                          \
    X(OK, 250, "2.0.0", "OK")                                                                      \
    X(QUEUED, 250, "2.0.0", "OK: queued as") /* and the id */                                      \
    X(SENDER_OK, 250, "2.1.0", "OK")                                                               \
    X(RECIPIENT_OK, 250, "2.1.5", "OK")                                                            \
    X(CHUNK_OK, 250, "2.0.0", "Chunk OK")                                                          \
    X(VRFY, 252, "2.5.2", "Cannot VRFY user, but will accept message and attempt delivery")        \
    X(HELP, 214, "2.0.0", "See RFC 5321")                                                          \
    X(AUTH_USERNAME, 334, "", "VXNlcm5hbWU6")                                                      \
    X(AUTH_PASSWORD, 334, "", "UGFzc3dvcmQ6")                                                      \
    X(AUTH_CONTINUE, 334, "", "")                                                                  \
    X(START_DATA, 354, "", "Start mail input; end with <CRLF>.<CRLF>")                             \
    X(SHUTDOWN, 421, "4.3.2", "Service shutting down, try another node or later")                  \
    X(TOO_MANY_SESSIONS, 421, "4.3.2", "Too many connections, try again later")                    \
    X(IDLE, 421, "4.4.2", "Timeout, closing connection")                                           \
    X(TOO_MANY_ERRORS, 421, "4.7.0", "Too many errors, closing connection")                        \
    X(SESSION_LIMIT, 421, "4.7.0", "Session limit reached, reconnect to send more")                \
    X(ADDRESS_SESSIONS, 421, "4.7.0", "Too many connections from your address, try again later")   \
    X(ADDRESS_RATE, 421, "4.7.0", "Too many connections in a minute from your address, slow down") \
    X(CREDENTIAL_SESSIONS, 421, "4.7.0", "Too many sessions of this credential, try again later")  \
    X(AUTH_THROTTLED, 421, "4.7.0", "Too many failed authentications, try again later")            \
    X(NOT_COMMITTED, 451, "4.3.0", "Could not commit the message, try again later")                \
    X(NO_LEADER, 451, "4.3.2", "No shard can commit now, try again later")                         \
    X(QUEUE_FULL, 452, "4.3.1", "Insufficient storage, try again later")                           \
    X(TOO_MANY_RECIPIENTS, 452, "4.5.3", "Too many recipients")                                    \
    X(AUTH_UNAVAILABLE, 454, "4.7.0", "Temporary authentication failure")                          \
    X(TLS_UNAVAILABLE, 454, "4.7.0", "TLS not available due to temporary reason")                  \
    X(UNKNOWN_COMMAND, 500, "5.5.2", "Command not recognized")                                     \
    X(LINE_TOO_LONG, 500, "5.5.2", "Line too long")                                                \
    X(AUTH_LINE_TOO_LONG, 500, "5.5.6", "Authentication exchange line is too long")                \
    X(BAD_ARGUMENT, 501, "5.5.4", "Invalid argument")                                              \
    X(BAD_HELO, 501, "5.5.4", "A domain name or address literal is needed")                        \
    X(BAD_SENDER, 501, "5.1.7", "Bad sender address syntax")                                       \
    X(BAD_RECIPIENT, 501, "5.1.3", "Bad recipient address syntax")                                 \
    X(BAD_BASE64, 501, "5.5.2", "Cannot decode the base64 response")                               \
    X(AUTH_CANCELLED, 501, "5.7.0", "Authentication cancelled")                                    \
    X(NOT_IMPLEMENTED, 502, "5.5.1", "Command not implemented")                                    \
    X(NEED_HELO, 503, "5.5.1", "Send HELO or EHLO first")                                          \
    X(NEED_MAIL, 503, "5.5.1", "Send MAIL first")                                                  \
    X(NESTED_MAIL, 503, "5.5.1", "A transaction is open already")                                  \
    X(BAD_SEQUENCE, 503, "5.5.1", "Bad sequence of commands")                                      \
    X(BINARY_BY_DATA, 503, "5.5.1", "BODY=BINARYMIME is sent by BDAT, not by DATA")                \
    X(AUTH_ALREADY, 503, "5.5.1", "Already authenticated")                                         \
    X(TLS_ALREADY, 503, "5.5.1", "TLS is active already")                                          \
    X(BAD_MECHANISM, 504, "5.5.4", "Authentication mechanism not supported")                       \
    X(NEED_TLS, 530, "5.7.0", "Must issue a STARTTLS command first")                               \
    X(NEED_AUTH, 530, "5.7.0", "Authentication required")                                          \
    X(AUTH_FAILED, 535, "5.7.8", "Authentication credentials invalid")                             \
    X(UTF8_ADDRESS, 553, "5.6.7", "Address is not ASCII, SMTPUTF8 was not given")                  \
    X(RELAY_DENIED, 550, "5.7.1", "Relaying denied")                                               \
    X(SENDER_DENIED, 550, "5.7.1", "This credential may not send from that domain")                \
    X(HEADER_DENIED, 550, "5.7.1", "Message header refused:") /* and the cause */                  \
    X(TOO_LARGE, 552, "5.3.4", "Message size exceeds fixed maximum")                               \
    X(NO_RECIPIENTS, 554, "5.5.1", "No valid recipients")                                          \
    X(TOO_MANY_HOPS, 554, "5.4.6", "Too many hops, mail loop suspected")                           \
    X(BARE_LINE_END, 554, "5.6.0", "Message contains a bare CR or LF")                             \
    X(NUL, 554, "5.6.0", "Message contains a NUL")                                                 \
    X(HEADER_TOO_LARGE, 554, "5.6.0", "Message header too large")                                  \
    X(TOO_MANY_FIELDS, 554, "5.6.0", "Message header has too many fields")                         \
    X(EARLY_TALKER, 554, "5.5.0", "Data before the greeting or inside TLS negotiation")            \
    X(UNKNOWN_PARAMETER, 555, "5.5.4", "Parameter not recognized")

#define SMTP_REPLY_ENUM_(name, code, enhanced, text) SMTP_REPLY_##name,
enum smtp_reply_id { SMTP_REPLY_TABLE(SMTP_REPLY_ENUM_) SMTP_REPLY_COUNT };
#undef SMTP_REPLY_ENUM_

struct smtp_reply_fact {
    unsigned code;
    const char *name, *enhanced, *text;
};
const struct smtp_reply_fact *smtp_reply_fact(enum smtp_reply_id id);
/* "250 2.1.0 OK\r\n"; more ("" or NULL: none) is put behind the text after a space. */
void smtp_reply_print(struct buf *out, enum smtp_reply_id id, const char *more);

/* ---- what a server says to us */

#define SMTP_REPLY_LINE_SIZE_MAX 2048 /* longer lines: cut, the rest skipped */
#define SMTP_REPLY_LINES_MAX     128  /* more lines: ERR_TOO_LONG */
#define SMTP_REPLY_TEXT_SIZE_MAX 1024 /* of the joined text that is kept */

struct smtp_reply {
    unsigned code;     /* 200..599 */
    char enhanced[16]; /* "4.7.1", "" when none (or of another class than the code) */
    char text[SMTP_REPLY_TEXT_SIZE_MAX +
              1]; /* lines joined by " / ", enhanced code left out, controls as '?' */
    unsigned line_count;
};

/* Reads reply lines from a stream in any pieces. Feed bytes; each complete reply is given out.
 * Lines end with LF, with or without CR. */
struct smtp_reply_reader {
    struct smtp_reply reply;
    char line[SMTP_REPLY_LINE_SIZE_MAX];
    size_t line_size, text_size;
    bool line_cut, done;
};
void smtp_reply_reader_init(struct smtp_reply_reader *r);
/* Eats from *in what belongs to the next reply. 0: r->reply is complete (valid until the next call);
 * ERR_AGAIN: more bytes are needed; ERR_SYNTAX: not a reply (codes differ between lines, no code, ...);
 * ERR_TOO_LONG. After an error other than ERR_AGAIN the connection is of no use. */
int smtp_reply_read(struct smtp_reply_reader *r, struct span *in);

/* What EHLO offered. The first line of the reply is the greeting and offers nothing. */
struct smtp_offer {
    bool pipelining, starttls, eight_bit_mime, chunking, enhanced_status, smtputf8, dsn, size, auth,
        binarymime;
    uint64_t size_max; /* 0: not told */
};
/* `text` is the joined text of the reply (lines joined by " / "). Unknown keywords are skipped. */
void smtp_offer_parse(struct span text, struct smtp_offer *out);

#endif
