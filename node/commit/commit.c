/* commit - opening and closing, the hook of each loop's turn, and what others see.
 *
 * A turn of a loop, before it sleeps: what the turn collected is proposed (attempt_flush), raft steps and
 * hands one batch to the log thread (raft_turn).
 */
#include <stdio.h>

#include "node/commit/forward.h"

static uint64_t on_turn(struct loop_hook *hook, uint64_t mono_ms)
{
    struct commit_loop *cl = CONTAINER_OF(hook, struct commit_loop, hook);
    struct commit *c = cl->commit;
    uint64_t next;

    unsigned count = commit_shard_count(c);

    for (unsigned i = cl->number; i < count; i += c->o.loop_count) {
        struct shard *s = &c->shards[i];

        CHECK(s->loop == cl->loop);
        vacate_turn(s, mono_ms);
        if (!s->is_open) continue;
        place_turn(s, mono_ms);
        attempt_flush(s);
        house_purge(s, mono_ms);
        house_look(s, mono_ms);
        house_cut_late(s);
        forget_turn(s); /* last: the shard may be gone then */
    }
    next = raft_turn(c->o.raft, cl->number, mono_ms);
    return next < mono_ms + 1000 ? next : mono_ms + 1000;
}

static void options_default(struct commit_options *o)
{
    if (o->cut_bytes == 0) o->cut_bytes = 32u << 20;
    if (o->rest_ms == 0) o->rest_ms = COMMIT_REST_MS;
}

static void make_shards(struct commit *c)
{
    c->shard_max = c->o.shard_count ? c->o.shard_count : c->o.shard_max;
    c->shards = check_calloc(c->shard_max, sizeof *c->shards);
    for (unsigned i = 0; i < c->shard_max; i++) {
        struct shard *s = &c->shards[i];

        s->commit = c;
        s->number = i + 1;
        s->loop = c->o.loops[i % c->o.loop_count];
        s->view.shard = s->number;
        pthread_mutex_init(&s->view_lock, NULL);
    }
}

static int open_shards(struct commit *c, struct errmsg *why)
{
    const struct core_config alone = RAFT_ALONE(c->o.node);
    int rv = 0;

    for (unsigned i = 0; i < c->o.shard_count && rv == 0; i++)
        rv = shard_open(&c->shards[i], c->o.config ? c->o.config : &alone, why);
    atomic_store(&c->shard_count, c->o.shard_count);
    return rv;
}

static void set(atomic_ullong *limit, uint64_t value, uint64_t fallback)
{
    atomic_store_explicit(limit, value ? value : fallback, memory_order_relaxed);
}

void commit_set_limits(struct commit *c, const struct commit_limits *l)
{
    size_t cache = l->body_cache_bytes ? l->body_cache_bytes : 64u << 20;
    size_t shares = c->o.shard_count ? c->o.shard_count : COMMIT_CACHE_SHARES;

    set(&c->queue_messages_max, l->queue_messages_max, 10000000);
    set(&c->queue_bytes_max, l->queue_bytes_max, 100ull << 30);
    set(&c->disk_reserve_bytes, l->disk_reserve_bytes, 0);
    set(&c->retention_ms, l->retention_ms, 7ull * 24 * 60 * 60 * 1000);
    for (unsigned i = 0; i < c->shard_max; i++)
        atomic_store_explicit(&c->shards[i].cache.bytes_max, cache / shares, memory_order_relaxed);
}

int commit_open(struct commit **out, const struct commit_options *o, struct errmsg *why)
{
    struct commit *c = check_calloc(1, sizeof *c);
    int rv;

    CHECK(o->loop_count > 0 && (o->shard_count > 0 || o->shard_max > 0));
    c->o = *o;
    options_default(&c->o);
    list_init(&c->watchers);
    c->started_ms = loop_wall_ms(o->loops[0]);
    c->loops = check_calloc(o->loop_count, sizeof *c->loops);
    for (unsigned i = 0; i < o->loop_count; i++) {
        struct commit_loop *cl = &c->loops[i];

        CHECK(loop_number(o->loops[i]) == i);
        *cl =
            (struct commit_loop){ .commit = c, .loop = o->loops[i], .number = i, .next_shard = i };
        cl->hook.on_turn = on_turn;
        list_init(&cl->hook.link);
        loop_hook_add(cl->loop, &cl->hook);
    }
    make_shards(c);
    commit_set_limits(c, &o->limits);
    rv = open_shards(c, why);
    if (rv != 0) return rv; /* the process ends: stores are closed by it */
    house_open(c);
    leaders_open(c);
    forwarded_open(c);
    *out = c;
    return 0;
}

void commit_close(struct commit **pc)
{
    struct commit *c = *pc;
    struct errmsg why = { "" };

    if (!c) return;
    *pc = NULL;
    for (unsigned i = 0; i < c->o.loop_count; i++)
        loop_hook_remove(c->loops[i].loop, &c->loops[i].hook);
    forwarded_close(c);
    leaders_close(c);
    house_close(c);
    for (unsigned i = 0; i < c->shard_max; i++) {
        place_close(&c->shards[i]);
        vacate_end(&c->shards[i]);
        if (c->shards[i].is_open) shard_close(&c->shards[i]);
        pthread_mutex_destroy(&c->shards[i].view_lock);
    }
    CHECK(queue_store_flush(c->o.store, &why) == 0);
    free(c->shards);
    free(c->loops);
    free(c);
}

void commit_watch(struct commit *c, struct commit_watcher *w)
{
    list_add(&c->watchers, &w->link);
}

void commit_drain(struct commit *c)
{
    atomic_store(&c->draining, true);
    leaders_changed(c);
}

/* ---- seeing */

struct queue_store *commit_store(struct commit *c)
{
    return c->o.store;
}

unsigned commit_shard_max(const struct commit *c)
{
    return c->shard_max;
}

unsigned commit_shard_count(const struct commit *c)
{
    return atomic_load(&c->shard_count);
}

struct loop *commit_shard_loop(const struct commit *c, uint32_t shard)
{
    return shard >= 1 && shard <= c->shard_max ? c->shards[shard - 1].loop : NULL;
}

void commit_shard_see(struct commit *c, uint32_t shard, struct commit_shard_view *out)
{
    struct shard *s = commit_shard(c, shard);

    CHECK(s);
    pthread_mutex_lock(&s->view_lock);
    *out = s->view;
    pthread_mutex_unlock(&s->view_lock);
}

uint64_t commit_shard_leader(struct commit *c, uint32_t shard)
{
    struct shard *s = commit_shard(c, shard);
    struct commit_shard_view v;
    uint64_t node;

    if (!s) return 0;
    commit_shard_see(c, shard, &v);
    if (v.is_open && v.leads) return c->o.node;
    node = leaders_of(c, shard);
    return node != 0 || !v.is_open ? node : v.raft.leader;
}

/* Of a node of several, one shard that leads will do, here or elsewhere; alone it has to be all. */
static bool leads_enough(struct commit *c, char *why, size_t why_size)
{
    unsigned leads = 0, count = commit_shard_count(c);

    for (unsigned i = 0; i < count; i++) {
        bool one = atomic_load(&c->shards[i].leads_shared);

        leads += one;
        if (one || c->o.shard_count == 0) continue;
        snprintf(why, why_size, "shard %u has no leader that can commit", i + 1);
        return false;
    }
    if (leads > 0)
        snprintf(why, why_size, "%u of %u shards lead", leads, count);
    else if (leaders_any(c))
        snprintf(why, why_size, "this node leads no shard: it forwards mail");
    else
        snprintf(why, why_size,
                 "this node leads no shard, and knows no node that leads one and takes mail");
    return leads > 0 || leaders_any(c);
}

bool commit_is_ready(struct commit *c, char *why, size_t why_size)
{
    if (atomic_load(&c->draining)) {
        snprintf(why, why_size, "draining: this node takes no new mail");
        return false;
    }
    if (atomic_load(&c->cordoned)) {
        snprintf(why, why_size, "this node is cordoned or drains: new mail goes to others");
        return false;
    }
    if (!leads_enough(c, why, why_size)) return false;
    if (!atomic_load(&c->disk_low)) return true;
    snprintf(why, why_size, "the disk of %s is below its reserve of %llu bytes", c->o.data_dir,
             atomic_load_explicit(&c->disk_reserve_bytes, memory_order_relaxed));
    return false;
}
