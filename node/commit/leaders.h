/* leaders - private to commit: which node leads which shard, as each node tells the others (PEER_LEADS).
 *
 * A node tells every other one whose bulk lane is up: when that comes up, and when what it leads, or whether it takes mail,
 * changes. What a node said is forgotten when its lane goes down, and does not count while raft holds it for down: over a cable that
 * is cut the lane stays up for seconds more, and who asked over it would wait for them. Nothing here is a promise: who is asked may not lead any more,
 * and says so.
 */
#ifndef COMMIT_LEADERS_H
#define COMMIT_LEADERS_H

#include "node/commit/commit.h"

#define LEADERS_TRIES_MAX 3u /* leaders that one mail is offered to */

void leaders_open(struct commit *c); /* before loops run; nothing when there are no peers */
void leaders_close(struct commit *c);
void leaders_changed(struct commit *c); /* what this node leads, or takes. Any thread */
/* A node that takes mail and is none of these: of our own region first, in turn. 0: none. Any thread. */
uint64_t leaders_choose(struct commit *c, const uint64_t *tried, unsigned count);
bool leaders_leaves(struct commit *c, uint64_t node); /* it has said that it stops */
bool leaders_any(struct commit *c);
/* Another node that says that it leads the shard, and is heard. 0: none. Any thread. */
uint64_t leaders_of(struct commit *c, uint32_t shard);

#endif
