/* group - one group's life: opened from the log, stepped, closed. */
#include <pthread.h>
#include <stdlib.h>

#include "raft/engine/inside.h"

const char *raft_role_name(enum raft_role role)
{
    static const char *const names[] = { "follower", "candidate", "leader", "broken" };

    CHECK((unsigned)role < sizeof names / sizeof names[0]);
    return names[role];
}

int group_step(struct raft_group *g, struct core_event *e, struct core_update *out)
{
    int rv;

    e->now_ms = g->loop->now_ms;
    rv = core_step(g->core, e, out);
    g->wake_at_ms = out->wake_at_ms;
    g->commit = out->commit;
    return rv;
}

/* The order of core.h: writes first; what is committed is applied at the end of the turn. */
void group_carry_out(struct raft_group *g, const struct core_update *u)
{
    if (u->flags & CORE_HARD) {
        struct store_op op = { .kind = STORE_HARD, .hard = u->hard };

        op.entry.group = g->number;
        engine_add_op(g, &op, u->write_id);
    }
    if (u->flags & CORE_APPEND) {
        struct store_op op = { .kind = STORE_APPEND };

        CHECK(u->append.kind == CORE_NOOP); /* commands are appended by raft_propose, which has their bytes */
        op.entry = (struct store_entry){ .group = g->number, .index = u->append.index, .term = u->append.term,
                                         .kind = u->append.kind };
        engine_add_op(g, &op, u->write_id);
        g->last = u->append.index;
        g->own_noop = u->append.index;
    }
    g->last_update = *u;
}

/* ---- opening */

static int boot(struct raft_group *g, const struct store_group *log, uint64_t applied, struct errmsg *why)
{
    struct core_event e = { .kind = CORE_BOOT };
    struct core_update u;

    e.u.boot.hard = log->hard;
    e.u.boot.first = log->first;
    e.u.boot.last = log->last;
    e.u.boot.last_term = log->last_term;
    e.u.boot.applied = applied;
    e.u.boot.tainted = g->raft->tainted;
    if (applied > log->last)
        return errmsg_set(why, ERR_CORRUPT,
                          "group %llu: the state has entries up to %llu, its log ends at %llu: log and state are not of "
                          "one node, or the log was lost",
                          (unsigned long long)g->number, (unsigned long long)applied,
                          (unsigned long long)log->last);
    if (group_step(g, &e, &u) != 0)
        return errmsg_set(why, ERR_CORRUPT, "group %llu: the log begins at %llu, the state ends at %llu (R7)",
                          (unsigned long long)g->number, (unsigned long long)log->first,
                          (unsigned long long)applied);
    group_carry_out(g, &u);
    return 0;
}

static void group_free(struct raft_group *g)
{
    free(g->core);
    free(g);
}

int raft_group_open(struct raft *r, uint64_t group, unsigned loop, const struct raft_config *config,
                    const struct raft_machine *machine, uint64_t applied_at_open,
                    struct raft_group **out, struct errmsg *why)
{
    struct core_options o = { .self = r->o.node_id, .voter_count = config->voter_count,
                              .election_ms = ENGINE_ELECTION_MS,
                              .uncommitted_bytes_max = r->o.group_uncommitted_bytes_max,
                              .seed = r->o.seed ^ group };
    struct store_group log;
    struct raft_group *g;
    int rv;

    CHECK(loop < r->o.loop_count && config->voter_count <= RAFT_VOTERS_MAX);
    memcpy(o.voters, config->voters, sizeof o.voters);
    rv = store_group_read(r->store, group, &log, why);
    if (rv != 0) return rv;
    g = check_calloc(1, sizeof *g);
    list_init(&g->link);
    list_init(&g->proposals);
    g->raft = r;
    g->loop = &r->loops[loop];
    g->number = group;
    g->machine = *machine;
    g->first = log.first;
    g->last = log.last;
    g->replay_to = log.last;
    g->applied = applied_at_open;
    g->log_bytes = log.bytes;
    g->core = check_calloc(1, core_size());
    rv = core_init(g->core, &o);
    if (rv != 0)
        errmsg_set(why, rv, "group %llu: this version takes one voter, this node", (unsigned long long)group);
    else
        rv = boot(g, &log, applied_at_open, why);
    if (rv != 0) {
        group_free(g);
        return rv;
    }
    list_add(&g->loop->groups, &g->link);
    *out = g;
    return 0;
}

/* ---- closing: the log thread must be done with the proposals' bytes before their owners get them back */

struct barrier {
    struct store_write write;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool passed;
};

static void on_barrier(struct store_write *w)
{
    struct barrier *b = CONTAINER_OF(w, struct barrier, write);

    pthread_mutex_lock(&b->lock);
    b->passed = true;
    pthread_cond_signal(&b->wake);
    pthread_mutex_unlock(&b->lock);
}

static void wait_for_writes(struct raft *r)
{
    struct barrier b = { .write = { .on_done = on_barrier } };

    if (!r->o.dir) return; /* the memory store has no thread */
    pthread_mutex_init(&b.lock, NULL);
    pthread_cond_init(&b.wake, NULL);
    store_submit(r->store, &b.write);
    pthread_mutex_lock(&b.lock);
    while (!b.passed)
        pthread_cond_wait(&b.wake, &b.lock);
    pthread_mutex_unlock(&b.lock);
    pthread_mutex_destroy(&b.lock);
    pthread_cond_destroy(&b.wake);
}

void raft_group_close(struct raft_group **pg)
{
    struct raft_group *g = *pg;
    struct list *it;

    if (!g) return;
    *pg = NULL;
    wait_for_writes(g->raft);
    list_remove(&g->link);
    while ((it = list_take_first(&g->proposals)) != NULL) {
        struct raft_proposal *p = CONTAINER_OF(it, struct raft_proposal, link);

        p->on_done(p, RAFT_UNKNOWN, p->index, p->entry_term);
    }
    group_free(g);
}

/* ---- cutting, reading, seeing */

void raft_group_cut(struct raft_group *g, uint64_t upto)
{
    struct store_op op = { .kind = STORE_CUT };

    CHECK(upto <= g->applied);
    if (upto < g->first) return;
    op.entry.group = g->number;
    op.cut_from = g->first;
    op.cut_to = upto;
    op.cut_term = g->last_update.term;
    engine_add_op(g, &op, 0);
    g->first = upto + 1;
    g->log_bytes = 0;
    g->loop->port.wake(g->loop->port.arg);
}

int raft_entry_read(struct raft *r, uint64_t group, uint64_t index, struct blob **head_out, struct blob **body_out)
{
    return store_entry_read(r->store, group, index, NULL, NULL, head_out, body_out);
}

void raft_group_see(const struct raft_group *g, struct raft_group_view *out)
{
    *out = (struct raft_group_view){ .group = g->number,
                                     .term = g->last_update.term,
                                     .leader = g->last_update.leader,
                                     .first = g->first,
                                     .last = g->last,
                                     .commit = g->commit,
                                     .applied = g->applied,
                                     .role = g->role,
                                     .uncommitted_bytes = g->uncommitted_bytes,
                                     .log_bytes = g->log_bytes };
}
