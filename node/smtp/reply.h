/* reply - SMTP replies, made and understood (RFC 5321 4.2, RFC 2034/3463). Pure. */
#ifndef SMTP_REPLY_H
#define SMTP_REPLY_H

#include "proto/ground/buf.h"
#include "proto/ground/span.h"

/* Every reply that the server side can send: X(NAME, code, enhanced, text, note). `enhanced` "" where RFC
 * 2034 has none (334, 354). `note` says when it comes and what to do, for docs/protocol/smtp.md and
 * replies.csv: tests/house/replies.py writes them from here. Two more have another form: the greeting, "220
 * <hostname> ESMTP ready", and the answers to HELO and EHLO. */
/* clang-format off */
#define SMTP_REPLY_TABLE(X) \
    X(READY_TLS, 220, "2.0.0", "Ready to start TLS", "begin the TLS handshake; then EHLO again") \
    X(GOODBYE, 221, "2.0.0", "Goodbye", "to QUIT") \
    X(AUTH_OK, 235, "2.7.0", "Authentication successful", "the session may send from its tenant's domains") \
    X(OK, 250, "2.0.0", "OK", "RSET, NOOP") \
    X(QUEUED, 250, "2.0.0", "OK: queued as", "and the id: the mail is committed; it is ours now") \
    X(SENDER_OK, 250, "2.1.0", "OK", "the sender is taken: go on with RCPT") \
    X(RECIPIENT_OK, 250, "2.1.5", "OK", "this recipient is taken") \
    X(CHUNK_OK, 250, "2.0.0", "Chunk OK", "BDAT without LAST") \
    X(VRFY, 252, "2.5.2", "Cannot VRFY user, but will accept message and attempt delivery", "addresses are not verified") \
    X(HELP, 214, "2.0.0", "See RFC 5321", "to HELP") \
    X(AUTH_USERNAME, 334, "", "VXNlcm5hbWU6", "LOGIN: send the user name, base64") \
    X(AUTH_PASSWORD, 334, "", "UGFzc3dvcmQ6", "LOGIN: send the password, base64") \
    X(AUTH_CONTINUE, 334, "", "", "PLAIN without an initial response: send it") \
    X(START_DATA, 354, "", "Start mail input; end with <CRLF>.<CRLF>", "only CR LF . CR LF ends the data") \
    X(SHUTDOWN, 421, "4.3.2", "Service shutting down, try another node or later", "the node stops or drains: reconnect, to another node if there is one") \
    X(TOO_MANY_SESSIONS, 421, "4.3.2", "Too many connections, try again later", "`limits.sessions_max`") \
    X(IDLE, 421, "4.4.2", "Timeout, closing connection", "`limits.session_idle_ms`, `limits.data_idle_ms`") \
    X(TOO_MANY_ERRORS, 421, "4.7.0", "Too many errors, closing connection", "`limits.session_errors_max`") \
    X(SESSION_LIMIT, 421, "4.7.0", "Session limit reached, reconnect to send more", "`limits.session_life_ms`, `limits.session_transactions_max`") \
    X(ADDRESS_SESSIONS, 421, "4.7.0", "Too many connections from your address, try again later", "`limits.address_sessions_max`; keep fewer connections open, or reuse them") \
    X(ADDRESS_RATE, 421, "4.7.0", "Too many connections in a minute from your address, slow down", "`limits.address_rate_max`; send more mails on one connection") \
    X(CREDENTIAL_SESSIONS, 421, "4.7.0", "Too many sessions of this credential, try again later", "`limits.credential_sessions_max`, over all addresses") \
    X(AUTH_THROTTLED, 421, "4.7.0", "Too many failed authentications, try again later", "`limits.auth_failures_max` from this address; one is forgotten every `limits.auth_forget_ms`") \
    X(NOT_COMMITTED, 451, "4.3.0", "Could not commit the message, try again later", "the commit failed or its outcome is not known: send it again") \
    X(NO_LEADER, 451, "4.3.2", "No shard can commit now, try again later", "no shard can commit now") \
    X(QUEUE_FULL, 452, "4.3.1", "Insufficient storage, try again later", "a reserve of queue or disk is reached") \
    X(TOO_MANY_RECIPIENTS, 452, "4.5.3", "Too many recipients", "send the rest in another mail") \
    X(AUTH_UNAVAILABLE, 454, "4.7.0", "Temporary authentication failure", "too many verifications at once; try again") \
    X(TLS_UNAVAILABLE, 454, "4.7.0", "TLS not available due to temporary reason", "the listener has no certificate now: try again later") \
    X(UNKNOWN_COMMAND, 500, "5.5.2", "Command not recognized", "no command of SMTP, or a line that does not end with CR LF") \
    X(LINE_TOO_LONG, 500, "5.5.2", "Line too long", "`limits.line_size_max`") \
    X(AUTH_LINE_TOO_LONG, 500, "5.5.6", "Authentication exchange line is too long", "an answer to 334 has at most 12 KiB (RFC 4954 4)") \
    X(BAD_ARGUMENT, 501, "5.5.4", "Invalid argument", "a parameter has no value, a bad one, or stands twice; or the command takes none") \
    X(BAD_HELO, 501, "5.5.4", "A domain name or address literal is needed", "HELO and EHLO want the client's name: `mail.example.org` or `[192.0.2.1]`") \
    X(BAD_SENDER, 501, "5.1.7", "Bad sender address syntax", "`MAIL FROM:<user@domain>`, or `<>`; at most 64 bytes of user, 256 in all") \
    X(BAD_RECIPIENT, 501, "5.1.3", "Bad recipient address syntax", "`RCPT TO:<user@domain>`; at most 64 bytes of user, 256 in all") \
    X(BAD_BASE64, 501, "5.5.2", "Cannot decode the base64 response", "unpadded, or unused bits are not zero: nothing was tried") \
    X(AUTH_CANCELLED, 501, "5.7.0", "Authentication cancelled", "the client sent *") \
    X(NOT_IMPLEMENTED, 502, "5.5.1", "Command not implemented", "EXPN and the like") \
    X(NEED_HELO, 503, "5.5.1", "Send HELO or EHLO first", "also after STARTTLS: the session begins anew") \
    X(NEED_MAIL, 503, "5.5.1", "Send MAIL first", "RCPT, DATA and BDAT belong to a mail") \
    X(NESTED_MAIL, 503, "5.5.1", "A transaction is open already", "finish it, or RSET") \
    X(BAD_SEQUENCE, 503, "5.5.1", "Bad sequence of commands", "DATA or RCPT between chunks of BDAT, or AUTH inside a mail") \
    X(BINARY_BY_DATA, 503, "5.5.1", "BODY=BINARYMIME is sent by BDAT, not by DATA", "RFC 3030 3") \
    X(AUTH_ALREADY, 503, "5.5.1", "Already authenticated", "one AUTH a session (RFC 4954 4)") \
    X(TLS_ALREADY, 503, "5.5.1", "TLS is active already", "one STARTTLS a session") \
    X(BAD_MECHANISM, 504, "5.5.4", "Authentication mechanism not supported", "PLAIN and LOGIN are offered") \
    X(NEED_TLS, 530, "5.7.0", "Must issue a STARTTLS command first", "on submission before STARTTLS") \
    X(NEED_AUTH, 530, "5.7.0", "Authentication required", "on submission after TLS") \
    X(AUTH_FAILED, 535, "5.7.8", "Authentication credentials invalid", "user or password; which of them is not told") \
    X(UTF8_ADDRESS, 553, "5.6.7", "Address is not ASCII, SMTPUTF8 was not given", "give SMTPUTF8 at MAIL, or write the domain in A-labels") \
    X(RELAY_DENIED, 550, "5.7.1", "Relaying denied", "MX service: the recipient is not in a tenant's domain") \
    X(SENDER_DENIED, 550, "5.7.1", "This credential may not send from that domain", "the sender's domain is not one of the credential's tenant") \
    X(HEADER_DENIED, 550, "5.7.1", "Message header refused:", "behind it: the cause. From, Sender or a resent field names another domain, or could be read in two ways; see *Who a mail is from*") \
    X(TOO_LARGE, 552, "5.3.4", "Message size exceeds fixed maximum", "`limits.message_size_max`") \
    X(NO_RECIPIENTS, 554, "5.5.1", "No valid recipients", "no RCPT was taken: see the replies to them") \
    X(TOO_MANY_HOPS, 554, "5.4.6", "Too many hops, mail loop suspected", "`limits.hops_max`") \
    X(BARE_LINE_END, 554, "5.6.0", "Message contains a bare CR or LF", "lines end with CR LF only") \
    X(NUL, 554, "5.6.0", "Message contains a NUL", "no NUL in header or body") \
    X(HEADER_TOO_LARGE, 554, "5.6.0", "Message header too large", "`limits.header_size_max`") \
    X(TOO_MANY_FIELDS, 554, "5.6.0", "Message header has too many fields", "`limits.header_fields_max`") \
    X(CONTENT_DENIED, 554, "5.7.1", "Message content refused, rule", "behind it: the name of a rule of `content_rules`, and its text; see *Content rules*. The same mail is refused again: change it, or ask who runs the relay") \
    X(EARLY_TALKER, 554, "5.5.0", "Data before the greeting or inside TLS negotiation", "bytes behind STARTTLS are an attack") \
    X(UNKNOWN_PARAMETER, 555, "5.5.4", "Parameter not recognized", "what EHLO does not offer")

/* clang-format on */
#define SMTP_REPLY_ENUM_(name, code, enhanced, text, note) SMTP_REPLY_##name,
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

/* What EHLO offered, line by line. */
struct smtp_offer {
    bool pipelining, starttls, eight_bit_mime, chunking, enhanced_status, smtputf8, dsn, size, auth,
        binarymime;
    uint64_t size_max;   /* 0: not told */
    unsigned mechanisms; /* of AUTH: enum smtp_mechanism */
};
/* Adds what one line says, without its code. Unknown keywords are skipped. */
void smtp_offer_add(struct smtp_offer *out, struct span line);

/* Reads reply lines from a stream in any pieces. Feed bytes; each complete reply is given out.
 * Lines end with LF, with or without CR. */
struct smtp_reply_reader {
    struct smtp_reply reply;
    struct smtp_offer
        offer; /* if that is the answer to EHLO: of all its lines but the first, the greeting */
    char line[SMTP_REPLY_LINE_SIZE_MAX];
    size_t line_size, text_size;
    bool line_cut, done;
};
void smtp_reply_reader_init(struct smtp_reply_reader *r);
/* Eats from *in what belongs to the next reply. 0: r->reply and r->offer are complete (valid until the next call);
 * ERR_AGAIN: more bytes are needed; ERR_SYNTAX: not a reply (codes differ between lines, no code, ...);
 * ERR_TOO_LONG. After an error other than ERR_AGAIN the connection is of no use. */
int smtp_reply_read(struct smtp_reply_reader *r, struct span *in);

#endif
