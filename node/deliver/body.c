/* body - the bytes of a message, entry by entry: out of memory where they still are, else by the
 * DISK pool. One chunk is held at a time; the first one has the header.
 */
#include "node/deliver/inside.h"

void body_source_start(struct delivery *y)
{
    y->own_entry = y->index;
    y->entries = y->message->n_chunks > 0 ? y->message->chunks : &y->own_entry;
    y->entry_count = y->message->n_chunks > 0 ? y->message->n_chunks : 1;
    y->entry_next = 0;
    blob_unref(&y->blob);
}

/* ---- fields that do not go out (RFC 5322 3.6.3): the log has the mail as it came */

static void find_private(struct delivery *y, size_t from)
{
    const Angarium__MessageRecord *m = y->message;
    struct span header = blob_span(y->blob);

    y->private_begin = y->private_end = SIZE_MAX;
    if (y->entry_next > 1 || !m->origin || !m->origin->submitted || !m->body ||
        !m->body->has_private)
        return;
    if (header.n > m->body->header_size) header.n = m->body->header_size;
    mail_private_next(header, from, &y->private_begin, &y->private_end);
}

static void pass_private(struct delivery *y)
{
    while (y->blob_at == y->private_begin) {
        y->blob_at = y->private_end;
        find_private(y, y->private_end);
    }
}

struct span body_source_take(struct delivery *y, size_t max)
{
    size_t end = y->blob->n < y->private_begin ? y->blob->n : y->private_begin;
    struct span run = span_sub(blob_span(y->blob), y->blob_at, end - y->blob_at);

    if (run.n > max) run.n = max;
    y->blob_at += run.n;
    pass_private(y);
    return run;
}

/* ---- entries */

static void hold(struct delivery *y, struct blob *body)
{
    y->blob = body;
    y->blob_at = 0;
    y->entry_next++;
    find_private(y, 0);
    pass_private(y);
}

static void on_read(struct commit_read *r, int rv, struct blob *body)
{
    struct delivery *y = CONTAINER_OF(r, struct delivery, read);

    y->is_reading = false;
    if (!delivery_unpin(y) || y->is_over) {
        blob_unref(&body);
        return;
    }
    if (rv == 0)
        hold(y, body);
    else
        blob_unref(&body);
    if (y->inbox)
        inbox_body(y, rv);
    else if (y->c)
        data_body(y->c, rv);
}

static int read_entry(struct delivery *y, uint64_t entry)
{
    int rv;

    y->read.shard = y->shard;
    y->read.entry = entry;
    y->read.on_done = on_read;
    rv = commit_body_read(y->d->commit, y->d->loop, &y->read);
    if (rv != 0) return rv;
    y->is_reading = true;
    delivery_pin(y);
    return ERR_AGAIN;
}

int body_source_next(struct delivery *y)
{
    for (;;) {
        struct blob *body;

        if (y->is_reading) return ERR_AGAIN;
        if (y->blob && y->blob_at < y->blob->n) return 0;
        blob_unref(&y->blob);
        if (y->entry_next == y->entry_count) return ERR_CLOSED;
        body = commit_body_cached(y->d->commit, y->shard, y->entries[y->entry_next]);
        if (!body) return read_entry(y, y->entries[y->entry_next]);
        hold(y, body);
    }
}
