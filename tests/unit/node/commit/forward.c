/* forward - three nodes in one thread, each as in production but for the wire: 1 and 2 lead a shard each, 3 leads none and
 * takes mail all the same. What arrives where, how often, and what is said when a leader has no room, goes, or does not answer.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "node/commit/forward.h"
#include "raft/wire/queue.h"

#define NODES     3
#define TURNS_MAX 20000

struct node {
    uint64_t number;
    const char *region;
    struct loop *loop;
    struct raft *raft;
    struct queue_store *store;
    struct peers *peers;
    struct commit *commit;
    struct wire wire;
    struct wire_events events;
    bool is_cut, is_mute; /* no lane is up; what it says in calls is held back */
    struct queue held;
};
static struct town {
    char dir[64];
    struct node nodes[NODES + 1];
} town;

static int send_frame(struct wire *w, uint64_t to, enum wire_lane lane, struct blob *frame)
{
    struct node *from = CONTAINER_OF(w, struct node, wire), *n = &town.nodes[to];

    if (from->is_cut || n->is_cut) return ERR_CLOSED;
    if (from->is_mute && frame->p[0] == PEER_FRAME)
        wire_queue_put(&from->held, blob_ref(frame));
    else
        n->events.on_frame(n->events.arg, from->number, lane, blob_ref(frame));
    return 0;
}

static void turn(void)
{
    for (unsigned i = 1; i <= NODES; i++)
        loop_turn(town.nodes[i].loop, 1);
}

/* ---- the town */

static void start(unsigned number)
{
    static const struct wire_calls calls = { .send = send_frame };
    static const char *const regions[] = { "", "north", "south", "south" };
    struct node *n = &town.nodes[number];
    struct wire_events behind;
    struct raft_loop_port port;
    char path[128];
    struct errmsg why = { "" };

    *n = (struct node){ .number = number, .wire.calls = &calls, .region = regions[number] };
    wire_queue_init(&n->held, SIZE_MAX);
    CHECK(loop_new(&n->loop, 0, &why) == 0);
    port = (struct raft_loop_port){ .arg = n->loop, .wake = loop_wake_arg };
    snprintf(path, sizeof path, "%s/%u-log", town.dir, number);
    CHECK(raft_open(&n->raft,
                    &(struct raft_options){ .dir = path,
                                            .node_id = number,
                                            .loops = &port,
                                            .loop_count = 1,
                                            .incarnation = 1,
                                            .seed = number,
                                            .memtable_bytes = 4u << 20 },
                    NULL, &why) == 0);
    behind = raft_wire_events(n->raft);
    n->peers = peers_new(number, 1, &behind);
    n->events = peers_wire_events(n->peers);
    raft_wire_attach(n->raft, &n->wire);
    peers_attach(n->peers, &n->wire);
    CHECK(queue_store_open(&n->store, NULL, &why) == 0);
    CHECK(commit_open(&n->commit,
                      &(struct commit_options){ .loops = &n->loop,
                                                .loop_count = 1,
                                                .raft = n->raft,
                                                .peers = n->peers,
                                                .region = n->region,
                                                .store = n->store,
                                                .data_dir = town.dir,
                                                .node = number,
                                                .shard_max = 8 },
                      &why) == 0);
}

static void link_all(unsigned number, bool up)
{
    for (unsigned k = 1; k <= NODES; k++)
        for (unsigned lane = 0; k != number && lane < WIRE_LANES; lane++)
            for (unsigned end = 0; end < 2; end++) {
                struct node *n = &town.nodes[end ? k : number];

                n->events.on_peer(n->events.arg, &(struct wire_link){ .node = end ? number : k,
                                                                      .lane = (enum wire_lane)lane,
                                                                      .up = up,
                                                                      .incarnation = 1 });
            }
}

static void cut(unsigned number)
{
    town.nodes[number].is_cut = true;
    link_all(number, false);
}

static void let_speak(unsigned number)
{
    struct node *n = &town.nodes[number];

    n->is_mute = false;
    for (struct blob *b; (b = wire_queue_take(&n->held)) != NULL;)
        town.nodes[3].events.on_frame(town.nodes[3].events.arg, number, WIRE_BULK, b);
}

/* Shard n is node n's alone. */
static void found_shard(unsigned number)
{
    uint64_t voter = number;
    struct commit_placement p = { .shard = number,
                                  .founders = raft_config_of(&voter, 1),
                                  .wanted = raft_config_of(&voter, 1) };

    commit_place(town.nodes[number].commit, &p);
}

static bool knows_both(void)
{
    return leaders_of(town.nodes[3].commit, 1) == 1 && leaders_of(town.nodes[3].commit, 2) == 2;
}

static int open_town(void **state)
{
    (void)state;
    snprintf(town.dir, sizeof town.dir, "/tmp/angarium-forward-XXXXXX");
    CHECK(mkdtemp(town.dir));
    for (unsigned i = 1; i <= NODES; i++)
        start(i);
    link_all(1, true);
    for (unsigned lane = 0; lane < WIRE_LANES; lane++)
        for (unsigned end = 2; end <= 3; end++)
            town.nodes[end].events.on_peer(
                town.nodes[end].events.arg,
                &(struct wire_link){
                    .node = 5 - end, .lane = (enum wire_lane)lane, .up = true, .incarnation = 1 });
    found_shard(1);
    found_shard(2);
    for (unsigned i = 0; i < TURNS_MAX && !knows_both(); i++)
        turn();
    CHECK(knows_both());
    return 0;
}

static int remove_one(const char *path, const struct stat *s, int kind, struct FTW *at)
{
    (void)s, (void)kind, (void)at;
    return remove(path);
}

static int close_town(void **state)
{
    (void)state;
    for (unsigned i = 1; i <= NODES; i++)
        peers_stop(town.nodes[i].peers);
    turn();
    for (unsigned i = 1; i <= NODES; i++) {
        struct node *n = &town.nodes[i];

        loop_settle(n->loop);
        peers_free(&n->peers);
        commit_close(&n->commit);
        raft_close(&n->raft);
        queue_store_close(&n->store);
        loop_free(&n->loop);
        wire_queue_deinit(&n->held);
    }
    return nftw(town.dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static struct queue_counts counts(unsigned number)
{
    struct commit_shard_view v;

    commit_shard_see(town.nodes[number].commit, number, &v);
    return v.counts;
}

static uint64_t accepted(void)
{
    return counts(1).accepted + counts(2).accepted;
}

/* ---- what a session does, at node 3 */

struct send {
    struct commit_mail mail;
    int rv; /* 1: no answer yet */
    uint64_t id;
    unsigned told;
};

static void on_mail(struct commit_mail *m, int rv, uint64_t id)
{
    struct send *s = CONTAINER_OF(m, struct send, mail);

    s->told++;
    s->rv = rv;
    s->id = id;
}

static struct blob *bytes(size_t n)
{
    struct blob *b = blob_new(n);

    memset(b->p, 'x', n);
    b->n = n;
    return b;
}

#define RECIPIENTS 1000u
static char long_address[320], long_orcpt[443];

static int begin(struct send *s, size_t size, unsigned recipients, struct commit_upload *upload)
{
    Angarium__Accept accept = ANGARIUM__ACCEPT__INIT;
    Angarium__Recipient r = ANGARIUM__RECIPIENT__INIT, *list[RECIPIENTS];
    Angarium__BodyFacts facts = ANGARIUM__BODY_FACTS__INIT;
    Angarium__Origin origin = ANGARIUM__ORIGIN__INIT;
    int rv;

    *s = (struct send){ .rv = 1 };
    r.address = proto_bytes(SPAN_LIT("to@example.org"));
    r.domain = proto_bytes(SPAN_LIT("example.org"));
    if (recipients > 1) {
        r.address = proto_bytes(span_of(long_address, sizeof long_address));
        r.orcpt = proto_bytes(span_of(long_orcpt, sizeof long_orcpt));
    }
    for (unsigned i = 0; i < recipients; i++)
        list[i] = &r;
    facts.size = size;
    accept.time_ms = loop_wall_ms(town.nodes[3].loop);
    accept.mail_from = proto_bytes(SPAN_LIT("from@example.test"));
    accept.recipients = list;
    accept.n_recipients = recipients;
    accept.body = &facts;
    accept.origin = &origin;
    accept.expires_at_ms = accept.time_ms + 1000000;
    s->mail.accept = &accept;
    s->mail.body = upload ? NULL : bytes(size);
    s->mail.upload = upload;
    s->mail.on_done = on_mail;
    rv = commit_mail(town.nodes[3].commit, town.nodes[3].loop, &s->mail);
    blob_unref(&s->mail.body);
    if (rv != 0) commit_upload_abort(&s->mail.upload);
    return rv;
}

static void wait_answer(struct send *s)
{
    for (unsigned i = 0; i < TURNS_MAX && s->rv == 1; i++)
        turn();
    assert_int_not_equal(s->rv, 1);
    assert_int_equal(s->told, 1);
}

static int send_mail(uint64_t *id_out)
{
    struct send s;
    int rv = begin(&s, 6, 1, NULL);

    if (rv != 0) return rv;
    wait_answer(&s);
    if (id_out) *id_out = s.id;
    return s.rv;
}

static void some_turns(void)
{
    for (unsigned i = 0; i < 50; i++)
        turn();
}

static bool room;
static void on_room(void *arg)
{
    *(bool *)arg = true;
}

static int send_chunks(struct commit_upload *u, unsigned count)
{
    int rv = 0;

    commit_upload_on_room(u, on_room, &room);
    for (unsigned i = 0; i < count && rv == 0; i++) {
        struct blob *chunk = bytes(COMMIT_INLINE_SIZE_MAX);

        while ((rv = commit_upload_chunk(u, &chunk)) == ERR_FULL) {
            room = false;
            for (unsigned k = 0; k < TURNS_MAX && !room; k++)
                turn();
            CHECK(room);
        }
        blob_unref(&chunk);
    }
    return rv;
}

static struct commit_upload *open_upload(void)
{
    struct commit_upload *u;

    CHECK(commit_upload_open(town.nodes[3].commit, town.nodes[3].loop, &u) == 0);
    return u;
}

/* ---- where mail goes */

static void a_node_that_leads_nothing_takes_mail(void **state)
{
    char why[160];
    uint64_t id = 0;

    (void)state;
    assert_int_equal(commit_may_take(town.nodes[3].commit, 1000), 0);
    assert_true(commit_is_ready(town.nodes[3].commit, why, sizeof why));
    assert_int_equal(send_mail(&id), 0);
    assert_int_equal(accepted(), 1);
    /* of our own region first; the id is the one of the shard that took it */
    assert_int_equal(proto_id_shard(id), 2);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(send_mail(NULL), 0);
    assert_int_equal(counts(2).accepted, 6);
}

static void a_leader_that_does_not_take_it_says_so_and_another_does(void **state)
{
    uint64_t id = 0;

    (void)state;
    /* node 3 does not know it yet: it asks, hears no, and asks the other one in the same try */
    commit_drain(town.nodes[2].commit);
    assert_int_equal(send_mail(&id), 0);
    assert_int_equal(proto_id_shard(id), 1);
    assert_int_equal(accepted(), 1);
    some_turns();
    assert_int_equal(send_mail(&id), 0);
    assert_int_equal(accepted(), 2);
}

/* A shard that has just ceased to lead: what came to it and was not proposed goes to another node. */
static void what_a_shard_here_does_not_take_goes_on(void **state)
{
    struct shard *s = commit_shard(town.nodes[3].commit, 4);

    (void)state;
    atomic_store(&town.nodes[3].commit->shard_count, 4);
    atomic_store(&s->leads_shared, true);
    assert_int_equal(send_mail(NULL), 0);
    assert_int_equal(accepted(), 1);
    cut(1);
    cut(2);
    some_turns();
    assert_int_equal(send_mail(NULL), ERR_NOT_LEADER);
    atomic_store(&s->leads_shared, false);
    assert_int_equal(accepted(), 1);
}

static void when_none_has_room_that_is_said(void **state)
{
    const struct commit_limits full = { .queue_messages_max = 1 };
    char why[160];

    (void)state;
    commit_set_limits(town.nodes[1].commit, &full);
    commit_set_limits(town.nodes[2].commit, &full);
    assert_int_equal(send_mail(NULL), 0);
    assert_int_equal(send_mail(NULL), 0);
    assert_int_equal(accepted(), 2);
    assert_int_equal(send_mail(NULL),
                     ERR_FULL); /* both were asked, or said before that they are full */
    assert_int_equal(accepted(), 2);
    for (unsigned i = 0; i < TURNS_MAX && leaders_any(town.nodes[3].commit); i++)
        turn();
    assert_false(commit_is_ready(town.nodes[3].commit, why, sizeof why));
}

/* A node that has no room, and one that goes and has some: the next try may find it, so this is no want of room. */
static void one_is_full_and_another_goes(void **state)
{
    const struct commit_limits no_room = { .queue_bytes_max = 1 };

    (void)state;
    commit_set_limits(town.nodes[1].commit, &no_room);
    commit_drain(town.nodes[2].commit);
    assert_int_equal(send_mail(NULL), ERR_NOT_LEADER);
    assert_int_equal(accepted(), 0);
}

static void when_nobody_leads_that_is_said(void **state)
{
    char why[160];

    (void)state;
    cut(1);
    cut(2);
    some_turns();
    assert_int_equal(commit_may_take(town.nodes[3].commit, 1), ERR_NOT_LEADER);
    assert_int_equal(send_mail(NULL), ERR_NOT_LEADER);
    assert_false(commit_is_ready(town.nodes[3].commit, why, sizeof why));
    assert_int_equal(accepted(), 0);
}

/* P1, and never twice: the leader has the mail, its answer does not come, the lane goes down. */
static void without_an_answer_it_is_not_known_and_not_sent_again(void **state)
{
    struct send s;

    (void)state;
    town.nodes[2].is_mute = true;
    assert_int_equal(begin(&s, 6, 1, NULL), 0);
    for (unsigned i = 0; i < TURNS_MAX && counts(2).accepted == 0; i++)
        turn();
    assert_int_equal(s.rv, 1); /* committed, and not said: no 250 */
    some_turns();
    assert_int_equal(s.rv, 1);
    cut(2);
    wait_answer(&s);
    assert_int_equal(s.rv, ERR_UNKNOWN);
    some_turns();
    assert_int_equal(counts(1).accepted, 0);
    assert_int_equal(accepted(), 1);
}

static void an_answer_that_comes_late_enough_counts(void **state)
{
    struct send s;

    (void)state;
    town.nodes[2].is_mute = true;
    assert_int_equal(begin(&s, 6, 1, NULL), 0);
    some_turns();
    assert_int_equal(s.rv, 1);
    let_speak(2);
    wait_answer(&s);
    assert_int_equal(s.rv, 0);
    assert_int_equal(accepted(), 1);
}

static void who_has_forgotten_a_mail_hears_nothing(void **state)
{
    struct send s;

    (void)state;
    assert_int_equal(begin(&s, 6, 1, NULL), 0);
    commit_mail_forget(&s.mail);
    for (unsigned i = 0; i < TURNS_MAX && accepted() == 0; i++)
        turn();
    some_turns();
    assert_int_equal(s.told, 0);
}

/* ---- bodies in chunks */

static void a_large_body_goes_up_in_chunks(void **state)
{
    struct commit_upload *u = open_upload();
    Angarium__MessageRecord *m = NULL;
    struct send s;

    (void)state;
    assert_int_equal(send_chunks(u, 9), 0);
    assert_int_equal(begin(&s, 9 * COMMIT_INLINE_SIZE_MAX, 1, u), 0);
    wait_answer(&s);
    assert_int_equal(s.rv, 0);
    assert_int_equal(accepted(), 1);
    assert_int_equal(proto_id_shard(s.id), 2);
    assert_int_equal(queue_message_get(town.nodes[2].store, 2, proto_id_index(s.id), &m), 0);
    assert_int_equal(m->n_chunks, 9);
    queue_message_free(&m);
    some_turns();
    assert_int_equal(counts(2).uploads, 0);
}

static void no_uploads_within_time(void)
{
    for (unsigned i = 0; i < TURNS_MAX && counts(2).uploads > 0; i++)
        turn();
    assert_int_equal(counts(2).uploads, 0);
}

static void an_upload_that_is_given_up_is_forgotten_there(void **state)
{
    struct commit_upload *u = open_upload();

    (void)state;
    assert_int_equal(send_chunks(u, 4), 0);
    for (unsigned i = 0; i < TURNS_MAX && counts(2).uploads == 0; i++)
        turn();
    assert_int_equal(counts(2).uploads, 1);
    commit_upload_abort(&u);
    no_uploads_within_time();
    assert_int_equal(accepted(), 0);
}

static void the_upload_of_a_node_that_goes_is_forgotten(void **state)
{
    struct commit_upload *u = open_upload();
    struct send s;

    (void)state;
    assert_int_equal(send_chunks(u, 4), 0);
    for (unsigned i = 0; i < TURNS_MAX && counts(2).uploads == 0; i++)
        turn();
    cut(3);
    no_uploads_within_time();
    /* and its client is told to come again: nothing of it can have been taken */
    assert_int_equal(begin(&s, 4 * COMMIT_INLINE_SIZE_MAX, 1, u), 0);
    wait_answer(&s);
    assert_int_equal(s.rv, ERR_NOT_LEADER);
    assert_int_equal(accepted(), 0);
}

static void a_chunk_that_finds_no_way_ends_the_upload(void **state)
{
    struct commit_upload *u = open_upload();

    (void)state;
    assert_int_equal(send_chunks(u, 2), 0);
    cut(2);
    assert_int_equal(send_chunks(u, 4), ERR_NOT_LEADER);
    commit_upload_abort(&u);
    some_turns();
}

/* Head and body do not fit into one frame. */
static void the_largest_head_and_body_come_whole(void **state)
{
    struct send s;

    (void)state;
    memset(long_address, 'a', sizeof long_address);
    memset(long_orcpt, 'o', sizeof long_orcpt);
    memcpy(long_address + sizeof long_address - 12, "@example.org", 12);
    assert_int_equal(begin(&s, COMMIT_INLINE_SIZE_MAX, RECIPIENTS, NULL), 0);
    wait_answer(&s);
    assert_int_equal(s.rv, 0);
    assert_int_equal(accepted(), RECIPIENTS);
}

/* ---- orders */

struct ordered {
    struct commit_order order;
    int rv;
};

static void on_ordered(struct commit_order *o, int rv)
{
    CONTAINER_OF(o, struct ordered, order)->rv = rv;
}

static int cancel(uint32_t shard, uint64_t index)
{
    Angarium__Cancel what = ANGARIUM__CANCEL__INIT;
    Angarium__Command command = ANGARIUM__COMMAND__INIT;
    struct ordered o = { .rv = 1 };
    int rv;

    what.index = index;
    what.time_ms = loop_wall_ms(town.nodes[3].loop);
    command.kind_case = ANGARIUM__COMMAND__KIND_CANCEL;
    command.cancel = &what;
    o.order = (struct commit_order){ .command = &command, .shard = shard, .on_done = on_ordered };
    rv = commit_order(town.nodes[3].commit, town.nodes[3].loop, &o.order);
    if (rv != 0) return rv;
    for (unsigned i = 0; i < TURNS_MAX && o.rv == 1; i++)
        turn();
    return o.rv;
}

static void orders_go_to_the_leader(void **state)
{
    uint64_t id = 0;

    (void)state;
    assert_int_equal(send_mail(&id), 0);
    assert_int_equal(cancel(proto_id_shard(id), proto_id_index(id)), 0);
    assert_int_equal(counts(2).cancelled, 1);
    assert_int_equal(cancel(proto_id_shard(id), proto_id_index(id)), ERR_NOT_FOUND);
    assert_int_equal(cancel(1, 4711), ERR_NOT_FOUND);
    assert_int_equal(cancel(5, 4711), ERR_NOT_LEADER); /* nobody leads it */
    assert_int_equal(cancel(99, 1), ERR_NOT_FOUND);    /* there is no such shard */
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, open_town, close_town)
    const struct CMUnitTest tests[] = {
        T(a_node_that_leads_nothing_takes_mail),
        T(a_leader_that_does_not_take_it_says_so_and_another_does),
        T(what_a_shard_here_does_not_take_goes_on),
        T(when_none_has_room_that_is_said),
        T(one_is_full_and_another_goes),
        T(when_nobody_leads_that_is_said),
        T(without_an_answer_it_is_not_known_and_not_sent_again),
        T(an_answer_that_comes_late_enough_counts),
        T(who_has_forgotten_a_mail_hears_nothing),
        T(a_large_body_goes_up_in_chunks),
        T(an_upload_that_is_given_up_is_forgotten_there),
        T(the_upload_of_a_node_that_goes_is_forgotten),
        T(a_chunk_that_finds_no_way_ends_the_upload),
        T(the_largest_head_and_body_come_whole),
        T(orders_go_to_the_leader),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
