/* mail - a mail becomes an entry: a shard is chosen, the command proposed on the shard's loop, the asker
 * answered on its own.
 *
 * Invariant: on_done with 0 only from on_result with 0, that is: committed and applied (P1).
 * A request belongs to its shard's loop from the moment it is sent there until it comes back; `owner` is
 * read and written on the asker's loop only, so an asker may forget a request at any time.
 */
#include "node/commit/upload.h"

struct commit_mail_request {
    struct loop_letter letter;
    struct command cmd;
    struct commit_mail *owner; /* NULL: forgotten */
    struct loop *from;
    struct commit_upload *upload;
    int rv;
    uint64_t id;
};

static uint64_t messages_now(struct commit *c, uint64_t *bytes_out)
{
    uint64_t messages = 0, bytes = 0;
    unsigned count = commit_shard_count(c);

    for (unsigned i = 0; i < count; i++) {
        messages += atomic_load_explicit(&c->shards[i].messages_shared, memory_order_relaxed);
        bytes += atomic_load_explicit(&c->shards[i].bytes_shared, memory_order_relaxed);
    }
    *bytes_out = bytes;
    return messages;
}

int commit_may_take(struct commit *c, uint64_t size)
{
    bool leads = false;
    uint64_t bytes, messages = messages_now(c, &bytes);
    unsigned count = commit_shard_count(c);

    if (atomic_load(&c->draining)) return ERR_CLOSED;
    for (unsigned i = 0; i < count && !leads; i++)
        leads = atomic_load_explicit(&c->shards[i].leads_shared, memory_order_relaxed);
    if (!leads) return ERR_NOT_LEADER;
    if (atomic_load(&c->disk_low)) return ERR_FULL;
    if (messages >= atomic_load_explicit(&c->queue_messages_max, memory_order_relaxed) ||
        bytes + size > atomic_load_explicit(&c->queue_bytes_max, memory_order_relaxed))
        return ERR_FULL;
    return 0;
}

/* A shard of this loop, in turn; else any that leads; NULL: none leads. */
struct shard *commit_choose_shard(struct commit *c, struct loop *l)
{
    struct commit_loop *cl = &c->loops[loop_number(l)];
    unsigned count = commit_shard_count(c);

    for (unsigned local = 1; local <= 2; local++)
        for (unsigned i = 0; i < count; i++) {
            struct shard *s = &c->shards[(cl->next_shard + i) % count];

            if (local == 1 && s->loop != l) continue;
            if (!atomic_load_explicit(&s->leads_shared, memory_order_relaxed)) continue;
            cl->next_shard = s->number % count;
            return s;
        }
    return NULL;
}

/* ---- the answer, on the asker's loop */

static void answer(struct commit_mail_request *r)
{
    struct commit_mail *m = r->owner;

    if (m) {
        m->request = NULL;
        m->on_done(m, r->rv, r->id);
    }
    commit_upload_abort(&r->upload); /* only there when nothing was proposed */
    command_deinit(&r->cmd);
    free(r);
}

static void on_answer_arrives(struct loop_letter *letter)
{
    answer(CONTAINER_OF(letter, struct commit_mail_request, letter));
}

static void send_answer(struct commit_mail_request *r, int rv, uint64_t id)
{
    r->rv = rv;
    r->id = id;
    if (r->from == r->cmd.shard->loop) {
        answer(r);
        return;
    }
    r->letter.on_arrive = on_answer_arrives;
    loop_post(r->from, &r->letter);
}

static void on_result(struct command *cmd, int rv, uint64_t entry)
{
    struct commit_mail_request *r = CONTAINER_OF(cmd, struct commit_mail_request, cmd);

    if (rv == 0) rv = command_refusal(cmd->shard, entry);
    send_answer(r, rv, rv == 0 ? proto_id(cmd->shard->number, entry) : 0);
}

/* ---- the proposal, on the shard's loop */

static void propose(struct commit_mail_request *r)
{
    int rv = r->cmd.shard->leads ? command_propose(&r->cmd) : ERR_NOT_LEADER;

    if (rv != 0) send_answer(r, rv, 0);
}

static void on_request_arrives(struct loop_letter *letter)
{
    propose(CONTAINER_OF(letter, struct commit_mail_request, letter));
}

/* On the asker's loop. A failure is answered by the next letter, never inside of commit_mail. */
static void send_request(struct commit_mail_request *r)
{
    int rv;

    if (r->from == r->cmd.shard->loop) {
        rv = r->cmd.shard->leads ? command_propose(&r->cmd) : ERR_NOT_LEADER;
        if (rv == 0) return;
        r->rv = rv;
        r->letter.on_arrive = on_answer_arrives;
        loop_post(r->from, &r->letter);
        return;
    }
    r->letter.on_arrive = on_request_arrives;
    loop_post(r->cmd.shard->loop, &r->letter);
}

/* All chunks of the upload are committed (rv 0): their indexes go into the command. */
static void on_upload_complete(void *arg, int rv)
{
    struct commit_mail_request *r = arg;
    Angarium__Command *command = NULL;

    if (rv == 0) rv = proto_command_unpack(buf_span(&r->cmd.head), &command);
    if (rv == 0) {
        commit_upload_name(r->upload, command->accept);
        buf_reset(&r->cmd.head);
        rv = proto_command_pack(command, &r->cmd.head);
        /* the names are the upload's memory: take them back before the command is freed */
        commit_upload_unname(command->accept);
    }
    proto_command_free(&command);
    if (rv != 0) {
        r->rv = rv;
        answer(r);
        return;
    }
    commit_upload_done(&r->upload);
    send_request(r);
}

int commit_mail(struct commit *c, struct loop *l, struct commit_mail *m)
{
    struct commit_mail_request *r;
    struct shard *s;
    Angarium__Command command = ANGARIUM__COMMAND__INIT;
    int rv = commit_may_take(c, m->accept->body ? m->accept->body->size : 0);

    if (rv != 0) return rv;
    if (m->upload)
        s = commit_upload_shard(m->upload);
    else
        s = m->shard ? commit_shard(c, m->shard) : commit_choose_shard(c, l);
    if (!s) return ERR_NOT_LEADER;
    r = check_calloc(1, sizeof *r);
    command_init(&r->cmd, s);
    r->cmd.on_result = on_result;
    r->from = l;
    command.kind_case = ANGARIUM__COMMAND__KIND_ACCEPT;
    command.accept = (Angarium__Accept *)(uintptr_t)m->accept;
    rv = proto_command_pack(&command, &r->cmd.head);
    if (rv != 0) {
        command_deinit(&r->cmd);
        free(r);
        return rv;
    }
    r->owner = m;
    m->request = r;
    r->cmd.body = m->body;
    r->cmd.keep_body = true;
    m->body = NULL;
    r->upload = m->upload;
    m->upload = NULL;
    if (r->upload)
        commit_upload_on_complete(r->upload, on_upload_complete, r);
    else
        send_request(r);
    return 0;
}

void commit_mail_forget(struct commit_mail *m)
{
    if (m->request) m->request->owner = NULL;
    m->request = NULL;
}
