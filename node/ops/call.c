/* call - a request on its way to its answer. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "node/ops/inside.h"
#include "node/ops/text.h"
#include "proto/ground/check.h"

void call_free(struct call *c)
{
    list_remove(&c->link);
    json_decref(c->json);
    settings_unref(&c->settings);
    free(c->more);
    free(c);
}

/* ---- answers */

void call_answer_text(struct call *c, unsigned status, const char *type, struct span text)
{
    http_answer(c->request, status, type, text);
    call_free(c);
}

static void answer_json(struct call *c, unsigned status, const char *type, const json_t *j)
{
    struct buf line;

    buf_init(&line, SIZE_MAX / 2);
    text_add_json(&line, j);
    buf_add_cstr(&line, "\n");
    CHECK(!buf_failed(&line));
    call_answer_text(c, status, type, buf_span(&line));
    buf_deinit(&line);
}

void call_answer_json(struct call *c, unsigned status, json_t *json)
{
    if (json != c->json) json_decref(c->json);
    c->json = json;
    answer_json(c, status, "application/json", json);
}

void call_answer_page(struct call *c, struct span items, json_t *page)
{
    struct buf line;

    buf_init(&line, SIZE_MAX / 2);
    text_add_page(&line, items, page);
    buf_add_cstr(&line, "\n");
    CHECK(!buf_failed(&line));
    json_decref(page);
    call_answer_text(c, 200, "application/json", buf_span(&line));
    buf_deinit(&line);
}

static void answer_problem(struct call *c)
{
    json_t *j = problem_json(c->problem, c->detail);

    if (c->problem == PROBLEM_NO_TOKEN) http_add_header(c->request, "WWW-Authenticate", "Bearer");
    if (problem_status(c->problem) == 503 || c->problem == PROBLEM_FULL ||
        c->problem == PROBLEM_BUSY)
        http_add_header(c->request, "Retry-After", "5");
    json_decref(c->json);
    c->json = j;
    answer_json(c, problem_status(c->problem), "application/problem+json", j);
}

void call_fail(struct call *c, enum problem p, const char *fmt, ...)
{
    va_list ap;

    c->problem = p;
    c->status = problem_status(p);
    va_start(ap, fmt);
    vsnprintf(c->detail, sizeof c->detail, fmt, ap);
    va_end(ap);
}

void call_answer_problem(struct call *c, enum problem p, const char *fmt, ...)
{
    va_list ap;

    c->problem = p;
    va_start(ap, fmt);
    vsnprintf(c->detail, sizeof c->detail, fmt, ap);
    va_end(ap);
    answer_problem(c);
}

/* ---- on the disk pool */

static void on_run(struct loop_work *w)
{
    struct call *c = CONTAINER_OF(w, struct call, work);

    c->on_disk(c);
}

static void on_done(struct loop_work *w)
{
    struct call *c = CONTAINER_OF(w, struct call, work);

    if (c->status >= 300)
        answer_problem(c);
    else
        call_answer_json(c, c->status, c->json);
}

void call_on_disk(struct call *c, void (*on_disk)(struct call *c))
{
    c->on_disk = on_disk;
    c->status = 200;
    c->work.run = on_run;
    c->work.on_done = on_done;
    if (loop_work(c->ops->o.loop, LOOP_POOL_DISK, &c->work) != 0)
        call_answer_problem(c, PROBLEM_BUSY, "the disk has too much to do; try again in a moment");
}

/* ---- what is asked for */

static bool is_shard(const struct ops *ops, uint32_t shard)
{
    if (!ops->o.cluster) return shard >= 1 && shard <= commit_shard_count(ops->o.commit);
    return control_shard(cluster_control(ops->o.cluster), shard) != NULL;
}

bool call_take_id(struct call *c)
{
    int rv = base32_parse(span_cstr(c->param), &c->id);

    if (rv == 0 && is_shard(c->ops, proto_id_shard(c->id))) return true;
    call_answer_problem(
        c, PROBLEM_NOT_FOUND,
        rv == 0 ? "there is no message %s" : "\"%s\" is no message id (13 characters)", c->param);
    return false;
}

void call_take_query(struct call *c, const char *key, char *out, size_t out_size)
{
    if (!http_query(c->request, key, out, out_size)) out[0] = '\0';
}

bool call_take_limit(struct call *c, unsigned *out)
{
    char text[16];
    uint64_t v = OPS_LIMIT_DEFAULT;

    call_take_query(c, "limit", text, sizeof text);
    *out = OPS_LIMIT_DEFAULT;
    if (!text[0]) return true;
    if (span_u64(span_cstr(text), OPS_LIMIT_MAX, &v) != 0 || v == 0) {
        call_answer_problem(c, PROBLEM_BAD_REQUEST, "limit: a number from 1 to %d is needed",
                            OPS_LIMIT_MAX);
        return false;
    }
    *out = (unsigned)v;
    return true;
}
