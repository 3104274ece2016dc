/* query - a question to the whole cluster: each shard is asked of one node, all nodes in parallel, within QUERY_WITHIN_MS.
 *
 * Who is asked: the node that leads the shard; when it is not reached this one, if it holds the shard, or another holder. When
 * one does not answer, its shards are asked of others, QUERY_ROUNDS times in all. What nobody answered for is told: nodes in
 * "missing", shards in "unanswered". So a node that hangs costs one bounded wait, and one that is known to be gone none.
 * A message, or its story, that does not fit into one answer is fetched in pieces from the same node.
 */
#include <stdio.h>
#include <stdlib.h>

#include "node/ops/follow.h"
#include "proto/ground/check.h"

#define QUERY_WITHIN_MS 2000
#define QUERY_ROUNDS    3
#define QUERY_PARTS_MAX (QUERY_ROUNDS * CONTROL_NODES_MAX)

struct query;
struct part { /* what one node is asked */
    struct query *query;
    uint64_t node;
    struct question q;
    struct peer_call call;
    struct loop_work work;
    struct reading reading; /* here */
    json_t *json;           /* its answer; NULL: none */
};
struct missing {
    uint64_t node;
    const char *why;
};
struct query { /* call->more */
    struct call *call;
    struct question q;
    bool is_answered[QUESTION_SHARDS_MAX]; /* as q.shards */
    struct part *parts[QUERY_PARTS_MAX];
    unsigned part_count, out, rounds;
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
    return query_reaches(y->call->ops, node) &&
           (node == y->call->ops->o.node || !is_missing(y, node));
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

/* 0: nobody who can be reached. */
static uint64_t who_has(const struct query *y, uint32_t shard)
{
    const struct ops *ops = y->call->ops;
    const struct control_shard *s =
        ops->o.cluster ? control_shard(cluster_control(ops->o.cluster), shard) : NULL;
    uint64_t leader = commit_shard_leader(ops->o.commit, shard);

    if (y->q.is_here) return ops->o.node;
    if (leader != 0 && is_reached(y, leader)) return leader;
    if (query_holds(ops, shard)) return ops->o.node;
    for (unsigned i = 0; s && i < s->holder_count; i++)
        if (s->holders[i] != ops->o.node && is_reached(y, s->holders[i])) return s->holders[i];
    return 0;
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

static struct part *part_of(struct query *y, unsigned from, uint64_t node)
{
    struct part *p;

    for (unsigned i = from; i < y->part_count; i++)
        if (y->parts[i]->node == node) return y->parts[i];
    if (y->part_count == QUERY_PARTS_MAX) return NULL;
    p = check_calloc(1, sizeof *p);
    p->query = y;
    p->node = node;
    p->q = y->q;
    p->q.shard_count = 0;
    y->parts[y->part_count++] = p;
    return p;
}

static void divide_shards(struct query *y, unsigned from)
{
    for (unsigned i = 0; i < y->q.shard_count; i++) {
        uint64_t node = y->is_answered[i] ? 0 : who_has(y, y->q.shards[i]);
        struct part *p = node != 0 ? part_of(y, from, node) : NULL;

        if (p) p->q.shards[p->q.shard_count++] = y->q.shards[i];
    }
}

/* Each node that is there, about itself. */
static void divide_nodes(struct query *y)
{
    const struct ops *ops = y->call->ops;
    const struct control *control = ops->o.cluster ? cluster_control(ops->o.cluster) : NULL;

    part_of(y, 0, ops->o.node);
    for (unsigned i = 0; control && i < control_node_count(control); i++) {
        uint64_t id = control_node_at(control, i)->id;

        if (id != ops->o.node && !y->q.is_here && is_reached(y, id)) part_of(y, 0, id);
    }
}

/* ---- answers of the parts */

static void mark_answered(struct query *y, const struct question *q)
{
    unsigned k = 0;

    for (unsigned i = 0; i < y->q.shard_count && k < q->shard_count; i++) {
        if (y->q.shards[i] != q->shards[k]) continue;
        y->is_answered[i] = true;
        k++;
    }
}

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

/* Takes json. False: another piece is on its way. */
static bool take_answer(struct part *p, int rv, json_t *json)
{
    const json_t *more = json_object_get(json, "more");
    json_int_t next = json_integer_value(more);

    if (rv == 0 && !json_is_object(json)) rv = ERR_CORRUPT;
    if (rv == 0 && more && (next <= (json_int_t)p->q.skip || next > UINT32_MAX)) rv = ERR_CORRUPT;
    if (rv != 0) {
        json_decref(json);
        json_decref(p->json);
        p->json = NULL;
        if (rv == ERR_NOT_FOUND) p->query->is_not_found = true;
        return true;
    }
    join(p, json);
    if (more && json_array_size(json_object_get(p->json, "items")) >= OPS_SCAN_MAX) more = NULL;
    if (!more) json_object_del(p->json, "more");
    if (more) {
        p->q.skip = (uint32_t)next;
        if (send_part(p) == 0) return false;
        json_decref(p->json);
        p->json = NULL;
        return true;
    }
    mark_answered(p->query, &p->q);
    return true;
}

static void part_ends(struct part *p)
{
    struct query *y = p->query;

    if (--y->out == 0) go_on(y);
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
    if (take_answer(p, rv, json)) part_ends(p);
}

static void on_run(struct loop_work *w)
{
    struct part *p = CONTAINER_OF(w, struct part, work);

    if (p->q.kind != QUESTION_NODE) question_read(&p->reading);
}

static void on_read(struct loop_work *w)
{
    struct part *p = CONTAINER_OF(w, struct part, work);

    if (take_answer(p, p->reading.rv, p->reading.json)) part_ends(p);
}

static int send_there(struct part *p)
{
    struct ops *ops = p->query->call->ops;
    char *text = question_print(&p->q);
    int rv;

    p->call = (struct peer_call){ .to = p->node,
                                  .kind = PEER_QUERY,
                                  .lane = WIRE_BULK,
                                  .within_ms = QUERY_WITHIN_MS,
                                  .request = span_cstr(text),
                                  .on_done = on_answered };
    rv = peer_call(ops->o.peers, ops->o.loop, &p->call);
    free(text);
    if (rv != 0) add_missing(p->query, p->node, "it cannot be asked now");
    return rv;
}

static int send_part(struct part *p)
{
    struct ops *ops = p->query->call->ops;
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
        if (!y->is_answered[i]) json_array_append_new(list, json_integer(y->q.shards[i]));
    return list;
}

static void put_missing(const struct query *y, json_t *page)
{
    if (!y->call->ops->o.cluster || y->q.is_here) return;
    json_object_set_new(page, "missing", missing_json(y));
    if (y->q.kind != QUESTION_NODE) json_object_set_new(page, "unanswered", unanswered_json(y));
}

static json_t *page_of(struct query *y)
{
    json_t *answers[QUERY_PARTS_MAX], *page;
    unsigned n = 0;

    for (unsigned i = 0; i < y->part_count; i++)
        if (y->parts[i]->json) answers[n++] = y->parts[i]->json;
    page = y->q.kind == QUESTION_NODE     ? nodes_page(y->call->ops, answers, n)
           : y->q.kind == QUESTION_SHARDS ? shards_page(answers, n)
                                          : merge_pages(&y->q, answers, n);
    put_missing(y, page);
    return page;
}

static void query_deinit(struct query *y)
{
    for (unsigned i = 0; i < y->part_count; i++) {
        json_decref(y->parts[i]->json);
        free(y->parts[i]);
    }
    y->part_count = 0;
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
    query_deinit(y);
    if (found)
        call_answer_json(c, 200, found);
    else if (y->is_not_found)
        call_answer_problem(c, PROBLEM_NOT_FOUND, "there is no message %s (any more)", c->param);
    else
        call_answer_problem(c, PROBLEM_NOT_REACHED, "%s: %s", c->param, why);
}

static void conclude(struct query *y)
{
    struct call *c = y->call;

    if (y->is_busy) {
        query_deinit(y);
        call_answer_problem(c, PROBLEM_BUSY, "the disk has too much to do; try again in a moment");
    } else if (y->q.kind == QUESTION_MESSAGE || y->q.kind == QUESTION_STORY) {
        answer_one(y);
    } else {
        json_t *page;

        if (!y->q.is_here) query_each_gone(c->ops, on_gone, y);
        page = page_of(y);
        query_deinit(y);
        call_answer_json(c, 200, page);
    }
}

/* ---- rounds */

static bool is_over(const struct query *y)
{
    if (y->rounds == QUERY_ROUNDS || y->is_busy || y->is_not_found) return true;
    if (y->rounds > 0 && y->q.kind == QUESTION_NODE) return true;
    return atomic_load(&y->call->ops->closing);
}

static void go_on(struct query *y)
{
    unsigned from = y->part_count;

    if (is_over(y)) {
        conclude(y);
        return;
    }
    y->rounds++;
    if (y->q.kind == QUESTION_NODE)
        divide_nodes(y);
    else
        divide_shards(y, from);
    y->out = 1; /* this function's own: a part may end inside */
    for (unsigned i = from; i < y->part_count; i++) {
        y->out++;
        if (send_part(y->parts[i]) != 0) y->out--;
    }
    if (y->part_count == from) y->rounds = QUERY_ROUNDS;
    if (--y->out == 0) go_on(y);
}

void query_run(struct call *c, const struct question *q)
{
    struct query *y = check_calloc(1, sizeof *y);

    free(c->more);
    c->more = y;
    y->call = c;
    y->q = *q;
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
