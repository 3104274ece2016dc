/* order - an operator's command (hold, release, cancel) to whatever shard has the message: here, or to the node that leads it. */
#include "node/commit/forward.h"

struct commit_order_request {
    struct loop_letter letter;
    struct command cmd;         /* here */
    struct peer_call call;      /* or there */
    struct commit_order *owner; /* NULL: forgotten; the asker's loop only */
    struct loop *from;
    bool is_away;
    int rv;
};

static void answer(struct commit_order_request *r)
{
    struct commit_order *o = r->owner;

    if (o) {
        o->request = NULL;
        o->on_done(o, r->rv);
    }
    if (!r->is_away) command_deinit(&r->cmd);
    free(r);
}

/* ---- here */

static void on_answer_arrives(struct loop_letter *letter)
{
    answer(CONTAINER_OF(letter, struct commit_order_request, letter));
}

static void send_answer(struct commit_order_request *r, int rv)
{
    r->rv = rv;
    r->letter.on_arrive = on_answer_arrives;
    loop_post(r->from, &r->letter);
}

static void on_result(struct command *cmd, int rv, uint64_t entry)
{
    if (rv == 0) rv = command_refusal(cmd->shard, entry);
    send_answer(CONTAINER_OF(cmd, struct commit_order_request, cmd), rv);
}

static void on_request_arrives(struct loop_letter *letter)
{
    struct commit_order_request *r = CONTAINER_OF(letter, struct commit_order_request, letter);
    int rv = command_offer(&r->cmd);

    if (rv != 0) send_answer(r, rv);
}

static int send_here(struct commit_order_request *r, struct shard *s, const Angarium__Command *what)
{
    int rv;

    command_init(&r->cmd, s);
    rv = proto_command_pack(what, &r->cmd.head);
    if (rv != 0) {
        command_deinit(&r->cmd);
        return rv;
    }
    r->cmd.on_result = on_result;
    r->letter.on_arrive = on_request_arrives;
    loop_post(s->loop, &r->letter);
    return 0;
}

/* ---- there */

static void on_called(struct peer_call *call, int rv, struct span said, struct span body)
{
    struct commit_order_request *r = CONTAINER_OF(call, struct commit_order_request, call);

    (void)said, (void)body;
    if (!call->is_answered) rv = call->was_sent ? ERR_UNKNOWN : ERR_NOT_LEADER;
    r->rv = rv;
    answer(r);
}

static int send_there(struct commit_order_request *r, struct commit *c, uint64_t node,
                      const struct commit_order *o)
{
    Angarium__PeerOrder what = ANGARIUM__PEER_ORDER__INIT;
    struct buf head, request;
    int rv;

    buf_init(&head, PROTO_COMMAND_SIZE_MAX);
    buf_init(&request, WORDS_REQUEST_MAX);
    rv = proto_command_pack(o->command, &head);
    what.shard = o->shard;
    what.command = proto_bytes(buf_span(&head));
    if (rv == 0) proto_pack(&what.base, &request);
    r->is_away = true;
    r->call = (struct peer_call){ .to = node,
                                  .kind = PEER_ORDER,
                                  .lane = WIRE_BULK,
                                  .within_ms = FORWARD_WITHIN_MS,
                                  .request = buf_span(&request),
                                  .on_done = on_called };
    if (rv == 0) rv = peer_call(c->o.peers, r->from, &r->call);
    buf_deinit(&head);
    buf_deinit(&request);
    return rv == ERR_CLOSED ? ERR_NOT_LEADER : rv;
}

int commit_order(struct commit *c, struct loop *l, struct commit_order *o)
{
    struct shard *s = commit_shard(c, o->shard);
    uint64_t leader = o->only_here ? 0 : leaders_of(c, o->shard);
    struct commit_order_request *r;
    int rv;

    if (!s) return ERR_NOT_FOUND;
    r = check_calloc(1, sizeof *r);
    r->owner = o;
    r->from = l;
    if (leader != 0 && !atomic_load(&s->leads_shared))
        rv = send_there(r, c, leader, o);
    else
        rv = send_here(r, s, o->command);
    if (rv != 0)
        free(r);
    else
        o->request = r;
    return rv;
}

void commit_order_forget(struct commit_order *o)
{
    if (o->request) o->request->owner = NULL;
    o->request = NULL;
}
