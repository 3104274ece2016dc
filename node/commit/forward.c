/* forward - a mail for a node that leads: offered to one leader after the other, until one takes it or may have taken it.
 *
 * Invariant: a mail is offered to a second leader only when the first said no, or never got it (forward_is_refused). Whose answer is
 * missing may have committed it: ERR_UNKNOWN, and no second try.
 */
#include "node/commit/forward.h"

#include "node/commit/upload.h"

struct forward {
    struct commit_mail_request base;
    struct commit *commit;
    struct loop *loop;
    struct peer_call call;
    struct buf request; /* PeerMail */
    struct blob *body;
    struct commit_upload *upload;
    uint64_t tried[LEADERS_TRIES_MAX];
    unsigned tried_count;
    bool is_full, is_cut; /* somebody has no room; somebody did not take it for another reason */
};

bool forward_is_refused(const struct peer_call *call, int rv)
{
    if (!call->is_answered) return !call->was_sent;
    return rv == ERR_NOT_LEADER || rv == ERR_FULL || rv == ERR_CLOSED || rv == ERR_UNSUPPORTED ||
           rv == ERR_NOT_FOUND;
}

int forward_error(const struct peer_call *call, int rv)
{
    if (rv == 0) return 0;
    if (forward_is_refused(call, rv)) return rv == ERR_FULL ? ERR_FULL : ERR_NOT_LEADER;
    return call->is_answered ? rv : ERR_UNKNOWN;
}

static void finish(struct forward *f, int rv, uint64_t id)
{
    struct commit_mail *m = f->base.owner;

    if (rv == 0) metric_add(M_MAILS_FORWARDED, 1);
    if (m) {
        m->request = NULL;
        m->on_done(m, rv, id);
    }
    commit_upload_abort(&f->upload);
    buf_deinit(&f->request);
    blob_unref(&f->body);
    free(f);
}

static void on_done(struct peer_call *call, int rv, struct span answer, struct span body);

static int send_to(struct forward *f, uint64_t node)
{
    f->call = (struct peer_call){ .to = node,
                                  .kind = PEER_MAIL,
                                  .lane = WIRE_BULK,
                                  .within_ms = FORWARD_WITHIN_MS,
                                  .request = buf_span(&f->request),
                                  .body = blob_span(f->body),
                                  .on_done = on_done };
    return peer_call(f->commit->o.peers, f->loop, &f->call);
}

/* Want of room is said only when that is all that there is: one that goes or is cut off may have some, and a retry finds it. */
static int why_nobody(const struct forward *f)
{
    return f->is_full && !f->is_cut ? ERR_FULL : ERR_NOT_LEADER;
}

/* The next leader that can be asked. Else why there is none. */
static int offer(struct forward *f)
{
    while (f->tried_count < LEADERS_TRIES_MAX) {
        uint64_t node = leaders_choose(f->commit, f->tried, f->tried_count);

        if (node == 0) break;
        f->tried[f->tried_count++] = node;
        if (send_to(f, node) == 0) return 0;
        f->is_cut = true;
    }
    return why_nobody(f);
}

static void on_done(struct peer_call *call, int rv, struct span answer, struct span body)
{
    struct forward *f = CONTAINER_OF(call, struct forward, call);
    bool is_refused = rv != 0 && forward_is_refused(call, rv);
    uint64_t id = 0;

    (void)body;
    if (rv == 0)
        rv = words_mail_answer(answer, &id) == 0 ? 0 : ERR_UNKNOWN;
    else
        rv = forward_error(call, rv);
    if (rv != 0 && is_refused && !f->upload && f->base.owner) {
        *(rv == ERR_FULL ? &f->is_full : &f->is_cut) = true;
        rv = offer(f);
        if (rv == 0) return;
    }
    if (f->upload && !is_refused) commit_upload_done(&f->upload); /* it is the mail's now */
    finish(f, rv, id);
}

/* ---- a body that went before, in chunks */

static void on_upload_complete(void *arg, int rv)
{
    struct forward *f = arg;

    if (rv == 0) {
        if (send_to(f, commit_upload_to(f->upload)) == 0) return;
        rv = ERR_NOT_LEADER;
    }
    finish(f, rv, 0);
}

/* ---- the request */

static void pack(struct forward *f, struct span command)
{
    Angarium__PeerMail m = ANGARIUM__PEER_MAIL__INIT;

    m.command = proto_bytes(command);
    if (f->upload) m.upload = proto_bytes(commit_upload_own_name(f->upload));
    proto_pack(&m.base, &f->request);
    CHECK(!buf_failed(&f->request));
}

static bool fits(const struct blob *body, struct span command)
{
    return !body || command.n + body->n <= WORDS_BOTH_MAX;
}

/* The body goes before, as an upload of one chunk. */
static int open_before(struct forward *f)
{
    uint64_t node = leaders_choose(f->commit, NULL, 0);

    if (node != 0) f->upload = commit_upload_open_to(f->commit, f->loop, node);
    return node != 0 ? 0 : ERR_NOT_LEADER;
}

/* Takes *body on success. */
static int begin(struct forward *f, struct span command, struct blob **body)
{
    int rv = f->upload || fits(*body, command) ? 0 : open_before(f);

    if (rv != 0) return rv;
    pack(f, command);
    if (f->upload && *body) rv = commit_upload_chunk(f->upload, body);
    if (rv == 0 && f->upload) commit_upload_on_complete(f->upload, on_upload_complete, f);
    if (rv != 0 || f->upload) return rv == ERR_BUSY ? ERR_FULL : rv;
    f->body = *body;
    rv = offer(f);
    *(rv == 0 ? body : &f->body) = NULL;
    return rv;
}

int forward_command(struct commit *c, struct loop *l, struct commit_mail *m, struct span command)
{
    struct forward *f = check_calloc(1, sizeof *f);
    int rv;

    f->commit = c;
    f->loop = l;
    buf_init(&f->request, WORDS_REQUEST_MAX);
    f->upload = m->upload;
    rv = begin(f, command, &m->body);
    if (rv != 0) {
        if (f->upload != m->upload) commit_upload_abort(&f->upload);
        buf_deinit(&f->request);
        free(f);
        return rv;
    }
    f->base.owner = m;
    m->request = &f->base;
    m->upload = NULL;
    return 0;
}

int forward_mail(struct commit *c, struct loop *l, struct commit_mail *m)
{
    Angarium__Command command = ANGARIUM__COMMAND__INIT;
    struct buf head;
    int rv;

    buf_init(&head, PROTO_COMMAND_SIZE_MAX);
    command.kind_case = ANGARIUM__COMMAND__KIND_ACCEPT;
    command.accept = (Angarium__Accept *)(uintptr_t)m->accept;
    rv = proto_command_pack(&command, &head);
    if (rv == 0) rv = forward_command(c, l, m, buf_span(&head));
    buf_deinit(&head);
    return rv;
}
