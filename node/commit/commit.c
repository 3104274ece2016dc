/* commit - opening and closing, the hook of each loop's turn, and what others see.
 *
 * A turn of a loop, before it sleeps: what the turn collected is proposed (attempt_flush), raft steps and
 * hands one batch to the log thread (raft_turn).
 */
#include <stdio.h>

#include "node/commit/shard.h"

static uint64_t on_turn(struct loop_hook *hook, uint64_t mono_ms)
{
    struct commit_loop *cl = CONTAINER_OF(hook, struct commit_loop, hook);
    struct commit *c = cl->commit;
    uint64_t next;

    for (unsigned i = cl->number; i < c->o.shard_count; i += c->o.loop_count) {
        struct shard *s = &c->shards[i];

        CHECK(s->loop == cl->loop);
        attempt_flush(s);
        house_purge(s, mono_ms);
        house_cut_late(s);
    }
    next = raft_turn(c->o.raft, cl->number, mono_ms);
    return next < mono_ms + 1000 ? next : mono_ms + 1000;
}

static void options_default(struct commit_options *o)
{
    if (o->body_cache_bytes == 0) o->body_cache_bytes = 64u << 20;
    if (o->queue_messages_max == 0) o->queue_messages_max = 10000000;
    if (o->queue_bytes_max == 0) o->queue_bytes_max = 100ull << 30;
    if (o->retention_ms == 0) o->retention_ms = 7ull * 24 * 60 * 60 * 1000;
    if (o->cut_bytes == 0) o->cut_bytes = 32u << 20;
}

int commit_open(struct commit **out, const struct commit_options *o, struct errmsg *why)
{
    struct commit *c = check_calloc(1, sizeof *c);
    int rv = 0;

    CHECK(o->loop_count > 0 && o->shard_count > 0);
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
    c->shards = check_calloc(o->shard_count, sizeof *c->shards);
    for (unsigned i = 0; i < o->shard_count && rv == 0; i++) {
        struct shard *s = &c->shards[i];

        s->commit = c;
        s->number = i + 1;
        s->loop = o->loops[i % o->loop_count];
        rv = shard_open(s, why);
    }
    if (rv != 0) return rv; /* the process ends: stores are closed by it */
    house_open(c);
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
    house_close(c);
    for (unsigned i = 0; i < c->o.shard_count; i++)
        shard_close(&c->shards[i]);
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
}

/* ---- seeing */

struct queue_store *commit_store(struct commit *c)
{
    return c->o.store;
}

unsigned commit_shard_count(const struct commit *c)
{
    return c->o.shard_count;
}

struct loop *commit_shard_loop(const struct commit *c, uint32_t shard)
{
    return shard >= 1 && shard <= c->o.shard_count ? c->shards[shard - 1].loop : NULL;
}

void commit_shard_see(struct commit *c, uint32_t shard, struct commit_shard_view *out)
{
    struct shard *s = commit_shard(c, shard);

    CHECK(s);
    pthread_mutex_lock(&s->view_lock);
    *out = s->view;
    pthread_mutex_unlock(&s->view_lock);
}

bool commit_is_ready(struct commit *c, char *why, size_t why_size)
{
    if (atomic_load(&c->draining)) {
        snprintf(why, why_size, "draining: this node takes no new mail");
        return false;
    }
    for (unsigned i = 0; i < c->o.shard_count; i++)
        if (!atomic_load(&c->shards[i].leads_shared)) {
            snprintf(why, why_size, "shard %u has no leader that can commit", i + 1);
            return false;
        }
    if (atomic_load(&c->disk_low)) {
        snprintf(why, why_size, "the disk of %s is below its reserve of %llu bytes", c->o.data_dir,
                 (unsigned long long)c->o.disk_reserve_bytes);
        return false;
    }
    snprintf(why, why_size, "%u of %u shards lead", c->o.shard_count, c->o.shard_count);
    return true;
}
