/* mutants - puts known bugs back into the cluster, one after the other, and sees that the simulation finds each.
 *
 * Use: sim_mutants SEEDS [NAME ...]    none: all; the last line is "N of M mutations found"
 *
 * Each runs in a process of its own, seed by seed from 1 on, until a run is broken: by a check of the simulation or
 * a CHECK of the core. The list, and whose bugs they were: proto/ground/mutation.h.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/ground/mutation.h"
#if defined SIM_ENGINE || defined SIM_CONTROL
#include "tests/sim/engine/world.h"
#else
#include "tests/sim/cluster/world.h"
#include "tests/sim/scripts.h"
#endif

enum mutation mutation_now;

static const struct {
    const char *name, *text;
} table[MUTATIONS] = {
#define ROW_(name, text) [MUTATION_##name] = { #name, text },
    MUTATION_TABLE(ROW_)
#undef ROW_
};

static struct world world;

static uint64_t run(uint64_t seed)
{
    world_run(&world, seed, false);
    world_end(&world);
    return world.hash;
}

/* The child: ends at the first seed that is broken, or well. */
static _Noreturn void search(enum mutation m, uint64_t seeds, volatile uint64_t *at)
{
    mutation_now = m;
    for (*at = 1; *at <= seeds; ++*at) {
        uint64_t hash = run(*at);

        if (*at % 16 != 0 || run(*at) == hash) continue;
        fprintf(stderr, "broken: two runs of a seed differ\n");
        exit(1);
    }
    exit(0);
}

/* The first line that says what is broken. */
static void read_why(int fd, char *why, size_t size)
{
    char line[512];
    FILE *f = fdopen(fd, "r");

    *why = 0;
    CHECK(f);
    while (fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = 0;
        if (*why == 0 && (strncmp(line, "broken", 6) == 0 || strncmp(line, "CHECK", 5) == 0))
            snprintf(why, size, "%.*s", (int)size - 1, line);
    }
    fclose(f);
}

/* Without the mutation the seed is well: what was found is the mutation. */
static bool is_clean(uint64_t seed)
{
    pid_t child = fork();
    int status;

    CHECK(child >= 0);
    if (child == 0) {
        run(seed);
        exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool find(enum mutation m, uint64_t seeds)
{
    volatile uint64_t *at =
        mmap(NULL, sizeof *at, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    char why[160];
    int ends[2], status;
    pid_t child;
    bool found;

    CHECK(at != MAP_FAILED);
    CHECK(pipe(ends) == 0);
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        CHECK(dup2(ends[1], STDERR_FILENO) >= 0);
        close(ends[0]);
        close(ends[1]);
        search(m, seeds, at);
    }
    close(ends[1]);
    read_why(ends[0], why, sizeof why);
    CHECK(waitpid(child, &status, 0) == child);
    found = !(WIFEXITED(status) && WEXITSTATUS(status) == 0) && is_clean(*at);
    if (found)
        printf("found  %-22s seed %5llu  %s\n", table[m].name, (unsigned long long)*at, why);
    else
        printf("MISSED %-22s %llu seeds  %s\n", table[m].name, (unsigned long long)seeds,
               table[m].text);
    fflush(stdout);
    munmap((void *)(uintptr_t)at, sizeof *at);
    return found;
}

/* Bugs of the engine and of control are for the programs that have them. */
static bool is_ours(const char *name)
{
#if defined SIM_CONTROL
    return strncmp(name, "CONTROL_", 8) == 0;
#elif defined SIM_ENGINE
    return strncmp(name, "ENGINE_", 7) == 0;
#else
    return strncmp(name, "ENGINE_", 7) != 0 && strncmp(name, "CONTROL_", 8) != 0;
#endif
}

#if !defined SIM_ENGINE && !defined SIM_CONTROL
/* Found late or not at all in some thousand seeds: a script of the core shows each at once. By name: searched. */
static const char *const rare[] = { "R1_REUSED_INDEX",    "LOST_COUNTED",     "FREE_REMEMBERED",
                                    "TAINT_ENDS_EARLY",   "RESTS_UNDER_DEAD", "OLD_REJECTS",
                                    "PRIORITY_FRUITLESS", "RESIGNS_AHEAD",    "SPREAD_CANNOT_COMMIT",
                                    "LATE_IS_LOST" };

static bool is_rare(const char *name)
{
    for (unsigned i = 0; i < sizeof rare / sizeof rare[0]; i++)
        if (strcmp(rare[i], name) == 0) return true;
    return false;
}

static bool find_by_script(enum mutation m)
{
    const char *script = scripts_see(m);

    printf("%s %-22s %s  %s\n", script ? "found " : "MISSED", table[m].name,
           script ? "script" : "no script", script ? script : table[m].text);
    fflush(stdout);
    return script != NULL;
}
#else
static bool is_rare(const char *name)
{
    (void)name;
    return false;
}

static bool find_by_script(enum mutation m)
{
    (void)m;
    return false;
}
#endif

static bool is_wanted(const char *name, char **names, int count)
{
    for (int i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0) return true;
    /* Met late: unit/raft/engine/found (an_entry_that_is_not_found_is_damage) shows it at once. */
    return count == 0 && is_ours(name) && strcmp(name, "ENGINE_HOLE_SKIPPED") != 0;
}

int main(int argc, char **argv)
{
    unsigned found = 0, count = 0;
    uint64_t seeds;

    if (argc < 2 || span_u64(span_cstr(argv[1]), 1000000, &seeds) != 0) {
        fprintf(stderr, "use: sim_mutants SEEDS [NAME ...]\n");
        return 2;
    }
    for (unsigned m = MUTATION_NONE + 1; m < MUTATIONS; m++) {
        if (!is_wanted(table[m].name, argv + 2, argc - 2)) continue;
        count++;
        if (argc == 2 && is_rare(table[m].name))
            found += find_by_script((enum mutation)m);
        else
            found += find((enum mutation)m, seeds);
    }
    printf("%u of %u mutations found\n", found, count);
    return found == count && count > 0 ? 0 : 1;
}
