/* chaos - a remote server without a script: it answers each command by the dice, now and then with
 * nonsense, and sometimes it just leaves. It keeps the two books that matter: nobody's final dot
 * came before their claim (P2), and what it has taken. */
#ifndef CONFORMANCE_CHAOS_H
#define CONFORMANCE_CHAOS_H

#include "tests/conformance/deliver/world.h"

struct chaos;
struct chaos *chaos_open(struct world *w, uint64_t seed, unsigned percent_wrong);
void chaos_close(struct chaos **c);
void chaos_connection(struct chaos *c, struct listener *li);
/* How often the recipient's mail was taken with 250. */
unsigned chaos_taken(const struct chaos *c, const char *address);

#endif
