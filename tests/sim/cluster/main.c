/* main - runs seeds of the simulated cluster: shared/runs.h. */
#include <stdio.h>

#include "tests/sim/shared/runs.h"
#include "tests/sim/cluster/world.h"

static struct {
    uint64_t steps, messages, commits, sends, snapshots, elections, crashes, zombies, far, apart;
    unsigned held, writes, packets; /* the longest queues */
} total;

static struct world world;

static struct run_facts run(uint64_t seed, bool loud)
{
    const struct world *w = &world;

    world_run(&world, seed, loud);
    total.steps += w->steps;
    total.messages += w->messages;
    total.commits += w->commits;
    total.sends += w->sends;
    total.snapshots += w->snapshots;
    total.elections += w->elections;
    total.crashes += w->crashes;
    total.zombies += w->zombies;
    total.far += w->plan.regions.count > 0;
    total.apart += w->apart > 0;
    if (w->peak.held > total.held) total.held = w->peak.held;
    if (w->peak.writes > total.writes) total.writes = w->peak.writes;
    if (w->peak.packets > total.packets) total.packets = w->peak.packets;
    world_end(&world);
    return (struct run_facts){ w->hash, w->now_us, w->events };
}

static void report(void)
{
    printf("%llu commits, %llu elections, %llu crashes, %llu zombies, %llu snapshots, %llu "
           "mails sent, %llu messages, %llu steps\n",
           (unsigned long long)total.commits, (unsigned long long)total.elections,
           (unsigned long long)total.crashes, (unsigned long long)total.zombies,
           (unsigned long long)total.snapshots, (unsigned long long)total.sends,
           (unsigned long long)total.messages, (unsigned long long)total.steps);
    printf("%llu runs with far regions, one cut off for ever in %llu\n",
           (unsigned long long)total.far, (unsigned long long)total.apart);
    printf("at most %u messages waited for a write, %u writes for a disk, %u packets on a link\n",
           total.held, total.writes, total.packets);
}

int main(int argc, char **argv)
{
    return runs_main(&(struct runs){ "sim_cluster", run, report }, argc, argv);
}
