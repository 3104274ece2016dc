/* handover - three nodes (town.h): what those who send see of a shard while its leader waits to hand it over, and who may hold it
 * up for how long.
 */
#include "tests/unit/node/commit/town.h"

#include "node/commit/shard.h"
#include "node/commit/upload.h"
#include "queue/store.h"

#define NODES TOWN_NODES
#define SHARD 1
#define OTHER 2 /* a second one, that nobody wants elsewhere */

static unsigned cut;  /* nothing comes to it, nor from it; 0: all is well */
static unsigned mute; /* nothing comes from it */

static enum town_way way_of(struct town_node *from, struct town_node *to, enum wire_lane lane,
                            struct blob *frame)
{
    (void)lane, (void)frame;
    if (mute > 0 && from->number == mute) return TOWN_LOST;
    return cut > 0 && (from->number == cut || to->number == cut) ? TOWN_LOST : TOWN_ARRIVES;
}

static int begin(void **state)
{
    (void)state;
    cut = mute = 0;
    if (town_make("handover") != 0) return -1;
    town.way = way_of;
    for (unsigned i = 1; i <= NODES; i++)
        town_start(i, &(struct town_start){ .commit.shard_max = 8 });
    return 0;
}

static int end(void **state)
{
    (void)state;
    return town_remove();
}

static struct commit_shard_view see(unsigned number)
{
    return town_see(number, SHARD);
}

/* Held by all; the first should lead. */
static void place(uint32_t shard, uint32_t version, const uint64_t *wanted)
{
    const struct commit_placement p = { .shard = shard,
                                        .version = version,
                                        .founders = raft_config_of((uint64_t[]){ 1, 2, 3 }, 3),
                                        .wanted = raft_config_of(wanted, 3) };

    for (unsigned i = 1; i <= NODES; i++)
        commit_place(town.nodes[i].commit, &p);
}

static void place_on_first(uint32_t shard)
{
    place(shard, 1, (uint64_t[]){ 1, 2, 3 });
    TOWN_UNTIL(town_see(1, shard).leads);
}

static int try_mail(struct town_mail *m)
{
    return town_mail(1, m, blob_copy(SPAN_LIT("body\r\n")));
}

static bool takes_mail(void)
{
    return commit_may_take(town.nodes[1].commit, 0) == 0;
}

static uint64_t send_mail(void)
{
    struct town_mail m;

    assert_int_equal(try_mail(&m), 0);
    TOWN_UNTIL(m.rv != 1);
    assert_int_equal(m.rv, 0);
    return proto_id_index(m.id);
}

static int try_upload_mail(struct town_mail *m, struct commit_upload *u, size_t size)
{
    Angarium__Recipient r = ANGARIUM__RECIPIENT__INIT, *list = &r;

    r.address = proto_bytes(SPAN_LIT("to@example.org"));
    r.domain = proto_bytes(SPAN_LIT("example.org"));
    return town_mail_to(1, m, &list, 1, size, NULL, u);
}

static void send_chunk(struct commit_upload *u)
{
    struct blob *chunk = blob_copy(SPAN_LIT("0123456789abcdef"));

    assert_int_equal(commit_upload_chunk(u, &chunk), 0);
}

static struct commit_upload *open_upload(void)
{
    struct commit_upload *u;

    assert_int_equal(commit_upload_open(town.nodes[1].commit, town.nodes[1].loop, &u), 0);
    return u;
}

/* Another one leads: how many mails it knows of. None is in doubt. */
static uint64_t handed_over(void)
{
    unsigned to;

    TOWN_UNTIL(see(2).leads || see(3).leads);
    to = see(2).leads ? 2 : 3;
    assert_int_equal(see(to).counts.in_doubt, 0);
    assert_false(see(1).leads);
    return see(to).counts.accepted;
}

static void claim_one(struct town_claim *c, uint64_t index)
{
    assert_int_equal(town_claim(1, SHARD, c, index), 0);
    TOWN_UNTIL(c->rv != 1);
    assert_int_equal(c->rv, 0);
}

static void leave(void)
{
    commit_leave(town.nodes[1].commit);
}

/* ---- tests */

static void a_shard_takes_mail_until_nothing_is_in_the_air(void **state)
{
    struct town_claim c, late;
    uint64_t held, index;

    (void)state;
    place_on_first(SHARD);
    held = send_mail();
    index = send_mail();
    claim_one(&c, held);
    leave();
    town_turns(4);
    assert_int_equal(town_claim(1, SHARD, &late, index), ERR_BUSY); /* it is about to */
    send_mail();
    town_delivered(1, SHARD, held);
    assert_int_equal(handed_over(), 3);
}

static void a_shard_takes_mail_while_a_claim_commits(void **state)
{
    struct town_claim c;
    struct town_mail m;
    uint64_t index;

    (void)state;
    place_on_first(SHARD);
    index = send_mail();
    assert_int_equal(town_claim(1, SHARD, &c, index), 0);
    leave();
    town_turn_some(1, 1);
    town_turn_some(1, 1); /* the others do not hear of it */
    assert_int_equal(c.rv, 1);
    assert_int_equal(try_mail(&m), 0);
    TOWN_UNTIL(c.rv != 1 && m.rv != 1);
    assert_true(c.rv == 0 && m.rv == 0);
    assert_true(see(1).leads);
    town_delivered(1, SHARD, index);
    assert_int_equal(handed_over(), 2);
}

static void an_upload_ends_where_it_began(void **state)
{
    struct commit_upload *u;
    struct town_mail m;

    (void)state;
    place_on_first(SHARD);
    u = open_upload();
    send_chunk(u);
    leave();
    town_turns(40);
    assert_true(see(1).leads);
    send_mail(); /* others are not held up by it */
    send_chunk(u);
    town_turns(4);
    assert_int_equal(try_upload_mail(&m, u, 32), 0);
    TOWN_UNTIL(m.rv != 1);
    assert_int_equal(m.rv, 0);
    assert_int_equal(handed_over(), 2);
}

static void an_upload_that_is_given_up_holds_nothing_up(void **state)
{
    struct commit_upload *u;

    (void)state;
    place_on_first(SHARD);
    u = open_upload();
    leave();
    town_turns(40);
    assert_true(see(1).leads);
    commit_upload_abort(&u);
    town_turns(40);
    assert_int_equal(handed_over(), 0);
}

/* It began where the leadership was lost: nobody names it any more. */
static void an_abandoned_upload_is_proposed_about_when_it_is_old(void **state)
{
    struct commit_upload *u;
    unsigned to;
    uint64_t was;

    (void)state;
    place_on_first(SHARD);
    u = open_upload();
    send_chunk(u);
    TOWN_UNTIL(see(1).counts.uploads == 1);
    cut = 1;
    TOWN_UNTIL(!see(1).leads && (see(2).leads || see(3).leads));
    commit_upload_abort(&u);
    town_turn();
    cut = 0;
    to = see(2).leads ? 2 : 3;
    place(SHARD, 2, to == 2 ? (uint64_t[]){ 2, 3, 1 } : (uint64_t[]){ 3, 2, 1 });
    town_turns(3 * COMMIT_PURGE_EVERY_MS / TOWN_TURN_MS);
    was = see(to).state;
    town_turns(10 * COMMIT_PURGE_EVERY_MS / TOWN_TURN_MS);
    assert_true(see(to).leads);
    assert_int_equal(see(to).counts.uploads, 1);
    assert_int_equal(see(to).state, was);
    town.now_ms += COMMIT_UPLOAD_ABANDONED_MS;
    TOWN_UNTIL(see(1).counts.uploads + see(2).counts.uploads + see(3).counts.uploads == 0);
}

static void who_is_slow_is_not_waited_for_for_ever(void **state)
{
    struct commit_upload *u;

    (void)state;
    place_on_first(SHARD);
    u = open_upload();
    leave();
    assert_int_equal(handed_over(), 0);
    commit_upload_abort(&u);
}

static void an_upload_begins_where_it_can_end(void **state)
{
    struct commit_upload *u[4];
    struct town_claim c;

    (void)state;
    place_on_first(SHARD);
    claim_one(&c, send_mail());
    place_on_first(OTHER);
    place(SHARD, 2, (uint64_t[]){ 2, 1, 3 });
    TOWN_UNTIL(atomic_load(&town.nodes[1].commit->shards[SHARD - 1].hands_over_shared));
    for (unsigned i = 0; i < 4; i++) {
        u[i] = open_upload();
        assert_int_equal(commit_upload_shard(u[i])->number, OTHER);
    }
    for (unsigned i = 0; i < 4; i++)
        commit_upload_abort(&u[i]);
}

/* The one that should lead has gone: the shard takes mail again as soon as that is known, and goes to somebody else. */
static void a_hand_over_that_fails_ends(void **state)
{
    struct town_claim c;
    uint64_t index, closed_ms;

    (void)state;
    place_on_first(SHARD);
    index = send_mail();
    claim_one(&c, index);
    leave();
    town_turns(40);
    cut = 2;
    town_delivered(1, SHARD, index);
    TOWN_UNTIL(!takes_mail());
    closed_ms = town.now_ms;
    TOWN_UNTIL(takes_mail());
    assert_true(town.now_ms - closed_ms <
                1500); /* of simulated time: not all that a hand-over may take */
    assert_true(see(1).leads);
    TOWN_UNTIL(see(3).leads);
}

/* Node 1 is told so of both others, who notice nothing. */
static void tell_links(bool up)
{
    for (unsigned i = 2; i <= NODES; i++)
        town_tell_link(&town.nodes[1], &town.nodes[i], up);
}

static bool is_up(unsigned member)
{
    struct core_peer_view v;

    return raft_group_peer(town.nodes[1].commit->shards[SHARD - 1].group, member, &v) && v.up;
}

/* Whose ways have just come back has not answered yet: that is no reason to go without having handed over. */
static void who_is_there_but_cannot_lead_yet_is_waited_for(void **state)
{
    (void)state;
    place_on_first(SHARD);
    mute = 1;
    tell_links(false);
    TOWN_UNTIL(!is_up(1) && !is_up(2));
    tell_links(true);
    TOWN_UNTIL(is_up(1) && is_up(2));
    leave();
    town_turns(4);
    assert_true(see(1).leads);
    assert_int_equal(commit_leaving(town.nodes[1].commit), 1);
    mute = 0;
    TOWN_UNTIL(commit_leaving(town.nodes[1].commit) == 0);
    assert_int_equal(handed_over(), 0);
}

static void who_is_not_there_is_not_waited_for(void **state)
{
    (void)state;
    place_on_first(SHARD);
    cut = 1;
    tell_links(false);
    town_turn();
    leave();
    town_turns(10);
    assert_true(see(1).leads);
    assert_int_equal(commit_leaving(town.nodes[1].commit), 0);
}

/* ---- what who takes over looks for */

static const struct queue_store_calls *beneath;
static unsigned scans_of_claims, scans_from_the_start;

static void each_seen(void *self, struct span prefix, struct span from, bool backwards, void *arg,
                      bool (*each)(void *arg, struct span key, struct span value))
{
    static const uint8_t nothing[8];

    scans_of_claims += prefix.n > 4 && prefix.p[4] == 'c';
    scans_from_the_start += prefix.n > 4 && prefix.p[4] == 't' && from.n >= prefix.n + 8 &&
                            memcmp(from.p + prefix.n, nothing, 8) == 0;
    beneath->each(self, prefix, from, backwards, arg, each);
}

/* Records of mail that is gone stay in the store for a while: who begins to lead does not walk over them. */
static void who_takes_over_looks_where_something_is(void **state)
{
    static struct queue_store_calls calls;
    struct queue_store *store = town.nodes[2].store;
    struct queue_place at = { 0 };
    struct queue_due d[4];
    struct town_claim c;

    (void)state;
    place_on_first(SHARD);
    for (unsigned i = 0; i < 3; i++) {
        uint64_t index = send_mail();

        claim_one(&c, index);
        town_delivered(1, SHARD, index);
        town_turns(4);
    }
    send_mail();
    town_turns(200); /* it looks, as it follows */
    beneath = store->calls;
    calls = *beneath;
    calls.each = each_seen;
    store->calls = &calls;
    scans_of_claims = scans_from_the_start = 0;
    cut = 3;
    leave();
    TOWN_UNTIL(see(2).leads);
    assert_int_equal(queue_due_by_time(store, SHARD, &at, UINT64_MAX, d, 4), 1);
    assert_int_equal(scans_of_claims, 0);
    assert_int_equal(scans_from_the_start, 0);
    store->calls = beneath;
}

static void what_a_node_led_is_shared_by_the_others(void **state)
{
    unsigned leads[NODES + 1] = { 0 };

    (void)state;
    for (uint32_t shard = 1; shard <= 4; shard++)
        place_on_first(shard);
    leave();
    TOWN_UNTIL(commit_leaving(town.nodes[1].commit) == 0);
    for (uint32_t shard = 1; shard <= 4; shard++) {
        TOWN_UNTIL(town_see(2, shard).leads || town_see(3, shard).leads);
        leads[town_see(2, shard).leads ? 2 : 3]++;
    }
    assert_int_equal(leads[2], 2);
    assert_int_equal(leads[3], 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_shard_takes_mail_until_nothing_is_in_the_air, begin, end),
        cmocka_unit_test_setup_teardown(a_shard_takes_mail_while_a_claim_commits, begin, end),
        cmocka_unit_test_setup_teardown(an_upload_ends_where_it_began, begin, end),
        cmocka_unit_test_setup_teardown(an_upload_that_is_given_up_holds_nothing_up, begin, end),
        cmocka_unit_test_setup_teardown(an_abandoned_upload_is_proposed_about_when_it_is_old, begin, end),
        cmocka_unit_test_setup_teardown(who_is_slow_is_not_waited_for_for_ever, begin, end),
        cmocka_unit_test_setup_teardown(an_upload_begins_where_it_can_end, begin, end),
        cmocka_unit_test_setup_teardown(a_hand_over_that_fails_ends, begin, end),
        cmocka_unit_test_setup_teardown(who_is_there_but_cannot_lead_yet_is_waited_for, begin, end),
        cmocka_unit_test_setup_teardown(who_is_not_there_is_not_waited_for, begin, end),
        cmocka_unit_test_setup_teardown(what_a_node_led_is_shared_by_the_others, begin, end),
        cmocka_unit_test_setup_teardown(who_takes_over_looks_where_something_is, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
