/* place - three nodes, or ten (town.h): a shard grows from one voter to three, its leadership goes to whom it was placed on first, a
 * leader that is cut off leaves exactly its claims in doubt, and one that sleeps and wakes sends nothing that another one has
 * told in doubt.
 */
#define TOWN_NODES 10
#include "tests/unit/node/commit/town.h"

#define NODES    TOWN_NODES
#define SHARD    2
#define HELD_MAX 4096

struct held_frame {
    uint64_t from;
    enum wire_lane lane;
    struct blob *frame;
};
/* What the test knows of a node. */
struct post {
    struct town_node *node;
    struct commit_watcher watcher;
    struct held_frame held[HELD_MAX]; /* what came while it sleeps */
    unsigned held_count;
    char doubt_host[64];
    bool is_asleep, is_cut;
    unsigned events_told, doubts_told, leads_told, follows_told, empty_told;
    uint32_t placed_told; /* its version */
    unsigned confirms_asked;
};
static struct post posts[NODES + 1];
static uint32_t newest; /* placement that control knows; 0: whichever is asked for */

static enum town_way way(struct town_node *from, struct town_node *to, enum wire_lane lane,
                         struct blob *frame)
{
    struct post *p = &posts[to->number];

    if (posts[from->number].is_cut || p->is_cut) return TOWN_LOST;
    if (!p->is_asleep) return TOWN_ARRIVES;
    CHECK(p->held_count < HELD_MAX);
    p->held[p->held_count++] = (struct held_frame){ from->number, lane, blob_ref(frame) };
    return TOWN_LOST;
}

static void turn_one(unsigned number, unsigned times)
{
    for (unsigned i = 0; i < times; i++)
        town_turn_some(number, number);
}

static void on_effects(void *arg, uint32_t shard, uint64_t entry, const struct queue_effects *e)
{
    struct post *n = arg;

    (void)shard, (void)entry;
    for (size_t i = 0; i < e->count; i++) {
        if (e->list[i].kind != QUEUE_EVENT) continue;
        n->events_told++;
        if (e->list[i].event->type != ANGARIUM__EVENT_TYPE__EVENT_IN_DOUBT) continue;
        n->doubts_told++;
        snprintf(n->doubt_host, sizeof n->doubt_host, "%.*s",
                 SPAN_ARG(proto_span(e->list[i].event->remote_host)));
    }
}

static void on_lead(void *arg, uint32_t shard, bool leads)
{
    struct post *n = arg;

    (void)shard;
    n->leads_told += leads;
    n->follows_told += !leads;
}

static void on_placed(void *arg, uint32_t shard, uint32_t version)
{
    CHECK(shard == SHARD);
    ((struct post *)arg)->placed_told = version;
}

static void on_empty(void *arg, uint32_t shard)
{
    CHECK(shard == SHARD);
    ((struct post *)arg)->empty_told++;
}

/* Control, which knows of this placement and of no later one. */
static void on_confirm(void *arg, uint32_t shard, uint32_t version, uint64_t term)
{
    struct post *n = arg;

    n->confirms_asked++;
    if (newest == 0 || version == newest) commit_confirm(n->node->commit, shard, version, term);
}

static void start(unsigned number)
{
    struct post *p = &posts[number];

    *p = (struct post){ .node = &town.nodes[number] };
    town_start(number,
               &(struct town_start){ .commit = { .shard_max = 8,
                                                 .calls = { p, on_placed, on_empty, on_confirm },
                                                 .limits = { .retention_ms = 1 } } });
    p->watcher = (struct commit_watcher){ .arg = p, .on_effects = on_effects, .on_lead = on_lead };
    commit_watch(p->node->commit, &p->watcher);
}

static int open_nodes(unsigned count)
{
    newest = 0;
    memset(posts, 0, sizeof posts);
    CHECK(town_make("place") == 0);
    town.way = way;
    for (unsigned i = 1; i <= count; i++)
        start(i);
    return 0;
}

static int open_town(void **state)
{
    (void)state;
    return open_nodes(3);
}

static int open_large_town(void **state)
{
    (void)state;
    return open_nodes(NODES);
}

static int close_town(void **state)
{
    (void)state;
    for (unsigned i = 1; i <= NODES; i++)
        for (unsigned k = 0; k < posts[i].held_count; k++)
            blob_unref(&posts[i].held[k].frame);
    return town_remove();
}

static struct commit_shard_view see(unsigned number)
{
    return town_see(number, SHARD);
}

static void wait_for_leader(unsigned number)
{
    TOWN_UNTIL(see(number).leads);
}

/* As control tells it: on every node that holds the shard. */
static struct commit_placement place_as(const uint64_t *founders, unsigned founder_count,
                                        const uint64_t *wanted, unsigned wanted_count)
{
    struct commit_placement p = { .shard = SHARD,
                                  .version = 1,
                                  .founders = raft_config_of(founders, founder_count),
                                  .wanted = raft_config_of(wanted, wanted_count) };

    for (unsigned i = 0; i < wanted_count; i++)
        commit_place(town.nodes[wanted[i]].commit, &p);
    return p;
}

static void place(const uint64_t *founders, unsigned founder_count, const uint64_t *wanted,
                  unsigned wanted_count)
{
    place_as(founders, founder_count, wanted, wanted_count);
}

static const uint64_t one[] = { 1 }, all[] = { 1, 2, 3 }, second_first[] = { 2, 1, 3 };

/* On the first three nodes, and the first leads. */
static void place_on_all(void)
{
    place(all, 3, all, 3);
    wait_for_leader(1);
}

/* ---- what clients and deliver do */

static int try_mail(unsigned number, struct town_mail *s)
{
    return town_mail(number, s, blob_copy(SPAN_LIT("body\r\n")));
}

static uint64_t send_mail(unsigned number)
{
    struct town_mail s;

    assert_int_equal(try_mail(number, &s), 0);
    TOWN_UNTIL(s.rv != 1);
    assert_int_equal(s.rv, 0);
    return proto_id_index(s.id);
}

static int claim(unsigned number, uint64_t index)
{
    struct town_claim c;

    assert_int_equal(town_claim(number, SHARD, &c, index), 0);
    TOWN_UNTIL(c.rv != 1);
    return c.rv;
}

static void tell_delivered(unsigned number, uint64_t index)
{
    town_delivered(number, SHARD, index);
}

static void wait_same(unsigned a, unsigned b)
{
    TOWN_UNTIL(see(a).digest == see(b).digest);
}

/* ---- tests */

static void a_shard_grows_and_goes_to_whom_it_is_placed_on(void **state)
{
    uint64_t index;

    (void)state;
    place(one, 1, one, 1);
    wait_for_leader(1);
    index = send_mail(1);
    place(one, 1, second_first, 3);
    wait_for_leader(2);
    wait_same(1, 2);
    wait_same(3, 2);
    assert_false(see(1).leads);
    assert_int_equal(see(2).counts.accepted, 1);
    assert_int_equal(see(2).counts.in_doubt, 0);
    /* what came to the first is delivered by the second */
    assert_int_equal(claim(2, index), 0);
    tell_delivered(2, index);
    TOWN_UNTIL(see(3).counts.delivered > 0);
    assert_int_equal(see(3).counts.delivered, 1);
    /* events are told where the leader is, and nowhere else */
    assert_int_equal(posts[1].events_told, 1);
    assert_int_equal(posts[2].events_told, 1);
    assert_int_equal(posts[3].events_told, 0);
}

static void a_leadership_is_not_handed_over_while_something_is_in_the_air(void **state)
{
    uint64_t a, b;

    (void)state;
    place_on_all();
    a = send_mail(1);
    b = send_mail(1);
    assert_int_equal(claim(1, a), 0);
    place(all, 3, second_first, 3);
    town_turns(150);
    assert_true(see(1).leads);
    tell_delivered(1, a);
    wait_for_leader(2);
    assert_int_equal(see(2).counts.in_doubt, 0);
    assert_int_equal(claim(2, b), 0);
}

static void a_leader_that_is_cut_off_leaves_exactly_its_claims_in_doubt(void **state)
{
    struct town_claim late;
    struct town_mail lost;
    uint64_t index[4];
    unsigned leader;

    (void)state;
    place_on_all();
    for (unsigned i = 0; i < 4; i++)
        index[i] = send_mail(1);
    assert_int_equal(claim(1, index[0]), 0); /* and delivered */
    assert_int_equal(claim(1, index[1]), 0); /* in the air when the leader goes */
    tell_delivered(1, index[0]);
    wait_same(1, 2);
    wait_same(1, 3);
    posts[1].is_cut = true;
    assert_int_equal(town_claim(1, SHARD, &late, index[2]), 0); /* cannot commit any more */
    assert_int_equal(try_mail(1, &lost), 0);
    TOWN_UNTIL(see(2).leads || see(3).leads);
    leader = see(2).leads ? 2 : 3;
    assert_int_equal(see(leader).counts.in_doubt, 1);
    assert_int_equal(posts[leader].doubts_told, 1);
    assert_string_equal(posts[leader].doubt_host, "mx.example.org");
    assert_int_equal(see(leader).counts.waiting, 3); /* the one in doubt is tried again */
    assert_int_equal(see(leader).counts.claimed, 0);
    TOWN_UNTIL(!see(1).leads); /* by itself */
    assert_int_equal(claim(leader, index[2]), 0);
    posts[1].is_cut = false;
    TOWN_UNTIL(late.rv != 1 && lost.rv != 1);
    assert_int_not_equal(late.rv, 0); /* the old leader sends nothing for it */
    assert_int_not_equal(lost.rv, 0); /* and promises nothing */
    wait_same(1, leader);
    assert_int_equal(see(1).counts.accepted, 4);
    assert_true(posts[1].follows_told >= 1);
}

static void who_leads_and_is_not_wanted_hands_over_and_goes(void **state)
{
    static const uint64_t two_three[] = { 2, 3 };
    struct commit_placement p;

    (void)state;
    place_on_all();
    send_mail(1);
    TOWN_UNTIL(posts[1].placed_told > 0);
    assert_int_equal(posts[1].placed_told, 1);
    p = place_as(all, 3, two_three, 2);
    p.version = 2;
    for (unsigned i = 1; i <= 3; i++) /* who goes holds it until it is gone */
        commit_place(town.nodes[i].commit, &p);
    wait_for_leader(2);
    TOWN_UNTIL(posts[2].placed_told == 2);
    assert_int_equal(posts[1].placed_told, 1); /* not while it was in there */
    assert_int_equal(see(2).counts.in_doubt, 0);
    posts[3].is_cut = true; /* two vote: nothing commits without 3, whatever 1 says */
    wait_same(1, 2);
    assert_false(see(1).leads);
}

/* A leader that has not heard of the next placement does not undo it. */
static void who_knows_that_it_was_in_force_changes_nothing(void **state)
{
    struct commit_placement p;

    (void)state;
    place_on_all();
    p = place_as(all, 3, one, 1);
    p.in_force = true;
    p.version = 2;
    commit_place(town.nodes[1].commit, &p);
    town_turns(150);
    send_mail(1);
    wait_same(1, 3);
    assert_int_equal(see(3).counts.accepted, 1);
}

/* Nor one that has not even heard that this one came into force: it asks, and control knows a later one. */
static void who_lags_asks_and_changes_nothing(void **state)
{
    struct commit_placement p;

    (void)state;
    place_on_all();
    newest = 3;
    p = place_as(all, 3, one, 1);
    p.version = 2;
    commit_place(town.nodes[1].commit, &p);
    TOWN_UNTIL(posts[1].confirms_asked >= 2);
    assert_int_equal(posts[1].placed_told, 1); /* of all three: nobody went */
    send_mail(1);
    wait_same(1, 3);
    assert_int_equal(see(3).counts.accepted, 1);
    newest = 2; /* now it is */
    TOWN_UNTIL(posts[1].placed_told == 2);
}

/* The first who is wanted is down: another one leads, so that the placement comes into force. */
static void who_is_not_wanted_does_not_wait_for_the_first(void **state)
{
    static const uint64_t two_three[] = { 2, 3 };
    struct commit_placement p;

    (void)state;
    place_on_all();
    send_mail(1);
    wait_same(1, 2);
    posts[2].is_cut = true;
    p = place_as(all, 3, two_three, 2);
    p.version = 2;
    commit_place(town.nodes[1].commit, &p);
    commit_place(town.nodes[3].commit, &p);
    wait_for_leader(3);
    assert_false(see(1).leads);
}

/* Of those who would be left two are down: nobody goes, and the three that live go on. */
static void nobody_goes_before_those_who_stay_are_a_quorum(void **state)
{
    static const uint64_t one_two[] = { 1, 2 };
    struct commit_placement p;

    (void)state;
    place_on_all();
    send_mail(1);
    wait_same(1, 2);
    posts[2].is_cut = true;
    town_turns(150); /* it is seen to be down */
    p = place_as(all, 3, one_two, 2);
    p.version = 2;
    newest = 2;
    commit_place(town.nodes[1].commit, &p);
    town_turns(150);
    send_mail(1); /* 1 and 3 */
    assert_int_not_equal(posts[1].placed_told, 2);
    posts[2].is_cut = false;
    TOWN_UNTIL(posts[1].placed_told == 2);
}

static bool is_placed(uint32_t version)
{
    for (unsigned i = 1; i <= NODES; i++)
        if (posts[i].placed_told == version) return true;
    return false;
}

/* Five of ten, and then the other five: seven can vote at one time. */
static void a_shard_moves_to_more_than_can_vote_beside_those_who_do(void **state)
{
    static const uint64_t old[] = { 1, 2, 3, 4, 5 }, new[] = { 6, 7, 8, 9, 10 };
    struct commit_placement p;

    (void)state;
    place(old, 5, old, 5);
    wait_for_leader(1);
    send_mail(1);
    p = place_as(old, 5, new, 5);
    p.version = 2;
    for (unsigned i = 1; i <= NODES; i++)
        commit_place(town.nodes[i].commit, &p);
    TOWN_UNTIL(is_placed(2));
    wait_for_leader(6); /* the first of them, and it has the mail */
    assert_int_equal(see(6).counts.accepted, 1);
    for (unsigned i = 1; i <= 5; i++)
        posts[i].is_cut = true;
    send_mail(6);
}

static void who_leaves_hands_all_over(void **state)
{
    uint64_t index;

    (void)state;
    place_on_all();
    index = send_mail(1);
    assert_int_equal(claim(1, index), 0);
    commit_leave(town.nodes[1].commit);
    town_turns(100);
    assert_int_equal(commit_leaving(town.nodes[1].commit), 1); /* something is in the air */
    tell_delivered(1, index);
    TOWN_UNTIL(commit_leaving(town.nodes[1].commit) == 0);
    TOWN_UNTIL(see(2).leads || see(3).leads);
    assert_int_equal(see(see(2).leads ? 2 : 3).counts.in_doubt, 0);
}

static void who_leaves_alone_does_not_wait_for_anybody(void **state)
{
    (void)state;
    place(one, 1, one, 1);
    wait_for_leader(1);
    commit_leave(town.nodes[1].commit);
    TOWN_UNTIL(commit_leaving(town.nodes[1].commit) == 0);
    assert_true(see(1).leads);
}

static void a_shard_that_closes_takes_nothing_and_says_when_it_is_empty(void **state)
{
    struct commit_placement p;
    struct town_mail refused;
    uint64_t index;

    (void)state;
    place_on_all();
    index = send_mail(1);
    p = place_as(all, 3, all, 3);
    p.closes = true;
    p.version = 2;
    for (unsigned i = 1; i <= 3; i++)
        commit_place(town.nodes[i].commit, &p);
    TOWN_UNTIL(see(3).is_closed);
    assert_int_equal(try_mail(1, &refused), ERR_NOT_LEADER);
    /* a leader that does not know that it closes takes nothing either */
    p.closes = false;
    commit_place(town.nodes[1].commit, &p);
    town_turns(50);
    assert_int_equal(try_mail(1, &refused), 0);
    TOWN_UNTIL(refused.rv != 1);
    assert_int_equal(refused.rv, ERR_NOT_LEADER);
    p.closes = true;
    commit_place(town.nodes[1].commit, &p);
    town_turns(150);
    assert_int_equal(posts[1].empty_told, 0);
    assert_int_equal(claim(1, index), 0);
    tell_delivered(1, index);
    TOWN_UNTIL(posts[1].empty_told > 0);
    assert_int_equal(see(1).counts.accepted, 1);
    assert_int_equal(see(1).counts.kept_messages, 0);
}

static bool is_anywhere(void)
{
    for (unsigned i = 1; i <= 3; i++)
        if (see(i).is_open) return true;
    return false;
}

/* The leader hears it last. */
static void a_shard_that_has_ended_leaves_nothing(void **state)
{
    struct errmsg why = { "" };
    uint64_t index;

    (void)state;
    place_on_all();
    index = send_mail(1);
    assert_true(index > 0 && see(1).counts.messages == 1);
    for (unsigned i = 3; i >= 1; i--)
        commit_forget(town.nodes[i].commit, SHARD);
    TOWN_UNTIL(!is_anywhere());
    town_turns(100); /* the house has done it */
    for (unsigned i = 1; i <= 3; i++) {
        struct town_node *n = &town.nodes[i];
        struct queue *q = NULL;
        bool had = true;

        assert_int_equal(posts[i].leads_told,
                         posts[i].follows_told); /* deliver and the rest have let go */
        assert_int_equal(see(i).counts.messages, 0);
        assert_int_equal(raft_group_forget(n->raft, SHARD, &had, &why), 0);
        assert_false(had);
        assert_int_equal(queue_open(&q, n->store, SHARD, &why), 0);
        assert_true(queue_applied(q) == 0 && !queue_is_closed(q));
        queue_close(&q);
        assert_false(queue_forget(n->store, SHARD));
        commit_forget(n->commit, SHARD); /* told twice */
    }
    town_turns(100);
    assert_false(is_anywhere());
}

static void what_is_open_is_not_forgotten(void **state)
{
    struct errmsg why = { "" };
    bool had;

    (void)state;
    place_on_all();
    assert_int_equal(raft_group_forget(town.nodes[2].raft, SHARD, &had, &why), ERR_EXISTS);
    assert_true(see(2).is_open);
}

static void who_is_cordoned_takes_no_new_mail_and_goes_on_with_what_it_has(void **state)
{
    struct town_mail s;
    uint64_t index;

    (void)state;
    place_on_all();
    index = send_mail(1);
    commit_set_cordoned(town.nodes[1].commit, true);
    town_turns(50);
    assert_int_equal(try_mail(1, &s), ERR_NOT_LEADER);
    assert_true(see(1).leads);
    assert_int_equal(claim(1, index), 0);
    tell_delivered(1, index);
    commit_set_cordoned(town.nodes[1].commit, false);
    town_turns(50);
    send_mail(1);
}

/* ---- a leader that sleeps between claim and final dot (SIGSTOP, a machine that was paused) */

static void hear(struct post *n, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        n->node->events.on_frame(n->node->events.arg, n->held[i].from, n->held[i].lane,
                                 n->held[i].frame);
    n->held_count -= count;
    memmove(n->held, n->held + count, n->held_count * sizeof *n->held);
}

/* What came meanwhile is read in the order in which it came, as out of the sockets of a process that wakes: first what
 * came before another one led. */
static void wake(unsigned number, unsigned before, const struct town_claim *c)
{
    struct post *n = &posts[number];

    n->is_asleep = false;
    hear(n, before);
    turn_one(number, 5);
    assert_int_not_equal(c->rv, 0);
    hear(n, n->held_count);
    turn_one(number, 5);
    assert_int_not_equal(c->rv, 0);
}

static void turn_others(void)
{
    town_turn_some(2, 3);
}

static bool have(uint64_t entry)
{
    return see(2).raft.last >= entry && see(3).raft.last >= entry;
}

/* Its claim is committed, and the answers that say so lie in its sockets: without a proof that it still leads it would send
 * what its successor has told in doubt and sends again. */
static void a_leader_that_slept_sends_nothing(void **state)
{
    struct town_claim slow;
    uint64_t index, entry;
    unsigned leader, before;

    (void)state;
    place_on_all();
    index = send_mail(1);
    wait_same(1, 2);
    wait_same(1, 3);
    assert_int_equal(town_claim(1, SHARD, &slow, index), 0);
    entry = see(1).raft.last + 1;
    posts[1].is_asleep = true;
    /* the claim is on its way; it has heard of the mail, so it believes that it leads */
    turn_one(1, 2);
    for (unsigned i = 0; i < TOWN_TURNS_MAX && !have(entry); i++)
        turn_others();
    assert_true(have(entry));
    for (unsigned i = 0; i < 20; i++)
        turn_others(); /* they tell it */
    before = posts[1].held_count;
    assert_int_equal(slow.rv, 1);
    for (unsigned i = 0; i < TOWN_TURNS_MAX && !see(2).leads && !see(3).leads; i++)
        turn_others();
    leader = see(2).leads ? 2 : 3;
    assert_true(see(leader).leads);
    assert_int_equal(see(leader).counts.in_doubt, 1);
    wake(1, before, &slow);
    TOWN_UNTIL(slow.rv != 1);
    assert_int_equal(slow.rv, ERR_NOT_LEADER);
    wait_same(1, leader);
    assert_int_equal(see(1).counts.in_doubt, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_shard_grows_and_goes_to_whom_it_is_placed_on, open_town,
                                        close_town),
        cmocka_unit_test_setup_teardown(
            a_leadership_is_not_handed_over_while_something_is_in_the_air, open_town, close_town),
        cmocka_unit_test_setup_teardown(a_leader_that_is_cut_off_leaves_exactly_its_claims_in_doubt,
                                        open_town, close_town),
        cmocka_unit_test_setup_teardown(who_leads_and_is_not_wanted_hands_over_and_goes, open_town,
                                        close_town),
        cmocka_unit_test_setup_teardown(who_is_not_wanted_does_not_wait_for_the_first, open_town,
                                        close_town),
        cmocka_unit_test_setup_teardown(who_lags_asks_and_changes_nothing, open_town, close_town),
        cmocka_unit_test_setup_teardown(nobody_goes_before_those_who_stay_are_a_quorum, open_town,
                                        close_town),
        cmocka_unit_test_setup_teardown(who_knows_that_it_was_in_force_changes_nothing, open_town,
                                        close_town),
        cmocka_unit_test_setup_teardown(a_shard_moves_to_more_than_can_vote_beside_those_who_do,
                                        open_large_town, close_town),
        cmocka_unit_test_setup_teardown(who_leaves_hands_all_over, open_town, close_town),
        cmocka_unit_test_setup_teardown(who_leaves_alone_does_not_wait_for_anybody, open_town,
                                        close_town),
        cmocka_unit_test_setup_teardown(a_shard_that_closes_takes_nothing_and_says_when_it_is_empty,
                                        open_town, close_town),
        cmocka_unit_test_setup_teardown(a_shard_that_has_ended_leaves_nothing, open_town,
                                        close_town),
        cmocka_unit_test_setup_teardown(what_is_open_is_not_forgotten, open_town, close_town),
        cmocka_unit_test_setup_teardown(
            who_is_cordoned_takes_no_new_mail_and_goes_on_with_what_it_has, open_town, close_town),
        cmocka_unit_test_setup_teardown(a_leader_that_slept_sends_nothing, open_town, close_town),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
