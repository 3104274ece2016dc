/* route_records - /api/v1/tenants, credentials, domains, routes, rules, settings: the records of the cluster.
 *
 * Reads are of this node's copy. A write is an entry of control's log, on whichever node it is asked for; it is answered when it is
 * in force where control is led, with the version as ETag. If-Match lets it through only on that version, If-None-Match: * only when
 * there is none yet. A password is hashed on the CPU pool and forgotten; a credential that is written without one keeps its hash.
 */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "node/ops/inside.h"
#include "node/settings/records.h"
#include "proto/ground/check.h"

#define BODY_SIZE_MAX (64u << 10)
#define HASH_FIELD    "password_hash"

struct writing {
    struct cluster_ask ask;
    struct call *call; /* NULL: nobody waits for the answer any more */
    enum control_kind kind;
    Angarium__ControlRecord *record; /* NULL: it is to go */
    uint32_t fence;
    uint64_t version;
    char *password;
    char hash[crypto_pwhash_STRBYTES];
    int hash_rv;
};

static enum control_kind kind_of(const struct call *c)
{
    const char *word = c->route->path + strlen("/api/v1/");

    for (unsigned kind = CONTROL_TENANT; kind < CONTROL_KIND_END; kind++) {
        const char *name = control_kind_name((enum control_kind)kind);

        if (strncmp(word, name, strlen(name)) == 0 && word[strlen(name)] == 's')
            return (enum control_kind)kind;
    }
    UNREACHED();
}

static const struct control *control_of(const struct call *c)
{
    return cluster_control(c->ops->o.cluster);
}

static bool is_clustered(struct call *c)
{
    if (c->ops->o.cluster) return true;
    call_answer_problem(c, PROBLEM_ALONE,
                        "its tenants, credentials, routes and content rules are lists of its "
                        "settings file (%.100s): "
                        "change that and send the node SIGHUP",
                        c->settings->file);
    return false;
}

/* ---- reading */

static void add_etag(struct call *c, uint64_t version)
{
    char etag[32];

    snprintf(etag, sizeof etag, "\"%llu\"", (unsigned long long)version);
    http_add_header(c->request, "ETag", etag);
}

static bool fits(const Angarium__ControlRecord *r, const char *tenant)
{
    return !*tenant || span_eq(proto_span(r->tenant), span_cstr(tenant));
}

void route_records(struct call *c)
{
    char cursor[CONTROL_NAME_SIZE_MAX + 1], tenant[CONTROL_NAME_SIZE_MAX + 1];
    enum control_kind kind = kind_of(c);
    json_t *items, *next = NULL;
    const struct control *control;
    unsigned limit, at;

    if (!is_clustered(c) || !call_take_limit(c, &limit)) return;
    control = control_of(c);
    call_take_query(c, "cursor", cursor, sizeof cursor);
    call_take_query(c, "tenant", tenant, sizeof tenant);
    items = json_array();
    at = control_record_behind(control, kind, span_cstr(cursor));
    for (; !next && at < control_record_count(control, kind); at++) {
        const Angarium__ControlRecord *r = control_record_at(control, kind, at);

        if (!fits(r, tenant)) continue;
        if (json_array_size(items) < limit) {
            json_array_append_new(items, json_of_record(r));
            continue;
        }
        next = json_incref(json_object_get(json_array_get(items, limit - 1), "name"));
    }
    call_answer_json(c, 200, json_page(items, next));
}

static const Angarium__ControlRecord *find(const struct call *c, enum control_kind kind)
{
    char name[sizeof c->param];

    snprintf(name, sizeof name, "%s", c->param);
    settings_record_name(kind, name);
    return control_record(control_of(c), kind, span_cstr(name));
}

void route_record(struct call *c)
{
    enum control_kind kind = kind_of(c);
    const Angarium__ControlRecord *r;

    if (!is_clustered(c)) return;
    r = find(c, kind);
    if (!r) {
        call_answer_problem(c, PROBLEM_NOT_FOUND, "there is no %s %s", control_kind_name(kind),
                            c->param);
        return;
    }
    add_etag(c, r->version);
    call_answer_json(c, 200, json_of_record(r));
}

/* ---- what a write is answered */

static void writing_free(struct writing **pw)
{
    struct writing *w = *pw;

    *pw = NULL;
    if (w->password) sodium_memzero(w->password, strlen(w->password));
    free(w->password);
    if (w->record) angarium__control_record__free_unpacked(w->record, NULL);
    sodium_memzero(w->hash, sizeof w->hash);
    free(w);
}

static void refuse_unled(struct call *c)
{
    uint64_t leader = cluster_leader(c->ops->o.cluster);

    if (leader != 0)
        call_answer_problem(c, PROBLEM_NO_QUORUM, "node %llu leads the cluster's control; ask it",
                            (unsigned long long)leader);
    else
        call_answer_problem(c, PROBLEM_NO_QUORUM, "nobody leads the cluster's control now");
}

/* What control said to it. */
static void refuse(struct call *c, const struct writing *w, int rv)
{
    const char *kind = control_kind_name(w->kind);

    if (rv == ERR_NOT_LEADER)
        refuse_unled(c);
    else if (rv == ERR_NOT_FOUND && w->record)
        call_answer_problem(c, PROBLEM_NOT_FOUND, "there is no tenant %.*s",
                            SPAN_ARG(proto_span(w->record->tenant)));
    else if (rv == ERR_NOT_FOUND)
        call_answer_problem(c, PROBLEM_NOT_FOUND, "there is no %s %s", kind, c->param);
    else if (rv == ERR_EXISTS && w->fence == CONTROL_FENCE_ABSENT)
        call_answer_problem(c, PROBLEM_TAKEN, "there is such a %s already", kind);
    else if (rv == ERR_EXISTS)
        call_answer_problem(c, PROBLEM_TAKEN, "it is another tenant's; remove it there first");
    else if (rv == ERR_SUPERSEDED && w->fence == CONTROL_FENCE_VERSION)
        call_answer_problem(c, PROBLEM_CHANGED, "version %llu is not the last one; read it again",
                            (unsigned long long)w->version);
    else if (rv == ERR_BUSY && w->kind == CONTROL_TENANT)
        call_answer_problem(c, PROBLEM_IN_USE,
                            "the tenant has credentials, domains or rules; remove those first");
    else if (rv == ERR_FULL)
        call_answer_problem(c, PROBLEM_LIMIT, "no more %ss, or no more records, are possible",
                            kind);
    else if (rv == ERR_AGAIN)
        call_answer_problem(c, PROBLEM_NO_QUORUM, "the cluster has just begun; try again");
    else if (rv == ERR_CORRUPT)
        call_answer_problem(c, PROBLEM_BAD_REQUEST, "the %s cannot be like that", kind);
    else
        call_answer_problem(c, problem_of(rv), "%s", err_text(rv));
}

static void answer(struct call *c, struct writing *w)
{
    json_t *j;

    if (!w->record) {
        call_answer_json(
            c, 200,
            json_pack("{s:o, s:b}", "name", json_of_bytes(span_cstr(c->param)), "removed", 1));
        return;
    }
    w->record->version = w->ask.answer.version;
    add_etag(c, w->record->version);
    j = json_of_record(w->record);
    call_answer_json(c, 200, j);
}

static void on_written(struct cluster_ask *ask, int rv)
{
    struct writing *w = CONTAINER_OF(ask, struct writing, ask);
    struct call *c = w->call;

    if (c) {
        c->abandon = NULL;
        c->more = NULL;
        if (rv != 0)
            refuse(c, w, rv);
        else
            answer(c, w);
    }
    writing_free(&w);
}

static void abandon(struct call *c)
{
    struct writing *w = c->more;

    w->call = NULL;
    c->more = NULL;
    call_answer_problem(c, PROBLEM_UNKNOWN,
                        "the node is shutting down; whether it was done is not known");
}

/* ---- proposing */

static int propose(struct writing *w)
{
    Angarium__ControlCommand command = ANGARIUM__CONTROL_COMMAND__INIT;
    Angarium__ControlPut put = ANGARIUM__CONTROL_PUT__INIT;
    Angarium__ControlDrop drop = ANGARIUM__CONTROL_DROP__INIT;

    command.time_ms = loop_wall_ms(w->call->ops->o.loop);
    w->ask.on_done = on_written;
    if (w->record) {
        put.record = w->record;
        put.fence = w->fence;
        put.version = w->version;
        command.kind_case = ANGARIUM__CONTROL_COMMAND__KIND_PUT;
        command.put = &put;
    } else {
        drop.kind = w->kind;
        drop.name = proto_bytes(span_cstr(w->call->param));
        drop.version = w->version;
        command.kind_case = ANGARIUM__CONTROL_COMMAND__KIND_DROP;
        command.drop = &drop;
    }
    return cluster_propose(w->call->ops->o.cluster, &w->ask, &command);
}

static void send(struct writing *w)
{
    struct call *c = w->call;
    int rv = propose(w);

    if (rv == 0) {
        c->more = w;
        c->abandon = abandon;
        return;
    }
    c->more = NULL;
    if (rv == ERR_FULL || rv == ERR_BUSY)
        call_answer_problem(c, PROBLEM_BUSY, "too many changes at once; try again in a moment");
    else
        refuse(c, w, rv);
    writing_free(&w);
}

/* ---- passwords */

static void run_hash(struct loop_work *work)
{
    struct writing *w = CONTAINER_OF(work, struct call, work)->more;

    w->hash_rv = record_hash(w->password, w->hash, sizeof w->hash);
}

static void on_hashed(struct loop_work *work)
{
    struct call *c = CONTAINER_OF(work, struct call, work);
    struct writing *w = c->more;

    if (w->hash_rv == 0) {
        record_add_field(w->record, SPAN_LIT(HASH_FIELD), span_cstr(w->hash));
        send(w);
        return;
    }
    c->more = NULL;
    call_answer_problem(c, PROBLEM_BUSY, "there is no memory to hash a password; try again");
    writing_free(&w);
}

static void hash(struct writing *w)
{
    struct call *c = w->call;

    c->more = w;
    c->work.run = run_hash;
    c->work.on_done = on_hashed;
    if (loop_work(c->ops->o.loop, LOOP_POOL_CPU, &c->work) == 0) return;
    c->more = NULL;
    call_answer_problem(c, PROBLEM_BUSY, "too many passwords at once; try again in a moment");
    writing_free(&w);
}

/* A credential without a password keeps what it has; nobody writes it in between. False: it has none. */
static bool keep_hash(struct writing *w)
{
    const Angarium__ControlRecord *now =
        control_record(control_of(w->call), w->kind, proto_span(w->record->name));
    struct span kept = now ? control_field(now, HASH_FIELD) : span_of("", 0);

    if (kept.n == 0 || w->fence == CONTROL_FENCE_ABSENT) return false;
    record_add_field(w->record, SPAN_LIT(HASH_FIELD), kept);
    if (w->fence == CONTROL_FENCE_NONE) {
        w->fence = CONTROL_FENCE_VERSION;
        w->version = now->version;
    }
    return true;
}

/* ---- what is asked for */

static bool take_fence(struct call *c, struct writing *w)
{
    struct span match = http_header(c->request, "If-Match");
    struct span none = http_header(c->request, "If-None-Match");

    if (span_eq(none, SPAN_LIT("*"))) w->fence = CONTROL_FENCE_ABSENT;
    if (match.n == 0) return true;
    w->fence = CONTROL_FENCE_VERSION;
    if (match.n > 2 && match.p[0] == '"' && match.p[match.n - 1] == '"' &&
        span_u64(span_sub(match, 1, match.n - 2), PROTO_INDEX_MAX, &w->version) == 0 &&
        w->version > 0)
        return true;
    call_answer_problem(c, PROBLEM_BAD_REQUEST, "If-Match: the ETag of one version is needed");
    return false;
}

static bool take_record(struct call *c, struct writing *w, const char *name)
{
    struct span body = http_body(c->request);
    json_error_t at;
    json_t *j = body.n <= BODY_SIZE_MAX
                    ? json_loadb((const char *)body.p, body.n, JSON_REJECT_DUPLICATES, &at)
                    : NULL;
    struct errmsg why = { "a JSON object is needed" };
    int rv = ERR_CONFIG;

    if (json_is_object(j)) rv = record_of_json(w->kind, name, j, &w->record, &w->password, &why);
    json_decref(j);
    if (rv != 0) call_answer_problem(c, PROBLEM_BAD_REQUEST, "%s", why.text);
    return rv == 0;
}

/* As it will be: with a hash in the place of a password that is still to be hashed. */
static int check(const struct writing *w, struct errmsg *why)
{
    static const char stand_in[] = "$argon2id$";
    Angarium__ControlRecord *r = w->record;
    struct span given = control_field(r, HASH_FIELD);
    int rv;

    if (w->kind == CONTROL_CREDENTIAL && given.n > 0 && !record_hash_ok(given))
        return errmsg_set(why, ERR_CONFIG, "password_hash: is no argon2id hash");
    if (!w->password) return settings_record_check(r, true, why);
    record_add_field(r, SPAN_LIT(HASH_FIELD), SPAN_LIT(stand_in));
    rv = settings_record_check(r, true, why);
    angarium__control_field__free_unpacked(r->fields[--r->n_fields], NULL);
    return rv;
}

static void write_record(struct call *c, struct writing *w)
{
    struct errmsg why = { "" };
    bool has_hash = control_field(w->record, HASH_FIELD).n > 0;

    if (w->kind == CONTROL_CREDENTIAL && !w->password && !has_hash && !keep_hash(w))
        errmsg_set(&why, ERR_CONFIG, "password: is missing");
    else
        check(w, &why);
    if (why.text[0]) {
        call_answer_problem(c, PROBLEM_BAD_REQUEST, "%s", why.text);
        writing_free(&w);
    } else if (w->password) {
        hash(w);
    } else {
        send(w);
    }
}

static struct writing *begin(struct call *c)
{
    struct writing *w = check_calloc(1, sizeof *w);

    w->call = c;
    w->kind = kind_of(c);
    settings_record_name(w->kind, c->param);
    return w;
}

void route_put_record(struct call *c)
{
    struct writing *w;

    if (!is_clustered(c)) return;
    w = begin(c);
    if (take_fence(c, w) && take_record(c, w, c->param))
        write_record(c, w);
    else
        writing_free(&w);
}

void route_make_record(struct call *c)
{
    struct writing *w;

    if (!is_clustered(c)) return;
    w = begin(c);
    w->fence = CONTROL_FENCE_ABSENT;
    if (take_record(c, w, NULL))
        write_record(c, w);
    else
        writing_free(&w);
}

void route_drop_record(struct call *c)
{
    struct writing *w;

    if (!is_clustered(c)) return;
    w = begin(c);
    if (take_fence(c, w))
        send(w);
    else
        writing_free(&w);
}
