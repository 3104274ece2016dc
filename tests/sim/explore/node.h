/* node - one node of a small group: its core, its disk, what it has written and not synced, what waits for that. All that
 * can happen to it is a function of what it is and of one event, so that node.c knows nothing of the others (known.h keeps
 * what it once computed; search.h puts three of them together).
 *
 * Time stands still but for TIMEOUT and BEAT. What only time decides is free instead:
 *   TIMEOUT   a node stands as if it had waited and asked (pre-vote), and all had agreed; a leader first loses sight of the
 *             others. Votes are asked for with `disrupt`, so that no leader's lease refuses one.
 *   BEAT      a leader's next heartbeats, and what it probes with them.
 *   A refusal is never too soon after the last one (backed_ms).
 */
#ifndef TEST_SIM_EXPLORE_NODE_H
#define TEST_SIM_EXPLORE_NODE_H

#include <stdbool.h>
#include <stdint.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "proto/ground/buf.h"
#include "raft/core/inside.h"

#define NODES      3
#define TERMS_MAX  3
#define LOG_MAX    8
#define WRITES_MAX 8
#define HELD_MAX   24
#define SENT_MAX   32
#define CORE_WORDS 320
#define ORDERS     6 /* permutations of three nodes */

/* search.h */
enum left_out { NAMES = 1, SILENCE = 2, PAST_ANSWERS = 4 };

struct scope {
    const char *name;
    uint8_t terms;   /* nobody stands in a later one */
    uint8_t entries; /* a leader with as many proposes no more */
    uint8_t crashes; /* of all nodes together */
    bool
        slow; /* a write reaches the disk at any time, where that matters (is_quick); else at once */
    bool all_slow; /* also where it does not */
    bool beats;
    unsigned plain;       /* what is not left out (enum left_out) */
    bool counts_meetings; /* found.meetings */
};

struct entry {
    uint8_t term, maker, kind; /* maker: the leader it was appended by */
};
struct text { /* of a log: entry i is at[i - 1] */
    uint8_t count;
    struct entry at[LOG_MAX];
};
struct note { /* a message; what a kind does not name is 0 */
    uint8_t kind, from, to, term, reject;
    uint8_t prev_index, prev_term, commit, match, hint_index, hint_term;
    struct text text;
};
struct write {
    uint8_t has_hard, term, vote, truncate_from;
    struct text text;
};
struct held {
    uint8_t writes; /* that it waits for */
    struct note note;
};

struct node {
    uint8_t id;
    uint8_t disk_term, disk_vote;
    struct text disk, memory; /* memory: as if all writes were done */
    uint8_t write_count, held_count;
    struct write writes[WRITES_MAX];
    struct held held[HELD_MAX];
    /* What has been, and is remembered for the promises only. */
    uint8_t led; /* bit t: it has led term t */
    struct text elected[TERMS_MAX + 1],
        sure; /* its log when it won a term; what it has ever known to be committed */
    uint64_t now_ms;
    uint64_t core[CORE_WORDS];
};

/* Events that are no message. */
enum happening { TIMEOUT, PROPOSAL, SYNC, CRASH, BEAT, HAPPENINGS };

/* What came of an event. */
struct outcome {
    bool won, committed, logged; /* it leads; knows of more commits; its log has changed */
    char breach[120];            /* "": none that can be seen by looking at it alone */
    unsigned sent_count;
    struct note sent[SENT_MAX];
};

extern struct scope scope;

/* The node at work: cores hold pointers into themselves, so each has one place. */
struct node *node_take_up(const struct node *n);
struct node *node_boot(unsigned id, struct outcome *out);
bool node_may(const struct node *n, enum happening h);
void node_happens(struct node *n, enum happening h, struct outcome *out);
void node_hears(struct node *n, const struct note *m, struct outcome *out);
/* Nothing will ever come of it: an answer to a question of a term that is over for who asked. */
bool node_is_past(const struct node *n, const struct note *m);

static inline const struct core *node_core(const struct node *n)
{
    return (const struct core *)n->core;
}

/* As it would be with the nodes renamed: map[id] is the new name. What cannot matter any more is left out. */
XXH128_hash_t node_hash(const struct node *n, const uint8_t map[NODES + 1]);
XXH128_hash_t note_hash(const struct note *m, const uint8_t map[NODES + 1]);
void note_print(struct buf *b, const struct note *m);

#endif
