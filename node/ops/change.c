/* change - an operator's change of the cluster: looked at first (dry_run: that is all), then proposed, then answered. What it does
 * is what the plan does from there on: it is played on a copy of control's state.
 */
#include <stdlib.h>

#include "node/ops/change.h"
#include "proto/ground/check.h"

#define TRIAL_STEPS_MAX 500

struct asking {
    struct cluster_ask ask;
    struct call *call; /* NULL: nobody waits for the answer any more */
    json_t *answer;
    void (*finish)(json_t *answer, const struct control_answer *a);
};

bool change_is_clustered(struct call *c)
{
    if (c->ops->o.cluster) return true;
    call_answer_problem(c, PROBLEM_ALONE, "this node is alone: it has no cluster settings");
    return false;
}

bool change_take_number(struct call *c, uint64_t *out)
{
    if (span_u64(span_cstr(c->param), UINT32_MAX, out) == 0 && *out > 0) return true;
    call_answer_problem(c, PROBLEM_NOT_FOUND, "\"%s\" is no number", c->param);
    return false;
}

bool change_take_flag(struct call *c, const char *key)
{
    char text[8];

    call_take_query(c, key, text, sizeof text);
    return strcmp(text, "true") == 0 || strcmp(text, "1") == 0;
}

bool change_may(struct call *c, int rv, const struct errmsg *why)
{
    if (rv == 0) return true;
    call_answer_problem(c,
                        rv == ERR_NOT_FOUND ? PROBLEM_NOT_FOUND
                        : rv == ERR_RANGE   ? PROBLEM_BAD_REQUEST
                        : rv == ERR_FULL    ? PROBLEM_LIMIT
                        : rv == ERR_EXISTS  ? PROBLEM_NOTHING_TO_DO
                                            : PROBLEM_UNSAFE,
                        "%s", why->text);
    return false;
}

bool change_is_written(struct call *c, uint32_t added, const char *what)
{
    if (proto_writes(added)) return true;
    call_answer_problem(c, PROBLEM_UNSAFE,
                        "%s needs format %u, and %u is in force: first `angarium cluster upgrade "
                        "finalize`, when all nodes run a version that knows it",
                        what, added, proto_format());
    return false;
}

/* ---- what it does */

static json_t *list_of(const uint64_t *nodes, unsigned count)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < count; i++)
        json_array_append_new(list, json_integer((json_int_t)nodes[i]));
    return list;
}

json_t *change_nodes(const uint64_t *nodes, unsigned count)
{
    return list_of(nodes, count);
}

static void put_nodes(struct buf *out, const uint64_t *nodes, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        buf_addf(out, "%s%llu", i ? "," : "", (unsigned long long)nodes[i]);
}

void change_says(json_t *does, const char *fmt, ...)
{
    struct buf line;
    va_list ap;
    char text[300];

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    buf_init(&line, sizeof text + 1);
    buf_add_cstr(&line, text);
    json_array_append_new(does, json_string(buf_cstr(&line)));
    buf_deinit(&line);
}

static void say_place(json_t *does, const struct control_shard *s, const uint64_t *voters,
                      unsigned count)
{
    struct buf line;

    buf_init(&line, 1024);
    buf_addf(&line, "shard %u: voters ", s->number);
    put_nodes(&line, s->voters, s->voter_count);
    buf_add_cstr(&line, " become ");
    put_nodes(&line, voters, count);
    json_array_append_new(does, json_string(buf_cstr(&line)));
    buf_deinit(&line);
}

static int apply(struct control *trial, const Angarium__ControlCommand *command)
{
    struct control_answer answer = { .error = ERR_CORRUPT };
    struct buf head;

    buf_init(&head, CONTROL_COMMAND_SIZE_MAX);
    if (control_pack(command, &head) == 0)
        control_apply(trial, control_applied(trial) + 1, buf_span(&head), &answer);
    buf_deinit(&head);
    return answer.error;
}

static void apply_placed(struct control *trial, uint32_t shard)
{
    Angarium__ControlCommand command = ANGARIUM__CONTROL_COMMAND__INIT;
    Angarium__ControlPlaced placed = ANGARIUM__CONTROL_PLACED__INIT;

    placed.shard = shard;
    placed.version = control_shard(trial, shard)->version;
    command.kind_case = ANGARIUM__CONTROL_COMMAND__KIND_PLACED;
    command.placed = &placed;
    apply(trial, &command);
}

/* Everything planned comes in force at once. False: it does nothing that can be shown. */
static bool apply_step(struct control *trial, const struct control_step *step, json_t *does)
{
    Angarium__ControlCommand command = ANGARIUM__CONTROL_COMMAND__INIT;
    Angarium__ControlPlace place = ANGARIUM__CONTROL_PLACE__INIT;

    if (step->kind != CONTROL_PLACE) return false;
    say_place(does, control_shard(trial, step->shard), step->voters, step->voter_count);
    place.shard = step->shard;
    place.version = step->version;
    place.voters = (uint64_t *)(uintptr_t)step->voters;
    place.n_voters = step->voter_count;
    command.kind_case = ANGARIUM__CONTROL_COMMAND__KIND_PLACE;
    command.place = &place;
    if (apply(trial, &command) != 0) return false;
    apply_placed(trial, step->shard);
    return true;
}

static struct control *copy_of(const struct control *c)
{
    struct control *copy = control_new();
    struct buf saved;

    buf_init(&saved, CONTROL_STATE_SIZE_MAX);
    CHECK(control_save(c, &saved) == 0 && control_load(copy, buf_span(&saved)) == 0);
    buf_deinit(&saved);
    return copy;
}

void change_plays(const struct call *c, const Angarium__ControlCommand *command, json_t *does)
{
    const struct cluster *cluster = c->ops->o.cluster;
    struct control *trial = copy_of(cluster_control(cluster));
    struct control_up up = cluster_up(cluster);
    struct control_step step;
    struct errmsg why = { "" };

    if (apply(trial, command) == 0)
        for (unsigned i = 0; i < TRIAL_STEPS_MAX; i++)
            if (!control_plan(trial, &up, &step, &why) || !apply_step(trial, &step, does)) break;
    if (why.text[0]) change_says(does, "then it waits: %s", why.text);
    control_free(&trial);
}

void change_says_place(const struct call *c, json_t *does, uint32_t shard, const uint64_t *voters,
                       unsigned count)
{
    say_place(does, control_shard(cluster_control(c->ops->o.cluster), shard), voters, count);
}

/* ---- the answer */

json_t *change_answer(const char *operation, json_t *does, bool dry_run)
{
    return json_pack("{s:s?, s:b, s:o}", "operation", operation, "dry_run", (int)dry_run, "does",
                     does);
}

void change_answer_now(struct call *c, json_t *answer)
{
    const char *operation = json_string_value(json_object_get(answer, "operation"));
    char location[CHANGE_OPERATION_SIZE + 32];

    if (operation && !json_is_true(json_object_get(answer, "dry_run"))) {
        snprintf(location, sizeof location, "/api/v1/operations/%s", operation);
        http_add_header(c->request, "Location", location);
    }
    call_answer_json(c, 200, answer);
}

bool change_goes_on(struct call *c, int rv, const struct errmsg *why, const char *operation)
{
    json_t *does;

    if (rv != ERR_EXISTS) return change_may(c, rv, why);
    does = json_array();
    change_says(does, "nothing: %s", why->text);
    change_answer_now(c, change_answer(operation, does, change_take_flag(c, "dry_run")));
    return false;
}

static void refuse(struct call *c, int rv)
{
    if (rv == ERR_SUPERSEDED)
        call_answer_problem(c, PROBLEM_CHANGED,
                            "the cluster has changed meanwhile; look again and try again");
    else if (rv == ERR_DENIED || rv == ERR_BUSY)
        call_answer_problem(c, PROBLEM_UNSAFE,
                            "control refuses it as things stand now: look again");
    else if (rv == ERR_NOT_LEADER)
        call_answer_problem(c, PROBLEM_NO_QUORUM, "no node is known to lead the cluster's control");
    else if (rv == ERR_FULL)
        call_answer_problem(c, PROBLEM_LIMIT, "there are as many as there can be");
    else
        call_answer_problem(c, problem_of(rv), "%s", err_text(rv));
}

static void on_asked(struct cluster_ask *ask, int rv)
{
    struct asking *a = CONTAINER_OF(ask, struct asking, ask);
    struct call *c = a->call;

    if (c) {
        c->abandon = NULL;
        c->more = NULL;
    }
    if (c && rv != 0) refuse(c, rv);
    if (c && rv == 0) {
        if (a->finish) a->finish(a->answer, &ask->answer);
        change_answer_now(c, json_incref(a->answer));
    }
    json_decref(a->answer);
    free(a);
}

static void abandon(struct call *c)
{
    ((struct asking *)c->more)->call = NULL;
    c->more = NULL;
    call_answer_problem(c, PROBLEM_UNKNOWN,
                        "the node is shutting down; whether it was done is not known");
}

void change_send(struct call *c, Angarium__ControlCommand *command, json_t *answer,
                 void (*finish)(json_t *answer, const struct control_answer *a))
{
    struct asking *a = check_calloc(1, sizeof *a);
    int rv;

    a->ask.on_done = on_asked;
    a->call = c;
    a->answer = answer;
    a->finish = finish;
    command->time_ms = loop_wall_ms(c->ops->o.loop);
    rv = cluster_propose(c->ops->o.cluster, &a->ask, command);
    if (rv != 0) {
        json_decref(answer);
        free(a);
        refuse(c, rv);
        return;
    }
    c->more = a;
    c->abandon = abandon;
}
