/* town - up to TOWN_NODES nodes in one thread, each with loop, log, store and commit as in production, but for the wire and the
 * time: time goes on by TOWN_TURN_MS in each town_turn() and at no other moment, and what a turn gives to a log is synced
 * when the next one begins. So nobody is thought dead because the machine is busy, however slow its disk is. What the pools
 * and the reader threads do takes its own time, which counts for nothing here.
 */
#ifndef TEST_COMMIT_TOWN_H
#define TEST_COMMIT_TOWN_H

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
#include "raft/engine/engine.h"
#include "raft/store/store.h"

#ifndef TOWN_NODES
#define TOWN_NODES 3
#endif
#define TOWN_TURN_MS   10
#define TOWN_TURNS_MAX 60000 /* what has not happened then never will */
#define TOWN_WALL_MS   1764000000000u

struct town_node {
    uint64_t number;
    struct loop *loop; /* NULL: down */
    struct raft *raft;
    struct queue_store *store;
    struct peers *peers; /* NULL: none */
    struct commit *commit;
    struct wire wire;
    struct wire_events events;
    uint64_t incarnation;
};

enum town_way { TOWN_ARRIVES, TOWN_LOST, TOWN_NO_WAY };

static struct {
    char dir[64];
    struct town_node nodes[TOWN_NODES + 1]; /* by number */
    uint64_t now_ms, incarnation;
    /* What becomes of a frame; NULL: it arrives. */
    enum town_way (*way)(struct town_node *from, struct town_node *to, enum wire_lane lane,
                         struct blob *frame);
} town;

/* ---- time */

static inline uint64_t town_mono_ms(void *arg)
{
    (void)arg;
    return town.now_ms;
}

static inline uint64_t town_wall_ms(void *arg)
{
    (void)arg;
    return TOWN_WALL_MS + town.now_ms;
}

static const struct clock town_clock = { .mono_ms = town_mono_ms, .wall_ms = town_wall_ms };

/* A turn of the nodes from..to, those that are up. The first one waits for its threads, a little. */
static inline void town_turn_some(unsigned from, unsigned to)
{
    unsigned wait_ms = 1;

    town.now_ms += TOWN_TURN_MS;
    for (unsigned i = from; i <= to; i++) {
        if (!town.nodes[i].loop) continue;
        loop_turn(town.nodes[i].loop, wait_ms);
        wait_ms = 0;
    }
    for (unsigned i = from; i <= to; i++)
        if (town.nodes[i].loop) store_drain(raft_store_of(town.nodes[i].raft));
}

static inline void town_turn(void)
{
    town_turn_some(1, TOWN_NODES);
}

static inline void town_turns(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        town_turn();
}

#define TOWN_UNTIL(condition)                                                                      \
    do {                                                                                           \
        for (unsigned town_i_ = 0; town_i_ < TOWN_TURNS_MAX && !(condition); town_i_++)            \
            town_turn();                                                                           \
        assert_true(condition);                                                                    \
    } while (0)

/* ---- the wire */

static inline int town_send(struct wire *w, uint64_t to, enum wire_lane lane, struct blob *frame)
{
    struct town_node *from = CONTAINER_OF(w, struct town_node, wire), *n = &town.nodes[to];
    enum town_way way = TOWN_ARRIVES;

    if (!n->loop) return ERR_CLOSED;
    if (town.way) way = town.way(from, n, lane, frame);
    if (way == TOWN_ARRIVES) n->events.on_frame(n->events.arg, from->number, lane, blob_ref(frame));
    return way == TOWN_NO_WAY ? ERR_CLOSED : 0;
}

static inline void town_tell_link(struct town_node *n, const struct town_node *other, bool up)
{
    for (unsigned lane = 0; lane < WIRE_LANES; lane++)
        n->events.on_peer(n->events.arg, &(struct wire_link){ .node = other->number,
                                                              .lane = (enum wire_lane)lane,
                                                              .up = up,
                                                              .incarnation = other->incarnation });
}

/* All lanes of the node, at both ends, to the others that are up. */
static inline void town_link(unsigned number, bool up)
{
    struct town_node *n = &town.nodes[number];

    for (unsigned i = 1; i <= TOWN_NODES; i++) {
        if (i == number || !town.nodes[i].loop) continue;
        town_tell_link(n, &town.nodes[i], up);
        town_tell_link(&town.nodes[i], n, up);
    }
}

/* ---- nodes */

struct town_start {
    bool keeps_state; /* on the disk; else in memory */
    bool has_peers;
    uint32_t snapshot_bytes_per_s;
    struct commit_options commit; /* what the test wants; who it is and where is added */
};

static inline void town_start(unsigned number, const struct town_start *s)
{
    static const struct wire_calls calls = { .send = town_send };
    struct town_node *n = &town.nodes[number];
    struct commit_options o = s->commit;
    struct raft_loop_port port;
    char path[128];
    struct errmsg why = { "" };

    *n = (struct town_node){ .number = number,
                             .wire.calls = &calls,
                             .incarnation = ++town.incarnation };
    CHECK(loop_new(&n->loop, 0, &why) == 0);
    loop_set_clock(n->loop, &town_clock);
    port = (struct raft_loop_port){ .arg = n->loop, .wake = loop_wake_arg };
    snprintf(path, sizeof path, "%s/%u-log", town.dir, number);
    CHECK(raft_open(&n->raft,
                    &(struct raft_options){ .dir = path,
                                            .node_id = number,
                                            .loops = &port,
                                            .loop_count = 1,
                                            .incarnation = n->incarnation,
                                            .seed = town.incarnation,
                                            .snapshot_bytes_per_s = s->snapshot_bytes_per_s,
                                            .memtable_bytes = 4u << 20 },
                    NULL, &why) == 0);
    n->events = raft_wire_events(n->raft);
    if (s->has_peers) {
        struct wire_events behind = n->events;

        n->peers = peers_new(number, 1, &behind);
        n->events = peers_wire_events(n->peers);
        peers_attach(n->peers, &n->wire);
    }
    raft_wire_attach(n->raft, &n->wire);
    snprintf(path, sizeof path, "%s/%u-state", town.dir, number);
    CHECK(queue_store_open(&n->store, s->keeps_state ? path : NULL, &why) == 0);
    o.loops = &n->loop;
    o.loop_count = 1;
    o.raft = n->raft;
    o.peers = n->peers;
    o.store = n->store;
    o.data_dir = town.dir;
    o.node = number;
    CHECK(commit_open(&n->commit, &o, &why) == 0);
    town_link(number, true);
}

static inline void town_stop(unsigned number)
{
    struct town_node *n = &town.nodes[number];

    for (unsigned i = 1; i <= TOWN_NODES; i++)
        if (i != number && town.nodes[i].loop) town_tell_link(&town.nodes[i], n, false);
    if (n->peers) peers_stop(n->peers);
    loop_turn(n->loop, 0);
    loop_settle(n->loop);
    peers_free(&n->peers);
    commit_close(&n->commit);
    raft_close(&n->raft);
    queue_store_close(&n->store);
    loop_free(&n->loop);
}

static inline int town_make(const char *name)
{
    memset(&town, 0, sizeof town);
    town.now_ms = 1000;
    snprintf(town.dir, sizeof town.dir, "/tmp/angarium-%s-XXXXXX", name);
    return mkdtemp(town.dir) ? 0 : -1;
}

static inline int town_remove_one(const char *path, const struct stat *st, int type,
                                  struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static inline int town_remove(void)
{
    for (unsigned i = 1; i <= TOWN_NODES; i++)
        if (town.nodes[i].loop) town_stop(i);
    return nftw(town.dir, town_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline struct commit_shard_view town_see(unsigned number, uint32_t shard)
{
    struct commit_shard_view v;

    commit_shard_see(town.nodes[number].commit, shard, &v);
    return v;
}

/* ---- what sessions, deliver and operators do */

struct town_mail {
    struct commit_mail mail;
    int rv; /* 1: no answer yet */
    uint64_t id;
    unsigned told;
};

static inline void town_on_mail(struct commit_mail *m, int rv, uint64_t id)
{
    struct town_mail *s = CONTAINER_OF(m, struct town_mail, mail);

    s->told++;
    s->rv = rv;
    s->id = id;
}

/* A mail of these recipients, body or upload: what commit_mail says. They are gone in any case. */
static inline int town_mail_to(unsigned number, struct town_mail *s, Angarium__Recipient **list,
                               size_t count, size_t size, struct blob *body,
                               struct commit_upload *upload)
{
    Angarium__Accept accept = ANGARIUM__ACCEPT__INIT;
    Angarium__BodyFacts facts = ANGARIUM__BODY_FACTS__INIT;
    Angarium__Origin origin = ANGARIUM__ORIGIN__INIT;
    struct town_node *n = &town.nodes[number];
    int rv;

    *s = (struct town_mail){ .rv = 1 };
    facts.size = size;
    accept.time_ms = loop_wall_ms(n->loop);
    accept.mail_from = proto_bytes(SPAN_LIT("from@example.test"));
    accept.recipients = list;
    accept.n_recipients = count;
    accept.body = &facts;
    accept.origin = &origin;
    accept.expires_at_ms = accept.time_ms + 1000000000;
    s->mail.accept = &accept;
    s->mail.body = body;
    s->mail.upload = upload;
    s->mail.on_done = town_on_mail;
    rv = commit_mail(n->commit, n->loop, &s->mail);
    blob_unref(&s->mail.body);
    if (rv != 0) commit_upload_abort(&s->mail.upload);
    return rv;
}

static inline int town_mail(unsigned number, struct town_mail *s, struct blob *body)
{
    Angarium__Recipient r = ANGARIUM__RECIPIENT__INIT, *list = &r;

    r.address = proto_bytes(SPAN_LIT("to@example.org"));
    r.domain = proto_bytes(SPAN_LIT("example.org"));
    return town_mail_to(number, s, &list, 1, body->n, body, NULL);
}

struct town_claim {
    struct commit_claim claim;
    struct commit_ref ref;
    int rv; /* 1: no answer yet */
};

static inline void town_on_claimed(struct commit_claim *c, int rv)
{
    CONTAINER_OF(c, struct town_claim, claim)->rv = rv;
}

static inline int town_claim(unsigned number, uint32_t shard, struct town_claim *c, uint64_t index)
{
    *c = (struct town_claim){ .rv = 1, .ref.index = index };
    c->claim.refs = &c->ref;
    c->claim.count = 1;
    c->claim.host = SPAN_LIT("mx.example.org");
    c->claim.on_done = town_on_claimed;
    list_init(&c->claim.link);
    return commit_claim(town.nodes[number].commit, shard, &c->claim);
}

static inline void town_delivered(unsigned number, uint32_t shard, uint64_t index)
{
    Angarium__RecipientOutcome o = ANGARIUM__RECIPIENT_OUTCOME__INIT;

    o.index = index;
    o.result = ANGARIUM__RESULT__RESULT_DELIVERED;
    commit_outcome(town.nodes[number].commit, shard, &o, 1);
}

struct town_order {
    struct commit_order order;
    int rv; /* 1: no answer yet */
};

static inline void town_on_ordered(struct commit_order *o, int rv)
{
    CONTAINER_OF(o, struct town_order, order)->rv = rv;
}

/* What commit_order says, or what it is told then. */
static inline int town_order(unsigned number, uint32_t shard, const Angarium__Command *command)
{
    struct town_order o = { .rv = 1 };
    struct town_node *n = &town.nodes[number];
    int rv;

    o.order =
        (struct commit_order){ .command = command, .shard = shard, .on_done = town_on_ordered };
    rv = commit_order(n->commit, n->loop, &o.order);
    if (rv != 0) return rv;
    TOWN_UNTIL(o.rv != 1);
    return o.rv;
}

#endif
