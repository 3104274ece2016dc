/* cluster - this node among others: who it is (DATA/cluster), its replica of group 0 (node/control), and, where that leads, what
 * keeps the cluster as it should be: members of group 0, shards and their voters, one step at a time.
 *
 * Way:     first start: cluster_found here, or cluster_join with what the cluster answered -> cluster_open at each start: the
 *          state that was saved (DATA/control), the peers, group 0 -> its log -> calls.on_shard for each shard of this node.
 * Rules:   an empty disk is a new node: nobody is anybody by his number. A group that exists is never begun again: only who
 *          founded it (its founders are in control) opens it with voters of his own knowledge.
 * Changes: proposed on any node; one that does not lead control asks the one that does (PEER_CHANGE), and answers when the
 *          change is in force here, too.
 * Threads: everything on one loop, the first.
 * Bounds:  one step and CLUSTER_ASKS_MAX questions on their way.
 */
#ifndef CLUSTER_CLUSTER_H
#define CLUSTER_CLUSTER_H

#include "node/control/control.h"
#include "node/net/loop.h"
#include "node/peer/peer.h"
#include "raft/raft.h"

#define CLUSTER_GROUP      0
#define CLUSTER_VOTERS_MAX 5u /* of group 0 */
#define CLUSTER_ASKS_MAX   64u
#define CLUSTER_ASK_MS     5000u /* a change that another node is asked for */

/* ---- who this node is: DATA/cluster, written whole */

struct cluster_peer {
    uint64_t node;
    bool votes; /* in group 0 */
    char address[CONTROL_ADDRESS_SIZE_MAX + 1];
};
struct cluster_self {
    uint8_t cluster[CONTROL_CLUSTER_SIZE];
    uint64_t node, incarnation;
    char uuid[CONTROL_UUID_SIZE + 1];
    uint32_t format; /* in force: what this disk is written in, and who may read it */
    unsigned peer_count;
    struct cluster_peer peers[CONTROL_NODES_MAX]; /* itself, when it began the cluster */
    unsigned lost_count;
    uint64_t lost[CONTROL_NODES_MAX]; /* never talked to again: angarium recover */
    bool removed; /* a node of the cluster said that this one was removed: it talks to nobody */
};
/* 32 hex digits. ERR_SYNTAX. */
int cluster_parse_id(const char *text, uint8_t out[CONTROL_CLUSTER_SIZE]);
void cluster_print_id(const uint8_t id[CONTROL_CLUSTER_SIZE],
                      char out[2 * CONTROL_CLUSTER_SIZE + 1]);
/* ERR_NOT_FOUND: the disk is new. ERR_CORRUPT, ERR_VERSION, ERR_IO. */
int cluster_self_read(const char *dir, struct cluster_self *out, struct errmsg *why);
int cluster_self_write(const char *dir, const struct cluster_self *self, struct errmsg *why);
/* One more start: the incarnation grows, durably. */
int cluster_self_start(const char *dir, struct cluster_self *self, struct errmsg *why);

/* The state of group 0 beside its log: DATA/control. Of a node that does not run. */
int cluster_state_read(const char *dir, struct buf *out, struct errmsg *why); /* ERR_NOT_FOUND */
int cluster_state_write(const char *dir, struct span state, struct errmsg *why);

/* ---- the replica */


struct cluster;
struct cluster_shard {
    uint32_t shard, version;                     /* of the placement */
    const struct core_config *founders, *wanted; /* who shall vote; the first shall lead */
    bool in_force;                               /* control knows that it is */
    bool closes;                                 /* it takes no new mail */
};
struct cluster_calls {
    void *arg;
    /* A shard that this node holds. Told again when something of it changes. */
    void (*on_shard)(void *arg, const struct cluster_shard *s);
    /* cluster_confirm: that placement is the newest one. NULL: nobody asks. */
    void (*on_confirmed)(void *arg, uint32_t shard, uint32_t version, uint64_t term);
    /* A shard that this node does not hold, as far as is known here. Told once, and again after a start. NULL: nothing is removed. */
    void (*on_shard_left)(void *arg, uint32_t shard);
    /* cluster_ask_held: it does not hold it. NULL: nobody asks. */
    void (*on_not_held)(void *arg, uint32_t shard, uint64_t question);
    /* A shard has ended, on all nodes and for ever, and this node's disk knows it. Told once; again after a start. NULL: nothing is to be
     * removed. */
    void (*on_shard_ended)(void *arg, uint32_t shard);
    /* The state of this node has changed. */
    void (*on_state)(void *arg, enum control_node_state state);
    /* Records of control have changed: those of cluster_control are in force. NULL: nobody wants to know. */
    void (*on_records)(void *arg);
    /* The disk says that this format is in force (DATA/cluster): it is written from now on. NULL as above. */
    void (*on_format)(void *arg, uint32_t format);
};
struct cluster_options {
    struct loop *loop;
    struct raft *raft;
    struct wire *wire; /* told of the peers */
    struct peers *peers;
    const char *dir; /* the node's data directory */
    const struct cluster_self *self;
    const char *address, *zone, *region;
    uint32_t shards_per_node, replicas; /* of a cluster that begins here */
    enum control_spread spread;         /* the same */
    /* What is imported where this node leads a cluster that has no records yet: borrowed, until cluster_close. */
    Angarium__ControlRecord **import;
    size_t import_count;
    struct cluster_calls calls;
};
/* Before loops run. */
int cluster_open(struct cluster **out, const struct cluster_options *o, struct errmsg *why);
void cluster_close(struct cluster **c); /* before raft_close */

/* Borrowed until the loop's next turn. */
const struct control *cluster_control(const struct cluster *c);
bool cluster_leads(const struct cluster *c);
uint64_t cluster_leader(const struct cluster *c); /* of group 0; 0: not known */
bool cluster_is_up(const struct cluster *c, uint64_t node);
bool cluster_votes(const struct cluster *c, uint64_t node); /* in group 0 */
/* The newest format that the node and this one know; 0: it is not connected, so it has not said. */
uint32_t cluster_knows(const struct cluster *c, uint64_t node);
/* Whether the newest format that this node knows may be in force: 0; ERR_EXISTS (it is); ERR_BUSY: somebody does not know it,
 * or has not said that he does. */
int cluster_may_finalize(const struct cluster *c, struct errmsg *why);

uint64_t cluster_term(const struct cluster *c); /* of group 0's log, here */

/* on_done with 0: what was in force before the question is in cluster_control now. */
struct cluster_barrier {
    void (*on_done)(struct cluster_barrier *b, int rv); /* 0, ERR_NOT_LEADER, ERR_CLOSED */
    struct raft_read read;                              /* private */
};
/* 0: on_done comes, once, also at cluster_close. ERR_NOT_LEADER, ERR_FULL: it does not. */
int cluster_wait(struct cluster *c, struct cluster_barrier *b);

/* A change that somebody wants. */
struct cluster_ask {
    /* 0: in force; control's error; ERR_SUPERSEDED, ERR_NOT_LEADER (nobody took it), ERR_UNKNOWN. */
    void (*on_done)(struct cluster_ask *a, int rv);
    struct control_answer answer;
    struct raft_proposal proposal; /* private from here on */
    struct cluster_barrier barrier;
    struct cluster *cluster;
    struct buf head;
    struct list link;
    struct peer_call call;
    uint64_t index, until_ms;
};
/* Copies the command. 0: on_done comes, once, also at cluster_close. ERR_NOT_LEADER (nobody is known to lead control), ERR_FULL,
 * ERR_BUSY, ERR_CLOSED: it does not. */
int cluster_propose(struct cluster *c, struct cluster_ask *a,
                    const Angarium__ControlCommand *command);
/* Another node's change (PEER_CHANGE), on the cluster's loop. */
void cluster_serve(struct cluster *c, struct peer_ask *ask);

/* Of a shard that this node leads; told again while they do not come true. */
void cluster_placed(struct cluster *c, uint32_t shard,
                    uint32_t version); /* that placement is in force */
/* Whether that placement is the newest one, of all that control has done up to now: calls.on_confirmed with the same term says so,
 * or nothing comes. Asked again while nothing has come. */
void cluster_confirm(struct cluster *c, uint32_t shard, uint32_t version, uint64_t term);
/* Whether a placement in force, or on its way, has this node, of all that control has done up to now: none, says calls.on_not_held with
 * the same number, or nothing comes. Asked again while nothing has come. */
void cluster_ask_held(struct cluster *c, uint32_t shard, uint64_t question);
void cluster_emptied(struct cluster *c,
                     uint32_t shard); /* it is closing, and nothing of it is left */

/* Node `by` says that this node was removed (wire_options.on_removed): it was down then, so that nobody told it of the change. From
 * now on, and after each start, its state is gone (calls.on_state). The wire forgets `by` when the disk says so, too: until then it is
 * to be heard again. */
void cluster_hear_removed(struct cluster *c, uint64_t by);
bool cluster_is_removed(const struct cluster *c); /* this node is gone, by control or by what it heard */

struct control_up cluster_up(const struct cluster *c);
/* What the plan waits for; "": nothing, or this node does not know. */
const char *cluster_waits(const struct cluster *c);
/* All its nodes are up, no shard is on its way to other voters, and nothing is lacking that they could give: as far as this node knows. */
bool cluster_is_settled(const struct cluster *c);
/* Without that node a quorum of group 0 lives. */
bool cluster_spares(const struct cluster *c, uint64_t node);
/* This node goes: the leadership of group 0 goes to another one. */
void cluster_leave(struct cluster *c);

#endif
