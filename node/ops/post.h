/* post - a mail on its way in by the API: made out of a request off the loop (post.c), then handed
 * to commit on the loop (route_post_message.c). Not used outside of these two and their tests.
 */
#ifndef OPS_POST_H
#define OPS_POST_H

#include "node/mail/content.h"
#include "node/mail/mail.h"
#include "node/ops/inside.h"
#include "node/smtp/address.h"
#include "proto/ground/arena.h"
#include "proto/ground/blob.h"

#define POST_ARENA_SIZE (2u << 20) /* addresses of a thousand recipients */

struct post {
    /* What is to be posted: filled by post_make. Borrowed texts lie in the arena. */
    struct arena arena;
    const char *tenant;
    struct span from;
    Angarium__Recipient **recipients;
    unsigned recipient_count;
    bool hold_in_doubt;   /* its tenant's policy */
    bool smtputf8;        /* RFC 6531: an address is in UTF-8 */
    struct blob **pieces; /* the body, each but the last of COMMIT_INLINE_SIZE_MAX */
    unsigned piece_count, piece_next;
    struct mail_facts facts;
    struct mail_content_scan *scan; /* finished; NULL: no content rule is for this tenant */
    bool is_rejected;               /* by one: detail says which */
    /* Why not. */
    enum problem problem;
    char detail[200];
};
struct post_input {
    struct span content_type, body;
    const char *query_from, *query_to; /* of message/rfc822 */
    uint64_t time_ms;
};
void post_init(struct post *p);
void post_deinit(struct post *p);
/* 0, or ERR_SYNTAX with problem and detail filled. Any thread; slow for large mails. */
int post_make(struct post *p, const struct post_input *in, const struct settings *s);

#endif
