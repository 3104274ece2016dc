/* mail - a mail becomes an entry: a shard is chosen, the command proposed on the shard's loop, the asker
 * answered on its own.
 *
 * Invariant: on_done with 0 only from on_result with 0, that is: committed and applied (P1).
 * A request belongs to its shard's loop from the moment it is sent there until it comes back; `owner` is
 * read and written on the asker's loop only, so an asker may forget a request at any time.
 */
#include "node/commit/forward.h"
#include "node/commit/upload.h"

struct request {
    struct commit_mail_request base;
    struct loop_letter letter;
    struct command cmd;
    struct loop *from;
    struct commit_upload *upload;
    bool was_upload;
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

int commit_takes_here(struct commit *c, uint64_t size)
{
    bool leads = false;
    uint64_t bytes, messages = messages_now(c, &bytes);
    unsigned count = commit_shard_count(c);

    if (atomic_load(&c->draining)) return ERR_CLOSED;
    for (unsigned i = 0; i < count && !leads; i++)
        leads = atomic_load_explicit(&c->shards[i].takes_shared, memory_order_relaxed);
    if (!leads) return ERR_NOT_LEADER;
    if (atomic_load(&c->disk_low)) return ERR_FULL;
    if (messages >= atomic_load_explicit(&c->queue_messages_max, memory_order_relaxed) ||
        bytes + size > atomic_load_explicit(&c->queue_bytes_max, memory_order_relaxed))
        return ERR_FULL;
    return 0;
}

int commit_may_take(struct commit *c, uint64_t size)
{
    int rv = commit_takes_here(c, size);

    return (rv == ERR_NOT_LEADER || rv == ERR_FULL) && leaders_any(c) ? 0 : rv;
}

struct shard *commit_choose_shard(struct commit *c, struct loop *l, bool anywhere)
{
    struct commit_loop *cl = &c->loops[loop_number(l)];
    unsigned count = commit_shard_count(c);

    for (unsigned local = anywhere ? 2 : 1; local <= 2; local++)
        for (unsigned i = 0; i < count; i++) {
            struct shard *s = &c->shards[(cl->next_shard + i) % count];

            if (local == 1 && s->loop != l) continue;
            if (!atomic_load_explicit(&s->takes_shared, memory_order_relaxed)) continue;
            cl->next_shard = s->number % count;
            return s;
        }
    return NULL;
}

/* A failure after which the mail may go to another node. */
static bool may_go_away(const struct commit_mail *m, int rv)
{
    return (rv == ERR_NOT_LEADER || rv == ERR_FULL) && !m->upload && m->shard == 0 && !m->only_here;
}

/* ---- the answer, on the asker's loop */

/* The shard has not taken it and surely will not: another node may. */
static bool send_away(struct request *r, struct commit_mail *m)
{
    bool is_away;

    if (r->upload || r->was_upload || !may_go_away(m, r->rv)) return false;
    m->body = r->cmd.body;
    r->cmd.body = NULL;
    is_away = forward_command(r->cmd.shard->commit, r->from, m, buf_span(&r->cmd.head)) == 0;
    blob_unref(&m->body); /* nobody took it */
    return is_away;
}

static void answer(struct request *r)
{
    struct commit_mail *m = r->base.owner;

    if (m && !send_away(r, m)) {
        m->request = NULL;
        m->on_done(m, r->rv, r->id);
    }
    commit_upload_abort(&r->upload); /* only there when nothing was proposed */
    if (r->was_upload) upload_release(r->cmd.shard);
    command_deinit(&r->cmd);
    free(r);
}

static void on_answer_arrives(struct loop_letter *letter)
{
    answer(CONTAINER_OF(letter, struct request, letter));
}

static void send_answer(struct request *r, int rv, uint64_t id)
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
    struct request *r = CONTAINER_OF(cmd, struct request, cmd);

    if (rv == 0) rv = command_refusal(cmd->shard, entry);
    if (rv == ERR_CLOSED)
        rv = ERR_NOT_LEADER; /* the shard closes: the next try goes to another one */
    send_answer(r, rv, rv == 0 ? proto_id(cmd->shard->number, entry) : 0);
}

/* ---- the proposal, on the shard's loop */

static void propose(struct request *r)
{
    int rv = command_offer(&r->cmd);

    if (rv != 0) send_answer(r, rv, 0);
}

static void on_request_arrives(struct loop_letter *letter)
{
    propose(CONTAINER_OF(letter, struct request, letter));
}

/* On the asker's loop. A failure is answered by the next letter, never inside of commit_mail. */
static void send_request(struct request *r)
{
    int rv;

    if (r->from == r->cmd.shard->loop) {
        rv = command_offer(&r->cmd);
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
    struct request *r = arg;
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
    upload_hold(r->cmd.shard);
    commit_upload_done(&r->upload);
    r->was_upload = true;
    send_request(r);
}

static struct shard *shard_of(struct commit *c, struct loop *l, const struct commit_mail *m)
{
    if (m->upload) return commit_upload_shard(m->upload);
    return m->shard ? commit_shard(c, m->shard) : commit_choose_shard(c, l, m->only_here);
}

static int mail_here(struct commit *c, struct loop *l, struct commit_mail *m)
{
    struct request *r;
    struct shard *s = shard_of(c, l, m);
    Angarium__Command command = ANGARIUM__COMMAND__INIT;
    int rv;

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
    r->base.owner = m;
    m->request = &r->base;
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

int commit_mail(struct commit *c, struct loop *l, struct commit_mail *m)
{
    int rv = commit_takes_here(c, m->accept->body ? m->accept->body->size : 0), away;

    if (rv == ERR_CLOSED) return rv;
    if (m->upload && commit_upload_to(m->upload) != 0) return forward_mail(c, l, m);
    if (rv == 0) rv = mail_here(c, l, m);
    if (!may_go_away(m, rv)) return rv;
    away = forward_mail(c, l, m);
    return away == ERR_NOT_LEADER ? rv : away;
}

void commit_mail_forget(struct commit_mail *m)
{
    if (m->request) m->request->owner = NULL;
    m->request = NULL;
}
