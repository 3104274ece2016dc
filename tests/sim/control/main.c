/* main - runs seeds of the simulated cluster with its control: shared/runs.h. */
#include <stdio.h>

#include "tests/sim/control/town.h"
#include "tests/sim/shared/runs.h"

static struct {
    uint64_t frames, commits, snapshots, elections, crashes, ended, shards, verbs, refusals, plans;
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
    total.ended += w->ended;
    total.shards += w->town->shard_count;
    total.verbs += w->town->verbs;
    total.refusals += w->town->refusals;
    total.plans += w->town->plans;
    world_end(&world);
    return (struct run_facts){ w->hash, w->now_us, w->events };
}

static void report(void)
{
    printf("%llu commits, %llu elections, %llu crashes, %llu snapshots, %llu frames, %llu damages "
           "told, %llu shards, %llu changes asked for, %llu of them refused, %llu placements\n",
           (unsigned long long)total.commits, (unsigned long long)total.elections,
           (unsigned long long)total.crashes, (unsigned long long)total.snapshots,
           (unsigned long long)total.frames, (unsigned long long)total.ended,
           (unsigned long long)total.shards, (unsigned long long)total.verbs,
           (unsigned long long)total.refusals, (unsigned long long)total.plans);
}

int main(int argc, char **argv)
{
    return runs_main(&(struct runs){ "sim_control", run, report }, argc, argv);
}
