/* forward - three nodes (town.h): 1 and 2 lead a shard each, 3 leads none and takes mail all the same. What arrives where, how
 * often, and what is said when a leader has no room, goes, or does not answer.
 */
#include "tests/unit/node/commit/town.h"

#include "node/commit/forward.h"
#include "raft/wire/queue.h"

#define NODES TOWN_NODES

static bool is_cut[NODES + 1], is_mute[NODES + 1]; /* no way; what it says in calls is held back */
static bool is_silent[NODES + 1];                  /* nothing comes or goes, and nobody's lane has noticed */
static struct queue held[NODES + 1];

static enum town_way way(struct town_node *from, struct town_node *to, enum wire_lane lane,
                         struct blob *frame)
{
    (void)lane;
    if (is_cut[from->number] || is_cut[to->number]) return TOWN_NO_WAY;
    if (is_silent[from->number] || is_silent[to->number]) return TOWN_LOST;
    if (!is_mute[from->number] || frame->p[0] != PEER_FRAME) return TOWN_ARRIVES;
    wire_queue_put(&held[from->number], blob_ref(frame));
    return TOWN_LOST;
}

static void start(unsigned number)
{
    static const char *const regions[] = { "", "north", "south", "south" };

    is_cut[number] = is_mute[number] = is_silent[number] = false;
    wire_queue_init(&held[number], SIZE_MAX);
    town_start(number,
               &(struct town_start){ .has_peers = true,
                                     .commit = { .region = regions[number], .shard_max = 8 } });
}

static void cut(unsigned number)
{
    is_cut[number] = true;
    town_link(number, false);
}

static void let_speak(unsigned number)
{
    struct town_node *to = &town.nodes[3];

    is_mute[number] = false;
    for (struct blob *b; (b = wire_queue_take(&held[number])) != NULL;)
        to->events.on_frame(to->events.arg, number, WIRE_BULK, b);
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
    CHECK(town_make("forward") == 0);
    town.way = way;
    for (unsigned i = 1; i <= NODES; i++)
        start(i);
    found_shard(1);
    found_shard(2);
    TOWN_UNTIL(knows_both());
    return 0;
}

static int close_town(void **state)
{
    int rv = town_remove();

    (void)state;
    for (unsigned i = 1; i <= NODES; i++)
        wire_queue_deinit(&held[i]);
    return rv;
}

static struct queue_counts counts(unsigned number)
{
    return town_see(number, number).counts;
}

static uint64_t accepted(void)
{
    return counts(1).accepted + counts(2).accepted;
}

/* ---- what a session does, at node 3 */

static struct blob *bytes(size_t n)
{
    struct blob *b = blob_new(n);

    memset(b->p, 'x', n);
    b->n = n;
    return b;
}

#define RECIPIENTS 1000u
static char long_address[320], long_orcpt[443];

static int begin(struct town_mail *s, size_t size, unsigned recipients,
                 struct commit_upload *upload)
{
    Angarium__Recipient r = ANGARIUM__RECIPIENT__INIT, *list[RECIPIENTS];

    r.address = proto_bytes(SPAN_LIT("to@example.org"));
    r.domain = proto_bytes(SPAN_LIT("example.org"));
    if (recipients > 1) {
        r.address = proto_bytes(span_of(long_address, sizeof long_address));
        r.orcpt = proto_bytes(span_of(long_orcpt, sizeof long_orcpt));
    }
    for (unsigned i = 0; i < recipients; i++)
        list[i] = &r;
    return town_mail_to(3, s, list, recipients, size, upload ? NULL : bytes(size), upload);
}

static void wait_answer(struct town_mail *s)
{
    TOWN_UNTIL(s->rv != 1);
    assert_int_equal(s->told, 1);
}

static int send_mail(uint64_t *id_out)
{
    struct town_mail s;
    int rv = begin(&s, 6, 1, NULL);

    if (rv != 0) return rv;
    wait_answer(&s);
    if (id_out) *id_out = s.id;
    return s.rv;
}

static void some_turns(void)
{
    town_turns(50);
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
            TOWN_UNTIL(room);
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
    TOWN_UNTIL(!leaders_any(town.nodes[3].commit));
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
    struct town_mail s;

    (void)state;
    is_mute[2] = true;
    assert_int_equal(begin(&s, 6, 1, NULL), 0);
    TOWN_UNTIL(counts(2).accepted > 0);
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
    struct town_mail s;

    (void)state;
    is_mute[2] = true;
    assert_int_equal(begin(&s, 6, 1, NULL), 0);
    some_turns();
    assert_int_equal(s.rv, 1);
    let_speak(2);
    wait_answer(&s);
    assert_int_equal(s.rv, 0);
    assert_int_equal(accepted(), 1);
}

static bool is_known_down(unsigned number)
{
    struct raft_peer_view v;

    return raft_peer_see(town.nodes[3].raft, number, &v) && !v.up && leaders_of(town.nodes[3].commit, number) == 0;
}

/* A cable was cut: its lanes are up, for nobody has waited long enough. Mail goes to who is heard; and to it again when it is. */
static void nothing_is_asked_of_who_is_silent(void **state)
{
    uint64_t id;

    (void)state;
    is_silent[1] = true;
    TOWN_UNTIL(is_known_down(1));
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(send_mail(&id), 0);
    assert_int_equal(counts(2).accepted, 4);
    is_silent[2] = true;
    TOWN_UNTIL(is_known_down(2));
    assert_false(leaders_any(town.nodes[3].commit));
    assert_int_equal(send_mail(&id), ERR_NOT_LEADER);
    is_silent[1] = false;
    TOWN_UNTIL(leaders_of(town.nodes[3].commit, 1) == 1);
    assert_int_equal(send_mail(&id), 0);
    assert_int_equal(counts(1).accepted, 1);
}

/* What was sent to it is in doubt before its lane has noticed: a session does not wait for that. An answer that it gave all the same
 * comes too late. */
static void what_was_sent_to_who_is_silent_is_not_known(void **state)
{
    struct town_mail s;
    uint64_t at_ms, id;

    (void)state;
    is_mute[1] = is_mute[2] = true;
    assert_int_equal(begin(&s, 6, 1, NULL), 0);
    TOWN_UNTIL(accepted() == 1);
    is_silent[1] = is_silent[2] = true;
    at_ms = town.now_ms;
    wait_answer(&s);
    assert_int_equal(s.rv, ERR_UNKNOWN);
    assert_in_range(town.now_ms - at_ms, FORWARD_SILENT_MS / 2, 2 * FORWARD_SILENT_MS);
    assert_true(peers_is_up(town.nodes[3].peers, 1) && peers_is_up(town.nodes[3].peers, 2));
    is_silent[1] = is_silent[2] = false;
    let_speak(1);
    let_speak(2);
    TOWN_UNTIL(knows_both());
    assert_int_equal(s.told, 1);
    assert_int_equal(accepted(), 1);
    assert_int_equal(send_mail(&id), 0);
}

static void who_has_forgotten_a_mail_hears_nothing(void **state)
{
    struct town_mail s;

    (void)state;
    assert_int_equal(begin(&s, 6, 1, NULL), 0);
    commit_mail_forget(&s.mail);
    TOWN_UNTIL(accepted() > 0);
    some_turns();
    assert_int_equal(s.told, 0);
}

/* ---- bodies in chunks */

static void a_large_body_goes_up_in_chunks(void **state)
{
    struct commit_upload *u = open_upload();
    Angarium__MessageRecord *m = NULL;
    struct town_mail s;

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
    TOWN_UNTIL(counts(2).uploads == 0);
}

static void an_upload_that_is_given_up_is_forgotten_there(void **state)
{
    struct commit_upload *u = open_upload();

    (void)state;
    assert_int_equal(send_chunks(u, 4), 0);
    TOWN_UNTIL(counts(2).uploads > 0);
    assert_int_equal(counts(2).uploads, 1);
    commit_upload_abort(&u);
    no_uploads_within_time();
    assert_int_equal(accepted(), 0);
}

static void the_upload_of_a_node_that_goes_is_forgotten(void **state)
{
    struct commit_upload *u = open_upload();
    struct town_mail s;

    (void)state;
    assert_int_equal(send_chunks(u, 4), 0);
    TOWN_UNTIL(counts(2).uploads > 0);
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

/* Its lane is up, for nobody has waited long enough: a client is told to come again before that. */
static void chunks_for_who_is_silent_are_not_waited_for(void **state)
{
    struct commit_upload *u = open_upload();
    uint64_t at_ms;

    (void)state;
    assert_int_equal(send_chunks(u, 2), 0);
    is_silent[1] = is_silent[2] = true;
    at_ms = town.now_ms;
    assert_int_equal(send_chunks(u, 9), ERR_NOT_LEADER);
    assert_in_range(town.now_ms - at_ms, 1, 2 * FORWARD_SILENT_MS);
    assert_true(peers_is_up(town.nodes[3].peers, 1) && peers_is_up(town.nodes[3].peers, 2));
    is_silent[1] = is_silent[2] = false;
    TOWN_UNTIL(knows_both());
    commit_upload_abort(&u);
    no_uploads_within_time();
    assert_int_equal(send_mail(NULL), 0);
    assert_int_equal(accepted(), 1);
}

/* Head and body do not fit into one frame. */
static void the_largest_head_and_body_come_whole(void **state)
{
    struct town_mail s;

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

static int cancel(uint32_t shard, uint64_t index)
{
    Angarium__Cancel what = ANGARIUM__CANCEL__INIT;
    Angarium__Command command = ANGARIUM__COMMAND__INIT;

    what.index = index;
    what.time_ms = loop_wall_ms(town.nodes[3].loop);
    command.kind_case = ANGARIUM__COMMAND__KIND_CANCEL;
    command.cancel = &what;
    return town_order(3, shard, &command);
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
        T(nothing_is_asked_of_who_is_silent),
        T(what_was_sent_to_who_is_silent_is_not_known),
        T(who_has_forgotten_a_mail_hears_nothing),
        T(a_large_body_goes_up_in_chunks),
        T(an_upload_that_is_given_up_is_forgotten_there),
        T(the_upload_of_a_node_that_goes_is_forgotten),
        T(a_chunk_that_finds_no_way_ends_the_upload),
        T(chunks_for_who_is_silent_are_not_waited_for),
        T(the_largest_head_and_body_come_whole),
        T(orders_go_to_the_leader),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
