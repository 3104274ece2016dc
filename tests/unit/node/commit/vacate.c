/* vacate - three nodes (town.h): a replica that moved away goes from its node's disk, and only then; it comes back and votes; the
 * process ends at each step of the way; control that knows better than this node's copy of it is asked.
 */
#include "tests/unit/node/commit/town.h"

#include "proto/ground/metric.h"

#define SHARD 2
#define OTHER 3

/* Control as node 3 hears it. */
static struct {
    enum { SAYS_NO, SAYS_NOTHING } way; /* not held; or it is held, or nobody is there */
    unsigned asked;
    uint64_t question; /* the last one */
    uint32_t shard;
} control;

static uint32_t placed_told; /* version that is in force */

static void on_placed(void *arg, uint32_t shard, uint32_t version)
{
    (void)arg;
    if (shard == SHARD) placed_told = version;
}

static void on_ask_held(void *arg, uint32_t shard, uint64_t question)
{
    unsigned number = *(const unsigned *)arg;

    control.asked++;
    control.question = question;
    control.shard = shard;
    if (control.way == SAYS_NO) commit_not_held(town.nodes[number].commit, shard, question);
}

static void start(unsigned number)
{
    static unsigned numbers[] = { 0, 1, 2, 3 };

    town_start(number,
               &(struct town_start){ .keeps_state = true,
                                     .commit = { .shard_max = 4,
                                                 .calls = { .arg = &numbers[number],
                                                            .on_placed = on_placed,
                                                            .on_ask_held = on_ask_held } } });
}

static const uint64_t all[] = { 1, 2, 3 };

static struct commit_placement placement(uint32_t shard, uint32_t version, unsigned voters)
{
    return (struct commit_placement){ .shard = shard,
                                      .version = version,
                                      .founders = raft_config_of(all, 3),
                                      .wanted = raft_config_of(all, voters) };
}

static void place(unsigned number, uint32_t shard, uint32_t version, unsigned voters)
{
    struct commit_placement p = placement(shard, version, voters);

    commit_place(town.nodes[number].commit, &p);
}

static struct commit_shard_view see(unsigned number)
{
    return town_see(number, SHARD);
}

static int open_town(void **state)
{
    (void)state;
    CHECK(town_make("vacate") == 0);
    memset(&control, 0, sizeof control);
    placed_told = 0;
    for (unsigned i = 1; i <= 3; i++)
        start(i);
    for (unsigned i = 1; i <= 3; i++)
        place(i, SHARD, 1, 3);
    return 0;
}

static int close_town(void **state)
{
    (void)state;
    return town_remove();
}

static unsigned leader(void)
{
    for (unsigned i = 1; i <= 3; i++)
        if (town.nodes[i].loop && see(i).leads) return i;
    return 0;
}

static struct blob *body(void)
{
    return blob_copy(SPAN_LIT("body\r\n"));
}

static void mails(unsigned count)
{
    TOWN_UNTIL(leader() != 0);
    for (unsigned i = 0; i < count; i++) {
        struct town_mail m;

        assert_int_equal(town_mail(leader(), &m, body()), 0);
        TOWN_UNTIL(m.rv != 1);
        assert_int_equal(m.rv, 0);
    }
}

static bool is_same(unsigned a, unsigned b)
{
    struct commit_shard_view x = see(a), y = see(b);

    return x.is_open && y.is_open && x.state == y.state && x.digest == y.digest;
}

/* Nodes 1 and 2 hold it, and nobody else votes. Node 3 is not told. */
static void move_away(void)
{
    TOWN_UNTIL(see(1).leads);
    mails(5);
    TOWN_UNTIL(is_same(1, 3));
    for (unsigned i = 1; i <= 2; i++)
        place(i, SHARD, 2, 2);
    TOWN_UNTIL(placed_told == 2);
    mails(2);
}

static void move_back(void)
{
    for (unsigned i = 1; i <= 3; i++)
        place(i, SHARD, 3, 3);
    TOWN_UNTIL(placed_told == 3);
    TOWN_UNTIL(is_same(1, 3));
}

static void vacate(void)
{
    commit_vacate(town.nodes[3].commit, SHARD);
}

static bool has_gone(void)
{
    return !see(3).is_open && commit_vacating(town.nodes[3].commit) == 0;
}

/* What is on node 3's disk. */
static bool has_log(void)
{
    struct errmsg why = { "" };
    bool remains, buried;

    assert_int_equal(raft_group_remains(town.nodes[3].raft, SHARD, &remains, &buried, &why), 0);
    return remains;
}

static uint64_t state_end(void)
{
    struct errmsg why = { "" };
    struct queue *q = NULL;
    uint64_t end;

    assert_int_equal(queue_open(&q, town.nodes[3].store, SHARD, &why), 0);
    end = queue_applied(q);
    queue_close(&q);
    return end;
}

static void assert_nothing_is_left(void)
{
    struct errmsg why = { "" };
    bool remains, buried;

    assert_true(has_gone());
    assert_int_equal(see(3).counts.messages, 0);
    assert_int_equal(raft_group_remains(town.nodes[3].raft, SHARD, &remains, &buried, &why), 0);
    assert_true(!remains && buried);
    assert_int_equal(state_end(), 0);
}

/* It is a voter on whom a quorum hangs. */
static void assert_votes(void)
{
    town_stop(1);
    TOWN_UNTIL(leader() != 0);
    mails(3);
    TOWN_UNTIL(is_same(2, 3));
    assert_int_equal(see(3).counts.messages, 5 + 2 + 3);
}

static void a_replica_that_moved_away_leaves_its_promises_only(void **state)
{
    uint64_t before = metric_get(M_SHARDS_MOVED_AWAY);

    (void)state;
    move_away();
    assert_true(see(3).is_open);
    vacate();
    TOWN_UNTIL(has_gone());
    assert_nothing_is_left();
    assert_int_equal(metric_get(M_SHARDS_MOVED_AWAY), before + 1);
    mails(2);
    vacate(); /* told twice: there is nothing, and nobody is asked */
    control.asked = 0;
    town_turns(500);
    assert_true(has_gone() && control.asked == 0);
    assert_int_equal(metric_get(M_SHARDS_MOVED_AWAY), before + 1);
}

static void a_replica_that_is_gone_comes_back_and_votes(void **state)
{
    (void)state;
    move_away();
    vacate();
    TOWN_UNTIL(has_gone());
    move_back();
    assert_votes();
}

/* Control's copy here is old: the shard is on its way back, or never went. Control does not say what it does not know. */
static void nothing_goes_before_control_says_so(void **state)
{
    (void)state;
    control.way = SAYS_NOTHING;
    move_away();
    vacate();
    TOWN_UNTIL(control.asked == 3); /* again and again */
    assert_true(see(3).is_open && has_log() && commit_vacating(town.nodes[3].commit) == 1);
    move_back();
    assert_int_equal(commit_vacating(town.nodes[3].commit), 0);
    commit_not_held(town.nodes[3].commit, SHARD, control.question); /* a late answer, to nobody */
    town_turns(500);
    assert_true(see(3).is_open && is_same(1, 3));
    assert_votes();
}

/* Control says no, and between question and answer the others count on what this node has got. */
static void what_comes_between_question_and_answer_is_not_taken_away(void **state)
{
    uint64_t question;

    (void)state;
    TOWN_UNTIL(see(1).leads);
    mails(5);
    TOWN_UNTIL(is_same(1, 3));
    control.way = SAYS_NOTHING;
    vacate();
    TOWN_UNTIL(control.asked == 1);
    question = control.question;
    mails(1);
    TOWN_UNTIL(is_same(1, 3));
    assert_int_equal(control.question, question); /* no other one was asked meanwhile */
    commit_not_held(town.nodes[3].commit, SHARD, question);
    TOWN_UNTIL(control.asked == 2);
    assert_true(see(3).is_open && see(3).counts.messages == 6);
    commit_not_held(town.nodes[3].commit, SHARD, question); /* the answer to another question */
    town_turns(20);
    assert_true(see(3).is_open);
    control.way = SAYS_NO;
    TOWN_UNTIL(has_gone());
    assert_nothing_is_left();
}

static void who_leads_stays(void **state)
{
    (void)state;
    mails(2);
    TOWN_UNTIL(see(1).leads);
    commit_vacate(town.nodes[1].commit, SHARD);
    town_turns(1000);
    assert_true(see(1).leads && control.asked == 0);
    place(1, SHARD, 1, 3);
    town_turns(10);
    assert_int_equal(commit_vacating(town.nodes[1].commit), 0);
}

/* The answer's letter is on its way, and what the caller says next comes behind it. */
static void go_by_an_answer_on_its_way(void)
{
    move_away();
    control.way = SAYS_NOTHING;
    vacate();
    TOWN_UNTIL(control.asked == 1);
    commit_not_held(town.nodes[3].commit, SHARD, control.question);
}

static void it_is_placed_again_while_the_pool_removes_it(void **state)
{
    (void)state;
    go_by_an_answer_on_its_way();
    move_back(); /* its letter comes next */
    assert_votes();
}

/* ---- the process ends */

static void restart(void)
{
    town_stop(3);
    start(3);
}

/* Control knew it before this node ended, or only afterwards. */
static void what_was_left_at_an_end_goes_at_the_next_start(void **state)
{
    (void)state;
    move_away();
    restart();
    assert_true(!see(3).is_open && has_log() && state_end() > 0);
    vacate();
    TOWN_UNTIL(has_gone() && control.asked == 1);
    assert_nothing_is_left();
    restart();
    vacate();
    town_turns(500);
    assert_true(has_gone() && control.asked == 1);
    move_back();
    assert_votes();
}

static void bury_only(void)
{
    struct errmsg why = { "" };
    bool had;

    assert_int_equal(raft_group_bury(town.nodes[3].raft, SHARD, state_end(), &had, &why), 0);
    assert_true(had);
}

/* When the log was buried and the state was not. */
static void what_a_kill_between_log_and_state_left_goes(void **state)
{
    (void)state;
    move_away();
    restart();
    bury_only();
    restart();
    assert_true(!has_log() && state_end() > 0);
    vacate();
    TOWN_UNTIL(has_gone() && control.asked == 1);
    assert_nothing_is_left();
}

static void what_a_kill_left_goes_before_the_shard_is_opened_again(void **state)
{
    (void)state;
    move_away();
    restart();
    bury_only();
    restart();
    move_back();
    assert_int_equal(control.asked, 0); /* it is held: nobody is asked */
    assert_votes();
}

/* On its way back it is killed, and opened with what it has got. */
static void who_comes_back_is_killed_on_the_way(void **state)
{
    (void)state;
    move_away();
    vacate();
    TOWN_UNTIL(has_gone());
    for (unsigned i = 1; i <= 3; i++)
        place(i, SHARD, 3, 3);
    for (unsigned turns = 1; turns < 20; turns += 3) {
        town_turns(turns);
        restart();
        place(3, SHARD, 3, 3);
    }
    TOWN_UNTIL(placed_told == 3 && is_same(1, 3));
    assert_votes();
}

/* ---- the rest */

/* A program that does not know tombstones could be started on this disk. */
static void nothing_goes_under_a_format_without_tombstones(void **state)
{
    (void)state;
    move_away();
    proto_format_set(PROTO_ADDED_TOMBSTONES - 1);
    vacate();
    town_turns(1000);
    assert_true(see(3).is_open && control.asked == 0);
    proto_format_set(PROTO_ADDED_TOMBSTONES);
    TOWN_UNTIL(has_gone());
}

static void one_goes_after_the_other(void **state)
{
    (void)state;
    for (unsigned i = 1; i <= 3; i++)
        place(i, OTHER, 1, 3);
    TOWN_UNTIL(town_see(1, OTHER).leads);
    move_away();
    control.way = SAYS_NOTHING;
    vacate();
    TOWN_UNTIL(control.asked == 1);
    commit_vacate(town.nodes[3].commit, OTHER);
    town_turns(1000);
    assert_int_equal(control.shard, SHARD); /* the other one waits */
    assert_int_equal(commit_vacating(town.nodes[3].commit), 2);
    control.way = SAYS_NO;
    TOWN_UNTIL(commit_vacating(town.nodes[3].commit) == 0);
    assert_true(!see(3).is_open && !town_see(3, OTHER).is_open);
}

static void a_shard_that_ends_while_it_goes_is_forgotten(void **state)
{
    struct errmsg why = { "" };
    bool had;

    (void)state;
    go_by_an_answer_on_its_way();
    commit_forget(town.nodes[3].commit, SHARD);
    TOWN_UNTIL(has_gone());
    town_turns(500);
    assert_int_equal(raft_group_forget(town.nodes[3].raft, SHARD, &had, &why), 0);
    assert_false(had); /* the tombstone, too */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_town, close_town)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_replica_that_moved_away_leaves_its_promises_only),
        TEST(a_replica_that_is_gone_comes_back_and_votes),
        TEST(nothing_goes_before_control_says_so),
        TEST(what_comes_between_question_and_answer_is_not_taken_away),
        TEST(who_leads_stays),
        TEST(it_is_placed_again_while_the_pool_removes_it),
        TEST(what_was_left_at_an_end_goes_at_the_next_start),
        TEST(what_a_kill_between_log_and_state_left_goes),
        TEST(what_a_kill_left_goes_before_the_shard_is_opened_again),
        TEST(who_comes_back_is_killed_on_the_way),
        TEST(nothing_goes_under_a_format_without_tombstones),
        TEST(one_goes_after_the_other),
        TEST(a_shard_that_ends_while_it_goes_is_forgotten),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
