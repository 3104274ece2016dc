/* query - a question to the whole cluster: each shard is asked of one node, all nodes in parallel, within one bounded wait.
 *
 * Who is asked: the node that leads the shard; when it is not reached this one, if it holds the shard, or another holder. Of what
 * fails or is slow another one is asked within what is left of the wait (spread.h). What nobody answered for is told: nodes in
 * "missing", shards in "unanswered". So nodes that hang cost one bounded wait, and those that are known to be gone none.
 * A message, or its story, that does not fit into one answer is fetched in pieces from the same node.
 * When the call is answered, the query waits for what is still out, which counts no more.
 */
#include <stdio.h>
#include <stdlib.h>

#include "node/ops/follow.h"
#include "node/ops/spread.h"
#include "proto/ground/check.h"

struct query;
struct part { /* what one node is asked */
    struct query *query;
    unsigned number;
    uint64_t node;
    struct question q;
    struct peer_call call;
    struct loop_work work;
    struct reading reading; /* here */
    json_t *json;           /* its answer; NULL: none that counts */
    struct rows *rows;      /* of it; NULL: json has the items */
};
struct missing {
    uint64_t node;
    const char *why;
};
struct query {
    struct ops *ops;
    struct call *call; /* NULL: it is answered */
    struct question q;
    struct spread spread;
    struct loop_timer timer;
    struct part *parts[SPREAD_PARTS_MAX]; /* as the spread's */
    unsigned part_count;
    struct missing missing[CONTROL_NODES_MAX];
    unsigned missing_count;
    bool is_not_found, is_busy;
};

static void go_on(struct query *y);

/* ---- who is missing */

static bool is_missing(const struct query *y, uint64_t node)
{
    for (unsigned i = 0; i < y->missing_count; i++)
        if (y->missing[i].node == node) return true;
    return false;
}

static void add_missing(struct query *y, uint64_t node, const char *why)
{
    if (!is_missing(y, node) && y->missing_count < CONTROL_NODES_MAX)
        y->missing[y->missing_count++] = (struct missing){ node, why };
}

bool query_reaches(const struct ops *ops, uint64_t node)
{
    if (node == ops->o.node) return true;
    return ops->o.peers && peers_is_up(ops->o.peers, node) && cluster_is_up(ops->o.cluster, node);
}

static bool is_reached(const struct query *y, uint64_t node)
{
    return query_reaches(y->ops, node) && (node == y->ops->o.node || !is_missing(y, node));
}

void query_each_gone(const struct ops *ops,
                     void (*on_gone)(void *arg, uint64_t node, const char *why), void *arg)
{
    const struct control *control = ops->o.cluster ? cluster_control(ops->o.cluster) : NULL;

    for (unsigned i = 0; control && i < control_node_count(control); i++) {
        const struct control_node *n = control_node_at(control, i);

        if (n->state == CONTROL_GONE || n->state == CONTROL_JOINING) continue;
        if (!query_reaches(ops, n->id))
            on_gone(arg, n->id,
                    peers_is_up(ops->o.peers, n->id) ? "it is silent" : "it is not connected");
    }
}

/* Nobody waits for them. */
static void on_gone(void *arg, uint64_t node, const char *why)
{
    add_missing(arg, node, why);
}

/* ---- who is asked */

/* A replica that is no member any more may be old. */
bool query_holds(const struct ops *ops, uint32_t shard)
{
    const struct control_shard *s =
        ops->o.cluster ? control_shard(cluster_control(ops->o.cluster), shard) : NULL;
    struct commit_shard_view v;

    if (ops->o.cluster && (!s || !control_holds(s, ops->o.node))) return false;

    if (shard > commit_shard_max(ops->o.commit)) return false;
    commit_shard_see(ops->o.commit, shard, &v);
    return v.is_open;
}

static void add_holder(uint64_t node, uint64_t *out, unsigned *count)
{
    for (unsigned i = 0; i < *count; i++)
        if (out[i] == node) return;
    out[(*count)++] = node;
}

unsigned query_holders(const struct ops *ops, uint32_t shard, uint64_t out[QUESTION_HOLDERS_MAX])
{
    const struct control_shard *s =
        ops->o.cluster ? control_shard(cluster_control(ops->o.cluster), shard) : NULL;
    uint64_t leader = commit_shard_leader(ops->o.commit, shard);
    unsigned count = 0;

    if (leader != 0 && leader != ops->o.node) add_holder(leader, out, &count);
    if (query_holds(ops, shard)) add_holder(ops->o.node, out, &count);
    for (unsigned i = 0; s && i < s->holder_count; i++)
        if (s->holders[i] != ops->o.node) add_holder(s->holders[i], out, &count);
    return count;
}

static unsigned holders(void *arg, uint32_t shard, uint64_t out[QUESTION_HOLDERS_MAX])
{
    const struct query *y = arg;
    uint64_t all[QUESTION_HOLDERS_MAX];
    unsigned count, n = 0;

    out[0] = y->ops->o.node;
    if (y->q.is_here) return 1;
    count = query_holders(y->ops, shard, all);
    for (unsigned i = 0; i < count; i++)
        if (is_reached(y, all[i])) out[n++] = all[i];
    return n;
}

/* Each node that is there, about itself. */
static void ask_nodes(struct query *y)
{
    const struct ops *ops = y->ops;
    const struct control *control = ops->o.cluster ? cluster_control(ops->o.cluster) : NULL;

    spread_ask_node(&y->spread, ops->o.node);
    for (unsigned i = 0; control && i < control_node_count(control); i++) {
        uint64_t id = control_node_at(control, i)->id;

        if (id != ops->o.node && !y->q.is_here && is_reached(y, id))
            spread_ask_node(&y->spread, id);
    }
}

/* ---- answers of the parts */

/* The next piece goes behind those that are there. */
static void join(struct part *p, json_t *piece)
{
    const char *key = p->q.kind == QUESTION_MESSAGE ? "recipients" : "items";

    if (!p->json) {
        p->json = piece;
        return;
    }
    json_array_extend(json_object_get(p->json, key), json_object_get(piece, key));
    json_decref(piece);
}

static int send_part(struct part *p);

static void drop_answer(struct part *p)
{
    json_decref(p->json);
    p->json = NULL;
    rows_free(&p->rows);
}

/* Takes json. *more: another piece was asked for; 0: it is on its way. */
static int take_piece(struct part *p, json_t *json, bool *more)
{
    const json_t *next = json_object_get(json, "more");
    json_int_t skip = json_integer_value(next);

    *more = false;
    if (!json_is_object(json) || (next && (skip <= (json_int_t)p->q.skip || skip > UINT32_MAX))) {
        json_decref(json);
        return ERR_CORRUPT;
    }
    join(p, json);
    if (next && json_array_size(json_object_get(p->json, "items")) < OPS_SCAN_MAX) {
        p->q.skip = (uint32_t)skip;
        *more = true;
        return send_part(p);
    }
    json_object_del(p->json, "more");
    return 0;
}

/* Takes json: what a part got. */
static void take_answer(struct part *p, int rv, json_t *json)
{
    struct query *y = p->query;
    bool more = false;

    if (rv == ERR_NOT_FOUND) y->is_not_found = true;
    if (rv == 0 && y->call)
        rv = take_piece(p, json, &more);
    else
        json_decref(json);
    if (rv == 0 && more) return;
    if (rv != 0 || !y->call) {
        drop_answer(p);
        spread_fail(&y->spread, p->number);
    } else if (!spread_take(&y->spread, p->number, p->q.shards, p->q.shard_count)) {
        drop_answer(p);
    }
    go_on(y);
}

const char *query_why(const struct peer_call *call, int rv)
{
    if (rv == ERR_UNSUPPORTED) return "its version does not know the question";
    if (!call->is_answered) return rv == ERR_TIMEOUT ? "it did not answer in time" : "it went away";
    return rv == ERR_NOT_LEADER ? "it does not hold a shard that it was asked for" : err_text(rv);
}

static void on_answered(struct peer_call *call, int rv, struct span answer, struct span body)
{
    struct part *p = CONTAINER_OF(call, struct part, call);
    json_t *json =
        rv == 0 ? json_loadb((const char *)body.p, body.n, JSON_REJECT_DUPLICATES, NULL) : NULL;

    (void)answer;
    if (rv == 0 && !json) rv = ERR_CORRUPT;
    if (rv != 0 && !(call->is_answered && rv == ERR_NOT_FOUND))
        add_missing(p->query, p->node, query_why(call, rv));
    take_answer(p, rv, json);
}

static void on_run(struct loop_work *w)
{
    struct part *p = CONTAINER_OF(w, struct part, work);

    if (p->q.kind != QUESTION_NODE) question_read(&p->reading);
}

static void on_read(struct loop_work *w)
{
    struct part *p = CONTAINER_OF(w, struct part, work);

    p->rows = p->reading.rows;
    take_answer(p, p->reading.rv, p->reading.json);
}

static int send_there(struct part *p)
{
    struct ops *ops = p->query->ops;
    char *text = question_print(&p->q);
    int rv;

    p->call = (struct peer_call){ .to = p->node,
                                  .kind = PEER_QUERY,
                                  .lane = WIRE_BULK,
                                  .within_ms =
                                      spread_left_ms(&p->query->spread, loop_mono_ms(ops->o.loop)),
                                  .request = span_cstr(text),
                                  .on_done = on_answered };
    rv = peer_call(ops->o.peers, ops->o.loop, &p->call);
    free(text);
    if (rv != 0) add_missing(p->query, p->node, "it cannot be asked now");
    return rv;
}

static int send_part(struct part *p)
{
    struct ops *ops = p->query->ops;
    int rv;

    if (p->node != ops->o.node) return send_there(p);
    p->reading = (struct reading){ .ops = ops, .q = &p->q, .room = SIZE_MAX };
    if (p->q.kind == QUESTION_NODE) question_read(&p->reading); /* what it tells of is the loop's */
    p->work.run = on_run;
    p->work.on_done = on_read;
    rv = loop_work(ops->o.loop, LOOP_POOL_DISK, &p->work);
    if (rv != 0) {
        p->query->is_busy = true;
        json_decref(p->reading.json);
    }
    return rv;
}

/* ---- the answer */

static json_t *missing_json(const struct query *y)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < y->missing_count; i++)
        json_array_append_new(list, json_pack("{s:I, s:s}", "node", (json_int_t)y->missing[i].node,
                                              "why", y->missing[i].why));
    return list;
}

static json_t *unanswered_json(const struct query *y)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < y->q.shard_count; i++)
        if (!y->spread.is_answered[i]) json_array_append_new(list, json_integer(y->q.shards[i]));
    return list;
}

static void put_missing(const struct query *y, json_t *page)
{
    if (!y->ops->o.cluster || y->q.is_here) return;
    json_object_set_new(page, "missing", missing_json(y));
    if (y->q.kind != QUESTION_NODE) json_object_set_new(page, "unanswered", unanswered_json(y));
}

static unsigned take_answers(const struct query *y, struct answer *out)
{
    unsigned n = 0;

    for (unsigned i = 0; i < y->part_count; i++)
        if (y->parts[i]->json) out[n++] = (struct answer){ y->parts[i]->json, y->parts[i]->rows };
    return n;
}

/* Of items that are in an order. */
static void answer_list(struct query *y)
{
    struct answer answers[SPREAD_PARTS_MAX];
    unsigned n = take_answers(y, answers);
    struct buf items;
    json_t *page;

    buf_init(&items, SIZE_MAX / 2);
    page = merge_pages(&y->q, answers, n, &items);
    put_missing(y, page);
    call_answer_page(y->call, buf_span(&items), page);
    buf_deinit(&items);
}

static void answer_page(struct query *y)
{
    json_t *answers[SPREAD_PARTS_MAX], *page;
    unsigned n = 0;

    if (y->q.kind != QUESTION_NODE && y->q.kind != QUESTION_SHARDS) {
        answer_list(y);
        return;
    }
    for (unsigned i = 0; i < y->part_count; i++)
        if (y->parts[i]->json) answers[n++] = y->parts[i]->json;
    page = y->q.kind == QUESTION_NODE ? nodes_page(y->ops, answers, n) : shards_page(answers, n);
    put_missing(y, page);
    call_answer_json(y->call, 200, page);
}

static void query_free(struct query *y)
{
    for (unsigned i = 0; i < y->part_count; i++) {
        drop_answer(y->parts[i]);
        free(y->parts[i]);
    }
    y->ops->query_count--;
    free(y);
}

static void answer_one(struct query *y)
{
    struct call *c = y->call;
    char why[160] = "nobody who has it can be reached";
    json_t *found = NULL;

    for (unsigned i = 0; i < y->part_count; i++)
        if (y->parts[i]->json) found = json_incref(y->parts[i]->json);
    if (y->missing_count > 0)
        snprintf(why, sizeof why, "node %llu: %s", (unsigned long long)y->missing[0].node,
                 y->missing[0].why);
    if (found)
        call_answer_json(c, 200, found);
    else if (y->is_not_found)
        call_answer_problem(c, PROBLEM_NOT_FOUND, "there is no message %s (any more)", c->param);
    else
        call_answer_problem(c, PROBLEM_NOT_REACHED, "%s: %s", c->param, why);
}

/* Who was asked and said nothing. */
static void add_late(struct query *y)
{
    for (unsigned i = 0; i < y->part_count; i++) {
        uint64_t node = y->parts[i]->node;

        if (node != y->ops->o.node && spread_waits_for(&y->spread, node))
            add_missing(y, node, "it did not answer in time");
    }
}

static void conclude(struct query *y)
{
    struct call *c = y->call;

    loop_timer_stop(&y->timer);
    add_late(y);
    if (y->is_busy) {
        call_answer_problem(c, PROBLEM_BUSY, "the disk has too much to do; try again in a moment");
    } else if (y->q.kind == QUESTION_MESSAGE || y->q.kind == QUESTION_STORY) {
        answer_one(y);
    } else {
        if (!y->q.is_here) query_each_gone(c->ops, on_gone, y);
        answer_page(y);
    }
    y->call = NULL;
}

/* ---- its way */

static int ask_part(void *arg, unsigned number, uint64_t node, const uint32_t *shards,
                    unsigned count)
{
    struct query *y = arg;
    struct part *p = check_calloc(1, sizeof *p);

    CHECK(number == y->part_count);
    p->query = y;
    p->number = number;
    p->node = node;
    p->q = y->q;
    p->q.shard_count = count;
    memcpy(p->q.shards, shards, count * sizeof *shards);
    y->parts[y->part_count++] = p;
    return send_part(p);
}

/* That nobody knows a message counts when nobody else is being asked: a slow leader may know it. */
static bool is_over(const struct query *y, uint64_t now)
{
    return y->is_busy || (y->is_not_found && y->spread.out == 0) ||
           spread_is_done(&y->spread, now) || atomic_load(&y->ops->closing);
}

static uint64_t wait_ms(const struct query *y, uint64_t now)
{
    uint64_t next = spread_next_ms(&y->spread);

    return next > now ? next - now : 1;
}

static void go_on(struct query *y)
{
    uint64_t now = loop_mono_ms(y->ops->o.loop);

    if (y->call && !y->is_busy && !y->is_not_found && !atomic_load(&y->ops->closing))
        spread_turn(&y->spread, now);
    if (y->call && is_over(y, now)) conclude(y);
    if (y->call)
        loop_timer_start(&y->timer, wait_ms(y, now));
    else if (y->spread.out == 0)
        query_free(y);
}

static void on_timer(struct loop_timer *t)
{
    go_on(CONTAINER_OF(t, struct query, timer));
}

void query_run(struct call *c, const struct question *q)
{
    struct query *y = check_calloc(1, sizeof *y);

    y->ops = c->ops;
    y->ops->query_count++;
    y->call = c;
    y->q = *q;
    loop_timer_init(&y->timer, y->ops->o.loop, on_timer);
    spread_begin(&y->spread,
                 &(struct spread_calls){ .arg = y, .holders = holders, .ask = ask_part },
                 y->q.shards, y->q.shard_count, loop_mono_ms(y->ops->o.loop));
    if (q->kind == QUESTION_NODE) ask_nodes(y);
    go_on(y);
}

unsigned query_list_shards(const struct ops *ops, bool is_here, uint32_t out[QUESTION_SHARDS_MAX])
{
    const struct control *control = ops->o.cluster ? cluster_control(ops->o.cluster) : NULL;
    unsigned last = control ? control_shard_count(control) : commit_shard_count(ops->o.commit);
    unsigned n = 0;

    for (uint32_t i = 1; i <= last && n < QUESTION_SHARDS_MAX; i++) {
        const struct control_shard *s = control ? control_shard(control, i) : NULL;

        if (control && (!s || s->state == CONTROL_CLOSED)) continue;
        if (!is_here || query_holds(ops, i)) out[n++] = i;
    }
    return n;
}

bool query_take_scope(struct call *c, bool *is_here)
{
    char scope[16];

    call_take_query(c, "scope", scope, sizeof scope);
    *is_here = strcmp(scope, "node") == 0;
    if (!scope[0] || *is_here || strcmp(scope, "cluster") == 0) return true;
    call_answer_problem(c, PROBLEM_BAD_REQUEST, "scope: cluster or node");
    return false;
}

void query_keep_shard_of(uint64_t message, uint32_t *shards, unsigned *count)
{
    unsigned n = 0;

    if (message == 0) return;
    for (unsigned i = 0; i < *count; i++)
        if (shards[i] == proto_id_shard(message)) shards[n++] = shards[i];
    *count = n;
}

bool query_shards(struct call *c, struct question *q)
{
    if (!query_take_scope(c, &q->is_here)) return false;
    q->shard_count = query_list_shards(c->ops, q->is_here, q->shards);
    query_keep_shard_of(q->filter.message, q->shards, &q->shard_count);
    return true;
}
