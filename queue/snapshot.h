/* snapshot - private to the queue: a shard's state as a stream of bytes.
 *
 *   'H' | format u32 | shard u32                          first
 *   'R' | key size u16 | value size u32 | key | value     a record; its key without the shard, keys ascending
 *   'B' | entry u64 | size u32 | body                     behind the record (l | entry) that says the body is live
 *   'E' | items before it u64 | their hash u64            last
 *
 * Numbers are big-endian. The hash is XXH3 of each item, seeded with that of those before it.
 */
#ifndef QUEUE_SNAPSHOT_H
#define QUEUE_SNAPSHOT_H

#define SNAPSHOT_HEAD_SIZE   9u  /* 'H' and all of it */
#define SNAPSHOT_RECORD_LEAD 7u  /* 'R' up to the key */
#define SNAPSHOT_BODY_LEAD   13u /* 'B' up to the body */
#define SNAPSHOT_END_SIZE    17u
#define SNAPSHOT_VALUE_MAX   (8u << 20) /* of a record, and of a body */

#endif
