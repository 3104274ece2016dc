/* mail - the model mail world over the real queue: clients hand in mail, leaders claim, send and tell what became of it.
 *
 * Each mail has one recipient. Who leads marks what earlier leaders had claimed as in doubt before it claims anything;
 * an outcome carries the term of its claim (R8). What a client was answered is held against the history at the end.
 */
#include <stdio.h>
#include <stdlib.h>

#include "tests/sim/engine/world.h"

static uint32_t shard_of(const struct host *h)
{
    return (uint32_t)world_group(h->group);
}

static void *alloc(struct world *w, size_t size)
{
    void *p = arena_alloc(&w->arena, size);

    CHECK(p);
    return p;
}

static ProtobufCBinaryData text(const char *t)
{
    return proto_bytes(span_cstr(t));
}

struct blob *mail_pack(struct world *w, Angarium__Command__KindCase kind, void *what)
{
    Angarium__Command c = ANGARIUM__COMMAND__INIT;
    struct blob *b;

    c.kind_case = kind;
    c.accept = what; /* all kinds share their place */
    buf_reset(&w->head);
    CHECK(proto_command_pack(&c, &w->head) == 0);
    arena_reset(&w->arena);
    b = blob_new(w->head.n);
    CHECK(blob_add(b, w->head.p, w->head.n, w->head.n) == 0);
    return b;
}

/* ---- asking */

void mail_ask_free(struct ask *a)
{
    list_remove(&a->link);
    blob_unref(&a->head);
    blob_unref(&a->body);
    free(a);
}

struct ask *mail_ask_new(struct host *h, enum ask_kind kind)
{
    struct ask *a = check_calloc(1, sizeof *a);

    list_init(&a->link);
    a->host = h;
    a->kind = kind;
    return a;
}

static void remote_later(struct world *w, struct ask *a, uint64_t delay_us)
{
    world_at(w, delay_us,
             &(struct action){ .kind = ACT_REMOTE,
                               .node = a->host->node->at,
                               .group = a->host->group,
                               .life = a->host->node->incarnation,
                               .thing = a });
}

static void on_done(struct raft_proposal *p, enum raft_answer answer, uint64_t index, uint64_t term)
{
    struct ask *a = CONTAINER_OF(p, struct ask, p);
    struct world *w = a->host->node->world;
    struct token *t = &w->tokens[a->token];

    list_remove(&a->link);
    trace_mix(w, (uint64_t)answer, index, term);
    if (answer == RAFT_COMMITTED) check_answer(w, a, index, term);
    if (a->kind == ASK_ACCEPT) {
        TRACE(w, "n%u g%u answers mail %u: %s", a->host->node->at + 1, a->host->group, a->token,
              answer == RAFT_COMMITTED    ? "250"
              : answer == RAFT_SUPERSEDED ? "superseded"
                                          : "unknown");
        t->state = answer == RAFT_COMMITTED    ? t->was_late ? TOKEN_REFUSED : TOKEN_ACKED
                   : answer == RAFT_SUPERSEDED ? TOKEN_REFUSED
                                               : TOKEN_UNKNOWN;
    }
    if (a->kind == ASK_CHUNK) upload_answered(w, a, answer, index);
    if (a->kind == ASK_CLAIM && answer == RAFT_COMMITTED && !a->host->node->dying)
        remote_later(w, a, world_below(w, w->plan.remote_max_us));
    else
        mail_ask_free(a);
}

int mail_propose(struct host *h, struct ask *a, uint64_t term)
{
    int rv = h->raft ? 0 : ERR_NOT_LEADER;

    a->head = format_pack(h->node, a->head);
    a->p.head = blob_span(a->head);
    a->p.body = blob_span(a->body);
    if (a->token % 2 == 1) a->p.owner = a->body; /* the others' is copied */
    a->p.term = term;
    a->p.on_done = on_done;
    a->term = h->term;
    if (rv == 0) rv = raft_propose(h->raft, &a->p);
    if (rv == 0) list_add(&h->asks, &a->link);
    if (rv != 0) mail_ask_free(a);
    return rv;
}

/* ---- handing in */

struct blob *mail_pack_accept(struct world *w, const struct node *n, unsigned token, size_t size,
                              const struct upload *upload)
{
    Angarium__Accept a = ANGARIUM__ACCEPT__INIT;
    Angarium__BodyFacts facts = ANGARIUM__BODY_FACTS__INIT;
    Angarium__Origin origin = ANGARIUM__ORIGIN__INIT;
    Angarium__Recipient *r = alloc(w, sizeof *r);
    char session[16];

    snprintf(session, sizeof session, "%u", token);
    facts.size = size;
    origin.session = text(session);
    origin.node = n->at + 1;
    a.time_ms = node_wall_ms(w, n);
    a.mail_from = text("");
    a.body = &facts;
    a.origin = &origin;
    a.expires_at_ms = a.time_ms + 864000000;
    if (upload) upload_name(upload, &a);
    a.n_recipients = 1;
    a.recipients = alloc(w, sizeof(void *));
    a.recipients[0] = r;
    angarium__recipient__init(r);
    r->address = text("a@one.example");
    r->domain = text("one.example");
    return mail_pack(w, ANGARIUM__COMMAND__KIND_ACCEPT, &a);
}

uint8_t mail_byte(unsigned token, size_t i)
{
    return (uint8_t)((token * 131 + i * 7 + (i >> 8)) & 0xff);
}

static struct blob *make_body(struct world *w, unsigned token)
{
    size_t n = world_below(w, w->plan.body_max + 1);
    struct blob *b = blob_new(n);

    for (size_t i = 0; i < n; i++)
        b->p[i] = mail_byte(token, i);
    b->n = n;
    return b;
}

struct node *mail_leader(struct world *w, unsigned group)
{
    unsigned from = (unsigned)world_below(w, w->node_count);

    for (unsigned i = 0; i < w->node_count; i++) {
        struct node *n = &w->nodes[(from + i) % w->node_count];

        if (node_runs(w, n) && n->hosts[group].raft && n->hosts[group].role == RAFT_LEADER)
            return n;
    }
    return NULL;
}

unsigned mail_ask(struct world *w, unsigned group)
{
    struct node *n = mail_leader(w, group);
    struct ask *a;
    unsigned token;
    int rv;

    if (!n || w->token_count == TOKENS_MAX - 1) return 0;
    if (world_above && !world_above->takes(&n->hosts[group])) return 0;
    token = ++w->token_count;
    w->tokens[token] =
        (struct token){ .state = TOKEN_ASKED, .group = group, .asked_us = w->now_us };
    a = mail_ask_new(&n->hosts[group], ASK_ACCEPT);
    a->token = token;
    a->body = make_body(w, token);
    a->head = mail_pack_accept(w, n, token, a->body->n, NULL);
    rv = mail_propose(&n->hosts[group], a, world_chance(w, 500) ? n->hosts[group].term : 0);
    TRACE(w, "client asks n%u g%u to take mail %u: %s", n->at + 1, group, token, err_name(rv));
    if (rv != 0) w->tokens[token].state = TOKEN_REFUSED;
    node_wake(n, group);
    return rv == 0 ? token : 0;
}

void mail_client(struct world *w, unsigned group)
{
    if (w->calm) return;
    for (unsigned i = world_chance(w, 100) ? 10 : 1; i > 0 && w->token_count < TOKENS_MAX / 2; i--)
        mail_ask(w, group);
    world_at(w, world_below(w, 2 * w->plan.mail_every_us) + MS,
             &(struct action){ .kind = ACT_CLIENT, .group = group });
}

/* ---- the leader's work */

static bool is_asked(const struct host *h, uint64_t index)
{
    LIST_FOR(at, &h->asks) {
        const struct ask *a = CONTAINER_OF(at, struct ask, link);

        if (a->kind != ASK_CLAIM || a->term != h->term) continue;
        for (unsigned i = 0; i < a->ref_count; i++)
            if (a->refs[i].index == index) return true;
    }
    return false;
}

static struct blob *pack_claim(struct world *w, const struct ask *a)
{
    Angarium__Claim c = ANGARIUM__CLAIM__INIT;

    c.time_ms = node_wall_ms(w, a->host->node);
    c.node = a->host->node->at + 1;
    c.n_recipients = a->ref_count;
    c.recipients = alloc(w, c.n_recipients * sizeof(void *));
    for (unsigned i = 0; i < a->ref_count; i++) {
        c.recipients[i] = alloc(w, sizeof *c.recipients[i]);
        angarium__recipient_ref__init(c.recipients[i]);
        c.recipients[i]->index = a->refs[i].index;
        c.recipients[i]->recipient = a->refs[i].recipient;
    }
    return mail_pack(w, ANGARIUM__COMMAND__KIND_CLAIM, &c);
}

static struct blob *pack_outcome(struct world *w, const struct ask *a)
{
    Angarium__Outcome c = ANGARIUM__OUTCOME__INIT;

    c.time_ms = node_wall_ms(w, a->host->node);
    c.node = a->host->node->at + 1;
    c.n_recipients = a->ref_count;
    c.recipients = alloc(w, c.n_recipients * sizeof(void *));
    for (unsigned i = 0; i < a->ref_count; i++) {
        Angarium__RecipientOutcome *o = alloc(w, sizeof *o);

        angarium__recipient_outcome__init(o);
        o->index = a->refs[i].index;
        o->recipient = a->refs[i].recipient;
        o->result = a->results[i];
        o->next_attempt_at_ms = c.time_ms + world_below(w, 3000);
        o->counts = true;
        c.recipients[i] = o;
    }
    return mail_pack(w, ANGARIUM__COMMAND__KIND_OUTCOME, &c);
}

static void claim_due(struct world *w, struct host *h)
{
    struct queue_place place = { 0 };
    struct queue_due due[REFS_MAX];
    size_t count =
        queue_due_by_time(h->store, shard_of(h), &place, node_wall_ms(w, h->node), due, REFS_MAX);
    struct ask *a = mail_ask_new(h, ASK_CLAIM);

    for (size_t i = 0; i < count; i++)
        if (!is_asked(h, due[i].index))
            a->refs[a->ref_count++] = (struct queue_ref){ due[i].index, due[i].recipient };
    if (a->ref_count == 0) {
        mail_ask_free(a);
        return;
    }
    a->head = pack_claim(w, a);
    mail_propose(h, a, h->term);
}

/* What earlier leaders had claimed: nobody knows whether it was sent (P4). False: not all was told yet. */
static bool tell_doubts(struct world *w, struct host *h)
{
    struct queue_place place = { 0 };
    size_t count;

    do {
        struct ask *a = mail_ask_new(h, ASK_OUTCOME);

        count = queue_claims(h->store, shard_of(h), &place, a->refs, REFS_MAX);
        a->ref_count = (unsigned)count;
        for (size_t i = 0; i < count; i++)
            a->results[i] = ANGARIUM__RESULT__RESULT_IN_DOUBT;
        if (count == 0) {
            mail_ask_free(a);
            return true;
        }
        a->head = pack_outcome(w, a);
        if (mail_propose(h, a, h->term) != 0) return false;
    } while (count == REFS_MAX);
    return true;
}

static void purge(struct world *w, struct host *h)
{
    Angarium__Purge c = ANGARIUM__PURGE__INIT;
    struct ask *a = mail_ask_new(h, ASK_PURGE);

    c.time_ms = node_wall_ms(w, h->node);
    c.before_ms = c.time_ms - 5000;
    c.limit = 20;
    a->head = mail_pack(w, ANGARIUM__COMMAND__KIND_PURGE, &c);
    mail_propose(h, a, 0);
}

static void work_later(struct world *w, struct host *h, uint64_t delay_us)
{
    h->works = true;
    world_at(w, delay_us,
             &(struct action){ .kind = ACT_WORK,
                               .node = h->node->at,
                               .group = h->group,
                               .life = h->node->incarnation });
}

void mail_work(struct world *w, struct host *h)
{
    h->works = false;
    if (!h->raft || h->role != RAFT_LEADER) return;
    if (h->doubt_term != h->term && tell_doubts(w, h)) h->doubt_term = h->term;
    if (h->doubt_term == h->term && (!world_above || world_above->claims(h))) claim_due(w, h);
    if (world_chance(w, world_above && !world_above->takes(h) ? 200 : 20)) purge(w, h);
    node_wake(h->node, h->group);
    work_later(w, h, w->plan.work_every_us);
}

void mail_role(struct world *w, struct host *h)
{
    if (h->role == RAFT_LEADER && !h->works) work_later(w, h, 1);
}

/* ---- sending */

static struct token *token_at(struct world *w, unsigned group, uint64_t index)
{
    for (unsigned i = 1; i <= w->token_count; i++)
        if (w->tokens[i].group == group && w->tokens[i].accepted_index == index && index != 0)
            return &w->tokens[i];
    return NULL;
}

static Angarium__Result remote_takes(struct world *w, unsigned *arrived)
{
    if (!w->calm && world_chance(w, w->plan.fail_permille))
        return ANGARIUM__RESULT__RESULT_DEFERRED;
    if (!w->calm && world_chance(w, w->plan.drop_permille)) { /* it broke after the dot */
        *arrived += world_chance(w, 500);
        return ANGARIUM__RESULT__RESULT_IN_DOUBT;
    }
    ++*arrived;
    return ANGARIUM__RESULT__RESULT_DELIVERED;
}

/* Claimed by this one, and not by a later leader: the queue says so. */
static void drop_refused(struct host *h, struct ask *a)
{
    for (unsigned i = 0; i < a->ref_count; i++) {
        Angarium__RecipientRecord *r = NULL;
        bool ok = queue_recipient_get(h->store, shard_of(h), a->refs[i].index, a->refs[i].recipient,
                                      &r) == 0 &&
                  r->state == ANGARIUM__RECIPIENT_STATE__RECIPIENT_CLAIMED;

        queue_recipient_free(&r);
        if (!ok) a->refs[i--] = a->refs[--a->ref_count];
    }
}

void mail_remote(struct world *w, struct host *h, struct ask *claim)
{
    struct ask *a;
    int rv;

    if (!claim->is_sent) {
        drop_refused(h, claim);
        if (claim->ref_count == 0) {
            mail_ask_free(claim);
            return;
        }
        for (unsigned i = 0; i < claim->ref_count; i++) {
            struct token *t = token_at(w, h->group, claim->refs[i].index);

            EXPECT(w, t != NULL, "n%u g%u: mail %llu is sent and was never accepted",
                   h->node->at + 1, h->group, (unsigned long long)claim->refs[i].index);
            claim->results[i] = remote_takes(w, &t->arrived);
        }
        claim->is_sent = true;
        remote_later(w, claim, world_below(w, w->plan.remote_max_us));
        return;
    }
    a = mail_ask_new(h, ASK_OUTCOME);
    a->ref_count = claim->ref_count;
    memcpy(a->refs, claim->refs, sizeof a->refs);
    memcpy(a->results, claim->results, sizeof a->results);
    a->head = pack_outcome(w, a);
    rv = mail_propose(h, a, claim->term);
    node_wake(h->node, h->group);
    if (rv != 0 && h->raft && h->role == RAFT_LEADER && h->term == claim->term)
        remote_later(w, claim, 100 * MS);
    else
        mail_ask_free(claim);
}

/* ---- reads */

struct read {
    struct raft_read read;
    struct host *host;
    uint64_t floor;
    uint32_t era;
};

static void on_read(struct raft_read *r, int rv)
{
    struct read *read = CONTAINER_OF(r, struct read, read);
    struct host *h = read->host;
    struct world *w = h->node->world;

    EXPECT(
        w, rv != 0 || w->check.canon[h->group].config.era != read->era || h->applied >= read->floor,
        "n%u g%u: a read sees entry %llu, and %llu was committed when it began (stale read)",
        h->node->at + 1, h->group, (unsigned long long)h->applied, (unsigned long long)read->floor);
    w->reads += rv == 0;
    free(read);
}

void mail_read(struct world *w, unsigned group)
{
    struct node *n = mail_leader(w, group);
    struct read *r;

    if (!n || !n->hosts[group].queue) return;
    r = check_calloc(1, sizeof *r);
    r->host = &n->hosts[group];
    r->floor = w->check.canon[group].count;
    r->era = w->check.canon[group].config.era;
    r->read.on_done = on_read;
    if (raft_group_read(n->hosts[group].raft, &r->read) != 0) free(r);
    node_wake(n, group);
}

/* ---- the ledger: what the committed history says */

static void learn_accept(struct world *w, unsigned group, uint64_t index, struct span head,
                         struct span body)
{
    Angarium__Command *c;
    uint64_t token;

    CHECK(proto_command_unpack_in(head, &w->arena, &c) == 0);
    CHECK(span_u64(proto_span(c->accept->origin->session), w->token_count, &token) == 0);
    if (c->accept->n_chunks > 0)
        upload_learn_accept(w, (unsigned)token, c->accept);
    else
        EXPECT(w, c->accept->body->size == body.n, "mail %llu has another size",
               (unsigned long long)token);
    arena_reset(&w->arena);
    for (size_t i = 0; i < body.n; i++)
        EXPECT(w, body.p[i] == mail_byte((unsigned)token, i), "mail %llu has another byte at %zu",
               (unsigned long long)token, i);
    w->tokens[token].accepts++;
    w->tokens[token].accepted_index = index;
    CHECK(w->tokens[token].group == group);
}

static void learn_chunk(struct world *w, uint64_t index, struct span head, struct span body)
{
    Angarium__Command *c;

    if (body.n == 0) return;
    CHECK(proto_command_unpack_in(head, &w->arena, &c) == 0);
    if (c->kind_case == ANGARIUM__COMMAND__KIND_CHUNK) upload_learn_chunk(w, index, c->chunk, body);
    arena_reset(&w->arena);
}

static void learn_event(struct world *w, unsigned group, const Angarium__Event *v)
{
    struct token *t = token_at(w, group, v->index);

    CHECK(t);
    switch (v->type) {
    case ANGARIUM__EVENT_TYPE__EVENT_IN_DOUBT:
        t->doubts++;
        return;
    case ANGARIUM__EVENT_TYPE__EVENT_DELIVERED:
    case ANGARIUM__EVENT_TYPE__EVENT_BOUNCED:
    case ANGARIUM__EVENT_TYPE__EVENT_EXPIRED:
        t->ended++;
        return;
    default:
        return;
    }
}

static void learn_late(struct world *w, struct span head)
{
    Angarium__Command *c;
    uint64_t token;

    CHECK(proto_command_unpack_in(head, &w->arena, &c) == 0);
    CHECK(c->kind_case == ANGARIUM__COMMAND__KIND_ACCEPT);
    CHECK(span_u64(proto_span(c->accept->origin->session), w->token_count, &token) == 0);
    w->tokens[token].was_late = true;
    arena_reset(&w->arena);
}

void mail_learn(struct world *w, unsigned group, uint64_t index, struct span head, struct span body,
                const struct queue_effects *effects)
{
    head = format_read(w, NULL, head);
    learn_chunk(w, index, head, body);
    for (size_t i = 0; i < effects->count; i++) {
        const struct queue_effect *f = &effects->list[i];

        if (f->kind == QUEUE_REFUSED && f->error == ERR_CLOSED) learn_late(w, head);
        if (f->kind != QUEUE_EVENT) continue;
        if (f->event->type == ANGARIUM__EVENT_TYPE__EVENT_ACCEPTED)
            learn_accept(w, group, index, head, body);
        else
            learn_event(w, group, f->event);
    }
}

bool mail_drained(const struct host *h)
{
    struct queue_counts c;

    queue_counts(h->queue, &c);
    return c.waiting == 0 && c.claimed == 0 && c.held == 0;
}

void mail_expect_end(struct world *w)
{
    for (unsigned i = 1; i <= w->token_count; i++) {
        const struct token *t = &w->tokens[i];

        if (t->excused) continue;
        EXPECT(w, t->state != TOKEN_ACKED || t->accepts == 1,
               "mail %u was answered 250 and is lost", i);
        EXPECT(w, t->state != TOKEN_REFUSED || t->accepts == 0, "mail %u was refused and is there",
               i);
        EXPECT(w, t->accepts <= 1, "mail %u was accepted %u times", i, t->accepts);
        if (t->accepts == 0) continue;
        EXPECT(w, t->ended == 1, "mail %u ended %u times", i, t->ended);
        EXPECT(w, t->arrived <= 1 + t->doubts, "mail %u arrived %u times and was in doubt %u times",
               i, t->arrived, t->doubts);
        EXPECT(w, t->arrived > 0, "mail %u is said to be delivered and never arrived", i);
    }
}
