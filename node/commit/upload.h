/* upload - private to commit: a large body that goes up in chunks while it still arrives. */
#ifndef COMMIT_UPLOAD_H
#define COMMIT_UPLOAD_H

#include "node/commit/shard.h"

struct shard *commit_choose_shard(struct commit *c, struct loop *l);
struct shard *commit_upload_shard(const struct commit_upload *u);
/* Calls back (soon, never inside) when all chunks are committed, or with why not. Once. */
void commit_upload_on_complete(struct commit_upload *u, void (*on_complete)(void *arg, int rv),
                               void *arg);
/* Puts the upload's name and chunk indexes into the command (borrowed), and takes them out again. */
void commit_upload_name(const struct commit_upload *u, Angarium__Accept *accept);
void commit_upload_unname(Angarium__Accept *accept);
/* The mail that owns the chunks is proposed: forgets the upload without aborting it. */
void commit_upload_done(struct commit_upload **u);

#endif
