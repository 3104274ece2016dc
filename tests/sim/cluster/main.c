/* main - runs seeds of the simulated cluster.
 *
 * Use: sim_cluster run FIRST COUNT    each seed once, some twice (the same hash, or it is broken)
 *      sim_cluster kept FILE          the seeds that found something once: "SEED what it found"
 *      sim_cluster seed SEED          one, with its trace
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "proto/ground/mutation.h"
#include "tests/sim/cluster/world.h"

#define TWICE_EACH 16u

struct total {
    uint64_t runs, us, events, steps, messages, commits, sends, snapshots, elections, crashes,
        zombies;
    unsigned held, writes, packets; /* the longest queues */
};

static struct world world;

static void run(uint64_t seed, bool loud, struct total *t)
{
    const struct world *w = &world;

    world_run(&world, seed, loud);
    t->runs++;
    t->us += w->now_us;
    t->events += w->events;
    t->steps += w->steps;
    t->messages += w->messages;
    t->commits += w->commits;
    t->sends += w->sends;
    t->snapshots += w->snapshots;
    t->elections += w->elections;
    t->crashes += w->crashes;
    t->zombies += w->zombies;
    if (w->peak.held > t->held) t->held = w->peak.held;
    if (w->peak.writes > t->writes) t->writes = w->peak.writes;
    if (w->peak.packets > t->packets) t->packets = w->peak.packets;
    world_end(&world);
}

static void run_twice(uint64_t seed, struct total *t)
{
    uint64_t hash;

    run(seed, false, t);
    hash = world.hash;
    run(seed, false, t);
    if (world.hash == hash) return;
    fprintf(stderr, "seed %llu: two runs differ, something is not decided by the seed\n",
            (unsigned long long)seed);
    exit(1);
}

static void report(const struct total *t, clock_t began)
{
    double seconds = (double)(clock() - began) / CLOCKS_PER_SEC + 1e-9;

    printf(
        "%llu runs: %llu commits, %llu elections, %llu crashes, %llu zombies, %llu snapshots, %llu "
        "mails sent, %llu messages, %llu steps\n",
        (unsigned long long)t->runs, (unsigned long long)t->commits,
        (unsigned long long)t->elections, (unsigned long long)t->crashes,
        (unsigned long long)t->zombies, (unsigned long long)t->snapshots,
        (unsigned long long)t->sends, (unsigned long long)t->messages,
        (unsigned long long)t->steps);
    printf("at most %u messages waited for a write, %u writes for a disk, %u packets on a link\n",
           t->held, t->writes, t->packets);
    printf("%llu runs ok, %.0f a second, %.0f events/s, %.2f h simulated in %.1f s: %.0f simulated "
           "hours "
           "an hour\n",
           (unsigned long long)t->runs, (double)t->runs / seconds, (double)t->events / seconds,
           (double)t->us / 3.6e9, seconds, (double)t->us / 1e6 / seconds);
}

static uint64_t number(const char *text)
{
    uint64_t n;

    if (text && span_u64(span_cstr(text), UINT64_MAX, &n) == 0) return n;
    fprintf(stderr, "sim_cluster: a number is missing: run FIRST COUNT, kept FILE, seed SEED\n");
    exit(2);
}

static void run_range(uint64_t first, uint64_t count)
{
    struct total t = { 0 };
    clock_t began = clock();

    for (uint64_t seed = first; seed < first + count; seed++) {
        if (seed % TWICE_EACH == 0)
            run_twice(seed, &t);
        else
            run(seed, false, &t);
    }
    printf("seeds %llu to %llu\n", (unsigned long long)first,
           (unsigned long long)(first + count - 1));
    report(&t, began);
}

static void run_kept(const char *path)
{
    struct total t = { 0 };
    clock_t began = clock();
    char line[512];
    FILE *f = fopen(path, "r");

    if (!f) {
        fprintf(stderr, "sim_cluster: %s cannot be read\n", path);
        exit(2);
    }
    while (fgets(line, sizeof line, f)) {
        struct span word = span_cstr(line);
        uint64_t seed;

        word.n = span_find(word, 0, ' ');
        if (span_u64(word, UINT64_MAX, &seed) == 0) run_twice(seed, &t);
    }
    fclose(f);
    report(&t, began);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    struct total t = { 0 };

    if (strcmp(what, "run") == 0 && argc == 4) {
        run_range(number(argv[2]), number(argv[3]));
    } else if (strcmp(what, "kept") == 0 && argc == 3) {
        run_kept(argv[2]);
    } else if (strcmp(what, "seed") == 0 && argc == 3) {
        run(number(argv[2]), true, &t);
        printf("ok, hash %016llx, %.1f s\n", (unsigned long long)world.hash,
               (double)t.us / (double)SECOND);
    } else {
        (void)number(NULL);
    }
    return 0;
}
