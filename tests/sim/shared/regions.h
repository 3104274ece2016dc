/* regions - places that are far from each other: which node stands where, how long a message takes, whose voters stand where.
 *
 * One way takes 50 to 150 ms between two regions, the same each way, and up to a fifth more each time. Worlds that have
 * regions run with the times, windows and batches of the product. */
#ifndef SIM_SHARED_REGIONS_H
#define SIM_SHARED_REGIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/ground/rng.h"
#include "raft/core/core.h"

#define REGIONS_MAX      4u
#define REGION_ZONES_MAX 3u /* zone z of region r has the number 3 * (r - 1) + z, both from 1 */

struct regions {
    unsigned count; /* 0: there is one, and all is near */
    bool is_even;   /* nodes come to the regions in turn */
    uint64_t delay_us[REGIONS_MAX][REGIONS_MAX];
};

/* Two or more. */
void regions_draw(struct rng *r, struct regions *out);
/* Where the node that comes as number `at` (from 0) stands: from 1. */
uint16_t regions_place(const struct regions *g, struct rng *r, unsigned at);
/* What one way takes beside what it takes in a region. */
uint64_t regions_delay(const struct regions *g, struct rng *r, uint16_t from, uint16_t to);
/* The first configuration: of the `count` members given (node, zone, region), or those of them in one region, as its spread
 * wants; now and then some are preferred. */
void regions_draw_group(const struct regions *g, struct rng *r, struct core_member *from,
                        unsigned count, struct core_config *out);
/* A line of what was drawn. */
void regions_print_group(unsigned group, const struct core_config *c);

#endif
