/* follow_words - what the live stream says to other nodes (JSON), and its cursor: both are checked number by number.
 *
 * A cursor is '~' and base64url of numbers, each 7 bits a byte, the lowest first: CURSOR_FORMAT, since_ms, then for each shard its
 * distance from the one before, doubled, odd when its mode is FOLLOW_SINCE; entry; number. Shards that begin with since_ms and have
 * no place yet are left out.
 */
#include <sodium.h>
#include <stdlib.h>

#include "node/emit/emit.h"
#include "node/ops/follow.h"
#include "proto/ground/ascii.h"
#include "proto/ground/check.h"

#define CURSOR_FORMAT  1
#define CURSOR_VARIANT sodium_base64_VARIANT_URLSAFE_NO_PADDING

/* ---- numbers of JSON */

static bool take_number(const json_t *j, uint64_t max, uint64_t *out)
{
    json_int_t v = json_integer_value(j);

    if (!json_is_integer(j) || v < 0 || (uint64_t)v > max) return false;
    *out = (uint64_t)v;
    return true;
}

json_t *follow_at_json(const struct follow_at *a)
{
    return json_pack("[I,i,I,I]", (json_int_t)a->shard, (int)a->mode, (json_int_t)a->entry,
                     (json_int_t)a->number);
}

bool follow_at_of(const json_t *j, struct follow_at *out)
{
    uint64_t shard, mode, entry, number;

    if (!json_is_array(j) || json_array_size(j) != 4 ||
        !take_number(json_array_get(j, 0), PROTO_SHARD_MAX, &shard) || shard == 0 ||
        !take_number(json_array_get(j, 1), FOLLOW_MODES - 1, &mode) ||
        !take_number(json_array_get(j, 2), PROTO_INDEX_MAX, &entry) ||
        !take_number(json_array_get(j, 3), UINT32_MAX, &number))
        return false;
    *out = (struct follow_at){ .shard = (uint32_t)shard,
                               .number = (uint32_t)number,
                               .entry = entry,
                               .mode = (enum follow_mode)mode };
    return true;
}

/* ---- questions */

char *follow_print(const struct follow_question *q)
{
    json_t *at = json_array(), *j;
    char message[BASE32_SIZE], *text;

    for (unsigned i = 0; i < q->count; i++)
        json_array_append_new(at, follow_at_json(&q->at[i]));
    base32_print(q->filter.message, message);
    j = json_pack("{s:o, s:I, s:I, s:i, s:s, s:I, s:o}", "at", at, "since_ms",
                  (json_int_t)q->since_ms, "wait_ms", (json_int_t)q->wait_ms, "type",
                  (int)q->filter.type, "message", message, "not_before_ms",
                  (json_int_t)q->filter.since_ms, "recipient",
                  json_of_bytes(span_cstr(q->filter.recipient)));
    CHECK(j);
    text = json_dumps(j, JSON_COMPACT);
    CHECK(text);
    json_decref(j);
    return text;
}

static bool take_filter(const json_t *j, struct event_filter *f)
{
    const json_t *id = json_object_get(j, "message"), *who = json_object_get(j, "recipient");
    uint64_t type, not_before_ms;

    if (!take_number(json_object_get(j, "type"), ANGARIUM__EVENT_TYPE__EVENT_REJECTED, &type) ||
        !take_number(json_object_get(j, "not_before_ms"), INT64_MAX, &not_before_ms) ||
        !json_is_string(id) || base32_parse(span_cstr(json_string_value(id)), &f->message) != 0 ||
        !json_is_string(who) || json_string_length(who) >= sizeof f->recipient ||
        strlen(json_string_value(who)) != json_string_length(who))
        return false;
    memcpy(f->recipient, json_string_value(who), json_string_length(who) + 1);
    f->type = (Angarium__EventType)type;
    f->since_ms = not_before_ms;
    return true;
}

static bool take_question(const json_t *j, struct follow_question *q)
{
    const json_t *list = json_object_get(j, "at");
    uint64_t wait_ms;

    if (!json_is_array(list) || json_array_size(list) > QUESTION_SHARDS_MAX ||
        !take_number(json_object_get(j, "since_ms"), INT64_MAX, &q->since_ms) ||
        !take_number(json_object_get(j, "wait_ms"), FOLLOW_WAIT_MS, &wait_ms) ||
        !take_filter(j, &q->filter))
        return false;
    q->wait_ms = (uint32_t)wait_ms;
    for (; q->count < json_array_size(list); q->count++)
        if (!follow_at_of(json_array_get(list, q->count), &q->at[q->count])) return false;
    return true;
}

int follow_parse(struct span text, struct follow_question *out)
{
    json_t *j;
    bool ok;

    if (text.n > FOLLOW_TEXT_MAX) return ERR_TOO_LONG;
    j = json_loadb((const char *)text.p, text.n, JSON_REJECT_DUPLICATES, NULL);
    *out = (struct follow_question){ 0 };
    ok = json_is_object(j) && take_question(j, out);
    json_decref(j);
    return ok ? 0 : ERR_SYNTAX;
}

/* ---- the cursor */

static void add_number(struct buf *out, uint64_t v)
{
    for (; v >= 128; v >>= 7)
        buf_add_u8(out, (uint8_t)(v | 128));
    buf_add_u8(out, (uint8_t)v);
}

void follow_cursor_print(uint64_t since_ms, const struct follow_at *at, unsigned count,
                         struct buf *out)
{
    uint8_t bytes[FOLLOW_CURSOR_MAX / 4 * 3];
    struct buf packed = { .p = bytes, .cap = sizeof bytes, .size_max = sizeof bytes };
    uint32_t before = 0;
    char *text;

    add_number(&packed, CURSOR_FORMAT);
    add_number(&packed, since_ms);
    for (unsigned i = 0; i < count; i++) {
        const struct follow_at *a = &at[i];

        CHECK(a->mode == FOLLOW_FROM || a->mode == FOLLOW_SINCE);
        if (a->mode == FOLLOW_SINCE && a->entry == 0) continue;
        add_number(&packed, (uint64_t)(a->shard - before) * 2 + (a->mode == FOLLOW_SINCE ? 1 : 0));
        add_number(&packed, a->entry);
        add_number(&packed, a->number);
        before = a->shard;
    }
    CHECK(!buf_failed(&packed));
    buf_add_u8(out, '~');
    text = (char *)buf_room(out, sodium_base64_encoded_len(packed.n, CURSOR_VARIANT));
    if (!text) return;
    sodium_bin2base64(text, sodium_base64_encoded_len(packed.n, CURSOR_VARIANT), packed.p, packed.n,
                      CURSOR_VARIANT);
    buf_added(out, strlen(text));
}

/* The shortest form only: one text for one cursor. */
static uint64_t cursor_number(struct cursor *c, uint64_t max)
{
    uint64_t v = 0;

    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t b = cursor_u8(c);

        if (shift == 63 && b > 1) break;
        v |= (uint64_t)(b & 127) << shift;
        if (b & 128) continue;
        if ((b == 0 && shift > 0) || v > max) break;
        return v;
    }
    c->failed = true;
    return 0;
}

static void take_place(struct cursor *c, uint64_t before, struct follow_at *out)
{
    uint64_t step = cursor_number(c, 2 * (uint64_t)PROTO_SHARD_MAX + 1);

    out->mode = step & 1 ? FOLLOW_SINCE : FOLLOW_FROM;
    out->entry = cursor_number(c, PROTO_INDEX_MAX);
    out->number = (uint32_t)cursor_number(c, UINT32_MAX);
    if (step / 2 == 0 || before + step / 2 > PROTO_SHARD_MAX) c->failed = true;
    if (out->mode == FOLLOW_SINCE && out->entry == 0) c->failed = true;
    out->shard = c->failed ? 0 : (uint32_t)(before + step / 2);
}

/* The library's decoder takes some bytes over 127 for digits. */
static bool is_base64url(struct span text)
{
    for (size_t i = 0; i < text.n; i++)
        if (!ascii_is_alnum(text.p[i]) && text.p[i] != '-' && text.p[i] != '_') return false;
    return true;
}

int follow_cursor_parse(struct span text, uint64_t *since_ms, struct follow_at *out,
                        unsigned *count)
{
    uint8_t bytes[FOLLOW_CURSOR_MAX / 4 * 3];
    struct cursor c;
    size_t n = 0;

    *count = 0;
    if (text.n < 2 || text.n > FOLLOW_CURSOR_MAX || text.p[0] != '~') return ERR_SYNTAX;
    if (!is_base64url(span_from(text, 1)) ||
        sodium_base642bin(bytes, sizeof bytes, (const char *)text.p + 1, text.n - 1, NULL, &n, NULL,
                          CURSOR_VARIANT) != 0)
        return ERR_SYNTAX;
    cursor_init(&c, span_of(bytes, n));
    if (cursor_number(&c, UINT32_MAX) != CURSOR_FORMAT) return ERR_SYNTAX;
    *since_ms = cursor_number(&c, INT64_MAX);
    while (!c.failed && c.p < c.end && *count < QUESTION_SHARDS_MAX) {
        take_place(&c, *count > 0 ? out[*count - 1].shard : 0, &out[*count]);
        ++*count;
    }
    return cursor_done(&c) ? 0 : ERR_SYNTAX;
}
