/* route_nodes - GET /api/v1/nodes and /api/v1/shards: who is there, and how their logs and queues
 * stand. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "node/ops/question.h"

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
    json_object_set_new(j, "to_remove", json_integer(commit_vacating(commit)));
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
    /* What has moved away may be open there yet: it counts no more. */
    json_object_set_new(j, "shards", json_integer(control_held(cluster_control(cluster), n->id)));
    if (n->id == ops->o.node && ops->draining) return;
    json_object_set_new(j, "state", json_string(control_node_state_name(n->state)));
}

void node_read(struct reading *r)
{
    r->json = json_of_self(r->ops);
}

/* What the node said of itself; else what is known of it without. A new reference. */
static json_t *said_by(const struct ops *ops, uint64_t id, json_t *const *answers, unsigned count)
{
    json_t *j;

    for (unsigned i = 0; i < count; i++)
        if (json_integer_value(json_object_get(answers[i], "id")) == (json_int_t)id)
            return json_incref(answers[i]);
    j = json_object();
    json_object_set_new(j, "leads", json_integer(leads_of(ops->o.commit, id)));
    return j;
}

json_t *nodes_page(const struct ops *ops, json_t *const *answers, unsigned count)
{
    const struct control *control = ops->o.cluster ? cluster_control(ops->o.cluster) : NULL;
    json_t *items = json_array();

    for (unsigned i = 0; control && i < control_node_count(control); i++) {
        const struct control_node *n = control_node_at(control, i);
        json_t *j = said_by(ops, n->id, answers, count);

        put_control(j, ops, n);
        json_array_append_new(items, j);
    }
    for (unsigned i = 0; i < count; i++) {
        json_int_t id = json_integer_value(json_object_get(answers[i], "id"));

        if (!control || !control_node(control, (uint64_t)id)) json_array_append(items, answers[i]);
    }
    return json_page(items, NULL);
}

void route_nodes(struct call *c)
{
    struct question q = { .kind = QUESTION_NODE };

    if (!query_shards(c, &q)) return;
    q.shard_count = 0;
    query_run(c, &q);
}

/* ---- shards */

static void put_number(json_t *j, const char *key, uint64_t v)
{
    json_object_set_new(j, key, json_integer((json_int_t)v));
}

static json_t *json_of_shard(const struct commit_shard_view *v, uint64_t node)
{
    char digest[20];
    json_t *j = json_object();

    snprintf(digest, sizeof digest, "%016" PRIx64, v->digest);
    put_number(j, "id", v->shard);
    put_number(j, "node", node); /* that says so */
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

void shards_read(struct reading *r)
{
    json_t *items = json_array();

    for (unsigned i = 0; i < r->q->shard_count; i++) {
        struct commit_shard_view v;

        commit_shard_see(r->ops->o.commit, r->q->shards[i], &v);
        if (v.is_open) json_array_append_new(items, json_of_shard(&v, r->ops->o.node));
    }
    r->json = json_page(items, NULL);
}

static int compare_ids(const void *a, const void *b)
{
    const json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;
    json_int_t i = json_integer_value(json_object_get(x, "id")),
               k = json_integer_value(json_object_get(y, "id"));

    return i < k ? -1 : i > k;
}

json_t *shards_page(json_t *const *answers, unsigned count)
{
    json_t *all[QUESTION_SHARDS_MAX], *items = json_array(), *item;
    size_t n = 0, k;

    for (unsigned i = 0; i < count; i++)
        json_array_foreach(json_object_get(answers[i], "items"), k, item)
        {
            if (n < QUESTION_SHARDS_MAX) all[n++] = item;
        }
    if (n > 0) qsort(all, n, sizeof *all, compare_ids);
    for (size_t i = 0; i < n; i++)
        json_array_append(items, all[i]);
    return json_page(items, NULL);
}

void route_shards(struct call *c)
{
    struct question q = { .kind = QUESTION_SHARDS };

    if (query_shards(c, &q)) query_run(c, &q);
}
