/* town - what stands on the simulated engine (engine/world.h, struct above): on each node the real node/cluster with its replica of
 * group 0, node/peer, and node/commit/place.c for the shards that control places there, one host and queue each.
 *
 *   above.c     a node's rooms: opened, turned, closed; what the engine's world asks
 *   loop.c      a false node/net/loop.h: timers, letters, works that end later
 *   disk.c      false files: DATA/cluster, DATA/control
 *   shard.c     what place.c and close.c need of node/commit, over a host of the engine's world
 *   late.c      a node whose shards hear late of control
 *   operator.c  who lets nodes join, drains, removes, closes, moves
 *   judge.c     what may never happen                 rest.c  what must have come about at the end
 * Group 0 of the engine is control; shard n is group n, of host n.
 */
#ifndef SIM_CONTROL_TOWN_H
#define SIM_CONTROL_TOWN_H

#include "node/cluster/inside.h"
#include "node/commit/shard.h"
#include "tests/sim/engine/world.h"

#define TIMERS_MAX 2100u
#define FILES_MAX  2u

/* Of ACT_ABOVE, in a; b is what each makes of it. */
enum { DO_WORK, DO_JOIN, DO_OPERATE, DO_OPEN, DO_LATE, DO_WEIGH };

#define SEEN_DEAD_US (10 * SECOND) /* until then who is lost may be taken for one that lives */

struct file {
    char name[16];
    struct buf bytes;
};
struct stand { /* of a node */
    struct node *node;
    /* disk */
    struct file files[FILES_MAX];
    unsigned file_count;
    char uuid[CONTROL_UUID_SIZE + 1], dir[16], address[32], zone[16], region[16];
    uint64_t lost_us; /* when its disk was lost; 0: it was not */
    bool joins;       /* somebody asks for it */
    /* process */
    bool closing;
    struct peers *peers;
    struct cluster *cluster; /* NULL: it does not run, or is no member yet */
    struct commit commit;
    struct shard shards[GROUPS_MAX];
    struct mpsc letters;
    struct list works;
    struct loop_timer *timers[TIMERS_MAX];
    unsigned timer_count;
    bool knows[NODES_MAX];   /* wire_peer */
    bool removed[NODES_MAX]; /* wire_remove */
    bool done[NODES_MAX];    /* it was heard of them that this node was removed */
    uint64_t judged;       /* the state that was looked at last */
    struct list news;      /* late.c: what its shards have not heard yet */
    uint64_t late_until_us;
    uint32_t heard[GROUPS_MAX]; /* the placement that shard number - 1 knows of */
};

struct town {
    struct stand stands[NODES_MAX];
    unsigned regions, zones;
    uint32_t shards_per_node, replicas;
    enum control_spread spread;
    uint64_t verb_every_us;
    bool is_late; /* somebody may hear late of control */
    unsigned created; /* by operators */
    bool whole;       /* all that is not lost heals */
    bool stuck[GROUPS_MAX]; /* lost its quorum by a change that counted on who had just been lost */
    /* the newest state that anybody has applied */
    uint64_t index, changed_us;
    struct control_shard shards[GROUPS_MAX]; /* number - 1 */
    unsigned shard_count, node_count;
    struct control_node nodes[CONTROL_NODES_MAX];
    uint64_t *digests; /* by index; 0: nobody was seen there */
    uint64_t digest_cap;
    uint64_t index_at_calm;
    unsigned count_at_calm; /* of shards */
    uint32_t versions_at_calm[GROUPS_MAX];
    uint64_t verbs, refusals, plans;
};

/* above.c */
void town_open(struct world *w, struct node *n);
bool town_runs(const struct world *w, const struct node *n); /* and is a member */

/* loop.c */
void loop_begin(struct stand *s);
void loop_letters(struct stand *s);
void loop_timers(struct world *w, struct stand *s);
uint64_t loop_next(const struct stand *s);
void loop_worked(struct stand *s);

/* disk.c */
void disk_begin(struct town *t);
void disk_free(struct stand *s);
bool disk_has(const struct stand *s, const char *name);

/* shard.c */
void shards_open(struct stand *s);
void shards_turn(struct world *w, struct stand *s);
void shards_close(struct stand *s);

/* late.c */
void late_begin(struct stand *s);
void late_place(struct stand *s, const struct commit_placement *p);
void late_confirm(struct stand *s, uint32_t shard, uint32_t version, uint64_t term);
void late_turn(struct stand *s, bool forget);
void late_work(struct world *w);
void late_end(struct world *w); /* all hear */

/* operator.c */
void operator_join(struct world *w, struct node *n);
void operator_join_later(struct world *w, struct node *n, uint64_t max_us);
void operator_work(struct world *w);
void operator_exchange(struct world *w, uint32_t shard, uint64_t stays);

/* judge.c */
void judge_node(struct world *w, struct node *n);
bool judge_is_gone(const struct town *t, uint64_t id);
void judge_config(struct world *w, unsigned group, const struct core_config *before,
                  const struct core_config *now);

/* rest.c */
bool rest_begin(struct world *w);
void rest_weigh(struct world *w);
bool rest_may_begin(const struct world *w, const bool set[NODES_MAX]);
const char *rest_missing(struct world *w, unsigned group, bool *is_over);

#endif
