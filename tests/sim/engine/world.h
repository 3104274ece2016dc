/* world - a whole cluster in one thread, each node with the real raft/engine, raft/core and queue; the disk under the log,
 * the connections, clocks and clients are false, all from one seed.
 *
 *   world.c   the order of things: one heap of actions, one clock, one generator
 *   draw.c    what a seed makes of a run
 *   net.c     a false struct wire: lanes that come up by a hello, hold, fill, break; cuts one way
 *   node.c    a process: starts, turns its loops, syncs, sleeps, dies at any I/O step
 *   machine.c the queue of a group on a node: applies, flushes, is sent in chunks, staged, replaced
 *   mail.c    clients, claims, outcomes; what was answered and what became of it
 *   upload.c  mails in very many chunks              format.c  versions that write differently, and the day all can read it
 *   faults.c  who breaks what and when; operators         rescue.c  a quorum that is lost for good
 *   calm.c    the second phase: a quorum heals, the rest stays broken, and all must drain
 *   check.c   what may never happen                       peek.c    the same, by what only the engine's inside shows
 *   trace.c   the hash of all that happened, and its text       alone.c   nobody stands on the engine: struct above
 * Time: microseconds of the world; each process has a clock that drifts, and a wall clock that jumps.
 */
#ifndef SIM_ENGINE_WORLD_H
#define SIM_ENGINE_WORLD_H

#include "proto/ground/check.h"
#include "proto/ground/err.h"
#include "proto/ground/list.h"
#include "proto/ground/rng.h"
#include "proto/proto.h"
#include "queue/queue.h"
#include "raft/engine/engine.h"
#include "tests/sim/shared/agenda.h"
#include "tests/sim/shared/ledger.h"
#include "tests/sim/shared/regions.h"

#define NODES_MAX  12u /* ever, in one run */
#define GROUPS_MAX 28u
#define LOOPS_MAX  2u
#define TOKENS_MAX 1024u
#define REFS_MAX   8u
#define MS         UINT64_C(1000)
#define SECOND     (1000 * MS)
#define FOREVER    UINT64_MAX

struct world;
struct node;

/* ---- net.c */

struct lane { /* one way, from one node to another one */
    struct flying {
        struct blob *frame;
        uint64_t at_us;
    } * list;
    size_t first, count, cap, bytes;
    uint64_t last_at_us;
    bool armed;   /* an action for its first frame is on its way */
    bool is_full; /* somebody was told ERR_FULL */
    bool is_held; /* the receiver does not read */
};
struct path { /* one way */
    uint64_t cut_until_us, cut_since_us;
    struct lane lanes[WIRE_LANES];
    bool told_up[WIRE_LANES]; /* `from` believes that its lane to `to` is up */
    uint64_t told_life[WIRE_LANES];
};
struct link { /* both ways; [a][b] with a < b */
    bool up[WIRE_LANES], dials[WIRE_LANES];
};

/* ---- node.c, machine.c */

struct snapshot;
struct host { /* a group on a node; what the disk keeps, and what runs */
    struct node *node;
    unsigned group;
    /* disk */
    bool exists;
    struct queue_store *store;
    uint64_t machine_upto; /* the flushed state is as of this entry */
    bool damaged;          /* something of it was flipped */
    bool impaired;         /* synced data was lost and has not come back */
    uint64_t lost_upto;    /* impaired: what it may have acknowledged */
    bool reverted; /* impaired: and its log holds again, below its machine, what had been cut off */
    bool outcast;  /* of an era that is over: its state is no part of the history */
    /* process */
    struct raft_group *raft; /* NULL: not open */
    struct queue *queue;
    uint64_t applied, commit_seen, commit_floor;
    enum raft_role role;
    uint64_t term, leader, led_term;
    struct list asks; /* struct ask */
    bool works;
    uint64_t doubt_term;
    struct buf staged;            /* of a snapshot that comes */
    uint64_t staged_index, stage; /* stage: which one, of the node's life */
    bool is_staging, commits_later;
    unsigned snapshots_open;
};
struct loop {
    struct node *node;
    unsigned number;
    bool woken;
    uint64_t timer; /* of the action that counts */
};
struct node {
    unsigned at; /* in world.nodes; its number is at + 1 */
    struct world *world;
    bool up, lost, dying, banished; /* banished: down until who rescues a group says so */
    bool turning;
    uint64_t incarnation, paused_until_us, paused_since_us, boot_us, mono_base_us, rate_permille;
    int64_t wall_offset_ms;
    unsigned crash_in; /* I/O steps; 0: not */
    uint16_t zone, region;
    uint32_t format_min, format_max; /* of the version that runs */
    uint8_t cluster;
    struct raft *raft;
    struct wire wire;
    struct wire_events events;
    struct loop loops[LOOPS_MAX];
    struct host hosts[GROUPS_MAX];
    uint64_t seen_incarnation[NODES_MAX]; /* of peers, by hello */
    /* disk */
    struct store *store, *image; /* image: what a lying disk goes back to */
    bool syncing, failing;
    size_t batch; /* writes of the sync that runs */
    uint64_t stalled_until_us;
    uint32_t slow;
    uint16_t free_permille;
    uint32_t
        format; /* what is on it may be written in: no version runs on it that cannot read that */
    struct stand *stand; /* of who stands above */
};

/* ---- mail.c */

enum token_state { TOKEN_ASKED, TOKEN_ACKED, TOKEN_UNKNOWN, TOKEN_REFUSED };
struct token { /* one try of a client to hand in one mail */
    enum token_state state;
    unsigned group;
    bool was_late; /* it came into a queue that was closed, which refused it */
    bool excused;  /* a recovery from a lost quorum may have lost it, or a part of its story */
    uint64_t asked_us, accepted_index;
    unsigned accepts, arrived, doubts, ended;
    unsigned chunk_count; /* as the history says */
    uint64_t chunk_hash;
};
enum ask_kind { ASK_ACCEPT, ASK_CLAIM, ASK_OUTCOME, ASK_PURGE, ASK_CHUNK, ASK_KINDS };
struct upload;
struct ask {
    struct raft_proposal p;
    struct list link; /* in host.asks */
    struct host *host;
    enum ask_kind kind;
    struct blob *head, *body;
    unsigned token, ref_count;
    struct queue_ref refs[REFS_MAX];
    Angarium__Result results[REFS_MAX];
    bool is_sent;
    uint64_t term;         /* under which it was asked */
    struct upload *upload; /* a chunk's */
};

/* ---- check.c */

struct fact { /* a committed entry */
    uint64_t term, hash, commit_term;
};
struct canon {
    struct fact *facts; /* by index - 1 */
    uint64_t count, cap;
    uint64_t *digests, digest_cap; /* of the machine behind each; 0: nobody applied it yet */
    struct core_config config;     /* the newest one that is committed */
};
struct made { /* an entry that somebody sent: there is one for each index and term */
    uint64_t index, term, hash, prev_term;
    unsigned group;
    uint32_t era; /* terms of different eras have nothing to do with each other */
};
struct check {
    struct canon canon[GROUPS_MAX];
    struct leaders leaders[GROUPS_MAX];
    struct votes votes;
    struct made *made;
    size_t made_count, made_cap;
};

/* ---- draw.c */

/* Those from FAULTS_LATER on are drawn by a generator of their own: seeds without them go on meaning what they did. */
#define FAULT_TABLE(X)                                                                             \
    X(CRASH, "crash")                                                                              \
    X(CRASH_POINT, "crash-point")                                                                  \
    X(POWER, "power")                                                                              \
    X(ZONE, "zone")                                                                                \
    X(PAUSE, "pause")                                                                              \
    X(CUT, "cut")                                                                                  \
    X(ISOLATE, "isolate")                                                                          \
    X(SPLIT, "split")                                                                              \
    X(BRIDGE, "bridge")                                                                            \
    X(FLAP, "flap")                                                                                \
    X(CLOG, "clog")                                                                                \
    X(BREAK, "break")                                                                              \
    X(STALL, "stall")                                                                              \
    X(SLOW, "slow")                                                                                \
    X(EIO, "eio")                                                                                  \
    X(LIE, "lie")                                                                                  \
    X(FLIP, "flip")                                                                                \
    X(LOSS, "loss")                                                                                \
    X(FULL, "full")                                                                                \
    X(CLOCK, "clock")                                                                              \
    X(TRANSFER, "transfer")                                                                        \
    X(MEMBERS, "members")                                                                          \
    X(READ, "read")                                                                                \
    X(ROLL, "roll")                                                                                \
    X(FOREIGN, "foreign")                                                                          \
    X(BURST, "burst")                                                                              \
    X(RESCUE, "rescue")                                                                            \
    X(MISDIRECT, "misdirect")                                                                      \
    X(BIG, "big")                                                                                  \
    X(UPGRADE, "upgrade")                                                                          \
    X(REGION, "region")
#define FAULT_ENUM_(name, text) FAULT_##name,
enum fault { FAULT_TABLE(FAULT_ENUM_) FAULTS, FAULTS_LATER = FAULT_MISDIRECT };
#undef FAULT_ENUM_

struct plan {
    unsigned nodes, spares, groups, loops;
    uint64_t length_us; /* of the safety phase */
    struct raft_times times;
    uint64_t delay_min_us, delay_max_us, silence_us, turn_max_us;
    uint64_t sync_min_us, sync_max_us;
    unsigned torn_permille;  /* an unanswered sync survives the crash */
    unsigned break_permille; /* of frames: the lane breaks under it */
    uint64_t mail_every_us, work_every_us, flush_every_us, remote_max_us;
    unsigned fail_permille, drop_permille, late_permille /* of installs: told later */;
    unsigned keep_entries;
    size_t body_max, chunk_max, lane_bytes[WIRE_LANES], cache_bytes, inbox_bytes, uncommitted_bytes;
    uint32_t snapshot_bytes_per_s;
    struct raft_trial trial;
    unsigned spread_permille, priority_permille;
    struct regions regions;          /* with FAULT_REGION */
    uint32_t format_min, format_max; /* what nodes announce lies here */
    size_t part_size;                /* of a mail in chunks */
    uint64_t open_late_us; /* a process has its lanes so long before its groups; 0: groups first */
    uint64_t fault_every_us[FAULTS]; /* 0: not in this run */
};

/* ---- world.c */

enum action_kind {
    ACT_TURN,    /* of loop a */
    ACT_FRAME,   /* the first of lane a from node b */
    ACT_DIAL,    /* lane a to node b */
    ACT_DOWN,    /* the node hears that lane a to node b is down */
    ACT_ROOM,    /* lane a to node b takes more */
    ACT_SILENCE, /* of node b: for so long? */
    ACT_SYNCED,
    ACT_FLUSH,
    ACT_INSTALLED,
    ACT_STAGED, /* a chunk, of stage a */
    ACT_START,
    ACT_CLIENT,
    ACT_WORK,
    ACT_REMOTE,
    ACT_FAULT,
    ACT_RESCUE,
    ACT_CALM,
    ACT_OPEN,
    ACT_ABOVE,
};
struct rescue {
    bool on;
    unsigned group, count;
    uint32_t era; /* the one that ends */
    uint64_t nodes[CORE_VOTERS_MAX];
};
struct world {
    uint64_t seed, now_us, order, incarnation;
    struct rng rng, later; /* later: of draws that came later */
    struct plan plan;
    uint32_t format; /* that all nodes can read, and may write: raised by an operator */
    struct agenda agenda;
    struct node nodes[NODES_MAX];
    unsigned node_count;
    struct path paths[NODES_MAX][NODES_MAX];
    struct link links[NODES_MAX][NODES_MAX];
    struct core_config first_config[GROUPS_MAX];
    bool wanted[GROUPS_MAX][NODES_MAX]; /* was ever a member */
    bool calm, over, core_set[NODES_MAX];
    uint16_t apart; /* calm: this region and the others are cut off, for ever; 0: none */
    uint64_t apart_last[GROUPS_MAX]; /* the last entry that anybody had then */
    uint64_t calm_until_us;
    int64_t wall_latest_ms;
    struct token tokens[TOKENS_MAX];
    unsigned token_count, probes[GROUPS_MAX];
    struct rescue rescue;
    bool rescued[GROUPS_MAX];
    struct arena arena;
    struct buf head;
    struct check check;
    uint64_t hash;
    bool loud;
    struct town *town; /* of who stands above */
    uint64_t events, frames, commits, snapshots, elections, crashes, rescues, reads, ended, refused,
        uploads, upgrades;
};

/* Who stands on the engine and says which groups there are (tests/sim/control). NULL: nobody, the groups are drawn. Then group 0
 * is his, and no queue. Where nothing else is said, NULL is allowed in no place. */
struct above {
    const char *name;               /* of the tests that replay a seed */
    void (*draw)(struct world *w);  /* behind the world's own draw */
    void (*begin)(struct world *w); /* nodes are there, and nothing runs */
    void (*end)(struct world *w);
    void (*node_new)(struct world *w, struct node *n);
    void (*node_free)(struct node *n);
    void (*open)(struct world *w, struct node *n);  /* the process is up: it opens its groups */
    void (*close)(struct world *w, struct node *n); /* it ends, and its engine is still there */
    void (*turn)(struct world *w, struct node *n, unsigned loop); /* before the engine's */
    uint64_t (*next)(struct world *w, const struct node *n, unsigned loop); /* mono ms */
    void (*check)(struct world *w, struct node *n);                         /* after it */
    void (*act)(struct world *w, struct node *n, const struct action *a);   /* ACT_ABOVE */
    bool (*knows)(const struct world *w, unsigned a, unsigned b); /* one dials the other one */
    int (*peer)(struct node *n, uint64_t to);                     /* wire_peer */
    void (*remove)(struct node *n, uint64_t gone);                /* wire_remove */
    void (*forget)(struct node *n, uint64_t node);                /* wire_forget */
    bool (*takes)(const struct host *h);                          /* mail */
    bool (*claims)(const struct host *h);
    void (*config)(struct world *w, unsigned group, const struct core_config *before,
                   const struct core_config *now); /* committed */
    bool (*may_lose)(const struct world *w); /* what is lost for good may be so now */
    bool (*calm)(struct world *w);           /* true: all of it heals */
    bool (*may_heal)(const struct world *w, const bool set[NODES_MAX]); /* these alone */
    const char *(*missing)(struct world *w, unsigned group, bool *is_over); /* is_over: ask no more */
};
extern const struct above *const world_above;
/* The number that the engine knows the group by. */
static inline uint64_t world_group(unsigned group)
{
    return world_above ? group : group + 1;
}

uint64_t world_below(struct world *w, uint64_t n);
uint64_t world_between(struct world *w, uint64_t min, uint64_t max);
bool world_chance(struct world *w, unsigned permille);
void world_at(struct world *w, uint64_t delay_us, const struct action *a);
/* Runs a seed to its end; what is broken ends the process (check.c). */
void world_run(struct world *w, uint64_t seed, bool loud);
void world_end(struct world *w);

/* draw.c */
void draw_plan(struct world *w);
void draw_groups(struct world *w);
void draw_formats(struct world *w, struct node *n);
void draw_print(const struct world *w);

/* net.c */
const struct wire_calls *net_calls(void);
void net_frame(struct world *w, unsigned from, unsigned to, enum wire_lane lane);
void net_dial(struct world *w, unsigned a, unsigned b, enum wire_lane lane);
void net_dial_all(struct world *w); /* all that are not up and not dialling */
void net_down(struct world *w, unsigned from, unsigned to, enum wire_lane lane);
void net_room(struct world *w, unsigned from, unsigned to, enum wire_lane lane);
void net_silence(struct world *w, unsigned a, unsigned b);
void net_break(struct world *w, unsigned a, unsigned b, enum wire_lane lane);
void net_gone(struct world *w, struct node *n); /* its process ended */
void net_cut(struct world *w, unsigned from, unsigned to, uint64_t until_us);
void net_heal(struct world *w, unsigned from, unsigned to);
bool net_open(const struct world *w, unsigned from, unsigned to);
bool net_agree(const struct world *w, unsigned a, unsigned b); /* clusters and formats */
void net_free(struct world *w);

/* node.c */
struct node *node_new(struct world *w);
uint64_t node_mono_ms(const struct world *w, const struct node *n);
uint64_t node_wall_ms(const struct world *w, const struct node *n);
bool node_runs(const struct world *w, const struct node *n);
bool node_point(struct node *n); /* one I/O step; true: the node died at it */
void node_start(struct world *w, struct node *n);
void node_start_later(struct world *w, struct node *n, uint64_t max_us);
void node_crash(struct world *w, struct node *n);
void node_turn(struct world *w, struct node *n, unsigned loop);
void node_wake(struct node *n, unsigned group); /* its loop turns soon */
void node_synced(struct world *w, struct node *n);
void node_pause(struct world *w, struct node *n, uint64_t until_us);
void node_open_all(struct world *w, struct node *n);
void node_open_group(struct world *w, struct node *n, unsigned group);
void node_settle(struct world *w, struct node *n); /* after each event at it */
void node_lose(struct world *w, struct node *n);   /* all of its disk, for good */
void node_free(struct node *n);

/* machine.c */
void machine_calls(struct host *h, struct raft_machine *out);
void machine_open(struct world *w, struct host *h);
void machine_close(struct host *h);
void machine_flush(struct world *w, struct node *n);
void machine_installed(struct world *w, struct host *h);
void machine_staged(struct host *h, uint64_t stage);

/* mail.c */
void mail_client(struct world *w, unsigned group);
unsigned mail_ask(struct world *w, unsigned group); /* the token, 0: nobody leads */
void mail_work(struct world *w, struct host *h);
void mail_role(struct world *w, struct host *h);
void mail_remote(struct world *w, struct host *h, struct ask *claim); /* takes it */
void mail_ask_free(struct ask *a);
struct ask *mail_ask_new(struct host *h, enum ask_kind kind);
/* 0, or an error: then it is freed. */
int mail_propose(struct host *h, struct ask *a, uint64_t term);
struct blob *mail_pack(struct world *w, Angarium__Command__KindCase kind, void *what);
/* upload: its chunks are these; or none. */
struct blob *mail_pack_accept(struct world *w, const struct node *n, unsigned token, size_t size,
                              const struct upload *upload);
/* The bytes of a mail are of its token: what arrives anywhere can be told. */
uint8_t mail_byte(unsigned token, size_t i);
/* What the history says, once for each entry. */
void mail_learn(struct world *w, unsigned group, uint64_t index, struct span head, struct span body,
                const struct queue_effects *effects);
bool mail_drained(const struct host *h);
void mail_expect_end(struct world *w);
struct node *mail_leader(struct world *w, unsigned group);
void mail_read(struct world *w, unsigned group);

/* upload.c */
void upload_begin(struct world *w, unsigned group);
void upload_answered(struct world *w, struct ask *a, enum raft_answer answer, uint64_t index);
void upload_name(const struct upload *u, Angarium__Accept *out);
/* The entry is one of its chunks, or the mail that they are. */
void upload_learn_chunk(struct world *w, uint64_t index, const Angarium__Chunk *c,
                        struct span body);
void upload_learn_accept(struct world *w, unsigned token, const Angarium__Accept *c);

/* format.c */
struct blob *format_pack(const struct node *n, struct blob *head); /* takes head */
/* As the version that runs on n reads it; n NULL: as one that knows all. */
struct span format_read(const struct world *w, const struct node *n, struct span head);
uint32_t format_min(const struct node *n); /* as it announces */
void format_upgrade(struct world *w);

/* faults.c */
void faults_begin(struct world *w);
void faults_do(struct world *w, enum fault f);
/* Whether the nodes of the set, without those that lost something, could agree and elect under every configuration that
 * may be in force. */
bool faults_quorate(const struct world *w, unsigned group, const bool set[NODES_MAX]); /* of one group */
bool faults_all_quorate(const struct world *w, const bool set[NODES_MAX]);
/* One of them stands in the region that is apart, and the other one does not. */
bool faults_apart(const struct world *w, unsigned a, unsigned b);
void faults_lose(struct world *w, struct node *n);
void faults_crash(struct world *w, struct node *n); /* and it comes back */

/* rescue.c */
void rescue_begin(struct world *w, unsigned group);
void rescue_look(struct world *w);
void rescue_led(struct world *w, struct host *h); /* somebody leads in a new era */

/* calm.c */
void calm_begin(struct world *w);
void calm_look(struct world *w);

/* check.c */
#define EXPECT(w, fact, ...) ((fact) ? (void)0 : check_broken((w), __VA_ARGS__))
_Noreturn void check_broken(const struct world *w, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void check_free(struct world *w);
void check_frame(struct world *w, struct node *n, unsigned to, struct blob *frame);
void check_turn(struct world *w, struct node *n);
/* A proposal was answered: committed. */
void check_answer(struct world *w, const struct ask *a, uint64_t index, uint64_t term);
/* What the engine gives to the machine is what was committed. */
void check_entry(struct world *w, struct host *h, const struct raft_entry *e);
bool check_applied(struct world *w, struct host *h, uint64_t index); /* true: nobody did before */
void check_installed(struct world *w, const struct host *h, uint64_t index, uint64_t digest);
void check_end(struct world *w);
uint64_t check_hash(enum core_entry_kind kind, struct span head, struct span body);
const struct fact *check_canon(const struct world *w, unsigned group, uint64_t index);

/* peek.c */
struct peeked {
    uint64_t term, hash;
    enum core_entry_kind kind;
    bool is_config;
    struct core_config config;
};
/* The entry as the node holds it, in memory or on its disk. False: not there, or damaged. */
bool peek_entry(const struct host *h, uint64_t index, struct peeked *out);
/* On its disk; nothing counts it as a read of the engine. */
int peek_read(const struct host *h, uint64_t index, enum core_entry_kind *kind, uint64_t *term,
              struct blob **head, struct blob **body);
uint64_t peek_first(const struct host *h);
uint64_t peek_last(const struct host *h);
/* The next configuration in its log behind *index, which moves on; NULL: no more. */
const struct core_config *peek_config_after(const struct host *h, uint64_t *index,
                                            struct peeked *e);
void peek_core(const struct host *h, struct core_view *out);
/* What it knows of member i of the configuration; false: it does not lead. */
bool peek_peer(const struct host *h, unsigned i, struct core_peer_view *out);
void peek_bounds(struct world *w, const struct node *n);

/* trace.c */
void trace_mix(struct world *w, uint64_t a, uint64_t b, uint64_t c);
#define TRACE(w, ...) ((w)->loud ? trace_say((w), __VA_ARGS__) : (void)0)
void trace_say(const struct world *w, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
