/* route_message_body - GET /api/v1/messages/{id}/body: the mail itself, as message/rfc822.
 *
 * From the built-in inbox when it was kept there (with return path and trace header), else from the
 * log or the state store: entry after entry, the next one read when the client has taken the last.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/deliver/deliver.h"
#include "node/ops/inside.h"
#include "proto/ground/blob.h"
#include "proto/ground/check.h"
#include "proto/ground/log.h"

#define MAIL_TYPE  "message/rfc822"
#define PIECE_SIZE (64u << 10)

struct body_call {
    struct call *call;
    uint32_t recipient_first, recipient_last; /* inbox files looked for */
    struct blob *file;                        /* out of the inbox */
    uint64_t *entries;
    size_t entry_count, entry_next;
    struct commit_read read;
    struct blob *piece; /* being sent */
    size_t piece_at;
    bool is_streaming, is_gone, is_reading, is_sending;
};

static void body_free(struct body_call *b)
{
    struct call *c = b->call;

    blob_unref(&b->file);
    blob_unref(&b->piece);
    free(b->entries);
    call_free(c); /* and b */
}

/* ---- what there is (on the pool) */

static struct blob *read_file(const char *path, size_t size_max)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    struct blob *b = NULL;
    ssize_t n = 1;

    if (fd < 0) return NULL;
    if (fstat(fd, &st) == 0 && st.st_size >= 0 && (size_t)st.st_size <= size_max)
        b = blob_new((size_t)st.st_size + 1);
    while (b && n > 0 && b->n < b->cap) {
        n = read(fd, b->p + b->n, b->cap - b->n);
        if (n > 0) b->n += (size_t)n;
    }
    close(fd);
    if (n < 0) blob_unref(&b);
    return b;
}

static void find_in_inbox(struct body_call *b, uint32_t recipient_count)
{
    const struct ops *ops = b->call->ops;
    size_t size_max = b->call->settings->limits.message_size_max + PIECE_SIZE;
    char path[4300];

    for (uint32_t i = b->recipient_first;
         ops->inbox_dir && i <= b->recipient_last && i < recipient_count; i++) {
        deliver_inbox_path(ops->inbox_dir, b->call->id, i, path, sizeof path);
        b->file = read_file(path, size_max);
        if (b->file) return;
    }
}

static void list_entries(struct body_call *b, const Angarium__MessageRecord *m)
{
    size_t n = m->n_chunks > 0 ? m->n_chunks : 1;

    b->entries = check_calloc(n, sizeof *b->entries);
    b->entry_count = n;
    if (m->n_chunks > 0)
        memcpy(b->entries, m->chunks, n * sizeof *b->entries);
    else
        b->entries[0] = proto_id_index(b->call->id);
}

static void find_body(struct loop_work *w)
{
    struct call *c = CONTAINER_OF(w, struct call, work);
    struct body_call *b = c->more;
    Angarium__MessageRecord *m = NULL;
    int rv = queue_message_get(commit_store(c->ops->o.commit), proto_id_shard(c->id),
                               proto_id_index(c->id), &m);

    c->status = 200;
    if (rv != 0) {
        call_fail(c, problem_of(rv), "there is no message %s (any more)", c->param);
        return;
    }
    find_in_inbox(b, m->recipient_count);
    if (!b->file && m->body_gone)
        call_fail(c, PROBLEM_GONE, "the body of %s is no longer kept: all its recipients are done",
                  c->param);
    else if (!b->file)
        list_entries(b, m);
    queue_message_free(&m);
}

/* ---- sending (on the loop) */

static void read_next(struct body_call *b);

static void end_stream(struct body_call *b)
{
    http_stream_end(b->call->request);
    body_free(b);
}

static void send_piece(struct body_call *b)
{
    while (b->piece && b->piece_at < b->piece->n) {
        size_t left = b->piece->n - b->piece_at, n = left < PIECE_SIZE ? left : PIECE_SIZE;
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
    if (b->entry_next == b->entry_count)
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

static void on_read(struct commit_read *r, int rv, struct blob *body)
{
    struct body_call *b = CONTAINER_OF(r, struct body_call, read);

    b->is_reading = false;
    if (rv != 0 && !b->is_streaming) {
        struct call *c = b->call;

        free(b->entries);
        call_answer_problem(c, rv == ERR_NOT_FOUND ? PROBLEM_GONE : problem_of(rv),
                            "the body of %s is no longer kept", c->param);
        return;
    }
    if (rv != 0 || atomic_load(&b->call->ops->closing)) {
        log_event(LOG_WARN, "api.body_cut", LOG_TEXT("message", b->call->param),
                  LOG_TEXT("error", err_name(rv)));
        blob_unref(&body);
        end_stream(b);
        return;
    }
    if (!b->is_streaming) start_stream(b);
    b->piece = body;
    b->piece_at = 0;
    send_piece(b);
}

static void read_next(struct body_call *b)
{
    const struct ops *ops = b->call->ops;
    int rv;

    b->read = (struct commit_read){ .shard = proto_id_shard(b->call->id),
                                    .entry = b->entries[b->entry_next++],
                                    .on_done = on_read };
    b->is_reading = true;
    rv = commit_body_read(ops->o.commit, ops->o.loop, &b->read);
    if (rv != 0) on_read(&b->read, rv, NULL);
}

static void on_found(struct loop_work *w)
{
    struct call *c = CONTAINER_OF(w, struct call, work);
    struct body_call *b = c->more;

    if (c->status >= 300) {
        call_answer_problem(c, c->problem, "%s", c->detail);
    } else if (b->file) {
        struct blob *file = b->file;

        call_answer_text(c, 200, MAIL_TYPE, blob_span(file));
        blob_unref(&file);
    } else {
        read_next(b);
    }
}

static void abandon(struct call *c)
{
    struct body_call *b = c->more;

    if (b->is_streaming && !b->is_reading) end_stream(b);
}

void route_message_body(struct call *c)
{
    struct body_call *b = check_calloc(1, sizeof *b);
    char text[16];
    uint64_t number = 0;

    c->more = b;
    b->call = c;
    b->recipient_last = UINT32_MAX - 1;
    if (!call_take_id(c)) return;
    call_take_query(c, "recipient", text, sizeof text);
    if (text[0] && span_u64(span_cstr(text), PROTO_RECIPIENTS_MAX - 1, &number) != 0) {
        call_answer_problem(c, PROBLEM_BAD_REQUEST, "recipient: its number, from 0");
        return;
    }
    if (text[0]) b->recipient_first = b->recipient_last = (uint32_t)number;
    c->abandon = abandon;
    c->work.run = find_body;
    c->work.on_done = on_found;
    if (loop_work(c->ops->o.loop, LOOP_POOL_DISK, &c->work) != 0)
        call_answer_problem(c, PROBLEM_BUSY, "the disk has too much to do; try again in a moment");
}
