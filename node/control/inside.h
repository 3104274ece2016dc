/* inside - private to control: the state, and one command being applied. */
#ifndef CONTROL_INSIDE_H
#define CONTROL_INSIDE_H

#include <stdlib.h>
#include <string.h>

#include "node/control/control.h"
#include "proto/ground/check.h"

struct token {
    uint8_t hash[CONTROL_TOKEN_SIZE];
    uint64_t expires_ms;
};

/* Records of one kind, in the order of their names. */
struct table {
    Angarium__ControlRecord **list;
    unsigned count, room;
    uint64_t changed;
};

struct control {
    uint64_t applied, digest;
    bool is_born;
    uint8_t cluster[CONTROL_CLUSTER_SIZE];
    uint32_t shards_per_node, replicas, format;
    enum control_spread spread;
    unsigned node_count, token_count, shard_count;
    struct control_node nodes[CONTROL_NODES_MAX];
    struct token tokens[CONTROL_TOKENS_MAX];
    struct control_shard *shards; /* CONTROL_SHARDS_MAX */
    bool is_configured;
    size_t records_size; /* packed */
    struct table tables[CONTROL_KIND_END];
};

struct work {
    struct control *control;
    uint64_t index, time_ms;
    struct control_answer *answer;
};

/* Each returns 0 or why it changes nothing. */
int cmd_born(struct work *w, const Angarium__ControlBorn *born);
int cmd_join(struct work *w, const Angarium__ControlJoin *join);
int cmd_move(struct work *w, const Angarium__ControlMove *move);
int cmd_node_state(struct work *w, const Angarium__ControlNodeState *state);
int cmd_token(struct work *w, const Angarium__ControlToken *token);
int cmd_create(struct work *w, const Angarium__ControlCreate *create);
int cmd_place(struct work *w, const Angarium__ControlPlace *place);
int cmd_put(struct work *w, Angarium__ControlPut *put); /* takes the record out of it */
int cmd_drop(struct work *w, const Angarium__ControlDrop *drop);
/* What the command would say now. */
int join_may(const struct control *c, const Angarium__ControlJoin *join, uint64_t time_ms);
int move_may(const struct control *c, const Angarium__ControlMove *move);
int cmd_import(struct work *w, Angarium__ControlImport *import); /* takes the records out of it */

/* records.c */
/* The record is put in the place of what has its name; on success it is taken and *r is NULL. ERR_FULL, ERR_NOT_FOUND (its
 * tenant), ERR_EXISTS (it is another tenant's). */
int record_put(struct control *c, Angarium__ControlRecord **r);
void record_remove(struct control *c, enum control_kind kind, unsigned at);
int record_order(struct span a, struct span b); /* of names: <0, 0, >0 */
/* The place of the name, or where it would stand. */
unsigned record_find(const struct control *c, enum control_kind kind, struct span name,
                     bool *found);
/* Somebody's record that says so is there. */
bool record_tenant_used(const struct control *c, struct span tenant);
/* Takes what stands behind all others of its kind; false: it does not, or there is no room. */
bool record_append(struct control *c, Angarium__ControlRecord **r);
bool record_tenant_ok(const struct control *c, const Angarium__ControlRecord *r);
unsigned record_max(enum control_kind kind);
void records_clear(struct control *c);
int cmd_recover(struct work *w, const Angarium__ControlRecover *recover);
int cmd_placed(struct work *w, const Angarium__ControlPlaced *placed);
int cmd_shard_state(struct work *w, const Angarium__ControlShardState *state);
int cmd_region_drain(struct work *w, const Angarium__ControlRegionDrain *drain);
int cmd_format(struct work *w, const Angarium__ControlFormat *format);
int cmd_promote(struct work *w, const Angarium__ControlPromote *promote);

struct control_node *node_find(struct control *c, uint64_t id); /* NULL */
void node_take(struct control_node *to, const Angarium__ControlNode *from);
bool list_has(const uint64_t *list, unsigned count, uint64_t id);
struct control_shard *shard_find(struct control *c,
                                 uint32_t number); /* NULL: no such shard, or closed */
/* 0, ERR_RANGE (none, twice), ERR_NOT_FOUND (no such node, or gone). */
int voters_check(const struct control *c, const uint64_t *voters, size_t count);
/* Who is not in the shard (NULL: it is new) comes only to a node that takes something: ERR_DENIED. */
int voters_may_come(const struct control *c, const struct control_shard *s, const uint64_t *voters,
                    size_t count);
static inline enum control_spread spread_take(uint32_t said)
{
    return said == CONTROL_SPREAD_REGION ? CONTROL_SPREAD_REGION : CONTROL_SPREAD_ZONE;
}
unsigned voters_take(uint64_t to[CONTROL_VOTERS_MAX], const uint64_t *from, size_t count);
/* Others are wanted: the version grows, and who may have a vote by now stays among the holders. ERR_BUSY: they would be too
 * many. */
int shard_place(struct control_shard *s, const uint64_t *voters, size_t count);
/* Without that node, for good. */
void shard_drop(struct control_shard *s, uint64_t node);

/* look.c: what plan.c and may.c go by, counted once */
struct look {
    const struct control *control;
    bool up[CONTROL_NODES_MAX], takes[CONTROL_NODES_MAX]; /* it serves, and is up */
    unsigned held[CONTROL_NODES_MAX],
        led[CONTROL_NODES_MAX]; /* as they are wanted; open shards that it is the first of */
    uint16_t zone[CONTROL_NODES_MAX], region[CONTROL_NODES_MAX];
    enum control_spread spread; /* of the shard that is weighed */
    unsigned serving, taking, moving;
};
void look_at(struct look *l, const struct control *c, const struct control_up *up);
unsigned look_place(const struct look *l, uint64_t id); /* of a node that there is */
bool look_is_up(const struct look *l, uint64_t id);
bool look_takes(const struct look *l, uint64_t id);
unsigned look_living(const struct look *l, const uint64_t *list, unsigned count);
/* Of a shard that is spread so (look.spread). */
bool look_has_quorum(const struct look *l, const uint64_t *list, unsigned count);
unsigned look_voters_wanted(const struct look *l);
/* What two voters share that should not, and what they do not share that should: a region more than a zone. */
unsigned look_conflicts(const struct look *l, const uint64_t *list, unsigned count);
/* The best to add to the voters; 0: nobody. */
uint64_t look_best(const struct look *l, const uint64_t *voters, unsigned count);

/* words.c: sizes and characters of what a command or a saved state says */
bool words_born_ok(const Angarium__ControlBorn *b);
bool words_node_ok(const Angarium__ControlNode *n);
bool words_node_state_ok(uint32_t state);
bool words_shard_state_ok(uint32_t state);
bool words_token_ok(const Angarium__ControlToken *t);
bool words_record_ok(const Angarium__ControlRecord *r);

#endif
