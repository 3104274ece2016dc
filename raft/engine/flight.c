/* flight - what a loop's groups have for the log leaves as one write a turn and comes back as
 * completions.
 *
 * Invariant: flights of a loop land in the order in which they left (the log thread keeps the
 * order), so a group's write ids become durable in order (R1).
 */
#include "raft/engine/inside.h"

static struct flight *free_flight(struct engine_loop *l)
{
    for (unsigned i = 0; i < FLIGHTS; i++)
        if (!l->flights[i].in_air) return &l->flights[i];
    return NULL;
}

/* On the log thread. */
static void on_written(struct store_write *w)
{
    struct engine_loop *l = CONTAINER_OF(w, struct flight, write)->loop;

    if (mpsc_put(&l->landed, &w->node)) l->port.wake(l->port.arg);
}

static void load(struct engine_loop *l, struct flight *f)
{
    bool fits = true;

    f->op_count = f->ack_count = f->bytes = 0;
    while (fits && !list_empty(&l->unsent)) {
        struct raft_group *g = CONTAINER_OF(l->unsent.next, struct raft_group, unsent_link);

        list_remove(&g->unsent_link);
        fits = group_load(g, f);
        if (!fits) list_add(&l->unsent, &g->unsent_link); /* behind the others, who wait as well */
    }
}

void flights_send(struct engine_loop *l)
{
    struct flight *f;

    while (!list_empty(&l->unsent) && (f = free_flight(l)) != NULL) {
        load(l, f);
        if (f->op_count == 0) continue; /* all of it was cut off again */
        f->in_air = true;
        f->left_ms = l->now_ms;
        f->write =
            (struct store_write){ .ops = f->ops, .op_count = f->op_count, .on_done = on_written };
        store_submit(l->raft->store, &f->write);
    }
}

static void land_ack(const struct flight_ack *ack)
{
    struct core_event e = { .kind = CORE_DURABLE };

    if (ack->group && ack->write_id != 0) {
        e.u.durable.write_id = ack->write_id;
        outbox_release(ack->group, ack->write_id);
        group_event(ack->group, &e);
    }
    if (ack->group && ack->mark == TODO_INTENT) stage_intended(ack->group);
    if (ack->group && ack->mark == TODO_BEGIN) stage_begun(ack->group);
}

static void unload(struct flight *f)
{
    for (size_t i = 0; i < f->op_count; i++) {
        blob_unref(&f->owners[i][0]);
        blob_unref(&f->owners[i][1]);
    }
}

void flights_land(struct engine_loop *l)
{
    struct mpsc_node *node = mpsc_take_all(&l->landed), *next;

    for (; node; node = next) {
        struct flight *f = CONTAINER_OF(node, struct flight, write.node);

        next = node->next;
        CHECK(f->in_air);
        f->in_air = false;
        unload(f);
        for (size_t i = 0; i < f->ack_count; i++)
            land_ack(&f->acks[i]);
    }
}

static bool forget(struct flight *f, const struct raft_group *g)
{
    bool found = false;

    for (size_t i = 0; f->in_air && i < f->ack_count; i++) {
        if (f->acks[i].group != g) continue;
        f->acks[i].group = NULL;
        found = true;
    }
    return found;
}

void flights_forget(struct engine_loop *l, struct raft_group *g)
{
    bool found = false;

    for (unsigned i = 0; i < FLIGHTS; i++)
        found |= forget(&l->flights[i], g);
    if (found) store_drain(l->raft->store);
}

uint32_t flights_oldest_ms(const struct engine_loop *l)
{
    uint64_t oldest = 0;

    for (unsigned i = 0; i < FLIGHTS; i++) {
        const struct flight *f = &l->flights[i];

        if (f->in_air && l->now_ms - f->left_ms > oldest) oldest = l->now_ms - f->left_ms;
    }
    return oldest > UINT32_MAX ? UINT32_MAX : (uint32_t)oldest;
}

/* The store has written what it will: no flight is in the air any more, landed or not. */
void flights_close(struct engine_loop *l)
{
    (void)mpsc_take_all(&l->landed);
    for (unsigned i = 0; i < FLIGHTS; i++)
        if (l->flights[i].in_air) unload(&l->flights[i]);
}
