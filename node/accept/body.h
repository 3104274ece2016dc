/* body - private to accept: the bytes of one mail, from DATA or BDAT: facts are learned while they
 * pass, then they lie in one blob, or go up in chunks while more arrive.
 *
 * Bounds: COMMIT_UPLOAD_WINDOW chunks in flight, one that waits for room, one that is being filled.
 * A body that will be refused keeps nothing: its bytes are counted and dropped. */
#ifndef ACCEPT_BODY_H
#define ACCEPT_BODY_H

#include "node/accept/server.h"
#include "node/mail/senders.h"
#include "node/smtp/reply.h"

#define BODY_FEED_MAX                                                                              \
    (64u << 10) /* bytes between two looks at body_is_full: one chunk gets full at most */

struct body {
    struct accept *accept;
    const struct terms *terms; /* the session's */
    struct mail_reader *reader;
    struct mail_content_scan *scan; /* NULL: no content rule is for this tenant */
    struct blob *filling;
    struct blob *waiting; /* full, and the window is full too: feed nothing more */
    struct commit_upload *upload;
    const struct mail_facts *facts; /* complete: after body_finish; NULL before */
    uint64_t size;
    int refusal; /* enum smtp_reply_id: what the end will be answered with; -1: nothing is wrong yet
                  */
    char cause[MAIL_SENDERS_CAUSE_SIZE]; /* of the refusal, behind its text; "": none */
    bool is_header_seen;
    bool is_binary; /* BINARYMIME: bare CR, LF and NUL are content of the body, not of the header */
    const struct body_calls *calls;
    void *arg;
};

#define BODY_FINE (-1)

struct body_calls {
    /* Once, when the whole header is there and before anything of the mail goes up: `header` is it
     * and perhaps more. May call body_refuse_cause, nothing else. */
    void (*on_header)(void *arg, struct span header);
    void (*on_room)(void *arg); /* body_is_full() has ceased; never inside a call */
};
/* calls must outlive the body. */
void body_open(struct body *b, struct accept *a, const struct terms *terms, bool is_binary,
               struct span tenant, const struct body_calls *calls, void *arg);
void body_close(struct body *b); /* forgets all, aborts the upload; may be called twice */
/* Takes all of run. Once body_is_full, BODY_FEED_MAX bytes more are taken, then none until on_room.
 */
void body_feed(struct body *b, struct span run);
bool body_is_full(const struct body *b);
/* After the last byte: facts are complete. Whatever is left of an upload is sent, which may make it
 * full once more. */
void body_finish(struct body *b);
/* Bare line ends were seen by who read the bytes. */
void body_refuse(struct body *b, enum smtp_reply_id id);
void body_refuse_cause(struct body *b, enum smtp_reply_id id, const char *cause);
/* What commit's refusal is to the client. */
enum smtp_reply_id body_reply_of(int commit_error);

#endif
