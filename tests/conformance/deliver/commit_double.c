/* commit_double - the functions of commit.h that deliver uses, over a real queue on its memory
 * store.
 *
 * What a turn proposes is applied by the hook, claims first, as node/commit does it; effects go to
 * the watchers.
 */
#include "tests/conformance/deliver/commit_double.h"

#include <stdlib.h>

#include "proto/ground/check.h"

struct body_copy {
    struct list link;
    uint64_t entry;
    bool in_memory, is_lost;
    struct buf bytes;
};
struct event_copy {
    struct list link;
    uint64_t index;
    uint32_t recipient;
    Angarium__EventType type;
    struct buf packed;
};
struct outcome_copy {
    struct list link;
    struct buf packed;
};

struct commit {
    struct loop *loop;
    struct loop_hook hook;
    struct queue_store *store;
    struct queue *queue;
    struct list watchers, bodies, events, claims, outcomes;
    struct queue_ref expires[8192];
    unsigned expire_count, claimed, reads;
    uint64_t entry;
    bool leads, held;
    int claim_rv;
    size_t blob_bytes_before, blob_bytes_max;
};

/* ---- applying */

static void keep_event(struct commit *c, const Angarium__Event *e)
{
    struct event_copy *copy = check_calloc(1, sizeof *copy);

    copy->index = e->index;
    copy->recipient = e->recipient_number;
    copy->type = e->type;
    buf_init(&copy->packed, 1u << 20);
    proto_pack(&e->base, &copy->packed);
    list_add_first(&c->events, &copy->link);
}

static void tell(struct commit *c, const struct queue_effects *effects)
{
    for (size_t i = 0; i < effects->count; i++)
        if (effects->list[i].kind == QUEUE_EVENT) keep_event(c, effects->list[i].event);
    LIST_FOR(it, &c->watchers) {
        struct commit_watcher *w = CONTAINER_OF(it, struct commit_watcher, link);

        if (w->on_effects) w->on_effects(w->arg, DOUBLE_SHARD, c->entry, effects);
    }
}

/* The claim to fill `refused` in, or NULL. */
static void apply(struct commit *c, const Angarium__Command *command, size_t body_size,
                  struct commit_claim *claim)
{
    struct queue_effects effects = { 0 };
    struct buf head;

    buf_init(&head, PROTO_COMMAND_SIZE_MAX);
    CHECK(proto_command_pack(command, &head) == 0);
    CHECK(proto_command_check(command) == 0);
    queue_apply(c->queue, ++c->entry, buf_span(&head), body_size, &effects);
    for (size_t i = 0; claim && i < effects.count; i++) {
        const struct queue_effect *e = &effects.list[i];

        for (unsigned n = 0; e->kind == QUEUE_REFUSED && n < claim->count; n++)
            if (claim->refs[n].index == e->index && claim->refs[n].recipient == e->recipient)
                claim->refs[n].refused = true;
    }
    tell(c, &effects);
    buf_deinit(&head);
}

static void apply_claim(struct commit *c, struct commit_claim *claim)
{
    Angarium__Claim message = ANGARIUM__CLAIM__INIT;
    Angarium__Command command = ANGARIUM__COMMAND__INIT;
    Angarium__RecipientRef *refs = check_calloc(claim->count, sizeof *refs);
    Angarium__RecipientRef **list = check_calloc(claim->count, sizeof *list);

    for (unsigned i = 0; i < claim->count; i++) {
        angarium__recipient_ref__init(&refs[i]);
        refs[i].index = claim->refs[i].index;
        refs[i].recipient = claim->refs[i].recipient;
        list[i] = &refs[i];
    }
    message.time_ms = loop_wall_ms(c->loop);
    message.node = 1;
    message.n_recipients = claim->count;
    message.recipients = list;
    command.kind_case = ANGARIUM__COMMAND__KIND_CLAIM;
    command.claim = &message;
    apply(c, &command, 0, claim);
    c->claimed += claim->count;
    free(refs);
    free(list);
}

static void flush_claims(struct commit *c)
{
    struct list *it;

    while (!c->held && (it = list_take_first(&c->claims)) != NULL) {
        struct commit_claim *claim = CONTAINER_OF(it, struct commit_claim, link);

        if (c->claim_rv == 0) apply_claim(c, claim);
        claim->on_done(claim, c->claim_rv);
    }
}

static void flush_outcomes(struct commit *c)
{
    struct list *it;

    while ((it = list_take_first(&c->outcomes)) != NULL) {
        struct outcome_copy *copy = CONTAINER_OF(it, struct outcome_copy, link);
        Angarium__Command command = ANGARIUM__COMMAND__INIT;

        command.kind_case = ANGARIUM__COMMAND__KIND_OUTCOME;
        command.outcome = angarium__outcome__unpack(NULL, copy->packed.n, copy->packed.p);
        CHECK(command.outcome);
        if (c->leads) apply(c, &command, 0, NULL);
        angarium__outcome__free_unpacked(command.outcome, NULL);
        buf_deinit(&copy->packed);
        free(copy);
    }
}

static void flush_expires(struct commit *c)
{
    for (unsigned i = 0; i < c->expire_count; i++) {
        Angarium__RecipientRef ref = ANGARIUM__RECIPIENT_REF__INIT, *refs = &ref;
        Angarium__Expire expire = ANGARIUM__EXPIRE__INIT;
        Angarium__Command command = ANGARIUM__COMMAND__INIT;

        ref.index = c->expires[i].index;
        ref.recipient = c->expires[i].recipient;
        expire.time_ms = loop_wall_ms(c->loop);
        expire.n_recipients = 1;
        expire.recipients = &refs;
        command.kind_case = ANGARIUM__COMMAND__KIND_EXPIRE;
        command.expire = &expire;
        apply(c, &command, 0, NULL);
    }
    c->expire_count = 0;
}

static uint64_t on_turn(struct loop_hook *hook, uint64_t mono_ms)
{
    struct commit *c = CONTAINER_OF(hook, struct commit, hook);
    size_t bytes = blob_bytes_total() - c->blob_bytes_before;

    (void)mono_ms;
    if (bytes > c->blob_bytes_max) c->blob_bytes_max = bytes;
    flush_claims(c);
    flush_outcomes(c);
    flush_expires(c);
    return UINT64_MAX;
}

/* ---- commit.h */

void commit_watch(struct commit *c, struct commit_watcher *w)
{
    list_add(&c->watchers, &w->link);
}

int commit_claim(struct commit *c, uint32_t shard, struct commit_claim *claim)
{
    CHECK(shard == DOUBLE_SHARD);
    if (!c->leads) return ERR_NOT_LEADER;
    list_add(&c->claims, &claim->link);
    return 0;
}

void commit_outcome(struct commit *c, uint32_t shard, const Angarium__RecipientOutcome *list,
                    unsigned count)
{
    struct outcome_copy *copy = check_calloc(1, sizeof *copy);
    Angarium__RecipientOutcome **pointers = check_calloc(count, sizeof *pointers);
    Angarium__Outcome outcome = ANGARIUM__OUTCOME__INIT;

    CHECK(shard == DOUBLE_SHARD);
    for (unsigned i = 0; i < count; i++)
        pointers[i] = (Angarium__RecipientOutcome *)(uintptr_t)&list[i];
    outcome.time_ms = loop_wall_ms(c->loop);
    outcome.node = 1;
    outcome.n_recipients = count;
    outcome.recipients = pointers;
    buf_init(&copy->packed, 8u << 20);
    proto_pack(&outcome.base, &copy->packed);
    list_add(&c->outcomes, &copy->link);
    free(pointers);
}

void commit_expire(struct commit *c, uint32_t shard, const struct queue_ref *refs, unsigned count)
{
    CHECK(shard == DOUBLE_SHARD);
    CHECK(c->expire_count + count <= sizeof c->expires / sizeof c->expires[0]);
    memcpy(c->expires + c->expire_count, refs, count * sizeof *refs);
    c->expire_count += count;
}

static struct body_copy *find_body(struct commit *c, uint64_t entry)
{
    LIST_FOR(it, &c->bodies) {
        struct body_copy *b = CONTAINER_OF(it, struct body_copy, link);

        if (b->entry == entry) return b;
    }
    return NULL;
}

static struct blob *as_blob(const struct body_copy *b)
{
    struct blob *blob = blob_new(b->bytes.n + 1);

    CHECK(blob_add(blob, b->bytes.p, b->bytes.n, b->bytes.n + 1) == 0);
    return blob;
}

struct blob *commit_body_cached(struct commit *c, uint32_t shard, uint64_t entry)
{
    struct body_copy *b = find_body(c, entry);

    CHECK(shard == DOUBLE_SHARD);
    return b && b->in_memory ? as_blob(b) : NULL;
}

static void on_run(struct loop_work *w)
{
    (void)w;
}

static void on_read(struct loop_work *w)
{
    struct commit_read *r = CONTAINER_OF(w, struct commit_read, work);
    struct body_copy *b = find_body(r->commit, r->entry);
    bool is_there = b && !b->is_lost;

    r->commit->reads++;
    r->on_done(r, is_there ? 0 : ERR_NOT_FOUND, is_there ? as_blob(b) : NULL);
}

int commit_body_read(struct commit *c, struct loop *l, struct commit_read *r)
{
    r->commit = c;
    r->work.run = on_run;
    r->work.on_done = on_read;
    return loop_work(l, LOOP_POOL_DISK, &r->work);
}

struct queue_store *commit_store(struct commit *c)
{
    return c->store;
}

unsigned commit_shard_count(const struct commit *c)
{
    (void)c;
    return DOUBLE_SHARD;
}

unsigned commit_shard_max(const struct commit *c)
{
    (void)c;
    return DOUBLE_SHARD;
}

struct loop *commit_shard_loop(const struct commit *c, uint32_t shard)
{
    return shard == DOUBLE_SHARD ? c->loop : NULL;
}

/* ---- for the stories */

struct commit *double_open(struct loop *l)
{
    struct commit *c = check_calloc(1, sizeof *c);
    struct errmsg why = { "" };

    c->loop = l;
    c->blob_bytes_before = blob_bytes_total();
    list_init(&c->watchers);
    list_init(&c->bodies);
    list_init(&c->events);
    list_init(&c->claims);
    list_init(&c->outcomes);
    CHECK(queue_store_open(&c->store, NULL, &why) == 0);
    CHECK(queue_open(&c->queue, c->store, DOUBLE_SHARD, &why) == 0);
    c->hook.on_turn = on_turn;
    loop_hook_add(l, &c->hook);
    return c;
}

static void free_copies(struct commit *c)
{
    struct list *it;

    while ((it = list_take_first(&c->bodies)) != NULL) {
        struct body_copy *b = CONTAINER_OF(it, struct body_copy, link);

        buf_deinit(&b->bytes);
        free(b);
    }
    while ((it = list_take_first(&c->events)) != NULL) {
        struct event_copy *e = CONTAINER_OF(it, struct event_copy, link);

        buf_deinit(&e->packed);
        free(e);
    }
    while ((it = list_take_first(&c->outcomes)) != NULL) {
        struct outcome_copy *o = CONTAINER_OF(it, struct outcome_copy, link);

        buf_deinit(&o->packed);
        free(o);
    }
}

void double_close(struct commit **pc)
{
    struct commit *c = *pc;
    struct errmsg why = { "" };
    struct list *it;

    *pc = NULL;
    loop_hook_remove(c->loop, &c->hook);
    while ((it = list_take_first(&c->claims)) != NULL) {
        struct commit_claim *claim = CONTAINER_OF(it, struct commit_claim, link);

        claim->on_done(claim, ERR_CLOSED);
    }
    CHECK(queue_verify(c->store, DOUBLE_SHARD, &why) == 0);
    queue_close(&c->queue);
    queue_store_close(&c->store);
    free_copies(c);
    free(c);
}

void double_lead(struct commit *c, bool leads)
{
    c->leads = leads;
    LIST_FOR(it, &c->watchers) {
        struct commit_watcher *w = CONTAINER_OF(it, struct commit_watcher, link);

        if (w->on_lead) w->on_lead(w->arg, DOUBLE_SHARD, leads);
    }
}

static void add_body(struct commit *c, uint64_t entry, struct span bytes,
                     const struct double_body *as)
{
    struct body_copy *b = check_calloc(1, sizeof *b);

    b->entry = entry;
    b->in_memory = as->in_memory;
    b->is_lost = as->is_lost;
    buf_init(&b->bytes, bytes.n + 1);
    buf_add_span(&b->bytes, bytes);
    list_add(&c->bodies, &b->link);
}

static void add_chunks(struct commit *c, Angarium__Accept *accept, const struct double_body *body,
                       uint64_t *entries)
{
    for (unsigned i = 0; i < body->chunk_count; i++) {
        Angarium__Chunk chunk = ANGARIUM__CHUNK__INIT;
        Angarium__Command command = ANGARIUM__COMMAND__INIT;

        chunk.time_ms = accept->time_ms;
        chunk.upload = proto_bytes(SPAN_LIT("upload"));
        chunk.number = i;
        command.kind_case = ANGARIUM__COMMAND__KIND_CHUNK;
        command.chunk = &chunk;
        apply(c, &command, body->chunks[i].n, NULL);
        entries[i] = c->entry;
        add_body(c, c->entry, body->chunks[i], body);
    }
    accept->upload = proto_bytes(SPAN_LIT("upload"));
    accept->n_chunks = body->chunk_count;
    accept->chunks = entries;
}

uint64_t double_mail(struct commit *c, Angarium__Accept *accept, const struct double_body *body)
{
    Angarium__Command command = ANGARIUM__COMMAND__INIT;
    uint64_t *entries = check_calloc(body->chunk_count, sizeof *entries);

    if (body->chunk_count > 1) add_chunks(c, accept, body, entries);
    command.kind_case = ANGARIUM__COMMAND__KIND_ACCEPT;
    command.accept = accept;
    if (body->chunk_count == 1) add_body(c, c->entry + 1, body->chunks[0], body);
    apply(c, &command, body->chunk_count == 1 ? body->chunks[0].n : 0, NULL);
    free(entries);
    return c->entry;
}

void double_cancel(struct commit *c, uint64_t index, uint32_t recipient)
{
    Angarium__Cancel cancel = ANGARIUM__CANCEL__INIT;
    Angarium__Command command = ANGARIUM__COMMAND__INIT;

    cancel.time_ms = loop_wall_ms(c->loop);
    cancel.index = index;
    cancel.n_recipients = 1;
    cancel.recipients = &recipient;
    cancel.by = proto_bytes(SPAN_LIT("story"));
    command.kind_case = ANGARIUM__COMMAND__KIND_CANCEL;
    command.cancel = &cancel;
    apply(c, &command, 0, NULL);
}

void double_hold_claims(struct commit *c, bool held)
{
    c->held = held;
    loop_again(c->loop);
}

void double_fail_claims(struct commit *c, int rv)
{
    c->claim_rv = rv;
}

unsigned double_claims(const struct commit *c)
{
    return c->claimed;
}

struct span double_event(const struct commit *c, uint64_t index, uint32_t recipient,
                         Angarium__EventType type)
{
    LIST_FOR(it, &c->events) {
        const struct event_copy *e = CONTAINER_OF(it, struct event_copy, link);

        if (e->index == index && e->recipient == recipient && e->type == type)
            return buf_span(&e->packed);
    }
    return span_of(NULL, 0);
}

unsigned double_reads(const struct commit *c)
{
    return c->reads;
}

size_t double_blob_bytes_max(const struct commit *c)
{
    return c->blob_bytes_max;
}
