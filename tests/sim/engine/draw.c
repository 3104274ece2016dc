/* draw - what a seed makes of a run. Each run has only some of the faults, so that rare ones are not drowned. */
#include <stdio.h>

#include "tests/sim/engine/world.h"

#define DRAWN_MAX 5u /* groups */

static const char *const fault_names[FAULTS] = {
#define NAME_(name, text) text,
    FAULT_TABLE(NAME_)
#undef NAME_
};

static void draw_net(struct world *w, struct plan *p)
{
    p->delay_min_us = world_below(w, 3) ? world_between(w, 20, 500) : world_below(w, 30 * MS);
    p->delay_max_us = p->delay_min_us + world_between(w, 100, world_below(w, 3) ? 3 * MS : 80 * MS);
    p->silence_us = world_between(w, 300 * MS, 3 * SECOND);
    p->turn_max_us = world_between(w, 5, world_below(w, 4) ? 200 : 20 * MS);
    p->break_permille = world_chance(w, 700) ? 0 : (unsigned)world_below(w, 10);
    p->format_min = 1 + (uint32_t)world_below(w, 3);
    p->format_max = p->format_min + (uint32_t)world_below(w, 3);
    for (unsigned lane = 0; lane < WIRE_LANES; lane++)
        p->lane_bytes[lane] =
            world_chance(w, 600) ? 32u << 20 : (size_t)world_between(w, 200, 200000);
}

static void draw_times(struct world *w, struct plan *p)
{
    struct raft_times *t = &p->times;

    p->length_us = world_between(w, 6 * SECOND, 20 * SECOND);
    t->election_ms = (uint32_t)(world_between(w, 150, 600) + 4 * p->delay_max_us / MS);
    t->beat_ms = t->election_ms / (uint32_t)world_between(w, 4, 10);
    t->suspect_ms = t->election_ms / 2 + 200;
    if (t->suspect_ms < 3 * t->beat_ms) t->suspect_ms = 3 * t->beat_ms;
    t->rest_after_ms = world_chance(w, 400) ? UINT32_MAX : (uint32_t)world_between(w, 200, 3000);
    t->disk_stall_ms = (uint32_t)world_between(w, 300, 2000);
    p->sync_min_us = world_between(w, 50, 2 * MS);
    p->sync_max_us = p->sync_min_us + world_between(w, 50, world_below(w, 4) ? 5 * MS : 50 * MS);
    p->torn_permille = (unsigned)world_below(w, 1000);
    p->flush_every_us = world_between(w, 200 * MS, 5 * SECOND);
}

static void draw_mail(struct world *w, struct plan *p)
{
    p->mail_every_us = world_between(w, 50 * MS, SECOND);
    p->work_every_us = world_between(w, 20 * MS, 500 * MS);
    p->remote_max_us = world_between(w, 10 * MS, world_below(w, 2) ? 300 * MS : 4 * SECOND);
    p->fail_permille = (unsigned)world_below(w, 300);
    p->drop_permille = (unsigned)world_below(w, 100);
    p->body_max =
        world_chance(w, 700) ? (size_t)world_below(w, 2000) : (size_t)world_below(w, 60000);
}

static void draw_limits(struct world *w, struct plan *p)
{
    p->keep_entries = world_chance(w, 500) ? 0 : (unsigned)world_below(w, 100);
    p->late_permille = world_chance(w, 500) ? 0 : 500;
    p->chunk_max = world_chance(w, 300) ? RAFT_CHUNK_SIZE_MAX : (size_t)world_between(w, 50, 3000);
    p->cache_bytes = world_chance(w, 500) ? 64u << 20 : (size_t)world_between(w, 1, 50000);
    p->inbox_bytes = world_chance(w, 500) ? 8u << 20 : (size_t)world_between(w, 1000, 100000);
    p->uncommitted_bytes = (size_t)world_between(w, 2000, 500000);
    p->snapshot_bytes_per_s = world_chance(w, 700) ? 0 : (uint32_t)world_between(w, 5000, 1000000);
    p->trial = (struct raft_trial){
        .window_entries = (uint32_t)world_between(w, 1, 200),
        .window_bytes = (uint32_t)world_between(w, 1000, 100000),
        .append_entries_max = (uint32_t)world_between(w, 1, 64),
        .append_bytes_max = (uint32_t)world_between(w, 200, 60000),
    };
    if (world_chance(w, 300)) p->trial = (struct raft_trial){ 0 };
    p->spread_permille = world_chance(w, 600) ? 0 : 700;
    p->priority_permille = world_chance(w, 600) ? 0 : 500;
}

static void draw_faults(struct world *w, struct plan *p)
{
    unsigned share = (unsigned)world_between(w, 100, 600);

    for (unsigned f = 0; f < FAULTS_LATER; f++)
        if (world_chance(w, share))
            p->fault_every_us[f] = world_between(w, SECOND / 2, 12 * SECOND);
    if (p->fault_every_us[FAULT_LIE]) p->fault_every_us[FAULT_LIE] /= 4; /* two make one */
    if (p->fault_every_us[FAULT_READ]) p->fault_every_us[FAULT_READ] /= 10;
    if (p->fault_every_us
            [FAULT_RESCUE]) { /* all else that loses data stands back: then it is exact */
        p->groups = 1;
        p->fault_every_us[FAULT_LIE] = p->fault_every_us[FAULT_FLIP] = 0;
        p->fault_every_us[FAULT_LOSS] = 0;
    }
}

/* As the product runs, and in a region all is near: beside that way nothing else is slow. */
static void draw_regions(struct world *w, struct plan *p)
{
    regions_draw(&w->later, &p->regions);
    p->fault_every_us[FAULT_REGION] = SECOND / 2 + rng_below(&w->later, 5 * SECOND);
    p->nodes = 3 + (unsigned)rng_below(&w->later, 5);
    p->length_us = (15 + rng_below(&w->later, 20)) * SECOND;
    p->delay_min_us = 20 + rng_below(&w->later, 500);
    p->delay_max_us = p->delay_min_us + 100 + rng_below(&w->later, 3 * MS);
    p->turn_max_us = 200;
    p->times = (struct raft_times){ .election_ms = 500 }; /* the others, too, are the defaults */
    p->trial = (struct raft_trial){ 0 };
    for (unsigned lane = 0; lane < WIRE_LANES; lane++)
        p->lane_bytes[lane] = 32u << 20;
}

static void draw_later(struct world *w, struct plan *p)
{
    for (unsigned f = FAULTS_LATER; f < FAULT_REGION; f++)
        if (rng_below(&w->later, 1000) < 150)
            p->fault_every_us[f] = SECOND / 2 + rng_below(&w->later, 5 * SECOND);
    p->part_size = 1 + (size_t)rng_below(&w->later, 1000);
    if (rng_below(&w->later, 1000) < 200) p->open_late_us = 1 + rng_below(&w->later, 2 * SECOND);
    if (p->fault_every_us[FAULT_RESCUE]) p->fault_every_us[FAULT_MISDIRECT] = 0;
    if (rng_below(&w->later, 1000) < 150) draw_regions(w, p);
}

void draw_plan(struct world *w)
{
    struct plan *p = &w->plan;

    p->nodes = (unsigned)world_between(w, 1, 7);
    if (world_chance(w, 500)) p->nodes = 3 + 2 * (unsigned)world_below(w, 2);
    p->spares = world_chance(w, 500) ? 0 : (unsigned)world_below(w, 3);
    p->groups = 1 + (unsigned)(world_chance(w, 500) ? world_below(w, DRAWN_MAX) : 0);
    p->loops = 1 + (unsigned)world_chance(w, 300);
    draw_net(w, p);
    draw_times(w, p);
    draw_mail(w, p);
    draw_limits(w, p);
    draw_faults(w, p);
    draw_later(w, p);
}

/* A version knows a range of formats; mostly one that all know. */
void draw_formats(struct world *w, struct node *n)
{
    const struct plan *p = &w->plan;

    n->format_min = p->format_min;
    if (world_chance(w, 100))
        n->format_min = (uint32_t)world_between(w, p->format_min, p->format_max);
    n->format_max = (uint32_t)world_between(w, n->format_min, p->format_max);
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
                                              .region = 1,
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

    printf(
        "seed %llu: %u nodes, %u spare, %u groups on %u loops, %.1f s; election %u ms, beat %u ms, "
        "rest %u ms, stall %u ms\n",
        (unsigned long long)w->seed, p->nodes, p->spares, p->groups, p->loops,
        (double)p->length_us / (double)SECOND, p->times.election_ms, p->times.beat_ms,
        p->times.rest_after_ms, p->times.disk_stall_ms);
    printf("net: %llu..%llu us, silence %llu us, lanes of %zu, %zu, %zu bytes; sync %llu..%llu us; "
           "cache %zu, inbox %zu, chunks %zu, bodies %zu bytes; formats %u to %u\n",
           (unsigned long long)p->delay_min_us, (unsigned long long)p->delay_max_us,
           (unsigned long long)p->silence_us, p->lane_bytes[0], p->lane_bytes[1], p->lane_bytes[2],
           (unsigned long long)p->sync_min_us, (unsigned long long)p->sync_max_us, p->cache_bytes,
           p->inbox_bytes, p->chunk_max, p->body_max, p->format_min, p->format_max);
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
