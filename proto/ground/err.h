/* err - the one table of error codes.
 *
 * Functions return `int`: 0 or one of these negative codes. A text is made only where a human will
 * read it (struct errmsg). Four classes of failure: our bug is CHECK (check.h); a limit reached is
 * ERR_FULL; the environment is one of the other codes; a peer that misbehaves is a value of the
 * protocol (a reply, a parse result), never a code of this table alone.
 */
#ifndef GROUND_ERR_H
#define GROUND_ERR_H

/* X(NAME, number, text) */
#define ERR_TABLE(X)                                                                               \
    X(FULL, -1, "a limit is reached")                                                              \
    X(AGAIN, -2, "not yet, more input or time is needed")                                          \
    X(SYNTAX, -3, "the input does not follow its grammar")                                         \
    X(TOO_LONG, -4, "the input is longer than its limit")                                          \
    X(RANGE, -5, "a value is outside of its range")                                                \
    X(NOT_FOUND, -6, "no such thing")                                                              \
    X(EXISTS, -7, "it exists already")                                                             \
    X(NOT_LEADER, -8, "this node does not lead the shard")                                         \
    X(SUPERSEDED, -9, "another leader's entry took the place")                                     \
    X(UNKNOWN, -10, "the outcome is not known")                                                    \
    X(CLOSED, -11, "it is closed or closing")                                                      \
    X(TIMEOUT, -12, "the time is over")                                                            \
    X(DENIED, -13, "not allowed")                                                                  \
    X(BUSY, -14, "it is in use")                                                                   \
    X(IO, -15, "input or output failed")                                                           \
    X(CORRUPT, -16, "stored data is damaged")                                                      \
    X(VERSION, -17, "written by a newer version")                                                  \
    X(TLS, -18, "the TLS handshake or record failed")                                              \
    X(DNS, -19, "the name could not be resolved")                                                  \
    X(REFUSED, -20, "the other side refused the connection")                                       \
    X(CONFIG, -21, "the settings are wrong")                                                       \
    X(UNSUPPORTED, -22, "this build or version cannot do that")

#define ERR_ENUM_(name, number, text) ERR_##name = (number),
enum err { ERR_TABLE(ERR_ENUM_) };
#undef ERR_ENUM_

/* "FULL", "IO", ...; "OK" for 0; "?" for a number that is not in the table. */
const char *err_name(int err);
/* The table's text; "done" for 0. */
const char *err_text(int err);

/* What a human reads. Caller owns; always terminated; text "" when nothing was set. */
struct errmsg {
    char text[512];
};

/* Formats into why (NULL is allowed) and returns err, so that `return errmsg_set(why, ERR_IO, ...)` works. */
int errmsg_set(struct errmsg *why, int err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Puts "prefix: " before what is there; returns err. */
int errmsg_wrap(struct errmsg *why, int err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
