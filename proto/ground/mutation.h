/* mutation - known bugs, put back on purpose into a program of their own, so that the simulation can show that it
 * sees them (tests/sim/cluster, ./tests/run.sh sim/mutations).
 *
 * MUTATED(NAME) stands at the line that obeys a rule. It is the constant 0 in every other build: nothing of it is
 * compiled. In that one program all are there, and `mutation_now` chooses one at run time.
 */
#ifndef GROUND_MUTATION_H
#define GROUND_MUTATION_H

/* X(NAME, what is wrong, and where it was seen) */
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
    X(R7_GAP_SKIPPED, "R7: a gap between state and log is skipped (NATS 7620, RedisRaft)")         \
    X(R8_NO_FENCE, "R8: a proposal is taken under another term (NATS 8370)")                       \
    X(R9_DISK_IGNORED, "R9: a leader with a hung disk stays (hashicorp/raft 503)")                 \
    X(R10_UNSEEDED, "R10: chance does not come from the seed")                                     \
    X(STALE_APPEND_CUTS, "an old append cuts off what came after it")                              \
    X(OLD_LOG_WINS, "a vote for a log that is behind")                                             \
    X(HEARTBEAT_COMMITS_ALL, "a heartbeat commits what the follower may not have")                 \
    X(READ_UNCONFIRMED, "a read is answered without asking who leads (etcd 20418)")                \
    X(TAINT_IGNORED, "who lost synced entries votes and leads (NATS 7567)")                        \
    X(SPREAD_IGNORED, "a commit of one zone only, where two are asked for")                        \
    X(DURABLE_BY_INDEX, "R1: a write that completes counts for what was appended since (etcd)")    \
    X(VOTE_TWICE, "R4: a vote does not bind for its term (NATS #7698)")                            \
    X(LEARNER_COUNTED, "R6: who has no vote is counted (NATS #7589)")                              \
    X(NO_JOINT, "R6: any change of voters in one step, disjoint majorities (NATS #7545)")          \
    X(SNAPSHOT_CONFIG, "R6: a snapshot holds a configuration that is not committed (NATS)")        \
    X(CUT_TOO_FAR, "R7: the log is cut past the state that was flushed (NATS #6888)")              \
    X(NO_CHECK_QUORUM, "a leader that nobody answers keeps its office (etcd, Cloudflare 2020)")    \
    X(NO_LOG_MATCHING, "entries are taken without looking at the one before them")                 \
    X(HALF_IS_ENOUGH, "half of an even number of voters is a quorum")                              \
    X(COMMIT_BEYOND_MATCH, "a follower commits what the leader never said it holds")               \
    X(MATCH_IS_LAST, "a follower answers with its last entry, not with the last that agrees")      \
    X(READ_OLD_ROUND, "an answer to an older question confirms a read (etcd #20418)")              \
    X(TAINTED_OLD_TERM,                                                                            \
      "who lost synced entries takes part in terms it may have promised in (NATS #7567)")          \
    X(LOST_COUNTED, "what a peer acknowledged counts on when it says that it lost it (NATS #7549)")  \
    X(RESTS_UNDER_DEAD, "ours: a late heartbeat lets a follower rest under a node that is down")   \
    X(SPREAD_CANNOT_COMMIT, "ours: check-quorum does not ask for two zones where a commit does")   \
    X(OLD_REJECTS, "ours: each refusal of long ago makes a leader send a whole window again: a storm")  \
    X(PRIORITY_FRUITLESS, "ours: the preferred one is wanted back though it can commit nothing")   \
    X(RESIGNS_AHEAD, "ours: a leader that could commit nothing stands again before who is preferred")  \
    X(TAINT_ENDS_EARLY, "ours: who lost synced entries believes the first heartbeat how far it has to go")  \
    X(ANSWER_NEVER_ASKED, "ours: an answer that is lost is never asked for again")                 \
    X(LATE_IS_LOST, "ours: what a slow follower has not answered yet goes out again, a window at a time")  \
    X(FREE_REMEMBERED, "ours: what a peer once said of its disk counts when it is silent")         \
    X(BODY_MISSING, "a follower answers for an entry whose body it has not written (#7549)")       \
    X(APPLY_SKIPS, "a replica skips an entry when it starts (Redpanda, NATS #7556)")               \
    X(REBORN, "a node whose disk is empty takes part under its old name (RabbitMQ #15725)")        \
    X(ANSWER_BEFORE_COMMIT, "250 before the entry is committed (NATS 2.12.1)")                     \
    X(DOUBT_FORGOTTEN, "a new leader sends again what an old one had claimed, and says nothing")   \
    X(ENGINE_SENDS_EARLY, "messages leave before the write that they wait for")                    \
    X(ENGINE_LAST_DROPPED, "the last entry of a frame is taken for another one's")                 \
    X(ENGINE_CHUNK_GAP, "a chunk of a snapshot is taken at another place than where it belongs")   \
    X(ENGINE_INTENT_IGNORED,                                                                       \
      "R7: an install that was cut short is not finished at the next start")                       \
    X(ENGINE_READ_EARLY, "a read is answered before what it has to see is applied")                \
    X(ENGINE_LOST_SURE, "a node that ends says of entries on their way that they never come")      \
    X(ENGINE_ROOM_UNHEARD, "a lane that was full has room again, and nobody sends")                \
    X(ENGINE_NEVER_RESUMES, "a lane that was not read because of too much is never read again")    \
    X(ENGINE_CONFIG_CUT,                                                                           \
      "ours, R6: a configuration goes with its entry when a restart came between")                 \
    X(ENGINE_DAMAGE_OPENS, "a log that does not read well is opened as far as it does")            \
    X(ENGINE_HOLE_SKIPPED, "ours: an entry that is not found is taken for one that was cut")       \
    X(ENGINE_FORMAT_EARLY, "entries are written in a format that not all nodes can read yet")      \
    X(CONTROL_STALE_PLACEMENT, "ours: a shard's leader that lags undoes a placement in force")     \
    X(CONTROL_PLACED_EARLY, "a placement is reported while somebody still learns")                 \
    X(CONTROL_VOTES_AT_ONCE, "who comes to a shard votes before it has learned")                   \
    X(CONTROL_HOLDERS_FORGOTTEN, "K12: who may still vote is no holder any more")                  \
    X(CONTROL_PLACED_UNFENCED, "a report of an older placement counts for the newest one")         \
    X(CONTROL_EVEN_VOTERS, "control has an even number of voters")                                 \
    X(CONTROL_DRAIN_STAYS, "what drains keeps its replicas")

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
