/* route_events - GET /api/v1/events: a search, shard by shard in the order of the log.
 *
 * The cursor is the id of the last event that was looked at. One request looks at OPS_SCAN_MAX
 * events at most, so a page may have fewer items than asked for, or none, and still a cursor.
 */
#include <stdlib.h>

#include "node/emit/emit.h"
#include "node/ops/inside.h"
#include "proto/ground/check.h"
#include "proto/ground/clock.h"

struct event_page {
    struct event_filter filter;
    unsigned limit;
    /* Where to begin, and afterwards what was looked at last. */
    uint32_t shard;
    uint64_t entry;
    uint32_t number;
    struct ops *ops;
    json_t *items;
    unsigned looked_at;
    bool ended_early;
};

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

static bool on_event(void *arg, uint64_t entry, uint32_t number, const Angarium__Event *e)
{
    struct event_page *p = arg;

    if (json_array_size(p->items) >= p->limit || p->looked_at >= OPS_SCAN_MAX ||
        atomic_load(&p->ops->closing)) {
        p->ended_early = true;
        return false;
    }
    p->looked_at++;
    p->entry = entry;
    p->number = number;
    if (event_filter_fits(&p->filter, p->shard, e))
        json_array_append_new(p->items, json_of_event(p->shard, entry, number, e));
    return true;
}

/* Events behind (entry, number); (0, 0) is before all. */
static void scan_from(struct event_page *p, struct queue_store *store, uint64_t entry,
                      uint32_t number)
{
    queue_events(store, p->shard, entry, entry > 0 ? number + 1 : 0, on_event, p);
}

static json_t *cursor_of(const struct event_page *p)
{
    char id[EMIT_EVENT_ID_SIZE];

    emit_event_id(p->shard, p->entry, p->number, id);
    return json_string(id);
}

static void search(struct call *c)
{
    struct event_page *p = c->more;
    uint32_t last = commit_shard_count(c->ops->o.commit);
    struct queue_store *store = commit_store(c->ops->o.commit);

    p->items = json_array();
    if (p->filter.message != 0) {
        uint32_t shard = proto_id_shard(p->filter.message);

        last = shard < last ? shard : last;
        if (p->shard < shard) p->shard = shard;
    }
    for (; p->shard <= last; p->shard++, p->entry = 0, p->number = 0) {
        scan_from(p, store, p->entry, p->number);
        if (p->ended_early) break;
    }
    c->json = json_page(p->items, p->ended_early ? cursor_of(p) : NULL);
}

void route_events(struct call *c)
{
    struct event_page *p = check_calloc(1, sizeof *p);
    char cursor[EMIT_EVENT_ID_SIZE];

    c->more = p;
    p->ops = c->ops;
    p->shard = 1;
    if (!event_filter_take(c, &p->filter) || !call_take_limit(c, &p->limit)) return;
    call_take_query(c, "cursor", cursor, sizeof cursor);
    if (cursor[0] && emit_event_id_parse(span_cstr(cursor), &p->shard, &p->entry, &p->number) != 0)
        call_answer_problem(c, PROBLEM_BAD_REQUEST, "cursor: not one that was given out");
    else
        call_on_disk(c, search);
}
