/* store - the logs of all groups of a node: entries and hard state, one synced batch at a time.
 *
 * One contract, two implementations: RocksDB (store_rocks.c) and memory (store_mem.c, which fails on command). The log
 * thread (log_thread.c) collects what all loops submit and writes it as one batch with one sync; completions come in
 * submission order for each group.
 *
 * Keys: group (u64 BE) | kind (u8: 'c' cut, 'd' buried, 'e' entry, 'g' configuration, 'h' hard state, 'i' intent, 'u' untainted) |
 * index (u64 BE). An entry's value: format u8 | kind u8 | term u64 BE | head length u32 BE | head | body. The format
 * version of the store stands under its own key; a newer one is refused.
 *
 * Files: in `dir` the database `db` and the file `watermark`. Whoever has the log open holds a lock on it.
 *
 * Watermark: the file holds two checksummed slots, written in turn after every synced batch (it may be
 * behind the synced log, never ahead of it): the number of the last synced batch, which every synced batch
 * also stores in the database, and the highest term of any group in one. At open, a database whose batch number is lower
 * than the watermark's has lost synced data: tainted. Then each group of it is, one by one, until STORE_UNTAINT says
 * that what it lost has come back. The first write to a tainted log notes the taint in the log itself. A missing or
 * damaged watermark says nothing.
 *
 * Tombstone: of a group that is buried its hard state stays, and a record that says so. It is tainted until STORE_UNTAINT, as if its
 * log had been lost, which it was; but its terms and votes were not.
 */
#ifndef RAFT_STORE_STORE_H
#define RAFT_STORE_STORE_H

#include "proto/ground/blob.h"
#include "proto/ground/err.h"
#include "proto/ground/mpsc.h"
#include "proto/ground/span.h"
#include "raft/core/core.h"

struct store;

struct store_options {
    const char *dir; /* NULL: memory */
    size_t memtable_bytes;
};

int store_open(struct store **out, const struct store_options *o, bool *tainted_out,
               struct errmsg *why);
void store_close(struct store **s);

/* A configuration as the engine packed it: a run of bytes to the store. */
#define STORE_CONFIG_SIZE_MAX 2048u
struct store_config {
    uint64_t index; /* of its entry; 0: the group began with it */
    size_t n;       /* 0: none */
    uint8_t bytes[STORE_CONFIG_SIZE_MAX];
};

/* What a group's log holds, read at boot. */
#define STORE_RUNS_MAX 64u
struct store_group {
    bool known; /* false: the group was never written */
    bool tainted;
    uint64_t lost_term;  /* tainted: bound of the terms that a synced write held; 0: not known */
    bool buried;         /* tainted, too */
    uint64_t lost_index; /* buried: as STORE_BURY said */
    struct core_hard hard;
    uint64_t first, last; /* last = first - 1 when empty; first = 1 for a new group */
    uint64_t cut_term;    /* of the entry first - 1 */
    uint64_t last_term;   /* of `last`, or of the cut when empty */
    uint64_t bytes;       /* payload bytes first..last */
    unsigned run_count;   /* the last runs of terms: the first may begin behind `first` */
    struct core_run runs[STORE_RUNS_MAX];
    struct core_pos intent; /* index 0: none. STORE_INTENT without its STORE_BEGIN */
    struct store_config intent_config;
    struct store_config kept;           /* that counts behind the cut */
    struct store_config config, before; /* the last two, of entries or kept; n 0: none */
};
int store_group_read(struct store *s, uint64_t group, struct store_group *out, struct errmsg *why);

/* Part of a batch: written in the order added. Spans are borrowed until the batch is done. */
struct store_entry {
    uint64_t group, index, term;
    enum core_entry_kind kind;
    struct span head, body;
};
enum store_op_kind {
    STORE_HARD,
    STORE_APPEND,   /* index: one behind the last, also of what a TRUNCATE before it left */
    STORE_CUT,      /* the oldest entries go */
    STORE_TRUNCATE, /* the newest entries go: from entry.index on to truncate_to, the last one */
    STORE_CONFIG, /* entry.head is the configuration that counts behind the cut; it is of entry.index */
    STORE_INTENT, /* a snapshot of position pos with configuration entry.head (of entry.index) is complete */
    STORE_BEGIN, /* it is installed: the log is emptied and begins behind pos; ends the intent, is its CONFIG */
    STORE_DROP,    /* it is not: ends the intent */
    STORE_UNTAINT, /* what the group had lost is here again; ends its tombstone */
    STORE_BURY,    /* all of the group goes but its terms and votes; what it held up to pos.index counts as lost */
    STORE_FORGET,  /* all of the group goes, its terms and votes, too */
};
struct store_op {
    enum store_op_kind kind;
    struct store_entry entry; /* APPEND; others use .group, and what they name above */
    struct core_hard hard;    /* HARD */
    uint64_t cut_from, cut_to,
        cut_term;         /* CUT: forget entries cut_from..cut_to (disjoint from all before) */
    uint64_t truncate_to; /* TRUNCATE */
    struct core_pos pos;  /* INTENT, BEGIN, BURY */
};

/* A submission of one loop: ops of many groups, answered together. Embedded in the caller's object. */
struct store_write {
    struct mpsc_node node;
    struct store_op *ops; /* borrowed until on_done */
    size_t op_count;
    void (*on_done)(
        struct store_write *w); /* on the log thread: hand it to the loop, do nothing else */
};
/* Any thread. In the memory store without a thread (dir NULL) the write happens at store_mem_sync(). A
 * write or sync that fails ends the process with a last word; nothing is tried again (P7). */
void store_submit(struct store *s, struct store_write *w);
/* Returns when all that was submitted before is written and its on_done was called. Blocks. */
void store_drain(struct store *s);

/* Any thread. ERR_NOT_FOUND when it was cut or never there; ERR_CORRUPT. */
int store_entry_read(struct store *s, uint64_t group, uint64_t index,
                     enum core_entry_kind *kind_out, uint64_t *term_out, struct blob **head_out,
                     struct blob **body_out);
/* Entries first..last in order; the call-back gets borrowed spans and returns false to stop. */
int store_entries_each(struct store *s, uint64_t group, uint64_t first, uint64_t last, void *arg,
                       bool (*each)(void *arg, const struct store_entry *entry));

/* What is in memory is written out as tables, if it is worth it (true), and the WAL behind it goes: less memory, and less to read
 * back at the next start. Any thread but the log's; blocks, writes go on. A write that fails ends the process (P7). */
bool store_rest(struct store *s);

/* ---- The memory store, for tests: nothing happens but on command. */

/* Completes submitted writes (up to n; SIZE_MAX: all), oldest first, as synced. Returns how many. */
size_t store_mem_sync(struct store *s, size_t n);
/* Writes as store_mem_sync does, but on_done never comes: the process died between the sync and the answer. */
size_t store_mem_keep(struct store *s, size_t n);
/* How many writes were submitted and are not synced. */
size_t store_mem_waiting(struct store *s);
/* Drops what was submitted and not synced, as a power cut would: on_done never comes. A torn batch is this too:
 * no store gives a part of one back. */
void store_mem_power_cut(struct store *s);
/* Forgets synced entries of the group from index `from` on, as a lying disk would; UINT64_MAX: its hard state
 * and all. The log does not notice: as one without a watermark. */
void store_mem_lose(struct store *s, uint64_t group, uint64_t from);
/* The watermark notices: all groups are tainted from the next open on; lost_term as by the watermark. */
void store_mem_taint(struct store *s);
/* What it holds now, apart; and back to that, as if nothing had been synced since (takes it): a disk that lied. How far its
 * terms ever went is not forgotten: the watermark knows. */
struct store *store_mem_copy(struct store *s);
void store_mem_back(struct store *s, struct store **copy);
/* The hard state as synced. */
struct core_hard store_mem_hard(struct store *s, uint64_t group);
/* A bit of the entry (index 0: of the group's own records) flips: reading it says ERR_CORRUPT from now on. False: there is
 * no such entry. */
bool store_mem_flip(struct store *s, uint64_t group, uint64_t index);
/* Another block is read in the place of the entry's, a misdirected or a stale one: keys are in blocks, so the entry is not
 * found where others before and behind it are. False: there is no such entry, or none behind it. */
bool store_mem_hole(struct store *s, uint64_t group, uint64_t index);
/* How often an entry was read that is not found so; the caller may set it back. */
uint64_t *store_mem_hole_reads(struct store *s);
/* The next write fails: fn is called in place of all it would have done. */
void store_mem_fail(struct store *s, void (*fn)(void *arg), void *arg);

#endif
