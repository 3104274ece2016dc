/* body - one mail's bytes (RFC 5321 4.1.1.4, RFC 3030): facts, then memory, then the shard's log.
 *
 * Invariants:
 * - Until more than COMMIT_INLINE_SIZE_MAX bytes have come the body is one blob, `filling`. Then an
 *   upload is open, and everything but the last chunk is of exactly that size.
 * - `waiting` is set only while the upload's window is full; it leaves before anything else.
 * - As soon as it is known that the mail will be refused nothing of it is kept, neither here nor in
 *   the shard.
 */
#include "node/accept/body.h"

#include <stdio.h>

#include "proto/ground/check.h"
#include "proto/ground/metric.h"

_Static_assert(MAIL_CONTENT_SAID_SIZE <= MAIL_SENDERS_CAUSE_SIZE, "a rule is a cause");
_Static_assert(MAIL_HEADER_SIZE_MAX <= COMMIT_INLINE_SIZE_MAX, "the first chunk holds the header");

#define BLOB_SIZE_FIRST 4096
#define BLOB_SIZE_LATER (64u << 10)

void body_open(struct body *b, struct accept *a, const struct terms *terms, bool is_binary,
               struct span tenant, const struct body_calls *calls, void *arg)
{
    *b = (struct body){ .accept = a,
                        .terms = terms,
                        .refusal = BODY_FINE,
                        .is_binary = is_binary,
                        .calls = calls,
                        .arg = arg };
    b->reader = accept_reader_take(a);
    mail_reader_start(b->reader, false);
    b->scan = mail_content_scan_new(a->content, tenant);
}

static void drop_bytes(struct body *b)
{
    blob_unref(&b->filling);
    blob_unref(&b->waiting);
    commit_upload_abort(&b->upload);
}

void body_close(struct body *b)
{
    drop_bytes(b);
    mail_content_scan_free(&b->scan);
    if (b->reader) accept_reader_give(b->accept, &b->reader);
}

void body_refuse(struct body *b, enum smtp_reply_id id)
{
    if (b->refusal != BODY_FINE) return;
    b->refusal = (int)id;
    drop_bytes(b);
}

void body_refuse_cause(struct body *b, enum smtp_reply_id id, const char *cause)
{
    if (b->refusal == BODY_FINE) snprintf(b->cause, sizeof b->cause, "%s", cause);
    body_refuse(b, id);
}

enum smtp_reply_id body_reply_of(int commit_error)
{
    switch (commit_error) {
    case ERR_FULL:
    case ERR_BUSY:
        return SMTP_REPLY_QUEUE_FULL;
    case ERR_NOT_LEADER:
        return SMTP_REPLY_NO_LEADER;
    case ERR_CLOSED:
        return SMTP_REPLY_SHUTDOWN;
    default:
        return SMTP_REPLY_NOT_COMMITTED;
    }
}

bool body_is_full(const struct body *b)
{
    return b->waiting != NULL;
}

/* ---- chunks */

/* Sends what is full, and at the end also what is not. */
static void send_chunks(struct body *b)
{
    int rv = 0;

    while (rv == 0 && (b->waiting || (b->facts && b->filling))) {
        if (!b->waiting) {
            b->waiting = b->filling;
            b->filling = NULL;
        }
        rv = commit_upload_chunk(b->upload, &b->waiting);
    }
    if (rv != 0 && rv != ERR_FULL) body_refuse(b, body_reply_of(rv));
}

static void on_upload_room(void *arg)
{
    struct body *b = arg;

    if (!b->waiting) return;
    send_chunks(b);
    if (!b->waiting) b->calls->on_room(b->arg);
}

static int open_upload(struct body *b)
{
    int rv;

    if (b->upload) return 0;
    rv = commit_upload_open(b->accept->commit, b->accept->loop, &b->upload);
    if (rv == 0) commit_upload_on_room(b->upload, on_upload_room, b);
    return rv;
}

/* A header is never larger than the first chunk: it lies in `filling` as long as nothing went up. */
static void show_header(struct body *b)
{
    if (b->is_header_seen || b->refusal != BODY_FINE) return;
    b->is_header_seen = true;
    b->calls->on_header(b->arg, b->filling ? blob_span(b->filling) : span_of(NULL, 0));
}

/* `filling` is full and more bytes are there. */
static void next_chunk(struct body *b)
{
    int rv;

    show_header(b);
    if (b->refusal != BODY_FINE) return;
    rv = open_upload(b);
    if (rv) {
        body_refuse(b, body_reply_of(rv));
        return;
    }
    CHECK(!b->waiting);
    b->waiting = b->filling;
    b->filling = NULL;
    send_chunks(b);
}

static void keep(struct body *b, struct span run)
{
    while (run.n > 0 && b->refusal == BODY_FINE) {
        size_t n;

        if (b->filling && b->filling->n == COMMIT_INLINE_SIZE_MAX) next_chunk(b);
        if (b->refusal != BODY_FINE) return;
        if (!b->filling) b->filling = blob_new(b->upload ? BLOB_SIZE_LATER : BLOB_SIZE_FIRST);
        n = COMMIT_INLINE_SIZE_MAX - b->filling->n;
        if (n > run.n) n = run.n;
        CHECK(blob_add(b->filling, run.p, n, COMMIT_INLINE_SIZE_MAX) == 0);
        run = span_from(run, n);
    }
}

/* ---- bytes and facts */

static void judge(struct body *b, const struct mail_facts *f)
{
    const struct accept_limits *limits = &b->terms->limits;

    if (b->is_binary ? f->has_bare_in_header : f->has_bare_cr || f->has_bare_lf)
        body_refuse(b, SMTP_REPLY_BARE_LINE_END);
    else if (f->has_nul && !b->is_binary)
        body_refuse(b, SMTP_REPLY_NUL);
    else if (f->header_too_large || f->header_size > limits->header_size_max)
        body_refuse(b, SMTP_REPLY_HEADER_TOO_LARGE);
    else if (f->field_count > limits->header_fields_max)
        body_refuse(b, SMTP_REPLY_TOO_MANY_FIELDS);
    else if (f->received_count > limits->hops_max)
        body_refuse(b, SMTP_REPLY_TOO_MANY_HOPS);
}

static void judge_content(struct body *b)
{
    struct mail_content_hit hit;

    if (b->refusal != BODY_FINE || !mail_content_refused(b->scan, &hit)) return;
    commit_content_count(&hit);
    body_refuse_cause(b, SMTP_REPLY_CONTENT_DENIED, hit.said);
}

void body_feed(struct body *b, struct span run)
{
    b->size += run.n;
    if (b->size > b->terms->limits.message_size_max) body_refuse(b, SMTP_REPLY_TOO_LARGE);
    if (b->refusal == BODY_FINE && blob_bytes_total() + run.n > b->terms->limits.bodies_size_max) {
        metric_add(M_BODIES_FULL, 1);
        body_refuse(b,
                    SMTP_REPLY_QUEUE_FULL); /* its memory is free at once: the next mail may fit */
    }
    if (b->refusal != BODY_FINE) return;
    mail_reader_feed(b->reader, run);
    judge(b, mail_reader_facts(b->reader));
    mail_content_scan_feed(b->scan, run);
    judge_content(b);
    keep(b, run);
}

void body_finish(struct body *b)
{
    b->facts = mail_reader_finish(b->reader);
    judge(b, b->facts);
    show_header(b);
    mail_content_scan_finish(b->scan);
    judge_content(b);
    if (b->refusal == BODY_FINE && b->upload) send_chunks(b);
}
