/* mail - the model mail world over the real queue: clients that hand in mail, leaders that claim, send and tell
 * what became of it, and a remote world that counts what arrived.
 *
 * Who leads marks what earlier leaders had claimed as in doubt before it claims anything; nothing leaves before
 * its claim is committed and applied; an outcome carries the term of its claim (R8).
 */
#include <stdio.h>
#include <stdlib.h>

#include "proto/ground/mutation.h"
#include "tests/sim/cluster/world.h"

static uint32_t shard_of(unsigned group)
{
    return group + 1;
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

static struct span pack(struct world *w, Angarium__Command__KindCase kind, void *what)
{
    Angarium__Command c = ANGARIUM__COMMAND__INIT;

    c.kind_case = kind;
    c.accept = what; /* all kinds share their place */
    buf_reset(&w->head);
    CHECK(proto_command_pack(&c, &w->head) == 0);
    arena_reset(&w->arena);
    return buf_span(&w->head);
}

void mail_proposal_free(struct proposal *p)
{
    list_remove(&p->link);
    if (p->entry) entry_unref(p->entry);
    free(p);
}

static struct proposal *new_proposal(enum proposal_kind kind)
{
    struct proposal *p = check_calloc(1, sizeof *p);

    p->kind = kind;
    list_init(&p->link);
    return p;
}

/* 0, or an error: then it is freed. */
static int propose(struct world *w, struct node *n, unsigned group, struct span head, uint64_t term,
                   struct proposal *p)
{
    int rv = node_propose(w, n, group, head, term, p);

    if (rv != 0) mail_proposal_free(p);
    return rv;
}

/* Some tenants want what is in doubt to be held. */
static bool holds_doubts(unsigned token)
{
    return token % 4 == 3;
}

/* ---- handing in */

static struct span pack_accept(struct world *w, const struct node *n, unsigned token,
                               uint64_t bounce_of)
{
    Angarium__Accept a = ANGARIUM__ACCEPT__INIT;
    Angarium__BodyFacts facts = ANGARIUM__BODY_FACTS__INIT;
    Angarium__Origin origin = ANGARIUM__ORIGIN__INIT;
    char session[16];

    snprintf(session, sizeof session, "%u", token);
    facts.size = 100;
    origin.session = text(session);
    origin.node = n->at + 1;
    a.time_ms = node_wall_ms(w, n);
    a.mail_from = text(bounce_of ? "" : "c@here.example");
    a.body = &facts;
    a.origin = &origin;
    a.expires_at_ms = a.time_ms + 86400000;
    a.bounce_of = bounce_of;
    a.hold_in_doubt = holds_doubts(token);
    a.n_recipients = w->tokens[token].people;
    a.recipients = alloc(w, a.n_recipients * sizeof(void *));
    for (size_t i = 0; i < a.n_recipients; i++) {
        a.recipients[i] = alloc(w, sizeof *a.recipients[i]);
        angarium__recipient__init(a.recipients[i]);
        a.recipients[i]->address = text(i ? "b@two.example" : "a@one.example");
        a.recipients[i]->domain = text(i ? "two.example" : "one.example");
    }
    return pack(w, ANGARIUM__COMMAND__KIND_ACCEPT, &a);
}

static unsigned new_token(struct world *w, unsigned group, unsigned people)
{
    if (w->token_count == TOKENS_MAX - 1) return 0;
    w->tokens[++w->token_count] = (struct token){
        .state = TOKEN_ASKED, .group = group, .people = people, .asked_us = w->now_us
    };
    return w->token_count;
}

static struct node *find_leader(struct world *w, unsigned group)
{
    unsigned from = (unsigned)world_below(w, w->node_count);

    for (unsigned i = 0; i < w->node_count; i++) {
        struct node *n = &w->nodes[(from + i) % w->node_count];
        struct host *h = &n->hosts[group];

        if (node_runs(w, n) && h->open && h->role == CORE_LEADER && h->ready) return n;
    }
    return NULL;
}

unsigned mail_ask(struct world *w, unsigned group)
{
    struct node *n = find_leader(w, group);
    struct proposal *p;
    unsigned token;
    int rv;

    if (!n || (token = new_token(w, group, 1 + (unsigned)world_below(w, PEOPLE_MAX))) == 0)
        return 0;
    p = new_proposal(PROPOSE_ACCEPT);
    p->token = token;
    rv = propose(w, n, group, pack_accept(w, n, token, 0),
                 world_chance(w, 500) ? n->hosts[group].term : 0, p);
    TRACE(w, "client asks n%u g%u to take mail %u: %s", n->at + 1, group, token, err_name(rv));
    if (rv == 0 && MUTATED(ANSWER_BEFORE_COMMIT)) w->tokens[token].state = TOKEN_ACKED;
    if (rv != 0) w->tokens[token].state = rv == ERR_CLOSED ? TOKEN_UNKNOWN : TOKEN_REFUSED;
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

static bool is_asked(const struct host *h, enum proposal_kind kind, uint64_t index, uint32_t person)
{
    LIST_FOR(at, &h->proposals) {
        const struct proposal *p = CONTAINER_OF(at, struct proposal, link);

        if (p->kind != kind || p->term != h->term) continue;
        for (unsigned i = 0; i < p->ref_count; i++)
            if (p->refs[i].index == index && p->refs[i].recipient == person) return true;
    }
    return false;
}

static struct span pack_claim(struct world *w, const struct node *n, const struct proposal *p)
{
    Angarium__Claim c = ANGARIUM__CLAIM__INIT;

    c.time_ms = node_wall_ms(w, n);
    c.node = n->at + 1;
    c.n_recipients = p->ref_count;
    c.recipients = alloc(w, c.n_recipients * sizeof(void *));
    for (unsigned i = 0; i < p->ref_count; i++) {
        c.recipients[i] = alloc(w, sizeof *c.recipients[i]);
        angarium__recipient_ref__init(c.recipients[i]);
        c.recipients[i]->index = p->refs[i].index;
        c.recipients[i]->recipient = p->refs[i].recipient;
    }
    return pack(w, ANGARIUM__COMMAND__KIND_CLAIM, &c);
}

static struct span pack_outcome(struct world *w, const struct node *n, const struct proposal *p)
{
    Angarium__Outcome c = ANGARIUM__OUTCOME__INIT;

    c.time_ms = node_wall_ms(w, n);
    c.node = n->at + 1;
    c.n_recipients = p->ref_count;
    c.recipients = alloc(w, c.n_recipients * sizeof(void *));
    for (unsigned i = 0; i < p->ref_count; i++) {
        Angarium__RecipientOutcome *o = alloc(w, sizeof *o);

        angarium__recipient_outcome__init(o);
        o->index = p->refs[i].index;
        o->recipient = p->refs[i].recipient;
        o->result = p->results[i];
        o->next_attempt_at_ms = c.time_ms + world_below(w, 3000);
        o->counts = true;
        c.recipients[i] = o;
    }
    return pack(w, ANGARIUM__COMMAND__KIND_OUTCOME, &c);
}

static void remote_later(struct world *w, struct node *n, unsigned group, struct proposal *p,
                         uint64_t delay_us)
{
    world_at(w, delay_us,
             &(struct action){
                 .kind = ACT_REMOTE, .node = n->at, .group = group, .life = n->life, .thing = p });
}

/* Mutation: sent while its claim is still on its way. */
static void send_too_early(struct world *w, struct node *n, unsigned group,
                           const struct proposal *p)
{
    struct proposal *copy = new_proposal(PROPOSE_CLAIM);
    struct list link = copy->link;

    *copy = *p;
    copy->link = link;
    list_init(&copy->link);
    entry_ref(copy->entry);
    remote_later(w, n, group, copy, 1);
}

static void claim_due(struct world *w, struct node *n, unsigned group)
{
    struct host *h = &n->hosts[group];
    struct queue_place place = { 0 };
    struct queue_due due[REFS_MAX];
    size_t count = queue_due_by_time(n->disk.kept[group].store, shard_of(group), &place,
                                     node_wall_ms(w, n), due, REFS_MAX);
    struct proposal *p = new_proposal(PROPOSE_CLAIM);

    for (size_t i = 0; i < count; i++)
        if (!is_asked(h, PROPOSE_CLAIM, due[i].index, due[i].recipient))
            p->refs[p->ref_count++] = (struct queue_ref){ due[i].index, due[i].recipient };
    if (p->ref_count == 0)
        mail_proposal_free(p);
    else if (propose(w, n, group, pack_claim(w, n, p), h->term, p) == 0 && MUTATED(CLAIM_AFTER_DOT))
        send_too_early(w, n, group, p);
}

/* What earlier leaders had claimed: nobody knows whether it was sent (P4). False: not all was told yet. */
static bool tell_doubts(struct world *w, struct node *n, unsigned group)
{
    struct host *h = &n->hosts[group];
    struct queue_place place = { 0 };
    size_t count;

    do {
        struct proposal *p = new_proposal(PROPOSE_OUTCOME);

        count = queue_claims(n->disk.kept[group].store, shard_of(group), &place, p->refs, REFS_MAX);
        p->ref_count = (unsigned)count;
        for (size_t i = 0; i < count; i++)
            p->results[i] = MUTATED(DOUBT_FORGOTTEN) ? ANGARIUM__RESULT__RESULT_DEFERRED
                                                     : ANGARIUM__RESULT__RESULT_IN_DOUBT;
        if (count == 0)
            mail_proposal_free(p);
        else if (propose(w, n, group, pack_outcome(w, n, p), h->term, p) != 0)
            return false;
    } while (count == REFS_MAX);
    return true;
}

static bool is_held(struct queue_store *s, unsigned group, const struct queue_ref *ref)
{
    Angarium__RecipientRecord *r = NULL;
    bool held;

    CHECK(queue_recipient_get(s, shard_of(group), ref->index, ref->recipient, &r) == 0);
    held = r->state == ANGARIUM__RECIPIENT_STATE__RECIPIENT_HELD;
    queue_recipient_free(&r);
    return held;
}

/* The operator, who finds by the list of doubts what is held, and sends it again. */
static void release_held(struct world *w, struct node *n, unsigned group)
{
    struct host *h = &n->hosts[group];
    struct queue_store *store = n->disk.kept[group].store;
    struct queue_place place = { 0 };
    struct queue_ref doubts[REFS_MAX];
    size_t count = queue_doubts(store, shard_of(group), &place, doubts, REFS_MAX);

    for (size_t i = 0; i < count && !n->dying; i++) {
        Angarium__Release c = ANGARIUM__RELEASE__INIT;
        struct proposal *p;

        if (!is_held(store, group, &doubts[i]) ||
            is_asked(h, PROPOSE_RELEASE, doubts[i].index, doubts[i].recipient))
            continue;
        p = new_proposal(PROPOSE_RELEASE);
        p->refs[p->ref_count++] = doubts[i];
        c.time_ms = node_wall_ms(w, n);
        c.index = doubts[i].index;
        c.recipients = &doubts[i].recipient;
        c.n_recipients = 1;
        propose(w, n, group, pack(w, ANGARIUM__COMMAND__KIND_RELEASE, &c), h->term, p);
    }
}

static void pay_bounces(struct world *w, struct node *n, unsigned group)
{
    struct host *h = &n->hosts[group];
    uint64_t owed[2];
    size_t count = queue_bounces(n->disk.kept[group].store, shard_of(group), 0, owed, 2);

    for (size_t i = 0; i < count && !n->dying; i++) {
        struct proposal *p;
        unsigned token;

        if (is_asked(h, PROPOSE_BOUNCE, owed[i], 0) || (token = new_token(w, group, 1)) == 0)
            continue;
        p = new_proposal(PROPOSE_BOUNCE);
        p->token = token;
        p->refs[p->ref_count++] = (struct queue_ref){ owed[i], 0 };
        if (propose(w, n, group, pack_accept(w, n, token, owed[i]), h->term, p) != 0)
            w->token_count -= w->token_count == token && !n->dying;
    }
}

static void purge(struct world *w, struct node *n, unsigned group)
{
    Angarium__Purge c = ANGARIUM__PURGE__INIT;

    c.time_ms = node_wall_ms(w, n);
    c.before_ms = c.time_ms - 5000;
    c.limit = 20;
    propose(w, n, group, pack(w, ANGARIUM__COMMAND__KIND_PURGE, &c), 0,
            new_proposal(PROPOSE_PURGE));
}

static void work_later(struct world *w, struct node *n, unsigned group, uint64_t delay_us)
{
    n->hosts[group].works = true;
    world_at(w, delay_us,
             &(struct action){ .kind = ACT_WORK, .node = n->at, .group = group, .life = n->life });
}

void mail_work(struct world *w, struct node *n, unsigned group)
{
    struct host *h = &n->hosts[group];

    h->works = false;
    if (h->role != CORE_LEADER || !h->ready || h->installing) return;
    if (h->doubt_term != h->term && tell_doubts(w, n, group)) h->doubt_term = h->term;
    if (h->doubt_term == h->term && !n->dying) claim_due(w, n, group);
    if (h->doubt_term == h->term && !n->dying) release_held(w, n, group);
    if (h->doubt_term == h->term && !n->dying) pay_bounces(w, n, group);
    if (!n->dying && world_chance(w, 20)) purge(w, n, group);
    if (!n->dying) work_later(w, n, group, w->plan.work_every_us);
}

void mail_role(struct world *w, struct node *n, unsigned group)
{
    struct host *h = &n->hosts[group];

    if (h->role == CORE_LEADER && h->ready && !h->works) work_later(w, n, group, 1);
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
    const struct plan *p = &w->plan;

    if (w->calm) {
        ++*arrived;
        return ANGARIUM__RESULT__RESULT_DELIVERED;
    }
    if (world_chance(w, p->fail_permille)) return ANGARIUM__RESULT__RESULT_DEFERRED;
    if (world_chance(w, p->bounce_permille)) return ANGARIUM__RESULT__RESULT_BOUNCED;
    if (world_chance(w, p->drop_permille)) { /* the connection broke after the dot */
        *arrived += world_chance(w, 500);
        return ANGARIUM__RESULT__RESULT_IN_DOUBT;
    }
    ++*arrived;
    return ANGARIUM__RESULT__RESULT_DELIVERED;
}

static void send_claimed(struct world *w, struct node *n, unsigned group, struct proposal *claim)
{
    EXPECT(w, check_canon(w, group, claim->index) == claim->entry,
           "n%u g%u: mail leaves and its claim, entry %llu, is not committed", n->at + 1, group,
           (unsigned long long)claim->index);
    for (unsigned i = 0; i < claim->ref_count; i++) {
        const struct queue_ref *r = &claim->refs[i];
        struct token *t = token_at(w, group, r->index);

        EXPECT(w, t != NULL, "n%u g%u: mail %llu is sent and was never accepted", n->at + 1, group,
               (unsigned long long)r->index);
        w->sends++;
        claim->results[i] = remote_takes(w, &t->person[r->recipient].arrived);
    }
    claim->is_sent = true;
}

void mail_remote(struct world *w, struct node *n, unsigned group, struct proposal *claim)
{
    struct host *h = &n->hosts[group];
    struct proposal *p;
    int rv;

    if (!claim->is_sent) {
        send_claimed(w, n, group, claim);
        remote_later(w, n, group, claim, world_below(w, w->plan.remote_max_us));
        return;
    }
    p = new_proposal(PROPOSE_OUTCOME);
    p->ref_count = claim->ref_count;
    memcpy(p->refs, claim->refs, sizeof p->refs);
    memcpy(p->results, claim->results, sizeof p->results);
    rv = propose(w, n, group, pack_outcome(w, n, p), claim->term, p);
    if (rv != 0 && rv != ERR_CLOSED && h->role == CORE_LEADER && h->term == claim->term)
        remote_later(w, n, group, claim, 100 * MS);
    else
        mail_proposal_free(claim);
}

/* ---- answers */

static void drop_refused(struct proposal *p, const struct queue_effects *effects)
{
    for (size_t k = 0; k < effects->count; k++) {
        const struct queue_effect *f = &effects->list[k];

        if (f->kind != QUEUE_REFUSED) continue;
        for (unsigned i = 0; i < p->ref_count; i++)
            if (p->refs[i].index == f->index && p->refs[i].recipient == f->recipient)
                p->refs[i--] = p->refs[--p->ref_count];
    }
}

static void committed(struct world *w, struct node *n, unsigned group, struct proposal *p,
                      const struct queue_effects *effects)
{
    if (p->kind == PROPOSE_ACCEPT) {
        TRACE(w, "n%u g%u answers 250 for mail %u", n->at + 1, group, p->token);
        w->tokens[p->token].state = TOKEN_ACKED;
    }
    if (p->kind == PROPOSE_CLAIM && !MUTATED(CLAIM_AFTER_DOT)) drop_refused(p, effects);
    if (p->kind != PROPOSE_CLAIM || p->ref_count == 0 || MUTATED(CLAIM_AFTER_DOT)) {
        mail_proposal_free(p);
        return;
    }
    remote_later(w, n, group, p, world_below(w, w->plan.remote_max_us));
}

void mail_applied(struct world *w, struct node *n, unsigned group, struct entry *e,
                  const struct queue_effects *effects)
{
    LIST_FOR_SAFE(at, &n->hosts[group].proposals) {
        struct proposal *p = CONTAINER_OF(at, struct proposal, link);

        if (p->index != e->index) continue;
        list_remove(&p->link);
        if (p->entry == e) {
            committed(w, n, group, p, effects);
            continue;
        }
        if (p->kind == PROPOSE_ACCEPT && !MUTATED(ANSWER_BEFORE_COMMIT))
            w->tokens[p->token].state = TOKEN_REFUSED;
        mail_proposal_free(p);
    }
}

static void forget(struct world *w, struct host *h, uint64_t upto)
{
    LIST_FOR_SAFE(at, &h->proposals) {
        struct proposal *p = CONTAINER_OF(at, struct proposal, link);

        if (p->index > upto) continue;
        if (p->kind == PROPOSE_ACCEPT && !MUTATED(ANSWER_BEFORE_COMMIT))
            w->tokens[p->token].state = TOKEN_UNKNOWN;
        mail_proposal_free(p);
    }
}

void mail_skipped(struct world *w, struct node *n, unsigned group, uint64_t upto)
{
    forget(w, &n->hosts[group], upto);
}

void mail_forget(struct world *w, struct host *h)
{
    forget(w, h, NEVER);
}

/* ---- the ledger: what the committed history says */

static void learn_accept(struct world *w, unsigned group, const struct entry *e)
{
    Angarium__Command *c;
    uint64_t token;

    CHECK(proto_command_unpack_in(span_of(e->head, e->head_size), &w->arena, &c) == 0);
    CHECK(span_u64(proto_span(c->accept->origin->session), w->token_count, &token) == 0);
    arena_reset(&w->arena);
    w->tokens[token].accepts++;
    w->tokens[token].accepted_index = e->index;
    CHECK(w->tokens[token].group == group);
}

static void learn_event(struct world *w, unsigned group, const Angarium__Event *v)
{
    struct token *t = token_at(w, group, v->index);

    CHECK(t && v->recipient_number < PEOPLE_MAX);
    switch (v->type) {
    case ANGARIUM__EVENT_TYPE__EVENT_IN_DOUBT:
        t->person[v->recipient_number].doubts++;
        return;
    case ANGARIUM__EVENT_TYPE__EVENT_RELEASED:
        t->person[v->recipient_number].released++;
        return;
    case ANGARIUM__EVENT_TYPE__EVENT_DELIVERED:
        t->person[v->recipient_number].delivered = true;
        t->person[v->recipient_number].ended++;
        return;
    case ANGARIUM__EVENT_TYPE__EVENT_BOUNCED:
    case ANGARIUM__EVENT_TYPE__EVENT_EXPIRED:
    case ANGARIUM__EVENT_TYPE__EVENT_CANCELLED:
        t->person[v->recipient_number].ended++;
        return;
    default:
        return;
    }
}

void mail_learn(struct world *w, unsigned group, const struct entry *e,
                const struct queue_effects *effects)
{
    for (size_t i = 0; i < effects->count; i++) {
        const struct queue_effect *f = &effects->list[i];

        if (f->kind != QUEUE_EVENT) continue;
        if (f->event->type != ANGARIUM__EVENT_TYPE__EVENT_ACCEPTED)
            learn_event(w, group, f->event);
        else if (f->event->recipient_number == 0)
            learn_accept(w, group, e);
    }
}

bool mail_drained(const struct node *leader, unsigned group)
{
    struct queue_counts c;
    uint64_t owed;

    queue_counts(leader->hosts[group].queue, &c);
    return c.waiting == 0 && c.claimed == 0 && c.held == 0 &&
           queue_bounces(leader->disk.kept[group].store, shard_of(group), 0, &owed, 1) == 0;
}

void mail_expect_end(struct world *w)
{
    for (unsigned i = 1; i <= w->token_count; i++) {
        const struct token *t = &w->tokens[i];

        EXPECT(w, t->state != TOKEN_ACKED || t->accepts == 1,
               "mail %u was answered 250 and is lost", i);
        EXPECT(w, t->state != TOKEN_REFUSED || t->accepts == 0, "mail %u was refused and is there",
               i);
        EXPECT(w, t->accepts <= 1, "mail %u was accepted %u times", i, t->accepts);
        for (unsigned k = 0; k < t->people && t->accepts; k++) {
            EXPECT(w, t->person[k].ended == 1, "mail %u recipient %u ended %u times", i, k,
                   t->person[k].ended);
            EXPECT(w, t->person[k].arrived <= 1 + t->person[k].doubts,
                   "mail %u recipient %u arrived %u times and was in doubt %u times", i, k,
                   t->person[k].arrived, t->person[k].doubts);
            EXPECT(w, !holds_doubts(i) || t->person[k].arrived <= 1 + t->person[k].released,
                   "mail %u recipient %u is held when it is in doubt, and arrived %u times; it was released %u times",
                   i, k, t->person[k].arrived, t->person[k].released);
            EXPECT(w, !t->person[k].delivered || t->person[k].arrived > 0,
                   "mail %u recipient %u is said to be delivered and never arrived", i, k);
        }
    }
}
