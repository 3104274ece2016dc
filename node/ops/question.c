/* question - questions as JSON, and places; what comes from another node is checked field by field. */
#include "node/ops/question.h"

#include <stdio.h>
#include <stdlib.h>

#include "node/emit/emit.h"
#include "proto/ground/check.h"

#define QUESTION_NAME_(id, name, read) name,
static const char *const names[] = { QUESTION_TABLE(QUESTION_NAME_) };
#undef QUESTION_NAME_

#define QUESTION_READ_(id, name, read) read,
static void (*const reads[])(struct reading *r) = { QUESTION_TABLE(QUESTION_READ_) };
#undef QUESTION_READ_

void question_read(struct reading *r)
{
    r->rv = 0;
    r->json = NULL;
    r->rows = NULL;
    r->bytes = NULL;
    reads[r->q->kind](r);
}

bool reading_add(struct reading *r, json_t *items, json_t *item)
{
    size_t size = r->room == SIZE_MAX ? 0 : json_dumpb(item, NULL, 0, JSON_COMPACT) + 1;

    json_array_append_new(items, item);
    return reading_takes(r, size);
}

bool reading_takes(struct reading *r, size_t size)
{
    if (r->room == SIZE_MAX) return true;
    r->room = size < r->room ? r->room - size : 0;
    return r->room > 0;
}

/* ---- places */

json_t *place_json(struct place p)
{
    return json_pack("[I,I,I]", (json_int_t)p.shard, (json_int_t)p.entry, (json_int_t)p.number);
}

static bool take_number(const json_t *j, uint64_t max, uint64_t *out)
{
    json_int_t v = json_integer_value(j);

    if (!json_is_integer(j) || v < 0 || (uint64_t)v > max) return false;
    *out = (uint64_t)v;
    return true;
}

bool place_of(const json_t *j, struct place *out)
{
    uint64_t shard, entry, number;

    if (!json_is_array(j) || json_array_size(j) != 3 ||
        !take_number(json_array_get(j, 0), PROTO_SHARD_MAX, &shard) ||
        !take_number(json_array_get(j, 1), PROTO_INDEX_MAX, &entry) ||
        !take_number(json_array_get(j, 2), UINT32_MAX, &number))
        return false;
    *out = (struct place){ (uint32_t)shard, entry, (uint32_t)number };
    return true;
}

bool place_of_item(enum question_kind kind, const json_t *item, struct place *out)
{
    const char *text = json_string_value(json_object_get(item, "id"));
    uint64_t id;

    if (!text) return false;
    if (kind == QUESTION_EVENTS)
        return emit_event_id_parse(span_cstr(text), &out->shard, &out->entry, &out->number) == 0;
    if (base32_parse(span_cstr(text), &id) != 0) return false;
    *out = (struct place){ proto_id_shard(id), proto_id_index(id), 0 };
    return true;
}

json_t *place_cursor(enum question_kind kind, struct place p)
{
    char text[EMIT_EVENT_ID_SIZE];

    if (kind == QUESTION_EVENTS)
        emit_event_id(p.shard, p.entry, p.number, text);
    else
        base32_print(proto_id(p.shard, p.entry), text);
    return json_string(text);
}

/* ---- as text */

static json_t *shards_json(const struct question *q)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < q->shard_count; i++)
        json_array_append_new(list, json_integer(q->shards[i]));
    return list;
}

/* An id as its 13 characters: JSON's numbers are signed. */
static json_t *id_json(uint64_t id)
{
    char text[BASE32_SIZE];

    base32_print(id, text);
    return json_string(text);
}

char *question_print(const struct question *q)
{
    json_t *j = json_pack("{s:s, s:o, s:o, s:I, s:I, s:o}", "kind", names[q->kind], "shards",
                          shards_json(q), "id", id_json(q->id), "skip", (json_int_t)q->skip,
                          "limit", (json_int_t)q->limit, "after", place_json(q->after));
    char *text;

    CHECK(j);
    if (q->kind == QUESTION_QUEUE) {
        json_object_set_new(j, "domain", json_of_bytes(span_cstr(q->domain)));
        if (q->by_doubt) json_object_set_new(j, "in_doubt", json_true());
        if (q->by_state) json_object_set_new(j, "state", json_string(proto_state_name(q->state)));
    }
    if (q->kind == QUESTION_EVENTS) {
        json_object_set_new(j, "type", json_integer(q->filter.type));
        json_object_set_new(j, "message", id_json(q->filter.message));
        json_object_set_new(j, "since_ms", json_integer((json_int_t)q->filter.since_ms));
        json_object_set_new(j, "recipient", json_of_bytes(span_cstr(q->filter.recipient)));
    }
    if (q->kind == QUESTION_PIECE) {
        json_object_set_new(j, "from", json_integer(q->from));
        json_object_set_new(j, "first", json_integer(q->recipient_first));
        json_object_set_new(j, "last", json_integer(q->recipient_last));
    }
    text = json_dumps(j, JSON_COMPACT);
    CHECK(text);
    json_decref(j);
    return text;
}

/* ---- out of a text */

static bool take_text(const json_t *j, const char *key, char *out, size_t size)
{
    const json_t *v = json_object_get(j, key);

    if (!v) return true;
    if (!json_is_string(v) || json_string_length(v) >= size ||
        strlen(json_string_value(v)) != json_string_length(v))
        return false;
    snprintf(out, size, "%s", json_string_value(v));
    return true;
}

static bool take_id(const json_t *j, const char *key, uint64_t *out)
{
    const json_t *v = json_object_get(j, key);

    return !v || (json_is_string(v) && base32_parse(span_cstr(json_string_value(v)), out) == 0);
}

static bool take_key(const json_t *j, const char *key, uint64_t max, uint64_t *out)
{
    const json_t *v = json_object_get(j, key);

    *out = 0;
    return !v || take_number(v, max, out);
}

static bool take_kind(const json_t *j, struct question *q)
{
    const char *name = json_string_value(json_object_get(j, "kind"));

    for (unsigned i = 0; name && i < QUESTION_KINDS; i++) {
        if (strcmp(names[i], name) != 0) continue;
        q->kind = (enum question_kind)i;
        return true;
    }
    return false;
}

static bool take_shards(const json_t *j, struct question *q)
{
    const json_t *list = json_object_get(j, "shards");

    if (!json_is_array(list) || json_array_size(list) > QUESTION_SHARDS_MAX) return false;
    for (size_t i = 0; i < json_array_size(list); i++) {
        uint64_t v;

        if (!take_number(json_array_get(list, i), PROTO_SHARD_MAX, &v) || v == 0) return false;
        if (i > 0 && v <= q->shards[i - 1]) return false;
        q->shards[q->shard_count++] = (uint32_t)v;
    }
    return true;
}

static bool take_queue(const json_t *j, struct question *q)
{
    const json_t *state = json_object_get(j, "state"), *doubt = json_object_get(j, "in_doubt");

    q->by_state = state != NULL;
    q->by_doubt = json_is_true(doubt);
    if (doubt && !json_is_boolean(doubt)) return false;
    if (!take_text(j, "domain", q->domain, sizeof q->domain)) return false;
    return !state ||
           (json_is_string(state) && queue_state_parse(json_string_value(state), &q->state));
}

static bool take_events(const json_t *j, struct question *q)
{
    uint64_t type, since_ms;

    if (!take_key(j, "type", ANGARIUM__EVENT_TYPE__EVENT_REJECTED, &type) ||
        !take_key(j, "since_ms", INT64_MAX, &since_ms) ||
        !take_id(j, "message", &q->filter.message) ||
        !take_text(j, "recipient", q->filter.recipient, sizeof q->filter.recipient))
        return false;
    q->filter.type = (Angarium__EventType)type;
    q->filter.since_ms = since_ms;
    return true;
}

static bool take_piece(const json_t *j, struct question *q)
{
    uint64_t from, first, last;

    if (!take_key(j, "from", PIECE_INBOX, &from) ||
        !take_key(j, "first", PROTO_RECIPIENTS_MAX, &first) ||
        !take_key(j, "last", PROTO_RECIPIENTS_MAX, &last))
        return false;
    q->from = (enum piece_from)from;
    q->recipient_first = (uint32_t)first;
    q->recipient_last = (uint32_t)last;
    return true;
}

static bool is_of_one(enum question_kind kind)
{
    return kind == QUESTION_MESSAGE || kind == QUESTION_STORY || kind == QUESTION_PIECE;
}

static bool take(const json_t *j, struct question *q)
{
    const json_t *after = json_object_get(j, "after");
    uint64_t skip, limit;

    if (!take_kind(j, q) || !take_shards(j, q) || !take_id(j, "id", &q->id) ||
        !take_key(j, "skip", UINT32_MAX, &skip) || !take_key(j, "limit", OPS_LIMIT_MAX, &limit) ||
        (after && !place_of(after, &q->after)))
        return false;
    q->skip = (uint32_t)skip;
    q->limit = limit > 0 ? (unsigned)limit : OPS_LIMIT_DEFAULT;
    if (is_of_one(q->kind) && (q->shard_count != 1 || q->shards[0] != proto_id_shard(q->id)))
        return false;
    return q->kind == QUESTION_QUEUE    ? take_queue(j, q)
           : q->kind == QUESTION_EVENTS ? take_events(j, q)
           : q->kind == QUESTION_PIECE  ? take_piece(j, q)
                                        : true;
}

int question_parse(struct span text, struct question *out)
{
    json_t *j;
    bool ok;

    if (text.n > QUESTION_TEXT_MAX) return ERR_TOO_LONG;
    j = json_loadb((const char *)text.p, text.n, JSON_REJECT_DUPLICATES, NULL);
    *out = (struct question){ 0 };
    ok = json_is_object(j) && take(j, out);
    json_decref(j);
    return ok ? 0 : ERR_SYNTAX;
}
