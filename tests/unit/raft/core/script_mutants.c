/* script_mutants - the scripts see: known bugs of the core, put back one by one, each make the script fail that is named
 * for it (script_mutants.h). Run from the top of the tree.
 */
#include "tests/unit/raft/core/script_mutants.h"

enum mutation mutation_now;

int main(void)
{
    unsigned found = 0;

    for (unsigned i = 0; i < SCRIPT_MUTANTS; i++) {
        const char *script = script_that_sees(script_mutants[i].mutation);

        printf("%-22s %s\n", script_mutants[i].name, script ? script : "NOT FOUND");
        found += script != NULL;
    }
    printf("%u of %u mutations found\n", found, (unsigned)SCRIPT_MUTANTS);
    return found != SCRIPT_MUTANTS;
}
