/* order - an operator's command (hold, release, cancel) to whatever shard has the message. */
#include "node/commit/shard.h"

struct commit_order_request {
    struct loop_letter letter;
    struct command cmd;
    struct commit_order *owner; /* NULL: forgotten; the asker's loop only */
    struct loop *from;
    int rv;
};

static void on_answer_arrives(struct loop_letter *letter)
{
    struct commit_order_request *r = CONTAINER_OF(letter, struct commit_order_request, letter);
    struct commit_order *o = r->owner;

    if (o) {
        o->request = NULL;
        o->on_done(o, r->rv);
    }
    command_deinit(&r->cmd);
    free(r);
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
    int rv = r->cmd.shard->leads ? command_propose(&r->cmd) : ERR_NOT_LEADER;

    if (rv != 0) send_answer(r, rv);
}

int commit_order(struct commit *c, struct loop *l, struct commit_order *o)
{
    struct shard *s = commit_shard(c, o->shard);
    struct commit_order_request *r;
    int rv;

    if (!s) return ERR_NOT_FOUND;
    r = check_calloc(1, sizeof *r);
    command_init(&r->cmd, s);
    rv = proto_command_pack(o->command, &r->cmd.head);
    if (rv != 0) {
        command_deinit(&r->cmd);
        free(r);
        return rv;
    }
    r->cmd.on_result = on_result;
    r->owner = o;
    r->from = l;
    o->request = r;
    r->letter.on_arrive = on_request_arrives;
    loop_post(s->loop, &r->letter);
    return 0;
}

void commit_order_forget(struct commit_order *o)
{
    if (o->request) o->request->owner = NULL;
    o->request = NULL;
}
