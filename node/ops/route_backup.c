/* route_backup - GET /api/v1/backups/{shard}: the state of a shard that this node leads, or of control (0), as a file of a
 * backup (backup.h), streamed: a chunk is read when the client has taken the one before.
 *
 * Bounds:  one at a time on a node; a chunk in memory; BACKUP_BYTES_PER_S; a client that takes nothing for BACKUP_STALL_MS is
 *          cut off, for the shard's log is not cut meanwhile.
 * Fails:   what goes wrong after the first byte ends the stream early: the state in it is then not whole, and is seen not to be.
 */
#include <stdio.h>
#include <stdlib.h>

#include "node/ops/backup.h"
#include "node/ops/inside.h"
#include "proto/ground/check.h"
#include "proto/ground/log.h"

#define BACKUP_BYTES_PER_S (32u << 20)
#define BACKUP_STALL_MS    30000
#define PIECE_SIZE         (64u << 10)

struct backup_call {
    struct call *call;
    struct commit_backup backup;
    struct loop_timer timer;
    struct buf chunk;
    size_t at;
    bool is_streaming, is_reading, is_gone, is_last, is_stalled;
    int rv;
};

/* ---- a shard */

static void end(struct backup_call *b)
{
    struct call *c = b->call;

    loop_timer_stop(&b->timer);
    commit_backup_close(&b->backup);
    buf_deinit(&b->chunk);
    c->ops->backup_open = false;
    http_stream_end(c->request);
    call_free(c); /* and b */
}

static void refuse(struct backup_call *b, int rv)
{
    struct call *c = b->call;
    uint64_t leader = 0;
    struct commit_shard_view v;

    buf_deinit(&b->chunk);
    c->ops->backup_open = false;
    c->abandon = NULL;
    commit_shard_see(c->ops->o.commit, b->backup.shard, &v);
    if (v.is_open) leader = v.raft.leader;
    if (rv == ERR_NOT_FOUND)
        call_answer_problem(c, PROBLEM_NOT_FOUND, "this node does not hold shard %s", c->param);
    else if (rv == ERR_NOT_LEADER && leader != 0 && leader != c->ops->o.node)
        call_answer_problem(c, PROBLEM_NO_QUORUM, "node %llu leads shard %s; ask it",
                            (unsigned long long)leader, c->param);
    else
        call_answer_problem(c, problem_of(rv), "%s", err_text(rv));
}

static void run_next(struct loop_work *w)
{
    struct call *c = CONTAINER_OF(w, struct call, work);
    struct backup_call *b = c->more;

    b->rv = commit_backup_next(&b->backup, &b->chunk, &b->is_last);
}

static void send_chunk(struct backup_call *b);

static void on_next(struct loop_work *w)
{
    struct call *c = CONTAINER_OF(w, struct call, work);
    struct backup_call *b = c->more;

    b->is_reading = false;
    if (b->rv != 0)
        log_event(LOG_ERROR, "shard.backup_failed", LOG_NUM("shard", b->backup.shard),
                  LOG_TEXT("error", err_name(b->rv)));
    if (b->rv != 0 || b->is_gone || atomic_load(&c->ops->closing))
        end(b);
    else
        send_chunk(b);
}

static void read_next(struct backup_call *b)
{
    struct call *c = b->call;

    buf_reset(&b->chunk);
    b->at = 0;
    c->work.run = run_next;
    c->work.on_done = on_next;
    b->is_reading = true;
    if (loop_work(c->ops->o.loop, LOOP_POOL_DISK, &c->work) == 0) return;
    b->is_reading = false;
    end(b);
}

static void send_chunk(struct backup_call *b)
{
    while (b->at < b->chunk.n) {
        size_t left = b->chunk.n - b->at, n = left < PIECE_SIZE ? left : PIECE_SIZE;
        int rv = b->is_gone ? ERR_CLOSED
                            : http_stream_write(b->call->request, span_of(b->chunk.p + b->at, n));

        if (rv == ERR_FULL) {
            b->is_stalled = true;
            loop_timer_start(&b->timer, BACKUP_STALL_MS);
            return;
        }
        if (rv != 0) {
            end(b);
            return;
        }
        b->at += n;
    }
    if (b->is_last)
        end(b);
    else
        loop_timer_start(&b->timer, b->chunk.n * 1000 / BACKUP_BYTES_PER_S);
}

static void on_timer(struct loop_timer *t)
{
    struct backup_call *b = CONTAINER_OF(t, struct backup_call, timer);

    if (b->is_stalled)
        end(b);
    else
        read_next(b);
}

static void on_room(void *arg)
{
    struct backup_call *b = arg;

    if (!b->is_stalled) return;
    b->is_stalled = false;
    loop_timer_stop(&b->timer);
    send_chunk(b);
}

static void on_gone(void *arg)
{
    struct backup_call *b = arg;

    b->is_gone = true;
    if (!b->is_reading) end(b);
}

static void put_head(struct backup_call *b)
{
    const struct ops *ops = b->call->ops;
    struct backup_head head = { .shard = b->backup.shard,
                                .index = b->backup.index,
                                .term = b->backup.term,
                                .digest = b->backup.digest,
                                .time_ms = loop_wall_ms(ops->o.loop) };

    memcpy(head.cluster, control_cluster(cluster_control(ops->o.cluster)), sizeof head.cluster);
    backup_head_put(&head, &b->chunk);
}

static void on_open(struct commit_backup *backup, int rv)
{
    struct backup_call *b = CONTAINER_OF(backup, struct backup_call, backup);

    if (rv != 0) {
        refuse(b, rv);
        return;
    }
    http_stream_start(b->call->request, 200, BACKUP_TYPE);
    b->is_streaming = true;
    b->is_reading = true; /* a client that is gone already is noticed by the first write */
    http_on_room(b->call->request, on_room, b);
    http_on_gone(b->call->request, on_gone, b);
    b->is_reading = false;
    put_head(b);
    send_chunk(b);
}

static void abandon_shard(struct call *c)
{
    struct backup_call *b = c->more;

    if (b->is_streaming) {
        if (!b->is_reading) end(b);
        return;
    }
    commit_backup_close(&b->backup);
    refuse(b, ERR_CLOSED);
}

static void backup_shard(struct call *c, uint32_t shard)
{
    struct backup_call *b = check_calloc(1, sizeof *b);
    int rv;

    c->more = b;
    b->call = c;
    b->backup = (struct commit_backup){ .shard = shard, .on_open = on_open };
    buf_init(&b->chunk, QUEUE_CHUNK_SIZE_MAX + BACKUP_HEAD_SIZE);
    loop_timer_init(&b->timer, c->ops->o.loop, on_timer);
    c->ops->backup_open = true;
    c->abandon = abandon_shard;
    rv = commit_backup_open(c->ops->o.commit, c->ops->o.loop, &b->backup);
    if (rv != 0) refuse(b, rv);
}

/* ---- control */

struct control_backup {
    struct cluster_barrier barrier;
    struct call *call; /* NULL: nobody waits any more */
};

static void answer_control(struct call *c)
{
    const struct cluster *cluster = c->ops->o.cluster;
    const struct control *control = cluster_control(cluster);
    struct backup_head head = { .index = control_applied(control),
                                .term = cluster_term(cluster),
                                .digest = control_digest(control),
                                .time_ms = loop_wall_ms(c->ops->o.loop) };
    struct buf file;

    memcpy(head.cluster, control_cluster(control), sizeof head.cluster);
    buf_init(&file, CONTROL_STATE_SIZE_MAX + BACKUP_HEAD_SIZE);
    backup_head_put(&head, &file);
    CHECK(control_save(control, &file) == 0);
    call_answer_text(c, 200, BACKUP_TYPE, buf_span(&file));
    buf_deinit(&file);
}

static void refuse_control(struct call *c, int rv)
{
    uint64_t leader = cluster_leader(c->ops->o.cluster);

    if (rv == ERR_NOT_LEADER && leader != 0 && leader != c->ops->o.node)
        call_answer_problem(c, PROBLEM_NO_QUORUM, "node %llu leads the cluster's control; ask it",
                            (unsigned long long)leader);
    else
        call_answer_problem(c, problem_of(rv), "%s", err_text(rv));
}

static void on_barrier(struct cluster_barrier *barrier, int rv)
{
    struct control_backup *b = CONTAINER_OF(barrier, struct control_backup, barrier);
    struct call *c = b->call;

    free(b);
    if (!c) return;
    c->abandon = NULL;
    c->more = NULL;
    if (rv != 0)
        refuse_control(c, rv);
    else
        answer_control(c);
}

static void abandon_control(struct call *c)
{
    struct control_backup *b = c->more;

    b->call = NULL;
    c->more = NULL;
    call_answer_problem(c, PROBLEM_CLOSING, "the node is shutting down");
}

static void backup_control(struct call *c)
{
    struct control_backup *b = check_calloc(1, sizeof *b);
    int rv;

    b->call = c;
    b->barrier.on_done = on_barrier;
    rv = cluster_wait(c->ops->o.cluster, &b->barrier);
    if (rv != 0) {
        free(b);
        refuse_control(c, rv);
        return;
    }
    c->more = b;
    c->abandon = abandon_control;
}

void route_backup(struct call *c)
{
    uint64_t shard = 0;

    if (!c->ops->o.cluster)
        call_answer_problem(c, PROBLEM_NOT_FOUND,
                            "this node is alone: stop it and copy its data directory");
    else if (span_u64(span_cstr(c->param), commit_shard_max(c->ops->o.commit), &shard) != 0)
        call_answer_problem(c, PROBLEM_BAD_REQUEST, "\"%s\" is no shard's number (0: control)",
                            c->param);
    else if (shard == 0)
        backup_control(c);
    else if (c->ops->backup_open)
        call_answer_problem(c, PROBLEM_BUSY, "a shard is on its way into a backup already");
    else
        backup_shard(c, (uint32_t)shard);
}
