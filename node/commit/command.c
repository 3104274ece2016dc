/* command - one command's way through a shard's log: packed, proposed, applied, answered.
 *
 * Invariant: shard->in_flight holds the proposed commands in log order; each gets exactly one on_result.
 */
#include "node/commit/shard.h"

static int answer_to_error(enum raft_answer answer)
{
    switch (answer) {
    case RAFT_COMMITTED:
        return 0;
    case RAFT_SUPERSEDED:
        return ERR_SUPERSEDED;
    case RAFT_UNKNOWN:
        return ERR_UNKNOWN;
    }
    UNREACHED();
}

static void forget_refusals(struct shard *s, uint64_t entry)
{
    size_t kept = 0;

    for (size_t i = 0; i < s->refusal_count; i++)
        if (s->refusals[i].entry > entry) s->refusals[kept++] = s->refusals[i];
    s->refusal_count = kept;
}

static void on_done(struct raft_proposal *p, enum raft_answer answer, uint64_t index, uint64_t term)
{
    struct command *cmd = CONTAINER_OF(p, struct command, proposal);
    struct shard *s = cmd->shard;

    (void)term;
    if (s->apply_at == &cmd->link) s->apply_at = cmd->link.next;
    list_remove(&cmd->link);
    cmd->on_result(cmd, answer_to_error(answer), index);
    if (answer == RAFT_COMMITTED) forget_refusals(s, index);
}

void command_init(struct command *cmd, struct shard *s)
{
    memset(cmd, 0, sizeof *cmd);
    cmd->shard = s;
    buf_init(&cmd->head, PROTO_COMMAND_SIZE_MAX);
    list_init(&cmd->link);
}

void command_deinit(struct command *cmd)
{
    CHECK(list_empty(&cmd->link));
    buf_deinit(&cmd->head);
    blob_unref(&cmd->body);
}

int command_propose(struct command *cmd)
{
    struct shard *s = cmd->shard;
    int rv;

    cmd->proposal.head = buf_span(&cmd->head);
    cmd->proposal.body = blob_span(cmd->body);
    cmd->proposal.owner = cmd->body;
    cmd->proposal.term = s->term;
    cmd->proposal.on_done = on_done;
    rv = raft_propose(s->group, &cmd->proposal);
    if (rv != 0) return rv;
    list_add(&s->in_flight, &cmd->link);
    if (s->apply_at == &s->in_flight) s->apply_at = &cmd->link;
    return 0;
}

int command_offer(struct command *cmd)
{
    int rv = cmd->shard->leads ? command_propose(cmd) : ERR_NOT_LEADER;

    return rv == ERR_BUSY || rv == ERR_SUPERSEDED ? ERR_NOT_LEADER : rv;
}

int command_send(struct command *cmd, const Angarium__Command *what)
{
    int rv;

    buf_reset(&cmd->head);
    rv = proto_command_pack(what, &cmd->head);
    return rv != 0 ? rv : command_propose(cmd);
}

int command_refusal(struct shard *s, uint64_t entry)
{
    for (size_t i = 0; i < s->refusal_count; i++)
        if (s->refusals[i].entry == entry) return s->refusals[i].error;
    return 0;
}

bool command_refused(struct shard *s, uint64_t entry, uint64_t index, uint32_t recipient)
{
    for (size_t i = 0; i < s->refusal_count; i++) {
        const struct refusal *r = &s->refusals[i];

        if (r->entry == entry && r->index == index && r->recipient == recipient) return true;
    }
    return false;
}
