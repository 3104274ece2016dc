/* route_order - POST /api/v1/messages/{id}/hold, release, cancel: an operator's order to the queue.
 * It is answered when it has committed and applied.
 */
#include <stdlib.h>

#include "node/ops/inside.h"
#include "proto/ground/check.h"

#define BY "api"

struct order {
    struct commit_order order;
    struct call *call;
    const char *word;
};

static void on_done(struct commit_order *o, int rv)
{
    struct order *order = CONTAINER_OF(o, struct order, order);
    struct call *c = order->call;

    if (rv == 0) {
        json_t *j = json_object();

        json_put_id(j, "id", c->id);
        json_object_set_new(j, "done", json_string(order->word));
        call_answer_json(c, 200, j);
    } else if (rv == ERR_NOT_FOUND || rv == ERR_BUSY || rv == ERR_EXISTS) {
        call_answer_problem(
            c, PROBLEM_NOTHING_TO_DO,
            "there is no message %s, or no recipient of it for which %s changes anything", c->param,
            order->word);
    } else {
        call_answer_problem(c, problem_of(rv), "%s of %s: %s", order->word, c->param, err_text(rv));
    }
}

static void abandon(struct call *c)
{
    struct order *order = c->more;

    commit_order_forget(&order->order);
    call_answer_problem(c, PROBLEM_UNKNOWN,
                        "the node is shutting down; whether it was done is not known");
}

/* ?recipient=N: that one only; without it all. False: answered. */
static bool take_recipient(struct call *c, uint32_t *out, size_t *count)
{
    char text[16];
    uint64_t v = 0;

    *count = 0;
    call_take_query(c, "recipient", text, sizeof text);
    if (!text[0]) return true;
    if (span_u64(span_cstr(text), PROTO_RECIPIENTS_MAX - 1, &v) != 0) {
        call_answer_problem(c, PROBLEM_BAD_REQUEST, "recipient: its number, from 0");
        return false;
    }
    *out = (uint32_t)v;
    *count = 1;
    return true;
}

/* Hold, Release and Cancel are alike but for their types. */
#define FILL(command, member, Type, INIT, CASE)                                                    \
    do {                                                                                           \
        member = (Angarium__##Type)INIT;                                                           \
        member.time_ms = loop_wall_ms(c->ops->o.loop);                                             \
        member.node = c->ops->o.node;                                                              \
        member.index = proto_id_index(c->id);                                                      \
        member.recipients = &recipient;                                                            \
        member.n_recipients = count;                                                               \
        member.by = proto_bytes(SPAN_LIT(BY));                                                     \
        (command).kind_case = CASE;                                                                \
    } while (0)

static void send_order(struct call *c, const char *word)
{
    struct order *order = check_calloc(1, sizeof *order);
    Angarium__Command command = ANGARIUM__COMMAND__INIT;
    Angarium__Hold hold;
    Angarium__Release release;
    Angarium__Cancel cancel;
    uint32_t recipient = 0;
    size_t count = 0;
    int rv;

    c->more = order;
    if (!call_take_id(c) || !take_recipient(c, &recipient, &count)) return;
    order->call = c;
    order->word = word;
    if (word[0] == 'h') {
        FILL(command, hold, Hold, ANGARIUM__HOLD__INIT, ANGARIUM__COMMAND__KIND_HOLD);
        command.hold = &hold;
    } else if (word[0] == 'r') {
        FILL(command, release, Release, ANGARIUM__RELEASE__INIT, ANGARIUM__COMMAND__KIND_RELEASE);
        command.release = &release;
    } else {
        FILL(command, cancel, Cancel, ANGARIUM__CANCEL__INIT, ANGARIUM__COMMAND__KIND_CANCEL);
        command.cancel = &cancel;
    }
    order->order = (struct commit_order){ .command = &command,
                                          .shard = proto_id_shard(c->id),
                                          .on_done = on_done };
    rv = commit_order(c->ops->o.commit, c->ops->o.loop, &order->order);
    order->order.command = NULL;
    if (rv != 0)
        call_answer_problem(c, problem_of(rv), "%s: %s", word, err_text(rv));
    else
        c->abandon = abandon;
}

void route_hold(struct call *c)
{
    send_order(c, "hold");
}

void route_release(struct call *c)
{
    send_order(c, "release");
}

void route_cancel(struct call *c)
{
    send_order(c, "cancel");
}
