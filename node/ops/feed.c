/* feed - what comes after certain places, out of this node's store: for its own readers, and for those of other nodes (PEER_FOLLOW).
 *
 * Way:   a read runs on the DISK pool; where it finds nothing it waits until one of its shards has an event, or its time is over.
 *        A shard's loop notes that there is something (one flag a shard) and sends one letter for all of them.
 * Rule:  a letter that comes while a read is on the pool makes it read again; so nothing is overlooked. Were one lost all the same,
 *        it would cost FOLLOW_WAIT_MS: who asked asks again.
 * Bound: FEED_ASKED_MAX questions of other nodes.
 */
#include <stdlib.h>

#include "node/ops/follow.h"
#include "proto/ground/check.h"

#define FEED_ASKED_MAX 1024u
#define PAUSE_MS       10u /* between reads of one question, so that events come in handfuls */

/* ---- a read, on the pool */

struct shard_read {
    struct follow_read *r;
    struct follow_at *at;
};

static void step_behind(struct follow_at *at, uint64_t entry, uint32_t number)
{
    at->entry = number == UINT32_MAX ? entry + 1 : entry;
    at->number = number + 1;
}

static bool on_event(void *arg, uint64_t entry, uint32_t number, const Angarium__Event *e)
{
    const struct shard_read *s = arg;
    struct follow_read *r = s->r;
    json_t *item;
    size_t size;

    r->is_full = r->room == 0 || r->looked_at >= OPS_SCAN_MAX || atomic_load(&r->ops->closing);
    if (r->is_full) return false;
    r->looked_at++;
    step_behind(s->at, entry, number);
    if (s->at->mode == FOLLOW_SINCE && e->time_ms < r->q.since_ms) return true;
    if (!event_filter_fits(&r->q.filter, s->at->shard, e)) return true;
    item = json_of_event(s->at->shard, entry, number, e);
    size = json_dumpb(item, NULL, 0, JSON_COMPACT);
    r->room -= size < r->room ? size : r->room;
    json_array_append_new(r->items, item);
    return true;
}

static bool on_cursor_event(void *arg, uint64_t entry, uint32_t number, const Angarium__Event *e)
{
    const struct shard_read *s = arg;

    if (entry == s->at->entry && number == s->at->number) {
        s->r->knows_event = true;
        s->r->event_ms = e->time_ms;
    }
    return false;
}

static void read_shard(struct follow_read *r, struct follow_at *at)
{
    struct queue_store *store = commit_store(r->ops->o.commit);
    struct shard_read s = { r, at };
    struct commit_shard_view v;

    switch (at->mode) {
    case FOLLOW_END:
        commit_shard_see(r->ops->o.commit, at->shard, &v);
        *at = (struct follow_at){ .shard = at->shard, .entry = v.state + 1 };
        r->has_news = true;
        break;
    case FOLLOW_EVENT:
        queue_events(store, at->shard, at->entry, at->number, on_cursor_event, &s);
        step_behind(at, at->entry, at->number);
        at->mode = FOLLOW_FROM;
        r->has_news = true;
        break;
    default:
        queue_events(store, at->shard, at->entry, at->number, on_event, &s);
        if (!r->is_full) at->mode = FOLLOW_FROM;
    }
}

static void on_run(struct loop_work *w)
{
    struct follow_read *r = CONTAINER_OF(w, struct follow_read, work);

    r->looked_at = 0;
    for (unsigned i = 0; i < r->q.count && !r->is_full; i++)
        read_shard(r, &r->q.at[i]);
}

/* ---- its way */

static void finish(struct follow_read *r, int rv)
{
    struct ops_feed *f = r->ops->feed;
    json_t *answer = NULL, *at;

    loop_timer_stop(&r->timer);
    list_remove(&r->link);
    atomic_fetch_sub(&f->read_count, 1);
    if (rv == 0) {
        at = json_array();
        for (unsigned i = 0; i < r->q.count; i++)
            json_array_append_new(at, follow_at_json(&r->q.at[i]));
        answer = json_pack("{s:O, s:o}", "items", r->items, "at", at);
        if (r->knows_event)
            json_object_set_new(answer, "time_ms", json_integer((json_int_t)r->event_ms));
    }
    json_decref(r->items);
    r->items = NULL;
    r->on_done(r, rv, answer);
}

static void on_read(struct loop_work *w);

static int begin_work(struct follow_read *r)
{
    int rv;

    r->is_hurried = false;
    r->work.run = on_run;
    r->work.on_done = on_read;
    rv = loop_work(r->ops->o.loop, LOOP_POOL_DISK, &r->work);
    r->is_working = rv == 0;
    return rv;
}

static void on_read(struct loop_work *w)
{
    struct follow_read *r = CONTAINER_OF(w, struct follow_read, work);
    uint64_t now = loop_mono_ms(r->ops->o.loop);

    r->is_working = false;
    if (atomic_load(&r->ops->closing))
        finish(r, ERR_CLOSED);
    else if (r->has_news || r->is_full || json_array_size(r->items) > 0 || now >= r->until_ms)
        finish(r, 0);
    else
        loop_timer_start(&r->timer, r->is_hurried ? PAUSE_MS : r->until_ms - now);
}

static void on_timer(struct loop_timer *t)
{
    struct follow_read *r = CONTAINER_OF(t, struct follow_read, timer);
    int rv = r->is_hurried ? begin_work(r) : 0;

    if (!r->is_working) finish(r, rv);
}

int follow_read_start(struct follow_read *r)
{
    struct ops_feed *f = r->ops->feed;
    int rv;

    if (atomic_load(&r->ops->closing)) return ERR_CLOSED;
    r->items = json_array();
    r->room = FOLLOW_ROOM;
    r->is_full = r->has_news = r->knows_event = false;
    r->until_ms = loop_mono_ms(r->ops->o.loop) + r->q.wait_ms;
    loop_timer_init(&r->timer, r->ops->o.loop, on_timer);
    list_add(&f->reads, &r->link);
    atomic_fetch_add(&f->read_count, 1);
    rv = begin_work(r);
    if (rv == 0) return 0;
    list_remove(&r->link);
    atomic_fetch_sub(&f->read_count, 1);
    json_decref(r->items);
    r->items = NULL;
    return rv;
}

/* ---- something happened */

static void on_effects(void *arg, uint32_t shard, uint64_t entry,
                       const struct queue_effects *effects)
{
    struct ops_feed *f = arg;
    bool has_event = false;

    (void)entry;
    if (atomic_load(&f->read_count) == 0) return;
    for (size_t i = 0; i < effects->count && !has_event; i++)
        has_event = effects->list[i].kind == QUEUE_EVENT;
    if (!has_event) return;
    atomic_store(&f->has_news[shard], true);
    if (!atomic_exchange(&f->is_posted, true)) loop_post(f->ops->o.loop, &f->letter);
}

static bool is_concerned(const struct ops_feed *f, const struct follow_read *r)
{
    for (unsigned i = 0; i < r->q.count; i++)
        if (f->is_new[r->q.at[i].shard]) return true;
    return false;
}

static void on_news(struct loop_letter *letter)
{
    struct ops_feed *f = CONTAINER_OF(letter, struct ops_feed, letter);

    atomic_store(&f->is_posted, false);
    for (unsigned i = 1; i <= commit_shard_max(f->ops->o.commit); i++)
        f->is_new[i] = atomic_exchange(&f->has_news[i], false);
    LIST_FOR(it, &f->reads) {
        struct follow_read *r = CONTAINER_OF(it, struct follow_read, link);

        if (r->is_hurried || !is_concerned(f, r)) continue;
        r->is_hurried = true;
        if (!r->is_working) loop_timer_start(&r->timer, PAUSE_MS);
    }
}

/* ---- questions of other nodes */

struct asked {
    struct follow_read read;
    struct peer_ask *ask;
};

static void refuse(struct peer_ask *a, int rv)
{
    peer_answer(a, rv, span_of(NULL, 0), span_of(NULL, 0));
}

static void on_asked_done(struct follow_read *r, int rv, json_t *answer)
{
    struct asked *k = CONTAINER_OF(r, struct asked, read);
    char *text = answer ? json_dumps(answer, JSON_COMPACT) : NULL;

    r->ops->feed->asked_count--;
    peer_answer(k->ask, rv, span_of(NULL, 0), text ? span_cstr(text) : span_of(NULL, 0));
    free(text);
    json_decref(answer);
    free(k);
}

/* The answer says nothing of shards that this node does not hold. */
static void keep_held(const struct ops *ops, struct follow_question *q)
{
    unsigned n = 0;

    for (unsigned i = 0; i < q->count; i++)
        if (query_holds(ops, q->at[i].shard)) q->at[n++] = q->at[i];
    q->count = n;
}

static int begin_asked(struct asked *k)
{
    struct follow_read *r = &k->read;
    int rv = follow_parse(k->ask->request, &r->q);

    if (rv != 0) return rv;
    keep_held(r->ops, &r->q);
    return r->q.count > 0 ? follow_read_start(r) : ERR_NOT_LEADER;
}

static void on_ask(void *arg, struct peer_ask *a)
{
    struct ops *ops = arg;
    struct asked *k;
    int rv;

    if (ops->feed->asked_count == FEED_ASKED_MAX) {
        refuse(a, ERR_FULL);
        return;
    }
    k = check_calloc(1, sizeof *k);
    k->ask = a;
    k->read.ops = ops;
    k->read.on_done = on_asked_done;
    rv = begin_asked(k);
    if (rv == 0) {
        ops->feed->asked_count++;
        return;
    }
    free(k);
    refuse(a, rv);
}

/* ---- life */

unsigned feed_client_count(const struct ops_feed *f)
{
    return atomic_load(&f->client_count);
}

void feed_open(struct ops *ops)
{
    struct ops_feed *f = check_calloc(1, sizeof *f);
    unsigned shards = commit_shard_max(ops->o.commit);

    f->ops = ops;
    f->has_news = check_calloc(shards + 1, sizeof *f->has_news);
    f->is_new = check_calloc(shards + 1, sizeof *f->is_new);
    f->letter.on_arrive = on_news;
    list_init(&f->reads);
    f->watcher = (struct commit_watcher){ .arg = f, .everywhere = true, .on_effects = on_effects };
    commit_watch(ops->o.commit, &f->watcher);
    ops->feed = f;
    streams_open(f);
    if (ops->o.peers) peer_serve(ops->o.peers, PEER_FOLLOW, ops->o.loop, on_ask, ops);
}

/* The loops stand: nobody is in on_effects. What is on the pool comes back by itself. */
void feed_close(struct ops *ops)
{
    struct ops_feed *f = ops->feed;

    if (!f) return;
    list_remove(&f->watcher.link);
    streams_close(f);
    LIST_FOR_SAFE(it, &f->reads) {
        struct follow_read *r = CONTAINER_OF(it, struct follow_read, link);

        if (!r->is_working) finish(r, ERR_CLOSED);
    }
}

bool feed_is_idle(const struct ops *ops)
{
    const struct ops_feed *f = ops->feed;

    return !f || (list_empty(&f->reads) && f->ask_count == 0 && !atomic_load(&f->is_posted));
}

void feed_free(struct ops *ops)
{
    if (!ops->feed) return;
    free(ops->feed->has_news);
    free(ops->feed->is_new);
    free(ops->feed);
    ops->feed = NULL;
}
