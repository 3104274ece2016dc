/* emit - an outcome becomes what others see of it: bounces (a bounce is a new mail), the log line of each
 * event, the live feed.
 *
 * Bounces (failures, delays and successes that were asked for, RFC 3461): a message that owes one (its queue says so, on disk) gets a DSN proposed as a mail into the same
 *   shard with bounce_of; applying it clears the debt in the same write, so there is exactly one, whatever
 *   crashes in between. Never a bounce for a bounce: a null return path owes none (queue Q5).
 * Threads: one emit per loop, for the shards of that loop; emit_feed_* on any loop.
 */
#ifndef EMIT_EMIT_H
#define EMIT_EMIT_H

#include "node/commit/commit.h"

struct emit;
struct emit_options {
    struct loop *loop;
    struct commit *commit;
    const char *hostname; /* copied */
    uint64_t node;
    uint64_t expire_ms; /* of the bounces */
};
int emit_new(struct emit **out, const struct emit_options *o);
void emit_free(struct emit **e);
void emit_set_expire(struct emit *e, uint64_t expire_ms); /* on the loop */
bool emit_is_idle(const struct emit *e);

/* An event's id, "SHARD.ENTRY.NUMBER" in base32: sorts by time within a shard. */
#define EMIT_EVENT_ID_SIZE 48
void emit_event_id(uint32_t shard, uint64_t entry, uint32_t number, char out[EMIT_EVENT_ID_SIZE]);
int emit_event_id_parse(struct span text, uint32_t *shard, uint64_t *entry, uint32_t *number);

#endif
