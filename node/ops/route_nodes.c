/* route_nodes - GET /api/v1/nodes and /api/v1/shards: who is there, and how their logs and queues
 * stand. */
#include <inttypes.h>
#include <stdio.h>

#include "node/ops/inside.h"

/* ---- nodes */

struct certificates_shown {
    json_t *list;
    uint64_t now_ms;
};

static void add_certificate(void *arg, const char *use, const struct tls_certificate *c)
{
    struct certificates_shown *shown = arg;
    json_t *j = json_object();

    json_object_set_new(j, "use", json_string(use));
    json_object_set_new(j, "file", json_of_bytes(span_cstr(c->file)));
    json_object_set_new(j, "names", json_string(c->names));
    json_put_time(j, "not_before", c->not_before_ms);
    json_put_time(j, "not_after", c->not_after_ms);
    json_object_set_new(j, "days_left", json_integer(tls_days_left(c, shown->now_ms)));
    json_object_set_new(j, "sha256", json_string(c->sha256));
    json_object_set_new(j, "spki_sha256", json_string(c->spki_sha256));
    json_object_set_new(j, "chain", json_integer(c->chain_count));
    json_object_set_new(j, "doubt", c->doubt ? json_string(c->doubt) : json_null());
    json_array_append_new(shown->list, j);
}

static json_t *json_of_certificates(const struct ops *ops)
{
    struct certificates_shown shown = { json_array(), loop_wall_ms(ops->o.loop) };

    certificates_each(ops, add_certificate, &shown);
    return shown.list;
}

static json_t *json_of_self(const struct ops *ops)
{
    struct commit *commit = ops->o.commit;
    unsigned leads = 0, shards = 0;
    json_t *j = json_object();

    for (uint32_t i = 1; i <= commit_shard_count(commit); i++) {
        struct commit_shard_view v;

        commit_shard_see(commit, i, &v);
        leads += v.leads;
        shards += v.is_open;
    }
    json_object_set_new(j, "id", json_integer((json_int_t)ops->o.node));
    json_object_set_new(j, "hostname", json_string(ops->settings->node.hostname));
    json_object_set_new(j, "version", json_string(ANGARIUM_VERSION));
    json_object_set_new(j, "format", json_integer(PROTO_FORMAT_VERSION));
    json_object_set_new(j, "state", json_string(ops->draining ? "draining" : "serving"));
    json_put_time(j, "started_at", ops->started_ms);
    json_object_set_new(j, "shards", json_integer(shards));
    json_object_set_new(j, "leads", json_integer(leads));
    json_object_set_new(j, "certificates", json_of_certificates(ops));
    return j;
}

/* How many shards of this node's the other one leads, as far as is known here. */
static unsigned leads_of(struct commit *commit, uint64_t node)
{
    unsigned leads = 0;

    for (uint32_t i = 1; i <= commit_shard_count(commit); i++) {
        struct commit_shard_view v;

        commit_shard_see(commit, i, &v);
        leads += v.is_open && v.raft.leader == node;
    }
    return leads;
}

static unsigned shards_of(const struct control *control, uint64_t node)
{
    unsigned shards = 0;

    for (uint32_t i = 1; i <= control_shard_count(control); i++) {
        const struct control_shard *s = control_shard(control, i);

        for (unsigned k = 0; k < s->voter_count; k++)
            shards += s->voters[k] == node;
    }
    return shards;
}

/* What control knows of a node is put beside what it says of itself. */
static void put_control(json_t *j, const struct ops *ops, const struct control_node *n)
{
    const struct cluster *cluster = ops->o.cluster;

    json_object_set_new(j, "id", json_integer((json_int_t)n->id));
    json_object_set_new(j, "address", json_string(n->address));
    json_object_set_new(j, "zone", json_string(n->zone));
    json_object_set_new(j, "region", json_string(n->region));
    json_object_set_new(j, "up", json_boolean(cluster_is_up(cluster, n->id)));
    json_object_set_new(j, "control",
                        json_string(cluster_leader(cluster) == n->id ? "leader"
                                    : cluster_votes(cluster, n->id)  ? "voter"
                                                                     : "learner"));
    json_put_time(j, "joined_at", n->joined_ms);
    if (n->id == ops->o.node && ops->draining) return;
    json_object_set_new(j, "state", json_string(control_node_state_name(n->state)));
}

static json_t *json_of_other(const struct ops *ops, const struct control_node *n)
{
    const struct control *control = cluster_control(ops->o.cluster);
    json_t *j = json_object();

    json_object_set_new(j, "shards", json_integer(shards_of(control, n->id)));
    json_object_set_new(j, "leads", json_integer(leads_of(ops->o.commit, n->id)));
    put_control(j, ops, n);
    return j;
}

static void add_nodes(const struct ops *ops, json_t *items)
{
    const struct control *control = cluster_control(ops->o.cluster);
    bool is_known = false;

    for (unsigned i = 0; i < control_node_count(control); i++) {
        const struct control_node *n = control_node_at(control, i);
        bool is_self = n->id == ops->o.node;
        json_t *j = is_self ? json_of_self(ops) : json_of_other(ops, n);

        if (is_self) put_control(j, ops, n);
        is_known = is_known || is_self;
        json_array_append_new(items, j);
    }
    if (!is_known) json_array_append_new(items, json_of_self(ops));
}

void route_nodes(struct call *c)
{
    json_t *items = json_array();

    if (c->ops->o.cluster)
        add_nodes(c->ops, items);
    else
        json_array_append_new(items, json_of_self(c->ops));
    call_answer_json(c, 200, json_page(items, NULL));
}

/* ---- shards */

static void put_number(json_t *j, const char *key, uint64_t v)
{
    json_object_set_new(j, key, json_integer((json_int_t)v));
}

static json_t *json_of_shard(const struct commit_shard_view *v)
{
    char digest[20];
    json_t *j = json_object();

    snprintf(digest, sizeof digest, "%016" PRIx64, v->digest);
    put_number(j, "id", v->shard);
    json_object_set_new(j, "leads", json_boolean(v->leads));
    json_object_set_new(j, "role", json_string(raft_role_name(v->raft.role)));
    put_number(j, "leader", v->raft.leader);
    put_number(j, "term", v->raft.term);
    put_number(j, "first", v->raft.first);
    put_number(j, "last", v->raft.last);
    put_number(j, "commit", v->raft.commit);
    put_number(j, "applied", v->raft.applied);
    put_number(j, "cut", v->cut);
    put_number(j, "log_bytes", v->raft.log_bytes);
    put_number(j, "uncommitted_bytes", v->raft.uncommitted_bytes);
    json_object_set_new(j, "digest", json_string(digest));
    json_object_set_new(j, "counts", json_of_counts(&v->counts));
    return j;
}

void route_shards(struct call *c)
{
    json_t *items = json_array();

    for (uint32_t i = 1; i <= commit_shard_count(c->ops->o.commit); i++) {
        struct commit_shard_view v;

        commit_shard_see(c->ops->o.commit, i, &v);
        if (v.is_open) json_array_append_new(items, json_of_shard(&v));
    }
    call_answer_json(c, 200, json_page(items, NULL));
}
