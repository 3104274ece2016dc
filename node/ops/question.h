/* question - what the API asks of a store, its own or another node's, about certain shards (PEER_QUERY): in words that travel
 * (JSON), and read by whoever holds the shards.
 *
 * An answer is a JSON object: "items" in ascending order of their places; "stop" ([shard, entry, number]), when it ended early: all
 * up to there was looked at; "more", when a message or a story goes on: what `skip` has to be for the rest. Of a body (PIECE): "from"
 * (enum piece_from), "last", and beside the object the bytes; without bytes: it is not kept there.
 */
#ifndef OPS_QUESTION_H
#define OPS_QUESTION_H

#include "node/ops/inside.h"

#define QUESTION_SHARDS_MAX  1024u
#define QUESTION_HOLDERS_MAX (CONTROL_HOLDERS_MAX + 2u)
#define QUESTION_TEXT_MAX    (32u << 10)
#define QUESTION_ROOM                                                                              \
    (640u << 10) /* bytes of items in one answer to another node; then it ends early */

/* Names go over the wire: only added. X(id, name, read) */
#define QUESTION_TABLE(X)                                                                          \
    X(MESSAGE, "message", message_read)                                                            \
    X(STORY, "story", story_read)                                                                  \
    X(QUEUE, "queue", queue_read)                                                                  \
    X(EVENTS, "events", events_read)                                                               \
    X(SHARDS, "shards", shards_read)                                                               \
    X(NODE, "node", node_read)                                                                     \
    X(PIECE, "piece", piece_read)
#define QUESTION_ENUM_(id, name, read) QUESTION_##id,
enum question_kind { QUESTION_TABLE(QUESTION_ENUM_) QUESTION_KINDS };
#undef QUESTION_ENUM_

struct place { /* of a message (number 0) or an event; all zeroes: before all */
    uint32_t shard;
    uint64_t entry;
    uint32_t number;
};
static inline int place_compare(struct place a, struct place b)
{
    if (a.shard != b.shard) return a.shard < b.shard ? -1 : 1;
    if (a.entry != b.entry) return a.entry < b.entry ? -1 : 1;
    return a.number < b.number ? -1 : a.number > b.number;
}

enum piece_from {
    PIECE_ANY,
    PIECE_LOG,
    PIECE_INBOX
}; /* where a body lies: all pieces out of one */

struct question {
    enum question_kind kind;
    uint64_t id;          /* MESSAGE, STORY, PIECE */
    uint32_t skip;        /* recipients (events, pieces) of it that are there already */
    enum piece_from from; /* PIECE */
    uint32_t recipient_first, recipient_last; /* PIECE: whose files of the inbox are looked for */
    unsigned limit;                           /* QUEUE, EVENTS: items */
    struct place after;                       /* looked at already */
    struct event_filter filter;               /* EVENTS */
    char domain[256];                         /* QUEUE; "": any */
    bool by_state, by_doubt;                  /* QUEUE */
    Angarium__RecipientState state;           /* a pending one */
    bool is_here;                             /* nobody else is asked; does not travel */
    unsigned shard_count;
    uint32_t shards[QUESTION_SHARDS_MAX]; /* ascending */
};
char *question_print(const struct question *q); /* caller frees */
/* ERR_SYNTAX, ERR_TOO_LONG. Everything that is not said is zero; every value is within its range. */
int question_parse(struct span text, struct question *out);

/* The items of a page as text, in the order of their places: of a long list a tree of values costs several times as much. */
struct row {
    struct place place;
    size_t end; /* in the text; it begins where the one before ends */
};
struct rows {
    struct buf text;
    struct row *list; /* room for `max` */
    unsigned count, max;
};
struct rows *rows_new(unsigned max);
void rows_free(struct rows **rows);
void rows_added(struct rows *rows, struct place place); /* its text has been put behind the others' */
struct span rows_text(const struct rows *rows, unsigned i);

struct reading {
    struct ops *ops;
    const struct question *q;
    size_t room; /* bytes of items; SIZE_MAX: as many as there are */
    /* out */
    int rv; /* 0: json is there, the caller's. ERR_NOT_FOUND */
    json_t *json;
    struct rows *rows;  /* QUEUE: the items, which json has not; the caller's */
    struct blob *bytes; /* PIECE; NULL: not kept here */
};
/* On the DISK pool; QUESTION_NODE on the API's loop. */
void question_read(struct reading *r);
/* Appends the item; false: there is no room for more. */
bool reading_add(struct reading *r, json_t *items, json_t *item);
bool reading_takes(struct reading *r, size_t size); /* of an item that was added; false: there is no room for more */
json_t *place_json(struct place p);
bool place_of(const json_t *j, struct place *out); /* false: not one */
/* Where an item of QUEUE or EVENTS stands. */
bool place_of_item(enum question_kind kind, const json_t *item, struct place *out);
json_t *place_cursor(enum question_kind kind, struct place p);

/* A state that a recipient in the queue can be in. */
bool queue_state_parse(const char *text, Angarium__RecipientState *out);

void message_read(struct reading *r);
void story_read(struct reading *r);
void queue_read(struct reading *r);
void events_read(struct reading *r);
void shards_read(struct reading *r);
void node_read(struct reading *r);
void piece_read(struct reading *r);

/* route_nodes.c: of what nodes say of themselves, and control of them; of what they say of shards. Borrow the answers. */
json_t *nodes_page(const struct ops *ops, json_t *const *answers, unsigned count);
json_t *shards_page(json_t *const *answers, unsigned count);

/* merge.c: pages of several nodes, of different shards each, as one: the items' text, and what stands beside them. Borrows the answers. */
struct answer {
    json_t *json;
    const struct rows *rows; /* NULL: the items are in json */
};
json_t *merge_pages(const struct question *q, const struct answer *answers, unsigned count, struct buf *items);

/* ---- asking the cluster (query.c) */

/* Asks whoever holds the shards of q (query_shards), in parallel; q is copied. Then the call is answered: the page, or the
 * message. */
void query_run(struct call *c, const struct question *q);
/* This node holds the shard, and is a member of it. */
bool query_holds(const struct ops *ops, uint32_t shard);
/* Who can be asked about the shard, the best first; this node among them only if it holds it. */
unsigned query_holders(const struct ops *ops, uint32_t shard, uint64_t out[QUESTION_HOLDERS_MAX]);
/* All shards that there are, or with ?scope=node those that this node holds, asked of itself. False: answered. */
bool query_shards(struct call *c, struct question *q);

/* ---- being asked (asked.c) */
void asked_open(struct ops *ops);
bool asked_is_idle(const struct ops *ops);

#endif
