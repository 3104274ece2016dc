/* route_message - GET /api/v1/messages/{id} and its /events: a message as it stands, and its whole
 * story. */
#include "node/ops/inside.h"

/* ---- as it stands */

static json_t *json_of_origin(const Angarium__Origin *o)
{
    json_t *j = json_object();

    if (!o) return j;
    json_put_bytes(j, "protocol", proto_span(o->protocol));
    json_put_bytes(j, "tenant", proto_span(o->tenant));
    json_put_bytes(j, "credential", proto_span(o->credential));
    json_put_bytes(j, "client_address", proto_span(o->client_address));
    if (o->client_port > 0) json_object_set_new(j, "client_port", json_integer(o->client_port));
    json_put_bytes(j, "helo", proto_span(o->helo));
    json_put_bytes(j, "tls", proto_span(o->tls));
    json_put_bytes(j, "listener", proto_span(o->listener));
    json_put_bytes(j, "session", proto_span(o->session));
    json_put_bytes(j, "hostname", proto_span(o->hostname));
    json_object_set_new(j, "node", json_integer((json_int_t)o->node));
    return j;
}

static json_t *json_of_recipients(const struct call *c, uint32_t count)
{
    struct queue_store *store = commit_store(c->ops->o.commit);
    json_t *list = json_array();

    for (uint32_t i = 0; i < count; i++) {
        Angarium__RecipientRecord *r = NULL;

        if (queue_recipient_get(store, proto_id_shard(c->id), proto_id_index(c->id), i, &r) != 0)
            continue;
        json_array_append_new(list, json_of_recipient(i, r));
        queue_recipient_free(&r);
    }
    return list;
}

static json_t *json_of_message(const struct call *c, const Angarium__MessageRecord *m)
{
    uint32_t shard = proto_id_shard(c->id);
    json_t *j = json_object();

    json_put_id(j, "id", c->id);
    json_put_time(j, "accepted_at", m->accepted_at_ms);
    json_put_time(j, "expires_at", m->expires_at_ms);
    json_put_time(j, "finished_at", m->finished_at_ms);
    json_object_set_new(j, "mail_from", json_of_bytes(proto_span(m->mail_from)));
    json_object_set_new(j, "size", json_integer(m->body ? (json_int_t)m->body->size : 0));
    json_object_set_new(j, "pending", json_integer(m->pending_count));
    json_object_set_new(j, "body_kept", json_boolean(!m->body_gone));
    if (m->bounce_of > 0)
        json_put_id(j, "bounce_of", proto_id(shard, proto_id_index(m->bounce_of)));
    json_object_set_new(j, "origin", json_of_origin(m->origin));
    json_object_set_new(j, "recipients", json_of_recipients(c, m->recipient_count));
    return j;
}

static void read_message(struct call *c)
{
    Angarium__MessageRecord *m = NULL;
    int rv = queue_message_get(commit_store(c->ops->o.commit), proto_id_shard(c->id),
                               proto_id_index(c->id), &m);

    if (rv != 0) {
        call_fail(c, problem_of(rv), "there is no message %s (any more)", c->param);
        return;
    }
    c->json = json_of_message(c, m);
    queue_message_free(&m);
}

void route_message(struct call *c)
{
    if (call_take_id(c)) call_on_disk(c, read_message);
}

/* ---- its story */

struct story {
    struct call *call;
    json_t *items;
};

static bool on_event(void *arg, uint64_t entry, uint32_t number, const Angarium__Event *e)
{
    struct story *s = arg;

    json_array_append_new(s->items, json_of_event(proto_id_shard(s->call->id), entry, number, e));
    return json_array_size(s->items) < OPS_SCAN_MAX && !atomic_load(&s->call->ops->closing);
}

static void read_story(struct call *c)
{
    struct story s = { .call = c, .items = json_array() };

    queue_story(commit_store(c->ops->o.commit), proto_id_shard(c->id), proto_id_index(c->id),
                on_event, &s);
    if (json_array_size(s.items) == 0) {
        json_decref(s.items);
        call_fail(c, PROBLEM_NOT_FOUND, "there is no message %s (any more)", c->param);
        return;
    }
    c->json = json_page(s.items, NULL);
}

void route_message_events(struct call *c)
{
    if (call_take_id(c)) call_on_disk(c, read_story);
}
