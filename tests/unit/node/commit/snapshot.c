/* snapshot - three nodes in one thread, each with loop, log, store and commit as in production: a shard's state goes to one
 * that was not there while mails came and the log was cut, empty or stale; the process ends at each step of the way.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "node/commit/commit.h"
#include "proto/ground/check.h"
#include "proto/ground/metric.h"
#include "raft/engine/engine.h"

#define NODES     3
#define LATE      3 /* the node that comes late */
#define TURNS_MAX 20000
#define SHARD     1
#define BODY_SIZE 9000

struct node {
    uint64_t number;
    struct loop *loop; /* NULL: down */
    struct raft *raft;
    struct queue_store *store;
    struct commit *commit;
    struct wire wire;
    struct wire_events events;
};
static struct town {
    char dir[64];
    struct node nodes[NODES + 1];
    uint64_t incarnation;
} town;

static int send_frame(struct wire *w, uint64_t to, enum wire_lane lane, struct blob *frame)
{
    struct node *from = CONTAINER_OF(w, struct node, wire), *n = &town.nodes[to];

    if (!n->loop) return ERR_CLOSED;
    n->events.on_frame(n->events.arg, from->number, lane, blob_ref(frame));
    return 0;
}

static void tell_link(struct node *n, const struct node *other, bool up)
{
    for (unsigned lane = 0; lane < WIRE_LANES; lane++)
        n->events.on_peer(n->events.arg, &(struct wire_link){ .node = other->number,
                                                              .lane = (enum wire_lane)lane,
                                                              .up = up,
                                                              .incarnation = town.incarnation });
}

static void turn(void)
{
    for (unsigned i = 1; i <= NODES; i++)
        if (town.nodes[i].loop) loop_turn(town.nodes[i].loop, 1);
}

static void start(unsigned number)
{
    static const struct wire_calls calls = { .send = send_frame };
    struct node *n = &town.nodes[number];
    struct core_config members = raft_config_of((uint64_t[]){ 1, 2, 3 }, 3);
    struct raft_loop_port port;
    char path[128], data[100];
    struct errmsg why = { "" };

    members.members[0].priority = 9;
    *n = (struct node){ .number = number, .wire.calls = &calls };
    snprintf(data, sizeof data, "%s/%u", town.dir, number);
    CHECK(loop_new(&n->loop, 0, &why) == 0);
    port = (struct raft_loop_port){ .arg = n->loop, .wake = loop_wake_arg };
    snprintf(path, sizeof path, "%s-log", data);
    CHECK(raft_open(&n->raft,
                    &(struct raft_options){ .dir = path,
                                            .node_id = number,
                                            .loops = &port,
                                            .loop_count = 1,
                                            .incarnation = ++town.incarnation,
                                            .seed = town.incarnation,
                                            .snapshot_bytes_per_s = 4u << 20,
                                            .memtable_bytes = 4u << 20 },
                    NULL, &why) == 0);
    n->events = raft_wire_events(n->raft);
    raft_wire_attach(n->raft, &n->wire);
    snprintf(path, sizeof path, "%s-state", data);
    CHECK(queue_store_open(&n->store, path, &why) == 0);
    CHECK(commit_open(&n->commit,
                      &(struct commit_options){ .loops = &n->loop,
                                                .loop_count = 1,
                                                .raft = n->raft,
                                                .store = n->store,
                                                .data_dir = town.dir,
                                                .node = number,
                                                .config = &members,
                                                .shard_count = 1,
                                                .limits.body_cache_bytes = 1,
                                                .cut_bytes = 200000 },
                      &why) == 0);
    for (unsigned i = 1; i <= NODES; i++) {
        if (i == number || !town.nodes[i].loop) continue;
        tell_link(n, &town.nodes[i], true);
        tell_link(&town.nodes[i], n, true);
    }
}

static void stop(unsigned number)
{
    struct node *n = &town.nodes[number];

    for (unsigned i = 1; i <= NODES; i++)
        if (i != number && town.nodes[i].loop) tell_link(&town.nodes[i], n, false);
    loop_settle(n->loop);
    commit_close(&n->commit);
    raft_close(&n->raft);
    queue_store_close(&n->store);
    loop_free(&n->loop);
}

static void stop_all(void)
{
    for (unsigned i = 1; i <= NODES; i++)
        if (town.nodes[i].loop) stop(i);
}

static struct commit_shard_view see(unsigned number)
{
    struct commit_shard_view v;

    commit_shard_see(town.nodes[number].commit, SHARD, &v);
    return v;
}

/* ---- what clients do, on node 1, which leads */

struct send {
    struct commit_mail mail;
    int rv; /* 1: no answer yet */
    uint64_t id;
};

static void on_mail(struct commit_mail *m, int rv, uint64_t id)
{
    struct send *s = CONTAINER_OF(m, struct send, mail);

    s->rv = rv;
    s->id = id;
}

static void wait_for_leader(void)
{
    for (unsigned i = 0; i < TURNS_MAX && !see(1).leads; i++)
        turn();
    CHECK(see(1).leads);
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

static uint64_t send_mail(unsigned number)
{
    Angarium__Accept accept = ANGARIUM__ACCEPT__INIT;
    Angarium__Recipient r = ANGARIUM__RECIPIENT__INIT, *list = &r;
    Angarium__BodyFacts facts = ANGARIUM__BODY_FACTS__INIT;
    Angarium__Origin origin = ANGARIUM__ORIGIN__INIT;
    struct node *n = &town.nodes[1];
    struct send s = { .rv = 1 };

    r.address = proto_bytes(SPAN_LIT("to@example.org"));
    r.domain = proto_bytes(SPAN_LIT("example.org"));
    facts.size = BODY_SIZE;
    accept.time_ms = loop_wall_ms(n->loop);
    accept.mail_from = proto_bytes(SPAN_LIT("from@example.test"));
    accept.recipients = &list;
    accept.n_recipients = 1;
    accept.body = &facts;
    accept.origin = &origin;
    accept.expires_at_ms = accept.time_ms + 1000000;
    s.mail.accept = &accept;
    s.mail.body = body_of(number);
    s.mail.on_done = on_mail;
    CHECK(commit_mail(n->commit, n->loop, &s.mail) == 0);
    for (unsigned i = 0; i < TURNS_MAX && s.rv == 1; i++)
        turn();
    CHECK(s.rv == 0);
    return s.id;
}

struct claim {
    struct commit_claim claim;
    struct commit_ref ref;
    int rv;
};

static void on_claimed(struct commit_claim *c, int rv)
{
    CONTAINER_OF(c, struct claim, claim)->rv = rv;
}

static void claim(uint64_t id)
{
    struct claim c = { .rv = 1, .ref.index = proto_id_index(id) };

    c.claim.refs = &c.ref;
    c.claim.count = 1;
    c.claim.on_done = on_claimed;
    CHECK(commit_claim(town.nodes[1].commit, SHARD, &c.claim) == 0);
    for (unsigned i = 0; i < TURNS_MAX && c.rv == 1; i++)
        turn();
    CHECK(c.rv == 0 && !c.ref.refused);
}

static void deliver(uint64_t id)
{
    Angarium__RecipientOutcome o = ANGARIUM__RECIPIENT_OUTCOME__INIT;

    claim(id);
    o.index = proto_id_index(id);
    o.result = ANGARIUM__RESULT__RESULT_DELIVERED;
    commit_outcome(town.nodes[1].commit, SHARD, &o, 1);
}

struct order {
    struct commit_order order;
    int rv;
};

static void on_ordered(struct commit_order *o, int rv)
{
    CONTAINER_OF(o, struct order, order)->rv = rv;
}

static void hold(uint64_t id)
{
    Angarium__Command command = ANGARIUM__COMMAND__INIT;
    Angarium__Hold what = ANGARIUM__HOLD__INIT;
    struct order o = { .rv = 1 };
    struct node *n = &town.nodes[1];

    what.time_ms = loop_wall_ms(n->loop);
    what.index = proto_id_index(id);
    command.kind_case = ANGARIUM__COMMAND__KIND_HOLD;
    command.hold = &what;
    o.order = (struct commit_order){ .command = &command, .shard = SHARD, .on_done = on_ordered };
    CHECK(commit_order(n->commit, n->loop, &o.order) == 0);
    for (unsigned i = 0; i < TURNS_MAX && o.rv == 1; i++)
        turn();
    CHECK(o.rv == 0);
}

/* Some wait, some are claimed, held, over; ids and numbers of those whose bodies are needed. */
struct kept {
    uint64_t ids[200];
    unsigned numbers[200], count, sent;
};

static void traffic(struct kept *k, unsigned mails)
{
    for (unsigned i = 0; i < mails; i++) {
        unsigned number = k->sent++;
        uint64_t id = send_mail(number);

        if (number % 4 == 1) claim(id);
        if (number % 4 == 2) hold(id);
        if (number % 4 == 3) {
            deliver(id);
            continue;
        }
        k->ids[k->count] = id;
        k->numbers[k->count++] = number;
    }
}

/* The logs of nodes 1 and 2 begin behind all that the late one has. */
static void wait_for_cut(struct kept *k, uint64_t behind)
{
    for (unsigned i = 0; i < 100 && (see(1).cut <= behind || see(2).cut <= behind); i++)
        traffic(k, 4);
    CHECK(see(1).cut > behind && see(2).cut > behind);
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
    for (unsigned i = 0; i < TURNS_MAX && !agree(); i++)
        turn();
    assert_true(agree());
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

static void expect_body(struct node *n, uint64_t id, unsigned number)
{
    struct fetch f = { .rv = 1, .read = { .shard = SHARD, .on_done = on_fetched } };
    struct blob *want = body_of(number);

    f.read.entry = proto_id_index(id);
    assert_int_equal(commit_body_read(n->commit, n->loop, &f.read), 0);
    for (unsigned i = 0; i < TURNS_MAX && f.rv == 1; i++)
        turn();
    assert_int_equal(f.rv, 0);
    assert_true(span_eq(blob_span(f.body), blob_span(want)));
    blob_unref(&f.body);
    blob_unref(&want);
}

static void expect_sound(const struct kept *k)
{
    wait_until_same();
    for (unsigned i = 1; i <= NODES; i++) {
        struct errmsg why = { "" };

        if (queue_verify(town.nodes[i].store, SHARD, &why) != 0)
            fail_msg("node %u: %s", i, why.text);
    }
    for (unsigned i = 0; i < k->count; i++)
        expect_body(&town.nodes[LATE], k->ids[i], k->numbers[i]);
}

/* ---- the tests */

static int make_town(void **state)
{
    (void)state;
    memset(&town, 0, sizeof town);
    snprintf(town.dir, sizeof town.dir, "/tmp/angarium-snapshot-XXXXXX");
    return mkdtemp(town.dir) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static int remove_town(void **state)
{
    (void)state;
    stop_all();
    return nftw(town.dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void an_empty_node_gets_the_state(void **state)
{
    struct kept k = { .count = 0 };

    (void)state;
    start(1);
    start(2);
    wait_for_leader();
    wait_for_cut(&k, 1);
    start(LATE);
    traffic(&k, 20); /* while it goes */
    expect_sound(&k);
    assert_true(see(LATE).cut > 1);
    stop(LATE);
    traffic(&k, 4);
    start(LATE); /* log and state meet */
    traffic(&k, 4);
    expect_sound(&k);
}

static void a_stale_node_gets_the_state(void **state)
{
    struct kept k = { .count = 0 };
    uint64_t had;

    (void)state;
    for (unsigned i = 1; i <= NODES; i++)
        start(i);
    wait_for_leader();
    traffic(&k, 24);
    wait_until_same();
    for (unsigned round = 0; round < 2; round++) { /* into each of the two places */
        had = see(LATE).raft.last;
        stop(LATE);
        wait_for_cut(&k, had);
        start(LATE);
        expect_sound(&k);
        assert_true(see(LATE).cut > had);
        wait_for_cut(&k, see(LATE).state); /* its own logs are cut, too, its bodies moved */
        expect_sound(&k);
    }
}

/* ---- the process ends */

enum step { STEP_STAGED, STEP_INTENDED, STEP_SWAPPED, STEP_COUNT };

static bool has_intent(struct node *n)
{
    struct store_group *g = check_malloc(sizeof *g);
    bool has;

    CHECK(store_group_read(raft_store_of(n->raft), SHARD, g, NULL) == 0);
    has = g->intent.index > 0;
    free(g);
    return has;
}

static bool is_at(enum step step, uint64_t had)
{
    struct node *n = &town.nodes[LATE];
    struct queue *q = NULL;
    uint64_t applied;

    if (step == STEP_STAGED) return metric_get(M_RAFT_SNAPSHOT_BYTES_IN) > 0;
    if (step == STEP_INTENDED) return has_intent(n);
    CHECK(queue_open(&q, n->store, SHARD, NULL) == 0);
    applied = queue_applied(q);
    queue_close(&q);
    return applied > had + 1 && see(LATE).state <= had;
}

/* In a child: until the late node is there; then all of it ends as it stands. */
static void end_at(enum step step, int out)
{
    struct kept k = { .count = 0 };
    uint64_t had;

    for (unsigned i = 1; i <= NODES; i++)
        start(i);
    wait_for_leader();
    traffic(&k, 12);
    wait_until_same();
    had = see(LATE).raft.last;
    stop(LATE);
    wait_for_cut(&k, had);
    start(LATE);
    for (unsigned i = 0; i < TURNS_MAX && !is_at(step, had); i++)
        turn();
    CHECK(is_at(step, had));
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
    for (unsigned i = 1; i <= NODES; i++)
        start(i);
    wait_for_leader();
    traffic(&k, 4);
    expect_sound(&k);
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
    };
    int failed = 0;

    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++)
        failed += in_a_child(&tests[i]);
    return failed;
}
