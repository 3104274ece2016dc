/* replay - committed entries that have left the cache, or were in the log at boot, are read by the reader thread, a slice at a
 * time, and applied by the loop: apply.c.
 *
 * They cannot change meanwhile: what is committed is not truncated, and nothing is cut that is not applied. A snapshot that
 * takes their place makes them stale. A loop has RAFT_REPLAYS_MAX of them: groups wait in turn.
 */
#include "raft/engine/inside.h"

struct replay {
    struct mail mail;
    struct read_job job;
    struct engine_loop *loop;
    struct raft_group *group; /* NULL: closed */
    uint64_t number, first, last;
    size_t bytes;
    int rv;
    bool is_here;
    struct fetched *entries;
};

static bool take(void *arg, const struct store_entry *e)
{
    struct replay *r = arg;

    r->entries->entries[r->entries->count++] = (struct fetched_entry){
        .term = e->term, .kind = e->kind, .head = blob_copy(e->head), .body = blob_copy(e->body)
    };
    r->bytes += e->head.n + e->body.n;
    return r->entries->count < APPLY_ENTRIES_MAX && r->bytes < APPLY_BYTES_MAX;
}

static void run(struct read_job *job)
{
    struct replay *r = CONTAINER_OF(job, struct replay, job);

    r->entries =
        check_calloc(1, sizeof *r->entries + APPLY_ENTRIES_MAX * sizeof r->entries->entries[0]);
    r->rv = store_entries_each(r->loop->raft->store, r->number, r->first, r->last, r, take);
    inbox_put(r->loop, &r->mail);
}

static void begin(struct raft_group *g)
{
    struct engine_loop *l = g->loop;
    struct replay *r = check_calloc(1, sizeof *r);

    r->mail.kind = MAIL_REPLAY;
    r->job.run = run;
    r->loop = l;
    r->group = g;
    r->number = g->number;
    r->first = g->applied + 1;
    r->last = g->commit;
    if (g->ring.count > 0 && g->ring.first <= r->last) r->last = g->ring.first - 1;
    g->replay = r;
    l->replays++;
    reader_do(l->raft, &r->job);
}

/* Those that waited longest, as far as there are places. */
static void begin_next(struct engine_loop *l)
{
    struct list *it;

    while (l->replays < RAFT_REPLAYS_MAX && (it = list_take_first(&l->unread)) != NULL) {
        struct raft_group *g = CONTAINER_OF(it, struct raft_group, unread_link);

        if (!g->replay && g->applied < g->commit) begin(g);
    }
}

void replay_want(struct raft_group *g)
{
    if (g->replay || !list_empty(&g->unread_link)) return;
    list_add(&g->loop->unread, &g->unread_link);
    begin_next(g->loop);
}

static void free_replay(struct replay *r)
{
    struct engine_loop *l = r->loop;

    fetched_free(&r->entries);
    free(r);
    l->replays--;
    begin_next(l);
}

const struct fetched *replay_ready(const struct raft_group *g)
{
    const struct replay *r = g->replay;

    return r && r->is_here && r->first == g->applied + 1 ? r->entries : NULL;
}

void replay_drop(struct raft_group *g)
{
    struct replay *r = g->replay;

    if (!r || !r->is_here) return;
    g->replay = NULL;
    free_replay(r);
}

void replay_done(struct engine_loop *l, struct mail *mail)
{
    struct replay *r = CONTAINER_OF(mail, struct replay, mail);
    struct raft_group *g = r->group;

    if (!g) {
        free_replay(r);
        return;
    }
    r->is_here = true;
    if (r->first != g->applied + 1) /* a snapshot has taken their place */
        replay_drop(g);
    else if (r->rv != 0) /* they are durable, and committed: without them this node cannot go on */
        engine_end(l->raft, "read of committed entries", r->rv);
    if (list_empty(&g->unapplied_link)) list_add(&l->unapplied, &g->unapplied_link);
}

/* One that is being read is waited for; its mail comes later. */
void replay_forget(struct raft_group *g)
{
    list_remove(&g->unread_link);
    if (g->replay && !g->replay->is_here) {
        reader_drain(g->raft);
        g->replay->group = NULL;
        g->replay = NULL;
    }
    replay_drop(g);
}
