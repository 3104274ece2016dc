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
    json_object_set_new(j, "hostname", json_string(ops_settings(ops)->node.hostname));
    json_object_set_new(j, "version", json_string(ANGARIUM_VERSION));
    json_object_set_new(j, "format", json_integer(PROTO_FORMAT_VERSION));
    json_object_set_new(j, "state", json_string(ops->draining ? "draining" : "serving"));
    json_put_time(j, "started_at", ops->started_ms);
    json_object_set_new(j, "shards", json_integer(shards));
    json_object_set_new(j, "leads", json_integer(leads));
    json_object_set_new(j, "certificates", json_of_certificates(ops));
    return j;
}

void route_nodes(struct call *c)
{
    json_t *items = json_array();

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
