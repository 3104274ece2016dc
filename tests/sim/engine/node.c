/* node - a process: it starts on what its disk holds, turns its loops, syncs, sleeps, and may die at any I/O step.
 *
 * A death inside of a turn: from then on nothing that it does leaves it or reaches its disk; the turn ends, then it is gone.
 */
#include <stdio.h>
#include <stdlib.h>

#include "proto/ground/mutation.h"
#include "queue/store.h"
#include "tests/sim/engine/world.h"

uint64_t node_mono_ms(const struct world *w, const struct node *n)
{
    return (n->mono_base_us + (w->now_us - n->boot_us) * n->rate_permille / 1000) / MS;
}

uint64_t node_wall_ms(const struct world *w, const struct node *n)
{
    return (uint64_t)((int64_t)(w->now_us / MS) + n->wall_offset_ms);
}

bool node_runs(const struct world *w, const struct node *n)
{
    return n->up && !n->dying && n->paused_until_us <= w->now_us;
}

bool node_point(struct node *n)
{
    if (n->dying) return true;
    if (n->crash_in == 0 || --n->crash_in > 0) return false;
    TRACE(n->world, "n%u dies between two steps", n->at + 1);
    n->dying = true;
    return true;
}

struct node *node_new(struct world *w)
{
    struct node *n;

    if (w->node_count == NODES_MAX) return NULL;
    n = &w->nodes[w->node_count];
    *n = (struct node){ .at = w->node_count++, .world = w, .slow = 1, .free_permille = 500 };
    n->zone = (uint16_t)(1 + world_below(w, 3));
    n->region = regions_place(&w->plan.regions, &w->later, n->at);
    n->zone = (uint16_t)(n->zone + REGION_ZONES_MAX * (n->region - 1));
    n->wall_offset_ms = 1000000000 + (int64_t)world_below(w, 1000);
    n->wire.calls = net_calls();
    draw_formats(w, n);
    n->format = w->plan.format_min;
    CHECK(store_open(&n->store, &(struct store_options){ 0 }, NULL, NULL) == 0);
    for (unsigned g = 0; g < GROUPS_MAX; g++) {
        n->hosts[g].node = n;
        n->hosts[g].group = g;
        list_init(&n->hosts[g].asks);
    }
    if (world_above) world_above->node_new(w, n);
    return n;
}

/* ---- turns */

static void arm(struct world *w, struct node *n, unsigned loop, uint64_t delay_us)
{
    world_at(w, delay_us,
             &(struct action){ .kind = ACT_TURN,
                               .node = n->at,
                               .life = n->incarnation,
                               .a = loop,
                               .b = ++n->loops[loop].timer });
}

static void wake(void *arg)
{
    struct loop *l = arg;
    struct world *w = l->node->world;

    if (l->woken) return;
    l->woken = true;
    if (!l->node->turning) arm(w, l->node, l->number, world_below(w, w->plan.turn_max_us));
}

void node_wake(struct node *n, unsigned group)
{
    if (n->up && !n->dying) wake(&n->loops[group % n->world->plan.loops]);
}

static uint64_t until_mono(const struct world *w, const struct node *n, uint64_t mono_ms)
{
    uint64_t passed_us;

    if (mono_ms == UINT64_MAX) return FOREVER;
    if (mono_ms <= node_mono_ms(w, n)) return 1;
    passed_us = (mono_ms * MS - n->mono_base_us) * 1000 / n->rate_permille + 2;
    return n->boot_us + passed_us > w->now_us ? n->boot_us + passed_us - w->now_us : 1;
}

static void sync_begin(struct world *w, struct node *n)
{
    uint64_t delay_us;

    if (n->syncing || n->dying) return;
    n->batch = store_mem_waiting(n->store);
    if (n->batch == 0) return;
    n->syncing = true;
    delay_us = world_between(w, w->plan.sync_min_us, w->plan.sync_max_us) * n->slow;
    world_at(w, delay_us,
             &(struct action){ .kind = ACT_SYNCED, .node = n->at, .life = n->incarnation });
}

void node_turn(struct world *w, struct node *n, unsigned loop)
{
    uint64_t next_ms;

    n->loops[loop].woken = false;
    n->turning = true;
    if (world_above) world_above->turn(w, n, loop);
    next_ms = raft_turn(n->raft, loop, node_mono_ms(w, n));
    n->turning = false;
    if (n->dying) return;
    check_turn(w, n);
    if (world_above) {
        uint64_t above_ms = world_above->next(w, n, loop);

        world_above->check(w, n);
        if (above_ms < next_ms) next_ms = above_ms;
    }
    sync_begin(w, n);
    for (unsigned i = 0; i < w->plan.loops; i++) {
        if (n->loops[i].woken)
            arm(w, n, i, world_below(w, w->plan.turn_max_us));
        else if (i == loop)
            arm(w, n, i, until_mono(w, n, next_ms));
    }
}

/* ---- the disk */

static void on_failed(void *arg)
{
    struct node *n = arg;

    TRACE(n->world, "n%u: a sync failed, it ends", n->at + 1);
    n->dying = true;
}

static bool has_recovered(const struct node *n, const struct host *h)
{
    struct store_group *log = check_malloc(sizeof *log);
    bool ok = store_group_read(n->store, world_group(h->group), log, NULL) == 0 && !log->tainted;

    free(log);
    return ok;
}

void node_synced(struct world *w, struct node *n)
{
    if (n->stalled_until_us > w->now_us) {
        world_at(w, n->stalled_until_us == FOREVER ? FOREVER : n->stalled_until_us - w->now_us,
                 &(struct action){ .kind = ACT_SYNCED, .node = n->at, .life = n->incarnation });
        return;
    }
    if (node_point(n)) return;
    if (n->failing) store_mem_fail(n->store, on_failed, n);
    n->failing = false;
    store_mem_sync(n->store, n->batch);
    n->syncing = false;
    if (node_point(n)) return;
    for (unsigned g = 0; g < w->plan.groups; g++) {
        struct host *h = &n->hosts[g];

        if (!h->impaired || !h->raft || !has_recovered(n, h)) continue;
        h->impaired = false;
        TRACE(w, "n%u g%u has again what it had lost", n->at + 1, g);
    }
    sync_begin(w, n);
}

/* ---- starting */

static void on_ended(void *arg, const char *what, int error)
{
    struct node *n = arg;
    bool damaged = false;

    for (unsigned g = 0; g < n->world->plan.groups; g++)
        damaged |= n->hosts[g].damaged;
    TRACE(n->world, "n%u ends: %s: %s", n->at + 1, what, err_name(error));
    EXPECT(n->world, damaged || n->dying, "n%u ends with a last word, and nothing is damaged: %s",
           n->at + 1, what);
    n->world->ended++;
    n->dying = true;
}

static void open_raft(struct world *w, struct node *n)
{
    const struct plan *p = &w->plan;
    struct raft_loop_port ports[LOOPS_MAX];
    struct raft_trial trial = p->trial;
    struct raft_options o = { .node_id = n->at + 1,
                              .loops = ports,
                              .loop_count = p->loops,
                              .seed = rng_next(&w->rng),
                              .group_uncommitted_bytes_max = p->uncommitted_bytes,
                              .incarnation = n->incarnation,
                              .cache_bytes_max = p->cache_bytes,
                              .inbox_bytes_max = p->inbox_bytes,
                              .snapshot_bytes_per_s = p->snapshot_bytes_per_s,
                              .times = p->times };

    for (unsigned i = 0; i < p->loops; i++) {
        n->loops[i] = (struct loop){ .node = n, .number = i, .timer = n->loops[i].timer };
        ports[i] = (struct raft_loop_port){ &n->loops[i], wake };
    }
    trial.arg = n;
    trial.ended = on_ended;
    n->raft = raft_open_over(n->store, false, &o);
    raft_try(n->raft, &trial);
    n->events = raft_wire_events(n->raft);
    raft_wire_attach(n->raft, &n->wire);
    raft_disk(n->raft, n->free_permille);
}

/* Who was there at the beginning knows that; others are told what is to come. */
static void config_for(const struct world *w, const struct node *n, unsigned group,
                       struct core_config *out)
{
    const struct core_config *c = &w->check.canon[group].config;

    *out = w->first_config[group];
    if (world_above) return; /* all are told the founders */
    for (unsigned i = 0; i < out->count; i++)
        if (out->members[i].node == n->at + 1) return;
    *out = (struct core_config){ .spread = c->spread };
    for (unsigned i = 0; i < c->count; i++) {
        out->members[out->count] = c->members[i];
        out->members[out->count].flags &= (uint8_t)~CORE_VOTES_OLD;
        out->count += out->members[out->count].flags != 0;
    }
}

/* What is damaged is refused; somebody sees it and gives the node up. */
static void refuse(struct world *w, struct node *n, struct host *h, const char *why)
{
    TRACE(w, "n%u g%u does not open: %s", n->at + 1, h->group, why);
    EXPECT(w, h->damaged, "n%u g%u does not open, and nothing is damaged: %s", n->at + 1, h->group,
           why);
    w->ended++;
    machine_close(h);
    n->dying = n->lost = true;
}

void node_open_group(struct world *w, struct node *n, unsigned group)
{
    struct host *h = &n->hosts[group];
    struct raft_machine machine;
    struct core_config config;
    struct errmsg why = { "" };

    if (h->raft || !n->up || n->dying) return;
    h->exists = true;
    machine_open(w, h);
    machine_calls(h, &machine);
    h->commit_floor = 0;
    h->commit_seen = h->machine_upto;
    h->led_term = h->doubt_term = 0;
    h->role = RAFT_FOLLOWER;
    config_for(w, n, group, &config);
    if (raft_group_open(n->raft, world_group(group), group % w->plan.loops, &config, &machine,
                        h->machine_upto, &h->raft, &why) != 0)
        refuse(w, n, h, why.text);
    else
        TRACE(w, "n%u g%u opens, applied %llu", n->at + 1, group,
              (unsigned long long)h->machine_upto);
}

void node_open_all(struct world *w, struct node *n)
{
    if (world_above) world_above->open(w, n);
    for (unsigned g = 0; !world_above && g < w->plan.groups && !n->dying; g++)
        if (w->wanted[g][n->at]) node_open_group(w, n, g);
    for (unsigned i = 0; i < w->plan.loops; i++)
        wake(&n->loops[i]);
}

void node_start(struct world *w, struct node *n)
{
    if (n->up || n->lost) return;
    if (n->format_max < n->format) { /* "written by a newer version": so somebody brings one */
        w->refused++;
        TRACE(w, "n%u does not start: its log is of format %u, it knows %u", n->at + 1, n->format,
              n->format_max);
        n->format_max = w->plan.format_max;
        node_start_later(w, n, 3 * SECOND);
        return;
    }
    n->up = true;
    n->dying = n->syncing = false;
    n->incarnation = ++w->incarnation;
    n->boot_us = w->now_us;
    n->mono_base_us = SECOND + world_below(w, 1000 * SECOND);
    n->rate_permille = world_between(w, 970, 1030);
    n->crash_in = 0;
    n->paused_until_us = 0;
    TRACE(w, "n%u starts, incarnation %llu, formats %u to %u", n->at + 1,
          (unsigned long long)n->incarnation, n->format_min, n->format_max);
    open_raft(w, n);
    if (w->plan.open_late_us > 0)
        world_at(w, world_below(w, w->plan.open_late_us),
                 &(struct action){ .kind = ACT_OPEN, .node = n->at, .life = n->incarnation });
    else
        node_open_all(w, n);
    net_dial_all(w);
    world_at(w, world_between(w, w->plan.flush_every_us / 2, w->plan.flush_every_us),
             &(struct action){ .kind = ACT_FLUSH, .node = n->at, .life = n->incarnation });
    node_settle(w, n);
}

void node_start_later(struct world *w, struct node *n, uint64_t max_us)
{
    world_at(w, world_between(w, 5 * MS, max_us),
             &(struct action){ .kind = ACT_START, .node = n->at });
}

void node_pause(struct world *w, struct node *n, uint64_t until_us)
{
    n->paused_since_us = w->now_us;
    n->paused_until_us = until_us;
    TRACE(w, "n%u sleeps until %.3f s", n->at + 1, (double)until_us / (double)SECOND);
    for (unsigned i = 0; i < w->node_count; i++)
        if (i != n->at)
            world_at(w, w->plan.silence_us + 1,
                     &(struct action){ .kind = ACT_SILENCE, .node = n->at, .b = i });
}

/* ---- dying */

void node_crash(struct world *w, struct node *n)
{
    if (!n->up) return;
    TRACE(w, "n%u crashes", n->at + 1);
    w->crashes++;
    n->dying = true;
    if (n->syncing && !n->failing && world_chance(w, w->plan.torn_permille))
        store_mem_keep(n->store, n->batch);
    store_mem_power_cut(n->store);
    net_gone(w, n);
    if (world_above) world_above->close(w, n);
    raft_close(&n->raft);
    for (unsigned g = 0; g < w->plan.groups; g++) {
        n->hosts[g].raft = NULL;
        machine_close(&n->hosts[g]);
    }
    n->up = n->dying = n->syncing = n->failing = false;
}

void node_settle(struct world *w, struct node *n)
{
    if (!n->up || !n->dying) return;
    node_crash(w, n);
    if (n->lost)
        node_lose(w, n);
    else
        node_start_later(w, n, 3 * SECOND);
}

/* Its number never comes back; a new node may take the place. */
void node_lose(struct world *w, struct node *n)
{
    struct node *other;

    if (n->up) node_crash(w, n);
    n->lost = true;
    TRACE(w, "n%u is lost for good", n->at + 1);
    node_free(n);
    other = node_new(w);
    if (other) node_start_later(w, other, 8 * SECOND);
}

void node_free(struct node *n)
{
    if (world_above) world_above->node_free(n);
    store_close(&n->store);
    store_close(&n->image);
    for (unsigned g = 0; g < GROUPS_MAX; g++)
        queue_store_close(&n->hosts[g].store);
}
