/* script_mutants - which script sees which known bug (proto/ground/mutation.h): with the bug in the core, the script does
 * not come out as it is written down, or a CHECK of the core fails.
 */
#ifndef TEST_CORE_SCRIPT_MUTANTS_H
#define TEST_CORE_SCRIPT_MUTANTS_H

#include <sys/wait.h>
#include <unistd.h>

#include "proto/ground/mutation.h"
#include "tests/unit/raft/core/script.h"

struct script_mutant {
    enum mutation mutation;
    const char *name, *script;
};

#define SEEN_BY(name, script)                                                                      \
    {                                                                                              \
        MUTATION_##name, #name, script                                                             \
    }

static const struct script_mutant script_mutants[] = {
    SEEN_BY(R1_SELF_ACK, "commit_write_by_write"),
    SEEN_BY(R1_REUSED_INDEX, "append_truncated_write"),
    SEEN_BY(R1_ACK_UNSYNCED, "append_duplicate_before_sync"),
    SEEN_BY(DURABLE_BY_INDEX, "commit_write_by_write"),
    SEEN_BY(R2_GOES_ON, "iofail_leader"),
    SEEN_BY(R3_OLD_TERMS, "commit_old_term"),
    SEEN_BY(R4_VOTE_UNSYNCED, "vote_not_synced"),
    SEEN_BY(R4_VOTE_FORGOTTEN, "disk_stall"),
    SEEN_BY(VOTE_TWICE, "election_split_vote"),
    SEEN_BY(R5_COMMIT_REGRESSES, "append_refused_keeps_commit"),
    SEEN_BY(R6_NOT_ROLLED_BACK, "reconf_roll_back"),
    SEEN_BY(R6_ONE_HALF, "reconf_removed_still_stands"),
    SEEN_BY(NO_JOINT, "reconf_counts_from_append"),
    SEEN_BY(LEARNER_COUNTED, "learner_no_vote"),
    SEEN_BY(SNAPSHOT_CONFIG, "snapshot_uncommitted_config"),
    SEEN_BY(R8_NO_FENCE, "proposal_fence"),
    SEEN_BY(R9_DISK_IGNORED, "disk_stall"),
    SEEN_BY(STALE_APPEND_CUTS, "append_stale"),
    SEEN_BY(OLD_LOG_WINS, "election_lost"),
    SEEN_BY(NO_LOG_MATCHING, "log_conflict_same_length"),
    SEEN_BY(HEARTBEAT_COMMITS_ALL, "log_conflict"),
    SEEN_BY(COMMIT_BEYOND_MATCH, "log_conflict"),
    SEEN_BY(MATCH_IS_LAST, "log_conflict"),
    SEEN_BY(READ_UNCONFIRMED, "read_deposed"),
    SEEN_BY(READ_OLD_ROUND, "read_index"),
    SEEN_BY(TAINT_IGNORED, "taint_no_vote"),
    SEEN_BY(TAINTED_OLD_TERM, "taint"),
    SEEN_BY(TAINT_ENDS_EARLY, "taint_new_term"),
    SEEN_BY(LOST_COUNTED, "taint_match_forgotten"),
    SEEN_BY(SPREAD_IGNORED, "spread_commit"),
    SEEN_BY(SPREAD_CANNOT_COMMIT, "check_quorum_spread"),
    SEEN_BY(NO_CHECK_QUORUM, "check_quorum"),
    SEEN_BY(HALF_IS_ENOUGH, "election_split_vote"),
    SEEN_BY(RESTS_UNDER_DEAD, "rest_late_heartbeat"),
    SEEN_BY(OLD_REJECTS, "append_old_rejects"),
    SEEN_BY(PRIORITY_FRUITLESS, "priority_fruitless"),
    SEEN_BY(RESIGNS_AHEAD, "priority_resigns"),
    SEEN_BY(ANSWER_NEVER_ASKED, "append_lost_ack"),
    SEEN_BY(LATE_IS_LOST, "append_late"),
    SEEN_BY(FREE_REMEMBERED, "disk_low_forgotten"),
};
#define SCRIPT_MUTANTS (sizeof script_mutants / sizeof script_mutants[0])

/* Does the script fail with the mutation? Run in a process of its own, silently: many end by a CHECK. */
static bool script_fails(const char *script, enum mutation m)
{
    int status = 0;
    pid_t child;

    fflush(NULL);
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        char path[256];

        snprintf(path, sizeof path, FOLDER "/%s.txt", script);
        if (m != MUTATION_NONE) CHECK(freopen("/dev/null", "w", stderr));
        mutation_now = m;
        failed = false;
        if (access(path, R_OK) == 0) run_file(path, false);
        _exit(failed ? 1 : 0); /* a file that is not there sees nothing */
    }
    CHECK(waitpid(child, &status, 0) == child);
    return status != 0;
}

/* The script that sees it; NULL: none does. Without the mutation it passes. */
static const char *script_that_sees(enum mutation m)
{
    for (unsigned i = 0; i < SCRIPT_MUTANTS; i++) {
        const struct script_mutant *s = &script_mutants[i];

        if (s->mutation == m && !script_fails(s->script, MUTATION_NONE) &&
            script_fails(s->script, m))
            return s->script;
    }
    return NULL;
}

#endif
