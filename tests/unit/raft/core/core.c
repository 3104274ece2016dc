/* core - the rules of raft/core/core.h, one test each that fails without its rule. No disk, no
 * clock: events go in, updates are looked at. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/ground/check.h"
#include "proto/ground/err.h"
#include "proto/ground/rng.h"
#include "raft/core/core.h"

#define SELF        7u
#define UNCOMMITTED 1000u

struct one {
    struct core *core;
    uint64_t now_ms;
    struct core_update u; /* of the last step */
};

static void init(struct one *o)
{
    struct core_options options = { .self = SELF,
                                    .voters = { SELF },
                                    .voter_count = 1,
                                    .election_ms = 300,
                                    .uncommitted_bytes_max = UNCOMMITTED,
                                    .seed = 1 };

    *o = (struct one){ .core = check_calloc(1, core_size()), .now_ms = 1 };
    assert_int_equal(core_init(o->core, &options), 0);
}

static void deinit(struct one *o)
{
    free(o->core);
}

static int step(struct one *o, struct core_event e)
{
    e.now_ms = ++o->now_ms;
    return core_step(o->core, &e, &o->u);
}

struct disk {
    uint64_t term, vote, first, last, last_term, applied;
    bool tainted;
};

static int boot(struct one *o, const struct disk *d)
{
    struct core_event e = { .kind = CORE_BOOT };

    e.u.boot.hard = (struct core_hard){ d->term, d->vote };
    e.u.boot.first = d->first ? d->first : 1;
    e.u.boot.last = d->last;
    e.u.boot.last_term = d->last_term;
    e.u.boot.applied = d->applied;
    e.u.boot.tainted = d->tainted;
    return step(o, e);
}

static void tick(struct one *o)
{
    o->now_ms += 1000;
    assert_int_equal(step(o, (struct core_event){ .kind = CORE_TIME }), 0);
}

static int propose(struct one *o, uint64_t term, uint32_t weight)
{
    struct core_event e = { .kind = CORE_PROPOSE };

    e.u.propose.term = term;
    e.u.propose.weight = weight;
    return step(o, e);
}

static void durable(struct one *o, uint64_t write_id)
{
    struct core_event e = { .kind = CORE_DURABLE };

    e.u.durable.write_id = write_id;
    assert_int_equal(step(o, e), 0);
}

static void applied(struct one *o, uint64_t index)
{
    struct core_event e = { .kind = CORE_APPLIED };

    e.u.applied.index = index;
    assert_int_equal(step(o, e), 0);
}

static struct core_view see(const struct one *o)
{
    struct core_view v;

    core_see(o->core, &v);
    return v;
}

/* A leader of term 1 on an empty log, its no-op (index 1, write 2) committed and applied. */
static void lead(struct one *o)
{
    init(o);
    assert_int_equal(boot(o, &(struct disk){ 0 }), 0);
    tick(o);
    durable(o, 1);
    durable(o, 2);
    applied(o, 1);
    assert_true(see(o).ready);
}

/* ---- the way to lead */

static void a_start_goes_vote_then_own_entry_then_ready(void **state)
{
    struct one o;

    (void)state;
    init(&o);
    assert_int_equal(
        boot(&o,
             &(struct disk){ .term = 4, .vote = SELF, .last = 9, .last_term = 4, .applied = 9 }),
        0);
    assert_int_equal(o.u.role, CORE_FOLLOWER);
    assert_int_equal(o.u.write_id, 0);
    assert_true(o.u.wake_at_ms != UINT64_MAX);
    tick(&o);
    assert_int_equal(o.u.role, CORE_CANDIDATE);
    assert_int_equal(o.u.flags, CORE_HARD | CORE_ROLE);
    assert_int_equal(o.u.hard.term, 5);
    assert_int_equal(o.u.hard.vote, SELF);
    durable(&o, o.u.write_id);
    assert_int_equal(o.u.role, CORE_LEADER);
    assert_int_equal(o.u.leader, SELF);
    assert_int_equal(o.u.append.kind, CORE_NOOP);
    assert_int_equal(o.u.append.index, 10);
    assert_int_equal(o.u.append.term, 5);
    assert_false(o.u.ready);
    durable(&o, o.u.write_id);
    assert_true(o.u.flags & CORE_COMMIT);
    assert_int_equal(o.u.commit, 10);
    assert_false(o.u.ready); /* committed, not applied */
    applied(&o, 10);
    assert_true(o.u.ready);
    deinit(&o);
}

/* ---- R1: durability is acknowledged by write id, never by index */

static void r1_a_write_id_is_no_index(void **state)
{
    struct one o;

    (void)state;
    init(&o);
    assert_int_equal(boot(&o, &(struct disk){ 0 }), 0);
    tick(&o);
    durable(&o, 1); /* the vote; then index 1 is appended under write 2 */
    assert_int_equal(o.u.append.index, 1);
    assert_int_equal(o.u.write_id, 2);
    durable(&o, 1); /* told again: says nothing of index 1 */
    assert_int_equal(o.u.commit, 0);
    assert_int_equal(propose(&o, 0, 1), 0); /* index 2, write 3 */
    durable(&o, 2);
    assert_int_equal(o.u.commit, 1); /* not 2 */
    durable(&o, 3);
    assert_int_equal(o.u.commit, 2);
    deinit(&o);
}

static void r1_writes_count_up_to_the_one_that_is_told(void **state)
{
    struct one o;
    uint64_t second = 0;

    (void)state;
    lead(&o);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(propose(&o, 0, 1), 0);
        if (i == 1) second = o.u.write_id;
    }
    durable(&o, second);
    assert_int_equal(o.u.commit, 3); /* no-op and two */
    assert_int_equal(see(&o).last, 4);
    assert_int_equal(see(&o).durable_write, second);
    assert_int_equal(see(&o).last_write, second + 1);
    deinit(&o);
}

/* ---- R2: after a failed write, broken for good */

static void r2_a_failed_write_ends_all(void **state)
{
    struct one o;
    uint64_t last, in_flight;

    (void)state;
    lead(&o);
    assert_int_equal(propose(&o, 0, 1), 0);
    in_flight = o.u.write_id;
    last = see(&o).last;
    assert_int_equal(step(&o, (struct core_event){ .kind = CORE_IOFAIL }), 0);
    assert_int_equal(o.u.role, CORE_BROKEN);
    assert_int_equal(o.u.leader, 0);
    assert_true(o.u.flags & CORE_ROLE);
    assert_int_equal(o.u.wake_at_ms, UINT64_MAX);
    assert_int_equal(propose(&o, 0, 1), ERR_NOT_LEADER); /* nothing else at that index */
    assert_int_equal(o.u.write_id, 0);
    for (unsigned i = 0; i < 20; i++) {
        tick(&o);
        assert_int_equal(o.u.write_id, 0);
        assert_int_equal(o.u.role, CORE_BROKEN);
    }
    durable(&o, in_flight); /* nobody knows what is on the disk */
    assert_int_equal(o.u.commit, 1);
    assert_int_equal(see(&o).last, last);
    deinit(&o);
}

static void r2_a_failed_vote_never_leads(void **state)
{
    struct one o;

    (void)state;
    init(&o);
    assert_int_equal(boot(&o, &(struct disk){ 0 }), 0);
    tick(&o);
    assert_int_equal(o.u.role, CORE_CANDIDATE);
    assert_int_equal(step(&o, (struct core_event){ .kind = CORE_IOFAIL }), 0);
    durable(&o, 1);
    assert_int_equal(o.u.role, CORE_BROKEN);
    assert_int_equal(see(&o).durable_write, 0); /* nothing is believed any more */
    deinit(&o);
}

/* ---- R3: only entries of the current term commit by counting */

static void r3_entries_of_earlier_terms_wait_for_an_own_one(void **state)
{
    struct one o;

    (void)state;
    init(&o);
    /* 4..9 are on the disk of every voter, and yet not committed for this term */
    assert_int_equal(
        boot(&o,
             &(struct disk){ .term = 3, .vote = SELF, .last = 9, .last_term = 3, .applied = 3 }),
        0);
    assert_int_equal(o.u.commit, 3);
    tick(&o);
    durable(&o, o.u.write_id);
    assert_int_equal(o.u.role, CORE_LEADER);
    assert_int_equal(o.u.commit, 3);
    assert_false(o.u.flags & CORE_COMMIT);
    durable(&o, o.u.write_id); /* the own no-op takes them along */
    assert_int_equal(o.u.commit, 10);
    applied(&o, 9);
    assert_false(o.u.ready);
    applied(&o, 10);
    assert_true(o.u.ready);
    deinit(&o);
}

/* ---- R4: term and vote are one record, durable before any reply */

static void r4_the_vote_is_durable_before_it_counts(void **state)
{
    struct one o;
    uint64_t vote;

    (void)state;
    init(&o);
    assert_int_equal(boot(&o, &(struct disk){ .term = 2, .vote = SELF }), 0);
    tick(&o);
    vote = o.u.write_id;
    assert_true(o.u.flags & CORE_HARD);
    assert_int_equal(o.u.hard.term, 3); /* both in one */
    assert_int_equal(o.u.hard.vote, SELF);
    for (unsigned i = 0; i < 5; i++) {
        tick(&o);
        assert_int_equal(o.u.role, CORE_CANDIDATE);
        assert_int_equal(o.u.write_id, 0);
        assert_int_equal(propose(&o, 0, 1), ERR_NOT_LEADER);
    }
    durable(&o, vote - 1);
    assert_int_equal(o.u.role, CORE_CANDIDATE);
    durable(&o, vote);
    assert_int_equal(o.u.role, CORE_LEADER);
    deinit(&o);
}

/* ---- R5: commit never regresses */

static void r5_commit_never_regresses(void **state)
{
    struct one o;
    uint64_t commit = 0;
    struct rng rng;

    (void)state;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        lead(&o);
        rng_seed(&rng, seed);
        commit = see(&o).commit;
        for (unsigned i = 0; i < 200; i++) {
            if (rng_below(&rng, 2) == 0)
                (void)propose(&o, 0, (uint32_t)rng_below(&rng, 400));
            else /* acknowledgements told late, again, or in jumps */
                durable(&o, rng_below(&rng, see(&o).last_write + 1));
            assert_true(o.u.commit >= commit);
            assert_int_equal((o.u.flags & CORE_COMMIT) != 0, o.u.commit > commit);
            assert_true(o.u.commit <= see(&o).last);
            commit = o.u.commit;
        }
        deinit(&o);
    }
}

/* ---- R7: a gap between state and log is fatal */

static void r7_a_gap_is_refused(void **state)
{
    struct one o;

    (void)state;
    init(&o);
    assert_int_equal(
        boot(&o,
             &(struct disk){
                 .term = 1, .vote = SELF, .first = 11, .last = 20, .last_term = 1, .applied = 9 }),
        ERR_CORRUPT);
    deinit(&o);
    init(&o);
    assert_int_equal(
        boot(&o,
             &(struct disk){
                 .term = 1, .vote = SELF, .first = 11, .last = 20, .last_term = 1, .applied = 10 }),
        0);
    assert_int_equal(o.u.commit, 10);
    deinit(&o);
}

/* ---- R8: a proposal carries its term */

static void r8_a_stale_fence_is_refused(void **state)
{
    struct one o;

    (void)state;
    init(&o);
    assert_int_equal(boot(&o, &(struct disk){ .term = 4, .vote = SELF }), 0);
    tick(&o);
    durable(&o, o.u.write_id);
    assert_int_equal(propose(&o, 4, 1), ERR_SUPERSEDED);
    assert_int_equal(o.u.write_id, 0);
    assert_int_equal(propose(&o, 6, 1), ERR_SUPERSEDED);
    assert_int_equal(see(&o).last, 1); /* nothing happened */
    assert_int_equal(propose(&o, 5, 1), 0);
    assert_int_equal(o.u.append.term, 5);
    assert_int_equal(o.u.append.kind, CORE_COMMAND);
    assert_int_equal(propose(&o, 0, 1), 0); /* under any */
    deinit(&o);
}

/* ---- R10: time comes only with events, randomness only from the seed */

static void r10_same_events_same_updates(void **state)
{
    struct one a, b;
    struct rng rng;

    (void)state;
    lead(&a);
    lead(&b);
    rng_seed(&rng, 3);
    for (unsigned i = 0; i < 500; i++) {
        uint64_t dice = rng_below(&rng, 3), weight = rng_below(&rng, 600);
        uint64_t write = rng_below(&rng, see(&a).last_write + 1);
        struct core_view va, vb;

        for (unsigned k = 0; k < 2; k++) {
            struct one *o = k ? &b : &a;

            if (dice == 0)
                (void)propose(o, 0, (uint32_t)weight);
            else if (dice == 1)
                durable(o, write);
            else
                tick(o);
        }
        assert_int_equal(a.u.flags, b.u.flags);
        assert_int_equal(a.u.write_id, b.u.write_id);
        assert_int_equal(a.u.commit, b.u.commit);
        assert_int_equal(a.u.wake_at_ms, b.u.wake_at_ms);
        va = see(&a);
        vb = see(&b);
        assert_int_equal(va.last, vb.last);
        assert_int_equal(va.durable_write, vb.durable_write);
        assert_int_equal(va.uncommitted_bytes, vb.uncommitted_bytes);
    }
    deinit(&a);
    deinit(&b);
}

/* Runs what in a child: true if it ended by abort(). */
static bool aborts(void (*what)(void))
{
    pid_t pid = fork();
    int status = 0;

    assert_true(pid >= 0);
    if (pid == 0) {
        signal(SIGABRT, SIG_DFL);
        close(STDERR_FILENO);
        what();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void turn_time_back(void)
{
    struct one o;

    lead(&o);
    o.now_ms -= 2;
    tick(&o); /* adds 1001 */
    o.now_ms -= 500;
    (void)step(&o, (struct core_event){ .kind = CORE_TIME });
}

static void step_without_boot(void)
{
    struct one o;

    init(&o);
    (void)step(&o, (struct core_event){ .kind = CORE_TIME });
}

static void acknowledge_what_was_never_written(void)
{
    struct one o;

    lead(&o);
    durable(&o, see(&o).last_write + 1);
}

static void apply_what_is_not_committed(void)
{
    struct one o;

    lead(&o);
    if (propose(&o, 0, 1) == 0) applied(&o, 2);
}

static void a_caller_that_breaks_the_contract_is_stopped(void **state)
{
    (void)state;
    assert_true(aborts(turn_time_back)); /* R10 */
    assert_true(aborts(step_without_boot));
    assert_true(aborts(acknowledge_what_was_never_written));
    assert_true(aborts(apply_what_is_not_committed));
}

/* ---- P7: a node that lost synced data follows */

static void a_tainted_core_never_leads(void **state)
{
    struct one o;

    (void)state;
    init(&o);
    assert_int_equal(boot(&o, &(struct disk){ .term = 3,
                                              .vote = SELF,
                                              .last = 5,
                                              .last_term = 3,
                                              .applied = 2,
                                              .tainted = true }),
                     0);
    assert_int_equal(o.u.wake_at_ms, UINT64_MAX);
    for (unsigned i = 0; i < 50; i++) {
        tick(&o);
        assert_int_equal(o.u.role, CORE_FOLLOWER);
        assert_int_equal(o.u.flags, 0);
        assert_int_equal(o.u.write_id, 0);
    }
    assert_int_equal(propose(&o, 0, 1), ERR_NOT_LEADER);
    assert_int_equal(see(&o).term, 3);
    assert_int_equal(see(&o).commit, 2);
    assert_true(see(&o).tainted);
    deinit(&o);
}

/* ---- P5: bounds */

static void bytes_in_flight_are_bounded(void **state)
{
    struct one o;
    uint64_t first;

    (void)state;
    lead(&o);
    assert_int_equal(propose(&o, 0, UNCOMMITTED - 1), 0);
    first = o.u.write_id;
    assert_int_equal(propose(&o, 0, 2), ERR_FULL);
    assert_int_equal(o.u.write_id, 0);
    assert_int_equal(see(&o).last, 2); /* nothing happened */
    assert_int_equal(propose(&o, 0, 1), 0);
    assert_int_equal(see(&o).uncommitted_bytes, UNCOMMITTED);
    durable(&o, first);
    assert_int_equal(see(&o).uncommitted_bytes, 1);
    assert_int_equal(propose(&o, 0, UNCOMMITTED), ERR_FULL);
    durable(&o, first + 1);
    assert_int_equal(propose(&o, 0, 50 * UNCOMMITTED), 0); /* alone, a large one fits */
    assert_int_equal(propose(&o, 0, 0), ERR_FULL);
    deinit(&o);
}

static void writes_in_flight_are_bounded(void **state)
{
    struct one o;
    unsigned n = 0;

    (void)state;
    lead(&o);
    while (propose(&o, 0, 0) == 0)
        assert_true(++n < 100000);
    assert_true(n > 1000);
    durable(&o, see(&o).last_write - n + 1); /* one of them */
    assert_int_equal(propose(&o, 0, 0), 0);
    assert_int_equal(propose(&o, 0, 0), ERR_FULL);
    durable(&o, see(&o).last_write);
    assert_int_equal(o.u.commit, see(&o).last);
    assert_int_equal(propose(&o, 0, 0), 0);
    deinit(&o);
}

/* ---- one voter in this version */

static void other_configurations_are_refused(void **state)
{
    struct core *c = check_calloc(1, core_size());
    struct core_options three = {
        .self = 1, .voters = { 1, 2, 3 }, .voter_count = 3, .election_ms = 300
    };
    struct core_options none = { .self = 1, .election_ms = 300 };
    struct core_options stranger = {
        .self = 2, .voters = { 1 }, .voter_count = 1, .election_ms = 300
    };
    struct core_options nobody = {
        .self = 0, .voters = { 0 }, .voter_count = 1, .election_ms = 300
    };

    (void)state;
    assert_int_equal(core_init(c, &three), ERR_UNSUPPORTED);
    assert_int_equal(core_init(c, &none), ERR_UNSUPPORTED);
    assert_int_equal(core_init(c, &stranger), ERR_RANGE);
    assert_int_equal(core_init(c, &nobody), ERR_RANGE);
    free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_start_goes_vote_then_own_entry_then_ready),
        cmocka_unit_test(r1_a_write_id_is_no_index),
        cmocka_unit_test(r1_writes_count_up_to_the_one_that_is_told),
        cmocka_unit_test(r2_a_failed_write_ends_all),
        cmocka_unit_test(r2_a_failed_vote_never_leads),
        cmocka_unit_test(r3_entries_of_earlier_terms_wait_for_an_own_one),
        cmocka_unit_test(r4_the_vote_is_durable_before_it_counts),
        cmocka_unit_test(r5_commit_never_regresses),
        cmocka_unit_test(r7_a_gap_is_refused),
        cmocka_unit_test(r8_a_stale_fence_is_refused),
        cmocka_unit_test(r10_same_events_same_updates),
        cmocka_unit_test(a_caller_that_breaks_the_contract_is_stopped),
        cmocka_unit_test(a_tainted_core_never_leads),
        cmocka_unit_test(bytes_in_flight_are_bounded),
        cmocka_unit_test(writes_in_flight_are_bounded),
        cmocka_unit_test(other_configurations_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
