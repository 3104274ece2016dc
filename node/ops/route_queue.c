/* route_queue - GET /api/v1/queue: counts, and pending messages, shard by shard, oldest first.
 * in_doubt=true: only of who may have arrived although it is pending (P4), found by the doubt index.
 *
 * The cursor is the id of the last message that was looked at. One request looks at OPS_SCAN_MAX
 * messages at most, so a page may have fewer items than asked for, or none, and still a cursor.
 */
#include "node/ops/question.h"
#include "node/ops/text.h"

#define LIST_BATCH       256
#define RECIPIENTS_SHOWN 20 /* of one message; GET messages/{id} shows all */

struct queue_page {
    struct reading *reading;
    struct rows *rows;
    unsigned looked_at;
    struct buf recipients; /* of one message */
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

/* The recipients that are pending and fit, the first RECIPIENTS_SHOWN of them. Returns how many fit. */
static uint64_t add_recipients(struct queue_page *p, struct queue_reader *reader, uint64_t index,
                               uint32_t count)
{
    struct buf *text = &p->recipients;
    uint64_t fitting = 0;

    for (uint32_t i = 0; i < count; i++) {
        Angarium__RecipientRecord *r = NULL;

        if (queue_reader_recipient(reader, index, i, &r) != 0) continue;
        if (fits(p->reading->q, r) && fitting++ < RECIPIENTS_SHOWN) {
            if (text->n > 0) buf_add_cstr(text, ",");
            text_of_recipient(text, i, r);
        }
        queue_recipient_free(&r);
    }
    return fitting;
}

static void text_of_message(struct buf *b, uint64_t id, const Angarium__MessageRecord *m,
                            uint64_t fitting, struct span recipients)
{
    buf_add_cstr(b, "{");
    text_put_id(b, "id", id);
    text_put_time(b, "accepted_at", m->accepted_at_ms);
    text_put_time(b, "expires_at", m->expires_at_ms);
    text_put_bytes(b, "mail_from", proto_span(m->mail_from));
    text_put_number(b, "size", m->body ? m->body->size : 0);
    text_put_number(b, "pending", m->pending_count);
    text_put_number(b, "fitting", fitting);
    text_key(b, "recipients");
    buf_add_cstr(b, "[");
    buf_add_span(b, recipients);
    buf_add_cstr(b, "]}");
}

static void add_message(struct queue_page *p, struct queue_reader *reader, struct place at)
{
    Angarium__MessageRecord *m = NULL;
    size_t begun = p->rows->text.n;
    uint64_t fitting;

    if (queue_reader_message(reader, at.entry, &m) != 0) return;
    buf_reset(&p->recipients);
    fitting = add_recipients(p, reader, at.entry, m->recipient_count);
    if (fitting > 0) {
        text_of_message(&p->rows->text, proto_id(at.shard, at.entry), m, fitting,
                        buf_span(&p->recipients));
        rows_added(p->rows, at);
        p->has_room = reading_takes(p->reading, p->rows->text.n - begun + 1);
    }
    queue_message_free(&m);
}

static bool is_full(const struct queue_page *p)
{
    return !p->has_room || p->rows->count >= p->reading->q->limit ||
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

/* False: the page is full. The view that is read is made when the list is there: what came meanwhile is in it. */
static bool add_messages(struct queue_page *p, struct queue_store *store, uint32_t shard,
                         const uint64_t *list, size_t n)
{
    struct queue_reader *reader = queue_reader_new(store, shard);
    size_t i = 0;

    for (; i < n && !is_full(p); i++) {
        add_message(p, reader, (struct place){ shard, list[i], 0 });
        p->looked_at++;
        p->last.entry = list[i];
    }
    queue_reader_free(&reader);
    return i == n;
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
        if (n > 0 && !add_messages(p, store, shard, list, n)) return false;
        if (n > 0) after = list[n - 1];
    } while (n == LIST_BATCH);
    return true;
}

void queue_read(struct reading *r)
{
    struct queue_page p = { .reading = r, .rows = rows_new(r->q->limit), .has_room = true };
    bool done = true;

    buf_init(&p.recipients, SIZE_MAX / 2);
    for (unsigned i = 0; done && i < r->q->shard_count; i++)
        done = scan_shard(&p, r->q->shards[i]);
    buf_deinit(&p.recipients);
    r->rows = p.rows;
    r->json = json_pack("{s:n}", "next_cursor");
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
