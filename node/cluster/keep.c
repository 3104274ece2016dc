/* keep - where group 0 leads: it begins the cluster, sees to the members of group 0 (members.c), and does what is planned
 * (control_plan), one thing at a time. What fails is planned again.
 */
#include <string.h>

#include "node/cluster/inside.h"

/* ---- steps */

static void on_step(struct cluster_ask *a, int rv)
{
    struct cluster *c = CONTAINER_OF(a, struct cluster, step);

    c->step_out = false;
    if (rv != 0)
        log_event(LOG_WARN, "control.step_failed", LOG_TEXT("error", err_name(rv)));
    else if (!c->closing)
        loop_timer_start(&c->timer, 0);
}

static void take_step(struct cluster *c, Angarium__ControlCommand *command)
{
    command->time_ms = loop_wall_ms(c->o.loop);
    c->step.on_done = on_step;
    c->step_out = cluster_propose(c, &c->step, command) == 0;
}

static void begin_cluster(struct cluster *c)
{
    Angarium__ControlCommand command = ANGARIUM__CONTROL_COMMAND__INIT;
    Angarium__ControlBorn born = ANGARIUM__CONTROL_BORN__INIT;

    born.cluster = proto_bytes(span_of(c->self.cluster, sizeof c->self.cluster));
    born.shards_per_node = c->o.shards_per_node;
    born.replicas = c->o.replicas;
    born.spread = c->o.spread;
    born.format = c->self.format;
    command.kind_case = ANGARIUM__CONTROL_COMMAND__KIND_BORN;
    command.born = &born;
    take_step(c, &command);
}

void keep_fill_self(const struct cluster *c, Angarium__ControlNode *n)
{
    n->id = c->self.node;
    n->uuid = proto_bytes(span_cstr(c->self.uuid));
    n->address = proto_bytes(span_cstr(c->o.address));
    n->zone = proto_bytes(span_cstr(c->o.zone));
    n->region = proto_bytes(span_cstr(c->o.region));
}

static void join_self(struct cluster *c)
{
    Angarium__ControlCommand command = ANGARIUM__CONTROL_COMMAND__INIT;
    Angarium__ControlJoin join = ANGARIUM__CONTROL_JOIN__INIT;
    Angarium__ControlNode self = ANGARIUM__CONTROL_NODE__INIT;

    keep_fill_self(c, &self);
    join.node = &self;
    command.kind_case = ANGARIUM__CONTROL_COMMAND__KIND_JOIN;
    command.join = &join;
    take_step(c, &command);
}

/* Where another node is, as far as control knows, it does not go, and tells so once: all else goes on, and one of the two has to be
 * given another address. */
static bool may_move(struct cluster *c)
{
    bool taken = control_address_taken(c->control, c->self.node, c->o.address);

    if (taken && !c->move_refused)
        log_event(LOG_ERROR, "cluster.address_taken", LOG_TEXT("address", c->o.address),
                  LOG_TEXT("help", "another node of the cluster has it: correct cluster.address of one of them, or "
                                   "remove the other one if it is gone"));
    c->move_refused = taken;
    return !taken;
}

static bool has_moved(const struct cluster *c)
{
    const struct control_node *n = control_node(c->control, c->self.node);

    return n && (strcmp(n->address, c->o.address) != 0 || strcmp(n->zone, c->o.zone) != 0 ||
                 strcmp(n->region, c->o.region) != 0);
}

static void move_self(struct cluster *c)
{
    Angarium__ControlCommand command = ANGARIUM__CONTROL_COMMAND__INIT;
    Angarium__ControlMove move = ANGARIUM__CONTROL_MOVE__INIT;
    Angarium__ControlNode self = ANGARIUM__CONTROL_NODE__INIT;

    keep_fill_self(c, &self);
    move.node = &self;
    command.kind_case = ANGARIUM__CONTROL_COMMAND__KIND_MOVE;
    command.move = &move;
    take_step(c, &command);
}

static void do_planned(struct cluster *c, const struct control_step *step)
{
    Angarium__ControlCommand command = ANGARIUM__CONTROL_COMMAND__INIT;
    Angarium__ControlNodeState state = ANGARIUM__CONTROL_NODE_STATE__INIT;
    Angarium__ControlPlace place = ANGARIUM__CONTROL_PLACE__INIT;
    Angarium__ControlCreate create = ANGARIUM__CONTROL_CREATE__INIT;

    state.id = step->node;
    state.state = CONTROL_SERVING;
    state.was = CONTROL_JOINING;
    place.shard = step->shard;
    place.version = step->version;
    place.voters = create.voters = (uint64_t *)(uintptr_t)step->voters;
    place.n_voters = create.n_voters = step->voter_count;
    create.spread = step->spread;
    if (step->kind == CONTROL_SERVE) {
        command.kind_case = ANGARIUM__CONTROL_COMMAND__KIND_NODE_STATE;
        command.node_state = &state;
    } else if (step->kind == CONTROL_PLACE) {
        command.kind_case = ANGARIUM__CONTROL_COMMAND__KIND_PLACE;
        command.place = &place;
    } else {
        command.kind_case = ANGARIUM__CONTROL_COMMAND__KIND_CREATE;
        command.create = &create;
    }
    take_step(c, &command);
}

static void tell_import_refused(struct cluster *c)
{
    if (c->import_refused) return;
    c->import_refused = true;
    log_event(LOG_ERROR, "control.import_refused", LOG_NUM("records", c->o.import_count),
              LOG_TEXT("help", "the lists of the settings file are too large for one import: take "
                               "some out, start the node again, and put them in with `angarium "
                               "cluster import FILE`"));
}

/* The records begin with what this node's settings file says. */
static void import_records(struct cluster *c)
{
    Angarium__ControlCommand command = ANGARIUM__CONTROL_COMMAND__INIT;
    Angarium__ControlImport import = ANGARIUM__CONTROL_IMPORT__INIT;

    import.records = c->o.import;
    import.n_records = c->o.import_count;
    command.kind_case = ANGARIUM__CONTROL_COMMAND__KIND_IMPORT;
    command.import = &import;
    if (angarium__control_import__get_packed_size(&import) < CONTROL_COMMAND_SIZE_MAX - 64)
        take_step(c, &command);
    else
        tell_import_refused(c);
}

struct control_up cluster_up(const struct cluster *c)
{
    unsigned count = control_node_count(c->control);
    struct control_up up = { 0 };

    for (unsigned i = 0; i < count; i++) {
        uint64_t id = control_node_at(c->control, i)->id;

        if (cluster_is_up(c, id)) up.nodes[up.count++] = id;
    }
    return up;
}

static bool all_up(const struct cluster *c)
{
    for (unsigned i = 0; i < control_node_count(c->control); i++) {
        const struct control_node *n = control_node_at(c->control, i);

        if (n->state != CONTROL_GONE && !cluster_is_up(c, n->id)) return false;
    }
    return control_node_count(c->control) > 0;
}

bool cluster_is_settled(const struct cluster *c)
{
    struct control_up up = cluster_up(c);
    struct control_step step;

    for (uint32_t i = 1; i <= control_shard_count(c->control); i++) {
        const struct control_shard *s = control_shard(c->control, i);

        if (s->state != CONTROL_CLOSED && control_moves(s)) return false;
    }
    return control_is_configured(c->control) && all_up(c) &&
           !control_plan(c->control, &up, &step, NULL);
}

static void next_step(struct cluster *c)
{
    struct control_up up = cluster_up(c);
    struct control_step step;

    if (!control_is_born(c->control))
        begin_cluster(c);
    else if (control_node_count(c->control) == 0)
        join_self(c);
    else if (has_moved(c) && may_move(c))
        move_self(c);
    else if (!control_is_configured(c->control))
        import_records(c);
    else if (control_plan(c->control, &up, &step, &c->waits))
        do_planned(c, &step);
}

static void on_timer(struct loop_timer *t)
{
    struct cluster *c = CONTAINER_OF(t, struct cluster, timer);

    loop_timer_start(t, KEEP_EVERY_MS);
    change_tick(c);
    if (!save_knows_self(c)) save_maybe(c);
    tell_removed(c);
    if (!c->leads) return;
    members_see_to(c);
    if (!c->step_out) next_step(c);
}

const char *cluster_waits(const struct cluster *c)
{
    return c->leads ? c->waits.text : "";
}

void keep_open(struct cluster *c)
{
    loop_timer_init(&c->timer, c->o.loop, on_timer);
    loop_timer_start(&c->timer, 0);
}

void keep_close(struct cluster *c)
{
    loop_timer_stop(&c->timer);
}
