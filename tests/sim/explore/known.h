/* known - states of nodes and messages that were met, each once, under numbers; and what comes of an event in a state,
 * computed once. The whole search is then arithmetic on numbers.
 *
 * Of each it keeps the hash under each of the six ways to rename three nodes: the sum of the hashes of three nodes and all
 * messages under one renaming is a hash of the whole, and the least of the six sums is the same for states that differ
 * in names only.
 */
#ifndef TEST_SIM_EXPLORE_KNOWN_H
#define TEST_SIM_EXPLORE_KNOWN_H

#include "tests/sim/explore/node.h"

#define EVENT(happening) (UINT32_MAX - (uint32_t)(happening)) /* or the number of a message */

struct sum {
    uint64_t low, high;
};
struct sums {
    struct sum under[ORDERS];
};

enum result_flag { WON = 1, COMMITTED = 2, LOGGED = 4, PAST = 8, NEVER_HERE = 16, BREACHED = 32 };
struct result {
    uint32_t to;   /* the node's next state */
    uint32_t sent; /* known_sent() */
    uint8_t sent_count, flags;
};

void known_begin(void);
void known_end(void);
uint32_t known_first(unsigned id); /* as it boots for the first time */
const struct result *known_result(uint32_t state, uint32_t event); /* until the next call */
const uint16_t *known_sent(const struct result *r);
const struct node *known_node(uint32_t state);
const struct note *known_note(uint16_t note);
const struct sums *known_node_sums(uint32_t state);
const struct sums *known_note_sums(uint16_t note);
const char *known_breach(void); /* of the last result that is BREACHED */
unsigned known_states(void), known_notes(void);

#endif
