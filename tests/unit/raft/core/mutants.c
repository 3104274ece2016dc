/* mutants - the exploration sees: known bugs, put back one by one (proto/ground/mutation.h), are found by it.
 *
 *   unit_raft_core_mutants [NAME]     NAME: shows the way to it
 */
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/raft/core/explore.h"

enum mutation mutation_now;

struct mutant {
    enum mutation mutation;
    const char *name;
    struct bounds bounds;
};

#define MUTANT(name, ...)                                                                          \
    {                                                                                              \
        MUTATION_##name, #name,                                                                    \
        {                                                                                          \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }

static const struct mutant mutants[] = {
    MUTANT(R3_OLD_TERMS, .terms = 3, .entries = 3, .crashes = 0),
    MUTANT(R4_VOTE_UNSYNCED, .terms = 1, .entries = 1, .crashes = 1),
    MUTANT(OLD_LOG_WINS, .terms = 2, .entries = 2, .crashes = 0),
    MUTANT(STALE_APPEND_CUTS, .terms = 2, .entries = 3, .crashes = 0),
};

#define WAYS  3000 /* from the beginning, by chance */
#define COUNT (sizeof mutants / sizeof mutants[0])

/* A CHECK of the core that fails has found it, too. */
static bool is_found(const struct mutant *m, bool quiet)
{
    int status = 0;
    pid_t child = fork();

    CHECK(child >= 0);
    if (child == 0) {
        if (quiet) CHECK(freopen("/dev/null", "w", stderr));
        mutation_now = m->mutation;
        bounds = m->bounds;
        _exit(wander(WAYS, 1) ? 0 : 1);
    }
    CHECK(waitpid(child, &status, 0) == child);
    return status != 0;
}

int main(int argc, char **argv)
{
    struct mutant none = mutants[0];
    unsigned found = 0, count = 0;

    none.mutation = MUTATION_NONE;
    none.bounds = (struct bounds){ .terms = 3, .entries = 3, .crashes = 2 };
    if (is_found(&none, false)) {
        printf("found something in a core without a mutation\n");
        return 1;
    }
    for (unsigned i = 0; i < COUNT; i++) {
        bool is_seen;

        if (argc > 1 && strcmp(argv[1], mutants[i].name) != 0) continue;
        is_seen = is_found(&mutants[i], argc == 1);
        printf("%-20s %s\n", mutants[i].name, is_seen ? "found" : "NOT FOUND");
        fflush(stdout);
        found += is_seen;
        count++;
    }
    printf("%u of %u mutations found\n", found, count);
    return found == count && count > 0 ? 0 : 1;
}
