/* bodyhash - both body hashes of DKIM over a stream (RFC 6376 3.4.3, 3.4.4). Inside of node/mail
 * only. */
#ifndef MAIL_BODYHASH_H
#define MAIL_BODYHASH_H

#include <openssl/evp.h>
#include "proto/ground/span.h"

#define BODYHASH_CANON_SIZE 4096

/* A hash that ignores empty lines at the end: they are counted, and hashed when something follows.
 */
struct bodyhash_tail {
    EVP_MD_CTX *md;
    uint64_t crlf_count; /* at the end so far, not hashed */
    bool cr;             /* behind them, not hashed */
    bool any;            /* something was hashed */
};

struct bodyhash {
    EVP_MD *sha256;
    struct bodyhash_tail simple, relaxed;
    bool forked;          /* false: the relaxed form is the same as the simple one so far */
    bool blank, blank_cr; /* relaxed: white space was seen and not written; then a CR */
    size_t canon_size;
    uint8_t canon[BODYHASH_CANON_SIZE]; /* relaxed form, not hashed yet */
};

void bodyhash_init(struct bodyhash *h);
void bodyhash_deinit(struct bodyhash *h);
void bodyhash_start(struct bodyhash *h);
void bodyhash_feed(struct bodyhash *h, struct span piece);
void bodyhash_finish(struct bodyhash *h, uint8_t simple[32], uint8_t relaxed[32]);

#endif
