/* inbox - mail that is kept here instead of being sent on: one file for each recipient, return path
 * and trace header first (RFC 5321 4.4). The claim comes before the first byte, as it does for a
 * remote host. Each chunk of the body is one piece of work for the DISK pool; the last one makes
 * the file durable and gives it its name, so that a name always means a whole mail. A second
 * writing after a doubt gives the same file again.
 */
#include "node/deliver/inside.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct inbox_job {
    struct loop_work work;
    struct deliver *d;  /* NULL: gone */
    struct delivery *y; /* NULL: over; the job ends by itself */
    struct blob *blob;  /* holds what `run` points to */
    struct span run;
    struct buf head;
    int fd;
    int error; /* errno */
    bool is_running, is_last, is_kept;
    char path[PATH_MAX], temp[PATH_MAX + 8], dir[PATH_MAX];
};

void deliver_inbox_path(const char *inbox_dir, uint64_t id, uint32_t recipient, char *out,
                        size_t out_size)
{
    char text[BASE32_SIZE];

    base32_print(id, text);
    snprintf(out, out_size, "%s/%s.%u.eml", inbox_dir, text, (unsigned)recipient);
}

/* ---- on the pool's thread */

static int write_all(int fd, struct span bytes)
{
    while (bytes.n > 0) {
        ssize_t n = write(fd, bytes.p, bytes.n);

        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return errno;
        bytes = span_from(bytes, (size_t)n);
    }
    return 0;
}

static int sync_dir(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int error = fd < 0 ? errno : 0;

    if (fd >= 0 && fsync(fd) != 0) error = errno;
    if (fd >= 0) close(fd);
    return error;
}

static int finish(struct inbox_job *j)
{
    if (fsync(j->fd) != 0) return errno;
    close(j->fd);
    j->fd = -1;
    if (rename(j->temp, j->path) != 0) return errno;
    j->is_kept = true;
    return sync_dir(j->dir);
}

static int write_piece(struct inbox_job *j)
{
    int error;

    if (j->fd < 0) j->fd = open(j->temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (j->fd < 0) return errno;
    error = write_all(j->fd, buf_span(&j->head));
    if (!error) error = write_all(j->fd, j->run);
    return error || !j->is_last ? error : finish(j);
}

static void on_run(struct loop_work *w)
{
    struct inbox_job *j = CONTAINER_OF(w, struct inbox_job, work);

    j->error = write_piece(j);
}

/* ---- on the loop */

static void job_free(struct inbox_job *j)
{
    if (j->fd >= 0) close(j->fd);
    if (!j->is_kept) unlink(j->temp);
    blob_unref(&j->blob);
    buf_deinit(&j->head);
    free(j);
}

void inbox_over(struct delivery *y)
{
    struct inbox_job *j = y->inbox;

    if (!j) return;
    y->inbox = NULL;
    j->y = NULL;
    y->d->inbox_count--;
    if (!j->is_running) job_free(j);
}

static void end(struct delivery *y, struct verdict *v)
{
    delivery_judge(y, v);
    delivery_over(y);
}

static void failed(struct delivery *y, const char *what)
{
    end(y, delivery_words(y, ANGARIUM__RESULT__RESULT_DEFERRED, "inbox",
                          "the inbox could not keep it: %s", what));
}

static void kept(struct delivery *y)
{
    struct verdict *v =
        delivery_words(y, ANGARIUM__RESULT__RESULT_DELIVERED, "ok", "kept in the inbox");

    v->code = 250;
    v->confirm = PROTO_CONFIRM_DELIVERED;
    snprintf(v->enhanced, sizeof v->enhanced, "2.0.0");
    end(y, v);
}

static void go_on(struct delivery *y);

static void on_done(struct loop_work *w)
{
    struct inbox_job *j = CONTAINER_OF(w, struct inbox_job, work);
    struct delivery *y = j->y;

    j->is_running = false;
    if (!y) {
        job_free(j);
        return;
    }
    blob_unref(&j->blob);
    buf_reset(&j->head);
    if (j->error)
        failed(y, strerror(j->error));
    else if (j->is_last)
        kept(y);
    else
        go_on(y);
}

static void go_on(struct delivery *y)
{
    struct inbox_job *j = y->inbox;
    int rv = body_source_next(y);

    if (rv == ERR_AGAIN) return; /* inbox_body() comes */
    j->run = span_of(NULL, 0);
    if (rv == 0) {
        j->blob = blob_ref(y->blob);
        j->run = body_source_take(y, SIZE_MAX);
    }
    j->is_last = rv == ERR_CLOSED || (y->entry_next == y->entry_count && y->blob_at == y->blob->n);
    if (rv == 0 || rv == ERR_CLOSED) {
        j->is_running = true;
        rv = loop_work(y->d->loop, LOOP_POOL_DISK, &j->work);
        if (rv != 0) j->is_running = false;
    }
    if (rv != 0) failed(y, err_text(rv));
}

void inbox_body(struct delivery *y, int rv)
{
    if (rv == 0)
        go_on(y);
    else
        failed(y, err_text(rv));
}

static struct inbox_job *job_new(struct delivery *y)
{
    struct inbox_job *j = check_calloc(1, sizeof *j);
    struct deliver *d = y->d;

    j->y = y;
    j->fd = -1;
    j->work.run = on_run;
    j->work.on_done = on_done;
    deliver_inbox_path(d->inbox_dir, proto_id(y->shard, y->index), y->list[0].number, j->path,
                       sizeof j->path);
    snprintf(j->temp, sizeof j->temp, "%s.part", j->path);
    snprintf(j->dir, sizeof j->dir, "%s", d->inbox_dir);
    delivery_trace(y);
    buf_init(&j->head, 16384);
    buf_add_cstr(&j->head, "Return-Path: <");
    buf_add_span(&j->head, proto_span(y->message->mail_from));
    buf_add_cstr(&j->head, ">\r\n");
    buf_add_span(&j->head, buf_span(&y->trace));
    return j;
}

void inbox_claimed(struct delivery *y)
{
    body_source_start(y);
    go_on(y);
}

void inbox_start(struct delivery *y)
{
    struct deliver *d = y->d;

    snprintf(y->remote.host, sizeof y->remote.host, "inbox");
    if (!d->inbox_dir) {
        failed(y, "this node has none");
        return;
    }
    y->inbox = job_new(y);
    d->inbox_count++;
    delivery_claim(y);
}
