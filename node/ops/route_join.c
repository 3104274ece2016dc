/* route_join - POST /api/v1/join-tokens: one more node may come, for a while. POST /api/v1/join: it comes.
 *
 * Both change group 0, so the node that leads it answers; another one says which that is. A token is shown once; its hash is
 * kept. Who joins has no other credential than the token; to be talked to it needs a certificate of the cluster's CA as well.
 */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "node/ops/inside.h"
#include "proto/ground/check.h"

#define TOKEN_BYTES     24
#define LIVES_S_DEFAULT 3600
#define LIVES_S_MAX     (7 * 24 * 3600)
#define JOIN_BODY_MAX   4096

struct asking {
    struct cluster_ask ask;
    struct call *call; /* NULL: nobody waits for the answer any more */
    void (*answer)(struct call *c, const struct asking *a);
    char token[2 * TOKEN_BYTES + 1];
    uint64_t expires_ms;
};

static void hash_token(const char *token, uint8_t out[CONTROL_TOKEN_SIZE])
{
    crypto_generichash(out, CONTROL_TOKEN_SIZE, (const uint8_t *)token, strlen(token), NULL, 0);
}

static void refuse(struct call *c, int rv)
{
    uint64_t leader = cluster_leader(c->ops->o.cluster);

    if (rv == ERR_NOT_LEADER && leader != 0)
        call_answer_problem(c, PROBLEM_NO_QUORUM, "node %llu leads the cluster's control; ask it",
                            (unsigned long long)leader);
    else if (rv == ERR_CORRUPT)
        call_answer_problem(
            c, PROBLEM_BAD_REQUEST,
            "node (a number), uuid, address, zone and region are needed as texts without blanks");
    else if (rv == ERR_DENIED)
        call_answer_problem(c, PROBLEM_NOT_ALLOWED, "the join token is wrong, used or over");
    else if (rv == ERR_EXISTS)
        call_answer_problem(
            c, PROBLEM_TAKEN,
            "the number, the disk or the address is another node's, or a former one's");
    else
        call_answer_problem(c, problem_of(rv), "%s",
                            rv == ERR_NOT_LEADER ? "nobody leads the cluster's control now" : err_text(rv));
}

static void on_asked(struct cluster_ask *ask, int rv)
{
    struct asking *a = CONTAINER_OF(ask, struct asking, ask);
    struct call *c = a->call;

    if (c) {
        c->abandon = NULL;
        c->more = NULL;
        if (rv != 0)
            refuse(c, rv);
        else
            a->answer(c, a);
    }
    sodium_memzero(a->token, sizeof a->token);
    free(a);
}

static void abandon(struct call *c)
{
    struct asking *a = c->more;

    a->call = NULL;
    c->more = NULL;
    call_answer_problem(c, PROBLEM_CLOSING, "the node is shutting down");
}

static void ask(struct call *c, struct asking *a, const Angarium__ControlCommand *command)
{
    int rv;

    a->ask.on_done = on_asked;
    a->call = c;
    rv = cluster_propose(c->ops->o.cluster, &a->ask, command);
    if (rv != 0) {
        free(a);
        refuse(c, rv);
        return;
    }
    c->more = a;
    c->abandon = abandon;
}

static bool is_clustered(struct call *c)
{
    if (c->ops->o.cluster) return true;
    call_answer_problem(c, PROBLEM_NOT_FOUND, "this node is alone: it has no cluster settings");
    return false;
}

/* The body as a JSON object; NULL: answered. */
static json_t *take_body(struct call *c)
{
    struct span body = http_body(c->request);
    json_t *j = body.n <= JOIN_BODY_MAX
                    ? json_loadb((const char *)body.p, body.n, JSON_REJECT_DUPLICATES, NULL)
                    : NULL;

    if (json_is_object(j)) return j;
    json_decref(j);
    call_answer_problem(c, PROBLEM_BAD_REQUEST, "a JSON object is needed");
    return NULL;
}

/* ---- tokens */

static void answer_token(struct call *c, const struct asking *a)
{
    json_t *j = json_object();

    json_object_set_new(j, "token", json_string(a->token));
    json_put_time(j, "expires_at", a->expires_ms);
    call_answer_json(c, 200, j);
}

static bool take_lives(struct call *c, json_int_t *out)
{
    json_t *j, *lives;

    *out = LIVES_S_DEFAULT;
    if (http_body(c->request).n == 0) return true;
    j = take_body(c);
    if (!j) return false;
    lives = json_object_get(j, "lives_s");
    if (lives) *out = json_integer_value(lives);
    json_decref(j);
    if (*out >= 1 && *out <= LIVES_S_MAX) return true;
    call_answer_problem(c, PROBLEM_BAD_REQUEST, "lives_s: a number from 1 to %d is needed",
                        LIVES_S_MAX);
    return false;
}

void route_join_token(struct call *c)
{
    Angarium__ControlCommand command = ANGARIUM__CONTROL_COMMAND__INIT;
    Angarium__ControlToken token = ANGARIUM__CONTROL_TOKEN__INIT;
    uint8_t bytes[TOKEN_BYTES], hash[CONTROL_TOKEN_SIZE];
    struct asking *a;
    json_int_t lives;

    if (!is_clustered(c) || !take_lives(c, &lives)) return;
    a = check_calloc(1, sizeof *a);
    randombytes_buf(bytes, sizeof bytes);
    sodium_bin2hex(a->token, sizeof a->token, bytes, sizeof bytes);
    hash_token(a->token, hash);
    command.time_ms = loop_wall_ms(c->ops->o.loop);
    a->expires_ms = command.time_ms + (uint64_t)lives * 1000;
    a->answer = answer_token;
    token.hash = proto_bytes(span_of(hash, sizeof hash));
    token.expires_ms = a->expires_ms;
    command.kind_case = ANGARIUM__CONTROL_COMMAND__KIND_TOKEN;
    command.token = &token;
    ask(c, a, &command);
}

/* ---- joining */

static void answer_join(struct call *c, const struct asking *a)
{
    const struct cluster *cluster = c->ops->o.cluster;
    const struct control *control = cluster_control(cluster);
    json_t *j = json_object(), *nodes = json_array();
    char id[2 * CONTROL_CLUSTER_SIZE + 1];

    (void)a;
    for (unsigned i = 0; i < control_node_count(control); i++) {
        const struct control_node *n = control_node_at(control, i);

        if (n->state == CONTROL_GONE) continue;
        json_array_append_new(nodes,
                              json_pack("{s:I, s:s, s:b}", "id", (json_int_t)n->id, "address",
                                        n->address, "votes", (int)cluster_votes(cluster, n->id)));
    }
    cluster_print_id(control_cluster(control), id);
    json_object_set_new(j, "cluster", json_string(id));
    json_object_set_new(j, "nodes", nodes);
    json_object_set_new(j, "format", json_integer(control_format(control)));
    call_answer_json(c, 200, j);
}

static ProtobufCBinaryData text_of(const json_t *j, const char *key)
{
    const char *text = json_string_value(json_object_get(j, key));

    return proto_bytes(span_cstr(text ? text : ""));
}

void route_join(struct call *c)
{
    Angarium__ControlCommand command = ANGARIUM__CONTROL_COMMAND__INIT;
    Angarium__ControlJoin join = ANGARIUM__CONTROL_JOIN__INIT;
    Angarium__ControlNode node = ANGARIUM__CONTROL_NODE__INIT;
    uint8_t hash[CONTROL_TOKEN_SIZE];
    const char *token;
    struct asking *a;
    json_t *j;

    if (!is_clustered(c) || !(j = take_body(c))) return;
    token = json_string_value(json_object_get(j, "token"));
    hash_token(token ? token : "", hash);
    join.token = proto_bytes(span_of(hash, sizeof hash));
    node.id = (uint64_t)json_integer_value(json_object_get(j, "node"));
    node.uuid = text_of(j, "uuid");
    node.address = text_of(j, "address");
    node.zone = text_of(j, "zone");
    node.region = text_of(j, "region");
    join.node = &node;
    command.time_ms = loop_wall_ms(c->ops->o.loop);
    command.kind_case = ANGARIUM__CONTROL_COMMAND__KIND_JOIN;
    command.join = &join;
    a = check_calloc(1, sizeof *a);
    a->answer = answer_join;
    ask(c, a, &command);
    json_decref(j);
}
