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
    X(CLAIM_AFTER_DOT, "mail leaves while its claim is still on its way")                          \
    X(R1_SELF_ACK, "R1: a leader counts itself before its own disk has it (etcd 14370)")           \
    X(R1_REUSED_INDEX, "R1: a write acknowledges an index that was cut off and written again "     \
                       "(etcd, async appends)")                                                    \
    X(R1_ACK_UNSYNCED, "R1: a follower answers before its write is durable (NATS)")                \
    X(R2_GOES_ON, "R2: after a failed write it goes on (canonical/raft 320)")                      \
    X(R3_OLD_TERMS, "R3: entries of older terms commit by counting (NATS 7955)")                   \
    X(R4_VOTE_UNSYNCED, "R4: a vote leaves before it is durable")                                  \
    X(R4_VOTE_FORGOTTEN, "R4: stepping down forgets the vote of the term (NATS 7698)")             \
    X(R5_COMMIT_REGRESSES, "R5: a refused append moves the commit index back (NATS)")              \
    X(R6_NOT_ROLLED_BACK, "R6: a configuration that was cut off goes on counting")                 \
    X(R6_ONE_HALF, "R6: in a joint configuration the new half decides alone")                      \
    X(R6_EARLY_CHANGE, "R6: a change before an entry of the own term is committed")                \
    X(R7_GAP_SKIPPED, "R7: a gap between state and log is skipped (NATS 7620, RedisRaft)")         \
    X(R8_NO_FENCE, "R8: a proposal is taken under another term (NATS 8370)")                       \
    X(R9_DISK_IGNORED, "R9: a leader with a hung disk stays (hashicorp/raft 503)")                 \
    X(R10_UNSEEDED, "R10: chance does not come from the seed")                                     \
    X(STALE_APPEND_CUTS, "an old append cuts off what came after it")                              \
    X(OLD_LOG_WINS, "a vote for a log that is behind")                                             \
    X(HEARTBEAT_COMMITS_ALL, "a heartbeat commits what the follower may not have")                 \
    X(READ_UNCONFIRMED, "a read is answered without asking who leads (etcd 20418)")                \
    X(TAINT_IGNORED, "who lost synced entries votes and leads (NATS 7567)")                        \
    X(SPREAD_IGNORED, "a commit of one zone only, where two are asked for")

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
