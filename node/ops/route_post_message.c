/* route_post_message - POST /api/v1/messages: a mail that comes by HTTP. 202 means what 250 means
 * in SMTP: the mail is committed (P1).
 *
 * Way: made on the CPU pool (post.c) -> larger than one entry: its pieces go up while the window
 * has room -> commit_mail -> answer. A client that goes away changes nothing: the mail is committed
 * all the same.
 */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "node/ops/post.h"
#include "proto/ground/check.h"
#include "proto/ground/log.h"
#include "proto/ground/metric.h"

#define POSTS_MAX     64 /* at once */
#define QUERY_TO_SIZE 8192

#define REJECTED_LOGGED_MAX 100 /* recipients of a mail */

struct post_call {
    struct post post;
    struct call *call;
    struct commit_mail mail;
    struct commit_upload *upload;
    bool is_committing;
    uint64_t began_ms, time_ms; /* mono, wall */
    char from[400], to[QUERY_TO_SIZE];
};

static void finish(struct post_call *pc)
{
    pc->call->ops->posts_open--;
    pc->call->abandon = NULL;
    commit_upload_abort(&pc->upload);
    post_deinit(&pc->post);
}

static void fail(struct post_call *pc, int rv)
{
    struct call *c = pc->call;

    finish(pc);
    metric_add(M_MAILS_REFUSED_LATER, 1);
    call_answer_problem(c, problem_of(rv),
                        rv == ERR_UNKNOWN ? "the mail may or may not be sent: %s"
                                          : "the mail was not taken: %s",
                        rv == ERR_NOT_LEADER ? "no shard has a leader that can be reached" : err_text(rv));
}

static void on_committed(struct commit_mail *m, int rv, uint64_t id)
{
    struct post_call *pc = CONTAINER_OF(m, struct post_call, mail);
    struct call *c = pc->call;
    char text[BASE32_SIZE], location[64];
    json_t *j;

    pc->is_committing = false;
    if (rv != 0) {
        fail(pc, rv);
        return;
    }
    metric_add(M_MAILS_ACCEPTED, 1);
    metric_add(M_MAILS_ACCEPTED_BYTES, pc->post.facts.size);
    metric_time_us(M_ACCEPT_TIME, (loop_mono_ms(c->ops->o.loop) - pc->began_ms) * 1000);
    finish(pc);
    base32_print(id, text);
    snprintf(location, sizeof location, "/api/v1/messages/%s", text);
    http_add_header(c->request, "Location", location);
    j = json_object();
    json_object_set_new(j, "id", json_string(text));
    call_answer_json(c, 202, j);
}

/* ---- the command */

struct accept_parts {
    struct commit_facts facts;
    struct commit_tags tags;
    Angarium__Origin origin;
    Angarium__Accept accept;
    char session[BASE32_SIZE];
};

static void fill_origin(struct accept_parts *a, const struct post_call *pc)
{
    const struct ops *ops = pc->call->ops;
    const struct stream_address *peer = http_peer(pc->call->request);
    uint64_t number;

    randombytes_buf(&number, sizeof number);
    base32_print(number, a->session);
    angarium__origin__init(&a->origin);
    a->origin.session = proto_bytes(span_cstr(a->session));
    a->origin.client_address = proto_bytes(span_cstr(peer->text));
    a->origin.client_port = peer->port;
    a->origin.protocol = proto_bytes(SPAN_LIT("HTTP"));
    a->origin.tenant = proto_bytes(span_cstr(pc->post.tenant));
    a->origin.credential = proto_bytes(SPAN_LIT("api"));
    a->origin.listener = proto_bytes(SPAN_LIT("http"));
    a->origin.hostname = proto_bytes(span_cstr(pc->call->settings->node.hostname));
    a->origin.node = ops->o.node;
    a->origin.submitted = true;
}

static void fill_accept(struct accept_parts *a, const struct post_call *pc)
{
    const struct ops *ops = pc->call->ops;

    commit_facts_fill(&a->facts, &pc->post.facts);
    fill_origin(a, pc);
    angarium__accept__init(&a->accept);
    a->accept.time_ms = loop_wall_ms(ops->o.loop);
    a->accept.mail_from = proto_bytes(pc->post.from);
    a->accept.recipients = pc->post.recipients;
    a->accept.n_recipients = pc->post.recipient_count;
    a->accept.body = &a->facts.body;
    a->accept.smtputf8 = pc->post.smtputf8;
    a->accept.hold_in_doubt = pc->post.hold_in_doubt;
    commit_tags_fill(&a->tags, pc->post.scan);
    a->accept.n_tags = a->tags.n;
    a->accept.tags = a->tags.list;
    a->accept.origin = &a->origin;
    a->accept.expires_at_ms = a->accept.time_ms + pc->call->settings->delivery.expire_ms;
}

static void commit_it(struct post_call *pc)
{
    struct accept_parts *parts = check_calloc(1, sizeof *parts);
    struct ops *ops = pc->call->ops;
    struct blob *body = pc->upload ? NULL : pc->post.pieces[0];
    int rv;

    fill_accept(parts, pc);
    pc->mail = (struct commit_mail){
        .accept = &parts->accept, .body = body, .upload = pc->upload, .on_done = on_committed
    };
    rv = commit_mail(ops->o.commit, ops->o.loop, &pc->mail);
    free(parts);
    if (rv != 0) {
        fail(pc, rv);
        return;
    }
    if (body) pc->post.pieces[0] = NULL;
    pc->upload = NULL;
    pc->is_committing = true;
}

/* ---- pieces */

static void send_pieces(void *arg)
{
    struct post_call *pc = arg;
    struct post *p = &pc->post;
    int rv = 0;

    while (rv == 0 && p->piece_next < p->piece_count) {
        rv = commit_upload_chunk(pc->upload, &p->pieces[p->piece_next]);
        if (rv == 0) p->piece_next++;
    }
    if (rv == ERR_FULL) return; /* called again when there is room */
    if (rv != 0)
        fail(pc, rv);
    else
        commit_it(pc);
}

static void send_mail(struct post_call *pc)
{
    struct ops *ops = pc->call->ops;
    int rv = commit_may_take(ops->o.commit, pc->post.facts.size);

    if (rv == 0 && pc->post.piece_count == 1) {
        commit_it(pc);
        return;
    }
    if (rv == 0) rv = commit_upload_open(ops->o.commit, ops->o.loop, &pc->upload);
    if (rv != 0) {
        fail(pc, rv);
        return;
    }
    commit_upload_on_room(pc->upload, send_pieces, pc);
    send_pieces(pc);
}

/* ---- the request */

static void make(struct loop_work *w)
{
    struct call *c = CONTAINER_OF(w, struct call, work);
    struct post_call *pc = c->more;
    struct post_input in = {
        .content_type = http_header(c->request, "Content-Type"),
        .body = http_body(c->request),
        .query_from = pc->from,
        .query_to = pc->to,
        .time_ms = pc->time_ms,
    };

    c->status = post_make(&pc->post, &in, c->settings) == 0 ? 200 : 400;
}

static void abandon(struct call *c)
{
    struct post_call *pc = c->more;

    if (pc->is_committing) commit_mail_forget(&pc->mail);
    if (pc->is_committing || pc->upload) fail(pc, pc->is_committing ? ERR_UNKNOWN : ERR_CLOSED);
}

/* The event of each recipient, as SMTP has it (node/accept/finish.c). */
static void log_rejected(const struct post *p)
{
    for (unsigned i = 0; i < p->recipient_count && i < REJECTED_LOGGED_MAX; i++)
        log_event(LOG_INFO, "recipient.rejected", LOG_TEXT("session", "http"),
                  LOG_SPAN("recipient", proto_span(p->recipients[i]->address)),
                  LOG_TEXT("tenant", p->tenant), LOG_TEXT("reason", p->detail));
}

static void on_made(struct loop_work *w)
{
    struct call *c = CONTAINER_OF(w, struct call, work);
    struct post_call *pc = c->more;

    if (c->status >= 300) {
        char detail[sizeof pc->post.detail];
        enum problem problem = pc->post.problem;

        memcpy(detail, pc->post.detail, sizeof detail);
        if (pc->post.is_rejected) log_rejected(&pc->post);
        finish(pc);
        metric_add(M_MAILS_REFUSED_NEVER, 1);
        call_answer_problem(c, problem, "%s", detail);
    } else if (atomic_load(&c->ops->closing)) {
        fail(pc, ERR_CLOSED);
    } else {
        c->abandon = abandon;
        send_mail(pc);
    }
}

void route_post_message(struct call *c)
{
    struct post_call *pc;

    if (c->ops->posts_open >= POSTS_MAX) {
        call_answer_problem(c, PROBLEM_BUSY, "%d mails are being taken in; try again in a moment",
                            POSTS_MAX);
        return;
    }
    pc = check_calloc(1, sizeof *pc);
    c->more = pc;
    pc->call = c;
    post_init(&pc->post);
    call_take_query(c, "from", pc->from, sizeof pc->from);
    call_take_query(c, "to", pc->to, sizeof pc->to);
    pc->began_ms = loop_mono_ms(c->ops->o.loop);
    pc->time_ms = loop_wall_ms(c->ops->o.loop);
    c->work.run = make;
    c->work.on_done = on_made;
    c->ops->posts_open++;
    if (loop_work(c->ops->o.loop, LOOP_POOL_CPU, &c->work) != 0) fail(pc, ERR_FULL);
}
