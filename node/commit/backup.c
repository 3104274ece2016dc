/* backup - a shard's state goes out as a stream of bytes, for who asks (commit.h, struct commit_backup).
 *
 * Way:   the asker's loop -> letter -> the shard's loop: read barrier, then the view is frozen -> letter -> on_open.
 * Rule:  as for a snapshot to a peer: while it is open the log is not cut (snapshot.c).
 */
#include "node/commit/shard.h"

struct commit_backup_request {
    struct loop_letter letter;
    struct raft_read read;
    struct commit_backup *owner; /* NULL: forgotten; the asker's loop only */
    struct shard *shard;
    struct loop *from;
    struct queue_snapshot *snapshot;
    uint64_t index, term, digest;
    struct queue_counts counts;
    int rv;
    bool is_told;
};

static int read_body(void *arg, uint64_t entry, struct blob **out)
{
    struct shard *s = arg;

    return raft_entry_read(s->commit->o.raft, s->number, entry, NULL, out);
}

/* The log may be cut again, by the shard's next turn. */
static void let_go(struct commit_backup_request *r)
{
    struct shard *s = r->shard;

    if (!r->snapshot) return;
    queue_snapshot_close(&r->snapshot);
    atomic_fetch_sub(&s->snapshots_out, 1);
    loop_wake(s->loop);
}

static void on_answer_arrives(struct loop_letter *letter)
{
    struct commit_backup_request *r = CONTAINER_OF(letter, struct commit_backup_request, letter);
    struct commit_backup *b = r->owner;

    if (!b || r->rv != 0) {
        int rv = r->rv;

        let_go(r);
        free(r);
        if (!b) return;
        b->request = NULL;
        b->on_open(b, rv);
        return;
    }
    r->is_told = true;
    b->index = r->index;
    b->term = r->term;
    b->digest = r->digest;
    b->counts = r->counts;
    b->on_open(b, 0);
}

static void answer(struct commit_backup_request *r, int rv)
{
    r->rv = rv;
    r->letter.on_arrive = on_answer_arrives;
    loop_post(r->from, &r->letter);
}

static void freeze(struct commit_backup_request *r)
{
    struct shard *s = r->shard;

    queue_snapshot_open(&r->snapshot, s->queue, read_body, s);
    atomic_fetch_add(&s->snapshots_out, 1);
    r->index = queue_applied(s->queue);
    r->term = s->term;
    r->digest = queue_digest(s->queue);
    queue_counts(s->queue, &r->counts);
    log_event(LOG_INFO, "shard.backup_out", LOG_NUM("shard", s->number),
              LOG_NUM("applied", r->index));
}

/* What was acknowledged before the question is applied here now. */
static void on_read(struct raft_read *read, int rv)
{
    struct commit_backup_request *r = CONTAINER_OF(read, struct commit_backup_request, read);

    if (rv == 0) freeze(r);
    answer(r, rv);
}

static void on_request_arrives(struct loop_letter *letter)
{
    struct commit_backup_request *r = CONTAINER_OF(letter, struct commit_backup_request, letter);
    struct shard *s = r->shard;
    int rv = !s->is_open ? ERR_NOT_FOUND : !s->leads ? ERR_NOT_LEADER : 0;

    r->read = (struct raft_read){ .on_done = on_read };
    list_init(&r->read.link);
    if (rv == 0) rv = raft_group_read(s->group, &r->read);
    if (rv != 0)
        answer(r, rv);
    else
        loop_again(s->loop);
}

int commit_backup_open(struct commit *c, struct loop *l, struct commit_backup *b)
{
    struct shard *s = commit_shard(c, b->shard);
    struct commit_backup_request *r;

    if (!s) return ERR_NOT_FOUND;
    r = check_calloc(1, sizeof *r);
    r->owner = b;
    r->shard = s;
    r->from = l;
    b->request = r;
    r->letter.on_arrive = on_request_arrives;
    loop_post(s->loop, &r->letter);
    return 0;
}

int commit_backup_next(struct commit_backup *b, struct buf *out, bool *last)
{
    return queue_snapshot_next(b->request->snapshot, out, last);
}

void commit_backup_close(struct commit_backup *b)
{
    struct commit_backup_request *r = b->request;

    b->request = NULL;
    if (!r) return;
    r->owner = NULL;
    if (!r->is_told) return; /* it is on its way, and ends when it arrives */
    let_go(r);
    free(r);
}
