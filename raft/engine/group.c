/* group - one group: opened from its log, stepped, loaded into flights, closed.
 *
 * The core says what is to be written; its bytes are here. Invariant: write ids are handed to the
 * log without a gap and in order (write_sent follows write_last).
 */
#include <stdlib.h>

#include "raft/engine/inside.h"

const char *raft_role_name(enum raft_role role)
{
    static const char *const names[] = { "follower", "candidate", "leader", "broken" };

    CHECK((unsigned)role < sizeof names / sizeof names[0]);
    return names[role];
}

/* ---- steps */

int group_step(struct raft_group *g, struct core_event *e, struct core_update *u)
{
    int rv;

    e->now_ms = g->loop->now_ms;
    rv = core_step(g->core, e, u);
    g->wake_at_ms = u->wake_at_ms;
    if (u->wake_at_ms < g->loop->wake_at_ms) g->loop->wake_at_ms = u->wake_at_ms;
    return rv;
}

void group_event(struct raft_group *g, struct core_event *e)
{
    struct core_update u;

    CHECK(group_step(g, e, &u) == 0);
    group_carry_out(g, &u);
}

void group_mark_unsent(struct raft_group *g)
{
    if (list_empty(&g->unsent_link)) list_add(&g->loop->unsent, &g->unsent_link);
}

/* What the core writes of its own: the hard state, or its no-op. Never both, never two at once: the
 * one is durable before the other is asked for. */
static void take_own_write(struct raft_group *g, const struct core_update *u)
{
    CHECK(!g->has_own);
    CHECK(u->write_id == g->write_last + 1);
    CHECK(!(u->flags & CORE_HARD) != !(u->flags & CORE_APPEND));
    g->own =
        (struct store_op){ .kind = STORE_HARD, .hard = u->hard, .entry = { .group = g->number } };
    if (u->flags & CORE_APPEND) {
        CHECK(u->append.kind == CORE_NOOP); /* commands come by raft_propose */
        g->own.kind = STORE_APPEND;
        g->own.entry.index = u->append.index;
        g->own.entry.term = u->append.term;
        g->own.entry.kind = u->append.kind;
        g->noop = u->append.index;
    }
    g->has_own = true;
    g->write_last = u->write_id;
    group_mark_unsent(g);
}

/* A leader that is not ready is a candidate to the machine: it cannot act on its office yet. */
static void tell_role(struct raft_group *g, const struct core_update *u)
{
    static const enum raft_role roles[] = { [CORE_FOLLOWER] = RAFT_FOLLOWER,
                                            [CORE_PRECANDIDATE] = RAFT_CANDIDATE,
                                            [CORE_CANDIDATE] = RAFT_CANDIDATE,
                                            [CORE_LEADER] = RAFT_LEADER,
                                            [CORE_BROKEN] = RAFT_BROKEN };
    bool is_early = u->role == CORE_LEADER && !u->ready;
    enum raft_role role = is_early ? RAFT_CANDIDATE : roles[u->role];

    if (role == g->told_role && u->term == g->told_term) return;
    g->told_role = role;
    g->told_term = u->term;
    g->machine.role(g->machine.arg, role, u->term, is_early ? 0 : u->leader);
}

void group_carry_out(struct raft_group *g, const struct core_update *u)
{
    if (u->flags & (CORE_HARD | CORE_APPEND)) take_own_write(g, u);
    if (u->flags & CORE_COMMIT) {
        g->commit = u->commit;
        if (list_empty(&g->unapplied_link)) list_add(&g->loop->unapplied, &g->unapplied_link);
    }
    if (u->flags & CORE_ROLE) tell_role(g, u);
}

/* ---- into the log */

static bool has_room(const struct flight *f, size_t bytes)
{
    if (f->op_count == FLIGHT_OPS_MAX) return false;
    return f->op_count == 0 || f->bytes + bytes <= FLIGHT_BYTES_MAX;
}

static bool load_cut(struct raft_group *g, struct flight *f)
{
    if (g->cut_to == 0) return true;
    if (!has_room(f, 0)) return false;
    f->ops[f->op_count++] = (struct store_op){ .kind = STORE_CUT,
                                               .entry = { .group = g->number },
                                               .cut_from = g->cut_from,
                                               .cut_to = g->cut_to,
                                               .cut_term = g->cut_term };
    g->cut_to = 0;
    return true;
}

static bool load_own(struct raft_group *g, struct flight *f)
{
    if (!g->has_own) return true;
    if (!has_room(f, 0)) return false;
    f->ops[f->op_count++] = g->own;
    g->has_own = false;
    g->write_sent++;
    return true;
}

static bool load_proposals(struct raft_group *g, struct flight *f)
{
    while (!list_empty(&g->unsent)) {
        struct raft_proposal *p = CONTAINER_OF(g->unsent.next, struct raft_proposal, link);

        if (!has_room(f, p->head.n + p->body.n)) return false;
        f->ops[f->op_count++] = (struct store_op){ .kind = STORE_APPEND,
                                                   .entry = { .group = g->number,
                                                              .index = p->index,
                                                              .term = p->entry_term,
                                                              .kind = CORE_COMMAND,
                                                              .head = p->head,
                                                              .body = p->body } };
        f->bytes += p->head.n + p->body.n;
        g->write_sent++;
        list_remove(&p->link);
        list_add(&g->sent, &p->link);
    }
    CHECK(g->write_sent == g->write_last);
    return true;
}

bool group_load(struct raft_group *g, struct flight *f)
{
    uint64_t sent_before = g->write_sent;
    bool fits = load_cut(g, f) && load_own(g, f) && load_proposals(g, f);

    if (g->write_sent > sent_before)
        f->acks[f->ack_count++] = (struct flight_ack){ .group = g, .write_id = g->write_sent };
    return fits;
}

/* ---- opening */

static int make_core(struct raft_group *g, const struct raft_config *config, struct errmsg *why)
{
    struct core_options o = { .self = g->raft->node_id,
                              .limits = { .members_max = RAFT_VOTERS_MAX },
                              .config = { .count = config->voter_count },
                              .election_ms = 0, /* the only voter waits for nobody */
                              .uncommitted_bytes_max = g->raft->uncommitted_bytes_max,
                              .seed = g->raft->seed ^ g->number };

    CHECK(config->voter_count <= RAFT_VOTERS_MAX);
    if (config->voter_count > 1)
        return errmsg_set(why, ERR_UNSUPPORTED,
                          "group %llu: this version takes one voter, %u are named",
                          (unsigned long long)g->number, config->voter_count);
    o.config.members[0] =
        (struct core_member){ .node = config->voters[0], .flags = CORE_VOTES_NEW, .priority = 1 };
    g->core = check_calloc(1, core_size(&o.limits));
    if (config->voters[0] != o.self || core_init(g->core, &o) != 0)
        return errmsg_set(why, ERR_RANGE, "group %llu: its one voter must be this node, %llu",
                          (unsigned long long)g->number, (unsigned long long)o.self);
    return 0;
}

static int boot(struct raft_group *g, const struct store_group *log, struct errmsg *why)
{
    struct core_event e = { .kind = CORE_BOOT };
    struct core_update u;

    e.u.boot.hard = log->hard;
    e.u.boot.first = log->first;
    e.u.boot.last = log->last;
    e.u.boot.last_term = log->last_term;
    e.u.boot.applied = g->applied;
    e.u.boot.tainted = g->raft->tainted;
    if (group_step(g, &e, &u) != 0)
        return errmsg_set(
            why, ERR_CORRUPT,
            "group %llu: the log holds entries %llu to %llu (term %llu, voted in term %llu), the "
            "state "
            "ends at %llu: they do not belong together, or one of them has lost entries",
            (unsigned long long)g->number, (unsigned long long)log->first,
            (unsigned long long)log->last, (unsigned long long)log->last_term,
            (unsigned long long)log->hard.term, (unsigned long long)g->applied);
    g->told_role = RAFT_FOLLOWER;
    g->told_term = u.term;
    return 0;
}

static struct raft_group *new_group(struct raft *r, uint64_t number, unsigned loop,
                                    const struct raft_machine *machine,
                                    const struct store_group *log, uint64_t applied)
{
    struct raft_group *g = check_calloc(1, sizeof *g);

    list_init(&g->link);
    list_init(&g->unsent_link);
    list_init(&g->unapplied_link);
    list_init(&g->unsent);
    list_init(&g->sent);
    g->raft = r;
    g->loop = &r->loops[loop];
    g->number = number;
    g->machine = *machine;
    g->first = log->first;
    g->boot_last = log->last;
    g->boot_term = log->last_term;
    g->applied = g->commit = applied;
    weight_init(&g->weight, log->first - 1);
    if (log->last >= log->first) weight_add(&g->weight, log->last, log->bytes);
    return g;
}

static void free_group(struct raft_group *g)
{
    free(g->core);
    free(g);
}

static bool is_open(const struct engine_loop *l, uint64_t number)
{
    LIST_FOR(it, &l->groups) {
        if (CONTAINER_OF(it, struct raft_group, link)->number == number) return true;
    }
    return false;
}

int raft_group_open(struct raft *r, uint64_t group, unsigned loop, const struct raft_config *config,
                    const struct raft_machine *machine, uint64_t applied_at_open,
                    struct raft_group **out, struct errmsg *why)
{
    struct store_group log;
    struct raft_group *g;
    int rv;

    CHECK(loop < r->loop_count);
    CHECK(group != UINT64_MAX); /* the store's own */
    if (is_open(&r->loops[loop], group))
        return errmsg_set(why, ERR_EXISTS, "group %llu is open already", (unsigned long long)group);
    rv = store_group_read(r->store, group, &log, why);
    if (rv != 0) return rv;
    g = new_group(r, group, loop, machine, &log, applied_at_open);
    rv = make_core(g, config, why);
    if (rv == 0) rv = boot(g, &log, why);
    if (rv != 0) {
        free_group(g);
        return rv;
    }
    list_add(&g->loop->groups, &g->link);
    *out = g;
    g->machine.role(g->machine.arg, RAFT_FOLLOWER, g->told_term, 0);
    return 0;
}

/* ---- closing */

void group_answer(struct list *proposals, enum raft_answer answer)
{
    struct list *it;

    while ((it = list_take_first(proposals)) != NULL) {
        struct raft_proposal *p = CONTAINER_OF(it, struct raft_proposal, link);

        p->on_done(p, answer, p->index, p->entry_term); /* p is the caller's again */
    }
}

void raft_group_close(struct raft_group **pg)
{
    struct raft_group *g = *pg;

    if (!g) return;
    CHECK(!g->loop->is_turning);
    g->closing = true;
    list_remove(&g->link);
    list_remove(&g->unsent_link);
    list_remove(&g->unapplied_link);
    flights_forget(g->loop, g);
    group_answer(&g->sent, RAFT_UNKNOWN);
    group_answer(&g->unsent, RAFT_UNKNOWN);
    free_group(g);
    *pg = NULL;
}

/* ---- seeing */

void raft_group_see(const struct raft_group *g, struct raft_group_view *out)
{
    struct core_view v;

    core_see(g->core, &v);
    *out = (struct raft_group_view){ .group = g->number,
                                     .term = v.term,
                                     .leader = v.leader,
                                     .first = g->first,
                                     .last = v.last,
                                     .commit = v.commit,
                                     .applied = g->applied,
                                     .role = g->told_role,
                                     .uncommitted_bytes = v.uncommitted_bytes,
                                     .log_bytes = weight_bytes(&g->weight) };
}
