/* follow - the live stream: one reader's way through the events of all shards, which several nodes hold.
 *
 * Way:      a reader's follow (follow.c) keeps a place in each shard and asks, of whom it can reach, what comes after it (feed.c:
 *           the node's own store, or another node by PEER_FOLLOW, where the question waits until something happens) -> the answers
 *           are told one after the other -> their places are the reader's -> the next questions.
 * Promise:  an event's place (entry, number) is the same on every replica (P6), and a replica's events are a prefix of the log. So
 *           whoever answers, each event behind a shard's place comes once, in order, also when its leader changes or its node dies.
 * Cursor:   the places of all shards as a text. A reader that comes back with the cursor of the last event that it got misses
 *           nothing and gets nothing twice. One event's id also is a cursor: exact in its own shard, in the others from that
 *           event's time on, FOLLOW_OVERLAP_MS early, for clocks differ.
 * Bounds:   an answer of FOLLOW_ROOM bytes a node and reader; nothing is asked before it is told, so a slow reader makes no work.
 */
#ifndef OPS_FOLLOW_H
#define OPS_FOLLOW_H

#include "node/ops/question.h"

#define FOLLOW_WAIT_MS   1000 /* a question waits so long where nothing happens */
#define FOLLOW_WITHIN_MS 2000 /* its answer is there, or the node is missing */
#define FOLLOW_BAD_MS                                                                              \
    3000 /* one that did not answer is passed over so long, where there is another one */
#define FOLLOW_OVERLAP_MS 2000 /* clocks of shards' leaders may differ by so much */
#define FOLLOW_ROOM       (64u << 10)
#define FOLLOW_TEXT_MAX   (64u << 10)
#define FOLLOW_CURSOR_MAX (24u << 10) /* as a text */

/* ---- places and questions (follow_words.c) */

enum follow_mode {               /* goes over the wire: only added */
                   FOLLOW_FROM,  /* from (entry, number) on */
                   FOLLOW_SINCE, /* the same, but only what is not older than since_ms */
                   FOLLOW_END,   /* from now on: the answer says where that is */
                   FOLLOW_EVENT, /* what comes after (entry, number); the answer says when that happened */
                   FOLLOW_MODES
};
struct follow_at {
    uint32_t shard, number;
    uint64_t entry;
    enum follow_mode mode;
};
struct follow_question {
    struct event_filter filter;
    uint64_t since_ms;
    uint32_t wait_ms; /* 0: it is answered at once */
    unsigned count;
    struct follow_at at[QUESTION_SHARDS_MAX]; /* the first ones are read first */
};
char *follow_print(const struct follow_question *q);             /* caller frees */
int follow_parse(struct span text, struct follow_question *out); /* ERR_SYNTAX, ERR_TOO_LONG */
json_t *follow_at_json(const struct follow_at *a);
bool follow_at_of(const json_t *j, struct follow_at *out); /* false: not one */

/* FROM and SINCE only. */
void follow_cursor_print(uint64_t since_ms, const struct follow_at *at, unsigned count,
                         struct buf *out);
/* Shards ascending; out has room for QUESTION_SHARDS_MAX. ERR_SYNTAX. */
int follow_cursor_parse(struct span text, uint64_t *since_ms, struct follow_at *out,
                        unsigned *count);

/* ---- a reader's way (follow.c): no clock, no socket; times are mono ms */

struct follow;
struct follow_calls {
    void *arg;
    /* Who holds the shard and can be reached, the best first. */
    unsigned (*holders)(void *arg, uint32_t shard, uint64_t out[QUESTION_HOLDERS_MAX]);
    /* 0: follow_answered comes, never inside. Borrows the question. */
    int (*ask)(void *arg, uint64_t node, const struct follow_question *q);
};
/* Without a cursor: what happens from now on; where nobody says within the reader's patience where now is, what is not older than
 * now_ms (wall). */
struct follow *follow_new(const struct follow_calls *calls, const struct event_filter *filter,
                          uint64_t now_ms);
void follow_free(struct follow **f);
/* Before all else. ERR_SYNTAX. */
int follow_resume(struct follow *f, struct span cursor);
/* The shards that there are now, ascending; again when there are others. */
void follow_set_shards(struct follow *f, const uint32_t *shards, unsigned count);
/* It is known where each shard begins: the reader's stream can begin. */
bool follow_is_open(const struct follow *f);
/* Nobody waits any longer for that. False: nobody has said when the cursor's event was. */
bool follow_open_now(struct follow *f);
void follow_pump(struct follow *f, uint64_t mono_ms); /* asks whom there is to ask */
/* Takes the answer (NULL when rv is not 0). why: for people, static. */
void follow_answered(struct follow *f, uint64_t node, int rv, const char *why, json_t *answer,
                     uint64_t mono_ms);
/* The next event, borrowed until the next call, and the cursor behind it; NULL: none now. */
const json_t *follow_next(struct follow *f, struct buf *cursor);
/* Why that node did not answer when it was asked last; NULL: it did, or was not asked. */
const char *follow_why_missing(const struct follow *f, uint64_t node);
/* Shards that nobody can be asked about now. */
unsigned follow_unanswered(const struct follow *f, uint32_t out[QUESTION_SHARDS_MAX]);

/* ---- reading, and waiting for something to happen (feed.c); on the API's loop */

struct follow_read {
    struct ops *ops;
    struct follow_question q; /* places move as it is read */
    /* Once; never inside follow_read_start. 0, ERR_CLOSED, or what the pool says. The answer is the caller's. */
    void (*on_done)(struct follow_read *r, int rv, json_t *answer);
    /* private from here on */
    struct list link;
    struct loop_work work;
    struct loop_timer timer;
    uint64_t until_ms, event_ms;
    json_t *items;
    size_t room;
    unsigned looked_at;
    bool is_working, is_hurried, is_full, has_news, knows_event;
};
int follow_read_start(struct follow_read *r); /* ERR_FULL, ERR_CLOSED: on_done does not come */

/* Everything that exists, or that this node holds. */
unsigned query_list_shards(const struct ops *ops, bool is_here, uint32_t out[QUESTION_SHARDS_MAX]);
/* Of a filter for one message: only that shard is left. 0: any message. */
void query_keep_shard_of(uint64_t message, uint32_t *shards, unsigned *count);
/* ?scope=node or cluster. False: answered. */
bool query_take_scope(struct call *c, bool *is_here);
/* It is this node, or connected and not silent. */
bool query_reaches(const struct ops *ops, uint64_t node);
/* Calls for each node of the cluster that should be there and is not reached. */
void query_each_gone(const struct ops *ops,
                     void (*on_gone)(void *arg, uint64_t node, const char *why), void *arg);

/* Why a call got no good answer, for people. */
const char *query_why(const struct peer_call *call, int rv);

/* ---- the feed: all readers of this node, and what other nodes ask for theirs */

struct ops_feed {
    struct ops *ops;
    struct commit_watcher watcher;
    struct loop_letter letter; /* some shard has something new */
    atomic_bool is_posted;
    atomic_bool *has_news;  /* by shard */
    bool *is_new;           /* the same, while waiting reads are looked through */
    atomic_uint read_count; /* with none nothing is noted */
    struct list reads;
    unsigned asked_count; /* of other nodes */
    struct list clients;  /* route_stream.c, so the rest */
    atomic_uint client_count;
    unsigned ask_count;
    struct loop_timer tick;
};
void streams_open(struct ops_feed *f);
void streams_close(struct ops_feed *f);

#endif
