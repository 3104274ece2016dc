/* world - a whole cluster in one thread: nodes, disks, network, clocks and the mail they carry, all false,
 * all from one seed.
 *
 * Layers: the real raft/core and the real queue machine; everything around them is made here.
 *   world.c   the order of things: one heap of actions, one clock, one generator
 *   draw.c    what a seed makes of a run: sizes, groups, zones, fault mix
 *   log.c     entries (shared, never copied) and a node's run of them
 *   disk.c    writes in order, one sync at a time; what a crash leaves; what a lying disk loses
 *   net.c     packets: delay, loss, doubles, order, cuts, clogs, old ones again
 *   node.c    the host of the cores: carries updates out to the letter of raft/core/core.h
 *   boot.c    a node starts, crashes, sleeps; cores open on what the disk left
 *   zombie.c  a process that goes on when its node was started anew elsewhere
 *   machine.c the queue of a group on a node: applies, flushes, snapshots
 *   mail.c    clients, claims, sends, outcomes; the remote world that counts
 *   faults.c  who breaks what and when
 *   calm.c    the second phase: a majority heals, the rest stays broken, and all must drain
 *   check.c   what may never happen
 *   bounds.c  what may not grow without end
 *   trace.c   the hash of all that happened, and its text
 * Time: microseconds of the world; each node has a clock of its own that drifts, and a wall clock that jumps.
 */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include "proto/ground/check.h"
#include "proto/ground/err.h"
#include "proto/ground/list.h"
#include "proto/ground/rng.h"
#include "proto/proto.h"
#include "queue/queue.h"
#include "raft/core/core.h"
#include "tests/sim/shared/agenda.h"
#include "tests/sim/shared/ledger.h"
#include "tests/sim/shared/regions.h"

#define NODES_MAX   12u /* ever, in one run */
#define GROUPS_MAX  5u
#define ENTRIES_MAX 64u /* of one append */
#define TOKENS_MAX  1024u
#define REFS_MAX    8u /* recipients of one claim or outcome */
#define PEOPLE_MAX  2u /* recipients of one mail */
#define NEVER       UINT64_MAX
#define MS          UINT64_C(1000)
#define SECOND      (1000 * MS)

struct world;

/* ---- log.c */

struct entry {
    unsigned refs, group;
    uint64_t index, term, prev_term, made_us;
    enum core_entry_kind kind;
    uint32_t weight;
    struct core_config *config;
    size_t head_size;
    uint8_t head[]; /* a packed command */
};
struct slot {
    struct entry *entry;
    bool has_body;
};
struct log {
    uint64_t first; /* the first entry that is kept, or would be */
    uint64_t base_term;
    size_t count, cap;
    struct slot *list;
    struct core_config base; /* the newest configuration before `first` */
    bool has_base;
};
struct entry *entry_new(unsigned group, const struct entry *what, struct span head);
struct entry *entry_ref(struct entry *e);
void entry_unref(struct entry *e);
void log_free(struct log *l);
uint64_t log_last(const struct log *l);
uint64_t log_term(const struct log *l, uint64_t index); /* 0: not there */
struct slot *log_at(struct log *l, uint64_t index);     /* NULL: not there */
void log_add(struct log *l, struct slot s);
void log_truncate(struct log *l, uint64_t from);
void log_cut(struct log *l, uint64_t upto);
void log_reset(struct log *l, struct core_pos pos, const struct core_config *base);
void log_copy(struct log *to, const struct log *from);
/* The newest configuration with index <= upto; NULL: the group's first one. */
const struct core_config *log_config(const struct log *l, uint64_t upto);

/* ---- disk.c */

enum write_kind { WRITE_LOG, WRITE_CUT, WRITE_UNTAINT };
struct write {
    struct list link;
    enum write_kind kind;
    unsigned group;
    uint64_t id; /* of the core; 0 for what it does not know of */
    uint64_t since_us;
    bool has_hard;
    struct core_hard hard;
    uint64_t truncate_from, cut_upto;
    unsigned count;
    struct slot *slots;
};
/* What the disk holds of a group. */
struct kept {
    bool exists, tainted;
    struct core_hard hard;
    struct log log;
    struct core_pos lost_upto;
    uint64_t machine_upto; /* the machine's flushed state is as of this entry */
    struct queue_store *store;
};
#define UNDO_MAX 16
struct undo { /* one synced write, as it was before: a disk that lies goes back to it */
    unsigned group;
    struct core_hard hard;
    uint64_t last;
    bool shortened; /* it cut entries off: no way back */
    uint64_t batch; /* before it */
};
struct mark { /* a slot of the watermark */
    uint64_t batch, term_max;
    bool damaged;
};
struct disk {
    struct kept kept[GROUPS_MAX];
    struct list waiting, flight;
    unsigned write_count; /* in both */
    bool failing;         /* the next sync fails */
    bool failed;
    uint64_t stalled_until_us;
    uint32_t slow; /* latency times this */
    uint16_t free_permille;
    uint64_t term_max;    /* in synced writes, ever */
    uint64_t batch;       /* of the last sync */
    struct mark marks[2]; /* written in turn, behind each sync and before its answers */
    struct undo undo[UNDO_MAX];
    unsigned undo_count;
};

/* ---- net.c */

struct snapshot;
struct packet {
    unsigned refs, group;
    uint64_t generation; /* of rest, of the sending node */
    uint64_t from_life, to_life;
    bool is_of_zombie;
    struct core_msg msg;
    struct snapshot *snapshot;
    unsigned count;
    struct entry *entries[];
};
struct link_state {
    uint64_t cut_until_us, clogged_until_us, last_at_us;
    unsigned packets; /* on their way */
};

/* ---- node.c */

struct held {
    struct list link;
    uint64_t after_write;
    struct core_msg msg;
};
enum proposal_kind {
    PROPOSE_ACCEPT,
    PROPOSE_BOUNCE,
    PROPOSE_CLAIM,
    PROPOSE_OUTCOME,
    PROPOSE_RELEASE,
    PROPOSE_PURGE
};
struct proposal {
    struct list link;
    enum proposal_kind kind;
    uint64_t index, term;
    struct entry *entry;
    unsigned token;
    unsigned ref_count;
    struct queue_ref refs[REFS_MAX];
    Angarium__Result results[REFS_MAX]; /* of a claim, once it was sent */
    bool is_sent;
};
struct host { /* a group on a node, while it runs */
    bool open;
    struct core *core;
    struct log log;
    struct queue *queue;
    uint64_t boot_last; /* the core is not told the bytes of entries up to here */
    uint64_t applied, commit, machine_seen; /* machine_seen: the last command it was shown */
    uint64_t timer, apply_at_us;
    enum core_role role;
    uint64_t term, leader;
    bool ready, installing;
    bool is_fresh; /* nothing was applied since it was opened */
    struct core_pos install_pos;
    struct snapshot *staged;
    uint64_t sending_upto; /* snapshot on its way from here: nothing behind it is cut; 0: none */
    unsigned sending;
    struct list held, proposals;
    unsigned held_count;
    bool works;          /* the round of delivery is on its way */
    uint64_t doubt_term; /* what earlier terms had claimed is in doubt, all of it, in this one */
};
struct peer {
    bool up;
    uint64_t heard_us, life, generation;
};
struct node {
    unsigned at; /* in world.nodes; its number is at + 1 */
    bool exists, up, lost, dying, frozen_down;
    uint64_t life;      /* incarnation */
    uint64_t lied_life; /* that its disk lost something in last */
    uint64_t paused_until_us;
    uint64_t boot_us, mono_base_us, rate_permille;
    int64_t wall_offset_ms;
    uint64_t rest_generation;
    unsigned crash_in; /* I/O steps; 0: not */
    uint16_t zone, region;
    struct disk disk;
    struct host hosts[GROUPS_MAX];
    struct peer peers[NODES_MAX];
};

/* ---- mail.c */

enum token_state { TOKEN_FREE, TOKEN_ASKED, TOKEN_ACKED, TOKEN_UNKNOWN, TOKEN_REFUSED };
struct token { /* one try of a client to hand in one mail */
    enum token_state state;
    unsigned group, people;
    uint64_t asked_us;
    uint64_t accepted_index; /* as the canonical history says; 0: not */
    unsigned accepts;
    struct {
        unsigned arrived, doubts, released, ended;
        bool delivered;
    } person[PEOPLE_MAX];
};

/* ---- check.c */

struct canon {
    struct entry **entries; /* committed, by index - 1 */
    uint64_t *terms;        /* in which each was committed, or a later one */
    uint64_t *digests;      /* of the machine behind it; 0: nobody applied it yet */
    uint64_t count, cap;
    struct core_config config; /* the newest one that is committed */
};
struct check {
    struct canon canon[GROUPS_MAX];
    struct leaders leaders[GROUPS_MAX];
    struct votes votes;
    struct {
        uint64_t context, floor;
        unsigned group;
    } reads[64];
    uint64_t read_next;
};

/* ---- draw.c */

/* Those from FAULTS_LATER on are drawn by a generator of their own: seeds without them go on meaning what they did. */
#define FAULT_TABLE(X)                                                                             \
    X(CRASH, "crash")                                                                              \
    X(CRASH_POINT, "crash-point")                                                                  \
    X(POWER, "power")                                                                              \
    X(PAUSE, "pause")                                                                              \
    X(CUT, "cut")                                                                                  \
    X(ISOLATE, "isolate")                                                                          \
    X(SPLIT, "split")                                                                              \
    X(BRIDGE, "bridge")                                                                            \
    X(RING, "ring")                                                                                \
    X(FLAP, "flap")                                                                                \
    X(CLOG, "clog")                                                                                \
    X(REPLAY, "replay")                                                                            \
    X(STALL, "stall")                                                                              \
    X(SLOW, "slow")                                                                                \
    X(EIO, "eio")                                                                                  \
    X(LIE, "lie")                                                                                  \
    X(LOSS, "loss")                                                                                \
    X(FULL, "full")                                                                                \
    X(CLOCK, "clock")                                                                              \
    X(TRANSFER, "transfer")                                                                        \
    X(MEMBERS, "members")                                                                          \
    X(READ, "read")                                                                                \
    X(ZONE, "zone")                                                                                \
    X(STRAND, "strand")                                                                            \
    X(WATERMARK, "watermark")                                                                      \
    X(ZOMBIE, "zombie")                                                                            \
    X(REGION, "region")
#define FAULT_ENUM_(name, text) FAULT_##name,
enum fault { FAULT_TABLE(FAULT_ENUM_) FAULTS, FAULTS_LATER = FAULT_WATERMARK };
#undef FAULT_ENUM_
struct plan {
    unsigned nodes, spares, groups;
    uint64_t length_us; /* of the safety phase */
    uint32_t election_ms, heartbeat_ms, rest_after_ms, suspicion_ms, disk_stall_ms;
    uint64_t delay_min_us, delay_max_us;
    unsigned loss_permille, double_permille, reorder_permille, split_permille;
    bool in_order;
    bool knows_lost; /* a log that lost something knows up to where it was */
    uint64_t sync_min_us, sync_max_us;
    unsigned sync_batch;    /* writes of one sync */
    unsigned torn_permille; /* an unacknowledged sync survives the crash */
    uint64_t mail_every_us, apply_delay_us, remote_max_us, flush_every_us, work_every_us;
    unsigned fail_permille, bounce_permille, drop_permille; /* of sends */
    unsigned keep_entries;                                  /* behind the cut */
    uint64_t fault_every_us[FAULTS];                        /* 0: not in this run */
    uint32_t append_entries_max, append_bytes_max, window_entries;
    uint64_t uncommitted_bytes_max, unapplied_bytes_max;
    unsigned spread_permille, priority_permille;
    struct regions regions; /* with FAULT_REGION */
};

/* ---- world.c */

enum action_kind {
    ACT_TIMER,
    ACT_ARRIVE,
    ACT_SYNCED,
    ACT_BEAT,
    ACT_APPLY,
    ACT_FLUSH,
    ACT_START,
    ACT_INSTALL,
    ACT_SNAPSHOT, /* the transfer ended at the sender */
    ACT_CLOSED,   /* a connection to a node that died */
    ACT_CLIENT,
    ACT_WORK,
    ACT_REMOTE,
    ACT_FAULT,
    ACT_CALM, /* has it drained? */
    ACT_DIE,
    ACT_ZOMBIE_END,
};
struct world {
    uint64_t seed, now_us, order, life, steps, mono_total_us;
    struct rng rng, later; /* later: of draws that came later */
    struct plan plan;
    struct agenda agenda;
    struct node nodes[NODES_MAX];
    struct node zombie; /* up: it runs on, under the number of one of them */
    unsigned node_count;
    struct link_state links[NODES_MAX][NODES_MAX];
    struct packet *old[64]; /* to be sent again */
    unsigned old_count;
    struct core_config first_config[GROUPS_MAX];
    bool wanted[GROUPS_MAX][NODES_MAX]; /* was ever a member */
    bool calm;                          /* the second phase */
    bool core_set[NODES_MAX];           /* healed then */
    uint16_t apart;    /* then: this region and the others are cut off, for ever; 0: none */
    uint64_t apart_us; /* since */
    uint64_t calm_until_us;
    bool over;
    int64_t wall_latest_ms;
    struct token tokens[TOKENS_MAX];
    unsigned token_count;
    unsigned probes[GROUPS_MAX]; /* second phase: a mail that must come through; 0: not asked yet */
    struct arena arena;
    struct buf head;
    struct core_update update;
    struct check check;
    /* trace.c */
    struct {
        unsigned held, writes, packets; /* the longest queues of the run */
    } peak;
    uint64_t hash;
    bool loud;
    uint64_t events, messages, commits, sends, snapshots, elections, crashes, zombies;
};

uint64_t world_below(struct world *w, uint64_t n);
uint64_t world_between(struct world *w, uint64_t min, uint64_t max);
bool world_chance(struct world *w, unsigned permille);
void world_at(struct world *w, uint64_t delay_us, const struct action *a);
/* Runs a seed to its end; false never: what is broken ends the process (check.c). */
void world_run(struct world *w, uint64_t seed, bool loud);
void world_end(struct world *w);

/* draw.c */
void draw_plan(struct world *w);
void draw_groups(struct world *w);
void draw_print(const struct world *w);

/* disk.c */
void disk_init(struct disk *d);
void disk_wipe(struct disk *d);
/* Takes the slots' references. */
void disk_write(struct world *w, struct node *n, struct write *what);
void disk_synced(struct world *w, struct node *n);
void disk_crash(struct world *w, struct node *n);
/* The last synced writes are gone as if they had never been. False: nothing to lose. */
bool disk_lie(struct world *w, struct node *n);
/* One slot of the watermark, or both, do not read well any more. */
void disk_damage_marks(struct world *w, struct node *n);
/* Its writes never come back: `to` has them, and they wait for ever. What was being synced is on the disk of `from`, or not. */
void disk_fence(struct world *w, struct disk *from, struct disk *to);
uint32_t disk_oldest_ms(const struct world *w, const struct node *n);
void disk_write_free(struct write *x);

/* net.c */
void net_send(struct world *w, struct node *from, struct packet *p); /* takes the reference */
void net_deliver(struct world *w, struct packet *p, uint64_t delay_us);
bool net_open(const struct world *w, unsigned from, unsigned to);
bool net_beat_passes(struct world *w, unsigned from, unsigned to);
void net_replay(struct world *w);
struct packet *packet_new(unsigned group, const struct core_msg *m, unsigned count);
void packet_unref(struct packet *p);

/* node.c */
uint64_t node_mono_ms(const struct world *w, const struct node *n);
uint64_t node_wall_ms(const struct world *w, const struct node *n);
bool node_runs(const struct world *w, const struct node *n);
/* One I/O step; true: the node died at it. */
bool node_point(struct world *w, struct node *n);
/* Steps the core and carries the update out. The error of core_step. */
int node_step(struct world *w, struct node *n, unsigned group, struct core_event *e,
              struct packet *p, struct entry *own);
void node_durable(struct world *w, struct node *n, unsigned group, uint64_t id);
void node_beat(struct world *w, struct node *n);
void node_peer_told(struct world *w, struct node *n, unsigned peer, bool up, bool woke);
void node_snapshot_sent(struct world *w, struct node *n, struct packet *p);
void node_arrive(struct world *w, struct node *n, struct packet *p);
int node_propose(struct world *w, struct node *n, unsigned group, struct span head, uint64_t term,
                 struct proposal *p);

/* boot.c */
void boot_start(struct world *w, struct node *n);
void boot_open(struct world *w, struct node *n, unsigned group);
void boot_crash(struct world *w, struct node *n);
void boot_close(struct world *w, struct node *n, unsigned group);
struct node *boot_new_node(struct world *w);

/* zombie.c */
void zombie_begin(struct world *w, struct node *n);
void zombie_end(struct world *w);
/* Who an action is for: the process, or the one that lives on beside it. */
struct node *zombie_or(struct world *w, const struct action *a);
/* The life of node `to` that `from` sends to. */
uint64_t zombie_life(const struct world *w, const struct node *from, unsigned to);

/* machine.c */
void machine_open(struct world *w, struct node *n, unsigned group);
void machine_apply(struct world *w, struct node *n, unsigned group);
void machine_flush(struct world *w, struct node *n);
/* The state as it is now, in a store of its own; NULL: not now. */
struct queue_store *machine_copy(struct world *w, struct node *n, unsigned group);
struct snapshot *machine_save(struct world *w, struct node *n, unsigned group);
void machine_install(struct world *w, struct node *n, unsigned group, struct snapshot *s);
struct core_pos snapshot_pos(const struct snapshot *s);
const struct core_config *snapshot_config(const struct snapshot *s);
struct snapshot *snapshot_ref(struct snapshot *s);
void snapshot_unref(struct snapshot *s);

/* mail.c */
void mail_client(struct world *w, unsigned group);
/* The token, 0: nobody leads. */
unsigned mail_ask(struct world *w, unsigned group);
void mail_work(struct world *w, struct node *n, unsigned group);
void mail_role(struct world *w, struct node *n, unsigned group);
void mail_applied(struct world *w, struct node *n, unsigned group, struct entry *e,
                  const struct queue_effects *effects);
void mail_skipped(struct world *w, struct node *n, unsigned group, uint64_t upto);
void mail_remote(struct world *w, struct node *n, unsigned group,
                 struct proposal *claim); /* takes it */
void mail_proposal_free(struct proposal *p);
void mail_forget(struct world *w, struct host *h); /* the node died */
/* What the canonical history says, once for each entry. */
void mail_learn(struct world *w, unsigned group, const struct entry *e,
                const struct queue_effects *effects);
bool mail_drained(const struct node *leader, unsigned group);
void mail_expect_end(struct world *w);

/* faults.c */
void faults_begin(struct world *w);
void faults_do(struct world *w, enum fault f);
bool faults_impaired(const struct node *n, unsigned group);
/* Whether the nodes of the set, without those that lost something, could agree and elect under every
 * configuration that may be in force. */
bool faults_quorate(const struct world *w, unsigned group, const struct core_config *c,
                    const bool set[NODES_MAX]);
bool faults_all_quorate(const struct world *w, const bool set[NODES_MAX]);
/* One of them stands in the region that is apart, and the other one does not. */
bool faults_apart(const struct world *w, unsigned a, unsigned b);

/* calm.c */
void calm_begin(struct world *w);
void calm_look(struct world *w);

/* check.c */
#define EXPECT(w, fact, ...) ((fact) ? (void)0 : check_broken((w), __VA_ARGS__))
_Noreturn void check_broken(struct world *w, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void check_free(struct world *w);
void check_made(struct world *w, struct node *n, struct entry *e);
void check_appended(struct world *w, struct node *n, unsigned group, uint64_t index);
void check_role(struct world *w, struct node *n, unsigned group);
void check_sent(struct world *w, struct node *n, unsigned group, const struct core_msg *m);
void check_committed(struct world *w, struct node *n, unsigned group, uint64_t from, uint64_t upto);
/* True: nobody applied it before. */
bool check_applied(struct world *w, struct node *n, unsigned group, uint64_t index);
uint64_t check_read_begin(struct world *w, unsigned group);
void check_read_end(struct world *w, unsigned group, const struct core_read *r);
struct entry *check_canon(const struct world *w, unsigned group, uint64_t index);
void check_end(struct world *w);

/* bounds.c */
void bounds_step(struct world *w, struct node *n, unsigned group);
void bounds_proposed(struct world *w, struct node *n, unsigned group);
void bounds_flushed(struct world *w, struct node *n, unsigned group);
void bounds_written(struct world *w, const struct node *n);
void bounds_sent(struct world *w, const struct packet *p);
void bounds_arrived(struct world *w, const struct packet *p);

/* trace.c */
void trace_mix(struct world *w, uint64_t a, uint64_t b, uint64_t c);
#define TRACE(w, ...) ((w)->loud ? trace_say((w), __VA_ARGS__) : (void)0)
void trace_say(const struct world *w, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
const char *trace_kind(enum core_msg_kind k);

#endif
