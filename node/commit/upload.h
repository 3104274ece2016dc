/* upload - private to commit: a large body that goes up in chunks while it still arrives. */
#ifndef COMMIT_UPLOAD_H
#define COMMIT_UPLOAD_H

#include "node/commit/shard.h"

/* A shard of this loop that leads, in turn, else any; `anywhere`: any, in turn. NULL: none leads. */
struct shard *commit_choose_shard(struct commit *c, struct loop *l, bool anywhere);
/* The shard is not handed over while uploads hold it, for a while (place.c). Any loop. */
void upload_hold(struct shard *s);
void upload_release(struct shard *s);
/* As commit_upload_open, but to a shard that is led here; or to a node that leads. */
int commit_upload_open_here(struct commit *c, struct loop *l, struct commit_upload **out);
struct commit_upload *commit_upload_open_to(struct commit *c, struct loop *l, uint64_t node);
struct shard *commit_upload_shard(const struct commit_upload *u); /* NULL: another node's */
uint64_t commit_upload_to(const struct commit_upload *u);         /* 0: a shard here */
struct span commit_upload_own_name(const struct commit_upload *u);
uint32_t commit_upload_sent(const struct commit_upload *u); /* chunks that were taken */
/* Each chunk that comes back, in their order; not when the upload was aborted. */
void commit_upload_on_chunk(struct commit_upload *u, void (*on_chunk)(void *arg, int rv),
                            void *arg);
/* Calls back (soon, never inside) when all chunks are committed, or with why not. Once. */
void commit_upload_on_complete(struct commit_upload *u, void (*on_complete)(void *arg, int rv),
                               void *arg);
/* Puts the upload's name and chunk indexes into the command (borrowed), and takes them out again. */
void commit_upload_name(const struct commit_upload *u, Angarium__Accept *accept);
void commit_upload_unname(Angarium__Accept *accept);
/* The mail that owns the chunks is proposed: forgets the upload without aborting it. */
void commit_upload_done(struct commit_upload **u);

#endif
