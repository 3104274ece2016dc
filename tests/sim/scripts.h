/* scripts - of the core's scripts, the one that sees a known bug (tests/unit/raft/core/script_mutants.h); NULL: none.
 * Run from the top of the tree.
 */
#ifndef TEST_SIM_SCRIPTS_H
#define TEST_SIM_SCRIPTS_H

#include "proto/ground/mutation.h"

const char *scripts_see(enum mutation m);

#endif
