/* step - events into a group's core, and what its updates ask for.
 *
 * Order: what is to be written, what is to be sent, then call-backs, which may come back in here. So an update is used up
 * before the first of them, and calls from inside of one have an update of their own (loop.inner).
 */
#include "proto/ground/mutation.h"
#include "raft/engine/inside.h"

struct raft_group *group_find(struct engine_loop *l, uint64_t number)
{
    struct raft_group *g;

    HASH_FIND(hh, l->table, &number, sizeof number, g);
    return g;
}

void group_mark_unsent(struct raft_group *g)
{
    if (list_empty(&g->unsent_link)) list_add(&g->loop->unsent, &g->unsent_link);
}

void group_mark_unflushed(struct raft_group *g)
{
    if (list_empty(&g->unflushed_link)) list_add(&g->loop->unflushed, &g->unflushed_link);
}

int group_step(struct raft_group *g, struct core_event *e, struct core_update *u)
{
    int rv;

    e->now_ms = g->loop->now_ms;
    rv = core_step(g->core, e, u);
    g->resting = u->resting;
    if (u->wake_at_ms <= g->loop->now_ms && e->kind == CORE_PROPOSE)
        group_mark_unflushed(g); /* more may come: told at the end of the turn */
    else
        wake_set(g, u->wake_at_ms);
    return rv;
}

void group_event(struct raft_group *g, struct core_event *e)
{
    struct core_update *u = &g->loop->update;

    CHECK(group_step(g, e, u) == 0);
    group_carry_out(g, u, NULL, NULL);
    if (g->resting && g->ring.slots) cache_rest(g);
}

/* ---- what is to be written */

static void take_own(struct raft_group *g, const struct core_update *u)
{
    struct blob *owner = NULL;

    CHECK(u->append.count == 1);
    CHECK(u->append.kind != CORE_COMMAND); /* those come by raft_propose */
    if (u->append.kind == CORE_CONFIG) owner = config_blob(u->append.config);
    cache_add(g, u->append.index,
              &(struct slot){ .head = blob_span(owner),
                              .owner = owner,
                              .term = u->append.term,
                              .kind = u->append.kind });
    weight_add(&g->weight, u->append.index, owner ? owner->n : 0);
}

static void take_received(struct raft_group *g, const struct core_update *u,
                          const struct frame_message *m, struct blob *blob)
{
    CHECK(m != NULL);
    CHECK(u->append.skip + u->append.count == m->msg.count);
    for (unsigned i = u->append.skip; i < m->msg.count; i++) {
        const struct core_entry *e = &m->msg.entries[i];
        uint64_t index = m->msg.first + i;

        const struct frame_entry *b =
            &m->bytes[MUTATED(ENGINE_LAST_DROPPED) && i > 0 && i + 1 == m->msg.count ? i - 1 : i];

        cache_add(g, index,
                  &(struct slot){ .head = b->head,
                                  .body = b->body,
                                  .owner = blob_ref(blob),
                                  .term = e->term,
                                  .kind = e->kind });
        weight_add(&g->weight, index, e->weight);
    }
}

static void take_write(struct raft_group *g, const struct core_update *u,
                       const struct frame_message *m, struct blob *blob)
{
    todo_write(g, u);
    if (!(u->flags & CORE_APPEND)) return;
    if (u->append.truncate_from != 0) {
        cache_truncate(g, u->append.truncate_from);
        weight_truncate(&g->weight, u->append.truncate_from);
    }
    if (u->append.own)
        take_own(g, u);
    else
        take_received(g, u, m, blob);
}

/* ---- call-backs */

struct office {
    enum core_role role;
    uint64_t term, leader;
    bool ready;
};

/* A leader that is not ready is a candidate to the machine: it cannot act on its office yet. */
static void tell_role(struct raft_group *g, const struct office *o)
{
    static const enum raft_role roles[] = { [CORE_FOLLOWER] = RAFT_FOLLOWER,
                                            [CORE_PRECANDIDATE] = RAFT_FOLLOWER,
                                            [CORE_CANDIDATE] = RAFT_CANDIDATE,
                                            [CORE_LEADER] = RAFT_LEADER,
                                            [CORE_BROKEN] = RAFT_BROKEN };
    bool is_early = o->role == CORE_LEADER && !o->ready;
    enum raft_role role = is_early ? RAFT_CANDIDATE : roles[o->role];
    uint64_t leader = is_early ? 0 : o->leader;

    if (role == g->told_role && o->term == g->told_term && leader == g->told_leader) return;
    g->told_role = role;
    g->told_term = o->term;
    g->told_leader = leader;
    if (role == RAFT_LEADER) balance_mark(g);
    if (g->machine.role) g->machine.role(g->machine.arg, role, o->term, leader);
}

void group_tell_down(struct raft_group *g)
{
    for (unsigned i = 0; i < g->peer_count; i++) {
        struct core_event e = { .kind = CORE_PEER, .u.peer.node = g->peers[i]->node };
        unsigned number;

        CHECK(peer_find(g->raft, g->peers[i]->node, &number) == g->peers[i]);
        if (outbox_of(g->loop, number)->up) continue;
        CHECK(group_step(g, &e, &g->loop->inner) == 0);
        group_carry_out(g, &g->loop->inner, NULL, NULL);
    }
}

static void tell_members(struct raft_group *g, bool committed)
{
    if (group_take_members(g) != 0) metric_add(M_RAFT_PEERS_FULL, 1);
    group_tell_down(g);
    if (g->told_role == RAFT_LEADER) balance_mark(g);
    if (g->machine.members) g->machine.members(g->machine.arg, core_config_now(g->core), committed);
}

/* Each of these may come back in here, and use the update for something else: what is needed of it is kept first. */
static void tell(struct raft_group *g, const struct core_update *u)
{
    struct office office = { u->role, u->term, u->leader, u->ready };
    struct core_pos install = u->install;
    bool config_committed = u->config_committed;
    unsigned flags = u->flags;

    if (u->read_count > 0) reads_told(g, u->reads, u->read_count); /* calls nobody yet */
    if (flags & CORE_INSTALL) stage_install(g, install);
    if (flags & CORE_ROLE) tell_role(g, &office);
    if (flags & CORE_MEMBERS) tell_members(g, config_committed);
    reads_settle(g);
}

void group_carry_out(struct raft_group *g, const struct core_update *u,
                     const struct frame_message *m, struct blob *blob)
{
    if (u->flags & (CORE_HARD | CORE_APPEND)) take_write(g, u, m, blob);
    for (unsigned i = 0; i < u->send_count; i++)
        outbox_put(g, &u->sends[i]);
    if (u->flags & CORE_COMMIT) {
        g->commit = u->commit;
        if (list_empty(&g->unapplied_link)) list_add(&g->loop->unapplied, &g->unapplied_link);
    }
    if (u->flags & CORE_UNREST) rest_generation_grow(g->raft);
    if (u->flags & CORE_UNTAINTED)
        todo_op(g, &(struct store_op){ .kind = STORE_UNTAINT, .entry = { .group = g->number } },
                NULL, TODO_NONE);
    if (u->flags & CORE_TRANSFERRED)
        metric_add(u->transfer.ok ? M_RAFT_TRANSFERS : M_RAFT_TRANSFERS_FAILED, 1);
    if (u->flags & (CORE_ROLE | CORE_MEMBERS | CORE_INSTALL) || u->read_count > 0) tell(g, u);
}

/* ---- from the others */

void group_receive(struct raft_group *g, const struct frame_message *m, struct blob *blob,
                   uint64_t generation)
{
    struct core_event e = { .kind = CORE_RECV };
    struct core_msg msg = m->msg;
    unsigned number;
    struct engine_peer *p = peer_find(g->raft, msg.from, &number);

    /* It was sent before its node unrested: the groups of that time are awake again. */
    if (p && msg.rest && msg.kind == CORE_MSG_HEARTBEAT) {
        if (generation < outbox_of(g->loop, number)->generation) msg.rest = false;
        g->rest_generation = generation;
    }
    e.u.recv = &msg;
    group_fill_here(g, &msg);
    if (group_step(g, &e, &g->loop->update) != 0) {
        metric_add(M_RAFT_MESSAGES_REFUSED, 1);
        return;
    }
    group_carry_out(g, &g->loop->update, m, blob);
    if (g->resting && g->ring.slots) cache_rest(g);
}

void group_tell_peer(struct raft_group *g, uint64_t node, bool up, bool woke)
{
    struct core_event e = { .kind = CORE_PEER };

    e.u.peer.node = node;
    e.u.peer.up = up;
    e.u.peer.woke = woke;
    group_event(g, &e);
    if (up && g->told_role == RAFT_LEADER) balance_mark(g);
}

/* All proposals and reads of this turn are in. */
void group_flush(struct raft_group *g)
{
    struct core_event e = { .kind = CORE_TIME };

    reads_flush(g);
    group_event(g, &e);
}

void group_answer(struct list *proposals, enum raft_answer answer)
{
    struct list *it;

    while ((it = list_take_first(proposals)) != NULL) {
        struct raft_proposal *p = CONTAINER_OF(it, struct raft_proposal, link);

        p->on_done(p, answer, p->index, p->entry_term); /* p is the caller's again */
    }
}
