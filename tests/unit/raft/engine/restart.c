/* restart - lives of a node over one log: replay, power cuts, damage, taint, closing. */
#include "tests/unit/raft/engine/life.h"

#include "proto/ground/rng.h"
#include "raft/engine/inside.h"

static struct store *disk;

static int begin(void **state)
{
    (void)state;
    disk = open_mem_log();
    return 0;
}

static int end(void **state)
{
    (void)state;
    store_close(&disk);
    return 0;
}

static void propose_n(struct life *l, unsigned i, struct ask *asks, unsigned n)
{
    for (unsigned k = 0; k < n; k++)
        assert_int_equal(ask(l, i, &asks[k], "x"), 0);
    life_settle(l);
}

static void the_rest_is_replayed_under_a_new_term(void **state)
{
    struct ask a[4];
    struct life l;

    (void)state;
    life_begin(&l, disk);
    life_lead(&l, 0);
    assert_int_equal(ask(&l, 0, &a[0], "a"), 0); /* 2, 3, 4 */
    assert_int_equal(ask(&l, 0, &a[1], "b"), 0);
    assert_int_equal(ask(&l, 0, &a[2], "c"), 0);
    life_settle(&l);
    life_end(&l);

    life_begin(&l, disk);
    life_open(&l, 0, 2); /* the machine kept up to "a" */
    assert_int_equal(life_see(&l, 0).last, 4);
    life_settle(&l);
    story_is(&l, 0,
             "role follower 1\nrole candidate 2\napply b 3\napply c 4\napplied 4\n"
             "applied 5\nrole leader 2\n");
    ask_init(&a[3], NULL, "fenced"); /* made under the first life */
    a[3].proposal.term = 1;
    assert_int_equal(raft_propose(l.groups[0], &a[3].proposal), ERR_SUPERSEDED);
    life_end(&l);
}

static void a_long_replay_leaves_the_loop_between_slices(void **state)
{
    static struct ask asks[1000];
    struct life l;
    unsigned turns = 0;

    (void)state;
    life_begin(&l, disk);
    life_lead(&l, 0);
    l.machines[0].is_quiet = true;
    propose_n(&l, 0, asks, 1000);
    life_end(&l);

    life_begin(&l, disk);
    life_open(&l, 0, 0);
    l.machines[0].is_quiet = true;
    while (l.machines[0].role != RAFT_LEADER) {
        uint64_t before = l.machines[0].apply_count;

        life_turn(&l);
        store_mem_sync(disk, SIZE_MAX);
        assert_in_range(l.machines[0].apply_count - before, 0, 256);
        if (before > 0) assert_true(l.wakes > 0); /* it asked to be called again */
        assert_in_range(++turns, 1, 20);
    }
    assert_int_equal(l.machines[0].apply_count, 1000);
    life_end(&l);
}

/* What is read for many groups at once is bounded; each gets all of its own, in order. */
static void many_replays_take_turns(void **state)
{
    static struct ask asks[LIFE_GROUPS][600];
    struct life l;
    unsigned max = 0;

    (void)state;
    life_begin(&l, disk);
    for (unsigned i = 0; i < LIFE_GROUPS; i++) {
        life_lead(&l, i);
        l.machines[i].is_quiet = true;
        propose_n(&l, i, asks[i], 600);
    }
    life_end(&l);

    life_begin(&l, disk);
    for (unsigned i = 0; i < LIFE_GROUPS; i++) {
        life_open(&l, i, 0);
        l.machines[i].is_quiet = true;
    }
    for (unsigned k = 0; k < 200; k++) {
        life_turn(&l);
        if (l.raft->loops[0].replays > max) max = l.raft->loops[0].replays;
        store_mem_sync(disk, SIZE_MAX);
    }
    for (unsigned i = 0; i < LIFE_GROUPS; i++) {
        assert_int_equal(l.machines[i].role, RAFT_LEADER);
        assert_int_equal(l.machines[i].apply_count, 600);
    }
    assert_in_range(max, 1, RAFT_REPLAYS_MAX);
    assert_int_equal(l.raft->loops[0].replays, 0);
    life_end(&l);
}

/* A group may go while its entries are being read, or wait to be applied. */
static void a_group_closes_in_its_replay(void **state)
{
    static struct ask asks[600];

    (void)state;
    for (unsigned turns = 0; turns < 5; turns++) {
        struct life l;

        life_begin(&l, disk);
        life_lead(&l, 0);
        l.machines[0].is_quiet = true;
        propose_n(&l, 0, asks, 600);
        life_end(&l);

        life_begin(&l, disk);
        life_open(&l, 0, 0);
        for (unsigned k = 0; k < turns; k++) {
            life_turn(&l);
            store_mem_sync(disk, SIZE_MAX);
        }
        raft_group_close(&l.groups[0]);
        life_turn(&l);
        assert_int_equal(l.raft->loops[0].replays, 0);
        life_end(&l);
    }
}

static void a_power_cut_loses_only_what_was_not_answered(void **state)
{
    struct ask kept, written, collected;
    struct life l;

    (void)state;
    life_begin(&l, disk);
    life_lead(&l, 0);
    propose_n(&l, 0, &kept, 1);
    assert_int_equal(ask(&l, 0, &written, "written"), 0);
    life_turn(&l);
    assert_int_equal(ask(&l, 0, &collected, "collected"), 0);
    store_mem_power_cut(disk);
    life_end(&l);
    assert_int_equal(kept.answer, RAFT_COMMITTED);
    assert_int_equal(written.answer, RAFT_UNKNOWN);
    assert_int_equal(collected.answer, RAFT_UNKNOWN);
    assert_int_equal(written.answers + collected.answers, 2);

    life_begin(&l, disk);
    life_open(&l, 0, 0);
    life_settle(&l);
    assert_int_equal(l.machines[0].apply_count, 1);
    assert_int_equal(life_see(&l, 0).last, 3); /* two no-ops and the one that was kept */
    life_end(&l);
}

/* ---- any number of lives, with power cuts at any point */

#define ASKS_MAX 2000

struct history {
    struct ask asks[ASKS_MAX];
    unsigned count;
    unsigned next; /* number that the machine must see at least */
};

static struct history history;

/* Heads are numbers that only grow; none that was answered is left out. */
static void check_history(struct machine *m, const struct raft_entry *e)
{
    uint64_t number;

    (void)m;
    assert_int_equal(span_u64(e->head, ASKS_MAX, &number), 0);
    assert_true(number >= history.next);
    for (uint64_t skipped = history.next; skipped < number; skipped++)
        assert_int_not_equal(history.asks[skipped].answer, RAFT_COMMITTED);
    history.next = (unsigned)number + 1;
}

static void live(struct rng *rng)
{
    struct life l;

    life_begin(&l, disk);
    life_open(&l, 0, 0);
    l.machines[0].is_quiet = true;
    l.machines[0].on_apply = check_history;
    history.next = 0;
    for (unsigned i = 0; i < 60; i++) {
        char head[24];

        snprintf(head, sizeof head, "%u", history.count);
        if (rng_below(rng, 2) == 0 && history.count < ASKS_MAX &&
            ask(&l, 0, &history.asks[history.count], head) == 0)
            history.asks[history.count++].machine = NULL;
        if (rng_below(rng, 3) == 0) store_mem_sync(disk, rng_below(rng, 4));
        if (rng_below(rng, 2) == 0) life_turn(&l);
    }
    if (rng_below(rng, 4) > 0) store_mem_power_cut(disk);
    life_end(&l);
}

static void answered_proposals_survive_any_power_cut(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        unsigned committed = 0;
        struct rng rng;
        struct life l;

        rng_seed(&rng, seed);
        memset(&history, 0, sizeof history);
        for (unsigned i = 0; i < 30; i++)
            live(&rng);
        life_begin(&l, disk); /* the last one sees all of it */
        life_open(&l, 0, 0);
        l.machines[0].is_quiet = true;
        l.machines[0].on_apply = check_history;
        history.next = 0;
        life_settle(&l);
        life_end(&l);
        for (unsigned i = 0; i < history.count; i++) {
            assert_int_equal(history.asks[i].answers, 1);
            committed += history.asks[i].answer == RAFT_COMMITTED;
            if (i >= history.next) assert_int_not_equal(history.asks[i].answer, RAFT_COMMITTED);
        }
        assert_true(committed > 20);
        store_mem_lose(disk, 1, 1);
        store_close(&disk);
        disk = open_mem_log();
    }
}

/* ---- what does not fit together */

static void a_log_and_a_machine_that_do_not_meet_are_refused(void **state)
{
    struct ask a[5];
    struct errmsg why = { "" };
    struct life l;

    (void)state;
    life_begin(&l, disk);
    life_lead(&l, 0);
    propose_n(&l, 0, a, 5); /* 2 .. 6 */
    raft_group_cut(l.groups[0], 3);
    life_settle(&l);
    life_end(&l);

    life_begin(&l, disk);
    assert_int_equal(life_open_group(&l, 0, 2, &why), ERR_CORRUPT); /* R7: 3 is nowhere */
    assert_non_null(strstr(why.text, "group 1"));
    assert_int_equal(life_open_group(&l, 0, 7, &why), ERR_CORRUPT); /* the log lost 7 */
    assert_int_equal(life_open_group(&l, 0, 3, &why), 0);
    life_settle(&l);
    assert_int_equal(l.machines[0].apply_count, 3);
    life_end(&l);
}

static void a_tainted_log_is_followed_and_left_alone(void **state)
{
    struct ask a[5], refused;
    struct life l;

    (void)state;
    life_begin(&l, disk);
    life_lead(&l, 0);
    propose_n(&l, 0, a, 5);
    life_end(&l);
    store_mem_lose(disk, 1, 4);

    life_begin_tainted(&l, disk, true);
    life_open(&l, 0, 6); /* the machine is ahead: it had seen what is lost */
    l.now_ms = 1000000;
    life_settle(&l);
    story_is(&l, 0, "role follower 1\n");
    assert_int_equal(ask(&l, 0, &refused, "no"), ERR_NOT_LEADER);
    raft_group_cut(l.groups[0], 3);
    life_settle(&l);
    assert_int_equal(life_see(&l, 0).first, 1);
    assert_int_equal(raft_entry_read(l.raft, 1, 2, NULL, NULL), 0);
    life_end(&l);
}

/* ---- closing */

static void closing_a_group_answers_all_that_is_in_flight(void **state)
{
    struct ask landed, in_air, collected, other;
    struct life l;

    (void)state;
    life_begin(&l, disk);
    life_lead(&l, 0);
    life_lead(&l, 1);
    assert_int_equal(ask(&l, 0, &landed, "landed"), 0);
    life_turn(&l);
    store_mem_sync(disk, SIZE_MAX);
    assert_int_equal(ask(&l, 0, &in_air, "in_air"), 0);
    assert_int_equal(ask(&l, 1, &other, "other"), 0);
    raft_turn(l.raft, 0, 0); /* answers the first */
    assert_int_equal(ask(&l, 0, &collected, "collected"), 0);
    raft_group_close(&l.groups[0]);
    assert_null(l.groups[0]);
    assert_int_equal(landed.answer, RAFT_COMMITTED);
    assert_int_equal(in_air.answer, RAFT_UNKNOWN);
    assert_int_equal(collected.answer, RAFT_UNKNOWN);
    assert_int_equal(other.answer, -1);
    life_settle(&l); /* its write lands after it is gone */
    assert_int_equal(other.answer, RAFT_COMMITTED);
    assert_int_equal(in_air.answers + collected.answers, 2);
    life_open(&l, 0, 0); /* and it can be opened again */
    life_settle(&l);
    assert_int_equal(l.machines[0].role, RAFT_LEADER);
    life_end(&l);
}

static unsigned answers;

static void note_answer(struct raft_proposal *p, enum raft_answer answer, uint64_t index,
                        uint64_t term)
{
    (void)p;
    (void)index;
    (void)term;
    assert_int_equal(answer, RAFT_UNKNOWN);
    answers++;
}

/* A sanitizer sees whoever still reads them. */
static void after_the_answer_the_bytes_are_their_owners(void **state)
{
    struct raft_proposal *p = check_calloc(1, sizeof *p);
    char *bytes = check_strdup("mine again soon");
    struct life l;

    (void)state;
    life_begin(&l, disk);
    life_lead(&l, 0);
    *p = (struct raft_proposal){ .head = span_cstr(bytes), .on_done = note_answer };
    answers = 0;
    assert_int_equal(raft_propose(l.groups[0], p), 0);
    life_turn(&l);
    raft_group_close(&l.groups[0]);
    assert_int_equal(answers, 1);
    free(bytes);
    free(p);
    life_settle(&l);
    life_end(&l);
}

static void closing_the_library_answers_what_is_left(void **state)
{
    struct ask a, b;
    struct life l;

    (void)state;
    life_begin(&l, disk);
    life_lead(&l, 0);
    life_lead(&l, 1);
    assert_int_equal(ask(&l, 0, &a, "a"), 0);
    life_turn(&l);
    assert_int_equal(ask(&l, 1, &b, "b"), 0);
    life_end(&l); /* groups are open */
    assert_int_equal(a.answer, RAFT_UNKNOWN);
    assert_int_equal(b.answer, RAFT_UNKNOWN);
    raft_group_close(&(struct raft_group *){ NULL });
    raft_close(&(struct raft *){ NULL });
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_rest_is_replayed_under_a_new_term, begin, end),
        cmocka_unit_test_setup_teardown(a_long_replay_leaves_the_loop_between_slices, begin, end),
        cmocka_unit_test_setup_teardown(a_group_closes_in_its_replay, begin, end),
        cmocka_unit_test_setup_teardown(many_replays_take_turns, begin, end),
        cmocka_unit_test_setup_teardown(a_power_cut_loses_only_what_was_not_answered, begin, end),
        cmocka_unit_test_setup_teardown(answered_proposals_survive_any_power_cut, begin, end),
        cmocka_unit_test_setup_teardown(a_log_and_a_machine_that_do_not_meet_are_refused, begin,
                                        end),
        cmocka_unit_test_setup_teardown(a_tainted_log_is_followed_and_left_alone, begin, end),
        cmocka_unit_test_setup_teardown(closing_a_group_answers_all_that_is_in_flight, begin, end),
        cmocka_unit_test_setup_teardown(after_the_answer_the_bytes_are_their_owners, begin, end),
        cmocka_unit_test_setup_teardown(closing_the_library_answers_what_is_left, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
