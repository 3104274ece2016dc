/* forward - private to commit: a mail, or an order, that another node commits.
 *
 * Asking (forward.c): a mail goes to a leader; only when that surely did not take it, it is offered to the next one. Being asked
 * (forwarded.c): the mail is committed here or not at all; it is never sent on.
 */
#ifndef COMMIT_FORWARD_H
#define COMMIT_FORWARD_H

#include "node/commit/leaders.h"
#include "node/commit/shard.h"
#include "node/commit/words.h"

#define FORWARD_WITHIN_MS   30000 /* the lane of a node that is gone is down long before */
#define FORWARD_SILENT_MS   1000 /* raft holds a node for down, and nothing came so long: nobody waits on for its mails and chunks */
#define FORWARD_UPLOADS_MAX 1024u /* of other nodes, at once */
#define FORWARD_IDLE_MS     (15u * 60 * 1000) /* then such an upload is given up */

/* What the forms of a request have in common (commit.h keeps a pointer to it). */
struct commit_mail_request {
    struct commit_mail *owner; /* NULL: forgotten. The asker's loop only */
};

/* As commit_mail. ERR_NOT_LEADER: nobody takes it; ERR_FULL: those who lead have no room. */
int forward_mail(struct commit *c, struct loop *l, struct commit_mail *m);
/* The same with the packed Accept. */
int forward_command(struct commit *c, struct loop *l, struct commit_mail *m, struct span command);

/* Of an upload's calls: what the other node, or the way to it, said, as a code of commit. */
int forward_error(const struct peer_call *call, int rv);
/* It surely was not taken, and another leader may take it. */
bool forward_is_refused(const struct peer_call *call, int rv);

void forwarded_open(struct commit *c); /* before loops run; nothing when there are no peers */
void forwarded_close(struct commit *c);

#endif
