/* runs - the command line of a simulation.
 *
 *   run FIRST COUNT    each seed once, some twice (the same hash, or something is not decided by the seed)
 *   kept FILE          the seeds that found something once: "SEED what it found", each twice
 *   seed SEED          one, with its trace
 */
#ifndef SIM_SHARED_RUNS_H
#define SIM_SHARED_RUNS_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

struct run_facts {
    uint64_t hash, us, events; /* of all that happened; of the world's time; actions */
};
struct runs {
    const char *name; /* of the program */
    /* What is broken ends the process. Counts what `report` tells. */
    struct run_facts (*run)(uint64_t seed, bool loud);
    void (*report)(void); /* after all runs, before their speed */
};

int runs_main(const struct runs *r, int argc, char **argv);

/* The hash, with one thing more that happened. */
uint64_t runs_mix(uint64_t hash, uint64_t now_us, uint64_t a, uint64_t b, uint64_t c);
/* A line of a trace. */
void runs_say(uint64_t now_us, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));

#endif
