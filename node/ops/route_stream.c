/* route_stream - GET /api/v1/events/stream: events of the whole cluster as they happen (server-sent events, HTML 9.2).
 *
 * Way:    a reader's follow (follow.h) says which event is next; what it asks goes to this node's feed or to another node.
 * Begin:  without a cursor from now on. The stream begins when it is known where that is in each shard, so that what happens
 *         after its first bytes is in it; a node that hangs costs one wait of FOLLOW_WITHIN_MS.
 * Resume: each event's SSE id is a cursor (?cursor= or Last-Event-ID); an event's own id is one, too.
 * Told:   who is missing, as a comment when it changes and with each sign of life: `: missing {"missing":[...],"unanswered":[...]}`.
 * Bounds: CLIENTS_MAX readers. Nothing is fetched that a reader has no room for; one that takes nothing for STALLED_MS is closed.
 */
#include <stdio.h>
#include <stdlib.h>

#include "node/ops/follow.h"
#include "proto/ground/check.h"
#include "proto/ground/list.h"

#define CLIENTS_MAX   64
#define WAITING_BYTES (64u << 10)
#define TICK_MS       200
#define SIGN_MS       15000
#define STALLED_MS    60000

enum phase { OPENING, LIVE };
struct client {
    struct list link;
    struct call *call;
    struct follow *follow;
    enum phase phase;
    bool is_here;
    uint64_t message, begun_ms, sign_ms,
        stalled_ms;     /* stalled_ms: it has no room since then; 0: it has */
    struct buf waiting; /* told as soon as there is room */
    struct list asks;
    char *missing; /* as told last */
};
struct ask { /* a question that is out; it outlives a reader that goes */
    struct list link;
    struct client *client; /* NULL: nobody wants the answer any more */
    struct ops_feed *feed;
    uint64_t node;
    struct peer_call call;
    struct follow_read read;
};

static void flush(struct client *k);
static void open_when_known(struct client *k, uint64_t now);

/* ---- the end of a reader */

static void client_free(struct client *k)
{
    struct ops_feed *f = k->call->ops->feed;
    struct list *it;

    while ((it = list_take_first(&k->asks)) != NULL)
        CONTAINER_OF(it, struct ask, link)->client = NULL;
    list_remove(&k->link);
    atomic_fetch_sub(&f->client_count, 1);
    buf_deinit(&k->waiting);
    follow_free(&k->follow);
    free(k->missing);
}

/* Before it began: a problem. */
static void refuse(struct client *k, enum problem p, const char *why)
{
    struct call *c = k->call;

    client_free(k);
    call_answer_problem(c, p, "%s", why);
}

static void end(struct client *k)
{
    struct call *c = k->call;

    if (k->phase == OPENING) {
        refuse(k, PROBLEM_CLOSING, "the node is shutting down");
        return;
    }
    client_free(k);
    http_stream_end(c->request);
    call_free(c); /* and k */
}

static void on_gone(void *arg)
{
    end(arg);
}

static void abandon(struct call *c)
{
    end(c->more);
}

/* ---- asking */

static void answered(struct ask *a, int rv, const char *why, json_t *answer)
{
    struct client *k = a->client;
    uint64_t now = loop_mono_ms(a->feed->ops->o.loop);

    a->feed->ask_count--;
    list_remove(&a->link);
    if (k)
        follow_answered(k->follow, a->node, rv, why, answer, now);
    else
        json_decref(answer);
    free(a);
    if (k && k->phase == OPENING)
        open_when_known(k, now);
    else if (k)
        flush(k);
}

static void on_read(struct follow_read *r, int rv, json_t *answer)
{
    answered(CONTAINER_OF(r, struct ask, read), rv, rv != 0 ? err_text(rv) : NULL, answer);
}

static void on_answer(struct peer_call *call, int rv, struct span head, struct span body)
{
    json_t *answer =
        rv == 0 ? json_loadb((const char *)body.p, body.n, JSON_REJECT_DUPLICATES, NULL) : NULL;

    (void)head;
    if (rv == 0 && !answer) rv = ERR_CORRUPT;
    answered(CONTAINER_OF(call, struct ask, call), rv, query_why(call, rv), answer);
}

static int ask_there(struct ask *a, const struct follow_question *q)
{
    struct ops *ops = a->feed->ops;
    char *text = follow_print(q);
    int rv;

    a->call = (struct peer_call){ .to = a->node,
                                  .kind = PEER_FOLLOW,
                                  .lane = WIRE_BULK,
                                  .within_ms = FOLLOW_WITHIN_MS,
                                  .request = span_cstr(text),
                                  .on_done = on_answer };
    rv = peer_call(ops->o.peers, ops->o.loop, &a->call);
    free(text);
    return rv;
}

static int ask(void *arg, uint64_t node, const struct follow_question *q)
{
    struct client *k = arg;
    struct ops *ops = k->call->ops;
    struct ask *a = check_calloc(1, sizeof *a);
    int rv;

    a->client = k;
    a->feed = ops->feed;
    a->node = node;
    if (node == ops->o.node) {
        a->read.ops = ops;
        a->read.q = *q;
        a->read.on_done = on_read;
        rv = follow_read_start(&a->read);
    } else {
        rv = ask_there(a, q);
    }
    if (rv != 0) {
        free(a);
        return rv;
    }
    ops->feed->ask_count++;
    list_add(&k->asks, &a->link);
    return 0;
}

static unsigned holders(void *arg, uint32_t shard, uint64_t out[QUESTION_HOLDERS_MAX])
{
    const struct client *k = arg;
    const struct ops *ops = k->call->ops;
    uint64_t all[QUESTION_HOLDERS_MAX];
    unsigned count, n = 0;

    if (k->is_here) {
        out[0] = ops->o.node;
        return query_holds(ops, shard) ? 1 : 0;
    }
    count = query_holders(ops, shard, all);
    for (unsigned i = 0; i < count; i++)
        if (query_reaches(ops, all[i])) out[n++] = all[i];
    return n;
}

/* ---- telling */

static void add_event(struct buf *out, struct buf *cursor, const json_t *event)
{
    char *text = json_dumps(event, JSON_COMPACT);

    buf_addf(out, "id: %s\nevent: %s\ndata: %s\n\n", buf_cstr(cursor),
             json_string_value(json_object_get(event, "type")), text);
    free(text);
}

static void fill(struct client *k)
{
    struct buf cursor;
    const json_t *event;

    buf_init(&cursor, FOLLOW_CURSOR_MAX + 1);
    while (k->waiting.n < WAITING_BYTES && (event = follow_next(k->follow, &cursor)) != NULL) {
        add_event(&k->waiting, &cursor, event);
        buf_reset(&cursor);
    }
    buf_deinit(&cursor);
}

/* Writes what there is as long as there is room; then asks for more. */
static void flush(struct client *k)
{
    uint64_t now = loop_mono_ms(k->call->ops->o.loop);

    if (k->phase == LIVE) fill(k);
    while (k->phase == LIVE && k->waiting.n > 0) {
        int rv = http_stream_write(k->call->request, buf_span(&k->waiting));

        if (rv == ERR_FULL && k->stalled_ms == 0) k->stalled_ms = now;
        if (rv != 0) return; /* one that is gone: on_gone comes */
        k->stalled_ms = 0;
        buf_reset(&k->waiting);
        buf_shrink(&k->waiting, 16u << 10);
        fill(k);
    }
    follow_pump(k->follow, now);
}

static void on_room(void *arg)
{
    flush(arg);
}

/* ---- who is missing */

static void add_gone(void *arg, uint64_t node, const char *why)
{
    json_array_append_new(arg, json_pack("{s:I, s:s}", "node", (json_int_t)node, "why", why));
}

static void add_silent(const struct client *k, json_t *list)
{
    const struct ops *ops = k->call->ops;
    const struct control *control = cluster_control(ops->o.cluster);

    for (unsigned i = 0; i < control_node_count(control); i++) {
        uint64_t node = control_node_at(control, i)->id;
        const char *why = follow_why_missing(k->follow, node);

        if (why && query_reaches(ops, node)) add_gone(list, node, why);
    }
}

static char *missing_text(const struct client *k)
{
    json_t *missing = json_array(), *shards = json_array(), *j;
    uint32_t list[QUESTION_SHARDS_MAX];
    unsigned n = follow_unanswered(k->follow, list);
    char *text;

    query_each_gone(k->call->ops, add_gone, missing);
    add_silent(k, missing);
    for (unsigned i = 0; i < n; i++)
        json_array_append_new(shards, json_integer(list[i]));
    j = json_pack("{s:o, s:o}", "missing", missing, "unanswered", shards);
    text = json_dumps(j, JSON_COMPACT);
    CHECK(text);
    json_decref(j);
    return text;
}

static const char nobody_missing[] = "{\"missing\":[],\"unanswered\":[]}";

/* When it changes; again, while somebody is missing, when `again`. */
static void tell_missing(struct client *k, bool again)
{
    char *now;
    bool same;

    if (k->is_here || !k->call->ops->o.cluster) return;
    now = missing_text(k);
    same = strcmp(now, k->missing ? k->missing : nobody_missing) == 0;
    if (!same || (again && strcmp(now, nobody_missing) != 0))
        buf_addf(&k->waiting, ": missing %s\n\n", now);
    free(k->missing);
    k->missing = now;
}

/* ---- its life */

static void set_shards(struct client *k)
{
    uint32_t shards[QUESTION_SHARDS_MAX];
    unsigned n = query_list_shards(k->call->ops, k->is_here, shards);

    query_keep_shard_of(k->message, shards, &n);
    follow_set_shards(k->follow, shards, n);
}

static void begin(struct client *k)
{
    struct http_request *r = k->call->request;

    k->phase = LIVE;
    k->sign_ms = loop_mono_ms(k->call->ops->o.loop);
    http_stream_start(r, 200, "text/event-stream");
    http_on_room(r, on_room, k);
    buf_add_cstr(&k->waiting, "retry: 2000\n: angarium events\n\n");
    tell_missing(k, false);
    flush(k);
}

static void open_when_known(struct client *k, uint64_t now)
{
    if (!follow_is_open(k->follow)) {
        follow_pump(k->follow, now);
        if (now < k->begun_ms + FOLLOW_WITHIN_MS) return;
        if (!follow_open_now(k->follow)) {
            refuse(k, PROBLEM_NOT_REACHED, "nobody who has the cursor's event can be reached");
            return;
        }
    }
    begin(k);
}

static void tick_live(struct client *k, uint64_t now)
{
    bool sign = now >= k->sign_ms + SIGN_MS;

    if (k->stalled_ms != 0) {
        if (now >= k->stalled_ms + STALLED_MS)
            end(k); /* too slow: it comes again with its cursor */
        return;
    }
    if (sign) {
        buf_add_cstr(&k->waiting, ": still here\n\n");
        k->sign_ms = now;
    }
    tell_missing(k, sign);
    flush(k);
}

static void on_tick(struct loop_timer *t)
{
    struct ops_feed *f = CONTAINER_OF(t, struct ops_feed, tick);
    uint64_t now = loop_mono_ms(f->ops->o.loop);

    LIST_FOR_SAFE(it, &f->clients) {
        struct client *k = CONTAINER_OF(it, struct client, link);

        set_shards(k);
        if (k->phase == OPENING)
            open_when_known(k, now);
        else
            tick_live(k, now);
    }
    if (!list_empty(&f->clients)) loop_timer_start(t, TICK_MS);
}

/* ---- the request */

static bool take_cursor(struct client *k)
{
    struct call *c = k->call;
    char *text = check_calloc(1, FOLLOW_CURSOR_MAX + 1);
    struct span cursor = http_header(c->request, "Last-Event-ID");
    int rv;

    call_take_query(c, "cursor", text, FOLLOW_CURSOR_MAX + 1);
    if (text[0]) cursor = span_cstr(text);
    rv = cursor.n > 0 ? follow_resume(k->follow, cursor) : 0;
    free(text);
    return rv == 0;
}

static void start(struct client *k)
{
    struct call *c = k->call;
    struct ops_feed *f = c->ops->feed;

    c->abandon = abandon;
    k->begun_ms = loop_mono_ms(c->ops->o.loop);
    if (!loop_timer_is_running(&f->tick)) loop_timer_start(&f->tick, TICK_MS);
    http_on_gone(c->request, on_gone, k);
    set_shards(k);
    open_when_known(k, k->begun_ms);
}

static struct client *client_new(struct call *c, const struct event_filter *filter, bool is_here)
{
    struct client *k = check_calloc(1, sizeof *k);
    struct ops_feed *f = c->ops->feed;

    k->call = c;
    k->is_here = is_here;
    k->message = filter->message;
    k->follow = follow_new(&(struct follow_calls){ .arg = k, .holders = holders, .ask = ask },
                           filter, loop_wall_ms(c->ops->o.loop));
    buf_init(&k->waiting, SIZE_MAX / 2);
    list_init(&k->asks);
    list_add(&f->clients, &k->link);
    atomic_fetch_add(&f->client_count, 1);
    c->more = k;
    return k;
}

void route_event_stream(struct call *c)
{
    struct event_filter filter;
    struct client *k;
    bool is_here;

    if (atomic_load(&c->ops->feed->client_count) >= CLIENTS_MAX) {
        call_answer_problem(c, PROBLEM_BUSY, "%d readers follow the events; no more are possible",
                            CLIENTS_MAX);
        return;
    }
    if (!event_filter_take(c, &filter) || !query_take_scope(c, &is_here)) return;
    k = client_new(c, &filter, is_here);
    if (take_cursor(k))
        start(k);
    else
        refuse(k, PROBLEM_BAD_REQUEST,
               "cursor: the id of an event, or one that a stream gave out, is needed");
}

void streams_open(struct ops_feed *f)
{
    list_init(&f->clients);
    loop_timer_init(&f->tick, f->ops->o.loop, on_tick);
}

void streams_close(struct ops_feed *f)
{
    loop_timer_stop(&f->tick);
}
