/* route_shard - GET /api/v1/placements (of all shards of the cluster) and /api/v1/shards/{id}; POST /api/v1/shards (a new one), and
 * verbs of one: close, transfer, move. GET /api/v1/operations/{id}: how far what was begun is.
 *
 * An operation has no record of its own: its id says what was begun, and how far it is stands in the state. So every node answers.
 */
#include <stdio.h>
#include <string.h>

#include "node/ops/change.h"

typedef unsigned long long ull;

static const struct control *control_of(const struct call *c)
{
    return cluster_control(c->ops->o.cluster);
}

/* ---- seeing */

static uint64_t leader_of(const struct ops *ops, uint32_t shard)
{
    struct commit_shard_view v = { 0 };

    if (shard <= commit_shard_count(ops->o.commit)) commit_shard_see(ops->o.commit, shard, &v);
    if (v.is_open && v.raft.leader != 0) return v.raft.leader;
    return commit_shard_leader(ops->o.commit, shard);
}

static json_t *json_of_placement(const struct ops *ops, const struct control_shard *s)
{
    uint64_t leader = s->state == CONTROL_CLOSED ? 0 : leader_of(ops, s->number);
    json_t *j = json_object();

    json_object_set_new(j, "id", json_integer(s->number));
    json_object_set_new(j, "state", json_string(control_shard_state_name(s->state)));
    json_object_set_new(j, "version", json_integer(s->version));
    json_object_set_new(j, "in_force", json_boolean(s->in_force == s->version));
    json_object_set_new(j, "leader", leader ? json_integer((json_int_t)leader) : json_null());
    json_object_set_new(j, "spread", json_string(control_spread_name(s->spread)));
    json_object_set_new(j, "voters", change_nodes(s->voters, s->voter_count));
    json_object_set_new(j, "holders", change_nodes(s->holders, s->holder_count));
    json_object_set_new(j, "founders", change_nodes(s->founders, s->founder_count));
    return j;
}

void route_placements(struct call *c)
{
    const struct cluster *cluster = c->ops->o.cluster;
    json_t *items = json_array(), *page;

    for (uint32_t i = 1; cluster && i <= control_shard_count(control_of(c)); i++)
        json_array_append_new(items, json_of_placement(c->ops, control_shard(control_of(c), i)));
    page = json_page(items, NULL);
    json_object_set_new(page, "settled", json_boolean(!cluster || cluster_is_settled(cluster)));
    call_answer_json(c, 200, page);
}

static const struct control_shard *take_shard(struct call *c)
{
    const struct control_shard *s;
    uint64_t number;

    if (!change_is_clustered(c) || !change_take_number(c, &number)) return NULL;
    s = control_shard(control_of(c), (uint32_t)number);
    if (!s) call_answer_problem(c, PROBLEM_NOT_FOUND, "there is no shard %llu", (ull)number);
    return s;
}

void route_shard(struct call *c)
{
    const struct control_shard *s = take_shard(c);

    if (s) call_answer_json(c, 200, json_of_placement(c->ops, s));
}

/* ---- a new one */

static void put_shard(json_t *answer, const struct control_answer *a)
{
    json_object_set_new(answer, "shard", json_integer(a->shard));
}

/* 0: not said. */
static bool take_spread(struct call *c, enum control_spread *out)
{
    char text[16];

    *out = 0;
    call_take_query(c, "spread", text, sizeof text);
    if (strcmp(text, "zone") == 0) *out = CONTROL_SPREAD_ZONE;
    if (strcmp(text, "region") == 0) *out = CONTROL_SPREAD_REGION;
    if (!text[0] || *out != 0) return true;
    call_answer_problem(c, PROBLEM_BAD_REQUEST, "spread: zone or region");
    return false;
}

void route_create_shard(struct call *c)
{
    enum control_spread spread;
    Angarium__ControlCommand command = ANGARIUM__CONTROL_COMMAND__INIT;
    Angarium__ControlCreate create = ANGARIUM__CONTROL_CREATE__INIT;
    struct errmsg why = { "" };
    struct control_step step = { 0 };
    struct control_up up;
    uint64_t node = 0;
    char text[16];
    json_t *does;

    if (!change_is_clustered(c)) return;
    call_take_query(c, "node", text, sizeof text);
    if (text[0] && (span_u64(span_cstr(text), UINT32_MAX, &node) != 0 || node == 0)) {
        call_answer_problem(c, PROBLEM_BAD_REQUEST, "node: a node's number");
        return;
    }
    if (!take_spread(c, &spread)) return;
    up = cluster_up(c->ops->o.cluster);
    if (!change_may(c, control_may_create(control_of(c), &up, node, spread, &step, &why), &why))
        return;
    does = json_array();
    change_says(does, "shard %u is born, and led by node %llu",
                control_shard_count(control_of(c)) + 1, (ull)step.voters[0]);
    create.voters = step.voters;
    create.n_voters = step.voter_count;
    create.spread = step.spread;
    command.kind_case = ANGARIUM__CONTROL_COMMAND__KIND_CREATE;
    command.create = &create;
    if (change_take_flag(c, "dry_run"))
        change_answer_now(c, change_answer(NULL, does, true));
    else
        change_send(c, &command, change_answer(NULL, does, false), put_shard);
}

/* ---- close */

void route_close_shard(struct call *c)
{
    Angarium__ControlCommand command = ANGARIUM__CONTROL_COMMAND__INIT;
    Angarium__ControlShardState state = ANGARIUM__CONTROL_SHARD_STATE__INIT;
    const struct control_shard *s = take_shard(c);
    struct errmsg why = { "" };
    char operation[40];
    json_t *does;
    int rv;

    if (!s) return;
    snprintf(operation, sizeof operation, "close-%u", s->number);
    rv = control_may_close(control_of(c), s->number, &why);
    if (rv != ERR_EXISTS && !change_may(c, rv, &why)) return;
    does = json_array();
    if (rv == ERR_EXISTS)
        change_says(does, "nothing: %s", why.text);
    else
        change_says(does,
                    "shard %u takes no new mail and empties; its history is readable until "
                    "delivery.retention is over, then its %u replicas are closed",
                    s->number, s->voter_count);
    state.shard = s->number;
    state.state = CONTROL_CLOSING;
    command.kind_case = ANGARIUM__CONTROL_COMMAND__KIND_SHARD_STATE;
    command.shard_state = &state;
    if (rv == ERR_EXISTS || change_take_flag(c, "dry_run"))
        change_answer_now(c, change_answer(operation, does, change_take_flag(c, "dry_run")));
    else
        change_send(c, &command, change_answer(operation, does, false), NULL);
}

/* ---- transfer, move */

static void send_place(struct call *c, const struct control_shard *s, uint64_t *voters,
                       unsigned count, const char *operation)
{
    Angarium__ControlCommand command = ANGARIUM__CONTROL_COMMAND__INIT;
    Angarium__ControlPlace place = ANGARIUM__CONTROL_PLACE__INIT;
    struct control_up up = cluster_up(c->ops->o.cluster);
    struct errmsg why = { "" };
    json_t *does;

    if (!change_may(c, control_may_place(control_of(c), &up, s->number, voters, count, &why), &why))
        return;
    does = json_array();
    change_says_place(c, does, s->number, voters, count);
    place.shard = s->number;
    place.version = s->version;
    place.voters = voters;
    place.n_voters = count;
    command.kind_case = ANGARIUM__CONTROL_COMMAND__KIND_PLACE;
    command.place = &place;
    if (change_take_flag(c, "dry_run"))
        change_answer_now(c, change_answer(operation, does, true));
    else
        change_send(c, &command, change_answer(operation, does, false), NULL);
}

static bool take_to(struct call *c, uint64_t *to)
{
    char text[16];

    call_take_query(c, "to", text, sizeof text);
    if (span_u64(span_cstr(text), UINT32_MAX, to) == 0 && *to > 0) return true;
    call_answer_problem(c, PROBLEM_BAD_REQUEST, "to: the number of the node that shall lead");
    return false;
}

static bool lives(const struct control_up *up, uint64_t node)
{
    for (unsigned i = 0; i < up->count; i++)
        if (up->nodes[i] == node) return true;
    return false;
}

void route_transfer_shard(struct call *c)
{
    const struct control_shard *s = take_shard(c);
    uint64_t voters[CONTROL_VOTERS_MAX], to;
    struct control_up up;
    char operation[64];
    unsigned count = 1;

    if (!s || !take_to(c, &to)) return;
    if (s->state == CONTROL_CLOSED) {
        call_answer_problem(c, PROBLEM_NOT_FOUND, "shard %u is closed", s->number);
        return;
    }
    voters[0] = to;
    for (unsigned i = 0; i < s->voter_count; i++)
        if (s->voters[i] != to) voters[count == CONTROL_VOTERS_MAX ? 0 : count++] = s->voters[i];
    if (count != s->voter_count) {
        call_answer_problem(c, PROBLEM_UNSAFE,
                            "node %llu is no voter of shard %u: move it there first", (ull)to,
                            s->number);
        return;
    }
    up = cluster_up(c->ops->o.cluster);
    if (!lives(&up, to)) {
        call_answer_problem(c, PROBLEM_UNSAFE, "node %llu is down: it cannot lead shard %u", (ull)to, s->number);
        return;
    }
    snprintf(operation, sizeof operation, "transfer-%u-%llu", s->number, (ull)to);
    send_place(c, s, voters, count, operation);
}

/* "1,2,4" */
static bool take_voters(struct call *c, uint64_t voters[CONTROL_VOTERS_MAX], unsigned *count)
{
    char text[128];
    struct span rest;

    call_take_query(c, "voters", text, sizeof text);
    rest = span_cstr(text);
    for (*count = 0; rest.n > 0 && *count < CONTROL_VOTERS_MAX; ++*count) {
        size_t end = span_find(rest, 0, ',');

        if (span_u64(span_sub(rest, 0, end), UINT32_MAX, &voters[*count]) != 0) break;
        if (end + 1 == rest.n) break; /* a comma, and nothing behind it */
        rest = span_from(rest, end < rest.n ? end + 1 : end);
    }
    if (*count > 0 && rest.n == 0) return true;
    call_answer_problem(
        c, PROBLEM_BAD_REQUEST,
        "voters: up to %u numbers of nodes with commas between, the first one leads",
        CONTROL_VOTERS_MAX);
    return false;
}

void route_move_shard(struct call *c)
{
    const struct control_shard *s = take_shard(c);
    uint64_t voters[CONTROL_VOTERS_MAX];
    char operation[64];
    unsigned count;

    if (!s || !take_voters(c, voters, &count)) return;
    snprintf(operation, sizeof operation, "move-%u-%u", s->number, s->version + 1);
    send_place(c, s, voters, count, operation);
}

/* ---- how far it is */

static json_t *progress(const char *id, bool done, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static json_t *progress(const char *id, bool done, const char *fmt, ...)
{
    char text[300];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return json_pack("{s:s, s:b, s:s}", "id", id, "done", (int)done, "progress", text);
}

static json_t *drain_progress(const struct call *c, const struct control_node *n)
{
    unsigned held = control_held(control_of(c), n->id);
    const char *waits = cluster_waits(c->ops->o.cluster);

    if (n->state != CONTROL_DRAINING && n->state != CONTROL_GONE)
        return progress(c->param, true, "node %llu is %s: it is not drained any more", (ull)n->id,
                        control_node_state_name(n->state));
    if (held == 0) return progress(c->param, true, "node %llu holds nothing", (ull)n->id);
    return progress(c->param, false, "node %llu holds %u shards, is the first of %u%s%s",
                    (ull)n->id, held, control_led(control_of(c), n->id), waits[0] ? "; " : "",
                    waits);
}

/* NULL: no node was ever there. Nodes that serve again count no more. */
static json_t *region_progress(const struct call *c, const char *region)
{
    const struct control *control = control_of(c);
    const char *waits = cluster_waits(c->ops->o.cluster);
    unsigned found = 0, drain = 0, held = 0, led = 0;

    for (unsigned i = 0; i < control_node_count(control); i++) {
        const struct control_node *n = control_node_at(control, i);

        if (strcmp(n->region, region) != 0) continue;
        found++;
        if (n->state != CONTROL_DRAINING) continue;
        drain++;
        held += control_held(control, n->id);
        led += control_led(control, n->id);
    }
    if (found == 0) return NULL;
    if (drain == 0)
        return progress(c->param, true, "no node of region %s is drained any more", region);
    if (held == 0)
        return progress(c->param, true, "the draining nodes of region %s hold nothing", region);
    return progress(
        c->param, false,
        "%u draining nodes of region %s hold %u replicas, are the first of %u shards%s%s", drain,
        region, held, led, waits[0] ? "; " : "", waits);
}

static json_t *close_progress(const struct call *c, const struct control_shard *s)
{
    struct commit_shard_view v = { 0 };

    if (s->state == CONTROL_CLOSED)
        return progress(c->param, true, "shard %u is closed", s->number);
    if (s->state == CONTROL_OPEN) return progress(c->param, true, "shard %u is open", s->number);
    if (s->number <= commit_shard_count(c->ops->o.commit))
        commit_shard_see(c->ops->o.commit, s->number, &v);
    if (!v.is_open)
        return progress(c->param, false,
                        "shard %u is closing; ask one of its nodes how much there is", s->number);
    if (v.is_closed && v.counts.messages == 0)
        return progress(c->param, true,
                        "shard %u is empty; %llu finished messages are readable until "
                        "delivery.retention is over",
                        s->number, (ull)v.counts.kept_messages);
    return progress(c->param, false, "shard %u has %llu messages to deliver", s->number,
                    (ull)v.counts.messages);
}

/* "word-number" or "word-number-more". */
static bool parse(const char *id, const char *word, uint64_t *number, uint64_t *more)
{
    struct span s = span_cstr(id), w = span_cstr(word);
    size_t end;

    if (s.n <= w.n + 1 || !span_eq(span_sub(s, 0, w.n), w) || s.p[w.n] != '-') return false;
    s = span_from(s, w.n + 1);
    end = span_find(s, 0, '-');
    *more = 0;
    if (end < s.n && span_u64(span_from(s, end + 1), UINT32_MAX, more) != 0) return false;
    return span_u64(span_sub(s, 0, end), UINT32_MAX, number) == 0;
}

static json_t *shard_progress(const struct call *c)
{
    const struct control_shard *s;
    uint64_t number, more, leader;

    if (parse(c->param, "close", &number, &more))
        return (s = control_shard(control_of(c), (uint32_t)number)) ? close_progress(c, s) : NULL;
    if (parse(c->param, "move", &number, &more)) {
        s = control_shard(control_of(c), (uint32_t)number);
        if (!s || more > s->version) return NULL;
        return progress(c->param, s->in_force >= more, "shard %u: version %u of %llu is in force",
                        s->number, s->in_force, (ull)more);
    }
    if (!parse(c->param, "transfer", &number, &more)) return NULL;
    s = control_shard(control_of(c), (uint32_t)number);
    if (!s) return NULL;
    leader = leader_of(c->ops, s->number);
    return progress(c->param, leader == more || s->voter_count == 0 || s->voters[0] != more,
                    "shard %u is led by node %llu", s->number, (ull)leader);
}

#define OF_REGION "drain-region-"

void route_operation(struct call *c)
{
    const size_t of_region = strlen(OF_REGION);
    const struct control_node *n;
    uint64_t number, more;
    json_t *j = NULL;

    if (!change_is_clustered(c)) return;
    if (strncmp(c->param, OF_REGION, of_region) == 0) {
        j = region_progress(c, c->param + of_region);
    } else if (parse(c->param, "drain", &number, &more)) {
        n = control_node(control_of(c), number);
        j = n ? drain_progress(c, n) : NULL;
    } else {
        j = shard_progress(c);
    }
    if (j)
        call_answer_json(c, 200, j);
    else
        call_answer_problem(c, PROBLEM_NOT_FOUND, "there is no operation %s", c->param);
}
