/* control - the deterministic state of group 0: which nodes there are, which shards, who holds them, and the records of the
 * whole cluster: tenants, credentials, domains, routes, rules, settings.
 *
 * Way:     raft applies an entry of group 0 -> control_apply -> the answer, and a state that everybody reads.
 * Rule:    the state is a function of the log alone (P6), as in queue/: no clock, no random. Times are in the
 *          commands, chosen by the leader.
 * Size:    small and bounded (the *_MAX below), so it is kept in memory, and saved and shipped as a whole. A command
 *          that would go over a bound is refused with ERR_FULL and changes nothing.
 * Threads: one at a time; whoever shares it brings the lock.
 *
 * Invariants (control_verify checks them all):
 *   K1 nothing is before the cluster is born, and it is born once
 *   K2 a node's number and its disk's uuid are never used twice, also not those of nodes that are gone
 *   K3 two nodes that are not gone do not share an address
 *   K4 shards are numbered from 1 without gaps, in the order of their creation
 *   K5 voters are distinct, 1 to CONTROL_VOTERS_MAX, and each is a node that has joined and is not gone; of a closed shard
 *      there are none
 *   K6 a placement's version grows by one with each change; founders never change
 *   K7 a token admits one node, before its end
 *   K8 every count is within its bound
 *   K9 records of a kind have different names and stand in their order; a version is the index of an applied entry
 *   K10 a credential's and a domain's tenant is there, and a rule's if it has one
 *   K11 no record is there before the import, which is once; what they take together is counted and within its bound
 *   K12 who may have a vote in a shard stands in its holders until a placement without him is in force: a node that is not
 *      among them may forget what it has of it, and a node that is cannot be gone
 *   K13 the format in force is one that this program knows, and never goes back
 */
#ifndef CONTROL_CONTROL_H
#define CONTROL_CONTROL_H

#include "proto/control.pb-c.h"
#include "proto/proto.h"

#define CONTROL_NODES_MAX   64u /* ever; members of group 0 */
#define CONTROL_SHARDS_MAX  1024u
#define CONTROL_TOKENS_MAX  256u /* not used and not over */
#define CONTROL_VOTERS_MAX  7u
#define CONTROL_HOLDERS_MAX 16u
#define CONTROL_MOVES_MAX                                                                          \
    2u /* shards that get another replica at one time: planned moves are limited so */
#define CONTROL_PROMOTED_MAX     5u
#define CONTROL_ADDRESS_SIZE_MAX 270u
#define CONTROL_PLACE_SIZE_MAX   63u /* a zone's or region's name */
#define CONTROL_UUID_SIZE        36u
#define CONTROL_CLUSTER_SIZE     16u
#define CONTROL_TOKEN_SIZE       32u
#define CONTROL_PER_NODE_MAX     64u
#define CONTROL_COMMAND_SIZE_MAX (512u << 10)
#define CONTROL_STATE_SIZE_MAX   (16u << 20)

#define CONTROL_TENANTS_MAX      1000u
#define CONTROL_CREDENTIALS_MAX  10000u
#define CONTROL_DOMAINS_MAX      4000u
#define CONTROL_ROUTES_MAX       256u
#define CONTROL_RULES_MAX        32u
#define CONTROL_SETTINGS_MAX     64u
#define CONTROL_RECORDS_SIZE_MAX (12u << 20) /* all records, packed */
#define CONTROL_RECORD_SIZE_MAX  (24u << 10) /* one of them */
#define CONTROL_NAME_SIZE_MAX    255u
#define CONTROL_FIELDS_MAX       32u /* of a record */
#define CONTROL_FIELD_SIZE_MAX   64u /* its name */
#define CONTROL_VALUE_SIZE_MAX   3000u

/* Cordoned: it gets nothing new and keeps what it has. Draining: what it has moves away. Gone: for ever. */
enum control_node_state {
    CONTROL_JOINING = 1,
    CONTROL_SERVING,
    CONTROL_DRAINING,
    CONTROL_GONE,
    CONTROL_CORDONED
};
const char *control_node_state_name(enum control_node_state state);
/* Closing: it takes no new mail and is gone when nothing of it is left. */
enum control_shard_state { CONTROL_OPEN = 1, CONTROL_CLOSING, CONTROL_CLOSED };
const char *control_shard_state_name(enum control_shard_state state);
/* Over zones: voters in different zones of one region, as far as there are nodes, so that a commit stays in the region. Over
 * regions: voters in different regions, and a commit needs two of them. */
enum control_spread { CONTROL_SPREAD_ZONE = 1, CONTROL_SPREAD_REGION };
const char *control_spread_name(enum control_spread spread);

struct control_node {
    uint64_t id, joined_ms;
    enum control_node_state state;
    bool promoted; /* it votes in group 0 before others do */
    char uuid[CONTROL_UUID_SIZE + 1];
    char address[CONTROL_ADDRESS_SIZE_MAX + 1];
    char zone[CONTROL_PLACE_SIZE_MAX + 1], region[CONTROL_PLACE_SIZE_MAX + 1];
};
struct control_shard {
    uint32_t number, version,
        in_force; /* placements: the one that is wanted, the last one that was reached */
    enum control_shard_state state;
    enum control_spread spread; /* for its life */
    unsigned founder_count, voter_count, holder_count, settled_count;
    uint64_t founders[CONTROL_VOTERS_MAX]; /* with whom its log began */
    uint64_t voters[CONTROL_VOTERS_MAX];   /* who is wanted; the first one should lead */
    /* Who may have a vote (K12): first those of the placement in force, so many as are settled. */
    uint64_t holders[CONTROL_HOLDERS_MAX];
};

struct control;
struct control *control_new(void);
void control_free(struct control **c); /* takes NULL */

struct control_answer {
    int error; /* 0, or why it changed nothing: ERR_EXISTS, ERR_NOT_FOUND, ERR_DENIED, ERR_FULL, ERR_RANGE,
                       ERR_SUPERSEDED (the fence), ERR_BUSY (something still hangs on it) */
    uint32_t shard;   /* of a creation */
    uint64_t version; /* of a record that was written */
};
/* Applies the entry at `index` (> control_applied). A head that does not pass control_unpack is our bug or damage: CHECK. */
void control_apply(struct control *c, uint64_t index, struct span head, struct control_answer *out);

/* Appends the packed command. ERR_CORRUPT: it does not pass the checks. ERR_VERSION: the format in force does not
 * have it (PROTO_ADDED_*). ERR_FULL: `out` is full. */
int control_pack(const Angarium__ControlCommand *command, struct buf *out);
/* Unpacks and checks; free with control_command_free. ERR_TOO_LONG, ERR_CORRUPT, ERR_VERSION (a newer format). */
int control_unpack(struct span head, Angarium__ControlCommand **out);
void control_command_free(Angarium__ControlCommand **command);

/* With what control_apply would refuse the command now, of those that machines ask for, again and again: a JOIN, a MOVE. 0: it would not, or it
 * is another command. It has passed control_pack. */
int control_refusal(const struct control *c, const Angarium__ControlCommand *command);

/* ---- seeing; borrowed until the next apply or load */

uint64_t control_applied(const struct control *c);
uint64_t control_digest(const struct control *c);
bool control_is_born(const struct control *c);
const uint8_t *
control_cluster(const struct control *c); /* CONTROL_CLUSTER_SIZE bytes; zeroes: not born */
uint32_t control_shards_per_node(const struct control *c);
uint32_t control_replicas(const struct control *c);
enum control_spread control_spread(const struct control *c); /* of shards that are planned */
uint32_t control_format(const struct control *c); /* in force; not born: PROTO_FORMAT_MIN */
unsigned control_node_count(const struct control *c);
const struct control_node *control_node_at(const struct control *c,
                                           unsigned i); /* in order of joining */
const struct control_node *control_node(const struct control *c,
                                        uint64_t id); /* NULL: no such node */
/* Somebody else who is not gone has the address. */
bool control_address_taken(const struct control *c, uint64_t but, const char *address);
unsigned control_shard_count(const struct control *c);
const struct control_shard *control_shard(const struct control *c, uint32_t number); /* NULL */
/* A number for the node's zone (its region) that all replicas agree on and that stays; 0: it names none. A zone is one
 * within its region. */
uint16_t control_zone_number(const struct control *c, uint64_t node);
uint16_t control_region_number(const struct control *c, uint64_t node);

/* ---- records */

enum control_kind {
    CONTROL_TENANT = 1,
    CONTROL_CREDENTIAL,
    CONTROL_DOMAIN,
    CONTROL_ROUTE,
    CONTROL_RULE,
    CONTROL_SETTING,
    CONTROL_KIND_END
};
enum control_fence { CONTROL_FENCE_NONE, CONTROL_FENCE_ABSENT, CONTROL_FENCE_VERSION };
const char *control_kind_name(enum control_kind kind); /* "tenant" */
/* The import has been: the records are in force, and no settings file's. */
bool control_is_configured(const struct control *c);
/* Grows with each change of a record of that kind; not the same on all nodes. */
uint64_t control_changed(const struct control *c, enum control_kind kind);
unsigned control_record_count(const struct control *c, enum control_kind kind);
/* In the order of the names' bytes. */
const Angarium__ControlRecord *control_record_at(const struct control *c, enum control_kind kind,
                                                 unsigned i);
const Angarium__ControlRecord *control_record(const struct control *c, enum control_kind kind,
                                              struct span name); /* NULL */
/* The place of the first one behind that name. */
unsigned control_record_behind(const struct control *c, enum control_kind kind, struct span name);
/* The value of its field; n = 0: it has none, or an empty one. */
struct span control_field(const Angarium__ControlRecord *r, const char *name);

/* It has a vote, may have one, or shall. */
bool control_holds(const struct control_shard *s, uint64_t node);
unsigned control_held(const struct control *c, uint64_t node); /* so many shards */
unsigned control_led(const struct control *c,
                     uint64_t node); /* it is the first of so many that are open */
/* Another replica is on its way, or one on its way out. */
bool control_moves(const struct control_shard *s);

/* ---- what is to be done next (plan.c) */

struct control_up { /* nodes that are seen to live */
    unsigned count;
    uint64_t nodes[CONTROL_NODES_MAX];
};
enum control_step_kind { CONTROL_SERVE, CONTROL_PLACE, CONTROL_CREATE };
struct control_step {
    enum control_step_kind kind;
    uint64_t node;           /* SERVE */
    uint32_t shard, version; /* PLACE */
    enum control_spread spread; /* CREATE */
    unsigned voter_count;    /* PLACE, CREATE */
    uint64_t voters[CONTROL_VOTERS_MAX];
};
/* The next step; false: nothing is to be done, or nothing can be with those who are up: then `why` (NULL allowed) says what
 * waits for what, if anything does. */
bool control_plan(const struct control *c, const struct control_up *up, struct control_step *out,
                  struct errmsg *why);

/* ---- what an operator may (may.c). 0, or ERR_NOT_FOUND, ERR_EXISTS (it is so already), ERR_BUSY (refused for safety) and why.
 * Control itself checks when it applies; these know who is up besides. */

int control_may_cordon(const struct control *c, uint64_t node, struct errmsg *why);
int control_may_uncordon(const struct control *c, uint64_t node, struct errmsg *why);
int control_may_drain(const struct control *c, const struct control_up *up, uint64_t node,
                      struct errmsg *why);
/* All nodes of a region at once. */
int control_may_drain_region(const struct control *c, const struct control_up *up,
                             const char *region, struct errmsg *why);
int control_may_remove(const struct control *c, const struct control_up *up, uint64_t node,
                       bool force, struct errmsg *why);
int control_may_promote(const struct control *c, const struct control_up *up, uint64_t node,
                        struct errmsg *why);
int control_may_close(const struct control *c, uint32_t shard, struct errmsg *why);
/* `voters` in place of those that it has; ERR_RANGE: they cannot be. */
int control_may_place(const struct control *c, const struct control_up *up, uint32_t shard,
                      const uint64_t *voters, unsigned count, struct errmsg *why);
/* The voters of a new shard on `node` (0: where there are fewest), spread so (0: as the cluster's are). */
int control_may_create(const struct control *c, const struct control_up *up, uint64_t node,
                       enum control_spread spread, struct control_step *out, struct errmsg *why);

/* ---- as a whole */

/* Appends all of the state; ERR_FULL when `out` has no room (CONTROL_STATE_SIZE_MAX suffices). */
int control_save(const struct control *c, struct buf *out);
/* The state takes the place of what was there. ERR_VERSION (a newer format), ERR_CORRUPT: nothing has changed. */
int control_load(struct control *c, struct span saved);
/* Another cluster begins with this state: another id, this node alone, holder of all its shards. No tokens. The next
 * CONTROL_SKIPPED numbers of shards count as used up (closed): the old cluster may have given them since. */
#define CONTROL_SKIPPED 16u
void control_refound(struct control *c, const uint8_t cluster[CONTROL_CLUSTER_SIZE],
                     const struct control_node *only);
/* Up to `index` nothing more comes for this state: what is behind control_applied() there is raft's own. */
void control_reach(struct control *c, uint64_t index);
/* Checks K1-K13. 0, or ERR_CORRUPT and the first broken one in words. */
int control_verify(const struct control *c, struct errmsg *why);

#endif
