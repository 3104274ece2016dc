/* promises - what Raft promises of a whole group (thesis 3.2), looked at when node `at` has won, committed or changed its
 * log. `breach` is "" when all is well.
 */
#ifndef TEST_SIM_EXPLORE_PROMISES_H
#define TEST_SIM_EXPLORE_PROMISES_H

#include "tests/sim/explore/node.h"

void promises_look(const struct node *const nodes[NODES], unsigned at, bool won, bool committed,
                   bool logged, char *breach, size_t size);

#endif
