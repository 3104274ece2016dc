/* inside - private to emit. */
#ifndef EMIT_INSIDE_H
#define EMIT_INSIDE_H

#include "node/emit/emit.h"
#include "node/mail/mail.h"
#include "proto/ground/check.h"
#include "proto/ground/log.h"
#include "proto/ground/metric.h"

#define EMIT_BOUNCES_IN_FLIGHT_MAX 32
#define EMIT_BOUNCE_GATHER_MS      200 /* recipients that fail together are told of together */
#define EMIT_BOUNCE_RETRY_MS       1000
#define EMIT_DSN_SIZE_MAX          (256u << 10) /* a body of one entry */
#define EMIT_DSN_RETURN_MAX        (128u << 10) /* of the original in it */
#define EMIT_DSN_RECIPIENTS_MAX    100          /* in one DSN; others are told of by the next */

struct emit {
    struct emit_options o;
    struct commit_watcher watcher;
    struct loop_timer timer;
    struct list bounces; /* struct bounce, in flight */
    unsigned bounce_count;
    bool *owing; /* by shard number: there may be bounces owed */
};

/* notice.c */

/* A DSN that is being made: of whom it tells. */
struct notice {
    unsigned count;
    uint32_t debts; /* of all of them */
    bool is_utf8;   /* an address or a header that is returned is (RFC 6533) */
    Angarium__Told told[EMIT_DSN_RECIPIENTS_MAX], *told_list[EMIT_DSN_RECIPIENTS_MAX];
    Angarium__RecipientRecord *records[EMIT_DSN_RECIPIENTS_MAX]; /* freed when it is printed */
    struct mail_dsn_recipient list[EMIT_DSN_RECIPIENTS_MAX];
};
/* Prints the DSN for what the message owes, at most EMIT_DSN_SIZE_MAX bytes; false: it owes nothing. `original`: the
 * bytes of its first entry. */
bool notice_print(struct notice *n, struct emit *e, uint32_t shard, uint64_t index,
                  const Angarium__MessageRecord *m, struct span original, struct buf *out);

/* bounce.c */
void bounce_wake(struct emit *e, uint32_t shard, uint64_t in_ms);
void bounce_init(struct emit *e);
void bounce_deinit(struct emit *e);

#endif
