/* inside - private to cluster: the replica of group 0, and what it does. */
#ifndef CLUSTER_INSIDE_H
#define CLUSTER_INSIDE_H

#include "node/cluster/cluster.h"
#include "proto/ground/check.h"
#include "proto/ground/log.h"

#define PATH_SIZE     4200
#define KEEP_EVERY_MS 200
#define CUT_BYTES     (1u << 20) /* of group 0's log: then the state is saved and the log cut */

struct cluster {
    struct cluster_options o;
    struct cluster_self self;
    char *dir;
    struct control *control;
    struct raft_group *group;
    bool leads;
    uint64_t leader;
    uint64_t told_records;             /* save_records_mark */
    uint64_t told[CONTROL_SHARDS_MAX]; /* marks of what was told of the shard; 0: nothing */
    enum control_node_state told_state;
    bool gone_down[CONTROL_NODES_MAX]; /* control_node_at: it is gone, and was down since */
    bool leaving;
    bool is_removed; /* another node said so; self.removed: the disk says it, too */
    struct list asks;    /* proposed here */
    struct list away;    /* another node is asked */
    struct list behind;  /* it is in force there, and not here yet */
    struct list reports; /* struct report */
    unsigned ask_count;
    struct raft_read news; /* a round of heartbeats, which say what is committed */
    bool news_out, news_are_last;
    unsigned news_rounds;
    uint64_t news_upto;
    uint64_t farewell; /* what members hear that are gone, before they are dropped: an index */
    unsigned farewell_count;

    /* keep.c */
    struct loop_timer timer;
    struct cluster_ask step;
    bool step_out;
    struct errmsg waits; /* what the plan waits for */
    bool import_refused, move_refused; /* it was told */

    /* save.c */
    struct loop_work work;
    struct buf saved; /* the work's, while it is away */
    uint64_t saved_upto;
    uint64_t nodes_on_disk, nodes_saving; /* marks of who is there: save_nodes_mark */
    uint64_t records_on_disk, records_saving;
    unsigned ended_on_disk, ended_saving; /* shards that have ended: none of them is ever open again */
    bool saving, is_install, closing;
    struct cluster_self raised; /* the work's: this node under another format, or removed; format 0: the same as on the disk */
    struct buf incoming; /* a snapshot that comes */
};

int file_replace(const char *dir, const char *name, struct span bytes, struct errmsg *why);
int file_read(const char *dir, const char *name, struct buf *out,
              struct errmsg *why); /* ERR_NOT_FOUND */

/* keep.c: where group 0 leads */
void keep_open(struct cluster *c);
void keep_close(struct cluster *c);
void keep_fill_self(const struct cluster *c, Angarium__ControlNode *n); /* who this node is */

/* change.c: changes that other nodes bring, or are asked for */
int change_ask(struct cluster *c, struct cluster_ask *a, const Angarium__ControlCommand *command);
void change_applied(struct cluster *c);
void change_tick(struct cluster *c);
void change_close(struct cluster *c);
/* Beats that say what is committed, until all members that are up have the entry, and then one more. */
void change_spread_news(struct cluster *c, uint64_t index);
bool change_is_told(const struct cluster *c, uint64_t index); /* that last one is through */
int change_propose(struct cluster *c, struct cluster_ask *a,
                   const Angarium__ControlCommand *command);

/* members.c: who is in group 0 */
void members_see_to(struct cluster *c);

/* format.c */
/* The state names another format than the disk. */
bool format_differs(const struct cluster *c);
/* On the pool: who this node is, as `raised` says. */
void format_write(struct cluster *c);
void format_written(struct cluster *c);

/* save.c */
int save_load(struct cluster *c, struct errmsg *why);
void save_maybe(struct cluster *c);
/* All nodes that are in force are on the disk, so that a restart finds its peers. */
bool save_knows_nodes(const struct cluster *c);
bool save_knows_ended(const struct cluster *c); /* all shards that have ended, to have ended */
bool save_knows_self(const struct cluster *c);  /* the format in force; that this node was removed */
/* Another one whenever a record has changed. */
uint64_t save_records_mark(const struct cluster *c);
struct raft_snapshot_calls save_snapshot_calls(void);

/* tell.c: what the state says, to the wire and to the node */
void tell_peers(struct cluster *c);
/* Those who are gone for ever, and whom nobody needs any more. */
void tell_removed(struct cluster *c);
void tell_shards(struct cluster *c);
void tell_records(struct cluster *c);
struct core_config tell_config(const struct cluster *c, const uint64_t *voters, unsigned count);

#endif
