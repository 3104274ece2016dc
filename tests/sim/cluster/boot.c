/* boot - how a node starts, dies, and how its cores open on what the disk holds. */
#include <stdlib.h>

#include "queue/store.h"
#include "proto/ground/mutation.h"
#include "tests/sim/cluster/world.h"

#define RUNS_MIN 4
#define RUNS_MAX 24

struct node *boot_new_node(struct world *w)
{
    struct node *n;

    if (w->node_count == NODES_MAX) return NULL;
    n = &w->nodes[w->node_count];
    *n = (struct node){ .at = w->node_count++, .exists = true };
    n->zone = (uint16_t)(1 + world_below(w, 3));
    n->region = regions_place(&w->plan.regions, &w->later, n->at);
    n->zone = (uint16_t)(n->zone + REGION_ZONES_MAX * (n->region - 1));
    n->wall_offset_ms = 1000000000 + (int64_t)world_below(w, 1000);
    n->disk.free_permille = 500;
    for (unsigned g = 0; g < GROUPS_MAX; g++)
        n->hosts[g].log.first = 1;
    disk_init(&n->disk);
    return n;
}

/* ---- opening a group */

static struct core *new_core(struct world *w, struct node *n, unsigned group)
{
    const struct plan *p = &w->plan;
    uint64_t seed = rng_next(&w->rng);
    struct core_options o = {
        .self = n->at + 1,
        .limits = { .members_max = CORE_MEMBERS_MAX,
                    .runs_max = RUNS_MIN + (unsigned)(seed % (RUNS_MAX - RUNS_MIN + 1)) },
        .config = w->first_config[group],
        .election_ms = p->election_ms,
        .heartbeat_ms = p->heartbeat_ms,
        .rest_after_ms = p->rest_after_ms,
        .disk_stall_ms = p->disk_stall_ms,
        .low_permille = 50,
        .window_entries = p->window_entries,
        .window_bytes = 4 * p->append_bytes_max,
        .append_entries_max = p->append_entries_max,
        .append_bytes_max = p->append_bytes_max,
        .uncommitted_bytes_max = p->uncommitted_bytes_max,
        .unapplied_bytes_max = p->unapplied_bytes_max,
        .seed = seed,
    };
    struct core *c = check_calloc(1, core_size(&o.limits));

    CHECK(core_init(c, &o) == 0);
    return c;
}

static unsigned find_runs(struct log *l, struct core_run *runs)
{
    unsigned n = 0;

    for (size_t i = 0; i < l->count; i++) {
        const struct entry *e = l->list[i].entry;

        if (n == 0 || runs[n - 1].term != e->term)
            runs[n++] = (struct core_run){ e->index, e->term };
    }
    return n;
}

static void boot_core(struct world *w, struct node *n, unsigned group)
{
    struct host *h = &n->hosts[group];
    struct kept *k = &n->disk.kept[group];
    const struct core_config *newest = log_config(&h->log, log_last(&h->log));
    struct core_event e = { .kind = CORE_BOOT };
    struct core_run *runs = check_calloc(h->log.count + 1, sizeof *runs);
    int rv;

    e.u.boot.hard = k->hard;
    e.u.boot.first = h->log.first;
    e.u.boot.last = log_last(&h->log);
    e.u.boot.cut_term = h->log.base_term;
    e.u.boot.run_count = find_runs(&h->log, runs);
    e.u.boot.runs = e.u.boot.run_count ? runs : NULL;
    e.u.boot.last_term = log_term(&h->log, log_last(&h->log));
    e.u.boot.applied = h->applied;
    h->boot_last = e.u.boot.last;
    e.u.boot.config = newest;
    if (newest && newest->index >= h->log.first) {
        e.u.boot.before = log_config(&h->log, newest->index - 1);
        if (!e.u.boot.before) e.u.boot.before = &w->first_config[group];
    }
    e.u.boot.tainted = k->tainted;
    e.u.boot.lost_upto = k->lost_upto;
    if (!w->plan.knows_lost) e.u.boot.lost_upto.index = 0;
    TRACE(w, "n%u g%u boots: term %llu vote %llu log %llu..%llu applied %llu%s", n->at + 1, group,
          (unsigned long long)k->hard.term, (unsigned long long)k->hard.vote,
          (unsigned long long)e.u.boot.first, (unsigned long long)e.u.boot.last,
          (unsigned long long)h->applied, k->tainted ? " tainted" : "");
    rv = node_step(w, n, group, &e, NULL, NULL);
    free(runs);
    EXPECT(w, rv == 0, "n%u g%u: does not boot: %s", n->at + 1, group, err_name(rv));
}

void boot_open(struct world *w, struct node *n, unsigned group)
{
    struct host *h = &n->hosts[group];
    struct kept *k = &n->disk.kept[group];

    if (h->open) return;
    *h = (struct host){ .open = true, .log.first = 1 };
    list_init(&h->held);
    list_init(&h->proposals);
    log_copy(&h->log, &k->log);
    k->exists = true;
    machine_open(w, n, group);
    h->applied = h->commit = k->machine_upto;
    h->is_fresh = k->machine_upto > 0;
    h->core = new_core(w, n, group);
    boot_core(w, n, group);
}

void boot_start(struct world *w, struct node *n)
{
    if (n->up || n->lost) return;
    n->up = true;
    n->dying = false;
    n->life = ++w->life;
    n->boot_us = w->now_us;
    n->mono_base_us = world_below(w, 1000 * SECOND);
    n->rate_permille = world_between(w, 970, 1030);
    n->rest_generation = n->life << 20;
    n->crash_in = 0;
    n->paused_until_us = 0;
    for (unsigned i = 0; i < NODES_MAX; i++) /* who is never heard is down in time */
        n->peers[i] = (struct peer){ .up = true, .heard_us = w->now_us };
    TRACE(w, "n%u starts, incarnation %llu", n->at + 1, (unsigned long long)n->life);
    for (unsigned g = 0; g < w->plan.groups && !n->dying; g++)
        if (w->wanted[g][n->at]) boot_open(w, n, g);
    world_at(w, world_below(w, 100 * MS),
             &(struct action){ .kind = ACT_BEAT, .node = n->at, .life = n->life });
    world_at(w, world_between(w, w->plan.flush_every_us / 2, w->plan.flush_every_us),
             &(struct action){ .kind = ACT_FLUSH, .node = n->at, .life = n->life });
}

/* ---- dying */

void boot_close(struct world *w, struct node *n, unsigned group)
{
    struct host *h = &n->hosts[group];
    struct list *at;

    (void)w;
    if (!h->open) return;
    mail_forget(w, h);
    while ((at = list_take_first(&h->held)) != NULL)
        free(CONTAINER_OF(at, struct held, link));
    if (h->staged) snapshot_unref(h->staged);
    queue_close(&h->queue);
    if (n->disk.kept[group].store) queue_store_mem_crash(n->disk.kept[group].store);
    log_free(&h->log);
    free(h->core);
    *h = (struct host){ .log.first = 1 };
}

void boot_crash(struct world *w, struct node *n)
{
    if (!n->up) return;
    TRACE(w, "n%u crashes", n->at + 1);
    w->crashes++;
    n->up = n->dying = false;
    disk_crash(w, n);
    for (unsigned g = 0; g < w->plan.groups; g++)
        boot_close(w, n, g);
    for (unsigned i = 0; i < w->node_count; i++) {
        struct node *m = &w->nodes[i];

        if (m == n || !m->up || !net_open(w, n->at, i) || world_chance(w, 300)) continue;
        world_at(w, world_below(w, 5 * MS),
                 &(struct action){
                     .kind = ACT_CLOSED, .node = i, .life = m->life, .a = n->at, .b = n->life });
    }
}
