/* route_message - GET /api/v1/messages/{id} and its /events: a message as it stands, and its whole
 * story. */
#include "node/ops/question.h"

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

static void put_recipients(struct reading *reading, json_t *j, uint32_t count)
{
    struct queue_store *store = commit_store(reading->ops->o.commit);
    const uint64_t id = reading->q->id;
    json_t *list = json_array();
    bool has_room = true;
    uint32_t i = reading->q->skip;

    for (; has_room && i < count; i++) {
        Angarium__RecipientRecord *r = NULL;

        if (queue_recipient_get(store, proto_id_shard(id), proto_id_index(id), i, &r) != 0)
            continue;
        has_room = reading_add(reading, list, json_of_recipient(i, r));
        queue_recipient_free(&r);
    }
    json_object_set_new(j, "recipients", list);
    if (i < count) json_object_set_new(j, "more", json_integer(i));
}

static json_t *json_of_message(struct reading *r, const Angarium__MessageRecord *m)
{
    uint32_t shard = proto_id_shard(r->q->id);
    json_t *j = json_object();

    json_put_id(j, "id", r->q->id);
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
    put_recipients(r, j, m->recipient_count);
    return j;
}

void message_read(struct reading *r)
{
    Angarium__MessageRecord *m = NULL;

    r->rv = queue_message_get(commit_store(r->ops->o.commit), proto_id_shard(r->q->id),
                              proto_id_index(r->q->id), &m);
    if (r->rv != 0) return;
    r->json = json_of_message(r, m);
    queue_message_free(&m);
}

static void ask(struct call *c, enum question_kind kind)
{
    struct question q = { .kind = kind };

    if (!call_take_id(c)) return;
    q.id = c->id;
    q.shards[q.shard_count++] = proto_id_shard(c->id);
    query_run(c, &q);
}

void route_message(struct call *c)
{
    ask(c, QUESTION_MESSAGE);
}

/* ---- its story */

struct story {
    struct reading *reading;
    json_t *items;
    uint32_t seen;
    bool has_more;
};

static bool on_event(void *arg, uint64_t entry, uint32_t number, const Angarium__Event *e)
{
    struct story *s = arg;
    struct reading *r = s->reading;

    if (s->has_more || atomic_load(&r->ops->closing)) return false;
    if (s->seen++ < r->q->skip) return true;
    s->has_more =
        !reading_add(r, s->items, json_of_event(proto_id_shard(r->q->id), entry, number, e)) ||
        json_array_size(s->items) >= OPS_SCAN_MAX;
    return true;
}

void story_read(struct reading *r)
{
    struct story s = { .reading = r, .items = json_array() };

    queue_story(commit_store(r->ops->o.commit), proto_id_shard(r->q->id), proto_id_index(r->q->id),
                on_event, &s);
    if (s.seen == 0) {
        json_decref(s.items);
        r->rv = ERR_NOT_FOUND;
        return;
    }
    r->json = json_page(s.items, NULL);
    if (s.has_more) json_object_set_new(r->json, "more", json_integer(s.seen));
}

void route_message_events(struct call *c)
{
    ask(c, QUESTION_STORY);
}
