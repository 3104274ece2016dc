/* forget - a shard has ended, for all nodes and for ever: its group closes here, then what log and store have of it goes.
 *
 * Order: 1. nothing of the shard is under way   2. the group is closed, on the shard's loop   3. the log forgets it, synced
 *        4. the store forgets it.
 * Control says so at every start, so what a crash leaves of 3 and 4 goes then. Nobody needs the promises that the log forgets:
 * its leader said that it was empty before control closed it, and its number is never given again.
 */
#include "node/commit/shard.h"

struct ending {
    struct loop_letter letter;
    struct shard *shard;
};

struct forgetting {
    struct house_job job;
    bool had;
};

static void run_forget(struct house_job *j)
{
    struct commit *c = j->shard->commit;
    struct forgetting *f = CONTAINER_OF(j, struct forgetting, job);
    struct errmsg why = { "" };
    bool had_state;

    CHECK(raft_group_forget(c->o.raft, j->shard->number, &f->had, &why) == 0); /* closed */
    had_state = queue_forget(c->o.store, j->shard->number);
    f->had = f->had || had_state;
}

static void on_forgotten(struct house_job *j)
{
    struct forgetting *f = CONTAINER_OF(j, struct forgetting, job);

    if (j->rv == 0 && f->had) {
        metric_add(M_SHARDS_CLOSED_REMOVED, 1);
        log_event(LOG_INFO, "shard.removed", LOG_NUM("shard", j->shard->number),
                  LOG_TEXT("reason", "closed"));
    }
    free(f);
}

static void forget(struct shard *s)
{
    struct forgetting *f = check_calloc(1, sizeof *f);

    f->job = (struct house_job){ .shard = s, .run = run_forget, .done = on_forgotten };
    house_do(&f->job);
}

bool forget_waits(const struct shard *s)
{
    return !list_empty(&s->in_flight) || s->is_sealing || s->is_purging || attempt_waits(s) ||
           snapshot_is_away(s) || atomic_load(&s->snapshots_out) > 0;
}

void forget_turn(struct shard *s)
{
    if (!s->has_ended || forget_waits(s)) return;
    shard_end(s);
    forget(s);
}

static void on_end(struct loop_letter *letter)
{
    struct ending *e = CONTAINER_OF(letter, struct ending, letter);
    struct shard *s = e->shard;

    free(e);
    if (s->has_ended) return;
    s->has_ended = true;
    if (s->is_open)
        loop_again(s->loop);
    else
        forget(s);
}

void commit_forget(struct commit *c, uint32_t shard)
{
    struct ending *e = check_calloc(1, sizeof *e);

    e->shard = commit_shard(c, shard);
    CHECK(e->shard && c->o.shard_count == 0);
    e->letter.on_arrive = on_end;
    loop_post(e->shard->loop, &e->letter);
}
