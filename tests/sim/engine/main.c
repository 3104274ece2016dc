/* main - runs seeds of the simulated cluster of engines: shared/runs.h. */
#include <stdio.h>

#include "tests/sim/shared/runs.h"
#include "tests/sim/engine/world.h"

static struct {
    uint64_t frames, commits, snapshots, elections, crashes, rescues, reads, ended, refused,
        uploads, upgrades, far, apart;
} total;

static struct world world;

static struct run_facts run(uint64_t seed, bool loud)
{
    const struct world *w = &world;

    world_run(&world, seed, loud);
    total.frames += w->frames;
    total.commits += w->commits;
    total.snapshots += w->snapshots;
    total.elections += w->elections;
    total.crashes += w->crashes;
    total.rescues += w->rescues;
    total.reads += w->reads;
    total.ended += w->ended;
    total.refused += w->refused;
    total.uploads += w->uploads;
    total.upgrades += w->upgrades;
    total.far += w->plan.regions.count > 0;
    total.apart += w->apart > 0;
    world_end(&world);
    return (struct run_facts){ w->hash, w->now_us, w->events };
}

static void report(void)
{
    printf(
        "%llu commits, %llu elections, %llu crashes, %llu snapshots, %llu reads, %llu "
        "frames, %llu hellos refused, %llu damages told, %llu recoveries from a lost quorum, %llu "
        "mails of 200 chunks, %llu formats raised\n",
        (unsigned long long)total.commits, (unsigned long long)total.elections,
        (unsigned long long)total.crashes, (unsigned long long)total.snapshots,
        (unsigned long long)total.reads, (unsigned long long)total.frames,
        (unsigned long long)total.refused, (unsigned long long)total.ended,
        (unsigned long long)total.rescues, (unsigned long long)total.uploads,
        (unsigned long long)total.upgrades);
    printf("%llu runs with far regions, one cut off for ever in %llu\n",
           (unsigned long long)total.far, (unsigned long long)total.apart);
}

int main(int argc, char **argv)
{
    return runs_main(&(struct runs){ "sim_engine", run, report }, argc, argv);
}
