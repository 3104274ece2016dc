/* cluster - the machine of group 0, and who asks it. */
#include <stdlib.h>
#include <string.h>

#include "node/cluster/inside.h"

/* ---- the machine */

static void answer_own(struct cluster *c, uint64_t index, const struct control_answer *answer)
{
    LIST_FOR(it, &c->asks) {
        struct cluster_ask *a = CONTAINER_OF(it, struct cluster_ask, link);

        if (a->proposal.index != index) continue;
        a->answer = *answer;
        a->index = index;
    }
}

static void on_apply(void *arg, const struct raft_entry *entry)
{
    struct cluster *c = arg;
    struct control_answer answer;

    control_apply(c->control, entry->index, entry->head, &answer);
    answer_own(c, entry->index, &answer);
}

static void on_applied(void *arg, uint64_t upto)
{
    struct cluster *c = arg;

    (void)upto;
    tell_peers(c);
    tell_shards(c);
    tell_records(c);
    change_applied(c);
    save_maybe(c);
}

static void on_role(void *arg, enum raft_role role, uint64_t term, uint64_t leader)
{
    struct cluster *c = arg;
    bool leads = role == RAFT_LEADER;

    c->leader = leads ? c->self.node : leader;
    if (leads == c->leads) return;
    c->leads = leads;
    log_event(LOG_INFO, leads ? "control.leads" : "control.follows", LOG_NUM("term", term));
}

/* ---- who asks */

static void end(struct cluster_ask *a, int rv)
{
    list_remove(&a->link);
    a->cluster->ask_count--;
    buf_deinit(&a->head);
    a->on_done(a, rv);
}

static void on_done(struct raft_proposal *p, enum raft_answer answer, uint64_t index, uint64_t term)
{
    struct cluster_ask *a = CONTAINER_OF(p, struct cluster_ask, proposal);

    (void)index, (void)term;
    end(a, answer == RAFT_COMMITTED    ? a->answer.error
           : answer == RAFT_SUPERSEDED ? ERR_SUPERSEDED
                                       : ERR_UNKNOWN);
}

static int send(struct cluster_ask *a)
{
    int rv = raft_propose(a->cluster->group, &a->proposal);

    if (rv == 0) loop_again(a->cluster->o.loop);
    return rv;
}

static int refusal_now(const struct cluster_ask *a)
{
    Angarium__ControlCommand *command = NULL;
    int rv;

    CHECK(control_unpack(buf_span(&a->head), &command) == 0);
    rv = control_refusal(a->cluster->control, command);
    control_command_free(&command);
    return rv;
}

/* This node led when it was asked, and all that was committed by then is applied: what refuses it now is no old state. */
static void on_weighed(struct cluster_barrier *b, int rv)
{
    struct cluster_ask *a = CONTAINER_OF(b, struct cluster_ask, barrier);

    if (rv == 0)
        rv = a->answer.error = refusal_now(a);
    else
        rv = ERR_NOT_LEADER;
    if (rv == 0) rv = send(a);
    if (rv != 0) end(a, rv);
}

int change_propose(struct cluster *c, struct cluster_ask *a,
                   const Angarium__ControlCommand *command)
{
    int rv;

    if (!c->leads) return ERR_NOT_LEADER;
    if (c->ask_count == CLUSTER_ASKS_MAX) return ERR_FULL;
    buf_init(&a->head, CONTROL_COMMAND_SIZE_MAX);
    rv = control_pack(command, &a->head);
    a->cluster = c;
    a->index = 0;
    a->answer = (struct control_answer){ 0 };
    a->proposal = (struct raft_proposal){ .head = buf_span(&a->head), .on_done = on_done };
    a->barrier.on_done = on_weighed;
    list_init(&a->link);
    if (rv == 0)
        rv = control_refusal(c->control, command) != 0 ? cluster_wait(c, &a->barrier) : send(a);
    if (rv != 0) {
        buf_deinit(&a->head);
        return rv;
    }
    list_add(&c->asks, &a->link);
    c->ask_count++;
    return 0;
}

static void on_read(struct raft_read *read, int rv)
{
    struct cluster_barrier *b = CONTAINER_OF(read, struct cluster_barrier, read);

    b->on_done(b, rv);
}

int cluster_wait(struct cluster *c, struct cluster_barrier *b)
{
    int rv;

    if (!c->leads) return ERR_NOT_LEADER;
    b->read = (struct raft_read){ .on_done = on_read };
    list_init(&b->read.link);
    rv = raft_group_read(c->group, &b->read);
    if (rv == 0) loop_again(c->o.loop);
    return rv;
}

int cluster_propose(struct cluster *c, struct cluster_ask *a,
                    const Angarium__ControlCommand *command)
{
    if (c->closing) return ERR_CLOSED;
    return c->leads ? change_propose(c, a, command) : change_ask(c, a, command);
}

/* ---- opening */

/* Its voters when this node came: a log that knows better wins. */
static struct core_config first_config(const struct cluster *c)
{
    uint64_t voters[CORE_VOTERS_MAX];
    unsigned count = 0;

    for (unsigned i = 0; i < c->self.peer_count && count < CORE_VOTERS_MAX; i++)
        if (c->self.peers[i].votes) voters[count++] = c->self.peers[i].node;
    return raft_config_of(voters, count);
}

static int open_group(struct cluster *c, struct errmsg *why)
{
    const struct raft_machine machine = { .arg = c,
                                          .apply = on_apply,
                                          .applied = on_applied,
                                          .role = on_role,
                                          .snapshot = save_snapshot_calls(),
                                          .members_max = CONTROL_NODES_MAX };
    struct core_config config = first_config(c);

    if (config.count == 0)
        return errmsg_set(why, ERR_CORRUPT, "%s/cluster: names no voter of group 0", c->dir);
    return raft_group_open(c->o.raft, CLUSTER_GROUP, loop_number(c->o.loop), &config, &machine,
                           control_applied(c->control), &c->group, why);
}

int cluster_open(struct cluster **out, const struct cluster_options *o, struct errmsg *why)
{
    struct cluster *c = check_calloc(1, sizeof *c);
    int rv;

    CHECK(loop_number(o->loop) == 0);
    c->o = *o;
    c->self = *o->self;
    c->is_removed = c->self.removed;
    c->dir = check_strdup(o->dir);
    c->control = control_new();
    list_init(&c->asks);
    list_init(&c->away);
    list_init(&c->behind);
    list_init(&c->reports);
    buf_init(&c->incoming, CONTROL_STATE_SIZE_MAX);
    buf_init(&c->saved, CONTROL_STATE_SIZE_MAX);
    rv = save_load(c, why);
    if (rv != 0) return rv; /* the process ends */
    c->told_records = save_records_mark(c);
    tell_peers(c);
    rv = open_group(c, why);
    if (rv != 0) return rv;
    tell_shards(c);
    keep_open(c);
    *out = c;
    return 0;
}

void cluster_close(struct cluster **pc)
{
    struct cluster *c = *pc;

    if (!c) return;
    *pc = NULL;
    c->closing = true;
    keep_close(c);
    raft_group_close(&c->group); /* answers who asked */
    change_close(c);
    CHECK(list_empty(&c->asks));
    control_free(&c->control);
    buf_deinit(&c->saved);
    buf_deinit(&c->incoming);
    free(c->dir);
    free(c);
}

/* ---- seeing */

const struct control *cluster_control(const struct cluster *c)
{
    return c->control;
}

void cluster_hear_removed(struct cluster *c, uint64_t by)
{
    if (c->self.removed) wire_forget(c->o.wire, by); /* until then it is to say so again */
    if (c->is_removed) return;
    c->is_removed = true;
    tell_shards(c);
    save_maybe(c);
}

bool cluster_is_removed(const struct cluster *c)
{
    const struct control_node *n = control_node(c->control, c->self.node);

    return c->is_removed || (n && n->state == CONTROL_GONE);
}

bool cluster_leads(const struct cluster *c)
{
    return c->leads;
}

uint64_t cluster_leader(const struct cluster *c)
{
    return c->leader;
}

uint64_t cluster_term(const struct cluster *c)
{
    struct raft_group_view v;

    raft_group_see(c->group, &v);
    return v.term;
}

bool cluster_is_up(const struct cluster *c, uint64_t node)
{
    struct raft_peer_view v;

    if (node == c->self.node) return true;
    return raft_peer_see(c->o.raft, node, &v) && v.up && v.lanes[WIRE_LOG];
}

bool cluster_votes(const struct cluster *c, uint64_t node)
{
    const struct core_config *g = raft_group_config(c->group);

    for (unsigned i = 0; i < g->count; i++)
        if (g->members[i].node == node) return (g->members[i].flags & CORE_VOTES_NEW) != 0;
    return false;
}
