/* keys - private to the queue: how its records are addressed. Every key begins with the shard, then
 * a kind:
 *
 *   m | index                          MessageRecord
 *   p | index                                          has recipients pending
 *   r | index | recipient              RecipientRecord
 *   t | due | index | recipient        domain          waiting, by time
 *   d | domain 0 | due | index | recipient             waiting, by destination
 *   c | index | recipient                              claimed
 *   i | index | recipient                              in doubt
 *   b | index                                          owes a bounce
 *   l | entry                          owner u64       a body that is still needed (0: of an open
 * upload) u | name                           UploadRecord e | entry | number                 Event
 *   s | index | entry | number                         story of a message
 *   f | finished | index                               finished, by time
 *   S                                  applied, digest, counts
 *   x                                                  closed: no new mail
 *
 * and among the bodies, which are no part of the replicated state and its digest:
 *
 *   B | entry                          body            that was moved out of the log
 *   M                                  entry u64       bodies up to this entry may have been moved
 *
 * shard u32, due, finished, index, entry u64, recipient, number u32, all big-endian: keys sort like
 * numbers.
 */
#ifndef QUEUE_KEYS_H
#define QUEUE_KEYS_H

#include "proto/ground/span.h"

#define QUEUE_KEY_SIZE_MAX 320

struct queue_key {
    uint8_t p[QUEUE_KEY_SIZE_MAX];
    size_t n;
};

struct queue_key queue_key(uint32_t shard, char kind);
void queue_key_u64(struct queue_key *k, uint64_t v);
void queue_key_u32(struct queue_key *k, uint32_t v);
void queue_key_bytes(struct queue_key *k, struct span s);
static inline struct span queue_key_span(const struct queue_key *k)
{
    return span_of(k->p, k->n);
}
struct queue_key queue_key_1(uint32_t shard, char kind, uint64_t a);
struct queue_key queue_key_ref(uint32_t shard, char kind, uint64_t index, uint32_t recipient);
struct queue_key queue_key_time(uint32_t shard, uint64_t due, uint64_t index, uint32_t recipient);
struct queue_key queue_key_domain(uint32_t shard, struct span domain, uint64_t due, uint64_t index,
                                  uint32_t recipient);
struct queue_key queue_key_story(uint32_t shard, uint64_t index, uint64_t entry, uint32_t number);

#endif
