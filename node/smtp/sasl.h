/* sasl - what a client says with AUTH (RFC 4954): the mechanisms of an offer, and the exchange of each. Pure.
 *
 *     PLAIN        RFC 4616              one message
 *     LOGIN        (draft-murchison-sasl-login-00)   name, then password, whatever the prompts say
 *     XOAUTH2      (Google, Microsoft)   one message; a challenge after it is an error in JSON: an empty line ends it
 *     OAUTHBEARER  RFC 7628              the same; %x01 ends it
 *
 * A first message that would make the command longer than 512 bytes waits for 334 (RFC 4954 4, RFC 5321 4.5.3.1.4). */
#ifndef SMTP_SASL_H
#define SMTP_SASL_H

#include "proto/ground/buf.h"
#include "proto/ground/span.h"

enum smtp_mechanism {
    SMTP_PLAIN = 1,
    SMTP_LOGIN = 2,
    SMTP_XOAUTH2 = 4,
    SMTP_OAUTHBEARER = 8,
};
#define SMTP_MECHANISMS_PASSWORD (SMTP_PLAIN | SMTP_LOGIN)
#define SMTP_MECHANISMS_TOKEN    (SMTP_XOAUTH2 | SMTP_OAUTHBEARER)
const char *smtp_mechanism_name(enum smtp_mechanism m);
/* The words behind AUTH in an offer, between spaces, in any case; unknown ones are skipped. */
unsigned smtp_mechanisms_parse(struct span words);
/* The best of a set: standards first, one message before two. 0: it is empty. */
enum smtp_mechanism smtp_mechanism_best(unsigned set);
/* "PLAIN, LOGIN"; "none" */
void smtp_mechanisms_print(unsigned set, struct buf *out);

#define SMTP_SASL_LINE_MAX 65536u /* no line of an exchange is longer: a secret of 16 KiB fits */
struct smtp_sasl {
    enum smtp_mechanism mechanism;
    unsigned said; /* messages so far */
};
/* Spans are borrowed during a call. user and secret hold no NUL. host and port: whom the client has connected. */
struct smtp_sasl_facts {
    struct span user, secret, host;
    unsigned port;
};
/* Writes "AUTH ..." with its CR LF. */
void smtp_sasl_begin(struct smtp_sasl *s, enum smtp_mechanism m, const struct smtp_sasl_facts *f,
                     struct buf *line);
/* To a 334: writes the answer with its CR LF. False: nothing is left to be said, the line is "*", which cancels. */
bool smtp_sasl_answer(struct smtp_sasl *s, const struct smtp_sasl_facts *f, struct buf *line);
/* Whether a reply repeats a piece of what was said: the secret, or eight bytes and more of its base64. Such words must
 * not be kept. */
bool smtp_sasl_is_repeated(const struct smtp_sasl *s, const struct smtp_sasl_facts *f,
                           struct span text);

#endif
