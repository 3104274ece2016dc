/* asked - questions of other nodes: parsed, read on the DISK pool, answered. A node answers only for shards that it holds. */
#include <stdlib.h>

#include "node/ops/question.h"
#include "node/ops/text.h"
#include "proto/ground/check.h"

#define ASKED_MAX 64 /* at once */

struct asked {
    struct list link;
    struct loop_work work;
    struct ops *ops;
    struct peer_ask *ask;
    struct question q;
    struct reading reading;
};

static void refuse(struct peer_ask *a, int rv)
{
    peer_answer(a, rv, span_of(NULL, 0), span_of(NULL, 0));
}

static void add_answer(struct buf *text, const struct reading *r)
{
    struct buf items;

    if (!r->rows) {
        text_add_json(text, r->json);
        return;
    }
    buf_init(&items, SIZE_MAX / 2);
    for (unsigned i = 0; i < r->rows->count; i++) {
        if (i > 0) buf_add_cstr(&items, ",");
        buf_add_span(&items, rows_text(r->rows, i));
    }
    text_add_page(text, buf_span(&items), r->json);
    buf_deinit(&items);
}

static void answer(struct asked *k)
{
    struct reading *r = &k->reading;
    struct buf text;

    buf_init(&text, SIZE_MAX / 2);
    if (r->rv == 0) add_answer(&text, r);
    CHECK(!buf_failed(&text));
    if (k->q.kind == QUESTION_PIECE)
        peer_answer(k->ask, r->rv, buf_span(&text), blob_span(r->bytes));
    else
        peer_answer(k->ask, r->rv, span_of(NULL, 0), buf_span(&text));
    blob_unref(&r->bytes);
    rows_free(&r->rows);
    buf_deinit(&text);
    json_decref(r->json);
    list_remove(&k->link);
    k->ops->asked_count--;
    free(k);
}

static void on_run(struct loop_work *w)
{
    question_read(&CONTAINER_OF(w, struct asked, work)->reading);
}

static void on_read(struct loop_work *w)
{
    answer(CONTAINER_OF(w, struct asked, work));
}

static bool holds_all(const struct ops *ops, const struct question *q)
{
    for (unsigned i = 0; i < q->shard_count; i++)
        if (!query_holds(ops, q->shards[i])) return false;
    return true;
}

static int begin(struct asked *k)
{
    struct ops *ops = k->ops;
    int rv = question_parse(k->ask->request, &k->q);

    if (rv == 0 && !holds_all(ops, &k->q)) rv = ERR_NOT_LEADER;
    if (rv != 0) return rv;
    k->reading = (struct reading){ .ops = ops, .q = &k->q, .room = QUESTION_ROOM };
    k->work.run = on_run;
    k->work.on_done = on_read;
    list_add(&ops->asked, &k->link);
    ops->asked_count++;
    if (k->q.kind == QUESTION_NODE) {
        question_read(&k->reading);
        answer(k);
        return 0;
    }
    rv = loop_work(ops->o.loop, LOOP_POOL_DISK, &k->work);
    if (rv == 0) return 0;
    list_remove(&k->link);
    ops->asked_count--;
    return rv;
}

static void on_ask(void *arg, struct peer_ask *a)
{
    struct ops *ops = arg;
    struct asked *k;
    int rv;

    if (atomic_load(&ops->closing) || ops->asked_count == ASKED_MAX) {
        refuse(a, ops->asked_count == ASKED_MAX ? ERR_FULL : ERR_CLOSED);
        return;
    }
    k = check_calloc(1, sizeof *k);
    k->ops = ops;
    k->ask = a;
    list_init(&k->link);
    rv = begin(k);
    if (rv == 0) return;
    free(k);
    refuse(a, rv);
}

void asked_open(struct ops *ops)
{
    list_init(&ops->asked);
    if (ops->o.peers) peer_serve(ops->o.peers, PEER_QUERY, ops->o.loop, on_ask, ops);
}

bool asked_is_idle(const struct ops *ops)
{
    return ops->asked_count == 0;
}
