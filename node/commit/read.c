/* read - bodies: out of memory, else out of the log, else out of the store for those that outlived it.
 *
 * The order matters: a body is put into the store, durably, before the log forgets it; who misses it in the
 * log finds it in the store. What the store has the log is not asked for: where a snapshot has just been installed the state is
 * the new one already, and the log still the old one, in which other entries may stand at its end that never were committed.
 */
#include "node/commit/shard.h"

struct blob *commit_body_cached(struct commit *c, uint32_t shard, uint64_t entry)
{
    struct shard *s = commit_shard(c, shard);
    struct blob *b = s ? body_cache_get(&s->cache, entry) : NULL;

    if (b) metric_add(M_BODY_CACHE_HITS, 1);
    return b;
}

int commit_body_get(struct commit *c, uint32_t shard, uint64_t entry, struct blob **out)
{
    int rv = ERR_NOT_FOUND;

    if (entry > queue_moved_upto(c->o.store, shard))
        rv = raft_entry_read(c->o.raft, shard, entry, NULL, out);
    if (rv == ERR_NOT_FOUND) rv = queue_body_get(c->o.store, shard, entry, out);
    metric_add(M_BODY_LOG_READS, 1);
    return rv;
}

static void on_run(struct loop_work *w)
{
    struct commit_read *r = CONTAINER_OF(w, struct commit_read, work);

    r->rv = commit_body_get(r->commit, r->shard, r->entry, &r->body);
}

static void on_read(struct loop_work *w)
{
    struct commit_read *r = CONTAINER_OF(w, struct commit_read, work);
    struct blob *body = r->body;

    r->body = NULL;
    r->on_done(r, r->rv, body);
}

int commit_body_read(struct commit *c, struct loop *l, struct commit_read *r)
{
    r->commit = c;
    r->body = NULL;
    r->rv = 0;
    r->work.run = on_run;
    r->work.on_done = on_read;
    return loop_work(l, LOOP_POOL_DISK, &r->work);
}
