/* todo - what a group has for the log, in the order of its write ids.
 *
 * Invariants: entries of a todo stand in the ring until they are loaded; proposals, one write each, gather in one todo.
 * What is cut off before it was handed over is never written: its todo shrinks.
 */
#include "raft/engine/inside.h"

static struct todo *add(struct raft_group *g)
{
    if (g->todo_count == g->todo_cap) {
        g->todo_cap = g->todo_cap ? 2 * g->todo_cap : 2;
        g->todos = check_realloc(g->todos, g->todo_cap * sizeof *g->todos);
    }
    g->todos[g->todo_count] = (struct todo){ 0 };
    group_mark_unsent(g);
    return &g->todos[g->todo_count++];
}

/* One more entry behind those that wait already, and nothing else. */
static bool gathers(struct raft_group *g, const struct core_update *u)
{
    struct todo *t;

    if (g->todo_count == 0 || (u->flags & CORE_HARD) || u->append.truncate_from != 0) return false;
    t = &g->todos[g->todo_count - 1];
    if (t->has_op || t->first + t->count != u->append.index || t->count == 0) return false;
    t->count += u->append.count;
    t->write_id = u->write_id;
    return true;
}

static void cut_off(struct raft_group *g, uint64_t from)
{
    for (unsigned i = 0; i < g->todo_count; i++) {
        struct todo *t = &g->todos[i];

        if (t->count > 0 && t->first + t->count > from)
            t->count = t->first >= from ? 0 : (unsigned)(from - t->first);
    }
}

void todo_write(struct raft_group *g, const struct core_update *u)
{
    struct todo *t;

    CHECK(u->write_id == g->write_last + 1);
    g->write_last = u->write_id;
    if ((u->flags & CORE_APPEND) && u->append.truncate_from != 0)
        cut_off(g, u->append.truncate_from);
    if ((u->flags & CORE_APPEND) && gathers(g, u)) return;
    t = add(g);
    t->write_id = u->write_id;
    t->has_hard = u->flags & CORE_HARD;
    t->hard = u->hard;
    if (!(u->flags & CORE_APPEND)) return;
    t->truncate_from = u->append.truncate_from;
    t->truncate_to = NEVER - 1;
    t->first = u->append.index;
    t->count = u->append.count;
}

void todo_op(struct raft_group *g, const struct store_op *op, struct blob *owner,
             enum todo_mark mark)
{
    struct todo *t = add(g);

    t->has_op = true;
    t->op = *op;
    t->owner = owner;
    t->mark = mark;
}

void todo_deinit(struct raft_group *g)
{
    for (unsigned i = 0; i < g->todo_count; i++)
        blob_unref(&g->todos[i].owner);
    free(g->todos);
    g->todos = NULL;
    g->todo_count = g->todo_cap = 0;
}

/* ---- into the log */

static bool has_room(const struct flight *f, size_t ops, size_t bytes)
{
    if (f->op_count + ops > FLIGHT_OPS_MAX || f->ack_count == FLIGHT_OPS_MAX) return false;
    return f->op_count == 0 || f->bytes + bytes <= FLIGHT_BYTES_MAX;
}

static void put(struct flight *f, const struct store_op *op, struct blob *owner)
{
    f->owners[f->op_count][0] = owner;
    f->owners[f->op_count][1] = NULL;
    f->ops[f->op_count++] = *op;
    f->bytes += op->entry.head.n + op->entry.body.n;
}

static bool load_cut(struct raft_group *g, struct flight *f)
{
    if (g->cut_to == 0) return true;
    if (!has_room(f, 2, 0)) return false;
    if (g->cut_config) {
        put(f,
            &(struct store_op){ .kind = STORE_CONFIG,
                                .entry = { .group = g->number,
                                           .index = g->cut_config_index,
                                           .head = blob_span(g->cut_config) } },
            g->cut_config);
        g->cut_config = NULL;
    }
    put(f,
        &(struct store_op){ .kind = STORE_CUT,
                            .entry = { .group = g->number },
                            .cut_from = g->cut_from,
                            .cut_to = g->cut_to,
                            .cut_term = g->cut_term },
        NULL);
    g->cut_to = 0;
    return true;
}

static bool load_entries(struct raft_group *g, struct todo *t, struct flight *f)
{
    while (t->count > 0) {
        struct slot *s = ring_at(&g->ring, t->first);

        CHECK(s != NULL);
        if (!has_room(f, 1, s->head.n + s->body.n)) return false;
        put(f,
            &(struct store_op){ .kind = STORE_APPEND,
                                .entry = { .group = g->number,
                                           .index = t->first,
                                           .term = s->term,
                                           .kind = s->kind,
                                           .head = s->head,
                                           .body = s->body } },
            s->owner ? blob_ref(s->owner) : NULL);
        if (s->body_owner) f->owners[f->op_count - 1][1] = blob_ref(s->body_owner);
        t->first++;
        t->count--;
    }
    return true;
}

static bool load_todo(struct raft_group *g, struct todo *t, struct flight *f)
{
    if (!has_room(f, 3, 0)) return false;
    if (t->has_op) {
        put(f, &t->op, t->owner);
        t->owner = NULL;
        return true;
    }
    if (t->truncate_from != 0) {
        put(f,
            &(struct store_op){ .kind = STORE_TRUNCATE,
                                .entry = { .group = g->number, .index = t->truncate_from },
                                .truncate_to = t->truncate_to },
            NULL);
        t->truncate_from = 0;
    }
    if (t->has_hard) {
        put(f,
            &(struct store_op){
                .kind = STORE_HARD, .hard = t->hard, .entry = { .group = g->number } },
            NULL);
        t->has_hard = false;
    }
    return load_entries(g, t, f);
}

static void note_ack(struct raft_group *g, const struct todo *t, struct flight *f)
{
    struct flight_ack *last = f->ack_count > 0 ? &f->acks[f->ack_count - 1] : NULL;

    if (last && last->group == g && last->mark == TODO_NONE && t->mark == TODO_NONE) {
        if (t->write_id != 0) last->write_id = t->write_id;
        return;
    }
    f->acks[f->ack_count++] =
        (struct flight_ack){ .group = g, .write_id = t->write_id, .mark = t->mark };
}

bool group_load(struct raft_group *g, struct flight *f)
{
    size_t ops_before = f->op_count;
    unsigned done = 0;
    bool fits = load_cut(g, f);

    while (fits && done < g->todo_count) {
        fits = load_todo(g, &g->todos[done], f);
        if (fits) note_ack(g, &g->todos[done++], f);
    }
    if (!fits &&
        f->op_count > ops_before) /* a part of a todo: the flight carries the group's bytes */
        note_ack(g, &(struct todo){ 0 }, f);
    if (done == 0) return fits;
    g->todo_count -= done;
    memmove(g->todos, g->todos + done, g->todo_count * sizeof *g->todos);
    if (g->todo_count == 0 && g->todo_cap > 0) todo_deinit(g);
    return fits;
}
