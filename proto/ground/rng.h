/* rng - a seeded generator (xoshiro256**); never global, so that a seed replays a run. Not for secrets. */
#ifndef GROUND_RNG_H
#define GROUND_RNG_H

#include <stdint.h>

struct rng {
    uint64_t s[4];
};

void rng_seed(struct rng *r, uint64_t seed);
uint64_t rng_next(struct rng *r);
uint64_t rng_below(struct rng *r, uint64_t n); /* 0..n-1, no bias; n > 0 */

#endif
