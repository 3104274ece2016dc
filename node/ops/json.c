/* json - records of the queue as the API shows them. Foreign bytes are made valid UTF-8 here, once.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "node/emit/emit.h"
#include "node/ops/inside.h"
#include "node/ops/text.h"
#include "proto/ground/check.h"
#include "proto/ground/clock.h"

json_t *json_of_bytes(struct span bytes)
{
    struct buf text;
    json_t *j;

    buf_init(&text, 3 * bytes.n + 1);
    for (size_t i = 0; i < bytes.n;) {
        size_t n = span_utf8_size(span_from(bytes, i));

        if (n > 0)
            buf_add(&text, bytes.p + i, n);
        else
            buf_add_cstr(&text, "\xef\xbf\xbd");
        i += n > 0 ? n : 1;
    }
    j = json_stringn(text.n > 0 ? (const char *)text.p : "", text.n);
    CHECK(j);
    buf_deinit(&text);
    return j;
}

void json_put_bytes(json_t *object, const char *key, struct span bytes)
{
    if (bytes.n > 0) json_object_set_new(object, key, json_of_bytes(bytes));
}

void json_put_time(json_t *object, const char *key, uint64_t wall_ms)
{
    char text[CLOCK_RFC3339_SIZE];

    if (wall_ms == 0) {
        json_object_set_new(object, key, json_null());
        return;
    }
    clock_rfc3339(wall_ms, text);
    json_object_set_new(object, key, json_string(text));
}

void json_put_id(json_t *object, const char *key, uint64_t id)
{
    char text[BASE32_SIZE];

    base32_print(id, text);
    json_object_set_new(object, key, json_string(text));
}

json_t *json_page(json_t *items, json_t *next_cursor)
{
    json_t *page = json_object();

    json_object_set_new(page, "items", items);
    json_object_set_new(page, "next_cursor", next_cursor ? next_cursor : json_null());
    return page;
}

json_t *json_of_reply(const Angarium__Reply *r)
{
    json_t *j;

    if (!r || (r->code == 0 && r->text.len == 0)) return NULL;
    j = json_object();
    json_object_set_new(j, "code", json_integer(r->code));
    json_object_set_new(j, "enhanced", json_of_bytes(proto_span(r->enhanced)));
    json_object_set_new(j, "text", json_of_bytes(proto_span(r->text)));
    return j;
}

static void put_reply(json_t *object, const char *key, const Angarium__Reply *r)
{
    json_t *j = json_of_reply(r);

    if (j) json_object_set_new(object, key, j);
}

static void put_host(json_t *j, const Angarium__Event *e)
{
    if (e->attempt > 0) json_object_set_new(j, "attempt", json_integer(e->attempt));
    json_put_bytes(j, "remote_host", proto_span(e->remote_host));
    json_put_bytes(j, "remote_address", proto_span(e->remote_address));
    json_put_bytes(j, "source_address", proto_span(e->source_address));
    json_put_bytes(j, "tls", proto_span(e->tls));
    put_reply(j, "reply", e->reply);
    json_put_bytes(j, "class", proto_span(e->class_));
    if (e->next_attempt_at_ms > 0) json_put_time(j, "next_attempt_at", e->next_attempt_at_ms);
}

json_t *json_of_event(uint32_t shard, uint64_t entry, uint32_t number, const Angarium__Event *e)
{
    char id[EMIT_EVENT_ID_SIZE];
    json_t *j = json_object();

    emit_event_id(shard, entry, number, id);
    json_object_set_new(j, "id", json_string(id));
    json_object_set_new(j, "type", json_string(proto_event_name(e->type)));
    json_put_time(j, "time", e->time_ms);
    json_put_id(j, "message_id", proto_id(shard, e->index));
    json_object_set_new(j, "recipient", json_of_bytes(proto_span(e->recipient)));
    json_object_set_new(j, "tenant", json_of_bytes(proto_span(e->tenant)));
    json_object_set_new(j, "node", json_integer((json_int_t)e->node));
    if (e->type == ANGARIUM__EVENT_TYPE__EVENT_ACCEPTED) {
        json_object_set_new(j, "mail_from", json_of_bytes(proto_span(e->mail_from)));
        json_object_set_new(j, "size", json_integer((json_int_t)e->size));
    }
    put_host(j, e);
    json_put_bytes(j, "by", proto_span(e->by));
    return j;
}

json_t *json_of_counts(const struct queue_counts *c)
{
    json_t *j = json_object();
#define PUT(name) json_object_set_new(j, #name, json_integer((json_int_t)c->name))
    PUT(messages);
    PUT(bytes);
    PUT(waiting);
    PUT(claimed);
    PUT(held);
    PUT(accepted);
    PUT(delivered);
    PUT(bounced);
    PUT(expired);
    PUT(suppressed);
    PUT(cancelled);
    PUT(in_doubt);
    PUT(in_doubt_now);
    PUT(uploads);
    PUT(kept_messages);
    PUT(kept_events);
#undef PUT
    return j;
}

/* ---- a recipient: in long lists, so as text */

static void put_text(struct buf *b, const char *key, struct span bytes)
{
    if (bytes.n > 0) text_put_bytes(b, key, bytes);
}

static void put_last_reply(struct buf *b, const Angarium__Reply *r)
{
    if (!r || (r->code == 0 && r->text.len == 0)) return;
    text_key(b, "last_reply");
    buf_add_cstr(b, "{");
    text_put_number(b, "code", r->code);
    text_put_bytes(b, "enhanced", proto_span(r->enhanced));
    text_put_bytes(b, "text", proto_span(r->text));
    buf_add_cstr(b, "}");
}

void text_of_recipient(struct buf *b, uint32_t number, const Angarium__RecipientRecord *r)
{
    bool waits = r->state == ANGARIUM__RECIPIENT_STATE__RECIPIENT_WAITING;

    buf_add_cstr(b, "{");
    text_put_number(b, "number", number);
    text_put_bytes(b, "address", proto_span(r->address));
    text_put_bytes(b, "domain", proto_span(r->domain));
    text_put_bytes(b, "state", span_cstr(proto_state_name(r->state)));
    text_put_number(b, "attempts", r->attempts);
    text_put_number(b, "doubts", r->doubts);
    if (r->in_doubt_since_ms > 0) text_put_time(b, "in_doubt_since", r->in_doubt_since_ms);
    put_text(b, "claimed_host", proto_span(r->claimed_host));
    text_put_time(b, "next_attempt_at", waits ? r->due_at_ms : 0);
    put_last_reply(b, r->last_reply);
    put_text(b, "last_host", proto_span(r->last_host));
    put_text(b, "class", proto_span(r->class_));
    text_put_time(b, "finished_at", r->finished_at_ms);
    buf_add_cstr(b, "}");
}

json_t *json_of_recipient(uint32_t number, const Angarium__RecipientRecord *r)
{
    struct buf text;
    json_t *j;

    buf_init(&text, SIZE_MAX / 2);
    text_of_recipient(&text, number, r);
    j = json_loadb((const char *)text.p, text.n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
    CHECK(j);
    buf_deinit(&text);
    return j;
}
