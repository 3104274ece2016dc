/* snapshot - three nodes (town.h): a shard's state goes to one that was not there while mails came and the log was cut, empty or
 * stale; the process ends at each step of the way; no body is read that is another mail's.
 */
#include "tests/unit/node/commit/town.h"

#include <sys/wait.h>

#include "proto/ground/metric.h"

#define NODES     TOWN_NODES
#define LATE      3 /* the node that comes late */
#define SHARD     1
#define BODY_SIZE 9000
#define CUT_BYTES 200000
#define CUT_MAILS 48 /* a log with all of them in it is cut, whatever came before */
#define KEPT_MAX  400

static unsigned leader; /* where clients are */

static void start(unsigned number)
{
    struct core_config members = raft_config_of((uint64_t[]){ 1, 2, 3 }, 3);

    members.members[0].priority = 9;
    town_start(number, &(struct town_start){ .keeps_state = true,
                                             .snapshot_bytes_per_s = 4u << 20,
                                             .commit = { .config = &members,
                                                         .shard_count = 1,
                                                         .limits.body_cache_bytes = 1,
                                                         .cut_bytes = CUT_BYTES } });
}

static void start_all(void)
{
    for (unsigned i = 1; i <= NODES; i++)
        start(i);
}

static bool is_up(unsigned number)
{
    return town.nodes[number].loop;
}

static struct commit_shard_view see(unsigned number)
{
    return town_see(number, SHARD);
}

static bool leads(unsigned number)
{
    return is_up(number) && see(number).leads;
}

/* ---- what clients do */

static void wait_for_leader(unsigned number)
{
    leader = number;
    TOWN_UNTIL(leads(leader));
}

/* Bodies tell from which mail they are. */
static struct blob *body_of(unsigned n)
{
    struct blob *b = blob_new(BODY_SIZE);
    char line[BODY_SIZE + 1];

    memset(line, 'a' + (int)(n % 26), BODY_SIZE);
    snprintf(line, sizeof line, "Subject: %u\r\n\r\n", n);
    CHECK(blob_add(b, line, BODY_SIZE, BODY_SIZE) == 0);
    return b;
}

/* Four mails at once. */
#define BATCH 4u

static void send_batch(unsigned first, uint64_t ids[BATCH])
{
    struct town_mail sent[BATCH];

    for (unsigned i = 0; i < BATCH; i++)
        assert_int_equal(town_mail(leader, &sent[i], body_of(first + i)), 0);
    for (unsigned i = 0; i < BATCH; i++) {
        TOWN_UNTIL(sent[i].rv != 1);
        assert_int_equal(sent[i].rv, 0);
        ids[i] = sent[i].id;
    }
}

static void hold(uint64_t id)
{
    Angarium__Command command = ANGARIUM__COMMAND__INIT;
    Angarium__Hold what = ANGARIUM__HOLD__INIT;

    what.time_ms = loop_wall_ms(town.nodes[leader].loop);
    what.index = proto_id_index(id);
    command.kind_case = ANGARIUM__COMMAND__KIND_HOLD;
    command.hold = &what;
    assert_int_equal(town_order(leader, SHARD, &command), 0);
}

/* The first waits, the second is claimed, the third held, the last one delivered. */
static void treat_batch(const uint64_t ids[BATCH])
{
    struct town_claim c[2];

    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(town_claim(leader, SHARD, &c[i], proto_id_index(ids[2 * i + 1])), 0);
    hold(ids[2]);
    for (unsigned i = 0; i < 2; i++) {
        TOWN_UNTIL(c[i].rv != 1);
        assert_true(c[i].rv == 0 && !c[i].ref.refused);
    }
    town_delivered(leader, SHARD, proto_id_index(ids[3]));
}

/* Ids and numbers of those whose bodies are needed. */
struct kept {
    uint64_t ids[KEPT_MAX];
    unsigned numbers[KEPT_MAX], count, sent;
    uint64_t had; /* where the log of the late one ended */
};

static void traffic(struct kept *k, unsigned mails)
{
    uint64_t ids[BATCH];

    CHECK(mails % BATCH == 0 && k->count + mails <= KEPT_MAX);
    for (; mails > 0; mails -= BATCH) {
        send_batch(k->sent, ids);
        treat_batch(ids);
        for (unsigned i = 0; i + 1 < BATCH; i++) {
            k->ids[k->count] = ids[i];
            k->numbers[k->count++] = k->sent + i;
        }
        k->sent += BATCH;
    }
}

static bool is_cut(uint64_t behind)
{
    for (unsigned i = 1; i <= NODES; i++)
        if (is_up(i) && see(i).cut <= behind) return false;
    return true;
}

/* The logs of all who are up begin behind that. */
static void wait_for_cut(struct kept *k, uint64_t behind)
{
    traffic(k, CUT_MAILS);
    TOWN_UNTIL(is_cut(behind));
}

/* ---- what is the same */

static bool agree(void)
{
    struct commit_shard_view a = see(1);

    for (unsigned i = 2; i <= NODES; i++) {
        struct commit_shard_view b = see(i);

        if (b.digest != a.digest || memcmp(&a.counts, &b.counts, sizeof a.counts) != 0)
            return false;
    }
    return true;
}

static void wait_until_same(void)
{
    TOWN_UNTIL(agree());
}

struct fetch {
    struct commit_read read;
    int rv;
    struct blob *body;
};

static void on_fetched(struct commit_read *r, int rv, struct blob *body)
{
    struct fetch *f = CONTAINER_OF(r, struct fetch, read);

    f->rv = rv;
    f->body = body;
}

static void expect_body(struct town_node *n, uint64_t id, unsigned number)
{
    struct fetch f = { .rv = 1, .read = { .shard = SHARD, .on_done = on_fetched } };
    struct blob *want = body_of(number);

    f.read.entry = proto_id_index(id);
    assert_int_equal(commit_body_read(n->commit, n->loop, &f.read), 0);
    TOWN_UNTIL(f.rv != 1);
    assert_int_equal(f.rv, 0);
    assert_true(span_eq(blob_span(f.body), blob_span(want)));
    blob_unref(&f.body);
    blob_unref(&want);
}

static void expect_sound(const struct kept *k, unsigned reader)
{
    wait_until_same();
    for (unsigned i = 1; i <= NODES; i++) {
        struct errmsg why = { "" };

        if (queue_verify(town.nodes[i].store, SHARD, &why) != 0)
            fail_msg("node %u: %s", i, why.text);
    }
    for (unsigned i = 0; i < k->count; i++)
        expect_body(&town.nodes[reader], k->ids[i], k->numbers[i]);
}

/* ---- the tests */

static int make_town(void **state)
{
    (void)state;
    return town_make("snapshot");
}

static int remove_town(void **state)
{
    (void)state;
    return town_remove();
}

static void an_empty_node_gets_the_state(void **state)
{
    struct kept k = { .count = 0 };

    (void)state;
    start(1);
    start(2);
    wait_for_leader(1);
    wait_for_cut(&k, 1);
    start(LATE);
    traffic(&k, 20); /* while it goes */
    expect_sound(&k, LATE);
    assert_true(see(LATE).cut > 1);
    town_stop(LATE);
    traffic(&k, 4);
    start(LATE); /* log and state meet */
    traffic(&k, 4);
    expect_sound(&k, LATE);
}

static void a_stale_node_gets_the_state(void **state)
{
    struct kept k = { .count = 0 };
    uint64_t had;

    (void)state;
    start_all();
    wait_for_leader(1);
    traffic(&k, 24);
    wait_until_same();
    for (unsigned round = 0; round < 2; round++) { /* into each of the two places */
        had = see(LATE).raft.last;
        town_stop(LATE);
        wait_for_cut(&k, had);
        start(LATE);
        expect_sound(&k, LATE);
        assert_true(see(LATE).cut > had);
        wait_for_cut(&k, see(LATE).state); /* its own logs are cut, too, its bodies moved */
        expect_sound(&k, LATE);
    }
}

/* ---- who has got it needs the log behind it */

static enum town_way lose_log_to_late(struct town_node *from, struct town_node *to,
                                      enum wire_lane lane, struct blob *frame)
{
    (void)from, (void)frame;
    return lane == WIRE_LOG && to->number == LATE ? TOWN_LOST : TOWN_ARRIVES;
}

/* Its state is there, what has happened since is not on its way. Where its log begins. */
static uint64_t come_late(struct kept *k)
{
    start(1);
    start(2);
    wait_for_leader(1);
    wait_for_cut(k, 1);
    start(LATE);
    TOWN_UNTIL(metric_get(M_RAFT_SNAPSHOT_BYTES_IN) > 0);
    town.way = lose_log_to_late;
    TOWN_UNTIL(see(LATE).cut > 1 && metric_get(M_RAFT_SNAPSHOTS_SENT) == 1);
    return see(LATE).cut;
}

static void a_cut_waits_for_who_lags(void **state)
{
    struct kept k = { .count = 0 };
    uint64_t had;

    (void)state;
    had = come_late(&k);
    traffic(&k, CUT_MAILS);
    TOWN_UNTIL(see(2).cut > had); /* nobody waits for a follower's cut */
    town_turns(200);
    assert_true(see(1).cut <= had);
    town.way = NULL;
    expect_sound(&k, LATE);
    TOWN_UNTIL(see(1).cut > had);
    assert_int_equal(metric_get(M_RAFT_SNAPSHOTS_SENT), 1);
}

static void logs_of_several_bounds_wait_for_nobody(void **state)
{
    struct kept k = { .count = 0 };
    uint64_t had;

    (void)state;
    had = come_late(&k);
    traffic(&k, 3 * CUT_MAILS);
    TOWN_UNTIL(see(1).cut > had);
    town.way = NULL;
    expect_sound(&k, LATE);
    TOWN_UNTIL(metric_get(M_RAFT_SNAPSHOTS_SENT) >= 2);
}

/* ---- steps of the way, of the node that gets it. What a turn gives to the log is there when the turn is over, what becomes of
 * that comes with the next one: so between two turns each step is seen. */

enum step { STEP_STAGED, STEP_INTENDED, STEP_SWAPPED };

static bool has_intent(const struct town_node *n)
{
    struct store_group *g = check_malloc(sizeof *g);
    bool has;

    CHECK(store_group_read(raft_store_of(n->raft), SHARD, g, NULL) == 0);
    has = g->intent.index > 0;
    free(g);
    return has;
}

/* Its log ended with `had`. */
static bool is_at(enum step step, unsigned number, uint64_t had)
{
    bool intended = has_intent(&town.nodes[number]), swapped = see(number).cut > had;

    if (step == STEP_STAGED)
        return metric_get(M_RAFT_SNAPSHOT_BYTES_IN) > 0 && !intended && !swapped;
    return intended && swapped == (step == STEP_SWAPPED);
}

/* ---- the process ends */

/* In a child: until the late node is there; then all of it ends as it stands. */
static void end_at(enum step step, int out)
{
    struct kept k = { .count = 0 };

    start_all();
    wait_for_leader(1);
    traffic(&k, 12);
    wait_until_same();
    k.had = see(LATE).raft.last;
    town_stop(LATE);
    wait_for_cut(&k, k.had);
    start(LATE);
    TOWN_UNTIL(is_at(step, LATE, k.had));
    CHECK(write(out, &k, sizeof k) == sizeof k);
    _exit(0);
}

static void the_process_ends(enum step step)
{
    struct kept k;
    int pipes[2], status;
    pid_t child;

    assert_int_equal(pipe(pipes), 0);
    child = fork();
    if (child == 0) end_at(step, pipes[1]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(read(pipes[0], &k, sizeof k), sizeof k);
    close(pipes[0]);
    close(pipes[1]);
    town.incarnation = 1000;
    start_all();
    assert_int_equal(see(LATE).cut > k.had, step == STEP_SWAPPED); /* the new state, or the old */
    wait_for_leader(1);
    traffic(&k, 4);
    expect_sound(&k, LATE);
    assert_true(see(LATE).cut > k.had);
}

static void it_ends_while_chunks_come(void **state)
{
    (void)state;
    the_process_ends(STEP_STAGED);
}

static void it_ends_when_it_is_about_to_be_installed(void **state)
{
    (void)state;
    the_process_ends(STEP_INTENDED);
}

static void it_ends_between_the_state_and_the_log(void **state)
{
    (void)state;
    the_process_ends(STEP_SWAPPED);
}

/* ---- a leader that comes back with mails in its log that never were committed; others stand there */

#define LOST 12u

static unsigned leader_of_others(void)
{
    return leads(2) ? 2 : leads(3) ? 3 : 0;
}

static void leave_a_tail(void)
{
    struct town_mail lost[LOST];

    town_link(1, false);
    for (unsigned i = 0; i < LOST; i++)
        assert_int_equal(town_mail(1, &lost[i], body_of(1000 + i)), 0);
    town_turns(2);
    for (unsigned i = 0; i < LOST; i++)
        assert_int_equal(lost[i].rv, 1);
    town_stop(1);
    for (unsigned i = 0; i < LOST; i++)
        assert_int_equal(lost[i].rv, ERR_UNKNOWN);
}

/* Its state is the new one, its log the old one: what is read then is what was sent. */
static void a_log_that_is_not_replaced_yet_is_not_asked_for_bodies(void **state)
{
    struct kept k = { .count = 0 };
    uint64_t had, end;
    unsigned asked = 0;

    (void)state;
    start_all();
    wait_for_leader(1);
    traffic(&k, 8);
    wait_until_same();
    had = see(1).raft.last;
    end = had + LOST;
    leave_a_tail();
    TOWN_UNTIL(leader_of_others() != 0);
    leader = leader_of_others();
    wait_for_cut(&k, end);
    start(1);
    TOWN_UNTIL(is_at(STEP_SWAPPED, 1, end));
    for (unsigned i = 0; i < k.count; i++) {
        uint64_t entry = proto_id_index(k.ids[i]);
        struct blob *body = NULL, *want = body_of(k.numbers[i]);

        asked += entry > had && entry <= end;
        assert_int_equal(commit_body_get(town.nodes[1].commit, SHARD, entry, &body), 0);
        assert_true(span_eq(blob_span(body), blob_span(want)));
        blob_unref(&body);
        blob_unref(&want);
    }
    assert_true(asked > 0);
    wait_for_leader(1); /* it is the first again */
    traffic(&k, 4);
    expect_sound(&k, 1);
}

/* Each in a process of its own: one that has used RocksDB cannot be forked, for its threads stay behind. */
static int in_a_child(const struct CMUnitTest *test)
{
    int status = -1;
    pid_t child = fork();

    if (child == 0) exit(_cmocka_run_group_tests(test->name, test, 1, NULL, NULL));
    return waitpid(child, &status, 0) == child && status == 0 ? 0 : 1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_ends_while_chunks_come, make_town, remove_town),
        cmocka_unit_test_setup_teardown(it_ends_when_it_is_about_to_be_installed, make_town,
                                        remove_town),
        cmocka_unit_test_setup_teardown(it_ends_between_the_state_and_the_log, make_town,
                                        remove_town),
        cmocka_unit_test_setup_teardown(an_empty_node_gets_the_state, make_town, remove_town),
        cmocka_unit_test_setup_teardown(a_stale_node_gets_the_state, make_town, remove_town),
        cmocka_unit_test_setup_teardown(a_cut_waits_for_who_lags, make_town, remove_town),
        cmocka_unit_test_setup_teardown(logs_of_several_bounds_wait_for_nobody, make_town,
                                        remove_town),
        cmocka_unit_test_setup_teardown(a_log_that_is_not_replaced_yet_is_not_asked_for_bodies,
                                        make_town, remove_town),
    };
    int failed = 0;

    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++)
        failed += in_a_child(&tests[i]);
    return failed;
}
