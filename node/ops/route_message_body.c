/* route_message_body - GET /api/v1/messages/{id}/body: the mail itself, as message/rfc822.
 *
 * From the built-in inbox when it was kept there (with return path and trace header), else from the log or the state store: piece
 * after piece, the next one read when the client has taken the last. Of a cluster those who hold the shard are asked in turn,
 * its leader first, until one has the first piece; all others come from the same one.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/deliver/deliver.h"
#include "node/ops/question.h"
#include "proto/ground/blob.h"
#include "proto/ground/check.h"
#include "proto/ground/log.h"

#define MAIL_TYPE       "message/rfc822"
#define WRITE_SIZE      (64u << 10)
#define PIECE_SIZE      (256u << 10) /* of a file; of the log: an entry */
#define PIECE_WITHIN_MS 10000

/* ---- a piece (on the pool) */

static void tell_piece(struct reading *r, enum piece_from from, struct blob *bytes, bool is_last)
{
    r->json = json_pack("{s:i, s:b}", "from", (int)from, "last", (int)is_last);
    r->bytes = bytes;
}

/* True: the file is there. */
static bool read_file(struct reading *r, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    off_t at = (off_t)r->q->skip * PIECE_SIZE;
    struct blob *b = NULL;
    struct stat st;
    ssize_t n = 1;

    if (fd < 0) return false;
    if (fstat(fd, &st) == 0) b = blob_new(PIECE_SIZE);
    while (b && n > 0 && b->n < PIECE_SIZE) {
        n = pread(fd, b->p + b->n, PIECE_SIZE - b->n, at + (off_t)b->n);
        if (n > 0) b->n += (size_t)n;
    }
    close(fd);
    if (b && n >= 0)
        tell_piece(r, PIECE_INBOX, b, at + (off_t)b->n >= st.st_size);
    else
        blob_unref(&b);
    if (!r->json) r->rv = ERR_IO;
    return true;
}

static bool read_inbox(struct reading *r, uint32_t recipient_count)
{
    char path[4300];

    for (uint32_t i = r->q->recipient_first;
         r->ops->inbox_dir && i <= r->q->recipient_last && i < recipient_count; i++) {
        deliver_inbox_path(r->ops->inbox_dir, r->q->id, i, path, sizeof path);
        if (read_file(r, path)) return true;
    }
    return false;
}

static void read_log(struct reading *r, const Angarium__MessageRecord *m)
{
    const size_t count = m->n_chunks > 0 ? m->n_chunks : 1;
    const uint32_t at = r->q->skip;
    struct blob *b = NULL;

    if (at >= count) {
        r->rv = ERR_RANGE;
        return;
    }
    r->rv = commit_body_get(r->ops->o.commit, proto_id_shard(r->q->id),
                            m->n_chunks > 0 ? m->chunks[at] : proto_id_index(r->q->id), &b);
    if (r->rv == 0 && !b) b = blob_new(0); /* a mail without a byte */
    if (r->rv == ERR_NOT_FOUND) r->rv = 0; /* the body, not the message */
    if (r->rv == 0) tell_piece(r, PIECE_LOG, b, at + 1 == count);
}

void piece_read(struct reading *r)
{
    const struct question *q = r->q;
    Angarium__MessageRecord *m = NULL;
    bool is_done = false;

    r->rv = queue_message_get(commit_store(r->ops->o.commit), proto_id_shard(q->id),
                              proto_id_index(q->id), &m);
    if (r->rv != 0) return;
    if (q->from != PIECE_LOG) is_done = read_inbox(r, m->recipient_count);
    if (!is_done && q->from != PIECE_INBOX && (q->from == PIECE_LOG || !m->body_gone))
        read_log(r, m);
    else if (!is_done)
        tell_piece(r, PIECE_ANY, NULL, true);
    queue_message_free(&m);
}

/* ---- asking for pieces */

struct body_call {
    struct call *call;
    struct question q;
    uint64_t holders[QUESTION_HOLDERS_MAX];
    unsigned holder_count, holder_at; /* who is asked */
    struct peer_call ask;
    struct loop_work work;
    struct reading reading;
    struct blob *piece; /* being sent */
    size_t piece_at;
    bool is_known, is_gone,
        is_last; /* somebody knows the message; the client has gone; nothing comes behind the piece */
    bool is_streaming, is_reading;
};

static void body_free(struct body_call *b)
{
    struct call *c = b->call;

    blob_unref(&b->piece);
    call_free(c); /* and b */
}

static void end_stream(struct body_call *b)
{
    http_stream_end(b->call->request);
    body_free(b);
}

static void read_next(struct body_call *b);

static void send_piece(struct body_call *b)
{
    while (b->piece && b->piece_at < b->piece->n) {
        size_t left = b->piece->n - b->piece_at, n = left < WRITE_SIZE ? left : WRITE_SIZE;
        int rv = b->is_gone
                     ? ERR_CLOSED
                     : http_stream_write(b->call->request, span_of(b->piece->p + b->piece_at, n));

        if (rv == ERR_FULL) return;
        if (rv != 0) {
            end_stream(b);
            return;
        }
        b->piece_at += n;
    }
    blob_unref(&b->piece);
    if (b->is_last)
        end_stream(b);
    else
        read_next(b);
}

static void on_room(void *arg)
{
    struct body_call *b = arg;

    if (b->piece) send_piece(b);
}

static void on_gone(void *arg)
{
    struct body_call *b = arg;

    b->is_gone = true;
    if (!b->is_reading) end_stream(b);
}

/* A client that is gone already is noticed by the first write. */
static void start_stream(struct body_call *b)
{
    http_stream_start(b->call->request, 200, MAIL_TYPE);
    b->is_streaming = true;
    http_on_room(b->call->request, on_room, b);
    b->is_reading = true;
    http_on_gone(b->call->request, on_gone, b);
    b->is_reading = false;
}

static void answer_nothing(struct body_call *b, int rv)
{
    struct call *c = b->call;

    if (b->is_known)
        call_answer_problem(c, PROBLEM_GONE, "the body of %s is no longer kept", c->param);
    else if (rv == ERR_NOT_FOUND)
        call_answer_problem(c, PROBLEM_NOT_FOUND, "there is no message %s (any more)", c->param);
    else
        call_answer_problem(c, rv == ERR_CLOSED ? PROBLEM_NOT_REACHED : problem_of(rv), "%s: %s",
                            c->param, err_text(rv));
}

/* No piece came. Before the first one the next holder is asked. */
static void on_failed(struct body_call *b, int rv)
{
    bool closing = atomic_load(&b->call->ops->closing);

    if (b->is_streaming) {
        log_event(LOG_WARN, "api.body_cut", LOG_TEXT("message", b->call->param),
                  LOG_TEXT("error", err_name(rv)));
        end_stream(b);
    } else if (!closing && ++b->holder_at < b->holder_count) {
        read_next(b);
    } else {
        answer_nothing(b, rv);
    }
}

/* Takes bytes. */
static void on_piece(struct body_call *b, int rv, const json_t *said, struct blob *bytes)
{
    const json_t *from = json_object_get(said, "from");

    b->is_reading = false;
    if (rv == 0) b->is_known = true;
    if (rv == 0 && (!json_is_integer(from) || !bytes)) rv = ERR_NOT_FOUND;
    if (rv == 0 && atomic_load(&b->call->ops->closing)) rv = ERR_CLOSED;
    if (rv != 0) {
        blob_unref(&bytes);
        on_failed(b, rv);
        return;
    }
    b->q.from = (enum piece_from)json_integer_value(from);
    b->q.skip++;
    b->is_last = json_is_true(json_object_get(said, "last"));
    if (!b->is_streaming) start_stream(b);
    b->piece = bytes;
    b->piece_at = 0;
    send_piece(b);
}

static void on_run(struct loop_work *w)
{
    question_read(&CONTAINER_OF(w, struct body_call, work)->reading);
}

static void on_read(struct loop_work *w)
{
    struct body_call *b = CONTAINER_OF(w, struct body_call, work);
    json_t *said = b->reading.json;

    on_piece(b, b->reading.rv, said, b->reading.bytes);
    json_decref(said);
}

static void on_answered(struct peer_call *ask, int rv, struct span answer, struct span body)
{
    struct body_call *b = CONTAINER_OF(ask, struct body_call, ask);
    json_t *said = rv == 0 ? json_loadb((const char *)answer.p, answer.n, 0, NULL) : NULL;
    struct blob *bytes = NULL;

    if (rv == 0 && json_integer_value(json_object_get(said, "from")) != PIECE_ANY)
        bytes = blob_copy(body);
    if (rv != 0 && !ask->is_answered) rv = ERR_CLOSED;
    on_piece(b, rv, said, bytes);
    json_decref(said);
}

static int ask_node(struct body_call *b, uint64_t node)
{
    const struct ops *ops = b->call->ops;
    char *text = question_print(&b->q);
    int rv;

    b->ask = (struct peer_call){ .to = node,
                                 .kind = PEER_QUERY,
                                 .lane = WIRE_BULK,
                                 .within_ms = PIECE_WITHIN_MS,
                                 .request = span_cstr(text),
                                 .on_done = on_answered };
    rv = peer_call(ops->o.peers, ops->o.loop, &b->ask);
    free(text);
    return rv;
}

static int read_here(struct body_call *b)
{
    b->reading = (struct reading){ .ops = b->call->ops, .q = &b->q, .room = SIZE_MAX };
    b->work.run = on_run;
    b->work.on_done = on_read;
    return loop_work(b->call->ops->o.loop, LOOP_POOL_DISK, &b->work);
}

static void read_next(struct body_call *b)
{
    uint64_t node = b->holders[b->holder_at];
    int rv;

    b->is_reading = true;
    rv = node == b->call->ops->o.node ? read_here(b) : ask_node(b, node);
    if (rv == 0) return;
    b->is_reading = false;
    on_failed(b, rv);
}

static void abandon(struct call *c)
{
    struct body_call *b = c->more;

    if (b->is_streaming && !b->is_reading) end_stream(b);
}

/* ?recipient=N: that one's file of the inbox; without it any. False: answered. */
static bool take_recipient(struct call *c, struct question *q)
{
    char text[16];
    uint64_t number = 0;

    q->recipient_last = PROTO_RECIPIENTS_MAX;
    call_take_query(c, "recipient", text, sizeof text);
    if (!text[0]) return true;
    if (span_u64(span_cstr(text), PROTO_RECIPIENTS_MAX - 1, &number) != 0) {
        call_answer_problem(c, PROBLEM_BAD_REQUEST, "recipient: its number, from 0");
        return false;
    }
    q->recipient_first = q->recipient_last = (uint32_t)number;
    return true;
}

void route_message_body(struct call *c)
{
    struct body_call *b = check_calloc(1, sizeof *b);

    c->more = b;
    b->call = c;
    if (!call_take_id(c) || !take_recipient(c, &b->q)) return;
    b->q.kind = QUESTION_PIECE;
    b->q.id = c->id;
    b->q.shards[b->q.shard_count++] = proto_id_shard(c->id);
    b->holder_count = query_holders(c->ops, proto_id_shard(c->id), b->holders);
    if (b->holder_count == 0) {
        answer_nothing(b, ERR_CLOSED);
        return;
    }
    c->abandon = abandon;
    read_next(b);
}
