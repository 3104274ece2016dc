/* queue - opens a shard and applies commands: one dispatch, one write each.
 *
 * Invariants Q1-Q11: queue.h. Where each is kept:
 *   Q1 Q3-Q5 Q7 Q8 Q11 recipient.c (the one function that moves a recipient)
 *   Q2                 event.c, called by recipient moves to terminal states only
 *   Q6                 body.c, message.c
 *   Q9                 cmd_accept.c, recipient.c (recipient_new): copied once, written by nobody else
 */
#include "queue/inside.h"

#include <stdlib.h>

#define FIRST_SLOTS     4096u
#define FIRST_SLOTS_MEM 16u /* simulations open very many */

int queue_store_open(struct queue_store **out, const char *dir, struct errmsg *why)
{
    struct queue_store *s = check_calloc(1, sizeof *s);
    int rv = dir ? queue_store_open_rocks(s, dir, why) : queue_store_open_mem(s);

    if (rv != 0) {
        free(s);
        return rv;
    }
    s->first = first_new(dir ? FIRST_SLOTS : FIRST_SLOTS_MEM);
    *out = s;
    return 0;
}

void queue_store_close(struct queue_store **ps)
{
    struct queue_store *s = *ps;

    if (!s) return;
    *ps = NULL;
    s->calls->close(s->self);
    first_free(&s->first);
    free(s);
}

int queue_store_flush(struct queue_store *s, struct errmsg *why)
{
    return s->calls->flush(s->self, why);
}

uint64_t queue_store_bytes(struct queue_store *s)
{
    return s->calls->bytes(s->self);
}

/* ---- opening */

bool queue_state_take(struct span value, struct queue_state *out)
{
    struct queue_counts *c = &out->counts;
    uint64_t *const all[] = { &out->applied,   &out->digest,        &c->messages,   &c->bytes,
                              &c->waiting,     &c->claimed,         &c->held,       &c->accepted,
                              &c->delivered,   &c->bounced,         &c->expired,    &c->cancelled,
                              &c->suppressed,  &c->in_doubt,        &c->uploads,    &c->kept_messages,
                              &c->kept_events, &c->in_doubt_now };
    unsigned n = sizeof all / sizeof all[0];
    struct cursor cursor;

    out->counts.in_doubt_now = 0;
    if (value.n == 8 * (n - 1)) n--; /* it came later: nobody is, by records of before */
    cursor_init(&cursor, value);
    for (unsigned i = 0; i < n; i++)
        *all[i] = cursor_u64be(&cursor);
    return cursor_done(&cursor);
}

static bool is_there(struct queue *q, char kind)
{
    struct queue_key key = queue_key(q->shard, kind);

    buf_reset(&q->scratch);
    return q->store->calls->get(q->store->self, queue_key_span(&key), &q->scratch) == 0;
}

static int read_state(struct queue *q, struct errmsg *why)
{
    struct queue_key key = queue_key(q->shard, 'S');

    buf_reset(&q->scratch);
    if (q->store->calls->get(q->store->self, queue_key_span(&key), &q->scratch) == ERR_NOT_FOUND)
        return 0;
    if (queue_state_take(buf_span(&q->scratch), &q->state)) return 0;
    return errmsg_set(why, ERR_CORRUPT, "shard %u: the state record is damaged", q->shard);
}

int queue_open(struct queue **out, struct queue_store *s, uint32_t shard, struct errmsg *why)
{
    struct queue *q = check_calloc(1, sizeof *q);
    int rv;

    CHECK(shard >= 1 && shard <= PROTO_SHARD_MAX);
    q->store = s;
    q->shard = shard;
    arena_init(&q->arena, QUEUE_ARENA_SIZE_MAX);
    buf_init(&q->scratch, 8u << 20);
    rv = read_state(q, why);
    if (rv != 0) {
        queue_close(&q);
        return rv;
    }
    q->moved_upto = queue_moved_upto(s, shard);
    q->is_closed = is_there(q, 'x');
    *out = q;
    return 0;
}

int queue_reload(struct queue *q, struct errmsg *why)
{
    int rv;

    memset(&q->state, 0, sizeof q->state);
    rv = read_state(q, why);
    q->moved_upto = queue_moved_upto(q->store, q->shard);
    q->is_closed = is_there(q, 'x');
    q->effect_count = 0;
    return rv;
}

void queue_close(struct queue **pq)
{
    struct queue *q = *pq;

    if (!q) return;
    *pq = NULL;
    arena_deinit(&q->arena);
    buf_deinit(&q->scratch);
    free(q->effects);
    free(q);
}

uint32_t queue_shard(const struct queue *q)
{
    return q->shard;
}

uint64_t queue_applied(const struct queue *q)
{
    return q->state.applied;
}

void queue_counts(const struct queue *q, struct queue_counts *out)
{
    *out = q->state.counts;
}

bool queue_is_closed(const struct queue *q)
{
    return q->is_closed;
}

uint64_t queue_digest(const struct queue *q)
{
    return q->state.digest;
}

/* ---- applying */

static void dispatch(struct work *w, const Angarium__Command *c)
{
    switch (c->kind_case) {
    case ANGARIUM__COMMAND__KIND_ACCEPT:
        cmd_accept(w, c->accept);
        return;
    case ANGARIUM__COMMAND__KIND_CHUNK:
        cmd_chunk(w, c->chunk);
        return;
    case ANGARIUM__COMMAND__KIND_CLAIM:
        cmd_claim(w, c->claim);
        return;
    case ANGARIUM__COMMAND__KIND_OUTCOME:
        cmd_outcome(w, c->outcome);
        return;
    case ANGARIUM__COMMAND__KIND_EXPIRE:
        cmd_expire(w, c->expire);
        return;
    case ANGARIUM__COMMAND__KIND_HOLD:
        cmd_hold(w, c->hold);
        return;
    case ANGARIUM__COMMAND__KIND_RELEASE:
        cmd_release(w, c->release);
        return;
    case ANGARIUM__COMMAND__KIND_CANCEL:
        cmd_cancel(w, c->cancel);
        return;
    case ANGARIUM__COMMAND__KIND_PURGE:
        cmd_purge(w, c->purge);
        return;
    case ANGARIUM__COMMAND__KIND_CLOSE:
        cmd_close(w, c->close);
        return;
    case ANGARIUM__COMMAND__KIND__NOT_SET:
    case _ANGARIUM__COMMAND__KIND__CASE_IS_INT_SIZE:
        break;
    }
    UNREACHED();
}

void queue_apply(struct queue *q, uint64_t index, struct span head, size_t body_size,
                 struct queue_effects *out)
{
    struct work w = { .queue = q, .entry = index, .body_size = body_size, .tell = out != NULL };
    Angarium__Command *command;

    CHECK(index > q->state.applied && index <= PROTO_INDEX_MAX);
    arena_reset(&q->arena);
    q->effect_count = 0;
    CHECK(proto_command_unpack_in(head, &q->arena, &command) == 0);
    dispatch(&w, command);
    message_settle_all(&w);
    work_commit(&w);
    if (out) *out = (struct queue_effects){ .list = q->effects, .count = q->effect_count };
}
