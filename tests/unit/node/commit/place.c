/* place - three nodes in one thread, each with loop, log, store and commit as in production: a shard grows from one voter to
 * three, its leadership goes to whom it was placed on first, a leader that is cut off leaves exactly its claims in doubt, and
 * one that sleeps and wakes sends nothing that another one has told in doubt.
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

#include "node/commit/commit.h"
#include "proto/ground/check.h"

#define NODES     3
#define TURNS_MAX 60000
#define SHARD     2
#define HELD_MAX  4096

struct held_frame {
    uint64_t from;
    enum wire_lane lane;
    struct blob *frame;
};
struct node {
    uint64_t number;
    struct loop *loop;
    struct raft *raft;
    struct queue_store *store;
    struct commit *commit;
    struct wire wire;
    struct wire_events events;
    struct commit_watcher watcher;
    struct held_frame held[HELD_MAX]; /* what came while it sleeps */
    unsigned held_count;
    char doubt_host[64];
    bool is_asleep;
    unsigned events_told, doubts_told, leads_told, follows_told, empty_told;
    uint32_t placed_told; /* its version */
    bool is_cut;
    unsigned confirms_asked;
};
static struct town {
    char dir[64];
    struct node nodes[NODES + 1];
    uint32_t newest; /* placement that control knows; 0: whichever is asked for */
} town;

static int send_frame(struct wire *w, uint64_t to, enum wire_lane lane, struct blob *frame)
{
    struct node *from = CONTAINER_OF(w, struct node, wire), *n = &town.nodes[to];

    if (from->is_cut || n->is_cut) return 0; /* lost */
    if (n->is_asleep) {
        CHECK(n->held_count < HELD_MAX);
        n->held[n->held_count++] = (struct held_frame){ from->number, lane, blob_ref(frame) };
        return 0;
    }
    n->events.on_frame(n->events.arg, from->number, lane, blob_ref(frame));
    return 0;
}

static void turn(void)
{
    for (unsigned i = 1; i <= NODES; i++)
        loop_turn(town.nodes[i].loop, 1);
}

static void turn_one(unsigned number, unsigned times)
{
    for (unsigned i = 0; i < times; i++)
        loop_turn(town.nodes[number].loop, 1);
}

static void on_effects(void *arg, uint32_t shard, uint64_t entry, const struct queue_effects *e)
{
    struct node *n = arg;

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
    struct node *n = arg;

    (void)shard;
    n->leads_told += leads;
    n->follows_told += !leads;
}

static void on_placed(void *arg, uint32_t shard, uint32_t version)
{
    CHECK(shard == SHARD);
    ((struct node *)arg)->placed_told = version;
}

static void on_empty(void *arg, uint32_t shard)
{
    CHECK(shard == SHARD);
    ((struct node *)arg)->empty_told++;
}

/* Control, which knows of this placement and of no later one. */
static void on_confirm(void *arg, uint32_t shard, uint32_t version, uint64_t term)
{
    struct node *n = arg;

    n->confirms_asked++;
    if (town.newest == 0 || version == town.newest) commit_confirm(n->commit, shard, version, term);
}

static void start(unsigned number)
{
    static const struct wire_calls calls = { .send = send_frame };
    struct node *n = &town.nodes[number];
    struct raft_loop_port port;
    char path[128];
    struct errmsg why = { "" };

    *n = (struct node){ .number = number, .wire.calls = &calls };
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
    n->events = raft_wire_events(n->raft);
    raft_wire_attach(n->raft, &n->wire);
    CHECK(queue_store_open(&n->store, NULL, &why) == 0);
    CHECK(commit_open(&n->commit,
                      &(struct commit_options){ .loops = &n->loop,
                                                .loop_count = 1,
                                                .raft = n->raft,
                                                .store = n->store,
                                                .data_dir = town.dir,
                                                .node = number,
                                                .shard_max = 8,
                                                .calls = { n, on_placed, on_empty, on_confirm },
                                                .limits = { .retention_ms = 1 } },
                      &why) == 0);
    n->watcher = (struct commit_watcher){ .arg = n, .on_effects = on_effects, .on_lead = on_lead };
    commit_watch(n->commit, &n->watcher);
}

static int open_town(void **state)
{
    (void)state;
    town.newest = 0;
    snprintf(town.dir, sizeof town.dir, "/tmp/angarium-place-XXXXXX");
    CHECK(mkdtemp(town.dir));
    for (unsigned i = 1; i <= NODES; i++)
        start(i);
    for (unsigned i = 1; i <= NODES; i++)
        for (unsigned k = 1; k <= NODES; k++)
            for (unsigned lane = 0; i != k && lane < WIRE_LANES; lane++)
                town.nodes[i].events.on_peer(
                    town.nodes[i].events.arg,
                    &(struct wire_link){
                        .node = k, .lane = (enum wire_lane)lane, .up = true, .incarnation = 1 });
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
        town.nodes[i].is_cut = true; /* nothing is sent to one that is gone */
    for (unsigned i = 1; i <= NODES; i++) {
        struct node *n = &town.nodes[i];

        for (unsigned k = 0; k < n->held_count; k++)
            blob_unref(&n->held[k].frame);
        loop_settle(n->loop);
        commit_close(&n->commit);
        raft_close(&n->raft);
        queue_store_close(&n->store);
        loop_free(&n->loop);
    }
    return nftw(town.dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static struct commit_shard_view see(unsigned number)
{
    struct commit_shard_view v;

    commit_shard_see(town.nodes[number].commit, SHARD, &v);
    return v;
}

static void wait_for_leader(unsigned number)
{
    for (unsigned i = 0; i < TURNS_MAX && !see(number).leads; i++)
        turn();
    CHECK(see(number).leads);
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

/* ---- what clients and deliver do */

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

static int try_mail(struct node *n, struct send *s)
{
    Angarium__Accept accept = ANGARIUM__ACCEPT__INIT;
    Angarium__Recipient r = ANGARIUM__RECIPIENT__INIT, *list = &r;
    Angarium__BodyFacts facts = ANGARIUM__BODY_FACTS__INIT;
    Angarium__Origin origin = ANGARIUM__ORIGIN__INIT;
    int rv;

    *s = (struct send){ .rv = 1 };
    r.address = proto_bytes(SPAN_LIT("to@example.org"));
    r.domain = proto_bytes(SPAN_LIT("example.org"));
    facts.size = 6;
    accept.time_ms = loop_wall_ms(n->loop);
    accept.mail_from = proto_bytes(SPAN_LIT("from@example.test"));
    accept.recipients = &list;
    accept.n_recipients = 1;
    accept.body = &facts;
    accept.origin = &origin;
    accept.expires_at_ms = accept.time_ms + 1000000;
    s->mail.accept = &accept;
    s->mail.body = blob_new(6);
    CHECK(blob_add(s->mail.body, "body\r\n", 6, 6) == 0);
    s->mail.on_done = on_mail;
    rv = commit_mail(n->commit, n->loop, &s->mail);
    if (rv != 0) blob_unref(&s->mail.body);
    return rv;
}

static uint64_t send_mail(unsigned number)
{
    struct send s;

    CHECK(try_mail(&town.nodes[number], &s) == 0);
    for (unsigned i = 0; i < TURNS_MAX && s.rv == 1; i++)
        turn();
    CHECK(s.rv == 0);
    return proto_id_index(s.id);
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

static int begin_claim(unsigned number, struct claim *c, uint64_t index)
{
    *c = (struct claim){ .rv = 1, .ref.index = index };
    c->claim.refs = &c->ref;
    c->claim.count = 1;
    c->claim.host = SPAN_LIT("mx.example.org");
    c->claim.on_done = on_claimed;
    list_init(&c->claim.link);
    return commit_claim(town.nodes[number].commit, SHARD, &c->claim);
}

static int claim(unsigned number, uint64_t index)
{
    struct claim c;

    CHECK(begin_claim(number, &c, index) == 0);
    for (unsigned i = 0; i < TURNS_MAX && c.rv == 1; i++)
        turn();
    return c.rv;
}

static void tell_delivered(unsigned number, uint64_t index)
{
    Angarium__RecipientOutcome o = ANGARIUM__RECIPIENT_OUTCOME__INIT;

    o.index = index;
    o.result = ANGARIUM__RESULT__RESULT_DELIVERED;
    commit_outcome(town.nodes[number].commit, SHARD, &o, 1);
}

static void wait_same(unsigned a, unsigned b)
{
    for (unsigned i = 0; i < TURNS_MAX && see(a).digest != see(b).digest; i++)
        turn();
    assert_int_equal(see(a).digest, see(b).digest);
}

/* ---- tests */

static const uint64_t one[] = { 1 }, all[] = { 1, 2, 3 }, second_first[] = { 2, 1, 3 };

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
    for (unsigned i = 0; i < TURNS_MAX && see(3).counts.delivered == 0; i++)
        turn();
    assert_int_equal(see(3).counts.delivered, 1);
    /* events are told where the leader is, and nowhere else */
    assert_int_equal(town.nodes[1].events_told, 1);
    assert_int_equal(town.nodes[2].events_told, 1);
    assert_int_equal(town.nodes[3].events_told, 0);
}

static void a_leadership_is_not_handed_over_while_something_is_in_the_air(void **state)
{
    uint64_t a, b;

    (void)state;
    place(all, 3, all, 3);
    wait_for_leader(1);
    a = send_mail(1);
    b = send_mail(1);
    assert_int_equal(claim(1, a), 0);
    place(all, 3, second_first, 3);
    for (unsigned i = 0; i < 600; i++)
        turn();
    assert_true(see(1).leads);
    tell_delivered(1, a);
    wait_for_leader(2);
    assert_int_equal(see(2).counts.in_doubt, 0);
    assert_int_equal(claim(2, b), 0);
}

static void a_leader_that_is_cut_off_leaves_exactly_its_claims_in_doubt(void **state)
{
    struct claim late;
    struct send lost;
    uint64_t index[4];
    unsigned leader;

    (void)state;
    place(all, 3, all, 3);
    wait_for_leader(1);
    for (unsigned i = 0; i < 4; i++)
        index[i] = send_mail(1);
    assert_int_equal(claim(1, index[0]), 0); /* and delivered */
    assert_int_equal(claim(1, index[1]), 0); /* in the air when the leader goes */
    tell_delivered(1, index[0]);
    wait_same(1, 2);
    wait_same(1, 3);
    town.nodes[1].is_cut = true;
    assert_int_equal(begin_claim(1, &late, index[2]), 0); /* cannot commit any more */
    assert_int_equal(try_mail(&town.nodes[1], &lost), 0);
    for (unsigned i = 0; i < TURNS_MAX && !see(2).leads && !see(3).leads; i++)
        turn();
    leader = see(2).leads ? 2 : 3;
    assert_true(see(leader).leads);
    assert_int_equal(see(leader).counts.in_doubt, 1);
    assert_int_equal(town.nodes[leader].doubts_told, 1);
    assert_string_equal(town.nodes[leader].doubt_host, "mx.example.org");
    assert_int_equal(see(leader).counts.waiting, 3); /* the one in doubt is tried again */
    assert_int_equal(see(leader).counts.claimed, 0);
    for (unsigned i = 0; i < TURNS_MAX && see(1).leads; i++)
        turn();
    assert_false(see(1).leads); /* by itself */
    assert_int_equal(claim(leader, index[2]), 0);
    town.nodes[1].is_cut = false;
    for (unsigned i = 0; i < TURNS_MAX && (late.rv == 1 || lost.rv == 1); i++)
        turn();
    assert_int_not_equal(late.rv, 0); /* the old leader sends nothing for it */
    assert_int_not_equal(lost.rv, 0); /* and promises nothing */
    wait_same(1, leader);
    assert_int_equal(see(1).counts.accepted, 4);
    assert_true(town.nodes[1].follows_told >= 1);
}

static void who_leads_and_is_not_wanted_hands_over_and_goes(void **state)
{
    static const uint64_t two_three[] = { 2, 3 };
    struct commit_placement p;

    (void)state;
    place(all, 3, all, 3);
    wait_for_leader(1);
    send_mail(1);
    for (unsigned i = 0; i < TURNS_MAX && town.nodes[1].placed_told == 0; i++)
        turn();
    assert_int_equal(town.nodes[1].placed_told, 1);
    p = place_as(all, 3, two_three, 2);
    p.version = 2;
    for (unsigned i = 1; i <= 3; i++) /* who goes holds it until it is gone */
        commit_place(town.nodes[i].commit, &p);
    wait_for_leader(2);
    for (unsigned i = 0; i < TURNS_MAX && town.nodes[2].placed_told != 2; i++)
        turn();
    assert_int_equal(town.nodes[2].placed_told, 2);
    assert_int_equal(town.nodes[1].placed_told, 1); /* not while it was in there */
    assert_int_equal(see(2).counts.in_doubt, 0);
    town.nodes[3].is_cut = true; /* two vote: nothing commits without 3, whatever 1 says */
    wait_same(1, 2);
    assert_false(see(1).leads);
}

/* A leader that has not heard of the next placement does not undo it. */
static void who_knows_that_it_was_in_force_changes_nothing(void **state)
{
    struct commit_placement p;

    (void)state;
    place(all, 3, all, 3);
    wait_for_leader(1);
    p = place_as(all, 3, one, 1);
    p.in_force = true;
    p.version = 2;
    commit_place(town.nodes[1].commit, &p);
    for (unsigned i = 0; i < 600; i++)
        turn();
    send_mail(1);
    wait_same(1, 3);
    assert_int_equal(see(3).counts.accepted, 1);
}

/* Nor one that has not even heard that this one came into force: it asks, and control knows a later one. */
static void who_lags_asks_and_changes_nothing(void **state)
{
    struct commit_placement p;

    (void)state;
    place(all, 3, all, 3);
    wait_for_leader(1);
    town.newest = 3;
    p = place_as(all, 3, one, 1);
    p.version = 2;
    commit_place(town.nodes[1].commit, &p);
    for (unsigned i = 0; i < TURNS_MAX && town.nodes[1].confirms_asked < 2; i++)
        turn();
    assert_true(town.nodes[1].confirms_asked >= 2);
    assert_int_equal(town.nodes[1].placed_told, 1); /* of all three: nobody went */
    send_mail(1);
    wait_same(1, 3);
    assert_int_equal(see(3).counts.accepted, 1);
    town.newest = 2; /* now it is */
    for (unsigned i = 0; i < TURNS_MAX && town.nodes[1].placed_told != 2; i++)
        turn();
    assert_int_equal(town.nodes[1].placed_told, 2);
}

/* The first who is wanted is down: another one leads, so that the placement comes into force. */
static void who_is_not_wanted_does_not_wait_for_the_first(void **state)
{
    static const uint64_t two_three[] = { 2, 3 };
    struct commit_placement p;

    (void)state;
    place(all, 3, all, 3);
    wait_for_leader(1);
    send_mail(1);
    wait_same(1, 2);
    town.nodes[2].is_cut = true;
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
    place(all, 3, all, 3);
    wait_for_leader(1);
    send_mail(1);
    wait_same(1, 2);
    town.nodes[2].is_cut = true;
    for (unsigned i = 0; i < 600; i++) /* it is seen to be down */
        turn();
    p = place_as(all, 3, one_two, 2);
    p.version = 2;
    town.newest = 2;
    commit_place(town.nodes[1].commit, &p);
    for (unsigned i = 0; i < 600; i++)
        turn();
    send_mail(1); /* 1 and 3 */
    assert_int_not_equal(town.nodes[1].placed_told, 2);
    town.nodes[2].is_cut = false;
    for (unsigned i = 0; i < TURNS_MAX && town.nodes[1].placed_told != 2; i++)
        turn();
    assert_int_equal(town.nodes[1].placed_told, 2);
}

static void who_leaves_hands_all_over(void **state)
{
    uint64_t index;

    (void)state;
    place(all, 3, all, 3);
    wait_for_leader(1);
    index = send_mail(1);
    assert_int_equal(claim(1, index), 0);
    commit_leave(town.nodes[1].commit);
    for (unsigned i = 0; i < 300; i++)
        turn();
    assert_int_equal(commit_leaving(town.nodes[1].commit), 1); /* something is in the air */
    tell_delivered(1, index);
    for (unsigned i = 0; i < TURNS_MAX && commit_leaving(town.nodes[1].commit) > 0; i++)
        turn();
    assert_int_equal(commit_leaving(town.nodes[1].commit), 0);
    for (unsigned i = 0; i < TURNS_MAX && !see(2).leads && !see(3).leads; i++)
        turn();
    assert_int_equal(see(see(2).leads ? 2 : 3).counts.in_doubt, 0);
}

/* Those who send do not wait for a remote that answers slowly. */
static void a_shard_takes_mail_until_nothing_is_in_the_air(void **state)
{
    unsigned sent = 1;
    struct claim c;
    uint64_t held, index = 0;

    (void)state;
    place(all, 3, all, 3);
    wait_for_leader(1);
    held = send_mail(1);
    assert_int_equal(claim(1, held), 0);
    commit_leave(town.nodes[1].commit);
    for (unsigned i = 0; i < TURNS_MAX; i++) { /* until it is about to hand over */
        index = send_mail(1);
        sent++;
        if (begin_claim(1, &c, index) == ERR_BUSY) break;
        for (unsigned k = 0; k < TURNS_MAX && c.rv == 1; k++)
            turn();
        tell_delivered(1, index);
    }
    assert_int_equal(begin_claim(1, &c, index), ERR_BUSY);
    send_mail(1);
    sent++;
    tell_delivered(1, held);
    for (unsigned i = 0; i < TURNS_MAX && !see(2).leads && !see(3).leads; i++)
        turn();
    assert_int_equal(see(see(2).leads ? 2 : 3).counts.in_doubt, 0);
    assert_int_equal(see(see(2).leads ? 2 : 3).counts.accepted, sent);
}

/* A claim on its way through the log is in the air, too. */
static void a_shard_takes_mail_while_a_claim_commits(void **state)
{
    struct send s;
    struct claim c;
    uint64_t index;

    (void)state;
    place(all, 3, all, 3);
    wait_for_leader(1);
    index = send_mail(1);
    assert_int_equal(begin_claim(1, &c, index), 0);
    commit_leave(town.nodes[1].commit);
    turn_one(1, 4); /* the others do not hear of it */
    assert_int_equal(c.rv, 1);
    assert_int_equal(try_mail(&town.nodes[1], &s), 0);
    for (unsigned i = 0; i < TURNS_MAX && (c.rv == 1 || s.rv == 1); i++)
        turn();
    assert_true(c.rv == 0 && s.rv == 0);
    assert_true(see(1).leads);
    tell_delivered(1, index);
    for (unsigned i = 0; i < TURNS_MAX && !see(2).leads && !see(3).leads; i++)
        turn();
    assert_int_equal(see(see(2).leads ? 2 : 3).counts.in_doubt, 0);
}

static void who_leaves_alone_does_not_wait_for_anybody(void **state)
{
    (void)state;
    place(one, 1, one, 1);
    wait_for_leader(1);
    commit_leave(town.nodes[1].commit);
    for (unsigned i = 0; i < TURNS_MAX && commit_leaving(town.nodes[1].commit) > 0; i++)
        turn();
    assert_int_equal(commit_leaving(town.nodes[1].commit), 0);
    assert_true(see(1).leads);
}

static void a_shard_that_closes_takes_nothing_and_says_when_it_is_empty(void **state)
{
    struct commit_placement p;
    struct send refused;
    uint64_t index;

    (void)state;
    place(all, 3, all, 3);
    wait_for_leader(1);
    index = send_mail(1);
    p = place_as(all, 3, all, 3);
    p.closes = true;
    p.version = 2;
    for (unsigned i = 1; i <= 3; i++)
        commit_place(town.nodes[i].commit, &p);
    for (unsigned i = 0; i < TURNS_MAX && !see(3).is_closed; i++)
        turn();
    assert_true(see(3).is_closed);
    assert_int_equal(try_mail(&town.nodes[1], &refused), ERR_NOT_LEADER);
    /* a leader that does not know that it closes takes nothing either */
    p.closes = false;
    commit_place(town.nodes[1].commit, &p);
    for (unsigned i = 0; i < 50; i++)
        turn();
    assert_int_equal(try_mail(&town.nodes[1], &refused), 0);
    for (unsigned i = 0; i < TURNS_MAX && refused.rv == 1; i++)
        turn();
    assert_int_equal(refused.rv, ERR_NOT_LEADER);
    p.closes = true;
    commit_place(town.nodes[1].commit, &p);
    for (unsigned i = 0; i < 600; i++)
        turn();
    assert_int_equal(town.nodes[1].empty_told, 0);
    assert_int_equal(claim(1, index), 0);
    tell_delivered(1, index);
    for (unsigned i = 0; i < TURNS_MAX && town.nodes[1].empty_told == 0; i++)
        turn();
    assert_true(town.nodes[1].empty_told > 0);
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
    place(all, 3, all, 3);
    wait_for_leader(1);
    index = send_mail(1);
    assert_true(index > 0 && see(1).counts.messages == 1);
    for (unsigned i = 3; i >= 1; i--)
        commit_forget(town.nodes[i].commit, SHARD);
    for (unsigned i = 0; i < TURNS_MAX && is_anywhere(); i++)
        turn();
    assert_false(is_anywhere());
    for (unsigned i = 0; i < 200; i++)
        turn(); /* the house has done it */
    for (unsigned i = 1; i <= 3; i++) {
        struct node *n = &town.nodes[i];
        struct queue *q = NULL;
        bool had = true;

        assert_int_equal(n->leads_told, n->follows_told); /* deliver and the rest have let go */
        assert_int_equal(see(i).counts.messages, 0);
        assert_int_equal(raft_group_forget(n->raft, SHARD, &had, &why), 0);
        assert_false(had);
        assert_int_equal(queue_open(&q, n->store, SHARD, &why), 0);
        assert_true(queue_applied(q) == 0 && !queue_is_closed(q));
        queue_close(&q);
        assert_false(queue_forget(n->store, SHARD));
        commit_forget(n->commit, SHARD); /* told twice */
    }
    for (unsigned i = 0; i < 200; i++)
        turn();
    assert_false(is_anywhere());
}

static void what_is_open_is_not_forgotten(void **state)
{
    struct errmsg why = { "" };
    bool had;

    (void)state;
    place(all, 3, all, 3);
    wait_for_leader(1);
    assert_int_equal(raft_group_forget(town.nodes[2].raft, SHARD, &had, &why), ERR_EXISTS);
    assert_true(see(2).is_open);
}

static void who_is_cordoned_takes_no_new_mail_and_goes_on_with_what_it_has(void **state)
{
    struct send s;
    uint64_t index;

    (void)state;
    place(all, 3, all, 3);
    wait_for_leader(1);
    index = send_mail(1);
    commit_set_cordoned(town.nodes[1].commit, true);
    for (unsigned i = 0; i < 50; i++)
        turn();
    assert_int_equal(try_mail(&town.nodes[1], &s), ERR_NOT_LEADER);
    assert_true(see(1).leads);
    assert_int_equal(claim(1, index), 0);
    tell_delivered(1, index);
    commit_set_cordoned(town.nodes[1].commit, false);
    for (unsigned i = 0; i < 50; i++)
        turn();
    send_mail(1);
}

/* ---- a leader that sleeps between claim and final dot (SIGSTOP, a machine that was paused) */

static void hear(struct node *n, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        n->events.on_frame(n->events.arg, n->held[i].from, n->held[i].lane, n->held[i].frame);
    n->held_count -= count;
    memmove(n->held, n->held + count, n->held_count * sizeof *n->held);
}

/* What came meanwhile is read in the order in which it came, as out of the sockets of a process that wakes: first what
 * came before another one led. */
static void wake(unsigned number, unsigned before, const struct claim *c)
{
    struct node *n = &town.nodes[number];

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
    turn_one(2, 1);
    turn_one(3, 1);
}

static bool have(uint64_t entry)
{
    return see(2).raft.last >= entry && see(3).raft.last >= entry;
}

/* Its claim is committed, and the answers that say so lie in its sockets: without a proof that it still leads it would send
 * what its successor has told in doubt and sends again. */
static void a_leader_that_slept_sends_nothing(void **state)
{
    struct claim slow;
    uint64_t index, entry;
    unsigned leader, before;

    (void)state;
    place(all, 3, all, 3);
    wait_for_leader(1);
    index = send_mail(1);
    wait_same(1, 2);
    wait_same(1, 3);
    assert_int_equal(begin_claim(1, &slow, index), 0);
    entry = see(1).raft.last + 1;
    town.nodes[1].is_asleep = true;
    turn_one(1, 2); /* the claim is on its way; what it heard of the mail lets it believe that it leads */
    for (unsigned i = 0; i < TURNS_MAX && !have(entry); i++)
        turn_others();
    assert_true(have(entry));
    for (unsigned i = 0; i < 50; i++)
        turn_others(); /* they tell it */
    before = town.nodes[1].held_count;
    assert_int_equal(slow.rv, 1);
    for (unsigned i = 0; i < TURNS_MAX && !see(2).leads && !see(3).leads; i++)
        turn_others();
    leader = see(2).leads ? 2 : 3;
    assert_true(see(leader).leads);
    assert_int_equal(see(leader).counts.in_doubt, 1);
    wake(1, before, &slow);
    for (unsigned i = 0; i < TURNS_MAX && slow.rv == 1; i++)
        turn();
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
        cmocka_unit_test_setup_teardown(who_leaves_hands_all_over, open_town, close_town),
        cmocka_unit_test_setup_teardown(a_shard_takes_mail_until_nothing_is_in_the_air, open_town,
                                        close_town),
        cmocka_unit_test_setup_teardown(a_shard_takes_mail_while_a_claim_commits, open_town,
                                        close_town),
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
