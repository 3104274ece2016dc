/* mutation - known bugs, put back on purpose into a build of their own, so that the simulation can show that it
 * sees them (tests/sim/cluster, ./tests/run.sh sim/mutations).
 *
 * MUTATED(NAME) stands at the line that obeys a rule. It is the constant 0 in every other build: nothing of it is
 * compiled. In that one build all are there, and `mutation_now` chooses one at run time.
 */
#ifndef GROUND_MUTATION_H
#define GROUND_MUTATION_H

/* X(NAME, what is wrong with it, and who had it) */
#define MUTATION_TABLE(X)                                                                          \
    X(CANARY, "canary: every run is told to be broken")                                            \
    X(CLAIM_AFTER_DOT, "mail leaves while its claim is still on its way")

#define MUTATION_ENUM_(name, text) MUTATION_##name,
enum mutation { MUTATION_NONE, MUTATION_TABLE(MUTATION_ENUM_) MUTATIONS };
#undef MUTATION_ENUM_

#ifdef ANGARIUM_MUTATIONS
extern enum mutation mutation_now;
#define MUTATED(name) (mutation_now == MUTATION_##name)
#else
#define MUTATED(name) 0
#endif

#endif
