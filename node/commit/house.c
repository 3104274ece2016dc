/* house - keeping house: the log is cut behind what is durable elsewhere, bodies that outlive it are moved,
 * what is over is purged, the disk's reserve is watched.
 *
 * A cut, in this order (one at a time, on the DISK pool):
 *   1. each shard's target is where its state ended a while ago: the young majority has died since
 *   2. live bodies in (last cut, target] are copied from the log into the store
 *   3. the store is flushed: state up to target and the copies are durable
 *   4. on each shard's loop: copies whose body died meanwhile are forgotten, the group cuts its log: when no snapshot goes
 *      out of it (snapshot.c), and when those who are there have what is cut
 * So nothing is ever only in the part of the log that goes away.
 * Jobs (snapshots that came are installed, shards that ended are removed) run in between, by the same pool: what moves bodies
 * and what replaces them all exclude each other.
 */
#include <sys/statvfs.h>

#include "node/commit/shard.h"

#define MOVE_SLICE 256
/* Moved at most between two flushes: less than the store's memtables hold, else the loops, which write to the same
 * store, would wait in their write until the disk has taken what was moved. */
#define MOVE_BYTES_MAX (24u << 20)

struct moved {
    uint64_t *entries;
    size_t count, cap;
};

struct cut {
    struct loop_letter letter; /* to the shard's loop and back */
    struct shard *shard;
    struct house *house;
    uint64_t from, to;
    bool is_known; /* the shard is open, and from is where its log was cut */
    struct moved moved;
    uint64_t upto; /* queue_body_move */
};

struct house {
    struct commit *commit;
    struct loop *loop; /* the first one */
    struct loop_timer timer;
    struct loop_work work;
    bool busy;
    bool rests; /* what the stores have in memory is written out with this work */
    uint64_t rest_at_ms;
    uint64_t disk_free;
    size_t unflushed; /* bytes moved since the last flush; the work's */
    struct cut *cuts; /* one per shard; from == to: nothing to do */
    unsigned cuts_away;
    struct list jobs; /* they wait */
    struct house_job *job;
};

/* Waits for the disk: on the pool only. */
static void flush(struct house *h)
{
    struct errmsg why = { "" };

    CHECK(queue_store_flush(h->commit->o.store, &why) ==
          0); /* a failed write ended the process already */
    h->unflushed = 0;
}

static void move_body(void *arg, const struct raft_entry *e)
{
    struct cut *k = arg;

    queue_body_move(k->shard->commit->o.store, k->shard->number, e->index, e->body, &k->upto);
    metric_add(M_BODIES_MOVED, 1);
    metric_add(M_BODIES_MOVED_BYTES, e->body.n);
    k->house->unflushed += e->body.n;
    if (k->moved.count == k->moved.cap) {
        k->moved.cap = k->moved.cap ? 2 * k->moved.cap : 64;
        k->moved.entries = check_realloc(k->moved.entries, k->moved.cap * sizeof *k->moved.entries);
    }
    k->moved.entries[k->moved.count++] = e->index;
    if (k->house->unflushed >= MOVE_BYTES_MAX) flush(k->house);
}

/* Neighbours of the log with one search. They are live, and behind the last cut: the log has them. */
static void move_slice(struct cut *k, const uint64_t *entries, size_t n)
{
    struct raft *r = k->shard->commit->o.raft;
    size_t begin = 0;

    for (size_t i = 1; i <= n; i++) {
        if (i < n && entries[i] == entries[i - 1] + 1) continue;
        CHECK(raft_entries_each(r, k->shard->number, entries[begin], entries[i - 1], k,
                                move_body) == 0);
        begin = i;
    }
}

static void move_bodies(struct cut *k)
{
    struct queue_store *store = k->shard->commit->o.store;
    uint64_t entries[MOVE_SLICE], from = k->from + 1;
    size_t n;

    k->upto = queue_moved_upto(store, k->shard->number);
    do {
        n = queue_live_bodies(store, k->shard->number, from, k->to, entries, MOVE_SLICE);
        move_slice(k, entries, n);
        if (n > 0) from = entries[n - 1] + 1;
    } while (n == MOVE_SLICE);
}

/* 0 when it cannot be told: then no mail is taken, as on a full disk. */
static uint64_t disk_free(const char *dir)
{
    struct statvfs v;

    if (statvfs(dir, &v) != 0) return 0;
    return (uint64_t)v.f_bavail * v.f_frsize;
}

static bool wants_cut(const struct house *h)
{
    for (unsigned i = 0; i < h->commit->shard_max; i++)
        if (h->cuts[i].from < h->cuts[i].to) return true;
    return false;
}

static void cut_all(struct house *h)
{
    for (unsigned i = 0; i < h->commit->shard_max; i++)
        if (h->cuts[i].from < h->cuts[i].to) move_bodies(&h->cuts[i]);
    flush(h);
}

static void on_run(struct loop_work *w)
{
    struct house *h = CONTAINER_OF(w, struct house, work);

    if (h->job) {
        h->job->run(h->job);
        return;
    }
    h->disk_free = disk_free(h->commit->o.data_dir);
    if (wants_cut(h)) cut_all(h);
    if (h->rests && raft_rest(h->commit->o.raft)) flush(h);
}

static void next_job(struct house *h);

static void on_cut_back(struct loop_letter *letter)
{
    struct cut *k = CONTAINER_OF(letter, struct cut, letter);

    k->moved.count = 0;
    k->from = k->to;
    k->house->cuts_away--;
    if (k->house->cuts_away == 0) k->house->busy = false;
    next_job(k->house);
}

/* Up to where nobody who is there needs the log any more. Who has caught up but for a little would get a snapshot instead, and
 * behind that, when mail goes on, another one. */
static uint64_t needed_from(const struct shard *s)
{
    struct raft_group_view log;
    struct core_peer_view v;
    uint64_t upto = UINT64_MAX;

    raft_group_see(s->group, &log);
    for (unsigned i = 0; raft_group_peer(s->group, i, &v); i++) {
        uint64_t has = v.match > 0 ? v.match : v.next - 1;

        if (v.node == s->commit->o.node || !v.up) continue;
        if (v.progress == CORE_SNAPSHOTS || v.next < log.first) continue; /* too late for it */
        if (has < upto) upto = has;
    }
    return upto;
}

/* A snapshot that is open reads bodies which have died since: the log keeps them until it is closed. */
void house_cut_late(struct shard *s)
{
    if (s->cut_waits == 0 || atomic_load(&s->snapshots_out) > 0) return;
    if (!atomic_load(&s->commit->logs_wait))
        s->cut_waits = s->moved;
    else if (needed_from(s) < s->cut_waits)
        return;
    raft_group_cut(s->group, s->cut_waits);
    s->cut = s->cut_waits;
    s->cut_waits = s->moved > s->cut ? s->moved : 0;
    shard_see(s);
}

/* The live ones of a shard, as far as they are looked at: a search for each would cost the loop much. */
struct living {
    uint64_t entries[MOVE_SLICE];
    size_t n, at;
    bool is_last;
};

/* Asked in the order of the log. */
static bool lives(struct living *l, const struct cut *k, uint64_t entry)
{
    while (l->at < l->n && l->entries[l->at] < entry)
        l->at++;
    if (l->at == l->n && !l->is_last) {
        l->n = queue_live_bodies(k->shard->commit->o.store, k->shard->number, entry, k->to,
                                 l->entries, MOVE_SLICE);
        l->is_last = l->n < MOVE_SLICE;
        l->at = 0;
    }
    return l->at < l->n && l->entries[l->at] == entry;
}

static void take_cut(struct cut *k)
{
    struct shard *s = k->shard;
    struct living l = { .n = 0 };

    queue_set_moved(s->queue, k->to);
    for (size_t i = 0; i < k->moved.count; i++)
        if (!lives(&l, k, k->moved.entries[i]))
            queue_body_forget(s->commit->o.store, s->number, k->moved.entries[i]);
    s->moved = k->to;
    if (s->cut_waits == 0) s->cut_waits = k->to; /* one that waits is not put off by the next */
    house_cut_late(s);
}

/* On the shard's loop. */
static void on_cut_arrives(struct loop_letter *letter)
{
    struct cut *k = CONTAINER_OF(letter, struct cut, letter);
    struct shard *s = k->shard;

    if (s->is_open) take_cut(k); /* else it has ended, and all of it goes next */
    k->letter.on_arrive = on_cut_back;
    loop_post(k->house->loop, &k->letter);
}

/* ---- what excludes cuts */

static void on_job_back(struct loop_letter *letter)
{
    struct house_job *j = CONTAINER_OF(letter, struct house_job, letter);

    j->done(j);
}

static void on_job_done(struct house *h)
{
    struct house_job *j = h->job;
    struct cut *k = &h->cuts[j->shard->number - 1];

    h->job = NULL;
    h->busy = false;
    if (j->rv == 0) {
        k->from = k->to = j->shard->mark = j->index;
        k->is_known = j->index > 0;
    }
    j->letter.on_arrive = on_job_back;
    loop_post(j->shard->loop, &j->letter);
    next_job(h);
}

static void on_job_arrives(struct loop_letter *letter)
{
    struct house_job *j = CONTAINER_OF(letter, struct house_job, letter);
    struct house *h = j->shard->commit->house;

    list_add(&h->jobs, &j->link);
    next_job(h);
}

void house_do(struct house_job *j)
{
    list_init(&j->link);
    j->letter.on_arrive = on_job_arrives;
    loop_post(j->shard->commit->house->loop, &j->letter);
}

/* ---- the work */

static bool is_low(const struct house *h)
{
    return h->disk_free < atomic_load_explicit(&h->commit->disk_reserve_bytes, memory_order_relaxed);
}

static void on_work_done(struct loop_work *w)
{
    struct house *h = CONTAINER_OF(w, struct house, work);
    struct commit *c = h->commit;
    bool low;

    if (h->job) {
        on_job_done(h);
        return;
    }
    low = is_low(h);
    if (low != atomic_exchange(&c->disk_low, low))
        log_event(LOG_WARN, low ? "disk.low" : "disk.ok", LOG_NUM("free_bytes", h->disk_free),
                  LOG_NUM("reserve_bytes", atomic_load(&c->disk_reserve_bytes)));
    h->cuts_away = 0;
    for (unsigned i = 0; i < c->shard_max; i++) {
        struct cut *k = &h->cuts[i];

        if (k->from >= k->to) continue;
        h->cuts_away++;
        k->letter.on_arrive = on_cut_arrives;
        loop_post(k->shard->loop, &k->letter);
    }
    h->busy = h->cuts_away > 0;
    next_job(h);
}

static void start(struct house *h)
{
    h->work.run = on_run;
    h->work.on_done = on_work_done;
    h->busy = loop_work(h->loop, LOOP_POOL_DISK, &h->work) == 0;
}

/* One at a time, when nothing else is under way; what the pool has no room for waits for the timer. */
static void next_job(struct house *h)
{
    if (h->busy || list_empty(&h->jobs)) return;
    h->job = CONTAINER_OF(list_first(&h->jobs), struct house_job, link);
    list_remove(&h->job->link);
    start(h);
    if (h->busy) return;
    list_add_first(&h->jobs, &h->job->link);
    h->job = NULL;
}

/* A shard that was opened since the last look. */
static void meet(struct cut *k, uint64_t cut)
{
    k->from = k->to = k->shard->mark = cut;
    k->is_known = true;
}

/* When the logs have grown over the bound: cut up to the marks, and mark anew. Marks are set at half the
 * bound, so what is cut is at least half a bound old. Over several bounds, or on a disk that fills, nobody is waited for. */
static void plan_cuts(struct house *h)
{
    struct commit *c = h->commit;
    uint64_t bytes = 0;

    for (unsigned i = 0; i < c->shard_max; i++)
        bytes += atomic_load_explicit(&c->shards[i].log_bytes_shared, memory_order_relaxed);
    atomic_store(&c->logs_wait, bytes <= COMMIT_LOGS_WAIT_TIMES * c->o.cut_bytes && !is_low(h));
    for (unsigned i = 0; i < c->shard_max; i++) {
        struct commit_shard_view v;
        struct shard *s = &c->shards[i];

        if (!atomic_load(&s->is_open_shared)) continue;
        commit_shard_see(c, s->number, &v);
        if (!h->cuts[i].is_known) meet(&h->cuts[i], v.cut);
        if (atomic_load(&s->snapshots_out) > 0) continue;
        if (bytes > c->o.cut_bytes && s->mark > h->cuts[i].from) h->cuts[i].to = s->mark;
        if (bytes > c->o.cut_bytes || (s->mark <= h->cuts[i].from && bytes > c->o.cut_bytes / 2))
            s->mark = v.state; /* what raft applied but did not show is in no state */
    }
}

/* A memtable of a node that has little to do would never be full: its memory is given back, and the next start has less to read. */
static void plan_rest(struct house *h)
{
    uint64_t now = loop_mono_ms(h->loop);

    h->rests = now >= h->rest_at_ms;
    if (h->rests) h->rest_at_ms = now + h->commit->o.rest_ms;
}

static void on_timer(struct loop_timer *t)
{
    struct house *h = CONTAINER_OF(t, struct house, timer);

    loop_timer_start(t, COMMIT_HOUSE_EVERY_MS);
    next_job(h);
    if (h->busy) return;
    plan_cuts(h);
    plan_rest(h);
    start(h);
}

void house_open(struct commit *c)
{
    struct house *h = check_calloc(1, sizeof *h);

    c->house = h;
    h->commit = c;
    list_init(&h->jobs);
    h->loop = c->loops[0].loop;
    h->cuts = check_calloc(c->shard_max, sizeof *h->cuts);
    for (unsigned i = 0; i < c->shard_max; i++) {
        h->cuts[i].shard = &c->shards[i];
        h->cuts[i].house = h;
    }
    h->rest_at_ms = loop_mono_ms(h->loop) + c->o.rest_ms;
    h->disk_free = disk_free(c->o.data_dir);
    atomic_store(&c->disk_low, is_low(h));
    loop_timer_init(&h->timer, h->loop, on_timer);
    loop_timer_start(&h->timer, COMMIT_HOUSE_EVERY_MS);
}

void house_close(struct commit *c)
{
    struct house *h = c->house;

    if (!h) return;
    loop_timer_stop(&h->timer);
    for (unsigned i = 0; i < c->shard_max; i++)
        free(h->cuts[i].moved.entries);
    while (!list_empty(&h->jobs)) {
        struct house_job *j = CONTAINER_OF(list_first(&h->jobs), struct house_job, link);

        list_remove(&j->link);
        j->rv = ERR_CLOSED;
        j->done(j);
    }
    free(h->cuts);
    free(h);
    c->house = NULL;
}

/* ---- purges: commands like others, proposed by the leader */

struct purge {
    struct command cmd;
};

static uint64_t purge_before_ms(const struct shard *s)
{
    uint64_t now = loop_wall_ms(s->loop);

    uint64_t kept_ms = atomic_load_explicit(&s->commit->retention_ms, memory_order_relaxed);

    return now > kept_ms ? now - kept_ms : 0;
}

static bool has_old(const struct shard *s)
{
    return queue_finished_first_ms(s->commit->o.store, s->number) < purge_before_ms(s);
}

/* Purges are small, so that none holds the loop; while there is more they follow each other. */
static void on_purged(struct command *cmd, int rv, uint64_t entry)
{
    struct shard *s = cmd->shard;

    (void)entry;
    s->is_purging = false;
    if (rv == 0 && has_old(s)) {
        s->purge_at_ms = 0;
        loop_again(s->loop);
    }
    command_deinit(cmd);
    free(CONTAINER_OF(cmd, struct purge, cmd));
}

static void send_purge(struct shard *s, Angarium__Purge *what)
{
    Angarium__Command command = ANGARIUM__COMMAND__INIT;
    struct purge *p;
    int rv;

    if (!s->leads) return;
    p = check_calloc(1, sizeof *p);
    command_init(&p->cmd, s);
    p->cmd.on_result = on_purged;
    what->time_ms = loop_wall_ms(s->loop);
    command.kind_case = ANGARIUM__COMMAND__KIND_PURGE;
    command.purge = what;
    s->is_purging = true;
    rv = command_send(&p->cmd, &command);
    if (rv != 0) on_purged(&p->cmd, rv, 0);
}

void house_purge_upload(struct shard *s, struct span upload)
{
    Angarium__Purge what = ANGARIUM__PURGE__INIT;

    what.upload = proto_bytes(upload);
    send_purge(s, &what);
}

/* Chunks only make an upload younger, and new ones are younger still: until the oldest falls due none does. */
static bool has_abandoned(struct shard *s, uint64_t mono_ms)
{
    uint64_t now = loop_wall_ms(s->loop), first_ms, wait_ms = COMMIT_UPLOAD_ABANDONED_MS + 1;
    struct queue_counts counts;

    queue_counts(s->queue, &counts);
    if (counts.uploads == 0 || mono_ms < s->uploads_due_ms) return false;
    first_ms = queue_uploads_first_ms(s->commit->o.store, s->number);
    if (first_ms < now) wait_ms -= now - first_ms < wait_ms ? now - first_ms : wait_ms;
    if (wait_ms == 0) return true;
    s->uploads_due_ms = mono_ms + wait_ms;
    return false;
}

/* Deleted records stay in the store for a while, and a scan walks over them, but for those before the place where the last one found
 * something. Who leads looks all the time; who follows does it here, so that it need not walk over all mail of an hour in the
 * moment when it begins to lead. */
void house_look(struct shard *s, uint64_t mono_ms)
{
    uint64_t applied;

    if (s->leads || mono_ms < s->look_at_ms) return;
    s->look_at_ms = mono_ms + COMMIT_LOOK_EVERY_MS;
    applied = queue_applied(s->queue);
    if (applied == s->looked) return;
    s->looked = applied;
    (void)queue_due_next_ms(s->commit->o.store, s->number, span_of(NULL, 0));
}

void house_purge(struct shard *s, uint64_t mono_ms)
{
    Angarium__Purge what = ANGARIUM__PURGE__INIT;
    uint64_t now = loop_wall_ms(s->loop);

    if (mono_ms < s->purge_at_ms || !s->leads || s->is_purging) return;
    s->purge_at_ms = mono_ms + COMMIT_PURGE_EVERY_MS;
    if (!has_old(s) && !has_abandoned(s, mono_ms)) return;
    what.before_ms = purge_before_ms(s);
    what.limit = COMMIT_PURGE_LIMIT;
    what.uploads_before_ms =
        now > COMMIT_UPLOAD_ABANDONED_MS ? now - COMMIT_UPLOAD_ABANDONED_MS : 0;
    send_purge(s, &what);
}
