/* rng - xoshiro256** (Blackman and Vigna), its state filled from one number by splitmix64.
 *
 * Invariant: the state is never all zero (splitmix64 gives four different words in a row, at most
 * one of them zero). The same seed gives the same numbers on every machine.
 */
#include "proto/ground/rng.h"

#include "proto/ground/check.h"

static uint64_t splitmix(uint64_t *at)
{
    uint64_t z = *at += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

void rng_seed(struct rng *r, uint64_t seed)
{
    for (int i = 0; i < 4; i++)
        r->s[i] = splitmix(&seed);
}

static uint64_t turn(uint64_t v, int by)
{
    return v << by | v >> (64 - by);
}

uint64_t rng_next(struct rng *r)
{
    uint64_t *s = r->s;
    uint64_t result = turn(s[1] * 5, 7) * 9;
    uint64_t shifted = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = turn(s[3], 45);
    return result;
}

uint64_t rng_below(struct rng *r, uint64_t n)
{
    uint64_t skip, v;

    CHECK(n > 0);
    skip =
        (0 - n) % n; /* 2^64 mod n: the first numbers that would make small results more likely */
    do {
        v = rng_next(r);
    } while (v < skip);
    return v % n;
}
