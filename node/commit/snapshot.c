/* snapshot - a shard's state goes to a replica that is behind the cut, and comes from one (raft.h, struct raft_snapshot_calls).
 *
 * Out:  open (loop) freezes the store; next (reader thread) reads records, and bodies out of the log or the store; close.
 * In:   chunks are staged by the DISK pool beside the state, one at a time; commit lets house.c install it between two cuts,
 *       for both move bodies; then the queue is read anew.
 * Rule: while a snapshot is open the log is not cut: a body that is live in it may die meanwhile, and is then nowhere else.
 */
#include "node/commit/shard.h"

struct incoming {
    struct shard *shard;
    struct loop_work work;
    struct house_job job;          /* installs it */
    struct queue_staging *staging; /* the work's, while it is away */
    struct blob *chunk;            /* the same */
    int rv;
    bool is_away, is_dropped;
};

/* ---- out */

static int read_body(void *arg, uint64_t entry, struct blob **out)
{
    struct shard *s = arg;

    return raft_entry_read(s->commit->o.raft, s->number, entry, NULL, out);
}

static int on_open(void *arg, void **out)
{
    struct shard *s = arg;
    struct queue_snapshot *n;

    queue_snapshot_open(&n, s->queue, read_body, s);
    atomic_fetch_add(&s->snapshots_out, 1);
    log_event(LOG_INFO, "shard.snapshot_out", LOG_NUM("shard", s->number),
              LOG_NUM("applied", queue_applied(s->queue)));
    *out = n;
    return 0;
}

static int on_next(void *arg, void *snapshot, struct buf *out, bool *last)
{
    struct shard *s = arg;
    int rv = queue_snapshot_next(snapshot, out, last);

    if (rv != 0)
        log_event(LOG_ERROR, "shard.snapshot_failed", LOG_NUM("shard", s->number),
                  LOG_TEXT("error", err_text(rv)));
    return rv;
}

static void on_close(void *arg, void *snapshot)
{
    struct shard *s = arg;
    struct queue_snapshot *n = snapshot;

    queue_snapshot_close(&n);
    atomic_fetch_sub(&s->snapshots_out, 1);
    if (s->cut_waits > 0 && !s->is_closing) loop_again(s->loop);
}

/* ---- in */

static void free_incoming(struct incoming *in)
{
    if (in->shard->incoming == in) in->shard->incoming = NULL;
    blob_unref(&in->chunk);
    queue_staging_close(&in->staging);
    free(in);
}

static void run_close(struct loop_work *w)
{
    queue_staging_close(&CONTAINER_OF(w, struct incoming, work)->staging);
}

static void on_closed(struct loop_work *w)
{
    free_incoming(CONTAINER_OF(w, struct incoming, work));
}

/* Deleting what was staged is a write, too: not on the loop, but when it ends. */
static void end_incoming(struct incoming *in)
{
    in->is_away = in->is_dropped = true;
    in->work.run = run_close;
    in->work.on_done = on_closed;
    if (!in->staging || in->shard->is_closing ||
        loop_work(in->shard->loop, LOOP_POOL_DISK, &in->work) != 0)
        free_incoming(in);
}

static int on_begin(void *arg, uint64_t index)
{
    struct shard *s = arg;

    if (s->incoming) return ERR_BUSY; /* the one before is still being deleted */
    s->incoming = check_calloc(1, sizeof *s->incoming);
    s->incoming->shard = s;
    log_event(LOG_INFO, "shard.snapshot_in", LOG_NUM("shard", s->number), LOG_NUM("index", index));
    return 0;
}

static void run_chunk(struct loop_work *w)
{
    struct incoming *in = CONTAINER_OF(w, struct incoming, work);

    if (!in->staging)
        queue_staging_open(&in->staging, in->shard->commit->o.store, in->shard->number);
    in->rv = queue_staging_add(in->staging, blob_span(in->chunk));
}

static void on_staged(struct loop_work *w)
{
    struct incoming *in = CONTAINER_OF(w, struct incoming, work);

    in->is_away = false;
    blob_unref(&in->chunk);
    if (in->rv != 0 && !in->is_dropped)
        log_event(LOG_ERROR, "shard.snapshot_failed", LOG_NUM("shard", in->shard->number),
                  LOG_TEXT("error", err_text(in->rv)));
    if (in->is_dropped)
        end_incoming(in);
    else
        raft_group_staged(in->shard->group, in->rv);
}

static int on_chunk(void *arg, struct span bytes)
{
    struct shard *s = arg;
    struct incoming *in = s->incoming;
    int rv;

    CHECK(in && !in->is_away && !in->is_dropped);
    in->chunk = blob_copy(bytes);
    in->work.run = run_chunk;
    in->work.on_done = on_staged;
    rv = loop_work(s->loop, LOOP_POOL_DISK, &in->work);
    if (rv != 0) {
        blob_unref(&in->chunk);
        return rv;
    }
    in->is_away = true;
    return ERR_AGAIN;
}

static void on_drop(void *arg)
{
    struct shard *s = arg;
    struct incoming *in = s->incoming;

    if (!in) return;
    if (in->is_away && !s->is_closing)
        in->is_dropped = true;
    else
        end_incoming(in);
}

static void run_install(struct house_job *j)
{
    j->rv = queue_staging_install(CONTAINER_OF(j, struct incoming, job)->staging, j->index);
}

static void take_installed(struct shard *s, uint64_t index)
{
    struct errmsg why = { "" };

    CHECK(queue_reload(s->queue, &why) == 0); /* it was checked when it was staged */
    body_cache_clear(&s->cache);
    s->cut = index;
    s->cut_waits = 0;
    free_incoming(s->incoming);
    shard_see(s);
}

static void on_installed(struct house_job *j)
{
    struct shard *s = j->shard;
    uint64_t index = j->index;
    int rv = j->rv;

    if (rv == ERR_CLOSED) return; /* the shard's end drops it */
    s->incoming->is_away = false;
    if (rv == 0) take_installed(s, index);
    log_event(rv == 0 ? LOG_INFO : LOG_ERROR, "shard.installed", LOG_NUM("shard", s->number),
              LOG_NUM("index", index), rv == 0 ? LOG_SKIP : LOG_TEXT("error", err_text(rv)));
    raft_group_installed(s->group, rv == 0);
}

static int on_commit(void *arg, uint64_t index, uint64_t term)
{
    struct shard *s = arg;
    struct incoming *in = s->incoming;

    (void)term;
    CHECK(in && !in->is_away && !in->is_dropped);
    if (!in->staging) return ERR_CORRUPT; /* an empty one */
    in->is_away = true;
    in->job = (struct house_job){ .shard = s, .index = index, .run = run_install, .done = on_installed };
    house_do(&in->job);
    return ERR_AGAIN;
}

bool snapshot_is_away(const struct shard *s)
{
    return s->incoming && s->incoming->is_away;
}

struct raft_snapshot_calls snapshot_calls(void)
{
    return (struct raft_snapshot_calls){ .open = on_open,
                                         .next = on_next,
                                         .close = on_close,
                                         .begin = on_begin,
                                         .chunk = on_chunk,
                                         .commit = on_commit,
                                         .drop = on_drop };
}
