/* engine - turns of a loop: completions in, steps, one write out.
 *
 * Way of a turn:  done writes -> DURABLE steps -> TIME steps -> apply and answer -> submit the open write.
 * Ownership:      a write belongs to the loop while it is open or pooled, to the log thread in between. The
 *                 spans in it are the proposals' owners', who keep them until on_done.
 */
#include <stdlib.h>

#include "raft/engine/inside.h"

struct store *raft_store_of(struct raft *r)
{
    return r->store;
}

int raft_open(struct raft **out, const struct raft_options *o, bool *tainted_out, struct errmsg *why)
{
    struct raft *r;
    int rv;

    CHECK(o->loop_count > 0 && o->loop_count <= ENGINE_LOOPS_MAX && o->node_id > 0);
    r = check_calloc(1, sizeof *r);
    r->o = *o;
    if (r->o.group_uncommitted_bytes_max == 0) r->o.group_uncommitted_bytes_max = ENGINE_UNCOMMITTED_MAX;
    rv = store_open(&r->store, &(struct store_options){ .dir = o->dir, .memtable_bytes = o->memtable_bytes },
                    &r->tainted, why);
    if (rv != 0) {
        free(r);
        return rv;
    }
    for (unsigned i = 0; i < o->loop_count; i++) {
        r->loops[i].raft = r;
        r->loops[i].number = i;
        r->loops[i].port = o->loops[i];
        mpsc_init(&r->loops[i].done);
        list_init(&r->loops[i].groups);
    }
    if (tainted_out) *tainted_out = r->tainted;
    *out = r;
    return 0;
}

/* ---- writes */

static void write_free(struct engine_write *w)
{
    free(w->ops);
    free(w->acks);
    free(w);
}

struct engine_write *engine_open_write(struct engine_loop *l)
{
    struct engine_write *w = l->open;

    if (w) return w;
    w = l->pool;
    if (w) l->pool = w->next_free;
    if (!w) {
        w = check_calloc(1, sizeof *w);
        w->next_all = l->all;
        l->all = w;
    }
    w->loop = l;
    w->count = 0;
    l->open = w;
    return w;
}

/* On the log thread. */
static void on_written(struct store_write *sw)
{
    struct engine_write *w = CONTAINER_OF(sw, struct engine_write, write);
    struct engine_loop *l = w->loop;

    if (mpsc_put(&l->done, &w->write.node)) l->port.wake(l->port.arg);
}

static void submit(struct engine_loop *l)
{
    struct engine_write *w = l->open;

    if (!w) return;
    l->open = NULL;
    w->write.ops = w->ops;
    w->write.op_count = w->count;
    w->write.on_done = on_written;
    store_submit(l->raft->store, &w->write);
}

void engine_add_op(struct raft_group *g, const struct store_op *op, uint64_t write_id)
{
    struct engine_write *w = engine_open_write(g->loop);

    if (w->count == w->cap) {
        w->cap = w->cap ? 2 * w->cap : 16;
        w->ops = check_realloc(w->ops, w->cap * sizeof *w->ops);
        w->acks = check_realloc(w->acks, w->cap * sizeof *w->acks);
    }
    w->ops[w->count] = *op;
    w->acks[w->count] = (struct engine_ack){ .group = write_id ? g : NULL, .write_id = write_id };
    w->count++;
    if (w->count == ENGINE_OPS_MAX) submit(g->loop);
}

static void acknowledge(struct engine_write *w)
{
    for (size_t i = 0; i < w->count; i++) {
        struct raft_group *g = w->acks[i].group;
        struct core_event e = { .kind = CORE_DURABLE };
        struct core_update u;

        if (!g) continue;
        /* consecutive ops of one group are acknowledged by the last one: write ids are cumulative */
        if (i + 1 < w->count && w->acks[i + 1].group == g) continue;
        e.u.durable.write_id = w->acks[i].write_id;
        CHECK(group_step(g, &e, &u) == 0);
        group_carry_out(g, &u);
    }
}

static void take_completions(struct engine_loop *l)
{
    struct mpsc_node *node = mpsc_take_all(&l->done), *next;

    for (; node; node = next) {
        struct engine_write *w = CONTAINER_OF(node, struct engine_write, write.node);

        next = node->next;
        acknowledge(w);
        w->next_free = l->pool;
        l->pool = w;
    }
}

/* ---- turns */

uint64_t raft_turn(struct raft *r, unsigned loop, uint64_t mono_ms)
{
    struct engine_loop *l = &r->loops[loop];
    uint64_t wake_at = UINT64_MAX;
    bool more = false;

    CHECK(loop < r->o.loop_count);
    if (mono_ms > l->now_ms) l->now_ms = mono_ms;
    take_completions(l);
    LIST_FOR_SAFE(it, &l->groups)
    {
        struct raft_group *g = CONTAINER_OF(it, struct raft_group, link);

        if (g->wake_at_ms <= l->now_ms) {
            struct core_event e = { .kind = CORE_TIME };
            struct core_update u;

            CHECK(group_step(g, &e, &u) == 0);
            group_carry_out(g, &u);
        }
        more |= group_apply(g);
        if (g->wake_at_ms < wake_at) wake_at = g->wake_at_ms;
    }
    submit(l);
    return more ? l->now_ms : wake_at;
}

/* ---- closing */

void raft_close(struct raft **pr)
{
    struct raft *r = *pr;

    if (!r) return;
    *pr = NULL;
    for (unsigned i = 0; i < r->o.loop_count; i++)
        CHECK(list_empty(&r->loops[i].groups));
    store_close(&r->store); /* ends the log thread behind its last write */
    for (unsigned i = 0; i < r->o.loop_count; i++) {
        struct engine_loop *l = &r->loops[i];

        while (l->all) {
            struct engine_write *w = l->all;

            l->all = w->next_all;
            write_free(w);
        }
    }
    free(r);
}
