/* regions - far places: regions.h. */
#include "tests/sim/shared/regions.h"

#include <stdio.h>

#include "proto/ground/check.h"

#define DELAY_MIN_US   UINT64_C(50000)
#define DELAY_RANGE_US UINT64_C(100001)

void regions_draw(struct rng *r, struct regions *out)
{
    *out = (struct regions){ .count = 2 + (unsigned)rng_below(r, REGIONS_MAX - 1),
                             .is_even = rng_below(r, 1000) < 700 };
    for (unsigned a = 0; a < out->count; a++)
        for (unsigned b = 0; b < a; b++)
            out->delay_us[a][b] = out->delay_us[b][a] = DELAY_MIN_US + rng_below(r, DELAY_RANGE_US);
}

uint16_t regions_place(const struct regions *g, struct rng *r, unsigned at)
{
    if (g->count == 0) return 1;
    return (uint16_t)(1 + (g->is_even ? at % g->count : rng_below(r, g->count)));
}

uint64_t regions_delay(const struct regions *g, struct rng *r, uint16_t from, uint16_t to)
{
    uint64_t base;

    if (g->count == 0 || from == to) return 0;
    base = g->delay_us[from - 1][to - 1];
    return base + rng_below(r, base / 5);
}

/* Over zones: of one region, so that a commit stays in it, and seldom of all. Over regions, or nothing said: of all. */
static uint16_t home_of(const struct regions *g, struct rng *r, uint8_t spread)
{
    bool is_at_home = rng_below(r, 1000) < (spread == CORE_SPREAD_ZONE ? 800 : 0);

    return is_at_home ? (uint16_t)(1 + rng_below(r, g->count)) : 0;
}

static void draw_priorities(struct rng *r, struct core_member *members, unsigned count)
{
    bool prefers = rng_below(r, 1000) < 400;

    for (unsigned i = 0; i < count; i++) {
        members[i].flags = CORE_VOTES_NEW;
        members[i].priority = prefers ? (uint8_t)(1 + rng_below(r, 3)) : 1;
    }
}

void regions_draw_group(const struct regions *g, struct rng *r, struct core_member *from,
                        unsigned count, struct core_config *out)
{
    unsigned start, voters;
    uint16_t home;

    draw_priorities(r, from, count);
    start = (unsigned)rng_below(r, count);
    voters = 1 + (unsigned)rng_below(r, count);
    *out = (struct core_config){ .spread = (uint8_t)rng_below(r, CORE_SPREAD_REGION + 1) };
    home = home_of(g, r, out->spread);
    if (rng_below(r, 1000) < 600 || voters > CORE_VOTERS_MAX) voters = CORE_VOTERS_MAX;
    for (unsigned i = 0; i < count && out->count < voters; i++) {
        const struct core_member *m = &from[(start + i) % count];

        if (home == 0 || m->region == home) out->members[out->count++] = *m;
    }
    if (out->count == 0) out->members[out->count++] = from[start]; /* nobody stands there */
}

static const char *spread_name(uint8_t spread)
{
    return spread == CORE_SPREAD_REGION ? " over regions"
           : spread == CORE_SPREAD_ZONE ? " over zones"
                                        : "";
}

void regions_print_group(unsigned group, const struct core_config *c)
{
    printf("group %u%s:", group, spread_name(c->spread));
    for (unsigned i = 0; i < c->count; i++)
        printf(" n%llu (zone %u, priority %u)", (unsigned long long)c->members[i].node,
               c->members[i].zone, c->members[i].priority);
    printf("\n");
}
