/* search - every order in which things can happen to three nodes within a scope, and whether a promise breaks.
 *
 * The network is a set that only grows: what was ever sent may arrive at any time, again and again, or never. So every
 * delay, loss, repetition and reordering is there. States are met once, by a hash of 128 bits. What is left out, and
 * why nothing is missed:
 *
 *   names     The nodes are alike: of states that differ by a renaming one is followed (known.h).
 *   silence   An event that leaves its node as it is and only makes it send is taken at once. The state after it can do all
 *             that the state before it could, because nothing ever leaves the network, and holds the same nodes.
 *   past      An answer that nothing will ever come of (node_is_past) is taken out of the network.
 *
 * Promises are looked at after each step, where it won, committed or changed a log: one leader a term, log matching, leader
 * completeness, one order of what is committed (thesis 3.2); commit never goes back (a CHECK of the core within a life, `sure`
 * over several).
 */
#ifndef TEST_SIM_EXPLORE_SEARCH_H
#define TEST_SIM_EXPLORE_SEARCH_H

#include "tests/sim/explore/node.h"

struct found {
    bool whole;  /* every state of the scope was seen */
    bool broken; /* the way there is on stderr */
    uint64_t states, steps,
        meetings; /* meetings: different three nodes, whatever is on its way between them */
    unsigned depth, node_states,
        notes; /* the longest way followed; different states of one node; different messages */
};

/* Of at most states_max states; each takes 16 bytes, in a table that doubles. */
struct found search(const struct scope *s, uint64_t states_max);

#endif
