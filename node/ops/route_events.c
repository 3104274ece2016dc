/* route_events - GET /api/v1/events: a search, shard by shard in the order of the log.
 *
 * The cursor is the id of the last event that was looked at. One request looks at OPS_SCAN_MAX
 * events at most, so a page may have fewer items than asked for, or none, and still a cursor.
 */
#include "node/emit/emit.h"
#include "node/ops/question.h"
#include "proto/ground/clock.h"

/* ---- filters */

bool event_filter_fits(const struct event_filter *f, uint32_t shard, const Angarium__Event *e)
{
    if (f->type != ANGARIUM__EVENT_TYPE__EVENT_NONE && e->type != f->type) return false;
    if (f->message != 0 && proto_id(shard, e->index) != f->message) return false;
    if (e->time_ms < f->since_ms) return false;
    return !f->recipient[0] || span_eq_nocase(proto_span(e->recipient), span_cstr(f->recipient));
}

bool event_filter_take(struct call *c, struct event_filter *f)
{
    char type[32], message[32], since[40];

    *f = (struct event_filter){ .type = ANGARIUM__EVENT_TYPE__EVENT_NONE };
    call_take_query(c, "type", type, sizeof type);
    call_take_query(c, "message", message, sizeof message);
    call_take_query(c, "since", since, sizeof since);
    call_take_query(c, "recipient", f->recipient, sizeof f->recipient);
    if (type[0] && proto_event_parse(span_cstr(type), &f->type) != 0)
        call_answer_problem(c, PROBLEM_BAD_REQUEST, "type: there is no event \"%s\"", type);
    else if (message[0] && base32_parse(span_cstr(message), &f->message) != 0)
        call_answer_problem(c, PROBLEM_BAD_REQUEST,
                            "message: \"%s\" is no message id (13 characters)", message);
    else if (since[0] && clock_parse_rfc3339(span_cstr(since), &f->since_ms) != 0)
        call_answer_problem(c, PROBLEM_BAD_REQUEST,
                            "since: a time as 2026-11-24T01:48:09Z is needed");
    else
        return true;
    return false;
}

/* ---- the search */

struct search {
    struct reading *reading;
    struct place at; /* looked at last */
    json_t *items;
    unsigned looked_at;
    bool has_room, ended_early;
};

static bool on_event(void *arg, uint64_t entry, uint32_t number, const Angarium__Event *e)
{
    struct search *s = arg;
    const struct question *q = s->reading->q;

    if (!s->has_room || json_array_size(s->items) >= q->limit || s->looked_at >= OPS_SCAN_MAX ||
        atomic_load(&s->reading->ops->closing)) {
        s->ended_early = true;
        return false;
    }
    s->looked_at++;
    s->at.entry = entry;
    s->at.number = number;
    if (event_filter_fits(&q->filter, s->at.shard, e))
        s->has_room =
            reading_add(s->reading, s->items, json_of_event(s->at.shard, entry, number, e));
    return true;
}

static void scan_shard(struct search *s, uint32_t shard)
{
    const struct place after = s->reading->q->after;
    uint64_t entry = shard == after.shard ? after.entry : 0;

    if (shard < after.shard) return;
    s->at = (struct place){ shard, entry, entry > 0 ? after.number : 0 };
    queue_events(commit_store(s->reading->ops->o.commit), shard, entry,
                 entry > 0 ? after.number + 1 : 0, on_event, s);
}

void events_read(struct reading *r)
{
    struct search s = { .reading = r, .items = json_array(), .has_room = true };

    for (unsigned i = 0; i < r->q->shard_count && !s.ended_early; i++)
        scan_shard(&s, r->q->shards[i]);
    r->json = json_page(s.items, NULL);
    if (s.ended_early) json_object_set_new(r->json, "stop", place_json(s.at));
}

static bool take_cursor(struct call *c, struct question *q)
{
    char cursor[EMIT_EVENT_ID_SIZE];

    call_take_query(c, "cursor", cursor, sizeof cursor);
    if (!cursor[0] || emit_event_id_parse(span_cstr(cursor), &q->after.shard, &q->after.entry,
                                          &q->after.number) == 0)
        return true;
    call_answer_problem(c, PROBLEM_BAD_REQUEST, "cursor: not one that was given out");
    return false;
}

void route_events(struct call *c)
{
    struct question q = { .kind = QUESTION_EVENTS };

    if (!event_filter_take(c, &q.filter) || !call_take_limit(c, &q.limit) || !take_cursor(c, &q) ||
        !query_shards(c, &q))
        return;
    query_run(c, &q);
}
