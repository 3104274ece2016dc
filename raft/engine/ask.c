/* ask - reads, changes of the members, transfers of the leadership; and who should lead. */
#include "proto/ground/mutation.h"
#include "raft/engine/inside.h"

#define BALANCE_EVERY_MS   1000
#define BALANCE_BACK_MS    60000 /* at most, when the office comes back each time */
#define BALANCE_GROUPS_MAX 8     /* handed over in one go, of a loop */

/* ---- reads: all that come before one flush are one round of the core's */

int raft_group_read(struct raft_group *g, struct raft_read *read)
{
    if (g->closing || g->told_role != RAFT_LEADER) return ERR_NOT_LEADER;
    if (g->read_count == RAFT_READS_MAX) return ERR_FULL;
    g->read_count++;
    read->index = NEVER;
    list_init(&read->link);
    list_add(&g->reads_new, &read->link);
    group_mark_unflushed(g);
    g->loop->port.wake(g->loop->port.arg);
    return 0;
}

static void end_all(struct raft_group *g, struct list *reads, int rv)
{
    struct list *it;

    while ((it = list_take_first(reads)) != NULL) {
        struct raft_read *read = CONTAINER_OF(it, struct raft_read, link);

        g->read_count--;
        read->on_done(read, rv);
    }
}

void reads_end(struct raft_group *g, int rv)
{
    end_all(g, &g->reads_new, rv);
    end_all(g, &g->reads, rv);
}

void reads_flush(struct raft_group *g)
{
    struct core_event e = { .kind = CORE_READ };
    struct list *it;
    int rv;

    if (list_empty(&g->reads_new)) return;
    e.u.read.context = g->read_round + 1;
    rv = group_step(g, &e, &g->loop->update);
    if (rv == ERR_FULL) return; /* the next answer makes room */
    if (rv != 0) {
        end_all(g, &g->reads_new, ERR_NOT_LEADER);
        return;
    }
    g->read_round++;
    while ((it = list_take_first(&g->reads_new)) != NULL) {
        CONTAINER_OF(it, struct raft_read, link)->round = g->read_round;
        list_add(&g->reads, it);
    }
    group_carry_out(g, &g->loop->update, NULL, NULL);
}

void reads_told(struct raft_group *g, const struct core_read *reads, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        LIST_FOR(it, &g->reads) {
            struct raft_read *read = CONTAINER_OF(it, struct raft_read, link);

            if (read->round == reads[i].context) read->index = reads[i].index;
        }
    }
    if (!list_empty(&g->reads_new)) group_mark_unflushed(g);
}

void reads_settle(struct raft_group *g)
{
    if (list_empty(&g->reads)) return;
    LIST_FOR_SAFE(it, &g->reads) {
        struct raft_read *read = CONTAINER_OF(it, struct raft_read, link);

        if (read->index == NEVER) break;
        if (read->index > g->applied && !MUTATED(ENGINE_READ_EARLY))
            break; /* not confirmed, or not applied; later ones neither */
        list_remove(it);
        g->read_count--;
        read->on_done(read, read->index == 0 ? ERR_NOT_LEADER : 0);
    }
}

/* ---- changes */

/* Steps what may be refused, on the caller's behalf: outside of the library's own steps, or inside of a call-back. */
static int ask(struct raft_group *g, struct core_event *e)
{
    struct core_update *u;
    int rv;

    if (g->closing) return ERR_NOT_LEADER;
    u = check_malloc(sizeof *u);
    rv = group_step(g, e, u);
    if (rv == 0) group_carry_out(g, u, NULL, NULL);
    free(u);
    g->loop->port.wake(g->loop->port.arg);
    return rv;
}

int raft_group_change(struct raft_group *g, const struct core_config *aim, uint32_t version)
{
    struct core_event e = { .kind = CORE_RECONF };

    e.u.reconf.config = aim;
    e.u.reconf.version = version;
    return ask(g, &e);
}

int raft_group_transfer(struct raft_group *g, uint64_t to, uint32_t within_ms)
{
    struct core_event e = { .kind = CORE_TRANSFER };

    e.u.transfer.to = to;
    e.u.transfer.within_ms = within_ms;
    return ask(g, &e);
}

int raft_group_recover(struct raft_group *g, const uint64_t *nodes, unsigned count,
                       uint32_t within_ms, bool dry)
{
    struct core_event e = { .kind = CORE_RECOVER };

    e.u.recover.nodes = nodes;
    e.u.recover.count = count;
    e.u.recover.within_ms = within_ms;
    e.u.recover.dry = dry;
    return ask(g, &e);
}

/* ---- who should lead */

/* The voter that is preferred to this node, well, and near the end of the log; 0: none, *is_misplaced says whether one may
 * become so. */
static uint64_t better_leader(const struct raft_group *g, bool *is_misplaced)
{
    const struct core_config *config = core_config_now(g->core);
    unsigned best = 0;
    uint64_t to = 0;

    for (unsigned i = 0; i < config->count; i++)
        if (config->members[i].node == g->raft->node_id) best = config->members[i].priority;
    *is_misplaced = false;
    for (unsigned i = 0; i < config->count; i++) {
        const struct core_member *m = &config->members[i];
        struct core_peer_view v;

        if (m->priority <= best || !(m->flags & CORE_VOTES_NEW)) continue;
        *is_misplaced = true;
        if (!core_see_peer(g->core, i, &v) || !v.up || v.progress != CORE_REPLICATES) continue;
        best = m->priority;
        to = m->node;
    }
    return to;
}

void balance_mark(struct raft_group *g)
{
    bool is_misplaced;

    (void)better_leader(g, &is_misplaced);
    if (is_misplaced && list_empty(&g->misplaced_link))
        list_add(&g->loop->misplaced, &g->misplaced_link);
}

/* Who is preferred may not be able to stay (cut off from others than this node): the office comes back, and each time it is
 * kept twice as long. */
static void note_handed(struct raft_group *g)
{
    uint64_t now_ms = g->loop->now_ms;

    if (g->handed_wait_ms == 0 || now_ms - g->handed_ms > 4 * (uint64_t)g->handed_wait_ms)
        g->handed_wait_ms = BALANCE_EVERY_MS / 2;
    g->handed_ms = now_ms;
    g->handed_wait_ms *= 2;
    if (g->handed_wait_ms > BALANCE_BACK_MS) g->handed_wait_ms = BALANCE_BACK_MS;
}

void balance(struct engine_loop *l)
{
    struct list round, *it;
    unsigned handed = 0;

    if (list_empty(&l->misplaced) || l->now_ms < l->balance_at_ms) return;
    l->balance_at_ms = l->now_ms + BALANCE_EVERY_MS;
    list_init(&round);
    while ((it = list_take_first(&l->misplaced)) != NULL)
        list_add(&round, it);
    while ((it = list_take_first(&round)) != NULL) {
        struct raft_group *g = CONTAINER_OF(it, struct raft_group, misplaced_link);
        bool is_misplaced;
        uint64_t to;

        if (g->told_role != RAFT_LEADER) continue;
        to = better_leader(g, &is_misplaced);
        if (is_misplaced) list_add(&l->misplaced, it); /* looked at again, until it is so no more */
        if (to == 0 || handed == BALANCE_GROUPS_MAX) continue;
        if (l->now_ms - g->handed_ms < g->handed_wait_ms) continue;
        if (raft_group_transfer(g, to, 0) != 0) continue;
        handed++;
        note_handed(g);
    }
}
