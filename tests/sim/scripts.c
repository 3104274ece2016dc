/* scripts - asks the scripts of the core, away from the names of the simulation. */
#include "tests/sim/scripts.h"
#include "tests/unit/raft/core/script_mutants.h"

const char *scripts_see(enum mutation m)
{
    return script_that_sees(m);
}
