/* draw - what a seed makes of a run. Each run has only some of the faults, so that rare ones are not drowned. */
#include <stdio.h>

#include "tests/sim/cluster/world.h"

static const char *const fault_names[FAULTS] = {
#define NAME_(name, text) text,
    FAULT_TABLE(NAME_)
#undef NAME_
};

/* Faults that are worse together. */
#define THEME_MAX 5
static const enum fault themes[][THEME_MAX] = {
    { FAULT_FULL, FAULT_CUT, FAULT_ISOLATE, FAULT_FULL, FAULT_FULL },
    { FAULT_MEMBERS, FAULT_SPLIT, FAULT_CUT, FAULT_CRASH, FAULT_TRANSFER },
    { FAULT_MEMBERS, FAULT_ISOLATE, FAULT_STRAND, FAULT_LOSS, FAULT_LIE },
    { FAULT_LIE, FAULT_CRASH, FAULT_ISOLATE, FAULT_CUT, FAULT_TRANSFER },
    { FAULT_READ, FAULT_ISOLATE, FAULT_PAUSE, FAULT_SPLIT, FAULT_TRANSFER },
    { FAULT_REPLAY, FAULT_CLOG, FAULT_CRASH, FAULT_REPLAY, FAULT_REPLAY },
    { FAULT_SPLIT, FAULT_ZONE, FAULT_BRIDGE, FAULT_SPLIT, FAULT_SPLIT },
    { FAULT_STRAND, FAULT_STALL, FAULT_SLOW, FAULT_EIO, FAULT_CRASH_POINT },
};
#define THEMES (sizeof themes / sizeof themes[0])

static void draw_net(struct world *w, struct plan *p)
{
    p->delay_min_us = world_below(w, 3) ? world_between(w, 20, 500) : world_below(w, 30 * MS);
    p->delay_max_us = p->delay_min_us + world_between(w, 100, world_below(w, 3) ? 3 * MS : 80 * MS);
    p->in_order = world_chance(w, 400);
    p->loss_permille = world_chance(w, 500) ? 0 : (unsigned)world_below(w, 300);
    p->double_permille = world_chance(w, 600) ? 0 : (unsigned)world_below(w, 300);
    p->reorder_permille = world_chance(w, 600) ? 0 : (unsigned)world_below(w, 300);
    p->split_permille = world_chance(w, 600) ? 0 : (unsigned)world_below(w, 500);
}

static void draw_times(struct world *w, struct plan *p)
{
    p->length_us = world_between(w, 8 * SECOND, 30 * SECOND);
    p->election_ms = (uint32_t)world_between(w, 150, 600) + (uint32_t)(4 * p->delay_max_us / MS);
    p->heartbeat_ms = p->election_ms / (uint32_t)world_between(w, 4, 10);
    p->suspicion_ms = p->election_ms / 2 + 200;
    p->rest_after_ms = world_chance(w, 500) ? 0 : (uint32_t)world_between(w, 200, 3000);
    p->disk_stall_ms = (uint32_t)world_between(w, 300, 2000);
    p->sync_min_us = world_between(w, 50, 2 * MS);
    p->sync_max_us = p->sync_min_us + world_between(w, 50, world_below(w, 4) ? 5 * MS : 50 * MS);
    p->sync_batch = world_chance(w, 300) ? 1 + (unsigned)world_below(w, 2) : 64;
    p->knows_lost = world_chance(w, 300);
    p->torn_permille = (unsigned)world_below(w, 1000);
    p->apply_delay_us = world_chance(w, 600) ? 0 : world_below(w, 200 * MS);
    p->flush_every_us = world_between(w, 200 * MS, 5 * SECOND);
}

static void draw_mail(struct world *w, struct plan *p)
{
    p->mail_every_us = world_between(w, 100 * MS, 2 * SECOND);
    p->work_every_us = world_between(w, 20 * MS, 500 * MS);
    p->remote_max_us = world_between(w, 10 * MS, world_below(w, 2) ? 300 * MS : 4 * SECOND);
    p->fail_permille = (unsigned)world_below(w, 300);
    p->bounce_permille = (unsigned)world_below(w, 100);
    p->drop_permille = (unsigned)world_below(w, 100);
}

static void draw_limits(struct world *w, struct plan *p)
{
    p->keep_entries = world_chance(w, 500) ? 0 : (unsigned)world_below(w, 100);
    p->append_entries_max = (uint32_t)world_between(w, 1, ENTRIES_MAX);
    p->append_bytes_max = (uint32_t)world_between(w, 200, 8000);
    p->window_entries = (uint32_t)world_between(w, 1, 200);
    p->uncommitted_bytes_max = world_between(w, 2000, 50000);
    p->unapplied_bytes_max = world_chance(w, 700) ? 0 : world_between(w, 2000, 20000);
    p->spread_permille = world_chance(w, 600) ? 0 : 700;
    p->priority_permille = world_chance(w, 600) ? 0 : 500;
}

static void draw_faults(struct world *w, struct plan *p)
{
    unsigned share = (unsigned)world_between(w, 100, 700);

    for (unsigned f = 0; f < FAULTS_LATER; f++)
        if (world_chance(w, share))
            p->fault_every_us[f] = world_between(w, SECOND / 2, 15 * SECOND);
    if (world_chance(w, 500)) {
        const enum fault *theme = themes[world_below(w, THEMES)];

        if (world_chance(w, 300)) memset(p->fault_every_us, 0, sizeof p->fault_every_us);
        for (unsigned i = 0; i < THEME_MAX; i++)
            p->fault_every_us[theme[i]] = world_between(w, SECOND / 2, 4 * SECOND);
    }
    if (p->fault_every_us[FAULT_REPLAY]) p->fault_every_us[FAULT_REPLAY] /= 20;
    if (p->fault_every_us[FAULT_READ]) p->fault_every_us[FAULT_READ] /= 10;
}

/* As the product runs, and in a region all is near: beside that way nothing else is slow. */
static void draw_regions(struct world *w, struct plan *p)
{
    regions_draw(&w->later, &p->regions);
    p->nodes = 3 + (unsigned)rng_below(&w->later, 5);
    p->length_us = (15 + rng_below(&w->later, 20)) * SECOND;
    p->delay_min_us = 20 + rng_below(&w->later, 500);
    p->delay_max_us = p->delay_min_us + 100 + rng_below(&w->later, 3 * MS);
    p->election_ms = p->suspicion_ms = 500;
    p->heartbeat_ms = 100;
    p->rest_after_ms = 1000;
    p->disk_stall_ms = 2000;
    p->window_entries = 1024;
    p->append_entries_max = ENTRIES_MAX;
    p->append_bytes_max = 8000;
}

static void draw_later(struct world *w, struct plan *p)
{
    for (unsigned f = FAULTS_LATER; f < FAULTS; f++)
        if (rng_below(&w->later, 1000) < 150)
            p->fault_every_us[f] = SECOND / 2 + rng_below(&w->later, 5 * SECOND);
    if (p->fault_every_us[FAULT_REGION]) draw_regions(w, p);
}

void draw_plan(struct world *w)
{
    struct plan *p = &w->plan;

    p->nodes = (unsigned)world_between(w, 1, 7);
    if (world_chance(w, 500)) p->nodes = 3 + 2 * (unsigned)world_below(w, 2);
    p->spares = world_chance(w, 500) ? 0 : (unsigned)world_below(w, 3);
    p->groups = 1 + (unsigned)(world_chance(w, 400) ? world_below(w, GROUPS_MAX) : 0);
    draw_net(w, p);
    draw_times(w, p);
    draw_mail(w, p);
    draw_limits(w, p);
    draw_faults(w, p);
    draw_later(w, p);
}

/* Voters of a group: some of the nodes, mostly an odd number. */
static void draw_group(struct world *w, unsigned g)
{
    struct core_config *c = &w->first_config[g];
    unsigned n = w->plan.nodes, voters = 1 + (unsigned)world_below(w, n);
    unsigned from = (unsigned)world_below(w, n);

    if (voters % 2 == 0 && world_chance(w, 600) && voters < n) voters++;
    if (world_chance(w, 500)) voters = n;
    *c = (struct core_config){ .count = voters };
    if (world_chance(w, w->plan.spread_permille)) c->spread = CORE_SPREAD_ZONE;
    for (unsigned i = 0; i < voters; i++) {
        struct node *node = &w->nodes[(from + i) % n];
        uint8_t priority =
            world_chance(w, w->plan.priority_permille) ? (uint8_t)world_below(w, 4) : 1;

        if (i == 0 && priority == 0) priority = 1;
        c->members[i] = (struct core_member){ .node = node->at + 1,
                                              .zone = node->zone,
                                              .region = node->region,
                                              .flags = CORE_VOTES_NEW,
                                              .priority = priority };
        w->wanted[g][node->at] = true;
    }
}

static void draw_far_group(struct world *w, unsigned g)
{
    struct core_member all[NODES_MAX];
    struct core_config *c = &w->first_config[g];

    for (unsigned i = 0; i < w->plan.nodes; i++)
        all[i] = (struct core_member){ .node = i + 1,
                                       .zone = w->nodes[i].zone,
                                       .region = w->nodes[i].region };
    regions_draw_group(&w->plan.regions, &w->later, all, w->plan.nodes, c);
    for (unsigned i = 0; i < c->count; i++)
        w->wanted[g][c->members[i].node - 1] = true;
}

void draw_groups(struct world *w)
{
    for (unsigned g = 0; g < w->plan.groups; g++)
        if (w->plan.regions.count > 0)
            draw_far_group(w, g);
        else
            draw_group(w, g);
}

void draw_print(const struct world *w)
{
    const struct plan *p = &w->plan;

    printf("seed %llu: %u nodes, %u spare, %u groups, %.1f s; election %u ms, heartbeat %u ms, "
           "rest %u ms, "
           "stall %u ms\n",
           (unsigned long long)w->seed, p->nodes, p->spares, p->groups,
           (double)p->length_us / (double)SECOND, p->election_ms, p->heartbeat_ms, p->rest_after_ms,
           p->disk_stall_ms);
    printf("net: %llu..%llu us%s, loss %u, double %u, reorder %u, split %u permille; sync "
           "%llu..%llu us\n",
           (unsigned long long)p->delay_min_us, (unsigned long long)p->delay_max_us,
           p->in_order ? " in order" : "", p->loss_permille, p->double_permille,
           p->reorder_permille, p->split_permille, (unsigned long long)p->sync_min_us,
           (unsigned long long)p->sync_max_us);
    for (unsigned g = 0; g < p->groups; g++)
        regions_print_group(g, &w->first_config[g]);
    for (unsigned i = 0; i < w->node_count && p->regions.count > 0; i++)
        printf("%sn%u in region %u", i ? ", " : "regions: ", i + 1, w->nodes[i].region);
    if (p->regions.count > 0) printf("\n");
    printf("faults:");
    for (unsigned f = 0; f < FAULTS; f++)
        if (p->fault_every_us[f])
            printf(" %s/%.2fs", fault_names[f], (double)p->fault_every_us[f] / (double)SECOND);
    printf("\n");
}
