/* route_queue - GET /api/v1/queue: counts, and pending messages, shard by shard, oldest first.
 * in_doubt=true: only of who may have arrived although it is pending (P4), found by the doubt index.
 *
 * The cursor is the id of the last message that was looked at. One request looks at OPS_SCAN_MAX
 * messages at most, so a page may have fewer items than asked for, or none, and still a cursor.
 */
#include "node/ops/question.h"

#define LIST_BATCH       256
#define RECIPIENTS_SHOWN 20 /* of one message; GET messages/{id} shows all */

struct queue_page {
    struct reading *reading;
    json_t *items;
    unsigned looked_at;
    struct place last; /* looked at; the next cursor when the page ends early */
    bool has_room;
};

/* ---- counts */

static void add_counts(struct queue_counts *sum, const struct queue_counts *c)
{
    sum->messages += c->messages;
    sum->bytes += c->bytes;
    sum->waiting += c->waiting;
    sum->claimed += c->claimed;
    sum->held += c->held;
    sum->accepted += c->accepted;
    sum->delivered += c->delivered;
    sum->bounced += c->bounced;
    sum->expired += c->expired;
    sum->suppressed += c->suppressed;
    sum->cancelled += c->cancelled;
    sum->in_doubt += c->in_doubt;
    sum->in_doubt_now += c->in_doubt_now;
    sum->uploads += c->uploads;
    sum->kept_messages += c->kept_messages;
    sum->kept_events += c->kept_events;
}

static json_t *sum_counts(const struct reading *r)
{
    struct queue_counts sum = { 0 };

    for (unsigned i = 0; i < r->q->shard_count; i++) {
        struct commit_shard_view v;

        commit_shard_see(r->ops->o.commit, r->q->shards[i], &v);
        add_counts(&sum, &v.counts);
    }
    return json_of_counts(&sum);
}

/* ---- messages */

static bool fits(const struct question *q, const Angarium__RecipientRecord *r)
{
    if (proto_state_is_terminal(r->state)) return false;
    if (q->by_state && r->state != q->state) return false;
    if (q->by_doubt && r->in_doubt_since_ms == 0) return false;
    return !q->domain[0] || span_eq_nocase(proto_span(r->domain), span_cstr(q->domain));
}

/* The recipients that are pending and fit, the first RECIPIENTS_SHOWN of them; NULL: none. */
static json_t *pending_recipients(const struct question *q, struct queue_store *store, uint64_t id,
                                  uint32_t count, uint64_t *fitting)
{
    json_t *list = json_array();

    *fitting = 0;
    for (uint32_t i = 0; i < count; i++) {
        Angarium__RecipientRecord *r = NULL;

        if (queue_recipient_get(store, proto_id_shard(id), proto_id_index(id), i, &r) != 0)
            continue;
        if (fits(q, r) && (*fitting)++ < RECIPIENTS_SHOWN)
            json_array_append_new(list, json_of_recipient(i, r));
        queue_recipient_free(&r);
    }
    if (*fitting > 0) return list;
    json_decref(list);
    return NULL;
}

static void add_message(struct queue_page *p, struct queue_store *store, uint64_t id)
{
    Angarium__MessageRecord *m = NULL;
    uint64_t fitting = 0;
    json_t *recipients, *j;

    if (queue_message_get(store, proto_id_shard(id), proto_id_index(id), &m) != 0) return;
    recipients = pending_recipients(p->reading->q, store, id, m->recipient_count, &fitting);
    if (recipients) {
        j = json_object();
        json_put_id(j, "id", id);
        json_put_time(j, "accepted_at", m->accepted_at_ms);
        json_put_time(j, "expires_at", m->expires_at_ms);
        json_object_set_new(j, "mail_from", json_of_bytes(proto_span(m->mail_from)));
        json_object_set_new(j, "size", json_integer(m->body ? (json_int_t)m->body->size : 0));
        json_object_set_new(j, "pending", json_integer(m->pending_count));
        json_object_set_new(j, "fitting", json_integer((json_int_t)fitting));
        json_object_set_new(j, "recipients", recipients);
        p->has_room = reading_add(p->reading, p->items, j);
    }
    queue_message_free(&m);
}

static bool is_full(const struct queue_page *p)
{
    return !p->has_room || json_array_size(p->items) >= p->reading->q->limit ||
           p->looked_at >= OPS_SCAN_MAX || atomic_load(&p->reading->ops->closing);
}

/* Messages of the shard behind `after`: with recipients pending, or with some in doubt. */
static size_t list_messages(const struct question *q, struct queue_store *store, uint32_t shard,
                            uint64_t after, uint64_t *list)
{
    struct queue_place place = { .index = after + 1 };
    struct queue_ref refs[LIST_BATCH];
    size_t n, count = 0;

    if (!q->by_doubt) return queue_messages(store, shard, after, true, list, LIST_BATCH);
    while (count < LIST_BATCH && (n = queue_doubts(store, shard, &place, refs, LIST_BATCH)) > 0)
        for (size_t i = 0; i < n && count < LIST_BATCH; i++)
            if (count == 0 || list[count - 1] != refs[i].index) list[count++] = refs[i].index;
    return count;
}

/* One shard; false: the page is full. */
static bool scan_shard(struct queue_page *p, uint32_t shard)
{
    struct queue_store *store = commit_store(p->reading->ops->o.commit);
    const struct place from = p->reading->q->after;
    uint64_t list[LIST_BATCH], after = shard == from.shard ? from.entry : 0;
    size_t n;

    if (shard < from.shard) return true;
    p->last = (struct place){ shard, after, 0 };
    do {
        n = list_messages(p->reading->q, store, shard, after, list);
        for (size_t i = 0; i < n; i++) {
            if (is_full(p)) return false;
            add_message(p, store, proto_id(shard, list[i]));
            p->looked_at++;
            p->last.entry = list[i];
        }
        if (n > 0) after = list[n - 1];
    } while (n == LIST_BATCH);
    return true;
}

void queue_read(struct reading *r)
{
    struct queue_page p = { .reading = r, .items = json_array(), .has_room = true };
    bool done = true;

    for (unsigned i = 0; done && i < r->q->shard_count; i++)
        done = scan_shard(&p, r->q->shards[i]);
    r->json = json_page(p.items, NULL);
    if (!done) json_object_set_new(r->json, "stop", place_json(p.last));
    json_object_set_new(r->json, "counts", sum_counts(r));
}

/* ---- what is asked for */

static bool take_state(struct call *c, struct question *q)
{
    char text[32];

    call_take_query(c, "state", text, sizeof text);
    q->by_state = text[0] != '\0';
    if (!q->by_state || queue_state_parse(text, &q->state)) return true;
    call_answer_problem(c, PROBLEM_BAD_REQUEST, "state: waiting, claimed or held");
    return false;
}

bool queue_state_parse(const char *text, Angarium__RecipientState *out)
{
    static const Angarium__RecipientState pending[] = {
        ANGARIUM__RECIPIENT_STATE__RECIPIENT_WAITING,
        ANGARIUM__RECIPIENT_STATE__RECIPIENT_CLAIMED,
        ANGARIUM__RECIPIENT_STATE__RECIPIENT_HELD,
    };

    for (unsigned i = 0; i < sizeof pending / sizeof pending[0]; i++) {
        if (strcmp(proto_state_name(pending[i]), text) != 0) continue;
        *out = pending[i];
        return true;
    }
    return false;
}

static bool take_doubt(struct call *c, struct question *q)
{
    char text[8];

    call_take_query(c, "in_doubt", text, sizeof text);
    q->by_doubt = strcmp(text, "true") == 0;
    if (q->by_doubt || text[0] == '\0' || strcmp(text, "false") == 0) return true;
    call_answer_problem(c, PROBLEM_BAD_REQUEST, "in_doubt: true, or false for all");
    return false;
}

static bool take_cursor(struct call *c, struct question *q)
{
    char cursor[32];
    uint64_t id = 0;

    call_take_query(c, "cursor", cursor, sizeof cursor);
    if (cursor[0] && base32_parse(span_cstr(cursor), &id) != 0) {
        call_answer_problem(c, PROBLEM_BAD_REQUEST, "cursor: not one that was given out");
        return false;
    }
    q->after = (struct place){ proto_id_shard(id), proto_id_index(id), 0 };
    return true;
}

void route_queue(struct call *c)
{
    struct question q = { .kind = QUESTION_QUEUE };

    call_take_query(c, "domain", q.domain, sizeof q.domain);
    if (!call_take_limit(c, &q.limit) || !take_state(c, &q) || !take_doubt(c, &q) ||
        !take_cursor(c, &q) || !query_shards(c, &q))
        return;
    query_run(c, &q);
}
