/* route_queue - GET /api/v1/queue: counts of the node, and its pending messages, shard by shard,
 * oldest first.
 *
 * The cursor is the id of the last message that was looked at. One request looks at OPS_SCAN_MAX
 * messages at most, so a page may have fewer items than asked for, or none, and still a cursor.
 */
#include <stdio.h>
#include <stdlib.h>

#include "node/ops/inside.h"
#include "proto/ground/check.h"

#define LIST_BATCH       256
#define RECIPIENTS_SHOWN 20 /* of one message; GET messages/{id} shows all */

struct queue_page {
    unsigned limit;
    uint64_t after; /* a message's id */
    char domain[256];
    bool by_state;
    Angarium__RecipientState state;
    json_t *items;
    unsigned looked_at;
    uint64_t last; /* looked at; the next cursor when the page ends early */
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
    sum->uploads += c->uploads;
    sum->kept_messages += c->kept_messages;
    sum->kept_events += c->kept_events;
}

static json_t *sum_counts(struct commit *commit)
{
    struct queue_counts sum = { 0 };

    for (uint32_t i = 1; i <= commit_shard_count(commit); i++) {
        struct commit_shard_view v;

        commit_shard_see(commit, i, &v);
        add_counts(&sum, &v.counts);
    }
    return json_of_counts(&sum);
}

/* ---- messages */

static bool fits(const struct queue_page *p, const Angarium__RecipientRecord *r)
{
    if (proto_state_is_terminal(r->state)) return false;
    if (p->by_state && r->state != p->state) return false;
    return !p->domain[0] || span_eq_nocase(proto_span(r->domain), span_cstr(p->domain));
}

/* The recipients that are pending and fit, the first RECIPIENTS_SHOWN of them; NULL: none. */
static json_t *pending_recipients(const struct queue_page *p, struct queue_store *store,
                                  uint64_t id, uint32_t count, uint64_t *fitting)
{
    json_t *list = json_array();

    *fitting = 0;
    for (uint32_t i = 0; i < count; i++) {
        Angarium__RecipientRecord *r = NULL;

        if (queue_recipient_get(store, proto_id_shard(id), proto_id_index(id), i, &r) != 0)
            continue;
        if (fits(p, r) && (*fitting)++ < RECIPIENTS_SHOWN)
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
    recipients = pending_recipients(p, store, id, m->recipient_count, &fitting);
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
        json_array_append_new(p->items, j);
    }
    queue_message_free(&m);
}

static bool is_full(const struct queue_page *p)
{
    return json_array_size(p->items) >= p->limit || p->looked_at >= OPS_SCAN_MAX;
}

/* One shard from `after` on; false: the page is full. */
static bool scan_shard(struct queue_page *p, struct ops *ops, uint32_t shard, uint64_t after)
{
    struct queue_store *store = commit_store(ops->o.commit);
    uint64_t list[LIST_BATCH];
    size_t n;

    do {
        n = queue_messages(store, shard, after, true, list, LIST_BATCH);
        for (size_t i = 0; i < n; i++) {
            if (is_full(p) || atomic_load(&ops->closing)) return false;
            add_message(p, store, proto_id(shard, list[i]));
            p->looked_at++;
            p->last = proto_id(shard, list[i]);
        }
        if (n > 0) after = list[n - 1];
    } while (n == LIST_BATCH);
    return true;
}

static void read_queue(struct call *c)
{
    struct queue_page *p = c->more;
    struct commit *commit = c->ops->o.commit;
    uint32_t shard = p->after ? proto_id_shard(p->after) : 1;
    uint64_t after = proto_id_index(p->after);
    bool done = true;
    char cursor[BASE32_SIZE];

    p->items = json_array();
    p->last = p->after;
    for (; done && shard <= commit_shard_count(commit); shard++, after = 0)
        done = scan_shard(p, c->ops, shard, after);
    base32_print(p->last, cursor);
    c->json = json_page(p->items, done ? NULL : json_string(cursor));
    json_object_set_new(c->json, "counts", sum_counts(commit));
}

/* ---- what is asked for */

static bool take_state(struct call *c, struct queue_page *p)
{
    static const Angarium__RecipientState pending[] = {
        ANGARIUM__RECIPIENT_STATE__RECIPIENT_WAITING,
        ANGARIUM__RECIPIENT_STATE__RECIPIENT_CLAIMED,
        ANGARIUM__RECIPIENT_STATE__RECIPIENT_HELD,
    };
    char text[32];

    call_take_query(c, "state", text, sizeof text);
    p->by_state = text[0] != '\0';
    if (!p->by_state) return true;
    for (unsigned i = 0; i < sizeof pending / sizeof pending[0]; i++) {
        if (strcmp(proto_state_name(pending[i]), text) != 0) continue;
        p->state = pending[i];
        return true;
    }
    call_answer_problem(c, PROBLEM_BAD_REQUEST, "state: waiting, claimed or held");
    return false;
}

void route_queue(struct call *c)
{
    struct queue_page *p = check_calloc(1, sizeof *p);
    char cursor[32];

    c->more = p;
    call_take_query(c, "domain", p->domain, sizeof p->domain);
    call_take_query(c, "cursor", cursor, sizeof cursor);
    if (!call_take_limit(c, &p->limit) || !take_state(c, p)) return;
    if (cursor[0] && base32_parse(span_cstr(cursor), &p->after) != 0)
        call_answer_problem(c, PROBLEM_BAD_REQUEST, "cursor: not one that was given out");
    else
        call_on_disk(c, read_queue);
}
