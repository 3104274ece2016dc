/* mutants - the search sees: known bugs of the core (proto/ground/mutation.h), put back one by one, break a promise, or a
 * CHECK of the core, within a scope.
 *
 *   sim_explore_mutants [NAME]     NAME: shows the way to it
 */
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/sim/explore/search.h"

enum mutation mutation_now;

static const struct mutant {
    enum mutation mutation;
    const char *name;
    struct scope scope;
} mutants[] = {
#define MUTANT(name, ...)                                                                          \
    {                                                                                              \
        MUTATION_##name, #name,                                                                    \
        {                                                                                          \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }
    MUTANT(R1_SELF_ACK, .terms = 2, .entries = 1, .crashes = 1, .slow = true),
    MUTANT(R1_REUSED_INDEX, .terms = 2, .entries = 2, .crashes = 1, .slow = true),
    MUTANT(R1_ACK_UNSYNCED, .terms = 2, .entries = 1, .crashes = 1, .slow = true),
    MUTANT(DURABLE_BY_INDEX, .terms = 1, .entries = 3, .slow = true),
    MUTANT(R3_OLD_TERMS, .terms = 2, .entries = 2, .slow = true),
    MUTANT(R4_VOTE_UNSYNCED, .terms = 1, .entries = 1, .crashes = 1, .slow = true),
    MUTANT(R4_VOTE_FORGOTTEN, .terms = 2, .entries = 1),
    MUTANT(VOTE_TWICE, .terms = 1, .entries = 1),
    MUTANT(STALE_APPEND_CUTS, .terms = 2, .entries = 3),
    MUTANT(OLD_LOG_WINS, .terms = 2, .entries = 1),
    MUTANT(NO_LOG_MATCHING, .terms = 3, .entries = 1),
    MUTANT(COMMIT_BEYOND_MATCH, .terms = 2, .entries = 1, .beats = true),
    MUTANT(MATCH_IS_LAST, .terms = 2, .entries = 1, .beats = true),
    MUTANT(HEARTBEAT_COMMITS_ALL, .terms = 2, .entries = 1, .beats = true),
};
#undef MUTANT

#define COUNT      (sizeof mutants / sizeof mutants[0])
#define STATES_MAX 5000000

static bool is_found(const struct mutant *m, bool quiet)
{
    int status = 0;
    pid_t child;

    fflush(NULL);
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        if (quiet) CHECK(freopen("/dev/null", "w", stderr));
        mutation_now = m->mutation;
        _exit(search(&m->scope, STATES_MAX).broken ? 1 : 0);
    }
    CHECK(waitpid(child, &status, 0) == child);
    return status != 0;
}

int main(int argc, char **argv)
{
    unsigned found = 0, count = 0;

    for (unsigned i = 0; i < COUNT; i++) {
        bool is_seen;

        if (argc > 1 && strcmp(argv[1], mutants[i].name) != 0) continue;
        is_seen = is_found(&mutants[i], argc == 1);
        printf("%-22s %s\n", mutants[i].name, is_seen ? "found" : "NOT FOUND");
        found += is_seen;
        count++;
    }
    printf("%u of %u mutations found\n", found, count);
    return found == count && count > 0 ? 0 : 1;
}
