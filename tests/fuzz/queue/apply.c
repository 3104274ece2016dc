/* apply - a log of whatever passes the checks: every entry applies, the invariants hold, and the
 * same log read again comes to the same digest.
 *
 * Input: pieces, each a length (u16, big-endian) and so many bytes; pieces that are no command are
 * left out.
 */
#include "proto/ground/buf.h"
#include "proto/ground/check.h"
#include "queue/queue.h"

#define SHARD       1
#define ENTRIES_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

struct state {
    struct queue_store *store;
    struct queue *queue;
    uint64_t entry;
};

static void state_open(struct state *s)
{
    struct errmsg why = { "" };

    *s = (struct state){ .entry = 0 };
    CHECK(queue_store_open(&s->store, NULL, &why) == 0);
    CHECK(queue_open(&s->queue, s->store, SHARD, &why) == 0);
}

static void state_close(struct state *s)
{
    struct errmsg why = { "" };

    CHECK(queue_verify(s->store, SHARD, &why) == 0);
    queue_close(&s->queue);
    queue_store_close(&s->store);
}

static void apply_both(struct state *told, struct state *untold, struct span head)
{
    Angarium__Command *c = NULL;
    struct queue_effects effects;

    if (proto_command_unpack(head, &c) != 0) return;
    proto_command_free(&c);
    queue_apply(told->queue, ++told->entry, head, head.n, &effects);
    for (size_t i = 0; i < effects.count; i++)
        CHECK((effects.list[i].kind == QUEUE_EVENT) == (effects.list[i].event != NULL));
    queue_apply(untold->queue, ++untold->entry, head, head.n, NULL);
    CHECK(queue_digest(told->queue) == queue_digest(untold->queue));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct state told, untold;
    struct cursor c;

    state_open(&told);
    state_open(&untold);
    cursor_init(&c, span_of(bytes, n));
    while (!c.failed && !cursor_done(&c) && told.entry < ENTRIES_MAX) {
        struct span piece = cursor_span(&c, cursor_u16be(&c));

        if (!c.failed) apply_both(&told, &untold, piece);
    }
    state_close(&told);
    state_close(&untold);
    return 0;
}
