/* route_node - GET /api/v1/nodes/{id}, and its verbs: cordon, uncordon, drain, remove, promote. */
#include <stdio.h>

#include "node/ops/change.h"

typedef unsigned long long ull;

/* ---- seeing */

static json_t *json_of_node(const struct ops *ops, const struct control_node *n)
{
    const struct cluster *cluster = ops->o.cluster;
    const struct control *control = cluster_control(cluster);
    json_t *j = json_object(), *shards = json_array();

    for (uint32_t i = 1; i <= control_shard_count(control); i++)
        if (control_holds(control_shard(control, i), n->id))
            json_array_append_new(shards, json_integer(i));
    json_object_set_new(j, "id", json_integer((json_int_t)n->id));
    json_object_set_new(j, "state", json_string(control_node_state_name(n->state)));
    json_object_set_new(j, "up", json_boolean(cluster_is_up(cluster, n->id)));
    json_object_set_new(j, "address", json_string(n->address));
    json_object_set_new(j, "zone", json_string(n->zone));
    json_object_set_new(j, "region", json_string(n->region));
    json_object_set_new(j, "uuid", json_string(n->uuid));
    json_object_set_new(j, "promoted", json_boolean(n->promoted));
    json_object_set_new(j, "control",
                        json_string(cluster_leader(cluster) == n->id ? "leader"
                                    : cluster_votes(cluster, n->id)  ? "voter"
                                                                     : "learner"));
    json_put_time(j, "joined_at", n->joined_ms);
    json_object_set_new(j, "holds", shards);
    json_object_set_new(j, "first_of", json_integer(control_led(control, n->id)));
    return j;
}

void route_node(struct call *c)
{
    const struct control_node *n;
    uint64_t id;

    if (!change_is_clustered(c) || !change_take_number(c, &id)) return;
    n = control_node(cluster_control(c->ops->o.cluster), id);
    if (n)
        call_answer_json(c, 200, json_of_node(c->ops, n));
    else
        call_answer_problem(c, PROBLEM_NOT_FOUND, "there is no node %llu", (ull)id);
}

/* ---- verbs */

static void send_state(struct call *c, uint64_t node, enum control_node_state to, bool force,
                       const char *operation, json_t *does)
{
    Angarium__ControlCommand command = ANGARIUM__CONTROL_COMMAND__INIT;
    Angarium__ControlNodeState state = ANGARIUM__CONTROL_NODE_STATE__INIT;
    const struct control_node *n = control_node(cluster_control(c->ops->o.cluster), node);
    bool dry = change_take_flag(c, "dry_run");

    state.id = node;
    state.state = to;
    state.was = n->state;
    state.force = force;
    command.kind_case = ANGARIUM__CONTROL_COMMAND__KIND_NODE_STATE;
    command.node_state = &state;
    change_plays(c, &command, does);
    if (dry)
        change_answer_now(c, change_answer(operation, does, true));
    else
        change_send(c, &command, change_answer(operation, does, false), NULL);
}

static bool begin(struct call *c, uint64_t *node)
{
    return change_is_clustered(c) && change_take_number(c, node);
}

void route_cordon(struct call *c)
{
    struct errmsg why = { "" };
    json_t *does;
    uint64_t node;

    if (!begin(c, &node)) return;
    if (!change_goes_on(c, control_may_cordon(cluster_control(c->ops->o.cluster), node, &why), &why,
                        NULL))
        return;
    does = json_array();
    change_says(does, "node %llu gets no new mail, shards or leaderships, and keeps what it has",
                (ull)node);
    send_state(c, node, CONTROL_CORDONED, false, NULL, does);
}

void route_uncordon(struct call *c)
{
    struct errmsg why = { "" };
    json_t *does;
    uint64_t node;

    if (!begin(c, &node)) return;
    if (!change_goes_on(c, control_may_uncordon(cluster_control(c->ops->o.cluster), node, &why),
                        &why, NULL))
        return;
    does = json_array();
    change_says(does, "node %llu serves again: it gets replicas and leaderships", (ull)node);
    send_state(c, node, CONTROL_SERVING, false, NULL, does);
}

void route_drain(struct call *c)
{
    const struct cluster *cluster = c->ops->o.cluster;
    struct errmsg why = { "" };
    char operation[40];
    struct control_up up;
    json_t *does;
    uint64_t node;
    int rv;

    if (!begin(c, &node)) return;
    up = cluster_up(cluster);
    snprintf(operation, sizeof operation, "drain-%llu", (ull)node);
    rv = control_may_drain(cluster_control(cluster), &up, node, &why);
    if (!change_goes_on(c, rv, &why, operation)) return;
    does = json_array();
    change_says(does,
                "node %llu gets nothing new, and what it holds moves away, %u shards at a time",
                (ull)node, CONTROL_MOVES_MAX);
    send_state(c, node, CONTROL_DRAINING, false, operation, does);
}

void route_remove(struct call *c)
{
    const struct cluster *cluster = c->ops->o.cluster;
    bool force = change_take_flag(c, "force");
    struct errmsg why = { "" };
    struct control_up up;
    json_t *does;
    uint64_t node;
    int rv;

    if (!begin(c, &node)) return;
    up = cluster_up(cluster);
    rv = control_may_remove(cluster_control(cluster), &up, node, force, &why);
    if (rv == 0 && !cluster_spares(cluster, node))
        rv =
            errmsg_set(&why, ERR_BUSY, "without node %llu control would have no quorum", (ull)node);
    if (!change_may(c, rv, &why)) return;
    does = json_array();
    change_says(does, "node %llu is gone for ever: neither its number nor its disk comes back",
                (ull)node);
    send_state(c, node, CONTROL_GONE, force, NULL, does);
}

void route_promote(struct call *c)
{
    const struct cluster *cluster = c->ops->o.cluster;
    Angarium__ControlCommand command = ANGARIUM__CONTROL_COMMAND__INIT;
    Angarium__ControlPromote promote = ANGARIUM__CONTROL_PROMOTE__INIT;
    struct errmsg why = { "" };
    struct control_up up;
    json_t *does;
    uint64_t node;

    if (!begin(c, &node)) return;
    up = cluster_up(cluster);
    if (!change_goes_on(c, control_may_promote(cluster_control(cluster), &up, node, &why), &why,
                        NULL))
        return;
    does = json_array();
    change_says(does, "node %llu votes in control before others do", (ull)node);
    promote.id = node;
    promote.promoted = true;
    command.kind_case = ANGARIUM__CONTROL_COMMAND__KIND_PROMOTE;
    command.promote = &promote;
    if (change_take_flag(c, "dry_run"))
        change_answer_now(c, change_answer(NULL, does, true));
    else
        change_send(c, &command, change_answer(NULL, does, false), NULL);
}
