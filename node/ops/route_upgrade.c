/* route_upgrade - GET /api/v1/upgrade: which format is in force and who knows which. POST /api/v1/upgrade/finalize: the newest one that
 * all know is in force from now on, for good: programs that do not know it are refused. An entry of control's log; any node
 * takes it there. */
#include <stdlib.h>

#include "node/ops/inside.h"
#include "proto/ground/check.h"

struct finalizing {
    struct cluster_ask ask;
    struct call *call; /* NULL: nobody waits for the answer any more */
};

static bool is_clustered(struct call *c)
{
    if (c->ops->o.cluster) return true;
    call_answer_problem(c, PROBLEM_ALONE,
                        "a node that is alone writes the newest format that it knows (%u)",
                        PROTO_FORMAT_VERSION);
    return false;
}

static json_t *json_of_nodes(const struct cluster *cluster)
{
    const struct control *control = cluster_control(cluster);
    json_t *nodes = json_array();

    for (unsigned i = 0; i < control_node_count(control); i++) {
        const struct control_node *n = control_node_at(control, i);
        uint32_t knows = cluster_knows(cluster, n->id);

        if (n->state == CONTROL_GONE) continue;
        json_array_append_new(nodes, json_pack("{s:I, s:b, s:o}", "id", (json_int_t)n->id, "up",
                                               (int)cluster_is_up(cluster, n->id), "known",
                                               knows ? json_integer(knows) : json_null()));
    }
    return nodes;
}

static void answer_state(struct call *c)
{
    const struct cluster *cluster = c->ops->o.cluster;
    struct errmsg why = { "" };
    bool may = cluster_may_finalize(cluster, &why) == 0;

    call_answer_json(
        c, 200,
        json_pack("{s:I, s:I, s:b, s:o, s:o}", "format",
                  (json_int_t)control_format(cluster_control(cluster)), "known",
                  (json_int_t)PROTO_FORMAT_VERSION, "may_finalize", (int)may, "why",
                  may ? json_null() : json_string(why.text), "nodes", json_of_nodes(cluster)));
}

void route_upgrade(struct call *c)
{
    if (is_clustered(c)) answer_state(c);
}

static void refuse(struct call *c, int rv)
{
    uint64_t leader = cluster_leader(c->ops->o.cluster);

    if (rv == ERR_NOT_LEADER && leader != 0)
        call_answer_problem(c, PROBLEM_NO_QUORUM, "node %llu leads the cluster's control; ask it",
                            (unsigned long long)leader);
    else
        call_answer_problem(c, problem_of(rv), "%s", err_text(rv));
}

static void on_finalized(struct cluster_ask *ask, int rv)
{
    struct finalizing *f = CONTAINER_OF(ask, struct finalizing, ask);
    struct call *c = f->call;

    free(f);
    if (!c) return;
    c->abandon = NULL;
    c->more = NULL;
    if (rv == 0 || rv == ERR_EXISTS)
        answer_state(c);
    else
        refuse(c, rv);
}

static void abandon(struct call *c)
{
    struct finalizing *f = c->more;

    f->call = NULL;
    c->more = NULL;
    call_answer_problem(c, PROBLEM_CLOSING, "the node is shutting down");
}

static void finalize(struct call *c)
{
    Angarium__ControlCommand command = ANGARIUM__CONTROL_COMMAND__INIT;
    Angarium__ControlFormat format = ANGARIUM__CONTROL_FORMAT__INIT;
    struct finalizing *f = check_calloc(1, sizeof *f);
    int rv;

    format.was = control_format(cluster_control(c->ops->o.cluster));
    format.format = PROTO_FORMAT_VERSION;
    command.time_ms = loop_wall_ms(c->ops->o.loop);
    command.kind_case = ANGARIUM__CONTROL_COMMAND__KIND_FORMAT;
    command.format = &format;
    f->ask.on_done = on_finalized;
    f->call = c;
    rv = cluster_propose(c->ops->o.cluster, &f->ask, &command);
    if (rv != 0) {
        free(f);
        refuse(c, rv);
        return;
    }
    c->more = f;
    c->abandon = abandon;
}

void route_finalize(struct call *c)
{
    struct errmsg why = { "" };
    char dry[8];
    int rv;

    if (!is_clustered(c)) return;
    rv = cluster_may_finalize(c->ops->o.cluster, &why);
    call_take_query(c, "dry_run", dry, sizeof dry);
    if (rv == ERR_EXISTS)
        call_answer_problem(c, PROBLEM_NOTHING_TO_DO, "%s", why.text);
    else if (rv != 0)
        call_answer_problem(c, PROBLEM_UNSAFE, "%s", why.text);
    else if (dry[0])
        answer_state(c);
    else
        finalize(c);
}
