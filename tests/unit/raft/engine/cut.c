/* cut - the log forgets what it is told to, in disjoint ranges, and knows afterwards where it
 * begins. */
#include "tests/unit/raft/engine/life.h"

#include "raft/engine/inside.h"

static struct store *disk;
static struct life life;

static int begin(void **state)
{
    static struct ask asks[9];

    (void)state;
    disk = open_mem_log();
    life_begin(&life, disk);
    life_lead(&life, 0);
    for (unsigned k = 0; k < 9; k++) /* entries 2 .. 10 of 9 bytes each */
        CHECK(ask(&life, 0, &asks[k], "x") == 0);
    life_settle(&life);
    return 0;
}

static int end(void **state)
{
    (void)state;
    life_end(&life);
    store_close(&disk);
    return 0;
}

static uint64_t begins(void)
{
    struct store_group g;

    CHECK(store_group_read(disk, 1, &g, NULL) == 0);
    return g.first;
}

static void what_is_cut_is_gone_what_is_not_is_there(void **state)
{
    struct blob *head, *body;

    (void)state;
    raft_group_cut(life.groups[0], 4);
    assert_int_equal(begins(), 1); /* with the next turn */
    life_settle(&life);
    assert_int_equal(begins(), 5);
    assert_int_equal(raft_entry_read(life.raft, 1, 4, &head, &body), ERR_NOT_FOUND);
    assert_int_equal(raft_entry_read(life.raft, 1, 5, &head, &body), 0);
    assert_true(span_eq(blob_span(head), SPAN_LIT("x")) &&
                span_eq(blob_span(body), SPAN_LIT("the body")));
    blob_unref(&head);
    blob_unref(&body);
    assert_int_equal(raft_entry_read(life.raft, 1, 11, &head, &body), ERR_NOT_FOUND);
    assert_int_equal(raft_entry_read(life.raft, 2, 5, &head, &body), ERR_NOT_FOUND);
}

/* The memory store checks that each range begins where the last one ended. */
static void cuts_are_disjoint_and_those_of_a_turn_are_one(void **state)
{
    (void)state;
    raft_group_cut(life.groups[0], 2);
    raft_group_cut(life.groups[0], 2);
    raft_group_cut(life.groups[0], 5);
    raft_group_cut(life.groups[0], 3);
    life_turn(&life);
    raft_group_cut(life.groups[0], 7); /* while the first is in the air */
    life_settle(&life);
    raft_group_cut(life.groups[0], 7);
    assert_int_equal(begins(), 8);
    assert_int_equal(life_see(&life, 0).first, 8);
}

static void no_more_than_what_is_applied_is_cut(void **state)
{
    struct ask a;

    (void)state;
    assert_int_equal(ask(&life, 0, &a, "waits"), 0);
    life_turn(&life);
    raft_group_cut(life.groups[0], 1000);
    assert_int_equal(life_see(&life, 0).first, 11);
    life_settle(&life);
    assert_int_equal(a.answer, RAFT_COMMITTED);
    assert_int_equal(raft_entry_read(life.raft, 1, 11, NULL, NULL), 0);
}

/* Term and place of the last entry outlive it: later lives begin there, however often. */
static void an_empty_log_knows_where_it_ended(void **state)
{
    (void)state;
    for (unsigned i = 1; i <= 4; i++) {
        uint64_t last = life_see(&life, 0).last;
        struct store_group g;

        assert_int_equal(last, 9 + i);
        raft_group_cut(life.groups[0], last);
        life_settle(&life);
        life_end(&life);
        assert_int_equal(store_group_read(disk, 1, &g, NULL), 0);
        assert_true(g.first == last + 1 && g.last == last && g.last_term == i && g.hard.term == i);
        life_begin(&life, disk);
        life_open(&life, 0, last);
        life_settle(&life);
        assert_int_equal(life.machines[0].role, RAFT_LEADER);
        assert_int_equal(life.machines[0].apply_count, 0);
    }
}

/* Cuts at entries of earlier lives, whose term stands in the log only. */
static void the_term_at_a_cut_is_the_entrys(void **state)
{
    static const struct {
        uint64_t at, term;
    } cuts[] = { { 5, 1 }, { 10, 1 }, { 11, 2 }, { 12, 3 } };

    for (unsigned i = 0; i < 4; i++) {
        struct store_group g;

        for (unsigned lives = 0; lives < 2;
             lives++) { /* their no-ops: 11 of term 2, 12 of term 3 */
            life_end(&life);
            life_begin(&life, disk);
            life_open(&life, 0, 10);
            life_settle(&life);
        }
        raft_group_cut(life.groups[0], cuts[i].at);
        life_settle(&life);
        store_mem_lose(disk, 1, cuts[i].at + 1); /* then the cut says what came last */
        assert_int_equal(store_group_read(disk, 1, &g, NULL), 0);
        assert_true(g.last == cuts[i].at && g.last_term == cuts[i].term);
        end(state);
        begin(state);
    }
}

static void bytes_of_the_log_are_known_about(void **state)
{
    (void)state;
    assert_int_equal(life_see(&life, 0).log_bytes, 9 * 9);
    raft_group_cut(life.groups[0], 10);
    assert_int_equal(life_see(&life, 0).log_bytes, 0);
}

static void weight_is_never_too_small_and_little_too_big(void **state)
{
    static uint64_t sum[100001]; /* true bytes up to an index */
    struct weight w;
    uint64_t cut = 0;

    (void)state;
    weight_init(&w, 0);
    for (uint64_t i = 1; i <= 100000; i++) {
        uint64_t bytes = i * 7919 % 65536, more;

        sum[i] = sum[i - 1] + bytes;
        weight_add(&w, i, bytes);
        if (i % 1000 == 0) {
            cut = i - i / 2000;
            weight_cut(&w, cut);
        }
        assert_true(weight_bytes(&w) >= sum[i] - sum[cut]);
        more = weight_bytes(&w) - (sum[i] - sum[cut]);
        assert_true(more <= w.stride + 65536);
    }
    weight_cut(&w, 100000);
    assert_int_equal(weight_bytes(&w), 0);
    weight_add(&w, 100001, 5);
    assert_int_equal(weight_bytes(&w), 5);
    weight_deinit(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_cut_is_gone_what_is_not_is_there, begin, end),
        cmocka_unit_test_setup_teardown(cuts_are_disjoint_and_those_of_a_turn_are_one, begin, end),
        cmocka_unit_test_setup_teardown(no_more_than_what_is_applied_is_cut, begin, end),
        cmocka_unit_test_setup_teardown(an_empty_log_knows_where_it_ended, begin, end),
        cmocka_unit_test_setup_teardown(the_term_at_a_cut_is_the_entrys, begin, end),
        cmocka_unit_test_setup_teardown(bytes_of_the_log_are_known_about, begin, end),
        cmocka_unit_test(weight_is_never_too_small_and_little_too_big),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
