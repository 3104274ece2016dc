/* route_region - GET /api/v1/regions: where nodes and what they hold are. POST /api/v1/regions/{id}/drain: everything moves away. */
#include <stdio.h>
#include <string.h>

#include "node/ops/change.h"

struct region {
    const char *name;
    unsigned nodes, up, serving, held, led;
};

static void count(struct region *r, const struct cluster *cluster, const struct control_node *n)
{
    const struct control *control = cluster_control(cluster);

    r->nodes++;
    r->up += cluster_is_up(cluster, n->id);
    r->serving += n->state == CONTROL_SERVING;
    r->held += control_held(control, n->id);
    r->led += control_led(control, n->id);
}

static struct region look_at(const struct cluster *cluster, const char *name)
{
    const struct control *control = cluster_control(cluster);
    struct region r = { .name = name };

    for (unsigned i = 0; i < control_node_count(control); i++) {
        const struct control_node *n = control_node_at(control, i);

        if (n->state != CONTROL_GONE && strcmp(n->region, name) == 0) count(&r, cluster, n);
    }
    return r;
}

/* Node i is the first one that names its region. */
static bool is_first(const struct control *c, unsigned i)
{
    for (unsigned k = 0; k < i; k++)
        if (control_node_at(c, k)->state != CONTROL_GONE &&
            strcmp(control_node_at(c, k)->region, control_node_at(c, i)->region) == 0)
            return false;
    return control_node_at(c, i)->state != CONTROL_GONE;
}

void route_regions(struct call *c)
{
    const struct control *control;
    json_t *items;

    if (!change_is_clustered(c)) return;
    control = cluster_control(c->ops->o.cluster);
    items = json_array();
    for (unsigned i = 0; i < control_node_count(control); i++) {
        struct region r;

        if (!is_first(control, i)) continue;
        r = look_at(c->ops->o.cluster, control_node_at(control, i)->region);
        json_array_append_new(
            items, json_pack("{s:s, s:I, s:I, s:I, s:I, s:I}", "region", r.name, "nodes",
                             (json_int_t)r.nodes, "up", (json_int_t)r.up, "serving",
                             (json_int_t)r.serving, "replicas", (json_int_t)r.held, "leads",
                             (json_int_t)r.led));
    }
    call_answer_json(c, 200, json_page(items, NULL));
}

void route_drain_region(struct call *c)
{
    const struct cluster *cluster = c->ops->o.cluster;
    Angarium__ControlCommand command = ANGARIUM__CONTROL_COMMAND__INIT;
    Angarium__ControlRegionDrain drain = ANGARIUM__CONTROL_REGION_DRAIN__INIT;
    char operation[CHANGE_OPERATION_SIZE];
    struct errmsg why = { "" };
    struct control_up up;
    json_t *does;
    int rv;

    if (!change_is_clustered(c) ||
        !change_is_written(c, PROTO_ADDED_REGION_DRAIN, "draining a region"))
        return;
    up = cluster_up(cluster);
    rv = control_may_drain_region(cluster_control(cluster), &up, c->param, &why);
    snprintf(operation, sizeof operation, "drain-region-%.*s", (int)CONTROL_PLACE_SIZE_MAX,
             c->param);
    if (!change_goes_on(c, rv, &why, operation)) return;
    does = json_array();
    change_says(does, "the nodes of region %s get nothing new, and what they hold moves away",
                c->param);
    drain.region = proto_bytes(span_cstr(c->param));
    command.kind_case = ANGARIUM__CONTROL_COMMAND__KIND_REGION_DRAIN;
    command.region_drain = &drain;
    change_plays(c, &command, does);
    if (change_take_flag(c, "dry_run"))
        change_answer_now(c, change_answer(operation, does, true));
    else
        change_send(c, &command, change_answer(operation, does, false), NULL);
}
